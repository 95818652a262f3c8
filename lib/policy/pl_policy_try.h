/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What other rules would make of certificates and scans: from one policy's verdict to another's, added
 * up. Rules alone are compared; the life of a QR code is not.
 */
#ifndef PL_POLICY_TRY_H
#define PL_POLICY_TRY_H

#include "policy/pl_policy.h"
#include "stats/pl_samples.h"

#define PL_POLICY_TRY_GROUPS_MAX 64u

/** Venue classes for which both policies have the same pair of rules. */
struct pl_policy_try_group {
	uint8_t first_class; /* stands for all */
	uint32_t class_cnt;
	/* Certificates by verdict now and then. */
	uint64_t certs[PL_V_CODE_END][PL_V_CODE_END];
};

struct pl_policy_try {
	const struct pl_policy *now, *then; /* borrowed */
	uint64_t cert_cnt;
	uint32_t group_cnt;
	uint8_t class_group[PL_POLICY_CLASS_CNT]; /* PL_POLICY_TRY_GROUPS_MAX: not looked at */
	struct pl_policy_try_group groups[PL_POLICY_TRY_GROUPS_MAX];
	/* Scans: as many as samples stand for, and samples. */
	uint64_t scans[PL_V_CODE_END][PL_V_CODE_END];
	uint64_t samples[PL_V_CODE_END][PL_V_CODE_END];
	uint64_t scan_cnt, sample_cnt;
};

/**
 * @param venue_class  look at this class alone; -1: at all.
 * @return a zeroed one to free(); NULL with *rc -ENOMEM, or -E2BIG for more than
 *         PL_POLICY_TRY_GROUPS_MAX pairs of rules.
 */
struct pl_policy_try *pl_policy_try_create(const struct pl_policy *now,
					   const struct pl_policy *then, int venue_class, int *rc);

/** Add a certificate, in every group. today: as for pl_policy_judge(). */
void pl_policy_try_cert(struct pl_policy_try *t, uint32_t facts, int32_t today);
/** Add a scan, as of its own day; one at a class that is not looked at is left out. */
void pl_policy_try_scan(struct pl_policy_try *t, const struct pl_sample *s, int32_t day);

#endif
