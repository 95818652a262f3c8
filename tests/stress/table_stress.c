/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readers and the writer at once. What is in an entry can be told from its id, so that a torn or
 * foreign read is seen: facts carry 8 bits of the id's hash, and every scan's hash is the id's,
 * which a scan recorded in another certificate's slot would show.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <unistd.h>
#include <cmocka.h>

#include "table/pl_table_pvt.h"

#define READERS        3u
#define STABLE_CNT     300u /* present throughout; their facts change */
#define CHURN_CNT      900u /* come and go */
#define SHOWN_MAX      2000u
#define ROUNDS         60u
#define ROUND_PAUSE_US 200u
#define THREADS        (READERS + 1) /* and one who is none */
#define BURSTS_MIN     300u          /* of each reader */
#define LOOKS_MIN      30u
#define GROWS_MIN      3u
#define WRITES         2000u /* a round */
#define PASS_BURSTS    4u
#define GROW_EVERY     20u /* rounds */

static char error[256];
static struct pl_table *table;
/* relaxed, all of these: flags and tallies; what they guard is the table's own business. */
static atomic_bool stop;
/* Who accepted which QR: one reader, once. */
static atomic_uchar accepted[STABLE_CNT][SHOWN_MAX + 1];
static atomic_uint clock_now = 1;

struct tally {
	uint64_t found, absent, accepted;
	_Atomic uint64_t bursts;
	const char *wrong;
	uint64_t wrong_id;
};

static uint64_t id_of(uint32_t key)
{
	return key == 0 ? 0 : key == 1 ? UINT64_MAX : pl_mix64(key);
}

static uint32_t hash_of(uint64_t id)
{
	return (uint32_t)(pl_mix64(id ^ 0x5555) & 0x7fffffff);
}

/* version: any 8 bits. */
static uint32_t facts_of(uint64_t id, uint32_t version)
{
	return (hash_of(id) % 6 + 1) | (hash_of(id) & 0xff) << 4 | (version & 0xff) << 12;
}

static bool facts_fit(uint64_t id, uint32_t facts)
{
	return facts == facts_of(id, facts >> 12 & 0xff);
}

static void wrong(struct tally *t, const char *what, uint64_t id)
{
	t->wrong = what;
	t->wrong_id = id;
	atomic_store_explicit(&stop, true, memory_order_relaxed);
}

/* Scans of stable certificates are counted: whoever shows a QR first is accepted, once. The same
 * hash from all: a second NEW for one QR would be the table's doing. */
static void scan(struct tally *t, struct pl_table_reader *r, uint32_t key, uint64_t id,
		 const struct pl_table_hit *hit, uint32_t shown)
{
	if (key >= STABLE_CNT) {
		(void)pl_table_seen(r, hit, shown, hash_of(id));
		return;
	}
	if (pl_table_seen(r, hit, shown, hash_of(id)) != PL_SEEN_NEW)
		return;
	t->accepted++;
	if (atomic_fetch_add_explicit(&accepted[key][shown], 1, memory_order_relaxed) != 0)
		wrong(t, "accepted twice", id);
}

/* A burst under way. */
struct burst {
	const struct pl_table_burst *variant;
	uint32_t cnt;
	uint32_t keys[PL_TABLE_BURST_MAX];
	uint64_t ids[PL_TABLE_BURST_MAX];
	struct pl_table_hit hits[PL_TABLE_BURST_MAX];
	struct pl_table_pending pending;
};

static uint32_t rnd(uint64_t *rng, uint32_t cnt)
{
	*rng += 0x9e3779b97f4a7c15u;
	return (uint32_t)pl_table_reduce(pl_mix64(*rng), cnt);
}

static void burst_make(struct burst *b, uint64_t *rng)
{
	/* Any variant that this CPU has. */
	b->variant = pl_table_burst_of((enum pl_table_variant)rnd(rng, PL_TABLE_VARIANT_CNT));
	if (b->variant == NULL)
		b->variant = pl_table_burst_best();
	b->cnt = rnd(rng, PL_TABLE_BURST_MAX) + 1;
	for (uint32_t i = 0; i < b->cnt; i++) {
		b->keys[i] = rnd(rng, STABLE_CNT + CHURN_CNT);
		b->ids[i] = id_of(b->keys[i]);
	}
}

/* next: NULL for none. */
static void burst_start(struct pl_table_reader *r, struct burst *b, const struct burst *next)
{
	r->burst = b->variant;
	pl_table_find_start(r, b->ids, b->cnt, b->hits, next != NULL ? next->ids : NULL,
			    next != NULL ? next->cnt : 0, &b->pending);
}

