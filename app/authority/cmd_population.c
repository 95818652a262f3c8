/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * population: made-up certificates with real dose dates, straight into registry and feed.
 *
 * The registry's table is a tree by id, and ids are spread evenly over 64 bits: fifty million in
 * the order in which they are made would touch a cold page each. So they are made in groups of ids
 * from low to high, each group by one run over all indices (an id costs two nanoseconds), sorted
 * in memory, and appended. Memory is bounded by the group, whatever the count.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "authority.h"
#include "base/pl_date.h"
#include "clock/pl_clock.h"
#include "population/pl_population.h"

#define TIME_ZONE    "Asia/Seoul" /* the default of a site, too */
#define GROUP_CERTS  3500000u     /* about: groups are of equal width, not of equal count */
#define SORT_BITS    8u
#define SORT_BUCKETS (1u << SORT_BITS)
#define SIGN         (1ULL << 63) /* the registry orders ids as signed numbers */

struct item {
	uint64_t order; /* id ^ SIGN */
	uint64_t facts;
};

struct group {
	struct item *items;
	struct item *spare;
	size_t cnt;
	size_t cnt_max;
};

static bool group_create(struct group *g, uint64_t cert_cnt, uint64_t group_cnt)
{
	/* The count of one group is binomial: an eighth more is over a hundred standard deviations
	 * for large ones, and the constant is enough for small ones. */
	g->cnt_max = (size_t)(cert_cnt / group_cnt + cert_cnt / group_cnt / 8 + 4096);
	g->items = malloc(g->cnt_max * sizeof(*g->items));
	g->spare = malloc(g->cnt_max * sizeof(*g->spare));
	return g->items != NULL && g->spare != NULL;
}

static void group_destroy(struct group *g)
{
	free(g->items);
	free(g->spare);
}

/** Certificates whose order falls into group idx of cnt. */
static void group_gather(struct group *g, const struct pl_population *p, uint64_t idx, uint64_t cnt)
{
	uint64_t certs = pl_population_cert_cnt(p);

	g->cnt = 0;
	for (uint64_t i = 0; i < certs; i++) {
		uint64_t order = pl_population_id(p, i) ^ SIGN;

		if ((uint64_t)((unsigned __int128)order * cnt >> 64) != idx)
			continue;
		struct pl_cert c = pl_population_cert(p, i);

		PL_CHECK(g->cnt < g->cnt_max);
		g->items[g->cnt++] = (struct item){.order = order, .facts = pl_facts_pack(&c)};
	}
}

/** By order, ascending: radix sort from the lowest byte. */
static void group_sort(struct group *g)
{
	for (uint32_t shift = 0; shift < 64; shift += SORT_BITS) {
		size_t start[SORT_BUCKETS] = {0};
		size_t sum = 0;
		struct item *swap = g->items;

		for (size_t i = 0; i < g->cnt; i++)
			start[g->items[i].order >> shift & (SORT_BUCKETS - 1)]++;
		for (uint32_t b = 0; b < SORT_BUCKETS; b++) {
			size_t cnt = start[b];

			start[b] = sum;
			sum += cnt;
		}
		for (size_t i = 0; i < g->cnt; i++)
			g->spare[start[g->items[i].order >> shift & (SORT_BUCKETS - 1)]++] =
				g->items[i];
		g->items = g->spare;
		g->spare = swap;
	}
}

struct tally {
	uint64_t issued;
	uint64_t there;
	uint64_t in_operation;
	uint64_t segments;
	uint64_t sequence;
	struct timespec started;
};

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

static bool commit(struct authority *a, struct tally *t)
{
	struct pl_registry_commit done;

	if (authority_commit(a, false, &done) != EXIT_DONE)
		return false;
	t->segments += done.segment_cnt;
	t->sequence = done.sequence;
	t->in_operation = 0;
	return true;
}

static bool begin(struct authority *a)
{
	char error[ERROR_SIZE];

	if (pl_registry_begin(a->registry, error, sizeof(error)) == 0)
		return true;
	complain("%s", error);
	return false;
}

