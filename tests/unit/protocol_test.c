/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The worked vectors of docs/protocol.md, read from the page itself: the code makes the same bytes,
 * and takes them apart again.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>

#include "seal/pl_seal.h"
#include "token/pl_token.h"
#include "wire/pl_wire.h"

#define CERT_ID  0x0123456789abcdefull
#define SHOWN_AT 1639364400u
#define GATEWAY  7u
#define EPOCH    1u

static char page[64 * 1024];
static uint8_t root[32], master[16];

static int page_load(void **state)
{
	const char *source_root = getenv("PL_SOURCE_ROOT");
	char path[4096];
	size_t size;
	FILE *f;

	(void)state;
	assert_return_code(sodium_init(), 0);
	snprintf(path, sizeof(path), "%s/docs/protocol.md", source_root ? source_root : ".");
	f = fopen(path, "r");
	assert_non_null(f);
	size = fread(page, 1, sizeof(page) - 1, f);
	fclose(f);
	assert_in_range(size, 1, sizeof(page) - 2);
	for (uint32_t i = 0; i < sizeof(root); i++)
		root[i] = (uint8_t)i;
	memcpy(master, root, sizeof(master));
	return 0;
}

/* The value of the line "name = value". */
static size_t vector_text(const char *name, char *out, size_t out_size)
{
	char key[64];
	const char *at, *end;

	snprintf(key, sizeof(key), "\n%s = ", name);
	at = strstr(page, key);
	assert_non_null(at);
	at += strlen(key);
	end = strchr(at, '\n');
	assert_non_null(end);
	assert_true((size_t)(end - at) < out_size);
	memcpy(out, at, (size_t)(end - at));
	out[end - at] = '\0';
	return (size_t)(end - at);
}

static size_t vector(const char *name, uint8_t *out, size_t out_size)
{
	char hex[1024];
	size_t hex_size = vector_text(name, hex, sizeof(hex)), size;

	assert_int_equal(sodium_hex2bin(out, out_size, hex, hex_size, NULL, &size, NULL), 0);
	return size;
}

static void assert_vector(const char *name, const uint8_t *got, size_t got_size)
{
	uint8_t want[512];

	assert_int_equal(vector(name, want, sizeof(want)), got_size);
	assert_memory_equal(got, want, got_size);
}

static void token_make(struct pl_token *t)
{
	uint8_t cert_key[PL_TOKEN_KEY_SIZE];

	pl_token_cert_key(cert_key, master, CERT_ID, 2);
	assert_vector("cert_key", cert_key, sizeof(cert_key));
	pl_token_mint(t, cert_key, CERT_ID, SHOWN_AT);
}

static void test_token(void **state)
{
	char text[PL_TOKEN_TEXT_SIZE + 1], want[64];
	uint8_t raw[PL_TOKEN_SIZE];
	struct pl_token t, back;

	(void)state;
	token_make(&t);
	assert_vector("tag", t.tag, sizeof(t.tag));
	pl_le64_put(raw, t.cert_id);
	pl_le32_put(raw + 8, t.shown_at);
	memcpy(raw + 12, t.tag, sizeof(t.tag));
	assert_vector("token", raw, sizeof(raw));
	pl_token_to_text(&t, text);
	vector_text("text", want, sizeof(want));
	assert_string_equal(text, want);
	assert_int_equal(pl_token_from_text(&back, want, strlen(want)), 0);
	assert_memory_equal(back.tag, t.tag, sizeof(t.tag));
	assert_true(back.cert_id == CERT_ID && back.shown_at == SHOWN_AT);
}

static struct pl_seal_key *direction_key(const struct pl_seal *s, enum pl_seal_dir dir)
{
	struct pl_seal_key *key;
	uint8_t raw[PL_SEAL_KEY_SIZE];

	pl_seal_derive(raw, root, dir, EPOCH, GATEWAY);
	assert_vector(dir == PL_SEAL_DIR_REQUEST ? "request_key" : "reply_key", raw, sizeof(raw));
	assert_int_equal(pl_seal_key_create(s, raw, &key), 0);
	return key;
}

