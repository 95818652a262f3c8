/* SPDX-License-Identifier: BSD-3-Clause */
/* Is a table that nobody writes what the writer means to leave? For tests: a lookup for every entry. */
#include <errno.h>
#include <inttypes.h>

#include "table/pl_table_pvt.h"

/* Entries at pos (a bucket of home's) that have this home, and if tag is not 0 this tag. */
static uint32_t occupants(const struct pl_map *m, uint64_t bucket, uint64_t home, uint32_t tag)
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++) {
		/* relaxed, both: nobody writes. */
		uint32_t facts =
			atomic_load_explicit(&m->buckets[bucket].facts[i], memory_order_relaxed);
		uint64_t hash = pl_table_hash(
			atomic_load_explicit(&m->buckets[bucket].id[i], memory_order_relaxed),
			m->seed);

		cnt += facts != 0 && pl_table_reduce(hash, m->bucket_cnt) == home &&
		       (tag == 0 || pl_table_tag(hash) == tag);
	}
	return cnt;
}

/* All entries of this home that are not in it. */
static uint32_t occupants_beyond(const struct pl_map *m, uint64_t home)
{
	uint64_t buckets[PL_TABLE_POS_CNT] = {home};
	uint32_t cnt = 0;

	for (uint32_t pos = 1; pos < PL_TABLE_POS_CNT; pos++) {
		bool again = false;

		buckets[pos] = pl_table_pos_bucket(home, pos, m->seed, m->bucket_cnt);
		for (uint32_t k = 0; k < pos; k++)
			again |= buckets[k] == buckets[pos];
		cnt += again ? 0 : occupants(m, buckets[pos], home, 0);
	}
	for (uint64_t i = 0; i < PL_TABLE_STASH_CNT; i++)
		cnt += occupants(m, m->bucket_cnt + i, home, 0);
	return cnt;
}

/*
 * Nothing in a home's meta leads nowhere: each signpost has an entry of its own, and a level stands for
 * more entries than there are signposts. One too many makes no lookup wrong, but each costs lines,
 * and they would add up over the years.
 */
static bool meta_is_explained(const struct pl_map *m, uint64_t home)
{
	uint32_t meta = atomic_load_explicit(&m->buckets[home].meta, memory_order_relaxed);
	uint32_t signs[PL_META_SIGN_CNT], sign_cnt = 0;

	for (uint32_t j = 0; j < PL_META_SIGN_CNT; j++) {
		uint32_t sign = meta >> (j * PL_META_SIGN_BITS) & PL_META_SIGN_MASK;
		uint32_t pos = sign & PL_META_POS_MASK, alike = 1;

		if (pos == 0) {
			if (sign != 0)
				return false;
			continue;
		}
		for (uint32_t k = 0; k < sign_cnt; k++)
			alike += signs[k] == sign;
		signs[sign_cnt++] = sign;
		if (occupants(m, pl_table_pos_bucket(home, pos, m->seed, m->bucket_cnt), home,
			      sign >> PL_META_TAG_SHIFT) < alike)
			return false;
	}
	return meta >> PL_META_LEVEL_SHIFT == 0 || occupants_beyond(m, home) > sign_cnt;
}

int pl_table_check(const struct pl_table *t, char *error, size_t error_size)
{
	/* VIEW-PUB acquire: pairs with the release store in pl_table_grow.c. */
	struct pl_map *m = atomic_load_explicit(&t->view, memory_order_acquire)->cur;
	uint64_t entry_cnt = atomic_load_explicit(&m->h->entry_cnt, memory_order_relaxed);
	uint64_t tomb_cnt = atomic_load_explicit(&m->h->tomb_cnt, memory_order_relaxed);
	uint64_t live = 0, tomb = 0;

	for (uint64_t b = 0; b < m->bucket_cnt + PL_TABLE_STASH_CNT; b++) {
		for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++) {
			/* relaxed, all: nobody writes. */
			uint32_t facts =
				atomic_load_explicit(&m->buckets[b].facts[i], memory_order_relaxed);
			uint64_t id =
				atomic_load_explicit(&m->buckets[b].id[i], memory_order_relaxed);
			uint64_t slot = pl_table_slot(b, i);

			if (facts == 0)
				continue;
			live += pl_facts_live(facts);
			tomb += !pl_facts_live(facts);
			/* The first place where a lookup finds it must be this one: so it is
			 * reachable, and no second one hides behind it. Removed ones, too: they
			 * keep their newest scan for a comeback. */
			if (pl_map_find(m, id, true) == slot &&
			    (!pl_facts_live(facts) || pl_facts_valid(facts)))
				continue;
			snprintf(error, error_size,
				 "certificate %016" PRIx64 " in slot %" PRIx64
				 " is not where a lookup finds it, or its facts %08x are bad",
				 id, slot, facts);
			return -EILSEQ;
		}
	}
	for (uint64_t b = 0; b < m->bucket_cnt; b++) {
		if (meta_is_explained(m, b))
			continue;
		snprintf(error, error_size, "the meta word of bucket %" PRIx64 " leads nowhere", b);
		return -EILSEQ;
	}
	if (live == entry_cnt && tomb == tomb_cnt)
		return 0;
	snprintf(error, error_size,
		 "%" PRIu64 " certificates and %" PRIu64 " removed, counted %" PRIu64
		 " and %" PRIu64,
		 live, tomb, entry_cnt, tomb_cnt);
	return -EILSEQ;
}
