/* SPDX-License-Identifier: BSD-3-Clause */
/* What the load keeps of each interval of the wall clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "load/intervals.h"

#define HZ       2500000000ull /* 2.5 cycles a nanosecond */
#define EVERY_MS 5000u
#define WALL_S   1000003ull /* two seconds before a multiple */
#define TSC0     7777ull
#define MS       2500000ull /* in cycles */

volatile sig_atomic_t load_stop;

static struct load_clock clock_s;
static struct load_stats stats;
static struct intervals iv;

static int setup(void **state)
{
	(void)state;
	clock_s = (struct load_clock){
		.hz = HZ, .tsc0 = TSC0, .wall_ns0 = WALL_S * 1000000000, .ns_per_tsc = 0.4};
	memset(&stats, 0, sizeof(stats));
	assert_int_equal(intervals_open(&iv, EVERY_MS, 60, &clock_s), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	intervals_close(&iv);
	return 0;
}

/* At so many ms after the beginning. */
static uint64_t at(uint64_t ms)
{
	return TSC0 + ms * MS;
}

static void answer(uint64_t due_ms, uint64_t now_ms)
{
	intervals_answer(&iv);
	intervals_latency(&iv, at(due_ms), at(now_ms));
}

static void turn(uint64_t now_ms)
{
	intervals_turn(&iv, &stats, at(now_ms));
}

static bool near(double us, double want)
{
	return us > want - 0.5 && us < want + 0.5;
}

static void test_they_begin_at_multiples_and_only_whole_ones_are_kept(void **state)
{
	(void)state;
	turn(60000); /* before it begins nothing is over */
	answer(0, 1);
	intervals_begin(&iv, at(0));
	for (uint64_t ms = 0; ms <= 13000; ms++) {
		turn(ms);
		answer(ms, ms);
	}
	intervals_end(&iv);
	/* 2 .. 7 s and 7 .. 12 s; not the two seconds before, nor the one after. */
	assert_int_equal(iv.cnt, 2);
	assert_int_equal(iv.list[0].from_ms, 1000005000);
	assert_int_equal(iv.list[1].from_ms, 1000010000);
	assert_int_equal(iv.list[0].answered, 5000);
	assert_int_equal(iv.list[1].answered, 5000);
}

static void test_a_clock_at_a_multiple_waits_for_the_next(void **state)
{
	(void)state;
	clock_s.wall_ns0 = 1000005ull * 1000000000;
	intervals_begin(&iv, at(0));
	for (uint64_t ms = 0; ms <= 10000; ms++)
		turn(ms);
	intervals_end(&iv);
	assert_int_equal(iv.cnt, 1);
	assert_int_equal(iv.list[0].from_ms, 1000010000);
}

static void test_a_latency_counts_where_its_datagram_was_due(void **state)
{
	(void)state;
	intervals_begin(&iv, at(0));
	turn(2001);
	answer(1999, 2001); /* due before the first one: its latency is nowhere */
	answer(2002, 2003);
	turn(7000);
	answer(6999, 7400); /* late, into the one before */
	answer(7001, 7003);
	turn(12000);
	answer(2500, 12001); /* its own is kept already: into the one before */
	intervals_end(&iv);
	assert_int_equal(iv.cnt, 2);
	assert_int_equal(iv.list[0].answered, 2); /* what came then, wherever it was due */
	assert_int_equal(iv.list[1].answered, 2);
	assert_true(near(iv.list[0].us[3], 401000));
	assert_true(iv.list[0].us[0] >= 1000 && iv.list[0].us[0] < 1010);
	assert_true(near(iv.list[1].us[3], 9501000));
}

static void test_quantiles_are_of_their_own_interval(void **state)
{
	(void)state;
	intervals_begin(&iv, at(0));
	for (uint32_t k = 0; k < 3; k++) {
		turn(2000 + 5000 * k);
		/* 2, 20 and 200 ms; the third one's are all less than the first one's. */
		for (uint32_t i = 0; i < 1000 && k < 2; i++) {
			uint64_t now_ms = 2001 + 5000 * k + i;

			answer(now_ms - (i < 980 ? 2 : i < 998 ? 20 : 200) * (i >= 200), now_ms);
		}
	}
	answer(12001, 12002);
	turn(17000);
	intervals_end(&iv);
	assert_int_equal(iv.cnt, 3);
	for (uint32_t k = 0; k < 2; k++) {
		assert_int_equal(iv.list[k].samples, 1000);
		assert_in_range((uint64_t)iv.list[k].us[0], 2000, 2020);
		assert_in_range((uint64_t)iv.list[k].us[1], 20000, 20200);
		assert_in_range((uint64_t)iv.list[k].us[2], 200000, 202000);
		assert_true(near(iv.list[k].us[3], 200000));
	}
	assert_int_equal(iv.list[2].samples, 1);
	assert_true(near(iv.list[2].us[3], 1000));
	assert_in_range((uint64_t)iv.list[2].us[0], 999, 1010);
}

static void test_each_has_its_own_stalls(void **state)
{
	(void)state;
	iv.stalls = 7; /* of the time before */
	intervals_begin(&iv, at(0));
	stats.stalls = 2;
	stats.stalled_us = 1000;
	turn(2000); /* those were before the first */
	stats.stalls = 3;
	stats.stalled_us = 1100;
	turn(6999);
	turn(7000);
	stats.stalls = 6;
	stats.stalled_us = 1350;
	turn(12000);
	turn(17000);
	intervals_end(&iv);
	assert_int_equal(iv.cnt, 3);
	assert_int_equal(iv.list[0].stalls, 1);
	assert_int_equal(iv.list[1].stalls, 3);
	assert_int_equal(iv.list[1].stalled_us, 250);
	assert_int_equal(iv.list[2].stalls, 0);
}

static void test_a_stop_over_whole_intervals_leaves_them_out(void **state)
{
	(void)state;
	intervals_begin(&iv, at(0));
	turn(3000);
	turn(24000); /* 12 and 17 never were; 22 s has begun */
	assert_true(iv.next_tsc == at(27000));
	answer(6000, 24001);
	answer(24000, 24002);
	turn(27000);
	intervals_end(&iv);
	assert_int_equal(iv.cnt, 2);
	assert_int_equal(iv.list[0].from_ms, 1000005000);
	assert_true(near(iv.list[0].us[3], 18001000));
	assert_int_equal(iv.list[1].from_ms, 1000025000);
	assert_true(near(iv.list[1].us[3], 2000));
}

static void test_the_first_is_left_out_if_it_was_stopped_through(void **state)
{
	(void)state;
	intervals_begin(&iv, at(0));
	turn(1900);
	turn(8000); /* the first began at 2 s and ended at 7 s */
	answer(8001, 8002);
	turn(12000);
	turn(17000);
	intervals_end(&iv);
	assert_int_equal(iv.cnt, 2);
	assert_int_equal(iv.list[0].from_ms, 1000010000);
	assert_int_equal(iv.list[0].answered, 1);
}

static void test_the_list_holds_all_of_the_longest_run(void **state)
{
	(void)state;
	intervals_begin(&iv, at(0));
	for (uint64_t ms = 2000; ms <= 600000; ms += 1000)
		turn(ms);
	intervals_end(&iv);
	assert_int_equal(iv.cnt, 13); /* room for 60 s; what is beyond is not written */
}

static void test_parts_of_a_second(void **state)
{
	struct intervals tenths;

	(void)state;
	clock_s.wall_ns0 = WALL_S * 1000000000 + 30000000;
	assert_int_equal(intervals_open(&tenths, 100, 0.45, &clock_s), 0);
	intervals_begin(&tenths, at(0));
	for (uint64_t ms = 0; ms <= 450; ms++) {
		intervals_turn(&tenths, &stats, at(ms));
		intervals_answer(&tenths);
		intervals_latency(&tenths, at(ms), at(ms));
	}
	intervals_end(&tenths);
	assert_int_equal(tenths.cnt, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(tenths.list[i].from_ms, WALL_S * 1000 + 100 * (i + 1));
		assert_int_equal(tenths.list[i].answered, 100);
	}
	intervals_close(&tenths);
}

static void test_none_are_kept_unless_asked_for(void **state)
{
	struct intervals none;

	(void)state;
	assert_int_equal(intervals_open(&none, 0, 60, &clock_s), 0);
	intervals_begin(&none, at(0));
	intervals_turn(&none, &stats, at(60000));
	intervals_answer(&none);
	intervals_latency(&none, at(0), at(60000));
	intervals_end(&none);
	assert_int_equal(none.cnt, 0);
	intervals_close(&none);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_they_begin_at_multiples_and_only_whole_ones_are_kept),
		T(test_a_clock_at_a_multiple_waits_for_the_next),
		T(test_a_latency_counts_where_its_datagram_was_due),
		T(test_quantiles_are_of_their_own_interval),
		T(test_each_has_its_own_stalls),
		T(test_a_stop_over_whole_intervals_leaves_them_out),
		T(test_the_first_is_left_out_if_it_was_stopped_through),
		T(test_the_list_holds_all_of_the_longest_run),
		T(test_parts_of_a_second),
		T(test_none_are_kept_unless_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
