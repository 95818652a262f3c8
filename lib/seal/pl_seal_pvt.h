/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Inside lib/seal: what an engine is, and where its keys live.
 */
#ifndef PL_SEAL_PVT_H
#define PL_SEAL_PVT_H

#include "seal/pl_seal.h"

/* Bytes of expanded key that the larger of the two engines needs. */
#define PL_SEAL_KEY_DATA_SIZE 1008u

/**
 * A key's slot in the arena. data comes first, so that it has the slot's alignment. The slots
 * are an odd number of cache lines apart: were it a power of two, the lines that every message
 * reads (round keys, low hash powers) of all gateways would compete for a few cache sets.
 */
struct pl_seal_key {
	alignas(PL_CACHE_LINE) uint8_t data[PL_SEAL_KEY_DATA_SIZE];
	uint32_t engine; /* enum pl_seal_engine */
	uint8_t zero[12];
	uint8_t pad[PL_CACHE_LINE];
};
static_assert(sizeof(struct pl_seal_key) == 17 * PL_CACHE_LINE, "an odd number of lines");

/** An engine. */
struct pl_seal_funcs {
	void (*expand)(const struct pl_seal *s, struct pl_seal_key *k,
		       const uint8_t key[PL_SEAL_KEY_SIZE]);
	uint32_t (*open_burst)(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt);
	void (*seal_burst)(struct pl_seal *s, struct pl_seal_op *ops, uint32_t op_cnt);
};

/** What libipsec-mb needs beside the key; opaque to the rest, wiped with s. */
struct pl_seal_ipsec_mb;

struct pl_seal {
	const struct pl_seal_funcs *funcs PL_FROZEN_AFTER(create);
	enum pl_seal_engine engine PL_FROZEN_AFTER(create);
	const char *variant PL_FROZEN_AFTER(create);               /* static storage */
	struct pl_seal_ipsec_mb *ipsec_mb PL_FROZEN_AFTER(create); /* NULL for libsodium */
};

/** Engines fill s; 0, -ENOTSUP or -ENOMEM. */
int pl_seal_sodium_init(struct pl_seal *s);

/** How pl_seal_ipsec_mb_init() may choose: the fastest code, or the code for CPUs without AES. */
enum pl_seal_ipsec_mb_code {
	PL_SEAL_IPSEC_MB_BEST,
	PL_SEAL_IPSEC_MB_NO_AESNI,
};
int pl_seal_ipsec_mb_init(struct pl_seal *s, enum pl_seal_ipsec_mb_code code);
void pl_seal_ipsec_mb_fini(struct pl_seal *s);

/** Key slots: locked as far as the limits allow, out of core dumps, zero when fresh. Any thread. */
struct pl_seal_key *pl_seal_arena_get(void);
/** Wipes the slot. */
void pl_seal_arena_put(struct pl_seal_key *k);
/** Bytes mapped: 0 once every key is destroyed. */
size_t pl_seal_arena_size(void);

/** How far ahead of the message at work a burst prefetches keys: with the keys of 4096 gateways
 * in turn, 64-byte messages took 72 ns without and 36 ns so, on Zen 4. */
#define PL_SEAL_KEYS_AHEAD 4u

#endif
