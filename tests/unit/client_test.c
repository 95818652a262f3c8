/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "client_fake.h"

#define MS 1000000ull

static uint64_t test_now_ns;
static uint64_t test_wall_ns;

static uint64_t fake_monotonic(void *ctx)
{
	(void)ctx;
	return test_now_ns;
}

static uint64_t fake_wall(void *ctx)
{
	(void)ctx;
	return test_wall_ns;
}

struct world {
	char dir[64];
	char state_path[96];
	struct fake appliances[2];
	struct pl_client_conf conf;
	struct pl_client *client;
	struct pl_wire_scan scans[4];
};

static void advance(uint64_t ms)
{
	test_now_ns += ms * MS;
	test_wall_ns += ms * MS;
}

/* One appliance, 100 ms to the first retry, a second to the deadline; the test's clock. */
static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	PL_CHECK(w != NULL);
	snprintf(w->dir, sizeof(w->dir), "/tmp/pl-client-XXXXXX");
	PL_CHECK(mkdtemp(w->dir) != NULL);
	snprintf(w->state_path, sizeof(w->state_path), "%s/counter", w->dir);
	fake_open(&w->appliances[0], AF_INET);
	fake_open(&w->appliances[1], AF_INET6);
	test_now_ns = 1000000 * MS;
	test_wall_ns = 1639364400000 * MS;
	pl_client_conf_default(&w->conf);
	w->conf.gateway_id = FAKE_GATEWAY;
	w->conf.key_epoch = FAKE_EPOCH;
	memcpy(w->conf.root, fake_root, sizeof(fake_root));
	w->conf.state_path = w->state_path;
	w->conf.addrs[0] = w->appliances[0].addr;
	w->conf.addrs[1] = w->appliances[1].addr;
	w->conf.addr_cnt = 1;
	w->conf.clock.monotonic_ns = fake_monotonic;
	w->conf.clock.wall_ns = fake_wall;
	for (uint32_t i = 0; i < 4; i++)
		w->scans[i] = (struct pl_wire_scan){
			.cert_id = 100 + i,
			.shown_at = 1639364400,
			.venue_id = PL_VENUE(1, 5),
			.scan_id = 1000 + i,
			.tag = {1, 2, 3},
		};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	pl_client_destroy(w->client);
	fake_close(&w->appliances[0]);
	fake_close(&w->appliances[1]);
	unlink(w->state_path);
	rmdir(w->dir);
	free(w);
	return 0;
}

static void start(struct world *w)
{
	char error[256] = "";
	int rc = pl_client_create(&w->conf, &w->client, error, sizeof(error));

	if (rc != 0)
		fail_msg("create: %d %s", rc, error);
}

static struct pl_client_stats stats_of(const struct world *w)
{
	struct pl_client_stats s;

	pl_client_stats_get(w->client, &s);
	return s;
}

static void submit(struct world *w, uint32_t scan_cnt, uintptr_t cookie)
{
	assert_int_equal(pl_client_submit(w->client, w->scans, scan_cnt, (void *)cookie), 0);
}

/* Whether there is a result now, without any waiting. */
static bool poll_one(struct world *w, struct pl_client_result *r)
{
	return pl_client_poll(w->client, r, 1, 0) == 1;
}

static void no_result(struct world *w)
{
	struct pl_client_result r;

	assert_false(poll_one(w, &r));
}

/* Let time pass in steps of a millisecond until there is a result. */
static struct pl_client_result run_to_result(struct world *w, uint32_t ms_max)
{
	struct pl_client_result r;

	for (uint32_t ms = 0; ms <= ms_max; ms++) {
		if (poll_one(w, &r))
			return r;
		advance(1);
	}
	fail_msg("no result within %u ms", ms_max);
	abort();
}

