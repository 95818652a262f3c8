/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole datagrams through the verify stage. The first byte chooses: the rest as it came from the
 * wire; or the rest as header and body that a gateway with a right key sealed, so that the
 * fuzzer reaches what lies behind the seal; and the state that the appliance is in.
 */
#include <sodium.h>

#include "../unit/verify_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bits of the first byte. */
#define SEALED      1u
#define FLAGS_SHIFT 1 /* LOADING, FEED_OLD, CLOCK from here */
#define FLAGS_MASK  7u
#define GOOD_TOKENS 16u /* give every scan the right tag of certificate 42 */

static struct fx fx;
static bool fx_ready;

static void good_tokens(uint8_t *data, uint32_t size)
{
	struct pl_cert c = fx_cert_valid(42);

	for (uint32_t i = 0; PL_WIRE_REQ_SIZE(i + 1) <= size; i++) {
		uint8_t *at = data + PL_WIRE_REQ_SIZE(i) - PL_WIRE_GCM_TAG_SIZE;
		struct pl_wire_scan scan = fx_scan(&fx, &c, pl_le32_get(at + 8), 0);

		memcpy(at, &scan.cert_id, sizeof(scan.cert_id));
		memcpy(at + 20, scan.tag, sizeof(scan.tag));
	}
}

static void check_reply(uint8_t *data, const struct pl_verify_item *item, uint32_t flags)
{
	struct pl_wire_rep_head head;
	struct pl_wire_rep_hdr hdr;

	PL_CHECK(item->drop == PL_DROP_NONE);
	PL_CHECK(item->reply_size <= item->request_size);
	PL_CHECK(fx_reply(&fx, data, item->reply_size, &hdr, &head));
	PL_CHECK(head.error == 0 || head.verdict_cnt == 0);
	PL_CHECK(head.error == 0 || pl_verdict_group(head.error) == PL_GROUP_UNKNOWN);
	for (uint32_t i = 0; i < head.verdict_cnt; i++) {
		uint32_t code = PL_WIRE_VERDICT_CODE(
			pl_le32_get(pl_wire_rep_verdicts(data) + (size_t)i * 4));

		PL_CHECK(pl_verdict_name(code) != NULL);
		if (flags & PL_FLAG_LOADING)
			PL_CHECK(pl_verdict_group(code) != PL_GROUP_DENY);
		if (flags & PL_FLAG_FEED_OLD)
			PL_CHECK(code != PL_V_UNKNOWN_CERT && code != PL_V_FORGED &&
				 code != PL_V_SUSPENDED && code != PL_V_EXPIRED &&
				 code != PL_V_NOT_YET_VALID && code != PL_V_NOT_ACCEPTED);
		if (flags & PL_FLAG_CLOCK)
			PL_CHECK(code != PL_V_STALE_QR && code != PL_V_FUTURE_QR &&
				 code != PL_V_EXPIRED && code != PL_V_NOT_YET_VALID);
	}
}

static void setup(void)
{
	static const struct fx_engines engines = {PL_SEAL_AUTO, -1};
	struct pl_cert c = fx_cert_valid(42);

	fx_open(&fx, engines);
	fx_cert(&fx, &c);
	fx_ready = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_size)
{
	uint8_t data[PL_WIRE_REQ_SIZE_MAX + 64];
	struct pl_verify_item item = {.data = data};
	uint64_t answered, dropped;
	uint32_t size, mode;

	if (!fx_ready)
		setup();
	if (input_size == 0 || input_size - 1 > sizeof(data))
		return 0;
	mode = input[0];
	size = (uint32_t)input_size - 1;
	memcpy(data, input + 1, size);
	if ((mode & SEALED) && size >= PL_WIRE_REQ_SIZE_MIN && size <= PL_WIRE_REQ_SIZE_MAX) {
		data[1] = PL_WIRE_REQUEST;
		data[2] = FX_EPOCH;
		pl_le32_put(data + 4, FX_GATEWAY);
		if (mode & GOOD_TOKENS)
			good_tokens(data, size);
		fx_seal(&fx, data, size);
	}
	item.request_size = size;
	fx.now.flags = mode >> FLAGS_SHIFT & FLAGS_MASK;
	answered = fx.counters.replies;
	dropped = pl_stats_dropped(&fx.counters);
	if (pl_verify_burst(fx.verify, &fx.view, &fx.now, &item, 1) == 1)
		check_reply(data, &item, fx.now.flags);
	else
		PL_CHECK(item.drop < PL_DROP_CNT && item.reply_size == 0);
	PL_CHECK(fx.counters.replies + pl_stats_dropped(&fx.counters) == answered + dropped + 1);
	return 0;
}
