/* SPDX-License-Identifier: BSD-3-Clause */
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

static bool have_tzdata(void)
{
	return access("/usr/share/zoneinfo/Asia/Seoul", R_OK) == 0;
}

static void test_zone_of_seoul_and_utc(void **state)
{
	struct pl_clock_zone z;

	(void)state;
	assert_int_equal(pl_clock_zone_get("UTC", 0, &z), 0);
	assert_int_equal(z.offset_s, 0);
	assert_int_equal(z.until_s, INT64_MAX);
	if (!have_tzdata())
		skip();
	assert_int_equal(pl_clock_zone_get("Asia/Seoul", 1639364700, &z), 0);
	assert_int_equal(z.offset_s, 9 * 3600);
	assert_int_equal(z.until_s, INT64_MAX);
	/* 2021-12-12 23:59:59.999 and midnight in Seoul. */
	assert_int_equal(pl_clock_day(1639321199999, &z), 18973);
	assert_int_equal(pl_clock_day(1639321200000, &z), 18974);
}

static void test_zone_says_until_when(void **state)
{
	struct pl_clock_zone z;

	(void)state;
	if (!have_tzdata())
		skip();
	/* Berlin, 2026-03-01: winter time until 2026-03-29 01:00 UTC, then until 25 October. */
	assert_int_equal(pl_clock_zone_get("Europe/Berlin", 1772323200, &z), 0);
	assert_int_equal(z.offset_s, 3600);
	assert_int_equal(z.until_s, 1774746000);
	assert_int_equal(pl_clock_zone_get("Europe/Berlin", z.until_s, &z), 0);
	assert_int_equal(z.offset_s, 7200);
	assert_int_equal(z.from_s, 1774746000);
	assert_int_equal(z.until_s, 1792890000);
	/* A machine whose clock was set back behind the change must ask again. */
	assert_true(pl_clock_zone_holds(&z, 1774746000));
	assert_false(pl_clock_zone_holds(&z, 1774745999));
	assert_true(pl_clock_zone_holds(&z, 1792889999));
	assert_false(pl_clock_zone_holds(&z, 1792890000));
	/* Beyond the file's table: by its rule. 2050-07-01. */
	assert_int_equal(pl_clock_zone_get("Europe/Berlin", 2540160000, &z), 0);
	assert_int_equal(z.offset_s, 7200);
}

/* The C library reads the same files: ask both, for many zones and times. */
static void test_zones_agree_with_the_c_library(void **state)
{
	static const char *const names[] = {
		"Asia/Seoul",        "Europe/Berlin",    "America/New_York",  "Australia/Lord_Howe",
		"America/Sao_Paulo", "Asia/Kathmandu",   "Africa/Casablanca", "Pacific/Apia",
		"Asia/Gaza",         "Europe/Dublin",    "America/Nuuk",      "Etc/GMT+12",
		"Asia/Tehran",       "Antarctica/Troll", "Pacific/Chatham",   "America/Santiago",
	};
	uint64_t rng = 1;
	uint32_t changes_cnt = 0, changes_back_cnt = 0;

	(void)state;
	if (!have_tzdata())
		skip();
	for (size_t i = 0; i < PL_ARRAY_CNT(names); i++) {
		assert_int_equal(setenv("TZ", names[i], 1), 0);
		tzset();
		for (int k = 0; k < 400; k++) {
			struct pl_clock_zone z;
			struct tm tm;
			time_t at;

			rng += 0x9e3779b97f4a7c15ull;
			at = (time_t)(pl_mix64(rng) % 4102444800u); /* 1970 .. 2099 */
			assert_int_equal(pl_clock_zone_get(names[i], at, &z), 0);
			localtime_r(&at, &tm);
			if (tm.tm_gmtoff != z.offset_s)
				fail_msg("%s at %ld: %d, not %ld", names[i], at, z.offset_s,
					 tm.tm_gmtoff);
			assert_true(z.until_s > at);
			assert_true(z.from_s <= at);
			/* Nor since from_s, if the file says since when and the C library goes back so far. */
			if (z.from_s > -2000000000) {
				at = (time_t)z.from_s;
				localtime_r(&at, &tm);
				assert_int_equal(tm.tm_gmtoff, z.offset_s);
				at--;
				localtime_r(&at, &tm);
				changes_back_cnt += tm.tm_gmtoff != z.offset_s;
			}
			if (z.until_s == INT64_MAX)
				continue;
			/* To the second before until_s nothing changes. */
			at = (time_t)z.until_s - 1;
			localtime_r(&at, &tm);
			assert_int_equal(tm.tm_gmtoff, z.offset_s);
			at++;
			localtime_r(&at, &tm);
			changes_cnt += tm.tm_gmtoff != z.offset_s;
		}
	}
	unsetenv("TZ");
	tzset();
	/* until_s is not just some moment: at most of them the offset really changes. */
	assert_true(changes_cnt > 3000);
	assert_true(changes_back_cnt > 3000);
}

