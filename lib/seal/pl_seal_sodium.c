/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include <sodium.h>

#include "seal/pl_seal_pvt.h"

static_assert(sizeof(crypto_aead_aes256gcm_state) <= PL_SEAL_KEY_DATA_SIZE, "expanded key");
static_assert(crypto_aead_aes256gcm_KEYBYTES == PL_SEAL_KEY_SIZE, "AES-256");
static_assert(crypto_aead_aes256gcm_NPUBBYTES == PL_SEAL_NONCE_SIZE, "96-bit nonces");
static_assert(crypto_aead_aes256gcm_ABYTES == PL_SEAL_TAG_SIZE, "128-bit tags");

static void sodium_expand(const struct pl_seal *s, struct pl_seal_key *k,
			  const uint8_t key[PL_SEAL_KEY_SIZE])
{
	(void)s;
	/* It fails only where is_available() said no, and then there is no pl_seal. */
	PL_CHECK(crypto_aead_aes256gcm_beforenm((crypto_aead_aes256gcm_state *)k->data, key) == 0);
}

static uint32_t sodium_open_burst(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt)
{
	uint32_t ok_cnt = 0;

	(void)s;
	for (uint32_t i = 0; i < op_cnt; i++) {
		struct pl_seal_op *op = &ops[i];

		PL_DCHECK(op->key->engine == PL_SEAL_SODIUM);
		op->ok = crypto_aead_aes256gcm_decrypt_detached_afternm(
				 op->text, NULL, op->text, op->text_size, op->tag, op->aad,
				 op->aad_size, op->nonce,
				 (const crypto_aead_aes256gcm_state *)op->key->data) == 0;
		ok_cnt += op->ok;
	}
	return ok_cnt;
}

static void sodium_seal_burst(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt)
{
	(void)s;
	for (uint32_t i = 0; i < op_cnt; i++) {
		struct pl_seal_op *op = &ops[i];

		PL_DCHECK(op->key->engine == PL_SEAL_SODIUM);
		/* It fails only for messages beyond 64 GiB. */
		(void)crypto_aead_aes256gcm_encrypt_detached_afternm(
			op->text, op->tag, NULL, op->text, op->text_size, op->aad, op->aad_size,
			NULL, op->nonce, (const crypto_aead_aes256gcm_state *)op->key->data);
		op->ok = true;
	}
}

int pl_seal_sodium_init(struct pl_seal *s)
{
	static const struct pl_seal_funcs funcs = {
		.expand = sodium_expand,
		.open_burst = sodium_open_burst,
		.seal_burst = sodium_seal_burst,
	};

	if (crypto_aead_aes256gcm_is_available() == 0)
		return -ENOTSUP;
	s->funcs = &funcs;
	s->engine = PL_SEAL_SODIUM;
	s->variant = "libsodium aes-ni";
	return 0;
}
