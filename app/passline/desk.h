/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The desk: the control socket's commands. Handlers run on the desk's threads (lib/ctl); what they
 * change, they change on control's thread, through a mailbox that control empties each tick, so
 * that control stays the one who decides. What they show, they read as telemetry does.
 *
 * A new command: a handler `int pl_desk_x(void *ctx, struct pl_ctl_call *call)`, whose ctx is the
 * struct pl_app, declared here, and a line in the table in desk.c.
 */
#ifndef PL_DESK_H
#define PL_DESK_H

#include <pthread.h>

#include "base/pl_base.h"
#include "ctl/pl_ctl.h"

#define PL_DESK_WAIT_MS  5000u /* for control to take a letter */
#define PL_DESK_WHO_SIZE 96u

struct pl_app;

/** Done on control's thread, between two ticks. @return 0, or -errno with error. */
typedef int (*pl_desk_fn)(struct pl_app *app, void *arg, char *error, size_t error_size);

struct pl_desk_letter {
	pl_desk_fn fn;
	void *arg;
	char *error;
	size_t error_size;
	int rc;
	enum { PL_LETTER_WAITS, PL_LETTER_TAKEN, PL_LETTER_DONE } state;
	struct pl_desk_letter *next;
};

struct pl_desk {
	struct pl_ctl_server *server;
	bool open;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool closed;                  /* lock */
	struct pl_desk_letter *first; /* lock */
};

/** Before any other of these; after it, letters can be posted, but nobody takes them yet. */
PL_MUST_USE int pl_desk_start(struct pl_app *app, char *error, size_t error_size);
/** No letter is taken from now on; those that wait come back with -ECANCELED. Thread: control. */
void pl_desk_stop(struct pl_app *app);
/** Do what the letters ask. Thread: control. */
void pl_desk_letters_do(struct pl_app *app);

/**
 * Have fn done on control's thread, and wait for it.
 * @return fn's; -ETIMEDOUT if control did not come to it (it then never will); -ECANCELED at the end.
 * Thread: a handler's.
 */
PL_MUST_USE int pl_desk_on_control(struct pl_app *app, pl_desk_fn fn, void *arg, char *error,
				   size_t error_size);

/** "uid 1000 (alice) pid 4711", for the journal. */
const char *pl_desk_who(const struct pl_ctl_call *call, char who[PL_DESK_WHO_SIZE]);

/* desk_show.c */
int pl_desk_status(void *ctx, struct pl_ctl_call *call);
int pl_desk_policy(void *ctx, struct pl_ctl_call *call);
int pl_desk_gateways(void *ctx, struct pl_ctl_call *call);
int pl_desk_keys(void *ctx, struct pl_ctl_call *call);
int pl_desk_counters(void *ctx, struct pl_ctl_call *call);
int pl_desk_journal(void *ctx, struct pl_ctl_call *call);

/* desk_feed.c */
int pl_desk_feed(void *ctx, struct pl_ctl_call *call);
int pl_desk_feed_push(void *ctx, struct pl_ctl_call *call);

/* desk_change.c */
int pl_desk_reload(void *ctx, struct pl_ctl_call *call);
int pl_desk_drain(void *ctx, struct pl_ctl_call *call);
int pl_desk_undrain(void *ctx, struct pl_ctl_call *call);

#endif
