/* SPDX-License-Identifier: BSD-3-Clause */
/* The journal: whole lines, on disk, bounded; and a disk that fails stops nobody. */
#include <time.h>
#include <unistd.h>

static int hook_clock_gettime(clockid_t id, struct timespec *ts);
static int hook_fdatasync(int fd);
#define clock_gettime hook_clock_gettime
#define fdatasync     hook_fdatasync
#include "../../app/passline/journal.c"
#undef clock_gettime
#undef fdatasync

#include <setjmp.h>
#include <stdatomic.h>

#include <cmocka.h>

/* The wall clock is set back by an hour whenever it was read. */
static int hook_clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = clock_gettime(id, ts);

	ts->tv_sec += id == CLOCK_REALTIME ? 3600 : 0;
	return rc;
}

static _Atomic bool disk_hangs;

static int hook_fdatasync(int fd)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	while (atomic_load(&disk_hangs))
		(void)nanosleep(&ms, NULL);
	return fdatasync(fd);
}

static char dir[128];
static char error[512];
static struct pl_journal j;
static _Atomic int said;

static void say(const char *format, ...)
{
	(void)format;
	atomic_fetch_add(&said, 1);
}

static void path_of(const char *name, char path[256])
{
	snprintf(path, 256, "%s/%s", dir, name);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/pl-journal-XXXXXX");
	atomic_store(&said, 0);
	if (mkdtemp(dir) == NULL)
		return -1;
	return pl_journal_open(&j, dir, say, error, sizeof(error));
}

static int teardown(void **state)
{
	char command[200];

	(void)state;
	pl_journal_close(&j);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static const char *field(const json_t *lines, size_t idx, const char *name)
{
	const char *s = json_string_value(json_object_get(json_array_get(lines, idx), name));

	return s != NULL ? s : "(none)";
}

static void test_lines_are_kept_over_restarts(void **state)
{
	char path[256];
	struct stat st;
	json_t *l;

	(void)state;
	pl_journal_write(&j, "uid 0", "reload", "refused", "line\n%d \"quoted\"", 1);
	pl_journal_write(&j, "signal HUP", "reload", "done", "two");
	assert_true(pl_journal_sync(&j));
	path_of("journal.jsonl", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	pl_journal_close(&j);
	pl_journal_write(&j, "x", "x", "x", "nobody writes this");
	assert_int_equal(pl_journal_open(&j, dir, say, error, sizeof(error)), 0);
	pl_journal_write(&j, "appliance", "start", "done", "three");
	assert_true(pl_journal_sync(&j));
	l = pl_journal_last(&j, 10);
	assert_int_equal(json_array_size(l), 3);
	assert_string_equal(field(l, 0, "text"), "line\n1 \"quoted\"");
	assert_string_equal(field(l, 0, "result"), "refused");
	assert_string_equal(field(l, 1, "who"), "signal HUP");
	assert_string_equal(field(l, 2, "what"), "start");
	assert_int_equal(strlen(field(l, 2, "time")), 24);
	json_decref(l);
	l = pl_journal_last(&j, 2);
	assert_int_equal(json_array_size(l), 2);
	assert_string_equal(field(l, 0, "text"), "two");
	json_decref(l);
	assert_int_equal(atomic_load(&said), 0);
}

static void test_long_and_strange_texts(void **state)
{
	static char big[PL_JOURNAL_TEXT_SIZE + 100];
	json_t *l;

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(big); i += 2)
		memcpy(big + i, "\xc3\xbc", 2);
	pl_journal_write(&j, "a", "b", "c", "%s", big);
	pl_journal_write(&j, "a", "b", "c", "x%s", big);
	pl_journal_write(&j, "a", "b", "c", "\xff\xfe");
	assert_true(pl_journal_sync(&j));
	l = pl_journal_last(&j, 10);
	assert_int_equal(json_array_size(l), 3);
	for (size_t i = 0; i < 2; i++) {
		assert_true(strlen(field(l, i, "text")) < PL_JOURNAL_TEXT_SIZE);
		assert_non_null(strstr(field(l, i, "text"), "\xc3\xbc..."));
	}
	json_decref(l);
}

static void test_a_line_cut_short_spoils_no_other(void **state)
{
	char path[256];
	json_t *l;
	FILE *f;

	(void)state;
	pl_journal_write(&j, "a", "b", "c", "before");
	assert_true(pl_journal_sync(&j));
	path_of("journal.jsonl", path);
	f = fopen(path, "a");
	assert_non_null(f);
	fputs("{\"time\": \"20", f);
	fclose(f);
	pl_journal_write(&j, "a", "b", "c", "after");
	assert_true(pl_journal_sync(&j));
	l = pl_journal_last(&j, 10);
	assert_int_equal(json_array_size(l), 2);
	assert_string_equal(field(l, 1, "text"), "after");
	json_decref(l);
}

static void test_it_stays_bounded(void **state)
{
	static char filler[PL_JOURNAL_TEXT_SIZE - 10];
	uint64_t total = 0;
	uint32_t files = 0;
	char path[256], name[40];
	struct stat st;
	json_t *l;

	(void)state;
	memset(filler, 'x', sizeof(filler) - 1);
	/* A journal that was there, full, many times. */
	for (uint32_t round = 0; round < PL_JOURNAL_FILES_MAX + 3; round++) {
		path_of("journal.jsonl", path);
		assert_int_equal(stat(path, &st) == 0 ? truncate(path, PL_JOURNAL_FILE_SIZE) : 0,
				 0);
		pl_journal_write(&j, "a", "b", "c", "round %u", round);
		assert_true(pl_journal_sync(&j));
	}
	for (uint32_t i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), i == 0 ? "journal.jsonl" : "journal.jsonl.%u", i);
		path_of(name, path);
		if (stat(path, &st) != 0)
			continue;
		files++;
		total += (uint64_t)st.st_size;
	}
	assert_int_equal(files, PL_JOURNAL_FILES_MAX + 1);
	assert_true(total < (PL_JOURNAL_FILES_MAX + 1) * (PL_JOURNAL_FILE_SIZE + 8192ull));
	/* The newest are found over several files. */
	l = pl_journal_last(&j, 3);
	assert_int_equal(json_array_size(l), 3);
	assert_string_equal(field(l, 2, "text"), "round 10");
	assert_string_equal(field(l, 0, "text"), "round 8");
	json_decref(l);
}

