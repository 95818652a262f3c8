/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots: written from the database, which opening has brought up to the feed's last segment,
 * while the writer's lock keeps it there.
 */
#include <errno.h>

#include "base/pl_fail.h"
#include "registry/pl_registry_pvt.h"

struct snapshot {
	struct pl_registry *r;
	struct pl_registry_snapshot *out;
	struct pl_feed_chunk_pos pos;
	uint32_t chunk_records_max;
	int rc;
	char *error;
	size_t error_size;
};

/** The chunk as it would be is in the directory. */
static bool is_there(struct snapshot *s, const uint8_t *data, size_t size, bool *another)
{
	const uint8_t *have;
	size_t have_size;
	int rc = pl_feed_store_get(s->r->store, s->pos.snapshot.covers.sequence, s->pos.chunk_cnt,
				   &have, &have_size);

	*another = rc != -ENOENT;
	return rc == 0 && have_size == size && memcmp(have, data, size) == 0;
}

static int end_chunk(struct snapshot *s)
{
	struct pl_registry *r = s->r;
	struct pl_feed_segment seg;
	const uint8_t *data;
	bool another;
	size_t size;
	int rc;

	if (pl_feed_writer_seal_chunk(r->writer, &s->pos, r->seckey, &seg, &data, &size) != 0)
		return pl_fail(-EBADMSG, s->error, s->error_size,
			       "the registry changed while it was read, or holds a "
			       "certificate that no feed may carry: run `sqlite3 "
			       "registry.db 'PRAGMA integrity_check'`");
	if (!is_there(s, data, size, &another)) {
		/* Of an attempt with other sizes: chunks after it chain to it. */
		rc = another ? pl_feed_store_snapshot_drop(
				       r->store, s->pos.snapshot.covers.sequence, s->pos.chunk_cnt,
				       s->error, s->error_size)
			     : 0;
		if (rc == 0)
			rc = pl_feed_store_put(r->store, data, size, s->error, s->error_size);
		if (rc != 0)
			return rc;
		s->out->written_cnt++;
	}
	pl_feed_chunk_advance(&s->pos, &seg);
	pl_feed_writer_begin(r->writer);
	return 0;
}

static int add_cert(void *ctx, const struct pl_cert *c)
{
	struct snapshot *s = ctx;

	if (pl_feed_writer_add(s->r->writer, c->id, pl_facts_pack(c), PL_FEED_PUT) != 0) {
		s->rc = pl_fail(-EBADMSG, s->error, s->error_size,
				"0x%016" PRIx64 ": not a certificate", c->id);
		return -1;
	}
	if (pl_feed_writer_record_cnt(s->r->writer) == s->chunk_records_max)
		s->rc = end_chunk(s);
	return s->rc != 0 ? -1 : 0;
}

static int count_certs(struct pl_registry *r, uint64_t *cnt, char *error, size_t error_size)
{
	sqlite3_stmt *st;
	int rc = pl_registry_prepare(r, "SELECT count(*) FROM cert", &st, error, error_size);

	if (rc != 0)
		return rc;
	if (sqlite3_step(st) == SQLITE_ROW)
		*cnt = (uint64_t)sqlite3_column_int64(st, 0);
	else
		rc = pl_registry_sql_failed(r, "counting", error, error_size);
	sqlite3_finalize(st);
	return rc;
}

/** A whole one of this very segment, however it is cut. */
static bool is_complete(struct pl_registry *r, struct pl_feed_snapshot *out)
{
	struct pl_feed_report report;

	return pl_feed_store_snapshot_find(r->store, r->pos.sequence - 1, r->pos.sequence + 1,
					   out) == 0 &&
	       memcmp(&out->covers, &r->pos, sizeof(r->pos)) == 0 &&
	       pl_feed_store_snapshot_read(r->store, out, NULL, NULL, &report) == PL_FEED_OK;
}

