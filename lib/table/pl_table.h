/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The certificate table: id -> facts, and the newest accepted scan of each certificate. One
 * writer, any number of readers; reads are wait-free whatever the writer does.
 *
 * The table lives in one shared mapping, named when it has a path, and is consistent after every
 * instruction of the writer: a process that dies leaves a table that every reader reads right
 * and that the next writer goes on from.
 *
 * Any 64-bit value is an id. Entries never move while they are present, so a lookup that finds
 * nothing has proved absence; reclaiming removed slots waits for every reader's quiescent point
 * (quiescent-state-based reclamation: McKenney and Slingwine, 1998). Layout and its reasons:
 * docs/architecture.md, "lib/table".
 */
#ifndef PL_TABLE_H
#define PL_TABLE_H

#include "base/pl_base.h"

#define PL_TABLE_BURST_MAX     64u
#define PL_TABLE_READERS_MAX   64u
#define PL_TABLE_CAPACITY_MAX  (UINT64_C(1) << 32)
#define PL_TABLE_POSITION_SIZE 64u /* bytes; lib/feed keeps its place here */

struct pl_table;        /* a mapping of the table; opaque */
struct pl_table_reader; /* one per reading thread; opaque */
struct pl_table_bulk;   /* a build by several threads; opaque */

/* ---- making and opening ---------------------------------------------------------------- */

struct pl_table_conf {
	/** File on hugetlbfs (2 MB or 1 GB pages, as mounted), or on tmpfs for ordinary pages.
	 *  NULL: no name, for this process only. */
	const char *path;
	/** Used when path cannot be: ordinary pages, say on /dev/shm. NULL: refuse instead. */
	const char *fallback_path;
	uint64_t
		capacity; /* certificates, 1 .. PL_TABLE_CAPACITY_MAX. Attach: 0 takes what is there */
	uint64_t hash_seed; /* 0: random. Only create uses it */
	int numa_node;      /* where the memory should be; -1: no wish */
};

/**
 * Make an empty table and become its writer. The file must not exist.
 *
 * Takes about 32 bytes a certificate (pl_table_size()), all of it touched now. Until it is whole
 * the file is called path + ".part"; one that a dead process left there is replaced.
 *
 * @return 0; -EEXIST, -EINVAL, -ENOMEM, -EBUSY and errors of the file system, with error saying
 *         what, where and what would help.
 */
PL_MUST_USE int pl_table_create(const struct pl_table_conf *conf, struct pl_table **out,
				char *error, size_t error_size);

/**
 * Map a table that another process made, or made before it died.
 *
 * @param writer  become its writer: repairs what the last one left half done. Refused with
 *                -EBUSY while another process is the writer.
 * @return 0; -ENOENT, -EBUSY; -EPROTO for a file that is no table at all; -EILSEQ for a table of
 *         another layout or a damaged one, which is of no use; -ERANGE for another capacity than
 *         conf's; errors of the file system.
 */
PL_MUST_USE int pl_table_attach(const struct pl_table_conf *conf, bool writer,
				struct pl_table **out, char *error, size_t error_size);

/** Become the writer of an attached table, say when the old process has gone. 0 or -EBUSY. */
PL_MUST_USE int pl_table_writer_take(struct pl_table *t);
/** Stop being the writer; the mapping and its readers stay. */
void pl_table_writer_drop(struct pl_table *t);

/** Unmap. The file stays: unlink it to throw the table away. Its readers must be gone. */
void pl_table_close(struct pl_table *t);

/** Bytes of memory that a table of this capacity takes on pages of page_size bytes. */
uint64_t pl_table_size(uint64_t capacity, uint64_t page_size);

/* ---- reading ----------------------------------------------------------------------------- */

enum pl_table_found {
	PL_TABLE_ABSENT = 0,
	PL_TABLE_FOUND = 1,
	PL_TABLE_UNSURE = 2, /* cannot tell: this table was superseded by another process */
};

struct pl_table_hit {
	uint64_t slot;  /* for pl_table_seen(), valid until the reader's next pl_table_quiesce() */
	uint32_t facts; /* lib/cert; 0 unless found */
	uint8_t found;  /* enum pl_table_found */
};

