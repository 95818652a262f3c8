/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A burst of lookups, eight at a time, with AVX-512 (F, VL, DQ): homes, compares, signposts and
 * results are vectors, and what is done for each key alone is its two loads and its fetch. About a
 * quarter of the instructions of one key at a time, and that matters beyond their own time: a fetch
 * whose address is not in the TLB holds up retirement, and how many others go on meanwhile depends on
 * how much work fits behind it.
 */
#include "table/pl_table_burst.h"

#ifdef PL_TABLE_SCALAR /* under ThreadSanitizer, which cannot follow vectors */
void pl_table_burst_avx512(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
			   struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt)
{
	pl_table_burst_scalar(r, ids, cnt, hits, next_ids, next_cnt);
}
#else
#include <immintrin.h>

#define LANES 8u

/* What does not change in a burst. */
struct job {
	struct pl_bucket *buckets;
	__m512i bucket_cnt;
	__m512i seed;
};

/* pl_table_hash() and pl_table_reduce() of eight ids. */
static inline __m512i hash_of(const struct job *j, __m512i ids)
{
	__m512i h = _mm512_mullo_epi64(_mm512_xor_si512(ids, j->seed),
				       _mm512_set1_epi64((long long)PL_TABLE_HASH_MUL1));

	h = _mm512_xor_si512(h, _mm512_srli_epi64(h, 32));
	return _mm512_mullo_epi64(h, _mm512_set1_epi64((long long)PL_TABLE_HASH_MUL2));
}

static inline __m512i home_of(const struct job *j, __m512i hash)
{
	return _mm512_srli_epi64(_mm512_mul_epu32(_mm512_srli_epi64(hash, 32), j->bucket_cnt), 32);
}

static inline const uint8_t *bucket_at(const struct job *j, uint64_t offset)
{
	return (const uint8_t *)j->buckets + offset;
}

/* The first cnt, at most eight, of these ids. */
static inline __m512i ids_load(const uint64_t *ids, uint32_t cnt)
{
	return _mm512_maskz_loadu_epi64((__mmask8)((1u << cnt) - 1u), ids);
}

static inline void fetch(const struct job *j, const uint64_t *ids, uint32_t cnt)
{
	alignas(64) uint64_t offset[LANES];

	_mm512_store_si512(offset,
			   _mm512_slli_epi64(home_of(j, hash_of(j, ids_load(ids, cnt))), 6));
	for (uint32_t k = 0; k < cnt; k++)
		pl_prefetch_far(bucket_at(j, offset[k]));
}

/* pl_table_tag(), in the low half of each lane. */
static inline __m512i tag_of(__m512i hash)
{
	__m512i part = _mm512_and_si512(_mm512_srli_epi64(hash, PL_TABLE_TAG_SHIFT),
					_mm512_set1_epi64(0xffff));

	part = _mm512_sub_epi64(_mm512_slli_epi64(part, 6), part); /* * PL_META_TAG_MASK */
	return _mm512_add_epi64(_mm512_srli_epi64(part, 16), _mm512_set1_epi64(1));
}

/* Not 0 where a meta word leads on for this tag: pl_meta_match(), or a level. */
static inline __m512i leads_of(__m512i meta, __m512i tag)
{
	__m512i all =
		_mm512_mul_epu32(tag, _mm512_set1_epi64(PL_META_SIGN_ONES << PL_META_TAG_SHIFT));
	__m512i diff =
		_mm512_and_si512(_mm512_xor_si512(meta, all), _mm512_set1_epi64(PL_META_TAG_BITS));
	__m512i carry = _mm512_add_epi64(diff, _mm512_set1_epi64(PL_META_TAG_BITS));

	return _mm512_or_si512(_mm512_andnot_si512(carry, _mm512_set1_epi64(PL_META_CARRY_BITS)),
			       _mm512_srli_epi64(meta, PL_META_LEVEL_SHIFT));
}

static inline __m128i facts_load(const struct job *j, uint64_t offset)
{
	return _mm_load_si128((const __m128i *)(const void *)(bucket_at(j, offset) +
							      offsetof(struct pl_bucket, facts)));
}

/* Facts and meta of four buckets, one in each quarter. */
static inline __m512i facts_load4(const struct job *j, const uint64_t *offset)
{
	__m512i v = _mm512_castsi128_si512(facts_load(j, offset[0]));

	v = _mm512_inserti32x4(v, facts_load(j, offset[1]), 1);
	v = _mm512_inserti32x4(v, facts_load(j, offset[2]), 2);
	return _mm512_inserti32x4(v, facts_load(j, offset[3]), 3);
}

/* Which of the three ids of a bucket is this one; the fourth lane is the first seen word. */
static inline uint32_t ids_match(const struct job *j, uint64_t offset, uint64_t id)
{
	__m256i ids = _mm256_load_si256((const __m256i *)(const void *)bucket_at(j, offset));

	return _mm256_mask_cmpeq_epi64_mask((1u << PL_TABLE_SLOTS) - 1u, ids,
					    _mm256_set1_epi64x((long long)id));
}

/* The one facts word that is left, in every lane of its quarter. */
static inline __m512i quarter_or(__m512i v)
{
	v = _mm512_or_si512(v, _mm512_shuffle_epi32(v, _MM_PERM_BADC));
	return _mm512_or_si512(v, _mm512_shuffle_epi32(v, _MM_PERM_CDAB));
}

/* Lane n of each quarter of two vectors, as eight words of 64 bits. */
static inline __m512i quarters_pick(__m512i lo, __m512i hi, int n)
{
	__m512i idx = _mm512_setr_epi32(n, 0, n + 4, 0, n + 8, 0, n + 12, 0, n + 16, 0, n + 20, 0,
					n + 24, 0, n + 28, 0);

	return _mm512_maskz_permutex2var_epi32(0x5555, lo, idx, hi);
}

