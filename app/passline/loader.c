/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "loader.h"
#include "ready.h"

#define BATCH_CNT        512u
#define BLOCKED_WAIT_US  1000u
#define BLOCKED_WAIT_MAX 1000u /* a worker that passes no quiescent point in a second is stuck */

static bool stopping(const struct pl_loader *l)
{
	/* relaxed: a flag to end soon; nothing is read under it. */
	return atomic_load_explicit(&l->stop, memory_order_relaxed);
}

/* Removed slots are used again once every worker has passed: that takes microseconds. A new
 * certificate that finds no room is passed over, and only that: the revocation behind it needs
 * none. */
static int put_all(struct pl_loader *l, size_t cnt)
{
	const struct timespec ts = {.tv_nsec = BLOCKED_WAIT_US * 1000};
	uint32_t waits = 0;
	size_t at = 0;

	while (at < cnt) {
		size_t done = 0;
		int ret = pl_table_put_many(l->table, l->batch + at, cnt - at, &done);

		at += done;
		if (ret >= 0)
			break;
		if (ret == -ENOSPC) {
			l->table_full = true;
			at++;
			continue;
		}
		if (ret != -EAGAIN || ++waits > BLOCKED_WAIT_MAX || stopping(l))
			return ret;
		(void)nanosleep(&ts, NULL);
	}
	return 0;
}

/* The table and what it says of itself: a process that dies now is followed by one that goes on
 * after this segment; one that died before applies it again, which changes nothing. */
static void position_set(struct pl_loader *l, const struct pl_feed_segment *seg)
{
	union pl_table_position at = {
		.pos = {.stream_id = seg->header.stream_id,
			.sequence = seg->header.sequence,
			.as_of = seg->header.as_of}
        };

	memcpy(at.pos.hash, seg->hash, sizeof(at.pos.hash));
	pl_table_position_set(l->table, &at);
}

/* pl_feed_apply_fn: records in their order, runs of puts as batches. A segment that fails half way
 * is applied again from its start; every record of it may be repeated. */
static int apply(void *ctx, const struct pl_feed_segment *seg)
{
	struct pl_loader *l = ctx;
	uint32_t record_cnt = seg->header.record_cnt;
	size_t cnt = 0;
	int ret = 0;

	for (uint32_t i = 0; i < record_cnt && ret == 0; i++) {
		const struct pl_feed_record *r = &seg->records[i];

		if (r->op == PL_FEED_PUT) {
			l->batch[cnt].id = r->cert_id;
			l->batch[cnt++].facts = r->facts;
			if (cnt < BATCH_CNT)
				continue;
		}
		ret = put_all(l, cnt);
		cnt = 0;
		if (ret == 0 && r->op == PL_FEED_REMOVE) {
			ret = pl_table_remove(l->table, r->cert_id);
			if (ret == -ENOENT) /* absent already, as wanted */
				ret = 0;
		}
		if (stopping(l))
			return -ECANCELED;
	}
	if (ret == 0)
		ret = put_all(l, cnt);
	if (ret != 0)
		return ret;
	/* A table that lacks certificates does not say that it holds their segment: the next start,
	 * with more room, applies it again. */
	if (!l->table_full)
		position_set(l, seg);
	/* relaxed, all three: figures for humans. */
	atomic_fetch_add_explicit(&l->status.record_cnt, record_cnt, memory_order_relaxed);
	atomic_fetch_add_explicit(&l->status.segment_cnt, 1, memory_order_relaxed);
	atomic_store_explicit(&l->status.sequence, seg->header.sequence, memory_order_relaxed);
	/* ASOF-PUB release: the segment is in the table. Pairs: ASOF-GET. */
	atomic_store_explicit(&l->live->as_of, (uint32_t)seg->header.as_of, memory_order_release);
	return 0;
}

static void tell_refusal(struct pl_loader *l, enum pl_feed_error e,
			 const struct pl_feed_report *report)
{
	char text[sizeof(l->refusal)];

	if (e == PL_FEED_OK) {
		if (l->refusal[0] != '\0')
			pl_say("feed goes on: segment %" PRIu64 " applied", l->pos.sequence);
		l->refusal[0] = '\0';
		return;
	}
	snprintf(text, sizeof(text), "%s", report->text);
	if (strcmp(text, l->refusal) == 0)
		return;
	memcpy(l->refusal, text, sizeof(text));
	pl_say("feed %s: %s. The table stays as it is; absent certificates are UNKNOWN",
	       l->dir_path, text); /* the text begins with the segment's name */
}

static void tell_full(struct pl_loader *l)
{
	if (!l->table_full || l->full_told)
		return;
	l->full_told = true;
	pl_say("the table is full, new certificates find no room in it and absent ones are "
	       "UNKNOWN: "
	       "raise 'capacity' in [table] and restart");
}

