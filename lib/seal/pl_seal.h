/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * AES-256-GCM over bursts, in place, behind one interface with two engines: libipsec-mb (VAES,
 * AES-NI) and libsodium, which is the reference and what a client falls back to. Also the
 * derivation of a gateway's two direction keys from its root key.
 *
 * AES-256-GCM: NIST SP 800-38D; 96-bit nonces, 128-bit tags.
 */
#ifndef PL_SEAL_H
#define PL_SEAL_H

#include "base/pl_base.h"

#define PL_SEAL_KEY_SIZE      32u
#define PL_SEAL_NONCE_SIZE    12u
#define PL_SEAL_TAG_SIZE      16u
#define PL_SEAL_AAD_SIZE_MAX  32u
#define PL_SEAL_TEXT_SIZE_MAX 2048u

/* E(id, name for config and --help) */
#define PL_SEAL_ENGINES(E)     \
	E(SODIUM, "libsodium") \
	E(IPSEC_MB, "ipsec-mb")

enum pl_seal_engine {
	PL_SEAL_AUTO = 0, /* ipsec-mb where the CPU has AES-NI and PCLMULQDQ, else libsodium */
#define E(id, name) PL_SEAL_##id,
	PL_SEAL_ENGINES(E)
#undef E
};

/** One per thread: an engine and its scratch. Opaque. */
struct pl_seal;

/** An expanded key for one engine. Opaque, 64-byte aligned, in locked no-dump memory. */
struct pl_seal_key;

/** One message. text is encrypted or decrypted in place. */
struct pl_seal_op {
	const struct pl_seal_key *key; /* borrowed; made for the same engine */
	const uint8_t *aad;
	uint8_t *text;
	uint8_t *tag;       /* open: read. seal: written. 16 bytes */
	uint32_t aad_size;  /* 0 .. PL_SEAL_AAD_SIZE_MAX */
	uint32_t text_size; /* 0 .. PL_SEAL_TEXT_SIZE_MAX */
	uint8_t nonce[PL_SEAL_NONCE_SIZE];
	bool ok; /* open: it authenticated; if not, text is garbage and must not be used. seal: set */
};

/**
 * Calls sodium_init().
 *
 * @return 0; -ENOTSUP if this CPU cannot run the engine (or, for AUTO, any); -ENOMEM.
 * Thread: any; the result belongs to one thread at a time.
 */
PL_MUST_USE int pl_seal_create(enum pl_seal_engine engine, struct pl_seal **out);
void pl_seal_destroy(struct pl_seal *s);
/**
 * The engine chosen, never AUTO; its name; and the name with the CPU variant ("ipsec-mb avx512
 * vaes"). Static storage; NULL for no such engine.
 */
enum pl_seal_engine pl_seal_engine(const struct pl_seal *s);
const char *pl_seal_engine_name(enum pl_seal_engine engine);
const char *pl_seal_variant(const struct pl_seal *s);

/**
 * Expand a key for s's engine. It may then be used with any pl_seal of that engine, by many
 * threads at once, and outlive s. Its memory is left out of core dumps, locked as far as
 * RLIMIT_MEMLOCK allows (about 1.1 KiB a key), and wiped by destroy.
 *
 * @return 0 or -ENOMEM. Thread: any; takes a lock, so not for the packet path.
 */
PL_MUST_USE int pl_seal_key_create(const struct pl_seal *s, const uint8_t key[PL_SEAL_KEY_SIZE],
				   struct pl_seal_key **out);
void pl_seal_key_destroy(struct pl_seal_key *k);
/** Bring closer the lines that a short message under k reads. Bursts do it four ops ahead too. */
void pl_seal_key_prefetch(const struct pl_seal_key *k);

/**
 * Open a burst. Every op gets ok set.
 * @return how many authenticated.
 * Thread: s's. Blocks: no. Allocates: no.
 */
uint32_t pl_seal_open_burst(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt);
/** Seal a burst. The caller never uses a nonce twice under one key. */
void pl_seal_seal_burst(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt);

enum pl_seal_dir {
	PL_SEAL_DIR_REQUEST = 1, /* gateway to appliance */
	PL_SEAL_DIR_REPLY = 2,   /* appliance to gateway */
};

/**
 * key = BLAKE2b-256(key: root, message: "PL1-gateway" | dir u8 | epoch u8 | gateway_id le32)
 * BLAKE2: RFC 7693. sodium_init() must have been called.
 */
void pl_seal_derive(uint8_t key[PL_SEAL_KEY_SIZE], const uint8_t root[PL_SEAL_KEY_SIZE],
		    enum pl_seal_dir dir, uint8_t epoch, uint32_t gateway_id);

#endif
