/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making, opening and bringing up to the feed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pl_fail.h"
#include "registry/pl_registry_pvt.h"

#define APPLICATION_ID 0x504c5247 /* "PLRG" */

/* An id is the signed number of the same 64 bits, the table's own key, so a row costs one look and
 * no index; printf('0x%016x', id) shows it as everywhere else. cert.sequence names a segment,
 * without a foreign key: the check would cost a look for each of fifty million rows, and both are
 * written in one transaction, here alone. */
#define ISSUING_TABLE                                \
	"CREATE TABLE IF NOT EXISTS token_issuing (" \
	"  one INTEGER PRIMARY KEY CHECK (one = 1)," \
	"  epoch INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 7)) STRICT;"
#define WAIVER_TABLE                                           \
	"CREATE TABLE IF NOT EXISTS waiver ("                  \
	"  serial INTEGER PRIMARY KEY AUTOINCREMENT,"          \
	"  from_s INTEGER NOT NULL, until_s INTEGER NOT NULL," \
	"  reason TEXT NOT NULL,"                              \
	"  created_at INTEGER NOT NULL DEFAULT (unixepoch())) STRICT;"
/* For a database that was made before there was more than one epoch, or a waiver: an older program
 * can go on with it, so the schema keeps its number. */
static const char issuing_fill[] =
	ISSUING_TABLE WAIVER_TABLE "INSERT OR IGNORE INTO token_issuing (one, epoch) "
				   "SELECT 1, max(epoch) FROM token_epoch HAVING count(*) > 0;";

static const char schema[] =
	"PRAGMA application_id = 1347179079;"
	"PRAGMA user_version = 1;"
	"CREATE TABLE authority ("
	"  one INTEGER PRIMARY KEY CHECK (one = 1),"
	"  stream_id INTEGER NOT NULL,"
	"  created_at INTEGER NOT NULL DEFAULT (unixepoch())) STRICT;"
	"CREATE TABLE segment ("
	"  sequence INTEGER PRIMARY KEY CHECK (sequence > 0),"
	"  hash BLOB NOT NULL CHECK (length(hash) = 32),"
	"  as_of INTEGER NOT NULL,"
	"  record_cnt INTEGER NOT NULL,"
	"  taken_at INTEGER NOT NULL DEFAULT (unixepoch())) STRICT;"
	"CREATE TABLE cert ("
	"  id INTEGER PRIMARY KEY CHECK (id <> 0),"
	"  facts INTEGER NOT NULL,"
	"  sequence INTEGER NOT NULL) STRICT;"
	"CREATE TABLE token_epoch ("
	"  epoch INTEGER PRIMARY KEY CHECK (epoch BETWEEN 0 AND 7),"
	"  created_at INTEGER NOT NULL DEFAULT (unixepoch())) STRICT;" ISSUING_TABLE WAIVER_TABLE
	"CREATE TABLE gateway ("
	"  id INTEGER PRIMARY KEY CHECK (id BETWEEN 0 AND 4294967295),"
	"  name TEXT NOT NULL UNIQUE,"
	"  created_at INTEGER NOT NULL DEFAULT (unixepoch())) STRICT;"
	"CREATE TABLE gateway_key ("
	"  gateway_id INTEGER NOT NULL REFERENCES gateway (id),"
	"  epoch INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 255),"
	"  created_at INTEGER NOT NULL DEFAULT (unixepoch()),"
	"  PRIMARY KEY (gateway_id, epoch)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE kind (kind INTEGER PRIMARY KEY, name TEXT NOT NULL, "
	"text TEXT NOT NULL) STRICT;"
#define K(id, num, name, text) "INSERT INTO kind VALUES (" #num ", '" name "', '" text "');"
	PL_CERT_KINDS(K)
