/* SPDX-License-Identifier: BSD-3-Clause */
/* Time zones: as the system has them, and made by hand. */
#include "clock/pl_clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static bool have_tzdata(void)
{
	return access("/usr/share/zoneinfo/Asia/Seoul", R_OK) == 0;
}

static void test_zone_of_seoul_and_utc(void **state)
{
	struct pl_clock_zone z;

	(void)state;
	assert_int_equal(pl_clock_zone_get("UTC", 0, &z), 0);
	assert_int_equal(z.offset_s, 0);
	assert_int_equal(z.until_s, INT64_MAX);
	if (!have_tzdata())
		skip();
	assert_int_equal(pl_clock_zone_get("Asia/Seoul", 1639364700, &z), 0);
	assert_int_equal(z.offset_s, 9 * 3600);
	assert_int_equal(z.until_s, INT64_MAX);
	/* 2021-12-12 23:59:59.999 and midnight in Seoul. */
	assert_int_equal(pl_clock_day(1639321199999, &z), 18973);
	assert_int_equal(pl_clock_day(1639321200000, &z), 18974);
}

static void test_zone_says_until_when(void **state)
{
	struct pl_clock_zone z;

	(void)state;
	if (!have_tzdata())
		skip();
	/* Berlin, 2026-03-01: winter time until 2026-03-29 01:00 UTC, then until 25 October. */
	assert_int_equal(pl_clock_zone_get("Europe/Berlin", 1772323200, &z), 0);
	assert_int_equal(z.offset_s, 3600);
	assert_int_equal(z.until_s, 1774746000);
	assert_int_equal(pl_clock_zone_get("Europe/Berlin", z.until_s, &z), 0);
	assert_int_equal(z.offset_s, 7200);
	assert_int_equal(z.from_s, 1774746000);
	assert_int_equal(z.until_s, 1792890000);
	/* A machine whose clock was set back behind the change must ask again. */
	assert_true(pl_clock_zone_holds(&z, 1774746000));
	assert_false(pl_clock_zone_holds(&z, 1774745999));
	assert_true(pl_clock_zone_holds(&z, 1792889999));
	assert_false(pl_clock_zone_holds(&z, 1792890000));
	/* Beyond the file's table: by its rule. 2050-07-01. */
	assert_int_equal(pl_clock_zone_get("Europe/Berlin", 2540160000, &z), 0);
	assert_int_equal(z.offset_s, 7200);
}

/* The C library reads the same files: ask both, for many zones and times. */
static void test_zones_agree_with_the_c_library(void **state)
{
	static const char *const names[] = {
		"Asia/Seoul",        "Europe/Berlin",    "America/New_York",  "Australia/Lord_Howe",
		"America/Sao_Paulo", "Asia/Kathmandu",   "Africa/Casablanca", "Pacific/Apia",
		"Asia/Gaza",         "Europe/Dublin",    "America/Nuuk",      "Etc/GMT+12",
		"Asia/Tehran",       "Antarctica/Troll", "Pacific/Chatham",   "America/Santiago",
	};
	uint64_t rng = 1;
	uint32_t changes_cnt = 0, changes_back_cnt = 0;

	(void)state;
	if (!have_tzdata())
		skip();
	for (size_t i = 0; i < PL_ARRAY_CNT(names); i++) {
		assert_int_equal(setenv("TZ", names[i], 1), 0);
		tzset();
		for (int k = 0; k < 400; k++) {
			struct pl_clock_zone z;
			struct tm tm;
			time_t at;

			rng += 0x9e3779b97f4a7c15ull;
			at = (time_t)(pl_mix64(rng) % 4102444800u); /* 1970 .. 2099 */
			assert_int_equal(pl_clock_zone_get(names[i], at, &z), 0);
			localtime_r(&at, &tm);
			if (tm.tm_gmtoff != z.offset_s)
				fail_msg("%s at %ld: %d, not %ld", names[i], at, z.offset_s,
					 tm.tm_gmtoff);
			assert_true(z.until_s > at);
			assert_true(z.from_s <= at);
			/* Nor since from_s, if the file says since when and the C library goes back so far. */
			if (z.from_s > -2000000000) {
				at = (time_t)z.from_s;
				localtime_r(&at, &tm);
				assert_int_equal(tm.tm_gmtoff, z.offset_s);
				at--;
				localtime_r(&at, &tm);
				changes_back_cnt += tm.tm_gmtoff != z.offset_s;
			}
			if (z.until_s == INT64_MAX)
				continue;
			/* To the second before until_s nothing changes. */
			at = (time_t)z.until_s - 1;
			localtime_r(&at, &tm);
			assert_int_equal(tm.tm_gmtoff, z.offset_s);
			at++;
			localtime_r(&at, &tm);
			changes_cnt += tm.tm_gmtoff != z.offset_s;
		}
	}
	unsetenv("TZ");
	tzset();
	/* until_s is not just some moment: at most of them the offset really changes. */
	assert_true(changes_cnt > 3000);
	assert_true(changes_back_cnt > 3000);
}

