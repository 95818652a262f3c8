/* SPDX-License-Identifier: BSD-3-Clause */
/* Every verdict, and every error of a datagram. */

#include "verify_fixture.h"

#include "verify/pl_shed.h"

static uint8_t reached[PL_V_CODE_END];

static uint32_t ask(struct fx *fx, const struct pl_wire_scan *scan)
{
	uint32_t word = fx_ask(fx, scan);

	reached[PL_WIRE_VERDICT_CODE(word)] = 1;
	return word;
}

static void test_pass_tells_kind(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(42);
	struct pl_wire_scan scan = fx_scan(fx, &c, FX_NOW_S, 1);

	fx_cert(fx, &c);
	assert_int_equal(ask(fx, &scan), PL_WIRE_VERDICT(PL_V_PASS, PL_CERT_PRIMARY, 0));
}

static void test_denials_by_facts(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(1);
	struct pl_wire_scan scan;

	scan = fx_scan(fx, &c, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_UNKNOWN_CERT);
	c.revoked = true;
	fx_cert(fx, &c);
	assert_verdict(ask(fx, &scan), PL_V_REVOKED);
	c.suspended = true;
	fx_cert(fx, &c);
	assert_verdict(ask(fx, &scan), PL_V_REVOKED);
	c.revoked = false;
	fx_cert(fx, &c);
	assert_verdict(ask(fx, &scan), PL_V_SUSPENDED);
	c.suspended = false;
	c.kind = PL_CERT_MEDICAL_EXEMPT;
	fx_cert(fx, &c);
	assert_verdict(ask(fx, &scan), PL_V_NOT_ACCEPTED);
	c.kind = PL_CERT_RECOVERED;
	fx_cert(fx, &c);
	assert_verdict(ask(fx, &scan), PL_V_NO_RULE);
}

static void test_denials_by_date_at_their_bounds(void **state)
{
	static const struct {
		int age_days;
		enum pl_verdict want;
	} cases[] = {
		{13, PL_V_NOT_YET_VALID}, {14, PL_V_PASS},          {180, PL_V_PASS},
		{181, PL_V_EXPIRED},      {-1, PL_V_NOT_YET_VALID},
	};
	struct fx *fx = *state;

	for (uint32_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		struct pl_cert c = fx_cert_valid(100 + i);
		struct pl_wire_scan scan;

		c.event_day = (uint16_t)(FX_TODAY - cases[i].age_days);
		fx_cert(fx, &c);
		scan = fx_scan(fx, &c, FX_NOW_S, i);
		assert_verdict(ask(fx, &scan), cases[i].want);
	}
}

static void test_qr_age_at_its_bounds(void **state)
{
	const uint32_t oldest = FX_NOW_S - PL_TOKEN_LIFE_S - FX_SKEW_S;
	const struct {
		uint32_t shown_at;
		enum pl_verdict want;
	} cases[] = {
		{oldest - 1, PL_V_STALE_QR},
		{oldest, PL_V_PASS},
		{FX_NOW_S + FX_SKEW_S, PL_V_PASS},
		{FX_NOW_S + FX_SKEW_S + 1, PL_V_FUTURE_QR},
		{0, PL_V_STALE_QR},
		{UINT32_MAX, PL_V_FUTURE_QR},
	};
	struct fx *fx = *state;

	for (uint32_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		struct pl_cert c = fx_cert_valid(200 + i);
		struct pl_wire_scan scan = fx_scan(fx, &c, cases[i].shown_at, i);

		fx_cert(fx, &c);
		assert_verdict(ask(fx, &scan), cases[i].want);
	}
}

