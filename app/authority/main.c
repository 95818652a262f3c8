/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * passline-authority: keys, registry, feed and wallets.
 */
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "authority.h"

static const struct command *const commands[] = {
	&command_keygen,  &command_population, &command_issue,   &command_revoke, &command_suspend,
	&command_restore, &command_replace,    &command_publish, &command_push,   &command_snapshot,
	&command_prune,   &command_gateway,    &command_token,   &command_waiver, &command_wallet,
	&command_list,    &command_show,       &command_export,  &command_status,
};

const struct command *current;
const char *dir_path;
bool json;

static void print_common(void)
{
	puts("COMMON OPTIONS\n"
	     "  -d, --dir DIR   the authority's directory; else $" DIR_VARIABLE ",\n"
	     "                  else " DIR_DEFAULT "\n"
	     "      --json      print the result as JSON\n"
	     "  -h, --help      this text\n"
	     "\n"
	     "EXIT STATUS\n"
	     "  0  done\n"
	     "  1  failed; nothing was changed unless the message says so\n"
	     "  2  done, but for bad lines that were put aside (issue --skip-bad)\n"
	     "  3  wrong usage");
}

static void print_help(void)
{
	puts("NAME\n"
	     "  passline-authority - keys, registry, feed and wallets of vaccination passes\n"
	     "\n"
	     "SYNOPSIS\n"
	     "  passline-authority [--dir DIR] COMMAND [ARGUMENTS]\n"
	     "  passline-authority COMMAND --help\n"
	     "\n"
	     "COMMANDS");
	for (uint32_t i = 0; i < PL_ARRAY_CNT(commands); i++)
		printf("  %-11s %s\n", commands[i]->name, commands[i]->summary);
	puts("");
	print_common();
	puts("\n"
	     "FILES in DIR\n"
	     "  " SECRET_NAME "  signs the feed; keep a copy apart from this machine\n"
	     "  " PUBLIC_NAME "  for appliances\n"
	     "  " TOKEN_NAME "/EPOCH.key           token master keys; for appliances\n"
	     "  " GATEWAY_NAME
	     "/ID-EPOCH.key      gateways' root keys; for appliances, each for its gateway\n"
	     "  registry.db           every certificate (SQLite; ask its view `certificate`)\n"
	     "  feed/                 signed segments; for appliances\n"
	     "\n"
	     "Certificate ids are 0x and 16 hex digits; decimal is taken too.");
}

static void print_command_help(void)
{
	printf("NAME\n  passline-authority %s - %s\n\nSYNOPSIS\n  passline-authority %s %s\n\n%s\n",
	       current->name, current->summary, current->name, current->synopsis, current->help);
	print_common();
}

void complain(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "passline-authority%s%s: ", current != NULL ? " " : "",
		current != NULL ? current->name : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

int usage(const char *format, ...)
{
	char text[ERROR_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	complain("%s", text);
	fprintf(stderr, "Try: passline-authority %s%s--help\n",
		current != NULL ? current->name : "", current != NULL ? " " : "");
	return EXIT_USAGE;
}

int next_option(int argc, char **argv, const struct option *options)
{
	for (;;) {
		int c = getopt_long(argc, argv, COMMON_SHORT, options, NULL);

		switch (c) {
		case OPTION_DIR:
			dir_path = optarg;
			continue;
		case OPTION_JSON:
			json = true;
			continue;
		case OPTION_HELP:
			print_command_help();
			exit(EXIT_DONE);
		case '?':
			fprintf(stderr, "Try: passline-authority %s --help\n", current->name);
			exit(EXIT_USAGE);
		default:
			return c;
		}
	}
}

bool number_arg(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *value >= min &&
	    *value <= max)
		return true;
	usage("--%s: expected a number, %" PRIu64 " to %" PRIu64 ", got \"%s\"", option, min, max,
	      text);
	return false;
}

bool id_arg(const char *text, uint64_t *id)
{
	if (pl_cert_id_parse(text, strlen(text), id))
		return true;
	usage("expected a certificate's id, 0x and up to 16 hex digits, or decimal, got \"%s\"",
	      text);
	return false;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"version", no_argument, NULL, 'V'},
		COMMON_OPTIONS,
	};
	int c;

	/* Keys, registry and spool are made 0600 by whoever makes them; the feed is for others. */
	umask(022);
	if (sodium_init() < 0) {
		complain("libsodium cannot start");
		return EXIT_FAILED;
	}
	dir_path = getenv(DIR_VARIABLE);
	if (dir_path == NULL || dir_path[0] == '\0')
		dir_path = DIR_DEFAULT;
	/* "+": stop at the command, whose options are its own. */
	while ((c = getopt_long(argc, argv, "+" COMMON_SHORT, options, NULL)) != -1) {
		switch (c) {
		case OPTION_DIR:
			dir_path = optarg;
			break;
		case OPTION_JSON:
			json = true;
			break;
		case OPTION_HELP:
			print_help();
			return EXIT_DONE;
		case 'V':
			puts("passline-authority " PL_VERSION);
			return EXIT_DONE;
		default:
			return usage("wrong option");
		}
	}
	if (optind == argc)
		return usage("expected a command");
	for (uint32_t i = 0; i < PL_ARRAY_CNT(commands); i++) {
		if (strcmp(argv[optind], commands[i]->name) != 0)
			continue;
		current = commands[i];
		argc -= optind;
		argv += optind;
		optind = 0; /* glibc: begin anew */
		c = current->run(argc, argv);
		if (fflush(stdout) != 0 || ferror(stdout)) {
			complain("standard output: %s", strerror(errno));
			return c == EXIT_DONE ? EXIT_FAILED : c;
		}
		return c;
	}
	return usage("there is no command \"%s\"", argv[optind]);
}
