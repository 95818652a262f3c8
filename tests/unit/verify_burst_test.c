/* SPDX-License-Identifier: BSD-3-Clause */
/* What becomes of whole datagrams: drops, limits, counters, the state in a reply, and full bursts
 * under each engine that the CPU runs. */

#include "verify_fixture.h"

#include <stdlib.h>

#include <sodium.h>

/* What is drawn, from PL_SEED or from a seed of this run's own, which a failed run has shown. */
static uint64_t draws;

static uint32_t draw(uint32_t most)
{
	return (uint32_t)(pl_mix64(draws += 0x9e3779b97f4a7c15u) % most);
}

static void draws_begin(void)
{
	const char *given = getenv("PL_SEED");

	draws = given != NULL ? strtoull(given, NULL, 0) : randombytes_random();
	print_message("# what is drawn: PL_SEED=%llu repeats it\n", (unsigned long long)draws);
}

static void test_drops(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(900);
	struct pl_wire_scan scan = fx_scan(fx, &c, FX_NOW_S, 1);
	uint8_t good[PL_WIRE_REQ_SIZE_MAX], data[2048] = {0};
	uint32_t size;

	fx_cert(fx, &c);
	size = fx_request(fx, good, &scan, 1);
	for (uint32_t cut = 0; cut < size; cut++) {
		memcpy(data, good, size);
		assert_int_equal(fx_drop_of(fx, data, cut),
				 cut < PL_WIRE_REQ_SIZE_MIN ? PL_DROP_RUNT : PL_DROP_BAD_SEAL);
	}
	assert_int_equal(fx_drop_of(fx, data, PL_WIRE_REQ_SIZE_MAX + 1), PL_DROP_OVERSIZED);
	for (uint32_t bit = 0; bit < size * 8; bit++) {
		enum pl_drop want = PL_DROP_BAD_SEAL;

		memcpy(data, good, size);
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (bit / 8 == 1)
			want = PL_DROP_NOT_REQUEST;
		else if (bit / 8 == 2 || (bit / 8 >= 4 && bit / 8 < 8))
			want = PL_DROP_NO_GATEWAY;
		assert_int_equal(fx_drop_of(fx, data, size), want);
	}
	/* None of it touched the certificate. */
	assert_int_equal(fx_ask(fx, &scan), PL_WIRE_VERDICT(PL_V_PASS, PL_CERT_PRIMARY, 0));
}

static void test_nonces_run_out_cleanly(void **state)
{
	struct fx *fx = *state;
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];

	pl_verify_nonce_limit_set(fx->verify, 1000);
	assert_int_equal(fx_drop_of(fx, data, fx_request(fx, data, NULL, 0)), PL_DROP_NO_NONCE);
	assert_true(pl_verify_nonce_next(fx->verify) == 1000);
	pl_verify_nonce_limit_set(fx->verify, 1001);
	assert_int_equal(fx_error_of(fx, data, fx_request(fx, data, NULL, 0)), 0);
	assert_int_equal(fx_drop_of(fx, data, fx_request(fx, data, NULL, 0)), PL_DROP_NO_NONCE);
}

/* A flood of recorded requests: the gateway is told now and then, and what it asks today is
 * answered all the while. */
static void test_faults_are_told_now_and_then(void **state)
{
	struct fx *fx = *state;
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];

	for (uint32_t window = 0; window < 3; window++) {
		uint64_t now = fx->now.wall_ms += 250;

		for (uint32_t i = 0; i < 32; i++)
			assert_int_equal(
				fx_error_of(fx, data,
					    fx_request_with(fx, data, 1, now - 5001, 1, 1)),
				PL_V_STALE_REQUEST);
		for (uint32_t i = 0; i < 100; i++)
			assert_int_equal(fx_drop_of(fx, data,
						    fx_request_with(fx, data, 1, now - 5001, 1, 1)),
					 PL_DROP_ERROR_LIMIT);
		assert_int_equal(fx_drop_of(fx, data, fx_request_with(fx, data, 2, now, 1, 1)),
				 PL_DROP_ERROR_LIMIT);
		assert_int_equal(fx_error_of(fx, data, fx_request_with(fx, data, 1, now, 0, 0)), 0);
	}
	assert_int_equal(fx->counters.error_replies, 3 * 32);
	assert_int_equal(fx->counters.drops[PL_DROP_ERROR_LIMIT], 3 * 101);
}

