/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The gateways that may ask: an immutable set, found by (id, key epoch), with each one's
 * expanded direction keys. A change is a new set.
 *
 * Gateways of one platform have one share of a worker that cannot keep up (pl_shed.h); who is of none has its
 * own. A share is named by the idx of one of its gateways.
 */
#ifndef PL_GATEWAY_H
#define PL_GATEWAY_H

#include "base/pl_base.h"
#include "seal/pl_seal.h"

#define PL_GATEWAY_MAX        4096u
#define PL_GATEWAY_EPOCHS_MAX 2u /* of one gateway at a time */

/** One gateway under one key epoch. */
struct pl_gateway {
	const struct pl_seal_key *request_key; /* owned by the set */
	const struct pl_seal_key *reply_key;
	uint32_t id;
	uint32_t
		idx; /* of the gateway, whatever its epoch: 0 .. PL_GATEWAY_MAX - 1, for counters */
	uint32_t share; /* the idx of its platform's first gateway, or its own */
	uint8_t epoch;
};

/** Counts by gateway: one line per gateway and worker. */
struct pl_gateway_counters {
	alignas(PL_CACHE_LINE) uint64_t datagrams PL_OWNED_BY(worker);
	uint64_t pass; /* scans, as deny and unknown */
	uint64_t deny;
	uint64_t unknown;
	uint64_t retries;
	uint64_t errors;  /* datagrams answered with one error */
	uint64_t busy;    /* of these, the ones told to come back */
	uint64_t seen_ms; /* when it was last heard, with a request that was fresh */
};

/** Every scan has a verdict of one of the groups. */
static inline uint64_t pl_gateway_scans(const struct pl_gateway_counters *c)
{
	return c->pass + c->deny + c->unknown;
}

struct pl_gateway_set; /* opaque */

/** One gateway key as configured; root is the caller's to wipe. */
struct pl_gateway_conf {
	uint32_t id;
	uint32_t platform; /* any number from 1, the same for all epochs of a gateway; 0: of none */
	uint8_t epoch;
	uint8_t root[PL_SEAL_KEY_SIZE];
};

/**
 * @param s      any pl_seal of the engine that the workers use.
 * @param prev   the set that this one follows, or NULL: a gateway keeps its idx from set to set,
 *               also while it is away, so that its counters stay its own. Borrowed.
 * @param confs  conf_cnt keys in any order; new gateways get idx by ascending id.
 * @return 0; -EEXIST for the same (id, epoch) twice, -E2BIG for more than PL_GATEWAY_MAX
 *         gateways, those of earlier sets counted, -ERANGE for more than PL_GATEWAY_EPOCHS_MAX
 *         epochs of one, -ENOMEM. *bad_id, if not NULL, names the gateway at fault.
 */
PL_MUST_USE int pl_gateway_set_create(const struct pl_seal *s, const struct pl_gateway_set *prev,
				      const struct pl_gateway_conf *confs, uint32_t conf_cnt,
				      struct pl_gateway_set **out, uint32_t *bad_id);
void pl_gateway_set_destroy(struct pl_gateway_set *set);

/** @return NULL if the set has no such key. Bounded, any thread. */
const struct pl_gateway *pl_gateway_find(const struct pl_gateway_set *set, uint32_t id,
					 uint8_t epoch);

/** How many gateways (not epochs) there are or were, and the id of each idx. */
uint32_t pl_gateway_cnt(const struct pl_gateway_set *set);
uint32_t pl_gateway_id(const struct pl_gateway_set *set, uint32_t idx);

/** The share of each idx; one without a key in this set has its own. Belongs to the set. */
const uint32_t *pl_gateway_shares(const struct pl_gateway_set *set);
/** Another number than that of the set before if a gateway of both has another share now: what was noted by
 * share is no more that of those who have it. */
uint32_t pl_gateway_share_serial(const struct pl_gateway_set *set);

#endif
