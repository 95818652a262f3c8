/* SPDX-License-Identifier: BSD-3-Clause */
/* What somebody types at night: is anything wrong, and what is there to do. One screenful. */
#include <inttypes.h>

#include "ctl.h"

/* A(flag, what it does to people at the doors, what to do) */
#define ADVICE(A)                                                                                 \
	A("loading", "every scan is answered UNKNOWN until the feed is loaded",                   \
	  "wait; if segments do not rise (passlinectl feed), look at the authority and the way "  \
	  "from it to here, and at passlinectl journal; passlinectl feed push brings them by "    \
	  "hand")                                                                                 \
	A("feed_old", "who is not in the table, or denied by its facts, is UNKNOWN, not a DENY",  \
	  "passlinectl feed: if it is refused, the reason is there; if nothing comes, look at "   \
	  "the "                                                                                  \
	  "authority and the way from it to here")                                                \
	A("clock", "stale, expired and absent passes are UNKNOWN, not a DENY",                    \
	  "timedatectl, chronyc tracking: mend the time service; after a step it waits `settle`") \
	A("intake_stopped", "changes do not arrive; absent certificates are UNKNOWN",             \
	  "passlinectl feed and passlinectl journal tell the reason: a segment that is refused "  \
	  "must come again from the authority; after a disk failure restart once the disk is "    \
	  "sound")                                                                                \
	A("table_full", "certificates that were issued last are missing and UNKNOWN",             \
	  "reserve hugepages for another table, raise 'capacity' in [table], passlinectl reload") \
	A("waiver", "enforcement is waived; verdicts are as always",                              \
	  "nothing: the authority signed it; passlinectl waiver shows until when")                \
	A("busy", "scans beyond a platform's share are UNKNOWN or unanswered; others as ever",    \
	  "passlinectl gateways tells who is limited: ask that platform. Add queues, workers, "   \
	  "appliances")                                                                           \
	A("draining", "gateways are sent to other appliances",                                    \
	  "passlinectl undrain, if the work is done")

static void advise(const json_t *flags)
{
	const json_t *f;
	size_t i;

	json_array_foreach(flags, i, f)
	{
		const char *name = pl_cli_str(f, "flag"), *effect = NULL, *remedy = NULL;

#define A(flag, does, todo)            \
	if (strcmp(name, flag) == 0) { \
		effect = does;         \
		remedy = todo;         \
	}
		ADVICE(A)
#undef A
		printf("\n! %s: %s\n", name, pl_cli_str(f, "text"));
		if (effect != NULL)
			printf("    at the door: %s\n    to do:       %s\n", effect, remedy);
	}
}

static void print_feed(const json_t *feed)
{
	const json_t *refused = json_object_get(feed, "refused");
	uint64_t as_of = pl_cli_u64(feed, "as_of");
	char time[32], lag[32], max[32];

	if (as_of == 0) {
		printf("feed     loading: %" PRIu64 " segment(s) so far\n",
		       pl_cli_u64(feed, "segments"));
	} else {
		printf("feed     segment %" PRIu64 ", as of %s, %s old (%s allowed)\n",
		       pl_cli_u64(feed, "applied"), pl_cli_time_text(as_of, time),
		       pl_cli_span_text(pl_cli_u64(feed, "lag_s"), lag),
		       pl_cli_span_text(pl_cli_u64(feed, "age_s_max"), max));
	}
	if (*pl_cli_str(feed, "intake_text") != '\0')
		printf("         intake: %s\n", pl_cli_str(feed, "intake_text"));
	if (refused != NULL)
		printf("         refused: %s\n", pl_cli_str(refused, "text"));
}

static void print_table(const json_t *table)
{
	uint64_t entries = pl_cli_u64(table, "entries"), capacity = pl_cli_u64(table, "capacity");
	char a[32], b[32];

	printf("table    %s of %s certificates, %.1f %%%s\n", pl_cli_count_text(entries, a),
	       pl_cli_count_text(capacity, b),
	       capacity != 0 ? 100.0 * (double)entries / (double)capacity : 0.0,
	       pl_cli_bool(table, "growing") ? ", growing" : "");
}

static void print_traffic(const json_t *t)
{
	static const char *const names[] = {"pass", "deny", "unknown", "dropped"};
	uint64_t busy = pl_cli_u64(t, "busy_tsc"), idle = pl_cli_u64(t, "idle_tsc");
	uint64_t stalls = pl_cli_u64(t, "stalls");
	char text[32];

	printf("scans    %s:", pl_cli_count_text(pl_cli_u64(t, "scans"), text));
	for (size_t i = 0; i < 3; i++)
		printf(" %s %s%s", pl_cli_count_text(pl_cli_u64(t, names[i]), text), names[i],
		       i < 2 ? "," : "");
	printf("\npackets  %s in, ", pl_cli_count_text(pl_cli_u64(t, "rx_pkts"), text));
	printf("%s answered, ", pl_cli_count_text(pl_cli_u64(t, "answered"), text));
	printf("%s dropped; workers busy %.0f %% since the start",
	       pl_cli_count_text(pl_cli_u64(t, "dropped"), text),
	       busy + idle != 0 ? 100.0 * (double)busy / (double)(busy + idle) : 0.0);
	if (stalls != 0)
		printf("; they stood still %s time(s), %.0f ms in all",
		       pl_cli_count_text(stalls, text),
		       json_number_value(json_object_get(t, "stalled_ms")));
	printf("\n");
}

