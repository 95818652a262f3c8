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

static inline bool pl_feed_is_zero(const uint8_t *bytes, size_t size)
{
	uint8_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= bytes[i];
	return any == 0;
}

/** Counts of a chunk that can be those of some snapshot: no other chunk than a sole one is empty. */
static inline bool pl_feed_chunk_sound(const struct pl_feed_header *h)
{
	uint64_t others = h->chunk_cnt - UINT64_C(1);

	if (h->chunk_cnt == 0 || h->chunk_cnt > PL_FEED_CHUNKS_MAX || h->chunk_idx >= h->chunk_cnt)
		return false;
	if (others == 0)
		return h->snapshot_record_cnt == h->record_cnt;
	return h->record_cnt > 0 && h->snapshot_record_cnt >= h->record_cnt + others &&
	       h->snapshot_record_cnt <= h->record_cnt + others * PL_FEED_RECORDS_MAX;
}

static inline bool pl_feed_header_sound(const struct pl_feed_header *h)
{
	/* A first segment has nothing before it, and no other one has nothing. */
	bool first = h->kind == PL_FEED_TAIL ? h->sequence == 1 : h->chunk_idx == 0;

	if (h->stream_id == 0 || h->sequence == 0 || h->as_of == 0 || h->as_of > UINT32_MAX)
		return false;
	if (first != pl_feed_is_zero(h->previous, sizeof(h->previous)) ||
	    !pl_feed_is_zero(h->zero, sizeof(h->zero)))
		return false;
	if (h->kind == PL_FEED_SNAPSHOT)
		return pl_feed_chunk_sound(h);
	return h->chunk_idx == 0 && h->chunk_cnt == 0 && h->snapshot_record_cnt == 0 &&
	       pl_feed_is_zero(h->covers, sizeof(h->covers));
}

/** Of a chunk at its place: those to come hold the rest, from one record each to as many as fit. */
static inline enum pl_feed_error pl_feed_chunk_counts(const struct pl_feed_header *h,
						      const struct pl_feed_chunk_pos *pos)
{
	uint64_t record_cnt = pos->record_cnt + h->record_cnt;
	uint64_t left = h->chunk_cnt - h->chunk_idx - UINT64_C(1);

	return record_cnt + left <= h->snapshot_record_cnt &&
			       h->snapshot_record_cnt <= record_cnt + left * PL_FEED_RECORDS_MAX
		       ? PL_FEED_OK
		       : PL_FEED_HEADER;
}

/** Of a chunk: nothing but certificates, each id above the one before, the first above `above`. */
static inline bool pl_feed_records_sorted(const struct pl_feed_record *records, uint32_t cnt,
					  uint64_t above)
{
	for (uint32_t i = 0; i < cnt; i++) {
		if (records[i].op != PL_FEED_PUT || records[i].cert_id <= above)
			return false;
		above = records[i].cert_id;
	}
	return true;
}

/* ---- between the files of the store ---- */

/* One byte over the largest segment, so that a longer file shows itself as longer. */
#define PL_FEED_BUFFER_SIZE (PL_FEED_SEGMENT_SIZE_MAX + PL_CACHE_LINE)

struct pl_feed_store {
	int dir_fd;
	bool write;
	bool broken; /* an fsync failed: what is on disk is unknown, nothing more is written */
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint8_t *buffer;
};

void pl_feed_store_refuse(struct pl_feed_report *report, const char *name, enum pl_feed_error e,
			  const char *particulars);
/**
 * Read one file whole into the buffer. *size is what was read: at most one byte more than the
 * largest segment. particulars is static or strerror()'s.
 * @return PL_FEED_OK; PL_FEED_IO with errno ENOENT kept in *err when there is no such file.
 */
enum pl_feed_error pl_feed_store_load(struct pl_feed_store *s, const char *name, size_t *size,
				      int *err, const char **particulars);
/** Called for each name; not 0: stop, and hand that on. */
typedef int (*pl_feed_store_name_fn)(void *ctx, const char *name);
/** All names of the directory. @return 0, what fn returned, or -errno. */
PL_MUST_USE int pl_feed_store_each(struct pl_feed_store *s, pl_feed_store_name_fn fn, void *ctx);

#endif
