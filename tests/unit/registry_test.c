/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: what is put is in it and in its feed, its rules, its walks, its file. */
#include "registry_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_what_is_put_is_in_registry_and_feed),
		T(test_a_rollback_leaves_no_trace),
		T(test_what_is_so_already_is_not_published),
		T(test_a_revocation_is_for_good_and_generations_only_rise),
		T(test_what_no_feed_may_carry_is_refused),
		T(test_a_heartbeat_is_an_empty_segment),
		T(test_certificates_are_walked_in_the_order_of_unsigned_ids),
		T(test_one_writer_and_readers_beside_it),
		T(test_files_that_are_no_registry_of_ours_are_refused),
		T(test_the_file_is_for_its_owner_and_can_be_asked),
		T(test_a_large_operation_is_complete_with_its_last_segment),
	};

	hook_sqlite();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
