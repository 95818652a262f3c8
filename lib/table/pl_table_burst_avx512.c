/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A burst of lookups with AVX-512 (F, VL, DQ): homes, tags and signposts of eight are vectors, and what
 * is done for each key alone is its fetch, its two loads and its compare. Fewer instructions matter
 * beyond their own time: see bucket_facts() in pl_table_burst.c.
 */
#include "table/pl_table_burst.h"

#ifdef PL_TABLE_SCALAR /* under ThreadSanitizer, which cannot follow vectors */
void pl_table_start_avx512(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
			   struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt,
			   struct pl_table_pending *p)
{
	pl_table_start_scalar(r, ids, cnt, hits, next_ids, next_cnt, p);
}

void pl_table_finish_avx512(struct pl_table_reader *r, const struct pl_table_pending *p)
{
	pl_table_finish_scalar(r, p);
}
#else
#include <immintrin.h>

#define LANES        8u
#define BUCKET_SHIFT 6u
static_assert(sizeof(struct pl_bucket) == 1u << BUCKET_SHIFT, "bytes of a bucket");

/* What does not change in a burst. */
struct job {
	const struct pl_bucket *buckets;
	__m512i bucket_cnt;
	__m512i seed;
};

/* A burst between the steps of its lookups. */
struct steps {
	alignas(64) uint64_t hash[PL_TABLE_BURST_MAX];
	alignas(64) uint64_t home[PL_TABLE_BURST_MAX]; /* bytes from the first bucket */
	alignas(64) uint64_t next_home[PL_TABLE_BURST_MAX];
	alignas(64) uint32_t meta[PL_TABLE_BURST_MAX];
};

/* The first cnt, at most eight. */
static inline __mmask8 first_lanes(uint32_t cnt)
{
	return (__mmask8)(cnt < LANES ? (1u << cnt) - 1u : 0xff);
}

/* pl_table_hash() of eight ids. */
static inline __m512i hash_of(const struct job *j, __m512i ids)
{
	__m512i h = _mm512_mullo_epi64(_mm512_xor_si512(ids, j->seed),
				       _mm512_set1_epi64((long long)PL_TABLE_HASH_MUL1));

	h = _mm512_xor_si512(h, _mm512_srli_epi64(h, 32));
	return _mm512_mullo_epi64(h, _mm512_set1_epi64((long long)PL_TABLE_HASH_MUL2));
}

/* pl_table_reduce() of eight hashes. */
static inline __m512i reduce(const struct job *j, __m512i hash)
{
	return _mm512_srli_epi64(_mm512_mul_epu32(_mm512_srli_epi64(hash, 32), j->bucket_cnt), 32);
}

/* pl_table_tag(), in the low half of each lane. */
static inline __m512i tag_of(__m512i hash)
{
	__m512i part = _mm512_and_si512(_mm512_srli_epi64(hash, PL_TABLE_TAG_SHIFT),
					_mm512_set1_epi64(0xffff));

	part = _mm512_sub_epi64(_mm512_slli_epi64(part, 6), part); /* * PL_META_TAG_MASK */
	return _mm512_add_epi64(_mm512_srli_epi64(part, 16), _mm512_set1_epi64(1));
}

/* pl_meta_match() */
static inline __m512i match_of(__m512i meta, __m512i tag)
{
	__m512i all =
		_mm512_mul_epu32(tag, _mm512_set1_epi64(PL_META_SIGN_ONES << PL_META_TAG_SHIFT));
	__m512i diff =
		_mm512_and_si512(_mm512_xor_si512(meta, all), _mm512_set1_epi64(PL_META_TAG_BITS));
	__m512i carry = _mm512_add_epi64(diff, _mm512_set1_epi64(PL_META_TAG_BITS));

	return _mm512_andnot_si512(carry, _mm512_set1_epi64(PL_META_CARRY_BITS));
}

/* pl_mix64() */
static inline __m512i mix64(__m512i x)
{
	x = _mm512_xor_si512(x, _mm512_srli_epi64(x, 30));
	x = _mm512_mullo_epi64(x, _mm512_set1_epi64((long long)PL_MIX64_MUL1));
	x = _mm512_xor_si512(x, _mm512_srli_epi64(x, 27));
	x = _mm512_mullo_epi64(x, _mm512_set1_epi64((long long)PL_MIX64_MUL2));
	return _mm512_xor_si512(x, _mm512_srli_epi64(x, 31));
}

