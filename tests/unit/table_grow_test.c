/* SPDX-License-Identifier: BSD-3-Clause */
/* A table's file while the table grows: nothing is lost, whoever reads, changes or dies meanwhile. */
#include "table_file_fixture.h"

#include <errno.h>
#include <sys/wait.h>

static void grow_to(struct pl_table *t, enum pl_grow_phase phase)
{
	while (t->grow != phase)
		assert_in_range(pl_table_grow_step(t, 64), 0, 1);
}

/* A full table of 500 whose QRs were each shown once, at 10 + id, begins to become one of 2000. */
static void begin_to_grow(struct pl_table *t, struct pl_table_reader *r)
{
	for (uint64_t id = 0; id < 500; id++) {
		struct pl_table_hit hit = lookup(r, id);

		assert_int_equal(pl_table_seen(r, &hit, 10 + (uint32_t)id, 1), PL_SEEN_NEW);
	}
	assert_int_equal(pl_table_put(t, 1000, facts_of(1000)), -ENOSPC);
	assert_int_equal(pl_table_grow_begin(t, 400, error, sizeof(error)), -EINVAL);
	assert_int_equal(pl_table_grow_begin(t, 2000, error, sizeof(error)), 0);
	assert_int_equal(pl_table_grow_begin(t, 3000, error, sizeof(error)), -EBUSY);
}

/* Changes while it is filled reach both tables. */
static void change_while_filling(struct pl_table *t, struct pl_table_reader *r)
{
	assert_int_equal(pl_table_grow_step(t, 100), 1);
	assert_int_equal(pl_table_put(t, 3, facts_of(77)), 1);
	assert_int_equal(pl_table_put(t, 499, facts_of(78)), 1);
	assert_int_equal(pl_table_remove(t, 4), 0);
	assert_int_equal(pl_table_remove(t, 498), 0);
	assert_int_equal(lookup(r, 3).facts, facts_of(77));
}

/* What was there, with what test_grow_keeps_everything() changed and showed meanwhile. */
static void assert_grown(struct pl_table *t, struct pl_table_reader *r)
{
	struct pl_table_stats stats;
	uint32_t facts, shown;

	pl_table_stats_get(t, &stats);
	assert_int_equal(stats.capacity, 2000);
	assert_int_equal(stats.entry_cnt, 499);
	assert_int_equal(stats.generation, 1);
	assert_false(stats.growing);
	assert_int_equal(access(next_path, F_OK), -1);
	check(t);
	for (uint64_t id = 0; id < 500; id++) {
		bool gone = id == 4 || id == 498;
		uint32_t want = id == 5 ? 1000 : id == 6 ? 1001 : 10 + (uint32_t)id;

		assert_int_equal(lookup(r, id).found, gone ? PL_TABLE_ABSENT : PL_TABLE_FOUND);
		if (gone)
			continue;
		assert_int_equal(pl_table_get(t, id, &facts, &shown), 0);
		assert_int_equal(facts, facts_of(id == 3 ? 77 : id == 499 ? 78 : id));
		assert_int_equal(shown, want);
	}
}

static void test_grow_keeps_everything(void **state)
{
	struct pl_table *t = create(500), *remote;
	struct pl_table_reader *r, *rr;
	struct pl_table_stats stats;
	struct pl_table_hit hit;

	(void)state;
	fill(t, 0, 500);
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	assert_int_equal(attach(0, false, &remote), 0);
	assert_int_equal(pl_table_reader_create(remote, &rr), 0);
	begin_to_grow(t, r);
	change_while_filling(t, r);
	grow_to(t, PL_GROW_SWITCH);
	/* A reader that has not moved holds back the freezing, and still decides in the old. */
	hit = (struct pl_table_hit){0};
	uint64_t id5 = 5;

	pl_table_find(r, &id5, 1, &hit);
	assert_int_equal(pl_table_grow_step(t, 64), 1);
	assert_int_equal(t->grow, PL_GROW_SWITCH);
	assert_int_equal(pl_table_seen(r, &hit, 1000, 1), PL_SEEN_NEW);
	/* The other process is told, and says that it cannot tell. */
	assert_int_equal(lookup(rr, 3).found, PL_TABLE_UNSURE);
	pl_table_stats_get(remote, &stats);
	assert_true(stats.superseded);

	hit = lookup(r, 5);
	assert_int_equal(pl_table_seen(r, &hit, 1000, 2), PL_SEEN_REPLAYED);
	grow_to(t, PL_GROW_MERGE);
	assert_int_equal(pl_table_put(t, 1001, facts_of(1001)), 0);
	assert_int_equal(lookup(r, 1001).facts, facts_of(1001));
	hit = lookup(r, 6);
	assert_int_equal(pl_table_seen(r, &hit, 1000, 6), PL_SEEN_NEW);
	grow_to(t, PL_GROW_DRAIN);
	/* Frozen words go on in the new table. */
	assert_int_equal(pl_table_seen(r, &hit, 1000, 7), PL_SEEN_REPLAYED);
	assert_int_equal(pl_table_seen(r, &hit, 1000, 6), PL_SEEN_RESEND);
	assert_int_equal(pl_table_seen(r, &hit, 1001, 7), PL_SEEN_NEW);
	assert_int_equal(pl_table_grow_step(t, 1), 1);
	(void)lookup(r, 1);
	grow_to(t, PL_GROW_NONE);
	assert_grown(t, r);
	pl_table_reader_destroy(rr);
	pl_table_close(remote);
	pl_table_reader_destroy(r);
	pl_table_close(t);
	assert_int_equal(attach(2000, true, &t), 0);
	check(t);
	pl_table_close(t);
}

