/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "app.h"
#include "desk.h"

static int help(void *ctx, struct pl_ctl_call *call);

/* C(name, handler, bytes that may follow, lane, help) */
#define COMMANDS(C)                                                                                \
	C("help", help, 0, PL_CTL_QUICK, "These commands.")                                        \
	C("status", pl_desk_status, 0, PL_CTL_QUICK,                                               \
	  "State and its reasons, feed, table, clock, ports.")                                     \
	C("feed", pl_desk_feed, 0, PL_CTL_QUICK,                                                   \
	  "How far the feed is, and what was refused last.")                                       \
	C("feed push", pl_desk_feed_push, PL_FEED_SEGMENT_SIZE_MAX, PL_CTL_SLOW,                   \
	  "Take the segment that follows.")                                                        \
	C("policy", pl_desk_policy, 0, PL_CTL_QUICK, "The rules in force.")                        \
	C("gateways", pl_desk_gateways, 0, PL_CTL_QUICK,                                           \
	  "Counts by gateway. Args: id, or from and limit.")                                       \
	C("keys", pl_desk_keys, 0, PL_CTL_QUICK, "Which keys are held: ids and epochs.")           \
	C("counters", pl_desk_counters, 0, PL_CTL_QUICK, "All counters, with what they count.")    \
	C("journal", pl_desk_journal, 0, PL_CTL_SLOW,                                              \
	  "The newest lines of the journal. Args: last.")                                          \
	C("reload", pl_desk_reload, 0, PL_CTL_CHANGE, "Read configuration, keys and rules again.") \
	C("drain", pl_desk_drain, 0, PL_CTL_CHANGE, "Say \"draining\" in replies. Args: stop.")    \
	C("undrain", pl_desk_undrain, 0, PL_CTL_CHANGE, "Take it back.")                           \
	C("policy try", pl_desk_policy_try, PL_POLICY_TRY_SIZE_MAX, PL_CTL_SLOW,                   \
	  "What rules would change. Bytes: a policy file. Args: class, file.")                     \
	C("waiver", pl_desk_waiver, 0, PL_CTL_CHANGE,                                              \
	  "The enforcement waiver, and one that was dropped.")                                     \
	C("waiver apply", pl_desk_waiver_apply, PL_WAIVER_SIZE, PL_CTL_CHANGE,                     \
	  "Take a signed waiver. Bytes: its file.")                                                \
	C("waiver drop", pl_desk_waiver_drop, 0, PL_CTL_CHANGE, "Take it away.")

static const struct pl_ctl_command commands[] = {
#define C(command, fn, size_max, in_lane, text) \
	{.name = command,                       \
	 .handler = fn,                         \
	 .payload_size_max = size_max,          \
	 .lane = in_lane,                       \
	 .help = text},
	COMMANDS(C)
#undef C
};

static int help(void *ctx, struct pl_ctl_call *call)
{
	(void)ctx;
	call->result = json_object();
	for (size_t i = 0; i < PL_ARRAY_CNT(commands); i++)
		(void)json_object_set_new(call->result, commands[i].name,
					  json_string(commands[i].help));
	return call->result != NULL ? 0 : -ENOMEM;
}

static int thread_create(pthread_t *thread, const char *name, void *(*main_fn)(void *), void *arg)
{
	return -rte_ctrl_thread_create(thread, name, NULL, main_fn, arg);
}

/* All threads block this signal, so it waits for control, which waits for it. */
static void wake_control(void)
{
	(void)kill(getpid(), SIGUSR1);
}

int pl_desk_start(struct pl_app *app, char *error, size_t error_size)
{
	struct pl_desk *d = &app->desk;
	const struct pl_ctl_server_conf conf = {
		.path = app->config.site.control_path,
		.owner = app->config.site.control_owner,
		.group = app->config.site.control_group,
		.mode = app->config.site.control_mode,
		.commands = commands,
		.command_cnt = PL_ARRAY_CNT(commands),
		.ctx = app,
		.thread_create = thread_create,
	};
	char why[PL_SITE_PATH_SIZE + 256];
	int rc = pl_mailbox_open(&d->mail);

	if (rc != 0) {
		snprintf(error, error_size, "no memory for the control socket");
		return rc;
	}
	d->mail.wake = wake_control;
	d->open = true;
	rc = pl_ctl_server_start(&conf, &d->server, why, sizeof(why));
	if (rc != 0)
		snprintf(error, error_size, "[control] socket: %s", why);
	return rc;
}

void pl_desk_stop(struct pl_app *app)
{
	struct pl_desk *d = &app->desk;

	if (!d->open)
		return;
	pl_mailbox_shut(&d->mail);
	pl_ctl_server_stop(d->server);
	pl_mailbox_destroy(&d->mail);
	d->open = false;
}

int pl_desk_on_control(struct pl_app *app, pl_mailbox_fn fn, void *arg, struct pl_ctl_call *call)
{
	return pl_mailbox_ask(&app->desk.mail, fn, arg, call->error, call->error_size);
}

const char *pl_desk_who(const struct pl_ctl_call *call, char who[PL_DESK_WHO_SIZE])
{
	char buf[4096];
	struct passwd pw, *found = NULL;

	(void)getpwuid_r(call->peer.uid, &pw, buf, sizeof(buf), &found);
	snprintf(who, PL_DESK_WHO_SIZE, "uid %u%s%.40s%s pid %d", call->peer.uid,
		 found != NULL ? " (" : "", found != NULL ? pw.pw_name : "",
		 found != NULL ? ")" : "", (int)call->peer.pid);
	return who;
}
