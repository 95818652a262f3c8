/* SPDX-License-Identifier: BSD-3-Clause */
#include <unistd.h>

#include "ctl.h"

#define TIMEOUT_S_DEFAULT 60u
#define TIMEOUT_S_MAX     86400u

const struct pl_cli_command pl_cli_commands[] = {
	{
		.name = "status",
		.run = pl_cli_status,
		.summary = "is anything wrong, and what is there to do",
		.synopsis = "",
		.description = "    State, feed, table, clock, traffic and ports on a screen. "
			       "Every reason for which a\n"
			       "    verdict may be UNKNOWN is told with what it does at the doors "
			       "and what to do.\n"
			       "    The exit status says that the appliance answered, not that all "
			       "is well: for that,\n"
			       "    ask with --json, where \"flags\" is empty.\n",
		.options = "",
	},
	{
		.name = "feed",
		.run = pl_cli_feed,
		.summary = "how far the feed is; push: bring it segments",
		.synopsis = "[push FILE...]",
		.description = "    Position, as-of time and age, what came by which way, the last "
			       "refusal.\n"
			       "    push: segments from files, in the order given, as "
			       "passline-authority writes them.\n"
			       "    Each is checked, stored durably, and then applied. One that is "
			       "there already, or that\n"
			       "    a snapshot stands for, is no error; the first that is "
			       "refused ends it.\n",
		.options = "push",
	},
	{
		.name = "policy",
		.run = pl_cli_policy,
		.summary = "the rules in force; try: what others would change",
		.synopsis = "[try FILE [--class N]]",
		.description = "    The rules as the text of a policy file that means the same, "
			       "with the file they came\n"
			       "    from, their BLAKE2b-256 hash, and how many rules were in force "
			       "since the start.\n"
			       "    try: how many certificates of the table, by class of venue, "
			       "would get another verdict by\n"
			       "    the rules of FILE, and how many of the last hour's scans, "
			       "estimated from a sample. Nothing\n"
			       "    is changed.\n",
		.options = "try --class=",
	},
	{
		.name = "gateways",
		.run = pl_cli_gateways,
		.summary = "live counts by gateway",
		.synopsis = "[--from N] [--limit N] [GATEWAY]",
		.description =
			"    One gateway by its number, or all; --from and --limit (from 0, "
			"in the order of\n"
			"    their arrival) show a part. All counts are since the start: scans "
			"by group of\n"
			"    verdict, retries as gateways tell of them, errors (datagrams "
			"answered with one\n"
			"    error), busy (of these, the ones told to come back). \"limited by\" "
			"says that this\n"
			"    many queues limit it now, as it asks for more than its share; "
			"gateways of one\n"
			"    [platform] have one together.\n",
		.options = "--from= --limit=",
	},
	{
		.name = "keys",
		.run = pl_cli_keys,
		.summary = "which keys are held: ids and epochs",
		.synopsis = "",
		.description = "    Never a byte of a key.\n",
		.options = "",
	},
	{
		.name = "counters",
		.run = pl_cli_counters,
		.summary = "all counters, with what they count",
		.synopsis = "[--all]",
		.description = "    Verdicts and drops that never happened are left out, unless "
			       "--all is given.\n",
		.options = "--all",
	},
	{
		.name = "drain",
		.run = pl_cli_drain,
		.summary = "send gateways elsewhere",
		.synopsis = "[--stop]",
		.description = "    Every reply says \"draining\", so that gateways turn to "
			       "another appliance; requests\n"
			       "    are answered as before. With --stop it stops after `drain` of "
			       "[worker], as after\n"
			       "    SIGTERM.\n",
		.options = "--stop",
	},
	{
		.name = "undrain",
		.run = pl_cli_undrain,
		.summary = "take gateways back",
		.synopsis = "",
		.description = "    Ends what drain began; after drain --stop it is too late.\n",
		.options = "",
	},
	{
		.name = "reload",
		.run = pl_cli_reload,
		.summary = "read configuration, keys and rules again",
		.synopsis = "",
		.description =
			"    As SIGHUP does. All of it takes effect at once, or nothing, and the "
			"reasons are told:\n"
			"    all of them, among them every key whose change needs a restart.\n",
		.options = "",
	},
	{
		.name = "waiver",
		.run = pl_cli_waiver,
		.summary = "the enforcement waiver in force; apply FILE, drop",
		.synopsis = "[list | apply FILE | drop]",
		.description = "    A waiver changes no verdict: every reply says until when "
			       "venues need not "
			       "act on them.\n"
			       "    apply: takes one that the authority signed (passline-authority "
			       "waiver); it "
			       "begins and\n"
			       "    ends by itself, and outlives a restart. Only a newer one takes "
			       "its place.\n"
			       "    drop: takes it away on this appliance, for good: it is not "
			       "taken again.\n",
		.options = "list apply drop",
	},
	{
		.name = "journal",
		.run = pl_cli_journal,
		.summary = "what was changed, by whom, and what was refused",
		.synopsis = "[--last N]",
		.description = "    The newest N lines, 20 unless told otherwise; at most 1000.\n",
		.options = "--last=",
	},
};
const size_t pl_cli_command_cnt = PL_ARRAY_CNT(pl_cli_commands);