/* A writer that dies in each phase: the next one has everything and goes on. */
static void test_grow_goes_on_after_a_death(void **state)
{
	(void)state;
	for (enum pl_grow_phase phase = PL_GROW_FILL; phase <= PL_GROW_DRAIN; phase++) {
		struct pl_table *t;
		struct pl_table_reader *r;
		struct pl_table_hit hit;
		struct pl_table_stats stats;
		uint32_t shown;
		int status;
		pid_t child = fork();

		if (child == 0) {
			t = create(500);
			fill(t, 0, 500);
			if (pl_table_reader_create(t, &r) != 0)
				_exit(1);
			for (uint64_t id = 0; id < 500; id++) {
				hit = lookup(r, id);
				(void)pl_table_seen(r, &hit, 10, 1);
			}
			if (pl_table_grow_begin(t, 900, error, sizeof(error)) != 0)
				_exit(2);
			while (t->grow != phase) {
				pl_table_quiesce(r);
				if (pl_table_grow_step(t, 64) != 1)
					_exit(3);
			}
			if (phase != PL_GROW_SWITCH && phase != PL_GROW_DRAIN)
				if (pl_table_grow_step(t, 64) != 1)
					_exit(4);
			hit = lookup(r, 9);
			if (pl_table_seen(r, &hit, 20, 1) != PL_SEEN_NEW)
				_exit(5);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		/* A reader attaching first has all of it. */
		assert_int_equal(attach(0, false, &t), 0);
		assert_int_equal(pl_table_reader_create(t, &r), 0);
		hit = lookup(r, 9);
		assert_int_equal(hit.found, PL_TABLE_FOUND);
		assert_int_equal(pl_table_seen(r, &hit, 20, 2), PL_SEEN_REPLAYED);
		assert_int_equal(pl_table_writer_take(t), 0);
		while (pl_table_grow_step(t, 64) == 1)
			pl_table_quiesce(r);
		assert_int_equal(access(next_path, F_OK), -1);
		pl_table_stats_get(t, &stats);
		assert_int_equal(stats.capacity, phase == PL_GROW_FILL ? 500 : 900);
		check(t);
		for (uint64_t id = 0; id < 500; id++) {
			assert_int_equal(lookup(r, id).facts, facts_of(id));
			assert_int_equal(pl_table_get(t, id, NULL, &shown), 0);
			assert_int_equal(shown, id == 9 ? 20 : 10);
		}
		pl_table_reader_destroy(r);
		pl_table_close(t);
		unlink(path);
	}
}

/* For 100, without a name. */
static struct pl_table *create_in_memory(struct pl_table_reader **r)
{
	struct pl_table_conf conf = {.capacity = 100, .numa_node = -1};
	struct pl_table *t;

	assert_int_equal(pl_table_create(&conf, &t, error, sizeof(error)), 0);
	assert_int_equal(pl_table_reader_create(t, r), 0);
	return t;
}

/* More than once, with room for what comes. */
static void test_grow_in_memory(void **state)
{
	struct pl_table_reader *r;
	struct pl_table *t = create_in_memory(&r);

	(void)state;
	fill(t, 0, 100);
	for (uint64_t cnt = 100; cnt < 3200; cnt *= 2) {
		assert_int_equal(pl_table_grow_begin(t, cnt * 2, error, sizeof(error)), 0);
		while (pl_table_grow_step(t, 1000) == 1)
			pl_table_quiesce(r);
		fill(t, cnt, cnt);
		check(t);
		for (uint64_t id = 0; id < cnt * 2; id++)
			assert_int_equal(lookup(r, id).facts, facts_of(id));
	}
	/* One that is given up in the middle leaves no trace. */
	assert_int_equal(pl_table_grow_begin(t, 10000, error, sizeof(error)), 0);
	assert_int_equal(pl_table_grow_step(t, 10), 1);
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

/* A slot is used again when readers have passed its removal: of this table, not of one before it whose
 * place in the writer's memory it may have. */
static void test_what_readers_passed_is_forgotten_with_its_table(void **state)
{
	struct pl_table_reader *r;
	struct pl_table *t = create_in_memory(&r);

	(void)state;
	for (uint64_t cnt = 200; cnt <= 800; cnt *= 2) {
		const struct pl_map *old = t->view->cur;

		/* Until the writer has asked how far the readers are. */
		for (uint64_t id = 0; t->safe_map != old; id++) {
			assert_in_range(id, 0, 100000);
			if (pl_table_put(t, id, facts_of(id)) == 0)
				assert_int_equal(pl_table_remove(t, id), 0);
			pl_table_quiesce(r);
		}
		assert_int_equal(pl_table_grow_begin(t, cnt, error, sizeof(error)), 0);
		while (pl_table_grow_step(t, 1000) == 1)
			pl_table_quiesce(r);
		assert_ptr_not_equal(t->safe_map, old);
	}
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

/* What any thread may do, each in one of its own. */
static struct {
	struct pl_table *table;
	_Atomic uint32_t done_cnt;
} lookers;

static void *take_figures(void *arg)
{
	struct pl_table_stats stats;

	pl_table_stats_get(lookers.table, &stats);
	atomic_fetch_add(&lookers.done_cnt, 1);
	return arg;
}

static void *walk_over(void *arg)
{
	struct pl_table_entry entries[8];
	uint64_t cursor = 0;

	(void)pl_table_iterate(lookers.table, &cursor, entries, 8);
	atomic_fetch_add(&lookers.done_cnt, 1);
	return arg;
}

static void *come_and_go(void *arg)
{
	struct pl_table_reader *r;

	PL_CHECK(pl_table_reader_create(lookers.table, &r) == 0);
	pl_table_reader_destroy(r);
	atomic_fetch_add(&lookers.done_cnt, 1);
	return arg;
}

static void *grow(void *arg)
{
	while (pl_table_grow_step(lookers.table, 64) == 1)
		;
	atomic_fetch_add(&lookers.done_cnt, 1);
	return arg;
}

/* Each of them waits for one who is looking, or growing it: else the map could go under it. What a stress
 * meets once in many runs, here without chance. */
static void test_who_is_no_reader_waits(void **state)
{
	void *(*const threads[])(void *) = {take_figures, walk_over, come_and_go, grow};
	pthread_t ids[PL_ARRAY_CNT(threads)];

	(void)state;
	lookers.table = create(500);
	assert_int_equal(pl_table_put(lookers.table, 1, facts_of(1)), 0);
	assert_int_equal(pl_table_grow_begin(lookers.table, 800, error, sizeof(error)), 0);
	pthread_mutex_lock(&lookers.table->lock);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(threads); i++)
		assert_int_equal(pthread_create(&ids[i], NULL, threads[i], NULL), 0);
	usleep(50000);
	assert_int_equal(atomic_load(&lookers.done_cnt), 0);
	/* A look-up, a put and a removal do not. */
	assert_int_equal(pl_table_put(lookers.table, 2, facts_of(2)), 0);
	assert_int_equal(pl_table_remove(lookers.table, 1), 0);
	pthread_mutex_unlock(&lookers.table->lock);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(threads); i++)
		pthread_join(ids[i], NULL);
	assert_int_equal(atomic_load(&lookers.done_cnt), PL_ARRAY_CNT(threads));
	pl_table_close(lookers.table);
}

static const struct CMUnitTest tests[] = {
	FILE_TEST(test_grow_keeps_everything),
	FILE_TEST(test_grow_goes_on_after_a_death),
	FILE_TEST(test_grow_in_memory),
	FILE_TEST(test_what_readers_passed_is_forgotten_with_its_table),
	FILE_TEST(test_who_is_no_reader_waits),
};

int main(void)
{
	return cmocka_run_group_tests_name("table_grow", tests, NULL, NULL);
}