/* A forger who knows everything but the key learns nothing of the certificate's state. */
static void test_forged(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(300), old = c;
	struct pl_wire_scan scan;

	c.revoked = true;
	fx_cert(fx, &c);
	for (uint32_t bit = 0; bit < PL_TOKEN_TAG_SIZE * 8; bit++) {
		scan = fx_scan(fx, &c, FX_NOW_S, bit);
		scan.tag[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_verdict(ask(fx, &scan), PL_V_FORGED);
	}
	scan = fx_scan(fx, &c, FX_NOW_S, 1);
	scan.shown_at++;
	assert_verdict(ask(fx, &scan), PL_V_FORGED);

	/* The wallet was replaced: QR codes of the old one are worth nothing. */
	c.revoked = false;
	c.generation++;
	fx_cert(fx, &c);
	scan = fx_scan(fx, &old, FX_NOW_S, 2);
	assert_verdict(ask(fx, &scan), PL_V_FORGED);
	scan = fx_scan(fx, &c, FX_NOW_S, 3);
	assert_verdict(ask(fx, &scan), PL_V_PASS);
}

static void test_replay_and_resend(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(400);
	struct pl_wire_scan first = fx_scan(fx, &c, FX_NOW_S, 1), copy, older, newer;

	fx_cert(fx, &c);
	assert_int_equal(ask(fx, &first), PL_WIRE_VERDICT(PL_V_PASS, PL_CERT_PRIMARY, 0));
	assert_int_equal(ask(fx, &first),
			 PL_WIRE_VERDICT(PL_V_PASS, PL_CERT_PRIMARY, PL_WIRE_VERDICT_RESEND));
	copy = first;
	copy.scan_id = 2; /* the same door, another scan */
	assert_verdict(ask(fx, &copy), PL_V_REPLAYED);
	copy = first;
	copy.venue_id = PL_VENUE(FX_CLASS, 4712); /* another door */
	assert_verdict(ask(fx, &copy), PL_V_REPLAYED);
	older = fx_scan(fx, &c, FX_NOW_S - 1, 1);
	assert_verdict(ask(fx, &older), PL_V_REPLAYED);
	newer = fx_scan(fx, &c, FX_NOW_S + 1, 3);
	assert_verdict(ask(fx, &newer), PL_V_PASS);
	assert_verdict(ask(fx, &first), PL_V_REPLAYED);
	assert_int_equal(fx->counters.resends, 1);
}

/* A scan that is refused for another reason leaves no trace. */
static void test_only_accepted_scans_are_seen(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(500);
	struct pl_wire_scan scan = fx_scan(fx, &c, FX_NOW_S, 1);

	c.suspended = true;
	fx_cert(fx, &c);
	assert_verdict(ask(fx, &scan), PL_V_SUSPENDED);
	c.suspended = false;
	fx_cert(fx, &c);
	scan.scan_id = 2;
	assert_int_equal(ask(fx, &scan), PL_WIRE_VERDICT(PL_V_PASS, PL_CERT_PRIMARY, 0));
}

static void test_our_faults_are_unknown(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(600), absent = fx_cert_valid(601), no_key = c;
	struct pl_wire_scan scan;

	fx_cert(fx, &c);
	fx->now.flags = PL_FLAG_FEED_OLD;
	scan = fx_scan(fx, &absent, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_FEED_OLD);
	fx->now.flags = PL_FLAG_LOADING;
	assert_verdict(ask(fx, &scan), PL_V_LOADING);
	scan = fx_scan(fx, &c, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_LOADING);
	fx->now.flags = 0;
	fx->view.shed = true;
	fx_saturate(fx, 2 + PL_SHED_HEAVY_WINDOWS);
	while (PL_WIRE_VERDICT_CODE(ask(fx, &scan)) != PL_V_BUSY)
		assert_true(fx->counters.scans < 10000);
	fx->view.shed = false;
	pl_verify_shed_renew(fx->verify, &fx->view, fx->now.tick, fx->now.wall_ms);
	fx->now.flags = PL_FLAG_FEED_OLD;
	assert_verdict(ask(fx, &scan), PL_V_PASS);
	fx->now.flags = 0;

	no_key.id = 602;
	no_key.key_epoch = FX_NEXT_EPOCH + 1;
	fx_cert(fx, &no_key);
	scan = fx_scan(fx, &no_key, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_NO_KEY);
	assert_int_equal(fx->counters.feed_waived, 3);
}

/* With news on its way, facts deny nobody but the revoked; what is no matter of the feed stands. */
static void test_an_old_feed_denies_by_no_facts(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(610), reissued, suspended = fx_cert_valid(611),
		       revoked = fx_cert_valid(612), expired = fx_cert_valid(613),
		       young = fx_cert_valid(614);
	struct pl_wire_scan scan;

	suspended.suspended = true;
	revoked.revoked = true;
	expired.event_day = (uint16_t)(FX_TODAY - 400);
	young.event_day = (uint16_t)FX_TODAY;
	fx_cert(fx, &c);
	fx_cert(fx, &suspended);
	fx_cert(fx, &revoked);
	fx_cert(fx, &expired);
	fx_cert(fx, &young);
	fx->now.flags = PL_FLAG_FEED_OLD;
	reissued = c;
	reissued.generation++;
	scan = fx_scan(fx, &reissued, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_FEED_OLD);
	scan = fx_scan(fx, &suspended, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_FEED_OLD);
	scan = fx_scan(fx, &expired, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_FEED_OLD);
	scan = fx_scan(fx, &young, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_FEED_OLD);
	assert_int_equal(fx->counters.feed_waived, 4);
	scan = fx_scan(fx, &revoked, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_REVOKED);
	scan = fx_scan(fx, &c, FX_NOW_S - 3600, 1);
	assert_verdict(ask(fx, &scan), PL_V_STALE_QR);
	scan = fx_scan(fx, &c, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_PASS);
	scan = fx_scan(fx, &c, FX_NOW_S, 2);
	assert_verdict(ask(fx, &scan), PL_V_REPLAYED);
}

/* A certificate that was moved to the next key: its wallet's old codes hold while both are held. */
static void test_both_token_keys_hold_during_a_rotation(void **state)
{
	struct fx *fx = *state;
	struct pl_cert moved = fx_cert_valid(610), old = moved, lost = moved;
	struct pl_wire_scan scans[40];
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];

	moved.key_epoch = FX_NEXT_EPOCH;
	fx_cert(fx, &moved);
	scans[0] = fx_scan(fx, &old, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scans[0]), PL_V_PASS);
	scans[0] = fx_scan(fx, &moved, FX_NOW_S + 1, 2);
	assert_verdict(ask(fx, &scans[0]), PL_V_PASS);
	assert_int_equal(fx->counters.other_epoch, 1);
	/* The wallet has its new key, and the feed that says so is still under way. */
	fx_cert(fx, &old);
	scans[0] = fx_scan(fx, &moved, FX_NOW_S + 2, 3);
	assert_verdict(ask(fx, &scans[0]), PL_V_PASS);
	/* Nor is anyone denied where the new key has not come yet: the old one tells who it is. */
	fx_cert(fx, &moved);
	fx->token_keys.held[FX_NEXT_EPOCH] = 0;
	scans[0] = fx_scan(fx, &old, FX_NOW_S + 3, 4);
	assert_verdict(ask(fx, &scans[0]), PL_V_PASS);
	scans[0] = fx_scan(fx, &moved, FX_NOW_S + 4, 5);
	assert_verdict(ask(fx, &scans[0]), PL_V_NO_KEY);
	fx->token_keys.held[FX_NEXT_EPOCH] = 1;
	/* A wallet that was replaced gains nothing, under neither key. */
	lost.generation = 1;
	scans[0] = fx_scan(fx, &lost, FX_NOW_S + 4, 6);
	assert_verdict(ask(fx, &scans[0]), PL_V_FORGED);
	lost.key_epoch = FX_NEXT_EPOCH;
	scans[0] = fx_scan(fx, &lost, FX_NOW_S + 4, 7);
	assert_verdict(ask(fx, &scans[0]), PL_V_FORGED);
	/* In a full batch each token is looked at by itself. */
	fx->counters.other_epoch = 0;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(scans); i++)
		scans[i] = fx_scan(fx,
				   i % 3 == 0   ? &old
				   : i % 3 == 1 ? &moved
						: &lost,
				   FX_NOW_S + 5 + i / 10, 100 + i);
	{
		struct pl_verify_item it = {.data = data};
		struct pl_wire_rep_hdr hdr;
		struct pl_wire_rep_head head;

		it.request_size = fx_request(fx, data, scans, PL_ARRAY_CNT(scans));
		assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &it, 1), 1);
		assert_true(fx_reply(fx, data, it.reply_size, &hdr, &head));
	}
	for (uint32_t i = 0; i < PL_ARRAY_CNT(scans); i++) {
		uint32_t word = pl_le32_get(pl_wire_rep_verdicts(data) + i * PL_WIRE_VERDICT_SIZE);

		/* Who is not forged passes, or comes too soon after itself. */
		assert_int_equal((word & 0xff) == PL_V_FORGED, i % 3 == 2);
	}
	assert_int_equal(fx->counters.other_epoch, 14);
	/* After it the old key's codes are nobody's. */
	fx->token_keys.held[FX_KEY_EPOCH] = 0;
	scans[0] = fx_scan(fx, &old, FX_NOW_S + 20, 8);
	fx->now.wall_ms += 20000;
	assert_verdict(ask(fx, &scans[0]), PL_V_FORGED);
	assert_int_equal(fx->counters.other_epoch, 14);
}

