/* SPDX-License-Identifier: BSD-3-Clause */
/* The mark that keeps reply nonces from being given twice: restarts, damage, disks that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <sys/stat.h>

#include "../../app/passline/nonce_store.c"

#define WALL_NS 1640995200000000000ull /* 2022-01-01 */

static char dir[64];
static char error[2048];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/nonce_store.XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int remove_dir(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *mark_path(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/nonce", dir);
	return path;
}

static void mark_write(const char *text)
{
	FILE *f = fopen(mark_path(), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int open_at(struct pl_nonce_store *s, uint64_t wall_ns, uint64_t *first)
{
	return pl_nonce_store_open(s, dir, wall_ns, first, error, sizeof(error));
}

static void test_first_start_counts_from_the_clock(void **state)
{
	struct pl_nonce_store s;
	uint64_t first;
	struct stat st;

	(void)state;
	assert_int_equal(open_at(&s, WALL_NS, &first), 0);
	assert_true(first == WALL_NS);
	assert_true(s.limit == WALL_NS + PL_NONCE_RESERVE);
	assert_int_equal(stat(mark_path(), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	pl_nonce_store_close(&s);
}

static void test_no_counter_is_given_twice_over_restarts(void **state)
{
	struct pl_nonce_store s;
	uint64_t first, limit = 0;

	(void)state;
	for (int i = 0; i < 5; i++) { /* at once after one another; then with a clock gone back */
		assert_int_equal(open_at(&s, i < 3 ? WALL_NS : 1000, &first), 0);
		assert_true(first >= limit);
		limit = s.limit;
		assert_true(limit >= first + PL_NONCE_RESERVE);
		if (i == 2) {
			assert_int_equal(pl_nonce_store_extend(&s, limit - 5, error, sizeof(error)),
					 0);
			assert_true(s.limit == limit - 5 + PL_NONCE_RESERVE);
			limit = s.limit;
		}
		pl_nonce_store_close(&s);
	}
	/* After a long while the clock is ahead of the mark again. */
	assert_int_equal(open_at(&s, limit + 12345, &first), 0);
	assert_true(first == limit + 12345);
	pl_nonce_store_close(&s);
}

/* Started again every 1.1 s, as by systemd, and then the mark is lost: the clock alone must lead beyond
 * what was used. */
static void test_quick_restarts_do_not_outrun_the_clock(void **state)
{
	struct pl_nonce_store s;
	uint64_t wall_ns = WALL_NS, first, used_to = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(open_at(&s, wall_ns, &first), 0);
		assert_true(first >= used_to);
		used_to = first + 10000000; /* a second of replies */
		pl_nonce_store_close(&s);
		wall_ns += 1100000000;
	}
	assert_int_equal(unlink(mark_path()), 0);
	assert_int_equal(open_at(&s, wall_ns, &first), 0);
	assert_true(first >= used_to);
	pl_nonce_store_close(&s);
}

static void test_two_appliances_do_not_share_a_directory(void **state)
{
	struct pl_nonce_store a, b;
	uint64_t first;

	(void)state;
	assert_int_equal(open_at(&a, WALL_NS, &first), 0);
	assert_int_equal(open_at(&b, WALL_NS, &first), -EWOULDBLOCK);
	assert_non_null(strstr(error, dir));
	pl_nonce_store_close(&a);
	assert_int_equal(open_at(&b, WALL_NS, &first), 0);
	pl_nonce_store_close(&b);
}

static void test_damaged_mark_is_refused_and_kept(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"passline-nonce 1 \n",
		"passline-nonce 1 -5\n",
		"passline-nonce 1  5\n",
		"passline-nonce 1 5",
		"passline-nonce 1 5\n5\n",
		"passline-nonce 1 5x\n",
		"passline-nonce 2 5\n",
		"passline-nonce 1 18446744073709551615\n",
		"passline-nonce 1 99999999999999999999999\n",
		"passline-nonce 1 555555555555555555555555555555555555555555555555555555555555\n",
	};
	struct pl_nonce_store s;
	uint64_t first;
	char text[256];
	FILE *f;

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		mark_write(bad[i]);
		assert_int_equal(open_at(&s, WALL_NS, &first), -EINVAL);
		assert_non_null(strstr(error, "damaged"));
		f = fopen(mark_path(), "r");
		assert_non_null(f);
		memset(text, 0, sizeof(text));
		(void)!fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
		assert_string_equal(text, bad[i]);
	}
	assert_int_equal(unlink(mark_path()), 0);
	assert_int_equal(mkfifo(mark_path(), 0600), 0);
	assert_int_equal(open_at(&s, WALL_NS, &first),
			 -EINVAL); /* and does not wait for a writer */
}

static void test_directory_that_cannot_be_used_is_named(void **state)
{
	struct pl_nonce_store s;
	uint64_t first;
	char path[128];

	(void)state;
	assert_int_equal(
		pl_nonce_store_open(&s, "/nowhere/at/all", WALL_NS, &first, error, sizeof(error)),
		-ENOENT);
	assert_non_null(strstr(error, "/nowhere/at/all"));
	/* A link in the place of the mark is not followed, nor written through. */
	snprintf(path, sizeof(path), "%s/elsewhere", dir);
	assert_int_equal(symlink(path, mark_path()), 0);
	assert_int_equal(open_at(&s, WALL_NS, &first), -ELOOP);
}

static void test_mark_that_cannot_be_written_gives_no_counter(void **state)
{
	struct pl_nonce_store s;
	uint64_t first;
	char path[128];

	(void)state;
	assert_int_equal(open_at(&s, WALL_NS, &first), 0);
	snprintf(path, sizeof(path), "%s/nonce.tmp", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_not_equal(pl_nonce_store_extend(&s, WALL_NS + 5, error, sizeof(error)), 0);
	assert_true(s.limit == WALL_NS + PL_NONCE_RESERVE);
	assert_non_null(strstr(error, "nonce.tmp"));
	assert_int_equal(
		pl_nonce_store_extend(&s, UINT64_MAX - PL_NONCE_RESERVE, error, sizeof(error)),
		-EOVERFLOW);
	pl_nonce_store_close(&s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		T(test_first_start_counts_from_the_clock),
		T(test_no_counter_is_given_twice_over_restarts),
		T(test_quick_restarts_do_not_outrun_the_clock),
		T(test_two_appliances_do_not_share_a_directory),
		T(test_damaged_mark_is_refused_and_kept),
		T(test_directory_that_cannot_be_used_is_named),
		T(test_mark_that_cannot_be_written_gives_no_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
