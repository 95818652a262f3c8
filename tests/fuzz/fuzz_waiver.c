/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a waiver, as they are and signed anew by a key that the target knows, so that what
 * lies behind the signature is reached. What is accepted is bounded, and written back byte for byte.
 */
#include <sodium.h>

#include "waiver/pl_waiver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DOMAIN "PL1-waiver"

static uint8_t pubkey[PL_WAIVER_PUBKEY_SIZE];
static uint8_t seckey[PL_WAIVER_SECKEY_SIZE];

static void check(const uint8_t *data, size_t size)
{
	uint8_t back[PL_WAIVER_SIZE];
	char error[256];
	struct pl_waiver w;
	uint64_t stream_id = size >= 24 ? pl_le64_get(data + 16) : 0;

	if (pl_waiver_open(data, size, stream_id, pubkey, &w, error, sizeof(error)) != 0) {
		PL_CHECK(w.serial == 0 && w.until_s == 0);
		return;
	}
	PL_CHECK(size == PL_WAIVER_SIZE && w.serial != 0 && w.reason[0] != '\0');
	PL_CHECK(w.until_s >= w.from_s && w.until_s - w.from_s <= PL_WAIVER_SPAN_S_MAX);
	PL_CHECK(memchr(w.reason, '\0', sizeof(w.reason)) != NULL);
	PL_CHECK(pl_waiver_seal(&w, seckey, back, error, sizeof(error)) == 0);
	PL_CHECK(memcmp(back, data, sizeof(back)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	uint8_t mine[PL_WAIVER_SIZE], message[sizeof(DOMAIN) - 1 + 32] = DOMAIN;

	if (!ready) {
		uint8_t seed[crypto_sign_SEEDBYTES];

		PL_CHECK(sodium_init() >= 0);
		for (uint8_t i = 0; i < sizeof(seed); i++)
			seed[i] = i;
		crypto_sign_seed_keypair(pubkey, seckey, seed);
		ready = true;
	}
	check(data, size);
	if (size != sizeof(mine))
		return 0;
	memcpy(mine, data, sizeof(mine));
	crypto_generichash(message + sizeof(DOMAIN) - 1, 32, mine, 256, NULL, 0);
	crypto_sign_detached(mine + 256, NULL, message, sizeof(message), seckey);
	check(mine, sizeof(mine));
	return 0;
}