static void test_request(void **state)
{
	struct pl_wire_req_hdr hdr = {
		.ver = 1, .type = 1, .key_epoch = EPOCH, .gateway_id = GATEWAY};
	struct pl_wire_req_head head = {.sent_at_ms = 1639364405000, .scan_cnt = 1};
	struct pl_wire_scan scan = {.cert_id = CERT_ID, .shown_at = SHOWN_AT, .scan_id = 99};
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	struct pl_seal_op op = {.aad = data, .aad_size = PL_WIRE_REQ_HDR_SIZE};
	struct pl_wire_req_head got;
	struct pl_seal *s;
	struct pl_token t;
	uint32_t size;

	(void)state;
	hdr.counter = 1639364400123456789;
	scan.venue_id = PL_VENUE(17, 4711);
	token_make(&t);
	memcpy(scan.tag, t.tag, sizeof(t.tag));
	size = pl_wire_req_write(data, &hdr, &head, &scan, 1);
	assert_int_equal(size, PL_WIRE_REQ_SIZE(1));
	assert_vector("request_header", data, 16);
	assert_vector("request_body", data + 16, size - 32);
	pl_wire_req_nonce(&hdr, op.nonce);
	assert_vector("request_nonce", op.nonce, 12);

	assert_int_equal(pl_seal_create(PL_SEAL_AUTO, &s), 0);
	op.key = direction_key(s, PL_SEAL_DIR_REQUEST);
	op.text = data + 16;
	op.text_size = size - 32;
	op.tag = data + size - 16;
	pl_seal_seal_burst(s, &op, 1);
	assert_vector("request", data, size);

	assert_int_equal(pl_seal_open_burst(s, &op, 1), 1);
	assert_int_equal(pl_wire_req_read(data, size, &got), PL_V_NONE);
	assert_memory_equal(&got, &head, sizeof(got));
	assert_memory_equal(pl_wire_req_scan(data, 0), &scan, sizeof(scan));
	pl_seal_key_destroy((struct pl_seal_key *)(uintptr_t)op.key);
	pl_seal_destroy(s);
}

static void test_reply(void **state)
{
	struct pl_wire_rep_hdr hdr = {.ver = 1, .type = 2, .gateway_id = GATEWAY};
	struct pl_wire_rep_head head = {
		.req_counter = 1639364400123456789,
		.now_ms = 1639364405003,
		.as_of = 1639360800,
		.verdict_cnt = 1,
	};
	uint8_t data[PL_WIRE_REP_SIZE(1u)];
	struct pl_seal_op op = {.aad = data, .aad_size = PL_WIRE_REP_HDR_SIZE};
	struct pl_wire_rep_head got;
	struct pl_seal *s;
	uint32_t size;

	(void)state;
	hdr.appliance_queue = 1u << 8;
	pl_le64_put(hdr.counter, 1639364400000000001);
	size = pl_wire_rep_write(data, &hdr, &head);
	pl_le32_put(pl_wire_rep_verdicts(data), PL_WIRE_VERDICT(PL_V_PASS, 1, 0));
	assert_int_equal(size, sizeof(data));
	assert_vector("reply_header", data, 20);
	assert_vector("reply_body", data + 20, size - 36);
	pl_wire_rep_nonce(&hdr, op.nonce);
	assert_vector("reply_nonce", op.nonce, 12);

	assert_int_equal(pl_seal_create(PL_SEAL_AUTO, &s), 0);
	op.key = direction_key(s, PL_SEAL_DIR_REPLY);
	op.text = data + 20;
	op.text_size = size - 36;
	op.tag = data + size - 16;
	pl_seal_seal_burst(s, &op, 1);
	assert_vector("reply", data, size);
	assert_int_equal(pl_seal_open_burst(s, &op, 1), 1);
	assert_true(pl_wire_rep_read(data, size, &got));
	assert_memory_equal(&got, &head, sizeof(got));
	pl_seal_key_destroy((struct pl_seal_key *)(uintptr_t)op.key);
	pl_seal_destroy(s);
}

/* The page's table of verdicts says what the code's says. */
static void test_verdict_table(void **state)
{
	char row[256];

	(void)state;
	for (const uint8_t *code = pl_verdict_codes; *code != PL_V_NONE; code++) {
		snprintf(row, sizeof(row), "\n| 0x%02x | %s | %s |", *code,
			 pl_group_name(pl_verdict_group(*code)), pl_verdict_name(*code));
		if (strstr(page, row) == NULL)
			fail_msg("docs/protocol.md lacks the row %s", row);
	}
#define F(id, bit, name, text)                                   \
	snprintf(row, sizeof(row), "\n| %d | %s | ", bit, name); \
	assert_non_null(strstr(page, row));
	PL_STATE_FLAGS(F)
#undef F
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_verdict_table),
	};

	return cmocka_run_group_tests_name("protocol", tests, page_load, NULL);
}
