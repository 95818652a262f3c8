/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * passline-load against the verify stage in one process: a transport that hands requests to the
 * real verifier, over a table of the same population. What the load believes to be right must be
 * what the appliance's own code says, whatever the transport loses, repeats or adds.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "load/run.h"
#include "keys/pl_keys.h"
#include "verify/pl_verify.h"

#define CERTS     20000u
#define QUEUE     4096u
#define SEEN      (1u << 20)
#define ERROR_MAX 8192u

volatile sig_atomic_t load_stop;

/* So that some kinds are not accepted and some venues ask for nothing. */
static const char policy_text[] =
	"[qr]\nlife = 15 s\nskew = 5 s\n"
	"[profile standard]\n"
	"primary = 14..180\nbooster = 0..\nrecovered = 0..180\n"
	"pcr-negative = 0..2\nmedical-exempt = 0..\nunder-age = ..-1\n"
	"[profile strict]\n"
	"primary = 14..180\nbooster = 0..\nrecovered = 0..180\n"
	"pcr-negative = reject\nmedical-exempt = 0..\nunder-age = ..-1\n"
	"[classes]\nother = standard\n"
	"[class 9]\nname = strict-place\nprofile = strict\n"
	"[class 10]\nname = free-place\nprofile = standard\nrequired = no\n";

struct datagram {
	uint32_t size;
	uint8_t data[2048];
};

/* The transport, and the appliance behind it. */
struct fake {
	struct load_io io;
	struct datagram queue[QUEUE];
	uint32_t head, tail; /* run freely */
	uint32_t drop_each, repeat_each;
	bool echo; /* send requests back, as testpmd does */
	uint64_t tx_cnt;
	uint64_t issue_at, issue_id; /* a certificate that comes after so many datagrams */
	uint64_t gone_at;            /* and goes again */
	uint64_t dropped;
	uint64_t stop_after; /* dropped so many, the run may end */
	struct pl_verify *verify;
	struct pl_view view;
	struct pl_now now;
	struct pl_counters counters;
	struct pl_table *table;
	struct pl_table_reader *reader;
	struct pl_policy policy;
	struct pl_token_keys token_keys;
	struct pl_clock_zone zone;
	/* Each nonce seen, and a hash of what was sealed with it. */
	struct {
		uint64_t nonce;
		uint64_t hash;
	} seen[SEEN];
	uint64_t nonce_reused;
};

struct world {
	char dir[64];
	char token_dir[96], gateway_dir[96], state_dir[96], policy_path[96];
	struct fake *fake;
	struct load_args args;
	struct load_clock clock;
	struct expect expect;
	struct gateways *gateways;
	struct pool pool;
	struct run_result result;
	char error[ERROR_MAX];
};

static const uint8_t hash_key[crypto_shorthash_KEYBYTES] = {1};

static void note_nonce(struct fake *f, const uint8_t *data, uint32_t size)
{
	uint64_t nonce, hash;
	uint32_t at;

	if (size < PL_WIRE_REQ_SIZE_MIN || data[0] != PL_WIRE_VERSION || data[3] != 0)
		return; /* random bytes */
	nonce = pl_le64_get(data + 8) ^ (uint64_t)pl_le32_get(data + 4) << 40;
	PL_CHECK(crypto_shorthash((uint8_t *)&hash, data, size, hash_key) == 0);
	for (at = (uint32_t)pl_mix64(nonce) & (SEEN - 1); f->seen[at].nonce != 0;
	     at = (at + 1) & (SEEN - 1))
		if (f->seen[at].nonce == nonce) {
			f->nonce_reused += f->seen[at].hash != hash;
			return;
		}
	f->seen[at].nonce = nonce;
	f->seen[at].hash = hash;
}

static void put(struct fake *f, const struct io_tx *pkt)
{
	struct datagram *d = &f->queue[f->tail++ % QUEUE];

	memcpy(d->data, pkt->frame, pkt->size);
	d->size = pkt->size;
}

