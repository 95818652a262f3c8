/* SPDX-License-Identifier: BSD-3-Clause */
/* One thread that reads, writes and times out all connections, and never waits for one of them. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/pl_time.h"
#include "pl_ctl_pvt.h"

#define READ_SIZE 65536u /* bytes at a time, so that one client's flood leaves others their turn */

static void stat_add(struct pl_ctl_server *s, uint64_t *field)
{
	pthread_mutex_lock(&s->lock);
	++*field;
	pthread_mutex_unlock(&s->lock);
}

static void request_drop(struct pl_ctl_conn *c)
{
	if (c->payload != NULL)
		c->server->payloads_size -= c->request.payload_size;
	free(c->payload);
	json_decref(c->request.args);
	c->payload = NULL;
	c->payload_used = 0;
	memset(&c->request, 0, sizeof(c->request));
}

/* Not while a handler has it. */
static void conn_free(struct pl_ctl_conn *c)
{
	request_drop(c);
	if (c->fd >= 0)
		close(c->fd);
	free(c->out);
	free(c->in);
	free(c);
}

static void conn_remove(struct pl_ctl_server *s, uint32_t idx)
{
	conn_free(s->conns[idx]);
	s->conns[idx] = s->conns[--s->conn_cnt];
}

/* A reply without a handler, and the end: what follows it on the stream has lost its meaning. */
static void refuse(struct pl_ctl_conn *c, int rc, const char *error)
{
	struct pl_ctl_server *s = c->server;

	pthread_mutex_lock(&s->lock);
	s->stats.refused++;
	pl_ctl_out_reply(c, rc, NULL, error);
	pthread_mutex_unlock(&s->lock);
	c->closing = true;
	c->state = PL_CTL_WRITE;
	c->deadline_ms = pl_time_monotonic_ms() + s->conf.write_ms;
}

static const struct pl_ctl_command *command_find(const struct pl_ctl_server *s, const char *name)
{
	for (uint32_t i = 0; i < s->conf.command_cnt; i++)
		if (strcmp(s->conf.commands[i].name, name) == 0)
			return &s->conf.commands[i];
	return NULL;
}

/* @return false: refused. */
static bool payload_make(struct pl_ctl_conn *c)
{
	struct pl_ctl_server *s = c->server;
	uint32_t size = c->request.payload_size;
	char error[256];

	if (size == 0)
		return true;
	if (size > c->command->payload_size_max) {
		snprintf(error, sizeof(error), "%s takes at most %u bytes behind its line, not %u",
			 c->command->name, c->command->payload_size_max, size);
		refuse(c, -E2BIG, error);
		return false;
	}
	if (s->payloads_size + size > PL_CTL_PAYLOADS_SIZE) {
		refuse(c, -EAGAIN, "others are sending as much as there is room for: try again");
		return false;
	}
	if (posix_memalign((void **)&c->payload, 16, size) != 0) {
		c->payload = NULL;
		refuse(c, -ENOMEM, "no memory for what follows the line");
		return false;
	}
	s->payloads_size += size;
	return true;
}

static void request_run(struct pl_ctl_conn *c)
{
	stat_add(c->server, &c->server->stats.requests);
	c->state = PL_CTL_RUNNING;
	c->deadline_ms = UINT64_MAX;
	pl_ctl_lane_add(c);
}

/* Bytes that came with the line belong to the payload, and behind it to the next request. */
static void payload_take(struct pl_ctl_conn *c, size_t from)
{
	size_t want = c->request.payload_size - c->payload_used, have = c->in_used - from;
	size_t take = have < want ? have : want;

	if (take > 0)
		memcpy(c->payload + c->payload_used, c->in + from, take);
	c->payload_used += take;
	c->in_used = have - take;
	memmove(c->in, c->in + from + take, c->in_used);
}

