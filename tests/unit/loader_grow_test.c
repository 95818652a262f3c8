/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A table that is full, and one that grows while segments are applied: whatever comes in whatever order, in
 * the end it holds what the feed says. Its steps are small here, so that much comes between them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PL_LOADER_GROW_SLOTS  64u
#define PL_LOADER_TURN_NS     0u
#define PL_LOADER_MISSING_MIN 8u
#define PL_LOADER_MISSING_MAX 2048u
#include "../../app/passline/loader_pvt.h"

static enum pl_feed_error hook_read_to(struct pl_feed_store *s, struct pl_feed_pos *pos,
				       uint64_t newest, pl_feed_apply_fn apply, void *ctx,
				       struct pl_feed_report *report);
static int hook_snapshot_find(struct pl_feed_store *s, uint64_t above, uint64_t below,
			      struct pl_feed_snapshot *out);
static enum pl_feed_error hook_snapshot_read(struct pl_feed_store *s,
					     const struct pl_feed_snapshot *snapshot,
					     pl_feed_apply_fn apply_fn, void *ctx,
					     struct pl_feed_report *report);
#define pl_feed_store_read_to       hook_read_to
#define pl_feed_store_snapshot_find hook_snapshot_find
#define pl_feed_store_snapshot_read hook_snapshot_read
#include "../../app/passline/loader_grow.c"
#undef pl_feed_store_read_to
#undef pl_feed_store_snapshot_find
#undef pl_feed_store_snapshot_read
#include "../../app/passline/loader_apply.c"

#define STREAM   9u
#define CAPACITY 1000u
#define IDS      3200u
#define SOME_IDS 2400u /* so few that all the missing ones are kept */
#define FACTS(n) (1u | (uint32_t)(n) << 4)

static struct {
	struct pl_live live;
	struct pl_loader l;
	uint64_t clock_s;
	uint32_t published_cnt;
	uint32_t said_cnt;
	bool full_published; /* the last time */
	bool loading_published;
	uint32_t model[IDS + 1]; /* facts by id; 0: not there */
	uint64_t readable_to;    /* segments that the store has */
	uint64_t hole;           /* but not this one; 0: all */
	uint64_t snapshot;       /* and this snapshot; 0: none */
	bool bad_snapshot;
	struct pl_feed_record history[8000]; /* by sequence; for the test that reads it again */
	char dir[64];
} fx;

void pl_say(const char *format, ...)
{
	(void)format;
	fx.said_cnt++;
}

void pl_loader_flags_publish(struct pl_loader *l)
{
	fx.published_cnt++;
	fx.full_published = l->table_full;
	fx.loading_published |= l->loading;
}

void pl_loader_known_to(struct pl_loader *l, uint64_t sequence)
{
	l->ahead_to = sequence;
	l->went_back = true;
}

uint64_t pl_loader_now_s(void)
{
	return fx.clock_s;
}

/* What only snapshots and the store need. */
int pl_intake_prune(struct pl_intake *in, const struct pl_feed_snapshot *snapshot,
		    struct pl_feed_pruned *out, char *error, size_t error_size)
{
	(void)in, (void)snapshot, (void)out, (void)error, (void)error_size;
	return -EINVAL;
}

static enum pl_feed_error hook_read_to(struct pl_feed_store *s, struct pl_feed_pos *pos,
				       uint64_t newest, pl_feed_apply_fn apply, void *ctx,
				       struct pl_feed_report *report)
{
	struct pl_feed_segment seg = {0};

	(void)s, (void)report;
	assert_int_equal(apply(ctx, &seg), 0);
	/* From a hole on the tail goes on for who has the snapshot beyond it. */
	if (pos->sequence < fx.hole && newest >= fx.hole)
		newest = fx.hole - 1;
	if (pos->sequence < newest)
		pos->sequence = newest < fx.readable_to ? newest : fx.readable_to;
	return PL_FEED_OK; /* a store that ends early is whole as far as it goes */
}

static int hook_snapshot_find(struct pl_feed_store *s, uint64_t above, uint64_t below,
			      struct pl_feed_snapshot *out)
{
	(void)s;
	if (fx.snapshot <= above || fx.snapshot >= below)
		return -ENOENT;
	*out = (struct pl_feed_snapshot){.covers = {.stream_id = STREAM, .sequence = fx.snapshot}};
	return 0;
}

