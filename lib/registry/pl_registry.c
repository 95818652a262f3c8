/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/pl_fail.h"
#include "registry/pl_registry_pvt.h"

const struct pl_feed_pos *pl_registry_pos(const struct pl_registry *r)
{
	return &r->pos;
}

uint64_t pl_registry_recovered_cnt(const struct pl_registry *r)
{
	return r->recovered_cnt;
}

/** Facts of an id: 0 and *facts, -ENOENT, or -errno with error set. */
static int get_facts(struct pl_registry *r, uint64_t id, uint32_t *facts, uint64_t *sequence,
		     char *error, size_t error_size)
{
	int rc = 0;
	int step;

	sqlite3_bind_int64(r->get, 1, (int64_t)id);
	step = sqlite3_step(r->get);
	if (step == SQLITE_ROW) {
		*facts = (uint32_t)sqlite3_column_int64(r->get, 0);
		*sequence = (uint64_t)sqlite3_column_int64(r->get, 1);
	} else if (step == SQLITE_DONE) {
		rc = -ENOENT;
	} else {
		rc = pl_registry_sql_failed(r, "reading a certificate", error, error_size);
	}
	sqlite3_reset(r->get);
	return rc;
}

int pl_registry_get(struct pl_registry *r, uint64_t id, struct pl_cert *out, uint64_t *sequence,
		    char *error, size_t error_size)
{
	uint32_t facts = 0;
	int rc = get_facts(r, id, &facts, sequence, error, error_size);

	if (rc == -ENOENT)
		return pl_fail(rc, error, error_size, "0x%016" PRIx64 ": no such certificate", id);
	if (rc == 0)
		*out = pl_facts_unpack(id, facts);
	return rc;
}

/** Those of one sign, which the database orders right: ids from `from` to `to`, both included. */
static int each_between(struct pl_registry *r, const struct pl_registry_filter *f, uint64_t from,
			uint64_t to, uint64_t *left, pl_registry_cert_fn fn, void *ctx, char *error,
			size_t error_size)
{
	sqlite3_stmt *st;
	int rc = pl_registry_prepare(r,
				     "SELECT id, facts FROM cert WHERE id BETWEEN ?1 AND ?2"
				     " AND (?3 = 0 OR facts & 15 = ?3)"
				     " AND (?4 < 0 OR facts >> 27 & 1 = ?4)"
				     " AND (?5 < 0 OR facts >> 28 & 1 = ?5)"
				     " AND (?6 = 0 OR ?6 >> (facts >> 20 & 7) & 1) ORDER BY id",
				     &st, error, error_size);
	int step = SQLITE_DONE;

	if (rc != 0)
		return rc;
	sqlite3_bind_int64(st, 1, (int64_t)from);
	sqlite3_bind_int64(st, 2, (int64_t)to);
	sqlite3_bind_int(st, 3, f->kind);
	sqlite3_bind_int(st, 4, f->revoked);
	sqlite3_bind_int(st, 5, f->suspended);
	sqlite3_bind_int(st, 6, f->epochs);
	while (rc == 0 && *left > 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
		struct pl_cert c = pl_facts_unpack((uint64_t)sqlite3_column_int64(st, 0),
						   (uint32_t)sqlite3_column_int64(st, 1));

		rc = fn(ctx, &c);
		--*left;
	}
	if (rc == 0 && step != SQLITE_ROW && step != SQLITE_DONE)
		rc = pl_registry_sql_failed(r, "reading certificates", error, error_size);
	sqlite3_finalize(st);
	return rc;
}

int pl_registry_each(struct pl_registry *r, const struct pl_registry_filter *filter,
		     pl_registry_cert_fn fn, void *ctx, char *error, size_t error_size)
{
	uint64_t left = filter->cert_max == 0 ? UINT64_MAX : filter->cert_max;
	uint64_t from = filter->id_after + 1;
	int rc = 0;

	if (from == 0) /* nothing is above the last one */
		return 0;
	if (from <= INT64_MAX)
		rc = each_between(r, filter, from, INT64_MAX, &left, fn, ctx, error, error_size);
	if (from <= INT64_MAX)
		from = (uint64_t)INT64_MAX + 1;
	if (rc == 0 && left > 0)
		rc = each_between(r, filter, from, UINT64_MAX, &left, fn, ctx, error, error_size);
	return rc;
}

/** In the registry's directory, where there is room for it if there is for its segments. */
static int open_spool(struct pl_registry *r, char *error, size_t error_size)
{
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%.4000s/.spool-XXXXXX", r->dir_path);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path);
	r->spool = fd < 0 ? NULL : fdopen(fd, "w+");
	if (r->spool == NULL) {
		int rc = pl_fail(-errno, error, error_size, "%s: %s", path, strerror(errno));

		if (fd >= 0)
			close(fd);
		return rc;
	}
	return 0;
}

