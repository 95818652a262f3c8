/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gateways and token key epochs.
 */
#include <errno.h>

#include "base/pl_fail.h"
#include "registry/pl_registry_pvt.h"

static bool name_is_good(const char *name)
{
	size_t size = strnlen(name, PL_REGISTRY_NAME_MAX + 1);

	if (size == 0 || size > PL_REGISTRY_NAME_MAX)
		return false;
	for (size_t i = 0; i < size; i++)
		if ((uint8_t)name[i] < ' ' || (uint8_t)name[i] == 0x7f)
			return false;
	return true;
}

/** Is there a gateway of this id with another name? */
static int check_name(struct pl_registry *r, const struct pl_registry_gateway *g, char *error,
		      size_t error_size)
{
	sqlite3_stmt *st;
	int rc = pl_registry_prepare(r,
				     "SELECT id, name FROM gateway WHERE (id = ?1) <> (name = ?2)",
				     &st, error, error_size);
	int step;

	if (rc != 0)
		return rc;
	sqlite3_bind_int64(st, 1, g->id);
	sqlite3_bind_text(st, 2, g->name, -1, SQLITE_STATIC);
	step = sqlite3_step(st);
	if (step == SQLITE_ROW)
		rc = pl_fail(-EEXIST, error, error_size, "gateway %u is \"%s\" already",
			     (uint32_t)sqlite3_column_int64(st, 0),
			     (const char *)sqlite3_column_text(st, 1));
	else if (step != SQLITE_DONE)
		rc = pl_registry_sql_failed(r, "reading gateways", error, error_size);
	sqlite3_finalize(st);
	return rc;
}

/** Run a statement that takes up to two numbers and a text, in that order. */
static int run_with(struct pl_registry *r, const char *sql, int64_t a, int64_t b, const char *text,
		    int *changes, char *error, size_t error_size)
{
	sqlite3_stmt *st;
	int rc = pl_registry_prepare(r, sql, &st, error, error_size);

	if (rc != 0)
		return rc;
	sqlite3_bind_int64(st, 1, a);
	sqlite3_bind_int64(st, 2, b);
	if (text != NULL)
		sqlite3_bind_text(st, 3, text, -1, SQLITE_STATIC);
	rc = pl_registry_run(r, st, "writing", error, error_size);
	*changes = sqlite3_changes(r->db);
	sqlite3_finalize(st);
	return rc;
}

/** The one number that a statement with one parameter gives. */
static int count_of(struct pl_registry *r, const char *sql, int64_t a, uint64_t *cnt, char *error,
		    size_t error_size)
{
	sqlite3_stmt *st;
	int rc = pl_registry_prepare(r, sql, &st, error, error_size);

	if (rc != 0)
		return rc;
	sqlite3_bind_int64(st, 1, a);
	if (sqlite3_step(st) == SQLITE_ROW)
		*cnt = (uint64_t)sqlite3_column_int64(st, 0);
	else
		rc = pl_registry_sql_failed(r, "counting", error, error_size);
	sqlite3_finalize(st);
	return rc;
}

/** Has the gateway a key of this epoch, and how many has it? */
static int count_keys(struct pl_registry *r, uint32_t id, uint8_t epoch, uint64_t *has,
		      uint64_t *all, char *error, size_t error_size)
{
	int rc = count_of(r, "SELECT count(*) FROM gateway_key WHERE gateway_id = ?1", id, all,
			  error, error_size);

	if (rc == 0)
		rc = count_of(r,
			      "SELECT count(*) FROM gateway_key WHERE gateway_id = ?1 / 256 "
			      "AND epoch = ?1 % 256",
			      (int64_t)id * 256 + epoch, has, error, error_size);
	return rc;
}

static int check_key_room(struct pl_registry *r, const struct pl_registry_gateway *g, char *error,
			  size_t error_size)
{
	uint64_t has = 0, all = 0;
	int rc = count_keys(r, g->id, g->key_epoch, &has, &all, error, error_size);

	if (rc == 0 && has == 0 && all >= PL_REGISTRY_EPOCHS_MAX)
		return pl_fail(-E2BIG, error, error_size,
			       "gateway %u has keys of %u epochs already, and no more than "
			       "that at a time: retire the old one first (gateway retire)",
			       g->id, PL_REGISTRY_EPOCHS_MAX);
	return rc;
}