/* A full burst of every kind of datagram, each scan's verdict in its own place. */
struct big {
	uint8_t data[PL_VERIFY_BURST_MAX][PL_WIRE_REQ_SIZE_MAX];
	struct pl_verify_item items[PL_VERIFY_BURST_MAX];
	uint8_t want[PL_VERIFY_BURST_MAX][PL_WIRE_SCANS_MAX];
	uint32_t scan_cnt[PL_VERIFY_BURST_MAX];
	uint64_t counter[PL_VERIFY_BURST_MAX];
	bool bad[PL_VERIFY_BURST_MAX];
};

static void big_fill(struct fx *fx, struct big *b, uint32_t i, uint32_t scan_cnt, uint64_t *id)
{
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];

	for (uint32_t s = 0; s < scan_cnt; s++) {
		struct pl_cert c = fx_cert_valid((*id)++);
		uint32_t dice = draw(8);

		b->want[i][s] = PL_V_PASS;
		if (dice == 0)
			b->want[i][s] = PL_V_UNKNOWN_CERT;
		else
			fx_cert(fx, &c);
		scans[s] = fx_scan(fx, &c, FX_NOW_S, s);
		if (dice == 1) {
			scans[s].tag[s % PL_TOKEN_TAG_SIZE] ^= 0x80;
			b->want[i][s] = PL_V_FORGED;
		} else if (dice == 2) {
			scans[s] = fx_scan(fx, &c, FX_NOW_S - 60, s);
			b->want[i][s] = PL_V_STALE_QR;
		}
	}
	b->counter[i] = fx->counter;
	b->scan_cnt[i] = scan_cnt;
	b->items[i] = (struct pl_verify_item){
		.data = b->data[i],
		.request_size = fx_request(fx, b->data[i], scans, scan_cnt),
	};
	b->bad[i] = draw(4) == 0;
	if (b->bad[i])
		b->data[i][20] ^= 1;
}

static void big_check(struct fx *fx, struct big *b, uint32_t item_cnt, uint64_t *nonce)
{
	for (uint32_t i = 0; i < item_cnt; i++) {
		struct pl_wire_rep_head head;
		struct pl_wire_rep_hdr hdr;

		if (b->bad[i]) {
			assert_int_equal(b->items[i].drop, PL_DROP_BAD_SEAL);
			assert_int_equal(b->items[i].reply_size, 0);
			continue;
		}
		assert_true(b->items[i].reply_size <= b->items[i].request_size);
		assert_true(fx_reply(fx, b->data[i], b->items[i].reply_size, &hdr, &head));
		assert_int_equal(hdr.appliance_queue, 0xabcdef05);
		assert_true(pl_le64_get(hdr.counter) == (*nonce)++);
		assert_true(head.req_counter == b->counter[i]);
		assert_int_equal(head.verdict_cnt, b->scan_cnt[i]);
		for (uint32_t s = 0; s < b->scan_cnt[i]; s++)
			assert_verdict(pl_le32_get(pl_wire_rep_verdicts(b->data[i]) + 4 * s),
				       b->want[i][s]);
	}
}

/* So many others that some of a burst's look-ups need a second line. */
static void table_crowd(struct fx *fx)
{
	for (uint64_t id = 0; id < 12000; id++) {
		struct pl_cert c = fx_cert_valid(UINT64_C(1) << 40 | id);

		fx_cert(fx, &c);
	}
}

static void test_full_bursts_of_all_sizes(void **state)
{
	static const uint32_t item_cnts[] = {1, 2, 15, 16, 17, 31, 33, 63, 64};
	struct fx *fx = *state;
	struct big *b = malloc(sizeof(*b));
	uint64_t id = 1u << 20, nonce = 1000;

	assert_non_null(b);
	table_crowd(fx);
	for (uint32_t round = 0; round < PL_ARRAY_CNT(item_cnts); round++) {
		uint32_t item_cnt = item_cnts[round], bad = 0;

		for (uint32_t i = 0; i < item_cnt; i++) {
			uint32_t most = round < 8 ? 6 : 43;

			big_fill(fx, b, i, draw(most + 1), &id);
			bad += b->bad[i];
		}
		assert_int_equal(
			pl_verify_burst(fx->verify, &fx->view, &fx->now, b->items, item_cnt),
			item_cnt - bad);
		big_check(fx, b, item_cnt, &nonce);
	}
	free(b);
	assert_true(pl_table_reader_counters(fx->reader)->second_line > 0);
	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, NULL, 0), 0);
}

/* What has been shown of a few certificates, of which each fifth is in no table. */
#define FEW 20u

struct shown {
	struct pl_cert certs[FEW];
	uint32_t at[FEW], scan_id[FEW]; /* the newest that was accepted */
	uint64_t resends;
};

