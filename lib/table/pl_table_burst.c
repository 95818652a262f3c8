/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A burst of lookups for any machine, once with the words one by one and once with SSE4.1:
 * PL_TABLE_BURST is the function's name, and meson.build has the variants.
 */
#include "table/pl_table_burst.h"

#define FIND_GROUP_CNT  4u
#define FETCH_GROUP_CNT 3u

/* The homes of these had not the key and a meta word: which lead on? */
static void pending_collect(struct pl_table_reader *r, const uint64_t *ids,
			    const struct pl_table_hit *hits, const uint8_t *open, uint32_t open_cnt,
			    struct pending *p)
{
	p->cnt = 0;
	for (uint32_t k = 0; k < open_cnt; k++) {
		uint32_t i = open[k];
		uint64_t home = hits[i].slot >> 2;
		uint32_t tag = pl_table_tag(pl_table_hash(ids[i], r->seed));
		/* META-PUB acquire: a key that was put before this lookup began has its signpost
		 * here, and its entry where that leads. Pairs: META-PUB release in the writer. */
		uint32_t meta = atomic_load_explicit(&r->buckets[home].meta, memory_order_acquire);

		p->bucket[p->cnt] = home;
		p->meta[p->cnt] = (uint64_t)tag << 32 | meta;
		p->idx[p->cnt] = i;
		p->cnt += (pl_meta_match(meta, tag) | meta >> PL_META_LEVEL_SHIFT) != 0;
	}
}

/* Look into the homes of ids[first] on; notes in open which are not there but may be beyond. */
static inline __attribute__((always_inline)) uint32_t
find_group(struct pl_bucket *buckets, uint64_t bucket_cnt, uint64_t seed, const uint64_t *ids,
	   uint32_t first, uint32_t cnt, struct pl_table_hit *hits, uint8_t *open,
	   uint32_t open_cnt)
{
	for (uint32_t i = first; i < first + cnt; i++) {
		uint64_t home = pl_table_reduce(pl_table_hash(ids[i], seed), bucket_cnt);
		uint32_t facts = bucket_facts(buckets, home, ids[i], &hits[i].slot);

		hit_set(&hits[i], facts);
		open[open_cnt] = (uint8_t)i;
		/* relaxed: a filter; looked at again with acquire in pending_collect(). That it is not
		 * older than a put before this lookup is coherence's doing. */
		open_cnt += (facts == 0) &
			    (atomic_load_explicit(&buckets[home].meta, memory_order_relaxed) != 0);
	}
	return open_cnt;
}

/*
 * No branch depends on what is found: hits, misses and second lines come in any order, and a wrong
 * guess costs more than all of this. Fetches of the next burst go out in small groups between
 * lookups, which keeps the memory evenly busy. Groups, because a fetch that misses the TLB holds up
 * retirement until it is translated: close together they wait together.
 */
void PL_TABLE_BURST(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
		    struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt)
{
	uint8_t open[PL_TABLE_BURST_MAX + 1];
	uint32_t i = 0, k = 0, open_cnt = 0;
	struct pl_bucket *buckets = r->buckets;
	uint64_t bucket_cnt = r->bucket_cnt;
	uint64_t seed = r->seed;
	struct pending p;

	PL_DCHECK(cnt <= PL_TABLE_BURST_MAX && next_cnt <= cnt);
	for (; i + FIND_GROUP_CNT <= cnt && k + FETCH_GROUP_CNT + FETCH_LATE_CNT <= next_cnt;
	     i += FIND_GROUP_CNT, k += FETCH_GROUP_CNT) {
		for (uint32_t n = 0; n < FETCH_GROUP_CNT; n++)
			pl_table_prefetch_home(buckets, bucket_cnt, seed, next_ids[k + n]);
		open_cnt = find_group(buckets, bucket_cnt, seed, ids, i, FIND_GROUP_CNT, hits, open,
				      open_cnt);
	}
	open_cnt = find_group(buckets, bucket_cnt, seed, ids, i, cnt - i, hits, open, open_cnt);
	pending_collect(r, ids, hits, open, open_cnt, &p);
	pending_ask(r, &p);
	for (; k < next_cnt; k++)
		pl_table_prefetch_home(buckets, bucket_cnt, seed, next_ids[k]);
	pending_look(r, ids, hits, &p);
}
