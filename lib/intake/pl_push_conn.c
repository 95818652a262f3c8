/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection of the push server: its states, deadlines and memory.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "intake/pl_push_server_pvt.h"

static void body_free(struct pl_push_server *s, struct conn *c)
{
	if (c->rx.body == NULL)
		return;
	s->status.memory -= c->rx.body_size;
	free(c->rx.body);
	c->rx.body = NULL;
}

void pl_push_conn_close(struct pl_push_server *s, struct conn *c)
{
	body_free(s, c);
	close(c->fd); /* leaves epoll by itself */
	s->status.conn_cnt--;
	s->status.proven_cnt -= c->proven;
	c->state = CONN_FREE;
}

/* How much of a frame it has brought: what a newcomer is weighed against. */
static uint64_t progress(const struct conn *c)
{
	return c->segment ? UINT64_MAX : (uint64_t)c->rx.head_size + c->rx.body_got;
}

struct conn *pl_push_conn_least(struct pl_push_server *s, uint64_t now_ms, bool with_body,
				const struct conn *but)
{
	struct conn *least = NULL;

	for (uint32_t i = 0; i < s->conf.conns_max; i++) {
		struct conn *c = &s->conns[i];

		if (c->state == CONN_FREE || c == but || c->proven ||
		    (with_body && c->rx.body == NULL) || c->since_ms + s->conf.grace_ms > now_ms)
			continue;
		if (least == NULL || progress(c) < progress(least) ||
		    (progress(c) == progress(least) && c->since_ms < least->since_ms))
			least = c;
	}
	return least;
}

