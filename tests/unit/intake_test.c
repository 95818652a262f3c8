/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one way into the store: what is stored, what is refused and why, a disk that is full, one that
 * fails, a process that dies at any point, and what the next one makes of it.
 */
#include "feed_hooks.h" /* first: its names are macros of cmocka */

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "intake_fixture.h"

static int set_up_hooks(void **state)
{
	memset(&hook, 0, sizeof(hook));
	return set_up(state);
}

static void assert_refused(enum pl_intake_outcome o, enum pl_feed_error e)
{
	assert_int_equal(o, PL_INTAKE_REFUSED);
	assert_string_equal(pl_feed_error_name(fx.answer.error), pl_feed_error_name(e));
	assert_non_null(strstr(fx.answer.text, pl_feed_error_text(e)));
	assert_int_equal(fx.status.refused[PL_INTAKE_TCP][e], 1);
}

alignas(8) static const uint8_t rubbish[24] = "no segment at all";

static void test_names_are_there(void **state)
{
	(void)state;
	assert_string_equal(pl_intake_source_name(PL_INTAKE_CONTROL), "control");
	assert_string_equal(pl_intake_source_name(PL_INTAKE_SOURCE_CNT), "?");
	assert_string_equal(pl_intake_outcome_name(PL_INTAKE_BROKEN), "broken");
	assert_string_equal(pl_intake_outcome_name(PL_INTAKE_OUTCOME_CNT), "?");
	assert_string_equal(pl_intake_outcome_text(PL_INTAKE_OUTCOME_CNT), "?");
}

