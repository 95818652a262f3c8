/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The authority's registry: every certificate in an SQLite database, and the feed that its
 * changes are published by. A directory:
 *
 *     registry.db   the database (mode 0600), made to be asked questions: see the view `certificate`
 *     feed/         the segments (lib/feed)
 *
 * The segments are the truth, and the database follows them, as a database follows its log. An
 * operation is one database transaction: the rows are changed, the segments are stored, then the
 * transaction is committed. Whatever dies on the way, the next opening for writing reads the
 * segments that the database has not got and applies them; segments carry whole facts, so that is
 * all there is to it. What an appliance has seen is therefore never missing from the registry.
 *
 * One process may have a registry open for writing (the feed directory's lock), any number for
 * reading. A registry object belongs to one thread. sodium_init() must have been called.
 */
#ifndef PL_REGISTRY_H
#define PL_REGISTRY_H

#include "base/pl_base.h"
#include "cert/pl_cert.h"
#include "feed/pl_feed.h"
#include "waiver/pl_waiver.h"

#define PL_REGISTRY_SCHEMA    1
#define PL_REGISTRY_DB_NAME   "registry.db"
#define PL_REGISTRY_FEED_NAME "feed"
#define PL_REGISTRY_NAME_MAX  100u /* bytes of a gateway's name */

struct pl_registry; /* opaque */

/**
 * Make an empty registry in an existing directory.
 * @return 0; -EEXIST if there is one; another -errno, error naming the path.
 */
PL_MUST_USE int pl_registry_create(const char *dir_path, uint64_t stream_id, char *error,
				   size_t error_size);

struct pl_registry_conf {
	const char *dir_path;
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	const uint8_t
		*seckey;    /* PL_FEED_SECKEY_SIZE bytes, borrowed until close; NULL: read only */
	uint64_t stream_id; /* the key's: another registry's key is refused */
};

/**
 * Open. For writing: takes the lock, checks that feed and database belong together, and brings
 * the database up to the feed.
 *
 * @return 0; -EWOULDBLOCK when another process has it open for writing; -ENOENT; -EINVAL for a
 * file that is no registry, of another stream or of a later schema; -EBADMSG when feed and
 * database contradict each other (a gap, a fork, a missing segment), error saying which and what
 * to do; another -errno.
 */
PL_MUST_USE int pl_registry_open(const struct pl_registry_conf *conf, struct pl_registry **out,
				 char *error, size_t error_size);
void pl_registry_close(struct pl_registry *r);

/** Where the feed ends, as the database has it. */
const struct pl_feed_pos *pl_registry_pos(const struct pl_registry *r);
/** Segments that opening found in the feed and not in the database: an operation was cut off. */
uint64_t pl_registry_recovered_cnt(const struct pl_registry *r);

/** @return 0, -ENOENT, or another -errno with error set. */
PL_MUST_USE int pl_registry_get(struct pl_registry *r, uint64_t id, struct pl_cert *out,
				uint64_t *sequence, char *error, size_t error_size);

/** Certificates to walk over; a negative number or 0 means any. */
struct pl_registry_filter {
	int kind;          /* enum pl_cert_kind, or 0 */
	int revoked;       /* 0, 1, or -1 */
	int suspended;     /* 0, 1, or -1 */
	uint8_t epochs;    /* only under these token key epochs, a bit each; 0: under any */
	uint64_t id_after; /* only ids above */
	uint64_t cert_max; /* at most so many, or 0 */
};

/** Return not 0 to stop: that value is handed on. */
typedef int (*pl_registry_cert_fn)(void *ctx, const struct pl_cert *c);

/** In the order of ids. @return 0, what fn returned, or -EIO with error set. */
PL_MUST_USE int pl_registry_each(struct pl_registry *r, const struct pl_registry_filter *filter,
				 pl_registry_cert_fn fn, void *ctx, char *error, size_t error_size);

/* ---- changes: begin, any number of puts and adds, then commit or rollback ---- */

PL_MUST_USE int pl_registry_begin(struct pl_registry *r, char *error, size_t error_size);

/**
 * Issue a certificate, or replace its facts. Seen at once by this object's own reads.
 *
 * @return 0: changed. 1: it is so already, nothing to publish. -EPERM: not allowed (a revocation
 * is for good; a generation never goes back), error says so and the operation can go on without
 * it. -EINVAL: no certificate (id 0, no kind). Another -errno: roll back.
 */
PL_MUST_USE int pl_registry_put(struct pl_registry *r, const struct pl_cert *c, char *error,
				size_t error_size);

/** Issue a certificate unless its id is taken. @return 0; 1: taken, left alone; -errno. */
PL_MUST_USE int pl_registry_add(struct pl_registry *r, const struct pl_cert *c, char *error,
				size_t error_size);

/** What a commit published. */
struct pl_registry_commit {
	uint64_t cert_cnt;
	uint64_t segment_cnt;
	uint64_t sequence; /* of the feed's last segment, now */
	uint64_t as_of;
};

/**
 * Publish: sign and store the segments, commit the transaction.
 *
 * @param now_s      unix s; must not be before the feed's as-of time.
 * @param heartbeat  if nothing changed, store a segment without records all the same.
 * @return 0. -ESTALE: now_s is before the feed's as-of time. On these and any other failure but
 * -EIO nothing has changed. -EIO: some or all of it may be in the feed; the next opening finds out.
 */
PL_MUST_USE int pl_registry_commit(struct pl_registry *r, uint64_t now_s, bool heartbeat,
				   struct pl_registry_commit *done, char *error, size_t error_size);
void pl_registry_rollback(struct pl_registry *r);

/* ---- snapshots of the feed ---- */

/** What pl_registry_snapshot() found or wrote. */
struct pl_registry_snapshot {
	struct pl_feed_snapshot snapshot;
	uint32_t written_cnt; /* chunks written by this call: the others were there already */
};

/**
 * Write a snapshot of every certificate at the feed's last segment. It counts only when its last
 * chunk is there; whoever dies on the way, or fails, has it go on from there by calling again
 * before the next change, and begin anew after it.
 *
 * @param chunk_records_max  1 .. PL_FEED_RECORDS_MAX.
 * @return 0; -ENODATA: nothing was published yet; -E2BIG: more than PL_FEED_CHUNKS_MAX chunks; -EIO
 * as for pl_registry_commit(); another -errno, error set.
 */
PL_MUST_USE int pl_registry_snapshot(struct pl_registry *r, uint32_t chunk_records_max,
				     struct pl_registry_snapshot *out, char *error,
				     size_t error_size);

/** What pl_registry_prune() did. */
struct pl_registry_pruned {
	struct pl_feed_pruned feed;
	uint64_t sequence; /* of the oldest segment that is kept; 0: nothing to be pruned */
};

/**
 * Delete what the feed has before its keep_cnt-th newest complete snapshot, once that one has been
 * read from end to end. With fewer snapshots nothing is deleted.
 *
 * @param keep_cnt  1 or more.
 * @return 0; -EBADMSG: the snapshot is damaged, nothing was deleted; another -errno, error set.
 */
PL_MUST_USE int pl_registry_prune(struct pl_registry *r, uint32_t keep_cnt,
				  struct pl_registry_pruned *out, char *error, size_t error_size);

/* ---- gateways and token key epochs: in the database alone, keys are in files ---- */

struct pl_registry_gateway {
	uint32_t id;
	uint8_t key_epoch; /* one call for each epoch that it has a key of */
	const char *name;  /* UTF-8 without control characters */
};

/** Of a gateway's keys, and of token master keys, at a time: what appliances take. */
#define PL_REGISTRY_EPOCHS_MAX 2u

/** @return 0; -EEXIST: that epoch is there, or the id has another name; -E2BIG: it has two keys
 *          already; -EINVAL for a bad name. */
PL_MUST_USE int pl_registry_gateway_add(struct pl_registry *r, const struct pl_registry_gateway *g,
					char *error, size_t error_size);

typedef int (*pl_registry_gateway_fn)(void *ctx, const struct pl_registry_gateway *g);
PL_MUST_USE int pl_registry_gateway_each(struct pl_registry *r, pl_registry_gateway_fn fn,
					 void *ctx, char *error, size_t error_size);

/** Take a gateway's key of an epoch out. @return 0; -ENOENT; -EBUSY: it is the only one. */
PL_MUST_USE int pl_registry_gateway_retire(struct pl_registry *r, uint32_t id, uint8_t key_epoch,
					   char *error, size_t error_size);

/*
 * Token master keys. At most PL_REGISTRY_EPOCHS_MAX epochs exist at a time, two of which follow one
 * another round the circle 0, 1, .. 7, 0; one of them, the issuing one, is what new certificates
 * get. A new epoch issues only from pl_registry_epoch_use() on, so that its key can be with every
 * appliance before.
 */

/** The first epoch issues at once. @return 0; -EEXIST; -E2BIG: two are there already. */
PL_MUST_USE int pl_registry_epoch_add(struct pl_registry *r, uint8_t epoch, char *error,
				      size_t error_size);
/** New certificates get it from now on. @return 0, also if it is so already; -ENOENT. */
PL_MUST_USE int pl_registry_epoch_use(struct pl_registry *r, uint8_t epoch, char *error,
				      size_t error_size);
/** @return 0; -ENOENT; -EBUSY: it is the issuing one, or certificates are under it. */
PL_MUST_USE int pl_registry_epoch_retire(struct pl_registry *r, uint8_t epoch, char *error,
					 size_t error_size);
/** How many certificates are under it; walks over all. */
PL_MUST_USE int pl_registry_epoch_certs(struct pl_registry *r, uint8_t epoch, uint64_t *cert_cnt,
					char *error, size_t error_size);
/** The issuing epoch. @return 0; -ENOENT: there is none yet. */
PL_MUST_USE int pl_registry_epoch_issuing(struct pl_registry *r, uint8_t *epoch, char *error,
					  size_t error_size);
/** Bit e is set if epoch e exists. */
PL_MUST_USE int pl_registry_epochs(struct pl_registry *r, uint8_t *mask, char *error,
				   size_t error_size);

/* ---- enforcement waivers, to number and to remember them ---- */

/** The stream, serial and issuing time of w are not looked at. *serial: the next one, from 1. */
PL_MUST_USE int pl_registry_waiver_add(struct pl_registry *r, const struct pl_waiver *w,
				       uint64_t *serial, char *error, size_t error_size);
typedef int (*pl_registry_waiver_fn)(void *ctx, const struct pl_waiver *w);
/** By serial. @return 0, what fn returned, or -errno with error set. */
PL_MUST_USE int pl_registry_waiver_each(struct pl_registry *r, pl_registry_waiver_fn fn, void *ctx,
					char *error, size_t error_size);

#endif
