/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A burst of lookups for any machine, once with the words one by one and once with SSE4.1:
 * PL_TABLE_START and PL_TABLE_FINISH are the functions' names, and meson.build has the variants.
 */
#include "table/pl_table_burst.h"

#define FIND_GROUP_CNT  4u
#define FETCH_GROUP_CNT 3u

/* The homes of these had not the key and a meta word. Those that it leads on go to pending, and the
 * lines that it leads to are asked for. */
static void ask(struct pl_table_reader *r, const uint64_t *ids, const struct pl_table_hit *hits,
		const uint8_t *open, uint32_t open_cnt, struct pl_table_pending *p)
{
	uint32_t cnt = 0;

	for (uint32_t k = 0; k < open_cnt; k++) {
		uint32_t i = open[k];
		uint64_t home = hits[i].slot >> 2;
		/* META-PUB acquire: a key that was put before this lookup began has its signpost
		 * here, and its entry where that leads. Pairs: META-PUB release in the writer. */
		uint32_t meta = atomic_load_explicit(&r->buckets[home].meta, memory_order_acquire);
		uint32_t match = pl_meta_match(meta, pl_table_tag(pl_table_hash(ids[i], r->seed)));

		if ((match | meta >> PL_META_LEVEL_SHIFT) == 0)
			continue;
		if (PL_UNLIKELY(meta & PL_META_DEEP))
			pl_table_prefetch_rest(r, home, meta);
		p->bucket[cnt] = pl_table_pos_bucket(home, meta_first_pos(meta, match), r->seed,
						     r->bucket_cnt);
		p->lead[cnt] = meta | (uint64_t)match << 32;
		p->idx[cnt] = i;
		pl_prefetch(&r->buckets[p->bucket[cnt++]]);
	}
	p->cnt = cnt;
	r->counters.second_line += cnt;
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
		/* relaxed: a filter; looked at again with acquire in ask(). That it is not
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
void PL_TABLE_START(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
		    struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt,
		    struct pl_table_pending *p)
{
	uint8_t open[PL_TABLE_BURST_MAX + 1];
	uint32_t i = 0, k = 0, open_cnt = 0;
	struct pl_bucket *buckets = r->buckets;
	uint64_t bucket_cnt = r->bucket_cnt;
	uint64_t seed = r->seed;

	PL_DCHECK(cnt <= PL_TABLE_BURST_MAX && next_cnt <= cnt);
	for (; i + FIND_GROUP_CNT <= cnt && k + FETCH_GROUP_CNT <= next_cnt;
	     i += FIND_GROUP_CNT, k += FETCH_GROUP_CNT) {
		for (uint32_t n = 0; n < FETCH_GROUP_CNT; n++)
			pl_table_prefetch_home(buckets, bucket_cnt, seed, next_ids[k + n]);
		open_cnt = find_group(buckets, bucket_cnt, seed, ids, i, FIND_GROUP_CNT, hits, open,
				      open_cnt);
	}
	open_cnt = find_group(buckets, bucket_cnt, seed, ids, i, cnt - i, hits, open, open_cnt);
	for (; k < next_cnt; k++)
		pl_table_prefetch_home(buckets, bucket_cnt, seed, next_ids[k]);
	ask(r, ids, hits, open, open_cnt, p);
}

void PL_TABLE_FINISH(struct pl_table_reader *r, const struct pl_table_pending *p)
{
	for (uint32_t k = 0; k < p->cnt; k++) {
		struct pl_table_hit *hit = &p->hits[p->idx[k]];
		uint32_t facts =
			bucket_facts(r->buckets, p->bucket[k], p->ids[p->idx[k]], &hit->slot);

		hit_set(hit, facts);
		if (facts == 0)
			find_further(r, p, k);
	}
}
