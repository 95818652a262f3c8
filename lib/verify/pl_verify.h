/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A burst of datagram payloads in, replies out, each built in its request's own bytes. Pure: no
 * sockets, no clock, no EAL, no allocation; everything it needs comes in.
 */
#ifndef PL_VERIFY_H
#define PL_VERIFY_H

#include "base/pl_base.h"
#include "seal/pl_seal.h"
#include "stats/pl_samples.h"
#include "stats/pl_stats.h"
#include "table/pl_table.h"
#include "token/pl_token.h"
#include "verify/pl_gateway.h"
#include "verify/pl_view.h"
#include "wire/pl_wire.h"

#define PL_VERIFY_BURST_MAX 64u /* datagrams */

/** One datagram. */
struct pl_verify_item {
	uint8_t *data; /* in: the request. out: the reply, which is never longer */
	uint32_t request_size;
	uint32_t reply_size; /* 0: no reply, see drop */
	uint32_t drop;       /* enum pl_drop; PL_DROP_NONE when there is a reply */
};

struct pl_verify; /* one worker's scratch, counters and nonce range; opaque */

struct pl_verify_conf {
	enum pl_seal_engine seal_engine;
	int token_variant;    /* enum pl_token_variant, or -1: the fastest */
	uint32_t queue;       /* 0 .. 255; with the appliance id it makes nonces unique */
	uint64_t nonce_next;  /* first reply counter to use */
	uint64_t nonce_limit; /* first not to use; see pl_verify_nonce_limit_set() */
	struct pl_table_reader *table;
	struct pl_counters *counters; /* the worker's; verify counts its part there */
	uint64_t tick_hz; /* of pl_now.tick and of the counters' cycles; 0: never sheds */
};

/** @return 0; -ENOTSUP if the CPU cannot run what conf asks for, -ENOMEM, -EINVAL. */
PL_MUST_USE int pl_verify_create(const struct pl_verify_conf *conf, struct pl_verify **out);
void pl_verify_destroy(struct pl_verify *v);

/**
 * Verify a burst.
 *
 * @param view   borrowed for this call; its keys are of the engine that v uses.
 * @param items  item_cnt datagrams, 0 .. PL_VERIFY_BURST_MAX; data is borrowed for this call.
 * @return how many got a reply.
 *
 * Thread: v's. Blocks: no. Allocates: no.
 * Errors: none to handle; every item gets a reply or a drop reason, and its counter.
 */
uint32_t pl_verify_burst(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now,
			 struct pl_verify_item *items, uint32_t item_cnt);

/** Take one of the scans of the next burst as a sample of all since the one before. v's thread. */
void pl_verify_sample_ask(struct pl_verify *v);
/** The sample, if there was a scan to take since it was asked for; then it is asked for no more. */
bool pl_verify_sample_get(struct pl_verify *v, struct pl_sample *out);

/**
 * Has the queue been long, and who takes more than their share of the worker then (pl_shed.h)? Between
 * bursts, every millisecond or so. v's thread.
 */
void pl_verify_shed_renew(struct pl_verify *v, const struct pl_view *view, uint64_t tick,
			  uint64_t wall_ms);
/** How many platforms are limited just now, a gateway of none for one; and whether a gateway is, by
 * pl_gateway.idx, under the view of the last renewal. v's thread. */
uint32_t pl_verify_limited_cnt(const struct pl_verify *v);
bool pl_verify_is_limited(const struct pl_verify *v, const struct pl_view *view,
			  uint32_t gateway_idx);

/** Reply counters: the next one, and a new bound, which must already be on disk. v's thread. */
uint64_t pl_verify_nonce_next(const struct pl_verify *v);
void pl_verify_nonce_limit_set(struct pl_verify *v, uint64_t limit);

/** PL_GATEWAY_MAX entries by pl_gateway.idx; v's thread only. */
const struct pl_gateway_counters *pl_verify_gateway_counters(const struct pl_verify *v);

/** For the log: "seal ipsec-mb avx512, token avx512". Lives as long as v. */
const char *pl_verify_engines(const struct pl_verify *v);
const struct pl_seal *pl_verify_seal(const struct pl_verify *v);

#endif