static void burst_end(struct tally *t, struct pl_table_reader *r, struct burst *b)
{
	r->burst = b->variant;
	pl_table_find_finish(r, &b->pending);
	for (uint32_t i = 0; i < b->cnt; i++) {
		uint32_t now = atomic_load_explicit(&clock_now, memory_order_relaxed);
		const struct pl_table_hit *hit = &b->hits[i];

		t->absent += hit->found == PL_TABLE_ABSENT;
		t->found += hit->found == PL_TABLE_FOUND;
		if (hit->found == PL_TABLE_FOUND) {
			if (!facts_fit(b->ids[i], hit->facts))
				wrong(t, "facts of another", b->ids[i]);
			scan(t, r, b->keys[i], b->ids[i], hit, now - (i % 2 & (now > 1)));
		} else if (hit->found != PL_TABLE_ABSENT || b->keys[i] < STABLE_CNT) {
			wrong(t, "missed", b->ids[i]);
		}
	}
}

/* As the verify stage does it: between two quiescent points some bursts, each started before the one
 * before it is finished. */
static void *reader_thread(void *arg)
{
	struct burst bursts[PASS_BURSTS];
	struct tally *t = arg;
	uint64_t rng = (uintptr_t)arg;
	struct pl_table_reader *r;

	if (pl_table_reader_create(table, &r) != 0) {
		wrong(t, "no reader", 0);
		return NULL;
	}
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		for (uint32_t i = 0; i < PASS_BURSTS; i++)
			burst_make(&bursts[i], &rng);
		pl_table_quiesce(r);
		burst_start(r, &bursts[0], &bursts[1]);
		for (uint32_t i = 0; i < PASS_BURSTS; i++) {
			if (i + 1 < PASS_BURSTS)
				burst_start(r, &bursts[i + 1],
					    i + 2 < PASS_BURSTS ? &bursts[i + 2] : NULL);
			burst_end(t, r, &bursts[i]);
		}
		atomic_fetch_add_explicit(&t->bursts, PASS_BURSTS, memory_order_relaxed);
	}
	pl_table_reader_destroy(r);
	return NULL;
}

/* Who is no reader: looks at the figures, walks over all of it, comes as a reader and goes again, whatever
 * the writer makes of the table meanwhile. */
static void *looker_thread(void *arg)
{
	struct tally *t = arg;
	uint64_t rng = (uintptr_t)arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t id = id_of(rnd(&rng, STABLE_CNT)), cursor = 0, cnt = 0;
		struct pl_table_entry entries[64];
		struct pl_table_stats stats;
		struct pl_table_reader *r;
		struct pl_table_hit hit;
		size_t got;

		pl_table_stats_get(table, &stats);
		if (stats.slot_cnt < stats.capacity || stats.entry_cnt > stats.capacity)
			wrong(t, "figures of no table", stats.capacity);
		while ((got = pl_table_iterate(table, &cursor, entries, 64)) != 0)
			cnt += got;
		if (cnt == 0)
			wrong(t, "nobody there", 0);
		if (pl_table_reader_create(table, &r) != 0) {
			wrong(t, "no reader", 0);
			break;
		}
		pl_table_find(r, &id, 1, &hit);
		t->found += hit.found == PL_TABLE_FOUND;
		if (hit.found != PL_TABLE_FOUND || !facts_fit(id, hit.facts))
			wrong(t, "missed by one that has just come", id);
		pl_table_reader_destroy(r);
		atomic_fetch_add_explicit(&t->bursts, 1, memory_order_relaxed);
	}
	return NULL;
}

static void put(uint32_t key, uint32_t version)
{
	int rc = pl_table_put(table, id_of(key), facts_of(id_of(key), version));

	/* Removed slots may still be waiting for a reader. */
	assert_true(rc >= 0 || (rc == -EAGAIN && key >= STABLE_CNT));
}

static void write_round(uint32_t round, uint64_t *rng)
{
	for (uint32_t i = 0; i < WRITES && !atomic_load_explicit(&stop, memory_order_relaxed);
	     i++) {
		*rng += 0x9e3779b97f4a7c15u;
		uint64_t x = pl_mix64(*rng);
		uint32_t key = (uint32_t)(x % (STABLE_CNT + CHURN_CNT));

		if (key < STABLE_CNT || x >> 40 & 1)
			put(key, (uint32_t)(x >> 50));
		else
			(void)!pl_table_remove(table, id_of(key));
		if (i % 100 == 0)
			atomic_store_explicit(&clock_now, (round * 20 + i / 100) % SHOWN_MAX + 1,
					      memory_order_relaxed);
	}
}