/** One operation a segment, so that what is cut off is small and a second run goes on from it. */
static bool issue_group(struct authority *a, const struct group *g, struct tally *t)
{
	char error[ERROR_SIZE];

	for (size_t i = 0; i < g->cnt; i++) {
		struct pl_cert c =
			pl_facts_unpack(g->items[i].order ^ SIGN, (uint32_t)g->items[i].facts);
		int rc = pl_registry_add(a->registry, &c, error, sizeof(error));

		if (rc < 0) {
			complain("%s", error);
			pl_registry_rollback(a->registry);
			return false;
		}
		t->issued += rc == 0;
		t->there += rc == 1;
		t->in_operation += rc == 0;
		if (t->in_operation == PL_FEED_RECORDS_MAX && (!commit(a, t) || !begin(a)))
			return false;
	}
	return true;
}

static bool issue(struct authority *a, const struct pl_population *p, struct tally *t)
{
	uint64_t certs = pl_population_cert_cnt(p);
	uint64_t group_cnt = (certs + GROUP_CERTS - 1) / GROUP_CERTS;
	struct group g = {0};
	bool ok = group_create(&g, certs, group_cnt);

	if (!ok)
		complain("out of memory");
	ok = ok && begin(a);
	for (uint64_t i = 0; ok && i < group_cnt; i++) {
		group_gather(&g, p, i, group_cnt);
		group_sort(&g);
		ok = issue_group(a, &g, t);
		if (ok && isatty(STDERR_FILENO))
			fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 "%s", t->issued + t->there,
				certs, i + 1 == group_cnt ? "\n" : "");
	}
	ok = ok && commit(a, t);
	group_destroy(&g);
	return ok;
}

static int issue_all(const struct pl_population_conf *conf, bool epoch_given)
{
	struct pl_population_conf with_epoch = *conf;
	struct pl_population *p = NULL;
	struct tally t = {0};
	char error[ERROR_SIZE], as_of[PL_DATE_TEXT_SIZE];
	struct authority a;
	uint8_t issuing, mask;
	bool ok;

	clock_gettime(CLOCK_MONOTONIC, &t.started);
	if (!authority_open(&a, true))
		return EXIT_FAILED;
	t.sequence = pl_registry_pos(a.registry)->sequence;
	ok = authority_epochs(&a, &issuing, &mask);
	if (ok && !epoch_given)
		with_epoch.key_epoch = issuing;
	if (ok && (mask >> with_epoch.key_epoch & 1) == 0) {
		complain("there is no token key epoch %u", with_epoch.key_epoch);
		ok = false;
	}
	if (ok && pl_population_create(&with_epoch, &p, error, sizeof(error)) != 0) {
		complain("%s", error);
		ok = false;
	}
	ok = ok && issue(&a, p, &t);
	pl_population_destroy(p);
	authority_close(&a);
	if (!ok) {
		if (t.segments > 0)
			complain("%" PRIu64 " segments were published; the same command goes on "
				 "from there",
				 t.segments);
		return EXIT_FAILED;
	}
	pl_date_format(conf->as_of_day, as_of);
	if (json)
		printf("{\"issued\": %" PRIu64 ", \"there\": %" PRIu64 ", \"segments\": %" PRIu64
		       ", \"sequence\": %" PRIu64 ", \"as_of\": \"%s\", \"seconds\": %.3f}\n",
		       t.issued, t.there, t.segments, t.sequence, as_of, seconds_since(&t.started));
	else
		printf("%" PRIu64 " issued, %" PRIu64 " there already, as of %s; feed at segment "
		       "%" PRIu64 "; %.1f s\n",
		       t.issued, t.there, as_of, t.sequence, seconds_since(&t.started));
	return EXIT_DONE;
}

