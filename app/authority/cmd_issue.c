/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * issue: a CSV file into registry and feed, all of it or none.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "authority.h"

#define COMPLAINTS_MAX 20u

struct issue {
	struct authority a;
	struct pl_cert_csv *csv;
	const char *csv_path;
	const char *bad_path; /* NULL: no line may be bad */
	FILE *bad;
	uint8_t epochs;
	uint64_t changed;
	uint64_t unchanged;
	uint64_t bad_cnt;
};

static bool write_line(FILE *f, const char *text, size_t size)
{
	return (size == 0 || fwrite(text, size, 1, f) == 1) && fputc('\n', f) != EOF;
}

/** The file for bad lines, with the header, so that it can be mended and issued. */
static bool open_bad(struct issue *i)
{
	size_t size;
	const char *header = pl_cert_csv_header_text(i->csv, &size);
	int fd = open(i->bad_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	i->bad = fd < 0 ? NULL : fdopen(fd, "w");
	if (i->bad == NULL || !write_line(i->bad, header, size)) {
		complain("%s: %s%s", i->bad_path, strerror(errno),
			 errno == EEXIST ? ": bad lines of an earlier run are not written over"
					 : "");
		return false;
	}
	return true;
}

/** On disk before the good lines are published; gone if there was no bad one. */
static bool close_bad(struct issue *i, bool keep)
{
	bool ok = fflush(i->bad) == 0 && fsync(fileno(i->bad)) == 0;

	if (!ok)
		complain("%s: %s", i->bad_path, strerror(errno));
	fclose(i->bad);
	i->bad = NULL;
	if (!keep || !ok)
		(void)unlink(i->bad_path);
	return ok;
}

/** @return false if the bad line cannot be put aside. */
static bool bad_line(struct issue *i, const char *why)
{
	size_t size;
	const char *text = pl_cert_csv_text(i->csv, &size);

	i->bad_cnt++;
	if (i->bad_cnt <= COMPLAINTS_MAX)
		complain("%s", why);
	if (i->bad == NULL || write_line(i->bad, text, size))
		return true;
	complain("%s: %s", i->bad_path, strerror(errno));
	return false;
}

/** One certificate into the open operation. @return 0; -EPERM: a bad line; another -errno. */
static int put(struct issue *i, const struct pl_cert *c, char *why, size_t why_size)
{
	char error[ERROR_SIZE / 2];
	int rc = -EPERM;

	if ((i->epochs >> c->key_epoch & 1) == 0)
		snprintf(error, sizeof(error), "field key_epoch: there is no epoch %u",
			 c->key_epoch);
	else
		rc = pl_registry_put(i->a.registry, c, error, sizeof(error));
	if (rc >= 0) {
		i->changed += rc == 0;
		i->unchanged += rc == 1;
		return 0;
	}
	snprintf(why, why_size, "%s:%" PRIu64 ": %s", i->csv_path, pl_cert_csv_line_nr(i->csv),
		 error);
	return rc;
}

static bool read_all(struct issue *i)
{
	char why[ERROR_SIZE];
	struct pl_cert c;
	int rc;

	while ((rc = pl_cert_csv_next(i->csv, &c, why, sizeof(why))) != 0) {
		if (rc == 1)
			rc = put(i, &c, why, sizeof(why));
		if (rc == 0)
			continue;
		if (rc != -EINVAL && rc != -EPERM) {
			complain("%s", why);
			return false;
		}
		if (!bad_line(i, why))
			return false;
	}
	if (i->bad_cnt > COMPLAINTS_MAX)
		complain("and %" PRIu64 " bad lines more", i->bad_cnt - COMPLAINTS_MAX);
	if (i->bad_cnt > 0 && i->bad == NULL)
		complain("%" PRIu64 " bad lines: nothing was issued; mend them, or put them aside "
			 "with --skip-bad FILE",
			 i->bad_cnt);
	return i->bad_cnt == 0 || i->bad != NULL;
}

static int issue(struct issue *i)
{
	struct pl_registry_commit done;
	char error[ERROR_SIZE];
	int code = EXIT_FAILED;
	bool ok;

	if (i->bad_path != NULL && !open_bad(i))
		return EXIT_FAILED;
	if (pl_registry_begin(i->a.registry, error, sizeof(error)) != 0) {
		complain("%s", error);
		ok = false;
	} else {
		ok = read_all(i);
		if (i->bad != NULL)
			ok = close_bad(i, ok && i->bad_cnt > 0) && ok;
		if (ok)
			code = authority_commit(&i->a, false, &done);
		else
			pl_registry_rollback(i->a.registry);
	}
	if (i->bad != NULL)
		(void)close_bad(i, false);
	if (code != EXIT_DONE) {
		if (ok && i->bad_path != NULL && i->bad_cnt > 0)
			(void)unlink(i->bad_path); /* or the next run would refuse it */
		return code;
	}
	if (json)
		printf("{\"issued\": %" PRIu64 ", \"unchanged\": %" PRIu64 ", \"bad\": %" PRIu64
		       ", \"segments\": %" PRIu64 ", \"sequence\": %" PRIu64 "}\n",
		       i->changed, i->unchanged, i->bad_cnt, done.segment_cnt, done.sequence);
	else
		printf("%" PRIu64 " issued, %" PRIu64 " so already, %" PRIu64
		       " bad; feed at segment %" PRIu64 "\n",
		       i->changed, i->unchanged, i->bad_cnt, done.sequence);
	return i->bad_cnt > 0 ? EXIT_SKIPPED : EXIT_DONE;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{"skip-bad", required_argument, NULL, 's'},
		COMMON_OPTIONS,
	};
	struct pl_cert_csv_conf conf = {0};
	struct issue i = {0};
	char error[ERROR_SIZE];
	int code = EXIT_FAILED;

	while (next_option(argc, argv, options) != -1)
		i.bad_path = optarg;
	if (optind + 1 != argc)
		return usage("expected one CSV file, or -");
	i.csv_path = conf.path = argv[optind];
	if (!authority_open(&i.a, true))
		return EXIT_FAILED;
	if (authority_epochs(&i.a, &conf.key_epoch, &i.epochs)) {
		if (pl_cert_csv_open(&conf, &i.csv, error, sizeof(error)) != 0)
			complain("%s", error);
		else
			code = issue(&i);
	}
	pl_cert_csv_close(i.csv);
	authority_close(&i.a);
	return code;
}