static uint32_t fake_tx(struct load_io *io, const struct io_tx *pkts, uint32_t cnt)
{
	struct fake *f = (struct fake *)io;

	for (uint32_t i = 0; i < cnt; i++) {
		if (f->tail - f->head > QUEUE - 2)
			return i;
		note_nonce(f, pkts[i].frame, pkts[i].size);
		f->tx_cnt++;
		if (f->tx_cnt == f->issue_at)
			PL_CHECK(pl_table_put(f->table, f->issue_id,
					      pl_facts_pack(
						      &(struct pl_cert){.kind = PL_CERT_BOOSTER,
									.event_day = 18900})) == 0);
		if (f->tx_cnt == f->gone_at)
			PL_CHECK(pl_table_remove(f->table, f->issue_id) == 0);
		if (f->drop_each != 0 && f->tx_cnt % f->drop_each == 0) {
			if (++f->dropped == f->stop_after)
				load_stop = 1;
			continue;
		}
		put(f, &pkts[i]);
		if (f->repeat_each != 0 && f->tx_cnt % f->repeat_each == 0)
			put(f, &pkts[i]);
	}
	return cnt;
}

static uint32_t fake_rx(struct load_io *io, struct io_rx *pkts, uint32_t cnt)
{
	struct fake *f = (struct fake *)io;
	struct pl_verify_item items[LOAD_BURST];
	uint32_t n = 0, out = 0;

	for (; n < cnt && f->head != f->tail; n++) {
		struct datagram *d = &f->queue[f->head++ % QUEUE];

		items[n] = (struct pl_verify_item){.data = d->data, .request_size = d->size};
		pkts[n] = (struct io_rx){d->data, d->size};
	}
	if (f->echo)
		return n;
	f->now.wall_ms = load_clock_read(CLOCK_REALTIME) / 1000000;
	f->now.today = pl_clock_day(f->now.wall_ms, &f->zone);
	pl_verify_burst(f->verify, &f->view, &f->now, items, n);
	for (uint32_t i = 0; i < n; i++)
		if (items[i].reply_size != 0)
			pkts[out++] = (struct io_rx){items[i].data, items[i].reply_size};
	return out;
}

static void fake_rx_done(struct load_io *io)
{
	(void)io;
}

static uint32_t fake_finish(struct load_io *io, uint8_t *frame, uint32_t flow, uint32_t size)
{
	(void)io;
	(void)frame;
	(void)flow;
	return size;
}

static void fake_close(struct load_io *io)
{
	(void)io;
}

static const struct load_io_ops fake_ops = {fake_tx, fake_rx, fake_rx_done, fake_finish,
					    fake_close};

static void write_key(const char *path, struct pl_key *key)
{
	char error[256];

	PL_CHECK(pl_keys_generate(key) == 0);
	PL_CHECK(pl_keys_write_file(path, key, false, error, sizeof(error)) == 0);
}

static void write_files(struct world *w, struct pl_gateway_conf confs[2])
{
	struct pl_key key = {.kind = PL_KEY_TOKEN, .epoch = 3};
	char path[160];
	FILE *file;

	snprintf(w->dir, sizeof(w->dir), "/tmp/pl-load-XXXXXX");
	PL_CHECK(mkdtemp(w->dir) != NULL);
	snprintf(w->token_dir, sizeof(w->token_dir), "%s/token", w->dir);
	snprintf(w->gateway_dir, sizeof(w->gateway_dir), "%s/gateway", w->dir);
	snprintf(w->state_dir, sizeof(w->state_dir), "%s/state", w->dir);
	snprintf(w->policy_path, sizeof(w->policy_path), "%s/policy.ini", w->dir);
	PL_CHECK(mkdir(w->token_dir, 0700) == 0 && mkdir(w->gateway_dir, 0700) == 0 &&
		 mkdir(w->state_dir, 0700) == 0);
	snprintf(path, sizeof(path), "%s/3.key", w->token_dir);
	write_key(path, &key);
	w->fake->token_keys.held[3] = 1;
	w->fake->token_keys.master0[3] = pl_le64_get(key.bytes);
	w->fake->token_keys.master1[3] = pl_le64_get(key.bytes + 8);
	for (uint32_t i = 0; i < 2; i++) {
		key = (struct pl_key){.kind = PL_KEY_GATEWAY, .gateway_id = 70 + i, .epoch = 1};
		snprintf(path, sizeof(path), "%s/%u.key", w->gateway_dir, i);
		write_key(path, &key);
		confs[i] = (struct pl_gateway_conf){.id = 70 + i, .epoch = 1};
		memcpy(confs[i].root, key.bytes, sizeof(confs[i].root));
	}
	file = fopen(w->policy_path, "w");
	PL_CHECK(file != NULL && fputs(policy_text, file) >= 0 && fclose(file) == 0);
}

