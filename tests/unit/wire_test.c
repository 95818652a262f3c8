/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams byte by byte: offsets, sizes, counts that lie, and the names of verdicts. */
#include "wire/pl_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* What clients in the field have compiled in: never change a line, only add. */
static const struct {
	uint8_t code;
	enum pl_group group;
	const char *name;
} pinned[] = {
	{0x01, PL_GROUP_PASS, "pass"},
	{0x02, PL_GROUP_PASS, "not_required"},
	{0x10, PL_GROUP_DENY, "unknown_cert"},
	{0x11, PL_GROUP_DENY, "revoked"},
	{0x12, PL_GROUP_DENY, "suspended"},
	{0x13, PL_GROUP_DENY, "not_yet_valid"},
	{0x14, PL_GROUP_DENY, "expired"},
	{0x15, PL_GROUP_DENY, "forged"},
	{0x16, PL_GROUP_DENY, "stale_qr"},
	{0x17, PL_GROUP_DENY, "future_qr"},
	{0x18, PL_GROUP_DENY, "replayed"},
	{0x19, PL_GROUP_DENY, "not_accepted"},
	{0x20, PL_GROUP_UNKNOWN, "loading"},
	{0x21, PL_GROUP_UNKNOWN, "feed_old"},
	{0x22, PL_GROUP_UNKNOWN, "clock"},
	{0x23, PL_GROUP_UNKNOWN, "busy"},
	{0x24, PL_GROUP_UNKNOWN, "version"},
	{0x25, PL_GROUP_UNKNOWN, "malformed"},
	{0x26, PL_GROUP_UNKNOWN, "stale_request"},
	{0x27, PL_GROUP_UNKNOWN, "no_key"},
	{0x28, PL_GROUP_UNKNOWN, "unsure"},
	{0x29, PL_GROUP_UNKNOWN, "no_rule"},
	{0x30, PL_GROUP_UNKNOWN, "no_answer"},
};

static const struct pl_wire_req_hdr req_hdr = {
	.ver = PL_WIRE_VERSION,
	.type = PL_WIRE_REQUEST,
	.key_epoch = 3,
	.gateway_id = 0x0a0b0c0d,
	.counter = 0x1122334455667788u,
};

/** A request of scan_cnt scans in data, its place for the tag filled. Returns its size. */
static uint32_t request_make(uint8_t *data, uint32_t scan_cnt)
{
	struct pl_wire_req_head head = {
		.sent_at_ms = 1639364700123u,
		.scan_cnt = (uint16_t)scan_cnt,
		.attempt = 2,
	};
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];
	uint32_t size;

	for (uint32_t i = 0; i < scan_cnt; i++) {
		scans[i] = (struct pl_wire_scan){
			.cert_id = 0x0102030405060708u + i,
			.shown_at = 0x61b71234,
			.venue_id = PL_VENUE(5, 0x00abcd),
			.scan_id = 0xdeadbe00u + i,
			.tag = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		};
	}
	size = pl_wire_req_write(data, &req_hdr, &head, scans, scan_cnt);
	memset(data + size - PL_WIRE_GCM_TAG_SIZE, 0xee, PL_WIRE_GCM_TAG_SIZE);
	return size;
}

static void test_verdict_codes_names_and_groups_are_pinned(void **state)
{
	uint32_t cnt = 0;

	(void)state;
	for (; pl_verdict_codes[cnt] != PL_V_NONE; cnt++) {
		assert_true(cnt < PL_ARRAY_CNT(pinned));
		assert_int_equal(pl_verdict_codes[cnt], pinned[cnt].code);
		assert_string_equal(pl_verdict_name(pinned[cnt].code), pinned[cnt].name);
		assert_int_equal(pl_verdict_group(pinned[cnt].code), pinned[cnt].group);
	}
	assert_int_equal(cnt, PL_ARRAY_CNT(pinned));
}

static void test_every_verdict_has_its_own_text(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(pinned); i++) {
		const char *text = pl_verdict_text(pinned[i].code);

		assert_non_null(text);
		assert_true(strlen(text) >= 10);
		for (uint32_t j = 0; j < i; j++)
			assert_string_not_equal(text, pl_verdict_text(pinned[j].code));
	}
}

