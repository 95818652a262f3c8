/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker counts and publishes; readers look all the while. No word is ever torn or goes back. */
#include "stats/pl_stats.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define READER_CNT   3u
#define PUBLICATIONS 300000u

/* The last count of each word. Its halves are equal, so that a torn word would show. */
#define COUNT(n) ((uint64_t)(n) << 32 | (n))

static struct pl_counters_pub pub;
static atomic_bool done;
static atomic_uint failures;

static bool counts_ok(const struct pl_counters *c, uint64_t *floors)
{
	uint64_t words[sizeof(*c) / sizeof(uint64_t)];

	memcpy(words, c, sizeof(words));
	for (size_t i = 0; i < PL_ARRAY_CNT(words); i++) {
		if (words[i] < floors[i] || words[i] >> 32 != (words[i] & UINT32_MAX))
			return false;
		floors[i] = words[i];
	}
	return true;
}

static void *reader(void *arg)
{
	static _Thread_local uint64_t floors[sizeof(struct pl_counters) / sizeof(uint64_t)];
	bool last = false;

	(void)arg;
	while (!last) {
		struct pl_counters c;

		/* STRESS-DONE acquire: the last publication is visible after it. Pairs with the release
		 * in the test. */
		last = atomic_load_explicit(&done, memory_order_acquire);
		pl_stats_read(&pub, &c);
		if (!counts_ok(&c, floors) || (last && c.rx_pkts != COUNT(PUBLICATIONS))) {
			/* relaxed: read after the threads are joined. */
			atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
			break;
		}
	}
	return NULL;
}

static void test_words_are_whole_and_only_grow(void **state)
{
	pthread_t readers[READER_CNT];
	struct pl_counters own;
	uint64_t words[sizeof(own) / sizeof(uint64_t)];

	(void)state;
	for (uint32_t i = 0; i < READER_CNT; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader, NULL), 0);
	for (uint32_t n = 1; n <= PUBLICATIONS; n++) {
		for (size_t i = 0; i < PL_ARRAY_CNT(words); i++)
			words[i] = COUNT(n);
		memcpy(&own, words, sizeof(own));
		pl_stats_publish(&pub, &own);
	}
	/* STRESS-DONE release: pairs with the acquire in reader(). */
	atomic_store_explicit(&done, true, memory_order_release);
	for (uint32_t i = 0; i < READER_CNT; i++)
		assert_int_equal(pthread_join(readers[i], NULL), 0);
	assert_int_equal(atomic_load_explicit(&failures, memory_order_relaxed), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_are_whole_and_only_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
