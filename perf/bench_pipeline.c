/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The verify stage alone, on one core with no link: cycles per datagram and per scan of the whole
 * burst path, and of each stage by itself on the same data. Prints one JSON object.
 *
 * Every scan is of another certificate, drawn at random from the whole table, under one of many
 * gateway keys; every round has new tokens, so that each scan is accepted by a compare-and-swap.
 */

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <x86intrin.h>
#include <time.h>

#include <sodium.h>

#include "verify/pl_verify.h"

#define NOW_S       1639364400u
#define TODAY       18974
#define GATEWAY_CNT 256u
#define CLASS       17u

struct bench {
	uint64_t cert_cnt;
	uint32_t scans; /* a datagram */
	uint32_t burst;
	uint32_t rounds;
	uint64_t scan_cnt; /* in the pool */
	const char *table_path;
	enum pl_seal_engine seal_engine;
	int token_variant;

	struct pl_table *table;
	struct pl_table_reader *reader;
	struct pl_verify *verify;
	struct pl_counters counters;
	struct pl_policy policy;
	struct pl_token_keys keys;
	struct pl_gateway_set *gateways;
	struct pl_view view;
	struct pl_now now;
	uint8_t master[16];

	uint32_t size; /* of one datagram */
	uint64_t datagram_cnt;
	uint8_t *pool;
	uint64_t *order; /* certificate of each scan of the pool */
	uint64_t rng;
};

/* Cycles of each stage, over the whole pool. */
struct cost {
	uint64_t whole, open, find, token, seen, seal;
};

static uint64_t rnd(struct bench *b)
{
	b->rng += 0x9e3779b97f4a7c15ull;
	return pl_mix64(b->rng);
}

static uint64_t cert_id(uint64_t idx)
{
	return pl_mix64(idx + 0x123456789abcull);
}

static struct pl_cert cert_of(uint64_t idx)
{
	return (struct pl_cert){.id = cert_id(idx),
				.kind = PL_CERT_PRIMARY,
				.event_day = (uint16_t)(TODAY - 20 - (int)(idx % 100)),
				.generation = (uint8_t)(idx % 16)};
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_pipeline: %s: %s\n", what, why);
	exit(2);
}

static void table_fill(struct bench *b)
{
	struct pl_table_conf conf = {
		.path = b->table_path, .capacity = b->cert_cnt, .numa_node = -1};
	struct pl_table_entry entries[512];
	char error[512];
	size_t done;

	if (pl_table_create(&conf, &b->table, error, sizeof(error)) != 0)
		die("table", error);
	for (uint64_t at = 0; at < b->cert_cnt;) {
		size_t cnt = 0;

		for (; cnt < PL_ARRAY_CNT(entries) && at < b->cert_cnt; cnt++, at++) {
			struct pl_cert c = cert_of(at);

			entries[cnt].id = c.id;
			entries[cnt].facts = pl_facts_pack(&c);
		}
		if (pl_table_put_many(b->table, entries, cnt, &done) != 0)
			die("table", "a certificate did not go in");
	}
	if (pl_table_reader_create(b->table, &b->reader) != 0)
		die("table", "no reader");
}

