/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The certificate feed: a directory of immutable signed segments, each naming the one before it.
 *
 * A segment, little-endian:
 *     header 128 | records count * 16 | signature 64
 * signature = Ed25519(authority, "PL1-segment" | BLAKE2b-256(header | records)).
 * previous  = BLAKE2b-256 of the whole previous segment file; zeros for sequence 1.
 * Ed25519: RFC 8032. BLAKE2: RFC 7693.
 */
#ifndef PL_FEED_H
#define PL_FEED_H

#include "base/pl_base.h"
#include "cert/pl_cert.h"

#define PL_FEED_MAGIC       "PLSEG1\r\n"
#define PL_FEED_HEADER_SIZE 128u
#define PL_FEED_RECORD_SIZE 16u
#define PL_FEED_SIG_SIZE    64u
#define PL_FEED_HASH_SIZE   32u
#define PL_FEED_PUBKEY_SIZE 32u
#define PL_FEED_RECORDS_MAX (1u << 20)
#define PL_FEED_SEGMENT_SIZE(cnt) \
	(PL_FEED_HEADER_SIZE + (uint64_t)(cnt)*PL_FEED_RECORD_SIZE + PL_FEED_SIG_SIZE)
#define PL_FEED_SEGMENT_SIZE_MAX PL_FEED_SEGMENT_SIZE(PL_FEED_RECORDS_MAX)
#define PL_FEED_NAME_FORMAT      "%020" PRIu64 ".plseg" /* file name by sequence */

enum pl_feed_kind {
	PL_FEED_TAIL = 1,     /* changes */
	PL_FEED_SNAPSHOT = 2, /* one chunk of a whole table */
};

struct pl_feed_header {
	uint8_t magic[8];
	uint16_t version; /* 1 */
	uint16_t kind;    /* enum pl_feed_kind */
	uint32_t record_cnt;
	uint64_t stream_id; /* names the authority's feed; another stream is refused */
	uint64_t sequence;  /* of a tail segment, from 1. Of a snapshot: the tail it stands for */
	uint8_t previous[PL_FEED_HASH_SIZE];
	uint64_t as_of;     /* unix s: the feed is complete up to here */
	uint32_t chunk_idx; /* snapshots; 0 of 1 for a tail segment */
	uint32_t chunk_cnt;
	uint64_t cert_cnt; /* snapshots: certificates in all chunks */
	uint8_t zero[40];
};
static_assert(sizeof(struct pl_feed_header) == PL_FEED_HEADER_SIZE, "segment layout");

enum pl_feed_op {
	PL_FEED_PUT = 1,    /* insert or replace facts */
	PL_FEED_REMOVE = 2, /* forget; facts are zero */
};

struct pl_feed_record {
	uint64_t cert_id;
	uint32_t facts; /* lib/cert */
	uint8_t op;     /* enum pl_feed_op */
	uint8_t zero[3];
};
static_assert(sizeof(struct pl_feed_record) == PL_FEED_RECORD_SIZE, "segment layout");

/* E(id, name, text): why a segment is refused. Nothing of a refused segment is applied. */
#define PL_FEED_ERRORS(E)                                                                   \
	E(OK, "ok", "accepted")                                                             \
	E(TRUNCATED, "truncated", "file is shorter than its header says")                   \
	E(OVERSIZED, "oversized", "file is longer than its header says, or over the limit") \
	E(NOT_SEGMENT, "not_segment", "not a segment file")                                 \
	E(VERSION, "version", "segment version is not supported")                           \
	E(STREAM, "stream", "segment belongs to another stream")                            \
	E(SIGNATURE, "signature", "signature is not the authority's")                       \
	E(HEADER, "header", "header fields contradict each other")                          \
	E(RECORD, "record", "a record is malformed")                                        \
	E(GAP, "gap", "segments are missing before this one")                               \
	E(FORK, "fork", "segment does not follow the one before it")                        \
	E(OLD, "old", "sequence was applied before")                                        \
	E(TIME, "time", "as-of time runs backwards")                                        \
	E(IO, "io", "file cannot be read")

enum pl_feed_error {
#define E(id, name, text) PL_FEED_##id,
	PL_FEED_ERRORS(E)
#undef E
		PL_FEED_ERROR_CNT
};

const char *pl_feed_error_name(enum pl_feed_error e);
const char *pl_feed_error_text(enum pl_feed_error e);

/** Where a reader of the chain stands. Zeros but for stream_id: at the beginning. */
struct pl_feed_pos {
	uint64_t stream_id; /* 0: take the first segment's */
	uint64_t sequence;
	uint64_t as_of;
	uint8_t hash[PL_FEED_HASH_SIZE];
};

/** A segment checked in memory; records point into the caller's bytes. */
struct pl_feed_segment {
	struct pl_feed_header header;
	const struct pl_feed_record *records;
	uint8_t hash[PL_FEED_HASH_SIZE]; /* of the whole file: the next one's previous */
};

/**
 * Check a whole segment: form, signature, every record; and, if pos is given, that it follows
 * it. Changes nothing; pl_feed_advance() moves pos.
 */
enum pl_feed_error pl_feed_check(const uint8_t *data, size_t size,
				 const uint8_t pubkey[PL_FEED_PUBKEY_SIZE],
				 const struct pl_feed_pos *pos, struct pl_feed_segment *out);
void pl_feed_advance(struct pl_feed_pos *pos, const struct pl_feed_segment *seg);

#endif
