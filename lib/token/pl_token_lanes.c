/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The token check, several tokens in lockstep. Compiled once for each CPU variant, which defines
 *
 *     PL_TOKEN_CHECK  name of the function
 *     PL_TOKEN_LANES  tokens in one vector: 1 (a plain word), 4 or 8
 *     PL_TOKEN_WAYS   vectors in flight at once. One SipRound is a chain of dependent operations
 *                     that leaves execution units idle; a second, independent chain fills them.
 *
 * Both hash steps take exactly 16 bytes, so the message loop is unrolled into two words and the
 * length word, and the first step's result goes into the second without leaving its registers.
 * No branch and no address depends on a key or a tag.
 */

#include "token/pl_token_pvt.h"

#if PL_TOKEN_LANES > 1
#include <immintrin.h>
#endif

#define LANES PL_TOKEN_LANES
#define WAYS  PL_TOKEN_WAYS
#define GROUP (LANES * WAYS)

#define UNROLLED _Pragma("GCC unroll 8") for (int w = 0; w < ways; w++)

#if LANES == 1
typedef uint64_t vec64;
#else
typedef uint64_t vec64 __attribute__((vector_size(LANES * 8)));
typedef uint32_t vec32 __attribute__((vector_size(LANES * 4)));
typedef uint8_t vec8 __attribute__((vector_size(LANES)));
#endif

struct sip {
	vec64 v0, v1, v2, v3;
};

/* always_inline throughout: a call would spill the vectors that this file is about, and with
 * ways known the loops vanish. */
#define LANE_INLINE static inline __attribute__((always_inline))

LANE_INLINE vec64 rotl(vec64 x, int bits)
{
	return x << bits | x >> (64 - bits);
}

LANE_INLINE void sip_rounds(struct sip *s, int ways, int rounds)
{
	for (int r = 0; r < rounds; r++) {
		UNROLLED s[w].v0 += s[w].v1;
		UNROLLED s[w].v2 += s[w].v3;
		UNROLLED s[w].v1 = rotl(s[w].v1, 13) ^ s[w].v0;
		UNROLLED s[w].v3 = rotl(s[w].v3, 16) ^ s[w].v2;
		UNROLLED s[w].v0 = rotl(s[w].v0, 32);
		UNROLLED s[w].v2 += s[w].v1;
		UNROLLED s[w].v0 += s[w].v3;
		UNROLLED s[w].v1 = rotl(s[w].v1, 17) ^ s[w].v2;
		UNROLLED s[w].v3 = rotl(s[w].v3, 21) ^ s[w].v0;
		UNROLLED s[w].v2 = rotl(s[w].v2, 32);
	}
}

LANE_INLINE void sip_absorb(struct sip *s, const vec64 *m, int ways)
{
	UNROLLED s[w].v3 ^= m[w];
	sip_rounds(s, ways, 2);
	UNROLLED s[w].v0 ^= m[w];
}

/* SipHash-2-4-128 of the 16 bytes m0 | m1; the key is replaced by the result. */
LANE_INLINE void sip_hash(vec64 *k0, vec64 *k1, const vec64 *m0, const vec64 *m1, int ways)
{
	const vec64 zero = {0};
	struct sip s[WAYS];
	vec64 size[WAYS];

	UNROLLED
	{
		s[w].v0 = k0[w] ^ 0x736f6d6570736575ULL;
		s[w].v1 = k1[w] ^ 0x646f72616e646f6dULL ^ 0xeeULL;
		s[w].v2 = k0[w] ^ 0x6c7967656e657261ULL;
		s[w].v3 = k1[w] ^ 0x7465646279746573ULL;
		size[w] = zero + (16ULL << 56);
	}
	sip_absorb(s, m0, ways);
	sip_absorb(s, m1, ways);
	sip_absorb(s, size, ways);
	UNROLLED s[w].v2 ^= zero + 0xeeULL;
	sip_rounds(s, ways, 4);
	UNROLLED k0[w] = s[w].v0 ^ s[w].v1 ^ s[w].v2 ^ s[w].v3;
	UNROLLED s[w].v1 ^= zero + 0xddULL;
	sip_rounds(s, ways, 4);
	UNROLLED k1[w] = s[w].v0 ^ s[w].v1 ^ s[w].v2 ^ s[w].v3;
}

