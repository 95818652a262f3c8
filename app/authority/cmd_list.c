/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * list, show, export, status: what the registry has.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "authority.h"

static void print_cert(const struct pl_cert *c)
{
	char line[PL_CERT_CSV_OUT_SIZE];

	(void)pl_cert_csv_format(c, line);
	fputs(line, stdout);
}

static int list_one(void *ctx, const struct pl_cert *c)
{
	uint64_t *cnt = ctx;

	if (json) {
		fputs(*cnt > 0 ? ",\n " : "", stdout);
		json_cert(c, 0);
	} else {
		print_cert(c);
	}
	++*cnt;
	return ferror(stdout) ? -EIO : 0;
}

static int run_list(int argc, char **argv)
{
	static const struct option options[] = {
		{"kind", required_argument, NULL, 'k'},  {"revoked", no_argument, NULL, 'r'},
		{"suspended", no_argument, NULL, 's'},   {"after", required_argument, NULL, 'a'},
		{"limit", required_argument, NULL, 'l'}, COMMON_OPTIONS,
	};
	struct pl_registry_filter filter = {.revoked = -1, .suspended = -1, .cert_max = 20};
	struct authority a;
	char error[ERROR_SIZE] = "standard output failed";
	uint64_t cnt = 0;
	int c, rc;

	while ((c = next_option(argc, argv, options)) != -1) {
		switch (c) {
		case 'k':
			filter.kind = pl_cert_kind_by_name(optarg);
			if (filter.kind == PL_CERT_NONE)
				return usage("--kind: there is no kind \"%s\"", optarg);
			break;
		case 'r':
			filter.revoked = 1;
			break;
		case 's':
			filter.suspended = 1;
			break;
		case 'a':
			if (!id_arg(optarg, &filter.id_after))
				return EXIT_USAGE;
			break;
		default:
			if (!number_arg("limit", optarg, 0, UINT64_MAX, &filter.cert_max))
				return EXIT_USAGE;
		}
	}
	if (optind != argc)
		return usage("takes no arguments");
	if (!authority_open(&a, false))
		return EXIT_FAILED;
	puts(json ? "[" : PL_CERT_CSV_HEADER);
	rc = pl_registry_each(a.registry, &filter, list_one, &cnt, error, sizeof(error));
	if (json)
		puts("]");
	if (rc != 0)
		complain("%s", error);
	authority_close(&a);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int run_show(int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS};
	struct authority a;
	struct pl_cert c;
	char error[ERROR_SIZE];
	uint64_t id, sequence;
	int rc;

	while (next_option(argc, argv, options) != -1)
		continue;
	if (optind + 1 != argc)
		return usage("expected one id");
	if (!id_arg(argv[optind], &id))
		return EXIT_USAGE;
	if (!authority_open(&a, false))
		return EXIT_FAILED;
	rc = pl_registry_get(a.registry, id, &c, &sequence, error, sizeof(error));
	authority_close(&a);
	if (rc != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	if (json) {
		json_cert(&c, sequence);
		putchar('\n');
	} else {
		puts(PL_CERT_CSV_HEADER);
		print_cert(&c);
	}
	return EXIT_DONE;
}

static int export_one(void *ctx, const struct pl_cert *c)
{
	char line[PL_CERT_CSV_OUT_SIZE];

	return fwrite_unlocked(line, pl_cert_csv_format(c, line), 1, ctx) == 1 ? 0 : -EIO;
}

static int run_export(int argc, char **argv)
{
	static const struct option options[] = {
		{"csv", required_argument, NULL, 'c'},
		COMMON_OPTIONS,
	};
	const struct pl_registry_filter all = {.revoked = -1, .suspended = -1};
	const char *path = "-";
	struct authority a;
	char error[ERROR_SIZE] = "";
	FILE *f;
	int fd, rc;

	while (next_option(argc, argv, options) != -1)
		path = optarg;
	if (optind != argc)
		return usage("takes no arguments");
	if (!authority_open(&a, false))
		return EXIT_FAILED;
	if (strcmp(path, "-") == 0) {
		f = stdout;
	} else { /* as closed as the registry */
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		f = fd < 0 ? NULL : fdopen(fd, "w");
	}
	rc = f == NULL || fputs(PL_CERT_CSV_HEADER "\n", f) == EOF ? -errno : 0;
	if (rc == 0)
		rc = pl_registry_each(a.registry, &all, export_one, f, error, sizeof(error));
	if (f != NULL && (f == stdout ? fflush(f) : fclose(f)) != 0 && rc == 0)
		rc = -errno;
	if (rc != 0)
		complain("%s: %s", path, error[0] != '\0' ? error : strerror(-rc));
	authority_close(&a);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int run_status(int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS};
	const struct pl_feed_pos *pos;
	struct authority a;
	uint8_t issuing, mask;
	char as_of[32];
	bool ok;

	while (next_option(argc, argv, options) != -1)
		continue;
	if (optind != argc)
		return usage("takes no arguments");
	if (!authority_open(&a, false))
		return EXIT_FAILED;
	pos = pl_registry_pos(a.registry);
	ok = authority_epochs(&a, &issuing, &mask);
	if (ok && json)
		printf("{\"stream\": \"%016" PRIx64 "\", \"sequence\": %" PRIu64
		       ", \"as_of\": %" PRIu64 ", \"key_epoch\": %u}\n",
		       pos->stream_id, pos->sequence, pos->as_of, issuing);
	else if (ok)
		printf("stream %016" PRIx64 ", segment %" PRIu64
		       ", complete up to %s, token key epoch %u\n",
		       pos->stream_id, pos->sequence,
		       pos->as_of != 0 ? time_words(pos->as_of, as_of) : "nothing yet", issuing);
	authority_close(&a);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_list = {
	.name = "list",
	.synopsis = "[--kind KIND] [--revoked] [--suspended] [--after ID] [--limit N]",
	.summary = "list certificates",
	.help = "DESCRIPTION\n"
		"  Lists certificates in the order of their ids, as CSV lines.\n"
		"\n"
		"OPTIONS\n"
		"      --kind KIND  primary booster recovered pcr-negative medical-exempt "
		"under-age\n"
		"      --revoked    only revoked ones\n"
		"      --suspended  only suspended ones\n"
		"      --after ID   begin behind this one\n"
		"      --limit N    at most N; 20 unless given, 0: all\n",
	.run = run_list,
};

const struct command command_show = {
	.name = "show",
	.synopsis = "ID",
	.summary = "show one certificate",
	.help = "DESCRIPTION\n"
		"  Prints the facts of one certificate, as CSV. With --json also the sequence of "
		"the\n"
		"  segment that they were published in.\n",
	.run = run_show,
};

const struct command command_export = {
	.name = "export",
	.synopsis = "[--csv FILE]",
	.summary = "write all certificates as CSV",
	.help = "DESCRIPTION\n"
		"  Writes every certificate in the form that issue takes.\n"
		"\n"
		"OPTIONS\n"
		"      --csv FILE  where to (mode 0600 if it is new); standard output unless "
		"given\n",
	.run = run_export,
};

const struct command command_status = {
	.name = "status",
	.synopsis = "",
	.summary = "show where the feed is",
	.help = "DESCRIPTION\n"
		"  Prints the stream, the feed's last segment and as-of time (unix seconds), and "
		"the\n"
		"  token key epoch that new certificates get.\n",
	.run = run_status,
};
