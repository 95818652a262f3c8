/* SPDX-License-Identifier: BSD-3-Clause */
/* Enforcement waivers: taken from an operator's hand, kept in the state directory, shown. What is in
 * force is part of the view; that it begins and ends is found by the workers themselves. */
#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "app.h"
#include "desk.h"
#include "desk_json.h"
#include "say.h"

/* From a handler to control's thread. */
struct letter {
	struct pl_waiver waiver;
	char who[PL_DESK_WHO_SIZE];
	const char *did;
};

static const char *time_text(uint64_t unix_s, char text[32])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(text, 32, "%" PRIu64, unix_s);
	return text;
}

/* "waiver 7 from ... until ...: reason" */
static const char *waiver_text(const struct pl_waiver *w, char *text, size_t text_size)
{
	char from[32], until[32];

	if (w->until_s == 0)
		snprintf(text, text_size, "waiver %" PRIu64 " ends those before: %s", w->serial,
			 w->reason);
	else
		snprintf(text, text_size, "waiver %" PRIu64 " from %s until %s: %s", w->serial,
			 time_text(w->from_s, from), time_text(w->until_s, until), w->reason);
	return text;
}

/* The authority's key is copied under the lock, and the disk is asked without it: control needs the lock,
 * and so does `status`. */
static int read_one(struct pl_app *app, const char *name, struct pl_waiver *out, char *error,
		    size_t error_size)
{
	struct pl_key authority;

	pl_app_config_lock(app);
	authority = app->config.authority->key[0];
	pl_app_config_unlock(app);
	/* Frozen after the start: state_dir. */
	return pl_waiver_read(app->config.site.state_dir, name, authority.stream_id,
			      authority.bytes, out, error, error_size);
}

void pl_waiver_load(struct pl_app *app)
{
	char error[512];
	int rc = read_one(app, PL_WAIVER_NAME, &app->config.waiver, error, sizeof(error));

	if (rc == 0 && app->config.waiver.serial == 0)
		return;
	if (rc != 0)
		pl_say("no enforcement waiver is taken: %s", error);
	else
		pl_say("%s", waiver_text(&app->config.waiver, error, sizeof(error)));
	pl_journal_write(&app->journal, "appliance", "waiver", rc != 0 ? "refused" : "done", "%s",
			 error);
}

/* pl_mailbox_fn. It is on disk; now for the workers. */
static int publish(void *ctx, void *arg, char *error, size_t error_size)
{
	struct pl_app *app = ctx;
	const struct letter *l = arg;
	struct pl_waiver before = app->config.waiver;
	char text[PL_WAIVER_REASON_SIZE + 128];
	int rc;

	pl_app_config_lock(app);
	app->config.waiver = l->waiver;
	pl_app_config_unlock(app);
	rc = pl_control_publish(app, &app->config, error, error_size);
	if (rc != 0) {
		pl_app_config_lock(app);
		app->config.waiver = before;
		pl_app_config_unlock(app);
	}
	pl_journal_write(&app->journal, l->who, "waiver", rc == 0 ? l->did : "failed", "%s",
			 rc != 0 ? error
				 : waiver_text(l->waiver.serial != 0 ? &l->waiver : &before, text,
					       sizeof(text)));
	return rc;
}

/* It is on disk by now, whatever control says. */
static int put_in_force(struct pl_app *app, struct letter *l, const char *so_far,
			struct pl_ctl_call *call)
{
	int rc = pl_desk_on_control(app, publish, l, call);
	size_t used = strlen(call->error);

	if (rc == 0)
		return 0;
	snprintf(call->error + used, call->error_size - used, ". Of the waiver: %s", so_far);
	if (rc == -ETIMEDOUT || rc == -ECANCELED) /* else control has noted it */
		pl_journal_write(&app->journal, l->who, "waiver", "failed", "%s", call->error);
	return rc;
}

static bool is_in_force(struct pl_app *app)
{
	bool there;

	pl_app_config_lock(app);
	there = app->config.waiver.serial != 0;
	pl_app_config_unlock(app);
	return there;
}

static json_t *waiver_json(const struct pl_waiver *w, uint64_t now_s)
{
	const char *state = w->until_s == 0             ? "none"
			    : now_s < w->from_s         ? "to come"
			    : pl_waiver_holds(w, now_s) ? "in force"
							: "over";

	if (w->serial == 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:s, s:o}", "serial", pl_desk_number(w->serial),
			 "issued", pl_desk_number(w->issued_s), "from", pl_desk_number(w->from_s),
			 "until", pl_desk_number(w->until_s), "state", state, "reason",
			 pl_ctl_text(w->reason));
}

