/* SPDX-License-Identifier: BSD-3-Clause */
/* What the load does beside sending: options, mixes, its histogram of latencies, telemetry's
 * answers. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "load/load.h"
#include "load/telemetry.h"

volatile sig_atomic_t load_stop;

static void test_latency_buckets_cover_every_value_once(void **state)
{
	uint64_t rng = 1;

	(void)state;
	assert_int_equal(latency_bucket(0), 0);
	assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
	assert_true(latency_bucket_top(LATENCY_BUCKETS - 1) == UINT64_MAX);
	for (uint32_t b = 0; b + 1 < LATENCY_BUCKETS; b++) {
		uint64_t top = latency_bucket_top(b);

		assert_int_equal(latency_bucket(top), b);
		assert_int_equal(latency_bucket(top + 1), b + 1);
	}
	for (uint32_t i = 0; i < 100000; i++) {
		uint64_t v, top;

		rng = pl_mix64(rng + i);
		v = rng >> (rng & 63);
		top = latency_bucket_top(latency_bucket(v));
		assert_true(top >= v);
		assert_true(top - v <= v / LATENCY_SUB);
	}
}

static void test_latency_shares(void **state)
{
	static struct latency l;

	(void)state;
	assert_int_equal(latency_at(&l, 0.5), 0);
	for (uint64_t v = 1; v <= 1000; v++)
		latency_add(&l, v);
	assert_in_range(latency_at(&l, 0.5), 500, 504);
	assert_in_range(latency_at(&l, 0.99), 990, 998);
	assert_int_equal(latency_at(&l, 1), 1000);
	assert_int_equal(latency_at(&l, 0), 1);
	latency_add(&l, 1ull << 40);
	assert_true(latency_at(&l, 1) == 1ull << 40);
	assert_true(latency_at(&l, 0.999) <= 1000 * 129 / 128);
}

static void test_mix_shares(void **state)
{
	uint32_t counts[MIX_CNT] = {0};
	char error[256];
	struct mix m;
	uint64_t rng = 1;

	(void)state;
	assert_int_equal(mix_parse(&m, "valid=6,forged=3,replayed=1", error, sizeof(error)), 0);
	assert_true(fabs(m.share[MIX_VALID] - 0.6) < 1e-12);
	for (uint32_t i = 0; i < 100000; i++) {
		rng = pl_mix64(rng + i);
		counts[mix_pick(&m, (uint32_t)rng)]++;
	}
	assert_in_range(counts[MIX_VALID], 58000, 62000);
	assert_in_range(counts[MIX_FORGED], 28000, 32000);
	assert_in_range(counts[MIX_REPLAYED], 9000, 11000);
	assert_int_equal(counts[MIX_VALID] + counts[MIX_FORGED] + counts[MIX_REPLAYED], 100000);
	/* The ends of the range. */
	assert_int_equal(mix_pick(&m, 0), MIX_VALID);
	assert_int_equal(mix_pick(&m, UINT32_MAX), MIX_REPLAYED);
	assert_int_equal(mix_parse(&m, "stale=0.001", error, sizeof(error)), 0);
	assert_int_equal(mix_pick(&m, 0), MIX_STALE);
	assert_int_equal(mix_pick(&m, UINT32_MAX), MIX_STALE);
	mix_default(&m);
	assert_int_equal(mix_pick(&m, UINT32_MAX), MIX_VALID);
}

static void test_every_kind_can_be_named(void **state)
{
	char text[64], error[256];
	struct mix m;

	(void)state;
	for (uint32_t k = 0; k < MIX_CNT; k++) {
		snprintf(text, sizeof(text), "%s=1", mix_name((enum mix_kind)k));
		assert_int_equal(mix_parse(&m, text, error, sizeof(error)), 0);
		assert_int_equal(mix_pick(&m, 12345), k);
		assert_non_null(pl_verdict_name(mix_verdict((enum mix_kind)k)));
	}
}

static void test_bad_mixes_are_refused_and_change_nothing(void **state)
{
	static const char *const bad[] = {
		"",          "valid",     "valid=",          "valid=x",          "valid=-1",
		"valid=0",   "valid=1,",  "valid=1,valid=2", "nonsense=1",       "=1",
		"valid=nan", "valid=inf", "valid=1e10",      "valid=1;stale=1",  ",",
		"Valid=1",   "valid =1",  "valid=1 ",        "valid=1,,stale=1",
	};
	struct mix m, before;
	char error[256];

	(void)state;
	mix_default(&m);
	before = m;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		error[0] = '\0';
		if (mix_parse(&m, bad[i], error, sizeof(error)) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_true(error[0] != '\0');
		assert_memory_equal(&m, &before, sizeof(m));
	}
}

