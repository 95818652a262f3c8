/* SPDX-License-Identifier: BSD-3-Clause */
/* What the client does when no answer comes, or one that is not the last word. */
#include "client_fixture.h"

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

static void nothing_for_299_ms(struct world *w)
{
	for (int ms = 0; ms < 299; ms++) {
		advance(1);
		no_result(w);
	}
	assert_false(fake_pending(&w->appliances[0], 0));
}

/* The next request comes within 200 ms, and is answered PASS. */
static void passes_soon(struct world *w)
{
	struct pl_client_result r;
	struct fake_request req;

	for (int ms = 0; ms < 200 && !fake_pending(&w->appliances[0], 0); ms++) {
		advance(1);
		no_result(w);
	}
	fake_answer(&w->appliances[0], &req, &(struct fake_reply){0});
	r = run_to_result(w, 0);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_PASS);
}

/* This request is over the gateway's share; another may be within it. */
static void test_busy_makes_its_own_request_wait(void **state)
{
	struct world *w = *state;
	struct fake_reply busy = {.error = PL_V_BUSY, .flags = PL_FLAG_BUSY, .retry_after_ms = 300};
	struct pl_client_result r;
	struct fake_request req;

	start(w);
	submit(w, 1, 1);
	fake_answer(&w->appliances[0], &req, &busy);
	no_result(w);
	submit(w, 1, 2);
	fake_answer(&w->appliances[0], &req, &(struct fake_reply){0});
	r = run_to_result(w, 0);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_PASS);
	nothing_for_299_ms(w);
	passes_soon(w);
	assert_int_equal(stats_of(w).no_answer, 0);
	assert_int_equal(stats_of(w).waits, 1);
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
	submit(w, 1, 2);
	assert_true(fake_pending(&w->appliances[0], 1000));
}

static void test_loading_keeps_all_waiting_as_long_as_it_is_told(void **state)
{
	struct world *w = *state;
	struct fake_reply loading = {
		.codes = {PL_V_LOADING}, .flags = PL_FLAG_LOADING, .retry_after_ms = 300};
	struct fake_request req;

	start(w);
	submit(w, 1, 1);
	fake_answer(&w->appliances[0], &req, &loading);
	no_result(w);
	submit(w, 1, 2); /* a new request has to wait as well */
	nothing_for_299_ms(w);
	for (int i = 0; i < 2; i++)
		passes_soon(w);
	assert_int_equal(stats_of(w).no_answer, 0);
	assert_int_equal(stats_of(w).waits, 2);
}

static void test_loading_beyond_the_deadline_ends_at_once(void **state)
{
	struct world *w = *state;
	struct fake_reply loading = {
		.codes = {PL_V_LOADING}, .flags = PL_FLAG_LOADING, .retry_after_ms = 5000};
	struct pl_client_result r;
	struct fake_request req;

	start(w);
	submit(w, 1, 1);
	fake_answer(&w->appliances[0], &req, &loading);
	assert_true(poll_one(w, &r));
	assert_true(r.answered);
	assert_int_equal(r.retry_after_ms, 5000);
	assert_int_equal(PL_WIRE_VERDICT_CODE(r.verdicts[0]), PL_V_LOADING);
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
	struct fake_reply unsure = {.codes = {0, PL_V_UNSURE}};
	struct fake_reply worse = {.codes = {PL_V_UNSURE, PL_V_EXPIRED}};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_lost_datagram_is_sent_again_as_the_same_scans),
		T(test_the_answer_to_an_earlier_attempt_counts),
		T(test_waits_double),
		T(test_silence_ends_in_no_answer_at_the_deadline),
		T(test_busy_makes_its_own_request_wait),
		T(test_busy_beyond_the_deadline_ends_at_once),
		T(test_loading_keeps_all_waiting_as_long_as_it_is_told),
		T(test_loading_beyond_the_deadline_ends_at_once),
		T(test_unsure_asks_again_and_keeps_what_is_known),
		T(test_unsure_to_the_end_is_unsure_and_not_silence),
		T(test_a_draining_appliance_is_left),
		T(test_loading_is_asked_elsewhere_soon),
		T(test_the_next_address_is_tried_in_turn),
		T(test_nobody_there_is_noticed),
		T(test_retries_stay_within_the_budget_under_total_loss),
		T(test_requests_earn_the_budget_back),
	};

	return cmocka_run_group_tests_name("client_retry", tests, NULL, NULL);
}
