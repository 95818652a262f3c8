/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time zones from TZif files (RFC 8536). The C library's localtime_r() would need the process's
 * TZ variable and cannot say until when an offset holds; the file says both.
 */
#include "clock/pl_clock.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZONEINFO_DIR       "/usr/share/zoneinfo"
#define ZONE_FILE_SIZE_MAX 65536u /* bytes; the largest of tzdata has 4 KiB */
#define ZONE_TIME_S_MAX    ((int64_t)1 << 40)
#define ZONE_OFFSET_S_MAX  93600 /* 26 hours: RFC 8536, section 3.2 */
#define ZONE_RULE_SIZE_MAX 128u
#define TZIF_HEADER_SIZE   44u
#define TZIF_TYPE_SIZE     6u
#define DAY_S              86400

struct tzif_counts {
	uint32_t isut;
	uint32_t isstd;
	uint32_t leap;
	uint32_t time;
	uint32_t type;
	uint32_t chars;
};

static uint32_t be32_get(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static int64_t be64_get(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return (int64_t)be64toh(v);
}

/* Read a header and say how long the block behind it is. @return false for what is none. */
static bool read_header(const uint8_t *data, size_t size, uint32_t time_size,
			struct tzif_counts *cnt, size_t *block_size)
{
	uint32_t v[6];

	if (size < TZIF_HEADER_SIZE || memcmp(data, "TZif", 4) != 0 || data[4] < '2')
		return false;
	for (size_t i = 0; i < 6; i++) {
		v[i] = be32_get(data + 20 + i * 4);
		/* No count can be larger, and none of the sums below overflows. */
		if (v[i] > ZONE_FILE_SIZE_MAX)
			return false;
	}
	*cnt = (struct tzif_counts){v[0], v[1], v[2], v[3], v[4], v[5]};
	*block_size = (size_t)cnt->time * (time_size + 1) + (size_t)cnt->type * TZIF_TYPE_SIZE +
		      cnt->chars + (size_t)cnt->leap * (time_size + 4) + cnt->isstd + cnt->isut;
	return *block_size <= size - TZIF_HEADER_SIZE;
}

/* Days since 1970-01-01 of a day of the proleptic Gregorian calendar; month 1 .. 12. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	/* A year that begins in March has its leap day last. */
	int64_t y = month > 2 ? year : year - 1;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

static bool is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The rule of a POSIX TZ string for one of the year's two changes. */
struct change_rule {
	char form;    /* 'M', 'J', or '0' for days counted from 0 */
	int32_t week; /* M: 1 .. 5, 5 being the last */
	int32_t month;
	int32_t day; /* M: of the week, 0 is Sunday. else: of the year */
	int32_t time_s;
};

struct zone_rule {
	int32_t std_offset_s;
	int32_t dst_offset_s;
	bool has_dst;
	struct change_rule start;
	struct change_rule end;
};

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool take_int(const char **at, int32_t min, int32_t max, int32_t *out)
{
	int32_t v = 0;

	if (**at < '0' || **at > '9')
		return false;
	while (**at >= '0' && **at <= '9') {
		v = v * 10 + (*(*at)++ - '0');
		if (v > max)
			return false;
	}
	*out = v;
	return v >= min;
}

/* [+-]hh[:mm[:ss]] */
static bool take_hms(const char **at, int32_t hours_max, int32_t *out_s)
{
	int32_t sign = 1;
	int32_t h;
	int32_t m = 0;
	int32_t s = 0;

	if (take_char(at, '-'))
		sign = -1;
	else
		(void)take_char(at, '+');
	if (!take_int(at, 0, hours_max, &h))
		return false;
	if (take_char(at, ':')) {
		if (!take_int(at, 0, 59, &m))
			return false;
		if (take_char(at, ':') && !take_int(at, 0, 59, &s))
			return false;
	}
	*out_s = sign * (h * 3600 + m * 60 + s);
	return true;
}

static bool take_zone_name(const char **at)
{
	const char *letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	size_t size;

	if (take_char(at, '<')) {
		*at += strcspn(*at, ">");
		return take_char(at, '>');
	}
	size = strspn(*at, letters);
	*at += size;
	return size >= 3;
}

static bool take_change(const char **at, struct change_rule *r)
{
	*r = (struct change_rule){.form = '0', .time_s = 2 * 3600};
	if (!take_char(at, ','))
		return false;
	if (take_char(at, 'M')) {
		r->form = 'M';
		if (!take_int(at, 1, 12, &r->month) || !take_char(at, '.') ||
		    !take_int(at, 1, 5, &r->week) || !take_char(at, '.') ||
		    !take_int(at, 0, 6, &r->day))
			return false;
	} else if (take_char(at, 'J')) {
		r->form = 'J';
		if (!take_int(at, 1, 365, &r->day))
			return false;
	} else if (!take_int(at, 0, 365, &r->day)) {
		return false;
	}
	return !take_char(at, '/') || take_hms(at, 167, &r->time_s);
}

/* The TZ string in the file's footer: std offset [dst [offset] , start , end] */
static bool parse_rule(const char *at, struct zone_rule *r)
{
	*r = (struct zone_rule){0};
	if (!take_zone_name(&at) || !take_hms(&at, 24, &r->std_offset_s))
		return false;
	r->std_offset_s = -r->std_offset_s; /* POSIX counts west */
	if (*at == '\0')
		return true;
	r->has_dst = true;
	if (!take_zone_name(&at))
		return false;
	r->dst_offset_s = r->std_offset_s + 3600;
	if (*at != ',') {
		if (!take_hms(&at, 24, &r->dst_offset_s))
			return false;
		r->dst_offset_s = -r->dst_offset_s;
	}
	return take_change(&at, &r->start) && take_change(&at, &r->end) && *at == '\0';
}

/* The moment of a change in a year, before which offset_s holds. */
static int64_t change_time(const struct change_rule *r, int64_t year, int32_t offset_s)
{
	int64_t day;

	if (r->form == 'M') {
		int64_t first = days_of(year, r->month, 1);
		int64_t next =
			r->month == 12 ? days_of(year + 1, 1, 1) : days_of(year, r->month + 1, 1);
		/* 1970-01-01 was a Thursday. */
		int64_t weekday = (((first + 4) % 7) + 7) % 7;

		day = first + (r->day - weekday + 7) % 7 + (r->week - 1) * 7;
		if (day >= next)
			day -= 7;
	} else {
		day = days_of(year, 1, 1) + r->day;
		if (r->form == 'J') {
			day--;
			if (is_leap(year) && r->day >= 60) /* J60 is 1 March in any year */
				day++;
		}
	}
	return day * DAY_S + r->time_s - offset_s;
}

static void apply_rule(const struct zone_rule *r, int64_t at_s, struct pl_clock_zone *out)
{
	int64_t year = 1970 + at_s / 31556952;
	int64_t last_s = INT64_MIN;

	*out = (struct pl_clock_zone){
		.from_s = INT64_MIN, .until_s = INT64_MAX, .offset_s = r->std_offset_s};
	if (!r->has_dst)
		return;
	/*
	 * The newest past change and the next. year may be one off, and a rule may move a change
	 * by a week into another year, so look at three to either side. Of two changes at the same
	 * moment the start wins: daylight time all year is written so.
	 */
	for (int64_t y = year - 3; y <= year + 3; y++) {
		int64_t end_s = change_time(&r->end, y, r->dst_offset_s);
		int64_t start_s = change_time(&r->start, y, r->std_offset_s);

		if (end_s <= at_s && end_s > last_s) {
			last_s = end_s;
			out->offset_s = r->std_offset_s;
		}
		if (start_s <= at_s && start_s >= last_s) {
			last_s = start_s;
			out->offset_s = r->dst_offset_s;
		}
		if (end_s > at_s && end_s < out->until_s)
			out->until_s = end_s;
		if (start_s > at_s && start_s < out->until_s)
			out->until_s = start_s;
	}
	out->from_s = last_s;
}

/* footer: what follows the second block: newline, TZ string, newline. */
static int parse_footer(const uint8_t *footer, size_t size, int64_t at_s, bool *has_rule,
			struct pl_clock_zone *out)
{
	char text[ZONE_RULE_SIZE_MAX];
	struct zone_rule rule;
	const uint8_t *end;

	*has_rule = false;
	if (size < 2 || footer[0] != '\n')
		return -EINVAL;
	end = memchr(footer + 1, '\n', size - 1);
	if (end == NULL || (size_t)(end - footer) > sizeof(text))
		return -EINVAL;
	if (end == footer + 1)
		return 0;
	memcpy(text, footer + 1, (size_t)(end - footer) - 1);
	text[end - footer - 1] = '\0';
	if (!parse_rule(text, &rule))
		return -EINVAL;
	*has_rule = true;
	apply_rule(&rule, at_s, out);
	return 0;
}

int pl_clock_zone_parse(const uint8_t *data, size_t size, int64_t at_s, struct pl_clock_zone *out)
{
	struct tzif_counts cnt;
	struct pl_clock_zone by_rule;
	const uint8_t *times;
	const uint8_t *types;
	uint32_t passed_cnt = 0;
	int64_t passed_s = INT64_MIN;
	uint32_t type;
	size_t block_size;
	bool has_rule;

	*out = (struct pl_clock_zone){0};
	if (size > ZONE_FILE_SIZE_MAX || at_s < -ZONE_TIME_S_MAX || at_s > ZONE_TIME_S_MAX)
		return -EINVAL;
	/* The first block has 32-bit times: passed over. */
	if (!read_header(data, size, 4, &cnt, &block_size))
		return -EINVAL;
	data += TZIF_HEADER_SIZE + block_size;
	size -= TZIF_HEADER_SIZE + block_size;
	if (!read_header(data, size, 8, &cnt, &block_size) || cnt.type == 0 || cnt.leap != 0)
		return -EINVAL;
	data += TZIF_HEADER_SIZE;
	times = data;
	types = times + (size_t)cnt.time * 8;
	if (parse_footer(data + block_size, size - TZIF_HEADER_SIZE - block_size, at_s, &has_rule,
			 &by_rule) != 0)
		return -EINVAL;

	for (uint32_t i = 0; i < cnt.time; i++) {
		int64_t t = be64_get(times + (size_t)i * 8);

		if (i != 0 && t <= be64_get(times + (size_t)(i - 1) * 8))
			return -EINVAL;
		if (t <= at_s)
			passed_cnt = i + 1;
	}
	if (passed_cnt != 0)
		passed_s = be64_get(times + (size_t)(passed_cnt - 1) * 8);
	if (passed_cnt == cnt.time && has_rule) {
		*out = by_rule;
		if (out->from_s < passed_s) /* the rule begins with the last change in the table */
			out->from_s = passed_s;
		return 0;
	}
	type = passed_cnt == 0 ? 0 : types[passed_cnt - 1];
	if (type >= cnt.type)
		return -EINVAL;
	out->offset_s = (int32_t)be32_get(types + cnt.time + (size_t)type * TZIF_TYPE_SIZE);
	out->from_s = passed_s;
	out->until_s =
		passed_cnt == cnt.time ? INT64_MAX : be64_get(times + (size_t)passed_cnt * 8);
	return out->offset_s >= -ZONE_OFFSET_S_MAX && out->offset_s <= ZONE_OFFSET_S_MAX ? 0
											 : -EINVAL;
}

/* A name of the database, and nothing that leads out of it. */
static bool is_zone_name(const char *s)
{
	size_t size = strlen(s);

	return size > 0 && size < PL_CLOCK_ZONE_NAME_SIZE && s[0] != '/' && s[size - 1] != '/' &&
	       strstr(s, "//") == NULL &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") ==
		       size;
}

int pl_clock_zone_get(const char *tz_name, int64_t at_s, struct pl_clock_zone *out)
{
	uint8_t data[16384]; /* a larger one is no zone of tzdata's, and does not parse cut short */
	char path[sizeof(ZONEINFO_DIR) + PL_CLOCK_ZONE_NAME_SIZE];
	struct stat st;
	ssize_t size;
	int fd;
	int rc;

	*out = (struct pl_clock_zone){.from_s = INT64_MIN, .until_s = INT64_MAX};
	if (!is_zone_name(tz_name))
		return -ENOENT;
	if (strcmp(tz_name, "UTC") == 0)
		return 0;
	snprintf(path, sizeof(path), ZONEINFO_DIR "/%s", tz_name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return access(ZONEINFO_DIR, F_OK) != 0 ? -ENODEV : -ENOENT;
	if (fd < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -ENOENT; /* "Asia" is a directory, not a zone */
	}
	size = read(fd, data, sizeof(data));
	rc = -errno;
	close(fd);
	if (size < 0)
		return rc;
	return pl_clock_zone_parse(data, (size_t)size, at_s, out);
}