int pl_registry_begin(struct pl_registry *r, char *error, size_t error_size)
{
	int rc;

	PL_CHECK(r->store != NULL && !r->in_operation);
	if (r->stale)
		return pl_fail(-EIO, error, error_size,
			       "the registry must be opened anew after a failure");
	rc = open_spool(r, error, error_size);
	if (rc != 0)
		return rc;
	rc = pl_registry_run(r, r->begin, "beginning", error, error_size);
	if (rc != 0) {
		fclose(r->spool);
		r->spool = NULL;
		return rc;
	}
	r->spool_cnt = 0;
	r->in_operation = true;
	return 0;
}

static void end_operation(struct pl_registry *r)
{
	fclose(r->spool);
	r->spool = NULL;
	r->in_operation = false;
}

void pl_registry_rollback(struct pl_registry *r)
{
	PL_CHECK(r->in_operation);
	/* SQLite has rolled back by itself after some errors. */
	if (sqlite3_get_autocommit(r->db) == 0)
		(void)sqlite3_step(r->rollback);
	sqlite3_reset(r->rollback);
	end_operation(r);
}

/** Run r->put or r->add for a record, and say whether a row changed. */
static int write_row(struct pl_registry *r, sqlite3_stmt *st, uint64_t id, uint32_t facts,
		     uint64_t sequence, bool *changed, char *error, size_t error_size)
{
	int rc;

	sqlite3_bind_int64(st, 1, (int64_t)id);
	sqlite3_bind_int64(st, 2, facts);
	sqlite3_bind_int64(st, 3, (int64_t)sequence);
	rc = pl_registry_run(r, st, "writing a certificate", error, error_size);
	*changed = rc == 0 && sqlite3_changes(r->db) == 1;
	return rc;
}

static int spool_put(struct pl_registry *r, uint64_t id, uint32_t facts, char *error,
		     size_t error_size)
{
	struct pl_feed_record rec = {.cert_id = id, .facts = facts, .op = PL_FEED_PUT};

	if (fwrite_unlocked(&rec, sizeof(rec), 1, r->spool) != 1)
		return pl_fail(-errno, error, error_size, "temporary file: %s", strerror(errno));
	r->spool_cnt++;
	return 0;
}

/** The segment that the next record will be in. */
static uint64_t next_sequence(const struct pl_registry *r)
{
	return r->pos.sequence + 1 + r->spool_cnt / PL_FEED_RECORDS_MAX;
}

static int check_cert(const struct pl_cert *c, uint32_t facts, char *error, size_t error_size)
{
	if (c->id == 0 || !pl_facts_valid(facts) || pl_cert_kind_name(c->kind) == NULL)
		return pl_fail(-EINVAL, error, error_size, "0x%016" PRIx64 ": not a certificate",
			       c->id);
	return 0;
}

int pl_registry_put(struct pl_registry *r, const struct pl_cert *c, char *error, size_t error_size)
{
	uint32_t facts = pl_facts_pack(c);
	uint32_t old = 0;
	uint64_t sequence;
	bool changed;
	int rc = check_cert(c, facts, error, error_size);

	PL_CHECK(r->in_operation);
	if (rc != 0)
		return rc;
	rc = get_facts(r, c->id, &old, &sequence, error, error_size);
	if (rc == 0 && old == facts)
		return 1;
	if (rc == 0 && (old & PL_FACTS_REVOKED) != 0 && !c->revoked)
		return pl_fail(-EPERM, error, error_size,
			       "0x%016" PRIx64 ": is revoked, which is for good: issue a "
			       "certificate with another id",
			       c->id);
	if (rc == 0 && c->generation < pl_facts_generation(old))
		return pl_fail(-EPERM, error, error_size,
			       "0x%016" PRIx64 ": generation would go back from %u to %u "
			       "and a lost wallet's codes hold again",
			       c->id, pl_facts_generation(old), c->generation);
	if (rc != 0 && rc != -ENOENT)
		return rc;
	rc = write_row(r, r->put, c->id, facts, next_sequence(r), &changed, error, error_size);
	if (rc == 0)
		rc = spool_put(r, c->id, facts, error, error_size);
	return rc;
}

int pl_registry_add(struct pl_registry *r, const struct pl_cert *c, char *error, size_t error_size)
{
	uint32_t facts = pl_facts_pack(c);
	bool changed;
	int rc = check_cert(c, facts, error, error_size);

	PL_CHECK(r->in_operation);
	if (rc == 0)
		rc = write_row(r, r->add, c->id, facts, next_sequence(r), &changed, error,
			       error_size);
	if (rc == 0 && !changed)
		return 1;
	if (rc == 0)
		rc = spool_put(r, c->id, facts, error, error_size);
	return rc;
}

int pl_registry_apply(struct pl_registry *r, const struct pl_feed_segment *seg, char *error,
		      size_t error_size)
{
	sqlite3_stmt *forget = NULL;
	bool changed;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < seg->header.record_cnt; i++) {
		const struct pl_feed_record *rec = &seg->records[i];

		if (rec->op == PL_FEED_PUT) {
			rc = write_row(r, r->put, rec->cert_id, rec->facts, seg->header.sequence,
				       &changed, error, error_size);
			continue;
		}
		if (forget == NULL)
			rc = pl_registry_prepare(r, "DELETE FROM cert WHERE id = ?1", &forget,
						 error, error_size);
		if (rc == 0) {
			sqlite3_bind_int64(forget, 1, (int64_t)rec->cert_id);
			rc = pl_registry_run(r, forget, "deleting", error, error_size);
		}
	}
	sqlite3_finalize(forget);
	return rc;
}

