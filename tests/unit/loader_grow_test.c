/* SPDX-License-Identifier: BSD-3-Clause */
/* A table that grows while segments are applied: whatever comes in whatever order, in the end it holds what
 * the feed says. */
#include "loader_model.h"

#include <sys/stat.h>

#include "../../app/passline/loader_missing.c"

#define SOME_IDS 2400u /* so few that all the missing ones are kept */

/* A table that is to be larger still, which it cannot be, has room all the same. */
static void test_a_refusal_keeps_nothing_out(void **state)
{
	struct pl_table_reader *reader;

	(void)state;
	put(1, CAPACITY, 0);
	put(1001, 300, 0);
	assert_int_equal(pl_table_reader_create(fx.l.table, &reader), 0);
	pl_loader_grow_to(&fx.l, 2000);
	for (uint32_t turns = 0; !fx.l.put_back_due; turns++) {
		assert_true(turns < 100000);
		pl_table_quiesce(reader);
		(void)pl_loader_grow(&fx.l);
	}
	pl_loader_grow_to(&fx.l, UINT64_MAX);
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(atomic_load(&fx.l.status.grow_refused), EINVAL);
	assert_false(fx.l.table_full);
	assert_as_the_feed_says();
	/* Taken back it is no worry any more. */
	pl_loader_grow_to(&fx.l, 2000);
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(atomic_load(&fx.l.status.grow_refused), 0);
	pl_table_reader_destroy(reader);
}

/* Whatever comes between the steps. */
static void test_any_order_ends_the_same(void **state)
{
	uint64_t rng = 1;

	(void)state;
	for (uint32_t round = 0; round < 40; round++) {
		uint64_t capacity = CAPACITY;

		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
		for (uint32_t op = 0; op < 12000; op++) {
			uint64_t r = pl_mix64(++rng);
			/* The later, the more there are. */
			uint64_t id = 1 + (r >> 32) % (200 + op * (SOME_IDS - 200) / 12000);

			if (r % 3 == 0)
				drop(id);
			else
				put(id, 1, (uint32_t)(r >> 8) % 1000);
			if (r % 1500 == 0 && capacity < SOME_IDS) {
				capacity += 1 + (r >> 20) % 500;
				pl_loader_grow_to(&fx.l, capacity);
			}
			fx.clock_s += r % 5 == 0;
			if (op % 16 == 0)
				(void)pl_loader_grow(&fx.l);
		}
		assert_false(fx.l.missing.lost || fx.l.loading);
		assert_as_the_feed_says();
		grow_to(capacity < SOME_IDS ? SOME_IDS : capacity);
		assert_false(fx.l.table_full);
		assert_as_the_feed_says();
		assert_int_equal(position(), fx.l.pos.sequence);
	}
}

/* A worker between two quiescent points keeps the old table; nobody waits for it but the end. */
static void test_a_worker_keeps_what_it_reads(void **state)
{
	struct pl_table_reader *reader;
	struct pl_table_hit hit;
	uint64_t id = 77;

	(void)state;
	put(1, 500, 0);
	assert_int_equal(pl_table_reader_create(fx.l.table, &reader), 0);
	pl_loader_grow_to(&fx.l, 2000);
	for (uint32_t turns = 0; turns < 1000; turns++) {
		assert_int_equal(pl_loader_grow(&fx.l), TURN_GAP_MS);
		pl_table_find(reader, &id, 1, &hit);
		assert_int_equal(hit.facts, FACTS(77));
	}
	put(600, 10, 0);
	for (uint32_t turns = 0; fx.l.growing; turns++) {
		assert_true(turns < 1000);
		pl_table_quiesce(reader);
		(void)pl_loader_grow(&fx.l);
		pl_table_find(reader, &id, 1, &hit);
		assert_int_equal(hit.facts, FACTS(77));
	}
	assert_as_the_feed_says();
	pl_table_reader_destroy(reader);
}

/* Not while everything loads, or before a table that was found was looked over; not smaller. */
static void test_when_it_does_not_begin(void **state)
{
	(void)state;
	pl_loader_grow_to(&fx.l, 2000);
	fx.l.loading = true;
	assert_int_equal(pl_loader_grow(&fx.l), PL_LOADER_POLL_MS);
	fx.l.loading = false;
	fx.l.audited = false;
	assert_int_equal(pl_loader_grow(&fx.l), PL_LOADER_POLL_MS);
	fx.l.audited = true;
	pl_loader_grow_to(&fx.l, CAPACITY);
	assert_int_equal(pl_loader_grow(&fx.l), PL_LOADER_POLL_MS);
	assert_false(fx.l.growing);
	assert_int_equal(fx.said_cnt, 0);
	pl_loader_grow_to(&fx.l, CAPACITY + 1);
	assert_int_equal(pl_loader_grow(&fx.l), TURN_GAP_MS);
	assert_true(fx.l.growing);
	pl_loader_grow_through(&fx.l);
	assert_false(fx.l.growing);
}

/* Without the memory for it everything stays, it is told once, and tried again: after a while, or when it
 * is asked for once more. */
static void test_a_refusal_is_told_once_and_tried_again(void **state)
{
	char dir[64], path[96];

	(void)state;
	pl_table_close(fx.l.table);
	snprintf(dir, sizeof(dir), "%s/passline-grow-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/table", dir);
	open_table(path);
	put(1, CAPACITY + 10, 0);
	/* Nothing can be made there any more. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	pl_loader_grow_to(&fx.l, 2000);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(pl_loader_grow(&fx.l), PL_LOADER_POLL_MS);
	assert_int_equal(atomic_load(&fx.l.status.not_grown_cnt), 1);
	assert_int_equal(fx.said_cnt, 1);
	fx.clock_s += RETRY_S;
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(fx.l.grow_s, fx.clock_s); /* it was tried */
	assert_int_equal(atomic_load(&fx.l.status.not_grown_cnt), 1);
	assert_int_equal(fx.said_cnt, 1);
	assert_int_equal(atomic_load(&fx.l.status.grow_refused), ENOENT);
	assert_int_equal(atomic_load(&fx.l.status.growing_to), 0);
	assert_true(fx.l.table_full);
	assert_as_the_feed_says();
	/* Who asks again is told again. */
	pl_loader_grow_to(&fx.l, 2000);
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(atomic_load(&fx.l.status.not_grown_cnt), 2);
	assert_int_equal(fx.said_cnt, 2);
	assert_int_equal(mkdir(dir, 0700), 0);
	(void)pl_loader_grow(&fx.l);
	assert_false(fx.l.growing);
	pl_loader_grow_to(&fx.l, 2000);
	(void)pl_loader_grow(&fx.l);
	assert_true(fx.l.growing);
	assert_int_equal(atomic_load(&fx.l.status.growing_to), 2000);
	/* What is between the name of the old one and that of the new one is the library's. */
	fx.l.growing = false;
	pl_table_close(fx.l.table);
	(void)unlink(path);
	assert_int_equal(rmdir(dir), 0);
	open_table(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(test_a_refusal_keeps_nothing_out),
		T(test_any_order_ends_the_same),
		T(test_a_worker_keeps_what_it_reads),
		T(test_when_it_does_not_begin),
		T(test_a_refusal_is_told_once_and_tried_again),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
