/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"

static const char head[] =
	"passlinectl(8)\n"
	"\n"
	"NAME\n"
	"    passlinectl - ask a running appliance, and change it\n"
	"\n"
	"SYNOPSIS\n"
	"    passlinectl [OPTION]... COMMAND [ARGUMENT]...\n"
	"    passlinectl COMMAND --help\n"
	"    passlinectl --help | --version\n"
	"\n"
	"DESCRIPTION\n"
	"    Speaks to passline(8) over its control socket ([control] in its configuration), "
	"which\n"
	"    belongs to the user and group named there. At night: passlinectl status.\n"
	"\n"
	"COMMANDS\n";

static const char options[] =
	"OPTIONS\n"
	"    --socket PATH     The appliance's control socket. Default: $PASSLINE_SOCKET, or\n"
	"                      " PL_CLI_SOCKET ".\n"
	"    --json            Print the answer as JSON; a failure too, as {\"ok\": false, ...}.\n"
	"    --timeout SECONDS How long to wait for the appliance at each step. Default: 60.\n"
	"    -h, --help        This text, or a command's.\n"
	"    -V, --version     Version of this program.\n"
	"\n"
	"EXIT STATUS\n"
	"    0  done\n"
	"    1  refused or failed; stderr has the reason\n"
	"    2  no appliance answers\n"
	"    3  wrong usage\n"
	"\n";

static const char tail[] =
	"FILES\n"
	"    STATE_DIR/control.sock   The control socket, unless the configuration says "
	"otherwise.\n"
	"    STATE_DIR/journal.jsonl  What was changed, by whom, and what was refused.\n"
	"\n"
	"SEE ALSO\n"
	"    passline --help; docs/operations.md\n";

void pl_cli_help(void)
{
	fputs(head, stdout);
	for (size_t i = 0; i < pl_cli_command_cnt; i++)
		printf("    %-17s %s\n", pl_cli_commands[i].name, pl_cli_commands[i].summary);
	printf("\n%s%s", options, tail);
}

void pl_cli_command_help(const struct pl_cli_command *c)
{
	printf("passlinectl-%s(8)\n\nNAME\n    passlinectl %s - %s\n\nSYNOPSIS\n    passlinectl "
	       "[OPTION]... %s%s%s\n\nDESCRIPTION\n%s\n%s%s",
	       c->name, c->name, c->summary, c->name, *c->synopsis != '\0' ? " " : "", c->synopsis,
	       c->description, options, "SEE ALSO\n    passlinectl --help; docs/operations.md\n");
}
