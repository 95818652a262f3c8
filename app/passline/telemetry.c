/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What dpdk-telemetry.py can ask. The handlers run on the EAL's telemetry thread and read what
 * workers, loader and control have published, nothing else: no lock, and no effect on a worker.
 *
 * Of one answer: rx_pkts = answered + dropped, always: each worker's counters are of one moment
 * between two of its bursts.
 */
#include <inttypes.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_telemetry.h>

#include "app.h"

/* An answer of the socket has 16 KB, and a gateway with the largest counts 340 bytes. */
#define GATEWAYS_AN_ANSWER 46u

/* Cleared before what it leads to goes; handlers on another thread look once. */
static _Atomic(struct pl_app *) telemetry_app;
/* Handlers under way, so that stop can wait for them. */
static _Atomic uint32_t handlers_busy;

static struct pl_app *app_enter(void)
{
	/* TEL-ENTER seq_cst: the count must be seen by whoever clears the pointer, or the cleared
	 * pointer by us: store, then load of another, on both sides. Pairs: TEL-STOP. */
	atomic_fetch_add_explicit(&handlers_busy, 1, memory_order_seq_cst);
	return atomic_load_explicit(&telemetry_app, memory_order_seq_cst);
}

static void app_leave(void)
{
	/* TEL-LEAVE release: my reads are done. Pairs: the loads of TEL-STOP. */
	atomic_fetch_sub_explicit(&handlers_busy, 1, memory_order_release);
}

static void counters_add(struct rte_tel_data *d, const struct pl_counters *c)
{
	uint64_t answered = pl_stats_answered(c), dropped = pl_stats_dropped(c);

	rte_tel_data_add_dict_u64(d, "answered", answered);
	rte_tel_data_add_dict_u64(d, "dropped", dropped);
#define C(field, text) rte_tel_data_add_dict_u64(d, #field, c->field);
	PL_WORKER_COUNTERS(C)
#undef C
}

static void drops_add(struct rte_tel_data *d, const struct pl_counters *c, const char *prefix)
{
	char name[RTE_TEL_MAX_STRING_LEN];

	for (uint32_t i = 0; i < PL_DROP_CNT; i++) {
		snprintf(name, sizeof(name), "%s%s", prefix, pl_drop_name(i));
		rte_tel_data_add_dict_u64(d, name, c->drops[i]);
	}
}

static void verdicts_add(struct rte_tel_data *d, const struct pl_counters *c)
{
	char name[RTE_TEL_MAX_STRING_LEN];

	for (const uint8_t *code = pl_verdict_codes; *code != PL_V_NONE; code++) {
		snprintf(name, sizeof(name), "verdict_%s", pl_verdict_name(*code));
		rte_tel_data_add_dict_u64(d, name, c->verdicts[*code]);
	}
}

static void cycles_add(struct rte_tel_data *d, const struct pl_counters *c)
{
	rte_tel_data_add_dict_u64(d, "tsc_hz", rte_get_tsc_hz());
	rte_tel_data_add_dict_u64(d, "busy_tsc_per_datagram",
				  c->replies != 0 ? c->busy_tsc / c->replies : 0);
	rte_tel_data_add_dict_u64(d, "busy_tsc_per_scan",
				  c->scans != 0 ? c->busy_tsc / c->scans : 0);
}

static int stats_answer(struct pl_app *app, const char *params, struct rte_tel_data *d)
{
	struct pl_counters total;

	(void)params;
	pl_app_counters(app, &total);
	rte_tel_data_start_dict(d);
	counters_add(d, &total);
	cycles_add(d, &total);
	verdicts_add(d, &total);
	drops_add(d, &total, "drop_");
	return 0;
}

static int drops_answer(struct pl_app *app, const char *params, struct rte_tel_data *d)
{
	struct pl_counters total;

	(void)params;
	pl_app_counters(app, &total);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_u64(d, "rx_pkts", total.rx_pkts);
	rte_tel_data_add_dict_u64(d, "answered", pl_stats_answered(&total));
	rte_tel_data_add_dict_u64(d, "dropped", pl_stats_dropped(&total));
	drops_add(d, &total, "");
	return 0;
}

/* A number as the whole parameter. @return false if it is none or not below end. */
static bool param_number(const char *params, uint32_t end, uint32_t *out)
{
	unsigned long n;
	char *rest;

	if (params == NULL || *params < '0' || *params > '9')
		return false;
	n = strtoul(params, &rest, 10);
	if (*rest != '\0' || n >= end)
		return false;
	*out = (uint32_t)n;
	return true;
}

