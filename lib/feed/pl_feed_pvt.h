/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the feed's checker and its writer must do alike.
 */
#ifndef PL_FEED_PVT_H
#define PL_FEED_PVT_H

#include <sodium.h>

#include "feed/pl_feed.h"

#define PL_FEED_SIGN_PREFIX      "PL1-segment"
#define PL_FEED_SIGN_PREFIX_SIZE 11u
#define PL_FEED_SIGN_SIZE        (PL_FEED_SIGN_PREFIX_SIZE + PL_FEED_HASH_SIZE)

static_assert(PL_FEED_PUBKEY_SIZE == crypto_sign_PUBLICKEYBYTES, "Ed25519");
static_assert(PL_FEED_SECKEY_SIZE == crypto_sign_SECRETKEYBYTES, "Ed25519");
static_assert(PL_FEED_SIG_SIZE == crypto_sign_BYTES, "Ed25519");
static_assert(PL_FEED_HASH_SIZE == crypto_generichash_BYTES, "BLAKE2b-256");

/** The message that is signed; and the hash state, to go on with over the signature. */
static inline void pl_feed_sign_message(const uint8_t *data, size_t unsigned_size,
					uint8_t message[PL_FEED_SIGN_SIZE],
					crypto_generichash_state *state)
{
	crypto_generichash_state fork;

	crypto_generichash_init(state, NULL, 0, PL_FEED_HASH_SIZE);
	crypto_generichash_update(state, data, unsigned_size);
	fork = *state;
	memcpy(message, PL_FEED_SIGN_PREFIX, PL_FEED_SIGN_PREFIX_SIZE);
	crypto_generichash_final(&fork, message + PL_FEED_SIGN_PREFIX_SIZE, PL_FEED_HASH_SIZE);
}

/** The hash of the whole file, from the state that pl_feed_sign_message() left. */
static inline void pl_feed_file_hash(crypto_generichash_state *state,
				     const uint8_t sig[PL_FEED_SIG_SIZE],
				     uint8_t hash[PL_FEED_HASH_SIZE])
{
	crypto_generichash_update(state, sig, PL_FEED_SIG_SIZE);
	crypto_generichash_final(state, hash, PL_FEED_HASH_SIZE);
}

static inline bool pl_feed_record_valid(const struct pl_feed_record *r)
{
	uint32_t spare = r->zero[0] | r->zero[1] | r->zero[2];

	if (r->cert_id == 0 || spare != 0)
		return false;
	if (r->op == PL_FEED_PUT)
		return pl_facts_valid(r->facts);
	return r->op == PL_FEED_REMOVE && r->facts == 0;
}

static inline bool pl_feed_header_sound(const struct pl_feed_header *h)
{
	static const uint8_t zeros[sizeof(h->zero)];

	/* A first segment has nothing before it, and no other one has nothing. */
	if (h->stream_id == 0 || h->sequence == 0 || h->as_of == 0 || h->as_of > UINT32_MAX)
		return false;
	if ((h->sequence == 1) != (memcmp(h->previous, zeros, PL_FEED_HASH_SIZE) == 0))
		return false;
	return memcmp(h->zero, zeros, sizeof(zeros)) == 0;
}

#endif
