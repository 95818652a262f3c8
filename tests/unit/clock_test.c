/* SPDX-License-Identifier: BSD-3-Clause */
/* The appliance's clock: what is refused, when it is doubted, and the view that workers read. */
#include "clock/pl_clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MS       1000000ull
#define S        1000000000ull
#define START_NS (1639364700ull * S) /* 2021-12-13 12:05 in Seoul */
#define STEP_MS  500
#define SETTLE_S 60

/* A machine whose clocks say what the test wants. Its TSC counts 2.5 a nanosecond. */
struct fake {
	uint64_t mono_ns;
	uint64_t read_ns; /* what a read of the monotonic clock takes */
	uint64_t gap_ns;  /* what passes before every tenth, which begins a new sample */
	uint32_t reads_cnt;
	int64_t wall_off_ns;
	int64_t wall_ppm;  /* how much faster than monotonic time the wall clock runs */
	uint64_t ppm_from; /* since when */
	uint64_t tsc_off;
	uint64_t tsc_per_10ns;
	bool synchronised;
};

static struct fake fake;
static struct pl_clock *clk;

static uint64_t fake_mono(void *ctx)
{
	struct fake *f = ctx;

	f->mono_ns += f->read_ns + (f->reads_cnt++ % 10 == 0 ? f->gap_ns : 0);
	return f->mono_ns;
}

static uint64_t fake_wall(void *ctx)
{
	const struct fake *f = ctx;

	return START_NS + f->mono_ns + f->wall_off_ns +
	       ((int64_t)(f->mono_ns - f->ppm_from) / 1000000 * f->wall_ppm);
}

static uint64_t fake_tsc(void *ctx)
{
	const struct fake *f = ctx;

	return f->tsc_off + f->mono_ns / 10 * f->tsc_per_10ns;
}

static bool fake_synchronised(void *ctx)
{
	return ((const struct fake *)ctx)->synchronised;
}

static struct pl_clock_conf fake_conf(void)
{
	return (struct pl_clock_conf){
		.step_ms_max = STEP_MS,
		.settle_s = SETTLE_S,
		.source = {fake_wall, fake_mono, fake_tsc, fake_synchronised, &fake},
	};
}

static int start(void **state)
{
	struct pl_clock_conf conf = fake_conf();

	(void)state;
	/* While it calibrates, time passes by reading; 1000 s since the machine's start. */
	fake = (struct fake){
		.mono_ns = 1000 * S, .read_ns = 50, .gap_ns = 25 * MS, .tsc_per_10ns = 25};
	assert_int_equal(pl_clock_create(&conf, &clk), 0);
	fake.gap_ns = 0;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	pl_clock_destroy(clk);
	clk = NULL;
	return 0;
}

static struct pl_clock_view view_now(void)
{
	struct pl_clock_view v = {0};

	pl_clock_view_get(clk, &v);
	return v;
}

/* What a reader believes, less the fake wall clock. */
static int64_t error_ns(void)
{
	struct pl_clock_view v = view_now();

	return (int64_t)(pl_clock_wall_ns(&v, fake_tsc(&fake)) - fake_wall(&fake));
}

static bool near_ns(int64_t v, int64_t want, int64_t limit)
{
	return v >= want - limit && v <= want + limit;
}

/*
 * Let time pass, sampling every 10 ms. A reader that looks twice between samples must not see
 * time go back, as long as the clock is trusted throughout.
 */
static enum pl_clock_trust run(uint64_t ns)
{
	enum pl_clock_trust trust = pl_clock_trust(clk);
	uint64_t end_ns = fake.mono_ns + ns;
	uint64_t seen_ns = 0;
	bool trusted = trust == PL_CLOCK_TRUSTED;

