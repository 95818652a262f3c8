/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Request counters that are never given twice under one key: not after a restart, not by two
 * processes that share a state file, not after the wall clock was set back.
 *
 * A counter is the GCM nonce of a request. Counters start from the wall clock in nanoseconds and
 * are reserved in blocks: the block's end is on disk, under an exclusive flock(), before the
 * block's first counter is used. A process that dies loses the rest of its block and nothing else.
 *
 * The state file (48 bytes, little-endian):
 *     magic "PLCTR1\r\n" | gateway_id u32 | key_epoch u8 | zero 3 | next u64 | reserved u64 |
 *     zero 8 | check u64
 * next is the first counter that nobody has reserved. flock() must work on its file system: keep
 * it on a local one.
 */
#ifndef PL_CLIENT_COUNTER_H
#define PL_CLIENT_COUNTER_H

#include "base/pl_base.h"

#define PL_CLIENT_COUNTER_FILE_SIZE 48u
/** Counters reserved at once: 1 ms of wall clock, so that the file never runs far ahead of it. */
#define PL_CLIENT_COUNTER_BLOCK (1u << 20)

struct pl_client_counter {
	uint64_t next PL_OWNED_BY(thread);  /* the next to give */
	uint64_t limit PL_OWNED_BY(thread); /* first that is not ours */
	uint64_t block_cnt;
	int fd;
	uint32_t gateway_id;
	uint8_t key_epoch;
	char *path; /* owned */
};

/**
 * Open or create the state file and reserve the first block.
 *
 * @param path       created with mode 0600; its directory must exist.
 * @param block_cnt  counters a block, 1 .. 2^40.
 * @param wall_ns    the wall clock now.
 * @return 0; -EINVAL when the file is another gateway's or another epoch's; -EBADMSG when it is
 *         damaged; -EOVERFLOW when the counters are used up; -errno of the file operation that
 *         failed. error then says what and how to go on.
 *
 * Blocks: on the lock, while another process reserves; and on fsync().
 */
PL_MUST_USE int pl_client_counter_open(struct pl_client_counter *c, const char *path,
				       uint32_t gateway_id, uint8_t key_epoch, uint64_t block_cnt,
				       uint64_t wall_ns, char *error, size_t error_size);
void pl_client_counter_close(struct pl_client_counter *c);

/** Reserve a further block; what is left of the last one is given up. Errors as for open. */
PL_MUST_USE int pl_client_counter_reserve(struct pl_client_counter *c, uint64_t wall_ns,
					  char *error, size_t error_size);

/**
 * Take a counter that nobody had before.
 *
 * @return 0, or -errno of a reservation that failed: then nothing may be sealed.
 * Blocks: once a block, see pl_client_counter_reserve(). Thread: c's.
 */
PL_MUST_USE static inline int pl_client_counter_take(struct pl_client_counter *c, uint64_t wall_ns,
						     uint64_t *out)
{
	if (PL_UNLIKELY(c->next == c->limit)) {
		int rc = pl_client_counter_reserve(c, wall_ns, NULL, 0);

		if (rc != 0)
			return rc;
	}
	*out = c->next++;
	return 0;
}

#endif
