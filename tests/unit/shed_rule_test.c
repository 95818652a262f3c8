/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of the rule by themselves: what a long queue is, what a limit allows and how it moves. What they
 * come to together is in shed_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "verify/pl_shed.h"
#include "wire/pl_wire.h"

#define HZ 1000000000u

/* A window with a run of so many bursts of so many, after each of which the queue was empty, or not. @return
 * whether it makes it watch. */
static bool watches(uint32_t burst_cnt, uint32_t datagram_cnt, bool waited)
{
	struct pl_shed_load load = {.tick = HZ / 1000 * PL_SHED_WINDOW_MS, .wall_ms = 1};
	struct pl_shed *s = calloc(1, sizeof(*s));
	bool watching;

	assert_non_null(s);
	pl_shed_init(s, HZ);
	for (uint32_t i = 0; i < burst_cnt; i++)
		pl_shed_burst(s, datagram_cnt, waited);
	pl_shed_renew(s, &load, 0, true);
	watching = s->watching;
	free(s);
	return watching;
}

/* A long queue is what gives many whole bursts in a row; one datagram after the other is none, nor are
 * bursts with pauses between. */
static void test_what_a_long_queue_is(void **state)
{
	(void)state;
	assert_true(watches(PL_SHED_RUN_MIN / 64, 64, false));
	assert_false(watches(PL_SHED_RUN_MIN / 64 - 1, 64, false));
	assert_false(watches(1000, 64, true));
	assert_true(watches(PL_SHED_RUN_MIN, PL_SHED_FULL_BURST_MIN, false));
	assert_false(watches(PL_SHED_RUN_MIN, PL_SHED_FULL_BURST_MIN - 1, false));
	assert_false(watches(PL_SHED_RUN_MIN, 1, false));
}

/* One such run among much else is what a pause leaves behind. */
static void test_a_run_after_a_pause_is_no_long_queue(void **state)
{
	struct pl_shed_load load = {.tick = HZ / 1000 * PL_SHED_WINDOW_MS, .wall_ms = 1};
	struct pl_shed *s = calloc(1, sizeof(*s));

	(void)state;
	assert_non_null(s);
	pl_shed_init(s, HZ);
	for (uint32_t i = 0; i < PL_SHED_RUN_MIN / 64 + 2; i++)
		pl_shed_burst(s, 64, false);
	for (uint32_t i = 0; i < PL_SHED_RUN_MIN / 64 * 4; i++)
		pl_shed_burst(s, 64, true);
	assert_int_equal(s->run_cnt, PL_SHED_RUN_MIN + 2 * 64);
	pl_shed_renew(s, &load, 0, true);
	assert_false(s->watching);
	free(s);
}

/* Each gateway's its own. */
static const uint32_t *own_shares(void)
{
	static uint32_t shares[PL_GATEWAY_MAX];

	for (uint32_t i = 0; i < PL_GATEWAY_MAX; i++)
		shares[i] = i;
	return shares;
}

/* The two allowances of one that is limited, at one moment. */
static void test_what_is_spent_and_what_is_left(void **state)
{
	const uint64_t tick = 5 * (uint64_t)HZ, far = tick + HZ;
	struct pl_shed *s = calloc(1, sizeof(*s));
	uint32_t admitted = 0;

	(void)state;
	assert_non_null(s);
	pl_shed_init(s, HZ);
	s->watching = true;
	s->limited_cnt = 1;
	s->units_per_s = 1000000;
	s->unit_q16 = (uint64_t)HZ / 1000000 << 16;
	s->limits[3] = (struct pl_shed_limit){.work_due = far, .busy_due = far};
	assert_true(pl_shed_drops(s, 3, tick));
	assert_int_equal(pl_shed_ask(s, 3, 1, tick), PL_SHED_DROP);
	s->limits[3] = (struct pl_shed_limit){.work_due = far, .busy_due = tick};
	assert_false(pl_shed_drops(s, 3, tick));
	s->notes[3].refused = 0;
	assert_int_equal(pl_shed_ask(s, 3, 1, tick), PL_SHED_BUSY);
	assert_int_equal(s->notes[3].refused, 1);
	/* What may be answered is, however often BUSY was told. */
	s->limits[3] = (struct pl_shed_limit){.work_due = tick, .busy_due = far};
	assert_false(pl_shed_drops(s, 3, tick));
	assert_int_equal(pl_shed_ask(s, 3, 1, tick), PL_SHED_ADMIT);
	/* Nothing is saved up beyond what may come at once: a unit takes a microsecond here. */
	s->limits[3] = (struct pl_shed_limit){.work_due = 1, .busy_due = far};
	while (pl_shed_ask(s, 3, 1, tick) == PL_SHED_ADMIT)
		assert_true(++admitted <= PL_SHED_BURST_US);
	assert_int_equal(admitted, PL_SHED_BURST_US / (PL_SHED_DATAGRAM_UNITS + 1) + 1);
	/* And nobody else has a limit. */
	assert_false(pl_shed_drops(s, 4, tick));
	assert_int_equal(pl_shed_ask(s, 4, 43, tick), PL_SHED_ADMIT);
	free(s);
}

