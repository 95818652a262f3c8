/* SPDX-License-Identifier: BSD-3-Clause */

#include "client/pl_client.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/pl_client_pvt.h"

#define BUDGET_ONE_RETRY 1000u /* in thousandths */

uint64_t client_now(const struct pl_client *c)
{
	return c->conf.clock.monotonic_ns(c->conf.clock.ctx);
}

/* xorshift64*, Vigna 2016: spreads waits, guards nothing. */
uint64_t client_random(struct pl_client *c, uint64_t bound)
{
	c->rng ^= c->rng >> 12;
	c->rng ^= c->rng << 25;
	c->rng ^= c->rng >> 27;
	return bound == 0 ? 0 : (c->rng * 0x2545f4914f6cdd1dULL >> 1) % bound;
}

uint64_t client_backoff_ns(struct pl_client *c, const struct client_req *r)
{
	uint64_t wait_ms = (uint64_t)c->conf.first_retry_ms
			   << (r->backoffs < 20 ? r->backoffs : 20);
	uint64_t half_ns;

	if (wait_ms > c->conf.retry_ms_max)
		wait_ms = c->conf.retry_ms_max;
	half_ns = wait_ms * NS_PER_MS / 2;
	return half_ns + client_random(c, half_ns + 1);
}

bool client_budget_left(const struct pl_client *c)
{
	return c->budget_milli >= BUDGET_ONE_RETRY;
}

static void fill_verdicts(struct client_req *r, enum pl_verdict v)
{
	for (uint32_t i = 0; i < r->result.scan_cnt; i++)
		r->result.verdicts[i] = PL_WIRE_VERDICT(v, 0, 0);
}

void client_end(struct pl_client *c, uint32_t idx, uint64_t now)
{
	struct client_req *r = &c->reqs[idx];

	client_heap_remove(&c->heap, c->reqs, idx);
	for (uint32_t i = 0; i < r->attempts; i++)
		client_map_remove(&c->map, r->counters[i]);
	if (r->result.answered)
		c->stats.answered++;
	else
		c->stats.no_answer++;
	r->result.attempts = r->attempts;
	r->result.took_ns = now - r->submit_ns;
	r->state = REQ_DONE;
	r->next = REQ_NIL;
	if (c->done_head == REQ_NIL)
		c->done_head = idx;
	else
		c->reqs[c->done_tail].next = idx;
	c->done_tail = idx;
}

static void wait_until(struct pl_client *c, uint32_t idx, uint64_t next_ns)
{
	struct client_req *r = &c->reqs[idx];

	r->next_ns = next_ns < r->deadline_ns ? next_ns : r->deadline_ns;
	client_heap_fix(&c->heap, c->reqs, idx);
}

/* Write and seal one datagram of the request. @return its size. */
static uint32_t build(struct pl_client *c, const struct client_req *r, uint64_t counter,
		      uint8_t *data)
{
	struct pl_wire_req_hdr hdr = {
		.ver = PL_WIRE_VERSION,
		.type = PL_WIRE_REQUEST,
		.key_epoch = c->conf.key_epoch,
		.gateway_id = c->conf.gateway_id,
		.counter = counter,
	};
	struct pl_wire_req_head head = {
		.sent_at_ms = c->conf.clock.wall_ns(c->conf.clock.ctx) / NS_PER_MS,
		.scan_cnt = (uint16_t)r->result.scan_cnt,
		.attempt = r->attempts,
	};
	uint32_t size = pl_wire_req_write(data, &hdr, &head, r->scans, r->result.scan_cnt);
	struct pl_seal_op op = {
		.key = c->request_key,
		.aad = data,
		.aad_size = PL_WIRE_REQ_HDR_SIZE,
		.text = data + PL_WIRE_REQ_HDR_SIZE,
		.text_size = size - PL_WIRE_REQ_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE,
		.tag = data + size - PL_WIRE_GCM_TAG_SIZE,
	};

	pl_wire_req_nonce(&hdr, op.nonce);
	pl_seal_seal_burst(c->seal, &op, 1);
	return size;
}

/* An error that an earlier datagram's ICMP answer left on the socket says nothing of this one. */
static bool send_bytes(struct pl_client *c, struct client_addr *a, const uint8_t *data,
		       uint32_t size)
{
	for (int tries = 0; tries < 2; tries++) {
		if (send(a->fd, data, size, MSG_NOSIGNAL) == (ssize_t)size)
			return true;
		if (errno != ECONNREFUSED)
			return false;
		c->stats.refused++;
	}
	return false;
}