int pl_registry_segment_add(struct pl_registry *r, const struct pl_feed_segment *seg, char *error,
			    size_t error_size)
{
	sqlite3_bind_int64(r->segment_add, 1, (int64_t)seg->header.sequence);
	sqlite3_bind_blob(r->segment_add, 2, seg->hash, PL_FEED_HASH_SIZE, SQLITE_STATIC);
	sqlite3_bind_int64(r->segment_add, 3, (int64_t)seg->header.as_of);
	sqlite3_bind_int64(r->segment_add, 4, seg->header.record_cnt);
	return pl_registry_run(r, r->segment_add, "writing a segment's row", error, error_size);
}

/** The next up to PL_FEED_RECORDS_MAX of the spool into the writer. */
static int fill_writer(struct pl_registry *r, uint64_t cnt, char *error, size_t error_size)
{
	pl_feed_writer_begin(r->writer);
	for (uint64_t i = 0; i < cnt; i++) {
		struct pl_feed_record rec;

		if (fread_unlocked(&rec, sizeof(rec), 1, r->spool) != 1)
			return pl_fail(-EIO, error, error_size,
				       "temporary file: cannot be read back");
		PL_CHECK(pl_feed_writer_add(r->writer, rec.cert_id, rec.facts, rec.op) == 0);
	}
	return 0;
}

/** All segments of the operation into the feed, and their rows. *pos moves with the feed. */
static int store_segments(struct pl_registry *r, uint64_t now_s, bool heartbeat,
			  struct pl_feed_pos *pos, char *error, size_t error_size)
{
	uint64_t left = r->spool_cnt;

	if (fflush(r->spool) != 0 || fseeko(r->spool, 0, SEEK_SET) != 0)
		return pl_fail(-errno, error, error_size, "temporary file: %s", strerror(errno));
	while (left > 0 || heartbeat) {
		uint64_t cnt = left < PL_FEED_RECORDS_MAX ? left : PL_FEED_RECORDS_MAX;
		/* Only with the last one the feed is complete up to now: an appliance that has half of a
		 * large operation must not call the other half unknown. */
		uint64_t as_of = cnt == left ? now_s : (pos->as_of != 0 ? pos->as_of : 1);
		struct pl_feed_segment seg;
		const uint8_t *data;
		size_t size;
		int rc = fill_writer(r, cnt, error, error_size);

		if (rc == 0 &&
		    pl_feed_writer_seal(r->writer, pos, as_of, r->seckey, &seg, &data, &size) != 0)
			rc = pl_fail(-EINVAL, error, error_size, "no segment can be as of %" PRIu64,
				     as_of);
		/* The row before the file: if the database cannot take it, nothing is out yet. */
		if (rc == 0)
			rc = pl_registry_segment_add(r, &seg, error, error_size);
		if (rc == 0)
			rc = pl_feed_store_put(r->store, data, size, error, error_size);
		if (rc != 0)
			return rc;
		pl_feed_advance(pos, &seg);
		left -= cnt;
		heartbeat = false;
	}
	return 0;
}

int pl_registry_commit(struct pl_registry *r, uint64_t now_s, bool heartbeat,
		       struct pl_registry_commit *done, char *error, size_t error_size)
{
	struct pl_feed_pos pos = r->pos;
	int rc = 0;

	PL_CHECK(r->in_operation);
	if (now_s < r->pos.as_of)
		rc = pl_fail(-ESTALE, error, error_size,
			     "the clock says %" PRIu64 " but the feed is as of %" PRIu64
			     " already: set this machine's clock right",
			     now_s, r->pos.as_of);
	if (rc == 0)
		rc = store_segments(r, now_s, heartbeat && r->spool_cnt == 0, &pos, error,
				    error_size);
	if (rc == 0)
		rc = pl_registry_run(r, r->commit, "committing", error, error_size);
	if (rc == 0) {
		*done = (struct pl_registry_commit){
			.cert_cnt = r->spool_cnt,
			.segment_cnt = pos.sequence - r->pos.sequence,
			.sequence = pos.sequence,
			.as_of = pos.as_of,
		};
		r->pos = pos;
		end_operation(r);
		return 0;
	}
	pl_registry_rollback(r);
	if (rc != -EIO && pos.sequence == r->pos.sequence)
		return rc;
	/* Something is in the feed, or may be. Appliances may have it: it cannot be taken back, and
	 * the next opening takes it in. */
	r->stale = true;
	{
		size_t used = strlen(error);

		if (used < error_size)
			snprintf(error + used, error_size - used,
				 "; part of it may have been published: run any command that "
				 "writes, and see which");
	}
	return -EIO;
}
