/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Replies: opened, matched with what was sent, and judged.
 */
#ifndef PL_LOAD_REPLY_H
#define PL_LOAD_REPLY_H

#include "intervals.h"
#include "pool.h"

struct reply {
	struct pool *pool;
	struct load_stats *stats;
	struct intervals *intervals;
	uint64_t check_below; /* of 2^32: replies that are opened */
	uint64_t rng;
	uint64_t measure_tsc; /* datagrams due before this are not counted */
	bool echo;            /* replies are our own requests */
	uint32_t surging;     /* gateways, the first so many; 0: no --surge */
	uint64_t replied;     /* all replies to datagrams of the pool, ever */
};

/** Whose a slot's datagram is, with --surge. */
static inline struct load_side_stats *reply_side(const struct reply *r, const struct slot *s)
{
	return &r->stats->sides[s->gateway < r->surging ? LOAD_SURGING : LOAD_OTHERS];
}

/** Take a burst of replies; payloads are opened in place. */
void reply_burst(struct reply *r, struct io_rx *pkts, uint32_t cnt, uint64_t now_tsc);

#endif
