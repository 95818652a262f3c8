/* SPDX-License-Identifier: BSD-3-Clause */
/* Every verdict, every error and every drop of a burst, under each engine that the CPU runs. */

#include "verify_fixture.h"

#include <sodium.h>

static uint8_t reached[PL_V_CODE_END];

static uint32_t ask(struct fx *fx, const struct pl_wire_scan *scan)
{
	uint32_t word = fx_ask(fx, scan);

	reached[PL_WIRE_VERDICT_CODE(word)] = 1;
	return word;
}

#define assert_verdict(word, code) assert_int_equal(PL_WIRE_VERDICT_CODE(word), code)

static int setup(void **state)
{
	static const struct fx_engines best = {PL_SEAL_AUTO, -1};
	struct fx *fx = malloc(sizeof(*fx));

	assert_non_null(fx);
	fx_open(fx, *state != NULL ? *(const struct fx_engines *)*state : best);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	fx_close(fx);
	free(fx);
	return 0;
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
		{13,  PL_V_NOT_YET_VALID},
		{14,  PL_V_PASS         },
		{180, PL_V_PASS         },
		{181, PL_V_EXPIRED      },
		{-1,  PL_V_NOT_YET_VALID}
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
		{oldest - 1,               PL_V_STALE_QR },
		{oldest,                   PL_V_PASS     },
		{FX_NOW_S + FX_SKEW_S,     PL_V_PASS     },
		{FX_NOW_S + FX_SKEW_S + 1, PL_V_FUTURE_QR},
		{0,			PL_V_STALE_QR },
		{UINT32_MAX,               PL_V_FUTURE_QR}
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
	fx->now.flags = PL_FLAG_BUSY;
	assert_verdict(ask(fx, &scan), PL_V_BUSY);
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

/* Authentic, and wrong inside: one error for the datagram, with our clock. */
static uint32_t error_of(struct fx *fx, uint8_t *data, uint32_t size)
{
	struct pl_verify_item item = {.data = data, .request_size = size};
	struct pl_wire_rep_head head;
	struct pl_wire_rep_hdr hdr;

	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 1);
	assert_true(item.reply_size <= size);
	assert_true(fx_reply(fx, data, item.reply_size, &hdr, &head));
	assert_int_equal(head.verdict_cnt, 0);
	assert_true(head.now_ms == fx->now.wall_ms);
	reached[head.error] = 1;
	return head.error;
}

static uint32_t request_with(struct fx *fx, uint8_t *data, uint8_t ver, uint64_t sent_at_ms,
			     uint32_t scan_cnt, uint32_t said_cnt)
{
	struct pl_wire_req_hdr hdr = {.ver = ver,
				      .type = PL_WIRE_REQUEST,
				      .key_epoch = FX_EPOCH,
				      .gateway_id = FX_GATEWAY,
				      .counter = fx->counter++};
	struct pl_wire_req_head head = {.sent_at_ms = sent_at_ms, .scan_cnt = (uint16_t)said_cnt};
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];
	uint32_t size;

	memset(scans, 0, sizeof(scans));
	size = pl_wire_req_write(data, &hdr, &head, scans, scan_cnt);
	fx_seal(fx, data, size);
	return size;
}

