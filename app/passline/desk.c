/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pwd.h>
#include <time.h>

#include <rte_lcore.h>

#include "app.h"
#include "desk.h"

static int help(void *ctx, struct pl_ctl_call *call);

/* C(name, handler, bytes that may follow, slow, help). Slow: what waits for control or the disk, or
 * works long. */
#define COMMANDS(C)                                                                                \
	C("help", help, 0, false, "These commands.")                                               \
	C("status", pl_desk_status, 0, false, "State and its reasons, feed, table, clock, ports.") \
	C("feed", pl_desk_feed, 0, false, "How far the feed is, and what was refused last.")       \
	C("feed push", pl_desk_feed_push, PL_FEED_SEGMENT_SIZE_MAX, true,                          \
	  "Take the segment that follows.")                                                        \
	C("policy", pl_desk_policy, 0, false, "The rules in force.")                               \
	C("gateways", pl_desk_gateways, 0, false,                                                  \
	  "Counts by gateway. Args: id, or from and limit.")                                       \
	C("keys", pl_desk_keys, 0, false, "Which keys are held: ids and epochs.")                  \
	C("counters", pl_desk_counters, 0, false, "All counters, with what they count.")           \
	C("journal", pl_desk_journal, 0, true, "The newest lines of the journal. Args: last.")     \
	C("reload", pl_desk_reload, 0, true, "Read configuration, keys and rules again.")          \
	C("drain", pl_desk_drain, 0, true, "Say \"draining\" in replies. Args: stop.")             \
	C("undrain", pl_desk_undrain, 0, true, "Take it back.")

static const struct pl_ctl_command commands[] = {
#define C(command, fn, size_max, is_slow, text) \
	{.name = command,                       \
	 .handler = fn,                         \
	 .payload_size_max = size_max,          \
	 .slow = is_slow,                       \
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
	pthread_condattr_t attr;
	char why[PL_SITE_PATH_SIZE + 256];
	int rc;

	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the wall clock may be set */
	pthread_cond_init(&d->done, &attr);
	pthread_condattr_destroy(&attr);
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
	pthread_mutex_lock(&d->lock);
	d->closed = true;
	pthread_cond_broadcast(&d->done);
	pthread_mutex_unlock(&d->lock);
	pl_ctl_server_stop(d->server);
	pthread_cond_destroy(&d->done);
	pthread_mutex_destroy(&d->lock);
	d->open = false;
}

static void letter_remove(struct pl_desk *d, struct pl_desk_letter *letter)
{
	struct pl_desk_letter **at = &d->first;

	while (*at != NULL && *at != letter)
		at = &(*at)->next;
	if (*at != NULL)
		*at = letter->next;
}

void pl_desk_letters_do(struct pl_app *app)
{
	struct pl_desk *d = &app->desk;

	pthread_mutex_lock(&d->lock);
	while (d->first != NULL) {
		struct pl_desk_letter *letter = d->first;

		letter_remove(d, letter);
		letter->state = PL_LETTER_TAKEN;
		pthread_mutex_unlock(&d->lock);
		letter->rc = letter->fn(app, letter->arg, letter->error, letter->error_size);
		pthread_mutex_lock(&d->lock);
		letter->state = PL_LETTER_DONE;
		pthread_cond_broadcast(&d->done);
	}
	pthread_mutex_unlock(&d->lock);
}

int pl_desk_on_control(struct pl_app *app, pl_desk_fn fn, void *arg, char *error, size_t error_size)
{
	struct pl_desk *d = &app->desk;
	struct pl_desk_letter letter = {
		.fn = fn, .arg = arg, .error = error, .error_size = error_size};
	struct pl_desk_letter **end;
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PL_DESK_WAIT_MS / 1000;
	pthread_mutex_lock(&d->lock);
	for (end = &d->first; *end != NULL; end = &(*end)->next)
		continue;
	*end = &letter;
	while (letter.state == PL_LETTER_WAITS && rc == 0 && !d->closed)
		rc = pthread_cond_timedwait(&d->done, &d->lock, &until);
	/* One that was taken is being carried out, and its arguments are ours: to the end. */
	while (letter.state == PL_LETTER_TAKEN)
		pthread_cond_wait(&d->done, &d->lock);
	if (letter.state == PL_LETTER_WAITS) {
		letter_remove(d, &letter);
		letter.rc = d->closed ? -ECANCELED : -ETIMEDOUT;
	}
	rc = letter.state == PL_LETTER_WAITS;
	pthread_mutex_unlock(&d->lock);
	if (rc != 0)
		snprintf(
			error, error_size,
			letter.rc == -ECANCELED
				? "the appliance is stopping"
				: "the control thread does not answer: nothing was changed. It may "
				  "wait for a disk; stderr has its last words");
	return letter.rc;
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
