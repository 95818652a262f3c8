/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "intake/pl_intake_pvt.h"
#include "intake/pl_push_server_pvt.h"

#define BACKLOG         128
#define ACCEPTS_AT_ONCE 16u
#define EVENTS_AT_ONCE  64
#define WORK_MS         1000u /* deadlines are looked at this often at least */
#define ACCEPT_RETRY_MS 1000u /* out of descriptors */
#define SNDBUF_SIZE     16384
#define RCVBUF_SIZE     (512 << 10)
#define KEEPALIVE_S     60

void pl_push_server_conf_default(struct pl_push_server_conf *conf)
{
	*conf = (struct pl_push_server_conf){
		.conns_max = 64,
		.grace_ms = 250,
		.head_ms = 10000,
		.body_bytes_s_min = 32 * 1024,
		.answer_ms = 10000,
		.memory_max = 4 * PL_FEED_SEGMENT_SIZE_MAX,
	};
}

static uint64_t now_ms(void)
{
	return pl_intake_now_ns() / 1000000u;
}

/* In epoll or not: level-triggered, it would wake us for connections that have to wait. */
static void listening_set(struct pl_push_server *s, bool on)
{
	struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.ptr = NULL};

	if (on != s->listening)
		(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->listen_fd, &event);
	s->listening = on;
}

static int listen_open(struct pl_push_server *s, char *error, size_t error_size)
{
	const struct sockaddr *addr = (const struct sockaddr *)&s->conf.listen;
	bool ip6 = s->conf.listen.ss_family == AF_INET6;
	socklen_t size = ip6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	int one = 1, out_size = SNDBUF_SIZE, in_size = RCVBUF_SIZE, rc;

	s->listen_fd =
		socket(ip6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	/* The kernel's buffers for a connection are bounded, too: answers are short, and a peer that
	 * has to wait for its turn waits on its own side. Inherited by what is accepted. */
	(void)setsockopt(s->listen_fd, SOL_SOCKET, SO_SNDBUF, &out_size, sizeof(out_size));
	(void)setsockopt(s->listen_fd, SOL_SOCKET, SO_RCVBUF, &in_size, sizeof(in_size));
	if (s->listen_fd >= 0 && s->epoll_fd >= 0 &&
	    setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    bind(s->listen_fd, addr, size) == 0 && listen(s->listen_fd, BACKLOG) == 0 &&
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &event) == 0) {
		s->listening = true;
		return 0;
	}
	rc = -errno;
	if (getnameinfo(addr, size, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		host[0] = port[0] = '\0';
	snprintf(error, error_size, "[feed] listen: %s port %s: %s%s", host, port, strerror(-rc),
		 rc == -EADDRNOTAVAIL ? ": give it an address of this machine's own network"
		 : rc == -EADDRINUSE  ? ": another program has it, choose another port"
				      : "");
	return rc;
}

int pl_push_server_open(struct pl_intake *in, const struct pl_push_server_conf *conf,
			struct pl_push_server **out, char *error, size_t error_size)
{
	struct pl_push_server *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	PL_CHECK(conf->conns_max >= 1 && conf->conns_max <= PL_PUSH_CONNS_MAX &&
		 conf->memory_max >= PL_FEED_SEGMENT_SIZE_MAX && conf->body_bytes_s_min > 0);
	if (s != NULL) {
		s->in = in;
		s->conf = *conf;
		s->listen_fd = s->epoll_fd = -1;
		s->conns = calloc(conf->conns_max, sizeof(*s->conns));
	}
	if (s == NULL || s->conns == NULL)
		snprintf(error, error_size, "[feed] listen: out of memory");
	else
		rc = listen_open(s, error, error_size);
	if (rc != 0) {
		pl_push_server_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void pl_push_server_close(struct pl_push_server *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; s->conns != NULL && i < s->conf.conns_max; i++)
		if (s->conns[i].state != CONN_FREE)
			pl_push_conn_close(s, &s->conns[i]);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	free(s->conns);
	free(s);
}

int pl_push_server_fd(const struct pl_push_server *s)
{
	return s->epoll_fd;
}

uint16_t pl_push_server_port(const struct pl_push_server *s)
{
	struct sockaddr_storage addr = {0};
	socklen_t size = sizeof(addr);

	if (getsockname(s->listen_fd, (struct sockaddr *)&addr, &size) != 0)
		return 0;
	return ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port
						: ((struct sockaddr_in *)&addr)->sin_port);
}

void pl_push_server_status_get(const struct pl_push_server *s, struct pl_push_server_status *out)
{
	*out = s->status;
}

/* A free place, perhaps one that is made. NULL: not now. */
static struct conn *place(struct pl_push_server *s, uint64_t now)
{
	struct conn *least, *oldest = NULL;

	for (uint32_t i = 0; i < s->conf.conns_max; i++)
		if (s->conns[i].state == CONN_FREE)
			return &s->conns[i];
	least = pl_push_conn_least(s, now, false, NULL);
	if (least == NULL && s->status.proven_cnt == s->conf.conns_max) {
		/* All have earned their place: it goes to whoever has been silent longest. */
		for (uint32_t i = 0; i < s->conf.conns_max; i++)
			if (oldest == NULL || s->conns[i].since_ms < oldest->since_ms)
				oldest = &s->conns[i];
		least = oldest;
	}
	if (least == NULL)
		return NULL;
	s->status.evicted_cnt++;
	pl_push_conn_close(s, least);
	return least;
}

static void conn_begin(struct pl_push_server *s, struct conn *c, int fd, uint64_t now)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	int one = 1, idle_s = KEEPALIVE_S;

	memset(c, 0, sizeof(*c));
	c->state = CONN_OPEN;
	c->fd = fd;
	c->interest = EPOLLIN;
	c->since_ms = now;
	c->late_ms = NEVER_MS;
	s->status.conn_cnt++;
	s->status.accepted_cnt++;
	/* A peer whose machine is gone says nothing, either: the kernel finds out. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		pl_push_conn_close(s, c);
		return;
	}
	pl_push_conn_greet(s, c, now);
	pl_push_conn_step(s, c, now);
}

static void accept_all(struct pl_push_server *s, uint64_t now)
{
	for (uint32_t i = 0; i < ACCEPTS_AT_ONCE; i++) {
		struct pollfd waiting = {.fd = s->listen_fd, .events = POLLIN};
		struct conn *c;
		int fd;

		/* Nobody loses a place to a newcomer who is not there. */
		if (poll(&waiting, 1, 0) != 1)
			break;
		c = place(s, now);
		if (c == NULL) {
			s->accept_ms = now + s->conf.grace_ms / 4 + 1;
			break;
		}
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			conn_begin(s, c, fd, now);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			s->accept_ms = now + ACCEPT_RETRY_MS;
		break;
	}
}

