/* SPDX-License-Identifier: BSD-3-Clause */
/* How datagrams go out and come back, or do not: loops, loss, echoes, intervals. */
#include "load_run_fixture.h"

static void test_lost_datagrams_are_lost_and_the_rest_goes_on(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	set_mix(w, "valid=90,replayed=10");
	w->fake->drop_each = 2;
	w->args.outstanding = 5; /* used up at once, and won back after each 100 ms */
	w->fake->stop_after = 30;
	w->args.warmup_s = 0;
	w->args.seconds = 30; /* unless that many are lost before */
	st = run(w);
	load_stop = 0;
	assert_int_equal(st->wrong, 0);
	assert_int_equal(w->result.lost, w->fake->dropped);
	assert_true(w->fake->dropped >= 30);
	assert_true(st->answered > 0);
	assert_int_equal(st->sent, st->answered + w->result.lost);
}

static void test_datagrams_that_come_twice_change_nothing(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	set_mix(w, "valid=90,replayed=10");
	w->fake->repeat_each = 3;
	st = run(w);
	assert_int_equal(st->wrong, 0);
	assert_int_equal(st->unknown, 0);
	assert_true(st->extra > 0);
	assert_int_equal(w->result.lost, 0);
}

static void test_intervals_are_told_beside_the_whole(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;
	const struct intervals *iv = &w->result.intervals;
	uint64_t sum = 0;

	w->args.interval_ms = 1000;
	w->args.seconds = 2.2;
	st = run(w);
	assert_in_range(iv->cnt, 1, 2);
	for (uint32_t i = 0; i < iv->cnt; i++) {
		assert_true(iv->list[i].from_ms == iv->list[0].from_ms + 1000 * i);
		assert_true(iv->list[i].answered > 0);
		assert_true(iv->list[i].us[0] > 0);
		sum += iv->list[i].answered;
	}
	assert_true(sum < st->answered); /* there is a part of one at either end */
	run_result_free(&w->result);
}

static void test_an_echo_is_known_by_its_counter(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->args.echo = w->fake->echo = true;
	w->args.interval_ms = 1000;
	w->args.seconds = 2.2;
	w->fake->repeat_each = 7;
	st = run(w);
	assert_in_range(w->result.intervals.cnt, 1, 2);
	assert_true(w->result.intervals.list[0].answered > 0);
	/* But for what was on its way where it begins and where it ends. */
	assert_in_range(w->result.intervals.list[0].samples + 2 * w->args.outstanding,
			w->result.intervals.list[0].answered,
			w->result.intervals.list[0].answered + 4 * w->args.outstanding);
	run_result_free(&w->result);
	assert_true(st->answered > 0);
	assert_int_equal(w->result.lost, 0);
	assert_int_equal(st->latency.cnt, st->answered);
	assert_true(st->extra > 0);
	assert_int_equal(st->checked, 0);
	assert_int_equal(st->foreign, 0);
}

static void test_an_appliance_is_no_echo(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->args.echo = true;
	st = run(w);
	assert_int_equal(st->answered, 0);
	assert_true(st->foreign > 0);
}

static void test_an_open_loop_sends_what_is_due(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->args.rate = 1000;
	st = run(w);
	/* No more than was due, in what time it took; how much less is the machine's affair. */
	assert_true((double)st->sent <= w->result.seconds * 1000 + 1);
	assert_int_equal(st->sent, st->answered);
	assert_true(st->sent + w->result.unsent + 1 >= (uint64_t)(w->result.seconds * 1000));
}

/* Each slot is sent as soon as it was answered, and sealed anew in between. */
static void test_a_window_as_large_as_the_pool(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	set_mix(w, "valid=90,replayed=10");
	w->args.pool_cnt = 64;
	w->args.outstanding = 64;
	w->args.refresh_ms = 3000;
	st = run(w);
	assert_int_equal(st->wrong, 0);
	assert_true(st->verdicts[PL_V_REPLAYED][PL_V_REPLAYED] > 0);
	assert_true(st->rebuilt < st->sent / 2);
	assert_true(pool_fit(&w->args));
	assert_int_equal(w->args.outstanding, 32);
	assert_false(pool_fit(&w->args));
}

/* As after a pause of the whole machine: what has grown old meanwhile is not sent as it is. */
static void test_nothing_old_is_sent(void **state)
{
	const struct timespec pause = {.tv_sec = 3, .tv_nsec = 200000000};
	struct world *w = *state;

	w->fake->view.request_age_ms_max = 3000;
	w->args.warmup_s = 0;
	w->args.seconds = 0.05;
	assert_int_equal(open_load(w), 0);
	nanosleep(&pause, NULL);
	assert_int_equal(run_load(&w->pool, &w->args, &w->result, w->error, ERROR_MAX), 0);
	close_load(w);
	assert_true(w->result.stats.answered > 0);
	assert_int_equal(w->result.stats.unknown, 0);
}

static void test_a_share_of_the_replies_is_opened(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->args.check_share = 0.25;
	w->args.interval_ms = 1000;
	w->args.seconds = 2.2;
	st = run(w);
	assert_int_equal(st->wrong, 0);
	/* All are counted, and a quarter are timed. */
	assert_in_range(w->result.intervals.cnt, 1, 2);
	assert_true(w->result.intervals.list[0].samples > 0);
	assert_true(w->result.intervals.list[0].samples < w->result.intervals.list[0].answered / 2);
	run_result_free(&w->result);
	assert_true(st->answered > 100);
	assert_true(st->checked / 5 < st->answered / 2);
	assert_true(st->checked > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_lost_datagrams_are_lost_and_the_rest_goes_on),
		T(test_datagrams_that_come_twice_change_nothing),
		T(test_intervals_are_told_beside_the_whole),
		T(test_an_echo_is_known_by_its_counter),
		T(test_an_appliance_is_no_echo),
		T(test_an_open_loop_sends_what_is_due),
		T(test_a_window_as_large_as_the_pool),
		T(test_nothing_old_is_sent),
		T(test_a_share_of_the_replies_is_opened),
	};

	return cmocka_run_group_tests_name("load_pace", tests, NULL, NULL);
}
