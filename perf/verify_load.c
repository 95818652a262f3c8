/* SPDX-License-Identifier: BSD-3-Clause */

#include "verify_load.h"

#include <errno.h>
#include <x86intrin.h>

#include <sodium.h>

#include "bench_util.h"

#define NOW_S         1639364400u
#define TODAY         18974
#define CLASS         17u
#define GATEWAY_ID(i) ((i)*7919u)

const char vl_usage[] =
	"  --certs N      certificates in the table (1000000)\n"
	"  --scans N      scans a datagram, 1 to 43 (1)\n"
	"  --burst N      datagrams a burst, 1 to 64 (64)\n"
	"  --pool N       scans in each worker's pool, all of other certificates (262144)\n"
	"  --gateways N   how many gateway keys take turns (256)\n"
	"  --table PATH   file on hugetlbfs for the table (ordinary pages)\n"
	"  --seal NAME    libsodium or ipsec-mb (the fastest)\n"
	"  --token NAME   libsodium, scalar, avx2 or avx512 (the fastest)\n";

static uint64_t rnd(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ull;
	return pl_mix64(*state);
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

static void table_fill(struct vl_site *site)
{
	struct pl_table_conf conf = {
		.path = site->conf.table_path, .capacity = site->conf.cert_cnt, .numa_node = -1};
	struct pl_table_entry entries[512];
	char error[512];
	size_t done;

	if (pl_table_create(&conf, &site->table, error, sizeof(error)) != 0)
		bench_die("table", error);
	for (uint64_t at = 0; at < site->conf.cert_cnt;) {
		size_t cnt = 0;

		for (; cnt < PL_ARRAY_CNT(entries) && at < site->conf.cert_cnt; cnt++, at++) {
			struct pl_cert c = cert_of(at);

			entries[cnt].id = c.id;
			entries[cnt].facts = pl_facts_pack(&c);
		}
		if (pl_table_put_many(site->table, entries, cnt, &done) != 0)
			bench_die("table", "a certificate did not go in");
	}
}

static void view_fill(struct vl_site *site, const struct pl_seal *seal)
{
	struct pl_gateway_conf *confs = calloc(site->conf.gateway_cnt, sizeof(*confs));
	struct pl_policy_rule rule = {14, 180, PL_POLICY_ACCEPT, {0}};

	if (confs == NULL)
		bench_die("gateways", strerror(ENOMEM));
	for (uint32_t i = 0; i < site->conf.gateway_cnt; i++) {
		confs[i].id = GATEWAY_ID(i);
		memset(confs[i].root, (int)i, sizeof(confs[i].root));
	}
	if (pl_gateway_set_create(seal, NULL, confs, site->conf.gateway_cnt, &site->gateways,
				  NULL) != 0)
		bench_die("gateways", "cannot make their keys");
	free(confs);
	for (uint32_t i = 0; i < 16; i++)
		site->master[i] = (uint8_t)randombytes_random();
	for (uint32_t e = 0; e < PL_CERT_KEY_EPOCH_CNT; e++) {
		site->keys.master0[e] = pl_le64_get(site->master);
		site->keys.master1[e] = pl_le64_get(site->master + 8);
		site->keys.held[e] = 1;
	}
	site->policy.profile_cnt = 1;
	site->policy.qr_life_s = 15;
	site->policy.qr_skew_s = 5;
	site->policy.profiles[0].rules[PL_CERT_PRIMARY] = rule;
	site->view = (struct pl_view){.gateways = site->gateways,
				      .token_keys = &site->keys,
				      .policy = &site->policy,
				      .appliance_id = 1,
				      .request_age_ms_max = 5000};
	site->now = (struct pl_now){.wall_ms = NOW_S * 1000ull, .today = TODAY, .as_of = NOW_S - 1};
}

void vl_site_open(struct vl_site *site, const struct vl_conf *conf)
{
	struct pl_seal *seal;

	memset(site, 0, sizeof(*site));
	site->conf = *conf;
	if (sodium_init() < 0)
		bench_die("libsodium", "cannot start");
	if (pl_seal_create(conf->seal_engine, &seal) != 0)
		bench_die("--seal", "this CPU cannot run it");
	table_fill(site);
	view_fill(site, seal);
	pl_seal_destroy(seal);
}

/* Without repetition, over all pools: a step that has no factor in common with the count. */
static void order_fill(struct vl_worker *w)
{
	struct vl_site *site = w->site;

	for (uint64_t i = 0; i < w->scan_cnt; i++) {
		w->order[i] = site->first_cert;
		site->first_cert = (site->first_cert + 2654435761u) % site->conf.cert_cnt;
	}
}

void vl_worker_open(struct vl_site *site, struct vl_worker *w, uint32_t queue)
{
	const struct vl_conf *conf = &site->conf;
	struct pl_verify_conf verify_conf = {.seal_engine = conf->seal_engine,
					     .token_variant = conf->token_variant,
					     .queue = queue,
					     .nonce_next = 1,
					     .nonce_limit = UINT64_MAX,
					     .counters = &w->counters};

	memset(w, 0, sizeof(*w));
	w->site = site;
	w->rng = queue;
	if (pl_table_reader_create(site->table, &w->reader) != 0)
		bench_die("table", "no reader");
	verify_conf.table = w->reader;
	if (pl_verify_create(&verify_conf, &w->verify) != 0 ||
	    pl_seal_create(pl_seal_engine(pl_verify_seal(w->verify)), &w->seal) != 0)
		bench_die("engines", "this CPU cannot run them");
	w->size = PL_WIRE_REQ_SIZE(conf->scans);
	w->datagram_cnt = conf->pool_scan_cnt / conf->scans / conf->burst * conf->burst;
	w->scan_cnt = w->datagram_cnt * conf->scans;
	if (w->datagram_cnt == 0)
		bench_die("--pool", "less than one burst");
	site->scan_cnt += w->scan_cnt;
	if (site->scan_cnt > conf->cert_cnt)
		bench_die("--pool", "more scans (262144 unless told) than --certs: each must be of "
				    "another one");
	w->pool = malloc(w->datagram_cnt * w->size);
	w->order = malloc(w->scan_cnt * sizeof(*w->order));
	w->work = aligned_alloc(PL_CACHE_LINE, (size_t)PL_VERIFY_BURST_MAX * 2048);
	if (w->pool == NULL || w->order == NULL || w->work == NULL)
		bench_die("pool", strerror(ENOMEM));
	order_fill(w);
}

void vl_tick(struct vl_site *site)
{
	site->now.wall_ms += 1000;
}

static void scan_mint(struct vl_worker *w, uint64_t k, struct pl_wire_scan *scan)
{
	struct pl_cert c = cert_of(w->order[k]);
	uint8_t cert_key[PL_TOKEN_KEY_SIZE];
	struct pl_token t;

	pl_token_cert_key(cert_key, w->site->master, c.id, c.generation);
	pl_token_mint(&t, cert_key, c.id, (uint32_t)(w->site->now.wall_ms / 1000));
	*scan = (struct pl_wire_scan){.cert_id = c.id,
				      .shown_at = t.shown_at,
				      .venue_id = PL_VENUE(CLASS, k),
				      .scan_id = (uint32_t)k};
	memcpy(scan->tag, t.tag, sizeof(t.tag));
}

void vl_mint(struct vl_worker *w)
{
	const struct vl_conf *conf = &w->site->conf;
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];

	for (uint64_t d = 0; d < w->datagram_cnt; d++) {
		uint8_t *data = w->pool + d * w->size;
		struct pl_wire_req_hdr hdr = {
			.ver = PL_WIRE_VERSION,
			.type = PL_WIRE_REQUEST,
			.gateway_id = GATEWAY_ID((uint32_t)(rnd(&w->rng) % conf->gateway_cnt)),
			.counter = rnd(&w->rng)};
		struct pl_wire_req_head head = {.sent_at_ms = w->site->now.wall_ms,
						.scan_cnt = (uint16_t)conf->scans};
		struct pl_seal_op op = {.aad = data, .aad_size = PL_WIRE_REQ_HDR_SIZE};

		for (uint32_t i = 0; i < conf->scans; i++)
			scan_mint(w, d * conf->scans + i, &scans[i]);
		pl_wire_req_write(data, &hdr, &head, scans, conf->scans);
		pl_wire_req_nonce(&hdr, op.nonce);
		op.key = pl_gateway_find(w->site->gateways, hdr.gateway_id, 0)->request_key;
		op.text = data + PL_WIRE_REQ_HDR_SIZE;
		op.text_size = w->size - PL_WIRE_REQ_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE;
		op.tag = data + w->size - PL_WIRE_GCM_TAG_SIZE;
		pl_seal_seal_burst(w->seal, &op, 1);
	}
}

