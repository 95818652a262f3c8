/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "app.h"
#include "say.h"

/* A worker lcore that has no queue yet, on the port's node if there is one. */
static unsigned int lcore_choose(const bool *taken, int numa_node)
{
	unsigned int lcore_id, other = RTE_MAX_LCORE;

	RTE_LCORE_FOREACH_WORKER(lcore_id)
	{
		if (taken[lcore_id])
			continue;
		if (numa_node < 0 || (int)rte_lcore_to_socket_id(lcore_id) == numa_node)
			return lcore_id;
		if (other == RTE_MAX_LCORE)
			other = lcore_id;
	}
	return other;
}

static int verify_create(struct pl_app *app, struct pl_worker *w, uint64_t nonce_first, char *error,
			 size_t error_size)
{
	struct pl_verify_conf conf = {
		.seal_engine = app->args.seal_engine,
		.token_variant = app->args.token_variant,
		.queue = w->idx,
		.nonce_next = nonce_first,
		/* relaxed: a number; the worker is not there yet. */
		.nonce_limit = atomic_load_explicit(&app->live.nonce_limit, memory_order_relaxed),
		.counters = &w->counters,
		.tick_hz = rte_get_tsc_hz(),
	};
	int ret = pl_table_reader_create(app->table, &w->reader);

	if (ret == 0) {
		conf.table = w->reader;
		ret = pl_verify_create(&conf, &w->verify);
	}
	if (ret == -ENOTSUP)
		snprintf(error, error_size,
			 "this CPU cannot run what --seal or --token ask for: leave them at auto");
	else if (ret != 0)
		snprintf(error, error_size, "worker %u cannot be made: %s", w->idx, strerror(-ret));
	return ret;
}

static int worker_create(struct pl_app *app, struct pl_app_port *ap, uint16_t queue,
			 unsigned int lcore_id, uint64_t nonce_first, char *error,
			 size_t error_size)
{
	struct pl_worker *w = rte_zmalloc_socket("pl_worker", sizeof(*w), RTE_CACHE_LINE_SIZE,
						 (int)rte_lcore_to_socket_id(lcore_id));

	if (w == NULL) {
		snprintf(error, error_size, "no memory for a worker: give the EAL more (-m <MB>)");
		return -ENOMEM;
	}
	w->idx = app->worker_cnt;
	app->workers[app->worker_cnt++] = w;
	w->port = &ap->port;
	w->nif = &ap->nif;
	w->queue = queue;
	w->lcore_id = lcore_id;
	w->views = &app->views;
	w->clock_base = app->clock;
	w->live = &app->live;
	w->garp = ap->conf->garp;
	w->chores_period_tsc = rte_get_tsc_hz() / 1000000 * PL_CHORES_US;
	w->stall_tsc = rte_get_tsc_hz() / 1000000 * PL_STALL_US;
	w->sample_period_tsc = rte_get_tsc_hz() / PL_SAMPLES_A_SECOND;
	w->samples = pl_samples_create();
	if (w->samples == NULL) {
		snprintf(error, error_size, "no memory for a sample of scans");
		return -ENOMEM;
	}
	if (rte_rcu_qsbr_thread_register(app->views.qsbr, w->idx) != 0) {
		snprintf(error, error_size, "worker %u cannot be registered", w->idx);
		return -EINVAL;
	}
	return verify_create(app, w, nonce_first, error, error_size);
}

int pl_workers_create(struct pl_app *app, uint64_t nonce_first, char *error, size_t error_size)
{
	uint32_t queue_cnt = app->config.site.queue_cnt, lcore_cnt = rte_lcore_count() - 1;
	bool taken[RTE_MAX_LCORE] = {false};

	if (lcore_cnt < queue_cnt) {
		snprintf(error, error_size,
			 "%u queue(s) need %u worker lcore(s), and the EAL has %u besides the main "
			 "one, which is control's: give it %u lcores (-l <CPU>,<CPU>,...), or set "
			 "fewer 'queues'",
			 queue_cnt, queue_cnt, lcore_cnt, queue_cnt + 1);
		return -ERANGE;
	}
	if (lcore_cnt > queue_cnt)
		pl_say("%u worker lcore(s) have no queue and stay idle", lcore_cnt - queue_cnt);
	for (uint32_t p = 0; p < app->port_cnt; p++) {
		struct pl_app_port *ap = &app->ports[p];

		for (uint16_t q = 0; q < ap->port.queue_cnt; q++) {
			unsigned int lcore_id = lcore_choose(taken, ap->port.numa_node);
			int ret;

			taken[lcore_id] = true;
			ret = worker_create(app, ap, q, lcore_id, nonce_first, error, error_size);
			if (ret != 0)
				return ret;
		}
	}
	return 0;
}

int pl_workers_launch(struct pl_app *app, char *error, size_t error_size)
{
	for (uint32_t i = 0; i < app->worker_cnt; i++) {
		int ret = rte_eal_remote_launch(pl_worker_main, app->workers[i],
						app->workers[i]->lcore_id);

		if (ret != 0) {
			snprintf(error, error_size, "worker %u does not start: %s", i,
				 strerror(-ret));
			return ret;
		}
	}
	return 0;
}

void pl_workers_stop(struct pl_app *app)
{
	/* relaxed: see pl_worker_chores(); rte_eal_mp_wait_lcore() orders what comes after. */
	atomic_store_explicit(&app->live.stop, true, memory_order_relaxed);
	rte_eal_mp_wait_lcore();
}

void pl_workers_destroy(struct pl_app *app)
{
	for (uint32_t i = 0; i < app->worker_cnt; i++) {
		struct pl_worker *w = app->workers[i];

		pl_verify_destroy(w->verify);
		if (w->reader != NULL)
			pl_table_reader_destroy(w->reader);
		pl_samples_destroy(w->samples);
		rte_free(w);
	}
	app->worker_cnt = 0;
}
