/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random operations against a plain reference map, on tables from two buckets, where nearly all
 * keys are beyond home and in the stash, to ones as they are in use. Every lookup is done by the code of
 * each CPU variant, in one call or in two halves with other bursts and changes between them, from keys
 * and into hits that end where memory does.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "table/pl_table_pvt.h"

#if defined(__SANITIZE_THREAD__)
#define STEPS_SHARE 20u
#elif defined(__SANITIZE_ADDRESS__)
#define STEPS_SHARE 8u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STEPS_SHARE 8u
#endif
#endif
#ifndef STEPS_SHARE
#define STEPS_SHARE 1u
#endif

#define KEYS_MAX 60000u

struct ref {            /* what the table should say of a key */
	uint32_t facts; /* 0: absent */
	uint32_t shown;
	uint32_t hash;
};

struct model {
	struct pl_table *t;
	struct pl_table_reader *readers[2];
	uint32_t reader_cnt;
	uint64_t capacity;
	bool always_room; /* the size is what the capacity asks for */
	uint32_t key_cnt;
	uint64_t present;
	uint64_t rng;
	uint32_t now;
	struct ref ref[KEYS_MAX];
	uint64_t refused;
};

static char error[256];
/* Where a page ends that none follows. */
static uint64_t *ids_end, *other_ids_end;
static struct pl_table_hit *hits_end;