static void test_zone_names_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"Asia",
		"Asia/",
		"/etc/passwd",
		"../../../etc/passwd",
		"Asia/Soeul",
		"Asia//Seoul",
		"Asia/Seoul/x",
		"a/../Asia/Seoul",
		"tzdata.zi",
		"Asia/Seoul ",
		"0123456789012345678901234567890123456789012345678901234567890123456789",
	};
	struct pl_clock_zone z;

	(void)state;
	if (!have_tzdata())
		skip();
	for (size_t i = 0; i < PL_ARRAY_CNT(bad); i++)
		assert_int_equal(pl_clock_zone_get(bad[i], 0, &z), -ENOENT);
}

/* A TZif file with one 64-bit block: time_cnt transitions and a footer. */
static size_t make_tzif(uint8_t *p, uint32_t time_cnt, const int64_t *times, uint32_t leap_cnt,
			const char *footer)
{
	uint8_t *at = p;

	for (int block = 0; block < 2; block++) {
		uint32_t cnt[6] = {0, 0, block * leap_cnt, block * time_cnt, 2, 4};

		memset(at, 0, 44);
		memcpy(at, "TZif2", 5);
		for (int i = 0; i < 6; i++)
			for (int b = 0; b < 4; b++)
				at[20 + i * 4 + b] = (uint8_t)(cnt[i] >> (24 - 8 * b));
		at += 44;
		for (uint32_t i = 0; block == 1 && i < time_cnt; i++)
			for (int b = 0; b < 8; b++)
				*at++ = (uint8_t)((uint64_t)times[i] >> (56 - 8 * b));
		for (uint32_t i = 0; block == 1 && i < time_cnt; i++)
			*at++ = (uint8_t)((i + 1) % 2);
		/* Two types: an hour east and two hours east. */
		memcpy(at, "\0\0\x0e\x10\0\0\0\0\x1c\x20\0\0AAA", 16);
		at += 16;
		memset(at, 0, block * leap_cnt * 12);
		at += block * leap_cnt * 12;
	}
	return (size_t)(at - p) + (size_t)sprintf((char *)at, "%s", footer);
}

static int zone_at(const char *footer, int64_t at_s, struct pl_clock_zone *z)
{
	uint8_t data[512];

	return pl_clock_zone_parse(data, make_tzif(data, 0, NULL, 0, footer), at_s, z);
}

