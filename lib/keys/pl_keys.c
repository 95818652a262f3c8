/* SPDX-License-Identifier: BSD-3-Clause */
#include "keys/pl_keys.h"

#include <errno.h>
#include <inttypes.h>

#include <sodium.h>

#include "base/pl_fail.h"

static const struct {
	const char *word;
	uint32_t size;
} kinds[PL_KEY_KIND_CNT] = {
#define K(id, w, s, secret) [PL_KEY_##id] = {.word = (w), .size = (s)},
	PL_KEYS_KINDS(K)
#undef K
};

const char *pl_keys_word(uint32_t kind)
{
	return kind < PL_KEY_KIND_CNT ? kinds[kind].word : NULL;
}

uint32_t pl_keys_size(uint32_t kind)
{
	return kind < PL_KEY_KIND_CNT ? kinds[kind].size : 0;
}

struct pl_keys *pl_keys_create(uint32_t cnt)
{
	struct pl_keys *keys;
	size_t size = sizeof(*keys) + (size_t)cnt * sizeof(keys->key[0]);

	if (cnt > PL_KEYS_DIR_CNT_MAX || sodium_init() < 0)
		return NULL;
	keys = sodium_malloc(size);
	if (keys == NULL)
		return NULL;
	memset(keys, 0, size);
	keys->cnt = cnt;
	return keys;
}

void pl_keys_free(struct pl_keys *keys)
{
	sodium_free(keys);
}

/* What is left of the text. */
struct cursor {
	const char *at;
	size_t size;
};

/* Cut the next field off: up to a space, or all that is left. */
static struct cursor take_field(struct cursor *c)
{
	const char *space = c->size > 0 ? memchr(c->at, ' ', c->size) : NULL;
	struct cursor f = {.at = c->at, .size = space != NULL ? (size_t)(space - c->at) : c->size};
	size_t cut = f.size + (space != NULL ? 1 : 0);

	if (cut != 0) /* at may be NULL when nothing is left */
		c->at += cut;
	c->size -= cut;
	return f;
}

static bool field_is(struct cursor f, const char *s)
{
	return f.size == strlen(s) && memcmp(f.at, s, f.size) == 0;
}