static void test_zone_names_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"Asia",
		"Asia/",
		"/etc/passwd",
		"../../../etc/passwd",
		"Asia/Soeul",
		"Asia//Seoul",
		"Asia/Seoul/x",
		"a/../Asia/Seoul",
		"tzdata.zi",
		"Asia/Seoul ",
		"0123456789012345678901234567890123456789012345678901234567890123456789",
	};
	struct pl_clock_zone z;

	(void)state;
	if (!have_tzdata())
		skip();
	for (size_t i = 0; i < PL_ARRAY_CNT(bad); i++)
		assert_int_equal(pl_clock_zone_get(bad[i], 0, &z), -ENOENT);
}

/* A TZif file with one 64-bit block: time_cnt transitions and a footer. */
static size_t make_tzif(uint8_t *p, uint32_t time_cnt, const int64_t *times, uint32_t leap_cnt,
			const char *footer)
{
	uint8_t *at = p;

	for (int block = 0; block < 2; block++) {
		uint32_t cnt[6] = {0, 0, block * leap_cnt, block * time_cnt, 2, 4};

		memset(at, 0, 44);
		memcpy(at, "TZif2", 5);
		for (int i = 0; i < 6; i++)
			for (int b = 0; b < 4; b++)
				at[20 + i * 4 + b] = (uint8_t)(cnt[i] >> (24 - 8 * b));
		at += 44;
		for (uint32_t i = 0; block == 1 && i < time_cnt; i++)
			for (int b = 0; b < 8; b++)
				*at++ = (uint8_t)((uint64_t)times[i] >> (56 - 8 * b));
		for (uint32_t i = 0; block == 1 && i < time_cnt; i++)
			*at++ = (uint8_t)((i + 1) % 2);
		/* Two types: an hour east and two hours east. */
		memcpy(at, "\0\0\x0e\x10\0\0\0\0\x1c\x20\0\0AAA", 16);
		at += 16;
		memset(at, 0, block * leap_cnt * 12);
		at += block * leap_cnt * 12;
	}
	return (size_t)(at - p) + (size_t)sprintf((char *)at, "%s", footer);
}

static int zone_at(const char *footer, int64_t at_s, struct pl_clock_zone *z)
{
	uint8_t data[512];

	return pl_clock_zone_parse(data, make_tzif(data, 0, NULL, 0, footer), at_s, z);
}

