/* SPDX-License-Identifier: BSD-3-Clause */
/* Which gateways are a platform's, as the site file says it. */
#include "site_fixture.h"

static void test_platforms(void **state)
{
	static const struct {
		uint32_t gateway;
		const char *platform;
	} cases[] = {
		{0, "south"},          {1, NULL},      {6, NULL},
		{7, "north"},          {8, NULL},      {99, NULL},
		{100, "north"},        {150, "north"}, {199, "north"},
		{200, "south"},        {201, NULL},    {4294967294, NULL},
		{UINT32_MAX, "south"},
	};

	(void)state;
	assert_int_equal(parse(LEAST), 0);
	assert_int_equal(site.platform_cnt, 0);
	assert_int_equal(pl_site_platform_of(&site, 0), -1);
	assert_int_equal(parse(LEAST "[platform north]\ngateways = 100-199, 7\n"
				     "[platform south]\ngateways = 4294967295 0 200-200\n"),
			 0);
	assert_int_equal(site.platform_cnt, 2);
	for (size_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		int32_t at = pl_site_platform_of(&site, cases[i].gateway);

		if (cases[i].platform == NULL)
			assert_int_equal(at, -1);
		else
			assert_string_equal(site.platforms[at], cases[i].platform);
	}
	assert_int_equal(parse(LEAST "[platform all]\ngateways = 0-4294967295\n"), 0);
	assert_int_equal(pl_site_platform_of(&site, UINT32_MAX), 0);
}

/* As many platforms, and numbers and ranges of all of them, as there is room for, and one more. */
static void test_many_platforms(void **state)
{
	static char text[256 * 1024];

	(void)state;
	for (uint32_t extra = 0; extra < 3; extra++) {
		uint32_t platforms = PL_SITE_PLATFORMS_MAX + (extra == 1), spans = 0;
		size_t used = (size_t)snprintf(text, sizeof(text), LEAST);

		for (uint32_t i = 0; i < platforms; i++) {
			used += (size_t)snprintf(text + used, sizeof(text) - used,
						 "[platform p%u]\ngateways =", i);
			for (uint32_t k = 0; k < PL_SITE_SPANS_MAX / PL_SITE_PLATFORMS_MAX; k++)
				used += (size_t)snprintf(text + used, sizeof(text) - used, " %u",
							 2 * spans++);
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n",
						 extra == 2 && i == platforms - 1 ? " 7" : "");
		}
		if (extra == 0) {
			assert_int_equal(parse(text), 0);
			assert_int_equal(pl_site_platform_of(&site, 2 * (spans - 1)),
					 platforms - 1);
			assert_int_equal(pl_site_platform_of(&site, 2 * (spans - 1) - 1), -1);
		} else {
			assert_int_equal(parse(text), -EINVAL);
			assert_non_null(strstr(error, extra == 1 ? "more than 256 platforms"
								 : "have 1024 numbers and ranges"));
			assert_null(strchr(error, '\n'));
		}
	}
}

static void test_faults_are_told(void **state)
{
	static const struct fault cases[] = {
		{LEAST "[platform]\ngateways = 1\n", "write [platform NAME]"},
		{LEAST "[platform a]\n", "key \"gateways\" is missing"},
		{LEAST "[platform a]\ngateways = ,\n", "[platform a] gateways: holds no gateway"},
		{LEAST "[platform A]\ngateways = 1\n",
		 "a platform's name has 1 to 31 small letters"},
		{LEAST "[platform a]\ngateways = 1 - 3\n",
		 "\"-\" is neither a gateway's number nor a range"},
		{LEAST "[platform a]\ngateways = 3-1\n", "\"3-1\" is neither"},
		{LEAST "[platform a]\ngateways = 1-2-3\n", "\"1-2-3\" is neither"},
		{LEAST "[platform a]\ngateways = 1-\n", "\"1-\" is neither"},
		{LEAST "[platform a]\ngateways = -1\n", "\"-1\" is neither"},
		{LEAST "[platform a]\ngateways = 4294967296\n", "\"4294967296\" is neither"},
		{LEAST "[platform a]\ngateways = 0-4294967296\n", "of 0 to 4294967295"},
		{LEAST "[platform a]\ngateways = 1 00000000000000000000000000000002\n",
		 "is longer than a range"},
		{LEAST "[platform a]\ngateways = 3-9, 7\n",
		 "7: gateway 7 is in [platform a] already"},
		{LEAST "[platform a]\ngateways = 3-9\n[platform b]\ngateways = 9-12\n",
		 "9-12: gateway 9 is in [platform a] already"},
		{LEAST "[platform a]\ngateways = 3-9\n[platform b]\ngateways = 1-3\n",
		 "1-3: gateway 3 is in [platform a] already"},
		{LEAST
		 "[platform a]\ngateways = 4294967295\n[platform b]\ngateways = 10-4294967295\n",
		 "gateway 4294967295 is in [platform a] already"},
		{LEAST "[platform a]\ngateways = 1\n[platform a]\ngateways = 2\n",
		 "section [platform a] was begun before"},
		{LEAST "[platform a]\nshare = 1\ngateways = 2\n",
		 "no such key here; keys are: gateways"},
	};

	(void)state;
	assert_told(cases, PL_ARRAY_CNT(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_platforms),
		cmocka_unit_test(test_many_platforms),
		cmocka_unit_test(test_faults_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
