/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates as lines of CSV: ids in both forms, columns in any order, and files with bad
 * lines. */
#include "registry/pl_cert_csv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static char error[512];

static struct pl_cert_csv_layout layout_of(const char *header)
{
	struct pl_cert_csv_layout l = {.key_epoch = 5};

	assert_int_equal(pl_cert_csv_header(&l, header, strlen(header), error, sizeof(error)), 0);
	return l;
}

static int parse(const char *text, struct pl_cert *c)
{
	struct pl_cert_csv_layout l = layout_of(PL_CERT_CSV_HEADER);

	return pl_cert_csv_line(&l, text, strlen(text), c, error, sizeof(error));
}

static void assert_said(const char *text)
{
	if (strstr(error, text) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error, text);
}

static void test_ids_are_read_in_hex_and_decimal_and_printed_one_way(void **state)
{
	static const struct {
		const char *text;
		uint64_t id;
	} good[] = {
		{"1", 1},
		{"0x1", 1},
		{"0Xff", 255},
		{"0x0123456789abcdef", 0x0123456789abcdef},
		{"0xFFFFFFFFFFFFFFFF", UINT64_MAX},
		{"18446744073709551615", UINT64_MAX},
		{"007", 7},
	};
	static const char *const bad[] = {
		"",
		"0",
		"0x0",
		"0x",
		"0x00000000000000001",
		"18446744073709551616",
		"ff",
		"-1",
		"+1",
		" 1",
		"1 ",
		"0xg",
		"1.0",
		"x1",
		"99999999999999999999",
		"000000000000000000001",
	};
	char text[PL_CERT_ID_TEXT_SIZE];
	uint64_t id = 42;

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(good); i++) {
		assert_true(pl_cert_id_parse(good[i].text, strlen(good[i].text), &id));
		assert_int_equal(id, good[i].id);
		pl_cert_id_format(id, text);
		assert_int_equal(strlen(text), 18);
		id = 0;
		assert_true(pl_cert_id_parse(text, 18, &id));
		assert_int_equal(id, good[i].id);
	}
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++)
		if (pl_cert_id_parse(bad[i], strlen(bad[i]), &id))
			fail_msg("\"%s\" was taken", bad[i]);
}

static void test_a_whole_line_and_its_text_agree(void **state)
{
	static const char text[] = "0x00000000000005ee,booster,2021-12-01,7,15,1,0\n";
	char back[PL_CERT_CSV_OUT_SIZE];
	struct pl_cert c;

	(void)state;
	assert_int_equal(pl_cert_csv_line(&(struct pl_cert_csv_layout){7, {0, 1, 2, 3, 4, 5, 6}},
					  text, strlen(text) - 1, &c, error, sizeof(error)),
			 0);
	assert_int_equal(c.id, 0x5ee);
	assert_int_equal(c.kind, PL_CERT_BOOSTER);
	assert_int_equal(c.event_day, 18962);
	assert_int_equal(c.key_epoch, 7);
	assert_int_equal(c.generation, 15);
	assert_true(c.revoked);
	assert_false(c.suspended);
	assert_int_equal(pl_cert_csv_format(&c, back), strlen(text));
	assert_string_equal(back, text);
}

static void test_the_longest_line_fits(void **state)
{
	char back[PL_CERT_CSV_OUT_SIZE];
	struct pl_cert c = {.id = UINT64_MAX,
			    .kind = PL_CERT_MEDICAL_EXEMPT,
			    .event_day = UINT16_MAX,
			    .key_epoch = 255,
			    .generation = 255,
			    .revoked = true,
			    .suspended = true};

	(void)state;
	assert_true(pl_cert_csv_format(&c, back) < sizeof(back));
	assert_int_equal(back[strlen(back) - 1], '\n');
}

static void test_columns_in_any_order_and_left_out(void **state)
{
	struct pl_cert_csv_layout l = layout_of("event_date,\"id\",kind");
	const char *text = "\"2021-12-13\",77,primary";
	struct pl_cert c;

	(void)state;
	assert_int_equal(pl_cert_csv_line(&l, text, strlen(text), &c, error, sizeof(error)), 0);
	assert_int_equal(c.id, 77);
	assert_int_equal(c.event_day, 18974);
	assert_int_equal(c.key_epoch, 5); /* the reader's */
	assert_int_equal(c.generation, 0);
	assert_false(c.revoked || c.suspended);
	assert_int_equal(parse("1,primary,2021-12-13,,,,", &c), 0); /* empty is as left out */
	assert_int_equal(c.key_epoch, 5);
}

