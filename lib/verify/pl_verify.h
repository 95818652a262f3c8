/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A burst of datagram payloads in, replies out, each built in its request's own bytes. Pure: no
 * sockets, no clock, no EAL, no allocation; everything it needs comes in.
 */
#ifndef PL_VERIFY_H
#define PL_VERIFY_H

#include <stdatomic.h>

#include "base/pl_base.h"
#include "policy/pl_policy.h"
#include "seal/pl_seal.h"
#include "stats/pl_stats.h"
#include "table/pl_table.h"
#include "token/pl_token.h"
#include "wire/pl_wire.h"

#define PL_VERIFY_BURST_MAX 64u   /* datagrams */
#define PL_GATEWAY_MAX      4096u /* gateways, each with up to two key epochs */

/** One gateway under one key epoch. Keys are owned by the gateway set. */
struct pl_gateway {
	uint32_t id;
	uint8_t epoch;
	uint32_t
		idx; /* of the gateway, whatever its epoch: 0 .. PL_GATEWAY_MAX - 1, for counters */
	struct pl_seal_key *request_key;
	struct pl_seal_key *reply_key;
};

/** An immutable set of gateways, found by (id, epoch). Opaque. */
struct pl_gateway_set;

/** One gateway key as configured. root is wiped by the caller. */
struct pl_gateway_conf {
	uint32_t id;
	uint8_t epoch;
	uint8_t root[PL_SEAL_KEY_SIZE];
};

/**
 * @param s  any pl_seal of the engine that the workers use.
 * @return 0; -EEXIST for the same (id, epoch) twice, -E2BIG for more than PL_GATEWAY_MAX ids,
 *         -EINVAL for a third epoch of one id (two at a time), -ENOMEM.
 */
PL_MUST_USE int pl_gateway_set_create(const struct pl_seal *s, const struct pl_gateway_conf *confs,
				      uint32_t conf_cnt, struct pl_gateway_set **out);
void pl_gateway_set_destroy(struct pl_gateway_set *set);
const struct pl_gateway *pl_gateway_find(const struct pl_gateway_set *set, uint32_t id,
					 uint8_t epoch);
/** Ids by idx, for showing counters; how many. */
uint32_t pl_gateway_cnt(const struct pl_gateway_set *set);
uint32_t pl_gateway_id(const struct pl_gateway_set *set, uint32_t idx);

/** Token master keys by epoch, as the two words that lib/token takes. */
struct pl_token_keys {
	uint64_t master0[PL_CERT_KEY_EPOCH_CNT];
	uint64_t master1[PL_CERT_KEY_EPOCH_CNT];
	uint8_t held[PL_CERT_KEY_EPOCH_CNT]; /* 1: the appliance holds this epoch */
};

/**
 * Everything that control decides, as one immutable whole behind one published pointer, so that
 * no verdict mixes old and new.
 */
struct pl_view {
	const struct pl_gateway_set *gateways;
	const struct pl_token_keys *token_keys;
	const struct pl_policy *policy;
	uint32_t appliance_id;       /* 0 .. 2^24 - 1 */
	uint32_t request_age_ms_max; /* how far sent_at may be from our clock */
	uint32_t waiver_until;       /* unix s; 0: none */
	uint64_t generation;         /* of the view, counts up */
};

/** What changes by itself: one sample per burst. */
struct pl_now {
	uint64_t wall_ms; /* unix time */
	int32_t today;    /* days since 1970-01-01 in the site's time zone */
	uint32_t as_of;   /* unix s, of the newest applied segment */
	uint32_t flags;   /* enum pl_state_flag */
	uint16_t retry_after_ms;
};

/** One datagram. */
struct pl_verify_item {
	uint8_t *data; /* in: the request. out: the reply. PL_WIRE_REP_SIZE fits by protocol */
	uint32_t request_size;
	uint32_t reply_size; /* 0: no reply, see drop */
	uint32_t drop;       /* enum pl_drop; PL_DROP_NONE when there is a reply */
};

/** Scans by gateway: one line per gateway and worker. */
struct pl_gateway_counters {
	alignas(PL_CACHE_LINE) uint64_t datagrams PL_OWNED_BY(worker);
	uint64_t scans;
	uint64_t pass;
	uint64_t deny;
	uint64_t unknown;
	uint64_t retries;
	uint64_t errors; /* datagrams answered with one error */
	uint64_t last_seen_ms;
};

struct pl_verify; /* one worker's scratch, counters and nonce range; opaque */

struct pl_verify_conf {
	enum pl_seal_engine seal_engine;
	int token_variant;    /* enum pl_token_variant, or -1: the fastest */
	uint32_t queue;       /* 0 .. 255; with the appliance id it makes nonces unique */
	uint64_t nonce_next;  /* first reply counter to use */
	uint64_t nonce_limit; /* first not to use; see pl_verify_nonce_limit() */
	struct pl_table_reader *table;
	struct pl_counters *counters; /* the worker's; verify fills its part */
};

PL_MUST_USE int pl_verify_create(const struct pl_verify_conf *conf, struct pl_verify **out);
void pl_verify_destroy(struct pl_verify *v);

/**
 * Verify a burst.
 *
 * @param items  item_cnt datagrams, 0 .. PL_VERIFY_BURST_MAX; data is borrowed for this call.
 * @return how many got a reply.
 *
 * Thread: v's. Blocks: no. Allocates: no.
 * Errors: none to handle; every item gets a reply or a drop reason, and its counter.
 */
uint32_t pl_verify_burst(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now,
			 struct pl_verify_item *items, uint32_t item_cnt);

/** Reply counters: how far it got, and a new bound, which must already be on disk. */
uint64_t pl_verify_nonce_next(const struct pl_verify *v);
void pl_verify_nonce_limit(struct pl_verify *v, uint64_t limit);

/** PL_GATEWAY_MAX entries, written by the worker; readers elsewhere must take a published copy. */
const struct pl_gateway_counters *pl_verify_gateway_counters(const struct pl_verify *v);
const char *pl_verify_engines(const struct pl_verify *v); /* "seal ipsec-mb avx512, token avx512" */

#endif
