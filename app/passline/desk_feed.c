/* SPDX-License-Identifier: BSD-3-Clause */
/* The feed, at the desk: how far it is, and segments that an operator brings. */
#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "app.h"
#include "desk.h"
#include "desk_json.h"

#define DELAY_STEP_MS 20u

static json_t *refusals_json(const struct pl_intake_status *s, uint32_t source)
{
	json_t *o = json_object();

	for (uint32_t e = 0; e < PL_FEED_ERROR_CNT; e++)
		if (s->refused[source][e] != 0)
			(void)json_object_set_new(o, pl_feed_error_name((enum pl_feed_error)e),
						  pl_desk_number(s->refused[source][e]));
	return o;
}

static json_t *sources_json(const struct pl_intake_status *s)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < PL_INTAKE_SOURCE_CNT; i++)
		(void)json_array_append_new(
			list,
			json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "source",
				  pl_intake_source_name((enum pl_intake_source)i), "stored",
				  pl_desk_number(s->stored[i]), "records",
				  pl_desk_number(s->records[i]), "held", pl_desk_number(s->held[i]),
				  "unstored", pl_desk_number(s->unstored_cnt[i]), "refused",
				  refusals_json(s, i)));
	return list;
}

/* Of the loader: figures of a moment, for people. relaxed for that. */
static void applied_json(json_t *feed, struct pl_loader_status *s)
{
	uint32_t refused = atomic_load_explicit(&s->refused, memory_order_relaxed);

	(void)json_object_set_new(
		feed, "applied",
		pl_desk_number(atomic_load_explicit(&s->sequence, memory_order_relaxed)));
	(void)json_object_set_new(
		feed, "segments",
		pl_desk_number(atomic_load_explicit(&s->segment_cnt, memory_order_relaxed)));
	(void)json_object_set_new(
		feed, "records",
		pl_desk_number(atomic_load_explicit(&s->record_cnt, memory_order_relaxed)));
	(void)json_object_set_new(
		feed, "refusals",
		pl_desk_number(atomic_load_explicit(&s->refused_cnt, memory_order_relaxed)));
	(void)json_object_set_new(
		feed, "snapshot",
		pl_desk_number(atomic_load_explicit(&s->snapshot, memory_order_relaxed)));
	(void)json_object_set_new(
		feed, "pruned",
		pl_desk_number(atomic_load_explicit(&s->pruned_cnt, memory_order_relaxed)));
	if (refused == PL_FEED_OK)
		return;
	(void)json_object_set_new(feed, "refused",
				  json_pack("{s:s, s:s}", "reason",
					    pl_feed_error_name((enum pl_feed_error)refused), "text",
					    pl_feed_error_text((enum pl_feed_error)refused)));
}

json_t *pl_desk_feed_json(struct pl_app *app, uint32_t as_of, uint64_t now_s)
{
	struct pl_push_server_status server;
	struct pl_intake_status s;
	json_t *feed = json_object();
	uint32_t age_s_max;

	pl_intake_thread_status(&app->intake, &s);
	pl_app_config_lock(app);
	age_s_max = app->config.site.feed_age_s_max;
	(void)json_object_set_new(feed, "store", pl_ctl_text(app->config.site.feed_store_dir));
	pl_app_config_unlock(app);
	(void)json_object_set_new(feed, "as_of", pl_desk_number(as_of));
	(void)json_object_set_new(
		feed, "lag_s", as_of != 0 ? json_integer((json_int_t)now_s - as_of) : json_null());
	(void)json_object_set_new(feed, "age_s_max", pl_desk_number(age_s_max));
	(void)json_object_set_new(feed, "durable", pl_desk_number(s.pos.sequence));
	applied_json(feed, &app->loader.status);
	(void)json_object_set_new(feed, "intake",
				  json_string(s.broken                 ? "broken"
					      : s.behind || s.unstored ? "refusing"
								       : "taking"));
	(void)json_object_set_new(feed, "intake_text", pl_ctl_text(s.text));
	(void)json_object_set_new(feed, "sources", sources_json(&s));
	if (pl_intake_thread_server(&app->intake, &server))
		(void)json_object_set_new(feed, "peers",
					  json_pack("{s:o, s:o, s:o, s:o}", "connected",
						    pl_desk_number(server.conn_cnt), "proven",
						    pl_desk_number(server.proven_cnt), "accepted",
						    pl_desk_number(server.accepted_cnt), "evicted",
						    pl_desk_number(server.evicted_cnt)));
	return feed;
}

