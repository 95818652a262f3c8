/* SPDX-License-Identifier: BSD-3-Clause */
/* What a full table has passed over is in it when there is room, or the feed is read again. */
#include "loader_model.h"

/* What the feed store has. */
static struct {
	uint64_t readable_to; /* segments */
	uint64_t hole;        /* but not this one; 0: all */
	uint64_t snapshot;    /* and this snapshot; 0: none */
	bool bad_snapshot;
} store;

static enum pl_feed_error hook_read_to(struct pl_feed_store *s, struct pl_feed_pos *pos,
				       uint64_t newest, pl_feed_apply_fn apply_fn, void *ctx,
				       struct pl_feed_report *report)
{
	struct pl_feed_segment seg = {0};

	(void)s, (void)report;
	assert_int_equal(apply_fn(ctx, &seg), 0);
	/* From a hole on the tail goes on for who has the snapshot beyond it. */
	if (pos->sequence < store.hole && newest >= store.hole)
		newest = store.hole - 1;
	if (pos->sequence < newest)
		pos->sequence = newest < store.readable_to ? newest : store.readable_to;
	return PL_FEED_OK; /* a store that ends early is whole as far as it goes */
}

static int hook_snapshot_find(struct pl_feed_store *s, uint64_t above, uint64_t below,
			      struct pl_feed_snapshot *out)
{
	(void)s;
	if (store.snapshot <= above || store.snapshot >= below)
		return -ENOENT;
	*out = (struct pl_feed_snapshot){
		.covers = {.stream_id = STREAM, .sequence = store.snapshot}};
	return 0;
}

static enum pl_feed_error hook_snapshot_read(struct pl_feed_store *s,
					     const struct pl_feed_snapshot *snapshot,
					     pl_feed_apply_fn apply_fn, void *ctx,
					     struct pl_feed_report *report)
{
	(void)s, (void)snapshot, (void)apply_fn, (void)ctx, (void)report;
	return store.bad_snapshot ? PL_FEED_SIGNATURE : PL_FEED_OK;
}

#define pl_feed_store_read_to       hook_read_to
#define pl_feed_store_snapshot_find hook_snapshot_find
#define pl_feed_store_snapshot_read hook_snapshot_read
#include "../../app/passline/loader_missing.c"
#undef pl_feed_store_read_to
#undef pl_feed_store_snapshot_find
#undef pl_feed_store_snapshot_read

static int empty_store(void **state)
{
	memset(&store, 0, sizeof(store));
	return set_up(state);
}

static void test_what_found_no_room_is_put_when_there_is(void **state)
{
	uint64_t before;

	(void)state;
	put(1, CAPACITY, 0);
	assert_false(fx.l.table_full);
	before = position();
	assert_int_equal(before, CAPACITY);
	put(1001, 300, 0);
	assert_true(fx.l.table_full);
	put(1100, 50, 7); /* other facts, which have no room either */
	put(3, 1, 7);     /* one that is there */
	drop(1200);
	drop(1250);
	put(1250, 1, 9); /* the last word counts */
	assert_int_equal(position(), before);
	assert_as_the_feed_says();
	fx.full_published = true;
	grow_to(2000);
	assert_false(fx.l.table_full);
	assert_false(fx.full_published);
	assert_as_the_feed_says();
	assert_int_equal(facts_of(1100), FACTS(1107));
	assert_int_equal(facts_of(1200), 0);
	assert_int_equal(facts_of(1250), FACTS(1259));
	assert_int_equal(position(), fx.l.pos.sequence);
	assert_int_equal(fx.l.missing.cnt, 0);
	assert_int_equal(atomic_load(&fx.l.status.grown_cnt), 1);
	assert_false(fx.loading_published);
}

/* Some get room before the table grows, as others go: what is there then is newer than what was kept. */
static void test_what_found_room_since_is_left_alone(void **state)
{
	(void)state;
	put(1, CAPACITY, 0);
	put(1001, 100, 0);
	drop(1);
	drop(2);
	put(1001, 1, 5); /* there now, with other facts than it had when there was no room */
	put(1002, 1, 5);
	assert_int_equal(facts_of(1001), FACTS(1006));
	assert_int_equal(facts_of(1002), FACTS(1007));
	put(1001, 1, 6);
	drop(1002); /* and gone again */
	grow_to(1500);
	assert_as_the_feed_says();
	assert_int_equal(facts_of(1001), FACTS(1007));
	assert_int_equal(facts_of(1002), 0);
}