static void test_bad_headers_are_refused(void **state)
{
	static const struct {
		const char *header, *said;
	} bad[] = {
		{"", "no column is called \"\""},
		{"id;kind;event_date", "no column is called \"id;ki"},
		{"id,kind,event_date,name", "no column is called \"name\""},
		{"id,kind,event_date,id", "column id is there twice"},
		{"id,kind", "column event_date is missing"},
		{"kind,event_date", "column id is missing"},
		{"ID,kind,event_date", "\"ID\""},
		{"id,\"kind,event_date", "quotes"},
		{"id,kind,event_date,", "\"\""},
		{"id,kind,event_date,\x1b[31mred", "\"?[31mred\""},
	};
	struct pl_cert_csv_layout l = {0};

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		assert_int_equal(pl_cert_csv_header(&l, bad[i].header, strlen(bad[i].header), error,
						    sizeof(error)),
				 -EINVAL);
		assert_said(bad[i].said);
	}
	l.ids_only = true;
	assert_int_equal(pl_cert_csv_header(&l, "id", 2, error, sizeof(error)), 0);
	assert_int_equal(pl_cert_csv_header(&l, "kind", 4, error, sizeof(error)), -EINVAL);
}

static void test_bad_lines_name_field_and_expectation(void **state)
{
	static const struct {
		const char *line, *said;
	} bad[] = {
		{"", "the line is empty"},
		{"1", "expected 7 fields, got 1"},
		{"1,primary,2021-12-13,0,0,0,0,0", "expected 7 fields, got 8"},
		{"0,primary,2021-12-13,0,0,0,0", "field id: expected 0x"},
		{"x,primary,2021-12-13,0,0,0,0", "got \"x\""},
		{"1,Primary,2021-12-13,0,0,0,0", "field kind: expected one of primary booster"},
		{"1,,2021-12-13,0,0,0,0", "field kind"},
		{"1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,,0,0,0,0",
		 "got \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\""},
		{"1,primary,2021-02-29,0,0,0,0", "field event_date: expected YYYY-MM-DD"},
		{"1,primary,1969-12-31,0,0,0,0", "field event_date"},
		{"1,primary,2149-06-07,0,0,0,0", "field event_date"},
		{"1,primary,,0,0,0,0", "field event_date"},
		{"1,primary,2021-12-13,8,0,0,0", "field key_epoch: expected 0 to 7"},
		{"1,primary,2021-12-13,0,16,0,0", "field generation: expected 0 to 15"},
		{"1,primary,2021-12-13,0,-1,0,0", "field generation"},
		{"1,primary,2021-12-13,0,256,0,0", "field generation"},
		{"1,primary,2021-12-13,0,1000,0,0", "field generation"},
		{"1,primary,2021-12-13,0,0,2,0", "field revoked: expected 0 or 1"},
		{"1,primary,2021-12-13,0,0,0,yes", "field suspended: expected 0 or 1"},
		{"1,primary,\"2021-12-13,0,0,0,0", "field 3: quotes do not match"},
		{"1,primary,2021\"-12-13,0,0,0,0", "field 3: quotes do not match"},
		{"1,\"\"\"\",2021-12-13,0,0,0,0", "field 2: quotes do not match"},
		{"1 ,primary,2021-12-13,0,0,0,0", "field id"},
	};
	struct pl_cert c = {.id = 9};

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		assert_int_equal(parse(bad[i].line, &c), -EINVAL);
		assert_said(bad[i].said);
	}
	assert_int_equal(c.id, 9); /* untouched */
	assert_int_equal(parse("1,primary,1970-01-01,0,0,0,0", &c), 0);
	assert_int_equal(parse("1,primary,2149-06-06,0,0,0,0", &c), 0);
	assert_int_equal(c.event_day, 65535);
}

/* ---- files ---- */

static char path[] = "/tmp/passline-csv-XXXXXX";

static struct pl_cert_csv *open_text(const char *text, size_t size, bool ids_only)
{
	struct pl_cert_csv_conf conf = {.path = path, .key_epoch = 1, .ids_only = ids_only};
	struct pl_cert_csv *csv = NULL;
	int fd;

