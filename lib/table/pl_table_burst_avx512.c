/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A burst of lookups with AVX-512 (F, VL, DQ). What is done for each key alone is its fetch, its two loads
 * and its compare; homes are hashed eight at a time, hits written four at a time, and signposts
 * matched sixteen at a time. What was looked at goes from register to register: a vector loaded from words
 * that were just stored would wait for them.
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
#define GROUP        16u
#define BUCKET_SHIFT 6u
static_assert(sizeof(struct pl_bucket) == 1u << BUCKET_SHIFT, "bytes of a bucket");
static_assert(PL_TABLE_BURST_MAX % GROUP == 0, "whole groups fit where a burst does");

/* What does not change in a burst. */
struct job {
	const struct pl_bucket *buckets;
	__m512i bucket_cnt;
	__m512i seed;
};

/* A burst between the steps of its lookups. */
struct steps {
	alignas(64) uint64_t home[PL_TABLE_BURST_MAX]; /* bytes from the first bucket */
	alignas(64) uint64_t next_home[PL_TABLE_BURST_MAX];
	alignas(64) uint32_t hash[PL_TABLE_BURST_MAX]; /* the low half, which has the tag */
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

/* pl_table_tag() of sixteen, from the low halves of their hashes. */
static inline __m512i tag_of(__m512i hash)
{
	__m512i part = _mm512_srli_epi32(hash, PL_TABLE_TAG_SHIFT);

	part = _mm512_sub_epi32(_mm512_slli_epi32(part, 6), part); /* * PL_META_TAG_MASK */
	return _mm512_add_epi32(_mm512_srli_epi32(part, 16), _mm512_set1_epi32(1));
}

/* pl_meta_match() */
static inline __m512i match_of(__m512i meta, __m512i tag)
{
	__m512i all =
		_mm512_mullo_epi32(tag, _mm512_set1_epi32(PL_META_SIGN_ONES << PL_META_TAG_SHIFT));
	__m512i diff =
		_mm512_and_si512(_mm512_xor_si512(meta, all), _mm512_set1_epi32(PL_META_TAG_BITS));
	__m512i carry = _mm512_add_epi32(diff, _mm512_set1_epi32(PL_META_TAG_BITS));

	return _mm512_andnot_si512(carry, _mm512_set1_epi32(PL_META_CARRY_BITS));
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

/* Where the homes of a burst are; beyond it, up to a multiple of eight, those of id 0. hash may be NULL. */
static inline void homes(const struct job *j, const uint64_t *ids, uint32_t cnt, uint32_t *hash,
			 uint64_t *home)
{
	for (uint32_t i = 0; i < cnt; i += LANES) {
		__m512i h = hash_of(j, _mm512_maskz_loadu_epi64(first_lanes(cnt - i), ids + i));

		if (hash != NULL)
			_mm256_store_si256((__m256i *)(void *)&hash[i], _mm512_cvtepi64_epi32(h));
		_mm512_store_si512(&home[i], _mm512_slli_epi64(reduce(j, h), BUCKET_SHIFT));
	}
}

static inline const struct pl_bucket *bucket_at(const struct job *j, uint64_t offset)
{
	return (const struct pl_bucket *)(const void *)((const uint8_t *)j->buckets + offset);
}

/*
 * pl_bucket_match() with three compares in one.
 *
 * @param slot  the slot that has the key, as a bit, or 0.
 * @return its facts in their lane, zeros in the other two, and meta in the fourth.
 */
static inline __attribute__((always_inline)) __m128i look(const struct job *j, uint64_t offset,
							  uint64_t id, __mmask8 *slot)
{
	const struct pl_bucket *b = bucket_at(j, offset);
	/* The fourth lane is meta, which is no certificate's. */
	const __m128i kinds =
		_mm_setr_epi32(PL_CERT_KIND_MAX, PL_CERT_KIND_MAX, PL_CERT_KIND_MAX, 0);
	/* SLOT-PUB: facts, then ids. META-PUB: the meta word comes with the facts; a key that was
	 * put before has its signpost there. */
	__m128i facts = _mm_load_si128((const __m128i *)(const void *)&b->facts[0]);
	__mmask8 eq;

	__asm__ volatile("" : "+v"(facts) : : "memory");
	/* The fourth lane is the first seen word; kinds has nothing for it. */
	eq = _mm_mask_test_epi32_mask(
		_mm256_cmpeq_epi64_mask(_mm256_load_si256((const __m256i *)(const void *)&b->id[0]),
					_mm256_set1_epi64x((long long)id)),
		facts, kinds);
	*slot = eq;
	return _mm_mask_mov_epi32(_mm_and_si128(facts, _mm_setr_epi32(0, 0, 0, -1)), eq, facts);
}

/* Four, one after the other in a vector. */
static inline __attribute__((always_inline)) __m512i
look4(const struct job *j, const uint64_t *offset, const uint64_t *ids)
{
	__mmask8 slot;
	__m128i a = look(j, offset[0], ids[0], &slot), b = look(j, offset[1], ids[1], &slot);
	__m128i c = look(j, offset[2], ids[2], &slot), d = look(j, offset[3], ids[3], &slot);

	return _mm512_inserti64x4(
		_mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1)),
		_mm256_inserti128_si256(_mm256_castsi128_si256(c), d, 1), 1);
}

