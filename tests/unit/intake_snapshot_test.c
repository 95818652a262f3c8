/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots on their way in, by submit and from a watched directory; and that directory with what people
 * leave in such places.
 */
#include <stddef.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "intake/pl_intake_dir.h"
#include "intake/pl_intake_pvt.h"
#include "intake_fixture.h"

#define CHUNKS 3u

static struct pl_intake_dir *dir;
static char dir_path[96];

static int set_up_dir(void **state)
{
	int rc = set_up(state);

	snprintf(dir_path, sizeof(dir_path), "%s/incoming", fx.dir);
	PL_CHECK(mkdir(dir_path, 0700) == 0);
	dir = NULL;
	return rc | pl_intake_dir_open(fx.in, dir_path, &dir, fx.error, sizeof(fx.error));
}

static int tear_down_dir(void **state)
{
	pl_intake_dir_close(dir);
	return tear_down(state);
}

/* The snapshot after a segment, in three chunks of two records. */
static void make_snapshot(uint64_t sequence, struct segment chunks[CHUNKS])
{
	struct pl_feed_chunk_pos pos = {.snapshot = {.covers = fx.ends[sequence],
						     .chunk_cnt = CHUNKS,
						     .record_cnt = 2ull * CHUNKS}};

	for (uint32_t i = 0; i < CHUNKS; i++) {
		struct pl_feed_segment seg;
		const uint8_t *data;

		pl_feed_writer_begin(fx.writer);
		for (uint32_t k = 0; k < 2; k++)
			PL_CHECK(pl_feed_writer_add(fx.writer, 1 + 2 * i + k, 1, PL_FEED_PUT) == 0);
		PL_CHECK(pl_feed_writer_seal_chunk(fx.writer, &pos, fx.seckey, &seg, &data,
						   &chunks[i].size) == 0);
		chunks[i].data = aligned_alloc(64, (chunks[i].size + 63) / 64 * 64);
		memcpy(chunks[i].data, data, chunks[i].size);
		pl_feed_chunk_advance(&pos, &seg);
	}
}

static void free_snapshot(struct segment chunks[CHUNKS])
{
	for (uint32_t i = 0; i < CHUNKS; i++)
		free(chunks[i].data);
}

static enum pl_intake_outcome submit_chunk(const struct segment *chunk)
{
	return submit_bytes(chunk->data, chunk->size);
}

static void test_a_snapshot_takes_us_over_a_gap(void **state)
{
	struct segment chunks[CHUNKS];
	uint64_t told;

	(void)state;
	make_snapshot(5, chunks);
	assert_int_equal(submit(1), PL_INTAKE_STORED);
	assert_int_equal(submit_chunk(&chunks[0]), PL_INTAKE_STORED);
	/* The authority has a segment 5, then: something is lacking until the snapshot is whole. */
	assert_true(fx.status.behind);
	assert_int_equal(fx.status.pos.sequence, 1);
	assert_int_equal(submit_chunk(&chunks[1]), PL_INTAKE_STORED);
	assert_int_equal(submit(6), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_GAP);
	(void)!read(pl_intake_fd(fx.in), &told, sizeof(told));
	assert_int_equal(submit_chunk(&chunks[2]), PL_INTAKE_STORED);
	assert_memory_equal(&fx.answer.pos, &fx.ends[5], sizeof(fx.ends[5]));
	assert_int_equal(read(pl_intake_fd(fx.in), &told, sizeof(told)), sizeof(told));
	assert_true(fx.status.behind); /* for 6 was seen */
	/* The segment that it stands for ends the chain, though its file is not here. */
	assert_int_equal(submit(5), PL_INTAKE_HELD);
	assert_int_equal(submit(6), PL_INTAKE_STORED);
	assert_false(fx.status.behind);
	/* Stored, and not in a table yet: who is told of that waits for it. */
	assert_int_equal(fx.status.lacked_to, 6);
	assert_int_equal(fx.status.snapshot, 5);
	/* What it stands for, and its own chunks again. */
	assert_int_equal(submit(3), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_OLD);
	assert_int_equal(submit_chunk(&chunks[1]), PL_INTAKE_HELD);
	assert_int_equal(reopen_intake(), 0);
	pl_intake_status_get(fx.in, &fx.status);
	assert_int_equal(fx.status.pos.sequence, 6);
	assert_int_equal(fx.status.snapshot, 5);
	free_snapshot(chunks);
	pl_intake_dir_close(dir);
	dir = NULL;
}

static void *submit_last(void *chunk)
{
	(void)submit_chunk(chunk);
	return NULL;
}

