/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The table's one writer: a thread beside the workers, on control's CPU, that applies the segments of
 * the feed store and then follows what the intake adds to it.
 */
#ifndef PL_LOADER_H
#define PL_LOADER_H

#include <pthread.h>
#include <stdatomic.h>

#include "config.h"
#include "feed/pl_feed.h"
#include "intake/pl_intake.h"
#include "table/pl_table.h"
#include "worker.h"

#define PL_LOADER_POLL_MS 5000u /* the directory is looked at this often without a hint, too */

/** How far the feed is in the table: kept in the table itself. */
union pl_table_position {
	struct pl_feed_pos pos;
	uint8_t bytes[PL_TABLE_POSITION_SIZE];
};
static_assert(sizeof(union pl_table_position) == PL_TABLE_POSITION_SIZE, "kept in the table");

/** What the loader shows; it is the one writer. */
struct pl_loader_status {
	_Atomic uint64_t sequence;
	_Atomic uint64_t segment_cnt; /* applied by this process */
	_Atomic uint64_t record_cnt;
	_Atomic uint64_t refused_cnt; /* readings that ended at a segment that was refused */
	_Atomic uint32_t refused;     /* enum pl_feed_error of the latest reading */
};

struct pl_loader {
	struct pl_table *table;
	struct pl_live *live;
	struct pl_feed_store *store;
	struct pl_intake *intake; /* which wakes us, and is told how far we have got */
	struct pl_feed_pos pos PL_OWNED_BY(loader);
	struct pl_loader_status status PL_SHARED(loader, ctrl);
	struct pl_table_entry *batch PL_OWNED_BY(loader);
	const char *dir_path;
	pthread_t thread;
	int stop_fd; /* an eventfd: written once, to stop */
	int watch_fd;
	_Atomic bool stop PL_SHARED(ctrl, loader);
	bool running;
	bool table_full PL_OWNED_BY(loader);
	bool full_told PL_OWNED_BY(loader);
	char refusal[256] PL_OWNED_BY(loader); /* last one told, not to tell it again and again */
};

/**
 * Open the feed and start to load it. While the first reading lasts, the status and live->as_of
 * say "loading".
 *
 * @param table  its writer, from now until pl_loader_stop() no one else writes.
 */
PL_MUST_USE int pl_loader_start(struct pl_loader *l, const struct pl_config *c,
				struct pl_intake *intake, struct pl_table *table,
				struct pl_live *live, char *error, size_t error_size);
/** Waits for the batch under way. Does nothing for a loader that did not start. */
void pl_loader_stop(struct pl_loader *l);

#endif
