/* SPDX-License-Identifier: BSD-3-Clause */
/* A table in a file of its own, for tests of what becomes of the file. */
#ifndef TABLE_FILE_FIXTURE_H
#define TABLE_FILE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include "table/pl_table_pvt.h"

static char error[256];
static char path[96], next_path[104];

static inline uint32_t facts_of(uint64_t n)
{
	return (uint32_t)(n % 6 + 1) | (uint32_t)(n & 0xffff) << 4;
}

static inline int paths_make(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/dev/shm/pl-table-test-%d", (int)getpid());
	snprintf(next_path, sizeof(next_path), "%s.new", path);
	unlink(path);
	unlink(next_path);
	return 0;
}

static inline int paths_drop(void **state)
{
	(void)state;
	unlink(path);
	unlink(next_path);
	return 0;
}

static inline struct pl_table *create(uint64_t capacity)
{
	struct pl_table_conf conf = {.path = path, .capacity = capacity, .numa_node = -1};
	struct pl_table *t = NULL;

	if (pl_table_create(&conf, &t, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return t;
}

static inline int attach(uint64_t capacity, bool writer, struct pl_table **t)
{
	struct pl_table_conf conf = {.path = path, .capacity = capacity, .numa_node = -1};

	return pl_table_attach(&conf, writer, t, error, sizeof(error));
}

static inline struct pl_table_hit lookup(struct pl_table_reader *r, uint64_t id)
{
	struct pl_table_hit hit;

	pl_table_quiesce(r);
	pl_table_find(r, &id, 1, &hit);
	return hit;
}

static inline void fill(struct pl_table *t, uint64_t first, uint64_t cnt)
{
	for (uint64_t id = first; id < first + cnt; id++)
		assert_int_equal(pl_table_put(t, id, facts_of(id)), 0);
}

static inline void check(struct pl_table *t)
{
	if (pl_table_check(t, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, paths_make, paths_drop)

#endif