/* @return true if the input held a whole line, and something came of it. */
static bool line_take(struct pl_ctl_conn *c)
{
	const char *end = memchr(c->in, '\n', c->in_used);
	char error[512], shown[PL_CTL_COMMAND_SIZE_MAX + 1];
	int rc;

	if (end == NULL) {
		if (c->in_used < PL_CTL_LINE_SIZE_MAX)
			return false;
		snprintf(error, sizeof(error), "a request's line has at most %u bytes",
			 PL_CTL_LINE_SIZE_MAX);
		refuse(c, -E2BIG, error);
		return true;
	}
	rc = pl_ctl_request_parse(c->in, (size_t)(end - c->in), &c->request, error, sizeof(error));
	if (rc != 0) {
		refuse(c, rc, error);
		return true;
	}
	c->command = command_find(c->server, c->request.command);
	if (c->command == NULL) {
		memcpy(shown, c->request.command, sizeof(shown));
		snprintf(error, sizeof(error), "there is no command \"%s\": \"help\" lists them",
			 shown);
		refuse(c, -ENOSYS, error);
		return true;
	}
	if (!payload_make(c))
		return true;
	payload_take(c, (size_t)(end - c->in) + 1);
	if (c->payload_used == c->request.payload_size) {
		request_run(c);
	} else {
		c->state = PL_CTL_READ_PAYLOAD;
		c->deadline_ms = pl_time_monotonic_ms() + c->server->conf.payload_ms;
	}
	return true;
}

/* @return false: the connection is over. */
static bool conn_read(struct pl_ctl_conn *c)
{
	ssize_t n;

	if (c->state == PL_CTL_READ_PAYLOAD) {
		size_t want = c->request.payload_size - c->payload_used;

		n = recv(c->fd, c->payload + c->payload_used, want < READ_SIZE ? want : READ_SIZE,
			 0);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		c->payload_used += (size_t)n;
		if (c->payload_used == c->request.payload_size)
			request_run(c);
		return true;
	}
	n = recv(c->fd, c->in + c->in_used, PL_CTL_LINE_SIZE_MAX - c->in_used, 0);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->in_used += (size_t)n;
	(void)line_take(c);
	return true;
}

/* Send what there is. @return false: the connection is over. */
static bool conn_write(struct pl_ctl_conn *c)
{
	struct pl_ctl_server *s = c->server;
	bool alive = true, all;
	ssize_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (c->out_sent < c->out_size) {
		n = send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent, MSG_NOSIGNAL);
		if (n > 0)
			c->out_sent += (size_t)n;
		else
			alive = errno == EAGAIN || errno == EINTR;
	}
	all = c->out_sent == c->out_size;
	if (all) {
		c->out_sent = c->out_size = 0;
	}
	if (all && c->state == PL_CTL_WRITE) {
		free(c->out); /* it may have been large */
		c->out = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (!alive || !all || c->state != PL_CTL_WRITE)
		return alive;
	if (c->closing)
		return false;
	/* The next request, which may be here already. */
	request_drop(c);
	c->state = PL_CTL_READ_LINE;
	c->since_ms = pl_time_monotonic_ms();
	c->deadline_ms = c->since_ms + s->conf.line_ms;
	(void)line_take(c);
	return true;
}

static struct pl_ctl_conn *conn_make(struct pl_ctl_server *s, int fd)
{
	struct pl_ctl_conn *c = calloc(1, sizeof(*c));
	struct ucred cred = {0};
	socklen_t size = sizeof(cred);

