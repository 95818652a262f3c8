/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that show. Numbers are read as telemetry reads them; the configuration under its lock. */
#include <errno.h>
#include <inttypes.h>

#include <sodium.h>

#include <rte_cycles.h>

#include "app.h"
#include "desk.h"
#include "desk_json.h"
#include "say.h"

#define GATEWAYS_AN_ANSWER     100u
#define GATEWAYS_AN_ANSWER_MAX 1000u

json_t *pl_desk_flags_json(uint32_t flags)
{
	json_t *list = json_array();

#define F(id, bit, name, what)                    \
	if (flags & PL_FLAG_##id)                 \
		(void)json_array_append_new(list, \
					    json_pack("{s:s, s:s}", "flag", name, "text", what));
	PL_STATE_FLAGS(F)
#undef F
	return list;
}

static json_t *table_json(const struct pl_app *app)
{
	struct pl_table_stats s;
	json_t *t = json_object();
	int refused;

	pl_table_stats_get(app->table, &s);
	(void)json_object_set_new(t, "entries", pl_desk_number(s.entry_cnt));
	(void)json_object_set_new(t, "capacity", pl_desk_number(s.capacity));
	(void)json_object_set_new(t, "bytes", pl_desk_number(s.size));
	(void)json_object_set_new(t, "page_bytes", pl_desk_number(s.page_size));
	(void)json_object_set_new(t, "refused_full", pl_desk_number(s.full_cnt));
	(void)json_object_set_new(t, "growing", json_boolean(s.growing));
	/* relaxed, both: shown to humans. */
	refused = atomic_load_explicit(&app->loader.status.grow_refused, memory_order_relaxed);
	(void)json_object_set_new(t, "wanted",
				  pl_desk_number(atomic_load_explicit(&app->loader.capacity_wanted,
								      memory_order_relaxed)));
	(void)json_object_set_new(t, "refused",
				  refused != 0 ? json_string(strerror(refused)) : json_null());
	return t;
}

static json_t *ports_json(struct pl_app *app)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < app->port_cnt; i++) {
		struct pl_app_port *ap = &app->ports[i];
		struct pl_port_status status;
		char address[512];
		json_t *p = json_object();

		pl_port_status(&ap->port, &status);
		pl_ports_address_text(&ap->nif, address, sizeof(address));
		(void)json_object_set_new(p, "name", json_string(ap->conf->name));
		(void)json_object_set_new(p, "device", json_string(ap->conf->device));
		(void)json_object_set_new(p, "link_up", json_boolean(status.link_up));
		(void)json_object_set_new(p, "queues", pl_desk_number(ap->port.queue_cnt));
		(void)json_object_set_new(p, "addresses", json_string(address));
		(void)json_object_set_new(p, "rx_missed", pl_desk_number(status.rx_missed));
		(void)json_object_set_new(p, "rx_errors", pl_desk_number(status.rx_errors));
		(void)json_object_set_new(p, "rx_no_mbuf", pl_desk_number(status.rx_no_mbuf));
		(void)json_object_set_new(p, "tx_errors", pl_desk_number(status.tx_errors));
		(void)json_array_append_new(list, p);
	}
	return list;
}

static json_t *nonces_json(struct pl_app *app)
{
	char text[PL_NONCE_TEXT_SIZE];

	pl_nonce_thread_text(&app->nonces, text, sizeof(text));
	return json_pack("{s:o, s:o}", "left",
			 pl_desk_number(pl_nonce_thread_left(&app->nonces, pl_app_nonce_next(app))),
			 "refusal", text[0] != '\0' ? pl_ctl_text(text) : json_null());
}

static json_t *desk_json(struct pl_app *app)
{
	struct pl_ctl_stats s;

	pl_ctl_server_stats(app->desk.server, &s);
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "accepted", pl_desk_number(s.accepted),
			 "requests", pl_desk_number(s.requests), "refused",
			 pl_desk_number(s.refused), "late", pl_desk_number(s.late), "evicted",
			 pl_desk_number(s.evicted));
}

