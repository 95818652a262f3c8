/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table's whole content replaced and forgotten while readers read: who stays is never absent, what
 * is found has its own facts, and no scan lands in a slot that has become another certificate's.
 */
#include <pthread.h>
#include <sched.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <cmocka.h>

#include "table/pl_table_pvt.h"

#define READER_CNT 2u
#define STAY_CNT   300u /* numbers 0 .. STAY_CNT - 1 are in every content */
#define COME_CNT   300u /* and of the others so many at a time */
#define SET_CNT    4u
#define NUMBER_CNT (STAY_CNT + SET_CNT * COME_CNT)

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ROUND_CNT 150u
#else
#define ROUND_CNT 1500u
#endif

static struct pl_table *table;
static _Atomic bool stop;
static _Atomic bool staying; /* the numbers that stay are there */
static _Atomic uint64_t missing_cnt, wrong_cnt, found_cnt;

static uint64_t id_of(uint32_t number)
{
	return pl_mix64(number + 1);
}

static uint32_t facts_of(uint32_t number)
{
	return 1 | number << 4;
}

/* Of each certificate one QR alone is shown, that of its number: a scan of another's tells itself. */
static void read_burst(struct pl_table_reader *r, uint32_t from)
{
	struct pl_table_hit hits[16];
	uint64_t ids[PL_ARRAY_CNT(hits)];
	/* relaxed: set before the readers begin. */
	bool all_stay = atomic_load_explicit(&staying, memory_order_relaxed);

	for (uint32_t i = 0; i < PL_ARRAY_CNT(ids); i++)
		ids[i] = id_of((from + i) % NUMBER_CNT);
	pl_table_find(r, ids, PL_ARRAY_CNT(ids), hits);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(ids); i++) {
		uint32_t number = (from + i) % NUMBER_CNT;

		/* relaxed, all: counts, read after joining. */
		if (hits[i].found != PL_TABLE_FOUND) {
			if (number < STAY_CNT && all_stay)
				atomic_fetch_add_explicit(&missing_cnt, 1, memory_order_relaxed);
			continue;
		}
		atomic_fetch_add_explicit(&found_cnt, 1, memory_order_relaxed);
		if (hits[i].facts != facts_of(number))
			atomic_fetch_add_explicit(&wrong_cnt, 1, memory_order_relaxed);
		(void)pl_table_seen(r, &hits[i], number + 1, number);
	}
	pl_table_quiesce(r);
}

static void *reader_main(void *arg)
{
	struct pl_table_reader *r;
	uint32_t from = *(const uint32_t *)arg;

	PL_CHECK(pl_table_reader_create(table, &r) == 0);
	/* relaxed: a flag to end; nothing is read under it. */
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		read_burst(r, from);
		from = (from + 16) % NUMBER_CNT;
	}
	pl_table_reader_destroy(r);
	return NULL;
}

static void put(uint32_t number)
{
	int rc;

	while ((rc = pl_table_put(table, id_of(number), facts_of(number))) == -EAGAIN)
		sched_yield(); /* its slot's last reader has not passed */
	assert_true(rc >= 0);
}

static void put_set(uint32_t set)
{
	for (uint32_t i = 0; i < STAY_CNT; i++)
		put(i);
	for (uint32_t i = 0; i < COME_CNT; i++)
		put(STAY_CNT + set * COME_CNT + i);
}

/* What is there is there with its own scan, or none. */
static void check_seen(uint32_t set)
{
	for (uint32_t number = 0; number < NUMBER_CNT; number++) {
		bool there = number < STAY_CNT || (number - STAY_CNT) / COME_CNT == set;
		uint32_t facts, shown;
		int rc = pl_table_get(table, id_of(number), &facts, &shown);

		assert_int_equal(rc, there ? 0 : -ENOENT);
		assert_true(rc != 0 || shown == 0 || shown == number + 1);
	}
}

static void run(bool all_stay, void (*round)(uint32_t set))
{
	struct pl_table_conf conf = {.capacity = STAY_CNT + 2 * COME_CNT, .numa_node = -1};
	uint32_t from[READER_CNT];
	pthread_t threads[READER_CNT];
	char error[256];

	assert_int_equal(pl_table_create(&conf, &table, error, sizeof(error)), 0);
	put_set(0);
	atomic_store(&stop, false);
	atomic_store(&staying, all_stay);
	atomic_store(&missing_cnt, 0);
	atomic_store(&wrong_cnt, 0);
	atomic_store(&found_cnt, 0);
	for (uint32_t i = 0; i < READER_CNT; i++) {
		from[i] = i * NUMBER_CNT / READER_CNT;
		assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &from[i]), 0);
	}
	for (uint32_t i = 1; i <= ROUND_CNT; i++) {
		round(i % SET_CNT);
		check_seen(i % SET_CNT);
	}
	atomic_store(&stop, true);
	for (uint32_t i = 0; i < READER_CNT; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&missing_cnt), 0);
	assert_int_equal(atomic_load(&wrong_cnt), 0);
	assert_true(atomic_load(&found_cnt) > 0);
	assert_int_equal(pl_table_check(table, error, sizeof(error)), 0);
	pl_table_close(table);
}

static void replace(uint32_t set)
{
	uint64_t removed_cnt;
	int rc;

	assert_int_equal(pl_table_sweep_begin(table), 0);
	put_set(set);
	do {
		rc = pl_table_sweep_step(table, 16, &removed_cnt);
	} while (rc == 1);
	assert_int_equal(rc, 0);
}

static void test_who_stays_is_never_absent_while_all_is_replaced(void **state)
{
	(void)state;
	run(true, replace);
}

static void forget(uint32_t set)
{
	int rc;

	while ((rc = pl_table_clear(table, NULL)) == -EAGAIN)
		sched_yield();
	assert_int_equal(rc, 0);
	put_set(set);
}

static void test_nothing_of_a_forgotten_table_is_left(void **state)
{
	(void)state;
	run(false, forget);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_stays_is_never_absent_while_all_is_replaced),
		cmocka_unit_test(test_nothing_of_a_forgotten_table_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