enum pl_table_seen {
	PL_SEEN_NEW = 0,    /* newer than any accepted scan: now recorded as accepted */
	PL_SEEN_RESEND = 1, /* the very scan that was accepted last */
	PL_SEEN_REPLAYED = 2,
	PL_SEEN_UNSURE = 3, /* lost a bounded number of races, or the table was superseded */
};

/** A burst of lookups between its two halves. The caller's memory; what is in it is the table's. */
struct pl_table_pending {
	const uint64_t *ids;
	struct pl_table_hit *hits;
	uint32_t cnt;                        /* of lookups that need a second line */
	uint64_t bucket[PL_TABLE_BURST_MAX]; /* where that is */
	uint32_t meta[PL_TABLE_BURST_MAX];   /* what led there, */
	uint32_t match[PL_TABLE_BURST_MAX];  /* by which signposts */
	uint32_t idx[PL_TABLE_BURST_MAX];    /* in the burst */
};

/** What one reader did; the thread that owns the reader may read it. */
struct pl_table_reader_counters {
	uint64_t unsure;      /* lookups and scans that could not tell */
	uint64_t second_line; /* lookups that went beyond the first line */
	uint64_t rest;        /* of those: beyond the second */
};

/**
 * Register a reader; it counts as reading until destroyed, so its thread must call
 * pl_table_quiesce() regularly or removed slots stay unused (nothing else waits for it).
 *
 * @return 0; -EUSERS when PL_TABLE_READERS_MAX are registered over all processes; -ENOMEM.
 * Thread: any; then the reader belongs to one thread at a time. Blocks: for a pl_table_grow_step().
 */
PL_MUST_USE int pl_table_reader_create(struct pl_table *t, struct pl_table_reader **out);
void pl_table_reader_destroy(struct pl_table_reader *r);
const struct pl_table_reader_counters *pl_table_reader_counters(const struct pl_table_reader *r);

/** Start fetching what the lookups of these ids touch first. Any count; 64 or fewer is best. */
void pl_table_prefetch(const struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt);

/**
 * Look up a burst. For full speed call pl_table_prefetch() for it a while before: prefetch the
 * next burst, then find this one.
 *
 * @param cnt  0 .. PL_TABLE_BURST_MAX.
 * Thread: r's. Blocks: no. Allocates: no. Wait-free.
 */
void pl_table_find(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
		   struct pl_table_hit *hits);

/**
 * The first half of pl_table_find(), and pl_table_prefetch() of the next burst between its lookups, which
 * keeps the memory evenly busy. Starting a burst before finishing the one before it is the fastest
 * way when lookups are most of the work: what a few of them need beyond their first line comes
 * meanwhile.
 *
 * @param ids       must stay as they are until finished.
 * @param hits      not to be read until finished.
 * @param next_cnt  0 .. cnt is best; more is fetched first.
 * @param pending   to pl_table_find_finish(), before the reader's next pl_table_quiesce().
 * Thread: r's. Blocks: no. Allocates: no. Wait-free.
 */
void pl_table_find_start(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
			 struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt,
			 struct pl_table_pending *pending);
/** The second half, once for each start. As pl_table_find_start(). */
void pl_table_find_finish(struct pl_table_reader *r, const struct pl_table_pending *pending);

/**
 * Accept a scan of a found certificate, unless this QR or a newer one was accepted before.
 * One CAS on the line that the lookup fetched.
 *
 * @param shown_at   unix s, not 0.
 * @param scan_hash  a hash of (venue_id, scan_id), of which the low 31 bits count: tells a
 *                   resend from a copy.
 * Thread: r's. Blocks: no. Wait-free.
 */
enum pl_table_seen pl_table_seen(struct pl_table_reader *r, const struct pl_table_hit *hit,
				 uint32_t shown_at, uint32_t scan_hash);

/** Say that no hit of an earlier burst is held any more: once per burst of the pipeline. Three
 *  loads when nothing has changed. */
void pl_table_quiesce(struct pl_table_reader *r);

