/* SPDX-License-Identifier: BSD-3-Clause */
/* From datagrams to replies: peek, open, gather, (judge), seal. */

#include "verify/pl_verify_pvt.h"

static void drop(struct pl_verify *v, struct pl_verify_item *it, enum pl_drop why)
{
	it->drop = why;
	v->counters->drops[why]++;
}

/* Cheap questions first: what fails here costs no cryptography. */
static const struct pl_gateway *peek(struct pl_verify *v, const struct pl_view *view, uint64_t tick,
				     struct pl_verify_item *it, struct pl_wire_req_hdr *hdr)
{
	const struct pl_gateway *g;

	switch (pl_wire_req_peek(it->data, it->request_size, hdr)) {
	case PL_WIRE_OK:
		break;
	case PL_WIRE_RUNT:
		drop(v, it, PL_DROP_RUNT);
		return NULL;
	case PL_WIRE_OVERSIZED:
		drop(v, it, PL_DROP_OVERSIZED);
		return NULL;
	case PL_WIRE_NOT_REQUEST:
	default:
		drop(v, it, PL_DROP_NOT_REQUEST);
		return NULL;
	}
	g = pl_gateway_find(view->gateways, hdr->gateway_id, hdr->key_epoch);
	if (PL_UNLIKELY(g == NULL)) {
		drop(v, it, PL_DROP_NO_GATEWAY);
		return NULL;
	}
	if (PL_UNLIKELY(v->shed.limited_cnt != 0) && pl_shed_drops(&v->shed, g->share, tick)) {
		drop(v, it, PL_DROP_SHED);
		return NULL;
	}
	return g;
}

/* Whole burst, before any opening: the keys' lines come while we look at the rest. */
static void peek_all(struct pl_verify *v, const struct pl_view *view, uint64_t tick)
{
	for (uint32_t i = 0; i < v->item_cnt; i++) {
		struct pl_verify_item *it = &v->items[i];
		struct pending *p = &v->pending[i];
		struct pl_wire_req_hdr hdr;

		it->drop = PL_DROP_NONE;
		it->reply_size = 0;
		p->gateway = peek(v, view, tick, it, &hdr);
		p->scan_cnt = 0;
		p->error = PL_V_NONE;
		if (PL_UNLIKELY(p->gateway == NULL))
			continue;
		p->counter = hdr.counter;
		pl_wire_req_nonce(&hdr, v->ops[i].nonce);
		pl_seal_key_prefetch(p->gateway->request_key);
	}
}

static PL_COLD bool may_tell_error(struct pl_verify *v, uint32_t gateway_idx, uint64_t wall_ms)
{
	struct errors_told *told = &v->errors_told[gateway_idx];
	uint32_t window = (uint32_t)(wall_ms / ERROR_WINDOW_MS);

	if (told->window != window)
		*told = (struct errors_told){.window = window};
	if (told->cnt >= ERRORS_A_WINDOW)
		return false;
	told->cnt++;
	return true;
}

/* The sender's own fault: it is told, now and then. */
static PL_COLD void fault(struct pl_verify *v, const struct pl_now *now, uint32_t i,
			  enum pl_verdict error)
{
	struct pending *p = &v->pending[i];

	if (may_tell_error(v, p->gateway->idx, now->wall_ms)) {
		p->error = (uint8_t)error;
		return;
	}
	p->gateway = NULL;
	drop(v, &v->items[i], PL_DROP_ERROR_LIMIT);
}

/* While the worker cannot keep up. Told to come back is an answer all the same, of which each scan's is
 * UNKNOWN. @return whether it is not to be judged. */
static bool shed(struct pl_verify *v, const struct pl_now *now, uint32_t i, uint32_t scan_cnt)
{
	struct pending *p = &v->pending[i];
	struct pl_gateway_counters *g = &v->gateway_counters[p->gateway->idx];

	switch (pl_shed_ask(&v->shed, p->gateway->share, scan_cnt, now->tick)) {
	case PL_SHED_BUSY:
		p->error = PL_V_BUSY;
		g->unknown += scan_cnt;
		v->counters->scans += scan_cnt;
		v->counters->verdicts[PL_V_BUSY] += scan_cnt;
		return true;
	case PL_SHED_DROP:
		p->gateway = NULL;
		drop(v, &v->items[i], PL_DROP_SHED);
		return true;
	case PL_SHED_ADMIT:
	default:
		return false;
	}
}

