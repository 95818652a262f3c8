/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What happened to this appliance and by whose hand: one line of JSON for each change and each
 * refusal, in STATE_DIR/journal.jsonl. A thread of its own writes and fsyncs, so that a disk that
 * is slow or full holds up nobody; what it cannot write is counted, said once, and lost.
 *
 *   {"time": "2026-01-06T05:00:00.123Z", "what": "reload", "who": "uid 0 pid 4711",
 *    "result": "refused", "text": "..."}
 *
 * A file that has reached PL_JOURNAL_FILE_SIZE becomes journal.jsonl.1, that one .2, and so on up
 * to PL_JOURNAL_FILES_MAX; the oldest goes.
 */
#ifndef PL_JOURNAL_H
#define PL_JOURNAL_H

#include <pthread.h>

#include <jansson.h>

#include "base/pl_base.h"

#define PL_JOURNAL_FILE_SIZE   (1u << 20) /* bytes */
#define PL_JOURNAL_FILES_MAX   8u         /* older ones, besides the current */
#define PL_JOURNAL_QUEUE_MAX   256u       /* lines that wait for the disk */
#define PL_JOURNAL_TEXT_SIZE   2048u      /* bytes of a line's text; more is cut, and marked so */
#define PL_JOURNAL_LAST_MAX    1000u      /* lines that can be asked for */
#define PL_JOURNAL_SYNC_MS_MAX 2000u

struct pl_journal {
	pthread_t thread;
	bool running;
	int dir_fd;
	pthread_mutex_t lock;
	pthread_cond_t wake;               /* the writer has something to do */
	pthread_cond_t idle;               /* something was written, or given up */
	char *queue[PL_JOURNAL_QUEUE_MAX]; /* lock */
	uint32_t queue_cnt;                /* lock */
	uint64_t added;                    /* lock: lines ever taken */
	uint64_t settled;                  /* lock: lines on disk, or given up */
	uint64_t lost;                     /* lock: given up, or refused by a full queue */
	bool stop;                         /* lock */
	bool failing; /* lock; the writer's: the latest line was given up, and that was said */
	/* Says to the operator; called from the writer's thread. */
	void (*say)(const char *format, ...) __attribute__((format(printf, 1, 2)));
};

/**
 * @param say  pl_say().
 * @return 0, or -errno with error. A file that cannot be written is no reason not to start: that
 *         is told when a line is to be written. Only a directory that cannot be opened is.
 */
PL_MUST_USE int pl_journal_open(struct pl_journal *j, const char *state_dir,
				void (*say)(const char *format, ...), char *error,
				size_t error_size);
/** Writes what waits. Does nothing for one that is not open. */
void pl_journal_close(struct pl_journal *j);

/**
 * Note one thing. Never fails and never waits for the disk.
 *
 * @param who     "signal HUP", "uid 0 pid 4711", "appliance".
 * @param what    one word: start, stop, reload, policy, keys, waiver, drain, feed, table, nonces,
 *                state.
 * @param result  one word: done, refused, failed, changed.
 * @param format  what else there is to say, never a secret.
 * Thread: any. A journal that is not open notes nothing.
 */
void pl_journal_write(struct pl_journal *j, const char *who, const char *what, const char *result,
		      const char *format, ...) __attribute__((format(printf, 5, 6)));

/** Wait until all that was noted is on disk or given up, at most PL_JOURNAL_SYNC_MS_MAX.
 * @return false if the latest is not on disk. */
bool pl_journal_sync(struct pl_journal *j);

/** The newest cnt lines, oldest first, as an array; NULL if memory is short. Thread: any. */
json_t *pl_journal_last(struct pl_journal *j, uint32_t cnt);
uint64_t pl_journal_lost(struct pl_journal *j);

#endif
