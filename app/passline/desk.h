/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The desk: the control socket's commands. Handlers run on the desk's threads (lib/ctl); what they
 * change, they change on control's thread, through a mailbox that a letter wakes control to empty, so
 * that control stays the one who decides. What they show, they read as telemetry does.
 *
 * A new command: a handler `int pl_desk_x(void *ctx, struct pl_ctl_call *call)`, whose ctx is the
 * struct pl_app, declared here, and a line in the table in desk.c.
 */
#ifndef PL_DESK_H
#define PL_DESK_H

#include "base/pl_base.h"
#include "ctl/pl_ctl.h"
#include "mailbox.h"

#define PL_POLICY_TRY_SIZE_MAX (1u << 20) /* bytes of a policy file to try */
#define PL_DESK_WHO_SIZE       96u

struct pl_app;

struct pl_desk {
	struct pl_ctl_server *server;
	struct pl_mailbox mail; /* control's */
	bool open;
};

/** Make the socket and serve it. */
PL_MUST_USE int pl_desk_start(struct pl_app *app, char *error, size_t error_size);
/** Letters that wait come back with -ECANCELED. Thread: control. */
void pl_desk_stop(struct pl_app *app);

/**
 * Have fn done on control's thread, with app as its ctx, and wait for it: pl_mailbox_ask().
 * Errors go to the call's.
 */
PL_MUST_USE int pl_desk_on_control(struct pl_app *app, pl_mailbox_fn fn, void *arg,
				   struct pl_ctl_call *call);

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

/* desk_try.c */
int pl_desk_policy_try(void *ctx, struct pl_ctl_call *call);

/* desk_waiver.c */
int pl_desk_waiver(void *ctx, struct pl_ctl_call *call);
int pl_desk_waiver_apply(void *ctx, struct pl_ctl_call *call);
int pl_desk_waiver_drop(void *ctx, struct pl_ctl_call *call);

#endif
