/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When the loader goes by what the intake says, and when it looks at the whole store. Store, intake,
 * clock and the loader's other files are scripts here: what counts is who is asked, and what is made of the answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "../../app/passline/view.h"

static int hook_clock(clockid_t id, struct timespec *ts);
static void hook_view_wait(struct pl_view_box *box, const _Atomic bool *stop);
#define clock_gettime hook_clock
#define pl_view_wait  hook_view_wait
#include "../../app/passline/loader.c"
#undef clock_gettime
#undef pl_view_wait

static struct pl_live live;
static struct pl_loader l;

static struct {
	struct pl_intake_status known;
	uint64_t files_to;                 /* the store has all segments up to here */
	uint64_t hole;                     /* but not this one; 0: all */
	uint64_t beyond;                   /* a segment behind a hole; 0: none */
	uint64_t snapshot;                 /* in the store; 0: none */
	uint64_t older_snapshot;           /* the same */
	enum pl_feed_error snapshot_error; /* of each of them */
	enum pl_feed_error end_check;      /* what loader_apply.c says */
	uint32_t look_cnt;                 /* listings of the store */
	uint32_t taken_cnt;
	uint64_t now_s;
	union pl_table_position at; /* of a table that was found */
	bool growing;
	uint32_t waited_cnt;  /* for workers */
	uint32_t waited_with; /* flags by then */
} script;

static int hook_clock(clockid_t id, struct timespec *ts)
{
	(void)id;
	*ts = (struct timespec){.tv_sec = (time_t)script.now_s};
	return 0;
}

static void hook_view_wait(struct pl_view_box *box, const _Atomic bool *stop)
{
	(void)box, (void)stop;
	script.waited_cnt++;
	script.waited_with = atomic_load(&live.feed_flags);
}

enum pl_feed_error pl_feed_store_read_to(struct pl_feed_store *s, struct pl_feed_pos *pos,
					 uint64_t newest, pl_feed_apply_fn apply, void *ctx,
					 struct pl_feed_report *report)
{
	(void)s, (void)apply, (void)ctx;
	memset(report, 0, sizeof(*report));
	while (pos->sequence < script.files_to && pos->sequence + 1 != script.hole)
		pos->sequence++;
	if (pos->sequence >= newest)
		return PL_FEED_OK;
	script.look_cnt++;
	return (script.hole != 0 && pos->sequence < script.hole &&
		script.files_to >= script.hole) ||
			       script.beyond > pos->sequence
		       ? PL_FEED_GAP
		       : PL_FEED_OK;
}

enum pl_feed_error pl_feed_store_read(struct pl_feed_store *s, struct pl_feed_pos *pos,
				      pl_feed_apply_fn apply, void *ctx,
				      struct pl_feed_report *report)
{
	return pl_feed_store_read_to(s, pos, UINT64_MAX, apply, ctx, report);
}

int pl_feed_store_snapshot_find(struct pl_feed_store *s, uint64_t above, uint64_t below,
				struct pl_feed_snapshot *out)
{
	(void)s;
	script.look_cnt++;
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t sequence = i == 0 ? script.snapshot : script.older_snapshot;

		if (sequence <= above || sequence >= below)
			continue;
		*out = (struct pl_feed_snapshot){.covers.sequence = sequence};
		return 0;
	}
	return -ENOENT;
}

enum pl_feed_error pl_loader_snapshot(struct pl_loader *to, const struct pl_feed_snapshot *snapshot,
				      struct pl_feed_report *report)
{
	report->text[0] = '\0';
	script.taken_cnt++;
	if (script.snapshot_error == PL_FEED_OK)
		to->pos.sequence = snapshot->covers.sequence;
	return script.snapshot_error;
}

enum pl_feed_error pl_loader_end_check(struct pl_loader *of, struct pl_feed_report *report)
{
	(void)of, (void)report;
	return script.end_check;
}