static void test_untrusted_clock_denies_nothing_for_time(void **state)
{
	struct fx *fx = *state;
	struct pl_cert good = fx_cert_valid(700), young = good, forged = good, absent = good;
	struct pl_wire_scan scan;
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];

	young.id = 701;
	young.event_day = FX_TODAY;
	fx_cert(fx, &good);
	fx_cert(fx, &young);
	fx->now.flags = PL_FLAG_CLOCK;
	scan = fx_scan(fx, &good, FX_NOW_S - 3600, 1);
	assert_verdict(ask(fx, &scan), PL_V_CLOCK);
	scan = fx_scan(fx, &good, FX_NOW_S + 3600, 1);
	assert_verdict(ask(fx, &scan), PL_V_CLOCK);
	scan = fx_scan(fx, &young, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_CLOCK);
	/* Absent, and who knows how old the feed is? */
	absent.id = 702;
	scan = fx_scan(fx, &absent, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_CLOCK);
	assert_int_equal(fx->counters.clock_waived, 4);
	fx->now.flags |= PL_FLAG_FEED_OLD;
	assert_verdict(ask(fx, &scan), PL_V_FEED_OLD);
	fx->now.flags = PL_FLAG_CLOCK;
	forged.generation++;
	scan = fx_scan(fx, &forged, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_FORGED);
	scan = fx_scan(fx, &good, FX_NOW_S, 1);
	assert_verdict(ask(fx, &scan), PL_V_PASS);

	/* A request far from our clock is judged, not refused. */
	scan = fx_scan(fx, &good, FX_NOW_S + 1, 2);
	fx_request(fx, data, &scan, 1);
	fx->now.wall_ms += 3600 * 1000;
	{
		struct pl_verify_item item = {.data = data, .request_size = PL_WIRE_REQ_SIZE(1)};
		struct pl_wire_rep_head head;
		struct pl_wire_rep_hdr hdr;

		assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 1);
		assert_true(fx_reply(fx, data, item.reply_size, &hdr, &head));
		assert_int_equal(head.error, 0);
		assert_verdict(pl_le32_get(pl_wire_rep_verdicts(data)), PL_V_CLOCK);
	}
}