/* Read what is there, then publish what that amounts to. */
static void read_feed(struct pl_loader *l)
{
	struct pl_feed_report report;
	uint32_t flags = 0;
	enum pl_feed_error e;

	e = pl_feed_store_read(l->store, &l->pos, apply, l, &report);
	if (stopping(l))
		return;
	if (e != PL_FEED_OK) {
		flags |= PL_FLAG_INTAKE;
		/* relaxed: figures for humans. */
		atomic_fetch_add_explicit(&l->status.refused_cnt, 1, memory_order_relaxed);
	}
	atomic_store_explicit(&l->status.refused, (uint32_t)e, memory_order_relaxed);
	if (l->table_full)
		flags |= PL_FLAG_TABLE_FULL;
	/* Nothing at all is not an empty feed: it is a feed that has not come yet. */
	if (l->pos.sequence == 0)
		flags |= PL_FLAG_LOADING;
	pl_intake_applied_set(l->intake, l->pos.sequence);
	tell_refusal(l, e, &report);
	tell_full(l);
	/* LOAD-PUB release: all that was read is in the table. Pairs: FLAGS-GET. */
	atomic_store_explicit(&l->live->feed_flags, flags, memory_order_release);
}

/* Until something was renamed or made in the directory, or it is time to look anyway.
 * @return false to stop. */
static bool wait_for_change(struct pl_loader *l)
{
	struct pollfd fds[] = {
		{.fd = l->stop_fd,              .events = POLLIN},
		{.fd = l->watch_fd,             .events = POLLIN},
		{.fd = pl_intake_fd(l->intake), .events = POLLIN},
	};
	char events[4096];

	(void)poll(fds, PL_ARRAY_CNT(fds), PL_LOADER_POLL_MS);
	if (stopping(l))
		return false;
	/* What happened does not matter, only that something did. */
	if (fds[1].revents & POLLIN)
		while (read(l->watch_fd, events, sizeof(events)) > 0)
			continue;
	if (fds[2].revents & POLLIN)
		(void)!read(fds[2].fd, events, sizeof(uint64_t));
	return true;
}

static void *loader_main(void *ctx)
{
	struct pl_loader *l = ctx;

	do {
		read_feed(l);
	} while (!stopping(l) && wait_for_change(l));
	return NULL;
}

/* A table that outlived its process knows how far it got; pl_table_open() has seen that it is of
 * this feed. */
static void resume(struct pl_loader *l)
{
	union pl_table_position at;

	pl_table_position_get(l->table, &at);
	if (at.pos.sequence == 0)
		return;
	l->pos = at.pos;
	pl_say("table holds the feed up to segment %" PRIu64 " already", at.pos.sequence);
	/* ASOF-PUB release: see apply(). */
	atomic_store_explicit(&l->live->as_of, (uint32_t)at.pos.as_of, memory_order_release);
	/* relaxed: a figure for humans. */
	atomic_store_explicit(&l->status.sequence, at.pos.sequence, memory_order_relaxed);
}

int pl_loader_start(struct pl_loader *l, const struct pl_config *c, struct pl_intake *intake,
		    struct pl_table *table, struct pl_live *live, char *error, size_t error_size)
{
	const struct pl_key *authority = &c->authority->key[0];
	struct pl_feed_store_conf conf = {.dir_path = c->site.feed_store_dir};
	int ret;

	memset(l, 0, sizeof(*l));
	l->intake = intake;
	l->table = table;
	l->live = live;
	l->dir_path = c->site.feed_store_dir;
	l->pos.stream_id = authority->stream_id;
	memcpy(conf.pubkey, authority->bytes, PL_FEED_PUBKEY_SIZE);
	l->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	l->batch = calloc(BATCH_CNT, sizeof(*l->batch));
	if (l->stop_fd < 0 || l->watch_fd < 0 || l->batch == NULL) {
		snprintf(error, error_size, "cannot set up the loader: %s", strerror(errno));
		ret = -ENOMEM;
		goto fail;
	}
	ret = pl_feed_store_open(&conf, &l->store, error, error_size);
	if (ret != 0)
		goto fail;
	/* Before the first reading, so that nothing falls between. Without a watch (a file system
	 * that has none, or the limit on watches) the directory is still looked at now and then. */
	if (inotify_add_watch(l->watch_fd, c->site.feed_store_dir,
			      IN_MOVED_TO | IN_CREATE | IN_CLOSE_WRITE) < 0)
		pl_say("feed %s cannot be watched (%s): it is read every %u s",
		       c->site.feed_store_dir, strerror(errno), PL_LOADER_POLL_MS / 1000);
	resume(l);
	ret = -rte_ctrl_thread_create(&l->thread, "pl-loader", NULL, loader_main, l);
	if (ret != 0) {
		snprintf(error, error_size, "cannot start the loader: %s", strerror(-ret));
		goto fail;
	}
	l->running = true;
	return 0;
fail:
	l->running = true; /* no thread to join, but all the rest to free */
	l->thread = pthread_self();
	pl_loader_stop(l);
	return ret;
}

void pl_loader_stop(struct pl_loader *l)
{
	if (!l->running)
		return;
	atomic_store_explicit(&l->stop, true, memory_order_relaxed); /* see stopping() */
	if (!pthread_equal(l->thread, pthread_self())) {
		(void)!write(l->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
		pthread_join(l->thread, NULL);
	}
	pl_feed_store_close(l->store);
	if (l->watch_fd >= 0)
		close(l->watch_fd);
	if (l->stop_fd >= 0)
		close(l->stop_fd);
	free(l->batch);
	l->running = false;
}
