/* SPDX-License-Identifier: BSD-3-Clause */
/* Sums over workers and what amounts to the state, for all who show them: telemetry and the desk. */
#include "app.h"

void pl_app_counters(const struct pl_app *app, struct pl_counters *total)
{
	memset(total, 0, sizeof(*total));
	for (uint32_t i = 0; i < app->worker_cnt; i++) {
		struct pl_counters one;

		pl_worker_counters_read(app->workers[i], &one);
		pl_stats_add(total, &one);
	}
}

uint32_t pl_app_gateway_counters(const struct pl_app *app, uint32_t idx,
				 struct pl_gateway_counters *total)
{
	uint32_t limited_cnt = 0;

	memset(total, 0, sizeof(*total));
	for (uint32_t i = 0; i < app->worker_cnt; i++) {
		struct pl_gateway_counters c;

		limited_cnt += pl_worker_gateway_read(app->workers[i], idx, &c);
		total->datagrams += c.datagrams;
		total->pass += c.pass;
		total->deny += c.deny;
		total->unknown += c.unknown;
		total->retries += c.retries;
		total->errors += c.errors;
		total->busy += c.busy;
		total->seen_ms = c.seen_ms > total->seen_ms ? c.seen_ms : total->seen_ms;
	}
	return limited_cnt;
}

uint64_t pl_app_nonce_next(const struct pl_app *app)
{
	uint64_t used_to = 0;

	for (uint32_t i = 0; i < app->worker_cnt; i++) {
		/* relaxed: see the store in pl_worker_chores(). */
		uint64_t next = atomic_load_explicit(&app->workers[i]->pub_nonce_next,
						     memory_order_relaxed);

		used_to = next > used_to ? next : used_to;
	}
	return used_to;
}

uint32_t pl_app_flags(struct pl_app *app, uint64_t now_s, uint32_t *as_of)
{
	uint32_t flags = pl_live_flags(&app->live), age_s_max;

	/* relaxed, both: shown to humans. */
	*as_of = atomic_load_explicit(&app->live.as_of, memory_order_relaxed);
	if (atomic_load_explicit(&app->clock_trust, memory_order_relaxed) != PL_CLOCK_TRUSTED)
		flags |= PL_FLAG_CLOCK;
	pl_app_config_lock(app);
	age_s_max = app->config.site.feed_age_s_max;
	if (pl_waiver_holds(&app->config.waiver, now_s))
		flags |= PL_FLAG_WAIVER;
	pl_app_config_unlock(app);
	for (uint32_t i = 0; i < app->worker_cnt; i++)
		/* relaxed: shown to humans. */
		if (atomic_load_explicit(&app->workers[i]->pub_limited_cnt, memory_order_relaxed) !=
		    0)
			flags |= PL_FLAG_BUSY;
	if (pl_feed_is_old(*as_of, now_s, age_s_max))
		flags |= PL_FLAG_FEED_OLD;
	if (flags & PL_FLAG_LOADING)
		*as_of = 0;
	return flags;
}
