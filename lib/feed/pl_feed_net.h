/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The net effect of a segment: which of its records another one of the same certificate overrules.
 * An authority may say "forget it" and "here it is" in one segment; whoever applied both, one after
 * the other, would deny that certificate in between, for a reason that nobody meant.
 */
#ifndef PL_FEED_NET_H
#define PL_FEED_NET_H

#include "feed/pl_feed.h"

struct pl_feed_net; /* scratch for one segment; opaque; one thread at a time */

/** @return 0 or -ENOMEM. Takes 8 MB, of which a small segment touches little. */
PL_MUST_USE int pl_feed_net_create(struct pl_feed_net **out);
void pl_feed_net_destroy(struct pl_feed_net *n);

/**
 * Look at all records of a segment of the tail, which pl_feed_check() has accepted.
 *
 * @return bit i % 64 of word i / 64 is set when a later record than record i names its certificate:
 * then record i is not to be applied. NULL when there is none, as usual. Valid until the next call.
 * Thread: n's. Blocks: no. Allocates: no. Linear in the records.
 */
const uint64_t *pl_feed_net_overruled(struct pl_feed_net *n, const struct pl_feed_segment *seg);

static inline bool pl_feed_net_is_overruled(const uint64_t *overruled, uint32_t record_idx)
{
	return overruled != NULL && (overruled[record_idx / 64] >> record_idx % 64 & 1) != 0;
}

#endif