const struct command command_issue = {
	.name = "issue",
	.synopsis = "FILE.csv [--skip-bad FILE]",
	.summary = "issue certificates, or change their facts, from CSV",
	.help = "DESCRIPTION\n"
		"  Reads certificates, - being standard input, and publishes those that are new "
		"or\n"
		"  changed. If any line is bad nothing of the file is issued, and each bad line is "
		"told\n"
		"  with its number, the field, and what was expected there. A certificate that "
		"the\n"
		"  registry has gets the line's facts; one that has them already is passed over, "
		"so\n"
		"  the same file can be issued again. Refused: making a revoked certificate "
		"whole,\n"
		"  and a generation lower than before.\n"
		"\n"
		"  The first line names the columns, in any order:\n"
		"    id          0x and hex digits, or decimal\n"
		"    kind        primary booster recovered pcr-negative medical-exempt under-age\n"
		"    event_date  YYYY-MM-DD, in the site's time zone; for under-age the day on "
		"which\n"
		"                the age is reached\n"
		"    key_epoch   0 to 7; if left out the newest\n"
		"    generation  0 to 15; if left out 0\n"
		"    revoked     0 or 1; if left out 0\n"
		"    suspended   0 or 1; if left out 0\n"
		"\n"
		"OPTIONS\n"
		"      --skip-bad FILE  issue the good lines and put the bad ones into FILE, which "
		"must\n"
		"                       not be there yet, under the same header; exit status 2 "
		"then\n"
		"\n"
		"EXAMPLES\n"
		"  printf 'id,kind,event_date\\n0x5ee,booster,2021-12-01\\n' | passline-authority "
		"issue -\n",
	.run = run,
};
