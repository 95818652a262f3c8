/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <sys/socket.h>

#include "client/pl_client_pvt.h"

#define RX_BURSTS_MAX 8u /* of one address in one go, so that timers are never starved */

/* Verdicts that may be another one in a moment, or elsewhere. */
static bool is_passing(uint32_t code)
{
	return code == PL_V_BUSY || code == PL_V_LOADING || code == PL_V_UNSURE;
}

/* Counts agree with the request, and an error is never a DENY. */
static bool reply_fits(const struct client_req *r, const struct pl_wire_rep_head *head)
{
	if (head->error != PL_V_NONE)
		return head->verdict_cnt == 0 && pl_verdict_group(head->error) == PL_GROUP_UNKNOWN;
	return head->verdict_cnt == r->result.scan_cnt;
}

/*
 * Take over an answer. A scan that has its PASS or DENY from an earlier attempt keeps it when a
 * later one does not know.
 */
static void take_answer(struct client_req *r, const struct pl_wire_rep_hdr *hdr,
			const struct pl_wire_rep_head *head, const uint8_t *verdicts)
{
	struct pl_client_result *res = &r->result;
	bool kept = false;

	for (uint32_t i = 0; i < res->scan_cnt; i++) {
		uint32_t old = PL_WIRE_VERDICT_CODE(res->verdicts[i]);
		uint32_t word = head->error != PL_V_NONE
					? PL_WIRE_VERDICT(head->error, 0, 0)
					: pl_le32_get(verdicts + i * PL_WIRE_VERDICT_SIZE);

		if (pl_verdict_group(old) != PL_GROUP_UNKNOWN &&
		    pl_verdict_group(PL_WIRE_VERDICT_CODE(word)) == PL_GROUP_UNKNOWN) {
			kept = true;
			continue;
		}
		res->verdicts[i] = word;
	}
	res->answered = true;
	res->state = hdr->state;
	res->flags = hdr->flags;
	res->error = kept ? (uint8_t)PL_V_NONE : head->error;
	res->appliance_queue = hdr->appliance_queue;
	res->retry_after_ms = head->retry_after_ms;
	res->now_ms = head->now_ms;
	res->as_of = head->as_of;
	res->waiver_until = head->waiver_until;
}

/* BUSY is said to this request: the next one may be within the share. All else that is not
 * final is true of the appliance. */
static void note_addr(struct client_addr *a, const struct pl_wire_rep_hdr *hdr,
		      const struct pl_wire_rep_head *head, bool again, uint64_t now)
{
	uint64_t until = now + head->retry_after_ms * NS_PER_MS;

	a->misses = 0;
	a->avoid_ns = 0;
	a->avoid_until = 0;
	if (hdr->state == PL_STATE_DRAINING)
		client_addr_avoid(a, now + AVOID_DRAINING_NS);
	if (hdr->state == PL_STATE_LOADING)
		client_addr_avoid(a, now + AVOID_LOADING_NS);
	/* With a final answer there is nothing to come back with. */
	if (again && head->error != PL_V_BUSY && a->busy_until < until)
		a->busy_until = until;
}

/* The answer may get better: when to ask again, or 0 for not at all. busy_ns: how long BUSY has told it to
 * wait, or 0. */
static uint64_t ask_again_ns(struct pl_client *c, uint32_t idx, uint32_t addr_idx, bool busy,
			     uint64_t busy_ns, uint64_t now)
{
	struct client_req *r = &c->reqs[idx];
	const struct client_addr *a = &c->addrs[addr_idx];
	uint64_t until = a->busy_until > now + busy_ns ? a->busy_until : now + busy_ns;
	uint64_t next = now + client_backoff_ns(c, r);
	uint64_t ignored;
	int other;

	if (r->attempts == c->conf.attempts_max)
		return 0;
	if (!client_budget_left(c)) {
		c->stats.retries_denied++;
		return 0;
	}
	r->backoffs++;
	other = client_addr_pick(c, (addr_idx + 1) % c->conf.addr_cnt, now, &ignored);
	if (!busy && other >= 0 && (uint32_t)other != addr_idx &&
	    c->addrs[other].avoid_until <= now)
		next = now + 1 + client_random(c, c->conf.first_retry_ms * NS_PER_MS / 2);
	else if (next < until)
		next = until + client_random(c, (until - now) / 2 + 1);
	if (until > now)
		c->stats.waits++;
	return next < r->deadline_ns ? next : 0;
}

