/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replacing the whole content while readers read: what is put from a moment on is marked, and the
 * rest is swept. A bit a slot, in this process's memory; a writer that dies leaves no trace of it.
 * And forgetting all of it.
 */
#include <errno.h>

#include "table/pl_table_pvt.h"

#define WORD_BITS 64u

static struct pl_map *map_cur(const struct pl_table *t)
{
	/* VIEW-PUB acquire: pairs with the release store in pl_table_grow.c. */
	return atomic_load_explicit(&t->view, memory_order_acquire)->cur;
}

int pl_table_sweep_begin(struct pl_table *t)
{
	const struct pl_map *m = map_cur(t);
	uint64_t slot_cnt = pl_table_slot(m->bucket_cnt + PL_TABLE_STASH_CNT, 0);

	if (!t->writer)
		return -EPERM;
	if (t->bulk_on || t->grow != PL_GROW_NONE || t->marks != NULL)
		return -EBUSY;
	t->marks = calloc((slot_cnt + WORD_BITS - 1) / WORD_BITS, sizeof(*t->marks));
	if (t->marks == NULL)
		return -ENOMEM;
	t->sweep_cursor = 0;
	return 0;
}

int pl_table_sweep_step(struct pl_table *t, uint64_t bucket_cnt, uint64_t *removed_cnt)
{
	struct pl_write w = {.t = t, .m = map_cur(t)};
	uint64_t end = w.m->bucket_cnt + PL_TABLE_STASH_CNT;
	uint64_t to = end - t->sweep_cursor < bucket_cnt ? end : t->sweep_cursor + bucket_cnt;

	*removed_cnt = 0;
	if (t->marks == NULL)
		return -EINVAL;
	for (uint64_t b = t->sweep_cursor; b < to; b++) {
		for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++) {
			uint64_t slot = pl_table_slot(b, i);
			/* relaxed, both: the writer's own words. */
			uint32_t facts = atomic_load_explicit(&w.m->buckets[b].facts[i],
							      memory_order_relaxed);

			if (!pl_facts_live(facts) ||
			    (t->marks[slot / WORD_BITS] >> slot % WORD_BITS & 1) != 0)
				continue;
			if (pl_map_remove(&w, atomic_load_explicit(&w.m->buckets[b].id[i],
								   memory_order_relaxed)) == 0)
				++*removed_cnt;
		}
	}
	t->sweep_cursor = to;
	if (to < end)
		return 1;
	pl_table_sweep_abandon(t);
	return 0;
}

void pl_table_sweep_abandon(struct pl_table *t)
{
	free(t->marks);
	t->marks = NULL;
}

/*
 * Emptying under readers: entries go first, then every reader passes a quiescent point, so that
 * none holds a hit, and only then slots may be others'.
 */
int pl_table_clear(struct pl_table *t, const void *position)
{
	static const uint8_t nowhere[PL_TABLE_POSITION_SIZE];
	struct pl_map *m = map_cur(t);
	uint64_t cnt = m->bucket_cnt + PL_TABLE_STASH_CNT;

	if (!t->writer)
		return -EPERM;
	if (t->bulk_on || t->grow != PL_GROW_NONE || t->marks != NULL)
		return -EBUSY;
	if (t->clear_epoch == 0) {
		/* Whoever finds it half empty makes it anew. */
		pl_map_position_set(m, position != NULL ? position : nowhere);
		for (uint64_t b = 0; b < cnt; b++)
			for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++)
				/* relaxed: readers find it or do not; the epoch below orders
				 * what comes after. */
				atomic_store_explicit(&m->buckets[b].facts[i], 0,
						      memory_order_relaxed);
		t->clear_epoch = pl_map_epoch_bump(m);
	}
	if (pl_map_epoch_min(m, false) < t->clear_epoch) {
		(void)pl_map_reap(m);
		return -EAGAIN;
	}
	t->clear_epoch = 0;
	for (uint64_t b = 0; b < cnt; b++)
		/* relaxed: no lookup finds anything before SLOT-PUB. Ids and seen words are of
		 * nobody: a put writes both. */
		atomic_store_explicit(&m->buckets[b].meta, 0, memory_order_relaxed);
	atomic_store_explicit(&m->h->entry_cnt, 0, memory_order_relaxed);
	atomic_store_explicit(&m->h->tomb_cnt, 0, memory_order_relaxed);
	atomic_store_explicit(&m->h->op, PL_JOURNAL_NONE, memory_order_relaxed);
	return 0;
}