static void test_still_too_small_it_stays_full(void **state)
{
	uint64_t before;

	(void)state;
	put(1, CAPACITY, 0);
	before = position();
	put(1001, 900, 0);
	grow_to(1400);
	assert_true(fx.l.table_full);
	assert_int_equal(position(), before);
	assert_as_the_feed_says();
	put(1990, 10, 0);
	grow_to(2000);
	assert_false(fx.l.table_full);
	assert_as_the_feed_says();
	assert_int_equal(position(), fx.l.pos.sequence);
}

/* However often the same few certificates change that is no more than those, and the last word counts. */
static void test_only_the_last_change_is_kept(void **state)
{
	(void)state;
	put(1, CAPACITY, 0);
	for (uint32_t salt = 0; salt < 3 * PL_LOADER_MISSING_MAX / 100; salt++)
		put(1001, 100, salt);
	drop(1001);
	assert_false(fx.l.missing.lost);
	assert_in_range(fx.l.missing.cnt, 100, PL_LOADER_MISSING_MAX);
	grow_to(1500);
	assert_as_the_feed_says();
	assert_int_equal(facts_of(1001), 0);
}

/* Of more changes than are kept nobody knows any more which are missing: all since is read again, if it can
 * be, and nobody is told of what has gone back on the way. */
static void test_more_than_is_kept_is_read_again(void **state)
{
	union pl_table_position at;
	struct pl_feed_record again;
	uint64_t end;

	(void)state;
	put(1, CAPACITY, 0);
	put(1001, PL_LOADER_MISSING_MAX + 50, 0);
	assert_true(fx.l.missing.lost);
	put(5, 1, 3);
	drop(6);
	assert_int_equal(fx.l.missing.cnt, 0);
	end = fx.l.pos.sequence;
	/* The store lacks the last of it: what is there is better than nothing. */
	store.readable_to = end - 1;
	grow_to(4000);
	assert_true(fx.l.table_full && fx.l.missing.lost);
	assert_false(fx.l.loading);
	assert_as_the_feed_says();
	store.readable_to = end;
	(void)pl_loader_grow(&fx.l);
	assert_false(fx.l.loading); /* it was tried just now */
	fx.clock_s += READ_AGAIN_S;
	(void)pl_loader_grow(&fx.l);
	assert_true(fx.l.loading && fx.loading_published);
	assert_false(fx.l.table_full || fx.l.missing.lost);
	assert_int_equal(fx.l.pos.sequence, CAPACITY);
	assert_int_equal(fx.l.ahead_to, end);
	for (uint64_t sequence = CAPACITY + 1; sequence <= end; sequence++) {
		/* Whoever starts from here has to know that it may go back. */
		pl_table_position_get(fx.l.table, &at);
		assert_int_equal(at.snapshot, end | PL_POSITION_AHEAD | PL_POSITION_BACK);
		again = fx.history[sequence];
		apply(again);
	}
	assert_as_the_feed_says();
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.pos.sequence, end);
	assert_int_equal(at.snapshot, 0);
}

/* Where segments have been deleted their snapshot will do, if it is whole. */
static void test_it_is_read_again_by_a_snapshot(void **state)
{
	uint64_t end;

	(void)state;
	put(1, CAPACITY, 0);
	put(1001, PL_LOADER_MISSING_MAX + 50, 0);
	store.readable_to = end = fx.l.pos.sequence;
	store.hole = CAPACITY + 10;
	store.snapshot = CAPACITY + 5; /* before the hole */
	grow_to(4000);
	assert_true(fx.l.missing.lost);
	store.snapshot = CAPACITY + 20;
	store.bad_snapshot = true;
	fx.clock_s += READ_AGAIN_S;
	(void)pl_loader_grow(&fx.l);
	assert_true(fx.l.missing.lost);
	assert_int_equal(atomic_load(&fx.l.status.not_grown_cnt), 1); /* told once */
	store.bad_snapshot = false;
	fx.clock_s += READ_AGAIN_S;
	(void)pl_loader_grow(&fx.l);
	assert_true(fx.l.loading && fx.l.went_back);
	assert_int_equal(fx.l.ahead_to, end);
	assert_int_equal(fx.l.pos.sequence, CAPACITY);
}