/* meta_first_pos() and pl_table_pos_bucket(). */
static inline __m512i first_bucket(const struct job *j, __m512i home, __m512i meta, __m512i match)
{
	const __m512i pos_mask = _mm512_set1_epi64(PL_META_POS_MASK);
	__m512i pos = _mm512_set1_epi64(1), far;

	/* The lowest match counts, so it is looked at last. */
	for (uint32_t n = PL_META_SIGN_CNT; n-- > 0;) {
		__m512i carry = _mm512_set1_epi64(1ll << ((n + 1) * PL_META_SIGN_BITS));

		pos = _mm512_mask_and_epi64(pos, _mm512_test_epi64_mask(match, carry),
					    _mm512_srli_epi64(meta, n * PL_META_SIGN_BITS),
					    pos_mask);
	}
	far = _mm512_add_epi64(_mm512_or_si512(_mm512_slli_epi64(home, 4), pos),
			       _mm512_xor_si512(j->seed, _mm512_set1_epi64(-1)));
	return _mm512_mask_xor_epi64(reduce(j, mix64(far)),
				     _mm512_cmplt_epu64_mask(pos, _mm512_set1_epi64(2)), home, pos);
}

/* Where the homes of a burst are. Lanes beyond it are id 0's. hash may be NULL. */
static inline void homes(const struct job *j, const uint64_t *ids, uint32_t cnt, uint64_t *hash,
			 uint64_t *home)
{
	for (uint32_t i = 0; i < cnt; i += LANES) {
		__m512i h = hash_of(j, _mm512_maskz_loadu_epi64(first_lanes(cnt - i), ids + i));

		if (hash != NULL)
			_mm512_store_si512(&hash[i], h);
		_mm512_store_si512(&home[i], _mm512_slli_epi64(reduce(j, h), BUCKET_SHIFT));
	}
}

static inline const struct pl_bucket *bucket_at(const struct job *j, uint64_t offset)
{
	return (const struct pl_bucket *)(const void *)((const uint8_t *)j->buckets + offset);
}

/* pl_bucket_match() with three compares in one. @return 1 when it is there, or 0. */
static inline __attribute__((always_inline)) uint32_t
look(const struct job *j, uint64_t offset, uint64_t id, struct pl_table_hit *hit, uint32_t *meta)
{
	const struct pl_bucket *b = bucket_at(j, offset);
	/* The fourth lane is meta, which is no certificate's. */
	const __m128i kinds =
		_mm_setr_epi32(PL_CERT_KIND_MAX, PL_CERT_KIND_MAX, PL_CERT_KIND_MAX, 0);
	/* SLOT-PUB: facts, then ids. META-PUB: the meta word comes with the facts; a key that was
	 * put before has its signpost there. */
	__m128i facts = _mm_load_si128((const __m128i *)(const void *)&b->facts[0]);
	uint32_t eq;

	__asm__ volatile("" : "+v"(facts) : : "memory");
	/* The fourth lane is the first seen word; kinds has nothing for it. */
	eq = _mm_mask_test_epi32_mask(
		_mm256_cmpeq_epi64_mask(_mm256_load_si256((const __m256i *)(const void *)&b->id[0]),
					_mm256_set1_epi64x((long long)id)),
		facts, kinds);
	/* At most one lane is left: 1, 2, 4 are slots 0, 1, 2. */
	hit->slot = offset >> (BUCKET_SHIFT - 2) | eq >> 1;
	hit->facts = (uint32_t)_mm_cvtsi128_si32(_mm_maskz_compress_epi32((__mmask8)eq, facts));
	hit->found = eq != 0;
	*meta = (uint32_t)_mm_extract_epi32(facts, 3);
	return eq != 0;
}

/* Those of eight that are open and that meta leads on go to pending, with their homes for buckets.
 * @return how many are there now. */
static inline uint32_t settle(const struct steps *s, uint32_t first, __mmask8 open,
			      struct pl_table_pending *p, uint32_t pending_cnt)
{
	const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
	__m512i meta = _mm512_cvtepu32_epi64(
		_mm256_load_si256((const __m256i *)(const void *)&s->meta[first]));
	__m512i match = match_of(meta, tag_of(_mm512_load_si512(&s->hash[first])));
	__mmask8 on = _mm512_mask_test_epi64_mask(
		open, _mm512_or_si512(match, _mm512_srli_epi64(meta, PL_META_LEVEL_SHIFT)),
		_mm512_set1_epi64(-1));