/* Every recorded scan is one of the certificate that the slot is of. */
static void seen_words_check(void)
{
	/* VIEW-PUB acquire. Words below relaxed: the readers have ended. */
	struct pl_map *m = atomic_load_explicit(&table->view, memory_order_acquire)->cur;

	for (uint64_t b = 0; b < m->bucket_cnt + PL_TABLE_STASH_CNT; b++)
		for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++) {
			uint64_t id =
				atomic_load_explicit(&m->buckets[b].id[i], memory_order_relaxed);
			uint64_t seen =
				atomic_load_explicit(&m->buckets[b].seen[i], memory_order_relaxed);

			if (!pl_facts_live(atomic_load_explicit(&m->buckets[b].facts[i],
								memory_order_relaxed)) ||
			    seen == 0)
				continue;
			assert_int_equal((seen & UINT32_MAX) >> 1, hash_of(id));
		}
}

static bool enough(const struct tally *tallies, bool grow)
{
	struct pl_table_stats stats;

	for (uint32_t i = 0; i < THREADS; i++)
		if (atomic_load_explicit(&tallies[i].bursts, memory_order_relaxed) <
		    (i < READERS ? BURSTS_MIN : LOOKS_MIN))
			return false;
	pl_table_stats_get(table, &stats);
	return !grow || stats.generation >= GROWS_MIN;
}

static void stress(uint64_t bucket_cnt, bool grow)
{
	struct pl_table_conf conf = {
		.capacity = STABLE_CNT + CHURN_CNT, .hash_seed = 5, .numa_node = -1};
	struct pl_table_tuning tuning = {.bucket_cnt = bucket_cnt,
					 .first_epoch = (UINT64_C(5) << 27) - 100};
	struct tally tallies[THREADS] = {0};
	pthread_t threads[THREADS];
	uint64_t rng = bucket_cnt;

	memset(accepted, 0, sizeof(accepted));
	atomic_store_explicit(&stop, false, memory_order_relaxed);
	atomic_store_explicit(&clock_now, 1, memory_order_relaxed);
	assert_int_equal(pl_table_create_tuned(&conf, &tuning, &table, error, sizeof(error)), 0);
	for (uint32_t key = 0; key < STABLE_CNT; key++)
		put(key, 0);
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i < READERS ? reader_thread : looker_thread,
						&tallies[i]),
				 0);
	/* On a busy machine readers may hardly run: on until they have. */
	for (uint32_t round = 0; (round < ROUNDS || !enough(tallies, grow)) &&
				 !atomic_load_explicit(&stop, memory_order_relaxed);
	     round++) {
		if (grow && round % GROW_EVERY == 0 && table->grow == PL_GROW_NONE)
			assert_int_equal(pl_table_grow_begin(table,
							     conf.capacity + round / GROW_EVERY,
							     error, sizeof(error)),
					 0);
		write_round(round, &rng);
		assert_in_range(pl_table_grow_step(table, 300), 0, 1);
		usleep(ROUND_PAUSE_US); /* or few readers get to run on a small machine */
	}
	while (pl_table_grow_step(table, 300) == 1 &&
	       !atomic_load_explicit(&stop, memory_order_relaxed))
		usleep(ROUND_PAUSE_US);
	atomic_store_explicit(&stop, true, memory_order_relaxed);
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 0; i < THREADS; i++) {
		if (tallies[i].wrong != NULL)
			fail_msg("thread %u: %s: id %016llx", i, tallies[i].wrong,
				 (unsigned long long)tallies[i].wrong_id);
		assert_true(tallies[i].found > 0);
	}
	seen_words_check();
	if (pl_table_check(table, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	pl_table_close(table);
}

static void test_in_use(void **state)
{
	(void)state;
	stress(0, false);
}

/* Few places, so that slots are used again at once and most keys are beyond home. */
static void test_crowded(void **state)
{
	(void)state;
	stress(340, false);
}

static void test_growing(void **state)
{
	(void)state;
	stress(0, true);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_in_use),
	cmocka_unit_test(test_crowded),
	cmocka_unit_test(test_growing),
};

int main(void)
{
	return cmocka_run_group_tests_name("table_stress", tests, NULL, NULL);
}
