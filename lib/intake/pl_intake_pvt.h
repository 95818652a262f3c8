/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What taking a segment and opening the store share.
 */
#ifndef PL_INTAKE_PVT_H
#define PL_INTAKE_PVT_H

#include <pthread.h>
#include <stdatomic.h>

#include "intake/pl_intake.h"

/* So long after its latest chunk a snapshot that has begun is not given up for an older one. */
#define PL_INTAKE_CHUNK_WAIT_NS UINT64_C(60000000000)

struct pl_intake {
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint64_t certs_per_s_max;
	int event_fd;

	pthread_mutex_t lock; /* one submit at a time; held while the disk works */
	struct pl_feed_store *store;
	struct pl_feed_pos pos;
	bool unsettled;        /* what an interrupted write left is still to be looked at */
	bool beyond;           /* files lie beyond a gap, which may close */
	bool news;             /* something for the reader, who is not told of it yet */
	uint64_t behind_until; /* behind until this sequence is stored */

	/* The snapshot that is coming in, and the newest one that came in whole: its sequence. */
	struct pl_feed_chunk_pos chunk;
	uint64_t chunk_ns; /* when its latest chunk came */
	uint64_t snapshot_sequence;

	pthread_mutex_t status_lock; /* held for copies only */
	struct pl_intake_status status;
	_Atomic uint64_t applied;

	pthread_mutex_t rate_lock; /* the same */
	uint64_t debt_certs;       /* charged and not yet worked off */
	uint64_t debt_ns;          /* as of this time */
};

/** What an interrupted write left, while it has not been looked at. Under the lock, or before there
 * is anyone else. */
PL_MUST_USE int pl_intake_settle(struct pl_intake *in, char *error, size_t error_size);
uint64_t pl_intake_now_ns(void); /* monotonic */

#endif