static void test_not_required_beats_all(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(800);
	struct pl_wire_scan scan = fx_scan(fx, &c, FX_NOW_S, 1);

	scan.venue_id = PL_VENUE(FX_CLASS_FREE, 1);
	assert_verdict(ask(fx, &scan), PL_V_NOT_REQUIRED);
	fx->now.flags = PL_FLAG_LOADING;
	assert_verdict(ask(fx, &scan), PL_V_NOT_REQUIRED);
}

/* One error for the datagram is as good as a verdict of a scan. */
static uint32_t error_of(struct fx *fx, uint8_t *data, uint32_t size)
{
	uint32_t error = fx_error_of(fx, data, size);

	reached[error] = 1;
	return error;
}

static void test_datagram_errors(void **state)
{
	static const struct {
		uint32_t scan_cnt, said_cnt;
	} bad_counts[] = {{0, 1}, {1, 0}, {1, 2}, {2, 1}, {43, 44}, {43, 65535}, {0, 65535}};
	struct fx *fx = *state;
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	uint64_t now = fx->now.wall_ms;

	assert_int_equal(error_of(fx, data, fx_request_with(fx, data, 2, now, 1, 1)), PL_V_VERSION);
	assert_int_equal(error_of(fx, data, fx_request_with(fx, data, 0, now, 0, 0)), PL_V_VERSION);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad_counts); i++)
		assert_int_equal(error_of(fx, data,
					  fx_request_with(fx, data, 1, now, bad_counts[i].scan_cnt,
							  bad_counts[i].said_cnt)),
				 PL_V_MALFORMED);
	assert_int_equal(error_of(fx, data, fx_request_with(fx, data, 1, now - 5001, 1, 1)),
			 PL_V_STALE_REQUEST);
	assert_int_equal(error_of(fx, data, fx_request_with(fx, data, 1, now + 5001, 1, 1)),
			 PL_V_STALE_REQUEST);
	assert_int_equal(error_of(fx, data, fx_request_with(fx, data, 1, UINT64_MAX, 1, 1)),
			 PL_V_STALE_REQUEST);
	assert_int_equal(error_of(fx, data, fx_request_with(fx, data, 1, 0, 1, 1)),
			 PL_V_STALE_REQUEST);
	/* At the bound it is fresh; and no scans is a question, not an error. */
	assert_int_equal(error_of(fx, data, fx_request_with(fx, data, 1, now - 5000, 0, 0)), 0);
	assert_int_equal(error_of(fx, data, fx_request_with(fx, data, 1, now + 5000, 0, 0)), 0);
	assert_int_equal(fx->counters.error_replies, 13);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

/* UNSURE belongs to a table that grows, NO_ANSWER to the client; all else was reached above. */
static void test_every_verdict_was_reached(void **state)
{
	(void)state;
	for (const uint8_t *code = pl_verdict_codes; *code != PL_V_NONE; code++) {
		if (*code != PL_V_UNSURE && *code != PL_V_NO_ANSWER && !reached[*code])
			fail_msg("no test reaches %s", pl_verdict_name(*code));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_pass_tells_kind),
		T(test_denials_by_facts),
		T(test_denials_by_date_at_their_bounds),
		T(test_qr_age_at_its_bounds),
		T(test_forged),
		T(test_replay_and_resend),
		T(test_only_accepted_scans_are_seen),
		T(test_our_faults_are_unknown),
		T(test_an_old_feed_denies_by_no_facts),
		T(test_both_token_keys_hold_during_a_rotation),
		T(test_untrusted_clock_denies_nothing_for_time),
		T(test_not_required_beats_all),
		T(test_datagram_errors),
		cmocka_unit_test(test_every_verdict_was_reached),
	};

	return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
