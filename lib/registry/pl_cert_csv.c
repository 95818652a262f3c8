/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/pl_date.h"
#include "base/pl_fail.h"
#include "registry/pl_cert_csv.h"

#define READ_SIZE 65536u
#define SHOW_SIZE 40u /* of a bad field, in a message */

enum column {
	COLUMN_ID,
	COLUMN_KIND,
	COLUMN_EVENT_DATE,
	COLUMN_KEY_EPOCH,
	COLUMN_GENERATION,
	COLUMN_REVOKED,
	COLUMN_SUSPENDED,
};

static const struct {
	const char *name;
	const char *expected;
	bool required;
} columns[PL_CERT_CSV_COLUMN_CNT] = {
	[COLUMN_ID] = {"id", "0x and up to 16 hex digits, or decimal, not 0", true},
	[COLUMN_KIND] = {"kind",
			 "one of"
#define K(id, num, name, text) " " name
			 PL_CERT_KINDS(K)
#undef K
				 ,
			 true},
	[COLUMN_EVENT_DATE] = {"event_date", "YYYY-MM-DD, 1970-01-01 to 2149-06-06", true},
	[COLUMN_KEY_EPOCH] = {"key_epoch", "0 to 7", false},
	[COLUMN_GENERATION] = {"generation", "0 to 15", false},
	[COLUMN_REVOKED] = {"revoked", "0 or 1", false},
	[COLUMN_SUSPENDED] = {"suspended", "0 or 1", false},
};

/* A field or a line: bytes without an end. */
struct span {
	const char *at;
	size_t size;
};

/** Someone else's bytes, made fit for a terminal. */
static const char *show(struct span s, char text[SHOW_SIZE])
{
	size_t cnt = s.size < SHOW_SIZE - 4 ? s.size : SHOW_SIZE - 4;

	for (size_t i = 0; i < cnt; i++)
		text[i] = s.at[i] >= ' ' && s.at[i] <= '~' ? s.at[i] : '?';
	memcpy(text + cnt, cnt < s.size ? "..." : "", cnt < s.size ? 4 : 1);
	return text;
}

