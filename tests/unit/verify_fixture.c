/* SPDX-License-Identifier: BSD-3-Clause */

#include "verify_fixture.h"

#include <sodium.h>

#include "verify/pl_verify_pvt.h"

static void policy_fill(struct pl_policy *p)
{
	const struct pl_policy_rule primary = {14, 180, PL_POLICY_ACCEPT, {0}};
	const struct pl_policy_rule booster = {0, PL_POLICY_DAYS_ANY, PL_POLICY_ACCEPT, {0}};
	const struct pl_policy_rule reject = {0, 0, PL_POLICY_REJECT, {0}};

	memset(p, 0, sizeof(*p));
	p->profile_cnt = 1;
	p->qr_life_s = PL_TOKEN_LIFE_S;
	p->qr_skew_s = FX_SKEW_S;
	p->profiles[0].rules[PL_CERT_PRIMARY] = primary;
	p->profiles[0].rules[PL_CERT_BOOSTER] = booster;
	p->profiles[0].rules[PL_CERT_MEDICAL_EXEMPT] = reject;
	p->class_not_required[FX_CLASS_FREE] = 1;
}

static void gateways_fill(struct fx *fx)
{
	struct pl_gateway_conf confs[2] = {
		{.id = FX_GATEWAY, .epoch = FX_EPOCH},
		{.id = 0xffffffffu, .epoch = 255},
	};
	uint8_t key[PL_SEAL_KEY_SIZE];

	randombytes_buf(confs[0].root, sizeof(confs[0].root));
	randombytes_buf(confs[1].root, sizeof(confs[1].root));
	assert_int_equal(pl_gateway_set_create(pl_verify_seal(fx->verify), NULL, confs, 2,
					       &fx->gateways, NULL),
			 0);
	memcpy(fx->root, confs[0].root, sizeof(fx->root));
	pl_seal_derive(key, confs[0].root, PL_SEAL_DIR_REQUEST, FX_EPOCH, FX_GATEWAY);
	assert_int_equal(pl_seal_key_create(fx->peer, key, &fx->request_key), 0);
	pl_seal_derive(key, confs[0].root, PL_SEAL_DIR_REPLY, FX_EPOCH, FX_GATEWAY);
	assert_int_equal(pl_seal_key_create(fx->peer, key, &fx->reply_key), 0);
}

static void token_keys_fill(struct fx *fx)
{
	for (uint32_t e = 0; e < PL_CERT_KEY_EPOCH_CNT; e++) {
		randombytes_buf(fx->master[e], PL_TOKEN_KEY_SIZE);
		fx->token_keys.master0[e] = pl_le64_get(fx->master[e]);
		fx->token_keys.master1[e] = pl_le64_get(fx->master[e] + 8);
		fx->token_keys.held[e] = e == FX_KEY_EPOCH || e == FX_NEXT_EPOCH;
	}
}

void fx_open(struct fx *fx, struct fx_engines engines)
{
	struct pl_table_conf table_conf = {.capacity = 16384, .numa_node = -1};
	struct pl_verify_conf conf = {.seal_engine = engines.seal,
				      .token_variant = engines.token,
				      .queue = 5,
				      .nonce_next = 1000,
				      .nonce_limit = UINT64_MAX,
				      .tick_hz = FX_TICK_HZ};
	char error[256];

	memset(fx, 0, sizeof(*fx));
	assert_return_code(sodium_init(), 0);
	assert_int_equal(pl_table_create(&table_conf, &fx->table, error, sizeof(error)), 0);
	assert_int_equal(pl_table_reader_create(fx->table, &fx->reader), 0);
	assert_int_equal(pl_seal_create(PL_SEAL_SODIUM, &fx->peer), 0);
	conf.table = fx->reader;
	conf.counters = &fx->counters;
	assert_int_equal(pl_verify_create(&conf, &fx->verify), 0);
	policy_fill(&fx->policy);
	gateways_fill(fx);
	token_keys_fill(fx);
	fx->view = (struct pl_view){
		.gateways = fx->gateways,
		.token_keys = &fx->token_keys,
		.policy = &fx->policy,
		.appliance_id = 0xabcdef,
		.request_age_ms_max = 5000,
		.generation = 1,
	};
	fx->now = (struct pl_now){
		.wall_ms = FX_NOW_S * 1000ull + 500,
		.today = FX_TODAY,
		.as_of = FX_NOW_S - 60,
	};
	fx->counter = 1;
}

