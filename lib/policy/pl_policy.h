/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Rules by venue class and certificate kind. Facts go in, a verdict comes out; a change of rules
 * is a new struct pl_policy, immutable once made.
 */
#ifndef PL_POLICY_H
#define PL_POLICY_H

#include "base/pl_base.h"
#include "cert/pl_cert.h"
#include "wire/pl_verdict.h"

#define PL_POLICY_CLASS_CNT   256u
#define PL_POLICY_PROFILE_MAX 64u
#define PL_POLICY_KIND_CNT    (PL_CERT_KIND_MAX + 1u)

#define PL_POLICY_DAYS_MAX  65535     /* the farthest bound of a rule, to either side */
#define PL_POLICY_DAYS_ANY  INT32_MAX /* to_days: no end */
#define PL_POLICY_DAYS_EVER INT32_MIN /* from_days: no beginning */

#define PL_POLICY_NAME_SIZE  32u    /* of a profile or a class, with its NUL */
#define PL_POLICY_NOTES_SIZE 17000u /* room for every error and warning about one file */

enum pl_policy_accept {
	PL_POLICY_NO_RULE = 0,
	PL_POLICY_ACCEPT = 1,
	PL_POLICY_REJECT = 2, /* kind is not accepted at this class of venue */
};

/** Valid on days event_day + from_days .. event_day + to_days, both included. */
struct pl_policy_rule {
	int32_t from_days; /* or PL_POLICY_DAYS_EVER */
	int32_t to_days;   /* or PL_POLICY_DAYS_ANY */
	uint8_t accept;    /* enum pl_policy_accept */
	uint8_t zero[3];
};

struct pl_policy_profile {
	struct pl_policy_rule rules[PL_POLICY_KIND_CNT];
};

/** Per-packet form: the classes' profile numbers (256 bytes) and the profiles. */
struct pl_policy {
	uint8_t class_profile[PL_POLICY_CLASS_CNT];
	uint8_t class_not_required[PL_POLICY_CLASS_CNT]; /* 1: no pass is needed there */
	uint32_t profile_cnt;
	uint32_t qr_life_s; /* a QR holds from shown_at - qr_skew_s to shown_at + life + skew */
	uint32_t qr_skew_s;
	struct pl_policy_profile profiles[PL_POLICY_PROFILE_MAX];
};

/**
 * What the rules say of these facts, on this day, at this class of venue. Looks at kind and
 * dates only.
 *
 * @param today  days since 1970-01-01 in the site's time zone.
 * @return PL_V_PASS, NOT_YET_VALID, EXPIRED, NOT_ACCEPTED or NO_RULE.
 */
static inline enum pl_verdict pl_policy_judge(const struct pl_policy *p, uint32_t facts,
					      uint32_t venue_class, int32_t today)
{
	const struct pl_policy_rule *r =
		&p->profiles[p->class_profile[venue_class & 0xffu]].rules[pl_facts_kind(facts)];
	int32_t age_days = today - (int32_t)pl_facts_event_day(facts);

	if (PL_UNLIKELY(r->accept != PL_POLICY_ACCEPT))
		return r->accept == PL_POLICY_REJECT ? PL_V_NOT_ACCEPTED : PL_V_NO_RULE;
	if (PL_UNLIKELY(age_days < r->from_days))
		return PL_V_NOT_YET_VALID;
	if (PL_UNLIKELY(age_days > r->to_days))
		return PL_V_EXPIRED;
	return PL_V_PASS;
}

/** What people call the parts of a policy; workers do not need it. */
struct pl_policy_names {
	char profile[PL_POLICY_PROFILE_MAX][PL_POLICY_NAME_SIZE];
	char class_name[PL_POLICY_CLASS_CNT][PL_POLICY_NAME_SIZE]; /* "": it has none */
	uint8_t other_profile; /* of the classes that the file does not name */
};

/**
 * Read a policy file. Its format: docs/configuration.md.
 *
 * Every kind that lib/cert knows has a rule in every profile, or the file is refused: no
 * certificate is denied because somebody forgot a line. Kinds that lib/cert does not know have
 * none: a newer authority's certificates are UNKNOWN here, never denied.
 *
 * @param names  may be NULL.
 * @param notes  every error of the file, and every warning; on success the warnings, or "".
 * @return 0; -EINVAL for errors in the text; another -errno if the file cannot be read.
 * Thread: any. Blocks: reads a file.
 */
PL_MUST_USE int pl_policy_load(const char *path, struct pl_policy *out,
			       struct pl_policy_names *names, char *notes, size_t notes_size);

/** The same from bytes; path serves messages only. text needs no NUL. */
PL_MUST_USE int pl_policy_parse(const char *path, const char *text, size_t size,
				struct pl_policy *out, struct pl_policy_names *names, char *notes,
				size_t notes_size);

/** The rules of January 2022, built in: the text of the installed policy.ini. names may be NULL. */
void pl_policy_default(struct pl_policy *out, struct pl_policy_names *names);

/**
 * Write the rules as the text of a policy file that means the same.
 *
 * @param text  cut short if text_size is too small; always ends in a NUL if text_size is not 0.
 * @return bytes that the whole text has, without its NUL.
 */
size_t pl_policy_describe(const struct pl_policy *p, const struct pl_policy_names *names,
			  char *text, size_t text_size);

#endif