static void on_reply(struct pl_client *c, uint32_t addr_idx, const uint8_t *data, uint32_t size,
		     uint64_t now)
{
	const uint8_t *verdicts = data + PL_WIRE_REP_HDR_SIZE + PL_WIRE_REP_HEAD_SIZE;
	struct pl_wire_rep_hdr hdr;
	struct pl_wire_rep_head head;
	const struct counter_slot *slot;
	struct client_req *r;
	uint32_t idx, attempt;
	bool again = false, busy = false;
	uint64_t next, busy_ns = 0;

	if (!pl_wire_rep_peek(data, size, &hdr) || !pl_wire_rep_read(data, size, &head)) {
		c->stats.mismatched++;
		return;
	}
	slot = client_map_find(&c->map, head.req_counter);
	if (slot == NULL) {
		c->stats.late++;
		return;
	}
	idx = slot->req_idx;
	attempt = slot->attempt;
	r = &c->reqs[idx];
	if (!reply_fits(r, &head)) {
		c->stats.mismatched++;
		return;
	}
	c->stats.replies++;
	client_map_remove(&c->map, head.req_counter); /* a second copy of it is late */
	take_answer(r, &hdr, &head, verdicts);
	r->result.addr_idx = (uint8_t)addr_idx;
	r->result.rtt_ns = now - r->sent_ns[attempt];
	if (attempt + 1 == r->attempts)
		r->in_flight = false;
	for (uint32_t i = 0; i < r->result.scan_cnt; i++) {
		uint32_t code = PL_WIRE_VERDICT_CODE(r->result.verdicts[i]);

		again |= is_passing(code);
		busy |= code == PL_V_BUSY;
	}
	note_addr(&c->addrs[addr_idx], &hdr, &head, again, now);
	if (head.error == PL_V_BUSY)
		busy_ns = head.retry_after_ms * NS_PER_MS;
	next = again ? ask_again_ns(c, idx, addr_idx, busy, busy_ns, now) : 0;
	if (next == 0) {
		client_end(c, idx, now);
		return;
	}
	r->next_ns = next;
	client_heap_fix(&c->heap, c->reqs, idx);
}

static void open_burst(struct pl_client *c, uint32_t addr_idx, const uint32_t *sizes, uint32_t cnt,
		       uint64_t now)
{
	struct pl_seal_op ops[RX_BURST];
	uint32_t of[RX_BURST];
	uint32_t op_cnt = 0;

	for (uint32_t i = 0; i < cnt; i++) {
		uint8_t *data = c->rx_bytes[i];
		struct pl_wire_rep_hdr hdr;

		if (!pl_wire_rep_peek(data, sizes[i], &hdr) ||
		    hdr.gateway_id != c->conf.gateway_id) {
			c->stats.foreign++;
			continue;
		}
		ops[op_cnt] = (struct pl_seal_op){
			.key = c->reply_key,
			.aad = data,
			.aad_size = PL_WIRE_REP_HDR_SIZE,
			.text = data + PL_WIRE_REP_HDR_SIZE,
			.text_size = sizes[i] - PL_WIRE_REP_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE,
			.tag = data + sizes[i] - PL_WIRE_GCM_TAG_SIZE,
		};
		pl_wire_rep_nonce(&hdr, ops[op_cnt].nonce);
		of[op_cnt++] = i;
	}
	pl_seal_open_burst(c->seal, ops, op_cnt);
	for (uint32_t i = 0; i < op_cnt; i++) {
		if (ops[i].ok)
			on_reply(c, addr_idx, c->rx_bytes[of[i]], sizes[of[i]], now);
		else
			c->stats.bad_seal++;
	}
}

/* @return whether there may be more. */
static bool receive_burst(struct pl_client *c, uint32_t addr_idx, uint64_t now)
{
	struct mmsghdr msgs[RX_BURST] = {0};
	struct iovec iovs[RX_BURST];
	uint32_t sizes[RX_BURST];
	int cnt;

	for (uint32_t i = 0; i < RX_BURST; i++) {
		iovs[i] = (struct iovec){c->rx_bytes[i], sizeof(c->rx_bytes[i])};
		msgs[i].msg_hdr.msg_iov = &iovs[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	cnt = recvmmsg(c->addrs[addr_idx].fd, msgs, RX_BURST, 0, NULL);
	if (cnt < 0) {
		if (errno != ECONNREFUSED)
			return false;
		c->stats.refused++;
		client_addr_avoid(&c->addrs[addr_idx], now + AVOID_NS_FIRST);
		return true;
	}
	for (int i = 0; i < cnt; i++)
		sizes[i] = msgs[i].msg_len;
	open_burst(c, addr_idx, sizes, (uint32_t)cnt, now);
	return cnt == (int)RX_BURST;
}

void client_receive(struct pl_client *c, uint64_t now)
{
	for (uint32_t i = 0; i < c->conf.addr_cnt; i++) {
		if (c->addrs[i].fd < 0)
			continue;
		for (uint32_t burst = 0; burst < RX_BURSTS_MAX; burst++)
			if (!receive_burst(c, i, now))
				break;
	}
}
