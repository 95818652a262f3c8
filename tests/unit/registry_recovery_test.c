/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: that it and the feed agree whatever dies or fails on the way. */
#include "registry_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_feed_that_does_not_belong_is_refused),
		T(test_an_old_database_catches_up),
		T(test_death_at_any_point_leaves_feed_and_registry_agreeing),
		T(test_a_full_disk_changes_nothing),
		T(test_a_failed_fsync_ends_this_opening_and_the_next_one_settles),
	};

	hook_sqlite();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
