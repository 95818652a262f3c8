/* SPDX-License-Identifier: BSD-3-Clause */
#include "intake.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "base/pl_time.h"
#include "say.h"
#include "wire/pl_wire.h"

bool pl_intake_thread_flags(struct pl_intake_thread *t, struct pl_intake_status *out)
{
	bool stopped, unsure;

	pl_intake_status_get(t->in, out);
	/* relaxed: a state; nothing is read because of it. */
	stopped = out->broken || out->unstored || out->behind ||
		  atomic_load_explicit(&t->dir_stuck, memory_order_relaxed);
	/* What was lacking is stored before it is in the table, and the loader has not heard of it
	 * yet: until it has it all there is no moment without a flag. */
	unsure = stopped || out->applied < out->lacked_to;
	/* INTAKE-PUB release: pairs FLAGS-GET. Two threads may store out of turn; the next look,
	 * in PL_INTAKE_DIR_POLL_MS at most, puts that right. */
	atomic_store_explicit(&t->live->intake_flags, unsure ? PL_FLAG_INTAKE : 0,
			      memory_order_release);
	return stopped;
}

static void tell(struct pl_intake_thread *t, const struct pl_intake_dir_status *s)
{
	if (strcmp(s->text, t->told) == 0)
		return;
	if (s->text[0] != '\0')
		pl_say("intake: %s: %s. It stays there; absent certificates are UNKNOWN",
		       t->dir_path, s->text);
	else
		pl_say("intake: %s goes on", t->dir_path);
	pthread_mutex_lock(&t->lock);
	snprintf(t->told, sizeof(t->told), "%s", s->text);
	pthread_mutex_unlock(&t->lock);
}

void pl_intake_thread_status(struct pl_intake_thread *t, struct pl_intake_status *out)
{
	pl_intake_status_get(t->in, out);
	if (out->broken || out->unstored || out->behind)
		return;
	pthread_mutex_lock(&t->lock);
	if (t->told[0] != '\0') {
		out->behind = true;
		snprintf(out->text, sizeof(out->text), "%s", t->told);
	}
	pthread_mutex_unlock(&t->lock);
}

static uint32_t dir_work(struct pl_intake_thread *t)
{
	const struct pl_intake_dir_status *s;
	uint32_t wait_ms;

	if (t->dir == NULL)
		return PL_INTAKE_DIR_POLL_MS;
	wait_ms = pl_intake_dir_work(t->dir);
	s = pl_intake_dir_status_get(t->dir);
	tell(t, s);
	atomic_store_explicit(&t->dir_stuck, s->stuck, memory_order_relaxed); /* see above */
	/* DIR-IDLE release: what was taken before is in the intake's status. Pairs: DIR-IDLE acquire
	 * in control. */
	atomic_store_explicit(&t->dir_idle, s->idle, memory_order_release);
	return wait_ms;
}

static uint32_t server_work(struct pl_intake_thread *t)
{
	uint32_t wait_ms;

	if (t->server == NULL)
		return PL_INTAKE_DIR_POLL_MS;
	wait_ms = pl_push_server_work(t->server);
	pthread_mutex_lock(&t->lock);
	pl_push_server_status_get(t->server, &t->server_status);
	pthread_mutex_unlock(&t->lock);
	return wait_ms;
}

bool pl_intake_thread_server(struct pl_intake_thread *t, struct pl_push_server_status *out)
{
	pthread_mutex_lock(&t->lock);
	*out = t->server_status;
	pthread_mutex_unlock(&t->lock);
	return t->server != NULL;
}