int pl_registry_gateway_add(struct pl_registry *r, const struct pl_registry_gateway *g, char *error,
			    size_t error_size)
{
	int changes = 0;
	int rc;

	PL_CHECK(r->store != NULL && !r->in_operation);
	if (!name_is_good(g->name))
		return pl_fail(-EINVAL, error, error_size,
			       "a gateway's name has 1 to %u bytes and no control characters",
			       PL_REGISTRY_NAME_MAX);
	rc = check_name(r, g, error, error_size);
	if (rc == 0)
		rc = check_key_room(r, g, error, error_size);
	if (rc == 0)
		rc = pl_registry_run(r, r->begin, "beginning", error, error_size);
	if (rc != 0)
		return rc;
	rc = run_with(r, "INSERT OR IGNORE INTO gateway (id, name) SELECT ?1, ?3 WHERE ?2 = ?2",
		      g->id, 0, g->name, &changes, error, error_size);
	if (rc == 0)
		rc = run_with(
			r, "INSERT OR IGNORE INTO gateway_key (gateway_id, epoch) VALUES (?1, ?2)",
			g->id, g->key_epoch, NULL, &changes, error, error_size);
	if (rc == 0 && changes == 0)
		rc = pl_fail(-EEXIST, error, error_size, "gateway %u has a key of epoch %u already",
			     g->id, g->key_epoch);
	if (rc == 0)
		rc = pl_registry_run(r, r->commit, "committing", error, error_size);
	if (rc != 0 && sqlite3_get_autocommit(r->db) == 0) {
		(void)sqlite3_step(r->rollback);
		sqlite3_reset(r->rollback);
	}
	return rc;
}

int pl_registry_gateway_each(struct pl_registry *r, pl_registry_gateway_fn fn, void *ctx,
			     char *error, size_t error_size)
{
	sqlite3_stmt *st;
	int rc = pl_registry_prepare(
		r,
		"SELECT g.id, k.epoch, g.name FROM gateway AS g JOIN gateway_key "
		"AS k ON k.gateway_id = g.id ORDER BY g.id, k.epoch",
		&st, error, error_size);
	int step = SQLITE_DONE;

	if (rc != 0)
		return rc;
	while (rc == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
		struct pl_registry_gateway g = {
			.id = (uint32_t)sqlite3_column_int64(st, 0),
			.key_epoch = (uint8_t)sqlite3_column_int(st, 1),
			.name = (const char *)sqlite3_column_text(st, 2),
		};

		rc = fn(ctx, &g);
	}
	if (rc == 0 && step != SQLITE_DONE)
		rc = pl_registry_sql_failed(r, "reading gateways", error, error_size);
	sqlite3_finalize(st);
	return rc;
}

int pl_registry_gateway_retire(struct pl_registry *r, uint32_t id, uint8_t key_epoch, char *error,
			       size_t error_size)
{
	uint64_t has = 0, all = 0;
	int changes = 0;
	int rc = count_keys(r, id, key_epoch, &has, &all, error, error_size);

	PL_CHECK(r->store != NULL && !r->in_operation);
	if (rc == 0 && has == 0)
		return pl_fail(-ENOENT, error, error_size, "gateway %u has no key of epoch %u", id,
			       key_epoch);
	if (rc == 0 && all == 1)
		return pl_fail(-EBUSY, error, error_size,
			       "gateway %u has only its key of epoch %u: give it another "
			       "first (gateway rotate)",
			       id, key_epoch);
	if (rc == 0)
		rc = run_with(r, "DELETE FROM gateway_key WHERE gateway_id = ?1 AND epoch = ?2", id,
			      key_epoch, NULL, &changes, error, error_size);
	return rc;
}

static int epochs_check_room(struct pl_registry *r, uint8_t epoch, char *error, size_t error_size)
{
	uint8_t mask;
	int rc = pl_registry_epochs(r, &mask, error, error_size);

	if (rc == 0 && (mask >> epoch & 1) != 0)
		return pl_fail(-EEXIST, error, error_size, "token key epoch %u is there already",
			       epoch);
	if (rc == 0 && (uint32_t)__builtin_popcount(mask) >= PL_REGISTRY_EPOCHS_MAX)
		return pl_fail(-E2BIG, error, error_size,
			       "there are %u token key epochs already, and no more than "
			       "that at a time: move the certificates off the old one and "
			       "retire it (token move, token retire)",
			       PL_REGISTRY_EPOCHS_MAX);
	return rc;
}

