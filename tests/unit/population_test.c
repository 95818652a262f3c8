/* SPDX-License-Identifier: BSD-3-Clause */
/* The certificates that are made for tests and load profiles: pinned, never repeated, in the
 * shares of the real doses. */
#include "population/pl_population.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/pl_date.h"

#define AS_OF_DAY 20000
#define CERTS     400000u

static char error[256];

static struct pl_population *make(uint64_t seed, uint64_t cert_cnt)
{
	struct pl_population_conf conf = {
		.seed = seed, .cert_cnt = cert_cnt, .as_of_day = AS_OF_DAY, .key_epoch = 5};
	struct pl_population *p = NULL;

	assert_int_equal(pl_population_create(&conf, &p, error, sizeof(error)), 0);
	return p;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void test_ids_never_repeat_and_absent_ones_are_absent(void **state)
{
	struct pl_population *p = make(1, CERTS);
	uint64_t *ids = malloc(2 * CERTS * sizeof(*ids));

	(void)state;
	for (uint64_t i = 0; i < CERTS; i++) {
		ids[i] = pl_population_cert(p, i).id;
		assert_int_equal(ids[i], pl_population_id(p, i));
		ids[CERTS + i] = pl_population_absent_id(p, i);
	}
	qsort(ids, 2 * CERTS, sizeof(*ids), by_value);
	assert_int_not_equal(ids[0], 0);
	for (uint64_t i = 1; i < 2 * CERTS; i++)
		assert_int_not_equal(ids[i - 1], ids[i]);
	free(ids);
	pl_population_destroy(p);
}

static void test_the_same_seed_gives_the_same_whatever_the_count(void **state)
{
	struct pl_population *small = make(7, 10), *large = make(7, CERTS), *other = make(8, 10);

	(void)state;
	for (uint64_t i = 0; i < 10; i++) {
		struct pl_cert a = pl_population_cert(small, i), b = pl_population_cert(large, i);

		assert_int_equal(a.id, b.id);
		assert_int_equal(pl_facts_pack(&a), pl_facts_pack(&b));
		assert_int_not_equal(a.id, pl_population_cert(other, i).id);
	}
	pl_population_destroy(small);
	pl_population_destroy(large);
	pl_population_destroy(other);
}

/* Feeds and expectations made apart must agree for ever: never change these. */
static void test_certificates_are_pinned(void **state)
{
	struct pl_population *p = make(2021, 4);
	static const struct {
		uint64_t id;
		uint32_t facts;
	} want[] = {
		{0x994405359ec78c51, 0x0054dd71},
		{0x6932311b53b71921, 0x0054daf1},
		{0xc9fdbbf560ff6d2b, 0x0054e1d1},
		{0x0dd729c15fcbb367, 0x0054e1d4},
	};

	(void)state;
	for (uint64_t i = 0; i < PL_ARRAY_CNT(want); i++) {
		struct pl_cert c = pl_population_cert(p, i);

		assert_int_equal(c.id, want[i].id);
		assert_int_equal(pl_facts_pack(&c), want[i].facts);
	}
	pl_population_destroy(p);
}

static void assert_share(uint64_t cnt, double want)
{
	double share = (double)cnt / CERTS;

	/* Six standard deviations of a share of at most a half. */
	if (share < want - 0.005 || share > want + 0.005)
		fail_msg("share %f, expected %f", share, want);
}

static void test_shares_and_days_are_as_documented(void **state)
{
	static const double share[PL_CERT_KIND_MAX + 1] = {0, .74, .13, .03, .04, .01, .05};
	static const int32_t low[] = {0, 0, 0, 0, 0, 0, -5479};
	static const int32_t high[] = {0, 289, 62, 209, 3, 269, 29};
	uint64_t kinds[PL_CERT_KIND_MAX + 1] = {0}, revoked = 0, suspended = 0;
	int32_t least[7], most[7];
	struct pl_population *p = make(3, CERTS);

	(void)state;
	for (uint32_t k = 0; k < 7; k++) {
		least[k] = INT32_MAX;
		most[k] = INT32_MIN;
	}
	for (uint64_t i = 0; i < CERTS; i++) {
		struct pl_cert c = pl_population_cert(p, i);
		int32_t days = AS_OF_DAY - c.event_day;

		assert_true(pl_facts_valid(pl_facts_pack(&c)));
		assert_int_equal(c.key_epoch, 5);
		assert_int_equal(c.generation, 0);
		assert_false(c.revoked && c.suspended);
		assert_in_range(c.kind, 1, 6);
		assert_true(days >= low[c.kind] && days <= high[c.kind]);
		least[c.kind] = days < least[c.kind] ? days : least[c.kind];
		most[c.kind] = days > most[c.kind] ? days : most[c.kind];
		kinds[c.kind]++;
		revoked += c.revoked;
		suspended += c.suspended;
	}
	for (uint32_t k = 1; k <= 6; k++)
		assert_share(kinds[k], share[k]);
	assert_share(revoked, 1.0 / 256);
	assert_share(suspended, 1.0 / 256);
	for (uint32_t k = 1; k <= 4; k++) { /* both ends are reached */
		assert_int_equal(least[k], low[k]);
		assert_int_equal(most[k], high[k]);
	}
	assert_true(least[PL_CERT_UNDER_AGE] < -5000 && most[PL_CERT_UNDER_AGE] > 0);
	pl_population_destroy(p);
}

/* Every month has its share of the doses that the file in the tree counts. */
static void test_doses_follow_the_national_counts(void **state)
{
	FILE *f = fopen(PL_SOURCE_ROOT "/lib/population/data/kr_doses_cumulative.csv", "r");
	uint64_t total = 0, before = 0, primary = 0;
	double want[10] = {0}, got[10] = {0}; /* by thirty days before enforcement day */
	struct pl_population *p = make(4, CERTS);
	char line[64];

	(void)state;
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	while (fgets(line, sizeof(line), f) != NULL) {
		int32_t day = 0;

		assert_true(pl_date_parse(line, 10, &day));
		if (day > 18974)
			break;
		total = strtoull(line + 11, NULL, 10);
		want[(18974 - day) / 30] += (double)(total - before);
		before = total;
	}
	fclose(f);
	assert_int_equal(total, 89795330);
	for (uint64_t i = 0; i < CERTS; i++) {
		struct pl_cert c = pl_population_cert(p, i);

		if (c.kind != PL_CERT_PRIMARY)
			continue;
		got[(AS_OF_DAY - c.event_day) / 30]++;
		primary++;
	}
	for (uint32_t m = 0; m < 10; m++) {
		double diff = got[m] / (double)primary - want[m] / (double)total;

		if (diff < -0.006 || diff > 0.006)
			fail_msg("month %u: %f of %f", m, got[m] / (double)primary,
				 want[m] / (double)total);
	}
	pl_population_destroy(p);
}

static void test_confs_out_of_range_are_refused(void **state)
{
	const struct pl_population_conf good = {.cert_cnt = 1, .as_of_day = AS_OF_DAY};
	struct pl_population_conf conf;
	struct pl_population *p;

	(void)state;
#define REFUSED(change)                                                                           \
	do {                                                                                      \
		conf = good;                                                                      \
		change;                                                                           \
		assert_int_equal(pl_population_create(&conf, &p, error, sizeof(error)), -EINVAL); \
	} while (0)
	REFUSED(conf.cert_cnt = 0);
	REFUSED(conf.cert_cnt = PL_POPULATION_CERTS_MAX + 1);
	REFUSED(conf.as_of_day = -1);
	REFUSED(conf.as_of_day = 4999);
	REFUSED(conf.as_of_day = 60001);
	REFUSED(conf.key_epoch = 8);
#undef REFUSED
	conf = good;
	conf.cert_cnt = PL_POPULATION_CERTS_MAX;
	conf.as_of_day = 60000;
	assert_int_equal(pl_population_create(&conf, &p, error, sizeof(error)), 0);
	assert_int_not_equal(pl_population_id(p, PL_POPULATION_CERTS_MAX - 1), 0);
	pl_population_destroy(p);
}

static int create_from(const char *text)
{
	char path[] = "/tmp/passline-doses-XXXXXX";
	struct pl_population_conf conf = {
		.cert_cnt = 1, .as_of_day = AS_OF_DAY, .doses_csv_path = path};
	struct pl_population *p = NULL;
	int fd = mkstemp(path);
	int rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	rc = pl_population_create(&conf, &p, error, sizeof(error));
	unlink(path);
	if (rc == 0)
		pl_population_destroy(p);
	return rc;
}

static void test_bad_dose_files_are_refused_with_line_and_expectation(void **state)
{
	static const struct {
		const char *text, *said;
	} bad[] = {
		{"", "expected a line for each day"},
		{"day,doses\n", ":1: expected the header"},
		{"date,cumulative_doses\n", "expected a line for each day"},
		{"date,cumulative_doses\n2021-12-13,5\n", "expected a line for each day"},
		{"date,cumulative_doses\nyesterday,1\n", ":2: expected a date"},
		{"date,cumulative_doses\n2021-02-30,1\n", ":2: expected a date"},
		{"date,cumulative_doses\n2021-02-27,-1\n", ":2: expected a count"},
		{"date,cumulative_doses\n2021-02-27,\n", ":2: expected a count"},
		{"date,cumulative_doses\n2021-02-27,9999999999999999\n", ":2: expected a count"},
		{"date,cumulative_doses\n2021-02-27,5\n2021-02-28,4\n", ":3: expected a count not"},
		{"date,cumulative_doses\n2021-02-27,5\n2021-03-01,6\n",
		 ":3: expected the day after"},
		{"date,cumulative_doses\n2021-02-27,5\n\n", ":3: expected a date"},
	};
	struct pl_population_conf conf = {
		.cert_cnt = 1, .as_of_day = AS_OF_DAY, .doses_csv_path = "/nonexistent.csv"};
	struct pl_population *p;

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		assert_int_equal(create_from(bad[i].text), -EINVAL);
		if (strstr(error, bad[i].said) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", error, bad[i].said);
	}
	assert_int_equal(pl_population_create(&conf, &p, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent.csv"));
}

/** A file of so many days up to enforcement day, with so many doses on each. */
static int create_from_days(uint32_t days, uint32_t doses_a_day)
{
	char text[8192] = "date,cumulative_doses\n";
	size_t size = strlen(text);

	for (uint32_t i = 0; i < days; i++) {
		char date[PL_DATE_TEXT_SIZE];

		pl_date_format(18974 - (int32_t)(days - 1 - i), date);
		size += (size_t)snprintf(text + size, sizeof(text) - size, "%s,%u\n", date,
					 100 + i * doses_a_day);
	}
	return create_from(text);
}

static void test_a_dose_file_needs_the_booster_weeks(void **state)
{
	(void)state;
	assert_int_equal(create_from_days(64, 1), 0);
	assert_int_equal(create_from_days(63, 1), -EINVAL);
	assert_int_equal(create_from_days(64, 0), -EINVAL);
	assert_non_null(strstr(error, "expected doses between"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_never_repeat_and_absent_ones_are_absent),
		cmocka_unit_test(test_the_same_seed_gives_the_same_whatever_the_count),
		cmocka_unit_test(test_certificates_are_pinned),
		cmocka_unit_test(test_shares_and_days_are_as_documented),
		cmocka_unit_test(test_doses_follow_the_national_counts),
		cmocka_unit_test(test_confs_out_of_range_are_refused),
		cmocka_unit_test(test_bad_dose_files_are_refused_with_line_and_expectation),
		cmocka_unit_test(test_a_dose_file_needs_the_booster_weeks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
