/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The certificate feed: a directory of immutable signed segments, each naming the one before it.
 *
 * A segment, little-endian:
 *     header 128 | records record_cnt * 16 | signature 64
 * signature = Ed25519(authority, "PL1-segment" | BLAKE2b-256(header | records)).
 * previous  = BLAKE2b-256 of the whole previous segment file; zeros for sequence 1.
 *
 * A snapshot is the whole table after one segment of the tail, sorted by id and cut into chunks,
 * each a segment file of the other kind: it stands for every segment up to that one. Complete, it
 * is all that a reader needs to go on with the tail from there; incomplete, it is nothing.
 *
 * Ed25519: RFC 8032. BLAKE2: RFC 7693. docs/protocol.md has the offsets and test vectors.
 *
 * sodium_init() must have been called before anything here.
 */
#ifndef PL_FEED_H
#define PL_FEED_H

#include <inttypes.h>

#include "base/pl_base.h"
#include "cert/pl_cert.h"

#define PL_FEED_MAGIC          "PLSEG1\r\n"
#define PL_FEED_FORMAT_VERSION 1u
#define PL_FEED_HEADER_SIZE    128u
#define PL_FEED_RECORD_SIZE    16u
#define PL_FEED_SIG_SIZE       64u
#define PL_FEED_HASH_SIZE      32u
#define PL_FEED_PUBKEY_SIZE    32u
#define PL_FEED_SECKEY_SIZE    64u /* libsodium's form: seed 32, public key 32 */
#define PL_FEED_RECORDS_MAX    (1u << 20)
#define PL_FEED_SEGMENT_SIZE(cnt) \
	(PL_FEED_HEADER_SIZE + (uint64_t)(cnt)*PL_FEED_RECORD_SIZE + PL_FEED_SIG_SIZE)
#define PL_FEED_SEGMENT_SIZE_MAX PL_FEED_SEGMENT_SIZE(PL_FEED_RECORDS_MAX)
#define PL_FEED_NAME_FORMAT      "%020" PRIu64 ".plseg" /* file name by sequence */
#define PL_FEED_NAME_SIZE        27u                    /* with NUL */
/* A chunk's, by the sequence that its snapshot covers, and its number. */
#define PL_FEED_CHUNK_NAME_FORMAT "%020" PRIu64 ".%05" PRIu32 ".plsnap"
#define PL_FEED_CHUNK_NAME_SIZE   34u /* with NUL */
#define PL_FEED_CHUNKS_MAX        99999u

enum pl_feed_kind {
	PL_FEED_TAIL = 1,     /* changes, in order; none at all says: nothing changed up to as_of */
	PL_FEED_SNAPSHOT = 2, /* one chunk: PUTs alone, ids strictly ascending, in all chunks */
};

struct pl_feed_header {
	uint8_t magic[8];
	uint16_t version; /* PL_FEED_FORMAT_VERSION */
	uint16_t kind;    /* enum pl_feed_kind; another is refused like another version */
	uint32_t record_cnt;
	uint64_t stream_id; /* names the authority's feed, never 0; another stream is refused */
	uint64_t sequence;  /* from 1, without holes; of a chunk: of the tail's segment covered */
	uint8_t previous[PL_FEED_HASH_SIZE]; /* of a chunk: the chunk before; zeros in the first */
	uint64_t as_of; /* unix s, 1 .. UINT32_MAX, never falls: the feed is complete up to here */

	/* Zeros in the tail; the same in all chunks of one snapshot, but for chunk_idx. */
	uint32_t chunk_idx;
	uint32_t chunk_cnt;           /* 1 .. PL_FEED_CHUNKS_MAX; empty only where there is one */
	uint64_t snapshot_record_cnt; /* in all chunks */
	uint8_t covers[PL_FEED_HASH_SIZE]; /* hash of the tail's segment `sequence` */
	uint8_t zero[8];
};
static_assert(sizeof(struct pl_feed_header) == PL_FEED_HEADER_SIZE, "segment layout");

enum pl_feed_op {
	PL_FEED_PUT = 1,    /* insert or replace facts */
	PL_FEED_REMOVE = 2, /* forget; facts are zero */
};

