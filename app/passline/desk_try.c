/* SPDX-License-Identifier: BSD-3-Clause */
/* What-if: other rules, tried on every certificate of the table and on a sample of the last hour's
 * scans. On the desk's slow lane, with a reader of its own, in slices with a rest between them: neither
 * control nor a worker waits for it, and it leaves most of its CPU to others. */
#include <errno.h>
#include <time.h>

#include "app.h"
#include "desk.h"
#include "desk_json.h"
#include "policy/pl_policy_try.h"

#define SLICE_CNT   4096u /* entries walked over at a time */
#define REST_US     100u  /* after each */
#define TELL_CERTS  1000000u
#define LAST_HOUR_S 3600u

struct trial {
	struct pl_policy now, then;
	struct pl_policy_names names;
	struct pl_table_entry entries[SLICE_CNT];
	struct pl_sample samples[PL_SAMPLES_CNT];
	char notes[PL_POLICY_NOTES_SIZE];
	struct pl_clock_zone zone;
};

/* Every certificate that is there from the beginning to the end of it is counted once. */
static int walk(struct pl_app *app, struct pl_ctl_call *call, struct trial *trial,
		struct pl_policy_try *t, int32_t today)
{
	const struct timespec rest = {.tv_nsec = REST_US * 1000};
	struct pl_table_reader *reader;
	struct pl_table_stats stats;
	uint64_t cursor = 0, told = 0, generation;
	int rc = pl_table_reader_create(app->table, &reader);

	if (rc != 0) {
		snprintf(call->error, call->error_size, "the table has no room for a reader: %s",
			 strerror(-rc));
		return rc;
	}
	pl_table_stats_get(app->table, &stats);
	generation = stats.generation;
	while (rc == 0) {
		size_t cnt = pl_table_iterate(app->table, &cursor, trial->entries, SLICE_CNT);

		pl_table_quiesce(reader);
		/* The cursor is one of the table before. */
		pl_table_stats_get(app->table, &stats);
		if (stats.generation != generation) {
			snprintf(call->error, call->error_size,
				 "the table was replaced by a larger one meanwhile: try again");
			rc = -EAGAIN;
			break;
		}
		if (cnt == 0)
			break;
		for (size_t i = 0; i < cnt; i++)
			pl_policy_try_cert(t, trial->entries[i].facts, today);
		if (t->cert_cnt - told >= TELL_CERTS) {
			told = t->cert_cnt;
			pl_ctl_progress(call, json_pack("{s:o}", "certificates",
							pl_desk_number(t->cert_cnt)));
		}
		if (pl_ctl_cancelled(call))
			rc = -ECANCELED;
		(void)nanosleep(&rest, NULL);
	}
	pl_table_reader_destroy(reader);
	return rc;
}

static void scans(struct pl_app *app, struct trial *trial, struct pl_policy_try *t, uint64_t now_s)
{
	uint32_t since_s = now_s > LAST_HOUR_S ? (uint32_t)(now_s - LAST_HOUR_S) : 0;

	for (uint32_t w = 0; w < app->worker_cnt; w++) {
		size_t cnt = pl_samples_read(app->workers[w]->samples, since_s, trial->samples,
					     PL_SAMPLES_CNT);

		for (size_t i = 0; i < cnt; i++)
			pl_policy_try_scan(t, &trial->samples[i],
					   pl_clock_day((uint64_t)trial->samples[i].at_s * 1000,
							&trial->zone));
	}
}

/* What changes, by verdict now and then. *changed: how many in all. samples may be NULL. */
static json_t *changes_json(const uint64_t (*cnt)[PL_V_CODE_END],
			    const uint64_t (*samples)[PL_V_CODE_END], uint64_t *changed)
{
	json_t *list = json_array();

	*changed = 0;
	for (uint32_t now = 0; now < PL_V_CODE_END; now++)
		for (uint32_t then = 0; then < PL_V_CODE_END; then++) {
			json_t *o;

			if (now == then || cnt[now][then] == 0)
				continue;
			*changed += cnt[now][then];
			o = json_pack("{s:s, s:s, s:o}", "now", pl_verdict_name(now), "then",
				      pl_verdict_name(then), "count",
				      pl_desk_number(cnt[now][then]));
			if (samples != NULL)
				(void)json_object_set_new(o, "samples",
							  pl_desk_number(samples[now][then]));
			(void)json_array_append_new(list, o);
		}
	return list;
}