static void send_datagram(struct pl_client *c, uint32_t idx, uint32_t addr_idx, uint64_t now)
{
	struct client_req *r = &c->reqs[idx];
	struct client_addr *a = &c->addrs[addr_idx];
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	uint64_t counter;
	uint32_t size;

	if (pl_client_counter_take(&c->counter, c->conf.clock.wall_ns(c->conf.clock.ctx),
				   &counter) != 0) {
		c->stats.counter_errors++;
		wait_until(c, idx, now + client_backoff_ns(c, r));
		r->backoffs++;
		return;
	}
	if (r->attempts > 0) {
		c->budget_milli -= BUDGET_ONE_RETRY;
		c->stats.retries++;
	}
	size = build(c, r, counter, data);
	client_map_put(&c->map, counter, idx, r->attempts);
	r->counters[r->attempts] = counter;
	r->sent_ns[r->attempts] = now;
	r->attempts++;
	r->last_addr = (uint8_t)addr_idx;
	r->in_flight = true;
	if (client_addr_connect(c, addr_idx) == 0 && send_bytes(c, a, data, size)) {
		c->stats.datagrams++;
	} else {
		c->stats.send_errors++;
		client_addr_avoid(a, now + AVOID_NS_FIRST);
	}
	wait_until(c, idx, now + client_backoff_ns(c, r));
	r->backoffs++;
}

/* Every address has asked to be left alone until then. */
static void all_busy(struct pl_client *c, uint32_t idx, uint64_t until, uint64_t now)
{
	struct client_req *r = &c->reqs[idx];

	if (until < r->deadline_ns) {
		c->stats.waits++;
		wait_until(c, idx, until + client_random(c, (until - now) / 4 + 1));
		return;
	}
	if (!r->result.answered && r->attempts == 0) {
		uint64_t rest_ms = (until - now) / NS_PER_MS;

		fill_verdicts(r, PL_V_BUSY);
		r->result.retry_after_ms = rest_ms > UINT16_MAX ? UINT16_MAX : (uint16_t)rest_ms;
	}
	client_end(c, idx, now);
}

/* The time of a request has come: send it, send it again, or end it. */
static void due(struct pl_client *c, uint32_t idx, uint64_t now)
{
	struct client_req *r = &c->reqs[idx];
	uint32_t first = c->addr_current;
	uint64_t until;
	int addr;

	if (r->in_flight) {
		r->in_flight = false;
		client_addr_miss(&c->addrs[r->last_addr], now);
	}
	if (now >= r->deadline_ns) {
		client_end(c, idx, now);
		return;
	}
	if (r->attempts > 0) {
		if (r->attempts == c->conf.attempts_max) {
			wait_until(c, idx, r->deadline_ns);
			return;
		}
		if (!client_budget_left(c)) {
			c->stats.retries_denied++;
			if (r->result.answered) {
				client_end(c, idx, now);
				return;
			}
			wait_until(c, idx, now + client_backoff_ns(c, r));
			return;
		}
		first = (r->last_addr + 1u) % c->conf.addr_cnt;
	}
	addr = client_addr_pick(c, first, now, &until);
	if (addr < 0) {
		all_busy(c, idx, until, now);
		return;
	}
	if (r->attempts == 0)
		c->addr_current = (uint32_t)addr;
	send_datagram(c, idx, (uint32_t)addr, now);
}

static void pump(struct pl_client *c)
{
	uint64_t now = client_now(c);

	if (c->timer_ns != 0 && now >= c->timer_ns) {
		uint64_t fired;

		if (read(c->timer_fd, &fired, sizeof(fired)) < 0)
			fired = 0; /* not yet: setting it again below is as good */
		c->timer_ns = 0;
	}
	/* Replies first: after a pause of ours, an answer that is already here is no timeout. */
	client_receive(c, now);
	while (c->heap.cnt > 0 && c->reqs[c->heap.idxs[0]].next_ns <= now)
		due(c, c->heap.idxs[0], now);
}

/* A timer that fires too early costs one empty pump(); so it is set only to become earlier. */
static void arm_timer(struct pl_client *c, bool now_too)
{
	uint64_t now = client_now(c);
	uint64_t at_ns = 0, rest_ns;
	struct itimerspec spec = {0};

	if (now_too && c->done_head != REQ_NIL)
		at_ns = now;
	else if (c->heap.cnt > 0)
		at_ns = c->reqs[c->heap.idxs[0]].next_ns;
	if (at_ns == 0 || (c->timer_ns != 0 && c->timer_ns <= at_ns))
		return;
	rest_ns = at_ns > now ? at_ns - now : 1;
	spec.it_value.tv_sec = (time_t)(rest_ns / (1000 * NS_PER_MS));
	spec.it_value.tv_nsec = (long)(rest_ns % (1000 * NS_PER_MS));
	/* Cannot fail: the descriptor and the value are good. */
	PL_CHECK(timerfd_settime(c->timer_fd, 0, &spec, NULL) == 0);
	c->timer_ns = at_ns;
}

