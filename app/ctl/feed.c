/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include "ctl.h"
#include "feed/pl_feed.h"

static void print_sources(const json_t *sources)
{
	const json_t *s, *n;
	const char *reason;
	char a[32], b[32];
	size_t i;

	json_array_foreach(sources, i, s)
	{
		printf("by %-7s %s segments, %s records taken, %" PRIu64 " held already",
		       pl_cli_str(s, "source"), pl_cli_count_text(pl_cli_u64(s, "stored"), a),
		       pl_cli_count_text(pl_cli_u64(s, "records"), b), pl_cli_u64(s, "held"));
		if (pl_cli_u64(s, "unstored") != 0)
			printf(", %" PRIu64 " not stored", pl_cli_u64(s, "unstored"));
		json_object_foreach(json_object_get(s, "refused"), reason, n) printf(
			", %" JSON_INTEGER_FORMAT " refused: %s", json_integer_value(n), reason);
		printf("\n");
	}
}

static void print_feed(const json_t *r)
{
	const json_t *refused = json_object_get(r, "refused"), *flag;
	const json_t *peers = json_object_get(r, "peers"); /* none: it does not listen */
	const char *intake_text = pl_cli_str(r, "intake_text");
	uint64_t as_of = pl_cli_u64(r, "as_of");
	char a[32], b[32], c[32];
	size_t i;

	printf("durable    segment %" PRIu64 " in %s\n", pl_cli_u64(r, "durable"),
	       pl_cli_str(r, "store"));
	printf("applied    segment %" PRIu64 "\n", pl_cli_u64(r, "applied"));
	if (as_of == 0)
		printf("as of      nothing yet\n");
	else
		printf("as of      %s\nage        %s, %s allowed\n", pl_cli_time_text(as_of, a),
		       pl_cli_span_text(pl_cli_u64(r, "lag_s"), b),
		       pl_cli_span_text(pl_cli_u64(r, "age_s_max"), c));
	printf("loaded     %s segments, %s records since the start\n",
	       pl_cli_count_text(pl_cli_u64(r, "segments"), a),
	       pl_cli_count_text(pl_cli_u64(r, "records"), b));
	printf("intake     %s%s%s\n", pl_cli_str(r, "intake"), *intake_text != '\0' ? ": " : "",
	       intake_text);
	if (refused != NULL)
		printf("refused    %s (%s)\n", pl_cli_str(refused, "text"),
		       pl_cli_str(refused, "reason"));
	print_sources(json_object_get(r, "sources"));
	if (peers != NULL)
		printf("peers      %s connected, %" PRIu64 " of them brought a segment\n",
		       pl_cli_count_text(pl_cli_u64(peers, "connected"), a),
		       pl_cli_u64(peers, "proven"));
	json_array_foreach(json_object_get(r, "flags"), i, flag)
		printf("reason     %s: %s\n", pl_cli_str(flag, "flag"), pl_cli_str(flag, "text"));
}

static int push_one(struct pl_cli *cli, const char *path, json_t *outcomes)
{
	size_t size;
	void *data = pl_cli_file(path, PL_FEED_SEGMENT_SIZE_MAX, &size);
	json_t *r;
	int status;

	if (data == NULL)
		return PL_CLI_REFUSED;
	status = pl_cli_ask(cli, "feed push", NULL, data, size, &r);
	free(data);
	if (status != PL_CLI_DONE) {
		pl_cli_complain("%s was not taken, and nothing behind it", path);
	} else if (cli->json) {
		(void)json_object_set_new(r, "file", pl_ctl_text(path));
		(void)json_array_append(outcomes, r);
	} else {
		printf("%s: %s\n", path, pl_cli_str(r, "text"));
	}
	json_decref(r);
	return status;
}

static int push(struct pl_cli *cli)
{
	json_t *outcomes = json_array();
	int status = PL_CLI_DONE;

	for (int i = 1; i < cli->argc && status == PL_CLI_DONE; i++)
		status = push_one(cli, cli->argv[i], outcomes);
	if (cli->json && status == PL_CLI_DONE)
		pl_cli_json(outcomes);
	json_decref(outcomes);
	return status;
}

int pl_cli_feed(struct pl_cli *cli)
{
	json_t *r;
	int status;

	if (cli->argc > 0 && strcmp(cli->argv[0], "push") == 0)
		return pl_cli_operands(cli, 2, 100000, "feed push: a segment's FILE")
			       ? push(cli)
			       : PL_CLI_USAGE;
	if (!pl_cli_operands(cli, 0, 0, "feed takes nothing, or push and files"))
		return PL_CLI_USAGE;
	status = pl_cli_ask(cli, "feed", NULL, NULL, 0, &r);
	if (status == PL_CLI_DONE && cli->json)
		pl_cli_json(r);
	else if (status == PL_CLI_DONE)
		print_feed(r);
	json_decref(r);
	return status;
}