struct pl_feed_record {
	uint64_t cert_id; /* never 0 */
	uint32_t facts;   /* lib/cert */
	uint8_t op;       /* enum pl_feed_op */
	uint8_t zero[3];
};
static_assert(sizeof(struct pl_feed_record) == PL_FEED_RECORD_SIZE, "segment layout");

/* E(id, name, text): why a segment is refused. Nothing of a refused segment is applied. */
#define PL_FEED_ERRORS(E)                                                                   \
	E(OK, "ok", "accepted")                                                             \
	E(TRUNCATED, "truncated", "file is shorter than its header says")                   \
	E(OVERSIZED, "oversized", "file is longer than its header says, or over the limit") \
	E(NOT_SEGMENT, "not_segment", "not a segment file")                                 \
	E(VERSION, "version", "segment version or kind is not supported")                   \
	E(STREAM, "stream", "segment belongs to another stream")                            \
	E(SIGNATURE, "signature", "signature is not the authority's")                       \
	E(HEADER, "header", "header fields contradict each other")                          \
	E(RECORD, "record", "a record is malformed")                                        \
	E(KIND, "kind", "segment is of another kind than its place")                        \
	E(GAP, "gap", "segments are missing before this one")                               \
	E(FORK, "fork", "segment does not follow the one before it")                        \
	E(OLD, "old", "sequence was applied before")                                        \
	E(TIME, "time", "as-of time runs backwards")                                        \
	E(IO, "io", "file cannot be read")                                                  \
	E(APPLY, "apply", "segment could not be applied")

enum pl_feed_error {
#define E(id, name, text) PL_FEED_##id,
	PL_FEED_ERRORS(E)
#undef E
		PL_FEED_ERROR_CNT
};

/** Static storage; "?" for a number that is no error. */
const char *pl_feed_error_name(enum pl_feed_error e);
const char *pl_feed_error_text(enum pl_feed_error e);

/** Where a reader of the chain stands. All zeros, or zeros but for stream_id: at the beginning. */
struct pl_feed_pos {
	uint64_t stream_id; /* 0: take the first segment's */
	uint64_t sequence;  /* of the last segment; 0: none yet */
	uint64_t as_of;
	uint8_t hash[PL_FEED_HASH_SIZE]; /* of the last segment's whole file */
};

/** A segment checked in memory; records point into the caller's bytes. */
struct pl_feed_segment {
	struct pl_feed_header header;
	const struct pl_feed_record *records;
	uint8_t hash[PL_FEED_HASH_SIZE]; /* of the whole file: the next one's previous */
};

/** A snapshot: what each of its chunks says of it. */
struct pl_feed_snapshot {
	struct pl_feed_pos covers; /* where a reader stands that has all of it */
	uint64_t record_cnt;
	uint32_t chunk_cnt;
};

/** Where a reader or a writer of one snapshot stands. At the beginning all is zero but snapshot. */
struct pl_feed_chunk_pos {
	struct pl_feed_snapshot snapshot;
	uint32_t chunk_cnt; /* chunks passed: the next one's number */
	uint64_t record_cnt;
	uint64_t id_last; /* of the last record passed; 0: none yet */
	uint8_t hash[PL_FEED_HASH_SIZE];
};

/**
 * Check a whole segment: form, stream, signature, then, if pos is given, that it follows pos,
 * then every record. Changes nothing; pl_feed_advance() moves pos.
 *
 * Nothing that an unsigned header says about the chain is believed: of the reasons for refusal
 * only those about form and stream are given before the signature is known to be good.
 *
 * @param data  size bytes, aligned to 8. Read once; must not change during the call.
 * @param pos   where in the tail it must follow: a chunk is then PL_FEED_KIND. NULL: the segment,
 *              of either kind, is checked by itself.
 * @param out   set only when PL_FEED_OK is returned.
 * Thread: any. Blocks: no. Allocates: no. One pass of BLAKE2b over data, one Ed25519 check.
 */
