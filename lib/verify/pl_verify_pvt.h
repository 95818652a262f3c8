/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * One worker's scratch. A burst of datagrams is opened a group at a time; the scans of a group
 * are gathered into chunks, and three chunks are under way: of one the table lines are asked for while
 * the one before it is looked up, and the one before that is judged when what a few of its look-ups
 * needed beyond their first line has come. So DRAM works while AES and the token check do.
 */
#ifndef PL_VERIFY_PVT_H
#define PL_VERIFY_PVT_H

#include "verify/pl_shed.h"
#include "verify/pl_verify.h"

/* Datagrams opened together: enough for the engine to overlap messages and, with one scan each,
 * to fill the token check's lanes twice; few enough that their look-ups wait on the next group's
 * AES rather than the other way round. */
#define OPEN_GROUP_MAX 16u
#define CHUNK_MAX      PL_TABLE_BURST_MAX

/* Scans as arrays. out is where the verdict goes: always at or before the scan's own bytes, so
 * that it overwrites only scans that were gathered already (48 + 4 j <= 48 + 32 j). */
struct chunk {
	uint32_t cnt;
	uint64_t cert_id[CHUNK_MAX];
	uint64_t tag0[CHUNK_MAX];
	uint32_t tag1[CHUNK_MAX];
	uint32_t shown_at[CHUNK_MAX];
	uint32_t venue_id[CHUNK_MAX];
	uint32_t scan_id[CHUNK_MAX];
	uint8_t *out[CHUNK_MAX];
	struct pl_gateway_counters *gateway[CHUNK_MAX];
	struct pl_table_hit hits[CHUNK_MAX];
	struct pl_table_pending looked_up; /* started, not finished */
};

static_assert(PL_WIRE_REQ_HDR_SIZE + PL_WIRE_REQ_HEAD_SIZE ==
		      PL_WIRE_REP_HDR_SIZE + PL_WIRE_REP_HEAD_SIZE,
	      "verdict j must not lie beyond scan j");
static_assert(PL_WIRE_VERDICT_SIZE <= PL_WIRE_SCAN_SIZE, "verdict j must not lie beyond scan j");

/* What is kept of a request while its bytes turn into the reply. */
struct pending {
	const struct pl_gateway *gateway;
	uint64_t counter;
	uint8_t scan_cnt;
	uint8_t error; /* enum pl_verdict for the whole datagram, or PL_V_NONE */
};

/* Errors told to one gateway. Who is at fault learns it from the first few; and a flood of recorded
 * requests, which anyone who once saw them can send, costs no sealing and is not reflected. */
#define ERROR_WINDOW_MS 250u
#define ERRORS_A_WINDOW 32u

struct errors_told {
	uint32_t window; /* the low bits of wall_ms / ERROR_WINDOW_MS */
	uint32_t cnt;
};

struct pl_verify {
	struct pl_seal *seal PL_FROZEN_AFTER(create);
	pl_token_check_fn token_check PL_FROZEN_AFTER(create);
	struct pl_table_reader *table PL_FROZEN_AFTER(create);
	struct pl_counters *counters PL_OWNED_BY(worker);
	uint64_t nonce_next PL_OWNED_BY(worker);
	uint64_t nonce_limit PL_OWNED_BY(worker);
	uint32_t queue PL_FROZEN_AFTER(create);
	char engines[64] PL_FROZEN_AFTER(create);

	/* Scratch of one burst. */
	struct pl_verify_item *items PL_OWNED_BY(worker);
	uint32_t item_cnt;
	uint32_t opened_cnt; /* items that open_group() has looked at */
	uint32_t next_item;  /* where gather() goes on */
	uint32_t next_scan;
	struct pending pending[PL_VERIFY_BURST_MAX];
	struct pl_seal_op ops[PL_VERIFY_BURST_MAX];
	uint32_t op_item[PL_VERIFY_BURST_MAX];
	struct chunk chunks[3];

	/* A sample of the scans: asked for, or taken and not yet fetched. */
	bool sample_asked PL_OWNED_BY(worker);
	bool sample_taken;
	uint64_t sampled_scans; /* how many there had been at the sample before */
	struct pl_sample sample;

	/* Of the chunk being judged. */
	uint64_t master0[CHUNK_MAX];
	uint64_t master1[CHUNK_MAX];
	uint32_t generation[CHUNK_MAX];
	uint8_t token_ok[CHUNK_MAX];

	struct pl_shed shed PL_OWNED_BY(worker);
	struct errors_told errors_told[PL_GATEWAY_MAX] PL_OWNED_BY(worker);
	struct pl_gateway_counters gateway_counters[PL_GATEWAY_MAX] PL_OWNED_BY(worker);
};

/* pl_verify_judge.c: finish a chunk's look-ups and give every scan its verdict. */
void pl_verify_judge(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now,
		     const struct chunk *c);

#endif
