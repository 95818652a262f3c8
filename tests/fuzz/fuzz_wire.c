/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a request and as a reply that were opened already: what is accepted lies within
 * the datagram, has the size that its counts say, and is written back byte for byte.
 */
#include "wire/pl_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const uint8_t *data, uint32_t size)
{
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];
	uint8_t back[PL_WIRE_REQ_SIZE_MAX];
	struct pl_wire_req_hdr hdr;
	struct pl_wire_req_head head;

	if (pl_wire_req_peek(data, size, &hdr) != PL_WIRE_OK)
		return;
	if (pl_wire_req_read(data, size, &head) != PL_V_NONE)
		return;
	PL_CHECK(head.scan_cnt <= PL_WIRE_SCANS_MAX);
	for (uint32_t i = 0; i < head.scan_cnt; i++)
		memcpy(&scans[i], pl_wire_req_scan(data, i), sizeof(scans[i]));
	PL_CHECK(pl_wire_req_write(back, &hdr, &head, scans, head.scan_cnt) == size);
	PL_CHECK(memcmp(back, data, size - PL_WIRE_GCM_TAG_SIZE) == 0);
	PL_CHECK(PL_WIRE_REP_SIZE((uint32_t)head.scan_cnt) <= size);
}

static void check_reply(const uint8_t *data, uint32_t size)
{
	uint8_t back[PL_WIRE_REP_SIZE(255u)];
	struct pl_wire_rep_hdr hdr;
	struct pl_wire_rep_head head;
	uint32_t clear_size = PL_WIRE_REP_HDR_SIZE + PL_WIRE_REP_HEAD_SIZE;

	if (!pl_wire_rep_peek(data, size, &hdr) || !pl_wire_rep_read(data, size, &head))
		return;
	PL_CHECK(head.verdict_cnt <= PL_WIRE_SCANS_MAX);
	PL_CHECK(pl_wire_rep_write(back, &hdr, &head) == size);
	PL_CHECK(memcmp(back, data, clear_size) == 0);
	for (uint32_t i = 0; i < head.verdict_cnt; i++) {
		uint32_t v = pl_le32_get(data + clear_size + (size_t)i * PL_WIRE_VERDICT_SIZE);

		PL_CHECK(pl_verdict_group(PL_WIRE_VERDICT_CODE(v)) <= PL_GROUP_UNKNOWN);
		(void)pl_verdict_text(PL_WIRE_VERDICT_CODE(v));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_request(data, (uint32_t)size);
	check_reply(data, (uint32_t)size);
	return 0;
}