static int queue_answer(struct pl_app *app, const char *params, struct rte_tel_data *d)
{
	const struct pl_worker *w;
	struct pl_counters one;
	uint32_t idx;

	if (!param_number(params, app->worker_cnt, &idx))
		return -1;
	w = app->workers[idx];
	pl_worker_counters_read(w, &one);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_u64(d, "queue", idx);
	rte_tel_data_add_dict_u64(d, "port_id", w->port->port_id);
	rte_tel_data_add_dict_u64(d, "port_queue", w->queue);
	rte_tel_data_add_dict_u64(d, "lcore", w->lcore_id);
	/* relaxed: shown to humans. */
	rte_tel_data_add_dict_u64(d, "limited_platforms",
				  atomic_load_explicit(&w->pub_limited_cnt, memory_order_relaxed));
	counters_add(d, &one);
	cycles_add(d, &one);
	drops_add(d, &one, "drop_");
	return 0;
}

static void flags_add(struct rte_tel_data *d, uint32_t flags)
{
	struct rte_tel_data *list = rte_tel_data_alloc();

	rte_tel_data_add_dict_string(d, "state", pl_state_name(pl_state_of_flags(flags)));
	if (list == NULL)
		return;
	rte_tel_data_start_array(list, RTE_TEL_STRING_VAL);
#define F(id, bit, name, text)    \
	if (flags & PL_FLAG_##id) \
		rte_tel_data_add_array_string(list, name);
	PL_STATE_FLAGS(F)
#undef F
	if (rte_tel_data_add_dict_container(d, "flags", list, 0) != 0)
		rte_tel_data_free(list);
}

static void feed_add(struct rte_tel_data *d, struct pl_app *app, uint32_t as_of)
{
	struct pl_loader_status *s = &app->loader.status;
	uint32_t refused = atomic_load_explicit(&s->refused, memory_order_relaxed);

	rte_tel_data_add_dict_u64(d, "as_of", as_of);
	rte_tel_data_add_dict_u64(d, "feed_sequence",
				  atomic_load_explicit(&s->sequence, memory_order_relaxed));
	rte_tel_data_add_dict_u64(d, "feed_segments",
				  atomic_load_explicit(&s->segment_cnt, memory_order_relaxed));
	rte_tel_data_add_dict_u64(d, "feed_records",
				  atomic_load_explicit(&s->record_cnt, memory_order_relaxed));
	rte_tel_data_add_dict_u64(d, "feed_refusals",
				  atomic_load_explicit(&s->refused_cnt, memory_order_relaxed));
	rte_tel_data_add_dict_u64(d, "feed_snapshot",
				  atomic_load_explicit(&s->snapshot, memory_order_relaxed));
	rte_tel_data_add_dict_u64(d, "feed_pruned",
				  atomic_load_explicit(&s->pruned_cnt, memory_order_relaxed));
	rte_tel_data_add_dict_u64(d, "table_rebuilt",
				  atomic_load_explicit(&s->rebuilt_cnt, memory_order_relaxed));
	rte_tel_data_add_dict_string(d, "feed_refusal",
				     pl_feed_error_name((enum pl_feed_error)refused));
}

static void table_add(struct rte_tel_data *d, const struct pl_app *app)
{
	struct pl_table_stats s;

	pl_table_stats_get(app->table, &s);
	rte_tel_data_add_dict_u64(d, "table_capacity", s.capacity);
	rte_tel_data_add_dict_u64(d, "table_entries", s.entry_cnt);
	rte_tel_data_add_dict_u64(d, "table_bytes", s.size);
	rte_tel_data_add_dict_u64(d, "table_page_bytes", s.page_size);
	rte_tel_data_add_dict_u64(d, "table_full", s.full_cnt);
	rte_tel_data_add_dict_u64(d, "table_growing", s.growing);
}

/* A name that the EAL takes: of letters, digits, '_' and '/'. It refuses others without a word. */
static void port_key(const char *name, char *key, size_t key_size)
{
	snprintf(key, key_size, "port_%s", name);
	for (char *c = key; *c != '\0'; c++) {
		bool taken = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			     (*c >= '0' && *c <= '9') || *c == '/';

		if (!taken)
			*c = '_';
	}
}

static void ports_add(struct rte_tel_data *d, struct pl_app *app)
{
	char name[RTE_TEL_MAX_STRING_LEN];

	for (uint32_t i = 0; i < app->port_cnt; i++) {
		struct rte_tel_data *one = rte_tel_data_alloc();
		struct pl_port_status status;

		if (one == NULL)
			return;
		pl_port_status(&app->ports[i].port, &status);
		rte_tel_data_start_dict(one);
		rte_tel_data_add_dict_string(one, "device", app->ports[i].conf->device);
		rte_tel_data_add_dict_u64(one, "link_up", status.link_up);
		rte_tel_data_add_dict_u64(one, "rx_missed", status.rx_missed);
		rte_tel_data_add_dict_u64(one, "rx_errors", status.rx_errors);
		rte_tel_data_add_dict_u64(one, "rx_no_mbuf", status.rx_no_mbuf);
		rte_tel_data_add_dict_u64(one, "tx_errors", status.tx_errors);
		rte_tel_data_add_dict_string(one, "name", app->ports[i].conf->name);
		port_key(app->ports[i].conf->name, name, sizeof(name));
		if (rte_tel_data_add_dict_container(d, name, one, 0) != 0)
			rte_tel_data_free(one); /* no room for more */
	}
}

/* Where segments came from and what became of them. */
static int intake_answer(struct pl_app *app, const char *params, struct rte_tel_data *d)
{
	struct pl_push_server_status server;
	struct pl_intake_status s;
	uint64_t now_s = pl_wall_ns() / 1000000000u;
	char name[RTE_TEL_MAX_STRING_LEN];

	(void)params;
	pl_intake_thread_status(&app->intake, &s);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(
		d, "state", s.broken ? "broken" : (s.behind || s.unstored ? "refusing" : "taking"));
	rte_tel_data_add_dict_string(d, "why", s.text);
	rte_tel_data_add_dict_u64(d, "durable", s.pos.sequence);
	rte_tel_data_add_dict_u64(d, "applied", s.applied);
	rte_tel_data_add_dict_u64(d, "as_of", s.pos.as_of);
	rte_tel_data_add_dict_u64(
		d, "lag_s", s.pos.as_of != 0 && now_s > s.pos.as_of ? now_s - s.pos.as_of : 0);
	rte_tel_data_add_dict_u64(d, "behind", s.behind);
	rte_tel_data_add_dict_u64(d, "unstored", s.unstored);
	rte_tel_data_add_dict_u64(d, "broken", s.broken);
	if (pl_intake_thread_server(&app->intake, &server)) {
		rte_tel_data_add_dict_u64(d, "conns", server.conn_cnt);
		rte_tel_data_add_dict_u64(d, "conns_proven", server.proven_cnt);
		rte_tel_data_add_dict_u64(d, "conns_memory", server.memory);
		rte_tel_data_add_dict_u64(d, "conns_accepted", server.accepted_cnt);
		rte_tel_data_add_dict_u64(d, "conns_evicted", server.evicted_cnt);
		rte_tel_data_add_dict_u64(d, "conns_late", server.late_cnt);
		rte_tel_data_add_dict_u64(d, "conns_bad", server.bad_cnt);
	}
	for (uint32_t i = 0; i < PL_INTAKE_SOURCE_CNT; i++) {
		const char *source = pl_intake_source_name(i);

#define N(what, value)                                       \
	snprintf(name, sizeof(name), "%s_%s", what, source); \
	rte_tel_data_add_dict_u64(d, name, value);
		N("stored", s.stored[i])
		N("records", s.records[i])
		N("held", s.held[i])
		N("unstored", s.unstored_cnt[i])
#undef N
		for (uint32_t e = 1; e < PL_FEED_ERROR_CNT; e++) {
			snprintf(name, sizeof(name), "refused_%s_%s", source,
				 pl_feed_error_name((enum pl_feed_error)e));
			rte_tel_data_add_dict_u64(d, name, s.refused[i][e]);
		}
	}
	return 0;
}

static int state_answer(struct pl_app *app, const char *params, struct rte_tel_data *d)
{
	/* relaxed: shown to humans. */
	uint32_t trust = atomic_load_explicit(&app->clock_trust, memory_order_relaxed);
	uint64_t now_s = pl_wall_ns() / 1000000000u;
	uint32_t as_of, flags = pl_app_flags(app, now_s, &as_of);
	char site[PL_SITE_NAME_SIZE];

	(void)params;
	pl_app_config_lock(app);
	memcpy(site, app->config.site.name, sizeof(site));
	pl_app_config_unlock(app);
	rte_tel_data_start_dict(d);
	flags_add(d, flags);
	rte_tel_data_add_dict_string(d, "version", PL_VERSION);
	rte_tel_data_add_dict_string(d, "site", site);
	rte_tel_data_add_dict_u64(d, "appliance_id", app->config.site.appliance_id);
	rte_tel_data_add_dict_u64(d, "uptime_s", now_s - app->start_wall_s);
	rte_tel_data_add_dict_string(d, "engines", pl_verify_engines(app->workers[0]->verify));
	rte_tel_data_add_dict_u64(d, "queues", app->worker_cnt);
	rte_tel_data_add_dict_u64(d, "gateways",
				  atomic_load_explicit(&app->gateway_cnt, memory_order_relaxed));
	rte_tel_data_add_dict_string(d, "clock", pl_clock_trust_text((enum pl_clock_trust)trust));
	rte_tel_data_add_dict_u64(d, "huge_pages", !app->no_huge);
	feed_add(d, app, as_of);
	table_add(d, app);
	ports_add(d, app);
	return 0;
}

static void gateway_add(struct rte_tel_data *d, const struct pl_app *app, uint32_t idx)
{
	struct pl_gateway_counters total;
	struct rte_tel_data *one = rte_tel_data_alloc();
	uint32_t limited_by;
	char name[16];

	if (one == NULL)
		return;
	limited_by = pl_app_gateway_counters(app, idx, &total);
	rte_tel_data_start_dict(one);
	rte_tel_data_add_dict_u64(one, "datagrams", total.datagrams);
	rte_tel_data_add_dict_u64(one, "scans", pl_gateway_scans(&total));
	rte_tel_data_add_dict_u64(one, "pass", total.pass);
	rte_tel_data_add_dict_u64(one, "deny", total.deny);
	rte_tel_data_add_dict_u64(one, "unknown", total.unknown);
	rte_tel_data_add_dict_u64(one, "retries", total.retries);
	rte_tel_data_add_dict_u64(one, "errors", total.errors);
	rte_tel_data_add_dict_u64(one, "busy", total.busy);
	rte_tel_data_add_dict_u64(one, "limited_by", limited_by);
	rte_tel_data_add_dict_u64(one, "seen_ms", total.seen_ms);
	/* relaxed: see GWID-PUB; idx is below the count that was acquired. */
	snprintf(name, sizeof(name), "%" PRIu32,
		 atomic_load_explicit(&app->gateway_ids[idx], memory_order_relaxed));
	if (rte_tel_data_add_dict_container(d, name, one, 0) != 0)
		rte_tel_data_free(one);
}

static int gateways_answer(struct pl_app *app, const char *params, struct rte_tel_data *d)
{
	/* GWID-GET acquire: pairs GWID-PUB. */
	uint32_t cnt = atomic_load_explicit(&app->gateway_cnt, memory_order_acquire);
	uint32_t from = 0;

	/* Behind the last there are none, which ends who goes from page to page. */
	if (params != NULL && *params != '\0' && !param_number(params, PL_GATEWAY_MAX + 1, &from))
		return -1;
	rte_tel_data_start_dict(d);
	for (uint32_t i = from; i < cnt && i < from + GATEWAYS_AN_ANSWER; i++)
		gateway_add(d, app, i);
	return 0;
}

/* One function of the EAL's type for each answer. */
#define COMMANDS(X)                                                                               \
	X(stats, "Totals of all queues: packets, answers, verdicts, drops, cycles.")              \
	X(state, "State and its reasons, feed, table, clock, ports.")                             \
	X(intake, "Segments by source and reason of refusal, newest durable and applied, peers.") \
	X(queue, "Counters of one queue. Parameter: its number, from 0.")                         \
	X(gateways, "Live counts by gateway, 46 an answer. Parameter: from which one, from 0.")   \
	X(drops, "Packets received, answered, and dropped by reason, of all queues.")

#define X(name, help)                                                                      \
	static int name##_cmd(const char *cmd, const char *params, struct rte_tel_data *d) \
	{                                                                                  \
		struct pl_app *app = app_enter();                                          \
		int ret = app != NULL ? name##_answer(app, params, d) : -1;                \
                                                                                           \
		(void)cmd;                                                                 \
		app_leave();                                                               \
		return ret;                                                                \
	}
COMMANDS(X)
#undef X

int pl_telemetry_start(struct pl_app *app)
{
	int ret = 0;

	/* Release by way of seq_cst: app is complete. Pairs: TEL-ENTER. */
	atomic_store_explicit(&telemetry_app, app, memory_order_seq_cst);
#define X(name, help) \
	if (ret == 0) \
		ret = rte_telemetry_register_cmd("/passline/" #name, name##_cmd, help);
	COMMANDS(X)
#undef X
	pl_heap_telemetry_start();
	return ret;
}

void pl_telemetry_stop(void)
{
	/* TEL-STOP seq_cst: see TEL-ENTER. */
	atomic_store_explicit(&telemetry_app, NULL, memory_order_seq_cst);
	while (atomic_load_explicit(&handlers_busy, memory_order_seq_cst) != 0)
		rte_delay_us_sleep(100);
}
