/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Which certificates are asked about, and what the right answer is: from the population's seed,
 * the policy and the day, as the appliance has them from its feed and its policy file.
 */
#ifndef PL_LOAD_EXPECT_H
#define PL_LOAD_EXPECT_H

#include "clock/pl_clock.h"
#include "load.h"
#include "policy/pl_policy.h"
#include "population/pl_population.h"
#include "token/pl_token.h"

/** One place in a datagram: whom it asks about, for good. */
struct plan {
	uint64_t cert_id;
	uint32_t facts; /* 0: a certificate that is in no feed */
	uint32_t venue_id;
	uint32_t nonce; /* tells this place's scans from others' */
	uint8_t kind;   /* enum mix_kind */
	uint8_t zero[3];
	uint8_t cert_key[PL_TOKEN_KEY_SIZE];
};

struct expect {
	struct pl_policy *policy;
	struct pl_population *population;
	const char *time_zone;
	struct pl_clock_zone zone;
	int32_t today;
	uint32_t venue_class;
	int32_t not_required_class; /* -1: the policy has none */
	uint8_t master[PL_TOKEN_KEY_SIZE];
	/* The walk through the certificates of our part: each at most once. */
	uint64_t part_idx;
	uint64_t part_cnt;
	uint64_t walk_cnt; /* certificates in our part */
	uint64_t walk_at;
	uint64_t walk_stride; /* without a common factor with walk_cnt */
	uint64_t walk_done;
	uint64_t rng;
};

PL_MUST_USE int expect_open(struct expect *e, const struct load_args *args, char *error,
			    size_t error_size);
void expect_close(struct expect *e);

/** Keep the day in step with the wall clock. */
void expect_set_time(struct expect *e, uint64_t wall_ms);

/**
 * Choose a certificate for a kind of scan. VALID and REPLAYED get each certificate at most once,
 * for two scans of it in flight could overtake each other.
 *
 * @return 0, or -ENOENT with error set when the population has none (left).
 */
PL_MUST_USE int expect_plan(struct expect *e, enum mix_kind kind, struct plan *out, char *error,
			    size_t error_size);

/** A certificate that the population does not have. */
void expect_plan_absent(struct expect *e, uint64_t cert_id, struct plan *out);

/** What facts and rules alone come to, today: PASS, REVOKED, EXPIRED, ... */
enum pl_verdict expect_facts(const struct expect *e, uint32_t facts, uint32_t venue_class);

/**
 * Write the scan of a place, shown at shown_at (or as long before or after as its kind wants).
 *
 * @param second  the second sending of a REPLAYED place: now it is the copy. At the first it is
 *                the QR that will be copied, and right is PASS.
 * @return the right verdict.
 */
enum pl_verdict expect_scan(const struct expect *e, const struct plan *p, uint32_t shown_at,
			    bool second, struct pl_wire_scan *out);

#endif
