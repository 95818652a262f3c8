/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules at their boundaries, and policy files: the shipped one, ranges, contradictions. */
#include "policy/pl_policy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define POLICY_INI PL_SOURCE_ROOT "/app/passline/policy.ini"
#define EVENT_DAY  18900

/* The least that a policy must say. */
#define PROFILE "[profile p]\nprimary = 14..180\nother = reject\n"
#define CLASSES "[classes]\nother = p\n"

static struct pl_policy policy;
static struct pl_policy_names names;
static char notes[PL_POLICY_NOTES_SIZE];

static int parse(const char *text)
{
	memset(&policy, 0xa5, sizeof(policy));
	memset(&names, 0xa5, sizeof(names));
	return pl_policy_parse("p.ini", text, strlen(text), &policy, &names, notes, sizeof(notes));
}

/* Verdict on a certificate that is age_days old, at a class of venue. */
static enum pl_verdict judge(uint32_t kind, int32_t age_days, uint32_t venue_class)
{
	struct pl_cert c = {.kind = (uint8_t)kind, .event_day = EVENT_DAY};

	return pl_policy_judge(&policy, pl_facts_pack(&c), venue_class, EVENT_DAY + age_days);
}

static void test_default_rules_at_their_boundaries(void **state)
{
	static const struct {
		enum pl_cert_kind kind;
		int32_t age_days;
		enum pl_verdict want;
	} cases[] = {
		{PL_CERT_PRIMARY, -1, PL_V_NOT_YET_VALID},
		{PL_CERT_PRIMARY, 0, PL_V_NOT_YET_VALID},
		{PL_CERT_PRIMARY, 13, PL_V_NOT_YET_VALID},
		{PL_CERT_PRIMARY, 14, PL_V_PASS},
		{PL_CERT_PRIMARY, 180, PL_V_PASS},
		{PL_CERT_PRIMARY, 181, PL_V_EXPIRED},
		{PL_CERT_BOOSTER, -1, PL_V_NOT_YET_VALID},
		{PL_CERT_BOOSTER, 0, PL_V_PASS},
		{PL_CERT_BOOSTER, 40000, PL_V_PASS},
		{PL_CERT_RECOVERED, -1, PL_V_NOT_YET_VALID},
		{PL_CERT_RECOVERED, 0, PL_V_PASS},
		{PL_CERT_RECOVERED, 180, PL_V_PASS},
		{PL_CERT_RECOVERED, 181, PL_V_EXPIRED},
		/* Tested at noon of day 0: 48 hours have passed at noon of day 2. */
		{PL_CERT_PCR_NEGATIVE, -1, PL_V_NOT_YET_VALID},
		{PL_CERT_PCR_NEGATIVE, 0, PL_V_PASS},
		{PL_CERT_PCR_NEGATIVE, 2, PL_V_PASS},
		{PL_CERT_PCR_NEGATIVE, 3, PL_V_EXPIRED},
		{PL_CERT_MEDICAL_EXEMPT, -1, PL_V_NOT_YET_VALID},
		{PL_CERT_MEDICAL_EXEMPT, 0, PL_V_PASS},
		{PL_CERT_MEDICAL_EXEMPT, 40000, PL_V_PASS},
		{PL_CERT_UNDER_AGE, -6000, PL_V_PASS},
		{PL_CERT_UNDER_AGE, -1, PL_V_PASS},
		{PL_CERT_UNDER_AGE, 0, PL_V_EXPIRED},
	};

	(void)state;
	pl_policy_default(&policy, &names);
	for (size_t i = 0; i < PL_ARRAY_CNT(cases); i++)
		for (uint32_t class = 0; class < PL_POLICY_CLASS_CNT; class ++)
			if (judge(cases[i].kind, cases[i].age_days, class) != cases[i].want)
				fail_msg("%s on day %d at class %u",
					 pl_cert_kind_name(cases[i].kind), cases[i].age_days,
					 class);
}

