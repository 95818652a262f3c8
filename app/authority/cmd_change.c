/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * revoke, suspend, restore, replace: one certificate or many, all or none; and publish.
 */
#include <errno.h>

#include "authority.h"

/** Change the facts of one certificate; complain and @return false if that may not be. */
typedef bool (*change_fn)(struct pl_cert *c, uint8_t issuing_epoch);

static bool change_revoke(struct pl_cert *c, uint8_t issuing_epoch)
{
	(void)issuing_epoch;
	c->revoked = true;
	return true;
}

static bool change_suspend(struct pl_cert *c, uint8_t issuing_epoch)
{
	(void)issuing_epoch;
	c->suspended = true;
	return true;
}

static bool change_restore(struct pl_cert *c, uint8_t issuing_epoch)
{
	(void)issuing_epoch;
	c->suspended = false;
	return true;
}

static bool change_replace(struct pl_cert *c, uint8_t issuing_epoch)
{
	if (c->generation == PL_CERT_GENERATION_MAX) {
		complain("0x%016" PRIx64
			 ": its wallet was replaced %u times, and there is no further generation: "
			 "revoke it and issue another certificate",
			 c->id, PL_CERT_GENERATION_MAX);
		return false;
	}
	c->generation++;
	c->key_epoch = issuing_epoch; /* the new wallet gets a new key anyway */
	return true;
}

struct tally {
	uint8_t issuing_epoch;
	uint64_t changed;
	uint64_t unchanged;
};

static bool change_one(struct authority *a, uint64_t id, change_fn change, struct tally *t)
{
	char error[ERROR_SIZE];
	struct pl_cert c;
	uint64_t sequence;
	int rc = pl_registry_get(a->registry, id, &c, &sequence, error, sizeof(error));

	if (rc == 0 && !change(&c, t->issuing_epoch))
		return false;
	if (rc == 0)
		rc = pl_registry_put(a->registry, &c, error, sizeof(error));
	if (rc < 0) {
		complain("%s", error);
		return false;
	}
	t->changed += rc == 0;
	t->unchanged += rc == 1;
	return true;
}

static bool change_file(struct authority *a, const char *path, change_fn change, struct tally *t)
{
	struct pl_cert_csv_conf conf = {.path = path, .ids_only = true};
	char error[ERROR_SIZE];
	struct pl_cert_csv *csv;
	struct pl_cert line;
	int rc;

	if (pl_cert_csv_open(&conf, &csv, error, sizeof(error)) != 0) {
		complain("%s", error);
		return false;
	}
	while ((rc = pl_cert_csv_next(csv, &line, error, sizeof(error))) == 1)
		if (!change_one(a, line.id, change, t)) {
			complain("%s:%" PRIu64 ": nothing was changed", path,
				 pl_cert_csv_line_nr(csv));
			pl_cert_csv_close(csv);
			return false;
		}
	if (rc < 0)
		complain("%s", error);
	pl_cert_csv_close(csv);
	return rc == 0;
}

static void report(const struct tally *t, const struct pl_registry_commit *done)
{
	if (json)
		printf("{\"changed\": %" PRIu64 ", \"unchanged\": %" PRIu64
		       ", \"segments\": %" PRIu64 ", \"sequence\": %" PRIu64 "}\n",
		       t->changed, t->unchanged, done->segment_cnt, done->sequence);
	else
		printf("%" PRIu64 " changed, %" PRIu64 " so already; feed at segment %" PRIu64 "\n",
		       t->changed, t->unchanged, done->sequence);
}

static int change_all(int argc, char **argv, change_fn change)
{
	static const struct option options[] = {
		{"csv", required_argument, NULL, 'c'},
		COMMON_OPTIONS,
	};
	struct pl_registry_commit done;
	struct tally tally = {0};
	const char *csv_path = NULL;
	struct authority a;
	char error[ERROR_SIZE];
	uint64_t id;
	uint8_t mask;
	bool ok = true;
	int code = EXIT_FAILED;

	while (next_option(argc, argv, options) != -1)
		csv_path = optarg;
	if ((csv_path == NULL) == (optind == argc))
		return usage("expected ids, or --csv FILE");
	for (int i = optind; i < argc; i++)
		if (!id_arg(argv[i], &id))
			return EXIT_USAGE;
	if (!authority_open(&a, true))
		return EXIT_FAILED;
	if (!authority_epochs(&a, &tally.issuing_epoch, &mask))
		goto out;
	if (pl_registry_begin(a.registry, error, sizeof(error)) != 0) {
		complain("%s", error);
		goto out;
	}
	if (csv_path != NULL)
		ok = change_file(&a, csv_path, change, &tally);
	for (int i = optind; ok && i < argc; i++) {
		PL_CHECK(id_arg(argv[i], &id));
		ok = change_one(&a, id, change, &tally);
	}
	if (!ok) {
		pl_registry_rollback(a.registry);
		goto out;
	}
	code = authority_commit(&a, false, &done);
	if (code == EXIT_DONE)
		report(&tally, &done);
out:
	authority_close(&a);
	return code;
}