static void test_one_scan_gets_its_verdict_and_the_state(void **state)
{
	struct world *w = *state;
	struct fake_reply how = {
		.state = PL_STATE_DEGRADED,
		.flags = PL_FLAG_WAIVER | PL_FLAG_FEED_OLD,
		.waiver_until = 1639400000,
		.codes = {0, PL_V_REVOKED}
        };
	struct pl_client_result r;
	struct fake_request req;

	start(w);
	submit(w, 2, 42);
	assert_true(fake_recv(&w->appliances[0], &req, 1000));
	assert_int_equal(req.hdr.gateway_id, FAKE_GATEWAY);
	assert_int_equal(req.hdr.key_epoch, FAKE_EPOCH);
	assert_int_equal(req.head.attempt, 0);
	assert_int_equal(req.head.sent_at_ms, test_wall_ns / MS);
	assert_memory_equal(req.scans, w->scans, 2 * sizeof(w->scans[0]));
	no_result(w);
	advance(7);
	fake_send(&w->appliances[0], &req, &how);
	assert_true(poll_one(w, &r));
	assert_ptr_equal(r.cookie, (void *)42);
	assert_true(r.answered);
	assert_int_equal(r.scan_cnt, 2);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_PASS);
	assert_int_equal(PL_WIRE_VERDICT_KIND(r.verdicts[0]), 1);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[1]), PL_V_REVOKED);
	assert_int_equal(r.state, PL_STATE_DEGRADED);
	assert_int_equal(r.flags, PL_FLAG_WAIVER | PL_FLAG_FEED_OLD);
	assert_int_equal(r.waiver_until, 1639400000);
	assert_int_equal(r.as_of, 1639364000);
	assert_int_equal(r.now_ms, 1639364400123);
	assert_int_equal(r.appliance_queue, 5 << 8 | 1);
	assert_int_equal(r.attempts, 1);
	assert_int_equal(r.rtt_ns, 7 * MS);
	assert_int_equal(pl_client_outstanding(w->client), 0);
	assert_int_equal(stats_of(w).answered, 1);
}

static void test_an_empty_request_asks_for_the_state(void **state)
{
	struct world *w = *state;
	struct fake_reply how = {.state = PL_STATE_LOADING, .flags = PL_FLAG_LOADING};
	struct fake_request req;
	struct pl_client_result r;

	start(w);
	submit(w, 0, 1);
	fake_answer(&w->appliances[0], &req, &how);
	assert_true(poll_one(w, &r));
	assert_true(r.answered);
	assert_int_equal(r.scan_cnt, 0);
	assert_int_equal(r.state, PL_STATE_LOADING);
}

static void test_answers_out_of_order_find_their_requests(void **state)
{
	struct world *w = *state;
	struct fake_request req[3];
	struct pl_client_result r[3];

	start(w);
	for (uintptr_t i = 0; i < 3; i++) {
		submit(w, (uint32_t)i + 1, i);
		assert_true(fake_recv(&w->appliances[0], &req[i], 1000));
	}
	for (int i = 2; i >= 0; i--)
		fake_send(&w->appliances[0], &req[i], &(struct fake_reply){0});
	assert_int_equal(pl_client_poll(w->client, r, 3, 0), 3);
	for (uintptr_t i = 0; i < 3; i++) {
		assert_ptr_equal(r[i].cookie, (void *)(2 - i));
		assert_int_equal(r[i].scan_cnt, 3 - i);
	}
}

static void test_a_lost_datagram_is_sent_again_as_the_same_scans(void **state)
{
	struct world *w = *state;
	struct fake_request first, second;
	struct pl_client_result r;

	start(w);
	submit(w, 3, 0);
	assert_true(fake_recv(&w->appliances[0], &first, 1000));
	advance(49); /* at least half of the wait is certain */
	no_result(w);
	assert_false(fake_pending(&w->appliances[0], 0));
	advance(51);
	no_result(w);
	assert_true(fake_recv(&w->appliances[0], &second, 1000));
	assert_int_equal(second.head.attempt, 1);
	assert_int_equal(second.head.sent_at_ms, first.head.sent_at_ms + 100);
	assert_true(second.hdr.counter != first.hdr.counter);
	assert_memory_equal(second.scans, first.scans, 3 * sizeof(first.scans[0]));
	fake_send(&w->appliances[0], &second, &(struct fake_reply){0});
	assert_true(poll_one(w, &r));
	assert_int_equal(r.attempts, 2);
	assert_int_equal(stats_of(w).retries, 1);
}

