/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registry: its rules, and that it and the feed agree whatever dies or fails on the way. The
 * feed store's system calls and SQLite's writes go through hooks.
 */
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

static ssize_t hook_pwrite(int fd, const void *data, size_t size, off_t at)
{
	if (dies_here()) {
		PL_CHECK(real_pwrite(fd, data, size / 2, at) == (ssize_t)(size / 2));
		_exit(DIED);
	}
	return real_pwrite(fd, data, size, at);
}

static void hook_sqlite(void)
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

static int open_registry(bool for_write, struct pl_registry **out)
{
	struct pl_registry_conf conf = {
		.dir_path = fx.dir, .seckey = for_write ? fx.seckey : NULL, .stream_id = STREAM};

	memcpy(conf.pubkey, fx.pubkey, sizeof(conf.pubkey));
	return pl_registry_open(&conf, out, E);
}

static void reopen(void)
{
	pl_registry_close(fx.registry);
	fx.registry = NULL;
	if (open_registry(true, &fx.registry) != 0)
		fail_msg("%s", fx.error);
}

static int set_up(void **state)
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

static void delete_all(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	PL_CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

static int tear_down(void **state)
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

static struct pl_cert cert(uint64_t id, uint16_t event_day)
{
	return (struct pl_cert){.id = id, .kind = PL_CERT_PRIMARY, .event_day = event_day};
}

static int put(const struct pl_cert *c)
{
	return pl_registry_put(fx.registry, c, E);
}

static void begin(void)
{
	assert_int_equal(pl_registry_begin(fx.registry, E), 0);
}

static int commit(struct pl_registry_commit *done)
{
	struct pl_registry_commit unused;

	return pl_registry_commit(fx.registry, fx.now_s++, false, done != NULL ? done : &unused, E);
}

static void put_committed(const struct pl_cert *c)
{
	begin();
	assert_int_equal(put(c), 0);
	assert_int_equal(commit(NULL), 0);
}

static uint32_t facts_of(uint64_t id)
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

static int model_apply(void *ctx, const struct pl_feed_segment *seg)
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

static int model_match(void *ctx, const struct pl_cert *c)
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
static uint64_t assert_agree(void)
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

/* ---- tests ---- */

static void test_what_is_put_is_in_registry_and_feed(void **state)
{
	struct pl_cert a = cert(1, 100), b = cert(UINT64_MAX, 200);
	struct pl_registry_commit done;
	struct pl_cert got;
	uint64_t sequence;

	(void)state;
	b.revoked = true;
	b.generation = 3;
	begin();
	assert_int_equal(put(&a), 0);
	assert_int_equal(put(&b), 0);
	assert_int_equal(commit(&done), 0);
	assert_int_equal(done.cert_cnt, 2);
	assert_int_equal(done.segment_cnt, 1);
	assert_int_equal(done.sequence, 1);
	assert_int_equal(pl_registry_get(fx.registry, UINT64_MAX, &got, &sequence, E), 0);
	assert_int_equal(pl_facts_pack(&got), pl_facts_pack(&b));
	assert_int_equal(sequence, 1);
	assert_int_equal(assert_agree(), 1);
	reopen();
	assert_int_equal(pl_registry_recovered_cnt(fx.registry), 0);
	assert_int_equal(assert_agree(), 1);
	assert_int_equal(pl_registry_get(fx.registry, 5, &got, &sequence, E), -ENOENT);
	assert_non_null(strstr(fx.error, "0x0000000000000005"));
}

static void test_a_rollback_leaves_no_trace(void **state)
{
	struct pl_cert a = cert(1, 100);

	(void)state;
	begin();
	assert_int_equal(put(&a), 0);
	assert_int_equal(facts_of(1), pl_facts_pack(&a)); /* seen in the operation */
	pl_registry_rollback(fx.registry);
	assert_int_equal(facts_of(1), 0);
	assert_int_equal(assert_agree(), 0);
}

static void test_what_is_so_already_is_not_published(void **state)
{
	struct pl_cert a = cert(1, 100);
	struct pl_registry_commit done;

	(void)state;
	put_committed(&a);
	begin();
	assert_int_equal(put(&a), 1);
	assert_int_equal(commit(&done), 0);
	assert_int_equal(done.segment_cnt, 0);
	assert_int_equal(done.sequence, 1);
	begin();
	assert_int_equal(pl_registry_add(fx.registry, &a, E), 1);
	a.event_day++;
	assert_int_equal(pl_registry_add(fx.registry, &a, E), 1); /* taken: left alone */
	assert_int_equal(put(&a), 0);
	a.event_day++;
	assert_int_equal(put(&a), 0); /* twice in one operation: the last one holds */
	assert_int_equal(commit(&done), 0);
	assert_int_equal(done.cert_cnt, 2);
	assert_int_equal(facts_of(1), pl_facts_pack(&a));
	assert_int_equal(assert_agree(), 2);
}

static void test_a_revocation_is_for_good_and_generations_only_rise(void **state)
{
	struct pl_cert c = cert(7, 100);

	(void)state;
	c.generation = 2;
	c.suspended = true;
	put_committed(&c);
	begin();
	c.generation = 1;
	assert_int_equal(put(&c), -EPERM);
	assert_non_null(strstr(fx.error, "from 2 to 1"));
	c.generation = 3;
	c.suspended = false; /* a suspension ends */
	c.revoked = true;
	assert_int_equal(put(&c), 0);
	c.revoked = false;
	assert_int_equal(put(&c), -EPERM);
	assert_non_null(strstr(fx.error, "for good"));
	c.revoked = true;
	c.generation = 4;
	assert_int_equal(put(&c), 0); /* and the operation goes on */
	assert_int_equal(commit(NULL), 0);
	assert_int_equal(facts_of(7), pl_facts_pack(&c));
	(void)assert_agree();
}

static void test_what_no_feed_may_carry_is_refused(void **state)
{
	struct pl_cert none = {.id = 1}, nobody = cert(0, 1), odd = cert(1, 1);

	(void)state;
	odd.kind = 15; /* fits four bits, and has no name */
	begin();
	assert_int_equal(put(&none), -EINVAL);
	assert_int_equal(put(&nobody), -EINVAL);
	assert_int_equal(put(&odd), -EINVAL);
	assert_int_equal(pl_registry_add(fx.registry, &odd, E), -EINVAL);
	pl_registry_rollback(fx.registry);
}

/* Who has only the first segment of a large operation may not take its end for the feed's. */
static void test_a_large_operation_is_complete_with_its_last_segment(void **state)
{
	struct pl_registry_commit done;
	struct pl_feed_header h;
	char path[128];
	FILE *f;

	(void)state;
	put_committed(&(struct pl_cert){.id = 3, .kind = 1}); /* as of 1000 */
	begin();
	for (uint64_t i = 0; i <= PL_FEED_RECORDS_MAX; i++) {
		struct pl_cert c = cert(10 + i, 18000);

		assert_int_equal(put(&c), 0);
	}
	assert_int_equal(pl_registry_commit(fx.registry, 7000, false, &done, E), 0);
	assert_int_equal(done.segment_cnt, 2);
	assert_int_equal(done.as_of, 7000);
	for (uint64_t sequence = 2; sequence <= 3; sequence++) {
		snprintf(path, sizeof(path), "%s/feed/" PL_FEED_NAME_FORMAT, fx.dir, sequence);
		f = fopen(path, "r");
		assert_non_null(f);
		assert_int_equal(fread(&h, sizeof(h), 1, f), 1);
		fclose(f);
		assert_int_equal(h.as_of, sequence == 2 ? 1000 : 7000);
	}
}

static void test_a_heartbeat_is_an_empty_segment(void **state)
{
	struct pl_registry_commit done;

	(void)state;
	begin();
	assert_int_equal(pl_registry_commit(fx.registry, 5000, true, &done, E), 0);
	assert_int_equal(done.segment_cnt, 1);
	assert_int_equal(done.as_of, 5000);
	assert_int_equal(assert_agree(), 1);
	/* A clock that went back would make the feed refuse its own segment. */
	begin();
	assert_int_equal(pl_registry_commit(fx.registry, 4999, true, &done, E), -ESTALE);
	assert_non_null(strstr(fx.error, "clock"));
	fx.now_s = 5000;
	put_committed(&(struct pl_cert){.id = 3, .kind = 1});
	assert_int_equal(assert_agree(), 2);
}

static int collect(void *ctx, const struct pl_cert *c)
{
	uint64_t **at = ctx;

	*(*at)++ = c->id;
	return c->id == 0xdead ? 77 : 0;
}

static void test_certificates_are_walked_in_the_order_of_unsigned_ids(void **state)
{
	static const uint64_t ids[] = {
		1, 0xdead, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 1, UINT64_MAX};
	struct pl_registry_filter f = {.revoked = -1, .suspended = -1};
	uint64_t got[8], *at = got;

	(void)state;
	begin();
	for (uint32_t i = 0; i < PL_ARRAY_CNT(ids); i++) {
		struct pl_cert c = cert(ids[PL_ARRAY_CNT(ids) - 1 - i], 1);

		c.revoked = c.id == INT64_MAX;
		c.suspended = c.id == UINT64_MAX;
		c.kind = c.id == 1 ? PL_CERT_BOOSTER : PL_CERT_PRIMARY;
		assert_int_equal(put(&c), 0);
	}
	assert_int_equal(commit(NULL), 0);
	/* A value that the function returns ends the walk. */
	assert_int_equal(pl_registry_each(fx.registry, &f, collect, &at, E), 77);
	assert_int_equal(at - got, 2);
#define WALK(expected_cnt)                                                               \
	do {                                                                             \
		at = got;                                                                \
		assert_int_equal(pl_registry_each(fx.registry, &f, collect, &at, E), 0); \
		assert_int_equal(at - got, expected_cnt);                                \
	} while (0)
	f.id_after = 0xdead;
	WALK(4);
	assert_memory_equal(got, ids + 2, 4 * sizeof(ids[0]));
	f.cert_max = 3;
	WALK(3);
	assert_memory_equal(got, ids + 2, 3 * sizeof(ids[0]));
	f.id_after = (uint64_t)INT64_MAX + 1;
	WALK(2);
	f.id_after = UINT64_MAX;
	WALK(0);
	f = (struct pl_registry_filter){.revoked = 1, .suspended = -1};
	WALK(1);
	assert_int_equal(got[0], INT64_MAX);
	f = (struct pl_registry_filter){.revoked = -1, .suspended = 1};
	WALK(1);
	assert_int_equal(got[0], UINT64_MAX);
	f = (struct pl_registry_filter){.kind = PL_CERT_BOOSTER, .revoked = -1, .suspended = -1};
	WALK(1);
	assert_int_equal(got[0], 1);
#undef WALK
}

static int gateway_found(void *ctx, const struct pl_registry_gateway *g)
{
	char *text = ctx;

	sprintf(text + strlen(text), "%u/%u=%s ", g->id, g->key_epoch, g->name);
	return 0;
}

static void test_gateways_have_one_name_and_a_key_an_epoch(void **state)
{
	char text[256] = "";
	struct pl_registry_gateway g = {.id = UINT32_MAX, .key_epoch = 255, .name = "Naver"};
	char long_name[PL_REGISTRY_NAME_MAX + 2];

	(void)state;
#define ADD(id_, epoch_, name_)                                  \
	(g.id = (id_), g.key_epoch = (epoch_), g.name = (name_), \
	 pl_registry_gateway_add(fx.registry, &g, E))
	assert_int_equal(ADD(UINT32_MAX, 255, "Naver"), 0);
	assert_int_equal(ADD(7, 0, "Kakao"), 0);
	assert_int_equal(ADD(7, 1, "Kakao"), 0);
	assert_int_equal(ADD(7, 1, "Kakao"), -EEXIST);
	assert_int_equal(ADD(7, 2, "Toss"), -EEXIST);
	assert_non_null(strstr(fx.error, "gateway 7 is \"Kakao\""));
	assert_int_equal(ADD(8, 0, "Naver"), -EEXIST);
	assert_non_null(strstr(fx.error, "gateway 4294967295 is \"Naver\""));
	assert_int_equal(ADD(9, 0, ""), -EINVAL);
	assert_int_equal(ADD(9, 0, "a\nb"), -EINVAL);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(ADD(9, 0, long_name), -EINVAL);
#undef ADD
	assert_int_equal(pl_registry_gateway_each(fx.registry, gateway_found, text, E), 0);
	assert_string_equal(text, "7/0=Kakao 7/1=Kakao 4294967295/255=Naver ");
}

static void test_key_epochs_are_kept(void **state)
{
	uint8_t mask, epoch;

	(void)state;
	assert_int_equal(pl_registry_epochs(fx.registry, &mask, E), 0);
	assert_int_equal(mask, 0);
	assert_int_equal(pl_registry_epoch_issuing(fx.registry, &epoch, E), -ENOENT);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 7, E), 0);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 0, E), 0);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 7, E), -EEXIST);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 1, E), -E2BIG);
	assert_non_null(strstr(fx.error, "token retire"));
	assert_int_equal(pl_registry_epochs(fx.registry, &mask, E), 0);
	assert_int_equal(mask, 0x81);
	/* The first is what new certificates get, until told otherwise. */
	assert_int_equal(pl_registry_epoch_issuing(fx.registry, &epoch, E), 0);
	assert_int_equal(epoch, 7);
	assert_int_equal(pl_registry_epoch_retire(fx.registry, 7, E), -EBUSY);
	assert_int_equal(pl_registry_epoch_use(fx.registry, 3, E), -ENOENT);
	assert_int_equal(pl_registry_epoch_use(fx.registry, 0, E), 0);
	assert_int_equal(pl_registry_epoch_issuing(fx.registry, &epoch, E), 0);
	assert_int_equal(epoch, 0);
}