/* A window's end: whether the queue was long in it, and there was time to spare. */
static void window_pass(struct pl_shed *s, struct pl_shed_load *load, bool is_long, bool relieved)
{
	const uint64_t ticks = HZ / 1000 * PL_SHED_WINDOW_MS;

	s->notes[0].refused = 1;
	for (uint32_t i = 0; i < PL_SHED_RUN_MIN / 64 && is_long; i++)
		pl_shed_burst(s, 64, false);
	load->tick += ticks;
	load->busy_ticks += relieved ? ticks / 2 : ticks;
	load->idle_ticks += relieved ? ticks / 2 : 0;
	pl_shed_renew(s, load, 1, true);
}

/* How a limit moves: not up before the queue has been short for a while, and never up while it is long. */
static void test_how_a_limit_moves(void **state)
{
	static struct pl_gateway_counters gateways[1];
	struct pl_shed *s = calloc(1, sizeof(*s));
	struct pl_shed_load load = {
		.tick = HZ, .wall_ms = 1, .gateways = gateways, .shares = own_shares()};
	uint64_t limit;

	(void)state;
	assert_non_null(s);
	pl_shed_init(s, HZ);
	s->begin_tick = HZ;
	s->watching = true;
	s->limited_cnt = 1;
	s->peak_units_per_s = 10000000;
	s->units_per_s = 1000000;
	s->limits[0] = (struct pl_shed_limit){.work_due = HZ, .busy_due = HZ};
	window_pass(s, &load, true, false);
	limit = s->units_per_s;
	assert_int_equal(limit, 1000000 - 1000000 / 8);
	for (uint32_t i = 1; i < PL_SHED_QUIET_WINDOWS; i++) {
		window_pass(s, &load, false, true);
		assert_int_equal(s->units_per_s, limit);
	}
	window_pass(s, &load, false, false);
	assert_int_equal(s->units_per_s, limit);
	window_pass(s, &load, false, true);
	assert_int_equal(s->units_per_s, limit + limit / 16);
	/* Never beyond what the worker can do: it would take its time to bite. */
	s->units_per_s = s->peak_units_per_s;
	window_pass(s, &load, false, true);
	assert_true(s->units_per_s == s->peak_units_per_s);
	/* What it must not sink below is nothing that it rises to. */
	s->units_per_s = 1000;
	window_pass(s, &load, true, false);
	assert_int_equal(s->units_per_s, 1000);
	free(s);
}

/* The last gateway there may be; and one that is in no set any more is not looked at. */
static void test_all_gateways_there_may_be(void **state)
{
	struct pl_shed *s = calloc(1, sizeof(*s));
	static struct pl_gateway_counters gateways[PL_GATEWAY_MAX];
	struct pl_shed_load load = {
		.tick = 1, .wall_ms = 1, .gateways = gateways, .shares = own_shares()};

	(void)state;
	assert_non_null(s);
	pl_shed_init(s, HZ);
	for (uint32_t window = 0; window < 8; window++) {
		if (s->watching)
			for (uint32_t i = 0; i < PL_GATEWAY_MAX; i++)
				for (uint32_t k = 0; k < (i == PL_GATEWAY_MAX - 1 ? 9000
							  : i == 5                ? 100
										  : 1);
				     k++)
					(void)pl_shed_ask(s, i, PL_WIRE_SCANS_MAX, load.tick);
		load.tick += HZ / 1000 * PL_SHED_WINDOW_MS;
		load.busy_ticks += HZ / 1000 * PL_SHED_WINDOW_MS;
		load.rx_cnt += 9000 + PL_GATEWAY_MAX;
		for (uint32_t k = 0; k < PL_SHED_RUN_MIN / 64; k++)
			pl_shed_burst(s, 64, false);
		pl_shed_renew(s, &load, PL_GATEWAY_MAX, true);
	}
	assert_int_equal(s->limited_cnt, 1);
	assert_true(s->limits[PL_GATEWAY_MAX - 1].work_due != 0);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_long_queue_is),
		cmocka_unit_test(test_a_run_after_a_pause_is_no_long_queue),
		cmocka_unit_test(test_what_is_spent_and_what_is_left),
		cmocka_unit_test(test_how_a_limit_moves),
		cmocka_unit_test(test_all_gateways_there_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
