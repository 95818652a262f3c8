/* SPDX-License-Identifier: BSD-3-Clause */
/* How a command line is divided: EAL options before "--", a program's own after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../app/passline/args.c"

static struct pl_args args;
static char error[512];

/* Words parted by blanks, as a shell would hand them over. */
static int parse(const char *line)
{
	static char words[1024];
	static char *argv[64];
	int argc = 0;

	snprintf(words, sizeof(words), "passline %s", line);
	for (char *w = strtok(words, " "); w != NULL; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	return pl_args_parse(argc, argv, &args, error, sizeof(error));
}

static void test_eal_options_end_at_the_dashes(void **state)
{
	(void)state;
	assert_int_equal(parse("-l 0,1 --no-huge -- --seal libsodium --token avx2 site.conf"), 0);
	assert_int_equal(args.what, PL_ARGS_RUN);
	assert_int_equal(args.eal_argc, 4);
	assert_string_equal(args.config_path, "site.conf");
	assert_int_equal(args.seal_engine, PL_SEAL_SODIUM);
	assert_int_equal(args.token_variant, PL_TOKEN_AVX2);
	assert_true(pl_args_eal_has(&args, "--no-huge"));
	assert_false(pl_args_eal_has(&args, "--no-hug"));
	assert_false(pl_args_eal_has(&args, "--seal"));
	assert_false(args.no_offload);
	assert_int_equal(parse("-- --no-offload site.conf"), 0);
	assert_true(args.no_offload);
	assert_int_equal(args.eal_argc, 1);
}

static void test_no_dashes_means_no_eal_options(void **state)
{
	(void)state;
	assert_int_equal(parse("site.conf"), 0);
	assert_int_equal(args.eal_argc, 1);
	assert_int_equal(args.seal_engine, PL_SEAL_AUTO);
	assert_int_equal(args.token_variant, -1);
	assert_int_equal(parse("--check site.conf"), 0);
	assert_int_equal(args.what, PL_ARGS_CHECK);
	assert_int_equal(parse("--help"), 0);
	assert_int_equal(args.what, PL_ARGS_HELP);
	assert_int_equal(parse("-V"), 0);
	assert_int_equal(args.what, PL_ARGS_VERSION);
}

static void test_usage_errors_say_what_is_expected(void **state)
{
	static const struct {
		const char *line;
		const char *says;
	} cases[] = {
		{"", "no configuration file"},
		{"-l 0 --", "no configuration file"},
		{"a.conf b.conf", "not 2"},
		{"--seal rot13 a.conf", "rot13: auto, ipsec-mb or libsodium"},
		{"--token rot13 a.conf", "rot13: auto, avx512"},
		{"--seal", "--seal"},
		{"--frobnicate a.conf", "--frobnicate"},
		{"-l 0,1 a.conf", "EAL options go before"},
	};

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		assert_int_equal(parse(cases[i].line), -EINVAL);
		assert_non_null(strstr(error, cases[i].says));
	}
}

static void test_lcores_are_counted(void **state)
{
	static const struct {
		const char *line;
		uint32_t cnt;
	} cases[] = {
		{"-l 0,1 -- c", 2},
		{"-l 0-3,8 -- c", 5},
		{"-l3 -- c", 1},
		{"--lcores 0@0,1@(2-5) -- c", 2},
		{"--lcores=(0-2)@(0,1),7 -- c", 4},
		{"-c 0xf0 -- c", 4},
		{"-l 5-2 -- c", 0}, /* the EAL will say why */
		{"-l -- c", 0},
	};

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		assert_int_equal(parse(cases[i].line), 0);
		assert_int_equal(pl_args_lcore_cnt(&args), cases[i].cnt);
	}
	assert_int_equal(parse("c"), 0);
	assert_true(pl_args_lcore_cnt(&args) >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eal_options_end_at_the_dashes),
		cmocka_unit_test(test_no_dashes_means_no_eal_options),
		cmocka_unit_test(test_usage_errors_say_what_is_expected),
		cmocka_unit_test(test_lcores_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
