/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The segment directory: reading, refusing, and what is left after a death or a failing disk at
 * any point of a put. The store's system calls that change the disk go through hooks.
 */
#include "feed_hooks.h" /* first: its names are macros of cmocka */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define STREAM    42u
#define POINT_MAX 16u

struct fixture {
	char dir[64];
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint8_t seckey[PL_FEED_SECKEY_SIZE];
	struct pl_feed_writer *writer;
	struct pl_feed_store *store;
	struct pl_feed_pos pos; /* the chain's end, as the writer knows it */
	char error[256];
};

static struct fixture fx;

static int open_store(bool for_write, struct pl_feed_store **out)
{
	struct pl_feed_store_conf conf = {.dir_path = fx.dir, .write = for_write};

	memcpy(conf.pubkey, fx.pubkey, sizeof(conf.pubkey));
	return pl_feed_store_open(&conf, out, fx.error, sizeof(fx.error));
}

static void reopen(void)
{
	pl_feed_store_close(fx.store);
	fx.store = NULL;
	assert_int_equal(open_store(true, &fx.store), 0);
}

static int set_up(void **state)
{
	(void)state;
	PL_CHECK(sodium_init() >= 0);
	memset(&fx, 0, sizeof(fx));
	memset(&hook, 0, sizeof(hook));
	crypto_sign_keypair(fx.pubkey, fx.seckey);
	snprintf(fx.dir, sizeof(fx.dir), "%s/passline-feed-XXXXXX", fast_dir());
	PL_CHECK(mkdtemp(fx.dir) != NULL);
	fx.pos.stream_id = STREAM;
	return pl_feed_writer_create(&fx.writer) | open_store(true, &fx.store);
}

static int tear_down(void **state)
{
	DIR *dir = opendir(fx.dir);
	struct dirent *entry;

	(void)state;
	pl_feed_store_close(fx.store);
	pl_feed_writer_destroy(fx.writer);
	PL_CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		if (unlinkat(dirfd(dir), entry->d_name, 0) != 0)
			(void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	closedir(dir);
	return rmdir(fx.dir);
}

static const char *path_of(uint64_t sequence)
{
	static char paths[2][128]; /* two, for rename() */
	static uint32_t calls;
	char *path = paths[calls++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/" PL_FEED_NAME_FORMAT, fx.dir, sequence);
	return path;
}

/** Make the next segment; put it; move the writer's position if that succeeded. */
static int put_next(uint32_t record_cnt)
{
	struct pl_feed_segment seg;
	const uint8_t *data;
	size_t size;
	int rc;

	pl_feed_writer_begin(fx.writer);
	for (uint32_t i = 0; i < record_cnt; i++)
		assert_int_equal(
			pl_feed_writer_add(fx.writer, fx.pos.sequence * 1000 + i + 1, 1, 1), 0);
	assert_int_equal(pl_feed_writer_seal(fx.writer, &fx.pos, 1000 + fx.pos.sequence, fx.seckey,
					     &seg, &data, &size),
			 0);
	rc = pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error));
	if (rc == 0)
		pl_feed_advance(&fx.pos, &seg);
	return rc;
}

static void put_cnt(uint32_t segment_cnt)
{
	for (uint32_t i = 0; i < segment_cnt; i++)
		assert_int_equal(put_next(3), 0);
}

struct applied {
	uint64_t sequence;
	uint64_t record_cnt;
	uint64_t refuse; /* the sequence that is not to be applied */
};

static int apply(void *ctx, const struct pl_feed_segment *seg)
{
	struct applied *a = ctx;

	if (seg->header.sequence == a->refuse)
		return -1;
	assert_int_equal(seg->header.sequence, a->sequence + 1);
	a->sequence++;
	for (uint32_t i = 0; i < seg->header.record_cnt; i++)
		assert_int_equal(seg->records[i].cert_id, (a->sequence - 1) * 1000 + i + 1);
	a->record_cnt += seg->header.record_cnt;
	return 0;
}

static struct pl_feed_report report;

static enum pl_feed_error read_from(struct pl_feed_pos *pos, struct applied *a)
{
	return pl_feed_store_read(fx.store, pos, apply, a, &report);
}

