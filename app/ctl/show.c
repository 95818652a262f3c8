/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that show, but for status and feed. */
#include <inttypes.h>

#include "ctl.h"

/* Ask for something that takes no arguments. */
static int ask_plain(struct pl_cli *cli, const char *command, json_t **r)
{
	int status;

	*r = NULL;
	if (!pl_cli_operands(cli, 0, 0, "this command takes nothing"))
		return PL_CLI_USAGE;
	status = pl_cli_ask(cli, command, NULL, NULL, 0, r);
	if (status == PL_CLI_DONE && cli->json)
		pl_cli_json(*r);
	return status;
}

static void print_changes(const json_t *changes, bool scans)
{
	const json_t *c;
	char text[32];
	size_t i;

	json_array_foreach(changes, i, c)
	{
		printf("  %14s  %s -> %s", pl_cli_count_text(pl_cli_u64(c, "count"), text),
		       pl_cli_str(c, "now"), pl_cli_str(c, "then"));
		if (scans)
			printf(" (by %" PRIu64 " samples)", pl_cli_u64(c, "samples"));
		putchar('\n');
	}
}

static void print_try(const json_t *r)
{
	const json_t *certs = json_object_get(r, "certificates");
	const json_t *scans = json_object_get(r, "scans"), *g;
	char all[32], changed[32];
	size_t i;

	if (*pl_cli_str(r, "warnings") != '\0')
		printf("%s\n", pl_cli_str(r, "warnings"));
	pl_cli_count_text(pl_cli_u64(certs, "count"), all);
	json_array_foreach(json_object_get(certs, "groups"), i, g)
	{
		printf("class %s: %s of %s certificates would get another verdict\n",
		       pl_cli_str(g, "classes"),
		       pl_cli_count_text(pl_cli_u64(g, "changed"), changed), all);
		print_changes(json_object_get(g, "changes"), false);
	}
	printf("last hour's scans: about %s of %s would have got another verdict, by %" PRIu64
	       " samples\n",
	       pl_cli_count_text(pl_cli_u64(scans, "changed"), changed),
	       pl_cli_count_text(pl_cli_u64(scans, "count"), all), pl_cli_u64(scans, "samples"));
	print_changes(json_object_get(scans, "changes"), true);
	if (pl_cli_bool(r, "qr_differs"))
		printf("[qr] differs too: what that changes is not told here\n");
}

static int policy_try(struct pl_cli *cli)
{
	bool bad = false;
	const char *class_text = pl_cli_option(cli, "--class", &bad);
	json_t *args, *r;
	uint64_t class = 0;
	size_t size;
	void *data;
	int status;

	if (bad || !pl_cli_operands(cli, 2, 2, "policy try: one FILE"))
		return PL_CLI_USAGE;
	if (class_text != NULL && !pl_cli_number(class_text, 255, &class)) {
		pl_cli_complain("--class %s: a number from 0 to 255 is expected", class_text);
		return PL_CLI_USAGE;
	}
	data = pl_cli_file(cli->argv[1], 1u << 20, &size);
	if (data == NULL)
		return PL_CLI_REFUSED;
	args = json_pack("{s:o}", "file", pl_ctl_text(cli->argv[1]));
	if (class_text != NULL)
		(void)json_object_set_new(args, "class", json_integer((json_int_t) class));
	status = pl_cli_ask(cli, "policy try", args, data, size, &r);
	free(data);
	if (status == PL_CLI_DONE && cli->json)
		pl_cli_json(r);
	else if (status == PL_CLI_DONE)
		print_try(r);
	json_decref(r);
	return status;
}

int pl_cli_policy(struct pl_cli *cli)
{
	const char *file;
	json_t *r;
	int status;

	if (cli->argc > 0 && strcmp(cli->argv[0], "try") == 0)
		return policy_try(cli);
	status = ask_plain(cli, "policy", &r);
	if (status == PL_CLI_DONE && !cli->json) {
		file = pl_cli_str(r, "file");
		printf("# file %s\n# hash %s\n# generation %" PRIu64 "\n%s",
		       *file != '\0' ? file : "(none: the built-in rules)", pl_cli_str(r, "hash"),
		       pl_cli_u64(r, "generation"), pl_cli_str(r, "text"));
	}
	json_decref(r);
	return status;
}

