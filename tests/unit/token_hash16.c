/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hash inside the token check, laid bare for token_test.c: compiled once for each variant,
 * with the variant's own flags, and named by PL_TOKEN_HASH16.
 */
#include "token/pl_token.h"

void PL_TOKEN_CHECK(const struct pl_token_batch *b, uint32_t cnt, uint8_t *ok);

#include "token/pl_token_lanes.c"

void PL_TOKEN_HASH16(const uint8_t key[16], const uint8_t message[16],
		     uint8_t out[WAYS][LANES][16]);

void PL_TOKEN_HASH16(const uint8_t key[16], const uint8_t message[16], uint8_t out[WAYS][LANES][16])
{
	const vec64 zero = {0};
	vec64 k0[WAYS], k1[WAYS], m0[WAYS], m1[WAYS];
	uint64_t words0[WAYS][LANES], words1[WAYS][LANES];

	for (int w = 0; w < WAYS; w++) {
		k0[w] = zero + pl_le64_get(key);
		k1[w] = zero + pl_le64_get(key + 8);
		m0[w] = zero + pl_le64_get(message);
		m1[w] = zero + pl_le64_get(message + 8);
	}
	sip_hash(k0, k1, m0, m1, WAYS);
	memcpy(words0, k0, sizeof(words0));
	memcpy(words1, k1, sizeof(words1));
	for (int w = 0; w < WAYS; w++) {
		for (int lane = 0; lane < LANES; lane++) {
			pl_le64_put(out[w][lane], words0[w][lane]);
			pl_le64_put(out[w][lane] + 8, words1[w][lane]);
		}
	}
}
