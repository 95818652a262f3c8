/* SPDX-License-Identifier: BSD-3-Clause */
/* The table as a whole: its content replaced, looked over, and forgotten, under readers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#include "table/pl_table_pvt.h"

#define CERTS 3000u

static char error[256];

static uint32_t facts_of(uint64_t n)
{
	return (uint32_t)(n % 6 + 1) | (uint32_t)(n & 0xffff) << 4;
}

static struct pl_table *table_make(void)
{
	struct pl_table_conf conf = {.capacity = CERTS + 10, .hash_seed = 7, .numa_node = -1};
	struct pl_table *t;

	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), 0);
	return t;
}

static void fill(struct pl_table *t, uint64_t from, uint64_t to)
{
	for (uint64_t id = from; id < to; id++)
		assert_true(pl_table_put(t, id, facts_of(id)) >= 0);
}

static uint8_t lookup(struct pl_table_reader *r, uint64_t id)
{
	struct pl_table_hit hit;

	pl_table_quiesce(r);
	pl_table_find(r, &id, 1, &hit);
	return hit.found;
}

static uint64_t entry_cnt(const struct pl_table *t)
{
	struct pl_table_stats stats;

	pl_table_stats_get(t, &stats);
	return stats.entry_cnt;
}

static int audit(const struct pl_table *t)
{
	struct pl_table_audit a = {0};
	int rc;

	do {
		rc = pl_table_audit_step(t, &a, 100, error, sizeof(error));
	} while (rc == 1);
	return rc;
}

static uint64_t sweep(struct pl_table *t)
{
	uint64_t removed_cnt, total = 0;
	int rc;

	do {
		rc = pl_table_sweep_step(t, 100, &removed_cnt);
		assert_true(rc == 0 || rc == 1);
		total += removed_cnt;
	} while (rc == 1);
	return total;
}

static void test_a_sweep_leaves_exactly_what_was_put(void **state)
{
	struct pl_table *t = table_make();
	struct pl_table_reader *r;
	uint32_t facts, shown;
	struct pl_table_hit hit;
	uint64_t id = 1500;

	(void)state;
	fill(t, 0, 2000);
	assert_int_equal(pl_table_remove(t, 1999), 0);
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	pl_table_find(r, &id, 1, &hit);
	assert_int_equal(pl_table_seen(r, &hit, 77, 1), PL_SEEN_NEW);
	assert_int_equal(pl_table_sweep_begin(t), 0);
	assert_int_equal(pl_table_sweep_begin(t), -EBUSY);
	fill(t, 1000, 1999);
	fill(t, 1999, 2500);                /* one of them a comeback */
	for (uint64_t i = 0; i < 2500; i++) /* before it all are there */
		assert_int_equal(lookup(r, i), PL_TABLE_FOUND);
	assert_int_equal(sweep(t), 1000);
	for (uint64_t i = 0; i < 2500; i++)
		assert_int_equal(lookup(r, i), i < 1000 ? PL_TABLE_ABSENT : PL_TABLE_FOUND);
	assert_int_equal(pl_table_get(t, 1500, &facts, &shown), 0);
	assert_int_equal(shown, 77); /* what stays keeps its newest scan */
	assert_int_equal(pl_table_check(t, error, sizeof(error)), 0);
	assert_int_equal(audit(t), 0);
	assert_int_equal(pl_table_sweep_step(t, 1, &id), -EINVAL);
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

static void test_a_sweep_excludes_building_and_growing_and_can_be_left(void **state)
{
	struct pl_table *t = table_make();
	struct pl_table_bulk *bulk;

	(void)state;
	fill(t, 0, 100);
	assert_int_equal(pl_table_sweep_begin(t), 0);
	assert_int_equal(pl_table_bulk_begin(t, &bulk), -EBUSY);
	assert_int_equal(pl_table_grow_begin(t, 2 * CERTS, error, sizeof(error)), -EBUSY);
	assert_int_equal(pl_table_clear(t, NULL), -EBUSY);
	pl_table_sweep_abandon(t);
	assert_int_equal(entry_cnt(t), 100);
	assert_int_equal(pl_table_bulk_begin(t, &bulk), 0);
	assert_int_equal(pl_table_sweep_begin(t), -EBUSY);
	pl_table_bulk_end(bulk);
	assert_int_equal(pl_table_sweep_begin(t), 0);
	pl_table_writer_drop(t);
	assert_int_equal(pl_table_sweep_begin(t), -EPERM);
	pl_table_close(t);
}

static struct pl_bucket *bucket_with_entry(struct pl_table *t, uint32_t *slot)
{
	struct pl_map *m = t->views[0].cur;

	for (uint64_t b = 0;; b++)
		for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++)
			if (pl_facts_live(m->buckets[b].facts[i])) {
				*slot = i;
				return &m->buckets[b];
			}
}