static void test_codes_that_do_not_exist_have_no_name_and_never_deny_by_accident(void **state)
{
	uint32_t named_cnt = 0;

	(void)state;
	for (uint32_t code = 0; code < 0x200; code++) {
		named_cnt += pl_verdict_name(code) != NULL;
		assert_int_equal(pl_verdict_name(code) == NULL, pl_verdict_text(code) == NULL);
	}
	assert_int_equal(named_cnt, PL_ARRAY_CNT(pinned));
	assert_int_equal(pl_verdict_group(PL_V_NONE), PL_GROUP_UNKNOWN);
	assert_int_equal(pl_verdict_group(0x0f), PL_GROUP_PASS);
	assert_int_equal(pl_verdict_group(0x1f), PL_GROUP_DENY);
	assert_int_equal(pl_verdict_group(0x3f), PL_GROUP_UNKNOWN);
	assert_int_equal(pl_verdict_group(0xff), PL_GROUP_UNKNOWN);
	assert_int_equal(pl_verdict_group(0x110), PL_GROUP_UNKNOWN);
	assert_int_equal(pl_verdict_group(UINT32_MAX), PL_GROUP_UNKNOWN);
	assert_string_equal(pl_group_name(PL_GROUP_PASS), "PASS");
	assert_string_equal(pl_group_name(PL_GROUP_DENY), "DENY");
	assert_string_equal(pl_group_name(PL_GROUP_UNKNOWN), "UNKNOWN");
}

static void test_state_follows_the_worst_flag(void **state)
{
	(void)state;
	assert_int_equal(pl_state_of_flags(0), PL_STATE_SERVING);
	assert_int_equal(pl_state_of_flags(PL_FLAG_WAIVER), PL_STATE_SERVING);
	assert_int_equal(pl_state_of_flags(PL_FLAG_FEED_OLD), PL_STATE_DEGRADED);
	assert_int_equal(pl_state_of_flags(PL_FLAG_CLOCK | PL_FLAG_WAIVER), PL_STATE_DEGRADED);
	assert_int_equal(pl_state_of_flags(PL_FLAG_INTAKE), PL_STATE_DEGRADED);
	assert_int_equal(pl_state_of_flags(PL_FLAG_TABLE_FULL), PL_STATE_DEGRADED);
	assert_int_equal(pl_state_of_flags(PL_FLAG_BUSY), PL_STATE_DEGRADED);
	assert_int_equal(pl_state_of_flags(PL_FLAG_LOADING | PL_FLAG_CLOCK), PL_STATE_LOADING);
	assert_int_equal(pl_state_of_flags(0xff), PL_STATE_DRAINING);
	assert_string_equal(pl_state_name(PL_STATE_SERVING), "serving");
	assert_string_equal(pl_state_name(PL_STATE_DEGRADED), "degraded");
	assert_string_equal(pl_state_name(PL_STATE_LOADING), "loading");
	assert_string_equal(pl_state_name(PL_STATE_DRAINING), "draining");
	assert_null(pl_state_name(4));
	assert_null(pl_state_name(UINT32_MAX));
}

static void test_sizes_and_reply_is_never_longer_than_request(void **state)
{
	(void)state;
	assert_int_equal(PL_WIRE_REQ_SIZE_MIN, 64);
	assert_int_equal(PL_WIRE_REQ_SIZE(16u), 576);
	assert_int_equal(PL_WIRE_REP_SIZE(16u), 128);
	/* 1500 bytes of MTU less 40 of IPv6 and 8 of UDP; one scan more would not fit. */
	assert_true(PL_WIRE_REQ_SIZE_MAX <= 1452);
	assert_true(PL_WIRE_REQ_SIZE(PL_WIRE_SCANS_MAX + 1) > 1452);
	for (uint32_t n = 0; n <= PL_WIRE_SCANS_MAX; n++) {
		struct pl_wire_rep_hdr hdr = {.ver = PL_WIRE_VERSION};
		struct pl_wire_rep_head head = {.verdict_cnt = (uint8_t)n};
		uint8_t req[PL_WIRE_REQ_SIZE_MAX];
		uint8_t rep[PL_WIRE_REP_SIZE(PL_WIRE_SCANS_MAX)];

		assert_int_equal(request_make(req, n), 64 + 32 * n);
		assert_int_equal(pl_wire_rep_write(rep, &hdr, &head), 64 + 4 * n);
	}
}