/* Who reads the store goes by the status when it is woken, and is not woken a second time. */
static void test_the_status_is_there_before_the_reader_is_woken(void **state)
{
	struct pollfd told = {.fd = pl_intake_fd(fx.in), .events = POLLIN};
	struct segment chunks[CHUNKS];
	pthread_t thread;

	(void)state;
	make_snapshot(2, chunks);
	assert_int_equal(submit_chunk(&chunks[0]), PL_INTAKE_STORED);
	assert_int_equal(submit_chunk(&chunks[1]), PL_INTAKE_STORED);
	/* While we hold the status it cannot be written: then nobody may be told. */
	pthread_mutex_lock(&fx.in->status_lock);
	assert_int_equal(pthread_create(&thread, NULL, submit_last, &chunks[2]), 0);
	assert_int_equal(poll(&told, 1, 300), 0);
	assert_int_equal(fx.in->status.snapshot, 0);
	pthread_mutex_unlock(&fx.in->status_lock);
	pthread_join(thread, NULL);
	assert_int_equal(poll(&told, 1, 0), 1);
	assert_int_equal(fx.status.snapshot, 2);
	free_snapshot(chunks);
}

static void test_chunks_come_in_order_and_from_the_first(void **state)
{
	struct segment chunks[CHUNKS], later[CHUNKS];

	(void)state;
	make_snapshot(5, chunks);
	make_snapshot(7, later);
	assert_int_equal(submit_chunk(&chunks[1]), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_GAP);
	assert_non_null(strstr(fx.answer.text, "begin with chunk 0"));
	assert_int_equal(submit_chunk(&chunks[0]), PL_INTAKE_STORED);
	assert_int_equal(submit_chunk(&chunks[2]), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_GAP);
	assert_int_equal(submit_chunk(&chunks[0]), PL_INTAKE_HELD);
	/* Another one begins: what there is of the first is given up. */
	assert_int_equal(submit_chunk(&later[0]), PL_INTAKE_STORED);
	assert_int_equal(submit_chunk(&chunks[1]), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_GAP);
	assert_int_equal(submit_chunk(&later[1]), PL_INTAKE_STORED);
	/* A new process knows nothing of it but the files, which are held when they come again. */
	pl_intake_dir_close(dir);
	dir = NULL;
	assert_int_equal(reopen_intake(), 0);
	assert_int_equal(submit_chunk(&later[0]), PL_INTAKE_HELD);
	assert_int_equal(submit_chunk(&later[1]), PL_INTAKE_HELD);
	assert_int_equal(submit_chunk(&later[2]), PL_INTAKE_STORED);
	assert_int_equal(fx.answer.pos.sequence, 7);
	free_snapshot(chunks);
	free_snapshot(later);
}

/* Chunks are no secret: who has kept some sends them again, by any way and at any moment. */
static void test_old_chunks_again_neither_stop_a_snapshot_nor_show_a_lack(void **state)
{
	struct segment chunks[CHUNKS], older[CHUNKS];

	(void)state;
	make_snapshot(2, older);
	make_snapshot(5, chunks);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(submit(i), PL_INTAKE_STORED);
	/* A chunk of before our segment says nothing of what follows it. */
	assert_int_equal(submit_chunk(&older[1]), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_GAP);
	assert_false(fx.status.behind);
	assert_int_equal(submit_chunk(&chunks[0]), PL_INTAKE_STORED);
	assert_int_equal(submit_chunk(&chunks[1]), PL_INTAKE_STORED);
	assert_int_equal(submit_chunk(&older[0]), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_GAP);
	assert_non_null(strstr(fx.answer.text, "a newer one is coming in"));
	assert_int_equal(submit_chunk(&chunks[0]), PL_INTAKE_HELD);
	assert_int_equal(submit_chunk(&chunks[2]), PL_INTAKE_STORED);
	assert_int_equal(fx.status.snapshot, 5);
	assert_int_equal(fx.status.pos.sequence, 5);
	assert_false(fx.status.behind);
	free_snapshot(older);
	free_snapshot(chunks);
}

static void test_a_spoiled_chunk_is_mended_when_it_comes_again(void **state)
{
	struct segment chunks[CHUNKS];
	char path[160];

	(void)state;
	make_snapshot(5, chunks);
	for (uint32_t i = 0; i < CHUNKS; i++)
		assert_int_equal(submit_chunk(&chunks[i]), PL_INTAKE_STORED);
	snprintf(path, sizeof(path), "%s/" PL_FEED_CHUNK_NAME_FORMAT, fx.store, UINT64_C(5), 1u);
	chunks[1].data[130] ^= 1;
	write_file(path, chunks[1].data, chunks[1].size);
	chunks[1].data[130] ^= 1;
	assert_int_equal(submit_chunk(&chunks[1]), PL_INTAKE_STORED);
	assert_int_equal(submit_chunk(&chunks[1]), PL_INTAKE_HELD);
	assert_false(fx.status.behind);
	free_snapshot(chunks);
}