static void wait_events(struct pl_client *c, int wait_ms)
{
	struct epoll_event events[4];

	/* What is ready is found by looking; an interrupted wait is as good as any. */
	(void)epoll_wait(c->epoll_fd, events, (int)PL_ARRAY_CNT(events), wait_ms);
}

/* @return the request, already outstanding, or -errno. */
static int submit(struct pl_client *c, const struct pl_wire_scan *scans, uint32_t scan_cnt,
		  void *cookie)
{
	uint32_t idx = c->free_head;
	uint64_t now = client_now(c);
	struct client_req *r;

	if (scan_cnt > PL_WIRE_SCANS_MAX)
		return -E2BIG;
	if (idx == REQ_NIL)
		return -EAGAIN;
	r = &c->reqs[idx];
	c->free_head = r->next;
	c->outstanding++;
	c->stats.requests++;
	c->budget_milli += c->conf.retry_permille;
	if (c->budget_milli > (uint64_t)c->conf.retry_burst * BUDGET_ONE_RETRY)
		c->budget_milli = (uint64_t)c->conf.retry_burst * BUDGET_ONE_RETRY;

	memset(r, 0, offsetof(struct client_req, scans));
	if (scan_cnt > 0)
		memcpy(r->scans, scans, scan_cnt * sizeof(*scans));
	r->result.cookie = cookie;
	r->result.scan_cnt = scan_cnt;
	fill_verdicts(r, PL_V_NO_ANSWER);
	r->state = REQ_WAITING;
	r->submit_ns = now;
	r->next_ns = now;
	r->deadline_ns = now + c->conf.deadline_ms * NS_PER_MS;
	client_heap_put(&c->heap, c->reqs, idx);
	due(c, idx, now);
	return (int)idx;
}

static void release(struct pl_client *c, uint32_t idx)
{
	c->reqs[idx].state = REQ_FREE;
	c->reqs[idx].next = c->free_head;
	c->free_head = idx;
	c->outstanding--;
}

/* Take a finished request out of the middle of the done list. */
static void done_remove(struct pl_client *c, uint32_t idx)
{
	uint32_t before = REQ_NIL;

	for (uint32_t i = c->done_head; i != idx; i = c->reqs[i].next)
		before = i;
	if (before == REQ_NIL)
		c->done_head = c->reqs[idx].next;
	else
		c->reqs[before].next = c->reqs[idx].next;
	if (c->done_tail == idx)
		c->done_tail = before;
}

int pl_client_check(struct pl_client *c, const struct pl_wire_scan *scans, uint32_t scan_cnt,
		    struct pl_client_result *result)
{
	int idx = submit(c, scans, scan_cnt, NULL);

	if (idx < 0)
		return idx;
	while (c->reqs[idx].state != REQ_DONE) {
		arm_timer(c, false);
		wait_events(c, -1);
		pump(c);
	}
	done_remove(c, (uint32_t)idx);
	*result = c->reqs[idx].result;
	release(c, (uint32_t)idx);
	arm_timer(c, true);
	return 0;
}

int pl_client_submit(struct pl_client *c, const struct pl_wire_scan *scans, uint32_t scan_cnt,
		     void *cookie)
{
	int idx = submit(c, scans, scan_cnt, cookie);

	if (idx < 0)
		return idx;
	arm_timer(c, true);
	return 0;
}

uint32_t pl_client_poll(struct pl_client *c, struct pl_client_result *results, uint32_t result_max,
			int wait_ms)
{
	uint64_t until = wait_ms > 0 ? client_now(c) + (uint64_t)wait_ms * NS_PER_MS : 0;
	uint32_t cnt = 0;

	pump(c);
	while (c->done_head == REQ_NIL && wait_ms != 0 && c->outstanding > 0) {
		uint64_t now = client_now(c);

		if (wait_ms > 0 && now >= until)
			break;
		arm_timer(c, false);
		wait_events(c, wait_ms < 0 ? -1 : (int)((until - now) / NS_PER_MS + 1));
		pump(c);
	}
	while (cnt < result_max && c->done_head != REQ_NIL) {
		uint32_t idx = c->done_head;

		done_remove(c, idx);
		results[cnt++] = c->reqs[idx].result;
		release(c, idx);
	}
	arm_timer(c, true);
	return cnt;
}

int pl_client_fd(const struct pl_client *c)
{
	return c->epoll_fd;
}

uint32_t pl_client_outstanding(const struct pl_client *c)
{
	return c->outstanding;
}

void pl_client_stats_get(const struct pl_client *c, struct pl_client_stats *out)
{
	*out = c->stats;
}
