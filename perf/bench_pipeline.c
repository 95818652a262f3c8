/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The verify stage alone, on one core with no link: cycles per datagram and per scan of the whole
 * burst path, and of each stage by itself on the same data. Prints one JSON object.
 */

#include <getopt.h>
#include <x86intrin.h>

#include "bench_util.h"
#include "verify_load.h"

#define ROUNDS_MAX 99u

/* Cycles of each stage, over the whole pool. */
struct cost {
	uint64_t open, find, token, seen, seal;
};

/* The arrays that the lookup and the token check work on. */
struct scans {
	uint64_t id[64], tag0[64], master0[64], master1[64];
	uint32_t tag1[64], shown_at[64], generation[64];
	struct pl_table_hit hits[64];
	uint8_t ok[64];
};

static void ops_fill_open(struct vl_worker *w, struct pl_seal_op *ops)
{
	for (uint32_t i = 0; i < w->site->conf.burst; i++) {
		uint8_t *data = w->work + (size_t)i * w->size;
		struct pl_wire_req_hdr hdr;

		pl_wire_req_peek(data, w->size, &hdr);
		pl_wire_req_nonce(&hdr, ops[i].nonce);
		ops[i].key = pl_gateway_find(w->site->gateways, hdr.gateway_id, 0)->request_key;
		ops[i].aad = data;
		ops[i].aad_size = PL_WIRE_REQ_HDR_SIZE;
		ops[i].text = data + PL_WIRE_REQ_HDR_SIZE;
		ops[i].text_size = w->size - PL_WIRE_REQ_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE;
		ops[i].tag = data + w->size - PL_WIRE_GCM_TAG_SIZE;
	}
}

static void ops_fill_seal(struct vl_worker *w, struct pl_seal_op *ops)
{
	uint32_t size = PL_WIRE_REP_SIZE(w->site->conf.scans);

	for (uint32_t i = 0; i < w->site->conf.burst; i++) {
		uint8_t *data = w->work + (size_t)i * w->size;

		ops[i].aad_size = PL_WIRE_REP_HDR_SIZE;
		ops[i].text = data + PL_WIRE_REP_HDR_SIZE;
		ops[i].text_size = size - PL_WIRE_REP_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE;
		ops[i].tag = data + size - PL_WIRE_GCM_TAG_SIZE;
	}
}

static void scans_fill(const struct vl_worker *w, struct scans *s, uint32_t at, uint32_t cnt)
{
	const struct pl_token_keys *keys = &w->site->keys;
	uint32_t per = w->site->conf.scans;

	for (uint32_t i = 0; i < cnt; i++) {
		const uint8_t *data = w->work + (size_t)((at + i) / per) * w->size;
		const uint8_t *scan = pl_wire_req_scan(data, (at + i) % per);

		s->id[i] = pl_le64_get(scan);
		s->shown_at[i] = pl_le32_get(scan + 8);
		s->tag0[i] = pl_le64_get(scan + 20);
		s->tag1[i] = pl_le32_get(scan + 28);
		s->master0[i] = keys->master0[0];
		s->master1[i] = keys->master1[0];
	}
}

/* Look-up, token check and seen of up to 64 scans. */
static void scans_run(struct vl_worker *w, struct scans *s, uint32_t cnt, pl_token_check_fn check,
		      struct cost *c)
{
	struct pl_token_batch batch = {
		.cert_id = s->id,
		.shown_at = s->shown_at,
		.generation = s->generation,
		.master0 = s->master0,
		.master1 = s->master1,
		.tag0 = s->tag0,
		.tag1 = s->tag1,
	};
	uint64_t t0 = __rdtsc(), t1;

	pl_table_prefetch(w->reader, s->id, cnt);
	pl_table_find(w->reader, s->id, cnt, s->hits);
	t1 = __rdtsc();
	c->find += t1 - t0;
	for (uint32_t i = 0; i < cnt; i++)
		s->generation[i] = pl_facts_generation(s->hits[i].facts);
	t0 = __rdtsc();
	check(&batch, cnt, s->ok);
	t1 = __rdtsc();
	c->token += t1 - t0;
	for (uint32_t i = 0; i < cnt; i++)
		pl_table_seen(w->reader, &s->hits[i], s->shown_at[i], i);
	c->seen += __rdtsc() - t1;
	pl_table_quiesce(w->reader);
}

/* Each scan has new tokens, so that its seen word is swapped here as it is in the whole. */
static void run_stages(struct vl_worker *w, pl_token_check_fn check, struct cost *c)
{
	struct pl_seal_op ops[PL_VERIFY_BURST_MAX];
	uint32_t burst = w->site->conf.burst, total = burst * w->site->conf.scans;
	struct scans s;
	uint64_t t0;

	for (uint64_t d = 0; d < w->datagram_cnt; d += burst) {
		vl_burst_load(w, d);
		ops_fill_open(w, ops);
		t0 = __rdtsc();
		if (pl_seal_open_burst(w->seal, ops, burst) != burst)
			bench_die("seal", "a datagram did not open");
		c->open += __rdtsc() - t0;
		for (uint32_t at = 0; at < total; at += 64) {
			uint32_t cnt = total - at < 64 ? total - at : 64;

			scans_fill(w, &s, at, cnt);
			scans_run(w, &s, cnt, check, c);
		}
		ops_fill_seal(w, ops);
		t0 = __rdtsc();
		pl_seal_seal_burst(w->seal, ops, burst);
		c->seal += __rdtsc() - t0;
	}
}