/* A newer one that nobody brings any more gives way. */
static void test_a_snapshot_that_is_not_brought_to_its_end_gives_way(void **state)
{
	struct segment chunks[CHUNKS], older[CHUNKS];

	(void)state;
	make_snapshot(2, older);
	make_snapshot(5, chunks);
	assert_int_equal(submit_chunk(&chunks[0]), PL_INTAKE_STORED);
	fx.in->chunk_ns -= PL_INTAKE_CHUNK_WAIT_NS;
	for (uint32_t i = 0; i < CHUNKS; i++)
		assert_int_equal(submit_chunk(&older[i]), PL_INTAKE_STORED);
	assert_int_equal(fx.status.snapshot, 2);
	assert_true(fx.status.behind); /* for there is a segment 5 */
	free_snapshot(older);
	free_snapshot(chunks);
}

static void test_a_snapshot_of_another_history_is_a_fork(void **state)
{
	struct segment chunks[CHUNKS], forged[CHUNKS];
	struct pl_feed_pos kept = fx.ends[2];

	(void)state;
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(submit(i), PL_INTAKE_STORED);
	fx.ends[2].hash[0] ^= 1;
	make_snapshot(2, chunks);
	fx.ends[2] = kept;
	assert_int_equal(submit_chunk(&chunks[0]), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_FORK);
	make_snapshot(2, forged);
	forged[0].data[forged[0].size - 1] ^= 1;
	assert_int_equal(submit_chunk(&forged[0]), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_SIGNATURE);
	forged[0].data[forged[0].size - 1] ^= 1;
	/* The right one changes nothing but what a later start reads. */
	for (uint32_t i = 0; i < CHUNKS; i++)
		assert_int_equal(submit_chunk(&forged[i]), PL_INTAKE_STORED);
	assert_int_equal(fx.answer.pos.sequence, 3);
	assert_int_equal(fx.status.snapshot, 2);
	free_snapshot(chunks);
	free_snapshot(forged);
}

static const char *in_dir(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir_path, name);
	return path;
}

static void leave(uint64_t sequence, size_t size)
{
	char name[PL_FEED_NAME_SIZE];

	pl_feed_name(sequence, name);
	write_file(in_dir(name), fx.segments[sequence - 1].data, size);
}

static void leave_whole(uint64_t sequence)
{
	leave(sequence, fx.segments[sequence - 1].size);
}

/* Until it wants to wait; the status is then of all that is there. */
static const struct pl_intake_dir_status *work(void)
{
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t wait_ms = pl_intake_dir_work(dir);

		if (wait_ms != 0 && wait_ms != PL_INTAKE_DIR_COPY_MS)
			break;
	}
	pl_intake_status_get(fx.in, &fx.status);
	return pl_intake_dir_status_get(dir);
}

static void test_what_is_left_in_the_directory_is_taken(void **state)
{
	const struct pl_intake_dir_status *s;
	struct pollfd p = {.fd = pl_intake_dir_fd(dir), .events = POLLIN};

	(void)state;
	assert_false(pl_intake_dir_status_get(dir)->idle); /* nobody has looked yet */
	s = work();
	assert_true(s->idle && !s->stuck);
	leave_whole(1);
	leave_whole(2);
	assert_int_equal(poll(&p, 1, 0), 1);
	s = work();
	assert_true(s->idle && !s->stuck);
	assert_int_equal(fx.status.pos.sequence, 2);
	assert_int_equal(fx.status.stored[PL_INTAKE_DIR], 2);
	/* It is as it was left. */
	assert_int_equal(access(in_dir("00000000000000000001.plseg"), F_OK), 0);
	/* Another source may be faster. */
	leave_whole(3);
	assert_int_equal(submit(3), PL_INTAKE_STORED);
	leave_whole(4);
	work();
	assert_int_equal(fx.status.pos.sequence, 4);
}