static void test_the_answer_to_an_earlier_attempt_counts(void **state)
{
	struct world *w = *state;
	struct fake_request first, second;
	struct pl_client_result r;

	start(w);
	submit(w, 1, 0);
	assert_true(fake_recv(&w->appliances[0], &first, 1000));
	advance(100);
	no_result(w);
	assert_true(fake_recv(&w->appliances[0], &second, 1000));
	advance(5);
	fake_send(&w->appliances[0], &first, &(struct fake_reply){0});
	assert_true(poll_one(w, &r));
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_PASS);
	assert_int_equal(r.rtt_ns, 105 * MS);
	fake_send(&w->appliances[0], &second, &(struct fake_reply){0});
	no_result(w);
	assert_int_equal(stats_of(w).late, 1);
}

static void test_waits_double(void **state)
{
	struct world *w = *state;
	uint64_t sent_at[4], wait;
	struct fake_request req;

	w->conf.deadline_ms = 10000;
	w->conf.retry_ms_max = 300;
	start(w);
	submit(w, 1, 0);
	for (uint32_t i = 0, ms = 0; i < 4 && ms < 5000; ms++) {
		no_result(w);
		if (fake_recv(&w->appliances[0], &req, 0))
			sent_at[i++] = test_now_ns;
		advance(1);
	}
	for (uint32_t i = 1; i < 4; i++) {
		uint64_t most = i == 1 ? 100 : i == 2 ? 200 : 300;

		wait = (sent_at[i] - sent_at[i - 1]) / MS;
		assert_in_range(wait, most / 2, most + 1);
	}
}

static void test_silence_ends_in_no_answer_at_the_deadline(void **state)
{
	struct world *w = *state;
	struct pl_client_result r;
	struct fake_request req;

	start(w);
	submit(w, 2, 9);
	r = run_to_result(w, 1000);
	assert_int_equal(r.took_ns, 1000 * MS);
	assert_false(r.answered);
	assert_int_equal(r.attempts, 4);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[i]), PL_V_NO_ANSWER);
	assert_int_equal(stats_of(w).no_answer, 1);
	/* An answer that comes now is of no use, and is known for what it is. */
	assert_true(fake_recv(&w->appliances[0], &req, 1000));
	fake_send(&w->appliances[0], &req, &(struct fake_reply){0});
	no_result(w);
	assert_int_equal(stats_of(w).late, 1);
}

static void test_a_reply_that_comes_twice_gives_one_result(void **state)
{
	struct world *w = *state;
	struct fake_request req;
	struct pl_client_result r[4];

	start(w);
	submit(w, 1, 0);
	assert_true(fake_recv(&w->appliances[0], &req, 1000));
	for (int i = 0; i < 3; i++)
		fake_send(&w->appliances[0], &req, &(struct fake_reply){0});
	assert_int_equal(pl_client_poll(w->client, r, 4, 0), 1);
	assert_int_equal(stats_of(w).late, 2);
	assert_int_equal(stats_of(w).replies, 1);
}

/* The appliance's second socket speaks: the kernel drops it, the socket being connected. */
static void send_from_elsewhere(struct world *w, const struct fake_request *req)
{
	struct fake other;

	fake_open(&other, AF_INET);
	fake_send(&other, req, &(struct fake_reply){.codes = {PL_V_FORGED}});
	fake_close(&other);
	no_result(w);
}

