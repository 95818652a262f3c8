/* SPDX-License-Identifier: BSD-3-Clause */
/* What becomes of the datagrams of a gateway that takes more than its share. Whose that is: shed_test.c. */
#include "verify_fixture.h"

#include "verify/pl_shed.h"

static int setup(void **state)
{
	struct fx *fx;

	if (fx_setup(state) != 0)
		return -1;
	fx = *state;
	fx->view.shed = true;
	fx->now.retry_after_ms = 750;
	return 0;
}

static void test_over_its_limit_it_is_told_to_come_back(void **state)
{
	struct fx *fx = *state;
	const struct pl_gateway_counters *g = pl_verify_gateway_counters(fx->verify);
	struct pl_cert c = fx_cert_valid(77);
	struct pl_wire_scan scan = fx_scan(fx, &c, FX_NOW_S, 1);
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	struct pl_verify_item item = {.data = data};
	struct pl_wire_rep_head head;
	struct pl_wire_rep_hdr hdr;
	uint32_t asked = 0;

	fx_cert(fx, &c);
	fx_saturate(fx, 1 + PL_SHED_HEAVY_WINDOWS);
	assert_int_equal(pl_verify_limited_cnt(fx->verify), 1);
	/* Within the limit it is answered as ever, and told that somebody is not. */
	item.request_size = fx_request(fx, data, &scan, 1);
	assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 1);
	assert_true(fx_reply(fx, data, item.reply_size, &hdr, &head));
	assert_int_equal(head.error, PL_V_NONE);
	assert_int_equal(head.retry_after_ms, 0);
	assert_int_equal(hdr.flags, PL_FLAG_BUSY);
	assert_int_equal(hdr.state, PL_STATE_DEGRADED);
	do {
		assert_true(++asked < 10000);
		item.request_size = fx_request(fx, data, &scan, 1);
		assert_int_equal(pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1), 1);
		assert_true(fx_reply(fx, data, item.reply_size, &hdr, &head));
	} while (head.error == PL_V_NONE);
	assert_true(asked > 1);
	assert_int_equal(head.error, PL_V_BUSY);
	assert_int_equal(head.verdict_cnt, 0);
	assert_int_equal(head.retry_after_ms, 750);
	assert_int_equal(hdr.flags, PL_FLAG_BUSY);
	assert_int_equal(g[0].busy, 1);
	assert_int_equal(g[0].errors, 1);
	assert_int_equal(g[0].unknown, 1);
	assert_int_equal(fx->counters.busy_replies, 1);
	assert_int_equal(fx->counters.verdicts[PL_V_BUSY], 1);
	assert_int_equal(fx->counters.scans, pl_gateway_scans(&g[0]));
	assert_int_equal(fx->counters.drops[PL_DROP_SHED], 0);
	/* Nothing of it was recorded: the same QR in another scan is not a copy when there is room again. */
	scan = fx_scan(fx, &c, FX_NOW_S + 1, 2);
	assert_verdict(fx_ask(fx, &scan), PL_V_BUSY);
	fx->now.tick += FX_TICK_HZ;
	scan = fx_scan(fx, &c, FX_NOW_S + 1, 3);
	assert_verdict(fx_ask(fx, &scan), PL_V_PASS);
}

static void ask_until_dropped(struct fx *fx, struct pl_verify_item *item,
			      const struct pl_wire_scan *scan)
{
	uint32_t asked = 0;

	do {
		assert_true(++asked < 10000);
		item->request_size = fx_request(fx, item->data, scan, 1);
		(void)pl_verify_burst(fx->verify, &fx->view, &fx->now, item, 1);
	} while (item->reply_size != 0);
	assert_int_equal(item->drop, PL_DROP_SHED);
}