void fx_close(struct fx *fx)
{
	pl_verify_destroy(fx->verify);
	pl_gateway_set_destroy(fx->gateways);
	pl_seal_key_destroy(fx->request_key);
	pl_seal_key_destroy(fx->reply_key);
	pl_seal_destroy(fx->peer);
	pl_table_reader_destroy(fx->reader);
	pl_table_close(fx->table);
}

void fx_cert(struct fx *fx, const struct pl_cert *c)
{
	assert_in_range(pl_table_put(fx->table, c->id, pl_facts_pack(c)), 0, 1);
}

struct pl_cert fx_cert_valid(uint64_t id)
{
	return (struct pl_cert){
		.id = id,
		.kind = PL_CERT_PRIMARY,
		.event_day = FX_TODAY - 30,
		.key_epoch = FX_KEY_EPOCH,
		.generation = 2,
	};
}

struct pl_wire_scan fx_scan(const struct fx *fx, const struct pl_cert *c, uint32_t shown_at,
			    uint32_t scan_id)
{
	struct pl_wire_scan scan = {.cert_id = c->id,
				    .shown_at = shown_at,
				    .venue_id = PL_VENUE(FX_CLASS, 4711),
				    .scan_id = scan_id};
	uint8_t cert_key[PL_TOKEN_KEY_SIZE];
	struct pl_token t;

	pl_token_cert_key(cert_key, fx->master[c->key_epoch], c->id, c->generation);
	pl_token_mint(&t, cert_key, c->id, shown_at);
	memcpy(scan.tag, t.tag, sizeof(scan.tag));
	return scan;
}

void fx_seal(struct fx *fx, uint8_t *data, uint32_t size)
{
	struct pl_seal_op op = {
		.key = fx->request_key,
		.aad = data,
		.aad_size = PL_WIRE_REQ_HDR_SIZE,
		.text = data + PL_WIRE_REQ_HDR_SIZE,
		.text_size = size - PL_WIRE_REQ_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE,
		.tag = data + size - PL_WIRE_GCM_TAG_SIZE,
	};
	struct pl_wire_req_hdr hdr;

	memcpy(&hdr, data, sizeof(hdr));
	pl_wire_req_nonce(&hdr, op.nonce);
	pl_seal_seal_burst(fx->peer, &op, 1);
}

uint32_t fx_request(struct fx *fx, uint8_t *data, const struct pl_wire_scan *scans,
		    uint32_t scan_cnt)
{
	struct pl_wire_req_hdr hdr = {
		.ver = PL_WIRE_VERSION,
		.type = PL_WIRE_REQUEST,
		.key_epoch = FX_EPOCH,
		.gateway_id = FX_GATEWAY,
		.counter = fx->counter++,
	};
	struct pl_wire_req_head head = {.sent_at_ms = fx->now.wall_ms,
					.scan_cnt = (uint16_t)scan_cnt};
	uint32_t size = pl_wire_req_write(data, &hdr, &head, scans, scan_cnt);

	assert_int_equal(size, PL_WIRE_REQ_SIZE(scan_cnt));
	fx_seal(fx, data, size);
	return size;
}

bool fx_reply(struct fx *fx, uint8_t *data, uint32_t size, struct pl_wire_rep_hdr *hdr,
	      struct pl_wire_rep_head *head)
{
	struct pl_seal_op op = {
		.key = fx->reply_key,
		.aad = data,
		.aad_size = PL_WIRE_REP_HDR_SIZE,
		.text = data + PL_WIRE_REP_HDR_SIZE,
		.text_size = size - PL_WIRE_REP_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE,
		.tag = data + size - PL_WIRE_GCM_TAG_SIZE,
	};