void pl_cert_id_format(uint64_t id, char text[PL_CERT_ID_TEXT_SIZE])
{
	snprintf(text, PL_CERT_ID_TEXT_SIZE, "0x%016" PRIx64, id);
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

bool pl_cert_id_parse(const char *text, size_t size, uint64_t *id)
{
	uint64_t base = 10, value = 0;
	size_t size_max = 20;

	if (size > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		size_max = 16;
		text += 2;
		size -= 2;
	}
	if (size == 0 || size > size_max)
		return false;
	for (size_t i = 0; i < size; i++) {
		uint64_t digit = (uint64_t)digit_of(text[i]);

		if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	*id = value;
	return value != 0;
}

/** Cut the first field off the rest, quotes taken away. @return false if quotes do not match. */
static bool take_field(struct span *rest, struct span *field, bool *last)
{
	const char *comma = memchr(rest->at, ',', rest->size);
	size_t size = comma == NULL ? rest->size : (size_t)(comma - rest->at);

	field->at = rest->at;
	field->size = size;
	*last = comma == NULL;
	rest->at += size + !*last;
	rest->size -= size + !*last;
	if (field->size == 0 || memchr(field->at, '"', field->size) == NULL)
		return true;
	if (field->size < 2 || field->at[0] != '"' || field->at[field->size - 1] != '"')
		return false;
	field->at++;
	field->size -= 2;
	return memchr(field->at, '"', field->size) == NULL;
}

static bool span_is(struct span s, const char *text)
{
	return s.size == strlen(text) && memcmp(s.at, text, s.size) == 0;
}

int pl_cert_csv_header(struct pl_cert_csv_layout *layout, const char *text, size_t size,
		       char *error, size_t error_size)
{
	struct span rest = {.at = text, .size = size};
	bool there[PL_CERT_CSV_COLUMN_CNT] = {false};
	char shown[SHOW_SIZE];
	bool last = false;

	layout->column_cnt = 0;
	while (!last) {
		struct span field;
		uint8_t c = 0;

		if (!take_field(&rest, &field, &last))
			return pl_fail(-EINVAL, error, error_size, "header: quotes do not match");
		while (c < PL_CERT_CSV_COLUMN_CNT && !span_is(field, columns[c].name))
			c++;
		if (c == PL_CERT_CSV_COLUMN_CNT)
			return pl_fail(
				-EINVAL, error, error_size,
				"header: no column is called \"%s\"; expected " PL_CERT_CSV_HEADER,
				show(field, shown));
		if (there[c])
			return pl_fail(-EINVAL, error, error_size,
				       "header: column %s is there twice", columns[c].name);
		there[c] = true;
		layout->column[layout->column_cnt++] = c;
	}
	for (uint32_t c = 0; c < PL_CERT_CSV_COLUMN_CNT; c++)
		if (!there[c] && columns[c].required && (c == COLUMN_ID || !layout->ids_only))
			return pl_fail(-EINVAL, error, error_size,
				       "header: column %s is missing; expected " PL_CERT_CSV_HEADER,
				       columns[c].name);
	return 0;
}

/** A number without sign, at most three digits; an empty field keeps what *value was. */
static bool parse_small(struct span s, uint32_t max, uint8_t *value)
{
	uint32_t v = 0;

	if (s.size == 0)
		return true;
	if (s.size > 3)
		return false;
	for (size_t i = 0; i < s.size; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(s.at[i] - '0');
	}
	*value = (uint8_t)v;
	return v <= max;
}

static bool parse_flag(struct span s, bool *value)
{
	uint8_t v = 0;
	bool ok = parse_small(s, 1, &v);

	*value = v != 0;
	return ok;
}

static bool parse_field(uint8_t column, struct span s, struct pl_cert *c)
{
	char name[24];
	int32_t day;

	switch (column) {
	case COLUMN_ID:
		return pl_cert_id_parse(s.at, s.size, &c->id);
	case COLUMN_KIND:
		if (s.size >= sizeof(name) || memchr(s.at, '\0', s.size) != NULL)
			return false;
		memcpy(name, s.at, s.size);
		name[s.size] = '\0';
		c->kind = (uint8_t)pl_cert_kind_by_name(name);
		return c->kind != PL_CERT_NONE;
	case COLUMN_EVENT_DATE:
		if (!pl_date_parse(s.at, s.size, &day) || day < 0 ||
		    day > (int32_t)PL_CERT_EVENT_DAY_MAX)
			return false;
		c->event_day = (uint16_t)day;
		return true;
	case COLUMN_KEY_EPOCH:
		return parse_small(s, PL_CERT_KEY_EPOCH_CNT - 1, &c->key_epoch);
	case COLUMN_GENERATION:
		return parse_small(s, PL_CERT_GENERATION_MAX, &c->generation);
	case COLUMN_REVOKED:
		return parse_flag(s, &c->revoked);
	default:
		return parse_flag(s, &c->suspended);
	}
}

int pl_cert_csv_line(const struct pl_cert_csv_layout *layout, const char *text, size_t size,
		     struct pl_cert *out, char *error, size_t error_size)
{
	struct pl_cert c = {.key_epoch = layout->key_epoch};
	struct span rest = {.at = text, .size = size};
	char shown[SHOW_SIZE];
	uint32_t cnt = 0;
	bool last = false;

	if (size == 0)
		return pl_fail(-EINVAL, error, error_size, "expected %u fields, the line is empty",
			       layout->column_cnt);
	while (!last) {
		struct span field;

		if (!take_field(&rest, &field, &last))
			return pl_fail(-EINVAL, error, error_size, "field %u: quotes do not match",
				       cnt + 1);
		if (cnt < layout->column_cnt) {
			uint8_t column = layout->column[cnt];

			if (!(layout->ids_only && column != COLUMN_ID) &&
			    !parse_field(column, field, &c))
				return pl_fail(-EINVAL, error, error_size,
					       "field %s: expected %s, got \"%s\"",
					       columns[column].name, columns[column].expected,
					       show(field, shown));
		}
		cnt++;
	}
	if (cnt != layout->column_cnt)
		return pl_fail(-EINVAL, error, error_size, "expected %u fields, got %u",
			       layout->column_cnt, cnt);
	*out = c;
	return 0;
}

size_t pl_cert_csv_format(const struct pl_cert *c, char line[PL_CERT_CSV_OUT_SIZE])
{
	char date[PL_DATE_TEXT_SIZE];
	const char *kind = pl_cert_kind_name(c->kind);

	pl_date_format(c->event_day, date);
	return (size_t)snprintf(line, PL_CERT_CSV_OUT_SIZE, "0x%016" PRIx64 ",%s,%s,%u,%u,%u,%u\n",
				c->id, kind == NULL ? "?" : kind, date, c->key_epoch, c->generation,
				c->revoked, c->suspended);
}

struct pl_cert_csv {
	int fd;
	const char *name;
	struct pl_cert_csv_layout layout;
	uint64_t line_nr;
	size_t line_size; /* of `line`; over the limit: the line was longer and is cut */
	size_t header_size;
	size_t read_at;
	size_t read_end;
	char line[PL_CERT_CSV_LINE_SIZE_MAX + 1];
	char header[PL_CERT_CSV_LINE_SIZE_MAX + 1];
	char buffer[READ_SIZE];
};

/** One line into csv->line, its end taken away. @return 1, 0 at the end of file, -errno. */
static int next_line(struct pl_cert_csv *csv)
{
	bool any = false;

	csv->line_size = 0;
	for (;;) {
		const char *from = csv->buffer + csv->read_at;
		size_t there = csv->read_end - csv->read_at;
		const char *end = memchr(from, '\n', there);
		size_t part = end == NULL ? there : (size_t)(end - from);
		size_t room = sizeof(csv->line) - csv->line_size;
		size_t copy = part < room ? part : room;

		memcpy(csv->line + csv->line_size, from, copy);
		csv->line_size += copy;
		csv->read_at += part + (end != NULL);
		any = any || there > 0;
		if (end != NULL)
			break;
		csv->read_at = csv->read_end = 0;
		ssize_t got = read(csv->fd, csv->buffer, sizeof(csv->buffer));

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			csv->read_end = (size_t)got;
		if (got == 0 && !any)
			return 0;
		if (got == 0)
			break;
	}
	csv->line_nr++;
	if (csv->line_size > 0 && csv->line[csv->line_size - 1] == '\r')
		csv->line_size--;
	return 1;
}

int pl_cert_csv_open(const struct pl_cert_csv_conf *conf, struct pl_cert_csv **out, char *error,
		     size_t error_size)
{
	static const char mark[] = "\xef\xbb\xbf";
	bool standard_input = strcmp(conf->path, "-") == 0;
	struct pl_cert_csv *csv = calloc(1, sizeof(*csv));
	char why[256];
	size_t skip = 0;
	int rc;

	if (csv == NULL)
		return pl_fail(-ENOMEM, error, error_size, "out of memory");
	csv->name = standard_input ? "standard input" : conf->path;
	csv->layout.key_epoch = conf->key_epoch;
	csv->layout.ids_only = conf->ids_only;
	csv->fd = standard_input ? STDIN_FILENO : open(conf->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (csv->fd < 0) {
		rc = pl_fail(-errno, error, error_size, "%s: %s", csv->name, strerror(errno));
		goto err;
	}
	rc = next_line(csv);
	if (rc < 0) {
		(void)pl_fail(rc, error, error_size, "%s: %s", csv->name, strerror(-rc));
		goto err;
	}
	if (rc == 0 || csv->line_size > PL_CERT_CSV_LINE_SIZE_MAX) {
		rc = pl_fail(-EINVAL, error, error_size,
			     "%s:1: expected the header " PL_CERT_CSV_HEADER, csv->name);
		goto err;
	}
	if (csv->line_size >= 3 && memcmp(csv->line, mark, 3) == 0)
		skip = 3;
	csv->header_size = csv->line_size - skip;
	memcpy(csv->header, csv->line + skip, csv->header_size);
	rc = pl_cert_csv_header(&csv->layout, csv->header, csv->header_size, why, sizeof(why));
	if (rc != 0) {
		(void)pl_fail(rc, error, error_size, "%s:1: %s", csv->name, why);
		goto err;
	}
	*out = csv;
	return 0;

err:
	pl_cert_csv_close(csv);
	return rc;
}

void pl_cert_csv_close(struct pl_cert_csv *csv)
{
	if (csv == NULL)
		return;
	if (csv->fd >= 0 && csv->fd != STDIN_FILENO)
		close(csv->fd);
	free(csv);
}

int pl_cert_csv_next(struct pl_cert_csv *csv, struct pl_cert *out, char *error, size_t error_size)
{
	char why[256];
	int rc = next_line(csv);

	if (rc == 0)
		return 0;
	if (rc < 0)
		return pl_fail(rc, error, error_size, "%s: %s", csv->name, strerror(-rc));
	if (csv->line_size > PL_CERT_CSV_LINE_SIZE_MAX)
		rc = pl_fail(-EINVAL, why, sizeof(why), "expected a line of at most %u bytes",
			     PL_CERT_CSV_LINE_SIZE_MAX);
	else
		rc = pl_cert_csv_line(&csv->layout, csv->line, csv->line_size, out, why,
				      sizeof(why));
	if (rc != 0)
		return pl_fail(rc, error, error_size, "%s:%" PRIu64 ": %s", csv->name, csv->line_nr,
			       why);
	return 1;
}

const char *pl_cert_csv_text(const struct pl_cert_csv *csv, size_t *size)
{
	*size = csv->line_size < PL_CERT_CSV_LINE_SIZE_MAX ? csv->line_size
							   : PL_CERT_CSV_LINE_SIZE_MAX;
	return csv->line;
}

uint64_t pl_cert_csv_line_nr(const struct pl_cert_csv *csv)
{
	return csv->line_nr;
}

const char *pl_cert_csv_header_text(const struct pl_cert_csv *csv, size_t *size)
{
	*size = csv->header_size;
	return csv->header;
}
