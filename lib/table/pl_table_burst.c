/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A burst of lookups for any machine, once with the words one by one and once with SSE4.1:
 * PL_TABLE_START and PL_TABLE_FINISH are the functions' names, and meson.build has the variants.
 */
#include "table/pl_table_burst.h"

#if defined(__SSE4_1__) && !defined(PL_TABLE_SCALAR)
#include <smmintrin.h>
#endif

#define FIND_GROUP_CNT  4u
#define FETCH_GROUP_CNT 3u

/*
 * Look into one bucket for the burst: the facts of id, 0 if it is not there, and its slot.
 *
 * With SSE4.1 two ids are compared at once, and with AVX-512 all three (pl_table_burst_avx512.c). Such
 * loads are outside C11's model, so this leans on the machine's: lanes of 8 and 4 aligned bytes are
 * read whole, and loads are not reordered with loads; the barrier keeps the compiler to it.
 * What must hold is what pl_bucket_match() argues: facts before ids. That one is used everywhere
 * else, and under ThreadSanitizer; tests hold all of them against each other.
 */
#if defined(__SSE4_1__) && !defined(PL_TABLE_SCALAR)
static inline uint32_t bucket_facts(struct pl_bucket *buckets, uint64_t bucket, uint64_t id,
				    uint64_t *slot)
{
	const struct pl_bucket *b = &buckets[bucket];
	/* SLOT-PUB: facts, then ids. */
	__m128i facts = _mm_load_si128((const __m128i *)(const void *)&b->facts[0]);

	atomic_signal_fence(memory_order_acquire);

	__m128i key = _mm_set1_epi64x((long long)id);
	__m128i eq01 =
		_mm_cmpeq_epi64(_mm_load_si128((const __m128i *)(const void *)&b->id[0]), key);
	/* The other half is the first seen word; its lane falls out below. */
	__m128i eq2 =
		_mm_cmpeq_epi64(_mm_load_si128((const __m128i *)(const void *)&b->id[2]), key);
	__m128i eq = _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(eq01), _mm_castsi128_ps(eq2),
						     _MM_SHUFFLE(2, 0, 2, 0)));
	/* The fourth lane is meta: masked to nothing, so that it is never live. */
	__m128i kinds = _mm_and_si128(
		facts, _mm_setr_epi32(PL_CERT_KIND_MAX, PL_CERT_KIND_MAX, PL_CERT_KIND_MAX, 0));
	__m128i hit = _mm_andnot_si128(_mm_cmpeq_epi32(kinds, _mm_setzero_si128()), eq);
	uint32_t mask = (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(hit));

	/* At most one lane is left: 1, 2, 4 are slots 0, 1, 2. */
	*slot = pl_table_slot(bucket, mask >> 1);
	hit = _mm_and_si128(hit, facts);
	hit = _mm_or_si128(hit, _mm_srli_si128(hit, 8));
	hit = _mm_or_si128(hit, _mm_srli_si128(hit, 4));
	return (uint32_t)_mm_cvtsi128_si32(hit);
}
#else
static inline uint32_t bucket_facts(struct pl_bucket *buckets, uint64_t bucket, uint64_t id,
				    uint64_t *slot)
{
	uint32_t facts[PL_TABLE_SLOTS];
	uint32_t mask = pl_bucket_match(&buckets[bucket], id, facts);

	*slot = pl_table_slot(bucket, mask >> 1);
	return (facts[0] & -(mask & 1)) | (facts[1] & -(mask >> 1 & 1)) | (facts[2] & -(mask >> 2));
}
#endif

/*
 * The position that a home's meta leads to first; with a level and no signpost, the buddy.
 * match: from pl_meta_match(), may be 0.
 */
static inline uint32_t meta_first_pos(uint32_t meta, uint32_t match)
{
	/* The lowest carry bit is 10, 20 or 30; its signpost begins 10 below. */
	uint32_t shift = (uint32_t)__builtin_ctz(match | 1u << 31) - PL_META_SIGN_BITS;

	return match == 0 ? 1 : meta >> shift & PL_META_POS_MASK;
}

/* facts 0: not found. The two fields as one store. */
static inline void hit_set(struct pl_table_hit *hit, uint32_t facts)
{
	uint64_t word = facts | (uint64_t)(facts != 0) << 32;

	static_assert(offsetof(struct pl_table_hit, found) ==
			      offsetof(struct pl_table_hit, facts) + 4,
		      "one word");
	memcpy((uint8_t *)hit + offsetof(struct pl_table_hit, facts), &word, sizeof(word));
}

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
		p->meta[cnt] = meta;
		p->match[cnt] = match;
		p->idx[cnt] = i;
		pl_prefetch_far(&r->buckets[p->bucket[cnt++]]);
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
 * lookups, which keeps the memory evenly busy.
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