/* What is wrong with taking it now. */
static int check_new(struct pl_app *app, const struct pl_waiver *w, char *error, size_t error_size)
{
	struct pl_waiver dropped, current;
	uint64_t now_s = pl_wall_ns() / 1000000000u;
	int rc;

	pl_app_config_lock(app);
	current = app->config.waiver;
	pl_app_config_unlock(app);
	rc = read_one(app, PL_WAIVER_DROPPED_NAME, &dropped, error, error_size);
	if (rc != 0)
		return rc;
	if (w->serial <= current.serial) {
		snprintf(error, error_size,
			 "its serial is %" PRIu64 " and waiver %" PRIu64
			 " was taken already: only a newer one takes its place",
			 w->serial, current.serial);
		return -EEXIST;
	}
	if (w->serial <= dropped.serial) {
		snprintf(error, error_size,
			 "its serial is %" PRIu64 " and waiver %" PRIu64
			 " was dropped here: have the authority issue a newer one",
			 w->serial, dropped.serial);
		return -EEXIST;
	}
	if (w->until_s != 0 && w->until_s <= now_s) {
		char text[32];

		snprintf(error, error_size, "it was over at %s", time_text(w->until_s, text));
		return -ETIME;
	}
	return 0;
}

int pl_desk_waiver_apply(void *ctx, struct pl_ctl_call *call)
{
	struct pl_app *app = ctx;
	struct letter l = {.did = "done"};
	const struct pl_key *authority;
	int rc = pl_ctl_args_known(call, NULL, 0);

	if (rc != 0)
		return rc;
	pl_desk_who(call, l.who);
	pl_app_config_lock(app);
	authority = &app->config.authority->key[0];
	rc = pl_waiver_open(call->payload, call->payload_size, authority->stream_id,
			    authority->bytes, &l.waiver, call->error, call->error_size);
	pl_app_config_unlock(app);
	if (rc == 0)
		rc = check_new(app, &l.waiver, call->error, call->error_size);
	if (rc == 0)
		/* Frozen after the start: state_dir. */
		rc = pl_waiver_write(app->config.site.state_dir, call->payload, call->error,
				     call->error_size);
	if (rc != 0)
		pl_journal_write(&app->journal, l.who, "waiver", "refused", "%s", call->error);
	else
		rc = put_in_force(app, &l, "it is stored, and holds from the next start on", call);
	(void)pl_journal_sync(&app->journal);
	if (rc == 0)
		call->result = waiver_json(&l.waiver, pl_wall_ns() / 1000000000u);
	return rc;
}

int pl_desk_waiver_drop(void *ctx, struct pl_ctl_call *call)
{
	struct pl_app *app = ctx;
	struct letter l = {.did = "dropped"};
	int rc = pl_ctl_args_known(call, NULL, 0);

	if (rc != 0)
		return rc;
	pl_desk_who(call, l.who);
	rc = pl_waiver_drop(app->config.site.state_dir, call->error, call->error_size);
	/* Dropped on disk before, when control did not answer: what is in force still goes now. */
	if (rc == -ENOENT && is_in_force(app))
		rc = 0;
	if (rc == -ENOENT)
		snprintf(call->error, call->error_size, "there is no waiver to drop");
	if (rc != 0)
		pl_journal_write(&app->journal, l.who, "waiver", "refused", "%s", call->error);
	else
		rc = put_in_force(app, &l, "it is gone from the next start on: drop it again",
				  call);
	(void)pl_journal_sync(&app->journal);
	if (rc == 0)
		call->result = json_pack("{s:b}", "dropped", 1);
	return rc;
}

int pl_desk_waiver(void *ctx, struct pl_ctl_call *call)
{
	struct pl_app *app = ctx;
	uint64_t now_s = pl_wall_ns() / 1000000000u;
	struct pl_waiver current, dropped;
	int rc = pl_ctl_args_known(call, NULL, 0);

	if (rc != 0)
		return rc;
	pl_app_config_lock(app);
	current = app->config.waiver;
	pl_app_config_unlock(app);
	rc = read_one(app, PL_WAIVER_DROPPED_NAME, &dropped, call->error, call->error_size);
	if (rc == 0)
		call->result = json_pack("{s:o, s:o}", "waiver", waiver_json(&current, now_s),
					 "dropped", waiver_json(&dropped, now_s));
	return rc;
}
