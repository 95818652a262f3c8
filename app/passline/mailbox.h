/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A mailbox: other threads leave letters, which say what is to be done, and wait; its owner does
 * them, one after another, when it comes by.
 */
#ifndef PL_MAILBOX_H
#define PL_MAILBOX_H

#include <pthread.h>

#include "base/pl_base.h"

#define PL_MAILBOX_WAIT_MS 5000u /* for the owner to come by, unless said otherwise */

/** Done on the owner's thread. @return 0, or -errno with error. */
typedef int (*pl_mailbox_fn)(void *ctx, void *arg, char *error, size_t error_size);

struct pl_letter; /* on its sender's stack */

struct pl_mailbox {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct pl_letter *first; /* lock */
	bool closed;             /* lock */
	/* Frozen after the opening: */
	uint32_t wait_ms; /* PL_MAILBOX_WAIT_MS */
	/* Tells the owner that a letter has come; NULL: it comes by by itself. Thread: the sender's. */
	void (*wake)(void);
};

PL_MUST_USE int pl_mailbox_open(struct pl_mailbox *m);
/** Letters that were not taken come back with -ECANCELED, and so do all later ones. */
void pl_mailbox_shut(struct pl_mailbox *m);
/** Nobody may be in a call. */
void pl_mailbox_destroy(struct pl_mailbox *m);

/** Do all letters that are there. Thread: the owner's. Blocks: as long as what they ask for. */
void pl_mailbox_empty(struct pl_mailbox *m, void *ctx);

/**
 * Have fn done, and wait for it. One that was taken is waited for to its end, since it has our arg.
 *
 * @return fn's; -ETIMEDOUT if the owner did not come by in time, and -ECANCELED if the mailbox is
 *         shut: fn then never runs, and error says so.
 * Thread: any but the owner's.
 */
PL_MUST_USE int pl_mailbox_ask(struct pl_mailbox *m, pl_mailbox_fn fn, void *arg, char *error,
			       size_t error_size);

#endif
