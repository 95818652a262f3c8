/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>

#include "args.h"
#include "token/pl_token.h"

static const char help_text[] =
	"passline(8)\n"
	"\n"
	"NAME\n"
	"    passline - answer whether vaccination passes hold, over UDP, from a table in memory\n"
	"\n"
	"SYNOPSIS\n"
	"    passline [EAL OPTION]... -- [OPTION]... CONFIG\n"
	"    passline --check CONFIG\n"
	"    passline --help | --version\n"
	"\n"
	"DESCRIPTION\n"
	"    Serves the ports that CONFIG names, one worker lcore for each of their queues, with\n"
	"    control on the main lcore: N queues need N + 1 lcores. Answers at once; until the\n"
	"    segments of the feed store are loaded every verdict is UNKNOWN: loading. New\n"
	"    segments come in as [feed] says, and are taken as they come.\n"
	"\n"
	"OPTIONS\n"
	"    --check          Check CONFIG and all it names (keys, policy, directories, queues\n"
	"                     against lcores), say everything that is wrong, and exit.\n"
	"    --seal ENGINE    AES-256-GCM by auto, ipsec-mb or libsodium. Default: auto, the\n"
	"                     fastest that this CPU runs.\n"
	"    --token VARIANT  Check tokens by auto, avx512, avx2, scalar or libsodium.\n"
	"    --no-offload     Checksums in software, whatever the ports offer.\n"
	"    -h, --help       This text.\n"
	"    -V, --version    Version of passline and of the DPDK it was built with.\n"
	"\n"
	"EAL OPTIONS\n"
	"    The most needed; dpdk's documentation has all of them.\n"
	"    -l 0,1           lcores: the first is control, the others are workers.\n"
	"    --vdev net_af_packet0,iface=eth1\n"
	"    --vdev net_af_xdp0,iface=eth1\n"
	"    --vdev net_memif0,role=server,socket=/run/passline/memif.sock,socket-abstract=no\n"
	"    -a 0000:01:00.0  A network card that is bound to vfio-pci.\n"
	"    --no-huge -m 512 Without hugepages: slower, for trying it out.\n"
	"    --file-prefix X  To run beside another DPDK process.\n"
	"\n"
	"SIGNALS\n"
	"    TERM, INT        Say \"draining\" in replies for a while (`drain`), then stop. A\n"
	"                     second one stops at once.\n"
	"    HUP              Read CONFIG, keys and policy again, as passlinectl reload does. If\n"
	"                     anything is wrong, or needs a restart, all of it stays as it was.\n"
	"\n"
	"EXIT STATUS\n"
	"    0  stopped by a signal, or no fault found by --check\n"
	"    1  could not start, or --check found a fault\n"
	"    2  wrong usage\n"
	"\n"
	"FILES\n"
	"    STATE_DIR/nonce  Reply counters that are spent, across restarts. Never delete it "
	"while\n"
	"                     the gateways' keys stay the same.\n"
	"    STATE_DIR/control.sock  Where passlinectl asks, unless [control] says otherwise.\n"
	"    STATE_DIR/journal.jsonl What was changed, by whom, and what was refused.\n"
	"    STATE_DIR/feed   The feed store, unless [feed] says another: segments that were "
	"accepted.\n"
	"    STATE_DIR/lock   Held while an appliance uses the directory.\n"
	"\n"
	"SEE ALSO\n"
	"    passlinectl(8); dpdk-telemetry.py and /passline/...; docs/operations.md, "
	"docs/configuration.md\n";

void pl_args_help(void)
{
	fputs(help_text, stdout);
}

static int engine_by_name(const char *name, enum pl_seal_engine *out)
{
	if (strcmp(name, "auto") == 0) {
		*out = PL_SEAL_AUTO;
		return 0;
	}
#define E(id, text)                    \
	if (strcmp(name, text) == 0) { \
		*out = PL_SEAL_##id;   \
		return 0;              \
	}
	PL_SEAL_ENGINES(E)
#undef E
	return -EINVAL;
}

static int variant_by_name(const char *name, int *out)
{
	*out = -1;
	if (strcmp(name, "auto") == 0)
		return 0;
	for (int i = 0; i < PL_TOKEN_VARIANT_CNT; i++)
		if (strcmp(name, pl_token_variant_name((enum pl_token_variant)i)) == 0) {
			*out = i;
			return 0;
		}
	return -EINVAL;
}

