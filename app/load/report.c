/* SPDX-License-Identifier: BSD-3-Clause */

#include "report.h"

#include <inttypes.h>
#include <jansson.h>

struct figures {
	double datagrams_per_s;
	double scans_per_s;
	double sent_per_s;
	double lost_share;
	double us[LATENCY_QUANTILE_CNT];
	double cycles_per_datagram;
	double cycles_per_scan;
	double idle_share;
};

static const char *const quantiles[LATENCY_QUANTILE_CNT] = {
#define Q(name, share) name,
	LATENCY_QUANTILES(Q)
#undef Q
};

static const struct {
	const char *name, *text;
} counters[] = {
#define C(field, text) {#field, text},
	LOAD_COUNTERS(C)
#undef C
};

static double ratio(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (double)part / (double)whole;
}

static struct figures figures_of(const struct pool *pool, const struct run_result *r)
{
	const struct load_stats *st = &r->stats;
	struct figures f = {
		.datagrams_per_s = (double)st->answered / r->seconds,
		.sent_per_s = (double)st->sent / r->seconds,
		.lost_share = ratio(r->lost, st->sent),
		.cycles_per_datagram = ratio(r->appliance.busy_tsc, r->appliance.replies),
		.cycles_per_scan = ratio(r->appliance.busy_tsc, r->appliance.scans),
		.idle_share =
			ratio(r->appliance.idle_tsc, r->appliance.idle_tsc + r->appliance.busy_tsc),
	};

	f.scans_per_s = f.datagrams_per_s * pool->scan_cnt;
	latency_us(&st->latency, pool->clock->ns_per_tsc, f.us);
	return f;
}

static const uint64_t *counter_of(const struct load_stats *st, uint32_t i)
{
	/* The counters are the first fields, all of one type, in the table's order. */
	return &st->sent + i;
}

static const char *verdict_name(uint32_t code)
{
	const char *name = pl_verdict_name(code);

	return name == NULL ? "(code not known)" : name;
}

static void print_verdicts(const struct load_stats *st)
{
	printf("\n%-16s %-16s %14s\n", "right verdict", "got", "scans");
	for (uint32_t right = 0; right < PL_V_CODE_END; right++)
		for (uint32_t got = 0; got < PL_V_CODE_END; got++)
			if (st->verdicts[right][got] != 0)
				printf("%-16s %-16s %14" PRIu64 "%s\n", verdict_name(right),
				       verdict_name(got), st->verdicts[right][got],
				       right == got                                ? ""
				       : pl_verdict_group(got) == PL_GROUP_UNKNOWN ? "  unknown"
										   : "  WRONG");
}

static void print_intervals(const struct intervals *iv)
{
	double every_s = iv->every_ms / 1e3;

	if (iv->every_ms == 0)
		return;
	if (iv->cnt == 0)
		printf("intervals: none of %.10g s was whole in this run\n", every_s);
	else
		printf("\n%-14s %14s %10s %10s %10s %10s %8s\n", "from, UTC s", "datagrams/s",
		       "p50 us", "p99 us", "p99.9 us", "max us", "stalls");
	for (uint32_t i = 0; i < iv->cnt; i++) {
		const struct interval *one = &iv->list[i];

		printf("%-14.3f %14.0f %10.1f %10.1f %10.1f %10.1f %8" PRIu64 "\n",
		       (double)one->from_ms / 1e3, (double)one->answered / every_s, one->us[0],
		       one->us[1], one->us[2], one->us[3], one->stalls);
	}
}

static const char *const sides[LOAD_SIDE_CNT] = {"surging", "others"};

static uint64_t side_lost(const struct load_side_stats *s)
{
	return s->sent > s->answered ? s->sent - s->answered : 0;
}

static void print_sides(const struct load_args *args, const struct pool *pool,
			const struct load_stats *st)
{
	if (args->surge_share == 0)
		return;
	printf("\n%-10s %14s %14s %14s %14s %10s %10s\n", "", "sent", "verdicts", "busy", "lost",
	       "p50 us", "p99 us");
	for (uint32_t i = 0; i < LOAD_SIDE_CNT; i++) {
		const struct load_side_stats *s = &st->sides[i];
		double us[LATENCY_QUANTILE_CNT];

		latency_us(&s->latency, pool->clock->ns_per_tsc, us);
		printf("%-10s %14" PRIu64 " %14" PRIu64 " %14" PRIu64 " %14" PRIu64
		       " %10.1f %10.1f\n",
		       sides[i], s->sent, s->answered - s->busy, s->busy, side_lost(s), us[0],
		       us[1]);
	}
}

