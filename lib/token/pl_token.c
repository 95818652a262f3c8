/* SPDX-License-Identifier: BSD-3-Clause */

#include "token/pl_token.h"

#include <sodium.h>

#include "token/pl_token_pvt.h"

static_assert(PL_TOKEN_KEY_SIZE == crypto_shorthash_siphashx24_KEYBYTES, "SipHash key");
static_assert(PL_TOKEN_KEY_SIZE == crypto_shorthash_siphashx24_BYTES, "a hash is the next key");

/* One step: both hashes of a token have this form. */
static void hash_step(uint8_t out[PL_TOKEN_KEY_SIZE], const uint8_t key[PL_TOKEN_KEY_SIZE],
		      uint64_t cert_id, uint32_t value, uint32_t label)
{
	uint8_t message[16];

	pl_le64_put(message, cert_id);
	pl_le32_put(message + 8, value);
	pl_le32_put(message + 12, label);
	/* It has no way to fail. */
	(void)crypto_shorthash_siphashx24(out, message, sizeof(message), key);
}

void pl_token_cert_key(uint8_t cert_key[PL_TOKEN_KEY_SIZE], const uint8_t master[PL_TOKEN_KEY_SIZE],
		       uint64_t cert_id, uint32_t generation)
{
	hash_step(cert_key, master, cert_id, generation, PL_TOKEN_LABEL_KEY);
}

void pl_token_mint(struct pl_token *t, const uint8_t cert_key[PL_TOKEN_KEY_SIZE], uint64_t cert_id,
		   uint32_t shown_at)
{
	uint8_t hash[PL_TOKEN_KEY_SIZE];

	hash_step(hash, cert_key, cert_id, shown_at, PL_TOKEN_LABEL_TAG);
	t->cert_id = cert_id;
	t->shown_at = shown_at;
	memcpy(t->tag, hash, sizeof(t->tag));
}

void pl_token_check_sodium(const struct pl_token_batch *b, uint32_t cnt, uint8_t *ok)
{
	for (uint32_t i = 0; i < cnt; i++) {
		uint8_t master[PL_TOKEN_KEY_SIZE], cert_key[PL_TOKEN_KEY_SIZE];
		uint8_t tag[PL_TOKEN_TAG_SIZE];
		struct pl_token t;

		pl_le64_put(master, b->master0[i]);
		pl_le64_put(master + 8, b->master1[i]);
		pl_token_cert_key(cert_key, master, b->cert_id[i], b->generation[i]);
		pl_token_mint(&t, cert_key, b->cert_id[i], b->shown_at[i]);
		pl_le64_put(tag, b->tag0[i]);
		pl_le32_put(tag + 8, b->tag1[i]);
		ok[i] = sodium_memcmp(t.tag, tag, sizeof(tag)) == 0;
	}
}

pl_token_check_fn pl_token_check_of(enum pl_token_variant variant)
{
	switch (variant) {
	case PL_TOKEN_SODIUM:
		return pl_token_check_sodium;
	case PL_TOKEN_SCALAR:
		return pl_token_check_scalar;
	case PL_TOKEN_AVX2:
		return __builtin_cpu_supports("avx2") ? pl_token_check_avx2 : NULL;
	case PL_TOKEN_AVX512:
		/* The extensions that the variant is compiled with; see meson.build. */
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
				       __builtin_cpu_supports("avx512dq") &&
				       __builtin_cpu_supports("avx512vl")
			       ? pl_token_check_avx512
			       : NULL;
	default:
		return NULL;
	}
}

pl_token_check_fn pl_token_check_best(enum pl_token_variant *variant)
{
	/* From the widest down; the scalar one runs anywhere. */
	for (int v = PL_TOKEN_VARIANT_CNT - 1; v > PL_TOKEN_SCALAR; v--) {
		pl_token_check_fn check = pl_token_check_of((enum pl_token_variant)v);

		if (check != NULL) {
			if (variant != NULL)
				*variant = (enum pl_token_variant)v;
			return check;
		}
	}
	if (variant != NULL)
		*variant = PL_TOKEN_SCALAR;
	return pl_token_check_scalar;
}

const char *pl_token_variant_name(enum pl_token_variant variant)
{
	static const char *const names[PL_TOKEN_VARIANT_CNT] = {
#define T(id, name) [PL_TOKEN_##id] = name,
		PL_TOKEN_VARIANTS(T)
#undef T
	};

	return (unsigned int)variant < PL_TOKEN_VARIANT_CNT ? names[variant] : NULL;
}