/* An authentic datagram: what is it, and is it fresh? */
static void admit(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now,
		  uint32_t i)
{
	struct pl_verify_item *it = &v->items[i];
	struct pending *p = &v->pending[i];
	struct pl_gateway_counters *g = &v->gateway_counters[p->gateway->idx];
	struct pl_wire_req_head head;
	enum pl_verdict error;
	uint64_t age_ms;

	g->datagrams++;
	error = pl_wire_req_read(it->data, it->request_size, &head);
	if (PL_UNLIKELY(error != PL_V_NONE)) {
		fault(v, now, i, error);
		return;
	}
	age_ms = head.sent_at_ms > now->wall_ms ? head.sent_at_ms - now->wall_ms
						: now->wall_ms - head.sent_at_ms;
	/* With no clock to trust, age tells nothing: the scans are judged, and what rests on time
	 * becomes UNKNOWN there. */
	if (PL_UNLIKELY(age_ms > view->request_age_ms_max) && !(now->flags & PL_FLAG_CLOCK)) {
		fault(v, now, i, PL_V_STALE_REQUEST);
		return;
	}
	/* Who only sends again what was recorded is not heard. */
	g->seen_ms = now->wall_ms;
	if (head.attempt != 0) {
		g->retries++;
		v->counters->retries++;
	}
	if (PL_UNLIKELY(v->shed.watching) && shed(v, now, i, head.scan_cnt))
		return;
	p->scan_cnt = (uint8_t)head.scan_cnt;
}

/* Open the next datagrams of the burst. */
static void open_group(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now)
{
	uint32_t end = v->opened_cnt + OPEN_GROUP_MAX, op_cnt = 0;
	struct pl_seal_op *ops = &v->ops[v->opened_cnt];
	uint32_t *op_item = &v->op_item[v->opened_cnt];

	if (end > v->item_cnt)
		end = v->item_cnt;
	for (uint32_t i = v->opened_cnt; i < end; i++) {
		const struct pl_verify_item *it = &v->items[i];
		struct pl_seal_op *op = &ops[op_cnt];

		if (PL_UNLIKELY(v->pending[i].gateway == NULL))
			continue;
		/* op is at or before ops[i]: nonces move down over the gaps of dropped ones. */
		if (PL_UNLIKELY(op != &v->ops[i]))
			memcpy(op->nonce, v->ops[i].nonce, sizeof(op->nonce));
		op->key = v->pending[i].gateway->request_key;
		op->aad = it->data;
		op->aad_size = PL_WIRE_REQ_HDR_SIZE;
		op->text = it->data + PL_WIRE_REQ_HDR_SIZE;
		op->text_size = it->request_size - PL_WIRE_REQ_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE;
		op->tag = it->data + it->request_size - PL_WIRE_GCM_TAG_SIZE;
		op_item[op_cnt++] = i;
	}
	pl_seal_open_burst(v->seal, ops, op_cnt);
	for (uint32_t o = 0; o < op_cnt; o++) {
		uint32_t i = op_item[o];

		if (PL_LIKELY(ops[o].ok)) {
			admit(v, view, now, i);
		} else {
			v->pending[i].gateway = NULL;
			drop(v, &v->items[i], PL_DROP_BAD_SEAL);
		}
	}
	v->opened_cnt = end;
}

static void gather_one(struct chunk *c, const uint8_t *scan, uint8_t *out,
		       struct pl_gateway_counters *gateway)
{
	uint32_t k = c->cnt++;

	c->cert_id[k] = pl_le64_get(scan + offsetof(struct pl_wire_scan, cert_id));
	c->shown_at[k] = pl_le32_get(scan + offsetof(struct pl_wire_scan, shown_at));
	c->venue_id[k] = pl_le32_get(scan + offsetof(struct pl_wire_scan, venue_id));
	c->scan_id[k] = pl_le32_get(scan + offsetof(struct pl_wire_scan, scan_id));
	c->tag0[k] = pl_le64_get(scan + offsetof(struct pl_wire_scan, tag));
	c->tag1[k] = pl_le32_get(scan + offsetof(struct pl_wire_scan, tag) + 8);
	c->out[k] = out;
	c->gateway[k] = gateway;
}

/* Fill a chunk with the next scans, opening a group when all that is open has been gathered. A
 * chunk ends with its group, so that its look-ups overlap the next group's opening. */
static void gather(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now,
		   struct chunk *c)
{
	c->cnt = 0;
	while (c->cnt < CHUNK_MAX && v->next_item < v->item_cnt) {
		const struct pending *p = &v->pending[v->next_item];
		uint8_t *data = v->items[v->next_item].data;

		if (v->next_item == v->opened_cnt) {
			if (c->cnt != 0)
				break;
			open_group(v, view, now);
		}
		while (v->next_scan < p->scan_cnt && c->cnt < CHUNK_MAX) {
			gather_one(c, pl_wire_req_scan(data, v->next_scan),
				   pl_wire_rep_verdicts(data) + v->next_scan * PL_WIRE_VERDICT_SIZE,
				   &v->gateway_counters[p->gateway->idx]);
			v->next_scan++;
		}
		if (v->next_scan == p->scan_cnt) {
			v->next_item++;
			v->next_scan = 0;
		}
	}
}

