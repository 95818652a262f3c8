/* SPDX-License-Identifier: BSD-3-Clause */
/* What the load holds to be right is what the appliance says. */
#include "load_run_fixture.h"

static void test_every_kind_gets_what_the_load_thinks_right(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	set_mix(w, EVERYTHING);
	w->args.seconds = 2.5; /* several seconds of QRs, many refreshes */
	st = run(w);
	assert_true(st->checked > 1000);
	assert_int_equal(st->wrong, 0);
	assert_int_equal(st->unknown, 0);
	assert_int_equal(w->result.lost, 0);
	assert_true(st->rebuilt >= 2 * w->pool.cnt);
	for (uint32_t k = 0; k < MIX_CNT; k++) {
		uint32_t right = mix_verdict((enum mix_kind)k);

		assert_true(st->verdicts[right][right] > 0);
	}
	assert_int_equal(st->answered, st->latency.cnt);
}

static void test_one_scan_a_datagram_too(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	set_mix(w, EVERYTHING);
	w->args.scan_cnt = 1;
	w->args.pool_cnt = 1024;
	w->args.seconds = 1.2;
	st = run(w);
	assert_int_equal(st->wrong, 0);
	assert_int_equal(st->unknown, 0);
	assert_true(st->verdicts[PL_V_REPLAYED][PL_V_REPLAYED] > 0);
}

/* Of the same certificates, within one second: their QRs must not be each other's copies. */
static void test_runs_that_follow_each_other_are_not_copies(void **state)
{
	struct world *w = *state;

	w->args.seconds = 0.05;
	for (uint32_t i = 0; i < 3; i++) {
		const struct load_stats *st = run(w);

		assert_true(st->checked > 0);
		assert_int_equal(st->wrong, 0);
	}
}

static void test_an_appliance_with_other_rules_is_caught(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	for (uint32_t p = 0; p < w->fake->policy.profile_cnt; p++)
		w->fake->policy.profiles[p].rules[PL_CERT_PRIMARY].to_days = 90;
	st = run(w);
	assert_true(st->wrong > 0);
	assert_int_equal(st->wrong, st->verdicts[PL_V_PASS][PL_V_EXPIRED]);
}

static void test_an_appliance_that_cannot_tell_is_not_wrong(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->fake->now.flags = PL_FLAG_LOADING;
	st = run(w);
	assert_int_equal(st->wrong, 0);
	assert_int_equal(st->unknown, st->checked);
	assert_int_equal(st->states[PL_STATE_LOADING], st->answered);
	assert_true(st->answered > 0);
}

static void test_garbage_is_dropped_and_old_requests_are_told_so(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->args.garbage_share = 0.5;
	w->args.warmup_s = 0; /* the appliance's counts are of the whole run */
	st = run(w);
	assert_int_equal(st->wrong, 0);
	assert_int_equal(w->result.lost, 0);
	assert_true(st->garbage_sent > 0 && st->old_sent > 0);
	assert_in_range(st->garbage_sent, st->sent - 2, st->sent + 2);
	assert_int_equal(st->old_wrong, 0);
	/* Told now and then, and the rest is counted. */
	assert_true(st->old_answered > 0);
	assert_true(st->old_answered + w->fake->counters.drops[PL_DROP_ERROR_LIMIT] >=
		    st->old_sent);
	assert_true(w->fake->counters.drops[PL_DROP_BAD_SEAL] > 0);
}

static void test_fresh_seals_each_anew(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	set_mix(w, "valid=90,replayed=10");
	w->args.fresh = true;
	w->args.seconds = 0.1;
	w->args.warmup_s = 0;
	st = run(w);
	assert_true(st->rebuilt >= st->sent);
	assert_int_equal(st->wrong, 0);
	assert_int_equal(w->result.lost, 0);
}

static void await_file(struct world *w, const char *text)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/await", w->dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fputs(text, f) < 0, 0);
	assert_int_equal(fclose(f), 0);
	w->args.await_path = path;
}

static void test_awaited_certificates_are_noted_when_they_come(void **state)
{
	struct world *w = *state;

	await_file(w, "0xffffffff00000001\n0xffffffff00000002\n");
	w->fake->issue_at = 5000;
	w->fake->issue_id = 0xffffffff00000002;
	w->args.seconds = 1;
	assert_int_equal(open_load(w), 0);
	assert_int_equal(run_load(&w->pool, &w->args, &w->result, w->error, ERROR_MAX), 0);
	assert_int_equal(w->result.stats.wrong, 0);
	assert_int_equal(w->pool.await.cnt, 2);
	assert_int_equal(w->pool.await.seen_cnt, 1);
	assert_int_equal(w->pool.await.seen_ns[0], 0);
	assert_true(w->pool.await.seen_ns[1] > 1000000000ull * 1000000000ull);
	await_free(&w->pool.await);
	close_load(w);
	/* One that passed may not be unknown again. */
	w->fake->gone_at = w->fake->tx_cnt + 5000;
	assert_int_equal(open_load(w), 0);
	assert_int_equal(run_load(&w->pool, &w->args, &w->result, w->error, ERROR_MAX), 0);
	assert_true(w->result.stats.wrong > 0);
	await_free(&w->pool.await);
	close_load(w);
	await_file(w, "0x1\nnonsense\n");
	assert_int_equal(await_load(&w->pool.await, w->args.await_path, w->error, ERROR_MAX),
			 -EINVAL);
	assert_non_null(strstr(w->error, "nonsense"));
	await_free(&w->pool.await);
}

static void test_too_large_a_pool_says_so(void **state)
{
	struct world *w = *state;

	w->args.pool_cnt = 8192; /* times 5 scans: more than there are certificates */
	assert_int_equal(open_load(w), -ENOENT);
	assert_non_null(strstr(w->error, "smaller --pool"));
	close_load(w);
	w->args.pool_cnt = 0; /* by itself it fits */
	assert_int_equal(open_load(w), 0);
	assert_true(w->pool.cnt >= 1024);
	close_load(w);
}

static void test_parts_share_no_certificate(void **state)
{
	struct world *w = *state;
	uint64_t ids[2][64 * 5];

	w->args.part_cnt = 2;
	w->args.pool_cnt = 64;
	for (uint32_t part = 0; part < 2; part++) {
		w->args.part_idx = part;
		assert_int_equal(open_load(w), 0);
		for (uint32_t i = 0; i < 64 * 5; i++)
			ids[part][i] = w->pool.plans[i].cert_id;
		close_load(w);
	}
	for (uint32_t i = 0; i < 64 * 5; i++)
		for (uint32_t j = 0; j < 64 * 5; j++) {
			assert_true(ids[0][i] != ids[1][j]);
			assert_true(i == j || ids[0][i] != ids[0][j]);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_every_kind_gets_what_the_load_thinks_right),
		T(test_one_scan_a_datagram_too),
		T(test_runs_that_follow_each_other_are_not_copies),
		T(test_an_appliance_with_other_rules_is_caught),
		T(test_an_appliance_that_cannot_tell_is_not_wrong),
		T(test_garbage_is_dropped_and_old_requests_are_told_so),
		T(test_fresh_seals_each_anew),
		T(test_awaited_certificates_are_noted_when_they_come),
		T(test_too_large_a_pool_says_so),
		T(test_parts_share_no_certificate),
	};

	return cmocka_run_group_tests_name("load_run", tests, NULL, NULL);
}