static enum pl_feed_error read_all(struct applied *a)
{
	struct pl_feed_pos pos = {.stream_id = STREAM};

	memset(a, 0, sizeof(*a));
	return read_from(&pos, a);
}

static void test_segments_are_read_in_order_and_followed(void **state)
{
	struct pl_feed_pos pos = {0};
	struct applied a = {0};

	(void)state;
	assert_int_equal(read_from(&pos, &a), PL_FEED_OK); /* an empty directory */
	assert_int_equal(report.segment_cnt, 0);
	put_cnt(3);
	assert_int_equal(read_from(&pos, &a), PL_FEED_OK);
	assert_int_equal(a.sequence, 3);
	assert_int_equal(a.record_cnt, 9);
	assert_int_equal(report.segment_cnt, 3);
	assert_int_equal(report.record_cnt, 9);
	assert_string_equal(report.name, "");
	assert_int_equal(pos.stream_id, STREAM);
	assert_int_equal(read_from(&pos, &a), PL_FEED_OK);
	assert_int_equal(report.segment_cnt, 0);
	assert_int_equal(put_next(0), 0);
	put_cnt(1);
	assert_int_equal(read_from(&pos, &a), PL_FEED_OK);
	assert_int_equal(report.segment_cnt, 2);
	assert_memory_equal(&pos, &fx.pos, sizeof(pos));
}

static void test_a_missing_segment_is_a_gap_that_names_it(void **state)
{
	struct applied a;

	(void)state;
	put_cnt(4);
	assert_int_equal(unlink(path_of(2)), 0);
	assert_int_equal(unlink(path_of(3)), 0);
	assert_int_equal(read_all(&a), PL_FEED_GAP);
	assert_int_equal(a.sequence, 1);
	assert_string_equal(report.name, "00000000000000000004.plseg");
	assert_non_null(strstr(report.text, "2 is not there"));
}

/* Who knows how far the segments go is not made to list the directory there, and before it is. */
static void test_the_end_is_where_the_writer_says(void **state)
{
	struct pl_feed_pos pos = {.stream_id = STREAM};
	struct applied a = {0};

	(void)state;
	put_cnt(4);
	assert_int_equal(unlink(path_of(3)), 0);
	assert_int_equal(pl_feed_store_read_to(fx.store, &pos, 2, apply, &a, &report), PL_FEED_OK);
	assert_int_equal(a.sequence, 2);
	assert_int_equal(pl_feed_store_read_to(fx.store, &pos, 1, apply, &a, &report), PL_FEED_OK);
	assert_int_equal(pl_feed_store_read_to(fx.store, &pos, 3, apply, &a, &report), PL_FEED_GAP);
	assert_non_null(strstr(report.text, "3 is not there"));
}

static void test_renamed_segments_are_refused(void **state)
{
	struct applied a;

	(void)state;
	put_cnt(3);
	assert_int_equal(rename(path_of(3), path_of(2)), 0);
	assert_int_equal(read_all(&a), PL_FEED_GAP);
	assert_int_equal(a.sequence, 1);
	assert_string_equal(report.name, "00000000000000000002.plseg");
	assert_non_null(strstr(report.text, "its header says 3"));
	assert_int_equal(rename(path_of(1), path_of(2)), 0);
	assert_int_equal(read_all(&a), PL_FEED_GAP);
	assert_int_equal(rename(path_of(2), path_of(1)), 0);
	assert_int_equal(link(path_of(1), path_of(2)), 0);
	assert_int_equal(read_all(&a), PL_FEED_OLD);
	assert_int_equal(a.sequence, 1);
}

static void test_a_fork_is_refused_and_changes_nothing(void **state)
{
	struct pl_feed_pos after_one;
	struct pl_feed_pos pos = {.stream_id = STREAM};
	struct applied a = {0};

	(void)state;
	put_cnt(1);
	after_one = fx.pos;
	put_cnt(2);
	/* Another second segment, by the same authority: the third does not follow it. */
	assert_int_equal(unlink(path_of(2)), 0);
	fx.pos = after_one;
	assert_int_equal(put_next(1), 0);
	assert_int_equal(read_from(&pos, &a), PL_FEED_FORK);
	assert_int_equal(pos.sequence, 2);
	assert_int_equal(a.sequence, 2);
	assert_string_equal(report.name, "00000000000000000003.plseg");
	assert_int_equal(read_from(&pos, &a), PL_FEED_FORK);
	assert_int_equal(pos.sequence, 2);
}

