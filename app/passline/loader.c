/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "base/pl_time.h"
#include "loader_pvt.h"
#include "say.h"

/* How long a snapshot that was refused is left alone: looking at it again takes a second. */
#define SNAPSHOT_RETRY_S 60u
/* How often the store is looked at as a whole: for what was put there, or taken away, by hand. */
#define LOOK_EVERY_S 5u

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
	       "UNKNOWN: raise 'capacity' in [table] and reload");
}

uint64_t pl_loader_now_s(void)
{
	return pl_time_monotonic_ms() / 1000;
}

void pl_loader_flags_publish(struct pl_loader *l)
{
	uint32_t flags = 0;

	/* Nothing at all is not an empty feed: it is a feed that has not come yet. */
	if (l->loading || l->pos.sequence == 0)
		flags |= PL_FLAG_LOADING;
	if (l->behind)
		flags |= PL_FLAG_INTAKE;
	if (l->table_full)
		flags |= PL_FLAG_TABLE_FULL;
	/* A table that was found is not believed about whom it lacks before it was looked over. */
	if (!l->audited)
		flags |= PL_FLAG_FEED_OLD;
	/* LOAD-PUB release: all that was read is in the table. Pairs: FLAGS-GET. */
	atomic_store_explicit(&l->live->feed_flags, flags, memory_order_release);
}

void pl_loader_hush(struct pl_loader *l)
{
	if (l->loading)
		return;
	l->loading = true;
	pl_loader_flags_publish(l);
	/* LOAD-PUB is before it; each worker takes the flags after its view, FLAGS-GET. */
	pl_view_wait(l->views, &l->stop);
}

/*
 * Take the newest snapshot of what is beyond the position, if there is a good one: a start with
 * nothing begins with it, and where segments are missing it stands for them.
 */
static bool take_snapshot(struct pl_loader *l)
{
	/* One refused lately, and those before it, which were tried then, too. */
	uint64_t refused = pl_loader_now_s() < l->bad_until_s ? l->bad_snapshot : 0;
	uint64_t below = UINT64_MAX;
	struct pl_feed_snapshot found;

	while (!pl_loader_stopping(l) &&
	       pl_feed_store_snapshot_find(l->store, l->pos.sequence, below, &found) == 0) {
		struct pl_feed_report report;
		enum pl_feed_error e;

		below = found.covers.sequence;
		if (below <= refused)
			return false;
		if (found.covers.stream_id != l->pos.stream_id)
			continue;
		e = pl_loader_snapshot(l, &found, &report);
		if (e == PL_FEED_OK)
			return true;
		if (pl_loader_stopping(l))
			return false;
		pl_say("feed %s: snapshot of segment %" PRIu64 ": %s", l->dir_path, below,
		       report.text);
		if (below > l->bad_snapshot || pl_loader_now_s() >= l->bad_until_s)
			l->bad_snapshot = below;
		l->bad_until_s = pl_loader_now_s() + SNAPSHOT_RETRY_S;
		/* Not its fault, so an older one is no help, and would go back behind it. */
		if (e == PL_FEED_APPLY)
			return false;
	}
	return false;
}

/*
 * Take what the intake has added since, going by what it says: it alone writes to the store. To list the
 * directory for each segment would cost the more the longer the feed is.
 * @return false where that does not settle it.
 */
static bool follow(struct pl_loader *l, const struct pl_intake_status *known,
		   struct pl_feed_report *report)
{
	if (l->loading || l->behind || pl_loader_due(&l->look_s, LOOK_EVERY_S))
		return false;
	return pl_feed_store_read_to(l->store, &l->pos, known->pos.sequence, pl_loader_segment, l,
				     report) == PL_FEED_OK &&
	       known->pos.sequence <= l->pos.sequence && known->snapshot <= l->pos.sequence;
}

/* Everything that is there, by whoever's hand. */
static enum pl_feed_error look(struct pl_loader *l, const struct pl_intake_status *known,
			       struct pl_feed_report *report)
{
	enum pl_feed_error e;

	if (l->pos.sequence == 0)
		(void)take_snapshot(l);
	do {
		e = pl_feed_store_read(l->store, &l->pos, pl_loader_segment, l, report);
	} while (!pl_loader_stopping(l) && e != PL_FEED_APPLY && take_snapshot(l));
	if (e == PL_FEED_OK && !pl_loader_stopping(l))
		e = pl_loader_end_check(l, report);
	if (e == PL_FEED_OK && l->ahead_to > l->pos.sequence && !pl_loader_stopping(l)) {
		snprintf(report->text, sizeof(report->text),
			 "it ends at segment %" PRIu64
			 ", and the table has had facts of segments up to %" PRIu64,
			 l->pos.sequence, l->ahead_to);
		e = PL_FEED_GAP;
	}
	if (e == PL_FEED_OK && known->pos.sequence > l->pos.sequence) {
		snprintf(report->text, sizeof(report->text),
			 "segment %" PRIu64 " was stored, and is not there", known->pos.sequence);
		e = PL_FEED_GAP;
	}
	return e;
}