static enum pl_feed_error hook_snapshot_read(struct pl_feed_store *s,
					     const struct pl_feed_snapshot *snapshot,
					     pl_feed_apply_fn apply_fn, void *ctx,
					     struct pl_feed_report *report)
{
	(void)s, (void)snapshot, (void)apply_fn, (void)ctx, (void)report;
	return fx.bad_snapshot ? PL_FEED_SIGNATURE : PL_FEED_OK;
}

static void open_table(const char *path)
{
	struct pl_table_conf conf = {
		.path = path, .capacity = CAPACITY, .hash_seed = 3, .numa_node = -1};
	char error[256];

	assert_int_equal(pl_table_create(&conf, &fx.l.table, error, sizeof(error)), 0);
}

static int set_up(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	fx.clock_s = 100;
	fx.l.live = &fx.live;
	fx.l.dir_path = "feed";
	fx.l.pos.stream_id = STREAM;
	fx.l.audited = true;
	fx.l.wake_fd = -1;
	fx.l.batch = calloc(PL_LOADER_BATCH_CNT, sizeof(*fx.l.batch));
	PL_CHECK(fx.l.batch != NULL && pl_feed_net_create(&fx.l.net) == 0);
	open_table(NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pl_table_close(fx.l.table);
	pl_feed_net_destroy(fx.l.net);
	pl_loader_missing_drop(&fx.l);
	free(fx.l.batch);
	return 0;
}

/* The next segment, as the loader's other file would hand it on, and into the model. */
static void apply(const struct pl_feed_record *records, uint32_t cnt)
{
	struct pl_feed_segment seg = {
		.header = {.stream_id = STREAM,
			   .sequence = fx.l.pos.sequence + 1,
			   .record_cnt = cnt},
		.records = records,
	};

	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	pl_feed_advance(&fx.l.pos, &seg);
	if (fx.l.pos.sequence < PL_ARRAY_CNT(fx.history))
		fx.history[fx.l.pos.sequence] = records[0];
	for (uint32_t i = 0; i < cnt; i++)
		fx.model[records[i].cert_id] = records[i].op == PL_FEED_PUT ? records[i].facts : 0;
}

static void put(uint64_t first, uint64_t cnt, uint32_t salt)
{
	for (uint64_t id = first; id < first + cnt; id++)
		apply(&(struct pl_feed_record){.cert_id = id,
					       .facts = FACTS(id + salt),
					       .op = PL_FEED_PUT},
		      1);
}

static void drop(uint64_t id)
{
	apply(&(struct pl_feed_record){.cert_id = id, .op = PL_FEED_REMOVE}, 1);
}

static uint32_t facts_of(uint64_t id)
{
	uint32_t facts;

	return pl_table_get(fx.l.table, id, &facts, NULL) == 0 ? facts : 0;
}

static uint64_t position(void)
{
	union pl_table_position at;

	pl_table_position_get(fx.l.table, &at);
	return at.pos.sequence;
}

/* What is there is as the feed says, and if the table is not full all of it is. */
static void assert_as_the_feed_says(void)
{
	char error[256] = "";

	for (uint64_t id = 1; id <= IDS; id++) {
		uint32_t facts = facts_of(id);

		if (facts != fx.model[id] && (facts != 0 || !fx.l.table_full))
			fail_msg("certificate %" PRIu64 ": %08x for %08x", id, facts, fx.model[id]);
	}
	if (pl_table_check(fx.l.table, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static void grow_to(uint64_t capacity)
{
	struct pl_table_stats stats;

	pl_loader_grow_to(&fx.l, capacity);
	for (uint32_t turns = 0; pl_loader_grow(&fx.l) == TURN_GAP_MS && !fx.l.loading; turns++)
		assert_true(turns < 100000);
	pl_table_stats_get(fx.l.table, &stats);
	assert_int_equal(stats.capacity, capacity);
	assert_false(stats.growing);
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
	fx.readable_to = end - 1;
	grow_to(4000);
	assert_true(fx.l.table_full && fx.l.missing.lost);
	assert_false(fx.l.loading);
	assert_as_the_feed_says();
	fx.readable_to = end;
	(void)pl_loader_grow(&fx.l);
	assert_false(fx.l.loading); /* it was tried just now */
	fx.clock_s += RETRY_S;
	(void)pl_loader_grow(&fx.l);
	assert_true(fx.l.loading && fx.loading_published);
	assert_false(fx.l.table_full || fx.l.missing.lost);
	assert_int_equal(fx.l.pos.sequence, CAPACITY);
	assert_int_equal(fx.l.ahead_to, end);
	for (uint64_t sequence = CAPACITY + 1; sequence <= end; sequence++) {
		/* Whoever starts from here has to know that it may go back. */
		pl_table_position_get(fx.l.table, &at);
		assert_int_equal(at.snapshot, end | PL_POSITION_AHEAD);
		again = fx.history[sequence];
		apply(&again, 1);
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
	fx.readable_to = end = fx.l.pos.sequence;
	fx.hole = CAPACITY + 10;
	fx.snapshot = CAPACITY + 5; /* before the hole */
	grow_to(4000);
	assert_true(fx.l.missing.lost);
	fx.snapshot = CAPACITY + 20;
	fx.bad_snapshot = true;
	fx.clock_s += RETRY_S;
	(void)pl_loader_grow(&fx.l);
	assert_true(fx.l.missing.lost);
	fx.bad_snapshot = false;
	fx.clock_s += RETRY_S;
	(void)pl_loader_grow(&fx.l);
	assert_true(fx.l.loading && fx.l.went_back);
	assert_int_equal(fx.l.ahead_to, end);
	assert_int_equal(fx.l.pos.sequence, CAPACITY);
}

/* A table that is to be larger still, which it cannot be, has room all the same. */
static void test_a_refusal_keeps_nothing_out(void **state)
{
	struct pl_table_reader *reader;

	(void)state;
	put(1, CAPACITY, 0);
	put(1001, 300, 0);
	assert_int_equal(pl_table_reader_create(fx.l.table, &reader), 0);
	pl_loader_grow_to(&fx.l, 2000);
	for (uint32_t turns = 0; !fx.l.put_back_due; turns++) {
		assert_true(turns < 100000);
		pl_table_quiesce(reader);
		(void)pl_loader_grow(&fx.l);
	}
	pl_loader_grow_to(&fx.l, UINT64_MAX);
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(atomic_load(&fx.l.status.grow_refused), EINVAL);
	assert_false(fx.l.table_full);
	assert_as_the_feed_says();
	/* Taken back it is no worry any more. */
	pl_loader_grow_to(&fx.l, 2000);
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(atomic_load(&fx.l.status.grow_refused), 0);
	pl_table_reader_destroy(reader);
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
	/* Of a snapshot half way in nothing else is told. */
	at.snapshot = 3;
	pl_table_position_set(fx.l.table, &at);
	put(7, 1, 1);
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.snapshot, 3);
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

/* Whatever comes between the steps. */
static void test_any_order_ends_the_same(void **state)
{
	uint64_t rng = 1;

	(void)state;
	for (uint32_t round = 0; round < 40; round++) {
		uint64_t capacity = CAPACITY;

		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
		for (uint32_t op = 0; op < 12000; op++) {
			uint64_t r = pl_mix64(++rng);
			/* The later, the more there are. */
			uint64_t id = 1 + (r >> 32) % (200 + op * (SOME_IDS - 200) / 12000);

			if (r % 3 == 0)
				drop(id);
			else
				put(id, 1, (uint32_t)(r >> 8) % 1000);
			if (r % 1500 == 0 && capacity < SOME_IDS) {
				capacity += 1 + (r >> 20) % 500;
				pl_loader_grow_to(&fx.l, capacity);
			}
			if (op % 16 == 0)
				(void)pl_loader_grow(&fx.l);
		}
		assert_false(fx.l.missing.lost || fx.l.loading);
		assert_as_the_feed_says();
		grow_to(capacity < SOME_IDS ? SOME_IDS : capacity);
		assert_false(fx.l.table_full);
		assert_as_the_feed_says();
		assert_int_equal(position(), fx.l.pos.sequence);
	}
}

/* A worker between two quiescent points keeps the old table; nobody waits for it but the end. */
static void test_a_worker_keeps_what_it_reads(void **state)
{
	struct pl_table_reader *reader;
	struct pl_table_hit hit;
	uint64_t id = 77;

	(void)state;
	put(1, 500, 0);
	assert_int_equal(pl_table_reader_create(fx.l.table, &reader), 0);
	pl_loader_grow_to(&fx.l, 2000);
	for (uint32_t turns = 0; turns < 1000; turns++) {
		assert_int_equal(pl_loader_grow(&fx.l), TURN_GAP_MS);
		pl_table_find(reader, &id, 1, &hit);
		assert_int_equal(hit.facts, FACTS(77));
	}
	put(600, 10, 0);
	for (uint32_t turns = 0; fx.l.growing; turns++) {
		assert_true(turns < 1000);
		pl_table_quiesce(reader);
		(void)pl_loader_grow(&fx.l);
		pl_table_find(reader, &id, 1, &hit);
		assert_int_equal(hit.facts, FACTS(77));
	}
	assert_as_the_feed_says();
	pl_table_reader_destroy(reader);
}

/* Not while everything loads, or before a table that was found was looked over; not smaller. */
static void test_when_it_does_not_begin(void **state)
{
	(void)state;
	pl_loader_grow_to(&fx.l, 2000);
	fx.l.loading = true;
	assert_int_equal(pl_loader_grow(&fx.l), PL_LOADER_POLL_MS);
	fx.l.loading = false;
	fx.l.audited = false;
	assert_int_equal(pl_loader_grow(&fx.l), PL_LOADER_POLL_MS);
	fx.l.audited = true;
	pl_loader_grow_to(&fx.l, CAPACITY);
	assert_int_equal(pl_loader_grow(&fx.l), PL_LOADER_POLL_MS);
	assert_false(fx.l.growing);
	assert_int_equal(fx.said_cnt, 0);
	pl_loader_grow_to(&fx.l, CAPACITY + 1);
	assert_int_equal(pl_loader_grow(&fx.l), TURN_GAP_MS);
	assert_true(fx.l.growing);
	pl_loader_grow_through(&fx.l);
	assert_false(fx.l.growing);
}

/* Without the memory for it everything stays, it is told once, and tried again: after a while, or when it
 * is asked for once more. */
static void test_a_refusal_is_told_once_and_tried_again(void **state)
{
	char path[96];

	(void)state;
	pl_table_close(fx.l.table);
	snprintf(fx.dir, sizeof(fx.dir), "%s/passline-grow-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(fx.dir));
	snprintf(path, sizeof(path), "%s/table", fx.dir);
	open_table(path);
	put(1, CAPACITY + 10, 0);
	/* Nothing can be made there any more. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(fx.dir), 0);
	pl_loader_grow_to(&fx.l, 2000);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(pl_loader_grow(&fx.l), PL_LOADER_POLL_MS);
	assert_int_equal(atomic_load(&fx.l.status.not_grown_cnt), 1);
	assert_int_equal(fx.said_cnt, 1);
	fx.clock_s += RETRY_S;
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(fx.l.grow_s, fx.clock_s); /* it was tried */
	assert_int_equal(atomic_load(&fx.l.status.not_grown_cnt), 1);
	assert_int_equal(fx.said_cnt, 1);
	assert_int_equal(atomic_load(&fx.l.status.grow_refused), ENOENT);
	assert_int_equal(atomic_load(&fx.l.status.growing_to), 0);
	assert_true(fx.l.table_full);
	assert_as_the_feed_says();
	/* Who asks again is told again. */
	pl_loader_grow_to(&fx.l, 2000);
	(void)pl_loader_grow(&fx.l);
	assert_int_equal(atomic_load(&fx.l.status.not_grown_cnt), 2);
	assert_int_equal(fx.said_cnt, 2);
	assert_int_equal(mkdir(fx.dir, 0700), 0);
	(void)pl_loader_grow(&fx.l);
	assert_false(fx.l.growing);
	pl_loader_grow_to(&fx.l, 2000);
	(void)pl_loader_grow(&fx.l);
	assert_true(fx.l.growing);
	assert_int_equal(atomic_load(&fx.l.status.growing_to), 2000);
	/* What is between the name of the old one and that of the new one is the library's. */
	fx.l.growing = false;
	pl_table_close(fx.l.table);
	(void)unlink(path);
	assert_int_equal(rmdir(fx.dir), 0);
	open_table(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(test_what_found_no_room_is_put_when_there_is),
		T(test_what_found_room_since_is_left_alone),
		T(test_still_too_small_it_stays_full),
		T(test_only_the_last_change_is_kept),
		T(test_more_than_is_kept_is_read_again),
		T(test_it_is_read_again_by_a_snapshot),
		T(test_a_refusal_keeps_nothing_out),
		T(test_a_full_table_says_what_it_is_ahead_of),
		T(test_removals_are_not_kept),
		T(test_any_order_ends_the_same),
		T(test_a_worker_keeps_what_it_reads),
		T(test_when_it_does_not_begin),
		T(test_a_refusal_is_told_once_and_tried_again),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
