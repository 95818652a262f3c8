/* SPDX-License-Identifier: BSD-3-Clause */
/* Files of configuration, their form alone: sections, keys, units, paths, and errors with lines. */
#include "conf/pl_conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static char text[PL_CONF_TEXT_SIZE];

static struct pl_conf *parse(const char *s)
{
	struct pl_conf *c;

	assert_int_equal(pl_conf_parse("dir/a.conf", s, strlen(s), &c), 0);
	return c;
}

/* Everything noted about s, of which nothing is asked. */
static const char *notes_of(const char *s)
{
	struct pl_conf *c = parse(s);

	(void)!pl_conf_finish(c, text, sizeof(text));
	pl_conf_free(c);
	return text;
}

static void test_items_are_found_where_they_stand(void **state)
{
	struct pl_conf *c = parse("\xef\xbb\xbf# head\r\n"
				  "[one]\r\n"
				  "  key =  a value # why\r\n"
				  "other\t=x#y;z\n"
				  ";old = 1\n"
				  "[two  here ]   ; tail\n"
				  "key = \xed\x95\x9c = more");
	struct pl_conf_section *s;
	struct pl_conf_item *item;

	(void)state;
	s = pl_conf_section(c, "one");
	assert_non_null(s);
	assert_int_equal(s->line, 2);
	item = pl_conf_find(c, s, "key");
	assert_string_equal(item->value, "a value");
	assert_int_equal(item->line, 3);
	assert_string_equal(pl_conf_find(c, s, "other")->value, "x#y;z");
	assert_null(pl_conf_find(c, s, "old"));

	s = pl_conf_section_next(c, "two", NULL);
	assert_string_equal(s->arg, "here");
	assert_string_equal(pl_conf_item_next(c, s)->value, "\xed\x95\x9c = more");
	assert_null(pl_conf_item_next(c, s));
	assert_null(pl_conf_section_next(c, "two", s));
	assert_null(pl_conf_section(c, "three"));

	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	pl_conf_free(c);
}

static void test_bad_lines_are_told_with_their_numbers(void **state)
{
	static const struct {
		const char *conf;
		const char *note;
	} cases[] = {
		{"key = 1", "dir/a.conf:1: key stands before the first [section]"},
		{"[a]\nkey", "dir/a.conf:2: neither"},
		{"[a]\nkey =", "dir/a.conf:2: [a] key has no value"},
		{"[a]\nkey = # 1", "dir/a.conf:2: [a] key has no value"},
		{"[a]\n= 1", "dir/a.conf:2: a key has"},
		{"[a]\nKey = 1", "dir/a.conf:2: a key has"},
		{"[a]\nk y = 1", "dir/a.conf:2: a key has"},
		{"[a]\nk = 1\n\nk = 1", "dir/a.conf:4: [a] k was set before, in line 2"},
		{"[a]\n[b]\n[a]", "dir/a.conf:3: section [a] was begun before, in line 1"},
		{"[a x]\n[a y]\n[a x]", "dir/a.conf:3: section [a x] was begun before, in line 1"},
		{"\n[a", "dir/a.conf:2: a section is written"},
		{"[a] b = 1", "dir/a.conf:1: a section is written"},
		{"[]", "dir/a.conf:1: a section is written"},
		{"[A]", "dir/a.conf:1: a section is written"},
		{"[a b c]", "dir/a.conf:1: a section is written"},
		{"[[a]]", "dir/a.conf:1: a section is written"},
		{"[a]\nk = \x01", "dir/a.conf:2: holds a control character (0x01) in column 5"},
		{"[a]\nk = \x7f", "dir/a.conf:2: holds a control character (0x7f)"},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(cases); i++)
		if (strstr(notes_of(cases[i].conf), cases[i].note) == NULL)
			fail_msg("%s\ngives: %s\nnot: %s", cases[i].conf, text, cases[i].note);
}

static void test_nul_and_size_limits(void **state)
{
	static char big[PL_CONF_FILE_SIZE_MAX + 2];
	struct pl_conf *c;

	(void)state;
	assert_int_equal(pl_conf_parse("a", "[a]\nk\0= 1", 9, &c), 0);
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), -EINVAL);
	assert_non_null(strstr(text, "a:2: holds a control character (0x00) in column 2"));
	pl_conf_free(c);

	memset(big, '\n', sizeof(big));
	assert_int_equal(pl_conf_parse("a", big, PL_CONF_FILE_SIZE_MAX, &c), 0);
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), 0);
	pl_conf_free(c);
	assert_int_equal(pl_conf_parse("a", big, PL_CONF_FILE_SIZE_MAX + 1, &c), 0);
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), -EINVAL);
	assert_non_null(strstr(text, "longer than 1048576 bytes"));
	pl_conf_free(c);

	memset(big, '#', PL_CONF_LINE_SIZE_MAX + 1);
	assert_int_equal(pl_conf_parse("a", big, PL_CONF_LINE_SIZE_MAX, &c), 0);
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), 0);
	pl_conf_free(c);
	assert_int_equal(pl_conf_parse("a", big, PL_CONF_LINE_SIZE_MAX + 1, &c), 0);
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), -EINVAL);
	assert_non_null(strstr(text, "a:1: longer than 1024 bytes"));
	pl_conf_free(c);
}

