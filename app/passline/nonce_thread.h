/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Reserves reply counters long before they are used up, in a thread of its own: a disk that hangs for a minute
 * holds up neither control nor, while what was reserved lasts, any answer.
 */
#ifndef PL_NONCE_THREAD_H
#define PL_NONCE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "nonce_store.h"

#define PL_NONCE_TEXT_SIZE 1200u

struct pl_nonce_thread {
	struct pl_nonce_store store; /* the thread's own while it runs */
	_Atomic uint64_t *limit;     /* the first counter that may not be used; on disk */
	pthread_t thread;
	bool open;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;                     /* lock */
	bool asked;                    /* lock */
	uint64_t used_to;              /* lock: by now; reserve beyond it */
	uint64_t begun_ms;             /* lock: the write that is under way; 0: none is */
	char text[PL_NONCE_TEXT_SIZE]; /* lock: why the last one failed; "": it did not */
};

/**
 * Lock the state directory, read the mark of the last run, and reserve.
 * @param limit  where workers read up to where it is; set at once, and whenever there is more.
 * @param first  the first counter to use.
 * @return pl_nonce_store_open()'s.
 */
PL_MUST_USE int pl_nonce_thread_open(struct pl_nonce_thread *t, const char *state_dir,
				     uint64_t wall_ns, _Atomic uint64_t *limit, uint64_t *first,
				     char *error, size_t error_size);
/** Reserve from now on what is asked for. */
PL_MUST_USE int pl_nonce_thread_start(struct pl_nonce_thread *t, char *error, size_t error_size);
/** Counters before used_to are spent: reserve more, if half of the reserve is. Never waits for the disk.
 * Thread: control's. */
void pl_nonce_thread_ask(struct pl_nonce_thread *t, uint64_t used_to);
/** Counters that a worker can still use which has come to used_to. Thread: any. */
uint64_t pl_nonce_thread_left(const struct pl_nonce_thread *t, uint64_t used_to);
/** What is wrong with it, for humans; "": nothing. Thread: any. */
void pl_nonce_thread_text(struct pl_nonce_thread *t, char *text, size_t text_size);
/** Waits for the write under way. Does nothing for one that did not start. */
void pl_nonce_thread_stop(struct pl_nonce_thread *t);
/** Does nothing for one that was not opened. */
void pl_nonce_thread_close(struct pl_nonce_thread *t);

#endif
