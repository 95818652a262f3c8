/* SPDX-License-Identifier: BSD-3-Clause */
/* The line of a request: what it says, and what is refused. */
#include "ctl/pl_ctl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char error[PL_CTL_ERROR_SIZE];

static int parse(const char *line, struct pl_ctl_request *r)
{
	error[0] = '\0';
	return pl_ctl_request_parse(line, strlen(line), r, error, sizeof(error));
}

static void test_requests_are_taken_apart(void **state)
{
	struct pl_ctl_request r;

	(void)state;
	assert_int_equal(parse("{\"command\":\"feed push\",\"size\":7,\"args\":{\"a\":[1]}}", &r),
			 0);
	assert_string_equal(r.command, "feed push");
	assert_int_equal(r.payload_size, 7);
	assert_int_equal(json_object_size(r.args), 1);
	json_decref(r.args);
	assert_int_equal(parse(" {\"command\" : \"status\"} \r", &r), 0);
	assert_int_equal(r.payload_size, 0);
	assert_int_equal(json_object_size(r.args), 0);
	json_decref(r.args);
}

static void test_what_is_no_request_is_refused(void **state)
{
	static const struct {
		const char *line;
		const char *note;
	} cases[] = {
		{"", "one line with one JSON object"},
		{"{", "one line with one JSON object"},
		{"[]", "one line with one JSON object"},
		{"\"status\"", "one line with one JSON object"},
		{"{\"command\":\"status\"} x", "one line with one JSON object"},
		{"{\"command\":\"status\",\"command\":\"drain\"}", "one line with one JSON object"},
		{"{}", "\"command\" must be there"},
		{"{\"command\":7}", "\"command\" must be there"},
		{"{\"command\":\"\"}", "\"command\" must be there"},
		{"{\"command\":\"Status\"}", "\"command\" must be there"},
		{"{\"command\":\"../x\"}", "\"command\" must be there"},
		{"{\"command\":\"st\\u0000atus\"}", "one line with one JSON object"},
		{"{\"command\":\"x\",\"who\":\"root\"}", "and nothing else"},
		{"{\"command\":\"x\",\"args\":[]}", "\"args\" must be an object"},
		{"{\"command\":\"x\",\"size\":-1}", "\"size\" must be"},
		{"{\"command\":\"x\",\"size\":1.5}", "\"size\" must be"},
		{"{\"command\":\"x\",\"size\":33554433}", "over the limit of 33554432"},
		{"{\"command\":\"x\",\"size\":99999999999999999999}",
		 "one line with one JSON object"},
		{"{\"command\":\"x\",\"args\":{\"a\":\"\xff\xfe\"}}",
		 "one line with one JSON object"},
	};
	struct pl_ctl_request r;
	char deep[256] = "{\"command\":\"x\",\"args\":", nul[] = "{\"command\":\"x\0y\"}";

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		assert_true(parse(cases[i].line, &r) < 0);
		if (strstr(error, cases[i].note) == NULL)
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, error, cases[i].note);
		assert_null(r.args);
	}
	assert_int_equal(pl_ctl_request_parse(nul, sizeof(nul) - 1, &r, error, sizeof(error)),
			 -EINVAL);
	for (int i = 0; i < 8; i++)
		strcat(deep, "{\"a\":");
	assert_int_equal(parse(deep, &r), -EINVAL);
	assert_non_null(strstr(error, "nested deeper than 8"));
	/* Brackets in a text are text. */
	assert_int_equal(parse("{\"command\":\"x\",\"args\":{\"a\":\"[[[[[[[[[[[\\\"[[[\"}}", &r),
			 0);
	json_decref(r.args);
}

static void test_a_line_has_a_limit(void **state)
{
	static char line[PL_CTL_LINE_SIZE_MAX + 1];
	struct pl_ctl_request r;
	int used = snprintf(line, sizeof(line), "{\"command\":\"x\"}");

	(void)state;
	memset(line + used, ' ', sizeof(line) - (size_t)used);
	assert_int_equal(
		pl_ctl_request_parse(line, PL_CTL_LINE_SIZE_MAX - 1, &r, error, sizeof(error)), 0);
	json_decref(r.args);
	assert_int_equal(pl_ctl_request_parse(line, PL_CTL_LINE_SIZE_MAX, &r, error, sizeof(error)),
			 -EINVAL);
	assert_non_null(strstr(error, "at most 16384 bytes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_are_taken_apart),
		cmocka_unit_test(test_what_is_no_request_is_refused),
		cmocka_unit_test(test_a_line_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
