/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The intake: the one way by which segments get into the appliance's own store. Whatever brings
 * them (a watched directory, the network, the control socket), each is checked against the chain,
 * made durable, and only then is anyone told of it.
 *
 * The store's writer lock is held from open to close, so two appliances never share a store.
 *
 * A failed fsync, or EIO, ends it for good: what is on disk then is unknown, and a second fsync that
 * succeeds proves nothing (the kernel drops the pages that it could not write). Everything after that is
 * answered "broken" until the process starts anew and looks at what is there. A full disk is another
 * matter: nothing was stored, and the next try may succeed.
 *
 * sodium_init() must have been called.
 */
#ifndef PL_INTAKE_H
#define PL_INTAKE_H

#include "base/pl_base.h"
#include "feed/pl_feed.h"

/* S(id, name): where a segment came from. */
#define PL_INTAKE_SOURCES(S) \
	S(DIR, "dir")        \
	S(TCP, "tcp")        \
	S(CONTROL, "control")

enum pl_intake_source {
#define S(id, name) PL_INTAKE_##id,
	PL_INTAKE_SOURCES(S)
#undef S
		PL_INTAKE_SOURCE_CNT
};

/* O(id, name, text): what became of a segment. The numbers are on the wire (docs/protocol.md). */
#define PL_INTAKE_OUTCOMES(O)                                                                \
	O(STORED, "stored", "stored: it outlives a power failure")                           \
	O(HELD, "held", "the same segment was stored before")                                \
	O(REFUSED, "refused", "refused for good: the reason says why")                       \
	O(UNSTORED, "unstored", "good, but it cannot be stored now: nothing was, try later") \
	O(BROKEN, "broken", "the store is not written to any more: the disk failed")

enum pl_intake_outcome {
#define O(id, name, text) PL_INTAKE_##id,
	PL_INTAKE_OUTCOMES(O)
#undef O
		PL_INTAKE_OUTCOME_CNT
};

/** Static storage; "?" for a number that is none. */
const char *pl_intake_source_name(enum pl_intake_source s);
const char *pl_intake_outcome_name(enum pl_intake_outcome o);
const char *pl_intake_outcome_text(enum pl_intake_outcome o);

#define PL_INTAKE_TEXT_SIZE 256u
#define PL_INTAKE_RATE_MIN  10000ull      /* certificates/s */
#define PL_INTAKE_RATE_MAX  1000000000ull /* as good as none */
#define PL_INTAKE_RATE      4000000ull    /* the default */

struct pl_intake_conf {
	const char *store_path; /* made, mode 0700, if only its last part is missing */
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint64_t stream_id;       /* the authority's; not 0 */
	uint64_t certs_per_s_max; /* see pl_intake_delay_ms(); 0: no bound */
};

struct pl_intake; /* opaque */

/**
 * Lock the store, find where its chain ends, and bring an interrupted write to its end.
 *
 * The newest segment is checked; those before it were when they were stored, and whoever loads them
 * does so again. One that is damaged is set aside under another name (NAME.bad) and
 * counts as missing: it can then be had again from the authority.
 *
 * @return 0; a store that cannot be written to for now (disk full, read-only) is no error: see
 * pl_intake_status_get(). Else -errno with error naming the path and the remedy: -EWOULDBLOCK when another
 * process writes to this store; -EINVAL when it holds another authority's stream; -ENOENT, -ENOTDIR,
 * -EACCES; -ENOMEM.
 * Blocks: on the disk.
 */
PL_MUST_USE int pl_intake_open(const struct pl_intake_conf *conf, struct pl_intake **out,
			       char *error, size_t error_size);
/** Nobody else may be in a call. */
void pl_intake_close(struct pl_intake *in);

/** What became of one segment, with its particulars for a log or an answer. */
struct pl_intake_answer {
	enum pl_intake_outcome outcome;
	enum pl_feed_error error; /* why it was refused; PL_FEED_OK for another outcome */
	struct pl_feed_pos pos;   /* newest durable segment, now */
	char text[PL_INTAKE_TEXT_SIZE];
};

