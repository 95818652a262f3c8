/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the variants of a burst of lookups share: one bucket, and the lookups whose home leads on.
 */
#ifndef PL_TABLE_BURST_H
#define PL_TABLE_BURST_H

#include "table/pl_table_pvt.h"

/* ThreadSanitizer follows C11's atomics, and no vector's loads. */
#if !defined(PL_TABLE_SCALAR)
#if defined(__SANITIZE_THREAD__)
#define PL_TABLE_SCALAR
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PL_TABLE_SCALAR
#endif
#endif
#endif
#if defined(__SSE4_1__) && !defined(PL_TABLE_SCALAR)
#include <smmintrin.h>
#endif

/*
 * Look into one bucket for the burst: the facts of id, 0 if it is not there, and its slot.
 *
 * With SSE4.1 two ids are compared at once, and with AVX-512 all three (pl_table_burst_avx512.c). Such
 * loads are outside C11's model, so this leans on the machine's: lanes of 8 and 4 aligned bytes are
 * read whole, and loads are not reordered with loads; the barrier keeps the compiler to it.
 * What must hold is what pl_bucket_match() argues: facts before ids. That one is used everywhere
 * else, and under ThreadSanitizer; tests hold all of them against each other. Few instructions
 * matter beyond their own time: a fetch whose address is not in the TLB holds up retirement, and how
 * many others go on meanwhile depends on how much work fits behind it.
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

/*
 * Does meta lead a key of this tag anywhere but to meta_first_pos()? It must be the meta word that gave
 * that position: a later one may lead to the key by another way.
 */
static inline bool meta_leads_further(uint32_t meta, uint32_t match)
{
	uint32_t level = meta >> PL_META_LEVEL_SHIFT;

	return (match & (match - 1)) != 0 || level > 1 || (level != 0 && match != 0);
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

/* A key that is not where its home's meta led to first. */
static inline void find_further(struct pl_table_reader *r, const struct pl_table_pending *p,
				uint32_t k)
{
	if (PL_UNLIKELY(meta_leads_further((uint32_t)p->lead[k], (uint32_t)(p->lead[k] >> 32))))
		pl_table_find_rest(r, p->ids[p->idx[k]], &p->hits[p->idx[k]]);
}

#endif
