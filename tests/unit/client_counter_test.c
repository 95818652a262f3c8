/* SPDX-License-Identifier: BSD-3-Clause */
/* The counter in a client's file: never given twice, whatever dies, shares it or sets the clock
 * back. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/pl_client_counter.h"
#include "client/pl_client_queue.c"

static char dir[64];
static char path[96];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/pl-counter-XXXXXX");
	PL_CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/state", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	rmdir(dir);
	return 0;
}

static void open_ok(struct pl_client_counter *c, uint64_t block_cnt, uint64_t wall_ns)
{
	char error[512] = "";

	if (pl_client_counter_open(c, path, 7, 1, block_cnt, wall_ns, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static uint64_t take(struct pl_client_counter *c, uint64_t wall_ns)
{
	uint64_t counter = 0;

	assert_int_equal(pl_client_counter_take(c, wall_ns, &counter), 0);
	return counter;
}

static void test_counters_start_at_the_wall_clock(void **state)
{
	struct pl_client_counter c;
	struct stat st;

	(void)state;
	open_ok(&c, 4, 1000);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(take(&c, 1000), 1000 + i);
	assert_int_equal(take(&c, 1000), 1004); /* next block, the clock standing still */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, PL_CLIENT_COUNTER_FILE_SIZE);
	pl_client_counter_close(&c);
}

static void test_a_restart_never_repeats_even_with_the_clock_set_back(void **state)
{
	struct pl_client_counter c;
	uint64_t last = 0;

	(void)state;
	for (uint64_t i = 0; i < 5; i++) {
		uint64_t counter = 0;

		open_ok(&c, 100, 5000 - i * 1000);
		counter = take(&c, 0);
		assert_true(counter >= 5000);
		assert_true(counter > last);
		last = counter;
		pl_client_counter_close(&c);
	}
	open_ok(&c, 100, 1000000);
	assert_int_equal(take(&c, 0), 1000000);
	pl_client_counter_close(&c);
}

static void test_the_mark_is_in_the_file_before_the_first_counter_is_given(void **state)
{
	struct pl_client_counter c;
	uint64_t next;
	int fd;

	(void)state;
	open_ok(&c, 10, 500);
	fd = open(path, O_RDONLY);
	assert_int_equal(pread(fd, &next, 8, 16), 8);
	close(fd);
	assert_int_equal(next, 510);
	pl_client_counter_close(&c);
}

static void test_two_that_share_a_file_share_no_counter(void **state)
{
	struct pl_client_counter a, b;
	uint64_t seen[64];
	uint32_t cnt = 0;

	(void)state;
	open_ok(&a, 3, 10);
	open_ok(&b, 3, 10);
	for (int i = 0; i < 32; i++) {
		seen[cnt++] = take(&a, 10);
		seen[cnt++] = take(&b, 10);
	}
	for (uint32_t i = 0; i < cnt; i++)
		for (uint32_t j = 0; j < i; j++)
			assert_true(seen[i] != seen[j]);
	pl_client_counter_close(&a);
	pl_client_counter_close(&b);
}

#define PROC_CNT 4
#define EACH_CNT 300

/* Each takes counters from blocks of two and writes them down. */
static void take_in_process(int out)
{
	struct pl_client_counter c;
	uint64_t counters[EACH_CNT];
	char error[256];

	if (pl_client_counter_open(&c, path, 7, 1, 2, 100, error, sizeof(error)) != 0)
		_exit(1);
	for (int i = 0; i < EACH_CNT; i++)
		if (pl_client_counter_take(&c, 100, &counters[i]) != 0)
			_exit(2);
	_exit(write(out, counters, sizeof(counters)) == (ssize_t)sizeof(counters) ? 0 : 3);
}

static void test_processes_that_share_a_file_share_no_counter(void **state)
{
	static uint64_t all[PROC_CNT * EACH_CNT];
	size_t got = 0;
	int fds[2], status;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	for (int i = 0; i < PROC_CNT; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			take_in_process(fds[1]);
	}
	while (got < sizeof(all)) {
		ssize_t n = read(fds[0], (uint8_t *)all + got, sizeof(all) - got);

		assert_true(n > 0);
		got += (size_t)n;
	}
	for (int i = 0; i < PROC_CNT; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	for (uint32_t i = 0; i < PL_ARRAY_CNT(all); i++)
		for (uint32_t j = 0; j < i; j++)
			assert_true(all[i] != all[j]);
	close(fds[0]);
	close(fds[1]);
}

static void test_a_file_that_was_replaced_is_opened_anew(void **state)
{
	struct pl_client_counter a, b;

	(void)state;
	open_ok(&a, 1, 100);
	assert_int_equal(take(&a, 100), 100);
	unlink(path);
	open_ok(&b, 1, 200);
	assert_int_equal(take(&b, 200), 200);
	/* a must go by the file that b reserved in, not by the deleted one. */
	assert_int_equal(take(&a, 100), 201);
	pl_client_counter_close(&a);
	pl_client_counter_close(&b);
}

static int open_error(char *error, size_t error_size)
{
	struct pl_client_counter c;

	error[0] = '\0';
	return pl_client_counter_open(&c, path, 7, 1, 16, 100, error, error_size);
}

static void test_foreign_and_damaged_files_are_refused_and_kept(void **state)
{
	struct pl_client_counter c;
	char error[512];
	uint8_t good[PL_CLIENT_COUNTER_FILE_SIZE], bad[PL_CLIENT_COUNTER_FILE_SIZE];
	int fd;

	(void)state;
	assert_int_equal(pl_client_counter_open(&c, path, 8, 1, 16, 100, error, sizeof(error)), 0);
	pl_client_counter_close(&c);
	assert_int_equal(open_error(error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "belongs to gateway 8 epoch 1"));

	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, good, sizeof(good), 0), sizeof(good));
	for (uint32_t bit = 0; bit < 8 * sizeof(good); bit += 7) {
		uint8_t after[PL_CLIENT_COUNTER_FILE_SIZE];

		memcpy(bad, good, sizeof(good));
		bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(pwrite(fd, bad, sizeof(bad), 0), sizeof(bad));
		assert_int_equal(open_error(error, sizeof(error)), -EBADMSG);
		assert_non_null(strstr(error, path));
		assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(after));
		assert_memory_equal(after, bad, sizeof(bad));
	}
	assert_int_equal(ftruncate(fd, 20), 0);
	assert_int_equal(open_error(error, sizeof(error)), -EBADMSG);
	close(fd);
}

