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
#include "table_position.h"
#include "view.h"
#include "worker.h"

#define PL_LOADER_POLL_MS 5000u /* the directory is looked at this often without a hint, too */

/** What the loader shows; it is the one writer. */
struct pl_loader_status {
	_Atomic uint64_t sequence;
	_Atomic uint64_t segment_cnt; /* applied by this process */
	_Atomic uint64_t record_cnt;
	_Atomic uint64_t refused_cnt;   /* readings that ended at a segment that was refused */
	_Atomic uint32_t refused;       /* enum pl_feed_error of the latest reading */
	_Atomic uint64_t snapshot;      /* the newest that was taken by this process; 0: none */
	_Atomic uint64_t pruned_cnt;    /* segments and chunks deleted by this process */
	_Atomic uint64_t rebuilt_cnt;   /* tables found damaged, and emptied */
	_Atomic uint64_t grown_cnt;     /* times that the table was replaced by a larger one */
	_Atomic uint64_t not_grown_cnt; /* and times that it was said that it cannot be */
	_Atomic int grow_refused;       /* errno of the latest trial; 0: it went well */
	_Atomic uint64_t growing_to; /* certificates, from before there is a larger one; 0: none */
};

/** A change of a certificate that found no room. */
struct pl_loader_change {
	uint64_t id;
	uint32_t facts; /* 0: it was removed */
	uint32_t order;
};

/** What to put when there is room: of each certificate the last change, if it is not there. */
struct pl_loader_missing {
	struct pl_loader_change *log;
	size_t cnt;
	size_t room;
	bool lost; /* there were too many: the feed has to be read again */
	bool told; /* that it cannot be */
};

struct pl_loader {
	struct pl_table *table;
	struct pl_live *live;
	struct pl_view_box *views; /* whose workers read the table */
	struct pl_feed_store *store;
	struct pl_intake *intake; /* which wakes us, and is told how far we have got */
	struct pl_feed_pos pos PL_OWNED_BY(loader);
	struct pl_loader_status status PL_SHARED(loader, ctrl);
	struct pl_table_entry *batch PL_OWNED_BY(loader);
	struct pl_feed_net *net PL_OWNED_BY(loader);
	const char *dir_path;
	pthread_t thread;
	int wake_fd; /* an eventfd: to stop, or to look at capacity_wanted */
	int watch_fd;
	_Atomic bool stop PL_SHARED(ctrl, loader);
	_Atomic uint64_t capacity_wanted PL_SHARED(ctrl, loader);
	_Atomic bool grow_asked PL_SHARED(ctrl, loader); /* lately: do not wait to try it again */
	bool running;
	bool loading PL_OWNED_BY(loader); /* the first reading is not done, or facts went back */
	bool behind PL_OWNED_BY(loader);  /* there are segments that the table has not got */
	bool audited PL_OWNED_BY(loader); /* the table was looked over, or made by us */
	uint64_t snapshot_to PL_OWNED_BY(loader); /* the table is no one position's before this */
	/* It has had facts of segments up to this one: what is put before it is there again may be older than
	 * what was told. */
	uint64_t ahead_to PL_OWNED_BY(loader);
	/* Such was put, or it is empty: it is loading until it is there. */
	bool went_back PL_OWNED_BY(loader);
	/* Refused lately; it and those before it are left alone until then. */
	uint64_t bad_snapshot PL_OWNED_BY(loader);
	uint64_t bad_until_s PL_OWNED_BY(loader);
	uint64_t good_snapshot PL_OWNED_BY(loader); /* the newest that was read from end to end */
	uint64_t pruned_to PL_OWNED_BY(loader);
	uint64_t prune_s PL_OWNED_BY(loader); /* when it was last looked for */
	uint64_t look_s PL_OWNED_BY(loader);  /* when the whole store was */
	bool table_full PL_OWNED_BY(loader);
	bool full_told PL_OWNED_BY(loader);
	struct pl_loader_missing missing PL_OWNED_BY(loader);
	bool growing PL_OWNED_BY(loader);
	bool put_back_due PL_OWNED_BY(loader);     /* there is room for what is missing */
	uint64_t read_again_s PL_OWNED_BY(loader); /* when that was last tried */
	uint64_t room_s PL_OWNED_BY(loader);       /* when room by removals was last looked for */
	uint64_t grow_s PL_OWNED_BY(loader); /* when something of it was last tried, in vain */
	uint64_t refused_wanted PL_OWNED_BY(loader); /* of what was told of that */
	int refused_ret PL_OWNED_BY(loader);
	char refusal[256] PL_OWNED_BY(loader); /* last one told, not to tell it again and again */
};

/**
 * Open the feed and start to load it. While the first reading lasts, the status and live->as_of
 * say "loading".
 *
 * @param table     its writer, from now until pl_loader_stop() no one else writes.
 * @param known_to  the segment up to which a table that was made anew had facts; 0: nothing is known.
 */
PL_MUST_USE int pl_loader_start(struct pl_loader *l, const struct pl_config *c,
				struct pl_intake *intake, struct pl_table *table, uint64_t known_to,
				struct pl_live *live, struct pl_view_box *views, char *error,
				size_t error_size);
/** Have room for so many certificates, without anybody waiting for it; less than there is changes nothing.
 * Control's thread. */
void pl_loader_grow_to(struct pl_loader *l, uint64_t capacity);
/** Waits for the batch under way. Does nothing for a loader that did not start. */
void pl_loader_stop(struct pl_loader *l);

#endif
