/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Reply counters that were ever allowed to be used: one number in one small file, raised on disk
 * before any counter below it is used, so that none is used twice whatever happens. All queues
 * share the bound; each counts by itself below it, for the queue's number is in the nonce.
 */
#ifndef PL_NONCE_STORE_H
#define PL_NONCE_STORE_H

#include "base/pl_base.h"

/**
 * How many counters are reserved at a time: as many as a second has nanoseconds, and at 10 million
 * replies a second a queue, 107 s of them. No more, because each start begins behind what the last
 * one had reserved: so an appliance that is restarted once a second still counts no faster than the
 * clock, and a start without the mark begins beyond all that was used.
 */
#define PL_NONCE_RESERVE (1ull << 30)

struct pl_nonce_store {
	int dir_fd;
	int lock_fd;
	uint64_t limit; /* on disk: the first counter that may not be used */
	char dir_path[1024];
};

/**
 * Lock the state directory, read the mark of the last run and reserve beyond it.
 *
 * @param wall_ns  unix time. Counters start from it, or from the old mark if that is higher: so
 *                 a lost file still does no harm while the clock is right, unless the last
 *                 starts came faster than one each PL_NONCE_RESERVE ns.
 * @param first    the first counter to use; s->limit is the bound.
 * @return 0; -EWOULDBLOCK if another appliance uses the directory; -EINVAL for a file that is no
 *         mark; -errno of the file system. error names the file and the remedy.
 */
PL_MUST_USE int pl_nonce_store_open(struct pl_nonce_store *s, const char *dir_path,
				    uint64_t wall_ns, uint64_t *first, char *error,
				    size_t error_size);
/** Raise the bound, on disk first. s->limit is unchanged on error. */
PL_MUST_USE int pl_nonce_store_extend(struct pl_nonce_store *s, uint64_t used_to, char *error,
				      size_t error_size);
void pl_nonce_store_close(struct pl_nonce_store *s);

#endif