/* What look4() found at these offsets, as four struct pl_table_hit. */
static inline __m512i hits_of(__m512i found, const uint64_t *offset)
{
	__m512i facts = _mm512_maskz_mov_epi32(0x7777, found);
	__mmask16 slot = _mm512_test_epi32_mask(facts, facts);
	__m512i hit = _mm512_maskz_expand_epi64(
		0x55, _mm512_castsi256_si512(_mm256_srli_epi64(
			      _mm256_load_si256((const __m256i *)(const void *)offset),
			      BUCKET_SHIFT - 2)));

	facts = _mm512_or_si512(facts, _mm512_shuffle_epi32(facts, _MM_PERM_CDAB));
	facts = _mm512_or_si512(facts, _mm512_shuffle_epi32(facts, _MM_PERM_BADC));
	/* The slot in the bucket: a lane's bit comes down to the lowest of the four. */
	hit = _mm512_mask_or_epi32(hit, _kshiftri_mask16(slot, 1), hit,
				   _mm512_set4_epi32(0, 0, 0, 1));
	hit = _mm512_mask_or_epi32(hit, _kshiftri_mask16(slot, 2), hit,
				   _mm512_set4_epi32(0, 0, 0, 2));
	static_assert(sizeof(struct pl_table_hit) == 16 &&
			      offsetof(struct pl_table_hit, facts) == 8 &&
			      offsetof(struct pl_table_hit, found) == 12,
		      "four lanes a hit");
	/* The third lane is facts, the fourth 1 if there are any. */
	return _mm512_mask_min_epu32(hit, 0xcccc, facts, _mm512_set4_epi32(1, -1, 0, 0));
}

/* The last lane of each of sixteen quarters of a vector, in the order of the lookups. */
static inline __m512i last_lanes(const __m512i v[4])
{
	const __m512i lanes =
		_mm512_setr_epi32(3, 7, 11, 15, 19, 23, 27, 31, 3, 7, 11, 15, 19, 23, 27, 31);

	return _mm512_mask_blend_epi32(0xff00, _mm512_permutex2var_epi32(v[0], lanes, v[1]),
				       _mm512_permutex2var_epi32(v[2], lanes, v[3]));
}

/* Of sixteen lookups of which cnt count, those that are not there and that meta leads on go to pending.
 * @return how many are there now. */
static inline __attribute__((always_inline)) uint32_t
settle(const struct steps *s, uint32_t first, uint32_t cnt, __m512i meta, __m512i found,
       struct pl_table_pending *p, uint32_t pending_cnt)
{
	const __m512i lanes =
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	__m512i match = match_of(meta, tag_of(_mm512_load_si512(&s->hash[first])));
	__m512i leads = _mm512_or_si512(match, _mm512_srli_epi32(meta, PL_META_LEVEL_SHIFT));
	__mmask16 on =
		_mm512_mask_test_epi32_mask(_mm512_testn_epi32_mask(found, found), leads, leads);

	if (cnt < GROUP)
		on &= (__mmask16)((1u << cnt) - 1u);
	/* Whole vectors: there is room for sixteen more, as no more than first are there yet. */
	_mm512_storeu_si512(&p->meta[pending_cnt], _mm512_maskz_compress_epi32(on, meta));
	_mm512_storeu_si512(&p->match[pending_cnt], _mm512_maskz_compress_epi32(on, match));
	_mm512_storeu_si512(&p->idx[pending_cnt],
			    _mm512_maskz_compress_epi32(
				    on, _mm512_add_epi32(lanes, _mm512_set1_epi32((int)first))));
	return pending_cnt + (uint32_t)__builtin_popcount(on);
}

/* Sixteen, and the fetches for sixteen of the next burst. @return as settle(). */
static inline __attribute__((always_inline)) uint32_t
group(const struct job *j, const struct steps *s, const uint64_t *ids, struct pl_table_hit *hits,
      uint32_t first, bool fetch, struct pl_table_pending *p, uint32_t pending_cnt)
{
	__m512i found[4], four[4];

#pragma GCC unroll 4
	for (uint32_t k = 0; k < 4; k++) {
		uint32_t at = first + 4 * k;

		if (fetch)
			for (uint32_t n = 0; n < 4; n++)
				pl_prefetch_far(bucket_at(j, s->next_home[at + n]));
		found[k] = look4(j, &s->home[at], &ids[at]);
		four[k] = hits_of(found[k], &s->home[at]);
		_mm512_storeu_si512(&hits[at], four[k]);
	}
	return settle(s, first, GROUP, last_lanes(found), last_lanes(four), p, pending_cnt);
}