	while (fake.mono_ns < end_ns) {
		struct pl_clock_view v = view_now();
		uint64_t now_ns;

		trusted = trusted && v.trusted;
		now_ns = pl_clock_wall_ns(&v, fake_tsc(&fake));
		if (trusted && now_ns < seen_ns)
			fail_msg("time went back by %lu ns", seen_ns - now_ns);
		seen_ns = now_ns;
		fake.mono_ns += 10 * MS;
		now_ns = pl_clock_wall_ns(&v, fake_tsc(&fake));
		if (trusted && now_ns < seen_ns)
			fail_msg("time went back by %lu ns in one view", seen_ns - now_ns);
		seen_ns = now_ns;
		trust = pl_clock_sample(clk);
		assert_int_equal(trust, pl_clock_trust(clk));
		assert_int_equal(view_now().trusted, trust == PL_CLOCK_TRUSTED);
	}
	return trust;
}

static void test_steady_clock_is_followed(void **state)
{
	(void)state;
	assert_int_equal(pl_clock_trust(clk), PL_CLOCK_TRUSTED);
	assert_int_equal(run(100 * S), PL_CLOCK_TRUSTED);
	assert_true(near_ns(error_ns(), 0, 1000));
}

static void step_and_settle(int64_t step_ns)
{
	run(S);
	fake.wall_off_ns += step_ns;
	assert_int_equal(run(10 * MS), PL_CLOCK_STEPPED);
	/* Time goes on as if there had been no step. */
	assert_true(near_ns(error_ns(), -step_ns, (int64_t)MS));
	assert_int_equal(run((SETTLE_S - 1) * S), PL_CLOCK_STEPPED);
	assert_true(near_ns(error_ns(), -step_ns, (int64_t)MS));
	assert_int_equal(run(2 * S), PL_CLOCK_TRUSTED);
	assert_true(near_ns(error_ns(), 0, 10000));
}

static void test_step_forward_is_distrusted_then_taken(void **state)
{
	(void)state;
	step_and_settle(3600 * (int64_t)S);
}

static void test_step_back_is_distrusted_then_taken(void **state)
{
	(void)state;
	step_and_settle(-3600 * (int64_t)S);
}

static void test_just_beyond_the_limit_is_a_step(void **state)
{
	(void)state;
	step_and_settle((STEP_MS + 5) * (int64_t)MS);
	step_and_settle(-(STEP_MS + 5) * (int64_t)MS);
}

static void test_limits_can_change_while_it_runs(void **state)
{
	(void)state;
	assert_int_equal(pl_clock_limits_set(clk, 0, false, 1), -EINVAL);
	assert_int_equal(pl_clock_limits_set(clk, 4 * STEP_MS, false, SETTLE_S), 0);
	fake.wall_off_ns += 3 * STEP_MS * (int64_t)MS;
	assert_int_equal(run(S), PL_CLOCK_TRUSTED);
	assert_int_equal(run(400 * S), PL_CLOCK_TRUSTED); /* slewed away by then */
	assert_int_equal(pl_clock_limits_set(clk, STEP_MS, false, SETTLE_S), 0);
	assert_int_equal(run(S), PL_CLOCK_TRUSTED);
	fake.wall_off_ns += 3 * STEP_MS * (int64_t)MS;
	assert_int_equal(run(S), PL_CLOCK_STEPPED);
	/* A step that is being waited out stays one, for as long as it is now said. */
	assert_int_equal(pl_clock_limits_set(clk, 4 * STEP_MS, false, 3), 0);
	assert_int_equal(run(S), PL_CLOCK_STEPPED);
	assert_int_equal(run(2 * S), PL_CLOCK_TRUSTED);
	fake.synchronised = false;
	assert_int_equal(run(S), PL_CLOCK_TRUSTED);
	assert_int_equal(pl_clock_limits_set(clk, STEP_MS, true, SETTLE_S), 0);
	assert_int_equal(run(S), PL_CLOCK_UNSYNCHRONISED);
}

static void test_another_step_starts_the_wait_again(void **state)
{
	(void)state;
	fake.wall_off_ns += 3600 * (int64_t)S;
	assert_int_equal(run((SETTLE_S - 5) * S), PL_CLOCK_STEPPED);
	fake.wall_off_ns -= 3600 * (int64_t)S; /* somebody took it back */
	assert_int_equal(run((SETTLE_S - 5) * S), PL_CLOCK_STEPPED);
	assert_true(near_ns(error_ns(), 0, (int64_t)MS));
	assert_int_equal(run(6 * S), PL_CLOCK_TRUSTED);
}