/**
 * Take one segment, or one chunk of a snapshot: check it, store it durably, wake whoever reads the store (pl_intake_fd()).
 * When the outcome is STORED or HELD it outlives a power failure; otherwise nothing has changed.
 *
 * A segment with a sequence that was stored before is HELD if it is that very segment, and else
 * refused: as a fork if both can be compared, as old if not. Of refusals those for gap, fork and time are evidence,
 * because they stand behind the authority's signature, that there is something we lack: see
 * `behind` in the status.
 *
 * The chunks of a snapshot come in order, from the first. When the last one is stored, and the snapshot is of a
 * later segment than ours, we are at that segment: a gap that nobody can fill any more is passed so.
 *
 * @param data  size bytes, aligned to 8; read only during the call.
 * Thread: any, one after another. Blocks: on the disk, and on other callers.
 */
enum pl_intake_outcome pl_intake_submit(struct pl_intake *in, const uint8_t *data, size_t size,
					enum pl_intake_source source,
					struct pl_intake_answer *answer);

/**
 * How long to wait before the next submit, so that no more than certs_per_s_max come in on average
 * over a second: every submit is charged its size, whatever its outcome. The waiting is the caller's, who
 * then reads no more from its source meanwhile.
 * Thread: any. Blocks: no.
 */
uint32_t pl_intake_delay_ms(struct pl_intake *in);

/** A source has refused by itself what cannot be a segment: it is counted with the others. Any thread. */
void pl_intake_refused_count(struct pl_intake *in, enum pl_intake_source source,
			     enum pl_feed_error error);

/** An eventfd that counts segments stored, for the one who reads the store to poll and read. It is written after
 *  the status: who reads it, and the status then, finds there what it was written for. */
int pl_intake_fd(const struct pl_intake *in);

/** The reader of the store says how far the table has got: shown in the status and to peers. Whoever
 * sees it there sees the table so. Any thread. */
void pl_intake_applied_set(struct pl_intake *in, uint64_t sequence);

/**
 * pl_feed_store_prune() of the store. Deleting makes nothing that was stored less durable, so it is
 * done on a broken store, too, as far as the disk lets it.
 * Thread: any. Blocks: on the disk, and on other callers.
 */
PL_MUST_USE int pl_intake_prune(struct pl_intake *in, const struct pl_feed_snapshot *snapshot,
				struct pl_feed_pruned *out, char *error, size_t error_size);

struct pl_intake_status {
	struct pl_feed_pos pos; /* newest durable segment */
	uint64_t applied;       /* what pl_intake_applied_set() was told last */
	uint64_t snapshot;      /* newest complete one in the store; 0: none */
	bool broken;            /* until the process starts anew */
	bool unstored;          /* the latest segment could not be stored; the next may be */
	bool behind;            /* the authority has signed segments that do not follow ours */
	uint64_t lacked_to;     /* newest segment that was lacking ever: absent is unsure until it
				 * is applied, and not only stored. 0: none was */
	uint64_t stored[PL_INTAKE_SOURCE_CNT];
	uint64_t records[PL_INTAKE_SOURCE_CNT]; /* of those stored */
	uint64_t held[PL_INTAKE_SOURCE_CNT];
	uint64_t unstored_cnt[PL_INTAKE_SOURCE_CNT]; /* not stored now, or broken */
	uint64_t refused[PL_INTAKE_SOURCE_CNT][PL_FEED_ERROR_CNT];
	char text[PL_INTAKE_TEXT_SIZE]; /* why it is broken, unstored or behind; else "" */
	char note[PL_INTAKE_TEXT_SIZE]; /* what opening had to mend; else "" */
};

/** Thread: any. Blocks: no; not on a disk that hangs, either. */
void pl_intake_status_get(struct pl_intake *in, struct pl_intake_status *out);

#endif