/* Told often enough, it is not even opened: no key is needed to see that. */
static void test_far_over_its_limit_it_is_dropped_unopened(void **state)
{
	struct fx *fx = *state;
	struct pl_cert c = fx_cert_valid(78);
	struct pl_wire_scan scan = fx_scan(fx, &c, FX_NOW_S, 1);
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	struct pl_verify_item item = {.data = data};
	static uint8_t bytes[PL_VERIFY_BURST_MAX][PL_WIRE_REQ_SIZE_MAX];
	struct pl_verify_item items[PL_VERIFY_BURST_MAX];
	uint64_t dropped, replies;

	fx_cert(fx, &c);
	fx_saturate(fx, 1 + PL_SHED_HEAVY_WINDOWS);
	ask_until_dropped(fx, &item, &scan);
	assert_true(fx->counters.busy_replies > 0);
	/* Of one burst, too, what was opened in vain is dropped: it has no answer and a reason. */
	fx->now.tick += FX_TICK_HZ;
	dropped = fx->counters.drops[PL_DROP_SHED];
	replies = fx->counters.replies;
	for (uint32_t i = 0; i < PL_VERIFY_BURST_MAX; i++) {
		items[i].data = bytes[i];
		items[i].request_size = fx_request(fx, bytes[i], &scan, 1);
	}
	(void)pl_verify_burst(fx->verify, &fx->view, &fx->now, items, PL_VERIFY_BURST_MAX);
	assert_true(fx->counters.drops[PL_DROP_SHED] > dropped);
	assert_int_equal(fx->counters.drops[PL_DROP_SHED] - dropped + fx->counters.replies -
				 replies,
			 PL_VERIFY_BURST_MAX);
	for (uint32_t i = 0; i < PL_VERIFY_BURST_MAX; i++)
		assert_int_equal(items[i].reply_size == 0, items[i].drop == PL_DROP_SHED);
	dropped = fx->counters.drops[PL_DROP_SHED];
	replies = fx->counters.replies;
	item.request_size = fx_request(fx, data, &scan, 1);
	data[item.request_size - 1] ^= 1; /* nor can it be seen to be forged */
	(void)pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1);
	assert_int_equal(item.drop, PL_DROP_SHED);
	assert_int_equal(fx->counters.drops[PL_DROP_SHED], dropped + 1);
	assert_int_equal(fx->counters.drops[PL_DROP_BAD_SEAL], 0);
	assert_int_equal(fx->counters.replies, replies);
	/* Forged ones, or old ones, spend nobody's share: there is room again, and it is the gateway's. */
	fx->now.tick += FX_TICK_HZ;
	for (uint32_t i = 0; i < 20000; i++) {
		item.request_size = i % 2 == 0 ? fx_request(fx, data, &scan, 1)
					       : fx_request_with(fx, data, PL_WIRE_VERSION,
								 fx->now.wall_ms - 3600000, 1, 1);
		data[item.request_size - 1] ^= (uint8_t)(i % 2 == 0);
		(void)pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1);
	}
	assert_int_equal(fx->counters.drops[PL_DROP_BAD_SEAL], 10000);
	assert_verdict(fx_ask(fx, &scan), PL_V_PASS);
}

/* A platform's gateways spend one share, whichever of them surges; and are limited together. */
static void test_gateways_of_a_platform_are_limited_together(void **state)
{
	struct fx *fx = *state;
	struct pl_gateway_conf confs[] = {
		{.id = FX_GATEWAY - 1, .platform = 3, .epoch = 0},
		{.id = FX_GATEWAY, .platform = 3, .epoch = FX_EPOCH},
		{.id = FX_GATEWAY + 1, .platform = 0, .epoch = 0},
	};
	struct pl_cert c = fx_cert_valid(79);
	struct pl_wire_scan scan = fx_scan(fx, &c, FX_NOW_S, 1);
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	struct pl_verify_item item = {.data = data};

	fx_cert(fx, &c);
	memcpy(confs[1].root, fx->root, sizeof(fx->root));
	pl_gateway_set_destroy(fx->gateways);
	assert_int_equal(pl_gateway_set_create(pl_verify_seal(fx->verify), NULL, confs,
					       PL_ARRAY_CNT(confs), &fx->gateways, NULL),
			 0);
	fx->view.gateways = fx->gateways;
	/* Of idx 0, the share of both. */
	fx_saturate(fx, 1 + PL_SHED_HEAVY_WINDOWS);
	assert_int_equal(pl_verify_limited_cnt(fx->verify), 1);
	assert_true(pl_verify_is_limited(fx->verify, &fx->view, 0));
	assert_true(pl_verify_is_limited(fx->verify, &fx->view, 1));
	assert_false(pl_verify_is_limited(fx->verify, &fx->view, 2));
	ask_until_dropped(fx, &item, &scan);
	/* Unopened: that it is forged is not seen. */
	item.request_size = fx_request(fx, data, &scan, 1);
	data[item.request_size - 1] ^= 1;
	(void)pl_verify_burst(fx->verify, &fx->view, &fx->now, &item, 1);
	assert_int_equal(item.drop, PL_DROP_SHED);
	/* What was told is the gateway's own. */
	assert_true(pl_verify_gateway_counters(fx->verify)[1].busy > 0);
	assert_int_equal(pl_verify_gateway_counters(fx->verify)[0].busy, 0);
	assert_int_equal(pl_verify_gateway_counters(fx->verify)[1].busy, fx->counters.busy_replies);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_over_its_limit_it_is_told_to_come_back, setup,
						fx_teardown),
		cmocka_unit_test_setup_teardown(test_far_over_its_limit_it_is_dropped_unopened,
						setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_gateways_of_a_platform_are_limited_together,
						setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