static void test_small_change_is_slewed_not_jumped(void **state)
{
	(void)state;
	for (int64_t sign = -1; sign <= 1; sign += 2) {
		fake.wall_off_ns += sign * 100 * (int64_t)MS;
		assert_int_equal(run(10 * S), PL_CLOCK_TRUSTED);
		/* 5000 ppm take 50 ms off in 10 s. */
		assert_true(near_ns(error_ns(), -sign * 50 * (int64_t)MS, 2 * (int64_t)MS));
		assert_int_equal(run(20 * S), PL_CLOCK_TRUSTED);
		assert_true(near_ns(error_ns(), 0, (int64_t)MS));
	}
}

static void test_slow_drift_is_followed(void **state)
{
	(void)state;
	fake.ppm_from = fake.mono_ns;
	fake.wall_ppm = 100;
	assert_int_equal(run(1800 * S), PL_CLOCK_TRUSTED);
	assert_true(near_ns(error_ns(), 0, (int64_t)MS));
}

static void test_many_small_steps_are_a_step(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++) {
		fake.wall_off_ns += 45 * (int64_t)MS;
		run(10 * MS);
	}
	assert_int_equal(pl_clock_trust(clk), PL_CLOCK_STEPPED);
}

static void test_control_that_was_stopped_for_an_hour_goes_on(void **state)
{
	(void)state;
	run(S);
	fake.mono_ns += 3600 * S;
	assert_true(near_ns(error_ns(), 0, 20 * (int64_t)MS));
	assert_int_equal(run(10 * MS), PL_CLOCK_TRUSTED);
}

static void test_synchronisation_counts_if_asked_for(void **state)
{
	struct pl_clock_conf conf = fake_conf();

	(void)state;
	fake.synchronised = false;
	assert_int_equal(run(10 * MS), PL_CLOCK_TRUSTED);
	stop(NULL);

	fake.gap_ns = 25 * MS;
	conf.need_synchronised = true;
	assert_int_equal(pl_clock_create(&conf, &clk), 0);
	assert_int_equal(pl_clock_trust(clk), PL_CLOCK_UNSYNCHRONISED);
	fake.gap_ns = 0;
	fake.synchronised = true;
	assert_int_equal(run(10 * MS), PL_CLOCK_TRUSTED);
	fake.synchronised = false;
	assert_int_equal(run(10 * MS), PL_CLOCK_UNSYNCHRONISED);
	fake.wall_off_ns += 3600 * (int64_t)S;
	assert_int_equal(run(10 * MS), PL_CLOCK_STEPPED);
}

static void test_tsc_jump_makes_no_wild_time(void **state)
{
	static const uint64_t offs[] = {1ull << 40, 0, 1ull << 62, 1000};

	(void)state;
	run(S);
	for (size_t i = 0; i < PL_ARRAY_CNT(offs); i++) {
		fake.tsc_off = offs[i];
		assert_int_equal(run(10 * MS), PL_CLOCK_STEPPED);
		assert_true(near_ns(error_ns(), 0, 10 * (int64_t)MS));
		assert_int_equal(run(S), PL_CLOCK_STEPPED);
		assert_true(near_ns(error_ns(), 0, 10 * (int64_t)MS));
		assert_int_equal(run((SETTLE_S + 1) * S), PL_CLOCK_TRUSTED);
		assert_true(near_ns(error_ns(), 0, (int64_t)MS));
	}
}

static void test_tsc_of_another_rate_is_measured_anew(void **state)
{
	static const uint64_t rates[] = {50, 12, 13, 25};

	(void)state;
	run(S);
	for (size_t i = 0; i < PL_ARRAY_CNT(rates); i++) {
		fake.tsc_per_10ns = rates[i];
		run(10 * S);
		assert_int_equal(pl_clock_trust(clk), PL_CLOCK_STEPPED);
		assert_int_equal(run((SETTLE_S + 5) * S), PL_CLOCK_TRUSTED);
		fake.mono_ns += 1000 * S; /* the slope alone carries this */
		assert_true(near_ns(error_ns(), 0, 20 * (int64_t)MS));
		run(S);
	}
}