/* What the traffic amounts to, for a first look; all of it is in "counters". */
static json_t *traffic_json(const struct pl_app *app)
{
	uint64_t by_group[PL_GROUP_UNKNOWN + 1] = {0};
	struct pl_counters c;

	pl_app_counters(app, &c);
	for (const uint8_t *code = pl_verdict_codes; *code != PL_V_NONE; code++)
		by_group[pl_verdict_group(*code)] += c.verdicts[*code];
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f}", "rx_pkts",
		pl_desk_number(c.rx_pkts), "answered", pl_desk_number(pl_stats_answered(&c)),
		"dropped", pl_desk_number(pl_stats_dropped(&c)), "scans", pl_desk_number(c.scans),
		"pass", pl_desk_number(by_group[PL_GROUP_PASS]), "deny",
		pl_desk_number(by_group[PL_GROUP_DENY]), "unknown",
		pl_desk_number(by_group[PL_GROUP_UNKNOWN]), "busy_tsc", pl_desk_number(c.busy_tsc),
		"idle_tsc", pl_desk_number(c.idle_tsc), "stalls", pl_desk_number(c.stalls),
		"stalled_ms", (double)c.stalled_tsc * 1e3 / (double)rte_get_tsc_hz());
}

int pl_desk_status(void *ctx, struct pl_ctl_call *call)
{
	struct pl_app *app = ctx;
	uint64_t now_s = pl_wall_ns() / 1000000000u;
	uint32_t as_of, flags = pl_app_flags(app, now_s, &as_of);
	/* relaxed: shown to humans. */
	uint32_t trust = atomic_load_explicit(&app->clock_trust, memory_order_relaxed);
	json_t *r = json_object();
	int rc = pl_ctl_args_known(call, NULL, 0);

	call->result = r;
	if (rc != 0)
		return rc;
	(void)json_object_set_new(r, "state", json_string(pl_state_name(pl_state_of_flags(flags))));
	(void)json_object_set_new(r, "flags", pl_desk_flags_json(flags));
	(void)json_object_set_new(r, "version", json_string(PL_VERSION));
	pl_app_config_lock(app);
	(void)json_object_set_new(r, "site", pl_ctl_text(app->config.site.name));
	(void)json_object_set_new(r, "appliance_id", pl_desk_number(app->config.site.appliance_id));
	(void)json_object_set_new(r, "need_synchronised",
				  json_boolean(app->config.site.need_synchronised));
	pl_app_config_unlock(app);
	(void)json_object_set_new(r, "now", pl_desk_number(now_s));
	(void)json_object_set_new(r, "uptime_s", pl_desk_number(now_s - app->start_wall_s));
	(void)json_object_set_new(r, "clock",
				  json_pack("{s:b, s:s}", "trusted", trust == PL_CLOCK_TRUSTED,
					    "text",
					    pl_clock_trust_text((enum pl_clock_trust)trust)));
	(void)json_object_set_new(r, "feed", pl_desk_feed_json(app, as_of, now_s));
	(void)json_object_set_new(r, "table", table_json(app));
	(void)json_object_set_new(r, "ports", ports_json(app));
	(void)json_object_set_new(r, "traffic", traffic_json(app));
	(void)json_object_set_new(r, "queues", pl_desk_number(app->worker_cnt));
	(void)json_object_set_new(
		r, "gateways",
		pl_desk_number(atomic_load_explicit(&app->gateway_cnt, memory_order_relaxed)));
	(void)json_object_set_new(
		r, "view_generation",
		pl_desk_number(atomic_load_explicit(&app->view_generation, memory_order_relaxed)));
	(void)json_object_set_new(r, "engines",
				  json_string(pl_verify_engines(app->workers[0]->verify)));
	(void)json_object_set_new(r, "huge_pages", json_boolean(!app->no_huge));
	(void)json_object_set_new(r, "nonces", nonces_json(app));
	(void)json_object_set_new(r, "journal_lost",
				  pl_desk_number(pl_journal_lost(&app->journal)));
	(void)json_object_set_new(r, "log_lost", pl_desk_number(pl_say_lost_cnt()));
	(void)json_object_set_new(r, "control", desk_json(app));
	return 0;
}