static void test_segments_are_stored_and_told(void **state)
{
	struct stat st;
	uint64_t told = 0;

	(void)state;
	assert_int_equal(stat(fx.store, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	for (uint64_t i = 1; i <= 3; i++) {
		assert_int_equal(submit(i), PL_INTAKE_STORED);
		assert_int_equal(fx.answer.error, PL_FEED_OK);
		assert_memory_equal(&fx.answer.pos, &fx.ends[i], sizeof(fx.ends[i]));
		assert_true(is_stored(i));
	}
	assert_int_equal(read(pl_intake_fd(fx.in), &told, sizeof(told)), sizeof(told));
	assert_int_equal(told, 3);
	assert_int_equal(fx.status.stored[PL_INTAKE_TCP], 3);
	assert_int_equal(fx.status.records[PL_INTAKE_TCP], 1 + 2 + 3);
	assert_int_equal(fx.status.stored[PL_INTAKE_DIR], 0);
	assert_false(fx.status.behind || fx.status.broken || fx.status.unstored);
	pl_intake_applied_set(fx.in, 2);
	pl_intake_status_get(fx.in, &fx.status);
	assert_int_equal(fx.status.applied, 2);
	assert_int_equal(fx.status.pos.sequence, 3);
}

static void test_a_new_process_goes_on_where_the_last_one_was(void **state)
{
	(void)state;
	assert_int_equal(submit(1), PL_INTAKE_STORED);
	assert_int_equal(submit(2), PL_INTAKE_STORED);
	assert_int_equal(reopen_intake(), 0);
	pl_intake_status_get(fx.in, &fx.status);
	assert_memory_equal(&fx.status.pos, &fx.ends[2], sizeof(fx.ends[2]));
	assert_string_equal(fx.status.note, "");
	assert_int_equal(submit(3), PL_INTAKE_STORED);
}

static void test_replayed_segments_are_held(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 4; i++)
		assert_int_equal(submit(i), PL_INTAKE_STORED);
	for (uint64_t i = 1; i <= 4; i++)
		assert_int_equal(submit(i), PL_INTAKE_HELD);
	assert_int_equal(fx.status.held[PL_INTAKE_TCP], 4);
	assert_int_equal(fx.answer.pos.sequence, 4);
	assert_false(fx.status.behind);
	/* One that is not there to compare with is only old. */
	assert_int_equal(unlink(store_path(2)), 0);
	assert_refused(submit(2), PL_FEED_OLD);
	assert_false(fx.status.behind);
}

static void test_a_fork_is_told_at_the_end_and_in_the_past(void **state)
{
	struct pl_feed_pos other = fx.ends[1];
	struct segment fork2 = make_segment(&other, 5, 77, fx.seckey);
	struct segment fork3 = make_segment(&other, 5, 88, fx.seckey);

	(void)state;
	assert_int_equal(submit(1), PL_INTAKE_STORED);
	assert_int_equal(submit(2), PL_INTAKE_STORED);
	assert_refused(submit_bytes(fork2.data, fork2.size), PL_FEED_FORK);
	assert_true(fx.status.behind);
	assert_int_equal(submit_bytes(fork3.data, fork3.size), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_FORK);
	assert_non_null(strstr(fx.status.text, "segment 3"));
	/* The authority that goes on with our history ends the doubt. */
	assert_int_equal(submit(3), PL_INTAKE_STORED);
	assert_false(fx.status.behind);
	assert_string_equal(fx.status.text, "");
	free(fork2.data);
	free(fork3.data);
}

static void test_a_gap_is_evidence_until_it_is_filled(void **state)
{
	(void)state;
	assert_int_equal(submit(1), PL_INTAKE_STORED);
	assert_refused(submit(4), PL_FEED_GAP);
	assert_true(fx.status.behind);
	assert_int_equal(submit(2), PL_INTAKE_STORED);
	assert_true(fx.status.behind);
	assert_int_equal(submit(3), PL_INTAKE_STORED);
	assert_true(fx.status.behind);
	assert_int_equal(submit(4), PL_INTAKE_STORED);
	assert_false(fx.status.behind);
}

static void test_what_nobody_signed_is_no_evidence(void **state)
{
	struct segment *s = &fx.segments[3];
	uint8_t other_pub[PL_FEED_PUBKEY_SIZE], other_sec[PL_FEED_SECKEY_SIZE];
	struct pl_feed_pos pos = fx.ends[1], stream = {.stream_id = STREAM + 1};
	struct segment forged, foreign;

	(void)state;
	crypto_sign_keypair(other_pub, other_sec);
	forged = make_segment(&pos, 3, 1, other_sec);
	foreign = make_segment(&stream, 3, 1, fx.seckey);
	assert_int_equal(submit(1), PL_INTAKE_STORED);
	assert_refused(submit_bytes(forged.data, forged.size), PL_FEED_SIGNATURE);
	assert_refused(submit_bytes(foreign.data, foreign.size), PL_FEED_STREAM);
	assert_refused(submit_bytes(s->data, s->size - 1), PL_FEED_TRUNCATED);
	assert_refused(submit_bytes(s->data, s->size + 16), PL_FEED_OVERSIZED);
	assert_refused(submit_bytes(rubbish, sizeof(rubbish)), PL_FEED_NOT_SEGMENT);
	s->data[200] ^= 1;
	assert_int_equal(submit(4), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_SIGNATURE);
	s->data[200] ^= 1;
	s->data[8] = 9; /* version */
	assert_refused(submit(4), PL_FEED_VERSION);
	s->data[8] = 1;
	assert_false(fx.status.behind);
	assert_int_equal(fx.status.pos.sequence, 1);
	assert_false(is_stored(2));
	free(forged.data);
	free(foreign.data);
}

static void test_one_store_has_one_appliance(void **state)
{
	struct pl_intake *first = fx.in;

	(void)state;
	assert_int_equal(open_intake(0), -EWOULDBLOCK);
	assert_non_null(strstr(fx.error, fx.store));
	assert_non_null(strstr(fx.error, "another process"));
	fx.in = first;
	assert_int_equal(reopen_intake(), 0);
}

static void test_stores_that_cannot_be_opened_say_why(void **state)
{
	char file[128];

	(void)state;
	pl_intake_close(fx.in);
	snprintf(file, sizeof(file), "%s/file", fx.dir);
	write_file(file, "x", 1);
	snprintf(fx.store, sizeof(fx.store), "%s/file", fx.dir);
	assert_int_equal(open_intake(0), -ENOTDIR);
	assert_non_null(strstr(fx.error, "/file"));
	snprintf(fx.store, sizeof(fx.store), "%s/no/where", fx.dir);
	assert_int_equal(open_intake(0), -ENOENT);
	assert_non_null(strstr(fx.error, "parent"));
}

static void test_another_authoritys_store_is_refused(void **state)
{
	struct pl_feed_pos stream = {.stream_id = STREAM + 1};
	struct segment foreign = make_segment(&stream, 3, 1, fx.seckey);

	(void)state;
	assert_int_equal(submit(1), PL_INTAKE_STORED);
	assert_int_equal(submit(2), PL_INTAKE_STORED);
	pl_intake_close(fx.in);
	write_file(store_path(3), foreign.data, foreign.size);
	assert_int_equal(open_intake(0), -EINVAL);
	assert_non_null(strstr(fx.error, "another authority's"));
	assert_int_equal(unlink(store_path(3)), 0);
	/* The right stream and another key: nothing is set aside. */
	fx.pubkey[0] ^= 1;
	assert_int_equal(open_intake(0), -EINVAL);
	assert_true(is_stored(1) && is_stored(2));
	fx.pubkey[0] ^= 1;
	assert_int_equal(open_intake(0), 0);
	free(foreign.data);
}

static void test_a_torn_last_segment_comes_again(void **state)
{
	char bad[200];

	(void)state;
	for (uint64_t i = 1; i <= 4; i++)
		assert_int_equal(submit(i), PL_INTAKE_STORED);
	assert_int_equal(truncate(store_path(4), 150), 0);
	assert_int_equal(truncate(store_path(3), 0), 0);
	assert_int_equal(reopen_intake(), 0);
	pl_intake_status_get(fx.in, &fx.status);
	assert_int_equal(fx.status.pos.sequence, 2);
	assert_non_null(strstr(fx.status.note, "set aside"));
	snprintf(bad, sizeof(bad), "%s.bad", store_path(4));
	assert_int_equal(access(bad, F_OK), 0);
	assert_false(is_stored(4));
	assert_int_equal(submit(3), PL_INTAKE_STORED);
	assert_int_equal(submit(4), PL_INTAKE_STORED);
}

/* A bit flips on the disk, in a segment that is not the last: who brings the good one mends it, and only
 * that one. */
static void test_a_spoiled_segment_is_mended_by_the_one_that_was_there(void **state)
{
	struct pl_feed_pos other = fx.ends[1];
	struct segment fork2 = make_segment(&other, 2, 77, fx.seckey);
	char bad[200];

	(void)state;
	for (uint64_t i = 1; i <= 4; i++)
		assert_int_equal(submit(i), PL_INTAKE_STORED);
	for (uint64_t sequence = 2; sequence <= 4; sequence += 2) {
		fx.segments[sequence - 1].data[130] ^= 1;
		write_file(store_path(sequence), fx.segments[sequence - 1].data,
			   fx.segments[sequence - 1].size);
		assert_int_equal(submit(sequence), PL_INTAKE_REFUSED);
		assert_int_equal(fx.answer.error, PL_FEED_SIGNATURE);
		fx.segments[sequence - 1].data[130] ^= 1;
	}
	assert_int_equal(submit_bytes(fork2.data, fork2.size), PL_INTAKE_REFUSED);
	assert_int_equal(fx.answer.error, PL_FEED_FORK);
	for (uint64_t sequence = 2; sequence <= 4; sequence += 2) {
		assert_int_equal(submit(sequence), PL_INTAKE_STORED);
		assert_int_equal(fx.answer.pos.sequence, 4);
		snprintf(bad, sizeof(bad), "%s.bad", store_path(sequence));
		assert_int_equal(access(bad, F_OK), 0);
		assert_int_equal(submit(sequence), PL_INTAKE_HELD);
	}
	assert_int_equal(submit(5), PL_INTAKE_STORED);
	assert_false(fx.status.behind);
	free(fork2.data);
}

static void test_a_missing_segment_comes_again_and_joins_the_rest(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(submit(i), PL_INTAKE_STORED);
	assert_int_equal(unlink(store_path(3)), 0);
	assert_int_equal(reopen_intake(), 0);
	pl_intake_status_get(fx.in, &fx.status);
	assert_int_equal(fx.status.pos.sequence, 2);
	assert_int_equal(submit(3), PL_INTAKE_STORED);
	assert_int_equal(fx.answer.pos.sequence, 5);
	assert_int_equal(submit(4), PL_INTAKE_HELD);
	assert_int_equal(submit(6), PL_INTAKE_STORED);
}

static void test_files_put_into_the_store_by_hand_are_found(void **state)
{
	(void)state;
	assert_int_equal(submit(1), PL_INTAKE_STORED);
	write_file(store_path(2), fx.segments[1].data, fx.segments[1].size);
	assert_int_equal(submit(2), PL_INTAKE_HELD);
	write_file(store_path(3), fx.segments[2].data, fx.segments[2].size);
	assert_int_equal(submit(4), PL_INTAKE_STORED);
	/* One that is no good makes way. */
	write_file(store_path(5), fx.segments[4].data, 99);
	assert_int_equal(submit(5), PL_INTAKE_STORED);
	assert_int_equal(reopen_intake(), 0);
	assert_int_equal(submit(6), PL_INTAKE_STORED);
}

static void test_a_full_disk_is_no_end(void **state)
{
	(void)state;
	assert_int_equal(submit(1), PL_INTAKE_STORED);
	hook.write_errno = ENOSPC;
	assert_int_equal(submit(2), PL_INTAKE_UNSTORED);
	assert_non_null(strstr(fx.answer.text, "No space left"));
	assert_true(fx.status.unstored);
	assert_false(fx.status.broken);
	assert_int_equal(fx.status.unstored_cnt[PL_INTAKE_TCP], 1);
	assert_int_equal(fx.answer.pos.sequence, 1);
	assert_false(is_stored(2));
	hook.write_errno = 0;
	assert_int_equal(submit(2), PL_INTAKE_STORED);
	assert_false(fx.status.unstored);
	assert_string_equal(fx.status.text, "");
}

static void test_a_failed_fsync_is_the_end(void **state)
{
	char first[PL_INTAKE_TEXT_SIZE];

	(void)state;
	for (uint32_t at = 1; at <= 3; at++) {
		memset(&hook, 0, sizeof(hook));
		hook.fsync_at = at;
		assert_int_equal(submit(1), PL_INTAKE_BROKEN);
		assert_true(fx.status.broken);
		assert_non_null(strstr(fx.status.text, "fsync"));
		memcpy(first, fx.status.text, sizeof(first));
		/* Every later fsync would succeed, and is not asked. */
		assert_int_equal(submit(1), PL_INTAKE_BROKEN);
		assert_string_equal(fx.status.text, first);
		assert_int_equal(submit(2), PL_INTAKE_REFUSED);
		assert_int_equal(fx.answer.pos.sequence, 0);
		assert_int_equal(hook.fsyncs, at);
		/* A new process looks at what is there. */
		assert_int_equal(reopen_intake(), 0);
		pl_intake_status_get(fx.in, &fx.status);
		assert_false(fx.status.broken);
		if (fx.status.pos.sequence == 0)
			assert_int_equal(submit(1), PL_INTAKE_STORED);
		assert_int_equal(submit(1), PL_INTAKE_HELD);
		pl_intake_close(fx.in);
		remove_all(fx.store);
		assert_int_equal(open_intake(0), 0);
	}
}

static void test_a_write_error_is_the_end(void **state)
{
	(void)state;
	hook.write_errno = EIO;
	assert_int_equal(submit(1), PL_INTAKE_BROKEN);
	hook.write_errno = 0;
	assert_int_equal(submit(1), PL_INTAKE_BROKEN);
	assert_int_equal(submit(1), PL_INTAKE_BROKEN);
	assert_int_equal(fx.status.unstored_cnt[PL_INTAKE_TCP], 3);
}

static void test_a_store_that_may_not_be_written_is_no_end(void **state)
{
	(void)state;
	/* Root may write anywhere: it becomes somebody else for the while. */
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	else
		assert_int_equal(chmod(fx.store, 0500), 0);
	assert_int_equal(submit(1), PL_INTAKE_UNSTORED);
	assert_non_null(strstr(fx.answer.text, "Permission denied"));
	assert_true(fx.status.unstored && !fx.status.broken);
	assert_int_equal(getuid() == 0 ? seteuid(0) : chmod(fx.store, 0700), 0);
	assert_int_equal(submit(1), PL_INTAKE_STORED);
}

/* A process killed at any system call that changes the disk: what was answered STORED is there. */
static void test_dying_at_any_point_loses_nothing_that_was_accepted(void **state)
{
	uint32_t died = 0;

	(void)state;
	for (uint32_t point = 1;; point++) {
		int pipes[2], status;
		uint8_t accepted = 0, one;
		pid_t child;

		pl_intake_close(fx.in);
		fx.in = NULL;
		remove_all(fx.store);
		assert_int_equal(pipe(pipes), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			if (open_intake(0) != 0)
				_exit(1);
			hook.die_at = hook.point + point;
			for (uint8_t i = 1; i <= 3; i++) {
				if (submit(i) != PL_INTAKE_STORED)
					_exit(2);
				(void)!write(pipes[1], &i, 1);
			}
			_exit(0);
		}
		close(pipes[1]);
		while (read(pipes[0], &one, 1) == 1)
			accepted = one;
		close(pipes[0]);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(open_intake(0), 0);
		pl_intake_status_get(fx.in, &fx.status);
		assert_true(fx.status.pos.sequence >= accepted);
		for (uint64_t i = fx.status.pos.sequence + 1; i <= 4; i++)
			assert_int_equal(submit(i), PL_INTAKE_STORED);
		if (WEXITSTATUS(status) == 0)
			break;
		assert_int_equal(WEXITSTATUS(status), DIED);
		died++;
	}
	assert_true(died >= 15); /* 3 segments of 5 points at least */
}

static void test_what_comes_in_is_charged(void **state)
{
	(void)state;
	assert_int_equal(submit(1), PL_INTAKE_STORED);
	assert_int_equal(pl_intake_delay_ms(fx.in), 0); /* no bound */
	pl_intake_close(fx.in);
	assert_int_equal(open_intake(1), 0); /* a certificate a second: a long debt */
	assert_int_equal(pl_intake_delay_ms(fx.in), 0);
	assert_int_equal(submit(2), PL_INTAKE_STORED);
	assert_true(pl_intake_delay_ms(fx.in) > 30000);
	pl_intake_close(fx.in);
	assert_int_equal(open_intake(1), 0);
	/* Rubbish costs what it weighs, too. */
	assert_int_equal(submit_bytes(rubbish, sizeof(rubbish)), PL_INTAKE_REFUSED);
	assert_true(pl_intake_delay_ms(fx.in) > 30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_hooks, tear_down)
		T(test_names_are_there),
		T(test_segments_are_stored_and_told),
		T(test_a_new_process_goes_on_where_the_last_one_was),
		T(test_replayed_segments_are_held),
		T(test_a_fork_is_told_at_the_end_and_in_the_past),
		T(test_a_gap_is_evidence_until_it_is_filled),
		T(test_what_nobody_signed_is_no_evidence),
		T(test_one_store_has_one_appliance),
		T(test_stores_that_cannot_be_opened_say_why),
		T(test_another_authoritys_store_is_refused),
		T(test_a_torn_last_segment_comes_again),
		T(test_a_spoiled_segment_is_mended_by_the_one_that_was_there),
		T(test_a_missing_segment_comes_again_and_joins_the_rest),
		T(test_files_put_into_the_store_by_hand_are_found),
		T(test_a_full_disk_is_no_end),
		T(test_a_failed_fsync_is_the_end),
		T(test_a_write_error_is_the_end),
		T(test_a_store_that_may_not_be_written_is_no_end),
		T(test_dying_at_any_point_loses_nothing_that_was_accepted),
		T(test_what_comes_in_is_charged),
	};

	return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