enum pl_feed_error pl_feed_check(const uint8_t *data, size_t size,
				 const uint8_t pubkey[PL_FEED_PUBKEY_SIZE],
				 const struct pl_feed_pos *pos, struct pl_feed_segment *out);
/** Move pos onto a segment that pl_feed_check() accepted with it. */
void pl_feed_advance(struct pl_feed_pos *pos, const struct pl_feed_segment *seg);

/**
 * pl_feed_check() for a chunk: that it is of pos->snapshot, the next chunk, and its ids are above
 * those before. PL_FEED_FORK: of another snapshot, or another chunk before it.
 */
enum pl_feed_error pl_feed_check_chunk(const uint8_t *data, size_t size,
				       const uint8_t pubkey[PL_FEED_PUBKEY_SIZE],
				       const struct pl_feed_chunk_pos *pos,
				       struct pl_feed_segment *out);
/** Move pos past a chunk that pl_feed_check_chunk() accepted with it. */
void pl_feed_chunk_advance(struct pl_feed_chunk_pos *pos, const struct pl_feed_segment *seg);
/** Have all chunks passed? The snapshot may be believed only then. */
bool pl_feed_chunk_complete(const struct pl_feed_chunk_pos *pos);
/** What a chunk says of its snapshot. */
void pl_feed_snapshot_of(const struct pl_feed_header *h, struct pl_feed_snapshot *out);

/** File name of a segment; and the sequence of a file name, 0 if it is not a segment's name. */
void pl_feed_name(uint64_t sequence, char name[PL_FEED_NAME_SIZE]);
uint64_t pl_feed_name_sequence(const char *name);
/** The same of chunks; false if it is not a chunk's name. */
void pl_feed_chunk_name(uint64_t sequence, uint32_t chunk_idx, char name[PL_FEED_CHUNK_NAME_SIZE]);
bool pl_feed_chunk_name_parse(const char *name, uint64_t *sequence, uint32_t *chunk_idx);

/* ---- writing: the authority ---- */

/** One segment in the making, in memory; opaque; one thread at a time. Reused for many. */
struct pl_feed_writer;

PL_MUST_USE int pl_feed_writer_create(struct pl_feed_writer **out);
void pl_feed_writer_destroy(struct pl_feed_writer *w);

/** Start a segment, forgetting the one before. A new writer has begun. */
void pl_feed_writer_begin(struct pl_feed_writer *w);

/**
 * Add one record.
 * @return 0; -ENOSPC when PL_FEED_RECORDS_MAX are in (seal this one, begin another); -EINVAL for
 * a record that no reader would accept.
 */
PL_MUST_USE int pl_feed_writer_add(struct pl_feed_writer *w, uint64_t cert_id, uint32_t facts,
				   enum pl_feed_op op);
uint32_t pl_feed_writer_record_cnt(const struct pl_feed_writer *w);

/**
 * Finish the segment: number, chain, hash, sign. The bytes stay w's, until the next begin.
 *
 * @param pos    where the chain ends now; stream_id must be set. Not moved: a segment exists
 *               only once it is stored. After pl_feed_store_put(): pl_feed_advance(pos, seg).
 * @param as_of  unix s; not before pos->as_of.
 * @param seg    the segment as pl_feed_check() would give it.
 * @return 0; -EINVAL for an as_of or stream that no reader would accept.
 */
PL_MUST_USE int pl_feed_writer_seal(struct pl_feed_writer *w, const struct pl_feed_pos *pos,
				    uint64_t as_of, const uint8_t seckey[PL_FEED_SECKEY_SIZE],
				    struct pl_feed_segment *seg, const uint8_t **data,
				    size_t *size);

/**
 * Finish a chunk of a snapshot with the records added, as pl_feed_writer_seal() does a segment.
 *
 * @param pos  not moved; after pl_feed_store_put(): pl_feed_chunk_advance(pos, seg). The same
 *             records under the same pos and key give the same bytes.
 * @return 0; -EINVAL for what no reader would accept: ids that do not ascend, other records than
 * PL_FEED_PUT, counts that do not fit pos->snapshot.
 */
