/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PL_REGISTRY_PVT_H
#define PL_REGISTRY_PVT_H

#include <sqlite3.h>

#include "registry/pl_registry.h"

struct pl_registry {
	sqlite3 *db;
	char *dir_path;
	struct pl_feed_store *store;   /* NULL: open for reading */
	struct pl_feed_writer *writer; /* NULL: open for reading */
	const uint8_t *seckey;
	struct pl_feed_pos pos;
	uint64_t recovered_cnt;
	bool in_operation;
	bool stale; /* the feed may be ahead of pos: nothing more through this object */

	/* The operation's records, in a file without a name, until it is committed. */
	FILE *spool;
	uint64_t spool_cnt;

	sqlite3_stmt *begin, *commit, *rollback;
	sqlite3_stmt *get, *put, *add, *segment_add;
};

/** Fill error from the database, prefixed by what was being done. @return -errno. */
int pl_registry_sql_failed(struct pl_registry *r, const char *doing, char *error,
			   size_t error_size);
PL_MUST_USE int pl_registry_prepare(struct pl_registry *r, const char *sql, sqlite3_stmt **out,
				    char *error, size_t error_size);
/** Step a statement that gives no rows, and reset it. @return 0 or -errno. */
PL_MUST_USE int pl_registry_run(struct pl_registry *r, sqlite3_stmt *st, const char *doing,
				char *error, size_t error_size);

/** Apply one record of the feed to the database, in the transaction that is open. */
PL_MUST_USE int pl_registry_apply(struct pl_registry *r, const struct pl_feed_segment *seg,
				  char *error, size_t error_size);
PL_MUST_USE int pl_registry_segment_add(struct pl_registry *r, const struct pl_feed_segment *seg,
					char *error, size_t error_size);

#endif
