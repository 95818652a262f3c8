/* SPDX-License-Identifier: BSD-3-Clause */
/* Reply counters are reserved beside control, whatever the disk does; and none is given that is not on it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>
#include <ftw.h>
#include <sys/stat.h>

static int hook_fsync(int fd);
#define fsync hook_fsync
#include "../../app/passline/nonce_store.c"
#undef fsync
#define PL_NONCE_RETRY_MS 20u
#define PL_NONCE_SLOW_MS  20u
#include "../../app/passline/nonce_thread.c"

#define WALL_NS 1640995200000000000ull /* 2022-01-01 */
#define HALF    (PL_NONCE_RESERVE / 2)

static struct {
	char dir[64];
	struct pl_nonce_thread t;
	_Atomic uint64_t limit;
	uint64_t first;
	char error[PL_NONCE_TEXT_SIZE];
	/* The disk. */
	_Atomic bool hangs;
	_Atomic bool fails;
	_Atomic uint32_t fsync_cnt;
} fx;

static void nap(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static int hook_fsync(int fd)
{
	(void)fd;
	atomic_fetch_add(&fx.fsync_cnt, 1);
	while (atomic_load(&fx.hangs))
		nap();
	errno = EIO;
	return atomic_load(&fx.fails) ? -1 : 0;
}

static int set_up(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	snprintf(fx.dir, sizeof(fx.dir), "/tmp/nonce_thread.XXXXXX");
	PL_CHECK(mkdtemp(fx.dir) != NULL);
	PL_CHECK(pl_nonce_thread_open(&fx.t, fx.dir, WALL_NS, &fx.limit, &fx.first, fx.error,
				      sizeof(fx.error)) == 0);
	return pl_nonce_thread_start(&fx.t, fx.error, sizeof(fx.error));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	atomic_store(&fx.hangs, false);
	pl_nonce_thread_stop(&fx.t);
	pl_nonce_thread_close(&fx.t);
	return nftw(fx.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/** What is wrong, once anything is, or nothing any more. */
static const char *text_when(bool wrong)
{
	static char text[PL_NONCE_TEXT_SIZE];

	for (uint32_t i = 0; i < 20000; i++, nap()) {
		pl_nonce_thread_text(&fx.t, text, sizeof(text));
		if ((text[0] != '\0') == wrong)
			break;
	}
	return text;
}

static void wait_for_limit(uint64_t limit)
{
	for (uint32_t i = 0; i < 20000 && atomic_load(&fx.limit) != limit; i++)
		nap();
	assert_int_equal(atomic_load(&fx.limit), limit);
}

static uint64_t mark_on_disk(void)
{
	char path[128];
	uint64_t mark = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/nonce", fx.dir);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "passline-nonce 1 %" SCNu64, &mark), 1);
	fclose(f);
	return mark;
}

static void test_more_is_reserved_once_half_is_spent(void **state)
{
	uint32_t before = atomic_load(&fx.fsync_cnt);

	(void)state;
	assert_int_equal(atomic_load(&fx.limit), fx.first + PL_NONCE_RESERVE);
	pl_nonce_thread_ask(&fx.t, fx.first + HALF - 1);
	for (uint32_t i = 0; i < 20; i++)
		nap();
	assert_int_equal(atomic_load(&fx.fsync_cnt), before);
	pl_nonce_thread_ask(&fx.t, fx.first + HALF);
	wait_for_limit(fx.first + HALF + PL_NONCE_RESERVE);
	assert_int_equal(mark_on_disk(), atomic_load(&fx.limit));
	assert_int_equal(pl_nonce_thread_left(&fx.t, fx.first + HALF), PL_NONCE_RESERVE);
	assert_int_equal(pl_nonce_thread_left(&fx.t, UINT64_MAX), 0);
	assert_string_equal(text_when(false), "");
}

/* Whoever asks does not wait, is told that it does not go on, and gets no counter that is not on the disk. */
static void test_a_disk_that_hangs_holds_up_nobody(void **state)
{
	uint64_t used_to = fx.first + HALF;

	(void)state;
	atomic_store(&fx.hangs, true);
	for (uint32_t i = 0; i < 100; i++)
		pl_nonce_thread_ask(&fx.t, used_to + i);
	assert_non_null(strstr(text_when(true), "its disk has not answered"));
	assert_non_null(strstr(text_when(true), fx.dir));
	assert_int_equal(atomic_load(&fx.limit), fx.first + PL_NONCE_RESERVE);
	atomic_store(&fx.hangs, false);
	assert_string_equal(text_when(false), "");
	assert_in_range(atomic_load(&fx.limit), used_to + PL_NONCE_RESERVE,
			used_to + PL_NONCE_RESERVE + 99);
	assert_int_equal(mark_on_disk(), atomic_load(&fx.limit));
}

/* It is tried again by itself, and not all the time. */
static void test_a_disk_that_fails_is_tried_again(void **state)
{
	uint64_t used_to = fx.first + HALF, begun_ms = pl_time_monotonic_ms(), tries_max;
	uint32_t before = atomic_load(&fx.fsync_cnt);

	(void)state;
	atomic_store(&fx.fails, true);
	pl_nonce_thread_ask(&fx.t, used_to);
	assert_non_null(strstr(text_when(true), "cannot be written"));
	for (uint32_t i = 0; i < 100; i++, nap())
		pl_nonce_thread_ask(&fx.t, used_to + 5);
	tries_max = (pl_time_monotonic_ms() - begun_ms) / PL_NONCE_RETRY_MS + 1;
	assert_in_range(atomic_load(&fx.fsync_cnt) - before, 2, tries_max);
	assert_int_equal(atomic_load(&fx.limit), fx.first + PL_NONCE_RESERVE);
	atomic_store(&fx.fails, false);
	assert_string_equal(text_when(false), "");
	assert_int_equal(atomic_load(&fx.limit), used_to + 5 + PL_NONCE_RESERVE);
}

/* While it fails: nothing is given that was not there. */
static void test_stopping(void **state)
{
	(void)state;
	atomic_store(&fx.fails, true);
	pl_nonce_thread_ask(&fx.t, fx.first + HALF);
	(void)text_when(true);
	pl_nonce_thread_stop(&fx.t);
	pl_nonce_thread_stop(&fx.t); /* nothing */
	assert_int_equal(atomic_load(&fx.limit), fx.first + PL_NONCE_RESERVE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_more_is_reserved_once_half_is_spent),
		T(test_a_disk_that_hangs_holds_up_nobody),
		T(test_a_disk_that_fails_is_tried_again),
		T(test_stopping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