static void print_words(const struct load_args *args, const struct pool *pool,
			const struct run_result *r)
{
	const struct load_stats *st = &r->stats;
	struct figures f = figures_of(pool, r);

	printf("%s: %u scans a datagram, %u datagrams in the pool, %u gateways, seal %s\n",
	       pool->io->name, pool->scan_cnt, pool->cnt, pool->gateways->cnt,
	       pl_seal_variant(pool->seal));
	if (args->rate > 0)
		printf("open loop: %.0f datagrams/s for %.2f s\n", args->rate, r->seconds);
	else
		printf("closed loop: %u outstanding for %.2f s\n", args->outstanding, r->seconds);
	printf("answered:  %.0f datagrams/s, %.0f scans/s\n", f.datagrams_per_s, f.scans_per_s);
	printf("sent:      %.0f datagrams/s; lost %" PRIu64 " of %" PRIu64 " (%.6f)\n",
	       f.sent_per_s, r->lost, st->sent, f.lost_share);
	if (r->unsent != 0)
		printf("unsent:    %" PRIu64 " datagrams that were due\n", r->unsent);
	printf("latency:  ");
	for (uint32_t i = 0; i < LATENCY_QUANTILE_CNT; i++)
		printf(" %s %.1f us%s", quantiles[i], f.us[i],
		       i + 1 < LATENCY_QUANTILE_CNT ? "," : "\n");
	printf("verdicts:  %" PRIu64 " compared, %" PRIu64 " wrong, %" PRIu64 " unknown\n",
	       st->checked, st->wrong, st->unknown);
	if (r->has_telemetry)
		printf("appliance: %.0f busy cycles a datagram, %.0f a scan, idle %.1f %%\n",
		       f.cycles_per_datagram, f.cycles_per_scan, 100 * f.idle_share);
	printf("load:      busy %.1f %%\n", 100 * r->load_busy);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(counters); i++)
		if (*counter_of(st, i) != 0)
			printf("           %-14s %14" PRIu64 "  %s\n", counters[i].name,
			       *counter_of(st, i), counters[i].text);
	print_sides(args, pool, st);
	print_intervals(&r->intervals);
	print_verdicts(st);
}

static json_t *verdict_list(const struct load_stats *st)
{
	json_t *list = json_array();

	for (uint32_t right = 0; right < PL_V_CODE_END; right++)
		for (uint32_t got = 0; got < PL_V_CODE_END; got++)
			if (st->verdicts[right][got] != 0)
				json_array_append_new(
					list,
					json_pack("{s:s, s:s, s:I}", "expected",
						  verdict_name(right), "got", verdict_name(got),
						  "scans", (json_int_t)st->verdicts[right][got]));
	return list;
}

static json_t *latency_object(const double us[LATENCY_QUANTILE_CNT], uint64_t samples)
{
	json_t *j = json_object();

	for (uint32_t i = 0; i < LATENCY_QUANTILE_CNT; i++)
		json_object_set_new(j, quantiles[i], json_real(us[i]));
	json_object_set_new(j, "samples", json_integer((json_int_t)samples));
	return j;
}

static json_t *intervals_list(const struct intervals *iv)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < iv->cnt; i++) {
		const struct interval *one = &iv->list[i];

		json_array_append_new(list,
				      json_pack("{s:I, s:I, s:f, s:o, s:I, s:I}", "from_ms",
						(json_int_t)one->from_ms, "ms",
						(json_int_t)iv->every_ms, "datagrams_per_s",
						(double)one->answered / (iv->every_ms / 1e3),
						"latency_us", latency_object(one->us, one->samples),
						"stalls", (json_int_t)one->stalls, "stalled_us",
						(json_int_t)one->stalled_us));
	}
	return list;
}

static json_t *states_object(const struct load_stats *st)
{
	json_t *j = json_object();

	for (uint32_t i = 0; i < PL_ARRAY_CNT(st->states); i++)
		json_object_set_new(j, pl_state_name(i), json_integer((json_int_t)st->states[i]));
	return j;
}

static json_t *appliance_object(const struct run_result *r, const struct figures *f)
{
	if (!r->has_telemetry)
		return json_null();
	return json_pack(
		"{s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "busy_cycles_per_datagram",
		f->cycles_per_datagram, "busy_cycles_per_scan", f->cycles_per_scan, "idle_share",
		f->idle_share, "replies", (json_int_t)r->appliance.replies, "scans",
		(json_int_t)r->appliance.scans, "rx_pkts", (json_int_t)r->appliance.rx_pkts,
		"busy_tsc", (json_int_t)r->appliance.busy_tsc, "idle_tsc",
		(json_int_t)r->appliance.idle_tsc, "stalls", (json_int_t)r->appliance.stalls,
		"stalled_tsc", (json_int_t)r->appliance.stalled_tsc);
}