static void test_a_segment_cut_short_is_refused_until_it_is_whole(void **state)
{
	struct pl_feed_pos pos = {.stream_id = STREAM};
	struct applied a = {0};
	uint8_t bytes[PL_FEED_SEGMENT_SIZE(3)];
	int fd;

	(void)state;
	put_cnt(2);
	fd = open(path_of(2), O_RDWR);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(read_from(&pos, &a), PL_FEED_TRUNCATED);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(read_from(&pos, &a), PL_FEED_TRUNCATED);
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	bytes[140] ^= 1;
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(read_from(&pos, &a), PL_FEED_SIGNATURE);
	bytes[140] ^= 1;
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(read_from(&pos, &a), PL_FEED_OK);
	assert_int_equal(a.sequence, 2);
	close(fd);
}

static void test_a_huge_file_is_refused_without_being_read(void **state)
{
	struct applied a;
	int fd;

	(void)state;
	fd = open(path_of(1), O_RDWR | O_CREAT, 0644);
	assert_int_equal(ftruncate(fd, 1LL << 40), 0); /* a hole: 1 TiB to read, none on disk */
	assert_int_equal(read_all(&a), PL_FEED_OVERSIZED);
	close(fd);
}

static void test_what_is_not_a_regular_file_is_refused_at_once(void **state)
{
	struct applied a;

	(void)state;
	put_cnt(1);
	assert_int_equal(mkfifo(path_of(2), 0644), 0); /* would hang an ordinary open */
	assert_int_equal(read_all(&a), PL_FEED_NOT_SEGMENT);
	assert_int_equal(a.sequence, 1);
	assert_int_equal(unlink(path_of(2)), 0);
	assert_int_equal(mkdir(path_of(2), 0755), 0);
	assert_int_equal(read_all(&a), PL_FEED_NOT_SEGMENT);
	assert_int_equal(rmdir(path_of(2)), 0);
	assert_int_equal(symlink("00000000000000000001.plseg", path_of(2)), 0);
	assert_int_equal(read_all(&a), PL_FEED_NOT_SEGMENT);
	assert_non_null(strstr(report.text, "link"));
}

static void test_other_names_are_not_looked_at(void **state)
{
	static const char *const names[] = {
		"README",
		"1.plseg",
		"00000000000000000002.plseg.tmp",
		".00000000000000000002.plseg.tmp",
		"99999999999999999999.plseg",
		"0000000000000000000a.plseg",
	};
	struct applied a;
	char path[256];

	(void)state;
	put_cnt(1);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", fx.dir, names[i]);
		close(open(path, O_CREAT | O_WRONLY, 0644));
	}
	assert_int_equal(read_all(&a), PL_FEED_OK);
	assert_int_equal(a.sequence, 1);
}

static void test_a_segment_that_cannot_be_applied_is_not_passed_over(void **state)
{
	struct pl_feed_pos pos = {.stream_id = STREAM};
	struct applied a = {.refuse = 2};

	(void)state;
	put_cnt(3);
	assert_int_equal(read_from(&pos, &a), PL_FEED_APPLY);
	assert_int_equal(pos.sequence, 1);
	assert_string_equal(report.name, "00000000000000000002.plseg");
	a.refuse = 0;
	assert_int_equal(read_from(&pos, &a), PL_FEED_OK);
	assert_int_equal(a.sequence, 3);
}

static void test_one_writer_at_a_time_and_any_number_of_readers(void **state)
{
	struct pl_feed_store *second = NULL;

	(void)state;
	assert_int_equal(open_store(true, &second), -EWOULDBLOCK);
	assert_non_null(strstr(fx.error, "another process"));
	assert_int_equal(open_store(false, &second), 0);
	pl_feed_store_close(second);
	pl_feed_store_close(fx.store);
	assert_int_equal(open_store(true, &fx.store), 0);
}

