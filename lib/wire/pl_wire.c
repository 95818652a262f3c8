/* SPDX-License-Identifier: BSD-3-Clause */

#include "wire/pl_wire.h"

enum pl_state pl_state_of_flags(uint32_t flags)
{
	if (flags & PL_FLAG_DRAINING)
		return PL_STATE_DRAINING;
	if (flags & PL_FLAG_LOADING)
		return PL_STATE_LOADING;
	if (flags & ~(uint32_t)PL_FLAG_WAIVER)
		return PL_STATE_DEGRADED;
	return PL_STATE_SERVING;
}

const char *pl_state_name(uint32_t state)
{
	static const char *const names[] = {"serving", "degraded", "loading", "draining"};

	return state < PL_ARRAY_CNT(names) ? names[state] : NULL;
}

enum pl_wire_status pl_wire_req_peek(const uint8_t *data, uint32_t size,
				     struct pl_wire_req_hdr *hdr)
{
	if (size < PL_WIRE_REQ_SIZE_MIN)
		return PL_WIRE_RUNT;
	if (size > PL_WIRE_REQ_SIZE_MAX)
		return PL_WIRE_OVERSIZED;
	memcpy(hdr, data, sizeof(*hdr));
	return hdr->type == PL_WIRE_REQUEST ? PL_WIRE_OK : PL_WIRE_NOT_REQUEST;
}

void pl_wire_req_nonce(const struct pl_wire_req_hdr *hdr, uint8_t nonce[12])
{
	pl_le32_put(nonce, hdr->gateway_id);
	pl_le64_put(nonce + 4, hdr->counter);
}

void pl_wire_rep_nonce(const struct pl_wire_rep_hdr *hdr, uint8_t nonce[12])
{
	pl_le32_put(nonce, hdr->appliance_queue);
	memcpy(nonce + 4, hdr->counter, 8);
}

enum pl_verdict pl_wire_req_read(const uint8_t *data, uint32_t size, struct pl_wire_req_head *head)
{
	if (data[0] != PL_WIRE_VERSION)
		return PL_V_VERSION;
	memcpy(head, data + PL_WIRE_REQ_HDR_SIZE, sizeof(*head));
	if (head->scan_cnt > PL_WIRE_SCANS_MAX || size != PL_WIRE_REQ_SIZE(head->scan_cnt))
		return PL_V_MALFORMED;
	return PL_V_NONE;
}

uint32_t pl_wire_req_write(uint8_t *data, const struct pl_wire_req_hdr *hdr,
			   const struct pl_wire_req_head *head, const struct pl_wire_scan *scans,
			   uint32_t scan_cnt)
{
	if (scan_cnt > PL_WIRE_SCANS_MAX)
		return 0;
	memcpy(data, hdr, sizeof(*hdr));
	memcpy(data + PL_WIRE_REQ_HDR_SIZE, head, sizeof(*head));
	if (scan_cnt != 0)
		memcpy(data + PL_WIRE_REQ_HDR_SIZE + PL_WIRE_REQ_HEAD_SIZE, scans,
		       (size_t)scan_cnt * PL_WIRE_SCAN_SIZE);
	return PL_WIRE_REQ_SIZE(scan_cnt);
}

uint32_t pl_wire_rep_write(uint8_t *data, const struct pl_wire_rep_hdr *hdr,
			   const struct pl_wire_rep_head *head)
{
	memcpy(data, hdr, sizeof(*hdr));
	memcpy(data + PL_WIRE_REP_HDR_SIZE, head, sizeof(*head));
	return PL_WIRE_REP_SIZE((uint32_t)head->verdict_cnt);
}

bool pl_wire_rep_peek(const uint8_t *data, uint32_t size, struct pl_wire_rep_hdr *hdr)
{
	if (size < PL_WIRE_REP_SIZE(0u) || size > PL_WIRE_REP_SIZE(PL_WIRE_SCANS_MAX))
		return false;
	memcpy(hdr, data, sizeof(*hdr));
	return hdr->ver == PL_WIRE_VERSION && hdr->type == PL_WIRE_REPLY;
}

bool pl_wire_rep_read(const uint8_t *data, uint32_t size, struct pl_wire_rep_head *head)
{
	memcpy(head, data + PL_WIRE_REP_HDR_SIZE, sizeof(*head));
	return size == PL_WIRE_REP_SIZE((uint32_t)head->verdict_cnt);
}