static void test_an_epoch_ends_when_no_certificate_is_under_it(void **state)
{
	struct pl_cert a = cert(1, 1), b = cert(UINT64_MAX, 1);
	struct pl_registry_filter filter = {.revoked = -1, .suspended = -1};
	struct pl_registry_commit done;
	uint64_t got[3], *at, cnt;
	uint8_t mask;

	(void)state;
	a.key_epoch = 6;
	b.key_epoch = 7;
	assert_int_equal(pl_registry_epoch_add(fx.registry, 6, E), 0);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 7, E), 0);
	assert_int_equal(pl_registry_epoch_use(fx.registry, 7, E), 0);
	assert_int_equal(pl_registry_begin(fx.registry, E), 0);
	assert_int_equal(pl_registry_put(fx.registry, &a, E), 0);
	assert_int_equal(pl_registry_put(fx.registry, &b, E), 0);
	assert_int_equal(pl_registry_commit(fx.registry, 1000, false, &done, E), 0);
	filter.epochs = 1u << 6;
	at = got;
	assert_int_equal(pl_registry_each(fx.registry, &filter, collect, &at, E), 0);
	assert_int_equal(at - got, 1);
	assert_int_equal(got[0], 1);
	filter.epochs = 1u << 7;
	at = got;
	assert_int_equal(pl_registry_each(fx.registry, &filter, collect, &at, E), 0);
	assert_int_equal(at - got, 1);
	assert_int_equal(got[0], UINT64_MAX);
	assert_int_equal(pl_registry_epoch_certs(fx.registry, 6, &cnt, E), 0);
	assert_int_equal(cnt, 1);
	assert_int_equal(pl_registry_epoch_retire(fx.registry, 6, E), -EBUSY);
	assert_non_null(strstr(fx.error, "1 certificates are under token key epoch 6"));
	a.key_epoch = 7;
	assert_int_equal(pl_registry_begin(fx.registry, E), 0);
	assert_int_equal(pl_registry_put(fx.registry, &a, E), 0);
	assert_int_equal(pl_registry_commit(fx.registry, 1000, false, &done, E), 0);
	assert_int_equal(pl_registry_epoch_retire(fx.registry, 6, E), 0);
	assert_int_equal(pl_registry_epoch_retire(fx.registry, 6, E), -ENOENT);
	assert_int_equal(pl_registry_epochs(fx.registry, &mask, E), 0);
	assert_int_equal(mask, 1u << 7);
	assert_int_equal(pl_registry_epoch_add(fx.registry, 0, E), 0);
}