	strcpy(path + strlen(path) - 6, "XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
	close(fd);
	if (pl_cert_csv_open(&conf, &csv, error, sizeof(error)) != 0)
		csv = NULL;
	unlink(path);
	return csv;
}

static void test_a_file_is_read_line_by_line_and_goes_on_after_bad_ones(void **state)
{
	static const char text[] = "\xef\xbb\xbfid,kind,event_date\r\n"
				   "1,primary,2021-12-13\r\n"
				   "2,oops,2021-12-13\n"
				   "\n"
				   "3,booster,2021-12-13"; /* no newline at the end */
	struct pl_cert_csv *csv = open_text(text, sizeof(text) - 1, false);
	struct pl_cert c;
	const char *line;
	size_t size;

	(void)state;
	assert_non_null(csv);
	line = pl_cert_csv_header_text(csv, &size);
	assert_int_equal(size, 18);
	assert_memory_equal(line, "id,kind,event_date", 18);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 1);
	assert_int_equal(c.id, 1);
	assert_int_equal(c.key_epoch, 1);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), -EINVAL);
	assert_said(":3: field kind");
	assert_int_equal(pl_cert_csv_line_nr(csv), 3);
	line = pl_cert_csv_text(csv, &size);
	assert_int_equal(size, 17);
	assert_memory_equal(line, "2,oops,2021-12-13", 17);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), -EINVAL);
	assert_said(":4: expected 3 fields, the line is empty");
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 1);
	assert_int_equal(c.id, 3);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 0);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 0);
	pl_cert_csv_close(csv);
}

static void test_lines_without_end_are_refused_in_bounded_memory(void **state)
{
	size_t size = 300000;
	char *text = malloc(size);
	struct pl_cert_csv *csv;
	struct pl_cert c;
	size_t shown;

	(void)state;
	memset(text, 'a', size);
	memcpy(text, "id,kind,event_date\n", 19);
	memcpy(text + size - 23, "\n7,primary,2021-12-13\n", 22);
	csv = open_text(text, size - 1, false);
	assert_non_null(csv);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), -EINVAL);
	assert_said(":2: expected a line of at most 1024 bytes");
	(void)pl_cert_csv_text(csv, &shown);
	assert_int_equal(shown, PL_CERT_CSV_LINE_SIZE_MAX);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 1);
	assert_int_equal(c.id, 7);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 0);
	pl_cert_csv_close(csv);
	assert_null(open_text(text + 19, size - 19, false)); /* as a header */
	free(text);
}

/* Lines fall anywhere across the reader's buffer of 64 KiB. */
static void test_every_line_of_a_long_file_arrives(void **state)
{
	size_t size = 0, size_max = 3000000;
	char *text = malloc(size_max);
	struct pl_cert_csv *csv;
	uint64_t want = 1;
	struct pl_cert c;

	(void)state;
	size += (size_t)sprintf(text, "kind,id,event_date\n");
	while (size < size_max - 64)
		size += (size_t)sprintf(text + size, "primary,%lu,2021-12-13\n",
					(unsigned long)want++);
	csv = open_text(text, size, false);
	assert_non_null(csv);
	for (uint64_t id = 1; id < want; id++) {
		assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 1);
		assert_int_equal(c.id, id);
	}
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 0);
	pl_cert_csv_close(csv);
	free(text);
}

static void test_ids_only_looks_at_nothing_else(void **state)
{
	static const char text[] = "kind,id,revoked\nnonsense,0x10,maybe\n,11,\n,,\n";
	struct pl_cert_csv *csv = open_text(text, sizeof(text) - 1, true);
	struct pl_cert c;

	(void)state;
	assert_non_null(csv);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 1);
	assert_int_equal(c.id, 16);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), 1);
	assert_int_equal(c.id, 11);
	assert_int_equal(pl_cert_csv_next(csv, &c, error, sizeof(error)), -EINVAL);
	assert_said("field id");
	pl_cert_csv_close(csv);
}

static void test_files_that_cannot_be_read_are_named(void **state)
{
	struct pl_cert_csv_conf conf = {.path = "/nonexistent.csv"};
	struct pl_cert_csv *csv;

	(void)state;
	assert_int_equal(pl_cert_csv_open(&conf, &csv, error, sizeof(error)), -ENOENT);
	assert_said("/nonexistent.csv");
	conf.path = "/tmp";
	assert_int_equal(pl_cert_csv_open(&conf, &csv, error, sizeof(error)), -EISDIR);
	assert_null(open_text("", 0, false));
	assert_said(":1: expected the header id,kind");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_are_read_in_hex_and_decimal_and_printed_one_way),
		cmocka_unit_test(test_a_whole_line_and_its_text_agree),
		cmocka_unit_test(test_the_longest_line_fits),
		cmocka_unit_test(test_columns_in_any_order_and_left_out),
		cmocka_unit_test(test_bad_headers_are_refused),
		cmocka_unit_test(test_bad_lines_name_field_and_expectation),
		cmocka_unit_test(test_a_file_is_read_line_by_line_and_goes_on_after_bad_ones),
		cmocka_unit_test(test_lines_without_end_are_refused_in_bounded_memory),
		cmocka_unit_test(test_every_line_of_a_long_file_arrives),
		cmocka_unit_test(test_ids_only_looks_at_nothing_else),
		cmocka_unit_test(test_files_that_cannot_be_read_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
