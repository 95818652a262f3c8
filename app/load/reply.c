/* SPDX-License-Identifier: BSD-3-Clause */

#include "reply.h"

#include <inttypes.h>

/* An authentic datagram of an hour ago must be told that it is stale. */
static bool is_old(const struct reply *r, uint64_t req_counter)
{
	return req_counter - r->pool->old_counter < r->pool->old_cnt;
}

/* @return whether every scan got what is right. */
static bool judge(struct reply *r, const struct pl_wire_rep_head *head, const uint8_t *words,
		  uint32_t idx)
{
	const struct pool *p = r->pool;
	const uint8_t *rights = pool_rights(p, idx);
	bool all_right = true;

	for (uint32_t i = 0; i < p->scan_cnt; i++) {
		uint32_t right = rights[i], got = head->error;

		if (PL_LIKELY(got == PL_V_NONE))
			got = PL_WIRE_VERDICT_CODE(pl_le32_get(words + i * PL_WIRE_VERDICT_SIZE));
		r->stats->verdicts[right][got & (PL_V_CODE_END - 1)]++;
		if (PL_LIKELY(got == right))
			continue;
		all_right = false;
		if (pl_verdict_group(got) == PL_GROUP_UNKNOWN)
			r->stats->unknown++;
		else
			r->stats->wrong++;
	}
	r->stats->checked += p->scan_cnt;
	return all_right;
}

/* Places of a slot that await their certificates: absent before, PASS from some moment on. */
static void note_await(struct reply *r, const struct pl_wire_rep_head *head, const uint8_t *words,
		       uint32_t idx, uint64_t now_tsc)
{
	struct pool *p = r->pool;
	struct await *a = &p->await;

	for (uint32_t i = 0; i < p->scan_cnt; i++) {
		size_t place = (size_t)idx * p->scan_cnt + i;
		uint32_t got = head->error;

		if (place >= a->cnt)
			break;
		if (got == PL_V_NONE)
			got = PL_WIRE_VERDICT_CODE(pl_le32_get(words + i * PL_WIRE_VERDICT_SIZE));
		if (got == PL_V_PASS && a->seen_ns[place] == 0) {
			a->seen_ns[place] = load_clock_wall_ns(p->clock, now_tsc);
			a->seen_cnt++;
		} else if (got != PL_V_PASS &&
			   (a->seen_ns[place] != 0 || got != PL_V_UNKNOWN_CERT) &&
			   pl_verdict_group(got) != PL_GROUP_UNKNOWN) {
			r->stats->wrong++; /* gone again, or denied for what it is not */
		}
	}
}

static void note_side(struct load_side_stats *side, const struct pl_wire_rep_head *head,
		      uint64_t took_tsc)
{
	side->answered++;
	if (head->error == PL_V_BUSY)
		side->busy++;
	else
		latency_add(&side->latency, took_tsc);
}

static void one_reply(struct reply *r, const uint8_t *data, uint32_t size, uint64_t now_tsc)
{
	struct pool *p = r->pool;
	struct load_stats *st = r->stats;
	struct pl_wire_rep_head head;
	uint32_t idx;
	struct slot *s;
	bool right;

	if (!pl_wire_rep_read(data, size, &head)) {
		st->mismatched++;
		return;
	}
	if (PL_UNLIKELY(is_old(r, head.req_counter))) {
		if (head.error == PL_V_STALE_REQUEST)
			st->old_answered++;
		else
			st->old_wrong++;
		return;
	}
	idx = (uint32_t)head.req_counter & (p->cnt - 1);
	s = &p->slots[idx];
	if (PL_UNLIKELY(s->counter != head.req_counter || s->sent_tsc == 0)) {
		st->extra++;
		return;
	}
	if (PL_UNLIKELY(head.verdict_cnt != (head.error == PL_V_NONE ? p->scan_cnt : 0))) {
		st->mismatched++;
		return;
	}
	r->replied++;
	if (PL_UNLIKELY((size_t)idx * p->scan_cnt < p->await.cnt)) {
		note_await(r, &head, pl_wire_rep_verdicts((uint8_t *)(uintptr_t)data), idx,
			   now_tsc);
		right = false;
	} else {
		right = judge(r, &head, pl_wire_rep_verdicts((uint8_t *)(uintptr_t)data), idx);
	}
	if (PL_LIKELY(s->sent_tsc >= r->measure_tsc)) {
		st->answered++;
		if (PL_UNLIKELY(r->surging != 0))
			note_side(reply_side(r, s), &head, now_tsc - s->sent_tsc);
		st->states[data[2] & 3]++;
		latency_add(&st->latency, now_tsc - s->sent_tsc);
		intervals_answer(r->intervals);
		intervals_latency(r->intervals, s->sent_tsc, now_tsc);
	}
	s->sent_tsc = 0;
	/* The QRs are known to have been accepted: now copies of them. */
	if (PL_UNLIKELY(s->has_copies && s->stage == 0 && right)) {
		s->stage = 1;
		pool_build(p, &idx, 1, now_tsc);
	}
}

