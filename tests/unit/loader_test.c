/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the loader does to the table: the net effect of a segment, a table that was found damaged, and what
 * is deleted from the store. The end-to-end tests have its thread and its words to humans.
 */
#include "loader_fixture.h"

/* ---- the net effect of a segment ---- */

static const struct pl_feed_record back_and_forth[] = {
	{.cert_id = 1, .op = PL_FEED_REMOVE},
	{.cert_id = 2, .op = PL_FEED_PUT, .facts = FACTS(2) | PL_FACTS_REVOKED},
	{.cert_id = 1, .op = PL_FEED_PUT, .facts = FACTS(11)},
	{.cert_id = 3, .op = PL_FEED_PUT, .facts = FACTS(3)},
	{.cert_id = 2, .op = PL_FEED_PUT, .facts = FACTS(22)},
	{.cert_id = 3, .op = PL_FEED_REMOVE},
};

/* What comes and goes within one segment is never seen: no one is absent who is to stay, no one
 * revoked who is not. */
static void test_only_the_net_effect_of_a_segment_is_applied(void **state)
{
	struct pl_feed_segment seg = segment(1, back_and_forth, PL_ARRAY_CNT(back_and_forth));

	(void)state;
	fill(1, 3);
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_int_equal(log_of.removed_cnt, 1);
	assert_int_equal(log_of.removed[0], 3);
	assert_int_equal(log_of.put_cnt, 2);
	for (uint32_t i = 0; i < log_of.put_cnt; i++)
		assert_int_equal(log_of.put[i].facts & PL_FACTS_REVOKED, 0);
	assert_int_equal(facts_of(1), FACTS(11));
	assert_int_equal(facts_of(2), FACTS(22));
	assert_int_equal(facts_of(3), NOT_THERE);
	assert_int_equal(atomic_load(&fx.live.as_of), 1001);
}

/* While nothing is told of anyone it comes to the same by the shorter way. */
static void test_while_loading_it_comes_to_the_same(void **state)
{
	struct pl_feed_segment seg = segment(1, back_and_forth, PL_ARRAY_CNT(back_and_forth));

	(void)state;
	fill(1, 3);
	fx.l.loading = true;
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_int_equal(facts_of(1), FACTS(11));
	assert_int_equal(facts_of(2), FACTS(22));
	assert_int_equal(facts_of(3), NOT_THERE);
	/* And again, as after a death in the midst of it. */
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_int_equal(entry_cnt(), 2);
}

/* ---- a table that was found ---- */

static void test_a_whole_table_is_believed_once_it_was_looked_over(void **state)
{
	(void)state;
	fill(1, 100);
	fx.l.pos.sequence = 3;
	fx.l.audited = false;
	assert_true(pl_loader_audit(&fx.l));
	assert_true(fx.l.audited);
	assert_int_equal(log_of.published_cnt, 1);
	assert_false(log_of.loading_published);
	assert_int_equal(entry_cnt(), 100);
}

static void test_a_damaged_table_is_emptied_and_nothing_is_told_meanwhile(void **state)
{
	struct pl_map *m = fx.l.table->views[0].cur;
	bool done = false;

	(void)state;
	fill(1, 100);
	fx.l.pos.sequence = 3;
	fx.l.audited = false;
	for (uint64_t b = 0; b < m->bucket_cnt && !done; b++)
		if (m->buckets[b].facts[0] != 0) {
			m->buckets[b].id[0] ^= UINT64_C(1) << 40;
			done = true;
		}
	assert_true(done);
	assert_false(pl_loader_audit(&fx.l));
	assert_true(log_of.loading_published);
	assert_true(fx.l.loading);
	assert_true(fx.l.audited); /* of an empty one there is nothing to look over */
	assert_int_equal(fx.l.pos.sequence, 0);
	assert_int_equal(fx.l.pos.stream_id, STREAM);
	/* Whoever comes next knows what was told. */
	assert_content(0, 0, 0, 3 | PL_POSITION_AHEAD | PL_POSITION_BACK);
}

/* Older facts are put over newer ones only when the next process, too, would tell nothing. */
static void test_what_goes_back_is_marked_before(void **state)
{
	const struct pl_feed_record old = {.cert_id = 50, .facts = FACTS(51), .op = PL_FEED_PUT};
	union pl_table_position at = {
		{.pos = {.stream_id = STREAM, .sequence = 3}, .snapshot = 5 | PL_POSITION_AHEAD}};
	struct pl_feed_segment seg = segment(4, &old, 1);

	(void)state;
	fill(1, 100);
	pl_table_position_set(fx.l.table, &at);
	fx.l.pos.sequence = 3;
	fx.l.ahead_to = 5;
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_int_equal(log_of.marked_at_put, 5 | PL_POSITION_AHEAD | PL_POSITION_BACK);
	assert_int_equal(log_of.quiet_at, 0);
	assert_true(log_of.loading_published && fx.l.went_back);
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.pos.sequence, 4);
	assert_int_equal(at.snapshot, 5 | PL_POSITION_AHEAD | PL_POSITION_BACK);
	fx.l.pos.sequence = 4;
	seg = segment(5, &old, 1);
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.snapshot, 0);
}