static void test_extreme_days_do_not_overflow(void **state)
{
	struct pl_cert c = {.kind = PL_CERT_UNDER_AGE, .event_day = PL_CERT_EVENT_DAY_MAX};

	(void)state;
	pl_policy_default(&policy, NULL);
	assert_int_equal(pl_policy_judge(&policy, pl_facts_pack(&c), 0, 0), PL_V_PASS);
	c.kind = PL_CERT_BOOSTER;
	c.event_day = 0;
	assert_int_equal(pl_policy_judge(&policy, pl_facts_pack(&c), 255, PL_CERT_EVENT_DAY_MAX),
			 PL_V_PASS);
}

/* A kind that this program does not know is no reason to turn anybody away. */
static void test_unknown_kinds_have_no_rule(void **state)
{
	(void)state;
	pl_policy_default(&policy, &names);
	for (uint32_t kind = 7; kind <= PL_CERT_KIND_MAX; kind++) {
		assert_null(pl_cert_kind_name(kind));
		assert_int_equal(judge(kind, 20, 0), PL_V_NO_RULE);
	}
	assert_int_equal(judge(PL_CERT_NONE, 20, 0), PL_V_NO_RULE);
	assert_int_equal(parse(PROFILE CLASSES), 0);
	assert_int_equal(judge(7, 20, 0), PL_V_NO_RULE);
	assert_int_equal(pl_verdict_group(PL_V_NO_RULE), PL_GROUP_UNKNOWN);
}

static void test_default_is_the_shipped_file(void **state)
{
	static struct pl_policy built_in;
	static struct pl_policy_names built_in_names;

	(void)state;
	pl_policy_default(&built_in, &built_in_names);
	assert_int_equal(pl_policy_load(POLICY_INI, &policy, &names, notes, sizeof(notes)), 0);
	assert_string_equal(notes, "");
	assert_memory_equal(&built_in, &policy, sizeof(policy));
	assert_memory_equal(&built_in_names, &names, sizeof(names));
	assert_int_equal(policy.qr_life_s, 15);
	assert_int_equal(policy.qr_skew_s, 5);
	assert_string_equal(names.class_name[3], "private-academy");
	assert_int_equal(pl_policy_load("/nonexistent", &policy, NULL, notes, sizeof(notes)),
			 -ENOENT);
	assert_non_null(strstr(notes, "/nonexistent"));
}

static void test_classes_have_their_own_profiles(void **state)
{
	(void)state;
	assert_int_equal(parse("[qr]\nlife = 30 s\nskew = 0 s\n" PROFILE
			       "[profile strict]\nbooster = 0 .. 90\nmedical-exempt = reject\n"
			       "other = reject\n"
			       "[classes]\nother = p\n17 = strict\n255 = strict\n"
			       "[class 18]\nname = club\nprofile = strict\nrequired = yes\n"
			       "[class 19]\nname = academy\nrequired = no\n"),
			 0);
	assert_string_equal(notes, "");
	assert_int_equal(policy.qr_life_s, 30);
	assert_int_equal(policy.qr_skew_s, 0);
	assert_int_equal(policy.profile_cnt, 2);
	for (uint32_t class = 0; class < PL_POLICY_CLASS_CNT; class ++) {
		bool strict = class == 17 || class == 255 || class == 18;

		assert_int_equal(judge(PL_CERT_PRIMARY, 20, class),
				 strict ? PL_V_NOT_ACCEPTED : PL_V_PASS);
		assert_int_equal(judge(PL_CERT_BOOSTER, 90, class),
				 strict ? PL_V_PASS : PL_V_NOT_ACCEPTED);
		assert_int_equal(judge(PL_CERT_BOOSTER, 91, class),
				 strict ? PL_V_EXPIRED : PL_V_NOT_ACCEPTED);
		assert_int_equal(policy.class_not_required[class], class == 19);
	}
	assert_string_equal(names.class_name[18], "club");
	assert_string_equal(names.class_name[17], "");
}

static void test_venue_class_is_taken_by_its_low_byte(void **state)
{
	(void)state;
	assert_int_equal(
		parse(PROFILE "[profile s]\nother = reject\n[classes]\nother = p\n1 = s\n"), 0);
	assert_int_equal(judge(PL_CERT_PRIMARY, 20, 0x101), PL_V_NOT_ACCEPTED);
}

