/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "base/pl_date.h"
#include "base/pl_fail.h"
#include "population/pl_population.h"

/* The national dose counts, as the file in the tree has them. */
__asm__(".section .rodata\n"
	".globl pl_population_doses_csv\n"
	".globl pl_population_doses_csv_end\n"
	"pl_population_doses_csv:\n"
	".incbin \"" PL_POPULATION_DOSES_CSV "\"\n"
	"pl_population_doses_csv_end:\n"
	".byte 0\n"
	".previous\n");
extern const char pl_population_doses_csv[];
extern const char pl_population_doses_csv_end[];

#define ENFORCEMENT_DAY 18974 /* 2021-12-13 */
#define BOOSTER_DAYS    63u   /* boosters: given on this many days, up to enforcement day */
#define QUANTILE_CNT    65536u
#define DOSE_DAYS_MAX   4096u
#define CSV_SIZE_MAX    (1u << 20)

/* Event days reach 209 days back for the recovered, and 15 years ahead for children. */
#define AS_OF_DAY_MIN 5000
#define AS_OF_DAY_MAX 60000

/* S(kind, share in 65536ths); docs in the header */
#define SHARES(S)              \
	S(PRIMARY, 48497)      \
	S(BOOSTER, 8520)       \
	S(RECOVERED, 1966)     \
	S(PCR_NEGATIVE, 2621)  \
	S(MEDICAL_EXEMPT, 655) \
	S(UNDER_AGE, 3277)
#define S(kind, share) share +
static_assert(SHARES(S) 0 == 65536, "shares make a whole");
#undef S

struct pl_population {
	uint64_t base; /* ids are pl_mix64(base + 2 idx), absent ones pl_mix64(base + 2 idx + 1) */
	uint64_t facts_key;
	uint64_t cert_cnt;
	int32_t as_of_day;
	uint8_t key_epoch;
	/* Days before as_of_day on which a dose was given, by quantile of the doses. */
	uint16_t any_dose[QUANTILE_CNT];
	uint16_t late_dose[QUANTILE_CNT];
};

/** Doses by day, of a "date,cumulative_doses" file, up to enforcement day. */
struct doses {
	uint32_t day_cnt; /* the last one is enforcement day */
	uint64_t cumulative[DOSE_DAYS_MAX];
};

static bool parse_count(const char *text, size_t size, uint64_t *value)
{
	*value = 0;
	if (size == 0 || size > 15)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*value = *value * 10 + (uint64_t)(text[i] - '0');
	}
	return true;
}

/** One line, without its newline. *day is the day of the line before, INT32_MIN at first. */
static const char *parse_line(struct doses *d, const char *line, size_t size, int32_t *day)
{
	int32_t this_day;
	uint64_t cumulative;

	if (size < PL_DATE_TEXT_SIZE || line[PL_DATE_TEXT_SIZE - 1] != ',' ||
	    !pl_date_parse(line, PL_DATE_TEXT_SIZE - 1, &this_day))
		return "expected a date, YYYY-MM-DD, then a comma";
	if (!parse_count(line + PL_DATE_TEXT_SIZE, size - PL_DATE_TEXT_SIZE, &cumulative))
		return "expected a count of doses after the comma";
	if (*day != INT32_MIN && this_day != *day + 1)
		return "expected the day after the line before";
	*day = this_day;
	if (this_day > ENFORCEMENT_DAY)
		return NULL;
	if (d->day_cnt > 0 && cumulative < d->cumulative[d->day_cnt - 1])
		return "expected a count not below the line before: doses are cumulative";
	if (d->day_cnt == DOSE_DAYS_MAX)
		return "too many days before 2021-12-13";
	d->cumulative[d->day_cnt++] = cumulative;
	return NULL;
}