/* A full one, which keeps its position, likewise; and when it is as far again, it is no more so. */
static void test_a_full_table_that_goes_back_is_marked_until_it_is_there(void **state)
{
	union pl_table_position at = {
		{.pos = {.stream_id = STREAM, .sequence = 3}, .snapshot = 5 | PL_POSITION_AHEAD}};

	(void)state;
	fill(1, CAPACITY);
	pl_table_position_set(fx.l.table, &at);
	fx.l.pos.sequence = 3;
	fx.l.ahead_to = 5;
	for (uint64_t sequence = 4; sequence <= 6; sequence++) {
		const struct pl_feed_record late = {
			.cert_id = 30000 + sequence, .facts = FACTS(3), .op = PL_FEED_PUT};
		struct pl_feed_segment seg = segment(sequence, &late, 1);

		log_of.put_cnt = 0;
		assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
		assert_int_equal(log_of.marked_at_put,
				 sequence <= 5 ? (5 | PL_POSITION_AHEAD | PL_POSITION_BACK)
					       : (6 | PL_POSITION_AHEAD));
		fx.l.pos.sequence = sequence;
		pl_table_position_get(fx.l.table, &at);
		assert_int_equal(at.pos.sequence, 3);
		assert_int_equal(at.snapshot, sequence == 4
						      ? (5 | PL_POSITION_AHEAD | PL_POSITION_BACK)
					      : sequence == 5 ? (5 | PL_POSITION_AHEAD)
							      : (6 | PL_POSITION_AHEAD));
	}
}

/* That who is absent may be missing is said before the table is said to have all of a segment. */
static void test_a_full_table_is_told_before_its_as_of(void **state)
{
	const struct pl_feed_record late = {.cert_id = 30000, .facts = FACTS(3), .op = PL_FEED_PUT};
	struct pl_feed_segment seg = segment(4, &late, 1);

	(void)state;
	fill(1, CAPACITY);
	fx.l.pos.sequence = 3;
	atomic_store(&fx.live.as_of, 1003);
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_int_equal(log_of.as_of_at_full, 1003);
	assert_int_equal(atomic_load(&fx.live.as_of), 1004);
}

/* ---- pruning ---- */

static void test_what_the_second_newest_snapshot_stands_for_is_deleted(void **state)
{
	(void)state;
	fx.l.pos.sequence = 10;
	pl_loader_prune(&fx.l);
	(void)snapshot_put(3, 1, 150);
	clock_s += PRUNE_EVERY_S;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 0); /* there is one only */
	(void)snapshot_put(6, 1, 150);
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 0); /* it was looked just now */
	clock_s += PRUNE_EVERY_S;
	fx.l.behind = true;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 0); /* not while anything is wrong */
	fx.l.behind = false;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 1);
	assert_int_equal(log_of.pruned, 3);
	clock_s += PRUNE_EVERY_S;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 1); /* once */
	(void)snapshot_put(12, 1, 150);        /* which is ahead of the table */
	clock_s += PRUNE_EVERY_S;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 1);
}

static void test_nothing_is_deleted_for_a_damaged_snapshot(void **state)
{
	(void)state;
	fx.l.pos.sequence = 10;
	(void)snapshot_put(3, 1, 150);
	(void)snapshot_put(6, 1, 150);
	chunk_damage(6, 1);
	pl_loader_prune(&fx.l);
	clock_s += PRUNE_EVERY_S;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 0);
}
int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_only_the_net_effect_of_a_segment_is_applied),
		T(test_while_loading_it_comes_to_the_same),
		T(test_a_whole_table_is_believed_once_it_was_looked_over),
		T(test_a_damaged_table_is_emptied_and_nothing_is_told_meanwhile),
		T(test_what_goes_back_is_marked_before),
		T(test_a_full_table_that_goes_back_is_marked_until_it_is_there),
		T(test_a_full_table_is_told_before_its_as_of),
		T(test_what_the_second_newest_snapshot_stands_for_is_deleted),
		T(test_nothing_is_deleted_for_a_damaged_snapshot),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