static inline void hits_store(struct pl_table_hit *hits, uint32_t cnt, __m512i slot, __m512i word)
{
	const __m512i first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
	const __m512i last = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
	uint32_t mask = (1u << (2 * cnt)) - 1u;

	static_assert(sizeof(struct pl_table_hit) == 16 &&
			      offsetof(struct pl_table_hit, facts) == 8 &&
			      offsetof(struct pl_table_hit, found) == 12,
		      "two words a hit");
	_mm512_mask_storeu_epi64(hits, (__mmask8)mask,
				 _mm512_permutex2var_epi64(slot, first, word));
	if (cnt > 4)
		_mm512_mask_storeu_epi64(hits + 4, (__mmask8)(mask >> 8),
					 _mm512_permutex2var_epi64(slot, last, word));
}

static inline void pending_add(struct pending *p, __mmask8 open, __m512i home, __m512i meta,
			       __m512i tag, uint32_t first)
{
	const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
	__m512i both = _mm512_or_si512(meta, _mm512_slli_epi64(tag, 32));

	_mm512_storeu_si512(&p->bucket[p->cnt], _mm512_maskz_compress_epi64(open, home));
	_mm512_storeu_si512(&p->meta[p->cnt], _mm512_maskz_compress_epi64(open, both));
	_mm512_storeu_si512(&p->idx[p->cnt],
			    _mm512_maskz_compress_epi64(
				    open, _mm512_add_epi64(lanes, _mm512_set1_epi64(first))));
	p->cnt += (uint32_t)__builtin_popcount(open);
}

/* Look into the homes of the first cnt, at most eight, ids from first on. Lanes beyond cnt look for
 * id 0, and nobody is told what they found. */
static inline void find(const struct job *j, const uint64_t *ids, uint32_t first, uint32_t cnt,
			struct pl_table_hit *hits, struct pending *p)
{
	alignas(64) uint64_t offset[LANES], id[LANES];
	__m512i keys = ids_load(ids + first, cnt), hash = hash_of(j, keys), home = home_of(j, hash);
	__m512i lo, hi, word, meta, tag, slot;
	uint32_t match = 0;
	__mmask8 found;

	_mm512_store_si512(offset, _mm512_slli_epi64(home, 6));
	_mm512_store_si512(id, keys);
	/* SLOT-PUB: facts, then ids. META-PUB: the meta word comes with the facts; a key that was put
	 * before has its signpost there. */
	lo = facts_load4(j, offset);
	hi = facts_load4(j, offset + 4);
	__asm__ volatile("" : "+v"(lo), "+v"(hi) : : "memory");
	for (uint32_t k = 0; k < LANES; k++)
		match |= ids_match(j, offset[k], id[k]) << (4 * k);
	meta = quarters_pick(lo, hi, 3);
	match &= (uint32_t)_mm512_test_epi32_mask(lo, _mm512_set1_epi32(PL_CERT_KIND_MAX)) |
		 (uint32_t)_mm512_test_epi32_mask(hi, _mm512_set1_epi32(PL_CERT_KIND_MAX)) << 16;
	lo = quarter_or(_mm512_maskz_mov_epi32((__mmask16)match, lo));
	hi = quarter_or(_mm512_maskz_mov_epi32((__mmask16)(match >> 16), hi));
	word = quarters_pick(lo, hi, 0);
	found = _mm512_test_epi64_mask(word, word);
	word = _mm512_mask_or_epi64(word, found, word, _mm512_set1_epi64(1ll << 32));
	/* At most one bit of each four is left: 1, 2, 4 are slots 0, 1, 2. */
	slot = _mm512_and_si512(_mm512_srlv_epi64(_mm512_set1_epi64(match >> 1 & 0x33333333u),
						  _mm512_setr_epi64(0, 4, 8, 12, 16, 20, 24, 28)),
				_mm512_set1_epi64(3));
	slot = _mm512_or_si512(slot, _mm512_slli_epi64(home, 2));
	hits_store(hits + first, cnt, slot, word);
	tag = tag_of(hash);
	pending_add(p,
		    (__mmask8)(_mm512_test_epi64_mask(leads_of(meta, tag), _mm512_set1_epi64(-1)) &
			       ~found & ((1u << cnt) - 1u)),
		    home, meta, tag, first);
}

/* As in pl_table_burst.c: no branch on what is found, fetches between lookups, and some of them
 * while the second lines are on their way. */
void pl_table_burst_avx512(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
			   struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt)
{
	const struct job j = {
		.buckets = r->buckets,
		.bucket_cnt = _mm512_set1_epi64((long long)r->bucket_cnt),
		.seed = _mm512_set1_epi64((long long)r->seed),
	};
	uint32_t i = 0, k = 0;
	struct pending p;

	PL_DCHECK(cnt <= PL_TABLE_BURST_MAX && next_cnt <= cnt);
	p.cnt = 0;
	for (; i + LANES <= cnt; i += LANES) {
		if (k + LANES + FETCH_LATE_CNT <= next_cnt) {
			fetch(&j, next_ids + k, LANES);
			k += LANES;
		}
		find(&j, ids, i, LANES, hits, &p);
	}
	if (i < cnt)
		find(&j, ids, i, cnt - i, hits, &p);
	pending_ask(r, &p);
	for (; k + LANES <= next_cnt; k += LANES)
		fetch(&j, next_ids + k, LANES);
	if (k < next_cnt)
		fetch(&j, next_ids + k, next_cnt - k);
	pending_look(r, ids, hits, &p);
}
#endif
