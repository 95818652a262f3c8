/* SPDX-License-Identifier: BSD-3-Clause */
/* What another policy would change, told before it holds. */
#include "policy/pl_policy_try.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define TODAY 19000

static struct pl_policy parse(const char *text)
{
	char notes[PL_POLICY_NOTES_SIZE];
	struct pl_policy p;

	assert_int_equal(
		pl_policy_parse("test", text, strlen(text), &p, NULL, notes, sizeof(notes)), 0);
	return p;
}

#define KINDS "booster = 0..\nother = reject\n"

static const char now_text[] = "[profile a]\nprimary = 14..\n" KINDS "[classes]\nother = a\n";
static const char then_text[] =
	"[profile a]\nprimary = 14..180\n" KINDS "[profile b]\n" KINDS
	"[classes]\nother = a\n17 = b\n[class 18]\nname = free\nprofile = a\nrequired = no\n";

static uint32_t facts(enum pl_cert_kind kind, int32_t age_days)
{
	struct pl_cert c = {.kind = (uint8_t)kind, .event_day = (uint16_t)(TODAY - age_days)};

	return pl_facts_pack(&c);
}

static void test_the_same_rules_change_nothing(void **state)
{
	struct pl_policy p = parse(then_text);
	struct pl_policy_try *t;
	int rc;

	(void)state;
	t = pl_policy_try_create(&p, &p, -1, &rc);
	assert_int_equal(t->group_cnt, 3);
	for (int32_t age = -5; age < 400; age++)
		pl_policy_try_cert(t, facts(PL_CERT_PRIMARY, age), TODAY);
	for (uint32_t v = 1; v < PL_V_CODE_END; v++) {
		struct pl_sample s = {.facts = facts(PL_CERT_PRIMARY, 200),
				      .scan_cnt = 3,
				      .venue_class = (uint8_t)v,
				      .verdict = (uint8_t)v};

		pl_policy_try_scan(t, &s, TODAY);
	}
	for (uint32_t a = 0; a < PL_V_CODE_END; a++)
		for (uint32_t b = 0; b < PL_V_CODE_END; b++)
			if (a != b) {
				assert_int_equal(t->scans[a][b], 0);
				for (uint32_t g = 0; g < t->group_cnt; g++)
					assert_int_equal(t->groups[g].certs[a][b], 0);
			}
	assert_int_equal(t->cert_cnt, 405);
	assert_int_equal(t->scan_cnt, 3 * (PL_V_CODE_END - 1));
	free(t);
}

static void test_certificates_by_groups_of_classes(void **state)
{
	struct pl_policy now = parse(now_text), then = parse(then_text);
	struct pl_policy_try *t;
	uint32_t revoked = facts(PL_CERT_PRIMARY, 200) | PL_FACTS_REVOKED;
	struct pl_policy_try_group *g;
	int rc;

	(void)state;
	t = pl_policy_try_create(&now, &then, -1, &rc);
	assert_int_equal(rc, 0);
	assert_int_equal(t->group_cnt, 3);
	assert_int_equal(t->groups[0].class_cnt, 254);
	pl_policy_try_cert(t, facts(PL_CERT_PRIMARY, 180), TODAY);
	pl_policy_try_cert(t, facts(PL_CERT_PRIMARY, 181), TODAY);
	pl_policy_try_cert(t, facts(PL_CERT_PRIMARY, 13), TODAY);
	pl_policy_try_cert(t, facts(PL_CERT_BOOSTER, 900), TODAY);
	pl_policy_try_cert(t, revoked, TODAY);
	g = &t->groups[t->class_group[0]];
	assert_int_equal(g->certs[PL_V_PASS][PL_V_PASS], 2);
	assert_int_equal(g->certs[PL_V_PASS][PL_V_EXPIRED], 1);
	assert_int_equal(g->certs[PL_V_NOT_YET_VALID][PL_V_NOT_YET_VALID], 1);
	assert_int_equal(g->certs[PL_V_REVOKED][PL_V_REVOKED], 1);
	g = &t->groups[t->class_group[17]];
	assert_int_equal(g->certs[PL_V_PASS][PL_V_NOT_ACCEPTED], 2);
	assert_int_equal(g->certs[PL_V_NOT_YET_VALID][PL_V_NOT_ACCEPTED], 1);
	g = &t->groups[t->class_group[18]];
	assert_int_equal(g->certs[PL_V_PASS][PL_V_NOT_REQUIRED], 3);
	assert_int_equal(g->certs[PL_V_REVOKED][PL_V_NOT_REQUIRED], 1);
	free(t);
	/* One class alone, of which there is one group. */
	t = pl_policy_try_create(&now, &then, 17, &rc);
	assert_int_equal(t->group_cnt, 1);
	assert_int_equal(t->groups[0].first_class, 17);
	assert_int_equal(t->groups[0].class_cnt, 1);
	free(t);
}

