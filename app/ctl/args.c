/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"

static void cut(struct pl_cli *cli, int at, int cnt)
{
	memmove(cli->argv + at, cli->argv + at + cnt,
		(size_t)(cli->argc - at - cnt) * sizeof(cli->argv[0]));
	cli->argc -= cnt;
}

const char *pl_cli_option(struct pl_cli *cli, const char *name, bool *bad)
{
	size_t size = strlen(name);

	for (int i = 0; i < cli->argc && strcmp(cli->argv[i], "--") != 0; i++) {
		const char *value;

		if (strncmp(cli->argv[i], name, size) != 0)
			continue;
		if (cli->argv[i][size] == '=') {
			value = cli->argv[i] + size + 1;
			cut(cli, i, 1);
			return value;
		}
		if (cli->argv[i][size] != '\0')
			continue;
		if (i + 1 == cli->argc) {
			pl_cli_complain("%s lacks its value", name);
			*bad = true;
			return NULL;
		}
		value = cli->argv[i + 1];
		cut(cli, i, 2);
		return value;
	}
	return NULL;
}

bool pl_cli_flag(struct pl_cli *cli, const char *name)
{
	for (int i = 0; i < cli->argc && strcmp(cli->argv[i], "--") != 0; i++)
		if (strcmp(cli->argv[i], name) == 0) {
			cut(cli, i, 1);
			return true;
		}
	return false;
}

bool pl_cli_operands(struct pl_cli *cli, int min, int max, const char *what)
{
	for (int i = 0; i < cli->argc; i++) {
		if (strcmp(cli->argv[i], "--") == 0) {
			cut(cli, i, 1);
			break;
		}
		if (cli->argv[i][0] == '-' && cli->argv[i][1] != '\0') {
			pl_cli_complain("option %s is not known here. See --help", cli->argv[i]);
			return false;
		}
	}
	if (cli->argc >= min && cli->argc <= max)
		return true;
	if (cli->argc > max)
		pl_cli_complain("\"%s\" is one too many: %s. See --help", cli->argv[max], what);
	else
		pl_cli_complain("%s is missing. See --help", what);
	return false;
}

bool pl_cli_number(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (*text == '\0' || strlen(text) > 19)
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		v = v * 10 + (uint64_t)(*text - '0');
	*out = v;
	return *text == '\0' && v <= max;
}