static int write_all(struct snapshot *s)
{
	const struct pl_registry_filter all = {.revoked = -1, .suspended = -1};
	int rc;

	pl_feed_writer_begin(s->r->writer);
	rc = pl_registry_each(s->r, &all, add_cert, s, s->error, s->error_size);
	if (s->rc != 0)
		return s->rc;
	if (rc != 0)
		return rc;
	/* What is left; or the one empty chunk of an empty registry. */
	if (!pl_feed_chunk_complete(&s->pos))
		rc = end_chunk(s);
	if (rc == 0 && !pl_feed_chunk_complete(&s->pos))
		rc = pl_fail(-EBADMSG, s->error, s->error_size,
			     "the registry changed while it was read");
	return rc;
}

int pl_registry_snapshot(struct pl_registry *r, uint32_t chunk_records_max,
			 struct pl_registry_snapshot *out, char *error, size_t error_size)
{
	struct snapshot s = {.r = r,
			     .out = out,
			     .chunk_records_max = chunk_records_max,
			     .error = error,
			     .error_size = error_size};
	uint64_t cert_cnt = 0, chunk_cnt;
	int rc;

	PL_CHECK(r->store != NULL && !r->in_operation && chunk_records_max > 0 &&
		 chunk_records_max <= PL_FEED_RECORDS_MAX);
	memset(out, 0, sizeof(*out));
	if (r->stale)
		return pl_fail(-EIO, error, error_size,
			       "the registry must be opened anew after a failure");
	if (r->pos.sequence == 0)
		return pl_fail(-ENODATA, error, error_size,
			       "nothing was published yet: there is nothing to be a "
			       "snapshot of; issue certificates, or run publish");
	if (is_complete(r, &out->snapshot))
		return 0;
	rc = count_certs(r, &cert_cnt, error, error_size);
	if (rc != 0)
		return rc;
	chunk_cnt = cert_cnt == 0 ? 1 : (cert_cnt + chunk_records_max - 1) / chunk_records_max;
	if (chunk_cnt > PL_FEED_CHUNKS_MAX)
		return pl_fail(-E2BIG, error, error_size,
			       "%" PRIu64 " certificates in chunks of %u are %" PRIu64
			       " chunks, and %u is the limit: make them larger",
			       cert_cnt, chunk_records_max, chunk_cnt, PL_FEED_CHUNKS_MAX);
	s.pos.snapshot = (struct pl_feed_snapshot){
		.covers = r->pos, .record_cnt = cert_cnt, .chunk_cnt = (uint32_t)chunk_cnt};
	rc = write_all(&s);
	if (rc == -EIO)
		r->stale = true;
	out->snapshot = s.pos.snapshot;
	return rc;
}

int pl_registry_prune(struct pl_registry *r, uint32_t keep_cnt, struct pl_registry_pruned *out,
		      char *error, size_t error_size)
{
	struct pl_feed_snapshot snapshot = {.covers = {.sequence = UINT64_MAX}};
	struct pl_feed_report report;

	PL_CHECK(r->store != NULL && !r->in_operation && keep_cnt > 0);
	memset(out, 0, sizeof(*out));
	for (uint32_t i = 0; i < keep_cnt; i++) {
		int rc = pl_feed_store_snapshot_find(r->store, 0, snapshot.covers.sequence,
						     &snapshot);

		if (rc == -ENOENT)
			return 0;
		if (rc != 0)
			return pl_fail(rc, error, error_size,
				       "the feed directory cannot be read: %s", strerror(-rc));
	}
	if (pl_feed_store_snapshot_read(r->store, &snapshot, NULL, NULL, &report) != PL_FEED_OK)
		return pl_fail(-EBADMSG, error, error_size,
			       "the snapshot of segment %" PRIu64
			       " cannot be relied on, so nothing was deleted: feed/%s",
			       snapshot.covers.sequence, report.text);
	out->sequence = snapshot.covers.sequence;
	return pl_feed_store_prune(r->store, &snapshot, &out->feed, error, error_size);
}