static void test_replies_that_are_not_the_appliances_are_ignored(void **state)
{
	static const struct fake_reply bad[] = {
		{.wrong_key = 1,           .codes = {PL_V_REVOKED}},
		{.flipped = 1,                        .codes = {PL_V_REVOKED}},
		{.truncated = 1,.codes = {PL_V_REVOKED}},
		{.other_gateway = 1,           .codes = {PL_V_REVOKED}},
		{.request_type = 1,                        .codes = {PL_V_REVOKED}},
		{.verdict_cnt_less = 1,.codes = {PL_V_REVOKED}},
		{.error = PL_V_REVOKED       }, /* a fault is never a DENY */
		{.error = PL_V_PASS                       },
	};
	struct world *w = *state;
	struct pl_client_result r;
	struct pl_client_stats s;
	struct fake_request req;
	uint8_t junk[2000] = {PL_WIRE_VERSION, PL_WIRE_REPLY};

	start(w);
	submit(w, 3, 0); /* so that a truncated reply is no runt */
	assert_true(fake_recv(&w->appliances[0], &req, 1000));
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		fake_send(&w->appliances[0], &req, &bad[i]);
		no_result(w);
	}
	for (size_t size = 0; size <= sizeof(junk); size += size < 100 ? 1 : 100) {
		PL_CHECK(sendto(w->appliances[0].fd, junk, size, 0, (struct sockaddr *)&req.from,
				req.from_size) == (ssize_t)size);
		no_result(w);
	}
	send_from_elsewhere(w, &req);
	fake_send(&w->appliances[0], &req, &(struct fake_reply){0});
	assert_true(poll_one(w, &r));
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_PASS);
	s = stats_of(w);
	assert_int_equal(s.replies, 1);
	assert_int_equal(s.mismatched, 3);
	assert_true(s.bad_seal >= 3);
	assert_true(s.foreign >= 2);
}

static void test_busy_waits_as_long_as_it_is_told(void **state)
{
	struct world *w = *state;
	struct fake_reply busy = {.error = PL_V_BUSY, .flags = PL_FLAG_BUSY, .retry_after_ms = 300};
	struct pl_client_result r;
	struct fake_request req;

	start(w);
	submit(w, 1, 1);
	fake_answer(&w->appliances[0], &req, &busy);
	no_result(w);
	submit(w, 1, 2); /* a new request has to wait as well */
	for (int ms = 0; ms < 299; ms++) {
		advance(1);
		no_result(w);
	}
	assert_false(fake_pending(&w->appliances[0], 0));
	for (int i = 0; i < 2; i++) {
		for (int ms = 0; ms < 200 && !fake_pending(&w->appliances[0], 0); ms++) {
			advance(1);
			no_result(w);
		}
		fake_answer(&w->appliances[0], &req, &(struct fake_reply){0});
		r = run_to_result(w, 0);
		assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_PASS);
	}
	assert_int_equal(stats_of(w).no_answer, 0);
	assert_int_equal(stats_of(w).waits, 2);
}

static void test_busy_beyond_the_deadline_ends_at_once(void **state)
{
	struct world *w = *state;
	struct fake_reply busy = {
		.error = PL_V_BUSY, .flags = PL_FLAG_BUSY, .retry_after_ms = 5000};
	struct pl_client_result r;
	struct fake_request req;

	start(w);
	submit(w, 1, 1);
	fake_answer(&w->appliances[0], &req, &busy);
	assert_true(poll_one(w, &r));
	assert_true(r.answered);
	assert_int_equal(r.error, PL_V_BUSY);
	assert_int_equal(r.retry_after_ms, 5000);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_BUSY);
	/* And until then, nobody is bothered. */
	advance(1000);
	submit(w, 1, 2);
	assert_true(poll_one(w, &r));
	assert_false(r.answered);
	assert_int_equal(r.attempts, 0);
	assert_int_equal(r.retry_after_ms, 4000);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_BUSY);
	assert_false(fake_pending(&w->appliances[0], 0));
	advance(4001);
	submit(w, 1, 3);
	assert_true(fake_pending(&w->appliances[0], 1000));
}