static void test_datagram_errors(void **state)
{
	static const struct {
		uint32_t scan_cnt, said_cnt;
	} bad_counts[] = {
		{0,  1    },
                {1,  0    },
                {1,  2    },
                {2,  1    },
                {43, 44   },
                {43, 65535},
                {0,  65535}
        };
	struct fx *fx = *state;
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	uint64_t now = fx->now.wall_ms;

	assert_int_equal(error_of(fx, data, request_with(fx, data, 2, now, 1, 1)), PL_V_VERSION);
	assert_int_equal(error_of(fx, data, request_with(fx, data, 0, now, 0, 0)), PL_V_VERSION);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad_counts); i++)
		assert_int_equal(error_of(fx, data,
					  request_with(fx, data, 1, now, bad_counts[i].scan_cnt,
						       bad_counts[i].said_cnt)),
				 PL_V_MALFORMED);
	assert_int_equal(error_of(fx, data, request_with(fx, data, 1, now - 5001, 1, 1)),
			 PL_V_STALE_REQUEST);
	assert_int_equal(error_of(fx, data, request_with(fx, data, 1, now + 5001, 1, 1)),
			 PL_V_STALE_REQUEST);
	assert_int_equal(error_of(fx, data, request_with(fx, data, 1, UINT64_MAX, 1, 1)),
			 PL_V_STALE_REQUEST);
	assert_int_equal(error_of(fx, data, request_with(fx, data, 1, 0, 1, 1)),
			 PL_V_STALE_REQUEST);
	/* At the bound it is fresh; and no scans is a question, not an error. */
	assert_int_equal(error_of(fx, data, request_with(fx, data, 1, now - 5000, 0, 0)), 0);
	assert_int_equal(error_of(fx, data, request_with(fx, data, 1, now + 5000, 0, 0)), 0);
	assert_int_equal(fx->counters.error_replies, 13);
}

static enum pl_drop drop_of(struct fx *fx, uint8_t *data, uint32_t size)
{
	struct pl_verify_item item = {.data = data, .request_size = size, .reply_size = 1};

	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 0);
	assert_int_equal(item.reply_size, 0);
	return item.drop;
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
		assert_int_equal(drop_of(fx, data, cut),
				 cut < PL_WIRE_REQ_SIZE_MIN ? PL_DROP_RUNT : PL_DROP_BAD_SEAL);
	}
	assert_int_equal(drop_of(fx, data, PL_WIRE_REQ_SIZE_MAX + 1), PL_DROP_OVERSIZED);
	for (uint32_t bit = 0; bit < size * 8; bit++) {
		enum pl_drop want = PL_DROP_BAD_SEAL;

		memcpy(data, good, size);
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (bit / 8 == 1)
			want = PL_DROP_NOT_REQUEST;
		else if (bit / 8 == 2 || (bit / 8 >= 4 && bit / 8 < 8))
			want = PL_DROP_NO_GATEWAY;
		assert_int_equal(drop_of(fx, data, size), want);
	}
	/* None of it touched the certificate. */
	assert_int_equal(fx_ask(fx, &scan), PL_WIRE_VERDICT(PL_V_PASS, PL_CERT_PRIMARY, 0));
}

static void test_nonces_run_out_cleanly(void **state)
{
	struct fx *fx = *state;
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];

	pl_verify_nonce_limit_set(fx->verify, 1000);
	assert_int_equal(drop_of(fx, data, fx_request(fx, data, NULL, 0)), PL_DROP_NO_NONCE);
	assert_true(pl_verify_nonce_next(fx->verify) == 1000);
	pl_verify_nonce_limit_set(fx->verify, 1001);
	assert_int_equal(error_of(fx, data, fx_request(fx, data, NULL, 0)), 0);
	assert_int_equal(drop_of(fx, data, fx_request(fx, data, NULL, 0)), PL_DROP_NO_NONCE);
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
				error_of(fx, data, request_with(fx, data, 1, now - 5001, 1, 1)),
				PL_V_STALE_REQUEST);
		for (uint32_t i = 0; i < 100; i++)
			assert_int_equal(
				drop_of(fx, data, request_with(fx, data, 1, now - 5001, 1, 1)),
				PL_DROP_ERROR_LIMIT);
		assert_int_equal(drop_of(fx, data, request_with(fx, data, 2, now, 1, 1)),
				 PL_DROP_ERROR_LIMIT);
		assert_int_equal(error_of(fx, data, request_with(fx, data, 1, now, 0, 0)), 0);
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
		uint32_t dice = randombytes_uniform(8);

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
	b->bad[i] = randombytes_uniform(4) == 0;
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