	if (!pl_wire_rep_peek(data, size, hdr))
		return false;
	pl_wire_rep_nonce(hdr, op.nonce);
	return pl_seal_open_burst(fx->peer, &op, 1) == 1 && pl_wire_rep_read(data, size, head);
}

void fx_saturate(struct fx *fx, uint32_t window_cnt)
{
	const uint64_t ticks = FX_TICK_HZ / 1000 * PL_SHED_WINDOW_MS;
	struct pl_shed *s = &fx->verify->shed;

	for (uint32_t window = 0; window < window_cnt; window++) {
		for (uint32_t k = 0; k < 1000; k++) {
			if (s->watching)
				(void)pl_shed_ask(s, 0, 1, fx->now.tick);
			if (s->watching && k % 10 == 0)
				(void)pl_shed_ask(s, 1, 1, fx->now.tick);
			fx->counters.rx_pkts++;
		}
		for (uint32_t k = 0; k < PL_SHED_RUN_MIN / 64; k++)
			pl_shed_burst(s, 64, false);
		fx->now.tick += ticks;
		fx->counters.busy_tsc += ticks;
		pl_verify_shed_renew(fx->verify, &fx->view, fx->now.tick, fx->now.wall_ms);
	}
}

uint32_t fx_ask(struct fx *fx, const struct pl_wire_scan *scan)
{
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	struct pl_verify_item item = {.data = data, .request_size = fx_request(fx, data, scan, 1)};
	struct pl_wire_rep_head head;
	struct pl_wire_rep_hdr hdr;

	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 1);
	assert_int_equal(item.drop, PL_DROP_NONE);
	assert_true(fx_reply(fx, data, item.reply_size, &hdr, &head));
	assert_true(head.req_counter == fx->counter - 1);
	if (head.error != 0)
		return head.error;
	assert_int_equal(head.verdict_cnt, 1);
	return pl_le32_get(pl_wire_rep_verdicts(data));
}

uint32_t fx_request_with(struct fx *fx, uint8_t *data, uint8_t ver, uint64_t sent_at_ms,
			 uint32_t scan_cnt, uint32_t said_cnt)
{
	struct pl_wire_req_hdr hdr = {.ver = ver,
				      .type = PL_WIRE_REQUEST,
				      .key_epoch = FX_EPOCH,
				      .gateway_id = FX_GATEWAY,
				      .counter = fx->counter++};
	struct pl_wire_req_head head = {.sent_at_ms = sent_at_ms, .scan_cnt = (uint16_t)said_cnt};
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];
	uint32_t size;

	memset(scans, 0, sizeof(scans));
	size = pl_wire_req_write(data, &hdr, &head, scans, scan_cnt);
	fx_seal(fx, data, size);
	return size;
}

uint32_t fx_error_of(struct fx *fx, uint8_t *data, uint32_t size)
{
	struct pl_verify_item item = {.data = data, .request_size = size};
	struct pl_wire_rep_head head;
	struct pl_wire_rep_hdr hdr;

	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 1);
	assert_true(item.reply_size <= size);
	assert_true(fx_reply(fx, data, item.reply_size, &hdr, &head));
	assert_int_equal(head.verdict_cnt, 0);
	assert_true(head.now_ms == fx->now.wall_ms);
	return head.error;
}

enum pl_drop fx_drop_of(struct fx *fx, uint8_t *data, uint32_t size)
{
	struct pl_verify_item item = {.data = data, .request_size = size, .reply_size = 1};

	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 0);
	assert_int_equal(item.reply_size, 0);
	return item.drop;
}

int fx_setup(void **state)
{
	static const struct fx_engines best = {PL_SEAL_AUTO, -1};
	struct fx *fx = malloc(sizeof(*fx));

	assert_non_null(fx);
	fx_open(fx, *state != NULL ? *(const struct fx_engines *)*state : best);
	*state = fx;
	return 0;
}

int fx_teardown(void **state)
{
	struct fx *fx = *state;

	fx_close(fx);
	free(fx);
	return 0;
}