static void test_ranges(void **state)
{
	static const struct {
		const char *text;
		int32_t from;
		int32_t to;
	} good[] = {
		{"14..180", 14, 180},
		{"14 .. 180", 14, 180},
		{"0..0", 0, 0},
		{"..", PL_POLICY_DAYS_EVER, PL_POLICY_DAYS_ANY},
		{"-3..", -3, PL_POLICY_DAYS_ANY},
		{"..-1", PL_POLICY_DAYS_EVER, -1},
		{"-65535..65535", -65535, 65535},
	};
	static const char *const bad[] = {
		"14",
		"14.180",
		"14...180",
		"14..180..",
		"a..b",
		"14..x",
		"--1..",
		"65536..",
		"..-65536",
		"1..0",
		"0..-1",
		"14..180x",
		"14 180",
		"rejected",
		"1.5..2",
		". .",
		"99999999999999999999..",
		"+1..2",
		"reject 3",
	};
	char conf[256];

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(good); i++) {
		const struct pl_policy_rule *r = &policy.profiles[0].rules[PL_CERT_RECOVERED];

		snprintf(conf, sizeof(conf),
			 "[profile p]\nother = reject\nrecovered = %s\n" CLASSES, good[i].text);
		assert_int_equal(parse(conf), 0);
		assert_int_equal(r->accept, PL_POLICY_ACCEPT);
		assert_int_equal(r->from_days, good[i].from);
		assert_int_equal(r->to_days, good[i].to);
	}
	for (size_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		snprintf(conf, sizeof(conf),
			 "[profile p]\nother = reject\nrecovered = %s\n" CLASSES, bad[i]);
		if (parse(conf) != -EINVAL ||
		    strstr(notes, "p.ini:3: [profile p] recovered: ") == NULL)
			fail_msg("%s: %s", bad[i], notes);
	}
}

static void test_contradictions_are_errors(void **state)
{
	static const struct {
		const char *text;
		const char *note;
	} cases[] = {
		{"", "no [profile NAME]"},
		{"", "section [classes] is missing"},
		{PROFILE "[classes]\n1 = p\n", "p.ini:4: [classes]: key \"other\" is missing"},
		{PROFILE "[classes]\nother = q\n",
		 "p.ini:5: [classes] other: there is no [profile q]"},
		{PROFILE CLASSES "1 = q\n", "p.ini:6: [classes] 1: there is no [profile q]"},
		{PROFILE CLASSES "256 = p\n", "a number from 0 to 255"},
		{PROFILE CLASSES "cafe = p\n", "a number from 0 to 255"},
		{PROFILE CLASSES "17 = p\n017 = p\n",
		 "p.ini:7: [classes] 017: class 17 was given before"},
		{PROFILE CLASSES "17 = p\n[class 17]\nprofile = p\n",
		 "p.ini:7: [class 17]: class 17 was given before"},
		{PROFILE CLASSES
		 "[class 17]\nname = x\nprofile = p\n[class 18]\nname = x\nprofile = p\n",
		 "p.ini:10: [class 18] name: is the name of class 17 already"},
		{PROFILE CLASSES "[class x]\nname = a\nprofile = p\n",
		 "p.ini:6: [class x]: a class of venue is a number"},
		{PROFILE CLASSES "[class 1]\nname = a\n", "key \"profile\" is missing"},
		{PROFILE CLASSES "[class 1]\nprofile = q\n", "there is no [profile q]"},
		{PROFILE CLASSES "[class 1]\nprofile = p\nname = A B\n",
		 "has 1 to 31 small letters"},
		{PROFILE CLASSES "[class 1]\nprofile = p\nrequired = maybe\n", "is not no or yes"},
		{PROFILE CLASSES "[class 1]\nprofile = p\ncolour = red\n",
		 "keys are: profile, required, name"},
		{"[profile p]\nprimary = 0..\n" CLASSES,
		 "p.ini:1: [profile p]: no rule for booster: add one"},
		{"[profile p]\nother = accept\n" CLASSES,
		 "p.ini:2: [profile p] other: can be \"reject\" only"},
		{PROFILE "vaccinated = 0..\n" CLASSES,
		 "p.ini:4: [profile p] vaccinated: no such key here; keys are: other, primary"},
		{PROFILE "primary = 0..\n" CLASSES, "p.ini:4: [profile] primary was set before"},
		{PROFILE PROFILE CLASSES, "section [profile p] was begun before"},
		{"[profile P]\nother = reject\n[classes]\nother = P\n",
		 "a profile's name has 1 to 31"},
		{"[qr]\nlife = 0 s\n" PROFILE CLASSES, "1 s to 10 min"},
		{"[qr]\nlife = 1500 ms\n" PROFILE CLASSES, "its unit: s, min, h or d"},
		{"[qr]\nskew = 301 s\n" PROFILE CLASSES, "0 s to 5 min"},
		{PROFILE CLASSES "[rules]\n", "[rules]: no such section"},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(cases); i++)
		if (parse(cases[i].text) != -EINVAL || strstr(notes, cases[i].note) == NULL)
			fail_msg("%s\ngives: %s\nnot: %s", cases[i].text, notes, cases[i].note);
}