static void test_names_have_a_limit_and_are_never_cut(void **state)
{
	char name[PL_CONF_NAME_SIZE_MAX + 2];
	char conf[2 * sizeof(name) + 16];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[PL_CONF_NAME_SIZE_MAX] = '\0';
	snprintf(conf, sizeof(conf), "[x]\n%s = 1", name);
	assert_null(strstr(notes_of(conf), "a key has"));
	snprintf(conf, sizeof(conf), "[x]\n%sa = 1", name);
	assert_non_null(strstr(notes_of(conf), "a.conf:2: a key has 1 to 63"));
	snprintf(conf, sizeof(conf), "[x %sa]", name);
	assert_non_null(strstr(notes_of(conf), "a.conf:1: a section is written"));
}

/* One line more than the limit adds one note, and nothing else breaks. */
static void test_too_many_sections_and_keys(void **state)
{
	size_t size = 1u << 18;
	char *conf = malloc(size);
	size_t used = 0;

	(void)state;
	assert_non_null(conf);
	for (uint32_t i = 0; i <= PL_CONF_SECTIONS_MAX; i++)
		used += (size_t)snprintf(conf + used, size - used, "[s%u]\nk = 1\n", i);
	assert_non_null(strstr(notes_of(conf), "more than 512 sections"));
	used = (size_t)snprintf(conf, size, "[s]\n");
	for (uint32_t i = 0; i <= PL_CONF_ITEMS_MAX; i++)
		used += (size_t)snprintf(conf + used, size - used, "k%u = 1\n", i);
	assert_non_null(strstr(notes_of(conf), "a.conf:8194: more than 8192 keys"));
	free(conf);
}

static void test_unknown_keys_and_sections_are_errors(void **state)
{
	struct pl_conf *c = parse("[a]\nquues = 2\nqueues = 3\n[b]\n[c x]\n[d y]\n[e]\nz = 1\n");
	struct pl_conf_section *s = pl_conf_section(c, "a");

	(void)state;
	assert_int_equal(pl_conf_number(c, s, "queues", 1, 1, 8), 3);
	(void)pl_conf_find(c, s, "device");
	assert_null(pl_conf_section(c, "d"));            /* it has an argument */
	assert_null(pl_conf_section_next(c, "e", NULL)); /* it has none */
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), -EINVAL);
	assert_string_equal(text,
			    "dir/a.conf:2: [a] quues: no such key here; keys are: queues, device\n"
			    "dir/a.conf:4: [b]: no such section here; is its name spelt right?\n"
			    "dir/a.conf:5: [c x]: no such section here; is its name spelt right?\n"
			    "dir/a.conf:6: [d y]: takes no argument: write [d]\n"
			    "dir/a.conf:7: [e]: needs an argument: write [e NAME]");
	pl_conf_free(c);
}

static void test_what_is_required_and_missing(void **state)
{
	struct pl_conf *c = parse("\n[a]\n");
	struct pl_conf_section *s = pl_conf_section_required(c, "a");

	(void)state;
	assert_null(pl_conf_require(c, s, "id"));
	assert_null(pl_conf_section_required(c, "b"));
	/* A missing section is one error, not one for each of its keys. */
	assert_null(pl_conf_require(c, NULL, "id"));
	assert_int_equal(pl_conf_error_cnt(c), 2);
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), -EINVAL);
	assert_string_equal(text, "dir/a.conf: section [b] is missing\n"
				  "dir/a.conf:2: [a]: key \"id\" is missing");
	pl_conf_free(c);
}

/* One value through one getter: what comes out, and whether an error was noted. */
enum getter { NUMBER, DURATION, SECONDS, SIZE, COUNT };

static uint64_t get(enum getter g, const char *value, bool *ok)
{
	char conf[200];
	struct pl_conf *c;
	struct pl_conf_section *s;
	uint64_t v = 0;

	snprintf(conf, sizeof(conf), "[a]\nk = %s\n", value);
	c = parse(conf);
	s = pl_conf_section(c, "a");
	switch (g) {
	case NUMBER:
		v = pl_conf_number(c, s, "k", 42, 1, 100);
		break;
	case DURATION:
		v = pl_conf_duration_ms(c, s, "k", 42, 10, 7200000);
		break;
	case SECONDS:
		v = pl_conf_duration_s(c, s, "k", 42, 1, 86400);
		break;
	case SIZE:
		v = pl_conf_size(c, s, "k", 42, 0, UINT64_MAX);
		break;
	case COUNT:
		v = pl_conf_count(c, s, "k", 42, 1, 8000000000);
		break;
	}
	*ok = pl_conf_finish(c, text, sizeof(text)) == 0;
	pl_conf_free(c);
	return v;
}