static int parse_doses(struct doses *d, const char *path, const char *text, size_t size,
		       char *error, size_t error_size)
{
	static const char header[] = "date,cumulative_doses";
	int32_t day = INT32_MIN;
	uint32_t line_nr = 0;

	d->day_cnt = 0;
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t line_size = end == NULL ? size : (size_t)(end - text);
		const char *wrong = NULL;

		line_nr++;
		if (line_nr > 1)
			wrong = parse_line(d, text, line_size, &day);
		else if (line_size != sizeof(header) - 1 || memcmp(text, header, line_size) != 0)
			wrong = "expected the header \"date,cumulative_doses\"";
		if (wrong != NULL)
			return pl_fail(-EINVAL, error, error_size, "%s:%u: %s", path, line_nr,
				       wrong);
		line_size += end != NULL;
		text += line_size;
		size -= line_size;
	}
	if (day == INT32_MIN || day < ENFORCEMENT_DAY || d->day_cnt <= BOOSTER_DAYS)
		return pl_fail(
			-EINVAL, error, error_size,
			"%s: expected a line for each day from 2021-10-11 or before to 2021-12-13",
			path);
	if (d->cumulative[d->day_cnt - 1] == d->cumulative[d->day_cnt - 1 - BOOSTER_DAYS])
		return pl_fail(-EINVAL, error, error_size,
			       "%s: expected doses between 2021-10-12 and 2021-12-13", path);
	return 0;
}

static int load_doses(struct doses *d, const char *path, char *error, size_t error_size)
{
	char *text;
	size_t size;
	FILE *f;
	int rc;

	if (path == NULL)
		return parse_doses(d, "built-in doses", pl_population_doses_csv,
				   (size_t)(pl_population_doses_csv_end - pl_population_doses_csv),
				   error, error_size);
	f = fopen(path, "re");
	if (f == NULL)
		return pl_fail(-errno, error, error_size, "%s: %s", path, strerror(errno));
	text = malloc(CSV_SIZE_MAX + 1);
	if (text == NULL) {
		rc = pl_fail(-ENOMEM, error, error_size, "%s: out of memory", path);
		goto out;
	}
	size = fread(text, 1, CSV_SIZE_MAX + 1, f);
	if (ferror(f))
		rc = pl_fail(-EIO, error, error_size, "%s: cannot be read", path);
	else if (size > CSV_SIZE_MAX)
		rc = pl_fail(-EINVAL, error, error_size, "%s: longer than %u bytes", path,
			     CSV_SIZE_MAX);
	else
		rc = parse_doses(d, path, text, size, error, error_size);
out:
	free(text);
	fclose(f);
	return rc;
}

/** days_before[q]: the day of dose number (q + 1/2) of QUANTILE_CNT among those from `first`. */
static void fill_quantiles(const struct doses *d, uint32_t first, uint16_t *days_before)
{
	uint64_t before = first == 0 ? 0 : d->cumulative[first - 1];
	uint64_t total = d->cumulative[d->day_cnt - 1] - before;
	uint32_t day = first;

	for (uint32_t q = 0; q < QUANTILE_CNT; q++) {
		/* total < 10^15 < 2^50, so this needs more than 64 bits for a moment. */
		uint64_t dose =
			(uint64_t)((unsigned __int128)total * (2 * q + 1) / (2 * QUANTILE_CNT));

		while (d->cumulative[day] - before <= dose)
			day++;
		days_before[q] = (uint16_t)(d->day_cnt - 1 - day);
	}
}

