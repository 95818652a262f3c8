/* SPDX-License-Identifier: BSD-3-Clause */
/* The lanes on which handlers run, and what they write. */
#include <errno.h>
#include <unistd.h>

#include "pl_ctl_pvt.h"

/* The call that a handler sees is the first member, so that its functions find the rest. */
struct running {
	struct pl_ctl_call call;
	struct pl_ctl_conn *conn;
};

void pl_ctl_wake(struct pl_ctl_server *s)
{
	/* A full counter has woken it already. */
	(void)!write(s->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
}

bool pl_ctl_out_add(struct pl_ctl_conn *c, json_t *line, size_t size_max)
{
	size_t size = json_dumpb(line, NULL, 0, JSON_COMPACT);
	char *out;

	if (size == 0 || c->out_size - c->out_sent + size + 1 > size_max)
		return false;
	if (c->out_sent == c->out_size)
		c->out_sent = c->out_size = 0;
	out = realloc(c->out, c->out_size + size + 1);
	if (out == NULL)
		return false;
	c->out = out;
	(void)json_dumpb(line, out + c->out_size, size, JSON_COMPACT);
	c->out_size += size;
	out[c->out_size++] = '\n';
	return true;
}

static json_t *failure(int rc, const char *error)
{
	const char *code = strerrorname_np(-rc);

	return json_pack("{s:b, s:o, s:s}", "ok", 0, "error",
			 pl_ctl_text(error[0] != '\0' ? error : strerror(-rc)), "code",
			 code != NULL ? code : "EIO");
}

void pl_ctl_out_reply(struct pl_ctl_conn *c, int rc, json_t *result, const char *error)
{
	json_t *line = rc == 0 ? json_pack("{s:b}", "ok", 1) : failure(rc, error);

	/* What it has not read of the progress does not stand in the reply's way. */
	if (result != NULL || rc == 0)
		(void)json_object_set(line, "result", result != NULL ? result : json_null());
	if (!pl_ctl_out_add(c, line, PL_CTL_REPLY_SIZE_MAX + PL_CTL_PROGRESS_SIZE)) {
		json_decref(line);
		line = failure(-EMSGSIZE, "the answer is too large: ask for less of it");
		if (!pl_ctl_out_add(c, line, SIZE_MAX))
			c->closing = true; /* no memory at all: it reads an end */
	}
	json_decref(line);
	c->done = true;
}

void pl_ctl_progress(const struct pl_ctl_call *call, json_t *progress)
{
	struct pl_ctl_conn *c = ((const struct running *)call)->conn;
	json_t *line = json_pack("{s:o}", "progress", progress);

	if (line == NULL)
		return;
	pthread_mutex_lock(&c->server->lock);
	(void)pl_ctl_out_add(c, line, PL_CTL_PROGRESS_SIZE);
	pthread_mutex_unlock(&c->server->lock);
	json_decref(line);
	pl_ctl_wake(c->server);
}

bool pl_ctl_cancelled(const struct pl_ctl_call *call)
{
	const struct pl_ctl_conn *c = ((const struct running *)call)->conn;

	/* relaxed, both: a hint to end soon; nothing is read under it. */
	return atomic_load_explicit(&c->cancelled, memory_order_relaxed) ||
	       atomic_load_explicit(&c->server->stopping, memory_order_relaxed);
}

static void run_one(struct pl_ctl_lane *lane, struct pl_ctl_conn *c)
{
	struct running r = {
		.call = {.command = c->command->name,
			 .args = c->request.args,
			 .payload = c->payload,
			 .payload_size = c->request.payload_size,
			 .peer = c->peer,
			 .error = lane->error,
			 .error_size = sizeof(lane->error)},
		.conn = c,
	};
	int rc;

	lane->error[0] = '\0';
	rc = c->command->handler(lane->server->conf.ctx, &r.call);
	pthread_mutex_lock(&lane->server->lock);
	pl_ctl_out_reply(c, rc, r.call.result, lane->error);
	pthread_mutex_unlock(&lane->server->lock);
	json_decref(r.call.result);
	pl_ctl_wake(lane->server);
}

static void *lane_main(void *arg)
{
	struct pl_ctl_lane *lane = arg;
	struct pl_ctl_server *s = lane->server;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct pl_ctl_conn *c = lane->first;

		if (s->stop)
			break;
		if (c == NULL) {
			pthread_cond_wait(&lane->wake, &s->lock);
			continue;
		}
		lane->first = c->next;
		if (lane->first == NULL)
			lane->last = NULL;
		pthread_mutex_unlock(&s->lock);
		run_one(lane, c);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void pl_ctl_lane_add(struct pl_ctl_conn *c)
{
	struct pl_ctl_lane *lane = &c->server->lanes[c->command->lane];

	pthread_mutex_lock(&c->server->lock);
	c->next = NULL;
	c->done = false;
	if (lane->last != NULL)
		lane->last->next = c;
	else
		lane->first = c;
	lane->last = c;
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&c->server->lock);
}

static int thread_start(const struct pl_ctl_server_conf *conf, pthread_t *thread, const char *name,
			void *(*main_fn)(void *), void *arg)
{
	if (conf->thread_create != NULL)
		return conf->thread_create(thread, name, main_fn, arg);
	return pthread_create(thread, NULL, main_fn, arg);
}

int pl_ctl_lanes_start(struct pl_ctl_server *s)
{
	static const char *const names[PL_CTL_LANE_CNT] = {"pl-desk-quick", "pl-desk-slow",
							   "pl-desk-change"};
	int rc = 0;

	for (size_t i = 0; i < PL_ARRAY_CNT(s->lanes) && rc == 0; i++) {
		struct pl_ctl_lane *lane = &s->lanes[i];

		lane->server = s;
		pthread_cond_init(&lane->wake, NULL);
		rc = -thread_start(&s->conf, &lane->thread, names[i], lane_main, lane);
		lane->running = rc == 0;
	}
	return rc;
}

void pl_ctl_lanes_stop(struct pl_ctl_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	for (size_t i = 0; i < PL_ARRAY_CNT(s->lanes); i++)
		if (s->lanes[i].running)
			pthread_cond_signal(&s->lanes[i].wake);
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < PL_ARRAY_CNT(s->lanes); i++) {
		if (!s->lanes[i].running)
			continue;
		pthread_join(s->lanes[i].thread, NULL);
		pthread_cond_destroy(&s->lanes[i].wake);
		s->lanes[i].running = false;
	}
}