static void test_a_directory_that_is_not_there_is_named(void **state)
{
	struct pl_feed_store_conf conf = {.dir_path = "/nonexistent/feed"};
	struct pl_feed_store *s;

	(void)state;
	assert_int_equal(pl_feed_store_open(&conf, &s, fx.error, sizeof(fx.error)), -ENOENT);
	assert_non_null(strstr(fx.error, "/nonexistent/feed"));
}

static void test_a_stored_segment_is_never_replaced(void **state)
{
	struct pl_feed_pos start = {.stream_id = STREAM};
	struct applied a;

	(void)state;
	put_cnt(2);
	fx.pos = start;
	assert_int_equal(put_next(1), -EEXIST);
	assert_int_equal(read_all(&a), PL_FEED_OK);
	assert_int_equal(a.record_cnt, 6);
}

static uint32_t entry_cnt(void)
{
	DIR *dir = opendir(fx.dir);
	uint32_t cnt = 0;

	while (readdir(dir) != NULL)
		cnt++;
	closedir(dir);
	return cnt - 2; /* . and .. */
}

static void test_a_full_disk_stores_nothing_and_is_no_end(void **state)
{
	struct applied a;

	(void)state;
	put_cnt(1);
	hook.write_errno = ENOSPC;
	assert_int_equal(put_next(3), -ENOSPC);
	assert_int_equal(entry_cnt(), 1);
	hook.write_errno = 0;
	assert_int_equal(put_next(3), 0);
	assert_int_equal(read_all(&a), PL_FEED_OK);
	assert_int_equal(a.sequence, 2);
}

static void test_after_a_failed_fsync_nothing_more_is_written(void **state)
{
	(void)state;
	for (uint32_t at = 1; at <= 3; at++) {
		bool adopted;

		hook.fsyncs = 0;
		hook.fsync_at = at;
		assert_int_equal(put_next(3), -EIO);
		assert_int_equal(hook.fsyncs, at); /* not tried again */
		hook.point = 0;
		assert_int_equal(put_next(3), -EIO);
		assert_int_equal(hook.point, 0); /* not even begun */
		reopen();
		if (at == 3) /* renamed before it failed: stored after all, on a sound disk */
			assert_int_equal(entry_cnt(), 1);
		else
			assert_int_equal(entry_cnt(), 0);
		assert_int_equal(pl_feed_store_settle(fx.store, &fx.pos, &adopted, fx.error,
						      sizeof(fx.error)),
				 0);
		assert_false(adopted);
	}
}

/** Settle as the authority does on start, and read the chain. @return the last sequence. */
static uint64_t recover(void)
{
	struct pl_feed_pos pos = {.stream_id = STREAM};
	struct applied a = {0};
	bool adopted;

	reopen();
	assert_int_equal(read_from(&pos, &a), PL_FEED_OK);
	assert_int_equal(pl_feed_store_settle(fx.store, &pos, &adopted, fx.error, sizeof(fx.error)),
			 0);
	assert_int_equal(read_from(&pos, &a), PL_FEED_OK);
	assert_int_equal(report.segment_cnt, adopted ? 1 : 0);
	assert_int_equal(entry_cnt(), pos.sequence); /* no leavings */
	fx.pos = pos;
	return pos.sequence;
}

/** Run put_next() in a child that dies at a point. @return whether it came to its end. */
static bool put_in_child(uint32_t die_at)
{
	int status;
	pid_t pid;

	pl_feed_store_close(fx.store); /* the lock is the child's */
	fx.store = NULL;
	pid = fork();
	PL_CHECK(pid >= 0);
	if (pid == 0) {
		if (open_store(true, &fx.store) != 0)
			_exit(1);
		hook.point = 0;
		hook.die_at = die_at;
		_exit(put_next(3) == 0 ? 0 : 1);
	}
	PL_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == DIED);
	return WEXITSTATUS(status) == 0;
}

