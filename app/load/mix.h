/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What kinds of scans are sent, and in which shares.
 */
#ifndef PL_LOAD_MIX_H
#define PL_LOAD_MIX_H

#include "base/pl_base.h"
#include "wire/pl_verdict.h"

/* M(id, name in --mix, verdict that is right, what is sent) */
#define LOAD_MIX(M)                                                                             \
	M(VALID, "valid", PL_V_PASS, "a certificate that holds, its QR fresh")                  \
	M(UNKNOWN, "unknown", PL_V_UNKNOWN_CERT, "a certificate that is in no feed")            \
	M(REVOKED, "revoked", PL_V_REVOKED, "a revoked certificate")                            \
	M(SUSPENDED, "suspended", PL_V_SUSPENDED, "a suspended certificate")                    \
	M(NOT_YET_VALID, "not-yet-valid", PL_V_NOT_YET_VALID, "one whose time has not come")    \
	M(EXPIRED, "expired", PL_V_EXPIRED, "one whose time is over")                           \
	M(NOT_ACCEPTED, "not-accepted", PL_V_NOT_ACCEPTED, "of a kind not accepted at a venue") \
	M(NOT_REQUIRED, "not-required", PL_V_NOT_REQUIRED, "at a venue that asks for none")     \
	M(FORGED, "forged", PL_V_FORGED, "a tag that the wallet did not make")                  \
	M(STALE, "stale", PL_V_STALE_QR, "a QR older than its life")                            \
	M(FUTURE, "future", PL_V_FUTURE_QR, "a QR from the future")                             \
	M(REPLAYED, "replayed", PL_V_REPLAYED, "a copy of a QR that was accepted before")

enum mix_kind {
#define M(id, name, verdict, text) MIX_##id,
	LOAD_MIX(M)
#undef M
		MIX_CNT
};

/** Shares add up to 1; cumulative[MIX_CNT - 1] is 2^32. */
struct mix {
	double share[MIX_CNT];
	uint64_t cumulative[MIX_CNT];
};

/** Everything valid. */
void mix_default(struct mix *m);
/**
 * Read "valid=90,unknown=3,forged=2.5": weights, in any unit.
 * @return 0, or -EINVAL with error set; m is then unchanged.
 */
PL_MUST_USE int mix_parse(struct mix *m, const char *text, char *error, size_t error_size);
/** The kind that 32 random bits choose. */
enum mix_kind mix_pick(const struct mix *m, uint32_t random);
const char *mix_name(enum mix_kind kind);
const char *mix_text(enum mix_kind kind);
enum pl_verdict mix_verdict(enum mix_kind kind);

#endif