static void test_numbers_with_their_units(void **state)
{
	static const struct {
		enum getter getter;
		const char *value;
		uint64_t want;
	} good[] = {
		{NUMBER, "1", 1},
		{NUMBER, "100", 100},
		{NUMBER, "007", 7},
		{DURATION, "10ms", 10},
		{DURATION, "10 ms", 10},
		{DURATION, "15 s", 15000},
		{DURATION, "2min", 120000},
		{DURATION, "2 h", 7200000},
		{SECONDS, "1 s", 1},
		{SECONDS, "1 d", 86400},
		{SIZE, "0", 0},
		{SIZE, "3K", 3072},
		{SIZE, "2 M", 2u << 20},
		{SIZE, "1G", 1u << 30},
		{SIZE, "18446744073709551615", UINT64_MAX},
		{COUNT, "50M", 50000000},
		{COUNT, "8 G", 8000000000},
		{COUNT, "5k", 5000},
	};
	static const struct {
		enum getter getter;
		const char *value;
	} bad[] = {
		{NUMBER, "0"},
		{NUMBER, "101"},
		{NUMBER, "-1"},
		{NUMBER, "+1"},
		{NUMBER, "1x"},
		{NUMBER, "1 2"},
		{NUMBER, "0x10"},
		{NUMBER, "99999999999999999999"},
		{NUMBER, "1.5"},
		{NUMBER, "18446744073709551617"},
		{DURATION, "15"},
		{DURATION, "9ms"},
		{DURATION, "3 h"},
		{DURATION, "1 day"},
		{DURATION, "s"},
		{SECONDS, "2000 ms"},
		{SECONDS, "0 s"},
		{SECONDS, "25 h"},
		{DURATION, "213503982335 d"},
		{SIZE, "1k"},
		{SIZE, "17179869184 G"},
		{COUNT, "50K"},
		{COUNT, "9G"},
	};
	bool ok;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(good); i++) {
		uint64_t v = get(good[i].getter, good[i].value, &ok);

		if (!ok || v != good[i].want)
			fail_msg("%s gives %lu: %s", good[i].value, v, text);
	}
	for (size_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		uint64_t v = get(bad[i].getter, bad[i].value, &ok);

		if (ok || v != 42)
			fail_msg("%s is taken as %lu", bad[i].value, v);
	}
	(void)get(DURATION, "3 h", &ok);
	assert_string_equal(text, "dir/a.conf:2: [a] k: \"3 h\" is not 10 ms to 2 h, a whole "
				  "number and its unit: ms, s, min, h or d");
	(void)get(COUNT, "x", &ok);
	assert_string_equal(text, "dir/a.conf:2: [a] k: \"x\" is not a whole number from 1 to 8 G");
}

static void test_words_and_texts(void **state)
{
	static const char *const names[] = {"spin", "sleep"};
	struct pl_conf *c =
		parse("[a]\nb = yes\nc = no\nd = maybe\ne = sleep\nf = nap\ng = 1234567\n");
	struct pl_conf_section *s = pl_conf_section(c, "a");
	char out[7];

	(void)state;
	assert_true(pl_conf_bool(c, s, "b", false));
	assert_false(pl_conf_bool(c, s, "c", true));
	assert_true(pl_conf_bool(c, s, "d", true));
	assert_true(pl_conf_bool(c, s, "none", true));
	assert_int_equal(pl_conf_enum(c, s, "e", names, 2, 0), 1);
	assert_int_equal(pl_conf_enum(c, s, "f", names, 2, 0), 0);
	pl_conf_text(c, s, "g", "", out, sizeof(out));
	assert_string_equal(out, "");
	pl_conf_text(c, s, "h", "123456", out, sizeof(out));
	assert_string_equal(out, "123456");
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), -EINVAL);
	assert_string_equal(text, "dir/a.conf:4: [a] d: \"maybe\" is not no or yes\n"
				  "dir/a.conf:6: [a] f: \"nap\" is not spin or sleep\n"
				  "dir/a.conf:7: [a] g: longer than 6 bytes");
	pl_conf_free(c);
}