static void test_unsure_asks_again_and_keeps_what_is_known(void **state)
{
	struct world *w = *state;
	struct fake_reply unsure = {
		.codes = {0, PL_V_UNSURE}
        };
	struct fake_reply worse = {
		.codes = {PL_V_UNSURE, PL_V_EXPIRED}
        };
	struct pl_client_result r;
	struct fake_request req;

	start(w);
	submit(w, 2, 1);
	fake_answer(&w->appliances[0], &req, &unsure);
	fake_send(&w->appliances[0], &req, &unsure); /* the network's copy is no second answer */
	no_result(w);
	assert_int_equal(stats_of(w).late, 1);
	advance(200);
	no_result(w);
	fake_answer(&w->appliances[0], &req, &worse);
	assert_int_equal(req.head.attempt, 1);
	assert_true(poll_one(w, &r));
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_PASS);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[1]), PL_V_EXPIRED);
}

static void test_unsure_to_the_end_is_unsure_and_not_silence(void **state)
{
	struct world *w = *state;
	struct fake_reply unsure = {.codes = {PL_V_UNSURE}};
	struct pl_client_result r;
	struct fake_request req;

	w->conf.attempts_max = 2;
	start(w);
	submit(w, 1, 1);
	fake_answer(&w->appliances[0], &req, &unsure);
	no_result(w);
	advance(200);
	no_result(w);
	r = run_to_result(w, 1000); /* the retry stays without an answer */
	assert_true(r.answered);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_UNSURE);
}

static void test_a_draining_appliance_is_left(void **state)
{
	struct world *w = *state;
	struct fake_reply draining = {.state = PL_STATE_DRAINING, .flags = PL_FLAG_DRAINING};
	struct pl_client_result r;
	struct fake_request req;

	w->conf.addr_cnt = 2;
	start(w);
	submit(w, 1, 1);
	fake_answer(&w->appliances[0], &req, &draining);
	assert_true(poll_one(w, &r)); /* its answer is an answer */
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_PASS);
	for (int i = 0; i < 3; i++) {
		submit(w, 1, 2);
		fake_answer(&w->appliances[1], &req, &(struct fake_reply){0});
		assert_true(poll_one(w, &r));
		assert_int_equal(r.addr_idx, 1);
	}
	assert_false(fake_pending(&w->appliances[0], 0));
}

static void test_loading_is_asked_elsewhere_soon(void **state)
{
	struct world *w = *state;
	struct fake_reply loading = {
		.state = PL_STATE_LOADING, .flags = PL_FLAG_LOADING, .codes = {PL_V_LOADING}};
	struct pl_client_result r;
	struct fake_request req;

	w->conf.addr_cnt = 2;
	start(w);
	submit(w, 1, 1);
	fake_answer(&w->appliances[0], &req, &loading);
	no_result(w);
	advance(51);
	no_result(w);
	fake_answer(&w->appliances[1], &req, &(struct fake_reply){0});
	assert_true(poll_one(w, &r));
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_PASS);
	assert_int_equal(r.addr_idx, 1);
}

static void test_the_next_address_is_tried_in_turn(void **state)
{
	struct world *w = *state;
	struct pl_client_result r;
	struct fake_request req;

	w->conf.addr_cnt = 2;
	start(w);
	submit(w, 1, 1);
	assert_true(fake_recv(&w->appliances[0], &req, 1000));
	advance(100);
	no_result(w);
	fake_answer(&w->appliances[1], &req, &(struct fake_reply){0});
	assert_true(poll_one(w, &r));
	assert_int_equal(r.addr_idx, 1);
	/* After three misses in a row the silent one is passed over. */
	for (int i = 0; i < 2; i++) {
		submit(w, 1, 1);
		assert_true(fake_recv(&w->appliances[0], &req, 1000));
		advance(100);
		no_result(w);
		fake_answer(&w->appliances[1], &req, &(struct fake_reply){0});
		assert_true(poll_one(w, &r));
	}
	submit(w, 1, 1);
	assert_false(fake_pending(&w->appliances[0], 0));
	fake_answer(&w->appliances[1], &req, &(struct fake_reply){0});
	assert_true(poll_one(w, &r));
}