int pl_registry_epoch_add(struct pl_registry *r, uint8_t epoch, char *error, size_t error_size)
{
	int changes = 0;
	int rc = epochs_check_room(r, epoch, error, error_size);

	if (rc == 0)
		rc = pl_registry_run(r, r->begin, "beginning", error, error_size);
	if (rc != 0)
		return rc;
	rc = run_with(r, "INSERT INTO token_epoch (epoch) SELECT ?1 WHERE ?2 = ?2", epoch, 0, NULL,
		      &changes, error, error_size);
	if (rc == 0)
		rc = run_with(r,
			      "INSERT OR IGNORE INTO token_issuing (one, epoch) "
			      "SELECT 1, ?1 WHERE ?2 = ?2",
			      epoch, 0, NULL, &changes, error, error_size);
	if (rc == 0)
		rc = pl_registry_run(r, r->commit, "committing", error, error_size);
	if (rc != 0 && sqlite3_get_autocommit(r->db) == 0) {
		(void)sqlite3_step(r->rollback);
		sqlite3_reset(r->rollback);
	}
	return rc;
}

static int epoch_check_there(struct pl_registry *r, uint8_t epoch, char *error, size_t error_size)
{
	uint8_t mask;
	int rc = pl_registry_epochs(r, &mask, error, error_size);

	if (rc == 0 && (epoch >= 8 || (mask >> epoch & 1) == 0))
		return pl_fail(-ENOENT, error, error_size, "there is no token key epoch %u", epoch);
	return rc;
}

int pl_registry_epoch_use(struct pl_registry *r, uint8_t epoch, char *error, size_t error_size)
{
	int changes = 0;
	int rc = epoch_check_there(r, epoch, error, error_size);

	if (rc == 0)
		rc = run_with(r, "UPDATE token_issuing SET epoch = ?1 WHERE ?2 = ?2", epoch, 0,
			      NULL, &changes, error, error_size);
	return rc;
}

int pl_registry_epoch_certs(struct pl_registry *r, uint8_t epoch, uint64_t *cert_cnt, char *error,
			    size_t error_size)
{
	return count_of(r, "SELECT count(*) FROM cert WHERE facts >> 20 & 7 = ?1", epoch, cert_cnt,
			error, error_size);
}

int pl_registry_epoch_retire(struct pl_registry *r, uint8_t epoch, char *error, size_t error_size)
{
	uint64_t cert_cnt = 0;
	uint8_t issuing = 0;
	int changes = 0;
	int rc = epoch_check_there(r, epoch, error, error_size);

	if (rc == 0)
		rc = pl_registry_epoch_issuing(r, &issuing, error, error_size);
	if (rc == 0 && issuing == epoch)
		return pl_fail(-EBUSY, error, error_size,
			       "token key epoch %u is the one that new certificates get: "
			       "make another and use it first (token add, token use)",
			       epoch);
	if (rc == 0)
		rc = pl_registry_epoch_certs(r, epoch, &cert_cnt, error, error_size);
	if (rc == 0 && cert_cnt != 0)
		return pl_fail(-EBUSY, error, error_size,
			       "%" PRIu64 " certificates are under token key epoch %u: "
			       "move them first (token move)",
			       cert_cnt, epoch);
	if (rc == 0)
		rc = run_with(r, "DELETE FROM token_epoch WHERE epoch = ?1 AND ?2 = ?2", epoch, 0,
			      NULL, &changes, error, error_size);
	return rc;
}

int pl_registry_epoch_issuing(struct pl_registry *r, uint8_t *epoch, char *error, size_t error_size)
{
	sqlite3_stmt *st;
	int rc, step;

	/* A database of before epochs could be added has no such table until it is opened for
	 * writing, and one epoch. */
	if (sqlite3_prepare_v2(r->db, "SELECT epoch FROM token_issuing", -1, &st, NULL) !=
	    SQLITE_OK) {
		rc = pl_registry_prepare(r,
					 "SELECT max(epoch) FROM token_epoch HAVING count(*) > 0",
					 &st, error, error_size);
		if (rc != 0)
			return rc;
	}
	step = sqlite3_step(st);
	rc = 0;
	if (step == SQLITE_ROW)
		*epoch = (uint8_t)sqlite3_column_int(st, 0);
	else if (step == SQLITE_DONE)
		rc = pl_fail(-ENOENT, error, error_size, "there is no token key epoch");
	else
		rc = pl_registry_sql_failed(r, "reading key epochs", error, error_size);
	sqlite3_finalize(st);
	return rc;
}

int pl_registry_epochs(struct pl_registry *r, uint8_t *mask, char *error, size_t error_size)
{
	sqlite3_stmt *st;
	int rc = pl_registry_prepare(r, "SELECT epoch FROM token_epoch", &st, error, error_size);
	int step;

	*mask = 0;
	if (rc != 0)
		return rc;
	while ((step = sqlite3_step(st)) == SQLITE_ROW)
		*mask |= (uint8_t)(1u << sqlite3_column_int(st, 0));
	if (step != SQLITE_DONE)
		rc = pl_registry_sql_failed(r, "reading key epochs", error, error_size);
	sqlite3_finalize(st);
	return rc;
}