static void test_what_cannot_be_a_clock_is_refused(void **state)
{
	struct pl_clock_conf conf = fake_conf();
	struct pl_clock *c;

	(void)state;
	fake = (struct fake){.mono_ns = 1000 * S, .read_ns = 50, .gap_ns = 25 * MS};
	assert_int_equal(pl_clock_create(&conf, &c), -EIO); /* TSC stands still */
	assert_null(c);
	fake.read_ns = fake.gap_ns = 0;
	fake.tsc_per_10ns = 25;
	assert_int_equal(pl_clock_create(&conf, &c), -EIO); /* time stands still */
	conf.step_ms_max = 0;
	assert_int_equal(pl_clock_create(&conf, &c), -EINVAL);
}

static void test_system_clocks(void **state)
{
	struct pl_clock_conf conf = {.step_ms_max = 3600000, .source = pl_clock_system};
	struct pl_clock_view v = {0};
	struct pl_clock *c;
	int64_t apart_s;

	(void)state;
	assert_int_equal(pl_clock_create(&conf, &c), 0);
	assert_int_equal(pl_clock_sample(c), PL_CLOCK_TRUSTED);
	pl_clock_view_get(c, &v);
	assert_true(v.trusted);
	apart_s = (int64_t)(pl_clock_wall_ns(&v, conf.source.tsc(NULL)) / S) - (int64_t)time(NULL);
	assert_true(apart_s > -600 && apart_s < 600);
	(void)conf.source.synchronised(NULL);
	pl_clock_destroy(c);
}

static void test_view_maths_does_not_overflow(void **state)
{
	struct pl_clock_view v = {
		.tsc0 = UINT64_MAX - 10,
		.wall_ns0 = START_NS,
		.ns_per_tsc_q32 = 2ull << 32,
	};

	(void)state;
	assert_int_equal(pl_clock_wall_ns(&v, UINT64_MAX - 10), START_NS);
	assert_int_equal(pl_clock_wall_ns(&v, 10), START_NS + 42); /* across the wrap */
	assert_int_equal(pl_clock_wall_ns(&v, UINT64_MAX - 11), START_NS - 2);
	v.tsc0 = 0;
	assert_int_equal(pl_clock_wall_ns(&v, 1ull << 52), START_NS + (1ull << 53));
}

static void test_trust_texts(void **state)
{
	(void)state;
	assert_string_equal(pl_clock_trust_text(PL_CLOCK_TRUSTED), "trusted");
	assert_string_equal(pl_clock_trust_text(PL_CLOCK_STEPPED), "stepped");
	assert_non_null(strstr(pl_clock_trust_text(PL_CLOCK_UNSYNCHRONISED), "NTP"));
	assert_string_equal(pl_clock_trust_text(9), "unknown");
}

int main(void)
{
#define WITH_CLOCK(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		WITH_CLOCK(test_steady_clock_is_followed),
		WITH_CLOCK(test_step_forward_is_distrusted_then_taken),
		WITH_CLOCK(test_step_back_is_distrusted_then_taken),
		WITH_CLOCK(test_just_beyond_the_limit_is_a_step),
		WITH_CLOCK(test_another_step_starts_the_wait_again),
		WITH_CLOCK(test_limits_can_change_while_it_runs),
		WITH_CLOCK(test_small_change_is_slewed_not_jumped),
		WITH_CLOCK(test_slow_drift_is_followed),
		WITH_CLOCK(test_many_small_steps_are_a_step),
		WITH_CLOCK(test_control_that_was_stopped_for_an_hour_goes_on),
		WITH_CLOCK(test_synchronisation_counts_if_asked_for),
		WITH_CLOCK(test_tsc_jump_makes_no_wild_time),
		WITH_CLOCK(test_tsc_of_another_rate_is_measured_anew),
		cmocka_unit_test(test_what_cannot_be_a_clock_is_refused),
		cmocka_unit_test(test_system_clocks),
		cmocka_unit_test(test_view_maths_does_not_overflow),
		cmocka_unit_test(test_trust_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