static void test_unused_profile_is_a_warning(void **state)
{
	(void)state;
	assert_int_equal(parse(PROFILE "[profile q]\nother = reject\n" CLASSES), 0);
	assert_string_equal(notes, "p.ini: warning: [profile q] is used by no class");
}

static void test_profile_limit(void **state)
{
	static char conf[8192];
	size_t used = 0;

	(void)state;
	for (uint32_t i = 0; i < PL_POLICY_PROFILE_MAX; i++)
		used += (size_t)snprintf(conf + used, sizeof(conf) - used,
					 "[profile p%u]\nother = reject\n", i);
	used += (size_t)snprintf(conf + used, sizeof(conf) - used, "[classes]\nother = p63\n");
	assert_int_equal(parse(conf), 0);
	assert_int_equal(policy.class_profile[9], 63);
	snprintf(conf + used, sizeof(conf) - used, "[profile q]\nother = reject\n");
	assert_int_equal(parse(conf), -EINVAL);
	assert_non_null(strstr(notes, "[profile q]: more than 64 profiles"));
}

static void test_description_means_the_same(void **state)
{
	static struct pl_policy first;
	static struct pl_policy_names first_names;
	static char text[65536];
	char cut[11];
	size_t size;

	(void)state;
	assert_int_equal(
		parse("[qr]\nlife = 60 s\n" PROFILE
		      "[profile strict]\nbooster = ..90\nunder-age = ..\nrecovered = 0..180\n"
		      "pcr-negative = -1..\nother = reject\n"
		      "[classes]\nother = strict\n17 = p\n0 = p\n"
		      "[class 18]\nname = club\nprofile = strict\n"
		      "[class 19]\nprofile = p\nrequired = no\n"),
		0);
	first = policy;
	first_names = names;
	size = pl_policy_describe(&first, &first_names, text, sizeof(text));
	assert_int_equal(size, strlen(text));
	assert_int_equal(parse(text), 0);
	assert_memory_equal(&first, &policy, sizeof(policy));
	assert_memory_equal(&first_names, &names, sizeof(names));
	assert_non_null(strstr(text, "[class 18]\nname = club\nprofile = strict\n\n"));

	memset(cut, 'x', sizeof(cut));
	assert_int_equal(pl_policy_describe(&first, &first_names, cut, 8), size);
	assert_int_equal(strlen(cut), 7);
	assert_int_equal(cut[8], 'x');
	assert_int_equal(pl_policy_describe(&first, &first_names, NULL, 0), size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_rules_at_their_boundaries),
		cmocka_unit_test(test_extreme_days_do_not_overflow),
		cmocka_unit_test(test_unknown_kinds_have_no_rule),
		cmocka_unit_test(test_default_is_the_shipped_file),
		cmocka_unit_test(test_classes_have_their_own_profiles),
		cmocka_unit_test(test_venue_class_is_taken_by_its_low_byte),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_contradictions_are_errors),
		cmocka_unit_test(test_unused_profile_is_a_warning),
		cmocka_unit_test(test_profile_limit),
		cmocka_unit_test(test_description_means_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