static void view_fill(struct bench *b)
{
	struct pl_gateway_conf *confs = calloc(GATEWAY_CNT, sizeof(*confs));
	struct pl_policy_rule rule = {14, 180, PL_POLICY_ACCEPT, {0}};

	if (confs == NULL)
		die("gateways", strerror(ENOMEM));
	for (uint32_t i = 0; i < GATEWAY_CNT; i++) {
		confs[i].id = i * 7919;
		memset(confs[i].root, (int)i, sizeof(confs[i].root));
	}
	if (pl_gateway_set_create(pl_verify_seal(b->verify), confs, GATEWAY_CNT, &b->gateways,
				  NULL) != 0)
		die("gateways", "cannot make their keys");
	free(confs);
	for (uint32_t i = 0; i < 16; i++)
		b->master[i] = (uint8_t)rnd(b);
	for (uint32_t e = 0; e < PL_CERT_KEY_EPOCH_CNT; e++) {
		b->keys.master0[e] = pl_le64_get(b->master);
		b->keys.master1[e] = pl_le64_get(b->master + 8);
		b->keys.held[e] = 1;
	}
	b->policy.profile_cnt = 1;
	b->policy.qr_life_s = 15;
	b->policy.qr_skew_s = 5;
	b->policy.profiles[0].rules[PL_CERT_PRIMARY] = rule;
	b->view = (struct pl_view){.gateways = b->gateways,
				   .token_keys = &b->keys,
				   .policy = &b->policy,
				   .appliance_id = 1,
				   .request_age_ms_max = 5000};
	b->now = (struct pl_now){.wall_ms = NOW_S * 1000ull, .today = TODAY, .as_of = NOW_S - 1};
}

/* New tokens for the whole pool, sealed: a second later each round. */
static void pool_mint(struct bench *b, struct pl_seal *s)
{
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];
	uint64_t k = 0;

	b->now.wall_ms += 1000;
	for (uint64_t d = 0; d < b->datagram_cnt; d++) {
		uint8_t *data = b->pool + d * b->size;
		struct pl_wire_req_hdr hdr = {.ver = 1,
					      .type = 1,
					      .gateway_id = (uint32_t)(rnd(b) % GATEWAY_CNT) * 7919,
					      .counter = rnd(b)};
		struct pl_wire_req_head head = {.sent_at_ms = b->now.wall_ms,
						.scan_cnt = (uint16_t)b->scans};
		struct pl_seal_op op = {.aad = data, .aad_size = PL_WIRE_REQ_HDR_SIZE};

		for (uint32_t i = 0; i < b->scans; i++) {
			struct pl_cert c = cert_of(b->order[k++]);
			uint8_t cert_key[PL_TOKEN_KEY_SIZE];
			struct pl_token t;

			pl_token_cert_key(cert_key, b->master, c.id, c.generation);
			pl_token_mint(&t, cert_key, c.id, (uint32_t)(b->now.wall_ms / 1000));
			scans[i] = (struct pl_wire_scan){.cert_id = c.id,
							 .shown_at = t.shown_at,
							 .venue_id = PL_VENUE(CLASS, k),
							 .scan_id = (uint32_t)k};
			memcpy(scans[i].tag, t.tag, sizeof(t.tag));
		}
		pl_wire_req_write(data, &hdr, &head, scans, b->scans);
		pl_wire_req_nonce(&hdr, op.nonce);
		op.key = pl_gateway_find(b->gateways, hdr.gateway_id, 0)->request_key;
		op.text = data + PL_WIRE_REQ_HDR_SIZE;
		op.text_size = b->size - PL_WIRE_REQ_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE;
		op.tag = data + b->size - PL_WIRE_GCM_TAG_SIZE;
		pl_seal_seal_burst(s, &op, 1);
	}
}

static uint64_t run_whole(struct bench *b, uint8_t *work)
{
	struct pl_verify_item items[PL_VERIFY_BURST_MAX];
	uint64_t cycles = 0;

	for (uint64_t d = 0; d + b->burst <= b->datagram_cnt; d += b->burst) {
		uint64_t t0;

		/* A port hands over what it has just written: the copy stands for that. */
		memcpy(work, b->pool + d * b->size, (size_t)b->burst * b->size);
		for (uint32_t i = 0; i < b->burst; i++)
			items[i] = (struct pl_verify_item){.data = work + (size_t)i * b->size,
							   .request_size = b->size};
		t0 = __rdtsc();
		if (pl_verify_burst(b->verify, &b->view, &b->now, items, b->burst) != b->burst)
			die("verify", "a datagram was dropped");
		cycles += __rdtsc() - t0;
	}
	return cycles;
}

/* The stages one by one, on the same datagrams; after run_whole() with the same tokens, so that
 * seen is the resend's path: its compare-and-swap is in the whole, not here. */
