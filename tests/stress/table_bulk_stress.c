/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads build small tables to the last slot: nearly every insert goes beyond its home, into buckets
 * that others are filling. None may be lost, none may hide another.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <cmocka.h>

#include "table/pl_table_pvt.h"

#define THREAD_CNT 4u
#define CERT_CNT   1200u
#define BUCKET_CNT 402u /* 99.5 % of the slots */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ROUND_CNT 60u
#else
#define ROUND_CNT 600u
#endif

struct part {
	struct pl_table_bulk *b;
	pthread_barrier_t *start;
	uint64_t seed;
	uint32_t idx;
	int rc;
};

static uint64_t id_of(uint64_t seed, uint32_t i)
{
	return pl_mix64(seed + i);
}

static void *build(void *arg)
{
	struct part *p = arg;

	pthread_barrier_wait(p->start);
	for (uint32_t i = p->idx; i < CERT_CNT && p->rc == 0; i += THREAD_CNT) {
		const struct pl_table_entry e = {.id = id_of(p->seed, i), .facts = 1 | i << 4};
		size_t done;

		p->rc = pl_table_bulk_put(p->b, &e, 1, &done);
	}
	return NULL;
}

static void build_round(struct pl_table *t, uint64_t seed)
{
	struct part parts[THREAD_CNT];
	pthread_t threads[THREAD_CNT];
	struct pl_table_bulk *b;
	pthread_barrier_t start;

	assert_int_equal(pl_table_bulk_begin(t, &b), 0);
	assert_int_equal(pthread_barrier_init(&start, NULL, THREAD_CNT), 0);
	for (uint32_t i = 0; i < THREAD_CNT; i++) {
		parts[i] = (struct part){.b = b, .start = &start, .seed = seed, .idx = i};
		assert_int_equal(pthread_create(&threads[i], NULL, build, &parts[i]), 0);
	}
	for (uint32_t i = 0; i < THREAD_CNT; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(parts[i].rc, 0);
	}
	pthread_barrier_destroy(&start);
	pl_table_bulk_end(b);
}

static void test_threads_build_to_the_last_slot(void **state)
{
	const struct pl_table_conf conf = {.capacity = CERT_CNT, .numa_node = -1};
	const struct pl_table_tuning tuning = {.bucket_cnt = BUCKET_CNT};

	(void)state;
	for (uint64_t round = 0; round < ROUND_CNT; round++) {
		uint64_t seed = (round + 1) << 32;
		struct pl_table *t;
		char error[256];
		uint32_t facts;

		assert_int_equal(pl_table_create_tuned(&conf, &tuning, &t, error, sizeof(error)),
				 0);
		build_round(t, seed);
		if (pl_table_check(t, error, sizeof(error)) != 0)
			fail_msg("round %u: %s", (unsigned int)round, error);
		for (uint32_t i = 0; i < CERT_CNT; i++) {
			assert_int_equal(pl_table_get(t, id_of(seed, i), &facts, NULL), 0);
			assert_int_equal(facts, 1 | i << 4);
		}
		pl_table_close(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_build_to_the_last_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