void vl_burst_load(struct vl_worker *w, uint64_t d)
{
	memcpy(w->work, w->pool + d * w->size, (size_t)w->site->conf.burst * w->size);
}

uint64_t vl_run(struct vl_worker *w)
{
	struct pl_verify_item items[PL_VERIFY_BURST_MAX];
	uint32_t burst = w->site->conf.burst;
	uint64_t cycles = 0, t0;

	for (uint64_t d = 0; d < w->datagram_cnt; d += burst) {
		vl_burst_load(w, d);
		for (uint32_t i = 0; i < burst; i++)
			items[i] = (struct pl_verify_item){.data = w->work + (size_t)i * w->size,
							   .request_size = w->size};
		t0 = __rdtsc();
		if (pl_verify_burst(w->verify, &w->site->view, &w->site->now, items, burst) !=
		    burst)
			bench_die("verify", "a datagram was dropped");
		cycles += __rdtsc() - t0;
	}
	return cycles;
}

static void engine_by_name(struct vl_conf *conf, const char *name)
{
	if (strcmp(name, pl_seal_engine_name(PL_SEAL_SODIUM)) == 0)
		conf->seal_engine = PL_SEAL_SODIUM;
	else if (strcmp(name, pl_seal_engine_name(PL_SEAL_IPSEC_MB)) == 0)
		conf->seal_engine = PL_SEAL_IPSEC_MB;
	else
		bench_die("--seal", "libsodium or ipsec-mb is needed");
}