static const struct pl_cli_command *command_find(const char *name)
{
	for (size_t i = 0; i < pl_cli_command_cnt; i++)
		if (strcmp(pl_cli_commands[i].name, name) == 0)
			return &pl_cli_commands[i];
	return NULL;
}

/* For the completion: the commands, or one's options. */
static int words(const char *name)
{
	const struct pl_cli_command *c;

	if (name == NULL) {
		for (size_t i = 0; i < pl_cli_command_cnt; i++)
			printf("%s\n", pl_cli_commands[i].name);
		return PL_CLI_DONE;
	}
	c = command_find(name);
	if (c == NULL)
		return PL_CLI_REFUSED;
	printf("%s\n", c->options);
	return PL_CLI_DONE;
}

/* The common options, wherever they stand. @return false: told already. */
static bool common_options(struct pl_cli *cli)
{
	bool bad = false;
	const char *path = pl_cli_option(cli, "--socket", &bad);
	const char *timeout = pl_cli_option(cli, "--timeout", &bad);
	const char *env = getenv("PASSLINE_SOCKET");
	uint64_t timeout_s = TIMEOUT_S_DEFAULT;

	cli->json = pl_cli_flag(cli, "--json");
	cli->socket_path = path != NULL ? path : env != NULL && *env != '\0' ? env : PL_CLI_SOCKET;
	if (timeout != NULL &&
	    (!pl_cli_number(timeout, TIMEOUT_S_MAX, &timeout_s) || timeout_s == 0)) {
		pl_cli_complain("--timeout %s: whole seconds from 1 to %u are expected", timeout,
				TIMEOUT_S_MAX);
		return false;
	}
	cli->timeout_ms = (int)(timeout_s * 1000);
	return !bad;
}

int main(int argc, char **argv)
{
	struct pl_cli cli = {.fd = -1, .argc = argc - 1, .argv = argv + 1};
	const struct pl_cli_command *c;
	int status;

	bool help = pl_cli_flag(&cli, "--help") || pl_cli_flag(&cli, "-h");

	if (pl_cli_flag(&cli, "--version") || pl_cli_flag(&cli, "-V")) {
		printf("passlinectl %s\n", PL_VERSION);
		return PL_CLI_DONE;
	}
	if (!common_options(&cli))
		return PL_CLI_USAGE;
	if (cli.argc > 0 && strcmp(cli.argv[0], "--words") == 0)
		return words(cli.argc > 1 ? cli.argv[1] : NULL);
	if (cli.argc == 0) {
		if (help) {
			pl_cli_help();
			return PL_CLI_DONE;
		}
		pl_cli_complain("no command is given. See passlinectl --help");
		return PL_CLI_USAGE;
	}
	c = command_find(cli.argv[0]);
	if (c == NULL) {
		pl_cli_complain("there is no command \"%s\". See passlinectl --help", cli.argv[0]);
		return PL_CLI_USAGE;
	}
	if (help) {
		pl_cli_command_help(c);
		return PL_CLI_DONE;
	}
	cli.argc--;
	cli.argv++;
	status = c->run(&cli);
	if (cli.fd >= 0)
		close(cli.fd);
	if (fflush(stdout) != 0) {
		pl_cli_complain("stdout cannot be written");
		return PL_CLI_REFUSED;
	}
	return status;
}