static uint8_t *page_end(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *area = mmap(NULL, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(area != MAP_FAILED);
	assert_int_equal(mprotect(area, page, PROT_READ | PROT_WRITE), 0);
	return area + page;
}

static uint64_t rnd(struct model *m, uint64_t cnt)
{
	m->rng += 0x9e3779b97f4a7c15u;
	return pl_table_reduce(pl_mix64(m->rng), cnt);
}

/* Keys 0 and 1 are the ids that are easiest to mistake for marks. */
static uint64_t id_of(uint32_t key)
{
	return key == 0 ? 0 : key == 1 ? UINT64_MAX : pl_mix64(key);
}

static void do_put(struct model *m, uint32_t key)
{
	uint32_t facts = (uint32_t)rnd(m, 6) + 1 + ((uint32_t)rnd(m, 65536) << 4);
	struct ref *ref = &m->ref[key];
	uint32_t shown;
	int rc = pl_table_put(m->t, id_of(key), facts);

	if (ref->facts != 0) {
		assert_int_equal(rc, 1);
		ref->facts = facts;
		return;
	}
	if (m->present == m->capacity) {
		assert_int_equal(rc, -ENOSPC);
		return;
	}
	if (rc != 0) {
		/* Places of a tiny table do run out, and removed slots wait for readers. */
		m->refused++;
		assert_true(rc == -EAGAIN || (rc == -ENOSPC && !m->always_room));
		return;
	}
	ref->facts = facts;
	m->present++;
	/* The newest scan is still known, or the slot was used for others meanwhile. */
	assert_int_equal(pl_table_get(m->t, id_of(key), NULL, &shown), 0);
	if (shown == 0)
		ref->shown = 0;
	assert_int_equal(shown, ref->shown);
}

static void do_remove(struct model *m, uint32_t key)
{
	int rc = pl_table_remove(m->t, id_of(key));

	assert_int_equal(rc, m->ref[key].facts != 0 ? 0 : -ENOENT);
	m->present -= m->ref[key].facts != 0;
	m->ref[key].facts = 0;
}

static void do_seen(struct model *m, struct pl_table_reader *r, const struct pl_table_hit *hit,
		    uint32_t key)
{
	struct ref *ref = &m->ref[key];
	uint32_t shown = rnd(m, 4) == 0 ? ref->shown : ++m->now;
	uint32_t hash = rnd(m, 2) == 0 ? ref->hash : (uint32_t)rnd(m, 1u << 31);
	enum pl_table_seen want = PL_SEEN_REPLAYED;

	if (shown == 0)
		return;
	if (shown > ref->shown)
		want = PL_SEEN_NEW;
	else if (shown == ref->shown && hash == ref->hash)
		want = PL_SEEN_RESEND;
	assert_int_equal(pl_table_seen(r, hit, shown, hash), want);
	if (want == PL_SEEN_NEW) {
		ref->shown = shown;
		ref->hash = hash;
	}
}

static bool is_one_of(uint64_t id, const uint64_t *ids, uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* A burst in two halves; between them those of another burst, and changes of certificates that neither
 * asks for. */
static void find_halves(struct model *m, struct pl_table_reader *r, const uint64_t *ids,
			uint32_t cnt, struct pl_table_hit *hits)
{
	struct pl_table_pending pending, other_pending;
	struct pl_table_hit other_hits[PL_TABLE_BURST_MAX];
	uint32_t other_cnt = cnt / (1 + cnt % 3);
	uint64_t *other = other_ids_end - other_cnt;

	for (uint32_t i = 0; i < other_cnt; i++)
		other[i] = id_of((uint32_t)rnd(m, m->key_cnt));
	pl_table_find_start(r, ids, cnt, hits, other, other_cnt, &pending);
	pl_table_find_start(r, other, other_cnt, other_hits, ids, cnt, &other_pending);
	for (uint64_t n = rnd(m, 4); n > 0; n--) {
		uint32_t key = (uint32_t)rnd(m, m->key_cnt);

		if (is_one_of(id_of(key), ids, cnt) || is_one_of(id_of(key), other, other_cnt))
			continue;
		if (rnd(m, 2) == 0)
			do_put(m, key);
		else
			do_remove(m, key);
	}
	if (rnd(m, 2) == 0) {
		pl_table_find_finish(r, &pending);
		pl_table_find_finish(r, &other_pending);
	} else {
		pl_table_find_finish(r, &other_pending);
		pl_table_find_finish(r, &pending);
	}
	for (uint32_t i = 0; i < other_cnt; i++) {
		struct pl_table_hit hit;

		pl_table_find(r, &other[i], 1, &hit);
		assert_int_equal(other_hits[i].found, hit.found);
		assert_int_equal(other_hits[i].facts, hit.facts);
	}
}

/* One variant's answers, all of them. */
static void do_variant(struct model *m, struct pl_table_reader *r,
		       const struct pl_table_burst *burst, const uint64_t *ids,
		       const uint32_t *keys, uint32_t cnt, struct pl_table_hit *hits)
{
	r->burst = burst;
	if (cnt % 2 != 0)
		pl_table_find(r, ids, cnt, hits);
	else
		find_halves(m, r, ids, cnt, hits);
	for (uint32_t i = 0; i < cnt; i++) {
		const struct ref *ref = &m->ref[keys[i]];

		assert_int_equal(hits[i].found, ref->facts != 0);
		assert_int_equal(hits[i].facts, ref->facts);
	}
}

static void do_burst(struct model *m, struct pl_table_reader *r)
{
	uint32_t cnt = (uint32_t)rnd(m, PL_TABLE_BURST_MAX + 1);
	struct pl_table_hit hits[PL_TABLE_VARIANT_CNT][PL_TABLE_BURST_MAX];
	struct pl_table_reader_counters did[PL_TABLE_VARIANT_CNT];
	uint64_t *ids = ids_end - cnt;
	uint32_t keys[PL_TABLE_BURST_MAX];

	for (uint32_t i = 0; i < cnt; i++) {
		keys[i] = (uint32_t)rnd(m, m->key_cnt);
		ids[i] = id_of(keys[i]);
	}
	pl_table_quiesce(r);
	for (uint32_t v = 0; v < PL_TABLE_VARIANT_CNT; v++) {
		const struct pl_table_burst *burst = pl_table_burst_of((enum pl_table_variant)v);

		if (burst != NULL) { /* else not on this CPU, and as the one before */
			r->counters = (struct pl_table_reader_counters){0};
			do_variant(m, r, burst, ids, keys, cnt, hits_end - cnt);
		}
		memcpy(hits[v], hits_end - cnt, cnt * sizeof(hits[v][0]));
		did[v] = r->counters;
	}
	r->burst = pl_table_burst_best();
	/* As many lines, whoever looks, while nothing changes. */
	for (uint32_t v = 1; v < PL_TABLE_VARIANT_CNT && cnt % 2 != 0; v++)
		assert_memory_equal(&did[v], &did[0], sizeof(did[0]));
	for (uint32_t i = 0; i < cnt; i++) {
		if (m->ref[keys[i]].facts == 0)
			continue;
		for (uint32_t v = 1; v < PL_TABLE_VARIANT_CNT; v++)
			assert_int_equal(hits[v][i].slot, hits[0][i].slot);
		if (rnd(m, 4) == 0)
			do_seen(m, r, &hits[0][i], keys[i]);
	}
}

static void check_all(struct model *m)
{
	struct pl_table_stats stats;

	if (pl_table_check(m->t, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	pl_table_stats_get(m->t, &stats);
	assert_int_equal(stats.entry_cnt, m->present);
	for (uint32_t key = 0; key < m->key_cnt; key++) {
		uint32_t facts = 0;
		int rc = pl_table_get(m->t, id_of(key), &facts, NULL);

		assert_int_equal(rc, m->ref[key].facts != 0 ? 0 : -ENOENT);
		assert_int_equal(facts, m->ref[key].facts);
	}
}

/* Phases of filling and of emptying, so that the table is full now and nearly empty then. */
static void run(struct model *m, uint64_t steps)
{
	for (uint64_t step = 0; step < steps; step++) {
		uint32_t key = (uint32_t)rnd(m, m->key_cnt);
		uint64_t dice = rnd(m, 16);
		bool filling = step / (4 * m->key_cnt) % 2 == 0;

		if (dice == 0 && m->reader_cnt != 0)
			do_burst(m, m->readers[rnd(m, m->reader_cnt)]);
		else if (dice < (filling ? 11u : 6u))
			do_put(m, key);
		else
			do_remove(m, key);
		if (step % (steps / 8) == 0)
			check_all(m);
	}
	check_all(m);
}

static void model_run(uint64_t bucket_cnt, uint64_t capacity, uint32_t key_cnt, uint32_t reader_cnt,
		      uint64_t steps)
{
	struct pl_table_conf conf = {.capacity = capacity, .hash_seed = 11, .numa_node = -1};
	/* Near the wrap of a removed slot's epoch. */
	struct pl_table_tuning tuning = {.bucket_cnt = bucket_cnt,
					 .first_epoch = (UINT64_C(3) << 27) - 500};
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	assert_in_range(key_cnt, 1, KEYS_MAX);
	m->rng = bucket_cnt * 1000003 + capacity * 7 + reader_cnt;
	m->capacity = capacity;
	m->always_room = bucket_cnt == 0;
	m->key_cnt = key_cnt;
	m->reader_cnt = reader_cnt;
	assert_int_equal(pl_table_create_tuned(&conf, &tuning, &m->t, error, sizeof(error)), 0);
	for (uint32_t i = 0; i < reader_cnt; i++)
		assert_int_equal(pl_table_reader_create(m->t, &m->readers[i]), 0);
	run(m, steps / STEPS_SHARE);
	for (uint32_t i = 0; i < reader_cnt; i++)
		pl_table_reader_destroy(m->readers[i]);
	pl_table_close(m->t);
	free(m);
}

static void test_two_buckets_and_the_stash(void **state)
{
	(void)state;
	model_run(2, 198, 260, 1, 400000);
	model_run(2, 150, 400, 2, 200000);
	model_run(2, 190, 200, 0, 200000);
}

static void test_small_tables_that_overflow(void **state)
{
	(void)state;
	model_run(4, 100, 200, 1, 300000);
	model_run(16, 120, 200, 1, 500000);
	model_run(64, 170, 300, 2, 600000);
	model_run(64, 250, 300, 0, 400000);
}

static void test_tables_as_in_use(void **state)
{
	(void)state;
	model_run(0, 300, 450, 1, 600000);
	model_run(0, 2000, 2600, 2, 600000);
	model_run(0, 40000, 60000, 1, 1500000);
	model_run(0, 20000, 30000, 0, 600000);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_two_buckets_and_the_stash),
	cmocka_unit_test(test_small_tables_that_overflow),
	cmocka_unit_test(test_tables_as_in_use),
};

int main(void)
{
	ids_end = (uint64_t *)(void *)page_end();
	other_ids_end = (uint64_t *)(void *)page_end();
	hits_end = (struct pl_table_hit *)(void *)page_end();
	return cmocka_run_group_tests_name("table_model", tests, NULL, NULL);
}