void pl_intake_status_get(struct pl_intake *in, struct pl_intake_status *out)
{
	(void)in;
	*out = script.known;
}

/* What the loader's thread, start and stop need, which nothing here calls. */
int pl_loader_segment(void *ctx, const struct pl_feed_segment *seg)
{
	(void)ctx, (void)seg;
	return -1;
}
bool pl_loader_audit(struct pl_loader *of)
{
	(void)of;
	return true;
}
uint32_t pl_loader_grow(struct pl_loader *of)
{
	(void)of;
	return 0;
}
void pl_loader_grow_through(struct pl_loader *of)
{
	(void)of;
}
void pl_table_stats_get(const struct pl_table *t, struct pl_table_stats *out)
{
	(void)t;
	memset(out, 0, sizeof(*out));
	out->growing = script.growing;
}
void pl_loader_prune(struct pl_loader *of)
{
	(void)of;
}
int pl_intake_fd(const struct pl_intake *in)
{
	(void)in;
	return -1;
}
void pl_intake_applied_set(struct pl_intake *in, uint64_t sequence)
{
	(void)in, (void)sequence;
}
int pl_feed_store_open(const struct pl_feed_store_conf *conf, struct pl_feed_store **out,
		       char *error, size_t error_size)
{
	(void)conf, (void)out, (void)error, (void)error_size;
	return -1;
}
void pl_feed_store_close(struct pl_feed_store *s)
{
	(void)s;
}
int pl_feed_net_create(struct pl_feed_net **out)
{
	(void)out;
	return -1;
}
void pl_feed_net_destroy(struct pl_feed_net *net)
{
	(void)net;
}
void pl_table_position_get(const struct pl_table *t, void *bytes)
{
	(void)t;
	memcpy(bytes, &script.at, sizeof(script.at));
}
int rte_ctrl_thread_create(pthread_t *thread, const char *name, const pthread_attr_t *attr,
			   void *(*start)(void *), void *arg)
{
	(void)thread, (void)name, (void)attr, (void)start, (void)arg;
	return -1;
}
void pl_say(const char *format, ...)
{
	(void)format;
}

static void stored_to(uint64_t sequence)
{
	script.files_to = sequence;
	script.known.pos.sequence = sequence;
}

/* As pl_loader_start() has it with a table that says this of itself. */
static void start_at(union pl_table_position at)
{
	memset(&l, 0, sizeof(l));
	memset(&live, 0, sizeof(live));
	l.live = &live;
	l.dir_path = "store";
	l.loading = true;
	l.audited = true;
	script.at = at;
	resume(&l);
}

/* A loader that has read three segments, a moment after it looked at everything. */
static int set_up(void **state)
{
	(void)state;
	memset(&script, 0, sizeof(script));
	script.now_s = 1000;
	start_at((union pl_table_position){0});
	stored_to(3);
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 3);
	assert_false(l.loading || l.behind);
	read_feed(&l); /* the first one while it serves is due at once */
	script.look_cnt = 0;
	return 0;
}

static void test_what_the_intake_adds_costs_no_listing(void **state)
{
	(void)state;
	for (uint64_t n = 4; n < 40; n++) {
		stored_to(n);
		read_feed(&l);
		assert_int_equal(l.pos.sequence, n);
	}
	assert_int_equal(script.look_cnt, 0);
	assert_false(l.behind);
}

static void test_a_segment_put_there_by_hand_is_read_and_one_behind_a_gap_seen_in_time(void **state)
{
	(void)state;
	script.files_to = 4; /* the intake does not know of it */
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 4);
	script.beyond = 7;
	script.now_s += LOOK_EVERY_S - 1;
	read_feed(&l);
	assert_false(l.behind);
	script.now_s++;
	read_feed(&l);
	assert_true(l.behind);
	/* And at each reading from then on, until it is filled. */
	script.files_to = 7;
	script.beyond = 0;
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 7);
	assert_false(l.behind);
}

