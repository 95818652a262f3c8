/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Calendar dates as days since 1970-01-01, in the proleptic Gregorian calendar, with no time
 * zone and no system call. Days before 1970 are negative.
 *
 * Algorithm: years that start in March, in eras of 400 years (Howard Hinnant, "chrono-compatible
 * low-level date algorithms", 2013).
 */
#ifndef PL_DATE_H
#define PL_DATE_H

#include "base/pl_base.h"

#define PL_DATE_TEXT_SIZE 11u /* "YYYY-MM-DD" and NUL */

/** Day number of a date; month 1 .. 12, day 1 .. 31. Does not check that the date exists. */
static inline int32_t pl_date_to_day(int32_t year, uint32_t month, uint32_t day)
{
	int32_t y = month <= 2 ? year - 1 : year;
	int32_t era = (y >= 0 ? y : y - 399) / 400;
	uint32_t year_of_era = (uint32_t)(y - era * 400);
	uint32_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	uint32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + (int32_t)day_of_era - 719468;
}

static inline void pl_date_from_day(int32_t day_cnt, int32_t *year, uint32_t *month, uint32_t *day)
{
	int32_t z = day_cnt + 719468;
	int32_t era = (z >= 0 ? z : z - 146096) / 146097;
	uint32_t doe = (uint32_t)(z - era * 146097);
	uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint32_t mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (int32_t)yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

/**
 * Read exactly "YYYY-MM-DD", a date that exists, years 0000 .. 9999.
 *
 * @param text  text_size bytes; need not end with NUL.
 * @return false, and *day untouched, for anything else.
 */
static inline bool pl_date_parse(const char *text, size_t text_size, int32_t *day)
{
	uint32_t f[3] = {0, 0, 0};
	int32_t y, got;
	uint32_t m, d;

	if (text_size != PL_DATE_TEXT_SIZE - 1 || text[4] != '-' || text[7] != '-')
		return false;
	for (uint32_t i = 0, field = 0; i < text_size; i++) {
		if (i == 4 || i == 7) {
			field++;
			continue;
		}
		if (text[i] < '0' || text[i] > '9')
			return false;
		f[field] = f[field] * 10 + (uint32_t)(text[i] - '0');
	}
	if (f[1] < 1 || f[1] > 12 || f[2] < 1 || f[2] > 31)
		return false;
	/* A day that the month does not have comes back as another date. */
	got = pl_date_to_day((int32_t)f[0], f[1], f[2]);
	pl_date_from_day(got, &y, &m, &d);
	if (m != f[1] || d != f[2])
		return false;
	*day = got;
	return true;
}

/** "YYYY-MM-DD" of a day whose year is 0 .. 9999; "?" for any other. */
static inline void pl_date_format(int32_t day_cnt, char text[PL_DATE_TEXT_SIZE])
{
	int32_t y;
	uint32_t m, d;

	pl_date_from_day(day_cnt, &y, &m, &d);
	if (y < 0 || y > 9999 || m > 12 || d > 31) {
		memcpy(text, "?", 2);
		return;
	}
	snprintf(text, PL_DATE_TEXT_SIZE, "%04u-%02u-%02u", (unsigned int)y % 10000u, m % 100u,
		 d % 100u);
}

#endif
