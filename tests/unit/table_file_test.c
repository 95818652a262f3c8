/* SPDX-License-Identifier: BSD-3-Clause */
/* The certificate table's file: attach, refuse, take over, build by threads. */
#include "table_file_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void test_attach_serves_what_was_there(void **state)
{
	uint8_t position[PL_TABLE_POSITION_SIZE], got[PL_TABLE_POSITION_SIZE];
	struct pl_table *t = create(1000), *reader_side, *second;
	struct pl_table_reader *r;

	(void)state;
	memset(position, 0xa5, sizeof(position));
	fill(t, 0, 900);
	pl_table_position_set(t, position);
	assert_int_equal(attach(0, false, &reader_side), 0);
	assert_int_equal(pl_table_put(reader_side, 5000, facts_of(1)), -EPERM);
	assert_int_equal(pl_table_remove(reader_side, 1), -EPERM);
	assert_int_equal(pl_table_reader_create(reader_side, &r), 0);
	/* One writer at a time, and it is told. */
	assert_int_equal(attach(1000, true, &second), -EBUSY);
	assert_non_null(strstr(error, "writer"));
	assert_int_equal(pl_table_writer_take(reader_side), -EBUSY);
	/* What it writes the other side sees. */
	assert_int_equal(pl_table_put(t, 7, facts_of(8)), 1);
	assert_int_equal(lookup(r, 7).facts, facts_of(8));
	pl_table_close(t);
	assert_int_equal(lookup(r, 8).facts, facts_of(8));
	assert_int_equal(pl_table_writer_take(reader_side), 0);
	assert_int_equal(pl_table_put(reader_side, 5000, facts_of(1)), 0);
	pl_table_position_get(reader_side, got);
	assert_memory_equal(got, position, sizeof(got));
	pl_table_writer_drop(reader_side);
	assert_int_equal(attach(1000, true, &second), 0);
	check(second);
	pl_table_reader_destroy(r);
	pl_table_close(second);
	pl_table_close(reader_side);
}

static void test_create_does_not_overwrite(void **state)
{
	struct pl_table_conf conf = {.path = path, .capacity = 10, .numa_node = -1};
	struct pl_table *t = create(10), *second;

	(void)state;
	assert_int_equal(pl_table_create(&conf, &second, error, sizeof(error)), -EEXIST);
	assert_non_null(strstr(error, path));
	pl_table_close(t);
	assert_int_equal(attach(10, true, &t), 0);
	pl_table_close(t);
}

static void test_a_directory_that_is_not_there_is_told_with_its_remedy(void **state)
{
	struct pl_table_conf conf = {
		.path = "/nosuch/directory/table", .capacity = 10, .numa_node = -1};
	struct pl_table *t;

	(void)state;
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, conf.path));
	assert_non_null(strstr(error, "mount hugetlbfs"));
}

static void test_bad_configurations(void **state)
{
	struct pl_table_conf conf = {.path = path, .capacity = 0, .numa_node = -1};
	struct pl_table *t;

	(void)state;
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), -EINVAL);
	conf.capacity = PL_TABLE_CAPACITY_MAX + 1;
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), -EINVAL);
	conf.capacity = 10;
	conf.numa_node = 1000000;
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), -EINVAL);
	assert_int_equal(access(path, F_OK), -1);
	conf.numa_node = -1;
	conf.path = "/nonexistent/table";
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/table"));
	assert_int_equal(pl_table_attach(&conf, false, &t, error, sizeof(error)), -ENOENT);
	conf.path = NULL;
	assert_int_equal(pl_table_attach(&conf, false, &t, error, sizeof(error)), -EINVAL);
	/* More than this machine has: refused, and no file stays. */
	conf.path = path;
	conf.capacity = PL_TABLE_CAPACITY_MAX;
	assert_true(pl_table_create(&conf, &t, error, sizeof(error)) < 0);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_fallback_is_told(void **state)
{
	struct pl_table_conf conf = {.path = "/nonexistent/table",
				     .fallback_path = path,
				     .capacity = 10,
				     .numa_node = -1};
	struct pl_table_stats stats;
	struct pl_table *t;

	(void)state;
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), 0);
	pl_table_stats_get(t, &stats);
	assert_true(stats.fallback);
	assert_int_equal(stats.memory, PL_TABLE_MEM_ORDINARY);
	assert_non_null(strstr(stats.fallback_reason, "/nonexistent/table"));
	fill(t, 0, 10);
	pl_table_close(t);
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), -EEXIST);
	assert_int_equal(pl_table_attach(&conf, true, &t, error, sizeof(error)), 0);
	pl_table_stats_get(t, &stats);
	assert_true(stats.fallback);
	assert_int_equal(stats.entry_cnt, 10);
	pl_table_close(t);
}

static void file_patch(off_t at, const void *bytes, size_t size)
{
	int fd = open(path, O_RDWR);

	assert_int_not_equal(fd, -1);
	assert_int_equal(pwrite(fd, bytes, size, at), (ssize_t)size);
	close(fd);
}