/* Loads of `cnt` lanes, 1 .. LANES, that touch no byte beyond them; the other lanes are zero. */
LANE_INLINE vec64 load64(const uint64_t *p, uint32_t cnt)
{
#if LANES == 1
	(void)cnt;
	return *p;
#else
	vec64 v;

	if (cnt == LANES) {
		memcpy(&v, p, sizeof(v));
		return v;
	}
#if LANES == 8
	return (vec64)_mm512_maskz_loadu_epi64((__mmask8)((1u << cnt) - 1), p);
#else
	const vec64 lane = {0, 1, 2, 3};

	return (vec64)_mm256_maskload_epi64((const long long *)p, (__m256i)(lane < cnt));
#endif
#endif
}

LANE_INLINE vec64 load32(const uint32_t *p, uint32_t cnt)
{
#if LANES == 1
	(void)cnt;
	return *p;
#else
	vec32 v;

	if (cnt == LANES) {
		memcpy(&v, p, sizeof(v));
		return __builtin_convertvector(v, vec64);
	}
#if LANES == 8
	return (vec64)_mm512_cvtepu32_epi64(
		_mm256_maskz_loadu_epi32((__mmask8)((1u << cnt) - 1), p));
#else
	const vec32 lane = {0, 1, 2, 3};

	v = (vec32)_mm_maskload_epi32((const int *)p, (__m128i)(lane < cnt));
	return __builtin_convertvector(v, vec64);
#endif
#endif
}

LANE_INLINE void store_ok(uint8_t *ok, vec64 diff, uint32_t cnt)
{
#if LANES == 1
	(void)cnt;
	*ok = diff == 0;
#else
	vec8 bytes = __builtin_convertvector((vec64)(diff == 0) & 1, vec8);

	if (cnt == LANES) {
		memcpy(ok, &bytes, sizeof(bytes));
		return;
	}
	for (uint32_t i = 0; i < cnt; i++)
		ok[i] = bytes[i];
#endif
}

/* Check cnt tokens from idx on: ways * LANES of them, or 1 .. LANES with one way. */
LANE_INLINE void check_group(const struct pl_token_batch *b, uint32_t idx, uint32_t cnt,
			     uint8_t *ok, int ways)
{
	vec64 k0[WAYS], k1[WAYS], id[WAYS], m1[WAYS];

	UNROLLED
	{
		uint32_t i = idx + (uint32_t)w * LANES;

		k0[w] = load64(b->master0 + i, cnt);
		k1[w] = load64(b->master1 + i, cnt);
		id[w] = load64(b->cert_id + i, cnt);
		m1[w] = load32(b->generation + i, cnt) | (uint64_t)PL_TOKEN_LABEL_KEY << 32;
	}
	sip_hash(k0, k1, id, m1, ways);
	UNROLLED m1[w] = load32(b->shown_at + idx + (uint32_t)w * LANES, cnt) |
			 (uint64_t)PL_TOKEN_LABEL_TAG << 32;
	sip_hash(k0, k1, id, m1, ways);
	UNROLLED
	{
		uint32_t i = idx + (uint32_t)w * LANES;
		vec64 diff = (k0[w] ^ load64(b->tag0 + i, cnt)) |
			     ((k1[w] ^ load32(b->tag1 + i, cnt)) & 0xffffffffULL);

		store_ok(ok + i, diff, cnt);
	}
}

void PL_TOKEN_CHECK(const struct pl_token_batch *b, uint32_t cnt, uint8_t *ok)
{
	uint32_t idx = 0;

	for (; cnt - idx >= GROUP; idx += GROUP)
		check_group(b, idx, LANES, ok, WAYS);
	if (idx == cnt)
		return;
	/* What is left is done as a full group that ends at the last token: some tokens are
	 * checked twice, which costs nothing, and no lane is empty. */
	if (WAYS > 1 && cnt >= GROUP && cnt - idx > LANES) {
		check_group(b, cnt - GROUP, LANES, ok, WAYS);
		return;
	}
	for (; cnt - idx >= LANES; idx += LANES)
		check_group(b, idx, LANES, ok, 1);
	if (idx == cnt)
		return;
	if (cnt >= LANES)
		check_group(b, cnt - LANES, LANES, ok, 1);
	else
		check_group(b, idx, cnt - idx, ok, 1);
}