static void test_paths_start_at_the_files_directory(void **state)
{
	struct pl_conf *c = parse("[a]\nb = x/y\nc = /x/y\ne = 1234567\n");
	struct pl_conf_section *s = pl_conf_section(c, "a");
	char out[11];

	(void)state;
	pl_conf_path(c, s, "b", "", out, sizeof(out));
	assert_string_equal(out, "dir/x/y");
	pl_conf_path(c, s, "c", "", out, sizeof(out));
	assert_string_equal(out, "/x/y");
	pl_conf_path(c, s, "d", "/var", out, sizeof(out));
	assert_string_equal(out, "/var");
	pl_conf_path(c, s, "e", "", out, sizeof(out));
	assert_string_equal(out, "");
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), -EINVAL);
	assert_non_null(strstr(text, "dir/a.conf:4: [a] e: the path is longer than 10 bytes"));
	pl_conf_free(c);
}

static void test_lists_end_and_long_words_stop_them(void **state)
{
	const char *at = " a, bb ,\tccc";
	char out[4];

	(void)state;
	assert_true(pl_conf_word_next(&at, out, sizeof(out)));
	assert_string_equal(out, "a");
	assert_true(pl_conf_word_next(&at, out, sizeof(out)));
	assert_string_equal(out, "bb");
	assert_true(pl_conf_word_next(&at, out, sizeof(out)));
	assert_string_equal(out, "ccc");
	assert_false(pl_conf_word_next(&at, out, sizeof(out)));
	assert_string_equal(at, "");
	at = "dddd e";
	assert_false(pl_conf_word_next(&at, out, sizeof(out)));
	assert_string_equal(at, "dddd e");
}

static void test_twenty_errors_are_told_and_the_rest_counted(void **state)
{
	char conf[400] = "[a]\n";
	struct pl_conf *c;
	uint32_t lines = 1;

	(void)state;
	for (int i = 0; i < 25; i++)
		strcat(conf, "Bad = 1\n");
	c = parse(conf);
	(void)pl_conf_section(c, "a");
	pl_conf_warn(c, NULL, NULL, "mind the %s", "gap");
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), -EINVAL);
	for (const char *s = text; (s = strchr(s, '\n')) != NULL; s++)
		lines++;
	assert_int_equal(lines, 22);
	assert_non_null(strstr(text, "dir/a.conf:21: a key has"));
	assert_non_null(strstr(text, "dir/a.conf: and 5 more errors"));
	assert_non_null(strstr(text, "dir/a.conf: warning: mind the gap"));

	/* A short buffer gets a short text, ended by a NUL. */
	memset(text, 'x', sizeof(text));
	assert_int_equal(pl_conf_finish(c, text, 8), -EINVAL);
	assert_string_equal(text, "dir/a.c");
	assert_int_equal(text[8], 'x');
	pl_conf_free(c);
}

static void test_warnings_alone_are_no_failure(void **state)
{
	struct pl_conf *c = parse("[a]\n");

	(void)state;
	pl_conf_warn(c, pl_conf_section(c, "a"), NULL, "odd");
	assert_int_equal(pl_conf_finish(c, text, sizeof(text)), 0);
	assert_string_equal(text, "dir/a.conf:1: warning: [a]: odd");
	pl_conf_free(c);
}

static void test_files(void **state)
{
	char path[] = "/tmp/pl-conf-XXXXXX";
	int fd = mkstemp(path);
	struct pl_conf *c;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "[a]\n", 4), 4);
	assert_int_equal(pl_conf_load(path, &c, text, sizeof(text)), 0);
	assert_non_null(pl_conf_section(c, "a"));
	pl_conf_free(c);
	assert_int_equal(ftruncate(fd, PL_CONF_FILE_SIZE_MAX + 4096), 0);
	assert_int_equal(pl_conf_load(path, &c, text, sizeof(text)), 0);
	assert_int_equal(pl_conf_error_cnt(c), 1);
	pl_conf_free(c);
	close(fd);
	unlink(path);
	assert_int_equal(pl_conf_load(path, &c, text, sizeof(text)), -ENOENT);
	assert_null(c);
	assert_non_null(strstr(text, path));
	assert_int_equal(pl_conf_load("/tmp", &c, text, sizeof(text)), -EISDIR);
	assert_int_equal(pl_conf_load("/dev/zero", &c, text, sizeof(text)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items_are_found_where_they_stand),
		cmocka_unit_test(test_bad_lines_are_told_with_their_numbers),
		cmocka_unit_test(test_nul_and_size_limits),
		cmocka_unit_test(test_names_have_a_limit_and_are_never_cut),
		cmocka_unit_test(test_too_many_sections_and_keys),
		cmocka_unit_test(test_unknown_keys_and_sections_are_errors),
		cmocka_unit_test(test_what_is_required_and_missing),
		cmocka_unit_test(test_numbers_with_their_units),
		cmocka_unit_test(test_words_and_texts),
		cmocka_unit_test(test_paths_start_at_the_files_directory),
		cmocka_unit_test(test_lists_end_and_long_words_stop_them),
		cmocka_unit_test(test_twenty_errors_are_told_and_the_rest_counted),
		cmocka_unit_test(test_warnings_alone_are_no_failure),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