static void gateway_row(const json_t *g, uint64_t now_ms)
{
	static const char *const names[] = {"datagrams", "scans",   "pass",   "deny",
					    "unknown",   "retries", "errors", "busy"};
	uint64_t seen_ms = pl_cli_u64(g, "seen_ms");
	char text[32];

	printf("%10" PRIu64, pl_cli_u64(g, "id"));
	for (size_t i = 0; i < PL_ARRAY_CNT(names); i++)
		printf(" %13s", pl_cli_count_text(pl_cli_u64(g, names[i]), text));
	if (seen_ms == 0)
		printf("  never");
	else
		printf("  %s ago",
		       pl_cli_span_text(now_ms > seen_ms ? (now_ms - seen_ms) / 1000 : 0, text));
	if (pl_cli_u64(g, "limited_by") != 0)
		printf(", limited by %" PRIu64 " queue(s)", pl_cli_u64(g, "limited_by"));
	if (*pl_cli_str(g, "platform") != '\0')
		printf(", platform %s", pl_cli_str(g, "platform"));
	printf("\n");
}

static void gateways_head(void)
{
	printf("%10s %13s %13s %13s %13s %13s %13s %13s %13s  last seen\n", "gateway", "datagrams",
	       "scans", "pass", "deny", "unknown", "retries", "errors", "busy");
}

/* All of them, a page at a time. */
static int gateways_all(struct pl_cli *cli, uint64_t from, uint64_t limit, uint64_t now_ms)
{
	json_t *all = json_array(), *r, *next;
	uint64_t total = 0;
	int status;

	do {
		const json_t *page;

		status = pl_cli_ask(cli, "gateways",
				    json_pack("{s:I, s:I}", "from", (json_int_t)from, "limit",
					      (json_int_t)(limit < 1000 ? limit : 1000)),
				    NULL, 0, &r);
		if (status != PL_CLI_DONE)
			break;
		page = json_object_get(r, "gateways");
		next = json_object_get(r, "next");
		total = pl_cli_u64(r, "total");
		from = pl_cli_u64(r, "next");
		limit -= json_array_size(page) < limit ? json_array_size(page) : limit;
		(void)json_array_extend(all, json_object_get(r, "gateways"));
		if (!json_is_integer(next))
			limit = 0;
		json_decref(r);
	} while (limit > 0);
	if (status == PL_CLI_DONE && cli->json) {
		r = json_pack("{s:I, s:O}", "total", (json_int_t)total, "gateways", all);
		pl_cli_json(r);
		json_decref(r);
	} else if (status == PL_CLI_DONE) {
		const json_t *g;
		size_t i;

		gateways_head();
		json_array_foreach(all, i, g)
		{
			gateway_row(g, now_ms);
		}
		printf("%zu of %" PRIu64 "\n", json_array_size(all), total);
	}
	json_decref(all);
	return status;
}