/* "0-2, 4, 6-255" */
static json_t *classes_json(const struct pl_policy_try *t, uint32_t group)
{
	char text[1024] = "";
	size_t used = 0;

	for (uint32_t c = 0; c < PL_POLICY_CLASS_CNT; c++) {
		uint32_t end = c;

		if (t->class_group[c] != group)
			continue;
		while (end + 1 < PL_POLICY_CLASS_CNT && t->class_group[end + 1] == group)
			end++;
		if (used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used,
						 end > c ? "%s%u-%u" : "%s%u", used > 0 ? ", " : "",
						 c, end);
		c = end;
	}
	return json_string(text);
}

static json_t *result_json(const struct pl_policy_try *t, const struct trial *trial)
{
	json_t *groups = json_array(), *list;
	uint64_t changed;

	for (uint32_t g = 0; g < t->group_cnt; g++) {
		list = changes_json(t->groups[g].certs, NULL, &changed);
		(void)json_array_append_new(
			groups, json_pack("{s:o, s:o, s:o}", "classes", classes_json(t, g),
					  "changed", pl_desk_number(changed), "changes", list));
	}
	list = changes_json(t->scans, t->samples, &changed);
	return json_pack("{s:{s:o, s:o}, s:{s:o, s:o, s:o, s:o}, s:b, s:o}", "certificates",
			 "count", pl_desk_number(t->cert_cnt), "groups", groups, "scans", "count",
			 pl_desk_number(t->scan_cnt), "samples", pl_desk_number(t->sample_cnt),
			 "changed", pl_desk_number(changed), "changes", list, "qr_differs",
			 trial->now.qr_life_s != trial->then.qr_life_s ||
				 trial->now.qr_skew_s != trial->then.qr_skew_s,
			 "warnings", pl_ctl_text(trial->notes));
}

static int try_on(struct pl_app *app, struct pl_ctl_call *call, struct trial *trial,
		  struct pl_policy_try *t)
{
	char zone_name[PL_SITE_NAME_SIZE];
	uint64_t now_s = pl_wall_ns() / 1000000000u;
	int rc;

	pl_app_config_lock(app);
	memcpy(zone_name, app->config.site.time_zone, sizeof(zone_name));
	pl_app_config_unlock(app);
	rc = pl_clock_zone_get(zone_name, (int64_t)now_s, &trial->zone);
	if (rc != 0) {
		snprintf(call->error, call->error_size, "time zone %s: %s; install tzdata",
			 zone_name, strerror(-rc));
		return rc;
	}
	scans(app, trial, t, now_s);
	rc = walk(app, call, trial, t, pl_clock_day(now_s * 1000, &trial->zone));
	if (rc == 0)
		call->result = result_json(t, trial);
	return rc;
}

int pl_desk_policy_try(void *ctx, struct pl_ctl_call *call)
{
	static const char *const names[] = {"class", "file"};
	struct pl_app *app = ctx;
	struct trial *trial = calloc(1, sizeof(*trial));
	struct pl_policy_try *t = NULL;
	const char *file = NULL;
	uint64_t class = UINT64_MAX;
	int rc = pl_ctl_args_known(call, names, PL_ARRAY_CNT(names));

	if (rc == 0)
		rc = pl_ctl_arg_text(call, "file", &file);
	if (rc == 0)
		rc = pl_ctl_arg_number(call, "class", UINT64_MAX, 0, PL_POLICY_CLASS_CNT - 1,
				       &class);
	if (rc == 0 && trial == NULL)
		rc = -ENOMEM;
	if (rc == 0 && call->payload == NULL) {
		snprintf(call->error, call->error_size,
			 "a policy file is expected behind the request");
		rc = -EINVAL;
	}
	if (rc == 0) {
		rc = pl_policy_parse(file != NULL ? file : "policy", (const char *)call->payload,
				     call->payload_size, &trial->then, &trial->names, trial->notes,
				     sizeof(trial->notes));
		if (rc != 0)
			snprintf(call->error, call->error_size, "%s", trial->notes);
	}
	if (rc == 0) {
		pl_app_config_lock(app);
		trial->now = app->config.policy;
		pl_app_config_unlock(app);
		t = pl_policy_try_create(&trial->now, &trial->then,
					 class == UINT64_MAX ? -1 : (int)class, &rc);
		if (rc == -E2BIG)
			snprintf(call->error, call->error_size,
				 "the classes have more than %u different pairs of old and new "
				 "rules: "
				 "name one class",
				 PL_POLICY_TRY_GROUPS_MAX);
	}
	if (rc == 0)
		rc = try_on(app, call, trial, t);
	free(t);
	free(trial);
	return rc;
}