/* Rounds of each figure, in cycles a scan. */
struct figures {
	double whole[ROUNDS_MAX], open[ROUNDS_MAX], find[ROUNDS_MAX], token[ROUNDS_MAX],
		seen[ROUNDS_MAX], seal[ROUNDS_MAX];
};

static void round_run(struct vl_worker *w, pl_token_check_fn check, struct figures *f, uint32_t r)
{
	double scans = (double)w->scan_cnt;
	struct cost c = {0};

	vl_tick(w->site);
	vl_mint(w);
	f->whole[r] = (double)vl_run(w) / scans;
	vl_tick(w->site);
	vl_mint(w);
	run_stages(w, check, &c);
	f->open[r] = (double)c.open / scans;
	f->find[r] = (double)c.find / scans;
	f->token[r] = (double)c.token / scans;
	f->seen[r] = (double)c.seen / scans;
	f->seal[r] = (double)c.seal / scans;
}

static void print(const struct vl_worker *w, struct figures *f, uint32_t rounds)
{
	const struct vl_conf *conf = &w->site->conf;
	double hz = bench_tsc_hz(), whole = bench_median(f->whole, rounds);

	printf("{\"certs\": %llu, \"scans\": %u, \"burst\": %u, \"engines\": \"%s\", "
	       "\"tsc_hz\": %.0f, \"cycles_per_scan\": %.1f, \"cycles_per_datagram\": %.1f, "
	       "\"scans_per_s\": %.0f, \"datagrams_per_s\": %.0f, ",
	       (unsigned long long)conf->cert_cnt, conf->scans, conf->burst,
	       pl_verify_engines(w->verify), hz, whole, whole * conf->scans, hz / whole,
	       hz / whole / conf->scans);
	printf("\"stages\": {\"open\": %.1f, \"find\": %.1f, \"token\": %.1f, \"seen\": %.1f, "
	       "\"seal\": %.1f}}\n",
	       bench_median(f->open, rounds), bench_median(f->find, rounds),
	       bench_median(f->token, rounds), bench_median(f->seen, rounds),
	       bench_median(f->seal, rounds));
}

static const char usage[] =
	"bench_pipeline: the verify stage alone, one core, no link; JSON on standard output.\n"
	"Cycles are of the time-stamp counter; figures are medians of the rounds.\n"
	"\n"
	"  --rounds N     rounds (5)\n"
	"  --cpu N        run on this core\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"certs", 1, NULL, 0}, {"scans", 1, NULL, 0},    {"burst", 1, NULL, 0},
		{"pool", 1, NULL, 0},  {"gateways", 1, NULL, 0}, {"table", 1, NULL, 0},
		{"seal", 1, NULL, 0},  {"token", 1, NULL, 0},    {"rounds", 1, NULL, 'r'},
		{"cpu", 1, NULL, 'u'}, {"help", 0, NULL, 'h'},   {0}};
	struct vl_conf conf = {.cert_cnt = 1000000,
			       .pool_scan_cnt = 262144,
			       .scans = 1,
			       .burst = 64,
			       .gateway_cnt = 256,
			       .token_variant = -1};
	enum pl_token_variant variant;
	pl_token_check_fn check;
	static struct figures f;
	struct vl_site site;
	struct vl_worker w;
	uint32_t rounds = 5;
	int opt, idx = 0;

	while ((opt = getopt_long(argc, argv, "", options, &idx)) != -1) {
		if (opt == 0 && vl_conf_set(&conf, options[idx].name, optarg))
			continue;
		if (opt == 'r') {
			rounds = (uint32_t)bench_number("rounds", optarg, 1, ROUNDS_MAX);
		} else if (opt == 'u') {
			bench_cpu_pin(bench_number("cpu", optarg, 0, 1023));
		} else {
			fprintf(opt == 'h' ? stdout : stderr, "%s%s", usage, vl_usage);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (optind != argc)
		bench_die(argv[optind], "what is this? All settings are options; see --help");
	vl_site_open(&site, &conf);
	vl_worker_open(&site, &w, 0);
	check = conf.token_variant < 0
			? pl_token_check_best(&variant)
			: pl_token_check_of((enum pl_token_variant)conf.token_variant);
	for (uint32_t r = 0; r < rounds; r++)
		round_run(&w, check, &f, r);
	if (w.counters.verdicts[PL_V_PASS] != w.scan_cnt * rounds || w.counters.resends != 0)
		bench_die("verdicts", "not every scan passed anew");
	print(&w, &f, rounds);
	return 0;
}