/* ---- writing: one thread at a time, of the process that is the writer ---------------------- */

struct pl_table_entry {
	uint64_t id;
	uint32_t facts;
};

/**
 * Insert, or replace the facts of, one certificate.
 *
 * @return 0 inserted, 1 replaced; -ENOSPC: at capacity, nothing changed, counted; -EAGAIN: room
 *         only in removed slots that a reader has not yet passed, counted; -EINVAL: not
 *         pl_facts_valid(); -EPERM: not the writer.
 * A certificate that was removed and comes back before its slot was used again, or the table grown,
 * keeps its newest accepted scan.
 */
PL_MUST_USE int pl_table_put(struct pl_table *t, uint64_t id, uint32_t facts);

/**
 * pl_table_put() for many, prefetching; in order.
 *
 * @return 0, or the first error; *done entries were applied before it.
 */
PL_MUST_USE int pl_table_put_many(struct pl_table *t, const struct pl_table_entry *entries,
				  size_t cnt, size_t *done);

/** 0, -ENOENT, or -EPERM: not the writer. */
PL_MUST_USE int pl_table_remove(struct pl_table *t, uint64_t id);

/** The writer's own lookup, with no reader: 0, or -ENOENT. facts and seen may be NULL. seen:
 *  shown_at of the newest accepted scan, 0 if none. */
PL_MUST_USE int pl_table_get(const struct pl_table *t, uint64_t id, uint32_t *facts,
			     uint32_t *seen_shown_at);

/** PL_TABLE_POSITION_SIZE bytes that change as one, whatever happens to the writer. */
void pl_table_position_set(struct pl_table *t, const void *position);
/** Zeros when never set. Any thread of the writer's process, or any process with no writer. */
void pl_table_position_get(const struct pl_table *t, void *position);

/**
 * Walk all entries, in the table's own order. Entries present throughout are seen exactly once.
 *
 * @param cursor  0 to begin; UINT64_MAX after the last.
 * @return how many entries were written to out; 0 only at the end.
 * Thread: the writer's, or one whose reader does not quiesce during the call.
 */
size_t pl_table_iterate(const struct pl_table *t, uint64_t *cursor, struct pl_table_entry *out,
			size_t max);

/* ---- building by several threads ----------------------------------------------------------- */

/**
 * Let several threads insert at once. Until pl_table_bulk_end() no other writing call is
 * allowed; readers may run. A build that dies half way leaves a right table with what it had.
 */
PL_MUST_USE int pl_table_bulk_begin(struct pl_table *t, struct pl_table_bulk **out);
/** As pl_table_put_many(), from any thread. Of equal ids in concurrent calls any one wins. */
PL_MUST_USE int pl_table_bulk_put(struct pl_table_bulk *b, const struct pl_table_entry *entries,
				  size_t cnt, size_t *done);
void pl_table_bulk_end(struct pl_table_bulk *b);

/* ---- replacing the content while readers read ---------------------------------------------- */

/**
 * Begin to replace the whole content: put everything that is to be there, then sweep what was not
 * put. Until the sweep has ended nothing else may be removed, built or grown. Takes a bit a slot.
 *
 * @return 0, -EPERM, -EBUSY, -ENOMEM.
 */
PL_MUST_USE int pl_table_sweep_begin(struct pl_table *t);
/**
 * Remove what was not put since, of the next bucket_cnt buckets (of 3 slots; 65536 take some ms).
 * @return 1 more to do, 0 done; -EINVAL when none was begun.
 */
PL_MUST_USE int pl_table_sweep_step(struct pl_table *t, uint64_t bucket_cnt, uint64_t *removed_cnt);
/** Leave what was not put where it is. */
void pl_table_sweep_abandon(struct pl_table *t);

/**
 * Forget everything, the position too, whatever state it is in; the mapping and its readers stay.
 * @param position  of what is empty then, set first; a writer that dies half way leaves it. NULL: zeros.
 * @return 0; -EAGAIN: readers have yet to pass a quiescent point, call again; -EPERM; -EBUSY.
 */
PL_MUST_USE int pl_table_clear(struct pl_table *t, const void *position);