static void test_nobody_there_is_noticed(void **state)
{
	struct world *w = *state;
	struct pl_client_result r;
	struct fake_request req;

	w->conf.addr_cnt = 2;
	start(w);
	close(w->appliances[0].fd);
	w->appliances[0].fd = -1;
	submit(w, 1, 1);
	no_result(w);
	assert_int_equal(stats_of(w).refused, 1);
	submit(w, 1, 2); /* goes to the other one without a wait */
	fake_answer(&w->appliances[1], &req, &(struct fake_reply){0});
	assert_true(poll_one(w, &r));
	assert_ptr_equal(r.cookie, (void *)2);
}

/* What the header promises, under total loss. */
static void budget_holds(struct world *w, uint32_t permille, uint32_t burst)
{
	const uint32_t request_cnt = 500;
	uint32_t datagrams = 0, ended = 0, submitted = 0;
	struct pl_client_result r[16];
	struct pl_client_stats s;
	uint32_t most = request_cnt + request_cnt * permille / 1000 + burst;

	w->conf.retry_permille = permille;
	w->conf.retry_burst = burst;
	w->conf.outstanding_max = 64;
	w->conf.attempts_max = 8;
	start(w);
	while (ended < request_cnt) {
		while (submitted < request_cnt &&
		       pl_client_submit(w->client, w->scans, 1, NULL) == 0)
			submitted++;
		advance(3);
		ended += pl_client_poll(w->client, r, 16, 0);
		datagrams += fake_drain(&w->appliances[0]);
	}
	s = stats_of(w);
	assert_int_equal(s.datagrams, datagrams);
	assert_int_equal(s.no_answer, request_cnt);
	assert_true(datagrams >= request_cnt);
	assert_true(datagrams <= most);
	if (burst > 0)
		assert_true(s.retries > 0 && s.retries_denied > 0);
	pl_client_destroy(w->client);
	w->client = NULL;
}

static void test_retries_stay_within_the_budget_under_total_loss(void **state)
{
	struct world *w = *state;

	budget_holds(w, 100, 10);
	budget_holds(w, 0, 10);
	budget_holds(w, 0, 0);
	budget_holds(w, 200, 1);
}

static void test_requests_earn_the_budget_back(void **state)
{
	struct world *w = *state;
	struct pl_client_result r;
	struct fake_request req;

	w->conf.retry_burst = 1;
	start(w);
	submit(w, 1, 0);
	(void)run_to_result(w, 1000);
	assert_int_equal(fake_drain(&w->appliances[0]), 2); /* one retry, and no second */
	for (int i = 0; i < 10; i++) {
		submit(w, 1, 0);
		fake_answer(&w->appliances[0], &req, &(struct fake_reply){0});
		assert_true(poll_one(w, &r));
	}
	submit(w, 1, 0);
	(void)run_to_result(w, 1000);
	assert_int_equal(fake_drain(&w->appliances[0]), 2);
}