static void test_a_gateway_keeps_one_key_and_has_two_at_most(void **state)
{
	struct pl_registry_gateway g = {.id = 7, .name = "Kakao"};
	char text[64] = "";

	(void)state;
	assert_int_equal(pl_registry_gateway_add(fx.registry, &g, E), 0);
	assert_int_equal(pl_registry_gateway_retire(fx.registry, 7, 0, E), -EBUSY);
	assert_non_null(strstr(fx.error, "gateway rotate"));
	g.key_epoch = 1;
	assert_int_equal(pl_registry_gateway_add(fx.registry, &g, E), 0);
	g.key_epoch = 2;
	assert_int_equal(pl_registry_gateway_add(fx.registry, &g, E), -E2BIG);
	assert_int_equal(pl_registry_gateway_retire(fx.registry, 7, 2, E), -ENOENT);
	assert_int_equal(pl_registry_gateway_retire(fx.registry, 8, 0, E), -ENOENT);
	assert_int_equal(pl_registry_gateway_retire(fx.registry, 7, 0, E), 0);
	assert_int_equal(pl_registry_gateway_add(fx.registry, &g, E), 0);
	assert_int_equal(pl_registry_gateway_each(fx.registry, gateway_found, text, E), 0);
	assert_string_equal(text, "7/1=Kakao 7/2=Kakao ");
}