/* Who is late, who waited for memory or for the rate; in how many ms to look again. */
static uint32_t look_round(struct pl_push_server *s, uint64_t now)
{
	uint64_t wait_ms = WORK_MS;

	for (uint32_t i = 0; i < s->conf.conns_max; i++) {
		struct conn *c = &s->conns[i];

		if (c->state == CONN_FREE)
			continue;
		if (c->memory_wait || (c->segment && now >= s->intake_ms))
			pl_push_conn_step(s, c, now);
		if (c->state == CONN_FREE)
			continue;
		if (c->memory_wait) /* for us, not we for it */
			c->late_ms = now + s->conf.head_ms;
		if (c->late_ms <= now) {
			s->status.late_cnt += c->state != CONN_DRAIN;
			pl_push_conn_close(s, c);
			continue;
		}
		if (c->late_ms - now < wait_ms)
			wait_ms = c->late_ms - now;
		if (c->memory_wait && wait_ms > MEMORY_WAIT_MS)
			wait_ms = MEMORY_WAIT_MS;
		if (c->segment && s->intake_ms < now + wait_ms)
			wait_ms = s->intake_ms > now ? s->intake_ms - now : 0;
	}
	if (!s->listening && s->accept_ms < now + wait_ms)
		wait_ms = s->accept_ms > now ? s->accept_ms - now : 0;
	return (uint32_t)wait_ms;
}

uint32_t pl_push_server_work(struct pl_push_server *s)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int cnt = epoll_wait(s->epoll_fd, events, EVENTS_AT_ONCE, 0);
	uint64_t now = now_ms();
	bool newcomers = false;
	uint32_t wait_ms;

	for (int i = 0; i < cnt; i++) {
		struct conn *c = events[i].data.ptr;

		if (c == NULL)
			newcomers = true;
		else if (c->state == CONN_FREE) /* closed for another's sake */
			continue;
		/* Gone while it waited for us; epoll would say so for ever. */
		else if (c->interest == 0 && events[i].events & (EPOLLHUP | EPOLLERR))
			pl_push_conn_close(s, c);
		else
			pl_push_conn_step(s, c, now);
	}
	/* Last: a place that is free now was somebody's, whose events are done with. */
	if (newcomers || (!s->listening && now >= s->accept_ms)) {
		s->accept_ms = 0;
		accept_all(s, now);
	}
	listening_set(s, s->accept_ms <= now);
	wait_ms = look_round(s, now_ms());
	return cnt == EVENTS_AT_ONCE ? 0 : wait_ms;
}