/* Not opened: all that can be known is that something came for us. */
static void count_unopened(struct reply *r)
{
	r->replied++;
	r->stats->answered++;
	intervals_answer(r->intervals);
}

/* One of our own datagrams as it was sent: its counter, in the clear, tells which. */
static void one_echo(struct reply *r, const uint8_t *data, uint32_t size, uint64_t now_tsc)
{
	struct pool *p = r->pool;
	struct pl_wire_req_hdr hdr;
	struct slot *s;

	if (PL_UNLIKELY(size != p->payload_size)) {
		r->stats->foreign++;
		return;
	}
	pl_wire_req_peek(data, size, &hdr);
	s = &p->slots[(uint32_t)hdr.counter & (p->cnt - 1)];
	if (PL_UNLIKELY(s->counter != hdr.counter || s->sent_tsc == 0)) {
		r->stats->extra++;
		return;
	}
	r->replied++;
	if (PL_LIKELY(s->sent_tsc >= r->measure_tsc)) {
		r->stats->answered++;
		latency_add(&r->stats->latency, now_tsc - s->sent_tsc);
		intervals_answer(r->intervals);
		intervals_latency(r->intervals, s->sent_tsc, now_tsc);
	}
	s->sent_tsc = 0;
}

static bool want_opened(struct reply *r)
{
	if (PL_LIKELY(r->check_below > UINT32_MAX))
		return true;
	r->rng = r->rng * 6364136223846793005ULL + 1442695040888963407ULL; /* Knuth's MMIX */
	return r->rng >> 32 < r->check_below;
}

void reply_burst(struct reply *r, struct io_rx *pkts, uint32_t cnt, uint64_t now_tsc)
{
	struct pl_seal_op ops[LOAD_BURST];
	struct io_rx *of[LOAD_BURST];
	uint32_t op_cnt = 0;

	for (uint32_t i = 0; i < cnt && PL_UNLIKELY(r->echo); i++)
		one_echo(r, pkts[i].payload, pkts[i].size, now_tsc);
	for (uint32_t i = 0; i < cnt && !r->echo; i++) {
		uint8_t *data = pkts[i].payload;
		uint32_t size = pkts[i].size;
		const struct gateway *gw;
		struct pl_wire_rep_hdr hdr;

		if (PL_UNLIKELY(!pl_wire_rep_peek(data, size, &hdr)) ||
		    PL_UNLIKELY((gw = gateways_find(r->pool->gateways, hdr.gateway_id)) == NULL)) {
			r->stats->foreign++;
			continue;
		}
		if (!want_opened(r)) {
			count_unopened(r);
			continue;
		}
		ops[op_cnt] = (struct pl_seal_op){
			.key = gw->reply_key,
			.aad = data,
			.aad_size = PL_WIRE_REP_HDR_SIZE,
			.text = data + PL_WIRE_REP_HDR_SIZE,
			.text_size = size - PL_WIRE_REP_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE,
			.tag = data + size - PL_WIRE_GCM_TAG_SIZE,
		};
		pl_wire_rep_nonce(&hdr, ops[op_cnt].nonce);
		of[op_cnt++] = &pkts[i];
	}
	pl_seal_open_burst(r->pool->seal, ops, op_cnt);
	for (uint32_t i = 0; i < op_cnt; i++) {
		uint64_t counter = pl_le64_get(of[i]->payload + PL_WIRE_REP_HDR_SIZE);
		uint32_t idx = (uint32_t)counter & (r->pool->cnt - 1);

		if (!ops[i].ok)
			continue;
		pl_prefetch_w(&r->pool->slots[idx]);
		pl_prefetch(pool_rights(r->pool, idx));
	}
	for (uint32_t i = 0; i < op_cnt; i++) {
		if (PL_LIKELY(ops[i].ok))
			one_reply(r, of[i]->payload, of[i]->size, now_tsc);
		else
			r->stats->bad_seal++;
	}
}