static void test_limits_of_the_calls(void **state)
{
	struct world *w = *state;
	struct pl_wire_scan many[PL_WIRE_SCANS_MAX + 1] = {0};
	struct pl_client_result r;
	struct fake_request req;

	w->conf.outstanding_max = 2;
	start(w);
	assert_int_equal(pl_client_submit(w->client, many, PL_WIRE_SCANS_MAX + 1, NULL), -E2BIG);
	assert_int_equal(pl_client_submit(w->client, many, PL_WIRE_SCANS_MAX, NULL), 0);
	assert_int_equal(pl_client_submit(w->client, many, 1, NULL), 0);
	assert_int_equal(pl_client_submit(w->client, many, 1, NULL), -EAGAIN);
	assert_int_equal(pl_client_check(w->client, many, 1, &r), -EAGAIN);
	fake_answer(&w->appliances[0], &req, &(struct fake_reply){0});
	assert_int_equal(req.head.scan_cnt, PL_WIRE_SCANS_MAX);
	assert_true(poll_one(w, &r));
	assert_int_equal(r.scan_cnt, PL_WIRE_SCANS_MAX);
	assert_int_equal(pl_client_submit(w->client, many, 1, NULL), 0);
}

static void test_the_descriptor_tells_of_replies_and_of_time(void **state)
{
	struct world *w = *state;
	struct pollfd p = {.events = POLLIN};
	struct pl_client_result r;
	struct fake_request req;

	w->conf.clock = (struct pl_client_clock){0}; /* the machine's */
	w->conf.first_retry_ms = 20;
	start(w);
	p.fd = pl_client_fd(w->client);
	assert_int_equal(poll(&p, 1, 0), 0);
	submit(w, 1, 0);
	assert_true(fake_recv(&w->appliances[0], &req, 1000));
	assert_int_equal(poll(&p, 1, 5000), 1); /* time for the retry */
	no_result(w);
	assert_true(fake_recv(&w->appliances[0], &req, 1000));
	fake_send(&w->appliances[0], &req, &(struct fake_reply){0});
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(poll_one(w, &r));
}

static void *serve_three(void *arg)
{
	struct fake *f = arg;
	struct fake_request req;

	for (int i = 0; i < 3; i++) {
		fake_answer(f, &req, &(struct fake_reply){.codes = {PL_V_EXPIRED}});
	}
	return NULL;
}

static void test_the_waiting_call_and_the_others_do_not_mix_results(void **state)
{
	struct world *w = *state;
	struct pl_client_result r;
	pthread_t thread;

	w->conf.clock = (struct pl_client_clock){0};
	w->conf.deadline_ms = 20000;
	w->conf.first_retry_ms = 10000; /* one datagram each */
	w->conf.retry_ms_max = 10000;
	start(w);
	submit(w, 1, 5);
	submit(w, 1, 6);
	assert_int_equal(pthread_create(&thread, NULL, serve_three, &w->appliances[0]), 0);
	assert_int_equal(pl_client_check(w->client, w->scans, 1, &r), 0);
	assert_null(r.cookie);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_EXPIRED);
	for (uintptr_t i = 5; i <= 6; i++) {
		assert_int_equal(pl_client_poll(w->client, &r, 1, -1), 1);
		assert_ptr_equal(r.cookie, (void *)i);
	}
	assert_int_equal(pl_client_poll(w->client, &r, 1, -1), 0); /* nothing outstanding */
	pthread_join(thread, NULL);
}

static void test_settings_out_of_range_are_refused(void **state)
{
	struct world *w = *state;
	struct pl_client_conf good = w->conf;
	struct pl_client *c;
	char error[256];

#define BAD(field, value)                                                                     \
	do {                                                                                  \
		struct pl_client_conf conf = good;                                            \
		conf.field = (value);                                                         \
		error[0] = '\0';                                                              \
		assert_int_equal(pl_client_create(&conf, &c, error, sizeof(error)), -EINVAL); \
		assert_true(error[0] != '\0');                                                \
	} while (0)
	BAD(addr_cnt, 0);
	BAD(addr_cnt, PL_CLIENT_ADDRS_MAX + 1);
	BAD(outstanding_max, 0);
	BAD(outstanding_max, PL_CLIENT_OUTSTANDING_MAX + 1);
	BAD(deadline_ms, 0);
	BAD(deadline_ms, 600001);
	BAD(first_retry_ms, 0);
	BAD(first_retry_ms, 1001);
	BAD(retry_ms_max, 99);
	BAD(attempts_max, 0);
	BAD(attempts_max, PL_CLIENT_ATTEMPTS_MAX + 1);
	BAD(retry_permille, 1001);
	BAD(retry_burst, 1001);
	BAD(state_path, NULL);
#undef BAD
}