int pl_desk_feed(void *ctx, struct pl_ctl_call *call)
{
	struct pl_app *app = ctx;
	uint64_t now_s = pl_wall_ns() / 1000000000u;
	uint32_t as_of, flags = pl_app_flags(app, now_s, &as_of);
	int rc = pl_ctl_args_known(call, NULL, 0);

	if (rc != 0)
		return rc;
	call->result = pl_desk_feed_json(app, as_of, now_s);
	(void)json_object_set_new(
		call->result, "flags",
		pl_desk_flags_json(flags & (PL_FLAG_LOADING | PL_FLAG_FEED_OLD | PL_FLAG_INTAKE |
					    PL_FLAG_TABLE_FULL)));
	return 0;
}

/* The bound on certificates a second holds for what comes this way, too. Only what was due when it came is
 * waited for: on a port where somebody never lets the debt be worked off, it would never have its turn. */
static void delay(struct pl_app *app, const struct pl_ctl_call *call)
{
	const struct timespec step = {.tv_nsec = (long)DELAY_STEP_MS * 1000000};
	uint32_t due_ms = pl_intake_delay_ms(app->intake.in);

	for (uint32_t ms = 0;
	     ms < due_ms && pl_intake_delay_ms(app->intake.in) > 0 && !pl_ctl_cancelled(call);
	     ms += DELAY_STEP_MS)
		(void)nanosleep(&step, NULL);
}

int pl_desk_feed_push(void *ctx, struct pl_ctl_call *call)
{
	static const int rcs[PL_INTAKE_OUTCOME_CNT] = {[PL_INTAKE_REFUSED] = -EINVAL,
						       [PL_INTAKE_UNSTORED] = -ENOSPC,
						       [PL_INTAKE_BROKEN] = -EIO};
	struct pl_app *app = ctx;
	struct pl_intake_status status;
	struct pl_intake_answer answer;
	char who[PL_DESK_WHO_SIZE];
	enum pl_intake_outcome outcome;

	if (pl_ctl_args_known(call, NULL, 0) != 0)
		return -EINVAL;
	if (call->payload_size == 0) {
		snprintf(call->error, call->error_size,
			 "feed push: a segment's bytes must follow the line, and \"size\" say how "
			 "many");
		return -EINVAL;
	}
	delay(app, call);
	outcome = pl_intake_submit(app->intake.in, call->payload, call->payload_size,
				   PL_INTAKE_CONTROL, &answer);
	pl_intake_thread_flags(&app->intake, &status);
	call->result = json_pack("{s:s, s:s, s:o, s:s}", "outcome", pl_intake_outcome_name(outcome),
				 "text", pl_intake_outcome_text(outcome), "durable",
				 pl_desk_number(answer.pos.sequence), "reason",
				 pl_feed_error_name(answer.error));
	if (outcome == PL_INTAKE_HELD)
		return 0;
	if (answer.error == PL_FEED_OLD) {
		/* What is stored stands for it, a snapshot most likely: nothing is lacking. */
		(void)json_object_set_new(call->result, "text", pl_ctl_text(answer.text));
		return 0;
	}
	pl_desk_who(call, who);
	pl_journal_write(
		&app->journal, who, "feed", outcome == PL_INTAKE_STORED ? "done" : "refused",
		"%s; newest segment is %" PRIu64,
		outcome == PL_INTAKE_STORED ? "segment taken" : answer.text, answer.pos.sequence);
	if (rcs[outcome] != 0)
		snprintf(call->error, call->error_size, "%s",
			 answer.text[0] != '\0' ? answer.text : pl_intake_outcome_text(outcome));
	return rcs[outcome];
}