static void test_foreign_files_are_refused(void **state)
{
	struct pl_table *t = create(1000);
	const uint32_t other_layout = PL_TABLE_LAYOUT_VERSION + 1, zero = 0;
	const uint64_t more = 2000;
	char *whole;
	struct stat st;
	int fd;

	(void)state;
	fill(t, 0, 10);
	pl_table_close(t);
	assert_int_equal(attach(999, true, &t), -ERANGE);
	assert_non_null(strstr(error, "999"));
	assert_non_null(strstr(error, "1000"));

	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	whole = malloc((size_t)st.st_size);
	assert_non_null(whole);
	assert_int_equal(pread(fd, whole, (size_t)st.st_size, 0), st.st_size);

	file_patch(offsetof(struct pl_table_fixed, layout_version), &other_layout, 4);
	assert_int_equal(attach(0, true, &t), -EILSEQ);
	assert_non_null(strstr(error, "layout"));
	file_patch(0, whole, 4096);
	file_patch(offsetof(struct pl_table_fixed, capacity), &more, 8);
	assert_int_equal(attach(0, true, &t), -EILSEQ);
	assert_non_null(strstr(error, "damaged"));
	file_patch(0, whole, 4096);
	file_patch(offsetof(struct pl_table_header, ready), &zero, 4);
	assert_int_equal(attach(0, true, &t), -EILSEQ);
	/* The magic alone was hit: the rest says that it was a table. */
	file_patch(0, whole, 4096);
	file_patch(3, "x", 1);
	assert_int_equal(attach(0, true, &t), -EILSEQ);
	file_patch(0, whole, 8192);
	/* A journal that leads out of the table is not followed. */
	file_patch(offsetof(struct pl_table_header, op), &(uint32_t){PL_JOURNAL_INSERT}, 4);
	file_patch(offsetof(struct pl_table_header, op_slot), &(uint64_t){UINT64_C(1) << 40}, 8);
	assert_int_equal(attach(0, true, &t), -EILSEQ);
	file_patch(0, whole, 8192);
	file_patch(offsetof(struct pl_table_header, position_idx), &(uint32_t){2}, 4);
	assert_int_equal(attach(0, true, &t), -EILSEQ);
	file_patch(0, whole, 8192);
	file_patch(0, "PLSEG1\r\n", 8);
	file_patch(64, "PLSEG1\r\n", 8); /* the rest is no table's either */
	assert_int_equal(attach(0, true, &t), -EPROTO);
	assert_non_null(strstr(error, "not a certificate table"));
	/* Whole again it is served; short or empty it is not. */
	file_patch(0, whole, (size_t)st.st_size);
	assert_int_equal(attach(0, true, &t), 0);
	pl_table_close(t);
	for (off_t size = 0; size < st.st_size; size += 4096) {
		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_equal(attach(0, true, &t), size == 0 ? -EPROTO : -EILSEQ);
		assert_int_equal(ftruncate(fd, st.st_size), 0);
		file_patch(0, whole, (size_t)st.st_size);
	}
	close(fd);
	free(whole);
}

/* Whoever made it was killed half way: the next one begins anew, without a person's help. */
static void test_half_made_table_is_made_anew(void **state)
{
	char part[sizeof(path) + 8];
	struct pl_table_conf conf = {.path = path, .capacity = 1000, .numa_node = -1};
	struct pl_table *t;
	int fd;

	(void)state;
	snprintf(part, sizeof(part), "%s.part", path);
	fd = open(part, O_RDWR | O_CREAT, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(ftruncate(fd, 8192), 0);
	/* But not while its maker lives. */
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), -EBUSY);
	assert_non_null(strstr(error, part));
	assert_int_equal(access(part, F_OK), 0);
	assert_int_equal(attach(0, true, &t), -ENOENT);
	close(fd);
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), 0);
	assert_int_equal(access(part, F_OK), -1);
	pl_table_close(t);
	assert_int_equal(attach(1000, true, &t), 0);
	pl_table_close(t);
	/* One that is there is never replaced. */
	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), -EEXIST);
	assert_int_equal(access(part, F_OK), -1);
}