static int run_revoke(int argc, char **argv)
{
	return change_all(argc, argv, change_revoke);
}

static int run_suspend(int argc, char **argv)
{
	return change_all(argc, argv, change_suspend);
}

static int run_restore(int argc, char **argv)
{
	return change_all(argc, argv, change_restore);
}

static int run_replace(int argc, char **argv)
{
	return change_all(argc, argv, change_replace);
}

static int run_publish(int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS};
	struct pl_registry_commit done;
	char error[ERROR_SIZE], as_of[32];
	struct authority a;
	int code = EXIT_FAILED;

	while (next_option(argc, argv, options) != -1)
		continue;
	if (optind != argc)
		return usage("takes no arguments");
	if (!authority_open(&a, true))
		return EXIT_FAILED;
	if (pl_registry_begin(a.registry, error, sizeof(error)) != 0)
		complain("%s", error);
	else
		code = authority_commit(&a, true, &done);
	if (code == EXIT_DONE && json)
		printf("{\"sequence\": %" PRIu64 ", \"as_of\": %" PRIu64 "}\n", done.sequence,
		       done.as_of);
	else if (code == EXIT_DONE)
		printf("feed at segment %" PRIu64 ", complete up to %s\n", done.sequence,
		       time_words(done.as_of, as_of));
	authority_close(&a);
	return code;
}

#define CHANGE_HELP                                                                             \
	"  All of the certificates are changed, in one operation, or none. One that is so\n"    \
	"  already is counted and passed over.\n"                                               \
	"\n"                                                                                    \
	"OPTIONS\n"                                                                             \
	"      --csv FILE  ids from the column id of a CSV file (- is standard input); other\n" \
	"                  columns are not looked at, so an exported file will do\n"

const struct command command_revoke = {
	.name = "revoke",
	.synopsis = "ID... | --csv FILE",
	.summary = "revoke certificates, for good",
	.help = "DESCRIPTION\n"
		"  A revoked certificate is denied everywhere from then on. There is no way "
		"back.\n" CHANGE_HELP,
	.run = run_revoke,
};

const struct command command_suspend = {
	.name = "suspend",
	.synopsis = "ID... | --csv FILE",
	.summary = "suspend certificates until they are restored",
	.help = "DESCRIPTION\n"
		"  A suspended certificate is denied until restore is run on it.\n" CHANGE_HELP,
	.run = run_suspend,
};

const struct command command_restore = {
	.name = "restore",
	.synopsis = "ID... | --csv FILE",
	.summary = "end the suspension of certificates",
	.help = "DESCRIPTION\n"
		"  Ends a suspension. A revocation stays: it is for good.\n" CHANGE_HELP,
	.run = run_restore,
};

const struct command command_replace = {
	.name = "replace",
	.synopsis = "ID... | --csv FILE",
	.summary = "replace wallets that were lost or stolen",
	.help = "DESCRIPTION\n"
		"  Raises the certificates' generation: the key in the old wallet makes no codes "
		"that\n"
		"  hold any more. Give the new wallet its key with `wallet ID --export FILE`. A\n"
		"  certificate has 16 generations.\n" CHANGE_HELP,
	.run = run_replace,
};

const struct command command_publish = {
	.name = "publish",
	.synopsis = "",
	.summary = "tell appliances that the feed is complete up to now",
	.help = "DESCRIPTION\n"
		"  Adds a segment without records. Appliances deny an absent certificate only "
		"while\n"
		"  their feed is fresh, so run this from a timer, more often than the age that "
		"the\n"
		"  sites allow. Also brings the registry up to a feed that a cut-off command "
		"left.\n",
	.run = run_publish,
};