#undef K
		"CREATE VIEW certificate AS SELECT printf('0x%016x', c.id) AS id, k.name AS kind,"
		"  date((c.facts >> 4 & 65535) * 86400, 'unixepoch') AS event_date,"
		"  c.facts >> 20 & 7 AS key_epoch, c.facts >> 23 & 15 AS generation,"
		"  c.facts >> 27 & 1 AS revoked, c.facts >> 28 & 1 AS suspended, c.sequence AS "
		"sequence"
		"  FROM cert AS c LEFT JOIN kind AS k ON k.kind = (c.facts & 15);";
static_assert(APPLICATION_ID == 1347179079, "as in the schema");
static_assert(PL_REGISTRY_SCHEMA == 1, "as in the schema");

int pl_registry_sql_failed(struct pl_registry *r, const char *doing, char *error, size_t error_size)
{
	static const struct {
		int code;
		int rc;
	} codes[] = {
		{SQLITE_FULL, -ENOSPC},   {SQLITE_BUSY, -EBUSY},      {SQLITE_NOMEM, -ENOMEM},
		{SQLITE_PERM, -EACCES},   {SQLITE_READONLY, -EACCES}, {SQLITE_CANTOPEN, -EACCES},
		{SQLITE_NOTADB, -EINVAL},
	};
	int code = sqlite3_errcode(r->db);
	int rc = -EIO;

	for (uint32_t i = 0; i < PL_ARRAY_CNT(codes); i++)
		if (codes[i].code == code)
			rc = codes[i].rc;
	return pl_fail(rc, error, error_size, "registry: %s: %s", doing, sqlite3_errmsg(r->db));
}

