/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A directory in which others put segments, as a source of the intake: it is watched, what comes next
 * in the chain is copied into the store, and nothing in it is ever changed.
 *
 * Only regular files with a segment's name count, and of these only the next one. A file that is
 * refused stays where it is, is told once, and is looked at again when it has changed.
 */
#ifndef PL_INTAKE_DIR_H
#define PL_INTAKE_DIR_H

#include "intake/pl_intake.h"

#define PL_INTAKE_DIR_POLL_MS 5000u /* it is looked at this often without a hint, too */
#define PL_INTAKE_DIR_COPY_MS 500u  /* a file shorter than its header says may still be growing */

struct pl_intake_dir; /* opaque */

/** @return 0; -ENOENT, -ENOTDIR, -EACCES, -ENOMEM with error naming the path. Both borrowed. */
PL_MUST_USE int pl_intake_dir_open(struct pl_intake *in, const char *path,
				   struct pl_intake_dir **out, char *error, size_t error_size);
void pl_intake_dir_close(struct pl_intake_dir *d);

/** Readable when something changed in the directory; -1 where the system cannot tell. */
int pl_intake_dir_fd(const struct pl_intake_dir *d);

/**
 * Take the next segment, if there is one.
 * @return in how many ms to call again at the latest: 0 while there is more to take.
 * Thread: one. Blocks: on the disk.
 */
uint32_t pl_intake_dir_work(struct pl_intake_dir *d);

struct pl_intake_dir_status {
	bool idle;  /* everything that can be taken has been */
	bool stuck; /* something is there that comes next, or after a gap, and cannot be taken */
	char text[PL_INTAKE_TEXT_SIZE]; /* why; else "" */
};

/** Thread: that of pl_intake_dir_work(). */
const struct pl_intake_dir_status *pl_intake_dir_status_get(const struct pl_intake_dir *d);

#endif