PL_MUST_USE int pl_feed_writer_seal_chunk(struct pl_feed_writer *w,
					  const struct pl_feed_chunk_pos *pos,
					  const uint8_t seckey[PL_FEED_SECKEY_SIZE],
					  struct pl_feed_segment *seg, const uint8_t **data,
					  size_t *size);

/* ---- the directory ---- */

/** An open segment directory and a buffer for one segment; opaque; one thread at a time. */
struct pl_feed_store;

struct pl_feed_store_conf {
	const char *dir_path; /* must exist */
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	bool write; /* takes the directory's lock; without it nothing there is ever changed */
};

/**
 * @return 0, or -errno with error naming the path and the remedy: -ENOENT, -ENOTDIR, -EACCES;
 * -EWOULDBLOCK when another process has the directory open for writing; -ENOMEM.
 */
PL_MUST_USE int pl_feed_store_open(const struct pl_feed_store_conf *conf,
				   struct pl_feed_store **out, char *error, size_t error_size);
void pl_feed_store_close(struct pl_feed_store *s);

/** Called once for each accepted segment, in order. seg is borrowed for the call. Not 0: stop. */
typedef int (*pl_feed_apply_fn)(void *ctx, const struct pl_feed_segment *seg);

/** What one pl_feed_store_read() did, and why it stopped. */
struct pl_feed_report {
	uint64_t segment_cnt; /* applied in this call */
	uint64_t record_cnt;
	char name[PL_FEED_CHUNK_NAME_SIZE]; /* of the refused segment; "" if none was */
	char text[168];                     /* the reason with its particulars, for a log */
};

/**
 * Read what follows pos: each segment is opened, checked, handed to apply, and pos moved onto
 * it. To follow the feed call it again with the same pos, whenever the directory changed (watch
 * it for IN_MOVED_TO and IN_CREATE) and now and then without.
 *
 * Only regular files with a segment's name count; links are not followed, other names are not
 * looked at. A refused file changes nothing and stays where it is: calling again finds the
 * same, until someone replaces it.
 *
 * @param apply  may be NULL: then segments are only checked.
 * @return PL_FEED_OK when everything up to the newest segment was applied, else why not.
 * Blocks: on the disk. Allocates: no.
 */
enum pl_feed_error pl_feed_store_read(struct pl_feed_store *s, struct pl_feed_pos *pos,
				      pl_feed_apply_fn apply, void *ctx,
				      struct pl_feed_report *report);

/**
 * pl_feed_store_read() for one whom the directory's writer tells how far its segments go. Whether a
 * name that is not there is the end, or a hole with more behind it, is known only by listing the directory, which
 * costs as much as it has names; from the segment `newest` on it is the end, and nothing is listed.
 */
enum pl_feed_error pl_feed_store_read_to(struct pl_feed_store *s, struct pl_feed_pos *pos,
					 uint64_t newest, pl_feed_apply_fn apply, void *ctx,
					 struct pl_feed_report *report);

/**
 * Store one whole segment, of either kind: temporary file, write, fsync, fsync of the directory, rename, fsync
 * of the directory. When it returns 0 the segment outlives a power failure. A reader can see it
 * only after it is certain to survive, under its own or its temporary name, so no reader is ever
 * ahead of what pl_feed_store_settle() finds. The caller has checked or made the bytes.
 *
 * @return 0, or -errno with error set. -EIO: it is unknown whether the segment was stored, and
 * nothing more is written through s; the caller opens and settles anew, once the disk is sound.
 * Anything else, like -EEXIST or -ENOSPC: nothing was stored, and s can go on.
 */
PL_MUST_USE int pl_feed_store_put(struct pl_feed_store *s, const uint8_t *data, size_t size,
				  char *error, size_t error_size);

/**
 * Bring an interrupted pl_feed_store_put() to its end: what its temporary file holds becomes the
 * segment if it is whole and follows pos, and is deleted if not (a chunk always: it is put again).
 * Call it with pos at the newest segment,
 * before the first put; read again if something was adopted.
 */
PL_MUST_USE int pl_feed_store_settle(struct pl_feed_store *s, const struct pl_feed_pos *pos,
				     bool *adopted, char *error, size_t error_size);