static void *intake_main(void *ctx)
{
	struct pl_intake_thread *t = ctx;
	struct pollfd fds[] = {
		{.fd = t->stop_fd, .events = POLLIN},
		{.fd = t->dir != NULL ? pl_intake_dir_fd(t->dir) : -1, .events = POLLIN},
		{.fd = t->server != NULL ? pl_push_server_fd(t->server) : -1, .events = POLLIN},
	};

	struct pl_intake_status status;
	uint64_t dir_due_ms = 0;

	/* relaxed: a flag to end soon; nothing is read under it. */
	while (!atomic_load_explicit(&t->stop, memory_order_relaxed)) {
		uint64_t now_ms = pl_time_monotonic_ms(), wait_ms;

		/* Listing a directory is too much to do for each segment that comes another way. */
		if (now_ms >= dir_due_ms || fds[1].revents & POLLIN)
			dir_due_ms = now_ms + dir_work(t);
		wait_ms = server_work(t);
		pl_intake_thread_flags(t, &status);
		if (dir_due_ms < now_ms + wait_ms)
			wait_ms = dir_due_ms > now_ms ? dir_due_ms - now_ms : 0;
		if (wait_ms > 0)
			(void)poll(fds, PL_ARRAY_CNT(fds), (int)wait_ms);
		else
			fds[1].revents = 0;
	}
	return NULL;
}

int pl_intake_thread_open(struct pl_intake_thread *t, const struct pl_config *c,
			  struct pl_live *live, char *error, size_t error_size)
{
	const struct pl_key *authority = &c->authority->key[0];
	struct pl_intake_conf conf = {.store_path = c->site.feed_store_dir,
				      .stream_id = authority->stream_id,
				      .certs_per_s_max = c->site.feed_certs_per_s_max};
	struct pl_intake_status status;
	int ret;

	memset(t, 0, sizeof(*t));
	t->stop_fd = -1;
	t->live = live;
	PL_CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
	memcpy(conf.pubkey, authority->bytes, PL_FEED_PUBKEY_SIZE);
	ret = pl_intake_open(&conf, &t->in, error, error_size);
	if (ret != 0)
		return ret;
	pl_intake_status_get(t->in, &status);
	if (status.note[0] != '\0')
		pl_say("intake: %s: %s", conf.store_path, status.note);
	if (c->site.feed_listen.ss_family != AF_UNSPEC) {
		struct pl_push_server_conf server;

		pl_push_server_conf_default(&server);
		server.listen = c->site.feed_listen;
		ret = pl_push_server_open(t->in, &server, &t->server, error, error_size);
	}
	if (ret != 0 || c->site.feed_dir[0] == '\0') {
		atomic_init(&t->dir_idle, true);
		return ret;
	}
	t->dir_path = c->site.feed_dir;
	ret = pl_intake_dir_open(t->in, t->dir_path, &t->dir, error, error_size);
	if (ret == 0 && pl_intake_dir_fd(t->dir) < 0)
		pl_say("intake: %s cannot be watched: it is looked at every %u s", t->dir_path,
		       PL_INTAKE_DIR_POLL_MS / 1000);
	return ret;
}

int pl_intake_thread_start(struct pl_intake_thread *t, char *error, size_t error_size)
{
	int ret;

	t->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = t->stop_fd < 0
		      ? -errno
		      : -rte_ctrl_thread_create(&t->thread, "pl-intake", NULL, intake_main, t);
	if (ret != 0)
		snprintf(error, error_size, "cannot start the intake: %s", strerror(-ret));
	t->running = ret == 0;
	return ret;
}

void pl_intake_thread_stop(struct pl_intake_thread *t)
{
	if (!t->running)
		return;
	/* relaxed: see intake_main(). */
	atomic_store_explicit(&t->stop, true, memory_order_relaxed);
	(void)!write(t->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
	pthread_join(t->thread, NULL);
	t->running = false;
}

void pl_intake_thread_close(struct pl_intake_thread *t)
{
	if (t->in == NULL)
		return;
	pl_intake_thread_stop(t);
	if (t->stop_fd >= 0)
		close(t->stop_fd);
	pl_push_server_close(t->server);
	pl_intake_dir_close(t->dir);
	pl_intake_close(t->in);
	t->in = NULL;
}