/* Decimal without sign or leading zeros, so that one key has one text. */
static bool field_number(struct cursor f, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (f.size == 0 || f.size > 10 || (f.size > 1 && f.at[0] == '0'))
		return false;
	for (size_t i = 0; i < f.size; i++) {
		if (f.at[i] < '0' || f.at[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(f.at[i] - '0');
	}
	*out = v;
	return v <= max;
}

static bool field_hex(struct cursor f, uint8_t *out, size_t out_size)
{
	size_t got;

	return f.size == out_size * 2 &&
	       sodium_hex2bin(out, out_size, f.at, f.size, NULL, &got, NULL) == 0 &&
	       got == out_size;
}

static int parse_ids(struct cursor *c, struct pl_key *k, char *error, size_t error_size)
{
	uint64_t v;
	uint8_t id_be[8];
	uint64_t *id = k->kind == PL_KEY_WALLET ? &k->cert_id : &k->stream_id;
	const char *id_name = k->kind == PL_KEY_WALLET ? "certificate" : "stream";

	if (k->kind == PL_KEY_GATEWAY) {
		if (!field_number(take_field(c), UINT32_MAX, &v))
			return pl_fail(-EINVAL, error, error_size,
				       "gateway id must be 0 .. %" PRIu32, UINT32_MAX);
		k->gateway_id = (uint32_t)v;
	}
	if (k->kind == PL_KEY_GATEWAY || k->kind == PL_KEY_TOKEN) {
		uint32_t max = k->kind == PL_KEY_TOKEN ? PL_KEYS_TOKEN_EPOCHS - 1 : UINT8_MAX;

		if (!field_number(take_field(c), max, &v))
			return pl_fail(-EINVAL, error, error_size, "epoch must be 0 .. %" PRIu32,
				       max);
		k->epoch = (uint8_t)v;
		return 0;
	}
	if (!field_hex(take_field(c), id_be, sizeof(id_be)))
		return pl_fail(-EINVAL, error, error_size, "%s id must be 16 hexadecimal digits",
			       id_name);
	for (size_t i = 0; i < sizeof(id_be); i++)
		*id = *id << 8 | id_be[i];
	if (*id == 0)
		return pl_fail(-EINVAL, error, error_size, "%s id must not be 0", id_name);
	return 0;
}

/* Is the key one that its algorithm could have made? Catches a damaged or made-up file. */
static int check_key(const struct pl_key *k, char *error, size_t error_size)
{
	if (sodium_is_zero(k->bytes, pl_keys_size(k->kind)))
		return pl_fail(-EINVAL, error, error_size,
			       "the key is all zeros: generate a real one");

	if (k->kind == PL_KEY_AUTHORITY_SECRET) {
		uint8_t pk[crypto_sign_PUBLICKEYBYTES];
		uint8_t sk[crypto_sign_SECRETKEYBYTES];
		int differ;

		crypto_sign_seed_keypair(pk, sk, k->bytes);
		differ = sodium_memcmp(sk, k->bytes, sizeof(sk));
		sodium_memzero(sk, sizeof(sk));
		if (differ != 0)
			return pl_fail(-EINVAL, error, error_size,
				       "the two halves of the secret do not belong together: the "
				       "file is damaged, restore it from its backup");
	}
	if (k->kind == PL_KEY_AUTHORITY_PUBLIC && crypto_core_ed25519_is_valid_point(k->bytes) != 1)
		return pl_fail(-EINVAL, error, error_size,
			       "not an Ed25519 public key: the file is damaged, get it again from "
			       "the authority");
	return 0;
}

static int parse_line(struct cursor c, enum pl_key_kind want, struct pl_key *k, char *error,
		      size_t error_size)
{
	struct cursor word = take_field(&c);
	uint32_t size;
	int rc;

	for (uint32_t kind = 1; kind < PL_KEY_KIND_CNT; kind++)
		if (field_is(word, pl_keys_word(kind)))
			k->kind = (uint8_t)kind;
	if (k->kind == PL_KEY_NONE)
		return pl_fail(
			-EINVAL, error, error_size,
			"not a key file: it must begin with \"%s 1 \" or another kind's word",
			pl_keys_word(want != PL_KEY_NONE ? want : PL_KEY_GATEWAY));
	if (want != PL_KEY_NONE && k->kind != want)
		return pl_fail(-EINVAL, error, error_size,
			       "holds a \"%s\", but a \"%s\" is needed here", pl_keys_word(k->kind),
			       pl_keys_word(want));
	if (!field_is(take_field(&c), "1"))
		return pl_fail(-EINVAL, error, error_size,
			       "key file version is not 1, the only one that this program reads");
	rc = parse_ids(&c, k, error, error_size);
	if (rc != 0)
		return rc;

	size = pl_keys_size(k->kind);
	/* All that is left, not a field: anything behind the key is refused as well. */
	if (!field_hex(c, k->bytes, size))
		return pl_fail(-EINVAL, error, error_size,
			       "the key must be %" PRIu32 " hexadecimal digits and end the line",
			       size * 2);
	return check_key(k, error, error_size);
}

int pl_keys_parse(const char *text, size_t size, enum pl_key_kind want, struct pl_key *out,
		  char *error, size_t error_size)
{
	struct cursor c = {.at = text, .size = size};
	int rc;

	memset(out, 0, sizeof(*out));
	if (sodium_init() < 0)
		return pl_fail(-EINVAL, error, error_size, "libsodium cannot start");
	if (size > PL_KEYS_FILE_SIZE_MAX)
		return pl_fail(-EINVAL, error, error_size, "longer than %u bytes: not a key file",
			       PL_KEYS_FILE_SIZE_MAX);
	if (c.size > 0 && c.at[c.size - 1] == '\n')
		c.size--;
	rc = parse_line(c, want, out, error, error_size);
	if (rc != 0)
		sodium_memzero(out, sizeof(*out));
	return rc;
}

size_t pl_keys_format(const struct pl_key *key, char text[PL_KEYS_FILE_SIZE_MAX])
{
	int size;

	switch (key->kind) {
	case PL_KEY_GATEWAY:
		size = snprintf(text, PL_KEYS_FILE_SIZE_MAX, "%s 1 %" PRIu32 " %u ",
				pl_keys_word(key->kind), key->gateway_id, key->epoch);
		break;
	case PL_KEY_TOKEN:
		if (key->epoch >= PL_KEYS_TOKEN_EPOCHS)
			return 0;
		size = snprintf(text, PL_KEYS_FILE_SIZE_MAX, "%s 1 %u ", pl_keys_word(key->kind),
				key->epoch);
		break;
	case PL_KEY_AUTHORITY_SECRET:
	case PL_KEY_AUTHORITY_PUBLIC:
		if (key->stream_id == 0)
			return 0;
		size = snprintf(text, PL_KEYS_FILE_SIZE_MAX, "%s 1 %016" PRIx64 " ",
				pl_keys_word(key->kind), key->stream_id);
		break;
	case PL_KEY_WALLET:
		if (key->cert_id == 0)
			return 0;
		size = snprintf(text, PL_KEYS_FILE_SIZE_MAX, "%s 1 %016" PRIx64 " ",
				pl_keys_word(key->kind), key->cert_id);
		break;
	default:
		return 0;
	}
	PL_CHECK(size > 0 &&
		 (size_t)size + PL_KEYS_BYTES_SIZE_MAX * 2 + 2 <= PL_KEYS_FILE_SIZE_MAX);
	sodium_bin2hex(text + size, PL_KEYS_FILE_SIZE_MAX - (size_t)size, key->bytes,
		       pl_keys_size(key->kind));
	size += (int)pl_keys_size(key->kind) * 2;
	text[size++] = '\n';
	text[size] = '\0';
	return (size_t)size;
}

int pl_keys_generate(struct pl_key *key)
{
	if (sodium_init() < 0)
		return -EINVAL;
	sodium_memzero(key->bytes, sizeof(key->bytes));
	switch (key->kind) {
	case PL_KEY_GATEWAY:
	case PL_KEY_TOKEN:
		randombytes_buf(key->bytes, pl_keys_size(key->kind));
		return 0;
	case PL_KEY_AUTHORITY_SECRET: {
		uint8_t pk[crypto_sign_PUBLICKEYBYTES];

		crypto_sign_keypair(pk, key->bytes);
		return 0;
	}
	default:
		return -EINVAL;
	}
}

void pl_keys_public_of(const struct pl_key *secret, struct pl_key *public_key)
{
	PL_CHECK(secret->kind == PL_KEY_AUTHORITY_SECRET);
	*public_key = (struct pl_key){
		.stream_id = secret->stream_id,
		.kind = PL_KEY_AUTHORITY_PUBLIC,
	};
	memcpy(public_key->bytes, secret->bytes + crypto_sign_SEEDBYTES,
	       crypto_sign_PUBLICKEYBYTES);
}

void pl_keys_token_words(const struct pl_keys *keys, uint64_t master0[PL_KEYS_TOKEN_EPOCHS],
			 uint64_t master1[PL_KEYS_TOKEN_EPOCHS], uint8_t held[PL_KEYS_TOKEN_EPOCHS])
{
	memset(master0, 0, sizeof(*master0) * PL_KEYS_TOKEN_EPOCHS);
	memset(master1, 0, sizeof(*master1) * PL_KEYS_TOKEN_EPOCHS);
	memset(held, 0, PL_KEYS_TOKEN_EPOCHS);
	for (uint32_t i = 0; i < keys->cnt; i++) {
		const struct pl_key *k = &keys->key[i];

		PL_CHECK(k->kind == PL_KEY_TOKEN && k->epoch < PL_KEYS_TOKEN_EPOCHS);
		master0[k->epoch] = pl_le64_get(k->bytes);
		master1[k->epoch] = pl_le64_get(k->bytes + 8);
		held[k->epoch] = 1;
	}
}
