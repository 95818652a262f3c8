/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The token in a QR code: 24 bytes that only the certificate's wallet can make.
 *
 *     token    = cert_id le64 | shown_at le32 | tag 12
 *     cert_key = SipHash-2-4-128(master[key_epoch], cert_id le64 | generation le32 | "PLk1")
 *     tag      = first 12 bytes of SipHash-2-4-128(cert_key, cert_id le64 | shown_at le32 | "PLt1")
 *
 * SipHash: Aumasson and Bernstein 2012, the 128-bit variant of the reference code, which is
 * libsodium's crypto_shorthash_siphashx24. Both messages are 16 bytes, so that one function over
 * many lanes does both steps.
 */
#ifndef PL_TOKEN_H
#define PL_TOKEN_H

#include "base/pl_base.h"

#define PL_TOKEN_SIZE        24u
#define PL_TOKEN_KEY_SIZE    16u
#define PL_TOKEN_TAG_SIZE    12u
#define PL_TOKEN_TEXT_PREFIX "PL1:"
#define PL_TOKEN_TEXT_SIZE   40u /* prefix and 36 characters of base45, no NUL */
#define PL_TOKEN_LIFE_S      15u /* how long a wallet shows one token */

struct pl_token {
	uint64_t cert_id;
	uint32_t shown_at; /* unix s */
	uint8_t tag[PL_TOKEN_TAG_SIZE];
};

/** Tokens of one burst, as arrays: tokens are gathered across datagrams so that lanes are full. */
struct pl_token_batch {
	const uint64_t *cert_id;
	const uint32_t *shown_at;
	const uint32_t *generation;
	/* The master key of each token: two u64 words each, little-endian halves of the 16 bytes. */
	const uint64_t *master0;
	const uint64_t *master1;
	/* Tags to compare with: the first 8 bytes and the last 4 of each, little-endian. */
	const uint64_t *tag0;
	const uint32_t *tag1;
};

/* T(id, name for config and --help). From the slowest to the fastest. */
#define PL_TOKEN_VARIANTS(T)   \
	T(SODIUM, "libsodium") \
	T(SCALAR, "scalar")    \
	T(AVX2, "avx2")        \
	T(AVX512, "avx512")

enum pl_token_variant {
#define T(id, name) PL_TOKEN_##id,
	PL_TOKEN_VARIANTS(T)
#undef T
		PL_TOKEN_VARIANT_CNT
};

/**
 * Check a batch.
 *
 * @param cnt  any; arrays need no padding and no alignment beyond their type's, and nothing beyond
 *             cnt is read. Multiples of 16 use every lane; from 8 on, the cost of a token is
 *             within a third of the least.
 * @param ok   cnt bytes: 1 if the tag is right, 0 if not; nothing beyond cnt is written. The time
 *             depends on cnt alone, not on keys or tags.
 *
 * Thread: any. Blocks: no. Allocates: no. Errors: none.
 */
typedef void (*pl_token_check_fn)(const struct pl_token_batch *b, uint32_t cnt, uint8_t *ok);

/**
 * The fastest check that this CPU runs, and which that is (variant may be NULL);
 * pl_token_check_of() gives NULL for a variant that this CPU does not run.
 */
pl_token_check_fn pl_token_check_best(enum pl_token_variant *variant);
pl_token_check_fn pl_token_check_of(enum pl_token_variant variant);
/** Static storage; NULL if there is no such variant. */
const char *pl_token_variant_name(enum pl_token_variant variant);

/** What a wallet holds: made by the authority from its master key. By libsodium, as is the mint. */
void pl_token_cert_key(uint8_t cert_key[PL_TOKEN_KEY_SIZE], const uint8_t master[PL_TOKEN_KEY_SIZE],
		       uint64_t cert_id, uint32_t generation);
/** What a wallet does every 15 s. */
void pl_token_mint(struct pl_token *t, const uint8_t cert_key[PL_TOKEN_KEY_SIZE], uint64_t cert_id,
		   uint32_t shown_at);

/** "PL1:" and base45 (RFC 9285) of the 24 bytes; text gets PL_TOKEN_TEXT_SIZE characters and NUL. */
void pl_token_to_text(const struct pl_token *t, char text[PL_TOKEN_TEXT_SIZE + 1]);
/** @return 0, or -EINVAL for anything but the exact form. size excludes a NUL. */
PL_MUST_USE int pl_token_from_text(struct pl_token *t, const char *text, size_t size);

#endif