static void test_one_writer_and_readers_beside_it(void **state)
{
	struct pl_registry *other = NULL;
	struct pl_cert a = cert(1, 1), got;
	uint64_t sequence;

	(void)state;
	put_committed(&a);
	assert_int_equal(open_registry(true, &other), -EWOULDBLOCK);
	assert_int_equal(open_registry(false, &other), 0);
	begin();
	assert_int_equal(put(&(struct pl_cert){.id = 2, .kind = 1}), 0);
	/* The reader sees what is committed, and is not kept waiting. */
	assert_int_equal(pl_registry_get(other, 1, &got, &sequence, E), 0);
	assert_int_equal(pl_registry_get(other, 2, &got, &sequence, E), -ENOENT);
	assert_int_equal(commit(NULL), 0);
	assert_int_equal(pl_registry_get(other, 2, &got, &sequence, E), 0);
	pl_registry_close(other);
}

static void run_sql(const char *sql)
{
	char path[96];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/registry.db", fx.dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void assert_refused(int rc, const char *said)
{
	pl_registry_close(fx.registry);
	fx.registry = NULL;
	assert_int_equal(open_registry(true, &fx.registry), rc);
	fx.registry = NULL;
	if (strstr(fx.error, said) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", fx.error, said);
}

static void test_files_that_are_no_registry_of_ours_are_refused(void **state)
{
	struct pl_registry_conf conf = {.dir_path = "/nonexistent", .stream_id = STREAM};
	struct pl_registry *r;
	char path[96];
	FILE *f;

	(void)state;
	assert_int_equal(pl_registry_create(fx.dir, STREAM, E), -EEXIST);
	assert_int_equal(pl_registry_open(&conf, &r, E), -ENOENT);
	run_sql("PRAGMA user_version = 2");
	assert_refused(-EINVAL, "has schema 2");
	run_sql("PRAGMA user_version = 1; UPDATE authority SET stream_id = 5");
	assert_refused(-EINVAL, "is of stream 0000000000000005");
	run_sql("PRAGMA application_id = 0");
	assert_refused(-EINVAL, "not a registry");
	snprintf(path, sizeof(path), "%s/registry.db", fx.dir);
	f = fopen(path, "w");
	fputs("This is no database, and long enough to be looked at as one by its header.\n", f);
	fclose(f);
	assert_refused(-EINVAL, "registry");
}

static void test_the_file_is_for_its_owner_and_can_be_asked(void **state)
{
	struct pl_cert c = cert(0xabc, 18974);
	sqlite3_stmt *st;
	struct stat status;
	char path[96];
	sqlite3 *db;

	(void)state;
	put_committed(&c);
	snprintf(path, sizeof(path), "%s/registry.db", fx.dir);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT id, kind, event_date FROM certificate", -1,
					    &st, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), "0x0000000000000abc");
	assert_string_equal((const char *)sqlite3_column_text(st, 1), "primary");
	assert_string_equal((const char *)sqlite3_column_text(st, 2), "2021-12-13");
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static const char *segment_path(uint64_t sequence)
{
	static char paths[2][128];
	static uint32_t calls;
	char *path = paths[calls++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/feed/" PL_FEED_NAME_FORMAT, fx.dir, sequence);
	return path;
}

static void test_a_feed_that_does_not_belong_is_refused(void **state)
{
	struct pl_cert c = cert(1, 1);
	char kept[128];

	(void)state;
	for (uint16_t day = 1; day <= 3; day++) {
		c.event_day = day;
		put_committed(&c);
	}
	snprintf(kept, sizeof(kept), "%s/kept", fx.dir);
	assert_int_equal(rename(segment_path(3), kept), 0);
	assert_refused(-EBADMSG, "segment 3 is in the registry but not in the feed");
	assert_int_equal(link(segment_path(2), segment_path(3)), 0);
	assert_refused(-EBADMSG, "feed/00000000000000000003.plseg: sequence was applied before");
	assert_int_equal(unlink(segment_path(3)), 0);
	assert_int_equal(rename(kept, segment_path(3)), 0);
	reopen();
	assert_int_equal(assert_agree(), 3);
}

/* The database of an old backup, beside the feed of today: the feed tells it what it lacks. */
static void test_an_old_database_catches_up(void **state)
{
	struct pl_cert c = cert(1, 1), d = cert(2, 1);

	(void)state;
	put_committed(&c);
	c.event_day = 2;
	put_committed(&c);
	put_committed(&d);
	pl_registry_close(fx.registry);
	fx.registry = NULL;
	run_sql("DELETE FROM segment WHERE sequence > 1; DELETE FROM cert WHERE id = 2;"
		"UPDATE cert SET facts = 17, sequence = 1 WHERE id = 1");
	reopen();
	assert_int_equal(pl_registry_recovered_cnt(fx.registry), 2);
	assert_int_equal(facts_of(1), pl_facts_pack(&c));
	assert_int_equal(facts_of(2), pl_facts_pack(&d));
	assert_int_equal(assert_agree(), 3);
}

/** An operation in a child that dies at a point. @return whether it came to its end. */
static bool operate_in_child(uint32_t die_at, uint16_t day)
{
	int status;
	pid_t pid;

	pl_registry_close(fx.registry);
	fx.registry = NULL;
	pid = fork();
	PL_CHECK(pid >= 0);
	if (pid == 0) {
		struct pl_registry_commit done;
		struct pl_cert old = cert(1, day);
		struct pl_cert new = cert(1000u + day, day);

		hook.point = 0;
		hook.die_at = die_at;
		if (open_registry(true, &fx.registry) != 0 ||
		    pl_registry_begin(fx.registry, E) != 0 || put(&old) != 0 || put(&new) != 0)
			_exit(1);
		_exit(pl_registry_commit(fx.registry, 1000u + day, false, &done, E) == 0 ? 0 : 1);
	}
	PL_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == DIED);
	return WEXITSTATUS(status) == 0;
}

static void test_death_at_any_point_leaves_feed_and_registry_agreeing(void **state)
{
	struct pl_cert first = cert(1, 1);
	uint32_t before_cnt = 0, after_cnt = 0, recovered_cnt = 0;
	uint16_t day = 1;
	bool done;

	(void)state;
	put_committed(&first);
	do {
		uint32_t before = pl_facts_pack(&(struct pl_cert){.kind = 1, .event_day = day});
		uint32_t after;
		uint32_t now;

		day++;
		after = pl_facts_pack(&(struct pl_cert){.kind = 1, .event_day = day});
		done = operate_in_child((uint32_t)day - 1, day);
		reopen();
		now = facts_of(1);
		assert_true(now == before || now == after);
		assert_int_equal(facts_of(1000u + day), now == after ? after : 0);
		if (done)
			assert_int_equal(now, after);
		(void)assert_agree();
		before_cnt += now == before;
		after_cnt += now == after;
		recovered_cnt += pl_registry_recovered_cnt(fx.registry) > 0;
		if (now == before) {
			struct pl_cert c = cert(1, day);

			fx.now_s = 1000u + day;
			put_committed(&c);
		}
	} while (!done && day < POINT_MAX);
	assert_true(done);
	/* The loop went through all that can be: before, after, and brought up on opening. */
	assert_true(before_cnt > 0 && after_cnt > 1 && recovered_cnt > 0);
}

static void test_a_full_disk_changes_nothing(void **state)
{
	struct pl_cert a = cert(1, 1), b = cert(2, 2);

	(void)state;
	put_committed(&a);
	hook.write_errno = ENOSPC;
	begin();
	assert_int_equal(put(&b), 0);
	assert_int_equal(commit(NULL), -ENOSPC);
	hook.write_errno = 0;
	assert_int_equal(facts_of(2), 0);
	assert_int_equal(assert_agree(), 1);
	put_committed(&b); /* and goes on */
	assert_int_equal(assert_agree(), 2);
}

static void test_a_failed_fsync_ends_this_opening_and_the_next_one_settles(void **state)
{
	struct pl_cert a = cert(1, 1);

	(void)state;
	put_committed(&a);
	for (uint32_t at = 1; at <= 3; at++) {
		a.event_day++;
		hook.fsyncs = 0;
		hook.fsync_at = at;
		begin();
		assert_int_equal(put(&a), 0);
		assert_int_equal(commit(NULL), -EIO);
		assert_non_null(strstr(fx.error, "may have been published"));
		assert_int_equal(pl_registry_begin(fx.registry, E), -EIO);
		reopen();
		/* Before the rename it is gone; after it, it is there for all to see. */
		assert_int_equal(pl_registry_recovered_cnt(fx.registry), at == 3 ? 1 : 0);
		(void)assert_agree();
	}
}

/* ---- snapshots ---- */

#define SNAP_CERTS 10u
#define SNAP_CHUNK 3u

/** Certificates on both sides of the sign that SQLite's numbers have. */
static void put_snapshot_certs(void)
{
	begin();
	for (uint32_t i = 1; i <= SNAP_CERTS; i++) {
		struct pl_cert c = cert(i % 2 == 0 ? i : UINT64_MAX - i, (uint16_t)i);

		assert_int_equal(put(&c), 0);
	}
	assert_int_equal(commit(NULL), 0);
}

static int snapshot(struct pl_registry_snapshot *out)
{
	return pl_registry_snapshot(fx.registry, SNAP_CHUNK, out, E);
}

static struct pl_feed_store *open_feed_dir(void)
{
	char feed[96];
	struct pl_feed_store_conf conf = {.dir_path = feed};
	struct pl_feed_store *store;

	snprintf(feed, sizeof(feed), "%s/feed", fx.dir);
	memcpy(conf.pubkey, fx.pubkey, sizeof(conf.pubkey));
	assert_int_equal(pl_feed_store_open(&conf, &store, E), 0);
	return store;
}

static int in_registry(void *ctx, const struct pl_feed_segment *seg)
{
	uint64_t *cnt = ctx;

	for (uint32_t i = 0; i < seg->header.record_cnt; i++)
		assert_int_equal(seg->records[i].facts, facts_of(seg->records[i].cert_id));
	*cnt += seg->header.record_cnt;
	return 0;
}

/** The newest snapshot of the feed says what the registry says; how many certificates. */
static uint64_t assert_snapshot_agrees(uint64_t sequence)
{
	struct pl_feed_store *store = open_feed_dir();
	struct pl_feed_snapshot found;
	struct pl_feed_report report;
	uint64_t cnt = 0;

	assert_int_equal(pl_feed_store_snapshot_find(store, 0, UINT64_MAX, &found), 0);
	assert_int_equal(found.covers.sequence, sequence);
	assert_memory_equal(&found.covers, pl_registry_pos(fx.registry), sizeof(found.covers));
	assert_int_equal(pl_feed_store_snapshot_read(store, &found, in_registry, &cnt, &report),
			 PL_FEED_OK);
	assert_int_equal(cnt, found.record_cnt);
	pl_feed_store_close(store);
	return cnt;
}

static void test_a_snapshot_is_the_registry_and_is_written_once(void **state)
{
	struct pl_registry_snapshot done;

	(void)state;
	assert_int_equal(snapshot(&done), -ENODATA);
	begin();
	assert_int_equal(pl_registry_commit(fx.registry, fx.now_s++, true,
					    &(struct pl_registry_commit){0}, E),
			 0);
	assert_int_equal(snapshot(&done), 0); /* of nothing at all */
	assert_int_equal(done.snapshot.chunk_cnt, 1);
	assert_int_equal(assert_snapshot_agrees(1), 0);
	put_snapshot_certs();
	assert_int_equal(snapshot(&done), 0);
	assert_int_equal(done.snapshot.chunk_cnt, 4);
	assert_int_equal(done.written_cnt, 4);
	assert_int_equal(assert_snapshot_agrees(2), SNAP_CERTS);
	assert_int_equal(snapshot(&done), 0);
	assert_int_equal(done.written_cnt, 0);
	/* Nothing else may follow from it: the chain goes on. */
	reopen();
	assert_int_equal(pl_registry_pos(fx.registry)->sequence, 2);
	(void)assert_agree();
}

static void test_a_snapshot_cut_off_anywhere_is_taken_up_again(void **state)
{
	uint32_t die_at = 0, kept_cnt = 0;
	struct pl_registry_snapshot done;
	int status;

	(void)state;
	put_snapshot_certs();
	do {
		struct pl_feed_store *store;
		struct pl_feed_snapshot found;
		pid_t pid;

		store = open_feed_dir();
		pl_registry_close(fx.registry);
		fx.registry = NULL;
		pid = fork();
		PL_CHECK(pid >= 0);
		if (pid == 0) {
			if (open_registry(true, &fx.registry) != 0)
				_exit(1);
			hook.point = 0;
			hook.die_at = die_at + 1;
			_exit(snapshot(&done) == 0 ? 0 : 1);
		}
		die_at++;
		PL_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == DIED);
		assert_true(die_at < POINT_MAX);
		/* All or nothing: only with its last chunk is it one. */
		if (pl_feed_store_snapshot_find(store, 0, UINT64_MAX, &found) == 0)
			assert_int_equal(found.record_cnt, SNAP_CERTS);
		pl_feed_store_close(store);
		assert_int_equal(open_registry(true, &fx.registry), 0);
		assert_int_equal(snapshot(&done), 0);
		kept_cnt += done.written_cnt < 4;
		assert_int_equal(assert_snapshot_agrees(1), SNAP_CERTS);
		{ /* and away with it */
			char path[160];

			for (uint32_t i = 0; i < 4; i++) {
				char name[PL_FEED_CHUNK_NAME_SIZE];

				pl_feed_chunk_name(1, i, name);
				snprintf(path, sizeof(path), "%s/feed/%s", fx.dir, name);
				assert_int_equal(unlink(path), 0);
			}
		}
	} while (WEXITSTATUS(status) != 0);
	assert_true(kept_cnt > 4); /* chunks that were there were not written again */
}

