/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store's files, seen from the one who writes them: what lib/feed's reader does not ask.
 */
#ifndef PL_INTAKE_PVT_H
#define PL_INTAKE_PVT_H

#include "feed/pl_feed.h"

struct pl_intake_files {
	int fd; /* the directory */
	const char *path;
};

/** The directory, mode 0700, if it is not there: its parent must be. Durable. */
PL_MUST_USE int pl_intake_files_make(const char *path, char *error, size_t error_size);
PL_MUST_USE int pl_intake_files_open(struct pl_intake_files *f, const char *path, char *error,
				     size_t error_size);
void pl_intake_files_close(struct pl_intake_files *f);

/**
 * The last sequence to which files lead from 1 on without a hole; 0: none.
 * @param beyond  are there any behind the hole?
 */
PL_MUST_USE int pl_intake_files_end(const struct pl_intake_files *f, uint64_t *end, bool *beyond);

/** The lowest sequence above `above` that has a file; 0 if none has. */
PL_MUST_USE int pl_intake_files_above(const struct pl_intake_files *f, uint64_t above,
				      uint64_t *sequence);

/** Check one file by itself; *pos is then the position after it. */
enum pl_feed_error pl_intake_files_check(const struct pl_intake_files *f, uint64_t sequence,
					 const uint8_t pubkey[PL_FEED_PUBKEY_SIZE],
					 uint64_t stream_id, struct pl_feed_pos *pos);

/** Does the file hold just these bytes? @return 1, 0, or -errno if that cannot be said. */
int pl_intake_files_same(const struct pl_intake_files *f, uint64_t sequence, const uint8_t *data,
			 size_t size);

/** Rename it to NAME.bad, which is no segment's name. */
PL_MUST_USE int pl_intake_files_set_aside(const struct pl_intake_files *f, uint64_t sequence,
					  char *error, size_t error_size);

/** Read a regular file of at most PL_FEED_SEGMENT_SIZE_MAX bytes whole; links are not followed.
 * *data is the caller's to free, aligned for pl_feed_check(). @return 0, -EFBIG, -ELOOP for what is no
 * regular file, another -errno. */
PL_MUST_USE int pl_intake_file_load(int dir_fd, const char *name, uint8_t **data, size_t *size);

#endif
