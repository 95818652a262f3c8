/* SPDX-License-Identifier: BSD-3-Clause */
/* A snapshot put into an empty table and over what is there: damaged, too large, cut off, while it grows. */
#include "loader_fixture.h"

static void test_a_snapshot_into_an_empty_table(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_content(500, 350, 7, 0);
	assert_int_equal(fx.l.pos.sequence, 7);
	assert_memory_equal(&fx.l.pos, &s.covers, sizeof(s.covers));
	assert_int_equal(atomic_load(&fx.live.as_of), 1007);
	assert_int_equal(log_of.removed_cnt, 0);
}

static void test_a_snapshot_replaces_what_a_running_table_has(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);
	struct pl_table_reader *r;
	struct pl_table_hit hit;
	uint64_t id = 600;
	uint32_t shown;

	(void)state;
	fill(400, 300); /* 400 .. 699: a hundred go, 150 come */
	fx.l.pos.sequence = 3;
	assert_int_equal(pl_table_reader_create(fx.l.table, &r), 0);
	pl_table_find(r, &id, 1, &hit);
	assert_int_equal(pl_table_seen(r, &hit, 77, 1), PL_SEEN_NEW);
	pl_table_quiesce(r);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_content(500, 350, 7, 0);
	assert_true(log_of.behind_published); /* meanwhile no one absent was called unknown */
	assert_int_equal(pl_table_get(fx.l.table, 600, NULL, &shown), 0);
	assert_int_equal(shown, 77);
	pl_table_reader_destroy(r);
}

/* Looked at from end to end before a table that is in use is touched. */
static void test_a_damaged_snapshot_changes_nothing_of_a_running_table(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	fill(400, 300);
	fx.l.pos.sequence = 3;
	pl_loader_position_set(&fx.l, &fx.l.pos);
	chunk_damage(7, 3);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_SIGNATURE);
	assert_string_equal(fx.report.name, "00000000000000000007.00003.plsnap");
	assert_content(400, 300, 3, 0);
	assert_int_equal(fx.l.pos.sequence, 3);
	/* But it shows that segments are lacking: nobody is called unknown, now or later. */
	assert_true(log_of.behind_published);
	assert_int_equal(pl_loader_end_check(&fx.l, &fx.report), PL_FEED_GAP);
	assert_non_null(strstr(fx.report.text, "up to 7 are missing"));
	fx.l.pos.sequence = 7;
	assert_int_equal(pl_loader_end_check(&fx.l, &fx.report), PL_FEED_OK);
	fx.l.pos = (struct pl_feed_pos){.stream_id = STREAM + 1, .sequence = 3};
	assert_int_equal(pl_loader_end_check(&fx.l, &fx.report), PL_FEED_OK);
}

/* A running appliance whose feed has had no certificate so far: absent is not yet unknown. */
static void test_a_snapshot_into_an_empty_table_that_serves_says_so(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	fx.l.pos.sequence = 3;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_true(log_of.behind_published);
	assert_content(500, 350, 7, 0);
}

/* A start begins to put a snapshot whose last chunk is damaged: the table says that it is of no one
 * position, and an older snapshot leaves nothing of it. */
static void test_a_snapshot_that_fails_half_way_gives_way_to_an_older_one(void **state)
{
	struct pl_feed_snapshot old = snapshot_put(5, 100, 50), s = snapshot_put(7, 500, 350);
	union pl_table_position at;

	(void)state;
	fx.l.loading = true;
	chunk_damage(7, 3);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_SIGNATURE);
	assert_int_equal(entry_cnt(), 300);
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.pos.sequence, 0);
	assert_int_equal(at.snapshot, 7);
	assert_int_equal(pl_loader_snapshot(&fx.l, &old, &fx.report), PL_FEED_OK);
	assert_content(100, 50, 5, 0);
}

/* While a snapshot is going in, and after one that did not come to its end, the table says so; until
 * the tail has come that far, too. */
static void test_the_mark_goes_when_the_tail_has_come_as_far(void **state)
{
	struct pl_feed_segment seg;
	union pl_table_position at;

	(void)state;
	fx.l.snapshot_to = 5;
	for (uint64_t sequence = 4; sequence <= 6; sequence++) {
		seg = segment(sequence, NULL, 0);
		assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
		pl_table_position_get(fx.l.table, &at);
		assert_int_equal(at.pos.sequence, sequence);
		assert_int_equal(at.snapshot, sequence < 5 ? 5 : 0);
	}
}

/* New ones come before old ones go: what does not fit in between fits after. */
static void test_a_snapshot_as_large_as_the_table_takes_the_place_of_another(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 10000, CAPACITY);

	(void)state;
	fill(1, CAPACITY);
	fx.l.pos.sequence = 3;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_false(fx.l.table_full);
	assert_content(10000, CAPACITY, 7, 0);
}

static void test_a_snapshot_larger_than_the_table_says_so_and_takes_what_fits(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 10000, CAPACITY + 5);
	union pl_table_position at;

	(void)state;
	fill(1, 10);
	fx.l.pos.sequence = 3;
	pl_loader_position_set(&fx.l, &fx.l.pos);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_true(fx.l.table_full);
	assert_int_equal(entry_cnt(), CAPACITY);
	assert_int_equal(facts_of(1), NOT_THERE);
	/* The next start, with more room, puts it in again. */
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.snapshot, 7);
}

