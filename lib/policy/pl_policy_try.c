/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy/pl_policy_try.h"

#include <errno.h>

/* What decides at a class: is a pass needed, and by which rules. */
static bool same_rules(const struct pl_policy *p, uint32_t a, uint32_t b)
{
	return p->class_not_required[a] == p->class_not_required[b] &&
	       p->class_profile[a] == p->class_profile[b];
}

struct pl_policy_try *pl_policy_try_create(const struct pl_policy *now,
					   const struct pl_policy *then, int venue_class, int *rc)
{
	struct pl_policy_try *t = calloc(1, sizeof(*t));

	*rc = -ENOMEM;
	if (t == NULL)
		return NULL;
	t->now = now;
	t->then = then;
	memset(t->class_group, PL_POLICY_TRY_GROUPS_MAX, sizeof(t->class_group));
	for (uint32_t c = 0; c < PL_POLICY_CLASS_CNT; c++) {
		uint32_t g = 0;

		if (venue_class >= 0 && c != (uint32_t)venue_class)
			continue;
		while (g < t->group_cnt && !(same_rules(now, t->groups[g].first_class, c) &&
					     same_rules(then, t->groups[g].first_class, c)))
			g++;
		if (g == PL_POLICY_TRY_GROUPS_MAX) {
			free(t);
			*rc = -E2BIG;
			return NULL;
		}
		if (g == t->group_cnt)
			t->groups[t->group_cnt++].first_class = (uint8_t)c;
		t->groups[g].class_cnt++;
		t->class_group[c] = (uint8_t)g;
	}
	*rc = 0;
	return t;
}

/* A certificate that is shown as its wallet shows it, once. In the order of lib/verify. */
static enum pl_verdict cert_verdict(const struct pl_policy *p, uint32_t facts, uint32_t venue_class,
				    int32_t today)
{
	if (p->class_not_required[venue_class])
		return PL_V_NOT_REQUIRED;
	if (facts == 0)
		return PL_V_UNKNOWN_CERT;
	if (facts & PL_FACTS_REVOKED)
		return PL_V_REVOKED;
	if (facts & PL_FACTS_SUSPENDED)
		return PL_V_SUSPENDED;
	return pl_policy_judge(p, facts, venue_class, today);
}

void pl_policy_try_cert(struct pl_policy_try *t, uint32_t facts, int32_t today)
{
	t->cert_cnt++;
	for (uint32_t g = 0; g < t->group_cnt; g++) {
		struct pl_policy_try_group *group = &t->groups[g];
		enum pl_verdict now = cert_verdict(t->now, facts, group->first_class, today);
		enum pl_verdict then = cert_verdict(t->then, facts, group->first_class, today);

		group->certs[now][then]++;
	}
}

/* What these rules would have said. A verdict that was given before rules were asked (forged, stale,
 * unknown) stays; one that was given after (a copy) stays if the rules let it get so far. Where no pass
 * was needed nothing is known of the QR code, and it is taken for a good one. */
static enum pl_verdict scan_verdict(const struct pl_policy *p, const struct pl_sample *s,
				    int32_t day)
{
	enum pl_verdict rules;

	if (p->class_not_required[s->venue_class])
		return PL_V_NOT_REQUIRED;
	switch ((enum pl_verdict)s->verdict) {
	case PL_V_NOT_REQUIRED:
	case PL_V_PASS:
	case PL_V_NOT_YET_VALID:
	case PL_V_EXPIRED:
	case PL_V_NOT_ACCEPTED:
	case PL_V_NO_RULE:
		return cert_verdict(p, s->facts, s->venue_class, day);
	case PL_V_REPLAYED:
		rules = cert_verdict(p, s->facts, s->venue_class, day);
		return rules == PL_V_PASS ? PL_V_REPLAYED : rules;
	default:
		return (enum pl_verdict)s->verdict;
	}
}

void pl_policy_try_scan(struct pl_policy_try *t, const struct pl_sample *s, int32_t day)
{
	enum pl_verdict now, then;

	if (t->class_group[s->venue_class] == PL_POLICY_TRY_GROUPS_MAX ||
	    s->verdict >= PL_V_CODE_END)
		return;
	now = scan_verdict(t->now, s, day);
	then = scan_verdict(t->then, s, day);
	t->scans[now][then] += s->scan_cnt;
	t->samples[now][then]++;
	t->scan_cnt += s->scan_cnt;
	t->sample_cnt++;
}