static void fill_table(struct world *w)
{
	struct pl_table_conf conf = {.capacity = CERTS * 2, .numa_node = -1};
	struct pl_population_conf pop = {
		.seed = 5, .cert_cnt = CERTS, .key_epoch = 3, .as_of_day = w->fake->now.today};
	struct pl_population *population;

	if (pl_table_create(&conf, &w->fake->table, w->error, ERROR_MAX) != 0 ||
	    pl_population_create(&pop, &population, w->error, ERROR_MAX) != 0)
		fail_msg("%s", w->error);
	for (uint64_t i = 0; i < CERTS; i++) {
		struct pl_cert c = pl_population_cert(population, i);

		PL_CHECK(pl_table_put(w->fake->table, c.id, pl_facts_pack(&c)) == 0);
	}
	pl_population_destroy(population);
	PL_CHECK(pl_table_reader_create(w->fake->table, &w->fake->reader) == 0);
}

static void start_appliance(struct world *w, const struct pl_gateway_conf confs[2])
{
	struct fake *f = w->fake;
	struct pl_verify_conf conf = {.token_variant = -1,
				      .nonce_next = 1,
				      .nonce_limit = 1ull << 60,
				      .table = f->reader,
				      .counters = &f->counters};
	struct pl_gateway_set *set;
	uint32_t bad_id;

	PL_CHECK(pl_verify_create(&conf, &f->verify) == 0);
	PL_CHECK(pl_gateway_set_create(pl_verify_seal(f->verify), NULL, confs, 2, &set, &bad_id) ==
		 0);
	f->view = (struct pl_view){.gateways = set,
				   .token_keys = &f->token_keys,
				   .policy = &f->policy,
				   .appliance_id = 1,
				   .request_age_ms_max = 5000};
	f->now.as_of = 1;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct pl_gateway_conf confs[2];
	time_t now_s = time(NULL);

	PL_CHECK(w != NULL && sodium_init() >= 0);
	w->fake = calloc(1, sizeof(*w->fake));
	w->gateways = calloc(1, sizeof(*w->gateways));
	PL_CHECK(w->fake != NULL && w->gateways != NULL);
	w->fake->io = (struct load_io){.ops = &fake_ops, .flow_cnt = 1};
	write_files(w, confs);
	PL_CHECK(pl_clock_zone_get("Asia/Seoul", now_s, &w->fake->zone) == 0);
	w->fake->now.today = pl_clock_day((uint64_t)now_s * 1000, &w->fake->zone);
	if (pl_policy_load(w->policy_path, &w->fake->policy, NULL, w->error, ERROR_MAX) != 0)
		fail_msg("%s", w->error);
	fill_table(w);
	start_appliance(w, confs);
	w->args = (struct load_args){
		.flow_cnt = 1,
		.key_dir = w->gateway_dir,
		.state_dir = w->state_dir,
		.token_key_dir = w->token_dir,
		.policy_path = w->policy_path,
		.time_zone = "Asia/Seoul",
		.seed = 5,
		.cert_cnt = CERTS,
		.as_of_day = w->fake->now.today,
		.key_epoch = 3,
		.venue_class = 1,
		.part_cnt = 1,
		.scan_cnt = 5,
		.pool_cnt = 128,
		.refresh_ms = 100,
		.outstanding = 50,
		.seconds = 0.3,
		.warmup_s = 0.1,
		.check_share = 1,
	};
	mix_default(&w->args.mix);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	pl_verify_destroy(w->fake->verify);
	pl_gateway_set_destroy((struct pl_gateway_set *)(uintptr_t)w->fake->view.gateways);
	pl_table_reader_destroy(w->fake->reader);
	pl_table_close(w->fake->table);
	snprintf(command, sizeof(command), "rm -r %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w->gateways);
	free(w->fake);
	free(w);
	return 0;
}

static int open_load(struct world *w)
{
	int rc;

	load_clock_start(&w->clock);
	w->pool = (struct pool){.io = &w->fake->io,
				.clock = &w->clock,
				.expect = &w->expect,
				.gateways = w->gateways};
	PL_CHECK(pl_seal_create(PL_SEAL_AUTO, &w->pool.seal) == 0);
	if (expect_open(&w->expect, &w->args, w->error, ERROR_MAX) != 0 ||
	    gateways_open(w->gateways, &w->args, w->pool.seal, pool_counters_each(&w->args),
			  w->error, ERROR_MAX) != 0)
		fail_msg("%s", w->error);
	rc = w->args.await_path == NULL
		     ? 0
		     : await_load(&w->pool.await, w->args.await_path, w->error, ERROR_MAX);
	if (rc == 0)
		rc = pool_open(&w->pool, &w->args, w->error, ERROR_MAX);
	return rc;
}

static void close_load(struct world *w)
{
	pool_close(&w->pool);
	gateways_close(w->gateways);
	expect_close(&w->expect);
	pl_seal_destroy(w->pool.seal);
}

static const struct load_stats *run(struct world *w)
{
	if (open_load(w) != 0 || run_load(&w->pool, &w->args, &w->result, w->error, ERROR_MAX) != 0)
		fail_msg("%s", w->error);
	close_load(w);
	assert_int_equal(w->fake->nonce_reused, 0);
	assert_int_equal(w->result.stats.mismatched, 0);
	assert_int_equal(w->result.stats.bad_seal, 0);
	return &w->result.stats;
}

static void set_mix(struct world *w, const char *text)
{
	if (mix_parse(&w->args.mix, text, w->error, ERROR_MAX) != 0)
		fail_msg("%s", w->error);
}

#define EVERYTHING                                                                           \
	"valid=40,unknown=5,revoked=5,suspended=5,not-yet-valid=5,expired=5,not-accepted=5," \
	"not-required=5,forged=5,stale=5,future=5,replayed=10"

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

static void test_lost_datagrams_are_lost_and_the_rest_goes_on(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	set_mix(w, "valid=90,replayed=10");
	w->fake->drop_each = 2;
	w->args.outstanding = 5; /* used up at once, and won back after each 100 ms */
	w->fake->stop_after = 30;
	w->args.warmup_s = 0;
	w->args.seconds = 30; /* unless that many are lost before */
	st = run(w);
	load_stop = 0;
	assert_int_equal(st->wrong, 0);
	assert_int_equal(w->result.lost, w->fake->dropped);
	assert_true(w->fake->dropped >= 30);
	assert_true(st->answered > 0);
	assert_int_equal(st->sent, st->answered + w->result.lost);
}

static void test_datagrams_that_come_twice_change_nothing(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	set_mix(w, "valid=90,replayed=10");
	w->fake->repeat_each = 3;
	st = run(w);
	assert_int_equal(st->wrong, 0);
	assert_int_equal(st->unknown, 0);
	assert_true(st->extra > 0);
	assert_int_equal(w->result.lost, 0);
}

static void test_intervals_are_told_beside_the_whole(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;
	const struct intervals *iv = &w->result.intervals;
	uint64_t sum = 0;

	w->args.interval_s = 1;
	w->args.seconds = 2.2;
	st = run(w);
	assert_in_range(iv->cnt, 1, 2);
	for (uint32_t i = 0; i < iv->cnt; i++) {
		assert_true(iv->list[i].from_s == iv->list[0].from_s + i);
		assert_true(iv->list[i].answered > 0);
		assert_true(iv->list[i].us[0] > 0);
		sum += iv->list[i].answered;
	}
	assert_true(sum < st->answered); /* there is a part of one at either end */
	run_result_free(&w->result);
}

static void test_an_echo_is_known_by_its_counter(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->args.echo = w->fake->echo = true;
	w->args.interval_s = 1;
	w->args.seconds = 2.2;
	w->fake->repeat_each = 7;
	st = run(w);
	assert_in_range(w->result.intervals.cnt, 1, 2);
	assert_true(w->result.intervals.list[0].answered > 0);
	/* But for what was on its way where it begins and where it ends. */
	assert_in_range(w->result.intervals.list[0].samples + 2 * w->args.outstanding,
			w->result.intervals.list[0].answered,
			w->result.intervals.list[0].answered + 4 * w->args.outstanding);
	run_result_free(&w->result);
	assert_true(st->answered > 0);
	assert_int_equal(w->result.lost, 0);
	assert_int_equal(st->latency.cnt, st->answered);
	assert_true(st->extra > 0);
	assert_int_equal(st->checked, 0);
	assert_int_equal(st->foreign, 0);
}

static void test_an_appliance_is_no_echo(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->args.echo = true;
	st = run(w);
	assert_int_equal(st->answered, 0);
	assert_true(st->foreign > 0);
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

static void test_an_open_loop_sends_what_is_due(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->args.rate = 1000;
	st = run(w);
	/* No more than was due, in what time it took; how much less is the machine's affair. */
	assert_true((double)st->sent <= w->result.seconds * 1000 + 1);
	assert_int_equal(st->sent, st->answered);
	assert_true(st->sent + w->result.unsent + 1 >= (uint64_t)(w->result.seconds * 1000));
}

/* Each slot is sent as soon as it was answered, and sealed anew in between. */
static void test_a_window_as_large_as_the_pool(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	set_mix(w, "valid=90,replayed=10");
	w->args.pool_cnt = 64;
	w->args.outstanding = 64;
	w->args.refresh_ms = 3000;
	st = run(w);
	assert_int_equal(st->wrong, 0);
	assert_true(st->verdicts[PL_V_REPLAYED][PL_V_REPLAYED] > 0);
	assert_true(st->rebuilt < st->sent / 2);
	assert_true(pool_fit(&w->args));
	assert_int_equal(w->args.outstanding, 32);
	assert_false(pool_fit(&w->args));
}

/* As after a pause of the whole machine: what has grown old meanwhile is not sent as it is. */
static void test_nothing_old_is_sent(void **state)
{
	const struct timespec pause = {.tv_sec = 3, .tv_nsec = 200000000};
	struct world *w = *state;

	w->fake->view.request_age_ms_max = 3000;
	w->args.warmup_s = 0;
	w->args.seconds = 0.05;
	assert_int_equal(open_load(w), 0);
	nanosleep(&pause, NULL);
	assert_int_equal(run_load(&w->pool, &w->args, &w->result, w->error, ERROR_MAX), 0);
	close_load(w);
	assert_true(w->result.stats.answered > 0);
	assert_int_equal(w->result.stats.unknown, 0);
}

static void test_a_share_of_the_replies_is_opened(void **state)
{
	struct world *w = *state;
	const struct load_stats *st;

	w->args.check_share = 0.25;
	w->args.interval_s = 1;
	w->args.seconds = 2.2;
	st = run(w);
	assert_int_equal(st->wrong, 0);
	/* All are counted, and a quarter are timed. */
	assert_in_range(w->result.intervals.cnt, 1, 2);
	assert_true(w->result.intervals.list[0].samples > 0);
	assert_true(w->result.intervals.list[0].samples < w->result.intervals.list[0].answered / 2);
	run_result_free(&w->result);
	assert_true(st->answered > 100);
	assert_true(st->checked / 5 < st->answered / 2);
	assert_true(st->checked > 0);
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

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_every_kind_gets_what_the_load_thinks_right),
		T(test_one_scan_a_datagram_too),
		T(test_runs_that_follow_each_other_are_not_copies),
		T(test_an_appliance_with_other_rules_is_caught),
		T(test_an_appliance_that_cannot_tell_is_not_wrong),
		T(test_lost_datagrams_are_lost_and_the_rest_goes_on),
		T(test_datagrams_that_come_twice_change_nothing),
		T(test_intervals_are_told_beside_the_whole),
		T(test_an_echo_is_known_by_its_counter),
		T(test_an_appliance_is_no_echo),
		T(test_garbage_is_dropped_and_old_requests_are_told_so),
		T(test_fresh_seals_each_anew),
		T(test_an_open_loop_sends_what_is_due),
		T(test_a_window_as_large_as_the_pool),
		T(test_nothing_old_is_sent),
		T(test_a_share_of_the_replies_is_opened),
		T(test_awaited_certificates_are_noted_when_they_come),
		T(test_too_large_a_pool_says_so),
		T(test_parts_share_no_certificate),
	};

	return cmocka_run_group_tests_name("load_run", tests, NULL, NULL);
}
