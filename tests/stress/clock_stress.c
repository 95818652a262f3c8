/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One sampler, several readers at once. The fake machine's wall clock is a fixed function of its
 * TSC, so a view put together from two publications would not fit it.
 */
#include "clock/pl_clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#define READERS_CNT 3
#define SAMPLES_CNT 200000u
#define SAMPLE_NS   10000000ull
#define START_NS    1639364700000000000ull

struct machine {
	uint64_t mono_ns;
	uint32_t reads_cnt;
};

struct shared {
	struct pl_clock *clk;
	_Atomic bool done;
	_Atomic uint64_t torn_cnt;
	_Atomic uint64_t back_cnt;
	_Atomic uint64_t seen_cnt;
};

static uint64_t mono(void *ctx)
{
	struct machine *m = ctx;

	/* Five pairs of reads make a sample. */
	m->mono_ns += m->reads_cnt++ % 10 == 0 ? SAMPLE_NS : 50;
	return m->mono_ns;
}

static uint64_t wall(void *ctx)
{
	return START_NS + ((const struct machine *)ctx)->mono_ns;
}

static uint64_t tsc(void *ctx)
{
	return ((const struct machine *)ctx)->mono_ns * 2;
}

static bool synchronised(void *ctx)
{
	(void)ctx;
	return true;
}

static void *read_views(void *arg)
{
	struct shared *s = arg;
	struct pl_clock_view last = {0};
	uint64_t seen_cnt = 0;

	/* relaxed: nothing is ordered by it; joining the thread orders the counts. */
	while (!atomic_load_explicit(&s->done, memory_order_relaxed)) {
		struct pl_clock_view v = last;
		int64_t error_ns;

		pl_clock_view_get(s->clk, &v);
		if (v.tsc0 == 0)
			continue; /* has not had one yet: the writer was at it every time */
		error_ns = (int64_t)(v.wall_ns0 - START_NS - v.tsc0 / 2);
		/* Samples lie 10 ms apart; a view fits itself to within microseconds. */
		if (error_ns < -100000 || error_ns > 100000 || !v.trusted)
			atomic_fetch_add_explicit(&s->torn_cnt, 1, memory_order_relaxed);
		if (v.tsc0 < last.tsc0 || pl_clock_wall_ns(&v, v.tsc0) < last.wall_ns0)
			atomic_fetch_add_explicit(&s->back_cnt, 1, memory_order_relaxed);
		seen_cnt += v.tsc0 != last.tsc0;
		last = v;
	}
	atomic_fetch_add_explicit(&s->seen_cnt, seen_cnt, memory_order_relaxed);
	return NULL;
}

static void test_views_are_whole_and_never_go_back(void **state)
{
	struct machine m = {.mono_ns = 1};
	struct pl_clock_conf conf = {
		.step_ms_max = 500,
		.settle_s = 1,
		.source = {wall, mono, tsc, synchronised, &m},
	};
	struct shared s = {0};
	pthread_t readers[READERS_CNT];

	(void)state;
	assert_int_equal(pl_clock_create(&conf, &s.clk), 0);
	for (int i = 0; i < READERS_CNT; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_views, &s), 0);
	for (uint32_t i = 0; i < SAMPLES_CNT; i++)
		assert_int_equal(pl_clock_sample(s.clk), PL_CLOCK_TRUSTED);
	atomic_store_explicit(&s.done, true, memory_order_relaxed);
	for (int i = 0; i < READERS_CNT; i++)
		assert_int_equal(pthread_join(readers[i], NULL), 0);
	assert_int_equal(s.torn_cnt, 0);
	assert_int_equal(s.back_cnt, 0);
	assert_true(s.seen_cnt > 0);
	pl_clock_destroy(s.clk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_views_are_whole_and_never_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