/* The last cnt, fewer than sixteen; what is looked up beyond them is id 0, for nobody. */
static uint32_t group_rest(const struct job *j, const struct steps *s, const uint64_t *ids,
			   struct pl_table_hit *hits, uint32_t first, uint32_t cnt,
			   struct pl_table_pending *p, uint32_t pending_cnt)
{
	__m512i found[4] = {0}, four[4] = {0};
	uint64_t padded[GROUP] = {0};

	memcpy(padded, &ids[first], cnt * sizeof(padded[0]));
	for (uint32_t k = 0, at = 0; at < cnt; k++, at += 4) {
		found[k] = look4(j, &s->home[first + at], &padded[at]);
		four[k] = hits_of(found[k], &s->home[first + at]);
		/* Two words a hit. */
		_mm512_mask_storeu_epi64(&hits[first + at], first_lanes((cnt - at) * 2), four[k]);
	}
	return settle(s, first, cnt, last_lanes(found), last_lanes(four), p, pending_cnt);
}

/* Where they lead, eight at a time, and the fetches. */
static inline void ask(const struct pl_table_reader *r, const struct job *j, const struct steps *s,
		       struct pl_table_pending *p)
{
	for (uint32_t k = 0; k < p->cnt; k += LANES) {
		__mmask8 live = first_lanes(p->cnt - k);
		__m512i meta = _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(live, &p->meta[k]));
		__m512i match = _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(live, &p->match[k]));
		__m512i home = _mm512_mask_i32gather_epi64(
			_mm512_setzero_si512(), live, _mm256_maskz_loadu_epi32(live, &p->idx[k]),
			s->home, sizeof(s->home[0]));
		__m512i bucket =
			first_bucket(j, _mm512_srli_epi64(home, BUCKET_SHIFT), meta, match);

		for (uint32_t deep = _mm512_test_epi64_mask(meta, _mm512_set1_epi64(PL_META_DEEP));
		     PL_UNLIKELY(deep != 0); deep &= deep - 1) {
			uint32_t n = k + (uint32_t)__builtin_ctz(deep);

			pl_table_prefetch_rest(r, s->home[p->idx[n]] >> BUCKET_SHIFT, p->meta[n]);
		}
		/* Those beyond the last ask for the first bucket, which does no harm. */
		_mm512_storeu_si512(&p->bucket[k], _mm512_maskz_mov_epi64(live, bucket));
		__asm__ volatile("" : : "r"(p) : "memory");
		for (uint32_t n = 0; n < LANES; n++)
			pl_prefetch_far(&j->buckets[p->bucket[k + n]]);
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
	uint32_t i = 0, pending_cnt = 0;
	struct steps s;

	PL_DCHECK(cnt <= PL_TABLE_BURST_MAX && next_cnt <= cnt);
	homes(&j, ids, cnt, s.hash, s.home);
	homes(&j, next_ids, next_cnt, NULL, s.next_home);
	for (; i + GROUP <= next_cnt; i += GROUP)
		pending_cnt = group(&j, &s, ids, hits, i, true, p, pending_cnt);
	for (uint32_t n = i; n < next_cnt; n++)
		pl_prefetch_far(bucket_at(&j, s.next_home[n]));
	for (; i + GROUP <= cnt; i += GROUP)
		pending_cnt = group(&j, &s, ids, hits, i, false, p, pending_cnt);
	if (i < cnt)
		pending_cnt = group_rest(&j, &s, ids, hits, i, cnt - i, p, pending_cnt);
	p->cnt = pending_cnt;
	r->counters.second_line += pending_cnt;
	ask(r, &j, &s, p);
}

void pl_table_finish_avx512(struct pl_table_reader *r, const struct pl_table_pending *p)
{
	const struct job j = {.buckets = r->buckets};
	uint64_t absent = 0;

	for (size_t k = 0; k < p->cnt; k++) {
		uint64_t offset = p->bucket[k] << BUCKET_SHIFT;
		struct pl_table_hit *hit = &p->hits[p->idx[k]];
		__mmask8 eq;
		__m128i facts = look(&j, offset, p->ids[p->idx[k]], &eq);

		/* At most one lane is left: 1, 2, 4 are slots 0, 1, 2. */
		hit->slot = offset >> (BUCKET_SHIFT - 2) | (uint32_t)eq >> 1;
		hit->facts = (uint32_t)_mm_cvtsi128_si32(_mm_maskz_compress_epi32(eq, facts));
		hit->found = eq != 0;
		absent |= (uint64_t)(eq == 0) << k;
	}
	for (; absent != 0; absent &= absent - 1)
		find_further(r, p, (uint32_t)__builtin_ctzll(absent));
}
#endif