static void test_request_bytes_are_at_their_offsets(void **state)
{
	static const uint8_t want[] = {
		1,    1,    3,    0,    0x0d, 0x0c, 0x0b, 0x0a,       /* ver type epoch 0 gateway */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,       /* counter */
		0xdb, 0x27, 0xc0, 0xb1, 0x7d, 0x01, 0,    0,          /* sent_at_ms */
		1,    0,    2,    0,                                  /* scan_cnt attempt */
		0,    0,    0,    0,    0,    0,    0,    0,    0, 0, /* zero */
		0,    0,    0,    0,    0,    0,    0,    0,    0, 0, /* zero */
		8,    7,    6,    5,    4,    3,    2,    1,          /* cert_id */
		0x34, 0x12, 0xb7, 0x61, 0xcd, 0xab, 0x00, 0x05,       /* shown_at venue_id */
		0x00, 0xbe, 0xad, 0xde,                               /* scan_id */
		1,    2,    3,    4,    5,    6,    7,    8,    9, 10, 11, 12, /* tag */
	};
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];

	(void)state;
	assert_int_equal(request_make(data, 1), sizeof(want) + PL_WIRE_GCM_TAG_SIZE);
	assert_memory_equal(data, want, sizeof(want));
}

static void test_request_reads_back_for_each_scan_count(void **state)
{
	(void)state;
	for (uint32_t n = 0; n <= PL_WIRE_SCANS_MAX; n++) {
		uint8_t data[PL_WIRE_REQ_SIZE_MAX];
		uint32_t size = request_make(data, n);
		struct pl_wire_req_hdr hdr;
		struct pl_wire_req_head head;

		assert_int_equal(pl_wire_req_peek(data, size, &hdr), PL_WIRE_OK);
		assert_memory_equal(&hdr, &req_hdr, sizeof(hdr));
		assert_int_equal(pl_wire_req_read(data, size, &head), PL_V_NONE);
		assert_int_equal(head.scan_cnt, n);
		assert_int_equal(head.attempt, 2);
		assert_true(head.sent_at_ms == 1639364700123u);
		for (uint32_t i = 0; i < n; i++) {
			struct pl_wire_scan scan;

			memcpy(&scan, pl_wire_req_scan(data, i), sizeof(scan));
			assert_true(scan.cert_id == 0x0102030405060708u + i);
			assert_int_equal(scan.scan_id, 0xdeadbe00u + i);
			assert_int_equal(PL_VENUE_CLASS(scan.venue_id), 5);
		}
	}
}

static void test_request_peek_refuses_sizes_and_types(void **state)
{
	uint8_t data[PL_WIRE_REQ_SIZE_MAX + 1] = {0};
	struct pl_wire_req_hdr hdr;

	(void)state;
	request_make(data, PL_WIRE_SCANS_MAX);
	assert_int_equal(pl_wire_req_peek(data, 0, &hdr), PL_WIRE_RUNT);
	assert_int_equal(pl_wire_req_peek(data, PL_WIRE_REQ_SIZE_MIN - 1, &hdr), PL_WIRE_RUNT);
	assert_int_equal(pl_wire_req_peek(data, PL_WIRE_REQ_SIZE_MIN, &hdr), PL_WIRE_OK);
	assert_int_equal(pl_wire_req_peek(data, PL_WIRE_REQ_SIZE_MAX, &hdr), PL_WIRE_OK);
	assert_int_equal(pl_wire_req_peek(data, PL_WIRE_REQ_SIZE_MAX + 1, &hdr), PL_WIRE_OVERSIZED);
	assert_int_equal(pl_wire_req_peek(data, UINT32_MAX, &hdr), PL_WIRE_OVERSIZED);
	for (uint32_t type = 0; type < 256; type++) {
		data[1] = (uint8_t)type;
		assert_int_equal(pl_wire_req_peek(data, PL_WIRE_REQ_SIZE_MIN, &hdr),
				 type == 1 ? PL_WIRE_OK : PL_WIRE_NOT_REQUEST);
	}
}

/* A request of another version must pass the peek, so that it can be opened and answered. */
static void test_other_versions_pass_the_peek_and_get_the_version_verdict(void **state)
{
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	uint32_t size = request_make(data, 1);
	struct pl_wire_req_hdr hdr;
	struct pl_wire_req_head head;

	(void)state;
	for (uint32_t ver = 0; ver < 256; ver++) {
		data[0] = (uint8_t)ver;
		assert_int_equal(pl_wire_req_peek(data, size, &hdr), PL_WIRE_OK);
		assert_int_equal(pl_wire_req_read(data, size, &head),
				 ver == PL_WIRE_VERSION ? PL_V_NONE : PL_V_VERSION);
	}
}

