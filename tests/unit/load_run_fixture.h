/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * passline-load against the verify stage in one process: a transport that hands requests to the
 * real verifier, over a table of the same population. What the load believes to be right must be
 * what the appliance's own code says, whatever the transport loses, repeats or adds.
 */
#ifndef LOAD_RUN_FIXTURE_H
#define LOAD_RUN_FIXTURE_H

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
	f->now.wall_ms = pl_time_ns(CLOCK_REALTIME) / 1000000;
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

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