/* A scan of one of them, and the word that it must get after those before it. */
static uint32_t shown_one(const struct fx *fx, struct shown *s, struct pl_wire_scan *scan)
{
	uint32_t i = draw(FEW), scan_id = draw(3);
	uint32_t at = (uint32_t)(fx->now.wall_ms / 1000) - draw(3);

	*scan = fx_scan(fx, &s->certs[i], at, scan_id);
	if (i % 5 == 0)
		return PL_WIRE_VERDICT(PL_V_UNKNOWN_CERT, 0, 0);
	if (at > s->at[i]) {
		s->at[i] = at;
		s->scan_id[i] = scan_id;
		return PL_WIRE_VERDICT(PL_V_PASS, PL_CERT_PRIMARY, 0);
	}
	if (at < s->at[i] || scan_id != s->scan_id[i])
		return PL_WIRE_VERDICT(PL_V_REPLAYED, 0, 0);
	s->resends++;
	return PL_WIRE_VERDICT(PL_V_PASS, PL_CERT_PRIMARY, PL_WIRE_VERDICT_RESEND);
}

/* Verdicts come in the order of the scans, whatever is looked up ahead. */
static void test_the_same_certificates_often_in_a_burst(void **state)
{
	static uint32_t want[PL_VERIFY_BURST_MAX][PL_WIRE_SCANS_MAX];
	static struct big b;
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];
	struct shown shown = {.resends = 0};
	struct fx *fx = *state;

	table_crowd(fx);
	for (uint32_t i = 0; i < FEW; i++) {
		shown.certs[i] = fx_cert_valid(5000 + i);
		if (i % 5 != 0)
			fx_cert(fx, &shown.certs[i]);
	}
	for (uint32_t round = 0; round < 100; round++) {
		uint32_t item_cnt = draw(PL_VERIFY_BURST_MAX) + 1;
		uint32_t most = round % 2 == 0 ? PL_WIRE_SCANS_MAX : 2;

		fx->now.wall_ms += 1000;
		for (uint32_t i = 0; i < item_cnt; i++) {
			b.scan_cnt[i] = draw(most + 1);
			for (uint32_t s = 0; s < b.scan_cnt[i]; s++)
				want[i][s] = shown_one(fx, &shown, &scans[s]);
			b.items[i] = (struct pl_verify_item){
				.data = b.data[i],
				.request_size = fx_request(fx, b.data[i], scans, b.scan_cnt[i]),
			};
		}
		assert_int_equal(
			pl_verify_burst(fx->verify, &fx->view, &fx->now, b.items, item_cnt),
			item_cnt);
		for (uint32_t i = 0; i < item_cnt; i++) {
			struct pl_wire_rep_head head;
			struct pl_wire_rep_hdr hdr;

			assert_true(fx_reply(fx, b.data[i], b.items[i].reply_size, &hdr, &head));
			for (uint32_t s = 0; s < b.scan_cnt[i]; s++)
				assert_int_equal(
					pl_le32_get(pl_wire_rep_verdicts(b.data[i]) + 4 * s),
					want[i][s]);
		}
	}
	assert_int_equal(fx->counters.resends, shown.resends);
}

static void test_counters_add_up(void **state)
{
	struct fx *fx = *state;
	const struct pl_gateway_counters *g = pl_verify_gateway_counters(fx->verify);
	struct pl_cert c = fx_cert_valid(1000);
	struct pl_wire_scan scan = fx_scan(fx, &c, FX_NOW_S, 1);
	uint64_t verdicts = 0;

	fx_ask(fx, &scan);
	fx_cert(fx, &c);
	fx_ask(fx, &scan);
	fx->now.flags = PL_FLAG_LOADING;
	fx_ask(fx, &scan);
	assert_int_equal(fx->counters.scans, 3);
	assert_int_equal(fx->counters.replies, 3);
	for (uint32_t v = 0; v < PL_V_CODE_END; v++)
		verdicts += fx->counters.verdicts[v];
	assert_int_equal(verdicts, 3);
	assert_int_equal(g[0].datagrams, 3);
	assert_int_equal(pl_gateway_scans(&g[0]), 3);
	assert_int_equal(g[0].pass, 1);
	assert_int_equal(g[0].deny, 1);
	assert_int_equal(g[0].unknown, 1);
	assert_int_equal(g[1].datagrams, 0);
	assert_true(g[0].seen_ms == fx->now.wall_ms);
}

