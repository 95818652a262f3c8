/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <time.h>

#include "ctl.h"

const char *pl_cli_count_text(uint64_t n, char text[32])
{
	char digits[24];
	int size = snprintf(digits, sizeof(digits), "%" PRIu64, n), at = 0;

	for (int i = 0; i < size; i++) {
		if (i > 0 && (size - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	return text;
}

const char *pl_cli_span_text(uint64_t s, char text[32])
{
	if (s < 60)
		snprintf(text, 32, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(text, 32, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, 32, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	else
		snprintf(text, 32, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
	return text;
}

const char *pl_cli_time_text(uint64_t unix_s, char text[32])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(text, 32, "?");
	return text;
}

uint64_t pl_cli_u64(const json_t *object, const char *name)
{
	json_int_t v = json_integer_value(json_object_get(object, name));

	return v > 0 ? (uint64_t)v : 0;
}

const char *pl_cli_str(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s != NULL ? s : "";
}

bool pl_cli_bool(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}
