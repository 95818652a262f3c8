/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots in a directory: which one is taken, what is deleted for it, and where the directory
 * ends. */
#include "feed_snapshot_fixture.h"

static bool there(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fx.dir, name);
	return access(path, F_OK) == 0;
}

static bool tail_there(uint64_t sequence)
{
	char name[PL_FEED_NAME_SIZE];

	pl_feed_name(sequence, name);
	return there(name);
}

static const char *chunk_path(uint64_t sequence, uint32_t idx)
{
	static char path[128];
	char name[PL_FEED_CHUNK_NAME_SIZE];

	pl_feed_chunk_name(sequence, idx, name);
	snprintf(path, sizeof(path), "%s/%s", fx.dir, name);
	return path;
}

static const char *tail_path(uint64_t sequence)
{
	static char path[128];
	char name[PL_FEED_NAME_SIZE];

	pl_feed_name(sequence, name);
	snprintf(path, sizeof(path), "%s/%s", fx.dir, name);
	return path;
}

static void put_tail(uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++) {
		struct pl_feed_segment seg;
		const uint8_t *data;
		size_t size;

		pl_feed_writer_begin(fx.writer);
		assert_int_equal(pl_feed_writer_add(fx.writer, fx.pos.sequence + 1, facts_primary,
						    PL_FEED_PUT),
				 0);
		assert_int_equal(pl_feed_writer_seal(fx.writer, &fx.pos, 1000 + fx.pos.sequence,
						     fx.seckey, &seg, &data, &size),
				 0);
		assert_int_equal(
			pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)), 0);
		pl_feed_advance(&fx.pos, &seg);
	}
}

/** Put chunks 0 .. cnt - 1 of the snapshot of here. */
static void put_chunks(uint32_t cnt)
{
	struct pl_feed_chunk_pos pos = {.snapshot = snapshot_here()};

	for (uint32_t i = 0; i < cnt; i++) {
		struct pl_feed_segment seg;
		const uint8_t *data;
		size_t size;

		assert_int_equal(seal_chunk(&pos, &seg, &data, &size), 0);
		assert_int_equal(
			pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)), 0);
		pl_feed_chunk_advance(&pos, &seg);
	}
	assert_int_equal(pl_feed_chunk_complete(&pos), cnt == CHUNK_CNT);
}

static uint64_t newest(void)
{
	struct pl_feed_snapshot found;
	int rc = pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found);

	assert_true(rc == 0 || rc == -ENOENT);
	return rc == 0 ? found.covers.sequence : 0;
}

struct applied {
	uint64_t record_cnt;
	uint64_t id;
};

static int apply(void *ctx, const struct pl_feed_segment *seg)
{
	struct applied *a = ctx;

	for (uint32_t i = 0; i < seg->header.record_cnt; i++) {
		assert_int_equal(seg->records[i].cert_id, a->id + 10);
		a->id += 10;
	}
	a->record_cnt += seg->header.record_cnt;
	return 0;
}

static enum pl_feed_error read_it(const struct pl_feed_snapshot *snapshot, struct applied *a)
{
	memset(a, 0, sizeof(*a));
	return pl_feed_store_snapshot_read(fx.store, snapshot, apply, a, &fx.report);
}

/* ---- in the directory ---- */

static void test_only_a_complete_snapshot_is_found_and_the_newest(void **state)
{
	struct pl_feed_snapshot found;
	struct applied a;

	(void)state;
	assert_int_equal(newest(), 0);
	put_tail(2);
	put_chunks(CHUNK_CNT);
	assert_int_equal(newest(), 2);
	put_tail(3);
	put_chunks(CHUNK_CNT - 1); /* of 5: the last is not there */
	assert_int_equal(newest(), 2);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 2, UINT64_MAX, &found), -ENOENT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, 2, &found), -ENOENT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 1, 3, &found), 0);
	assert_int_equal(found.record_cnt, CHUNK_CNT * PER_CHUNK);
	assert_int_equal(read_it(&found, &a), PL_FEED_OK);
	assert_int_equal(a.record_cnt, found.record_cnt);
	assert_int_equal(fx.report.segment_cnt, CHUNK_CNT);
	{ /* The tail goes on from it. */
		struct pl_feed_pos pos = found.covers;

		assert_int_equal(pl_feed_store_read(fx.store, &pos, NULL, NULL, &fx.report),
				 PL_FEED_OK);
		assert_memory_equal(&pos, &fx.pos, sizeof(pos));
	}
	/* A hole in the middle, or a chunk cut short: none either. */
	assert_int_equal(unlink(chunk_path(2, 1)), 0);
	assert_int_equal(newest(), 0);
}