static void variant_by_name(struct vl_conf *conf, const char *name)
{
	for (int v = 0; v < PL_TOKEN_VARIANT_CNT; v++) {
		if (strcmp(name, pl_token_variant_name((enum pl_token_variant)v)) == 0)
			conf->token_variant = v;
	}
	if (conf->token_variant < 0)
		bench_die("--token", "libsodium, scalar, avx2 or avx512 is needed");
}

bool vl_conf_set(struct vl_conf *conf, const char *name, const char *value)
{
	if (strcmp(name, "certs") == 0)
		conf->cert_cnt = bench_number(name, value, 1000, 200000000);
	else if (strcmp(name, "scans") == 0)
		conf->scans = (uint32_t)bench_number(name, value, 1, PL_WIRE_SCANS_MAX);
	else if (strcmp(name, "burst") == 0)
		conf->burst = (uint32_t)bench_number(name, value, 1, PL_VERIFY_BURST_MAX);
	else if (strcmp(name, "pool") == 0)
		conf->pool_scan_cnt = bench_number(name, value, 4096, 1u << 24);
	else if (strcmp(name, "gateways") == 0)
		conf->gateway_cnt = (uint32_t)bench_number(name, value, 1, PL_GATEWAY_MAX);
	else if (strcmp(name, "table") == 0)
		conf->table_path = value;
	else if (strcmp(name, "seal") == 0)
		engine_by_name(conf, value);
	else if (strcmp(name, "token") == 0)
		variant_by_name(conf, value);
	else
		return false;
	return true;
}