static void test_death_at_any_point_of_a_put_loses_and_tears_nothing(void **state)
{
	uint32_t die_at = 0;
	uint32_t kept = 0;
	bool done;

	(void)state;
	put_cnt(1);
	do {
		uint64_t before = fx.pos.sequence;
		uint64_t after;

		done = put_in_child(++die_at);
		after = recover();
		assert_true(after == before || after == before + 1);
		if (done)
			assert_int_equal(after, before + 1);
		kept += after != before;
		assert_int_equal(put_next(2), 0); /* and it goes on */
	} while (!done && die_at < POINT_MAX);
	assert_true(done);
	assert_int_equal(die_at, 6); /* write, fsync, fsync, rename, fsync */
	assert_int_equal(kept, 5);   /* all but the torn write: the file was whole */
}

/* A power failure may undo a rename whose directory was not synced. Readers may have seen the
 * segment, so the very same bytes must come back. */
static void test_an_undone_rename_is_done_again(void **state)
{
	char temp[TEMP_NAME_SIZE], temp_path[256];
	struct pl_feed_pos before;
	struct pl_feed_pos published;

	(void)state;
	put_cnt(2);
	before = fx.pos;
	assert_int_equal(put_next(3), 0);
	published = fx.pos;
	temp_name(strrchr(path_of(3), '/') + 1, TEMP_PUT, temp);
	snprintf(temp_path, sizeof(temp_path), "%s/%s", fx.dir, temp);
	for (uint32_t die_at = 1; die_at <= 8; die_at++) {
		pid_t pid;

		assert_int_equal(rename(path_of(3), temp_path), 0);
		/* Dying while settling must not lose it either. */
		pl_feed_store_close(fx.store);
		fx.store = NULL;
		pid = fork();
		if (pid == 0) {
			bool adopted;

			if (open_store(true, &fx.store) != 0)
				_exit(1);
			hook.point = 0;
			hook.die_at = die_at;
			_exit(pl_feed_store_settle(fx.store, &before, &adopted, fx.error,
						   sizeof(fx.error)) == 0
				      ? 0
				      : 1);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(recover(), 3);
		assert_memory_equal(&fx.pos, &published, sizeof(published));
	}
}

static void test_a_leftover_of_another_chain_is_deleted(void **state)
{
	char temp[TEMP_NAME_SIZE], temp_path[256];

	(void)state;
	put_cnt(3);
	temp_name(strrchr(path_of(3), '/') + 1, TEMP_PUT, temp);
	snprintf(temp_path, sizeof(temp_path), "%s/%s", fx.dir, temp);
	assert_int_equal(rename(path_of(3), temp_path), 0);
	fx.pos.sequence = 2; /* as if 2 had another hash than the leftover names */
	reopen();
	{
		struct pl_feed_pos other = fx.pos;
		bool adopted;

		other.hash[0] ^= 1;
		assert_int_equal(pl_feed_store_settle(fx.store, &other, &adopted, fx.error,
						      sizeof(fx.error)),
				 0);
		assert_false(adopted);
	}
	assert_int_equal(entry_cnt(), 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_segments_are_read_in_order_and_followed),
		T(test_a_missing_segment_is_a_gap_that_names_it),
		T(test_the_end_is_where_the_writer_says),
		T(test_renamed_segments_are_refused),
		T(test_a_fork_is_refused_and_changes_nothing),
		T(test_a_segment_cut_short_is_refused_until_it_is_whole),
		T(test_a_huge_file_is_refused_without_being_read),
		T(test_what_is_not_a_regular_file_is_refused_at_once),
		T(test_other_names_are_not_looked_at),
		T(test_a_segment_that_cannot_be_applied_is_not_passed_over),
		T(test_one_writer_at_a_time_and_any_number_of_readers),
		T(test_a_directory_that_is_not_there_is_named),
		T(test_a_stored_segment_is_never_replaced),
		T(test_a_full_disk_stores_nothing_and_is_no_end),
		T(test_after_a_failed_fsync_nothing_more_is_written),
		T(test_death_at_any_point_of_a_put_loses_and_tears_nothing),
		T(test_an_undone_rename_is_done_again),
		T(test_a_leftover_of_another_chain_is_deleted),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