static void test_request_counts_that_lie_are_malformed(void **state)
{
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	uint32_t size = request_make(data, 3);
	struct pl_wire_req_head head;

	(void)state;
	for (uint32_t cnt = 0; cnt <= UINT16_MAX; cnt++) {
		pl_le16_put(data + 24, (uint16_t)cnt);
		assert_int_equal(pl_wire_req_read(data, size, &head),
				 cnt == 3 ? PL_V_NONE : PL_V_MALFORMED);
	}
	pl_le16_put(data + 24, 3);
	for (uint32_t wrong = PL_WIRE_REQ_SIZE_MIN; wrong < size; wrong++)
		assert_int_equal(pl_wire_req_read(data, wrong, &head), PL_V_MALFORMED);
	assert_int_equal(pl_wire_req_read(data, size + 1, &head), PL_V_MALFORMED);
}

static void test_request_write_refuses_too_many_scans_and_writes_nothing(void **state)
{
	static const struct pl_wire_scan scans[PL_WIRE_SCANS_MAX + 1];
	struct pl_wire_req_head head = {0};
	uint8_t data[64];
	uint8_t before[64];

	(void)state;
	memset(data, 0x5a, sizeof(data));
	memcpy(before, data, sizeof(before));
	assert_int_equal(pl_wire_req_write(data, &req_hdr, &head, scans, PL_WIRE_SCANS_MAX + 1), 0);
	assert_int_equal(pl_wire_req_write(data, &req_hdr, &head, scans, UINT32_MAX), 0);
	assert_memory_equal(data, before, sizeof(data));
	assert_int_equal(pl_wire_req_write(data, &req_hdr, &head, NULL, 0), 64);
}