static void test_telemetry_answers(void **state)
{
	static const char good[] = "{\"/passline/stats\": {\"answered\": 9, \"rx_pkts\": 10, "
				   "\"replies\": 7, \"scans\": 70, \"busy_tsc\": 700, "
				   "\"idle_tsc\": 300, \"stalls\": 2, \"stalled_tsc\": 50}}";
	static const char *const bad[] = {
		"",
		"{",
		"null",
		"[]",
		"{\"/passline/stats\": null}",
		"{\"/passline/stats\": {\"busy_tsc\": 1}}",
		"{\"a\": {\"busy_tsc\": \"1\", \"idle_tsc\": 1, \"replies\": 1, \"scans\": 1}}",
	};
	struct telemetry t;

	(void)state;
	assert_int_equal(telemetry_read(good, strlen(good), &t), 0);
	assert_int_equal(t.busy_tsc, 700);
	assert_int_equal(t.idle_tsc, 300);
	assert_int_equal(t.stalls, 2);
	assert_int_equal(t.stalled_tsc, 50);
	assert_int_equal(t.replies, 7);
	assert_int_equal(t.scans, 70);
	assert_int_equal(t.rx_pkts, 10);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++)
		assert_int_equal(telemetry_read(bad[i], strlen(bad[i]), &t), -EBADMSG);
	for (size_t cut = 0; cut < strlen(good); cut++)
		assert_int_equal(telemetry_read(good, cut, &t), -EBADMSG);
}