static void test_scans_change_as_the_rules_stand_in_the_order_of_questions(void **state)
{
	struct pl_policy now = parse(now_text), then = parse(then_text);
	const struct {
		uint8_t class, verdict, now, then;
		uint32_t facts;
	} cases[] = {
		{1, PL_V_PASS, PL_V_PASS, PL_V_EXPIRED, facts(PL_CERT_PRIMARY, 181)},
		{1, PL_V_PASS, PL_V_PASS, PL_V_PASS, facts(PL_CERT_PRIMARY, 180)},
		{1, PL_V_REPLAYED, PL_V_REPLAYED, PL_V_EXPIRED, facts(PL_CERT_PRIMARY, 181)},
		{1, PL_V_REPLAYED, PL_V_REPLAYED, PL_V_REPLAYED, facts(PL_CERT_PRIMARY, 180)},
		{1, PL_V_FORGED, PL_V_FORGED, PL_V_FORGED, facts(PL_CERT_PRIMARY, 181)},
		{1, PL_V_STALE_QR, PL_V_STALE_QR, PL_V_STALE_QR, facts(PL_CERT_PRIMARY, 181)},
		{1, PL_V_UNKNOWN_CERT, PL_V_UNKNOWN_CERT, PL_V_UNKNOWN_CERT, 0},
		/* Judged by rules of before the last reload: both are asked anew. */
		{1, PL_V_NOT_ACCEPTED, PL_V_PASS, PL_V_EXPIRED, facts(PL_CERT_PRIMARY, 181)},
		{17, PL_V_PASS, PL_V_PASS, PL_V_NOT_ACCEPTED, facts(PL_CERT_PRIMARY, 20)},
		{18, PL_V_FORGED, PL_V_FORGED, PL_V_NOT_REQUIRED, facts(PL_CERT_PRIMARY, 20)},
		{18, PL_V_UNKNOWN_CERT, PL_V_UNKNOWN_CERT, PL_V_NOT_REQUIRED, 0},
	};
	int rc;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		struct pl_policy_try *t = pl_policy_try_create(&now, &then, -1, &rc);
		struct pl_sample s = {.facts = cases[i].facts,
				      .scan_cnt = 1000,
				      .venue_class = cases[i].class,
				      .verdict = cases[i].verdict};

		pl_policy_try_scan(t, &s, TODAY);
		assert_int_equal(t->scans[cases[i].now][cases[i].then], 1000);
		assert_int_equal(t->samples[cases[i].now][cases[i].then], 1);
		free(t);
		/* The other way round: from a class that was free nothing is known of the code. */
		if (cases[i].class != 18)
			continue;
		t = pl_policy_try_create(&then, &now, -1, &rc);
		s.verdict = PL_V_NOT_REQUIRED;
		pl_policy_try_scan(t, &s, TODAY);
		assert_int_equal(t->scans[PL_V_NOT_REQUIRED]
					 [cases[i].facts != 0 ? PL_V_PASS : PL_V_UNKNOWN_CERT],
				 1000);
		free(t);
	}
	/* A scan elsewhere is left out, a code that is none too. */
	{
		struct pl_policy_try *t = pl_policy_try_create(&now, &then, 17, &rc);
		struct pl_sample s = {
			.facts = 1, .scan_cnt = 5, .venue_class = 16, .verdict = PL_V_PASS};

		pl_policy_try_scan(t, &s, TODAY);
		s.venue_class = 17;
		s.verdict = 0xff;
		pl_policy_try_scan(t, &s, TODAY);
		assert_int_equal(t->sample_cnt, 0);
		free(t);
	}
}

static void test_too_many_pairs_of_rules(void **state)
{
	static struct pl_policy now, then; /* large */
	struct pl_policy_try *t;
	int rc;

	(void)state;
	for (uint32_t c = 0; c < PL_POLICY_CLASS_CNT; c++) {
		now.class_profile[c] = (uint8_t)(c % 8);
		then.class_profile[c] = (uint8_t)(c / 8 % 8);
	}
	t = pl_policy_try_create(&now, &then, -1, &rc);
	assert_non_null(t);
	assert_int_equal(t->group_cnt, PL_POLICY_TRY_GROUPS_MAX);
	free(t);
	now.class_not_required[200] = 1;
	assert_null(pl_policy_try_create(&now, &then, -1, &rc));
	assert_int_equal(rc, -E2BIG);
	t = pl_policy_try_create(&now, &then, 200, &rc);
	assert_int_equal(t->group_cnt, 1);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_same_rules_change_nothing),
		cmocka_unit_test(test_certificates_by_groups_of_classes),
		cmocka_unit_test(test_scans_change_as_the_rules_stand_in_the_order_of_questions),
		cmocka_unit_test(test_too_many_pairs_of_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