static void run_stages(struct bench *b, uint8_t *work, struct pl_seal *s, pl_token_check_fn check,
		       struct cost *c)
{
	struct pl_seal_op ops[PL_VERIFY_BURST_MAX];
	uint64_t ids[64], tag0[64], m0[64], m1[64];
	uint32_t tag1[64], shown[64], gen[64];
	struct pl_table_hit hits[64];
	uint8_t ok[64];

	for (uint64_t d = 0; d + b->burst <= b->datagram_cnt; d += b->burst) {
		uint32_t total = b->burst * b->scans;
		uint64_t t0;

		memcpy(work, b->pool + d * b->size, (size_t)b->burst * b->size);
		for (uint32_t i = 0; i < b->burst; i++) {
			uint8_t *data = work + (size_t)i * b->size;
			struct pl_wire_req_hdr hdr;

			pl_wire_req_peek(data, b->size, &hdr);
			pl_wire_req_nonce(&hdr, ops[i].nonce);
			ops[i].key = pl_gateway_find(b->gateways, hdr.gateway_id, 0)->request_key;
			ops[i].aad = data;
			ops[i].aad_size = PL_WIRE_REQ_HDR_SIZE;
			ops[i].text = data + PL_WIRE_REQ_HDR_SIZE;
			ops[i].text_size = b->size - PL_WIRE_REQ_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE;
			ops[i].tag = data + b->size - PL_WIRE_GCM_TAG_SIZE;
		}
		t0 = __rdtsc();
		if (pl_seal_open_burst(s, ops, b->burst) != b->burst)
			die("seal", "a datagram did not open");
		c->open += __rdtsc() - t0;
		for (uint32_t at = 0; at < total; at += 64) {
			uint32_t cnt = total - at < 64 ? total - at : 64;
			struct pl_token_batch batch = {ids, shown, gen, m0, m1, tag0, tag1};

			for (uint32_t i = 0; i < cnt; i++) {
				uint32_t n = at + i;
				const uint8_t *scan = pl_wire_req_scan(
					work + (size_t)(n / b->scans) * b->size, n % b->scans);

				ids[i] = pl_le64_get(scan);
				shown[i] = pl_le32_get(scan + 8);
				tag0[i] = pl_le64_get(scan + 20);
				tag1[i] = pl_le32_get(scan + 28);
				m0[i] = b->keys.master0[0];
				m1[i] = b->keys.master1[0];
			}
			t0 = __rdtsc();
			pl_table_prefetch(b->reader, ids, cnt);
			pl_table_find(b->reader, ids, cnt, hits);
			c->find += __rdtsc() - t0;
			for (uint32_t i = 0; i < cnt; i++)
				gen[i] = pl_facts_generation(hits[i].facts);
			t0 = __rdtsc();
			check(&batch, cnt, ok);
			c->token += __rdtsc() - t0;
			t0 = __rdtsc();
			for (uint32_t i = 0; i < cnt; i++)
				pl_table_seen(b->reader, &hits[i], shown[i], 1);
			c->seen += __rdtsc() - t0;
			pl_table_quiesce(b->reader);
		}
		for (uint32_t i = 0; i < b->burst; i++) {
			uint32_t size = PL_WIRE_REP_SIZE(b->scans);

			ops[i].aad_size = PL_WIRE_REP_HDR_SIZE;
			ops[i].text = work + (size_t)i * b->size + PL_WIRE_REP_HDR_SIZE;
			ops[i].text_size = size - PL_WIRE_REP_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE;
			ops[i].tag = work + (size_t)i * b->size + size - PL_WIRE_GCM_TAG_SIZE;
		}
		t0 = __rdtsc();
		pl_seal_seal_burst(s, ops, b->burst);
		c->seal += __rdtsc() - t0;
	}
}

static double tsc_hz(void)
{
	struct timespec a, z;
	uint64_t t0, t1;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	t0 = __rdtsc();
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	clock_gettime(CLOCK_MONOTONIC_RAW, &z);
	t1 = __rdtsc();
	return (double)(t1 - t0) /
	       ((double)(z.tv_sec - a.tv_sec) + (double)(z.tv_nsec - a.tv_nsec) / 1e9);
}