/* One scan now and then, and how many it stands for; taken when asked for alone. */
static void test_a_sample_of_the_scans(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(640), absent = fx_cert_valid(641);
	struct pl_wire_scan scan;
	struct pl_sample s;

	fx_cert(fx, &c);
	scan = fx_scan(fx, &c, FX_NOW_S, 1);
	assert_verdict(fx_ask(fx, &scan), PL_V_PASS);
	assert_false(pl_verify_sample_get(fx->verify, &s));
	pl_verify_sample_ask(fx->verify);
	assert_false(pl_verify_sample_get(fx->verify, &s)); /* no scan since */
	assert_verdict(fx_ask(fx, &scan), PL_V_PASS);
	assert_verdict(fx_ask(fx, &scan), PL_V_PASS);
	assert_true(pl_verify_sample_get(fx->verify, &s));
	assert_int_equal(s.facts, pl_facts_pack(&c));
	assert_int_equal(s.verdict, PL_V_PASS);
	assert_int_equal(s.venue_class, FX_CLASS);
	assert_int_equal(s.at_s, FX_NOW_S);
	assert_int_equal(s.scan_cnt, 2);
	assert_false(pl_verify_sample_get(fx->verify, &s)); /* once */
	scan = fx_scan(fx, &absent, FX_NOW_S, 1);
	pl_verify_sample_ask(fx->verify);
	assert_verdict(fx_ask(fx, &scan), PL_V_UNKNOWN_CERT);
	assert_true(pl_verify_sample_get(fx->verify, &s));
	assert_int_equal(s.facts, 0);
	assert_int_equal(s.verdict, PL_V_UNKNOWN_CERT);
	assert_int_equal(s.scan_cnt, 2);
}

static void test_state_in_every_reply(void **state)
{
	struct fx *fx = *state;
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	struct pl_verify_item item = {.data = data};
	struct pl_wire_rep_head head;
	struct pl_wire_rep_hdr hdr;

	fx->now.flags = PL_FLAG_FEED_OLD | PL_FLAG_DRAINING | PL_FLAG_WAIVER;
	fx->now.retry_after_ms = 1234;
	fx->view.waiver_until = FX_NOW_S + 99;
	item.request_size = fx_request(fx, data, NULL, 0);
	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 1);
	assert_true(fx_reply(fx, data, item.reply_size, &hdr, &head));
	assert_int_equal(hdr.state, PL_STATE_DRAINING);
	assert_int_equal(hdr.flags, fx->now.flags);
	assert_int_equal(head.as_of, fx->now.as_of);
	assert_int_equal(head.retry_after_ms, 1234);
	assert_int_equal(head.waiver_until, FX_NOW_S + 99);
	/* One that is in the view and not in force is not told. */
	fx->now.flags = 0;
	item.request_size = fx_request(fx, data, NULL, 0);
	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 1);
	assert_true(fx_reply(fx, data, item.reply_size, &hdr, &head));
	assert_int_equal(head.waiver_until, 0);
	assert_int_equal(head.retry_after_ms, 0); /* nothing to come back for */
	fx->view.waiver_from = FX_NOW_S;
	assert_int_equal(pl_view_waiver_flag(&fx->view, FX_NOW_S - 1), 0);
	assert_int_equal(pl_view_waiver_flag(&fx->view, FX_NOW_S), PL_FLAG_WAIVER);
	assert_int_equal(pl_view_waiver_flag(&fx->view, FX_NOW_S + 98), PL_FLAG_WAIVER);
	assert_int_equal(pl_view_waiver_flag(&fx->view, FX_NOW_S + 99), 0);
	fx->view.waiver_from = fx->view.waiver_until = 0;
	assert_int_equal(pl_view_waiver_flag(&fx->view, 0), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

/* The burst test again under every pair of engines that this CPU runs. */
static void test_engines(void **state)
{
	static const enum pl_seal_engine seals[] = {PL_SEAL_SODIUM, PL_SEAL_IPSEC_MB};

	(void)state;
	for (uint32_t s = 0; s < PL_ARRAY_CNT(seals); s++) {
		for (int t = 0; t < PL_TOKEN_VARIANT_CNT; t++) {
			struct fx_engines engines = {seals[s], t};
			struct pl_seal *probe;
			void *fx_state = &engines;

			if (pl_token_check_of((enum pl_token_variant)t) == NULL ||
			    pl_seal_create(seals[s], &probe) != 0)
				continue;
			pl_seal_destroy(probe);
			fx_setup(&fx_state);
			test_full_bursts_of_all_sizes(&fx_state);
			fx_teardown(&fx_state);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_drops),
		T(test_nonces_run_out_cleanly),
		T(test_faults_are_told_now_and_then),
		T(test_full_bursts_of_all_sizes),
		T(test_the_same_certificates_often_in_a_burst),
		T(test_counters_add_up),
		T(test_a_sample_of_the_scans),
		T(test_state_in_every_reply),
		cmocka_unit_test(test_engines),
	};

	draws_begin();
	return cmocka_run_group_tests_name("verify_burst", tests, NULL, NULL);
}