static void test_chunks_of_another_attempt_give_way(void **state)
{
	struct pl_registry_snapshot done;
	char path[160];

	(void)state;
	put_snapshot_certs();
	assert_int_equal(pl_registry_snapshot(fx.registry, 4, &done, E), 0);
	assert_int_equal(done.snapshot.chunk_cnt, 3);
	snprintf(path, sizeof(path), "%s/feed/00000000000000000001.00001.plsnap", fx.dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(snapshot(&done), 0);
	assert_int_equal(done.written_cnt, 4);
	assert_int_equal(assert_snapshot_agrees(1), SNAP_CERTS);
	/* A chunk that the disk spoiled is written again. */
	assert_int_equal(truncate(path, 200), 0);
	assert_int_equal(snapshot(&done), 0);
	assert_true(done.written_cnt > 0);
	assert_int_equal(assert_snapshot_agrees(1), SNAP_CERTS);
}

static void test_pruning_leaves_a_registry_that_goes_on(void **state)
{
	struct pl_registry_snapshot done;
	struct pl_registry_pruned pruned;
	struct pl_cert c = cert(5, 5);
	char path[160];

	(void)state;
	put_snapshot_certs();
	assert_int_equal(snapshot(&done), 0);
	put_committed(&c);
	assert_int_equal(pl_registry_prune(fx.registry, 2, &pruned, E), 0);
	assert_int_equal(pruned.sequence, 0); /* there is one only */
	assert_int_equal(snapshot(&done), 0);
	assert_int_equal(pl_registry_prune(fx.registry, 2, &pruned, E), 0);
	assert_int_equal(pruned.sequence, 1);
	assert_int_equal(pruned.feed.segment_cnt + pruned.feed.chunk_cnt, 0);
	/* What cannot be relied on is no reason to delete anything. */
	snprintf(path, sizeof(path), "%s/feed/00000000000000000002.00001.plsnap", fx.dir);
	{
		int fd = open(path, O_WRONLY);

		assert_int_equal(pwrite(fd, "x", 1, 140), 1);
		close(fd);
	}
	assert_int_equal(pl_registry_prune(fx.registry, 1, &pruned, E), -EBADMSG);
	assert_non_null(strstr(fx.error, "nothing was deleted"));
	assert_int_equal(snapshot(&done), 0); /* mends it */
	assert_int_equal(pl_registry_prune(fx.registry, 1, &pruned, E), 0);
	assert_int_equal(pruned.sequence, 2);
	assert_int_equal(pruned.feed.segment_cnt, 1);
	assert_int_equal(pruned.feed.chunk_cnt, 4);
	assert_int_equal(assert_snapshot_agrees(2), SNAP_CERTS + 1);
	reopen();
	c.event_day++;
	put_committed(&c);
	reopen();
	assert_int_equal(pl_registry_pos(fx.registry)->sequence, 3);
	assert_int_equal(facts_of(5), pl_facts_pack(&c));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_what_is_put_is_in_registry_and_feed),
		T(test_a_rollback_leaves_no_trace),
		T(test_what_is_so_already_is_not_published),
		T(test_a_revocation_is_for_good_and_generations_only_rise),
		T(test_what_no_feed_may_carry_is_refused),
		T(test_a_heartbeat_is_an_empty_segment),
		T(test_certificates_are_walked_in_the_order_of_unsigned_ids),
		T(test_gateways_have_one_name_and_a_key_an_epoch),
		T(test_key_epochs_are_kept),
		T(test_an_epoch_ends_when_no_certificate_is_under_it),
		T(test_a_gateway_keeps_one_key_and_has_two_at_most),
		T(test_one_writer_and_readers_beside_it),
		T(test_files_that_are_no_registry_of_ours_are_refused),
		T(test_the_file_is_for_its_owner_and_can_be_asked),
		T(test_a_feed_that_does_not_belong_is_refused),
		T(test_an_old_database_catches_up),
		T(test_death_at_any_point_leaves_feed_and_registry_agreeing),
		T(test_a_full_disk_changes_nothing),
		T(test_a_failed_fsync_ends_this_opening_and_the_next_one_settles),
		T(test_a_large_operation_is_complete_with_its_last_segment),
		T(test_a_snapshot_is_the_registry_and_is_written_once),
		T(test_a_snapshot_cut_off_anywhere_is_taken_up_again),
		T(test_chunks_of_another_attempt_give_way),
		T(test_pruning_leaves_a_registry_that_goes_on),
	};
#undef T

	hook_sqlite();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
