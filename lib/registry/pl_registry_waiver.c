/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waivers that were signed.
 */
#include <errno.h>

#include "registry/pl_registry_pvt.h"

int pl_registry_waiver_add(struct pl_registry *r, const struct pl_waiver *w, uint64_t *serial,
			   char *error, size_t error_size)
{
	sqlite3_stmt *st;
	int rc;

	PL_CHECK(r->store != NULL && !r->in_operation);
	/* AUTOINCREMENT: a serial is never given twice, whatever becomes of its row. */
	rc = pl_registry_prepare(r,
				 "INSERT INTO waiver (from_s, until_s, reason) VALUES (?1, ?2, ?3)",
				 &st, error, error_size);
	if (rc != 0)
		return rc;
	sqlite3_bind_int64(st, 1, w->from_s);
	sqlite3_bind_int64(st, 2, w->until_s);
	sqlite3_bind_text(st, 3, w->reason, -1, SQLITE_STATIC);
	rc = pl_registry_run(r, st, "writing a waiver", error, error_size);
	sqlite3_finalize(st);
	if (rc == 0)
		*serial = (uint64_t)sqlite3_last_insert_rowid(r->db);
	return rc;
}

int pl_registry_waiver_each(struct pl_registry *r, pl_registry_waiver_fn fn, void *ctx, char *error,
			    size_t error_size)
{
	sqlite3_stmt *st;
	int step = SQLITE_DONE, rc = 0;

	/* A database of before there were waivers has no table until it is opened for writing. */
	if (sqlite3_prepare_v2(r->db,
			       "SELECT serial, from_s, until_s, reason, created_at FROM waiver "
			       "ORDER BY serial",
			       -1, &st, NULL) != SQLITE_OK)
		return 0;
	while (rc == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
		struct pl_waiver w = {
			.stream_id = r->pos.stream_id,
			.serial = (uint64_t)sqlite3_column_int64(st, 0),
			.from_s = (uint32_t)sqlite3_column_int64(st, 1),
			.until_s = (uint32_t)sqlite3_column_int64(st, 2),
			.issued_s = (uint64_t)sqlite3_column_int64(st, 4),
		};

		snprintf(w.reason, sizeof(w.reason), "%s",
			 (const char *)sqlite3_column_text(st, 3));
		rc = fn(ctx, &w);
	}
	if (rc == 0 && step != SQLITE_DONE)
		rc = pl_registry_sql_failed(r, "reading waivers", error, error_size);
	sqlite3_finalize(st);
	return rc;
}