int pl_population_create(const struct pl_population_conf *conf, struct pl_population **out,
			 char *error, size_t error_size)
{
	struct pl_population *p;
	struct doses *d;
	int rc;

	if (conf->cert_cnt == 0 || conf->cert_cnt > PL_POPULATION_CERTS_MAX)
		return pl_fail(-EINVAL, error, error_size,
			       "a population has 1 to %llu certificates", PL_POPULATION_CERTS_MAX);
	if (conf->as_of_day < AS_OF_DAY_MIN || conf->as_of_day > AS_OF_DAY_MAX)
		return pl_fail(-EINVAL, error, error_size,
			       "a population's day is between 1983-09-10 and 2134-04-11");
	if (conf->key_epoch >= PL_CERT_KEY_EPOCH_CNT)
		return pl_fail(-EINVAL, error, error_size, "a key epoch is 0 to %u",
			       PL_CERT_KEY_EPOCH_CNT - 1);
	p = calloc(1, sizeof(*p));
	d = calloc(1, sizeof(*d));
	if (p == NULL || d == NULL) {
		rc = pl_fail(-ENOMEM, error, error_size, "out of memory");
		goto out;
	}
	rc = load_doses(d, conf->doses_csv_path, error, error_size);
	if (rc != 0)
		goto out;
	/* Not 0 and below 2^63: base + 2 idx + 1 wraps for no idx, so no id is 0. */
	p->base = (pl_mix64(conf->seed ^ 0x706f70756c617465ULL) >> 1) | 1;
	p->facts_key = pl_mix64(conf->seed + 0x9e3779b97f4a7c15ULL);
	p->cert_cnt = conf->cert_cnt;
	p->as_of_day = conf->as_of_day;
	p->key_epoch = conf->key_epoch;
	fill_quantiles(d, 0, p->any_dose);
	fill_quantiles(d, d->day_cnt - BOOSTER_DAYS, p->late_dose);
	*out = p;
	p = NULL;
out:
	free(p);
	free(d);
	return rc;
}

void pl_population_destroy(struct pl_population *p)
{
	free(p);
}

uint64_t pl_population_cert_cnt(const struct pl_population *p)
{
	return p->cert_cnt;
}

uint64_t pl_population_id(const struct pl_population *p, uint64_t idx)
{
	return pl_mix64(p->base + 2 * idx);
}

uint64_t pl_population_absent_id(const struct pl_population *p, uint64_t idx)
{
	return pl_mix64(p->base + 2 * idx + 1);
}

/** 0 .. cnt - 1, evenly, from 16 random bits. */
static int32_t evenly(uint32_t bits, uint32_t cnt)
{
	return (int32_t)((bits & 0xffffu) * cnt >> 16);
}

static uint8_t draw_kind(uint32_t bits)
{
	uint32_t upto = 0;

#define S(kind, share)   \
	upto += (share); \
	if (bits < upto) \
		return PL_CERT_##kind;
	SHARES(S)
#undef S
	return PL_CERT_PRIMARY;
}

static int32_t draw_days_before(const struct pl_population *p, uint8_t kind, uint32_t bits)
{
	switch (kind) {
	case PL_CERT_BOOSTER:
		return p->late_dose[bits];
	case PL_CERT_RECOVERED:
		return evenly(bits, 210);
	case PL_CERT_PCR_NEGATIVE:
		return evenly(bits, 4);
	case PL_CERT_MEDICAL_EXEMPT:
		return evenly(bits, 270);
	case PL_CERT_UNDER_AGE:
		return evenly(bits, 5509) - 5479;
	default:
		return p->any_dose[bits];
	}
}

struct pl_cert pl_population_cert(const struct pl_population *p, uint64_t idx)
{
	uint64_t id = pl_population_id(p, idx);
	uint64_t r = pl_mix64(id ^ p->facts_key);
	uint32_t fate = (uint32_t)(r >> 32) & 0xffffu;
	uint8_t kind = draw_kind((uint32_t)r & 0xffffu);
	int32_t days_before = draw_days_before(p, kind, (uint32_t)(r >> 16) & 0xffffu);

	return (struct pl_cert){
		.id = id,
		.kind = kind,
		.key_epoch = p->key_epoch,
		.event_day = (uint16_t)(p->as_of_day - days_before),
		.revoked = fate >> 8 == 0,
		.suspended = fate >> 8 == 1,
	};
}