int pl_registry_prepare(struct pl_registry *r, const char *sql, sqlite3_stmt **out, char *error,
			size_t error_size)
{
	if (sqlite3_prepare_v3(r->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
		return pl_registry_sql_failed(r, "preparing", error, error_size);
	return 0;
}

int pl_registry_run(struct pl_registry *r, sqlite3_stmt *st, const char *doing, char *error,
		    size_t error_size)
{
	int rc = 0;

	if (sqlite3_step(st) != SQLITE_DONE)
		rc = pl_registry_sql_failed(r, doing, error, error_size);
	sqlite3_reset(st);
	return rc;
}

static int exec(struct pl_registry *r, const char *sql, const char *doing, char *error,
		size_t error_size)
{
	if (sqlite3_exec(r->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return pl_registry_sql_failed(r, doing, error, error_size);
	return 0;
}

/** One number that a statement without parameters gives; 0 rows: *value stays. */
static int query_number(struct pl_registry *r, const char *sql, int64_t *value, char *error,
			size_t error_size)
{
	sqlite3_stmt *st;
	int rc = pl_registry_prepare(r, sql, &st, error, error_size);
	int step;

	if (rc != 0)
		return rc;
	step = sqlite3_step(st);
	if (step == SQLITE_ROW)
		*value = sqlite3_column_int64(st, 0);
	else if (step != SQLITE_DONE)
		rc = pl_registry_sql_failed(r, "reading", error, error_size);
	sqlite3_finalize(st);
	return rc;
}

static int open_db(struct pl_registry *r, const char *path, int flags, char *error,
		   size_t error_size)
{
	/* Owner and mode are the file's; its journal takes them over. */
	if (sqlite3_open_v2(path, &r->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		int rc = r->db == NULL ? -ENOMEM : -EACCES;

		return pl_fail(rc, error, error_size, "%s: %s", path,
			       r->db == NULL ? "out of memory" : sqlite3_errmsg(r->db));
	}
	sqlite3_busy_timeout(r->db, 5000);
	/* FULL: a gateway that was added is in no segment, and must outlive a power failure. The
	 * cache (KiB) is a bound, used as it is needed: certificates come in no order, and pages
	 * that do not fit are written again and again within one large operation. */
	return exec(r,
		    "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
		    "PRAGMA cache_size = -262144;",
		    "opening", error, error_size);
}

static int db_path(const char *dir_path, char path[PATH_MAX], char *error, size_t error_size)
{
	if (snprintf(path, PATH_MAX, "%s/" PL_REGISTRY_DB_NAME, dir_path) >= PATH_MAX)
		return pl_fail(-ENAMETOOLONG, error, error_size, "%s: name is too long", dir_path);
	return 0;
}

static int fill_new_db(struct pl_registry *r, uint64_t stream_id, char *error, size_t error_size)
{
	sqlite3_stmt *st = NULL;
	int rc = exec(r, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE;", "creating", error,
		      error_size);

	if (rc == 0)
		rc = exec(r, schema, "creating", error, error_size);
	if (rc == 0)
		rc = pl_registry_prepare(r, "INSERT INTO authority (one, stream_id) VALUES (1, ?1)",
					 &st, error, error_size);
	if (rc == 0) {
		sqlite3_bind_int64(st, 1, (int64_t)stream_id);
		rc = pl_registry_run(r, st, "creating", error, error_size);
	}
	sqlite3_finalize(st);
	if (rc == 0)
		rc = exec(r, "COMMIT", "creating", error, error_size);
	return rc;
}

int pl_registry_create(const char *dir_path, uint64_t stream_id, char *error, size_t error_size)
{
	struct pl_registry r = {0};
	char path[PATH_MAX], feed[PATH_MAX];
	int fd, rc;

	rc = db_path(dir_path, path, error, error_size);
	if (rc != 0)
		return rc;
	(void)snprintf(feed, sizeof(feed), "%.4000s/" PL_REGISTRY_FEED_NAME, dir_path);
	/* Open to readers: what is in it is signed, and appliances take it from there. */
	if (mkdir(feed, 0755) != 0 && errno != EEXIST)
		return pl_fail(-errno, error, error_size, "%s: %s", feed, strerror(errno));
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return pl_fail(-errno, error, error_size, "%s: %s", path,
			       errno == EEXIST ? "there is a registry already" : strerror(errno));
	close(fd);
	rc = open_db(&r, path, SQLITE_OPEN_READWRITE, error, error_size);
	if (rc == 0)
		rc = fill_new_db(&r, stream_id, error, error_size);
	sqlite3_close(r.db);
	if (rc != 0)
		(void)unlink(path);
	return rc;
}

static int check_db(struct pl_registry *r, const char *path, uint64_t stream_id, char *error,
		    size_t error_size)
{
	int64_t application = 0, version = 0, stream = 0;
	int rc = query_number(r, "PRAGMA application_id", &application, error, error_size);

	if (rc == 0 && application != APPLICATION_ID)
		return pl_fail(-EINVAL, error, error_size, "%s: not a registry", path);
	if (rc == 0)
		rc = query_number(r, "PRAGMA user_version", &version, error, error_size);
	if (rc == 0 && version != PL_REGISTRY_SCHEMA)
		return pl_fail(-EINVAL, error, error_size,
			       "%s: has schema %d, this program knows %d: use the version "
			       "of passline that made it, or a later one",
			       path, (int)version, PL_REGISTRY_SCHEMA);
	if (rc == 0)
		rc = query_number(r, "SELECT stream_id FROM authority", &stream, error, error_size);
	if (rc == 0 && (uint64_t)stream != stream_id)
		return pl_fail(-EINVAL, error, error_size,
			       "%s: is of stream %016" PRIx64
			       ", the authority's key of %016" PRIx64,
			       path, (uint64_t)stream, stream_id);
	return rc;
}

/** Where the feed stood after the last segment but `back`. */
static int load_pos(struct pl_registry *r, uint32_t back, uint64_t stream_id,
		    struct pl_feed_pos *pos, char *error, size_t error_size)
{
	sqlite3_stmt *st;
	int rc = pl_registry_prepare(r,
				     "SELECT sequence, as_of, hash FROM segment "
				     "ORDER BY sequence DESC LIMIT 1 OFFSET ?1",
				     &st, error, error_size);
	int step;

	memset(pos, 0, sizeof(*pos));
	pos->stream_id = stream_id;
	if (rc != 0)
		return rc;
	sqlite3_bind_int64(st, 1, back);
	step = sqlite3_step(st);
	if (step == SQLITE_ROW) {
		pos->sequence = (uint64_t)sqlite3_column_int64(st, 0);
		pos->as_of = (uint64_t)sqlite3_column_int64(st, 1);
		memcpy(pos->hash, sqlite3_column_blob(st, 2), PL_FEED_HASH_SIZE);
	} else if (step != SQLITE_DONE) {
		rc = pl_registry_sql_failed(r, "reading segments", error, error_size);
	}
	sqlite3_finalize(st);
	return rc;
}

struct catch_up {
	struct pl_registry *r;
	bool last_seen; /* the segment that the database has as its last is in the feed, the same */
	int rc;
	char *error;
	size_t error_size;
};

/* The reading begins at the last segment that the database has, to see that it is the same. */
static int catch_up_segment(void *ctx, const struct pl_feed_segment *seg)
{
	struct catch_up *c = ctx;
	struct pl_registry *r = c->r;

	if (seg->header.sequence == r->pos.sequence) {
		c->last_seen = memcmp(seg->hash, r->pos.hash, PL_FEED_HASH_SIZE) == 0;
		return c->last_seen ? 0 : -1;
	}
	c->rc = pl_registry_apply(r, seg, c->error, c->error_size);
	if (c->rc == 0)
		c->rc = pl_registry_segment_add(r, seg, c->error, c->error_size);
	if (c->rc != 0)
		return -1;
	pl_feed_advance(&r->pos, seg);
	r->recovered_cnt++;
	return 0;
}

static int catch_up_read(struct catch_up *c, struct pl_feed_pos *from)
{
	struct pl_feed_report report;
	enum pl_feed_error e = pl_feed_store_read(c->r->store, from, catch_up_segment, c, &report);

	if (c->rc != 0)
		return c->rc;
	if (e == PL_FEED_APPLY)
		return pl_fail(-EBADMSG, c->error, c->error_size,
			       "feed/%s is not the segment that the registry has under "
			       "this number: restore both from one backup",
			       report.name);
	if (e != PL_FEED_OK)
		return pl_fail(-EBADMSG, c->error, c->error_size,
			       "the feed cannot be followed: feed/%s", report.text);
	return 0;
}

/** Bring the database up to the feed, a put that was cut off included. */
static int catch_up(struct pl_registry *r, char *error, size_t error_size)
{
	struct catch_up c = {.r = r, .error = error, .error_size = error_size};
	struct pl_feed_pos from;
	bool adopted = false;
	int rc = load_pos(r, 1, r->pos.stream_id, &from, error, error_size);

	if (rc == 0)
		rc = pl_registry_run(r, r->begin, "beginning", error, error_size);
	if (rc != 0)
		return rc;
	rc = catch_up_read(&c, &from);
	if (rc == 0 && r->pos.sequence != 0 && !c.last_seen)
		rc = pl_fail(-EBADMSG, error, error_size,
			     "segment %" PRIu64 " is in the registry but not in the feed "
			     "directory: restore the feed's files",
			     r->pos.sequence);
	if (rc == 0)
		rc = pl_feed_store_settle(r->store, &r->pos, &adopted, error, error_size);
	if (rc == 0 && adopted)
		rc = catch_up_read(&c, &from);
	if (rc == 0)
		rc = pl_registry_run(r, r->commit, "committing", error, error_size);
	if (rc != 0 && sqlite3_get_autocommit(r->db) == 0)
		(void)exec(r, "ROLLBACK", "rolling back", (char[1]){0}, 1);
	return rc;
}

static int prepare_all(struct pl_registry *r, char *error, size_t error_size)
{
	const struct {
		sqlite3_stmt **st;
		const char *sql;
	} all[] = {
		{&r->begin, "BEGIN IMMEDIATE"},
		{&r->commit, "COMMIT"},
		{&r->rollback, "ROLLBACK"},
		{&r->get, "SELECT facts, sequence FROM cert WHERE id = ?1"},
		{&r->put, "INSERT INTO cert (id, facts, sequence) VALUES (?1, ?2, ?3) "
			  "ON CONFLICT (id) DO UPDATE SET facts = ?2, sequence = ?3"},
		{&r->add, "INSERT INTO cert (id, facts, sequence) VALUES (?1, ?2, ?3) "
			  "ON CONFLICT (id) DO NOTHING"},
		{&r->segment_add, "INSERT INTO segment (sequence, hash, as_of, record_cnt) "
				  "VALUES (?1, ?2, ?3, ?4)"},
	};
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < PL_ARRAY_CNT(all); i++)
		rc = pl_registry_prepare(r, all[i].sql, all[i].st, error, error_size);
	return rc;
}

static int open_feed(struct pl_registry *r, const struct pl_registry_conf *conf, char *error,
		     size_t error_size)
{
	char path[PATH_MAX];
	struct pl_feed_store_conf store_conf = {.dir_path = path, .write = true};
	int rc;

	(void)snprintf(path, sizeof(path), "%.4000s/" PL_REGISTRY_FEED_NAME, conf->dir_path);
	memcpy(store_conf.pubkey, conf->pubkey, sizeof(store_conf.pubkey));
	r->seckey = conf->seckey;
	rc = pl_feed_store_open(&store_conf, &r->store, error, error_size);
	if (rc == 0)
		rc = pl_feed_writer_create(&r->writer);
	if (rc == -ENOMEM)
		(void)pl_fail(rc, error, error_size, "out of memory");
	return rc;
}

int pl_registry_open(const struct pl_registry_conf *conf, struct pl_registry **out, char *error,
		     size_t error_size)
{
	struct pl_registry *r = calloc(1, sizeof(*r));
	bool write = conf->seckey != NULL;
	char path[PATH_MAX];
	int rc;

	if (r != NULL)
		r->dir_path = strdup(conf->dir_path);
	if (r == NULL || r->dir_path == NULL) {
		free(r);
		return pl_fail(-ENOMEM, error, error_size, "out of memory");
	}
	rc = db_path(conf->dir_path, path, error, error_size);
	if (rc == 0 && access(path, F_OK) != 0)
		rc = pl_fail(-errno, error, error_size,
			     "%s: %s: make an authority first, with keygen", path, strerror(errno));
	/* The lock first: who has it not must not even look at the database for writing. */
	if (rc == 0 && write)
		rc = open_feed(r, conf, error, error_size);
	if (rc == 0)
		rc = open_db(r, path, write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, error,
			     error_size);
	if (rc == 0)
		rc = check_db(r, path, conf->stream_id, error, error_size);
	if (rc == 0 && write)
		rc = exec(r, issuing_fill, "opening", error, error_size);
	if (rc == 0)
		rc = prepare_all(r, error, error_size);
	if (rc == 0)
		rc = load_pos(r, 0, conf->stream_id, &r->pos, error, error_size);
	if (rc == 0 && write)
		rc = catch_up(r, error, error_size);
	if (rc != 0) {
		pl_registry_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

void pl_registry_close(struct pl_registry *r)
{
	if (r == NULL)
		return;
	if (r->in_operation)
		pl_registry_rollback(r);
	sqlite3_finalize(r->begin);
	sqlite3_finalize(r->commit);
	sqlite3_finalize(r->rollback);
	sqlite3_finalize(r->get);
	sqlite3_finalize(r->put);
	sqlite3_finalize(r->add);
	sqlite3_finalize(r->segment_add);
	sqlite3_close(r->db);
	pl_feed_writer_destroy(r->writer);
	pl_feed_store_close(r->store);
	free(r->dir_path);
	free(r);
}
