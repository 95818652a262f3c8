/* SPDX-License-Identifier: BSD-3-Clause */
/* waiver: enforcement waivers. */
#include <inttypes.h>

#include "ctl.h"
#include "waiver/pl_waiver.h"

/* state: instead of its own; NULL: that. */
static void print_waiver(const json_t *w, const char *state)
{
	char from[32], until[32];

	if (state == NULL)
		state = pl_cli_u64(w, "until") != 0 ? pl_cli_str(w, "state") : "ends those before";
	printf("waiver %" PRIu64 ": %s", pl_cli_u64(w, "serial"), state);
	if (pl_cli_u64(w, "until") != 0)
		printf(", from %s until %s", pl_cli_time_text(pl_cli_u64(w, "from"), from),
		       pl_cli_time_text(pl_cli_u64(w, "until"), until));
	printf("\n  %s\n", pl_cli_str(w, "reason"));
}

static int apply(struct pl_cli *cli, const char *path)
{
	size_t size;
	void *data = pl_cli_file(path, PL_WAIVER_SIZE, &size);
	json_t *r;
	int status;

	if (data == NULL)
		return PL_CLI_REFUSED;
	status = pl_cli_ask(cli, "waiver apply", NULL, data, size, &r);
	free(data);
	if (status == PL_CLI_DONE && cli->json)
		pl_cli_json(r);
	else if (status == PL_CLI_DONE)
		print_waiver(r, NULL);
	json_decref(r);
	return status;
}

static int drop(struct pl_cli *cli)
{
	json_t *r;
	int status = pl_cli_ask(cli, "waiver drop", NULL, NULL, 0, &r);

	if (status == PL_CLI_DONE && cli->json)
		pl_cli_json(r);
	else if (status == PL_CLI_DONE)
		printf("dropped\n");
	json_decref(r);
	return status;
}

static int list(struct pl_cli *cli)
{
	const json_t *w, *dropped;
	json_t *r;
	int status = pl_cli_ask(cli, "waiver", NULL, NULL, 0, &r);

	if (status == PL_CLI_DONE && cli->json) {
		pl_cli_json(r);
	} else if (status == PL_CLI_DONE) {
		w = json_object_get(r, "waiver");
		dropped = json_object_get(r, "dropped");
		if (json_is_null(w))
			printf("no waiver\n");
		else
			print_waiver(w, NULL);
		if (!json_is_null(dropped))
			print_waiver(dropped, "dropped here");
	}
	json_decref(r);
	return status;
}

int pl_cli_waiver(struct pl_cli *cli)
{
	const char *verb = cli->argc > 0 ? cli->argv[0] : "list";

	if (strcmp(verb, "apply") == 0)
		return pl_cli_operands(cli, 2, 2, "waiver apply: one FILE")
			       ? apply(cli, cli->argv[1])
			       : PL_CLI_USAGE;
	if (!pl_cli_operands(cli, 0, 1, "waiver takes list, apply FILE or drop"))
		return PL_CLI_USAGE;
	if (strcmp(verb, "list") == 0)
		return list(cli);
	if (strcmp(verb, "drop") == 0)
		return drop(cli);
	pl_cli_complain("waiver %s: list, apply FILE or drop is expected", verb);
	return PL_CLI_USAGE;
}