static void test_a_bad_file_is_tried_once_until_it_changes(void **state)
{
	const struct pl_intake_dir_status *s;

	(void)state;
	leave_whole(1);
	leave(2, 100);
	for (uint32_t i = 0; i < 5; i++)
		s = work();
	assert_true(s->stuck && s->idle);
	assert_non_null(strstr(s->text, "00000000000000000002.plseg"));
	assert_non_null(strstr(s->text, pl_feed_error_text(PL_FEED_TRUNCATED)));
	assert_int_equal(fx.status.refused[PL_INTAKE_DIR][PL_FEED_TRUNCATED], 1);
	assert_int_equal(fx.status.pos.sequence, 1);
	leave_whole(2);
	s = work();
	assert_false(s->stuck);
	assert_string_equal(s->text, "");
	assert_int_equal(fx.status.pos.sequence, 2);
	/* A gap is told, and ends by itself. */
	leave_whole(4);
	s = work();
	assert_true(s->stuck);
	assert_non_null(strstr(s->text, "3 is not there"));
	leave_whole(3);
	s = work();
	assert_false(s->stuck);
	assert_int_equal(fx.status.pos.sequence, 4);
}

static void test_a_file_that_is_being_copied_is_waited_for(void **state)
{
	(void)state;
	leave(1, 100);
	assert_int_equal(pl_intake_dir_work(dir), PL_INTAKE_DIR_COPY_MS);
	assert_false(pl_intake_dir_status_get(dir)->stuck);
	leave(1, 150);
	assert_int_equal(pl_intake_dir_work(dir), PL_INTAKE_DIR_COPY_MS);
	leave_whole(1);
	work();
	assert_int_equal(fx.status.pos.sequence, 1);
	assert_int_equal(fx.status.refused[PL_INTAKE_DIR][PL_FEED_TRUNCATED], 0);
}

static void test_what_is_no_file_is_not_taken_for_one(void **state)
{
	const struct pl_intake_dir_status *s;

	(void)state;
	leave_whole(2);
	assert_int_equal(
		symlink("00000000000000000002.plseg", in_dir("00000000000000000001.plseg")), 0);
	s = work();
	assert_true(s->stuck);
	assert_int_equal(unlink(in_dir("00000000000000000001.plseg")), 0);
	assert_int_equal(mkfifo(in_dir("00000000000000000001.plseg"), 0600), 0);
	s = work(); /* and does not hang */
	assert_true(s->stuck);
	assert_int_equal(unlink(in_dir("00000000000000000001.plseg")), 0);
	leave_whole(1);
	s = work();
	assert_false(s->stuck);
	assert_int_equal(fx.status.pos.sequence, 2);
}

static void test_with_nothing_the_directorys_snapshot_comes_first(void **state)
{
	struct segment chunks[CHUNKS];

	(void)state;
	make_snapshot(4, chunks);
	for (uint32_t i = 0; i < CHUNKS; i++) {
		char name[PL_FEED_CHUNK_NAME_SIZE];

		pl_feed_chunk_name(4, i, name);
		write_file(in_dir(name), chunks[i].data, chunks[i].size);
	}
	for (uint64_t i = 1; i <= 6; i++)
		leave_whole(i);
	work();
	assert_int_equal(fx.status.pos.sequence, 6);
	assert_int_equal(fx.status.stored[PL_INTAKE_DIR], CHUNKS + 2);
	assert_false(is_stored(1));
	free_snapshot(chunks);
}

static void test_a_directory_that_is_none_says_so(void **state)
{
	struct pl_intake_dir *none = NULL;

	(void)state;
	assert_int_equal(
		pl_intake_dir_open(fx.in, in_dir("nowhere"), &none, fx.error, sizeof(fx.error)),
		-ENOENT);
	assert_non_null(strstr(fx.error, "nowhere"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_dir, tear_down_dir)
		T(test_a_snapshot_takes_us_over_a_gap),
		T(test_the_status_is_there_before_the_reader_is_woken),
		T(test_chunks_come_in_order_and_from_the_first),
		T(test_old_chunks_again_neither_stop_a_snapshot_nor_show_a_lack),
		T(test_a_spoiled_chunk_is_mended_when_it_comes_again),
		T(test_a_snapshot_that_is_not_brought_to_its_end_gives_way),
		T(test_a_snapshot_of_another_history_is_a_fork),
		T(test_what_is_left_in_the_directory_is_taken),
		T(test_a_bad_file_is_tried_once_until_it_changes),
		T(test_a_file_that_is_being_copied_is_waited_for),
		T(test_what_is_no_file_is_not_taken_for_one),
		T(test_with_nothing_the_directorys_snapshot_comes_first),
		T(test_a_directory_that_is_none_says_so),
	};

	return cmocka_run_group_tests_name("intake_snapshot", tests, NULL, NULL);
}