	if (c != NULL)
		c->in = malloc(PL_CTL_LINE_SIZE_MAX);
	if (c == NULL || c->in == NULL ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0) {
		if (c != NULL)
			free(c->in);
		free(c);
		return NULL;
	}
	c->fd = fd;
	c->server = s;
	c->peer = (struct pl_ctl_peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	c->state = PL_CTL_READ_LINE;
	c->since_ms = pl_time_monotonic_ms();
	c->deadline_ms = c->since_ms + s->conf.line_ms;
	atomic_init(&c->cancelled, false);
	return c;
}

/* The oldest that nobody works for. @return false if there is none. */
static bool evict_one(struct pl_ctl_server *s)
{
	uint32_t oldest = UINT32_MAX;

	for (uint32_t i = 0; i < s->conn_cnt; i++)
		if (s->conns[i]->state != PL_CTL_RUNNING &&
		    (oldest == UINT32_MAX || s->conns[i]->since_ms < s->conns[oldest]->since_ms))
			oldest = i;
	if (oldest == UINT32_MAX)
		return false;
	stat_add(s, &s->stats.evicted);
	conn_remove(s, oldest);
	return true;
}

static void accept_one(struct pl_ctl_server *s)
{
	struct pl_ctl_conn *c;
	int fd = accept4(s->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		/* Out of descriptors: one of ours makes room, or poll() would spin. */
		if ((errno == EMFILE || errno == ENFILE) && !evict_one(s))
			(void)poll(NULL, 0, 100);
		return;
	}
	stat_add(s, &s->stats.accepted);
	if (s->conn_cnt == s->conf.clients_max && !evict_one(s)) {
		static const char busy[] = "{\"ok\":false,\"error\":\"every client's request is "
					   "still worked on: try again\",\"code\":\"EAGAIN\"}\n";

		stat_add(s, &s->stats.refused);
		(void)!send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL);
		close(fd);
		return;
	}
	c = conn_make(s, fd);
	if (c == NULL)
		close(fd);
	else
		s->conns[s->conn_cnt++] = c;
}

/* What a handler has finished becomes a reply to write. */
static void conn_done(struct pl_ctl_conn *c)
{
	bool done;

	if (c->state != PL_CTL_RUNNING)
		return;
	pthread_mutex_lock(&c->server->lock);
	done = c->done;
	pthread_mutex_unlock(&c->server->lock);
	if (!done)
		return;
	c->state = PL_CTL_WRITE;
	c->deadline_ms = pl_time_monotonic_ms() + c->server->conf.write_ms;
}

/* @return false: it is over, and nobody works for it. */
static bool conn_step(struct pl_ctl_conn *c, short revents, uint64_t at_ms)
{
	bool alive = true;

	conn_done(c);
	if (c->fd < 0)
		return c->state == PL_CTL_RUNNING;
	if (c->state == PL_CTL_RUNNING) {
		if (revents & (POLLHUP | POLLERR))
			alive = false;
		else if (!conn_write(c))
			alive = false;
		if (!alive) {
			/* relaxed: see pl_ctl_cancelled(). */
			atomic_store_explicit(&c->cancelled, true, memory_order_relaxed);
			close(c->fd);
			c->fd = -1;
		}
		return true;
	}
	if ((revents & (POLLIN | POLLHUP | POLLERR)) &&
	    (c->state == PL_CTL_READ_LINE || c->state == PL_CTL_READ_PAYLOAD))
		alive = conn_read(c);
	if (alive && c->state == PL_CTL_WRITE)
		alive = conn_write(c);
	if (alive && c->state != PL_CTL_RUNNING && at_ms >= c->deadline_ms) {
		stat_add(c->server, &c->server->stats.late);
		alive = false;
	}
	return alive;
}

static short events_of(struct pl_ctl_conn *c)
{
	bool pending;

	if (c->state == PL_CTL_READ_LINE || c->state == PL_CTL_READ_PAYLOAD)
		return POLLIN;
	pthread_mutex_lock(&c->server->lock);
	pending = c->out_sent < c->out_size;
	pthread_mutex_unlock(&c->server->lock);
	return pending ? POLLOUT : 0;
}

/* How long poll() may sleep: to the next deadline. */
static int wait_ms(const struct pl_ctl_server *s)
{
	uint64_t at_ms = pl_time_monotonic_ms(), next_ms = UINT64_MAX;

	for (uint32_t i = 0; i < s->conn_cnt; i++)
		if (s->conns[i]->deadline_ms < next_ms)
			next_ms = s->conns[i]->deadline_ms;
	if (next_ms == UINT64_MAX)
		return -1;
	if (next_ms <= at_ms)
		return 0;
	return next_ms - at_ms > 60000 ? 60000 : (int)(next_ms - at_ms);
}