int pl_cli_gateways(struct pl_cli *cli)
{
	bool bad = false;
	const char *from_text = pl_cli_option(cli, "--from", &bad);
	const char *limit_text = pl_cli_option(cli, "--limit", &bad);
	uint64_t from = 0, limit = UINT32_MAX, id = 0;
	const char *wrong = NULL;
	struct timespec now;
	uint64_t now_ms;
	json_t *r;
	int status;

	if (bad || !pl_cli_operands(cli, 0, 1, "one gateway's number, or none"))
		return PL_CLI_USAGE;
	if (from_text != NULL && !pl_cli_number(from_text, UINT32_MAX, &from))
		wrong = from_text;
	else if (limit_text != NULL &&
		 (!pl_cli_number(limit_text, UINT32_MAX, &limit) || limit == 0))
		wrong = limit_text;
	else if (cli->argc == 1 && !pl_cli_number(cli->argv[0], UINT32_MAX, &id))
		wrong = cli->argv[0];
	if (wrong != NULL) {
		pl_cli_complain("gateways: \"%s\": a whole number from %d to 4294967295 is "
				"expected. See passlinectl gateways --help",
				wrong, wrong == limit_text);
		return PL_CLI_USAGE;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (cli->argc == 0)
		return gateways_all(cli, from, limit, now_ms);
	status = pl_cli_ask(cli, "gateways", json_pack("{s:I}", "id", (json_int_t)id), NULL, 0, &r);
	if (status == PL_CLI_DONE && cli->json) {
		pl_cli_json(json_array_get(json_object_get(r, "gateways"), 0));
	} else if (status == PL_CLI_DONE) {
		gateways_head();
		gateway_row(json_array_get(json_object_get(r, "gateways"), 0), now_ms);
	}
	json_decref(r);
	return status;
}

int pl_cli_keys(struct pl_cli *cli)
{
	const json_t *g, *e;
	json_t *r;
	size_t i;
	int status = ask_plain(cli, "keys", &r);

	if (status != PL_CLI_DONE || cli->json)
		goto out;
	printf("authority's stream  %s\ntoken key epochs   ", pl_cli_str(r, "authority_stream"));
	json_array_foreach(json_object_get(r, "token_epochs"), i, e)
		printf(" %" JSON_INTEGER_FORMAT, json_integer_value(e));
	printf("\n%10s epoch\n", "gateway");
	json_array_foreach(json_object_get(r, "gateways"), i, g)
		printf("%10" PRIu64 " %5" PRIu64 "\n", pl_cli_u64(g, "id"), pl_cli_u64(g, "epoch"));
out:
	json_decref(r);
	return status;
}

static void counter_rows(const json_t *list, const char *title, bool zeros)
{
	const json_t *c;
	char text[32];
	size_t i;

	printf("%s\n", title);
	json_array_foreach(list, i, c)
	{
		if (zeros || pl_cli_u64(c, "value") != 0)
			printf("  %-20s %20s  %s\n", pl_cli_str(c, "name"),
			       pl_cli_count_text(pl_cli_u64(c, "value"), text),
			       pl_cli_str(c, "text"));
	}
}

int pl_cli_counters(struct pl_cli *cli)
{
	bool zeros = pl_cli_flag(cli, "--all");
	json_t *r;
	int status = ask_plain(cli, "counters", &r);

	if (status == PL_CLI_DONE && !cli->json) {
		counter_rows(json_object_get(r, "counters"), "packets and scans", true);
		counter_rows(json_object_get(r, "verdicts"), "verdicts", zeros);
		counter_rows(json_object_get(r, "drops"), "dropped, by reason", zeros);
	}
	json_decref(r);
	return status;
}

int pl_cli_journal(struct pl_cli *cli)
{
	bool bad = false;
	const char *last_text = pl_cli_option(cli, "--last", &bad);
	const json_t *l;
	uint64_t last = 20;
	json_t *r;
	size_t i;
	int status;

	if (bad || !pl_cli_operands(cli, 0, 0, "journal takes nothing but --last N"))
		return PL_CLI_USAGE;
	if (last_text != NULL && (!pl_cli_number(last_text, 1000, &last) || last == 0)) {
		pl_cli_complain("--last %s: a whole number from 1 to 1000 is expected", last_text);
		return PL_CLI_USAGE;
	}
	status = pl_cli_ask(cli, "journal", json_pack("{s:I}", "last", (json_int_t)last), NULL, 0,
			    &r);
	if (status == PL_CLI_DONE && cli->json) {
		pl_cli_json(r);
	} else if (status == PL_CLI_DONE) {
		json_array_foreach(json_object_get(r, "lines"), i, l)
		{
			printf("%s  %-8s %-8s %s: %s\n", pl_cli_str(l, "time"),
			       pl_cli_str(l, "what"), pl_cli_str(l, "result"), pl_cli_str(l, "who"),
			       pl_cli_str(l, "text"));
		}
		if (pl_cli_u64(r, "lost") != 0)
			printf("%" PRIu64 " line(s) were lost: the disk did not take them\n",
			       pl_cli_u64(r, "lost"));
	}
	json_decref(r);
	return status;
}