static void test_a_disk_that_fails_is_said_once(void **state)
{
	char path[256];

	(void)state;
	path_of("journal.jsonl", path);
	assert_int_equal(mkdir(path, 0700), 0); /* root may write anything else */
	for (int i = 0; i < 5; i++)
		pl_journal_write(&j, "a", "b", "c", "lost %d", i);
	assert_false(pl_journal_sync(&j));
	assert_int_equal(pl_journal_lost(&j), 5);
	assert_int_equal(atomic_load(&said), 1);
	assert_int_equal(rmdir(path), 0);
	pl_journal_write(&j, "a", "b", "c", "kept");
	assert_true(pl_journal_sync(&j));
	assert_int_equal(atomic_load(&said), 2);
	assert_int_equal(pl_journal_lost(&j), 5);
}

static void test_a_disk_that_hangs_holds_nobody(void **state)
{
	(void)state;
	atomic_store(&disk_hangs, true);
	for (uint32_t i = 0; i < 2 * PL_JOURNAL_QUEUE_MAX; i++)
		pl_journal_write(&j, "a", "b", "c", "%u", i);
	/* Some were lost, for the queue has an end; none waited for the disk. Who waits for his line
	 * does so for a while, whatever is done to the wall clock. */
	assert_false(pl_journal_sync(&j));
	pthread_mutex_lock(&j.lock);
	assert_int_equal(j.added + j.lost, 2 * PL_JOURNAL_QUEUE_MAX);
	assert_true(j.lost > 0);
	assert_true(j.queue_cnt <= PL_JOURNAL_QUEUE_MAX);
	pthread_mutex_unlock(&j.lock);
	atomic_store(&disk_hangs, false);
	assert_true(pl_journal_sync(&j));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines_are_kept_over_restarts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_and_strange_texts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_line_cut_short_spoils_no_other, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_it_stays_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_disk_that_fails_is_said_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_disk_that_hangs_holds_nobody, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
