/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a verdict is made from, apart from the table: all that control decides, as one immutable
 * whole behind one published pointer, so that no verdict mixes old and new; and what changes by
 * itself, sampled once per burst.
 */
#ifndef PL_VIEW_H
#define PL_VIEW_H

#include "base/pl_base.h"
#include "cert/pl_cert.h"
#include "policy/pl_policy.h"
#include "verify/pl_gateway.h"
#include "wire/pl_wire.h"

/* Token epochs at a time: one, and during a rotation the next. */
#define PL_TOKEN_EPOCHS_HELD_MAX 2u

/** Token master keys by epoch, as the two words that lib/token takes. */
struct pl_token_keys {
	uint64_t master0[PL_CERT_KEY_EPOCH_CNT];
	uint64_t master1[PL_CERT_KEY_EPOCH_CNT];
	uint8_t held[PL_CERT_KEY_EPOCH_CNT]; /* 1: the appliance holds this epoch's key */
};

struct pl_view {
	const struct pl_gateway_set *gateways;
	const struct pl_token_keys *token_keys;
	const struct pl_policy *policy;
	uint32_t appliance_id;       /* 0 .. 2^24 - 1 */
	uint32_t request_age_ms_max; /* how far sent_at may be from our clock, either way */
	bool shed;                   /* limit who takes more than their share: pl_shed.h */
	uint32_t waiver_from;        /* unix s; an enforcement waiver is in force from then */
	uint32_t waiver_until;       /* until then; 0: none */
	uint64_t generation;         /* of the view, counts up */
};

/** The flag of the waiver, at this time: so it begins and ends without a new view. */
static inline uint32_t pl_view_waiver_flag(const struct pl_view *v, uint64_t now_s)
{
	return now_s >= v->waiver_from && now_s < v->waiver_until ? PL_FLAG_WAIVER : 0;
}

struct pl_now {
	uint64_t wall_ms;        /* unix time */
	int32_t today;           /* days since 1970-01-01 in the site's time zone */
	uint32_t as_of;          /* unix s, of the newest applied segment; 0: none */
	uint32_t flags;          /* enum pl_state_flag */
	uint16_t retry_after_ms; /* what clients are told that have no verdict for now */
	uint64_t tick;           /* in pl_verify_conf.tick_hz; never goes back */
	bool waited;             /* the queue was found empty before this burst */
};

#endif
