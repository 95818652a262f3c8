/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: snapshots of it for the feed, and pruning what they stand for. */
#include "registry_fixture.h"

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
	const struct CMUnitTest tests[] = {
		T(test_a_snapshot_is_the_registry_and_is_written_once),
		T(test_a_snapshot_cut_off_anywhere_is_taken_up_again),
		T(test_chunks_of_another_attempt_give_way),
		T(test_pruning_leaves_a_registry_that_goes_on),
	};

	hook_sqlite();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