/* Read what is there, then publish what that amounts to. */
static void read_feed(struct pl_loader *l)
{
	struct pl_intake_status known;
	struct pl_feed_report report;
	enum pl_feed_error e = PL_FEED_OK;

	pl_intake_status_get(l->intake, &known);
	if (!follow(l, &known, &report))
		e = look(l, &known, &report);
	if (pl_loader_stopping(l))
		return;
	l->behind = e != PL_FEED_OK;
	if (l->behind)
		/* relaxed: figures for humans. */
		atomic_fetch_add_explicit(&l->status.refused_cnt, 1, memory_order_relaxed);
	atomic_store_explicit(&l->status.refused, (uint32_t)e, memory_order_relaxed);
	/* Before it is as far as it was, some of it may have gone back. */
	l->loading = l->loading && l->went_back && l->pos.sequence < l->ahead_to;
	/* From now on what came in of half a snapshot is told. */
	if (!l->loading && l->snapshot_to > l->pos.sequence && l->snapshot_to > l->ahead_to)
		l->ahead_to = l->snapshot_to;
	if (l->pos.sequence >= l->ahead_to)
		l->went_back = false;
	pl_intake_applied_set(l->intake, l->pos.sequence);
	tell_refusal(l, e, &report);
	tell_full(l);
	pl_loader_flags_publish(l);
}

/* Until something was renamed or made in the directory, or it is time to look anyway.
 * @return false to stop. */
static bool wait_for_change(struct pl_loader *l, uint32_t wait_ms)
{
	struct pollfd fds[] = {
		{.fd = l->wake_fd, .events = POLLIN},
		{.fd = l->watch_fd, .events = POLLIN},
		{.fd = pl_intake_fd(l->intake), .events = POLLIN},
	};
	char events[4096];

	(void)poll(fds, PL_ARRAY_CNT(fds), (int)wait_ms);
	if (pl_loader_stopping(l))
		return false;
	if (fds[0].revents & POLLIN)
		(void)!read(l->wake_fd, events, sizeof(uint64_t));
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
	uint32_t wait_ms;

	/* One that was growing when its process died. */
	pl_loader_grow_through(l);
	do {
		read_feed(l);
		/* A table that was damaged is empty then: read again, from the beginning. */
		if (!pl_loader_stopping(l) && !l->audited && !pl_loader_audit(l))
			read_feed(l);
		if (!pl_loader_stopping(l))
			pl_loader_prune(l);
		wait_ms = pl_loader_grow(l);
	} while (!pl_loader_stopping(l) && wait_for_change(l, wait_ms));
	return NULL;
}

/* A table that outlived its process knows how far it got; pl_table_open() has seen that it is of
 * this feed. */
static void resume(struct pl_loader *l)
{
	union pl_table_position at;
	struct pl_table_stats stats;

	pl_table_stats_get(l->table, &stats);
	l->growing = stats.growing;
	pl_table_position_get(l->table, &at);
	if (at.pos.sequence == 0)
		return;
	l->pos = at.pos;
	if (at.snapshot & PL_POSITION_AHEAD)
		l->ahead_to = pl_table_position_known(&at);
	l->went_back = (at.snapshot & PL_POSITION_BACK) != 0;
	l->audited = false;
	pl_say("table holds the feed up to segment %" PRIu64 " already", at.pos.sequence);
	/* ASOF-PUB release: see pl_loader_at(). */
	atomic_store_explicit(&l->live->as_of, (uint32_t)at.pos.as_of, memory_order_release);
	/* relaxed: a figure for humans. */
	atomic_store_explicit(&l->status.sequence, at.pos.sequence, memory_order_relaxed);
}

int pl_loader_start(struct pl_loader *l, const struct pl_config *c, struct pl_intake *intake,
		    struct pl_table *table, uint64_t known_to, struct pl_live *live,
		    struct pl_view_box *views, char *error, size_t error_size)
{
	const struct pl_key *authority = &c->authority->key[0];
	struct pl_feed_store_conf conf = {.dir_path = c->site.feed_store_dir};
	int ret;

	memset(l, 0, sizeof(*l));
	l->intake = intake;
	l->table = table;
	l->live = live;
	l->views = views;
	l->dir_path = c->site.feed_store_dir;
	l->pos.stream_id = authority->stream_id;
	l->loading = true;
	atomic_init(&l->capacity_wanted, c->site.table_capacity);
	l->audited = true; /* there is nothing in it to be looked over, unless resume() finds it */
	memcpy(conf.pubkey, authority->bytes, PL_FEED_PUBKEY_SIZE);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	l->batch = calloc(PL_LOADER_BATCH_CNT, sizeof(*l->batch));
	if (l->wake_fd < 0 || l->watch_fd < 0 || l->batch == NULL ||
	    pl_feed_net_create(&l->net) != 0) {
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
	if (known_to != 0)
		pl_loader_known_to(l, known_to);
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
	atomic_store_explicit(&l->stop, true, memory_order_relaxed); /* see pl_loader_stopping() */
	if (!pthread_equal(l->thread, pthread_self())) {
		(void)!write(l->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
		pthread_join(l->thread, NULL);
	}
	pl_feed_store_close(l->store);
	if (l->watch_fd >= 0)
		close(l->watch_fd);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	pl_feed_net_destroy(l->net);
	free(l->batch);
	free(l->missing.log);
	l->running = false;
}