static void test_zone_files_by_hand(void **state)
{
	static const int64_t times[] = {1000, 2000};
	static const int64_t unsorted[] = {2000, 1000};
	struct pl_clock_zone z;
	uint8_t data[512];
	size_t size = make_tzif(data, 2, times, 0, "\n\n");

	(void)state;
	assert_int_equal(pl_clock_zone_parse(data, size, 999, &z), 0);
	assert_int_equal(z.offset_s, 3600);
	assert_int_equal(z.until_s, 1000);
	assert_int_equal(pl_clock_zone_parse(data, size, 1000, &z), 0);
	assert_int_equal(z.offset_s, 7200);
	assert_int_equal(z.until_s, 2000);
	assert_int_equal(pl_clock_zone_parse(data, size, 2000, &z), 0);
	assert_int_equal(z.offset_s, 3600);
	assert_int_equal(z.until_s, INT64_MAX);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(pl_clock_zone_parse(data, i, 1000, &z), -EINVAL);
	data[0] = 't';
	assert_int_equal(pl_clock_zone_parse(data, size, 1000, &z), -EINVAL);
	size = make_tzif(data, 2, unsorted, 0, "\n\n");
	assert_int_equal(pl_clock_zone_parse(data, size, 1500, &z), -EINVAL);
	size = make_tzif(data, 2, times, 1, "\n\n");
	assert_int_equal(pl_clock_zone_parse(data, size, 1500, &z), -EINVAL);
	size = make_tzif(data, 2, times, 0, "\n\n");
	assert_int_equal(pl_clock_zone_parse(data, size, INT64_MAX, &z), -EINVAL);
	assert_int_equal(pl_clock_zone_parse(data, size, INT64_MIN, &z), -EINVAL);
	data[44 + 16 + 44 + 16] = 2; /* a type that is not there */
	assert_int_equal(pl_clock_zone_parse(data, size, 1500, &z), -EINVAL);
}

static void test_zone_rules_by_hand(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"KST-9\n",
		"\nKST-9",
		"\nKS-9\n",
		"\nKST\n",
		"\nKST-25\n",
		"\nKST-9:60\n",
		"\nKST-9KDT\n",
		"\nKST-9KDT,M3.5.0\n",
		"\nKST-9KDT,M13.1.0,M1.1.0\n",
		"\nKST-9KDT,M3.6.0,M1.1.0\n",
		"\nKST-9KDT,M3.1.7,M1.1.0\n",
		"\nKST-9KDT,J0,J1\n",
		"\nKST-9KDT,J366,J1\n",
		"\nKST-9KDT,366,1\n",
		"\nKST-9KDT,M3.5.0/168,J1\n",
		"\n<KST-9\n",
		"\nKST-9KDT,J1,J2x\n",
		"\nKST-99999999999\n",
	};
	struct pl_clock_zone z;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(bad); i++)
		assert_int_equal(zone_at(bad[i], 0, &z), -EINVAL);
	assert_int_equal(zone_at("\n<+0545>-5:45\n", 0, &z), 0);
	assert_int_equal(z.offset_s, 5 * 3600 + 45 * 60);
	/* 2024 is a leap year: day 59 is 29 February, J59 is the 28th, J60 is 1 March. */
	assert_int_equal(zone_at("\nAAA0BBB,59/0,J365/0\n", 1709164800 - 1, &z), 0);
	assert_int_equal(z.until_s, 1709164800);
	assert_int_equal(zone_at("\nAAA0BBB,J59/0,J365/0\n", 1709078400 - 1, &z), 0);
	assert_int_equal(z.until_s, 1709078400);
	assert_int_equal(zone_at("\nAAA0BBB,J60/0,J365/0\n", 1709251200 - 1, &z), 0);
	assert_int_equal(z.until_s, 1709251200);
	/* Changes that the rule moves over the turn of the year: the last one was two names ago. */
	for (int64_t t = -2208988800; t < -2208988800 + 3060; t += 60) {
		assert_int_equal(zone_at("\nAAA0BBB,365,7/-166:9\n", t, &z), 0);
		assert_int_equal(z.offset_s, 3600);
		assert_int_equal(z.until_s, -2208985740);
	}
	/* Daylight time all year, as RFC 8536 writes it. */
	for (int64_t t = 1700000000; t < 1740000000; t += 86400 * 9) {
		assert_int_equal(zone_at("\nEST5EDT,0/0,J365/25\n", t, &z), 0);
		assert_int_equal(z.offset_s, -4 * 3600);
	}
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
		cmocka_unit_test(test_zone_of_seoul_and_utc),
		cmocka_unit_test(test_zone_says_until_when),
		cmocka_unit_test(test_zones_agree_with_the_c_library),
		cmocka_unit_test(test_zone_names_that_are_none),
		cmocka_unit_test(test_zone_files_by_hand),
		cmocka_unit_test(test_zone_rules_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