static void test_addresses_in_text(void **state)
{
	static const struct {
		const char *text, *meaning;
	} cases[] = {
		{"192.0.2.1",                      "192.0.2.1:4717"    },
		{"192.0.2.1:1",                    "192.0.2.1:1"       },
		{"192.0.2.1:65535",                "192.0.2.1:65535"   },
		{"[192.0.2.1]:99",                 "192.0.2.1:99"      },
		{"2001:db8::1",                    "[2001:db8::1]:4717"},
		{"::1",			    "[::1]:4717"        },
		{"[2001:db8::1]",                  "[2001:db8::1]:4717"},
		{"[2001:db8::1]:99",               "[2001:db8::1]:99"  },
		{"fe80::1%lo",                     "[fe80::1%1]:4717"  },
		{"",			       NULL                },
		{":99",			    NULL                },
		{"localhost",                      NULL                },
		{"192.0.2",                        NULL                },
		{"192.0.2.1:",                     NULL                },
		{"192.0.2.1:0",                    NULL                },
		{"192.0.2.1:65536",                NULL                },
		{"192.0.2.1:99999999999999999999", NULL                },
		{"192.0.2.1:+1",                   NULL                },
		{"192.0.2.1: 1",                   NULL                },
		{"[2001:db8::1",                   NULL                },
		{"[2001:db8::1]99",                NULL                },
		{"[]",			     NULL                },
		{"fe80::1%nosuchif0",              NULL                },
		{"1111111111111111111111111111111111111111111111111111111111111111111111111111111"
		 "111111111",     NULL                },
	};
	char text[PL_CLIENT_ADDR_TEXT_SIZE], error[256];
	struct pl_client_addr addr;

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		int rc = pl_client_addr_parse(cases[i].text, &addr, error, sizeof(error));

		if (cases[i].meaning == NULL) {
			assert_int_equal(rc, -EINVAL);
			assert_non_null(strstr(error, "address '"));
			continue;
		}
		assert_int_equal(rc, 0);
		pl_client_addr_text(&addr, text);
		assert_string_equal(text, cases[i].meaning);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_one_scan_gets_its_verdict_and_the_state),
		T(test_an_empty_request_asks_for_the_state),
		T(test_answers_out_of_order_find_their_requests),
		T(test_a_lost_datagram_is_sent_again_as_the_same_scans),
		T(test_the_answer_to_an_earlier_attempt_counts),
		T(test_waits_double),
		T(test_silence_ends_in_no_answer_at_the_deadline),
		T(test_a_reply_that_comes_twice_gives_one_result),
		T(test_replies_that_are_not_the_appliances_are_ignored),
		T(test_busy_waits_as_long_as_it_is_told),
		T(test_busy_beyond_the_deadline_ends_at_once),
		T(test_unsure_asks_again_and_keeps_what_is_known),
		T(test_unsure_to_the_end_is_unsure_and_not_silence),
		T(test_a_draining_appliance_is_left),
		T(test_loading_is_asked_elsewhere_soon),
		T(test_the_next_address_is_tried_in_turn),
		T(test_nobody_there_is_noticed),
		T(test_retries_stay_within_the_budget_under_total_loss),
		T(test_requests_earn_the_budget_back),
		T(test_limits_of_the_calls),
		T(test_the_descriptor_tells_of_replies_and_of_time),
		T(test_the_waiting_call_and_the_others_do_not_mix_results),
		T(test_settings_out_of_range_are_refused),
		cmocka_unit_test(test_addresses_in_text),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
