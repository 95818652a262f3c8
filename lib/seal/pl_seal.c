/* SPDX-License-Identifier: BSD-3-Clause */

#include "seal/pl_seal.h"

#include <errno.h>

#include <sodium.h>

#include "seal/pl_seal_pvt.h"

static int init_auto(struct pl_seal *s)
{
	int rc;

	/* libipsec-mb's code for CPUs without AES instructions is last: it is slow, and its table
	 * look-ups take a time that depends on the key. */
	rc = pl_seal_ipsec_mb_init(s, PL_SEAL_IPSEC_MB_BEST);
	if (rc == -ENOTSUP)
		rc = pl_seal_sodium_init(s);
	if (rc == -ENOTSUP)
		rc = pl_seal_ipsec_mb_init(s, PL_SEAL_IPSEC_MB_NO_AESNI);
	return rc;
}

int pl_seal_create(enum pl_seal_engine engine, struct pl_seal **out)
{
	struct pl_seal *s;
	int rc;

	*out = NULL;
	if (sodium_init() < 0)
		return -ENOTSUP;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	switch (engine) {
	case PL_SEAL_AUTO:
		rc = init_auto(s);
		break;
	case PL_SEAL_SODIUM:
		rc = pl_seal_sodium_init(s);
		break;
	case PL_SEAL_IPSEC_MB:
		rc = pl_seal_ipsec_mb_init(s, PL_SEAL_IPSEC_MB_BEST);
		if (rc == -ENOTSUP)
			rc = pl_seal_ipsec_mb_init(s, PL_SEAL_IPSEC_MB_NO_AESNI);
		break;
	default:
		rc = -ENOTSUP;
	}
	if (rc < 0) {
		free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void pl_seal_destroy(struct pl_seal *s)
{
	if (s == NULL)
		return;
	if (s->engine == PL_SEAL_IPSEC_MB)
		pl_seal_ipsec_mb_fini(s);
	free(s);
}

enum pl_seal_engine pl_seal_engine(const struct pl_seal *s)
{
	return s->engine;
}

const char *pl_seal_variant(const struct pl_seal *s)
{
	return s->variant;
}

const char *pl_seal_engine_name(enum pl_seal_engine engine)
{
	switch (engine) {
	case PL_SEAL_AUTO:
		return "auto";
#define E(id, name)        \
	case PL_SEAL_##id: \
		return name;
		PL_SEAL_ENGINES(E)
#undef E
	default:
		return NULL;
	}
}

int pl_seal_key_create(const struct pl_seal *s, const uint8_t key[PL_SEAL_KEY_SIZE],
		       struct pl_seal_key **out)
{
	struct pl_seal_key *k = pl_seal_arena_get();

	*out = k;
	if (k == NULL)
		return -ENOMEM;
	k->engine = s->engine;
	s->funcs->expand(s, k, key);
	return 0;
}

void pl_seal_key_destroy(struct pl_seal_key *k)
{
	if (k != NULL)
		pl_seal_arena_put(k);
}

void pl_seal_key_prefetch(const struct pl_seal_key *k)
{
	const uint8_t *p = k->data;

	/* The round keys, and the powers of the hash key that a short message needs: libipsec-mb's
	 * VAES code keeps 48 powers, highest first. Longer messages read on from there, and the
	 * other engines' keys are short: what this misses there, the hardware prefetches. Far, as a
	 * burst asks for hundreds. */
	for (uint32_t line = 0; line < 4; line++)
		pl_prefetch_far(p + line * PL_CACHE_LINE);
	for (uint32_t line = 13; line < 16; line++)
		pl_prefetch_far(p + line * PL_CACHE_LINE);
}

uint32_t pl_seal_open_burst(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt)
{
	return s->funcs->open_burst(s, ops, op_cnt);
}

void pl_seal_seal_burst(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt)
{
	s->funcs->seal_burst(s, ops, op_cnt);
}

void pl_seal_derive(uint8_t key[PL_SEAL_KEY_SIZE], const uint8_t root[PL_SEAL_KEY_SIZE],
		    enum pl_seal_dir dir, uint8_t epoch, uint32_t gateway_id)
{
	static const char label[] = "PL1-gateway";
	uint8_t message[sizeof(label) - 1 + 1 + 1 + 4];
	uint8_t *p = message + sizeof(label) - 1;

	memcpy(message, label, sizeof(label) - 1);
	p[0] = (uint8_t)dir;
	p[1] = epoch;
	pl_le32_put(p + 2, gateway_id);
	/* It fails only for sizes that these are not. */
	PL_CHECK(crypto_generichash_blake2b(key, PL_SEAL_KEY_SIZE, message, sizeof(message), root,
					    PL_SEAL_KEY_SIZE) == 0);
}