static json_t *surge_object(const struct load_args *args, const struct pool *pool,
			    const struct load_stats *st)
{
	json_t *ids = json_array();
	json_t *j = json_pack("{s:f, s:o}", "share", ratio(pool->surge_cnt, pool->cnt), "gateways",
			      ids);

	for (uint32_t i = 0; i < args->surge_gateways; i++)
		json_array_append_new(ids, json_integer((json_int_t)pool->gateways->all[i].id));
	for (uint32_t i = 0; i < LOAD_SIDE_CNT; i++) {
		const struct load_side_stats *s = &st->sides[i];
		double us[LATENCY_QUANTILE_CNT];

		latency_us(&s->latency, pool->clock->ns_per_tsc, us);
		json_object_set_new(j, sides[i],
				    json_pack("{s:I, s:I, s:I, s:I, s:o}", "sent",
					      (json_int_t)s->sent, "answered",
					      (json_int_t)s->answered, "busy", (json_int_t)s->busy,
					      "lost", (json_int_t)side_lost(s), "latency_us",
					      latency_object(us, s->latency.cnt)));
	}
	return j;
}

/* {"id": when, ...}: 0 for one that has not come. */
static json_t *await_object(const struct await *a)
{
	json_t *j = json_object();
	char id[24];

	for (uint32_t i = 0; i < a->cnt; i++) {
		snprintf(id, sizeof(id), "0x%016" PRIx64, a->ids[i]);
		json_object_set_new(j, id, json_integer((json_int_t)a->seen_ns[i]));
	}
	return j;
}

static void print_json(const struct load_args *args, const struct pool *pool,
		       const struct run_result *r)
{
	const struct load_stats *st = &r->stats;
	struct figures f = figures_of(pool, r);
	json_t *j = json_object();

	json_object_set_new(j, "io", json_string(pool->io->name));
	json_object_set_new(j, "seal", json_string(pl_seal_variant(pool->seal)));
	json_object_set_new(j, "loop", json_string(args->rate > 0 ? "open" : "closed"));
	json_object_set_new(j, "rate", json_real(args->rate));
	json_object_set_new(j, "outstanding", json_integer(args->outstanding));
	json_object_set_new(j, "scans_per_datagram", json_integer(pool->scan_cnt));
	json_object_set_new(j, "pool", json_integer(pool->cnt));
	json_object_set_new(j, "gateways", json_integer(pool->gateways->cnt));
	json_object_set_new(j, "fresh", json_boolean(args->fresh));
	json_object_set_new(j, "tsc_hz", json_integer((json_int_t)pool->clock->hz));
	json_object_set_new(j, "check_share", json_real(args->check_share));
	json_object_set_new(j, "seconds", json_real(r->seconds));
	json_object_set_new(j, "datagrams_per_s", json_real(f.datagrams_per_s));
	json_object_set_new(j, "scans_per_s", json_real(f.scans_per_s));
	json_object_set_new(j, "sent_per_s", json_real(f.sent_per_s));
	json_object_set_new(j, "lost", json_integer((json_int_t)r->lost));
	json_object_set_new(j, "lost_share", json_real(f.lost_share));
	json_object_set_new(j, "unsent", json_integer((json_int_t)r->unsent));
	json_object_set_new(j, "wrong_verdicts", json_integer((json_int_t)st->wrong));
	json_object_set_new(j, "unknown_verdicts", json_integer((json_int_t)st->unknown));
	json_object_set_new(j, "latency_us", latency_object(f.us, st->latency.cnt));
	json_object_set_new(j, "verdicts", verdict_list(st));
	json_object_set_new(j, "states", states_object(st));
	json_object_set_new(j, "appliance", appliance_object(r, &f));
	if (args->await_path != NULL)
		json_object_set_new(j, "await", await_object(&pool->await));
	if (args->surge_share > 0)
		json_object_set_new(j, "surge", surge_object(args, pool, st));
	if (args->interval_ms != 0)
		json_object_set_new(j, "intervals", intervals_list(&r->intervals));
	json_object_set_new(j, "load_busy_share", json_real(r->load_busy));
	for (uint32_t i = 0; i < PL_ARRAY_CNT(counters); i++)
		json_object_set_new(j, counters[i].name,
				    json_integer((json_int_t)*counter_of(st, i)));
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}

int report(const struct load_args *args, const struct pool *pool, const struct run_result *r)
{
	if (args->json)
		print_json(args, pool, r);
	else
		print_words(args, pool, r);
	fflush(stdout);
	if (r->stats.answered == 0)
		fprintf(stderr,
			"passline-load: no answer at all: is the appliance ready, does it have "
			"the address and the port that were asked, and are the gateways' keys "
			"its own?\n");
	if (r->stats.wrong != 0 || r->stats.old_wrong != 0 || r->stats.answered == 0)
		return LOAD_EXIT_WRONG;
	return LOAD_EXIT_OK;
}