static void interest_set(struct pl_push_server *s, struct conn *c, uint32_t interest)
{
	struct epoll_event event = {.events = interest, .data.ptr = c};

	if (interest != c->interest)
		(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
	c->interest = interest;
}

/* ---- writing ---- */

/* @return false: the peer is gone, or takes nothing for now. */
static bool flush(struct pl_push_server *s, struct conn *c)
{
	while (c->out_done < c->out_size) {
		ssize_t n = send(c->fd, c->out + c->out_done, c->out_size - c->out_done,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			c->out_done += (uint32_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			interest_set(s, c, EPOLLOUT);
			return false;
		} else if (errno != EINTR) {
			pl_push_conn_close(s, c);
			return false;
		}
	}
	c->out_size = 0;
	c->out_done = 0;
	c->late_ms = NEVER_MS;
	return true;
}

static void out_begin(struct pl_push_server *s, struct conn *c, uint32_t size, uint64_t now_ms)
{
	c->out_size = size;
	c->out_done = 0;
	c->late_ms = now_ms + s->conf.answer_ms;
}

void pl_push_conn_greet(struct pl_push_server *s, struct conn *c, uint64_t now_ms)
{
	struct pl_push_greeting g = {.segment_size_max = (uint32_t)PL_FEED_SEGMENT_SIZE_MAX};
	struct pl_intake_status status;

	pl_intake_status_get(s->in, &status);
	g.pos = status.pos;
	g.applied = status.applied;
	g.snapshot = status.snapshot;
	g.broken = status.broken;
	c->rx.stream_id = status.pos.stream_id;
	pl_push_greeting_write(c->out, &g);
	out_begin(s, c, PL_PUSH_GREETING_SIZE, now_ms);
}

static void answer(struct pl_push_server *s, struct conn *c, enum pl_intake_outcome outcome,
		   enum pl_feed_error error, uint64_t now_ms)
{
	struct pl_push_answer a = {.outcome = outcome, .error = error};
	struct pl_intake_status status;

	pl_intake_status_get(s->in, &status);
	a.pos = status.pos;
	a.applied = status.applied;
	pl_push_answer_write(c->out, &a);
	out_begin(s, c, PL_PUSH_ANSWER_SIZE, now_ms);
}

/* ---- reading ---- */

static void refuse(struct pl_push_server *s, struct conn *c, uint64_t now_ms)
{
	s->status.bad_cnt++;
	pl_intake_refused_count(s->in, PL_INTAKE_TCP, c->rx.error);
	answer(s, c, PL_INTAKE_REFUSED, c->rx.error, now_ms);
	c->state = CONN_LAST;
}

/* @return false: there is no memory for it yet. */
static bool body_begin(struct pl_push_server *s, struct conn *c, uint64_t now_ms)
{
	uint64_t size = c->rx.body_size;
	uint8_t *body;

	while (s->status.memory + size > s->conf.memory_max) {
		struct conn *least = pl_push_conn_least(s, now_ms, true, c);

		/* Who has brought nothing yet but a header takes it from nobody who has brought more
		 * but did not earn it. */
		if (least == NULL)
			return false;
		s->status.evicted_cnt++;
		pl_push_conn_close(s, least);
	}
	body = aligned_alloc(PL_CACHE_LINE,
			     (size + PL_CACHE_LINE - 1) / PL_CACHE_LINE * PL_CACHE_LINE);
	if (body == NULL)
		return false;
	s->status.memory += size;
	c->memory_wait = false;
	c->late_ms = now_ms + s->conf.head_ms + size * 1000 / s->conf.body_bytes_s_min;
	(void)pl_push_rx_body_set(&c->rx, body);
	return true;
}

static void take(struct pl_push_server *s, struct conn *c, uint64_t now_ms)
{
	struct pl_intake_answer a;

	(void)pl_intake_submit(s->in, c->rx.body, c->rx.body_size, PL_INTAKE_TCP, &a);
	body_free(s, c);
	pl_push_rx_next(&c->rx);
	c->segment = false;
	if (a.outcome == PL_INTAKE_STORED) {
		s->status.proven_cnt += !c->proven;
		c->proven = true;
		c->since_ms = now_ms;
	}
	s->intake_ms = now_ms + pl_intake_delay_ms(s->in);
	answer(s, c, a.outcome, a.error, now_ms);
}

/* @return false when there is nothing more to be read for now. */
static bool read_some(struct pl_push_server *s, struct conn *c, uint64_t now_ms)
{
	bool within = pl_push_rx_within(&c->rx);
	size_t room;
	uint8_t *to = pl_push_rx_room(&c->rx, &room);
	ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return false;
	if (n <= 0) { /* gone, or half-closed: a frame that was begun never ends */
		pl_push_conn_close(s, c);
		return false;
	}
	if (!within)
		c->late_ms = now_ms + s->conf.head_ms;
	switch (pl_push_rx_took(&c->rx, (size_t)n)) {
	case PL_PUSH_HEAD:
		c->memory_wait = !body_begin(s, c, now_ms);
		break;
	case PL_PUSH_SEGMENT:
		c->segment = true;
		c->late_ms = NEVER_MS; /* from here on it waits for us */
		break;
	case PL_PUSH_BAD:
		refuse(s, c, now_ms);
		break;
	case PL_PUSH_MORE:
	default:
		break;
	}
	return c->state == CONN_OPEN && !c->memory_wait && !c->segment;
}

/* It has been told; a close with bytes unread would take the answer back. */
static void drain(struct pl_push_server *s, struct conn *c)
{
	uint8_t rubbish[4096];
	ssize_t n = 1;

	for (uint32_t i = 0; i < 16 && n > 0; i++)
		n = recv(c->fd, rubbish, sizeof(rubbish), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		pl_push_conn_close(s, c);
}

void pl_push_conn_step(struct pl_push_server *s, struct conn *c, uint64_t now_ms)
{
	uint32_t before;

	if (c->out_size > 0 && !flush(s, c))
		return;
	if (c->state == CONN_OPEN && c->memory_wait)
		c->memory_wait = !body_begin(s, c, now_ms);
	if (c->state == CONN_OPEN && c->segment && now_ms >= s->intake_ms)
		take(s, c, now_ms);
	if (c->out_size > 0 && !flush(s, c))
		return;
	before = c->rx.body_got;
	while (c->state == CONN_OPEN && !c->memory_wait && !c->segment &&
	       c->rx.body_got - before < READ_AT_ONCE_MAX && read_some(s, c, now_ms))
		continue;
	if (c->state == CONN_FREE || (c->out_size > 0 && !flush(s, c)))
		return;
	if (c->state == CONN_LAST) {
		(void)shutdown(c->fd, SHUT_WR);
		c->state = CONN_DRAIN;
		c->late_ms = now_ms + DRAIN_MS;
	}
	if (c->state == CONN_DRAIN)
		drain(s, c);
	if (c->state != CONN_FREE)
		interest_set(s, c, c->memory_wait || c->segment ? 0 : EPOLLIN);
}