static void reply_write(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now,
			uint32_t flags, uint32_t i, struct pl_seal_op *op)
{
	struct pl_verify_item *it = &v->items[i];
	const struct pending *p = &v->pending[i];
	bool come_back =
		(flags & (PL_FLAG_LOADING | PL_FLAG_DRAINING)) != 0 || p->error == PL_V_BUSY;
	struct pl_wire_rep_hdr hdr = {
		.ver = PL_WIRE_VERSION,
		.type = PL_WIRE_REPLY,
		.state = (uint8_t)pl_state_of_flags(flags),
		.flags = (uint8_t)flags,
		.gateway_id = p->gateway->id,
		.appliance_queue = view->appliance_id << 8 | v->queue,
	};
	struct pl_wire_rep_head head = {
		.req_counter = p->counter,
		.now_ms = now->wall_ms,
		.as_of = now->as_of,
		.waiver_until = now->flags & PL_FLAG_WAIVER ? view->waiver_until : 0,
		.retry_after_ms = come_back ? now->retry_after_ms : 0,
		.error = p->error,
		.verdict_cnt = p->scan_cnt,
	};

	pl_le64_put(hdr.counter, v->nonce_next++);
	it->reply_size = pl_wire_rep_write(it->data, &hdr, &head);
	pl_wire_rep_nonce(&hdr, op->nonce);
	op->key = p->gateway->reply_key;
	op->aad = it->data;
	op->aad_size = PL_WIRE_REP_HDR_SIZE;
	op->text = it->data + PL_WIRE_REP_HDR_SIZE;
	op->text_size = it->reply_size - PL_WIRE_REP_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE;
	op->tag = it->data + it->reply_size - PL_WIRE_GCM_TAG_SIZE;
}

static uint32_t reply_all(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now)
{
	uint32_t flags = now->flags | (v->shed.limited_cnt != 0 ? PL_FLAG_BUSY : 0);
	uint32_t op_cnt = 0;

	for (uint32_t i = 0; i < v->item_cnt; i++) {
		const struct pending *p = &v->pending[i];

		if (PL_UNLIKELY(p->gateway == NULL))
			continue;
		if (PL_UNLIKELY(v->nonce_next >= v->nonce_limit)) {
			drop(v, &v->items[i], PL_DROP_NO_NONCE);
			continue;
		}
		if (PL_UNLIKELY(p->error != PL_V_NONE)) {
			v->counters->error_replies++;
			v->gateway_counters[p->gateway->idx].errors++;
			v->gateway_counters[p->gateway->idx].busy += p->error == PL_V_BUSY;
			v->counters->busy_replies += p->error == PL_V_BUSY;
		}
		pl_seal_key_prefetch(p->gateway->reply_key);
		reply_write(v, view, now, flags, i, &v->ops[op_cnt++]);
	}
	pl_seal_seal_burst(v->seal, v->ops, op_cnt);
	v->counters->replies += op_cnt;
	return op_cnt;
}

/* While the table is being loaded what it says counts for nothing. */
static void look_up(struct pl_verify *v, const struct pl_now *now, struct chunk *c,
		    const struct chunk *next)
{
	if (PL_LIKELY(!(now->flags & PL_FLAG_LOADING)))
		pl_table_find_start(v->table, c->cert_id, c->cnt, c->hits, next->cert_id, next->cnt,
				    &c->looked_up);
}

uint32_t pl_verify_burst(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now,
			 struct pl_verify_item *items, uint32_t item_cnt)
{
	struct chunk *cur = &v->chunks[0], *next = &v->chunks[1], *after = &v->chunks[2];

	PL_DCHECK(item_cnt <= PL_VERIFY_BURST_MAX);
	v->items = items;
	v->item_cnt = item_cnt;
	v->opened_cnt = 0;
	v->next_item = 0;
	v->next_scan = 0;

	pl_shed_burst(&v->shed, item_cnt, now->waited);
	peek_all(v, view, now->tick);
	gather(v, view, now, cur);
	pl_table_prefetch(v->table, cur->cert_id, cur->cnt);
	gather(v, view, now, next);
	look_up(v, now, cur, next);
	while (cur->cnt != 0) {
		struct chunk *done = cur;

		gather(v, view, now, after);
		look_up(v, now, next, after);
		pl_verify_judge(v, view, now, cur);
		cur = next;
		next = after;
		after = done;
	}
	pl_table_quiesce(v->table);
	return reply_all(v, view, now);
}
