/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker puts samples into its ring, round after round, while readers copy it: each sample is whole,
 * they are in order and without a hole, and none is of another round than its neighbours. */
#include "stats/pl_samples.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <cmocka.h>

#define READER_CNT 2u
#define PUT_CNT    (40u * PL_SAMPLES_CNT)

static struct pl_samples *samples;
static atomic_bool done;
static atomic_uint failures;
static atomic_uint longest;

/* The n-th, whose every field tells n. */
static struct pl_sample nth(uint32_t n)
{
	return (struct pl_sample){.facts = n * 2654435761u,
				  .at_s = n,
				  .scan_cnt = ~n,
				  .venue_class = (uint8_t)n,
				  .verdict = (uint8_t)(n >> 3)};
}

static bool whole(const struct pl_sample *s)
{
	struct pl_sample want = nth(s->at_s);

	return s->facts == want.facts && s->scan_cnt == want.scan_cnt &&
	       s->venue_class == want.venue_class && s->verdict == want.verdict;
}

static void *reader(void *arg)
{
	struct pl_sample *got = calloc(PL_SAMPLES_CNT, sizeof(*got));

	(void)arg;
	/* relaxed, all: counts and flags that are read again after the threads are joined. */
	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		size_t cnt = pl_samples_read(samples, 0, got, PL_SAMPLES_CNT);
		unsigned int most = atomic_load_explicit(&longest, memory_order_relaxed);

		for (size_t i = 0; i < cnt; i++)
			if (!whole(&got[i]) || (i > 0 && got[i].at_s != got[i - 1].at_s - 1))
				atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
		if (cnt > most)
			atomic_store_explicit(&longest, (unsigned int)cnt, memory_order_relaxed);
	}
	free(got);
	return NULL;
}

static void test_each_sample_is_whole_and_in_order(void **state)
{
	static struct pl_sample got[PL_SAMPLES_CNT];
	pthread_t threads[READER_CNT];
	size_t cnt;

	(void)state;
	samples = pl_samples_create();
	assert_non_null(samples);
	for (uint32_t i = 0; i < READER_CNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, NULL), 0);
	for (uint32_t n = 1; n <= PUT_CNT; n++) {
		struct pl_sample s = nth(n);

		pl_samples_put(samples, &s);
	}
	atomic_store_explicit(&done, true, memory_order_relaxed); /* see above */
	for (uint32_t i = 0; i < READER_CNT; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load_explicit(&failures, memory_order_relaxed), 0);
	/* At rest all are there but the one whose place is next. */
	cnt = pl_samples_read(samples, 0, got, PL_SAMPLES_CNT);
	assert_int_equal(cnt, PL_SAMPLES_CNT - 1);
	assert_int_equal(got[0].at_s, PUT_CNT);
	/* No older than asked for, no more than asked for. */
	assert_int_equal(pl_samples_read(samples, PUT_CNT - 9, got, PL_SAMPLES_CNT), 10);
	assert_int_equal(pl_samples_read(samples, 0, got, 7), 7);
	pl_samples_destroy(samples);
}

static void test_an_empty_one_has_none(void **state)
{
	struct pl_samples *empty = pl_samples_create();
	struct pl_sample one = nth(1), got[4];

	(void)state;
	assert_int_equal(pl_samples_read(empty, 0, got, 4), 0);
	pl_samples_put(empty, &one);
	assert_int_equal(pl_samples_read(empty, 0, got, 4), 1);
	assert_true(whole(&got[0]));
	assert_int_equal(pl_samples_read(empty, 2, got, 4), 0);
	pl_samples_destroy(empty);
	pl_samples_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_one_has_none),
		cmocka_unit_test(test_each_sample_is_whole_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