static void test_full_bursts_of_all_sizes(void **state)
{
	static const uint32_t item_cnts[] = {1, 2, 15, 16, 17, 31, 33, 63, 64};
	struct fx *fx = *state;
	struct big *b = malloc(sizeof(*b));
	uint64_t id = 1u << 20, nonce = 1000;

	assert_non_null(b);
	for (uint32_t round = 0; round < PL_ARRAY_CNT(item_cnts); round++) {
		uint32_t item_cnt = item_cnts[round], bad = 0;

		for (uint32_t i = 0; i < item_cnt; i++) {
			uint32_t most = round < 8 ? 6 : 43;

			big_fill(fx, b, i, randombytes_uniform(most + 1), &id);
			bad += b->bad[i];
		}
		assert_int_equal(
			pl_verify_burst(fx->verify, &fx->view, &fx->now, b->items, item_cnt),
			item_cnt - bad);
		big_check(fx, b, item_cnt, &nonce);
	}
	free(b);
	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, NULL, 0), 0);
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
	assert_int_equal(g[0].scans, 3);
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
	assert_verdict(ask(fx, &scan), PL_V_PASS);
	assert_false(pl_verify_sample_get(fx->verify, &s));
	pl_verify_sample_ask(fx->verify);
	assert_false(pl_verify_sample_get(fx->verify, &s)); /* no scan since */
	assert_verdict(ask(fx, &scan), PL_V_PASS);
	assert_verdict(ask(fx, &scan), PL_V_PASS);
	assert_true(pl_verify_sample_get(fx->verify, &s));
	assert_int_equal(s.facts, pl_facts_pack(&c));
	assert_int_equal(s.verdict, PL_V_PASS);
	assert_int_equal(s.venue_class, FX_CLASS);
	assert_int_equal(s.at_s, FX_NOW_S);
	assert_int_equal(s.scan_cnt, 2);
	assert_false(pl_verify_sample_get(fx->verify, &s)); /* once */
	scan = fx_scan(fx, &absent, FX_NOW_S, 1);
	pl_verify_sample_ask(fx->verify);
	assert_verdict(ask(fx, &scan), PL_V_UNKNOWN_CERT);
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
	fx->view.waiver_from = FX_NOW_S;
	assert_int_equal(pl_view_waiver_flag(&fx->view, FX_NOW_S - 1), 0);
	assert_int_equal(pl_view_waiver_flag(&fx->view, FX_NOW_S), PL_FLAG_WAIVER);
	assert_int_equal(pl_view_waiver_flag(&fx->view, FX_NOW_S + 98), PL_FLAG_WAIVER);
	assert_int_equal(pl_view_waiver_flag(&fx->view, FX_NOW_S + 99), 0);
	fx->view.waiver_from = fx->view.waiver_until = 0;
	assert_int_equal(pl_view_waiver_flag(&fx->view, 0), 0);
}

/* UNSURE belongs to a table that grows, NO_ANSWER to the client; all else was reached above. */
static void test_every_verdict_was_reached(void **state)
{
	(void)state;
	for (const uint8_t *code = pl_verdict_codes; *code != PL_V_NONE; code++) {
		if (*code != PL_V_UNSURE && *code != PL_V_NO_ANSWER && !reached[*code])
			fail_msg("no test reaches %s", pl_verdict_name(*code));
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
			setup(&fx_state);
			test_full_bursts_of_all_sizes(&fx_state);
			teardown(&fx_state);
		}
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
		T(test_drops),
		T(test_nonces_run_out_cleanly),
		T(test_faults_are_told_now_and_then),
		T(test_full_bursts_of_all_sizes),
		T(test_counters_add_up),
		T(test_a_sample_of_the_scans),
		T(test_state_in_every_reply),
		cmocka_unit_test(test_every_verdict_was_reached),
		cmocka_unit_test(test_engines),
	};

	return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