static void test_dead_readers_are_reaped(void **state)
{
	struct pl_table *t = create(300), *other;
	struct pl_table_stats stats;
	struct pl_table_reader *r;
	pid_t child;
	int status;

	(void)state;
	fill(t, 0, 200);
	child = fork();
	assert_int_not_equal(child, -1);
	if (child == 0) {
		if (attach(0, false, &other) != 0 || pl_table_reader_create(other, &r) != 0)
			_exit(1);
		_exit(0); /* with the reader registered */
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	pl_table_stats_get(t, &stats);
	assert_int_equal(stats.reader_cnt, 1);
	/* A reader that lives is left alone. */
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	assert_int_equal(pl_table_readers_reap(t), 1);
	pl_table_stats_get(t, &stats);
	assert_int_equal(stats.reader_cnt, 1);
	assert_int_equal(stats.reaped_cnt, 1);
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

/* The writer clears a dead reader out of its way by itself. */
static void test_a_dead_reader_blocks_no_writer_for_long(void **state)
{
	struct pl_table *t = create(300), *other;
	struct pl_table_reader *r;
	uint64_t next = 300;
	pid_t child;
	int rc = 0;

	(void)state;
	fill(t, 0, 300);
	child = fork();
	if (child == 0)
		_exit(attach(0, false, &other) != 0 || pl_table_reader_create(other, &r) != 0);
	assert_int_equal(waitpid(child, &rc, 0), child);
	assert_int_equal(rc, 0);
	for (uint32_t i = 0; i < 100000; i++) {
		uint64_t id = next - 300;

		if (pl_table_get(t, id, NULL, NULL) == 0)
			assert_int_equal(pl_table_remove(t, id), 0);
		rc = pl_table_put(t, next, facts_of(next));
		if (rc == 0)
			next++;
		else
			assert_int_equal(rc, -EAGAIN);
	}
	assert_int_equal(rc, 0);
	assert_true(next > 10000);
	check(t);
	pl_table_close(t);
}

/* ---- building by threads ------------------------------------------------------------------- */

#define BULK_CNT 120000u

struct bulk_part {
	struct pl_table_bulk *b;
	pthread_barrier_t *start;
	int rc;
};

static void *bulk_thread(void *arg)
{
	struct bulk_part *p = arg;
	struct pl_table_entry e[100];
	size_t done;

	/* All of them, in the same order and beginning together: equal ids meet. */
	pthread_barrier_wait(p->start);
	for (uint64_t i = 0; i < BULK_CNT && p->rc == 0; i += 100) {
		for (uint64_t k = 0; k < 100; k++) {
			uint64_t id = i + k;

			e[k] = (struct pl_table_entry){.id = id, .facts = facts_of(id)};
		}
		p->rc = pl_table_bulk_put(p->b, e, 100, &done);
	}
	return NULL;
}

static void test_bulk_build(void **state)
{
	struct pl_table *t = create(BULK_CNT);
	pthread_barrier_t start;
	struct bulk_part parts[2] = {{.start = &start}, {.start = &start}};
	struct pl_table_bulk *b, *second;
	struct pl_table_entry more = {.id = BULK_CNT, .facts = 1};
	pthread_t threads[2];
	size_t done;

	(void)state;
	assert_int_equal(pl_table_bulk_begin(t, &b), 0);
	assert_int_equal(pl_table_bulk_begin(t, &second), -EBUSY);
	assert_int_equal(pthread_barrier_init(&start, NULL, 2), 0);
	for (uint32_t i = 0; i < 2; i++) {
		parts[i].b = b;
		assert_int_equal(pthread_create(&threads[i], NULL, bulk_thread, &parts[i]), 0);
	}
	for (uint32_t i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(parts[i].rc, 0);
	}
	pthread_barrier_destroy(&start);
	assert_int_equal(pl_table_bulk_put(b, &more, 1, &done), -ENOSPC);
	assert_int_equal(done, 0);
	pl_table_bulk_end(b);
	check(t);
	for (uint64_t id = 0; id < BULK_CNT; id++) {
		uint32_t facts;

		assert_int_equal(pl_table_get(t, id, &facts, NULL), 0);
		assert_int_equal(facts, facts_of(id));
	}
	pl_table_close(t);
}

/* A build that dies is counted anew by the next writer. */
static void test_bulk_build_that_died(void **state)
{
	struct pl_table *t;
	struct pl_table_stats stats;
	int status;
	pid_t child = fork();

	(void)state;
	assert_int_not_equal(child, -1);
	if (child == 0) {
		struct pl_table_entry e[500];
		struct pl_table_bulk *b;
		size_t done;

		for (uint64_t i = 0; i < 500; i++)
			e[i] = (struct pl_table_entry){.id = i, .facts = facts_of(i)};
		t = create(1000);
		if (pl_table_bulk_begin(t, &b) != 0 || pl_table_bulk_put(b, e, 500, &done) != 0)
			_exit(1);
		/* As if it had died before a count. */
		atomic_store_explicit(&t->views[0].cur->h->entry_cnt, 17, memory_order_relaxed);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(attach(1000, true, &t), 0);
	pl_table_stats_get(t, &stats);
	assert_int_equal(stats.entry_cnt, 500);
	assert_int_equal(stats.repaired_cnt, 1);
	check(t);
	pl_table_close(t);
}

static const struct CMUnitTest tests[] = {
	FILE_TEST(test_attach_serves_what_was_there),
	FILE_TEST(test_create_does_not_overwrite),
	FILE_TEST(test_bad_configurations),
	FILE_TEST(test_fallback_is_told),
	FILE_TEST(test_foreign_files_are_refused),
	FILE_TEST(test_a_directory_that_is_not_there_is_told_with_its_remedy),
	FILE_TEST(test_half_made_table_is_made_anew),
	FILE_TEST(test_dead_readers_are_reaped),
	FILE_TEST(test_a_dead_reader_blocks_no_writer_for_long),
	FILE_TEST(test_bulk_build),
	FILE_TEST(test_bulk_build_that_died),
};

int main(void)
{
	return cmocka_run_group_tests_name("table_file", tests, NULL, NULL);
}