static int cmp_f64(const void *pa, const void *pb)
{
	const double *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static double median(double *v, uint32_t cnt)
{
	qsort(v, cnt, sizeof(*v), cmp_f64);
	return v[cnt / 2];
}

static const char usage[] =
	"bench_pipeline: the verify stage alone, one core, no link; JSON on standard output\n"
	"\n"
	"  --certs N      certificates in the table (1000000)\n"
	"  --scans N      scans a datagram, 1 to 43 (1)\n"
	"  --burst N      datagrams a burst, 1 to 64 (64)\n"
	"  --rounds N     rounds, of which the median counts (5)\n"
	"  --pool N       scans in the pool, all of other certificates (262144)\n"
	"  --table PATH   file on hugetlbfs for the table (ordinary pages)\n"
	"  --seal NAME    libsodium or ipsec-mb (the fastest)\n"
	"  --token NAME   libsodium, scalar, avx2 or avx512 (the fastest)\n"
	"  --cpu N        run on this core\n";

static uint64_t number(const char *flag, const char *s, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno != 0 || end == s || *end != '\0' || v < min || v > max) {
		fprintf(stderr, "bench_pipeline: --%s %s: a number from %llu to %llu is needed\n",
			flag, s, (unsigned long long)min, (unsigned long long)max);
		exit(2);
	}
	return v;
}

static void cpu_pin(uint64_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		die("--cpu", strerror(errno));
}

static void engine_by_name(struct bench *b, const char *name)
{
	if (strcmp(name, pl_seal_engine_name(PL_SEAL_SODIUM)) == 0)
		b->seal_engine = PL_SEAL_SODIUM;
	else if (strcmp(name, pl_seal_engine_name(PL_SEAL_IPSEC_MB)) == 0)
		b->seal_engine = PL_SEAL_IPSEC_MB;
	else
		die("--seal", "libsodium or ipsec-mb is needed");
}

static void variant_by_name(struct bench *b, const char *name)
{
	for (int v = 0; v < PL_TOKEN_VARIANT_CNT; v++) {
		if (strcmp(name, pl_token_variant_name((enum pl_token_variant)v)) == 0)
			b->token_variant = v;
	}
	if (b->token_variant < 0)
		die("--token", "libsodium, scalar, avx2 or avx512 is needed");
}

static void args_parse(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{"certs", 1, NULL, 'c'},
		{"scans",   1, NULL, 's'},
		{"burst",       1, NULL, 'b'},
		{"rounds",    1, NULL, 'r'},
		{"pool",    1, NULL, 'p'},
		{"table", 1, NULL, 't'},
		{"seal",   1, NULL, 'e'},
		{"token",       1, NULL, 'k'},
		{"cpu",   1, NULL, 'u'},
		{"help",    0, NULL, 'h'},
		{0 }
        };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			b->cert_cnt = number("certs", optarg, 1000, 200000000);
			break;
		case 's':
			b->scans = (uint32_t)number("scans", optarg, 1, PL_WIRE_SCANS_MAX);
			break;
		case 'b':
			b->burst = (uint32_t)number("burst", optarg, 1, PL_VERIFY_BURST_MAX);
			break;
		case 'r':
			b->rounds = (uint32_t)number("rounds", optarg, 1, 99);
			break;
		case 'p':
			b->scan_cnt = number("pool", optarg, 4096, 1u << 24);
			break;
		case 't':
			b->table_path = optarg;
			break;
		case 'e':
			engine_by_name(b, optarg);
			break;
		case 'k':
			variant_by_name(b, optarg);
			break;
		case 'u':
			cpu_pin(number("cpu", optarg, 0, CPU_SETSIZE - 1));
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
}