/* Where our own arguments begin: after "--", or at once if there is none. */
static int own_start(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return 0;
}

static int parse_own(int argc, char **argv, struct pl_args *out, char *error, size_t error_size)
{
	static const struct option longs[] = {
		{"check", no_argument, NULL, 'c'},
		{"seal", required_argument, NULL, 's'},
		{"token", required_argument, NULL, 't'},
		{"no-offload", no_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int opt;

	opterr = 0;
	optind = 0; /* also forgets what was parsed before */
	while ((opt = getopt_long(argc, argv, ":hV", longs, NULL)) != -1) {
		switch (opt) {
		case 'c':
			out->what = PL_ARGS_CHECK;
			break;
		case 's':
			if (engine_by_name(optarg, &out->seal_engine) == 0)
				break;
			snprintf(error, error_size,
				 "--seal %s: auto, ipsec-mb or libsodium is expected", optarg);
			return -EINVAL;
		case 't':
			if (variant_by_name(optarg, &out->token_variant) == 0)
				break;
			snprintf(error, error_size,
				 "--token %s: auto, avx512, avx2, scalar or libsodium is expected",
				 optarg);
			return -EINVAL;
		case 'n':
			out->no_offload = true;
			break;
		case 'h':
			out->what = PL_ARGS_HELP;
			return 0;
		case 'V':
			out->what = PL_ARGS_VERSION;
			return 0;
		default:
			snprintf(error, error_size,
				 "option %s is not known or lacks its value; EAL options go before "
				 "\"--\". See passline --help",
				 argv[optind - 1]);
			return -EINVAL;
		}
	}
	if (optind != argc - 1) {
		snprintf(error, error_size,
			 optind == argc ? "no configuration file is given. See passline --help"
					: "one configuration file is expected, not %d",
			 argc - optind);
		return -EINVAL;
	}
	out->config_path = argv[optind];
	return 0;
}

int pl_args_parse(int argc, char **argv, struct pl_args *out, char *error, size_t error_size)
{
	int start = own_start(argc, argv);

	*out = (struct pl_args){.seal_engine = PL_SEAL_AUTO, .token_variant = -1};
	out->eal_argc = start == 0 ? 1 : start;
	out->eal_argv = argv;
	/* getopt's argv[0] is the program's name: here it stands on "--". */
	return parse_own(argc - start, argv + start, out, error, error_size);
}

bool pl_args_eal_has(const struct pl_args *args, const char *name)
{
	size_t name_size = strlen(name);

	for (int i = 1; i < args->eal_argc; i++)
		if (strncmp(args->eal_argv[i], name, name_size) == 0 &&
		    (args->eal_argv[i][name_size] == '\0' || args->eal_argv[i][name_size] == '='))
			return true;
	return false;
}

/* Lcores of a list such as "0-3,5" or "(0-1)@2,3@(4-5)": CPU parts do not count. */
static uint32_t list_cnt(const char *s)
{
	uint32_t cnt = 0;

	while (*s != '\0') {
		unsigned long from, to;
		char *end;

		if (*s == '@') { /* which CPUs: up to the end of the group */
			s++;
			if (*s == '(')
				s += strcspn(s, ")");
			else
				s += strcspn(s, ",");
			continue;
		}
		if (!isdigit((unsigned char)*s)) {
			s++;
			continue;
		}
		from = strtoul(s, &end, 10);
		to = from;
		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		if (to < from || to - from >= 1024)
			return 0;
		cnt += (uint32_t)(to - from + 1);
		s = end;
	}
	return cnt;
}

uint32_t pl_args_lcore_cnt(const struct pl_args *args)
{
	cpu_set_t set;

	for (int i = 1; i < args->eal_argc; i++) {
		const char *arg = args->eal_argv[i];
		const char *next = i + 1 < args->eal_argc ? args->eal_argv[i + 1] : "";

		if (strcmp(arg, "-l") == 0 || strcmp(arg, "--lcores") == 0)
			return list_cnt(next);
		if (strncmp(arg, "--lcores=", 9) == 0)
			return list_cnt(arg + 9);
		if (strncmp(arg, "-l", 2) == 0)
			return list_cnt(arg + 2);
		if (strcmp(arg, "-c") == 0)
			return (uint32_t)__builtin_popcountll(strtoull(next, NULL, 16));
	}
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 0;
	return (uint32_t)CPU_COUNT(&set);
}