static void print_ports(const json_t *ports)
{
	const json_t *p;
	char text[32];
	size_t i;

	json_array_foreach(ports, i, p)
	{
		uint64_t missed = pl_cli_u64(p, "rx_missed") + pl_cli_u64(p, "rx_no_mbuf");

		printf("port     %s (%s) is %s, %s%s", pl_cli_str(p, "name"),
		       pl_cli_str(p, "device"), pl_cli_bool(p, "link_up") ? "up" : "DOWN",
		       pl_cli_str(p, "addresses"), missed != 0 ? ", missed " : "\n");
		if (missed != 0)
			printf("%s\n", pl_cli_count_text(missed, text));
	}
}

/* What is no flag, but somebody should look at. @return how many. */
static uint32_t print_worries(const json_t *r)
{
	const json_t *table = json_object_get(r, "table"), *p;
	uint64_t entries = pl_cli_u64(table, "entries"), capacity = pl_cli_u64(table, "capacity");
	const json_t *traffic = json_object_get(r, "traffic");
	const json_t *nonces = json_object_get(r, "nonces");
	uint64_t rx = pl_cli_u64(traffic, "rx_pkts"), dropped = pl_cli_u64(traffic, "dropped");
	uint32_t cnt = 0;
	char text[32];
	size_t i;

	json_array_foreach(json_object_get(r, "ports"), i, p)
	{
		if (pl_cli_bool(p, "link_up"))
			continue;
		printf("\n! port %s has no link\n    to do:       look at the cable, the "
		       "switch, the card\n",
		       pl_cli_str(p, "name"));
		cnt++;
	}
	if (*pl_cli_str(table, "refused") != '\0') {
		printf("\n! the table is to have room for %s certificates, and cannot be made "
		       "larger: "
		       "%s\n    to do:       the log has the reason; reserve hugepages for another "
		       "table, passlinectl reload\n",
		       pl_cli_count_text(pl_cli_u64(table, "wanted"), text),
		       pl_cli_str(table, "refused"));
		cnt++;
	}
	/* Below that: table_full says it. */
	if (entries < capacity && entries >= capacity - capacity / 10) {
		printf("\n! the table is nearly full\n    to do:       raise 'capacity' in "
		       "[table], "
		       "passlinectl reload, before it is\n");
		cnt++;
	}
	if (rx >= 1000 && dropped > rx / 100) {
		printf("\n! of %s packets %.1f %% were dropped\n    to do:       passlinectl "
		       "counters tells the reasons\n",
		       pl_cli_count_text(rx, text), 100.0 * (double)dropped / (double)rx);
		cnt++;
	}
	if (pl_cli_u64(r, "gateways") == 0) {
		printf("\n! no gateway has a key: nobody can ask\n    to do:       copy keys to "
		       "gateway-dir, passlinectl reload\n");
		cnt++;
	}
	if (*pl_cli_str(nonces, "refusal") != '\0') {
		printf("\n! no more reply counters can be reserved: %s\n    to do:       mend the "
		       "disk: after %s more answers a queue nobody gets one\n",
		       pl_cli_str(nonces, "refusal"),
		       pl_cli_count_text(pl_cli_u64(nonces, "left"), text));
		cnt++;
	}
	if (pl_cli_u64(r, "journal_lost") != 0) {
		printf("\n! the journal lost %" PRIu64
		       " line(s)\n    to do:       make room in the "
		       "state directory\n",
		       pl_cli_u64(r, "journal_lost"));
		cnt++;
	}
	if (pl_cli_u64(r, "log_lost") != 0) {
		printf("\n! stderr was not read %" PRIu64
		       " time(s), and what was said then is lost\n    to do:       see to who "
		       "reads it: systemd-journald, or the pipe it is started with\n",
		       pl_cli_u64(r, "log_lost"));
		cnt++;
	}
	return cnt;
}

static void print_status(const json_t *r)
{
	const json_t *flags = json_object_get(r, "flags"), *clock = json_object_get(r, "clock");
	char up[32];

	printf("%s: %s (appliance %" PRIu64 "), passline %s, up %s\n", pl_cli_str(r, "state"),
	       pl_cli_str(r, "site"), pl_cli_u64(r, "appliance_id"), pl_cli_str(r, "version"),
	       pl_cli_span_text(pl_cli_u64(r, "uptime_s"), up));
	print_feed(json_object_get(r, "feed"));
	print_table(json_object_get(r, "table"));
	printf("clock    %s\n", pl_cli_str(clock, "text"));
	print_traffic(json_object_get(r, "traffic"));
	printf("keys     %" PRIu64 " gateway(s), view %" PRIu64 "\n", pl_cli_u64(r, "gateways"),
	       pl_cli_u64(r, "view_generation"));
	print_ports(json_object_get(r, "ports"));
	advise(flags);
	if (print_worries(r) == 0 && json_array_size(flags) == 0)
		printf("\nnothing is wrong\n");
}

int pl_cli_status(struct pl_cli *cli)
{
	json_t *r;
	int status;

	if (!pl_cli_operands(cli, 0, 0, "status takes nothing"))
		return PL_CLI_USAGE;
	status = pl_cli_ask(cli, "status", NULL, NULL, 0, &r);
	if (status == PL_CLI_DONE && cli->json)
		pl_cli_json(r);
	else if (status == PL_CLI_DONE)
		print_status(r);
	json_decref(r);
	return status;
}
