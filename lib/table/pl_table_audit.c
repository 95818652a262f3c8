/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking over a table that outlived its process, before it is believed: in the order of memory,
 * so that fifty million entries take a fraction of a second. What a flipped bit does is seen in most
 * places (an id then has another home); in the facts of an entry it may not be.
 */
#include <errno.h>
#include <inttypes.h>

#include "table/pl_table_pvt.h"

#define BATCH 64u

struct walk {
	const struct pl_map *m;
	uint64_t live;
	uint64_t tomb;
	/* Entries beyond their home, to be looked for. */
	uint32_t cnt;
	uint64_t id[BATCH];
	uint64_t slot[BATCH];
};

/** Is each entry of the batch where a lookup finds it? PL_TABLE_NO_SLOT, or one that is not. */
static uint64_t batch_end(struct walk *w)
{
	uint64_t bad = PL_TABLE_NO_SLOT;

	/* All their homes first: see group_fetch() in pl_table_write.c. */
	for (uint32_t k = 0; k < w->cnt; k++)
		pl_table_prefetch_home(w->m->buckets, w->m->bucket_cnt, w->m->seed, w->id[k]);
	for (uint32_t k = 0; k < w->cnt; k++)
		if (pl_map_find(w->m, w->id[k], true) != w->slot[k])
			bad = w->slot[k];
	w->cnt = 0;
	return bad;
}

/** Without a branch on what a slot holds: which way it goes is anyone's guess. */
static uint64_t audit_bucket(struct walk *w, uint64_t bucket)
{
	struct pl_bucket *b = &w->m->buckets[bucket];
	uint64_t id[PL_TABLE_SLOTS];
	uint32_t live = 0, bad = 0, beyond = 0;

	for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++) {
		/* relaxed, all: nobody writes. */
		uint32_t facts = atomic_load_explicit(&b->facts[i], memory_order_relaxed);
		uint32_t is_live = pl_facts_live(facts), is_tomb = !is_live & (facts != 0);
		uint64_t home;

		id[i] = atomic_load_explicit(&b->id[i], memory_order_relaxed);
		home = pl_table_reduce(pl_table_hash(id[i], w->m->seed), w->m->bucket_cnt);
		live |= is_live << i;
		w->live += is_live;
		w->tomb += is_tomb;
		bad |= (is_live & !pl_facts_valid(facts)) << i;
		bad |= (is_tomb & ((facts & PL_FACTS_TOMB) == 0)) << i;
		beyond |= (is_live & (home != bucket)) << i;
	}
	bad |= (live & live >> 1 & (id[0] == id[1])) | (live & live >> 2 & (id[0] == id[2])) |
	       (live >> 1 & live >> 2 & (id[1] == id[2]));
	if (PL_UNLIKELY(bad != 0))
		return pl_table_slot(bucket, 0);
	for (; beyond != 0; beyond &= beyond - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(beyond);

		w->id[w->cnt] = id[i];
		w->slot[w->cnt++] = pl_table_slot(bucket, i);
		if (w->cnt == BATCH) {
			uint64_t wrong = batch_end(w);

			if (wrong != PL_TABLE_NO_SLOT)
				return wrong;
		}
	}
	return PL_TABLE_NO_SLOT;
}

static int damaged(uint64_t slot, char *error, size_t error_size)
{
	snprintf(error, error_size,
		 "the table is damaged: bucket %" PRIu64
		 " holds what was never put there, or what no lookup finds",
		 slot >> 2);
	return -EILSEQ;
}

int pl_table_audit_step(const struct pl_table *t, struct pl_table_audit *a, uint64_t bucket_cnt,
			char *error, size_t error_size)
{
	const struct pl_map *m = atomic_load_explicit(&t->view, memory_order_acquire)->cur;
	struct walk w = {.m = m};
	uint64_t bad = PL_TABLE_NO_SLOT, entry_cnt, tomb_cnt;
	uint64_t end = m->bucket_cnt + PL_TABLE_STASH_CNT;
	uint64_t to = end - a->cursor < bucket_cnt ? end : a->cursor + bucket_cnt;

	for (; a->cursor < to && bad == PL_TABLE_NO_SLOT; a->cursor++)
		bad = audit_bucket(&w, a->cursor);
	if (bad == PL_TABLE_NO_SLOT)
		bad = batch_end(&w);
	if (bad != PL_TABLE_NO_SLOT)
		return damaged(bad, error, error_size);
	a->entry_cnt += w.live;
	a->tomb_cnt += w.tomb;
	if (to < end)
		return 1;
	/* relaxed, both: nobody writes. */
	entry_cnt = atomic_load_explicit(&m->h->entry_cnt, memory_order_relaxed);
	tomb_cnt = atomic_load_explicit(&m->h->tomb_cnt, memory_order_relaxed);
	if (a->entry_cnt == entry_cnt && a->tomb_cnt == tomb_cnt)
		return 0;
	snprintf(error, error_size,
		 "the table is damaged: it has %" PRIu64 " certificates and %" PRIu64
		 " removed, and counts %" PRIu64 " and %" PRIu64,
		 a->entry_cnt, a->tomb_cnt, entry_cnt, tomb_cnt);
	return -EILSEQ;
}