/* Every bit of ids, and what cannot be of facts: an entry that no lookup finds is found. */
static void test_an_audit_sees_what_was_never_put(void **state)
{
	struct pl_table *t = table_make();
	struct pl_bucket *b;
	uint32_t i;

	(void)state;
	assert_int_equal(audit(t), 0);
	fill(t, 0, CERTS);
	for (uint64_t id = 0; id < 100; id++)
		assert_int_equal(pl_table_remove(t, id), 0);
	assert_int_equal(audit(t), 0);
	b = bucket_with_entry(t, &i);
	for (uint32_t bit = 0; bit < 64; bit++) {
		b->id[i] ^= UINT64_C(1) << bit;
		assert_int_equal(audit(t), -EILSEQ);
		b->id[i] ^= UINT64_C(1) << bit;
	}
	for (uint32_t bit = 29; bit < 32; bit++) {
		b->facts[i] ^= 1u << bit;
		assert_int_equal(audit(t), -EILSEQ);
		b->facts[i] ^= 1u << bit;
	}
	{ /* an entry that went, and one that came */
		uint32_t facts = b->facts[i];

		b->facts[i] = 0;
		assert_int_equal(audit(t), -EILSEQ);
		assert_non_null(strstr(error, "counts"));
		b->facts[i] = 16; /* neither entry nor removed */
		assert_int_equal(audit(t), -EILSEQ);
		b->facts[i] = facts;
	}
	assert_int_equal(audit(t), 0);
	t->views[0].cur->h->tomb_cnt--;
	assert_int_equal(audit(t), -EILSEQ);
	pl_table_close(t);
}

static void test_a_key_that_is_there_twice_is_seen(void **state)
{
	struct pl_table *t = table_make();
	struct pl_map *m = t->views[0].cur;
	bool found = false;

	(void)state;
	fill(t, 0, 300);
	for (uint64_t b = 0; b < m->bucket_cnt && !found; b++)
		if (pl_facts_live(m->buckets[b].facts[0]) && m->buckets[b].facts[2] == 0) {
			m->buckets[b].id[2] = m->buckets[b].id[0];
			m->buckets[b].facts[2] = m->buckets[b].facts[0];
			m->h->entry_cnt++;
			found = true;
		}
	assert_true(found);
	assert_int_equal(audit(t), -EILSEQ);
	pl_table_close(t);
}

static void test_clearing_waits_for_readers_and_forgets_everything(void **state)
{
	struct pl_table *t = table_make();
	uint8_t position[PL_TABLE_POSITION_SIZE];
	static const uint8_t nowhere[PL_TABLE_POSITION_SIZE];
	struct pl_table_reader *r;
	struct pl_table_hit hit;
	uint64_t id = 5;
	uint32_t facts, shown;

	(void)state;
	fill(t, 0, CERTS);
	memset(position, 7, sizeof(position));
	pl_table_position_set(t, position);
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	pl_table_find(r, &id, 1, &hit);
	assert_int_equal(pl_table_clear(t, NULL), -EAGAIN); /* r holds a hit */
	pl_table_position_get(t, position);
	assert_memory_equal(position, nowhere, sizeof(position));
	assert_int_equal(pl_table_seen(r, &hit, 99, 1), PL_SEEN_NEW);
	assert_int_equal(pl_table_clear(t, NULL), -EAGAIN);
	for (uint64_t i = 0; i < CERTS; i++) /* quiesces */
		assert_int_equal(lookup(r, i), PL_TABLE_ABSENT);
	assert_int_equal(pl_table_clear(t, NULL), 0);
	assert_int_equal(entry_cnt(t), 0);
	fill(t, 0, CERTS);
	assert_int_equal(audit(t), 0);
	assert_int_equal(pl_table_check(t, error, sizeof(error)), 0);
	assert_int_equal(pl_table_get(t, 5, &facts, &shown), 0);
	assert_int_equal(shown, 0); /* the scan of the one that was is not the new one's */
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

/* Whatever is in it: what comes after is as in a new one. */
static void test_clearing_mends_any_damage(void **state)
{
	struct pl_table *t = table_make();
	struct pl_map *m = t->views[0].cur;

	(void)state;
	fill(t, 0, CERTS);
	for (uint64_t b = 0; b < m->bucket_cnt + PL_TABLE_STASH_CNT; b++)
		memset(&m->buckets[b], (int)(b * 37 % 256), sizeof(m->buckets[b]));
	m->h->entry_cnt = 12345;
	assert_int_equal(audit(t), -EILSEQ);
	assert_int_equal(pl_table_clear(t, NULL), 0);
	assert_int_equal(audit(t), 0);
	fill(t, 0, CERTS);
	assert_int_equal(audit(t), 0);
	assert_int_equal(pl_table_check(t, error, sizeof(error)), 0);
	pl_table_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_sweep_leaves_exactly_what_was_put),
		cmocka_unit_test(test_a_sweep_excludes_building_and_growing_and_can_be_left),
		cmocka_unit_test(test_an_audit_sees_what_was_never_put),
		cmocka_unit_test(test_a_key_that_is_there_twice_is_seen),
		cmocka_unit_test(test_clearing_waits_for_readers_and_forgets_everything),
		cmocka_unit_test(test_clearing_mends_any_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