int pl_desk_policy(void *ctx, struct pl_ctl_call *call)
{
	struct pl_app *app = ctx;
	char *text = malloc(PL_POLICY_TEXT_SIZE);
	char hash[2 * PL_POLICY_HASH_SIZE + 1];
	int rc = pl_ctl_args_known(call, NULL, 0);

	if (text == NULL || rc != 0) {
		free(text);
		return rc != 0 ? rc : -ENOMEM;
	}
	call->result = json_object();
	pl_app_config_lock(app);
	(void)pl_policy_describe(&app->config.policy, &app->config.policy_names, text,
				 PL_POLICY_TEXT_SIZE);
	sodium_bin2hex(hash, sizeof(hash), app->config.policy_hash, PL_POLICY_HASH_SIZE);
	(void)json_object_set_new(call->result, "file",
				  app->config.site.policy_path[0] != '\0'
					  ? pl_ctl_text(app->config.site.policy_path)
					  : json_null());
	pl_app_config_unlock(app);
	(void)json_object_set_new(call->result, "hash", json_string(hash));
	(void)json_object_set_new(call->result, "generation",
				  pl_desk_number(atomic_load_explicit(&app->policy_generation,
								      memory_order_relaxed)));
	(void)json_object_set_new(call->result, "text", json_string(text));
	free(text);
	return 0;
}

static json_t *platform_json(struct pl_app *app, uint32_t gateway_id)
{
	json_t *name;
	int32_t platform;

	pl_app_config_lock(app);
	platform = pl_site_platform_of(&app->config.site, gateway_id);
	name = platform >= 0 ? json_string(app->config.site.platforms[platform]) : json_null();
	pl_app_config_unlock(app);
	return name;
}

static json_t *gateway_json(struct pl_app *app, uint32_t idx)
{
	struct pl_gateway_counters c;
	uint32_t limited_by;
	/* relaxed: see GWID-PUB; idx is below the count that was acquired. */
	uint32_t id = atomic_load_explicit(&app->gateway_ids[idx], memory_order_relaxed);

	limited_by = pl_app_gateway_counters(app, idx, &c);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
			 pl_desk_number(id), "platform", platform_json(app, id), "datagrams",
			 pl_desk_number(c.datagrams), "scans", pl_desk_number(pl_gateway_scans(&c)),
			 "pass", pl_desk_number(c.pass), "deny", pl_desk_number(c.deny), "unknown",
			 pl_desk_number(c.unknown), "retries", pl_desk_number(c.retries), "errors",
			 pl_desk_number(c.errors), "busy", pl_desk_number(c.busy), "limited_by",
			 pl_desk_number(limited_by), "seen_ms", pl_desk_number(c.seen_ms));
}

static int gateway_one(struct pl_app *app, struct pl_ctl_call *call, uint32_t cnt, uint32_t id)
{
	for (uint32_t i = 0; i < cnt; i++) {
		/* relaxed: see GWID-PUB. */
		if (atomic_load_explicit(&app->gateway_ids[i], memory_order_relaxed) != id)
			continue;
		call->result = json_pack("{s:o, s:[o]}", "total", pl_desk_number(cnt), "gateways",
					 gateway_json(app, i));
		return 0;
	}
	snprintf(call->error, call->error_size,
		 "there is no gateway %" PRIu32 ": copy its key to gateway-dir and reload", id);
	return -ENOENT;
}

int pl_desk_gateways(void *ctx, struct pl_ctl_call *call)
{
	static const char *const names[] = {"id", "from", "limit"};
	struct pl_app *app = ctx;
	/* GWID-GET acquire: pairs GWID-PUB. */
	uint32_t cnt = atomic_load_explicit(&app->gateway_cnt, memory_order_acquire);
	uint64_t id, from, limit, i;
	json_t *list;

	if (pl_ctl_args_known(call, names, PL_ARRAY_CNT(names)) != 0 ||
	    pl_ctl_arg_number(call, "id", UINT64_MAX, 0, UINT32_MAX, &id) != 0 ||
	    pl_ctl_arg_number(call, "from", 0, 0, UINT32_MAX, &from) != 0 ||
	    pl_ctl_arg_number(call, "limit", GATEWAYS_AN_ANSWER, 1, GATEWAYS_AN_ANSWER_MAX,
			      &limit) != 0)
		return -EINVAL;
	if (id != UINT64_MAX)
		return gateway_one(app, call, cnt, (uint32_t)id);
	list = json_array();
	for (i = from; i < cnt && i < from + limit; i++)
		(void)json_array_append_new(list, gateway_json(app, (uint32_t)i));
	call->result = json_pack("{s:o, s:o, s:o}", "total", pl_desk_number(cnt), "next",
				 i < cnt ? pl_desk_number(i) : json_null(), "gateways", list);
	return 0;
}