static void test_a_chunk_cut_short_or_of_another_making_is_no_snapshot(void **state)
{
	struct pl_feed_snapshot found;
	struct applied a;
	uint8_t byte;
	int fd;

	(void)state;
	put_tail(1);
	put_chunks(CHUNK_CNT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found), 0);
	assert_int_equal(truncate(chunk_path(1, 2), PL_FEED_SEGMENT_SIZE(PER_CHUNK) - 1), 0);
	assert_int_equal(newest(), 0);
	assert_int_equal(read_it(&found, &a), PL_FEED_TRUNCATED);
	assert_string_equal(fx.report.name, "00000000000000000001.00002.plsnap");
	/* Whole by its size, and not by its signature: that shows in reading. Its second half becomes
	 * zeros, for the last byte of one is zero in every sixteenth signature anyway. */
	assert_int_equal(
		truncate(chunk_path(1, 2), PL_FEED_SEGMENT_SIZE(PER_CHUNK) - PL_FEED_SIG_SIZE / 2),
		0);
	assert_int_equal(truncate(chunk_path(1, 2), PL_FEED_SEGMENT_SIZE(PER_CHUNK)), 0);
	assert_int_equal(newest(), 1);
	assert_int_equal(read_it(&found, &a), PL_FEED_SIGNATURE);
	fd = open(chunk_path(1, 0), O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offsetof(struct pl_feed_header, covers)), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, offsetof(struct pl_feed_header, covers)), 1);
	close(fd);
	assert_int_equal(newest(), 0); /* its chunks are of two minds */
}

static void test_pruning_deletes_what_the_snapshot_stands_for_and_no_more(void **state)
{
	struct pl_feed_snapshot found;
	struct pl_feed_pruned pruned;
	struct pl_feed_pos pos;

	(void)state;
	put_tail(2);
	put_chunks(CHUNK_CNT);
	put_tail(3);
	put_chunks(CHUNK_CNT);
	put_tail(2);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found), 0);
	assert_int_equal(found.covers.sequence, 5);
	assert_int_equal(pl_feed_store_prune(fx.store, &found, &pruned, fx.error, sizeof(fx.error)),
			 0);
	assert_int_equal(pruned.segment_cnt, 4);
	assert_int_equal(pruned.chunk_cnt, CHUNK_CNT);
	assert_int_equal(pruned.size,
			 4 * PL_FEED_SEGMENT_SIZE(1) + CHUNK_CNT * PL_FEED_SEGMENT_SIZE(PER_CHUNK));
	for (uint64_t sequence = 1; sequence <= 7; sequence++)
		assert_int_equal(tail_there(sequence), sequence >= 5);
	assert_int_equal(newest(), 5);
	pos = found.covers;
	assert_int_equal(pl_feed_store_read(fx.store, &pos, NULL, NULL, &fx.report), PL_FEED_OK);
	assert_int_equal(pos.sequence, 7);
	/* Again: nothing is left to do. */
	assert_int_equal(pl_feed_store_prune(fx.store, &found, &pruned, fx.error, sizeof(fx.error)),
			 0);
	assert_int_equal(pruned.segment_cnt + pruned.chunk_cnt + pruned.size, 0);
}

static void test_nothing_is_pruned_for_an_incomplete_snapshot(void **state)
{
	struct pl_feed_snapshot found;
	struct pl_feed_pruned pruned;

	(void)state;
	put_tail(3);
	put_chunks(CHUNK_CNT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found), 0);
	assert_int_equal(unlink(chunk_path(3, 1)), 0);
	assert_int_equal(pl_feed_store_prune(fx.store, &found, &pruned, fx.error, sizeof(fx.error)),
			 -ENOENT);
	assert_non_null(strstr(fx.error, "nothing was deleted"));
	for (uint64_t sequence = 1; sequence <= 3; sequence++)
		assert_true(tail_there(sequence));
}

/* Whoever dies while pruning leaves a tail that has lost its beginning only. */
static void test_death_while_pruning_leaves_no_hole(void **state)
{
	struct pl_feed_snapshot found;

	(void)state;
	put_tail(6);
	put_chunks(CHUNK_CNT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found), 0);
	for (uint32_t die_at = 1; die_at <= 3; die_at++) {
		struct pl_feed_pruned pruned;
		bool seen = false;
		pid_t pid = fork();

		if (pid == 0) {
			hook.point = 0;
			hook.die_at = 2; /* one is deleted, then death */
			_exit(pl_feed_store_prune(fx.store, &found, &pruned, fx.error,
						  sizeof(fx.error)) == 0);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		for (uint64_t sequence = 1; sequence <= 6; sequence++) {
			assert_true(tail_there(sequence) || !seen);
			seen |= tail_there(sequence);
		}
		assert_false(tail_there(die_at));
		assert_true(tail_there(die_at + 1));
	}
}