/* ---- growing while readers read --------------------------------------------------------------- */

/**
 * Begin to replace the table by one of another capacity (room for the present entries is
 * needed). Readers of this process move over by themselves; those of other processes get
 * UNSURE once the new table is in use, and must attach again. Needs the memory of both tables
 * until done: pl_table_size() of each. Named tables: the new file is path + ".new" until done,
 * and then takes the name. A writer that dies on the way loses nothing: attach goes on, or
 * drops a new table that no reader had.
 *
 * @return 0; -EPERM, -EBUSY; -EINVAL for a capacity below the present one or beyond the most;
 *         -ENOMEM and errors of the file system: the table stays as it is. error says which.
 */
PL_MUST_USE int pl_table_grow_begin(struct pl_table *t, uint64_t capacity, char *error,
				    size_t error_size);
/**
 * Do a part of it; between calls the table may be written as usual.
 *
 * @param slots  how much, in slots walked; 65536 takes some ms.
 * @return 1 more to do (or waiting for readers to quiesce), 0 done or nothing to do; -ENOSPC: given
 *         up, the old table stays; an error of the file system: the new one is in use and has not
 *         its name yet, call again.
 */
PL_MUST_USE int pl_table_grow_step(struct pl_table *t, uint64_t slots);

/* ---- reporting ------------------------------------------------------------------------------- */

enum pl_table_memory {
	PL_TABLE_MEM_ORDINARY = 0, /* slower: show a warning */
	PL_TABLE_MEM_HUGE_2M = 1,
	PL_TABLE_MEM_HUGE_1G = 2,
};

struct pl_table_stats {
	uint64_t capacity;     /* certificates */
	uint64_t entry_cnt;    /* present */
	uint64_t removed_cnt;  /* slots of removed certificates, not yet used again */
	uint64_t slot_cnt;     /* all */
	uint64_t size;         /* bytes, everything counted */
	uint64_t page_size;    /* bytes */
	uint64_t stash_used;   /* slots of the last resort */
	uint64_t full_cnt;     /* puts refused at capacity */
	uint64_t blocked_cnt;  /* puts refused because a reader has not passed */
	uint64_t reaped_cnt;   /* registrations of dead readers cleared */
	uint64_t reader_cnt;   /* registered, all processes */
	uint64_t repaired_cnt; /* operations that an attach finished or took back */
	uint64_t generation;   /* grows since the table was made */
	enum pl_table_memory memory;
	bool fallback; /* conf.path could not be used: see fallback_reason */
	bool growing;
	bool superseded; /* another process grew the table: attach again */
	char fallback_reason[160];
};

/** Any thread of a process that has it mapped; figures of a running writer are approximate. Blocks: for a
 * pl_table_grow_step(). */
void pl_table_stats_get(const struct pl_table *t, struct pl_table_stats *out);

/** Clear registrations of readers whose process has died; how many. The writer also does this by
 *  itself when one is in its way. */
uint32_t pl_table_readers_reap(struct pl_table *t);

/** How far a look over the table has come; zeros to begin. */
struct pl_table_audit {
	uint64_t cursor; /* buckets */
	uint64_t entry_cnt;
	uint64_t tomb_cnt;
};

/**
 * Look over a table that was attached to: every entry is one that may be put and lies where a lookup
 * finds it, counts are right. Reads the table once, in the order of memory; readers may run. Cannot
 * see facts changed into other facts, nor a change of a seen word. Nobody may write from the first step
 * to the last.
 *
 * @param bucket_cnt  how much; 65536 take some ms.
 * @return 1 more to do, 0 nothing found, or -EILSEQ with error saying what is wrong.
 */
PL_MUST_USE int pl_table_audit_step(const struct pl_table *t, struct pl_table_audit *a,
				    uint64_t bucket_cnt, char *error, size_t error_size);

/**
 * Check every entry: reachable, once; counts right. Only while nobody writes. O(size).
 *
 * @return 0, or -EILSEQ with error saying what is wrong.
 */
PL_MUST_USE int pl_table_check(const struct pl_table *t, char *error, size_t error_size);

#endif