/* Numbers of keys, never a byte of one. */
int pl_desk_keys(void *ctx, struct pl_ctl_call *call)
{
	struct pl_app *app = ctx;
	json_t *tokens = json_array(), *gateways = json_array();
	const struct pl_config *c = &app->config;
	char stream[17];
	int rc = pl_ctl_args_known(call, NULL, 0);

	pl_app_config_lock(app);
	snprintf(stream, sizeof(stream), "%016" PRIx64, c->authority->key[0].stream_id);
	for (uint32_t i = 0; i < c->tokens->cnt; i++)
		(void)json_array_append_new(tokens, pl_desk_number(c->tokens->key[i].epoch));
	for (uint32_t i = 0; i < c->gateways->cnt; i++)
		(void)json_array_append_new(
			gateways, json_pack("{s:o, s:o}", "id",
					    pl_desk_number(c->gateways->key[i].gateway_id), "epoch",
					    pl_desk_number(c->gateways->key[i].epoch)));
	pl_app_config_unlock(app);
	call->result = json_pack("{s:s, s:o, s:o}", "authority_stream", stream, "token_epochs",
				 tokens, "gateways", gateways);
	return rc;
}

static void counter_add(json_t *list, const char *name, uint64_t value, const char *text)
{
	(void)json_array_append_new(list, json_pack("{s:s, s:o, s:s}", "name", name, "value",
						    pl_desk_number(value), "text", text));
}

int pl_desk_counters(void *ctx, struct pl_ctl_call *call)
{
	struct pl_app *app = ctx;
	json_t *all = json_array(), *drops = json_array(), *verdicts = json_array();
	struct pl_counters c;
	int rc = pl_ctl_args_known(call, NULL, 0);

	pl_app_counters(app, &c);
	counter_add(all, "answered", pl_stats_answered(&c), "packets answered, in any way");
	counter_add(all, "dropped", pl_stats_dropped(&c), "packets dropped, for any reason");
#define C(field, text) counter_add(all, #field, c.field, text);
	PL_WORKER_COUNTERS(C)
#undef C
	for (uint32_t i = 0; i < PL_DROP_CNT; i++)
		counter_add(drops, pl_drop_name(i), c.drops[i], pl_drop_text(i));
	for (const uint8_t *code = pl_verdict_codes; *code != PL_V_NONE; code++)
		counter_add(verdicts, pl_verdict_name(*code), c.verdicts[*code],
			    pl_verdict_text(*code));
	call->result = json_pack("{s:o, s:o, s:o, s:o}", "counters", all, "drops", drops,
				 "verdicts", verdicts, "tsc_hz", pl_desk_number(rte_get_tsc_hz()));
	return rc;
}

int pl_desk_journal(void *ctx, struct pl_ctl_call *call)
{
	static const char *const names[] = {"last"};
	struct pl_app *app = ctx;
	uint64_t cnt;

	if (pl_ctl_args_known(call, names, PL_ARRAY_CNT(names)) != 0 ||
	    pl_ctl_arg_number(call, "last", 20, 1, PL_JOURNAL_LAST_MAX, &cnt) != 0)
		return -EINVAL;
	(void)pl_journal_sync(&app->journal);
	call->result =
		json_pack("{s:o, s:o}", "lines", pl_journal_last(&app->journal, (uint32_t)cnt),
			  "lost", pl_desk_number(pl_journal_lost(&app->journal)));
	return 0;
}