static void test_settling_drops_a_chunk_that_was_cut_off(void **state)
{
	struct pl_feed_chunk_pos pos;
	struct pl_feed_segment seg;
	const uint8_t *data;
	bool adopted;
	size_t size;
	pid_t pid;

	(void)state;
	put_tail(1);
	pos = (struct pl_feed_chunk_pos){.snapshot = snapshot_here()};
	assert_int_equal(seal_chunk(&pos, &seg, &data, &size), 0);
	pid = fork();
	if (pid == 0) {
		hook.point = 0;
		hook.die_at = 4; /* before its rename */
		_exit(pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)) == 0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(there(".00000000000000000001.00000.plsnap.tmp"));
	assert_int_equal(
		pl_feed_store_settle(fx.store, &fx.pos, &adopted, fx.error, sizeof(fx.error)), 0);
	assert_false(adopted);
	assert_false(there(".00000000000000000001.00000.plsnap.tmp"));
	assert_int_equal(pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)), 0);
	assert_int_equal(pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)),
			 -EEXIST);
}

/* ---- where it ends ---- */

static enum pl_feed_error end(struct pl_feed_pos *pos)
{
	*pos = (struct pl_feed_pos){.stream_id = STREAM};
	return pl_feed_store_end(fx.store, pos, &fx.report);
}

static void test_the_end_is_found_from_names_and_the_last_segment(void **state)
{
	struct pl_feed_pos pos, covers;

	(void)state;
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_int_equal(pos.sequence, 0);
	assert_int_equal(pos.stream_id, STREAM);
	put_tail(4);
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_memory_equal(&pos, &fx.pos, sizeof(pos));
	covers = fx.pos;
	put_chunks(CHUNK_CNT);
	put_tail(2);
	for (uint64_t sequence = 1; sequence <= 4; sequence++)
		assert_int_equal(unlink(tail_path(sequence)), 0);
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_memory_equal(&pos, &fx.pos, sizeof(pos));
	/* A hole: what is beyond it is not to be had. */
	assert_int_equal(unlink(tail_path(5)), 0);
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_memory_equal(&pos, &covers, sizeof(pos));
}

static void test_a_torn_end_is_told_and_can_be_set_aside(void **state)
{
	struct pl_feed_pos pos, third;

	(void)state;
	put_tail(3);
	third = fx.pos;
	put_tail(1);
	assert_int_equal(truncate(tail_path(4), 100), 0);
	assert_int_equal(end(&pos), PL_FEED_TRUNCATED);
	assert_memory_equal(&pos, &third, sizeof(pos));
	assert_string_equal(fx.report.name, "00000000000000000004.plseg");
	assert_int_equal(
		pl_feed_store_set_aside(fx.store, fx.report.name, fx.error, sizeof(fx.error)), 0);
	assert_false(tail_there(4));
	assert_true(there("00000000000000000004.plseg.bad"));
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_memory_equal(&pos, &third, sizeof(pos));
	fx.pos = third;
	put_tail(1); /* its place can be filled again */
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_int_equal(pos.sequence, 4);
	assert_int_equal(pl_feed_store_set_aside(fx.store, "../passwd", fx.error, sizeof(fx.error)),
			 -EINVAL);
	hook.fsyncs = 0;
	hook.fsync_at = 1;
	assert_int_equal(pl_feed_store_set_aside(fx.store, "00000000000000000004.plseg", fx.error,
						 sizeof(fx.error)),
			 -EIO);
	assert_int_equal(pl_feed_store_set_aside(fx.store, "00000000000000000003.plseg", fx.error,
						 sizeof(fx.error)),
			 -EIO); /* nothing more is written */
	assert_true(tail_there(3));
}

static void test_bytes_are_handed_out_as_they_are(void **state)
{
	const uint8_t *data;
	struct pl_feed_segment seg;
	size_t size;

	(void)state;
	put_tail(2);
	put_chunks(CHUNK_CNT);
	assert_int_equal(pl_feed_store_get(fx.store, 2, PL_FEED_TAIL_IDX, &data, &size), 0);
	assert_int_equal(pl_feed_check(data, size, fx.pubkey, NULL, &seg), PL_FEED_OK);
	assert_int_equal(seg.header.sequence, 2);
	assert_int_equal(pl_feed_store_get(fx.store, 2, 1, &data, &size), 0);
	assert_int_equal(pl_feed_check(data, size, fx.pubkey, NULL, &seg), PL_FEED_OK);
	assert_int_equal(seg.header.chunk_idx, 1);
	assert_int_equal(pl_feed_store_get(fx.store, 3, PL_FEED_TAIL_IDX, &data, &size), -ENOENT);
	assert_int_equal(pl_feed_store_get(fx.store, 2, CHUNK_CNT, &data, &size), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_only_a_complete_snapshot_is_found_and_the_newest),
		T(test_a_chunk_cut_short_or_of_another_making_is_no_snapshot),
		T(test_pruning_deletes_what_the_snapshot_stands_for_and_no_more),
		T(test_nothing_is_pruned_for_an_incomplete_snapshot),
		T(test_death_while_pruning_leaves_no_hole),
		T(test_settling_drops_a_chunk_that_was_cut_off),
		T(test_the_end_is_found_from_names_and_the_last_segment),
		T(test_a_torn_end_is_told_and_can_be_set_aside),
		T(test_bytes_are_handed_out_as_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