static int write_csv(const struct pl_population_conf *conf, const char *path)
{
	bool standard_output = strcmp(path, "-") == 0;
	struct pl_population *p;
	char line[PL_CERT_CSV_OUT_SIZE];
	char error[ERROR_SIZE];
	FILE *f;
	bool ok;

	if (pl_population_create(conf, &p, error, sizeof(error)) != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	f = standard_output ? stdout : fopen(path, "we");
	ok = f != NULL && fputs(PL_CERT_CSV_HEADER "\n", f) != EOF;
	for (uint64_t i = 0; ok && i < conf->cert_cnt; i++) {
		struct pl_cert c = pl_population_cert(p, i);

		ok = fwrite_unlocked(line, pl_cert_csv_format(&c, line), 1, f) == 1;
	}
	if (f != NULL)
		ok = (standard_output ? fflush(f) : fclose(f)) == 0 && ok;
	if (!ok)
		complain("%s: %s", path, strerror(errno));
	pl_population_destroy(p);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

/** Today at the site, wherever this machine is: what passline-load takes today for, too. */
static bool site_today(const char *time_zone, int32_t *day)
{
	struct pl_clock_zone zone;
	time_t now = time(NULL);

	if (pl_clock_zone_get(time_zone, now, &zone) != 0)
		return false;
	*day = pl_clock_day((uint64_t)now * 1000, &zone);
	return true;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{"certs", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 's'},
		{"as-of", required_argument, NULL, 'a'},
		{"time-zone", required_argument, NULL, 'z'},
		{"key-epoch", required_argument, NULL, 'e'},
		{"doses", required_argument, NULL, 'D'},
		{"csv", required_argument, NULL, 'c'},
		COMMON_OPTIONS,
	};
	struct pl_population_conf conf = {.as_of_day = INT32_MIN};
	const char *csv_path = NULL, *time_zone = TIME_ZONE;
	bool epoch_given = false;
	uint64_t epoch;
	int c;

	while ((c = next_option(argc, argv, options)) != -1) {
		switch (c) {
		case 'n':
			if (!number_arg("certs", optarg, 1, PL_POPULATION_CERTS_MAX,
					&conf.cert_cnt))
				return EXIT_USAGE;
			break;
		case 's':
			if (!number_arg("seed", optarg, 0, UINT64_MAX, &conf.seed))
				return EXIT_USAGE;
			break;
		case 'a':
			if (!pl_date_parse(optarg, strlen(optarg), &conf.as_of_day))
				return usage("--as-of: expected YYYY-MM-DD, got \"%s\"", optarg);
			break;
		case 'e':
			if (!number_arg("key-epoch", optarg, 0, PL_CERT_KEY_EPOCH_CNT - 1, &epoch))
				return EXIT_USAGE;
			conf.key_epoch = (uint8_t)epoch;
			epoch_given = true;
			break;
		case 'z':
			time_zone = optarg;
			break;
		case 'D':
			conf.doses_csv_path = optarg;
			break;
		default:
			csv_path = optarg;
		}
	}
	if (optind != argc)
		return usage("takes no arguments");
	if (conf.cert_cnt == 0)
		return usage("expected --certs N");
	if (conf.as_of_day == INT32_MIN && !site_today(time_zone, &conf.as_of_day))
		return usage("--time-zone: \"%s\" is not installed; give the day with --as-of",
			     time_zone);
	return csv_path != NULL ? write_csv(&conf, csv_path) : issue_all(&conf, epoch_given);
}

const struct command command_population = {
	.name = "population",
	.synopsis = "--certs N [--seed S] [--as-of DATE] [--time-zone Z] [--key-epoch E] [--doses "
		    "FILE] [--csv FILE]",
	.summary = "issue a made-up population with real dose dates",
	.help = "DESCRIPTION\n"
		"  Issues N certificates that depend on the seed and the date alone: passline-load "
		"can\n"
		"  make them again and know every verdict. Dates of doses follow the national "
		"counts of\n"
		"  South Korea up to 2021-12-13, shifted so that DATE stands for that day; shares "
		"of\n"
		"  kinds, of revoked and of suspended ones are modelled. An id that the registry "
		"has is\n"
		"  left alone, so a run that was cut off goes on when it is started again.\n"
		"\n"
		"OPTIONS\n"
		"      --certs N      how many, 1 to 4294967296\n"
		"      --seed S       another population for each; 0 unless given\n"
		"      --as-of DATE   YYYY-MM-DD; today at the site unless given\n"
		"      --time-zone Z  the site's, in which it is today; Asia/Seoul unless given\n"
		"      --key-epoch E  token key epoch, 0 to 7; the newest unless given\n"
		"      --doses FILE   other counts, as lines date,cumulative_doses\n"
		"      --csv FILE     write them as CSV (- is standard output), and leave the "
		"registry\n"
		"                     alone; key epoch 0 unless given\n",
	.run = run,
};