/* One that lacks certificates tells the next process how far ahead of its position it is. */
static void test_a_full_table_says_what_it_is_ahead_of(void **state)
{
	union pl_table_position at;

	(void)state;
	put(1, CAPACITY, 0);
	put(1001, 1, 0);
	assert_true(fx.l.table_full);
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.snapshot, (CAPACITY + 1) | PL_POSITION_AHEAD);
	for (uint64_t sequence = CAPACITY + 2; sequence < CAPACITY + 9; sequence++) {
		put(7, 1, (uint32_t)sequence);
		pl_table_position_get(fx.l.table, &at);
		assert_int_equal(at.pos.sequence, CAPACITY);
		assert_int_equal(at.snapshot, sequence | PL_POSITION_AHEAD);
	}
	/* Nor does who makes it anew, as a snapshot is half way in, know less. */
	at.snapshot = 3;
	pl_table_position_set(fx.l.table, &at);
	put(7, 1, 1);
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.snapshot, CAPACITY + 9);
}

/* Room that others leave is found within a minute, once it is an eighth of what is missing. */
static void test_removals_make_room(void **state)
{
	uint64_t before;

	(void)state;
	put(1, CAPACITY, 0);
	before = position();
	for (uint32_t salt = 0; salt < 3; salt++)
		put(1001, 80, salt); /* 80 certificates, however often they change */
	(void)pl_loader_grow(&fx.l);
	for (uint64_t id = 1; id <= 9; id++)
		drop(id);
	fx.clock_s += ROOM_S;
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(facts_of(1001), 0);
	drop(10);
	fx.clock_s += ROOM_S - 1;
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(facts_of(1001), 0);
	fx.clock_s++;
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(facts_of(1001), FACTS(1003));
	assert_int_equal(facts_of(1011), 0);
	assert_int_equal(fx.l.missing.cnt, 70);
	assert_true(fx.l.table_full);
	assert_int_equal(position(), before);
	assert_as_the_feed_says();
	for (uint64_t id = 11; id <= 70; id++)
		drop(id);
	for (uint64_t id = 1070; id <= 1080; id++)
		drop(id); /* nobody waits for these any more */
	fx.full_published = true;
	fx.clock_s += ROOM_S;
	(void)pl_loader_grow(&fx.l);
	assert_false(fx.l.table_full || fx.full_published);
	assert_int_equal(position(), fx.l.pos.sequence);
	assert_as_the_feed_says();
}

/* But not to read the feed again, with everything UNKNOWN meanwhile, for a table that is too small for it. */
static void test_removals_do_not_have_it_read_again(void **state)
{
	(void)state;
	put(1, CAPACITY, 0);
	put(1001, PL_LOADER_MISSING_MAX + 50, 0);
	assert_true(fx.l.missing.lost);
	for (uint64_t id = 1; id <= CAPACITY; id++)
		drop(id);
	store.readable_to = fx.l.pos.sequence;
	(void)pl_loader_grow(&fx.l);
	assert_true(fx.l.table_full && fx.l.missing.lost);
	assert_false(fx.l.loading);
}

/* While everything loads nothing is tried: what loads may end what is missing. */
static void test_it_waits_for_loading(void **state)
{
	(void)state;
	put(1, CAPACITY, 0);
	put(1001, PL_LOADER_MISSING_MAX + 50, 0);
	fx.l.loading = fx.l.put_back_due = true;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(pl_loader_grow(&fx.l), PL_LOADER_POLL_MS);
}

/* Nothing is to be put for who was removed: so removals, however many, do not take the room of others. */
static void test_removals_are_not_kept(void **state)
{
	(void)state;
	put(1, CAPACITY, 0);
	put(1001, 1, 0);
	for (uint32_t i = 0; i < 3 * PL_LOADER_MISSING_MAX; i++)
		drop(1100 + i % 1900);
	assert_false(fx.l.missing.lost);
	grow_to(1200);
	assert_as_the_feed_says();
	assert_int_equal(facts_of(1001), FACTS(1001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, empty_store, tear_down)
		T(test_what_found_no_room_is_put_when_there_is),
		T(test_what_found_room_since_is_left_alone),
		T(test_still_too_small_it_stays_full),
		T(test_only_the_last_change_is_kept),
		T(test_removals_make_room),
		T(test_removals_do_not_have_it_read_again),
		T(test_it_waits_for_loading),
		T(test_removals_are_not_kept),
		T(test_more_than_is_kept_is_read_again),
		T(test_it_is_read_again_by_a_snapshot),
		T(test_a_full_table_says_what_it_is_ahead_of),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