/* It is read twice then; and if it cannot be the second time nobody knows who is missing. */
static void test_a_snapshot_that_fails_in_its_second_reading(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 10000, CAPACITY + 5);

	(void)state;
	fill(1, 10);
	fx.l.pos.sequence = 3;
	log_of.damage_after = CAPACITY + 20;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_SIGNATURE);
	assert_true(fx.l.table_full);
	assert_true(fx.l.missing.lost);
}

/* Full, and certificate 30000 found no room. */
static void fill_and_miss_one(void)
{
	const struct pl_feed_record late = {.cert_id = 30000, .facts = FACTS(3), .op = PL_FEED_PUT};
	struct pl_feed_segment seg = segment(4, &late, 1);

	fill(1, CAPACITY);
	fx.l.pos.sequence = 3;
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_true(fx.l.table_full);
	assert_int_equal(fx.l.missing.cnt, 1);
}

/* What had found no room and is not in the snapshot is not to come back when there is room. */
static void test_a_snapshot_ends_what_was_missing(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	fill_and_miss_one();
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_false(fx.l.table_full);
	assert_int_equal(fx.l.missing.cnt, 0);
	assert_content(500, 350, 7, 0);
}

/* Nor where all that had room is gone by then. */
static void test_a_snapshot_into_an_emptied_table_ends_what_was_missing(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	fill_and_miss_one();
	for (uint64_t id = 1; id <= CAPACITY; id++)
		assert_int_equal(pl_table_remove(fx.l.table, id), 0);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_false(fx.l.table_full);
	assert_int_equal(fx.l.missing.cnt, 0);
	assert_content(500, 350, 7, 0);
}

/* One of an earlier segment than the table has had facts of sets it back, and it says so. */
static void test_a_snapshot_from_before_what_is_known(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);
	union pl_table_position at;

	(void)state;
	fill(1, 100);
	fx.l.pos.sequence = 3;
	fx.l.ahead_to = 7;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_false(fx.l.went_back);
	assert_content(500, 350, 7, 0);
	fx.l.pos.sequence = 3;
	fx.l.ahead_to = 8;
	log_of.put_cnt = 0;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_true(fx.l.went_back);
	assert_int_equal(log_of.marked_at_put,
			 8); /* half way in it is made anew, and knows as much */
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.snapshot, 8 | PL_POSITION_AHEAD | PL_POSITION_BACK);
}

/* Facts of a snapshot that came in half were told: an older one is put over them unheard. */
static void test_what_follows_half_a_snapshot_goes_back(void **state)
{
	struct pl_feed_snapshot old = snapshot_put(5, 500, 350), s = snapshot_put(7, 500, 350);
	struct pl_feed_segment seg = segment(6, NULL, 0);

	(void)state;
	fill(1, 10);
	fx.l.pos.sequence = 3;
	log_of.damage_after = 100;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_SIGNATURE);
	assert_true(facts_of(500) != NOT_THERE);
	assert_false(log_of.loading_published);
	assert_int_equal(fx.l.ahead_to, 7);
	log_of.put_cnt = 0;
	assert_int_equal(pl_loader_snapshot(&fx.l, &old, &fx.report), PL_FEED_OK);
	assert_true(fx.l.loading && fx.l.went_back && log_of.loading_published);
	assert_true(log_of.quiet_at == 0);
	/* A segment likewise. */
	fx.l.loading = false;
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_true(fx.l.loading);
	fx.l.loading = false;
	seg = segment(8, NULL, 0);
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_false(fx.l.loading);
}

/* At a start nothing of it was told. */
static void test_half_a_snapshot_at_a_start_is_nothing_to_wait_for(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	fx.l.loading = true;
	chunk_damage(7, 3);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_SIGNATURE);
	assert_int_equal(fx.l.ahead_to, 0);
}

/* The table is growing when a snapshot comes: it does so to the end first. */
static void test_a_snapshot_while_the_table_grows(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);
	struct pl_table_stats stats;

	(void)state;
	fill(1, 100);
	fx.l.pos.sequence = 3;
	assert_int_equal(pl_table_grow_begin(fx.l.table, 2 * CAPACITY, fx.error, sizeof(fx.error)),
			 0);
	fx.l.growing = true;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_content(500, 350, 7, 0);
	pl_table_stats_get(fx.l.table, &stats);
	assert_int_equal(stats.capacity, 2 * CAPACITY);
}

static void test_stopping_ends_a_snapshot(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	atomic_store(&fx.l.stop, true);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_APPLY);
	assert_int_equal(fx.l.pos.sequence, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_a_snapshot_into_an_empty_table),
		T(test_a_snapshot_replaces_what_a_running_table_has),
		T(test_a_snapshot_into_an_empty_table_that_serves_says_so),
		T(test_a_damaged_snapshot_changes_nothing_of_a_running_table),
		T(test_a_snapshot_that_fails_half_way_gives_way_to_an_older_one),
		T(test_the_mark_goes_when_the_tail_has_come_as_far),
		T(test_a_snapshot_as_large_as_the_table_takes_the_place_of_another),
		T(test_a_snapshot_larger_than_the_table_says_so_and_takes_what_fits),
		T(test_a_snapshot_that_fails_in_its_second_reading),
		T(test_a_snapshot_ends_what_was_missing),
		T(test_a_snapshot_into_an_emptied_table_ends_what_was_missing),
		T(test_a_snapshot_from_before_what_is_known),
		T(test_what_follows_half_a_snapshot_goes_back),
		T(test_half_a_snapshot_at_a_start_is_nothing_to_wait_for),
		T(test_a_snapshot_while_the_table_grows),
		T(test_stopping_ends_a_snapshot),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