	/* Whole vectors: there is room for eight more. */
	_mm512_storeu_si512(&p->bucket[pending_cnt],
			    _mm512_maskz_compress_epi64(on, _mm512_load_si512(&s->home[first])));
	_mm512_storeu_si512(&p->lead[pending_cnt],
			    _mm512_maskz_compress_epi64(
				    on, _mm512_or_si512(meta, _mm512_slli_epi64(match, 32))));
	_mm512_storeu_si512(
		&p->idx[pending_cnt],
		_mm512_maskz_compress_epi64(on, _mm512_add_epi64(lanes, _mm512_set1_epi64(first))));
	return pending_cnt + (uint32_t)__builtin_popcount(on);
}

/* Where they lead, eight at a time, and the fetches. */
static inline void ask(const struct pl_table_reader *r, const struct job *j,
		       struct pl_table_pending *p)
{
	for (uint32_t k = 0; k < p->cnt; k += LANES) {
		__mmask8 live = first_lanes(p->cnt - k);
		__m512i lead = _mm512_maskz_loadu_epi64(live, &p->lead[k]);
		__m512i home = _mm512_srli_epi64(_mm512_loadu_si512(&p->bucket[k]), BUCKET_SHIFT);
		__m512i bucket = first_bucket(j, home, lead, _mm512_srli_epi64(lead, 32));

		for (uint32_t deep = _mm512_test_epi64_mask(lead, _mm512_set1_epi64(PL_META_DEEP));
		     PL_UNLIKELY(deep != 0); deep &= deep - 1) {
			uint32_t n = k + (uint32_t)__builtin_ctz(deep);

			pl_table_prefetch_rest(r, p->bucket[n] >> BUCKET_SHIFT,
					       (uint32_t)p->lead[n]);
		}
		/* Those beyond the last ask for the first bucket, which does no harm. */
		_mm512_storeu_si512(&p->bucket[k], _mm512_maskz_mov_epi64(live, bucket));
		__asm__ volatile("" : : "r"(p) : "memory");
		for (uint32_t n = 0; n < LANES; n++)
			pl_prefetch(&j->buckets[p->bucket[k + n]]);
	}
}

static inline struct job job_of(const struct pl_table_reader *r)
{
	return (struct job){
		.buckets = r->buckets,
		.bucket_cnt = _mm512_set1_epi64((long long)r->bucket_cnt),
		.seed = _mm512_set1_epi64((long long)r->seed),
	};
}

/* No branch depends on what is found, as in pl_table_burst.c. */
void pl_table_start_avx512(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
			   struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt,
			   struct pl_table_pending *p)
{
	const struct job j = job_of(r);
	uint32_t first = 0, pending_cnt = 0;
	struct steps s;

	PL_DCHECK(cnt <= PL_TABLE_BURST_MAX && next_cnt <= cnt);
	homes(&j, ids, cnt, s.hash, s.home);
	homes(&j, next_ids, next_cnt, NULL, s.next_home);
	for (; first + LANES <= next_cnt; first += LANES) {
		uint32_t found = 0;

		for (size_t i = first; i < (size_t)first + LANES; i++) {
			pl_prefetch_far(bucket_at(&j, s.next_home[i]));
			found |= look(&j, s.home[i], ids[i], &hits[i], &s.meta[i]) << (i - first);
		}
		pending_cnt = settle(&s, first, (__mmask8)~found, p, pending_cnt);
	}
	for (size_t i = first; i < next_cnt; i++)
		pl_prefetch_far(bucket_at(&j, s.next_home[i]));
	for (; first < cnt; first += LANES) {
		uint32_t found = 0;

		for (size_t i = first; i < cnt && i < (size_t)first + LANES; i++)
			found |= look(&j, s.home[i], ids[i], &hits[i], &s.meta[i]) << (i - first);
		pending_cnt = settle(&s, first, (__mmask8)(~found & first_lanes(cnt - first)), p,
				     pending_cnt);
	}
	p->cnt = pending_cnt;
	r->counters.second_line += pending_cnt;
	ask(r, &j, p);
}

void pl_table_finish_avx512(struct pl_table_reader *r, const struct pl_table_pending *p)
{
	const struct job j = {.buckets = r->buckets};
	uint64_t absent = 0;
	uint32_t meta;

	for (size_t k = 0; k < p->cnt; k++) {
		uint64_t i = p->idx[k];

		absent |= (uint64_t)(look(&j, p->bucket[k] << BUCKET_SHIFT, p->ids[i], &p->hits[i],
					  &meta) ^
				     1)
			  << k;
	}
	for (; absent != 0; absent &= absent - 1)
		find_further(r, p, (uint32_t)__builtin_ctzll(absent));
}
#endif