static void test_counters_end_before_they_wrap(void **state)
{
	struct pl_client_counter c;
	char error[512];
	uint64_t counter = 0;

	(void)state;
	open_ok(&c, 10, UINT64_MAX - 12);
	for (int i = 0; i < 10; i++)
		assert_int_equal(take(&c, 0), UINT64_MAX - 12 + (uint64_t)i);
	assert_int_equal(pl_client_counter_take(&c, 0, &counter), -EOVERFLOW);
	pl_client_counter_close(&c);
	assert_int_equal(open_error(error, sizeof(error)), -EOVERFLOW);
	assert_non_null(strstr(error, "new key epoch"));
}

static void test_a_directory_that_is_not_there(void **state)
{
	struct pl_client_counter c;
	char error[512];

	(void)state;
	assert_int_equal(pl_client_counter_open(&c, "/nonexistent/state", 7, 1, 16, 100, error,
						sizeof(error)),
			 -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/state"));
	assert_int_equal(pl_client_counter_open(&c, path, 7, 1, 0, 100, error, sizeof(error)),
			 -EINVAL);
}

static void test_map_finds_what_it_holds_whatever_was_removed(void **state)
{
	enum { CNT = 64, STEPS = 20000 };
	struct client_map m = {0};
	uint64_t held[CNT];
	uint32_t cnt = 0;
	uint64_t rng = 1;

	(void)state;
	assert_int_equal(client_map_create(&m, CNT), 0);
	for (uint32_t step = 0; step < STEPS; step++) {
		uint64_t pick;

		rng = pl_mix64(rng + step);
		pick = rng >> 8;
		if (cnt < CNT && (rng & 1 || cnt == 0)) {
			/* Few homes, so that chains are long and wrap. */
			held[cnt] = ((uint64_t)step << 20) + (m.mask - pick % 4);
			client_map_put(&m, held[cnt], cnt, step);
			cnt++;
		} else {
			uint32_t i = (uint32_t)(pick % cnt);

			client_map_remove(&m, held[i]);
			assert_null(client_map_find(&m, held[i]));
			held[i] = held[--cnt];
		}
		for (uint32_t i = 0; i < cnt; i++)
			assert_non_null(client_map_find(&m, held[i]));
		client_map_remove(&m, 0xffffffffffffffffull); /* was never there */
	}
	free(m.slots);
}

static void test_heap_gives_the_earliest(void **state)
{
	enum { CNT = 50, STEPS = 5000 };
	static struct client_req reqs[CNT];
	uint32_t idxs[CNT];
	struct client_heap h = {idxs, 0};
	bool in[CNT] = {false};
	uint64_t rng = 7;

	(void)state;
	for (uint32_t step = 0; step < STEPS; step++) {
		uint64_t least = UINT64_MAX;
		uint32_t i;

		rng = pl_mix64(rng + step);
		i = (uint32_t)(rng >> 32) % CNT;
		if (!in[i]) {
			reqs[i].next_ns = rng % 1000;
			client_heap_put(&h, reqs, i);
			in[i] = true;
		} else if (rng & 1) {
			reqs[i].next_ns = (rng >> 10) % 1000;
			client_heap_fix(&h, reqs, i);
		} else {
			client_heap_remove(&h, reqs, i);
			in[i] = false;
		}
		for (uint32_t k = 0; k < CNT; k++)
			if (in[k] && reqs[k].next_ns < least)
				least = reqs[k].next_ns;
		if (h.cnt > 0)
			assert_int_equal(reqs[h.idxs[0]].next_ns, least);
		else
			assert_int_equal(least, UINT64_MAX);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_counters_start_at_the_wall_clock),
		T(test_a_restart_never_repeats_even_with_the_clock_set_back),
		T(test_the_mark_is_in_the_file_before_the_first_counter_is_given),
		T(test_two_that_share_a_file_share_no_counter),
		T(test_processes_that_share_a_file_share_no_counter),
		T(test_a_file_that_was_replaced_is_opened_anew),
		T(test_foreign_and_damaged_files_are_refused_and_kept),
		T(test_counters_end_before_they_wrap),
		T(test_a_directory_that_is_not_there),
		cmocka_unit_test(test_map_finds_what_it_holds_whatever_was_removed),
		cmocka_unit_test(test_heap_gives_the_earliest),
	};

	return cmocka_run_group_tests_name("client_counter", tests, NULL, NULL);
}