static void test_a_snapshot_that_the_intake_tells_of_is_taken_at_once(void **state)
{
	(void)state;
	script.snapshot = script.known.snapshot = 9;
	script.known.pos.sequence = 9;
	read_feed(&l);
	assert_int_equal(script.taken_cnt, 1);
	assert_int_equal(l.pos.sequence, 9);
	assert_false(l.behind);
}

/* A segment and the snapshot that covers more than it, in one go. */
static void test_a_snapshot_beyond_what_could_be_read_is_taken(void **state)
{
	(void)state;
	stored_to(4);
	script.snapshot = script.known.snapshot = 9;
	read_feed(&l);
	assert_int_equal(script.taken_cnt, 1);
	assert_int_equal(l.pos.sequence, 9);
}

static void test_a_hole_is_seen_at_once(void **state)
{
	(void)state;
	stored_to(6);
	script.hole = 5;
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 4);
	assert_true(l.behind);
	assert_true(atomic_load(&live.feed_flags) & PL_FLAG_INTAKE);
}

/* Stored, and gone before it was read, with nothing behind it. */
static void test_what_was_stored_and_is_gone_is_lacking(void **state)
{
	(void)state;
	script.known.pos.sequence = 4;
	read_feed(&l);
	assert_true(l.behind);
	assert_int_equal(atomic_load(&l.status.refused), PL_FEED_GAP);
	assert_string_equal(l.refusal, "segment 4 was stored, and is not there");
}

static void test_a_table_made_anew_is_read_from_the_beginning(void **state)
{
	(void)state;
	l.pos.sequence = 0;
	l.loading = true;
	script.snapshot = script.known.snapshot = 2;
	read_feed(&l);
	assert_int_equal(script.taken_cnt, 1);
	assert_int_equal(l.pos.sequence, 3);
	assert_false(l.loading);
}

/* A table that was full has facts of later segments than its position: until it is there again, whatever
 * keeps it from that, nothing of it is told. */
static void test_it_is_loading_until_it_is_where_it_was(void **state)
{
	(void)state;
	script.growing = true;
	start_at((union pl_table_position){
		{.pos = {.sequence = 3, .as_of = 7}, .snapshot = 8 | PL_POSITION_AHEAD}});
	assert_int_equal(l.pos.sequence, 3);
	assert_int_equal(l.ahead_to, 8);
	assert_true(l.growing);
	stored_to(9);
	script.hole = 6;
	/* Nothing was put yet: what is there is as new as it was, and not all of it. */
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 5);
	assert_false(l.loading);
	assert_true(l.behind);
	l.loading = true;
	l.went_back = true;
	script.now_s += LOOK_EVERY_S;
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 5);
	assert_true(l.loading);
	assert_true(atomic_load(&live.feed_flags) & PL_FLAG_LOADING);
	script.hole = 0;
	script.now_s += LOOK_EVERY_S;
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 9);
	assert_false(l.loading);
	assert_false(atomic_load(&live.feed_flags) & PL_FLAG_LOADING);
}

/* One that went back says so to the next process, which tells nothing, even if it can put nothing either. */
static void test_what_went_back_is_not_told_by_the_next_process(void **state)
{
	(void)state;
	start_at((union pl_table_position){
		{.pos = {.sequence = 3}, .snapshot = 8 | PL_POSITION_AHEAD | PL_POSITION_BACK}});
	assert_int_equal(l.ahead_to, 8);
	stored_to(9);
	script.hole = 4;
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 3);
	assert_true(l.loading);
	script.hole = 0;
	script.now_s += LOOK_EVERY_S;
	read_feed(&l);
	assert_false(l.loading || l.went_back);
}