static void pool_create(struct bench *b)
{
	b->datagram_cnt = b->scan_cnt / b->scans / b->burst * b->burst;
	if (b->datagram_cnt == 0)
		die("--pool", "less than one burst");
	b->scan_cnt = b->datagram_cnt * b->scans;
	b->size = PL_WIRE_REQ_SIZE(b->scans);
	b->pool = malloc(b->datagram_cnt * b->size);
	b->order = malloc(b->scan_cnt * sizeof(*b->order));
	if (b->pool == NULL || b->order == NULL)
		die("pool", strerror(ENOMEM));
	/* Without repetition: a step that has no factor in common with the count. */
	for (uint64_t i = 0, at = rnd(b) % b->cert_cnt; i < b->scan_cnt; i++) {
		b->order[i] = at;
		at = (at + 2654435761u) % b->cert_cnt;
	}
}

int main(int argc, char **argv)
{
	struct bench b = {.cert_cnt = 1000000,
			  .scans = 1,
			  .burst = 64,
			  .rounds = 5,
			  .scan_cnt = 262144,
			  .token_variant = -1};
	struct pl_verify_conf conf = {
		.nonce_next = 1, .nonce_limit = UINT64_MAX, .counters = &b.counters};
	enum pl_token_variant variant = PL_TOKEN_SODIUM;
	double whole[99], open[99], find[99], token[99], seen[99], seal[99];
	pl_token_check_fn check;
	struct pl_seal *s;
	uint8_t *work;
	double hz;

	args_parse(&b, argc, argv);
	if (sodium_init() < 0)
		die("libsodium", "cannot start");
	table_fill(&b);
	conf.table = b.reader;
	conf.seal_engine = b.seal_engine;
	conf.token_variant = b.token_variant;
	if (pl_verify_create(&conf, &b.verify) != 0)
		die("engines", "this CPU cannot run them");
	check = b.token_variant < 0 ? pl_token_check_best(&variant)
				    : pl_token_check_of((enum pl_token_variant)b.token_variant);
	if (pl_seal_create(pl_seal_engine(pl_verify_seal(b.verify)), &s) != 0)
		die("engines", "this CPU cannot run them");
	view_fill(&b);
	pool_create(&b);
	work = aligned_alloc(64, (size_t)PL_VERIFY_BURST_MAX * 2048);
	if (work == NULL)
		die("pool", strerror(ENOMEM));
	hz = tsc_hz();
	for (uint32_t r = 0; r < b.rounds; r++) {
		struct cost c = {0};
		double scans = (double)b.scan_cnt;

		pool_mint(&b, s);
		whole[r] = (double)run_whole(&b, work) / scans;
		run_stages(&b, work, s, check, &c);
		open[r] = (double)c.open / scans;
		find[r] = (double)c.find / scans;
		token[r] = (double)c.token / scans;
		seen[r] = (double)c.seen / scans;
		seal[r] = (double)c.seal / scans;
	}
	if (b.counters.verdicts[PL_V_PASS] != b.scan_cnt * b.rounds)
		die("verdicts", "not every scan passed");
	{
		double w = median(whole, b.rounds);

		printf("{\"certs\": %llu, \"scans\": %u, \"burst\": %u, \"engines\": \"%s\", "
		       "\"tsc_hz\": %.0f, \"cycles_per_scan\": %.1f, \"cycles_per_datagram\": "
		       "%.1f, \"scans_per_s\": %.0f, \"datagrams_per_s\": %.0f, \"stages\": "
		       "{\"open\": %.1f, \"find\": %.1f, \"token\": %.1f, \"seen\": %.1f, "
		       "\"seal\": %.1f}, \"resends\": %llu}\n",
		       (unsigned long long)b.cert_cnt, b.scans, b.burst,
		       pl_verify_engines(b.verify), hz, w, w * b.scans, hz / w, hz / w / b.scans,
		       median(open, b.rounds), median(find, b.rounds), median(token, b.rounds),
		       median(seen, b.rounds), median(seal, b.rounds),
		       (unsigned long long)b.counters.resends);
	}
	return 0;
}