static void test_zone_files_by_hand(void **state)
{
	static const int64_t times[] = {1000, 2000};
	static const int64_t unsorted[] = {2000, 1000};
	struct pl_clock_zone z;
	uint8_t data[512];
	size_t size = make_tzif(data, 2, times, 0, "\n\n");

	(void)state;
	assert_int_equal(pl_clock_zone_parse(data, size, 999, &z), 0);
	assert_int_equal(z.offset_s, 3600);
	assert_int_equal(z.until_s, 1000);
	assert_int_equal(pl_clock_zone_parse(data, size, 1000, &z), 0);
	assert_int_equal(z.offset_s, 7200);
	assert_int_equal(z.until_s, 2000);
	assert_int_equal(pl_clock_zone_parse(data, size, 2000, &z), 0);
	assert_int_equal(z.offset_s, 3600);
	assert_int_equal(z.until_s, INT64_MAX);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(pl_clock_zone_parse(data, i, 1000, &z), -EINVAL);
	data[0] = 't';
	assert_int_equal(pl_clock_zone_parse(data, size, 1000, &z), -EINVAL);
	size = make_tzif(data, 2, unsorted, 0, "\n\n");
	assert_int_equal(pl_clock_zone_parse(data, size, 1500, &z), -EINVAL);
	size = make_tzif(data, 2, times, 1, "\n\n");
	assert_int_equal(pl_clock_zone_parse(data, size, 1500, &z), -EINVAL);
	size = make_tzif(data, 2, times, 0, "\n\n");
	assert_int_equal(pl_clock_zone_parse(data, size, INT64_MAX, &z), -EINVAL);
	assert_int_equal(pl_clock_zone_parse(data, size, INT64_MIN, &z), -EINVAL);
	data[44 + 16 + 44 + 16] = 2; /* a type that is not there */
	assert_int_equal(pl_clock_zone_parse(data, size, 1500, &z), -EINVAL);
}

static void test_zone_rules_by_hand(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"KST-9\n",
		"\nKST-9",
		"\nKS-9\n",
		"\nKST\n",
		"\nKST-25\n",
		"\nKST-9:60\n",
		"\nKST-9KDT\n",
		"\nKST-9KDT,M3.5.0\n",
		"\nKST-9KDT,M13.1.0,M1.1.0\n",
		"\nKST-9KDT,M3.6.0,M1.1.0\n",
		"\nKST-9KDT,M3.1.7,M1.1.0\n",
		"\nKST-9KDT,J0,J1\n",
		"\nKST-9KDT,J366,J1\n",
		"\nKST-9KDT,366,1\n",
		"\nKST-9KDT,M3.5.0/168,J1\n",
		"\n<KST-9\n",
		"\nKST-9KDT,J1,J2x\n",
		"\nKST-99999999999\n",
	};
	struct pl_clock_zone z;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(bad); i++)
		assert_int_equal(zone_at(bad[i], 0, &z), -EINVAL);
	assert_int_equal(zone_at("\n<+0545>-5:45\n", 0, &z), 0);
	assert_int_equal(z.offset_s, 5 * 3600 + 45 * 60);
	/* 2024 is a leap year: day 59 is 29 February, J59 is the 28th, J60 is 1 March. */
	assert_int_equal(zone_at("\nAAA0BBB,59/0,J365/0\n", 1709164800 - 1, &z), 0);
	assert_int_equal(z.until_s, 1709164800);
	assert_int_equal(zone_at("\nAAA0BBB,J59/0,J365/0\n", 1709078400 - 1, &z), 0);
	assert_int_equal(z.until_s, 1709078400);
	assert_int_equal(zone_at("\nAAA0BBB,J60/0,J365/0\n", 1709251200 - 1, &z), 0);
	assert_int_equal(z.until_s, 1709251200);
	/* Changes that the rule moves over the turn of the year: the last one was two names ago. */
	for (int64_t t = -2208988800; t < -2208988800 + 3060; t += 60) {
		assert_int_equal(zone_at("\nAAA0BBB,365,7/-166:9\n", t, &z), 0);
		assert_int_equal(z.offset_s, 3600);
		assert_int_equal(z.until_s, -2208985740);
	}
	/* Daylight time all year, as RFC 8536 writes it. */
	for (int64_t t = 1700000000; t < 1740000000; t += 86400 * 9) {
		assert_int_equal(zone_at("\nEST5EDT,0/0,J365/25\n", t, &z), 0);
		assert_int_equal(z.offset_s, -4 * 3600);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zone_of_seoul_and_utc),
		cmocka_unit_test(test_zone_says_until_when),
		cmocka_unit_test(test_zones_agree_with_the_c_library),
		cmocka_unit_test(test_zone_names_that_are_none),
		cmocka_unit_test(test_zone_files_by_hand),
		cmocka_unit_test(test_zone_rules_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
