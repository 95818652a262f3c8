/* SPDX-License-Identifier: BSD-3-Clause */
/* Days and dates: every day against the C library, and what is no date. */
#include "base/pl_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <cmocka.h>

static bool parse(const char *text, int32_t *day)
{
	return pl_date_parse(text, strlen(text), day);
}

static void test_every_day_agrees_with_the_c_library(void **state)
{
	(void)state;
	for (int32_t day = -800000; day < 2900000; day++) { /* years -221 to 9909 */
		time_t seconds = (time_t)day * 86400;
		struct tm tm;
		int32_t y;
		uint32_t m, d;

		assert_non_null(gmtime_r(&seconds, &tm));
		pl_date_from_day(day, &y, &m, &d);
		if (y != tm.tm_year + 1900 || (int)m != tm.tm_mon + 1 || (int)d != tm.tm_mday ||
		    pl_date_to_day(y, m, d) != day)
			fail_msg("day %d", day);
	}
}

static void test_dates_are_read_and_written(void **state)
{
	char text[PL_DATE_TEXT_SIZE];
	int32_t day;

	(void)state;
	assert_true(parse("1970-01-01", &day));
	assert_int_equal(day, 0);
	assert_true(parse("2021-12-13", &day));
	assert_int_equal(day, 18974);
	pl_date_format(day, text);
	assert_string_equal(text, "2021-12-13");
	assert_true(parse("2000-02-29", &day));
	assert_true(parse("9999-12-31", &day));
	pl_date_format(day, text);
	assert_string_equal(text, "9999-12-31");
	pl_date_format(day + 1, text);
	assert_string_equal(text, "?");
	assert_true(parse("0000-01-01", &day));
	pl_date_format(day - 1, text);
	assert_string_equal(text, "?");
}

static void test_what_is_no_date_is_refused(void **state)
{
	static const char *const bad[] = {
		"",           "2021-12-1",  "2021-12-130", "2021/12/13", "2021-13-01",
		"2021-00-10", "2021-04-31", "2021-02-29",  "1900-02-29", "2021-01-00",
		"2021-01-32", "20a1-01-01", "+021-01-01",  "2021-1 -01", " 2021-01-0",
	};
	int32_t day = 77;

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++)
		assert_false(parse(bad[i], &day));
	assert_int_equal(day, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_day_agrees_with_the_c_library),
		cmocka_unit_test(test_dates_are_read_and_written),
		cmocka_unit_test(test_what_is_no_date_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
