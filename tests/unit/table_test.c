/* SPDX-License-Identifier: BSD-3-Clause */
/* The certificate table's calls, one by one: valid, boundary, hostile. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "table/pl_table_pvt.h"

static char error[256];

static uint32_t facts_of(uint64_t n)
{
	return (uint32_t)(n % 6 + 1) | (uint32_t)(n & 0xffff) << 4;
}

static struct pl_table *table_make(uint64_t capacity)
{
	struct pl_table_conf conf = {.capacity = capacity, .hash_seed = 7, .numa_node = -1};
	struct pl_table *t;

	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), 0);
	return t;
}

static struct pl_table_hit lookup(struct pl_table_reader *r, uint64_t id)
{
	struct pl_table_hit hit;

	pl_table_quiesce(r);
	pl_table_prefetch(r, &id, 1);
	pl_table_find(r, &id, 1, &hit);
	return hit;
}

static void check(struct pl_table *t)
{
	if (pl_table_check(t, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static void test_put_find_remove(void **state)
{
	struct pl_table *t = table_make(1000);
	struct pl_table_reader *r;
	uint32_t facts, shown;

	(void)state;
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	assert_int_equal(lookup(r, 5).found, PL_TABLE_ABSENT);
	assert_int_equal(pl_table_put(t, 5, facts_of(5)), 0);
	assert_int_equal(lookup(r, 5).found, PL_TABLE_FOUND);
	assert_int_equal(lookup(r, 5).facts, facts_of(5));
	assert_int_equal(pl_table_put(t, 5, facts_of(5) | PL_FACTS_REVOKED), 1);
	assert_int_equal(lookup(r, 5).facts, facts_of(5) | PL_FACTS_REVOKED);
	assert_int_equal(pl_table_get(t, 5, &facts, &shown), 0);
	assert_int_equal(facts, facts_of(5) | PL_FACTS_REVOKED);
	assert_int_equal(shown, 0);
	assert_int_equal(pl_table_remove(t, 5), 0);
	assert_int_equal(pl_table_remove(t, 5), -ENOENT);
	assert_int_equal(pl_table_get(t, 5, NULL, NULL), -ENOENT);
	assert_int_equal(lookup(r, 5).found, PL_TABLE_ABSENT);
	assert_int_equal(lookup(r, 5).facts, 0);
	check(t);
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

/* Words that an implementation might take for a mark of its own. */
static void test_every_id_is_an_id(void **state)
{
	static const uint64_t ids[] = {0, UINT64_MAX, 1, UINT64_MAX - 1, UINT64_C(1) << 63, 7};
	struct pl_table *t = table_make(100);
	struct pl_table_reader *r;

	(void)state;
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(ids); i++) {
		assert_int_equal(lookup(r, ids[i]).found, PL_TABLE_ABSENT);
		assert_int_equal(pl_table_put(t, ids[i], facts_of(i)), 0);
		assert_int_equal(lookup(r, ids[i]).facts, facts_of(i));
	}
	for (uint32_t i = 0; i < PL_ARRAY_CNT(ids); i++) {
		struct pl_table_hit hit = lookup(r, ids[i]);

		assert_int_equal(pl_table_seen(r, &hit, 10, i), PL_SEEN_NEW);
		assert_int_equal(pl_table_remove(t, ids[i]), 0);
		assert_int_equal(lookup(r, ids[i]).found, PL_TABLE_ABSENT);
	}
	check(t);
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

static void test_facts_are_checked(void **state)
{
	struct pl_table *t = table_make(10);

	(void)state;
	assert_int_equal(pl_table_put(t, 1, 0), -EINVAL);
	assert_int_equal(pl_table_put(t, 1, 0xfff0), -EINVAL);
	assert_int_equal(pl_table_put(t, 1, 1u << 31 | 1), -EINVAL);
	assert_int_equal(pl_table_put(t, 1, 1u << 29 | 1), -EINVAL);
	assert_int_equal(pl_table_get(t, 1, NULL, NULL), -ENOENT);
	pl_table_close(t);
}