static bool stop_asked(struct pl_ctl_server *s)
{
	bool stop;

	pthread_mutex_lock(&s->lock);
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

static void *server_main(void *arg)
{
	struct pl_ctl_server *s = arg;
	struct pollfd *fds = calloc(s->conf.clients_max + 2u, sizeof(*fds));

	while (fds != NULL && !stop_asked(s)) {
		uint32_t cnt = s->conn_cnt;
		uint64_t at_ms, woken;

		fds[0] = (struct pollfd){.fd = s->wake_fd, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = s->listener.fd, .events = POLLIN};
		for (uint32_t i = 0; i < cnt; i++)
			fds[i + 2] = (struct pollfd){.fd = s->conns[i]->fd,
						     .events = events_of(s->conns[i])};
		(void)poll(fds, cnt + 2, wait_ms(s));
		if (fds[0].revents & POLLIN)
			(void)!read(s->wake_fd, &woken, sizeof(woken));
		at_ms = pl_time_monotonic_ms();
		/* From the end: removing one moves the last, which had its turn, to its place. */
		for (uint32_t i = cnt; i-- > 0;)
			if (!conn_step(s->conns[i], fds[i + 2].revents, at_ms))
				conn_remove(s, i);
		if (fds[1].revents & POLLIN)
			accept_one(s);
	}
	free(fds);
	return NULL;
}

static void defaults_set(struct pl_ctl_server_conf *c)
{
	c->clients_max = c->clients_max != 0 ? c->clients_max : PL_CTL_CLIENTS_MAX;
	c->line_ms = c->line_ms != 0 ? c->line_ms : PL_CTL_LINE_MS;
	c->payload_ms = c->payload_ms != 0 ? c->payload_ms : PL_CTL_PAYLOAD_MS;
	c->write_ms = c->write_ms != 0 ? c->write_ms : PL_CTL_WRITE_MS;
}

int pl_ctl_server_start(const struct pl_ctl_server_conf *conf, struct pl_ctl_server **out,
			char *error, size_t error_size)
{
	struct pl_ctl_server *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	*out = NULL;
	if (s == NULL) {
		snprintf(error, error_size, "no memory for the control socket");
		return rc;
	}
	s->conf = *conf;
	defaults_set(&s->conf);
	s->listener = (struct pl_ctl_listener){.fd = -1, .lock_fd = -1, .dir_fd = -1};
	atomic_init(&s->stopping, false);
	pthread_mutex_init(&s->lock, NULL);
	s->conns = calloc(s->conf.clients_max, sizeof(*s->conns)); /* NOLINT: pointers */
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->conns == NULL || s->wake_fd < 0) {
		snprintf(error, error_size, "no memory for the control socket");
		goto fail;
	}
	rc = pl_ctl_listen(&s->conf, &s->listener, error, error_size);
	if (rc != 0)
		goto fail;
	rc = pl_ctl_lanes_start(s);
	if (rc == 0) {
		rc = s->conf.thread_create != NULL
			     ? -s->conf.thread_create(&s->thread, "pl-desk", server_main, s)
			     : -pthread_create(&s->thread, NULL, server_main, s);
		s->running = rc == 0;
	}
	if (rc != 0) {
		snprintf(error, error_size, "cannot start the control socket's threads: %s",
			 strerror(-rc));
		goto fail;
	}
	*out = s;
	return 0;
fail:
	pl_ctl_server_stop(s);
	return rc;
}

void pl_ctl_server_stop(struct pl_ctl_server *s)
{
	if (s == NULL)
		return;
	/* relaxed: see pl_ctl_cancelled(). */
	atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
	pl_ctl_lanes_stop(s);
	if (s->running) {
		pl_ctl_wake(s);
		pthread_join(s->thread, NULL);
	}
	/* What was finished meanwhile is sent as far as the sockets take it at once. */
	for (uint32_t i = 0; i < s->conn_cnt; i++) {
		struct pl_ctl_conn *c = s->conns[i];

		if (c->fd >= 0 && c->out_sent < c->out_size)
			(void)!send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent,
				    MSG_NOSIGNAL);
		conn_free(c);
	}
	pl_ctl_unlisten(&s->listener);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	pthread_mutex_destroy(&s->lock);
	free(s->conns);
	free(s);
}

void pl_ctl_server_stats(struct pl_ctl_server *s, struct pl_ctl_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	pthread_mutex_unlock(&s->lock);
}