/* At a start nothing of half a snapshot was told; once it is, what is older goes back behind it. */
static void test_half_a_snapshot_is_known_from_when_it_is_told(void **state)
{
	(void)state;
	l.snapshot_to = 7;
	stored_to(3);
	script.beyond = 8;
	l.loading = l.went_back = true;
	l.ahead_to = 5;
	read_feed(&l);
	assert_true(l.loading);
	assert_int_equal(l.ahead_to, 5);
	l.went_back = false;
	read_feed(&l);
	assert_false(l.loading);
	assert_int_equal(l.pos.sequence, 3);
	assert_int_equal(l.ahead_to, 7);
	script.beyond = 0;
	stored_to(9);
	script.now_s += LOOK_EVERY_S;
	read_feed(&l);
	assert_false(l.loading || l.behind);
}

/* Beyond a hole after segment 9. */
static void two_snapshots_fail(enum pl_feed_error e)
{
	stored_to(9);
	script.beyond = 30;
	script.snapshot = 20;
	script.older_snapshot = 15;
	script.snapshot_error = e;
}

/* An older snapshot does not take the place of one that is whole, and could not be put just now. */
static void test_a_table_that_cannot_take_one_takes_no_older_one(void **state)
{
	(void)state;
	two_snapshots_fail(PL_FEED_APPLY);
	script.now_s += LOOK_EVERY_S;
	read_feed(&l);
	assert_int_equal(script.taken_cnt, 1);
}

/* Workers are told before anything goes back, and once. */
static void test_workers_are_waited_for(void **state)
{
	(void)state;
	l.loading = false;
	pl_loader_hush(&l);
	assert_true(l.loading);
	assert_int_equal(script.waited_cnt, 1);
	assert_true(script.waited_with & PL_FLAG_LOADING);
	pl_loader_hush(&l);
	assert_int_equal(script.waited_cnt, 1);
}

/* However many snapshots are bad: each is looked through once a minute, a newer one at once. */
static void test_bad_snapshots_are_left_alone(void **state)
{
	(void)state;
	two_snapshots_fail(PL_FEED_SIGNATURE);
	for (uint32_t i = 0; i < 121; i++) {
		script.now_s += LOOK_EVERY_S;
		read_feed(&l);
	}
	assert_int_equal(script.taken_cnt, 2 * 11);
	script.taken_cnt = 0;
	script.older_snapshot = 20;
	script.snapshot = 25;
	script.now_s += LOOK_EVERY_S;
	read_feed(&l);
	assert_int_equal(script.taken_cnt, 1);
	assert_int_equal(l.pos.sequence, 9);
	/* Those who were tried and are good by now, after a while. */
	script.snapshot_error = PL_FEED_OK;
	script.now_s += SNAPSHOT_RETRY_S;
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 25);
}

/* A store that ends before that says so. */
static void test_a_feed_that_ends_before_what_is_known_is_told(void **state)
{
	(void)state;
	l.loading = true;
	stored_to(6);
	pl_loader_known_to(&l, 9);
	read_feed(&l);
	assert_int_equal(l.pos.sequence, 6);
	assert_true(l.loading && l.behind);
	assert_string_equal(
		l.refusal, "it ends at segment 6, and the table has had facts of segments up to 9");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		T(test_what_the_intake_adds_costs_no_listing),
		T(test_a_segment_put_there_by_hand_is_read_and_one_behind_a_gap_seen_in_time),
		T(test_a_snapshot_that_the_intake_tells_of_is_taken_at_once),
		T(test_a_snapshot_beyond_what_could_be_read_is_taken),
		T(test_a_hole_is_seen_at_once),
		T(test_what_was_stored_and_is_gone_is_lacking),
		T(test_a_table_made_anew_is_read_from_the_beginning),
		T(test_it_is_loading_until_it_is_where_it_was),
		T(test_what_went_back_is_not_told_by_the_next_process),
		T(test_half_a_snapshot_is_known_from_when_it_is_told),
		T(test_a_table_that_cannot_take_one_takes_no_older_one),
		T(test_workers_are_waited_for),
		T(test_bad_snapshots_are_left_alone),
		T(test_a_feed_that_ends_before_what_is_known_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
