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

/* Fetches of the next burst that go out while the second lines of this one are on their way. */
#define FETCH_LATE_CNT 24u

/* Lookups whose home line leads on. Room for a vector that is stored whole. */
#define PENDING_MAX (PL_TABLE_BURST_MAX + 8u)

struct pending {
	uint32_t cnt;
	uint64_t bucket[PENDING_MAX]; /* home, then where it leads */
	uint64_t meta[PENDING_MAX];   /* and above it, in the high half, the key's tag */
	uint64_t idx[PENDING_MAX];    /* in the burst */
};

/*
 * Look into one bucket for the burst: the facts of id, 0 if it is not there, and its slot.
 *
 * With SSE4.1 the three ids are compared at once, and with AVX-512 those of eight lookups
 * (pl_table_burst_avx512.c). Such loads are outside C11's model, so this leans on the machine's: lanes of 8 and 4 aligned bytes
 * are read whole, and loads are not reordered with loads; the barrier keeps the compiler to it.
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

/* Everything that meta leads to, one line after another: a tag that another key has, too, or a
 * home with more than three keys beyond it. */
static PL_COLD void find_rest(struct pl_table_reader *r, uint64_t id, struct pl_table_hit *hit)
{
	uint64_t hash = pl_table_hash(id, r->seed);
	uint32_t facts;
	uint64_t slot =
		pl_table_find_beyond(r->buckets, r->bucket_cnt, r->seed,
				     pl_table_reduce(hash, r->bucket_cnt), hash, id, false, &facts);

	r->counters.rest++;
	if (slot == PL_TABLE_NO_SLOT)
		return;
	hit->slot = slot;
	hit->facts = facts;
	hit->found = PL_TABLE_FOUND;
}

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

/* Ask for all the second lines. */
static inline void pending_ask(struct pl_table_reader *r, struct pending *p)
{
	r->counters.second_line += p->cnt;
	for (uint32_t k = 0; k < p->cnt; k++) {
		uint32_t meta = (uint32_t)p->meta[k];
		uint32_t pos =
			meta_first_pos(meta, pl_meta_match(meta, (uint32_t)(p->meta[k] >> 32)));

		p->bucket[k] = pl_table_pos_bucket(p->bucket[k], pos, r->seed, r->bucket_cnt);
		pl_prefetch(&r->buckets[p->bucket[k]]);
	}
}

/* Look at them, and where that does not settle it, further. */
static inline void pending_look(struct pl_table_reader *r, const uint64_t *ids,
				struct pl_table_hit *hits, const struct pending *p)
{
	for (uint32_t k = 0; k < p->cnt; k++) {
		uint32_t i = (uint32_t)p->idx[k];
		uint32_t facts = bucket_facts(r->buckets, p->bucket[k], ids[i], &hits[i].slot);

		hit_set(&hits[i], facts);
		if (PL_UNLIKELY(facts == 0))
			find_rest(r, ids[i], &hits[i]);
	}
}

#endif
