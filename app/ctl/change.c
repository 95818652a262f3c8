/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that change something. */
#include "ctl.h"

int pl_cli_reload(struct pl_cli *cli)
{
	json_t *r;
	int status;

	if (!pl_cli_operands(cli, 0, 0, "reload takes nothing"))
		return PL_CLI_USAGE;
	status = pl_cli_ask(cli, "reload", NULL, NULL, 0, &r);
	if (status == PL_CLI_DONE && cli->json)
		pl_cli_json(r);
	else if (status == PL_CLI_DONE)
		printf("%s\n", pl_cli_str(r, "text"));
	json_decref(r);
	return status;
}

int pl_cli_drain(struct pl_cli *cli)
{
	bool stop = pl_cli_flag(cli, "--stop");
	json_t *r;
	int status;

	if (!pl_cli_operands(cli, 0, 0, "drain takes nothing but --stop"))
		return PL_CLI_USAGE;
	status = pl_cli_ask(cli, "drain", json_pack("{s:b}", "stop", stop), NULL, 0, &r);
	if (status == PL_CLI_DONE && cli->json)
		pl_cli_json(r);
	else if (status == PL_CLI_DONE)
		printf("%s\n", stop ? "draining, then it stops"
				    : "draining: replies send gateways elsewhere. \"passlinectl "
				      "undrain\" takes it back");
	json_decref(r);
	return status;
}

int pl_cli_undrain(struct pl_cli *cli)
{
	json_t *r;
	int status;

	if (!pl_cli_operands(cli, 0, 0, "undrain takes nothing"))
		return PL_CLI_USAGE;
	status = pl_cli_ask(cli, "undrain", NULL, NULL, 0, &r);
	if (status == PL_CLI_DONE && cli->json)
		pl_cli_json(r);
	else if (status == PL_CLI_DONE)
		printf("draining no more\n");
	json_decref(r);
	return status;
}
