/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A registry in a directory of its own, and its feed replayed by itself, to see whether the two
 * agree. The feed store's system calls and SQLite's writes go through hooks.
 */
#ifndef REGISTRY_FIXTURE_H
#define REGISTRY_FIXTURE_H

#include "feed_hooks.h" /* first: its names are macros of cmocka */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "registry/pl_registry.h"

#define STREAM    0xfedcba9876543210ULL /* above INT64_MAX: SQLite's numbers are signed */
#define POINT_MAX 400u

static struct {
	char dir[64];
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint8_t seckey[PL_FEED_SECKEY_SIZE];
	struct pl_registry *registry;
	uint64_t now_s;
	char error[512];
} fx;

#define E fx.error, sizeof(fx.error)

/* ---- SQLite's writes ---- */

static ssize_t (*real_pwrite)(int fd, const void *data, size_t size, off_t at);

static inline ssize_t hook_pwrite(int fd, const void *data, size_t size, off_t at)
{
	if (dies_here()) {
		PL_CHECK(real_pwrite(fd, data, size / 2, at) == (ssize_t)(size / 2));
		_exit(DIED);
	}
	return real_pwrite(fd, data, size, at);
}

static inline void hook_sqlite(void)
{
	sqlite3_vfs *vfs;

	PL_CHECK(sqlite3_initialize() == SQLITE_OK);
	vfs = sqlite3_vfs_find(NULL);
	real_pwrite =
		(ssize_t(*)(int, const void *, size_t, off_t))vfs->xGetSystemCall(vfs, "pwrite64");
	if (real_pwrite == NULL)
		real_pwrite = pwrite;
	PL_CHECK(vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)hook_pwrite) ==
		 SQLITE_OK);
	PL_CHECK(vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)hook_pwrite) == SQLITE_OK);
}

/* ---- fixture ---- */

static inline int open_registry(bool for_write, struct pl_registry **out)
{
	struct pl_registry_conf conf = {
		.dir_path = fx.dir, .seckey = for_write ? fx.seckey : NULL, .stream_id = STREAM};

	memcpy(conf.pubkey, fx.pubkey, sizeof(conf.pubkey));
	return pl_registry_open(&conf, out, E);
}

static inline void reopen(void)
{
	pl_registry_close(fx.registry);
	fx.registry = NULL;
	if (open_registry(true, &fx.registry) != 0)
		fail_msg("%s", fx.error);
}

static inline int set_up(void **state)
{
	(void)state;
	PL_CHECK(sodium_init() >= 0);
	memset(&fx, 0, sizeof(fx));
	memset(&hook, 0, sizeof(hook));
	fx.now_s = 1000;
	crypto_sign_keypair(fx.pubkey, fx.seckey);
	snprintf(fx.dir, sizeof(fx.dir), "%s/passline-registry-XXXXXX", fast_dir());
	PL_CHECK(mkdtemp(fx.dir) != NULL);
	PL_CHECK(pl_registry_create(fx.dir, STREAM, E) == 0);
	return open_registry(true, &fx.registry);
}

static inline void delete_all(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	PL_CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

static inline int tear_down(void **state)
{
	char feed[96];

	(void)state;
	pl_registry_close(fx.registry);
	snprintf(feed, sizeof(feed), "%s/feed", fx.dir);
	delete_all(feed);
	PL_CHECK(rmdir(feed) == 0);
	delete_all(fx.dir);
	return rmdir(fx.dir);
}

static inline struct pl_cert cert(uint64_t id, uint16_t event_day)
{
	return (struct pl_cert){.id = id, .kind = PL_CERT_PRIMARY, .event_day = event_day};
}

static inline int put(const struct pl_cert *c)
{
	return pl_registry_put(fx.registry, c, E);
}

static inline void begin(void)
{
	assert_int_equal(pl_registry_begin(fx.registry, E), 0);
}

static inline int commit(struct pl_registry_commit *done)
{
	struct pl_registry_commit unused;

	return pl_registry_commit(fx.registry, fx.now_s++, false, done != NULL ? done : &unused, E);
}

static inline void put_committed(const struct pl_cert *c)
{
	begin();
	assert_int_equal(put(c), 0);
	assert_int_equal(commit(NULL), 0);
}

static inline uint32_t facts_of(uint64_t id)
{
	struct pl_cert c;
	uint64_t sequence;
	int rc = pl_registry_get(fx.registry, id, &c, &sequence, E);

	if (rc == -ENOENT)
		return 0;
	assert_int_equal(rc, 0);
	return pl_facts_pack(&c);
}

/* ---- the feed, replayed by itself ---- */

#define MODEL_MAX 4096u

struct model {
	struct pl_feed_record records[MODEL_MAX];
	uint32_t cnt;
	uint32_t matched;
};

static inline int model_apply(void *ctx, const struct pl_feed_segment *seg)
{
	struct model *m = ctx;

	for (uint32_t i = 0; i < seg->header.record_cnt; i++) {
		uint32_t at = 0;

		while (at < m->cnt && m->records[at].cert_id != seg->records[i].cert_id)
			at++;
		assert_true(at < MODEL_MAX);
		m->records[at] = seg->records[i];
		m->cnt += at == m->cnt;
	}
	return 0;
}

static inline int model_match(void *ctx, const struct pl_cert *c)
{
	struct model *m = ctx;

	for (uint32_t i = 0; i < m->cnt; i++)
		if (m->records[i].cert_id == c->id) {
			assert_int_equal(m->records[i].facts, pl_facts_pack(c));
			m->matched++;
			return 0;
		}
	fail_msg("0x%016" PRIx64 " is in the registry and not in the feed", c->id);
	return -1;
}

/** Registry and feed say the same. @return how many segments there are. */
static inline uint64_t assert_agree(void)
{
	static struct model m;
	const struct pl_registry_filter all = {.revoked = -1, .suspended = -1};
	struct pl_feed_store_conf conf = {.dir_path = NULL};
	struct pl_feed_pos pos = {.stream_id = STREAM};
	struct pl_feed_report report;
	struct pl_feed_store *store;
	char feed[96];

	memset(&m, 0, sizeof(m));
	snprintf(feed, sizeof(feed), "%s/feed", fx.dir);
	conf.dir_path = feed;
	memcpy(conf.pubkey, fx.pubkey, sizeof(conf.pubkey));
	assert_int_equal(pl_feed_store_open(&conf, &store, E), 0);
	assert_int_equal(pl_feed_store_read(store, &pos, model_apply, &m, &report), PL_FEED_OK);
	pl_feed_store_close(store);
	assert_int_equal(pl_registry_each(fx.registry, &all, model_match, &m, E), 0);
	assert_int_equal(m.matched, m.cnt);
	assert_memory_equal(&pos, pl_registry_pos(fx.registry), sizeof(pos));
	return pos.sequence;
}

/** For pl_registry_each(): ids to where *ctx points; 0xdead ends the walk with 77. */
static inline int collect(void *ctx, const struct pl_cert *c)
{
	uint64_t **at = ctx;

	*(*at)++ = c->id;
	return c->id == 0xdead ? 77 : 0;
}

/** What no call of the registry would do to its file. */
static inline void run_sql(const char *sql)
{
	char path[96];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/registry.db", fx.dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/** The registry does not open, and says why. */
static inline void assert_refused(int rc, const char *said)
{
	pl_registry_close(fx.registry);
	fx.registry = NULL;
	assert_int_equal(open_registry(true, &fx.registry), rc);
	fx.registry = NULL;
	if (strstr(fx.error, said) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", fx.error, said);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
