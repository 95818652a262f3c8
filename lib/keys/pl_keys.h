/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Key files: one key a file, one line of text, so that they can be made, moved and compared with
 * ordinary tools. Fields are separated by one space; the line may end with one newline.
 *
 *   passline-gateway-key 1 <gateway_id> <epoch> <64 hex>        root key of one gateway
 *   passline-token-key 1 <epoch> <32 hex>                       token master key of one epoch
 *   passline-authority-secret 1 <stream_id, 16 hex> <128 hex>   Ed25519: seed and public key
 *   passline-authority-public 1 <stream_id, 16 hex> <64 hex>    Ed25519 public key
 *   passline-wallet-key 1 <cert_id, 16 hex> <32 hex>            one certificate's key, its wallet's
 *
 * The 1 is the format's version. A secret is read only from a regular file (never through a
 * symbolic link) that belongs to root or to the caller and has no bits for group or others; it
 * lives in sodium_malloc() memory from the first byte read, and is wiped when it is freed.
 */
#ifndef PL_KEYS_H
#define PL_KEYS_H

#include "base/pl_base.h"

#define PL_KEYS_FILE_SIZE_MAX  512u   /* bytes; the longest line has 173 */
#define PL_KEYS_DIR_CNT_MAX    16384u /* key files in one directory: twice what the gateways need */
#define PL_KEYS_BYTES_SIZE_MAX 64u
#define PL_KEYS_TOKEN_EPOCHS   8u /* as many as a certificate's three bits of key epoch tell */

/* K(id, word that begins the file, bytes of key, is it secret) */
#define PL_KEYS_KINDS(K)                                            \
	K(GATEWAY, "passline-gateway-key", 32, true)                \
	K(TOKEN, "passline-token-key", 16, true)                    \
	K(AUTHORITY_SECRET, "passline-authority-secret", 64, true)  \
	K(AUTHORITY_PUBLIC, "passline-authority-public", 32, false) \
	K(WALLET, "passline-wallet-key", 16, true)

enum pl_key_kind {
	PL_KEY_NONE = 0,
#define K(id, word, size, secret) PL_KEY_##id,
	PL_KEYS_KINDS(K)
#undef K
		PL_KEY_KIND_CNT
};

/** One key. Fields that the kind does not have are zero. */
struct pl_key {
	uint64_t stream_id;  /* authority keys: which feed they sign, 1 .. */
	uint64_t cert_id;    /* wallet keys: whose, 1 .. */
	uint32_t gateway_id; /* gateway keys: any */
	uint8_t kind;        /* enum pl_key_kind */
	uint8_t epoch;       /* gateway keys: 0 .. 255. token keys: 0 .. 7 */
	uint8_t zero[2];
	uint8_t bytes[PL_KEYS_BYTES_SIZE_MAX]; /* the first pl_keys_size(kind) count */
};

/** Keys in locked, guarded memory (sodium_malloc). Free with pl_keys_free(). */
struct pl_keys {
	uint32_t cnt;
	uint32_t zero;
	struct pl_key key[];
};

/** Room for cnt zeroed keys, 1 .. PL_KEYS_DIR_CNT_MAX (or 0: none). NULL if memory is short. */
struct pl_keys *pl_keys_create(uint32_t cnt);
/** Wipes. NULL is fine. */
void pl_keys_free(struct pl_keys *keys);

/** The word that begins a file of this kind, or NULL; bytes of key, or 0. */
const char *pl_keys_word(uint32_t kind);
uint32_t pl_keys_size(uint32_t kind);

/**
 * Parse the text of one key file. Never reads beyond size; text needs no NUL.
 *
 * Refused besides bad form: a key of zeros; an Ed25519 secret whose second half is not the public
 * key of its first; an Ed25519 public key that is no point of the main subgroup.
 *
 * @param want   the kind that must be there, or PL_KEY_NONE for any.
 * @param out    zeroed on error.
 * @param error  says what is wrong and how to set it right, never a byte of the key.
 * @return 0 or -EINVAL.
 */
PL_MUST_USE int pl_keys_parse(const char *text, size_t size, enum pl_key_kind want,
			      struct pl_key *out, char *error, size_t error_size);

/**
 * Write the text of a key, with its newline and a NUL.
 * @param text  PL_KEYS_FILE_SIZE_MAX bytes; secret if the key is: the caller wipes it.
 * @return bytes without the NUL, or 0 if key's fields are out of range.
 */
size_t pl_keys_format(const struct pl_key *key, char text[PL_KEYS_FILE_SIZE_MAX]);

/**
 * Load one file. error names the file, what is wrong and the remedy.
 *
 * @param want  the kind that must be there, or PL_KEY_NONE for any.
 * @param out   one key, the caller's to free; NULL on error.
 * @return 0; -EACCES for an owner or mode that is too open; -ELOOP for a symbolic link; -EINVAL
 *         for what is not a key file of the kind; another -errno if it cannot be read.
 */
PL_MUST_USE int pl_keys_load_file(const char *path, enum pl_key_kind want, struct pl_keys **out,
				  char *error, size_t error_size);

/**
 * Load every "*.key" of a directory (other names, and names that begin with a dot, are passed
 * over), in the order of their names. All or nothing: one bad file refuses the whole directory,
 * so that a reload never takes half a set.
 *
 * @param want  the kind that each must have: PL_KEY_GATEWAY or PL_KEY_TOKEN.
 * @param out   0 keys for a directory without key files.
 * @return as pl_keys_load_file(); -EEXIST if two files hold a key for the same gateway and epoch,
 *         or the same token epoch; -E2BIG for more than PL_KEYS_DIR_CNT_MAX files.
 */
PL_MUST_USE int pl_keys_load_dir(const char *path, enum pl_key_kind want, struct pl_keys **out,
				 char *error, size_t error_size);

/**
 * Write a key file so that it is whole or not there at all: a new file beside it (O_EXCL; mode
 * 0600, or 0644 for a public key), fsync, link or rename, fsync of the directory.
 *
 * @param replace  false: an existing file is refused (-EEXIST) and kept.
 */
PL_MUST_USE int pl_keys_write_file(const char *path, const struct pl_key *key, bool replace,
				   char *error, size_t error_size);

/**
 * Fill key->bytes with a new random key of key->kind (for PL_KEY_AUTHORITY_SECRET an Ed25519 key
 * pair). Other fields are the caller's. @return 0, or -EINVAL for a kind that is not made so: a
 * wallet's key is derived (lib/token).
 */
PL_MUST_USE int pl_keys_generate(struct pl_key *key);

/** The public key of an authority secret. */
void pl_keys_public_of(const struct pl_key *secret, struct pl_key *public_key);

/**
 * Token master keys by epoch, as the two little-endian words that lib/token takes.
 * @param held  1 where keys has the epoch; words of other epochs are zero.
 */
void pl_keys_token_words(const struct pl_keys *keys, uint64_t master0[PL_KEYS_TOKEN_EPOCHS],
			 uint64_t master1[PL_KEYS_TOKEN_EPOCHS],
			 uint8_t held[PL_KEYS_TOKEN_EPOCHS]);

#endif