/**
 * The bytes of one segment, as they are on disk: chunk_idx PL_FEED_TAIL_IDX for the tail's segment
 * `sequence`, else of the snapshot that covers it. They stay until the next call with s. Not
 * checked, but for their number: at most one byte over PL_FEED_SEGMENT_SIZE_MAX.
 * @return 0, -ENOENT, or another -errno.
 */
#define PL_FEED_TAIL_IDX UINT32_MAX
PL_MUST_USE int pl_feed_store_get(struct pl_feed_store *s, uint64_t sequence, uint32_t chunk_idx,
				  const uint8_t **data, size_t *size);

/**
 * Where a writer's own directory ends, without reading all of it: from the newest complete
 * snapshot, or from the beginning, along the names without a hole, to the last segment. Only that
 * one is read and checked (by itself: what was put here had been checked with its place).
 *
 * @param pos  stream_id set by the caller or 0, else out: zeros but for stream_id when there is
 *             nothing.
 * @return PL_FEED_OK; else why the last segment is refused: pos is then the one before it, if that
 * holds, and report->name may be given to pl_feed_store_set_aside(), to store it anew.
 */
enum pl_feed_error pl_feed_store_end(struct pl_feed_store *s, struct pl_feed_pos *pos,
				     struct pl_feed_report *report);

/**
 * Take a file that no reader would accept (torn by a power failure, say) out of the way: its name
 * gets ".bad" behind it, which no one reads, and replaces what had that name. Durable.
 * @return 0, or -errno with error set; -EIO as for pl_feed_store_put().
 */
PL_MUST_USE int pl_feed_store_set_aside(struct pl_feed_store *s, const char *name, char *error,
					size_t error_size);

/* ---- snapshots in the directory ---- */

/**
 * The newest snapshot that covers a sequence above `above` and below `below`, all of whose chunks
 * are there: by names, sizes and headers, so it is cheap, and proves nothing yet.
 * @return 0, -ENOENT, or another -errno if the directory cannot be read.
 */
PL_MUST_USE int pl_feed_store_snapshot_find(struct pl_feed_store *s, uint64_t above, uint64_t below,
					    struct pl_feed_snapshot *out);

/**
 * Read a snapshot that was found: each chunk is checked and handed to apply, and the next one is
 * asked of the disk meanwhile. What was applied may be believed only if this returns PL_FEED_OK.
 *
 * @param apply  may be NULL: then chunks are only checked.
 */
enum pl_feed_error pl_feed_store_snapshot_read(struct pl_feed_store *s,
					       const struct pl_feed_snapshot *snapshot,
					       pl_feed_apply_fn apply, void *ctx,
					       struct pl_feed_report *report);

/**
 * Delete the chunks from chunk_idx on of the snapshot that covers `sequence`: what remains of
 * another attempt to write it. 0 or -errno with error set.
 */
PL_MUST_USE int pl_feed_store_snapshot_drop(struct pl_feed_store *s, uint64_t sequence,
					    uint32_t chunk_idx, char *error, size_t error_size);

/** What pl_feed_store_prune() deleted. */
struct pl_feed_pruned {
	uint64_t segment_cnt; /* of the tail */
	uint64_t chunk_cnt;
	uint64_t size; /* bytes of all of them */
};

/**
 * Delete what a snapshot stands for: segments before the one it covers, and chunks of older
 * snapshots. The covered segment itself stays: others are compared with it. The oldest go first,
 * so that whoever dies on the way leaves a tail without a hole.
 *
 * @param snapshot  the caller has read it with pl_feed_store_snapshot_read() from a durable
 *                  directory; here it is looked at once more, as by pl_feed_store_snapshot_find().
 * @return 0; -ENOENT: the snapshot is not complete, and nothing was deleted; another -errno, error
 * set: some may have been deleted.
 */
PL_MUST_USE int pl_feed_store_prune(struct pl_feed_store *s,
				    const struct pl_feed_snapshot *snapshot,
				    struct pl_feed_pruned *out, char *error, size_t error_size);

#endif