static void test_nonces_are_who_and_counter(void **state)
{
	static const uint8_t want_req[12] = {0x0d, 0x0c, 0x0b, 0x0a, 0x88, 0x77,
					     0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
	static const uint8_t want_rep[12] = {0x04, 0x03, 0x02, 0x01, 8, 7, 6, 5, 4, 3, 2, 1};
	struct pl_wire_rep_hdr rep = {
		.gateway_id = 0x0a0b0c0d,
		.appliance_queue = 0x01020304,
		.counter = {8, 7, 6, 5, 4, 3, 2, 1},
	};
	uint8_t nonce[12];

	(void)state;
	pl_wire_req_nonce(&req_hdr, nonce);
	assert_memory_equal(nonce, want_req, sizeof(nonce));
	pl_wire_rep_nonce(&rep, nonce);
	assert_memory_equal(nonce, want_rep, sizeof(nonce));
}

static void test_reply_bytes_are_at_their_offsets_and_read_back(void **state)
{
	static const uint8_t want[] = {
		1,    2,    1,    2,    0x0d, 0x0c, 0x0b, 0x0a, /* ver type state flags gateway */
		0x04, 0x03, 0x02, 0x01, 8,    7,    6,    5,
		4,    3,    2,    1,                            /* appliance_queue counter */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* req_counter */
		0xdb, 0x27, 0xc0, 0xb1, 0x7d, 0x01, 0,    0,    /* now_ms */
		0x34, 0x12, 0xb7, 0x61, 0x78, 0x56, 0xb7, 0x61, /* as_of waiver_until */
		0xe8, 0x03, 0,    2,                            /* retry_after_ms error cnt */
	};
	struct pl_wire_rep_hdr hdr = {
		.ver = PL_WIRE_VERSION,
		.type = PL_WIRE_REPLY,
		.state = PL_STATE_DEGRADED,
		.flags = PL_FLAG_FEED_OLD,
		.gateway_id = 0x0a0b0c0d,
		.appliance_queue = 0x01020304,
		.counter = {8, 7, 6, 5, 4, 3, 2, 1},
	};
	struct pl_wire_rep_head head = {
		.req_counter = 0x1122334455667788u,
		.now_ms = 1639364700123u,
		.as_of = 0x61b71234,
		.waiver_until = 0x61b75678,
		.retry_after_ms = 1000,
		.verdict_cnt = 2,
	};
	uint8_t data[PL_WIRE_REP_SIZE(2u)] = {0};
	struct pl_wire_rep_hdr hdr_back;
	struct pl_wire_rep_head head_back;

	(void)state;
	assert_int_equal(pl_wire_rep_write(data, &hdr, &head), sizeof(data));
	assert_memory_equal(data, want, sizeof(want));
	assert_ptr_equal(pl_wire_rep_verdicts(data), data + sizeof(want));
	assert_true(pl_wire_rep_peek(data, sizeof(data), &hdr_back));
	assert_memory_equal(&hdr_back, &hdr, sizeof(hdr));
	assert_true(pl_wire_rep_read(data, sizeof(data), &head_back));
	assert_memory_equal(&head_back, &head, sizeof(head));
}

static void test_reply_refuses_sizes_versions_types_and_counts_that_lie(void **state)
{
	struct pl_wire_rep_hdr hdr = {.ver = PL_WIRE_VERSION, .type = PL_WIRE_REPLY};
	struct pl_wire_rep_head head = {.verdict_cnt = 2};
	uint8_t data[PL_WIRE_REP_SIZE(PL_WIRE_SCANS_MAX) + 1] = {0};
	uint32_t size = pl_wire_rep_write(data, &hdr, &head);

	(void)state;
	assert_false(pl_wire_rep_peek(data, 0, &hdr));
	assert_false(pl_wire_rep_peek(data, 63, &hdr));
	assert_true(pl_wire_rep_peek(data, 64, &hdr));
	assert_true(pl_wire_rep_peek(data, PL_WIRE_REP_SIZE(PL_WIRE_SCANS_MAX), &hdr));
	assert_false(pl_wire_rep_peek(data, PL_WIRE_REP_SIZE(PL_WIRE_SCANS_MAX) + 1, &hdr));
	for (uint32_t cnt = 0; cnt < 256; cnt++) {
		data[47] = (uint8_t)cnt;
		assert_int_equal(pl_wire_rep_read(data, size, &head), cnt == 2);
	}
	data[0] = PL_WIRE_VERSION + 1;
	assert_false(pl_wire_rep_peek(data, size, &hdr));
	data[0] = PL_WIRE_VERSION;
	data[1] = PL_WIRE_REQUEST;
	assert_false(pl_wire_rep_peek(data, size, &hdr));
}

static void test_venue_and_verdict_words(void **state)
{
	uint32_t v = PL_WIRE_VERDICT(PL_V_PASS, 6, PL_WIRE_VERDICT_RESEND);

	(void)state;
	assert_int_equal(PL_VENUE(0xff, 0xffffffff), 0xffffffffu);
	assert_int_equal(PL_VENUE(0, 0xff000001), 1);
	assert_int_equal(v, 0x00010601u);
	assert_int_equal(PL_WIRE_VERDICT_CODE(v), PL_V_PASS);
	assert_int_equal(PL_WIRE_VERDICT_KIND(v), 6);
	assert_int_equal(PL_WIRE_VERDICT_FLAGS(v), PL_WIRE_VERDICT_RESEND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict_codes_names_and_groups_are_pinned),
		cmocka_unit_test(test_every_verdict_has_its_own_text),
		cmocka_unit_test(
			test_codes_that_do_not_exist_have_no_name_and_never_deny_by_accident),
		cmocka_unit_test(test_state_follows_the_worst_flag),
		cmocka_unit_test(test_sizes_and_reply_is_never_longer_than_request),
		cmocka_unit_test(test_request_bytes_are_at_their_offsets),
		cmocka_unit_test(test_request_reads_back_for_each_scan_count),
		cmocka_unit_test(test_request_peek_refuses_sizes_and_types),
		cmocka_unit_test(test_other_versions_pass_the_peek_and_get_the_version_verdict),
		cmocka_unit_test(test_request_counts_that_lie_are_malformed),
		cmocka_unit_test(test_request_write_refuses_too_many_scans_and_writes_nothing),
		cmocka_unit_test(test_nonces_are_who_and_counter),
		cmocka_unit_test(test_reply_bytes_are_at_their_offsets_and_read_back),
		cmocka_unit_test(test_reply_refuses_sizes_versions_types_and_counts_that_lie),
		cmocka_unit_test(test_venue_and_verdict_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
