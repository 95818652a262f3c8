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
#include "feed/pl_feed_net.h"
#include "intake/pl_intake.h"
#include "table/pl_table.h"
#include "worker.h"

#define PL_LOADER_POLL_MS 5000u /* the directory is looked at this often without a hint, too */

/** How far the feed is in the table: kept in the table itself. */
union pl_table_position {
	struct {
		struct pl_feed_pos pos;
		/* A snapshot of this segment is being put in: until that is done the content is of no
		 * one position. 0: none is. */
		uint64_t snapshot;
	};
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
	_Atomic uint64_t snapshot;    /* the newest that was taken by this process; 0: none */
	_Atomic uint64_t pruned_cnt;  /* segments and chunks deleted by this process */
	_Atomic uint64_t rebuilt_cnt; /* tables found damaged, and emptied */
};

struct pl_loader {
	struct pl_table *table;
	struct pl_live *live;
	struct pl_feed_store *store;
	struct pl_intake *intake; /* which wakes us, and is told how far we have got */
	struct pl_feed_pos pos PL_OWNED_BY(loader);
	struct pl_loader_status status PL_SHARED(loader, ctrl);
	struct pl_table_entry *batch PL_OWNED_BY(loader);
	struct pl_feed_net *net PL_OWNED_BY(loader);
	const char *dir_path;
	pthread_t thread;
	int stop_fd; /* an eventfd: written once, to stop */
	int watch_fd;
	_Atomic bool stop PL_SHARED(ctrl, loader);
	bool running;
	bool loading PL_OWNED_BY(loader); /* the first reading is not done */
	bool behind PL_OWNED_BY(loader);  /* there are segments that the table has not got */
	bool audited PL_OWNED_BY(loader); /* the table was looked over, or made by us */
	uint64_t snapshot_to PL_OWNED_BY(loader);  /* the table is no one position's before this */
	uint64_t bad_snapshot PL_OWNED_BY(loader); /* refused lately, and left alone until then */
	uint64_t bad_until_s PL_OWNED_BY(loader);
	uint64_t good_snapshot PL_OWNED_BY(loader); /* the newest that was read from end to end */
	uint64_t pruned_to PL_OWNED_BY(loader);
	uint64_t prune_s PL_OWNED_BY(loader); /* when it was last looked for */
	uint64_t look_s PL_OWNED_BY(loader);  /* when the whole store was */
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
