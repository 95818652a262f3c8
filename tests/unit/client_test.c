/* SPDX-License-Identifier: BSD-3-Clause */
/* One request and its answer, the calls and their bounds, addresses in text. */
#include "client_fixture.h"

#include <errno.h>
#include <pthread.h>

static void test_one_scan_gets_its_verdict_and_the_state(void **state)
{
	struct world *w = *state;
	struct fake_reply how = {.state = PL_STATE_DEGRADED,
				 .flags = PL_FLAG_WAIVER | PL_FLAG_FEED_OLD,
				 .waiver_until = 1639400000,
				 .codes = {0, PL_V_REVOKED}};
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
		{.wrong_key = 1, .codes = {PL_V_REVOKED}},
		{.flipped = 1, .codes = {PL_V_REVOKED}},
		{.truncated = 1, .codes = {PL_V_REVOKED}},
		{.other_gateway = 1, .codes = {PL_V_REVOKED}},
		{.request_type = 1, .codes = {PL_V_REVOKED}},
		{.verdict_cnt_less = 1, .codes = {PL_V_REVOKED}},
		{.error = PL_V_REVOKED}, /* a fault is never a DENY */
		{.error = PL_V_PASS},
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
		{"192.0.2.1", "192.0.2.1:4717"},
		{"192.0.2.1:1", "192.0.2.1:1"},
		{"192.0.2.1:65535", "192.0.2.1:65535"},
		{"[192.0.2.1]:99", "192.0.2.1:99"},
		{"2001:db8::1", "[2001:db8::1]:4717"},
		{"::1", "[::1]:4717"},
		{"[2001:db8::1]", "[2001:db8::1]:4717"},
		{"[2001:db8::1]:99", "[2001:db8::1]:99"},
		{"fe80::1%lo", "[fe80::1%1]:4717"},
		{"", NULL},
		{":99", NULL},
		{"localhost", NULL},
		{"192.0.2", NULL},
		{"192.0.2.1:", NULL},
		{"192.0.2.1:0", NULL},
		{"192.0.2.1:65536", NULL},
		{"192.0.2.1:99999999999999999999", NULL},
		{"192.0.2.1:+1", NULL},
		{"192.0.2.1: 1", NULL},
		{"[2001:db8::1", NULL},
		{"[2001:db8::1]99", NULL},
		{"[]", NULL},
		{"fe80::1%nosuchif0", NULL},
		{"1111111111111111111111111111111111111111111111111111111111111111111111111111111"
		 "111111111",
		 NULL},
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_one_scan_gets_its_verdict_and_the_state),
		T(test_an_empty_request_asks_for_the_state),
		T(test_answers_out_of_order_find_their_requests),
		T(test_a_reply_that_comes_twice_gives_one_result),
		T(test_replies_that_are_not_the_appliances_are_ignored),
		T(test_limits_of_the_calls),
		T(test_the_descriptor_tells_of_replies_and_of_time),
		T(test_the_waiting_call_and_the_others_do_not_mix_results),
		T(test_settings_out_of_range_are_refused),
		cmocka_unit_test(test_addresses_in_text),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
