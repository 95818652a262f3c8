/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hash inside the token check, laid bare for token_test.c: compiled once for each variant,
 * with the variant's own flags, and named by PL_TOKEN_HASH16.
 */
#include "token/pl_token.h"

void PL_TOKEN_CHECK(const struct pl_token_batch *b, uint32_t cnt, uint8_t *ok);

#include "token/pl_token_lanes.c"

void PL_TOKEN_HASH16(const uint8_t key[16], const uint8_t message[16], uint8_t out[][16]);

static void put_lanes(const struct step *x, uint8_t out[][16])
{
	uint64_t words[2][LANES];

	memcpy(words[0], &x->k0, sizeof(words[0]));
	memcpy(words[1], &x->k1, sizeof(words[1]));
	for (int lane = 0; lane < LANES; lane++) {
		pl_le64_put(out[lane], words[0][lane]);
		pl_le64_put(out[lane] + 8, words[1][lane]);
	}
}

/* The first vector's lanes hold the message, the second's the message with its first bit
 * flipped, so that a mix-up of the two shows; then one vector alone. */
void PL_TOKEN_HASH16(const uint8_t key[16], const uint8_t message[16], uint8_t out[][16])
{
	const vec64 zero = {0};
	struct step x = {
		.k0 = zero + pl_le64_get(key),
		.k1 = zero + pl_le64_get(key + 8),
		.m0 = zero + pl_le64_get(message),
		.m1 = zero + pl_le64_get(message + 8),
	};
	struct step y = x, alone = x;

	y.m0 ^= 1;
	sip_hash(&x, &y);
	sip_hash(&alone, NULL);
	put_lanes(&x, out);
	put_lanes(&y, out + LANES);
	put_lanes(&alone, out + 2 * LANES);
}