static void test_replay_rule(void **state)
{
	struct pl_table *t = table_make(10);
	struct pl_table_reader *r;
	struct pl_table_hit hit;
	uint32_t shown;

	(void)state;
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	assert_int_equal(pl_table_put(t, 1, facts_of(1)), 0);
	hit = lookup(r, 1);
	assert_int_equal(pl_table_seen(r, &hit, 100, 7), PL_SEEN_NEW);
	assert_int_equal(pl_table_seen(r, &hit, 100, 7), PL_SEEN_RESEND);
	assert_int_equal(pl_table_seen(r, &hit, 100, 8), PL_SEEN_REPLAYED);
	assert_int_equal(pl_table_seen(r, &hit, 99, 7), PL_SEEN_REPLAYED);
	assert_int_equal(pl_table_seen(r, &hit, 101, 7), PL_SEEN_NEW);
	assert_int_equal(pl_table_seen(r, &hit, 100, 7), PL_SEEN_REPLAYED);
	assert_int_equal(pl_table_seen(r, &hit, UINT32_MAX, UINT32_MAX), PL_SEEN_NEW);
	assert_int_equal(pl_table_seen(r, &hit, UINT32_MAX, UINT32_MAX), PL_SEEN_RESEND);
	assert_int_equal(pl_table_seen(r, &hit, UINT32_MAX, 1), PL_SEEN_REPLAYED);
	assert_int_equal(pl_table_get(t, 1, NULL, &shown), 0);
	assert_int_equal(shown, UINT32_MAX);
	/* New facts do not open the door to a copy. */
	assert_int_equal(pl_table_put(t, 1, facts_of(2)), 1);
	hit = lookup(r, 1);
	assert_int_equal(pl_table_seen(r, &hit, UINT32_MAX, 1), PL_SEEN_REPLAYED);
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

/* Removed and put again while its slot is its own: the copy still does not pass. */
static void test_readding_keeps_the_newest_scan(void **state)
{
	struct pl_table *t = table_make(1000);
	struct pl_table_reader *r;

	(void)state;
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	for (uint64_t id = 0; id < 1000; id++)
		assert_int_equal(pl_table_put(t, id, facts_of(id)), 0);
	for (uint64_t id = 0; id < 1000; id++) {
		struct pl_table_hit hit = lookup(r, id);

		assert_int_equal(pl_table_seen(r, &hit, 50, 3), PL_SEEN_NEW);
		assert_int_equal(pl_table_remove(t, id), 0);
		assert_int_equal(pl_table_put(t, id, facts_of(id + 1)), 0);

		struct pl_table_hit again = lookup(r, id);

		assert_int_equal(again.found, PL_TABLE_FOUND);
		assert_int_equal(again.slot, hit.slot);
		assert_int_equal(pl_table_seen(r, &again, 50, 4), PL_SEEN_REPLAYED);
	}
	check(t);
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

static void test_full_is_clean(void **state)
{
	static const uint64_t capacities[] = {1, 2, 3, 10, 191, 1000, 30000, 200000};

	(void)state;
	for (uint32_t c = 0; c < PL_ARRAY_CNT(capacities); c++) {
		struct pl_table *t = table_make(capacities[c]);
		struct pl_table_stats stats;

		for (uint64_t id = 0; id < capacities[c]; id++)
			assert_int_equal(pl_table_put(t, id, facts_of(id)), 0);
		for (uint64_t id = capacities[c]; id < capacities[c] + 5; id++)
			assert_int_equal(pl_table_put(t, id, facts_of(id)), -ENOSPC);
		/* Replacing goes on; room made is room. */
		assert_int_equal(pl_table_put(t, 0, facts_of(1)), 1);
		assert_int_equal(pl_table_remove(t, 0), 0);
		assert_int_equal(pl_table_put(t, UINT64_MAX, facts_of(1)), 0);
		assert_int_equal(pl_table_put(t, 0, facts_of(1)), -ENOSPC);
		pl_table_stats_get(t, &stats);
		assert_int_equal(stats.full_cnt, 6);
		assert_int_equal(stats.entry_cnt, capacities[c]);
		assert_int_equal(stats.blocked_cnt, 0);
		check(t);
		pl_table_close(t);
	}
}

static void test_size_is_32_bytes_a_certificate(void **state)
{
	(void)state;
	for (uint64_t capacity = 4000000; capacity <= 200000000; capacity += 1234567)
		assert_true(pl_table_size(capacity, 2u << 20) <= 32 * capacity);
	assert_true(pl_table_size(100000000, 2u << 20) <= UINT64_C(3200000000));
	assert_int_equal(pl_table_size(100000000, UINT64_C(1) << 30), UINT64_C(3) << 30);
	assert_true(pl_table_size(1, 4096) > 0);
}

/* A table of 2^32 buckets would need 275 GB; its places are computed here without one. */
static void test_no_overflow_beyond_4_gb(void **state)
{
	const uint64_t cnt = UINT64_C(1) << 32;
	uint64_t high = 0;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t home = pl_table_reduce(pl_table_hash(i, 1), cnt);

		for (uint32_t pos = 0; pos < PL_TABLE_POS_CNT; pos++) {
			uint64_t b = pl_table_pos_bucket(home, pos, 1, cnt);

			assert_true(b < cnt);
			assert_int_equal(pl_table_slot(b, 2) >> 2, b);
			high += b > UINT32_MAX / 2;
		}
		assert_int_equal(pl_table_pos_bucket(home, 1, 1, cnt) / 2, home / 2);
	}
	assert_in_range(high, 7000, 9000); /* half of them */
	assert_int_equal(pl_table_reduce(UINT64_MAX, cnt), cnt - 1);
}

static void test_position_is_whole(void **state)
{
	struct pl_table *t = table_make(10);
	uint8_t in[PL_TABLE_POSITION_SIZE], out[PL_TABLE_POSITION_SIZE];

	(void)state;
	memset(in, 0, sizeof(in));
	pl_table_position_get(t, out);
	assert_memory_equal(in, out, sizeof(in));
	for (int i = 1; i < 5; i++) {
		memset(in, i, sizeof(in));
		pl_table_position_set(t, in);
		pl_table_position_get(t, out);
		assert_memory_equal(in, out, sizeof(in));
	}
	pl_table_close(t);
}

static void test_iterate_gives_each_once(void **state)
{
	struct pl_table *t = table_make(5000);
	struct pl_table_entry out[7];
	uint8_t had[5000] = {0};
	uint64_t cursor = 0;
	size_t cnt, all = 0;

	(void)state;
	for (uint64_t id = 0; id < 5000; id++)
		assert_int_equal(pl_table_put(t, id, facts_of(id)), 0);
	for (uint64_t id = 0; id < 5000; id += 3)
		assert_int_equal(pl_table_remove(t, id), 0);
	while ((cnt = pl_table_iterate(t, &cursor, out, PL_ARRAY_CNT(out))) != 0) {
		for (size_t i = 0; i < cnt; i++) {
			assert_true(out[i].id < 5000 && out[i].id % 3 != 0);
			assert_int_equal(out[i].facts, facts_of(out[i].id));
			assert_int_equal(had[out[i].id]++, 0);
		}
		all += cnt;
	}
	assert_int_equal(cursor, UINT64_MAX);
	assert_int_equal(all, 5000 - 1667);
	assert_int_equal(pl_table_iterate(t, &cursor, out, PL_ARRAY_CNT(out)), 0);
	pl_table_close(t);
}

/* A slot is used again only when every reader has passed: until then a held hit is safe. */
static void test_removed_slots_wait_for_readers(void **state)
{
	struct pl_table_conf conf = {.capacity = 600, .hash_seed = 3, .numa_node = -1};
	/* Near the wrap of the 27 bits in a removed slot's word. */
	struct pl_table_tuning tuning = {.bucket_cnt = 2, .first_epoch = (1u << 27) - 2};
	struct pl_table_stats stats;
	struct pl_table_reader *r;
	struct pl_table *t;
	uint64_t slots = 6 + PL_TABLE_STASH_CNT * PL_TABLE_SLOTS, next;

	(void)state;
	assert_int_equal(pl_table_create_tuned(&conf, &tuning, &t, error, sizeof(error)), 0);
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	for (uint64_t id = 0; id < slots; id++)
		assert_int_equal(pl_table_put(t, id, facts_of(id)), 0);
	assert_int_equal(pl_table_put(t, slots, facts_of(1)), -ENOSPC);
	next = slots;
	for (uint32_t round = 0; round < 5; round++) {
		uint64_t old = next - slots;
		struct pl_table_hit hit = lookup(r, old);

		assert_int_equal(hit.found, PL_TABLE_FOUND);
		assert_int_equal(pl_table_remove(t, old), 0);
		assert_int_equal(pl_table_put(t, next, facts_of(next)), -EAGAIN);
		/* The hit still is the removed certificate's alone. */
		assert_int_equal(pl_table_seen(r, &hit, 9, 9), PL_SEEN_NEW);
		pl_table_quiesce(r);
		assert_int_equal(pl_table_put(t, next, facts_of(next)), 0);
		hit = lookup(r, next);
		assert_int_equal(hit.facts, facts_of(next));
		assert_int_equal(pl_table_seen(r, &hit, 9, 8), PL_SEEN_NEW);
		check(t);
		next++;
	}
	pl_table_stats_get(t, &stats);
	assert_int_equal(stats.blocked_cnt, 5);
	/* With no reader there is nobody to wait for. */
	pl_table_reader_destroy(r);
	assert_int_equal(pl_table_remove(t, next - 1), 0);
	assert_int_equal(pl_table_put(t, next, facts_of(next)), 0);
	pl_table_close(t);
}

static void test_readers_are_bounded(void **state)
{
	struct pl_table *t = table_make(10);
	struct pl_table_reader *r[PL_TABLE_READERS_MAX], *more;
	struct pl_table_stats stats;

	(void)state;
	for (uint32_t i = 0; i < PL_TABLE_READERS_MAX; i++)
		assert_int_equal(pl_table_reader_create(t, &r[i]), 0);
	assert_int_equal(pl_table_reader_create(t, &more), -EUSERS);
	pl_table_stats_get(t, &stats);
	assert_int_equal(stats.reader_cnt, PL_TABLE_READERS_MAX);
	pl_table_reader_destroy(r[5]);
	assert_int_equal(pl_table_reader_create(t, &r[5]), 0);
	for (uint32_t i = 0; i < PL_TABLE_READERS_MAX; i++)
		pl_table_reader_destroy(r[i]);
	pl_table_close(t);
}

static void test_put_many_stops_where_it_must(void **state)
{
	struct pl_table *t = table_make(100);
	struct pl_table_entry e[120];
	size_t done;

	(void)state;
	for (uint64_t i = 0; i < 120; i++)
		e[i] = (struct pl_table_entry){.id = i, .facts = facts_of(i)};
	assert_int_equal(pl_table_put_many(t, e, 0, &done), 0);
	assert_int_equal(done, 0);
	assert_int_equal(pl_table_put_many(t, e, 120, &done), -ENOSPC);
	assert_int_equal(done, 100);
	e[50].facts = 0;
	assert_int_equal(pl_table_put_many(t, e, 100, &done), -EINVAL);
	assert_int_equal(done, 50);
	check(t);
	pl_table_close(t);
}

/* Who registers while the process has no descriptor left is no less alive. */
static void test_a_reader_that_could_not_be_looked_up_lives(void **state)
{
	struct pl_table *t = table_make(10);
	struct pl_table_reader *r;
	struct rlimit limit, none;
	int rc;

	(void)state;
	assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), errno);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	assert_return_code(setrlimit(RLIMIT_NOFILE, &none), errno);
	rc = pl_table_reader_create(t, &r);
	assert_return_code(setrlimit(RLIMIT_NOFILE, &limit), errno);
	assert_int_equal(rc, 0);
	assert_int_equal(pl_table_readers_reap(t), 0);
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_put_find_remove),
	cmocka_unit_test(test_every_id_is_an_id),
	cmocka_unit_test(test_facts_are_checked),
	cmocka_unit_test(test_replay_rule),
	cmocka_unit_test(test_readding_keeps_the_newest_scan),
	cmocka_unit_test(test_full_is_clean),
	cmocka_unit_test(test_size_is_32_bytes_a_certificate),
	cmocka_unit_test(test_no_overflow_beyond_4_gb),
	cmocka_unit_test(test_position_is_whole),
	cmocka_unit_test(test_iterate_gives_each_once),
	cmocka_unit_test(test_removed_slots_wait_for_readers),
	cmocka_unit_test(test_readers_are_bounded),
	cmocka_unit_test(test_a_reader_that_could_not_be_looked_up_lives),
	cmocka_unit_test(test_put_many_stops_where_it_must),
};

int main(void)
{
	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