/* Options in one string; what they say on stderr is thrown away. */
static int parse(struct load_args *args, const char *text)
{
	static char copy[1024];
	char *argv[64] = {"passline-load"}, *save = NULL;
	int argc = 1, rc, err = dup(STDERR_FILENO);

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *p = strtok_r(copy, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
		argv[argc++] = p;
	optind = 0; /* glibc: begin anew */
	assert_non_null(freopen("/dev/null", "w", stderr));
	rc = load_args_parse(args, argc, argv);
	fflush(stderr);
	dup2(err, STDERR_FILENO);
	close(err);
	return rc;
}

#define PORT_ARGS   "--dst-ip 10.0.0.1 --src-ip 10.0.0.2 "
#define COMMON_ARGS "--key k --state-dir s --token-keys t --certs 1000 "

static void test_options_are_understood(void **state)
{
	struct load_args a;

	(void)state;
	assert_int_equal(parse(&a, PORT_ARGS COMMON_ARGS
			       "--seed 9 --as-of 2021-12-13 --part 1/4 --scans 43 --rate 2.5e6 "
			       "--garbage 0.25 --dst-mac 02:00:00:0a:0b:0c --vlan 7 --flows 64 "
			       "--mix valid=1,stale=1 --seal libsodium --json --fresh "
			       "--interval 0.01"),
			 -1);
	assert_int_equal(a.flow.dst_ip[3], 1);
	assert_int_equal(a.flow.src_ip[3], 2);
	assert_int_equal(a.flow.dst_mac[5], 0x0c);
	assert_int_equal(a.interval_ms, 10);
	assert_true(a.dst_mac_given && a.json && a.fresh && !a.flow.is_ip6);
	assert_int_equal(a.flow.vlan_id, 7);
	assert_int_equal(a.flow_cnt, 64);
	assert_int_equal(a.seed, 9);
	assert_int_equal(a.as_of_day, 18974);
	assert_int_equal(a.part_idx, 1);
	assert_int_equal(a.part_cnt, 4);
	assert_int_equal(a.scan_cnt, 43);
	assert_int_equal(a.seal_engine, PL_SEAL_SODIUM);
	assert_true(a.rate == 2.5e6 && a.garbage_share == 0.25);
	assert_true(a.mix.share[MIX_STALE] == 0.5);
	assert_int_equal(parse(&a, "--sockets [::1]:99 --key-dir d --state-dir s --token-keys t "
				   "--certs 1"),
			 -1);
	assert_int_equal(parse(&a, "--dst-ip fd00::1 --src-ip fd00::2 --interval 3600 --seconds "
				   "7200 " COMMON_ARGS),
			 -1);
	assert_int_equal(a.interval_ms, 3600000);
	assert_true(a.flow.is_ip6);
	assert_int_equal(parse(&a, PORT_ARGS "--interval 1.001 " COMMON_ARGS), -1);
	assert_int_equal(a.interval_ms, 1001);
	assert_int_equal(parse(&a, PORT_ARGS "--interval 0.01 --seconds 1000 " COMMON_ARGS), -1);
}

static void test_wrong_options_are_refused(void **state)
{
	static const char *const bad[] = {
		COMMON_ARGS,
		PORT_ARGS,
		"--dst-ip 10.0.0.1 " COMMON_ARGS,
		"--dst-ip 10.0.0.1 --src-ip fd00::2 " COMMON_ARGS,
		PORT_ARGS "--sockets 10.0.0.1 " COMMON_ARGS,
		PORT_ARGS "--interval 0 " COMMON_ARGS,
		PORT_ARGS "--interval 3600.001 --seconds 8000 " COMMON_ARGS,
		PORT_ARGS "--interval 3 --seconds 5.9 " COMMON_ARGS,
		PORT_ARGS "--interval 0.009 " COMMON_ARGS,
		PORT_ARGS "--interval 0.0105 " COMMON_ARGS,
		PORT_ARGS "--interval 1s " COMMON_ARGS,
		PORT_ARGS "--interval 0.01 --seconds 1001 " COMMON_ARGS,
		PORT_ARGS "--echo " COMMON_ARGS, /* no --dst-mac */
		PORT_ARGS "--echo --dst-mac 02:00:00:00:00:01 --telemetry t " COMMON_ARGS,
		"--sockets 10.0.0.1 --echo --dst-mac 02:00:00:00:00:01 " COMMON_ARGS,
		"--sockets nowhere " COMMON_ARGS,
		PORT_ARGS COMMON_ARGS "--key-dir d",
		PORT_ARGS COMMON_ARGS "--scans 0",
		PORT_ARGS COMMON_ARGS "--scans 44",
		PORT_ARGS COMMON_ARGS "--scans 1x",
		PORT_ARGS COMMON_ARGS "--rate 0",
		PORT_ARGS COMMON_ARGS "--rate nan",
		PORT_ARGS COMMON_ARGS "--garbage 1",
		PORT_ARGS COMMON_ARGS "--part 4/4",
		PORT_ARGS COMMON_ARGS "--part 1",
		PORT_ARGS COMMON_ARGS "--part 0/1001",
		PORT_ARGS COMMON_ARGS "--vlan 4095",
		PORT_ARGS COMMON_ARGS "--flows 1024 --src-port 65000",
		PORT_ARGS COMMON_ARGS "--pool 64 --outstanding 33",
		PORT_ARGS COMMON_ARGS "--mix nothing",
		PORT_ARGS COMMON_ARGS "--as-of 2021-02-29",
		PORT_ARGS COMMON_ARGS "--dst-mac 02:00:00:0a:0b",
		PORT_ARGS COMMON_ARGS "--dst-mac 02:00:00:0a:0b:0c:0d",
		PORT_ARGS COMMON_ARGS "--nonsense",
		PORT_ARGS COMMON_ARGS "more",
		PORT_ARGS COMMON_ARGS "--seed 99999999999999999999",
	};
	struct load_args a;

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++)
		if (parse(&a, bad[i]) != LOAD_EXIT_USAGE)
			fail_msg("taken: %s", bad[i]);
}

static void test_sockets_need_no_eal(void **state)
{
	char *with[] = {"passline-load", "--", "--sockets", "::1"};
	char *joined[] = {"passline-load", "--sockets=::1"};
	char *without[] = {"passline-load", "-l", "0", "--", "--dst-ip", "10.0.0.1"};

	(void)state;
	assert_true(load_args_want_sockets(4, with));
	assert_true(load_args_want_sockets(2, joined));
	assert_false(load_args_want_sockets(6, without));
	assert_int_equal(load_args_separator(6, without), 3);
	assert_int_equal(load_args_separator(2, without), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latency_buckets_cover_every_value_once),
		cmocka_unit_test(test_latency_shares),
		cmocka_unit_test(test_mix_shares),
		cmocka_unit_test(test_every_kind_can_be_named),
		cmocka_unit_test(test_bad_mixes_are_refused_and_change_nothing),
		cmocka_unit_test(test_telemetry_answers),
		cmocka_unit_test(test_options_are_understood),
		cmocka_unit_test(test_wrong_options_are_refused),
		cmocka_unit_test(test_sockets_need_no_eal),
	};

	return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
