/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A larger table under the workers: they are answered from the old one until the new one has all of it,
 * and the loader takes segments meanwhile. What had found no room is put in then.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "loader_pvt.h"
#include "ready.h"

#define TURN_GAP_MS 1u  /* between turns, for whoever shares the CPU */
#define RETRY_S     60u /* after a refusal: hugepages may have been reserved */
#define THROUGH_S   120u

/* Once for each reason, and again when it was asked for again. asked: just now. */
static void tell_once(struct pl_loader *l, int ret, bool asked, const char *text)
{
	/* relaxed, both: figures for humans. */
	uint64_t wanted = atomic_load_explicit(&l->capacity_wanted, memory_order_relaxed);

	if (!asked && l->refused_ret == ret && l->refused_wanted == wanted)
		return;
	l->refused_ret = ret;
	l->refused_wanted = wanted;
	atomic_fetch_add_explicit(&l->status.not_grown_cnt, 1, memory_order_relaxed);
	pl_say("%s. It is tried again every %u s", text, RETRY_S);
}

/* errno of the last trial to make it larger, for the status. */
static void grow_refused(struct pl_loader *l, int ret)
{
	/* relaxed: a figure for humans. */
	atomic_store_explicit(&l->status.grow_refused, -ret, memory_order_relaxed);
}

/* Is it time to try again what failed? *asked: it is wanted now. */
static bool may_try(struct pl_loader *l, bool *asked)
{
	/* relaxed: a hint; nothing is read under it. */
	*asked = atomic_exchange_explicit(&l->grow_asked, false, memory_order_relaxed);
	return *asked || l->grow_s == 0 || pl_loader_now_s() >= l->grow_s + RETRY_S;
}

/* ---- what found no room ---- */

/* By certificate, and of one certificate in the order of time. */
static int compare_missing(const void *pa, const void *pb)
{
	const struct pl_loader_change *a = pa, *b = pb;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

/* Of each certificate the last change only, and of one that was removed none: there is nothing to put. */
static void compact(struct pl_loader_missing *m)
{
	size_t kept = 0;

	if (m->cnt != 0)
		qsort(m->log, m->cnt, sizeof(*m->log), compare_missing);
	for (size_t i = 0; i < m->cnt; i++)
		if ((i + 1 == m->cnt || m->log[i + 1].id != m->log[i].id) && m->log[i].facts != 0)
			m->log[kept++] = m->log[i];
	m->cnt = kept;
	for (size_t i = 0; i < kept; i++)
		m->log[i].order = (uint32_t)i;
}

static bool make_room(struct pl_loader_missing *m)
{
	size_t room = m->room == 0 ? PL_LOADER_MISSING_MIN : 2 * m->room;
	struct pl_loader_change *log;

	if (m->cnt < m->room)
		return true;
	if (m->room == PL_LOADER_MISSING_MAX) {
		compact(m);
		/* Or each change would mean to sort all of them. */
		return m->cnt < PL_LOADER_MISSING_MAX / 4 * 3;
	}
	log = realloc(m->log, room * sizeof(*log));
	if (log == NULL)
		return false;
	m->log = log;
	m->room = room;
	return true;
}

void pl_loader_missing_note(struct pl_loader *l, uint64_t id, uint32_t facts)
{
	struct pl_loader_missing *m = &l->missing;

	/* Removed: of one that is not missing there is nothing to take back. */
	if (m->lost || (facts == 0 && m->cnt == 0))
		return;
	if (!make_room(m)) {
		free(m->log);
		*m = (struct pl_loader_missing){.lost = true};
		return;
	}
	m->log[m->cnt] =
		(struct pl_loader_change){.id = id, .facts = facts, .order = (uint32_t)m->cnt};
	m->cnt++;
}

void pl_loader_missing_drop(struct pl_loader *l)
{
	free(l->missing.log);
	l->missing = (struct pl_loader_missing){0};
	l->put_back_due = false;
	l->full_told = false;
}

/* What is there by now came later than what the log has of it. */
static int put_missing(struct pl_loader *l, const struct pl_loader_missing *m)
{
	size_t cnt = 0;
	int ret = 0;

	for (size_t i = 0; i < m->cnt && ret == 0; i++) {
		const struct pl_loader_change *c = &m->log[i];

		if (pl_loader_stopping(l))
			return -ECANCELED;
		if (pl_table_get(l->table, c->id, NULL, NULL) == 0)
			continue;
		l->batch[cnt++] = (struct pl_table_entry){.id = c->id, .facts = c->facts};
		if (cnt < PL_LOADER_BATCH_CNT)
			continue;
		ret = pl_loader_put(l, cnt);
		cnt = 0;
	}
	return ret != 0 ? ret : pl_loader_put(l, cnt);
}

static int go_on(void *ctx, const struct pl_feed_segment *seg)
{
	(void)seg;
	return pl_loader_stopping(ctx) ? -ECANCELED : 0;
}

/* Can the store bring who is at `from` to `sequence`, by its segments, or a snapshot and what follows it? */
static bool is_readable(struct pl_loader *l, const struct pl_feed_pos *from, uint64_t sequence)
{
	struct pl_feed_snapshot snapshot;
	struct pl_feed_pos pos = *from;
	struct pl_feed_report report;

	(void)pl_feed_store_read_to(l->store, &pos, sequence, go_on, l, &report);
	if (pos.sequence >= sequence)
		return true;
	if (pl_feed_store_snapshot_find(l->store, pos.sequence, sequence + 1, &snapshot) != 0 ||
	    snapshot.covers.stream_id != from->stream_id ||
	    pl_feed_store_snapshot_read(l->store, &snapshot, go_on, l, &report) != PL_FEED_OK)
		return false;
	pos = snapshot.covers;
	(void)pl_feed_store_read_to(l->store, &pos, sequence, go_on, l, &report);
	return pos.sequence >= sequence;
}

/*
 * Which are missing is not known: the feed is read again from where the table was complete. Facts go back
 * on the way, so everything is UNKNOWN until it is where it was; and it is only begun if it can be ended.
 */
static void read_again(struct pl_loader *l)
{
	struct pl_feed_pos from = {.stream_id = l->pos.stream_id};
	uint64_t ahead_to = l->pos.sequence;
	union pl_table_position at;

	pl_table_position_get(l->table, &at);
	if (at.pos.sequence != 0 && (at.snapshot == 0 || (at.snapshot & PL_POSITION_AHEAD) != 0))
		from = at.pos;
	if ((at.snapshot & ~PL_POSITION_AHEAD) > ahead_to)
		ahead_to = at.snapshot & ~PL_POSITION_AHEAD;
	if (!is_readable(l, &from, ahead_to)) {
		tell_once(l, -ENODATA, false,
			  "the table has room, but which certificates are missing is not known any "
			  "more, and the feed store has not all since it was complete: the next "
			  "snapshot or a restart mends that");
		return;
	}
	pl_say("more was missing than is kept: everything is UNKNOWN until the feed is read again");
	l->pos = from;
	l->ahead_to = ahead_to;
	l->went_back = true;
	l->loading = true;
	l->table_full = false;
	pl_loader_missing_drop(l);
	pl_loader_position_set(l, &from);
	pl_loader_flags_publish(l);
}

/* There is room now. That some are missing is said until they are all there. */
static void put_back(struct pl_loader *l)
{
	struct pl_loader_missing m = l->missing;
	int ret;

	if (m.lost) {
		if (pl_loader_due(&l->read_again_s, RETRY_S))
			read_again(l);
		return;
	}
	compact(&m);
	l->missing = (struct pl_loader_missing){0};
	l->table_full = false;
	ret = put_missing(l, &m);
	if (ret != 0) {
		/* All of it counts still; what is there by then is passed over. */
		free(l->missing.log);
		l->missing = m;
		l->table_full = true;
		return;
	}
	free(m.log);
	l->put_back_due = false;
	if (l->table_full)
		return;
	l->full_told = false;
	pl_loader_position_set(l, &l->pos);
	pl_say("all that found no room is in the table now");
	pl_loader_flags_publish(l);
}

/* ---- growing ---- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void growing_to(struct pl_loader *l, uint64_t capacity)
{
	/* relaxed: control asks for it before it takes a smaller one. */
	atomic_store_explicit(&l->status.growing_to, capacity, memory_order_relaxed);
}

static bool begin(struct pl_loader *l)
{
	/* relaxed: a number; nothing is read under it. */
	uint64_t wanted = atomic_load_explicit(&l->capacity_wanted, memory_order_relaxed);
	struct pl_table_stats stats;
	char error[256], text[320];
	bool asked;
	int ret;

	pl_table_stats_get(l->table, &stats);
	if (wanted <= stats.capacity)
		grow_refused(l, 0);
	if (wanted <= stats.capacity || l->loading || !l->audited || !may_try(l, &asked))
		return false;
	growing_to(l, wanted);
	ret = pl_table_grow_begin(l->table, wanted, error, sizeof(error));
	if (ret != 0) {
		growing_to(l, 0);
		grow_refused(l, ret);
		l->grow_s = pl_loader_now_s();
		snprintf(text, sizeof(text), "the table cannot be made larger: %s", error);
		tell_once(l, ret, asked, text);
		return false;
	}
	pl_say("the table grows from %" PRIu64 " to %" PRIu64 " certificates", stats.capacity,
	       wanted);
	l->growing = true;
	return true;
}

static void grown(struct pl_loader *l)
{
	struct pl_table_stats stats;

	l->growing = false;
	growing_to(l, 0);
	l->grow_s = 0;
	l->refused_ret = 0;
	pl_table_stats_get(l->table, &stats);
	pl_say("the table has room for %" PRIu64 " certificates now", stats.capacity);
	grow_refused(l, 0);
	/* relaxed: a figure for humans. */
	atomic_fetch_add_explicit(&l->status.grown_cnt, 1, memory_order_relaxed);
	l->put_back_due = l->table_full;
}

/* @return whether to come again soon. */
static bool turn(struct pl_loader *l)
{
	uint64_t end_ns = now_ns() + PL_LOADER_TURN_NS;
	struct pl_table_stats stats;
	char why[192];
	int ret;

	do
		ret = pl_table_grow_step(l->table, PL_LOADER_GROW_SLOTS);
	while (ret == 1 && now_ns() < end_ns && !pl_loader_stopping(l));
	if (ret == 1)
		return true;
	if (ret == 0) {
		grown(l);
		return true; /* more may have been asked for since */
	}
	pl_table_stats_get(l->table, &stats);
	l->growing = stats.growing;
	if (!l->growing)
		growing_to(l, 0);
	snprintf(why, sizeof(why), "%s: %s",
		 l->growing ? "the table is larger, and cannot take the old one's name"
			    : "the table cannot be made larger, it has no place for all",
		 strerror(-ret));
	grow_refused(l, l->growing ? 0 : ret);
	l->grow_s = pl_loader_now_s();
	tell_once(l, ret, false, why);
	return false;
}

uint32_t pl_loader_grow(struct pl_loader *l)
{
	/* Before it is made larger still: that may fail for long. */
	if (!l->growing && l->put_back_due && l->table_full) {
		put_back(l);
		/* What is to be read again is read at once. */
		if (l->loading)
			return TURN_GAP_MS;
	}
	if (!l->growing && !begin(l))
		return PL_LOADER_POLL_MS;
	return turn(l) ? TURN_GAP_MS : PL_LOADER_POLL_MS;
}

void pl_loader_grow_through(struct pl_loader *l)
{
	const struct timespec gap = {.tv_nsec = TURN_GAP_MS * 1000000};
	uint64_t end_s = pl_loader_now_s() + THROUGH_S;

	while (l->growing && !pl_loader_stopping(l) && turn(l) && pl_loader_now_s() < end_s)
		(void)nanosleep(&gap, NULL);
}

void pl_loader_grow_to(struct pl_loader *l, uint64_t capacity)
{
	/* relaxed, both: see begin(). */
	atomic_store_explicit(&l->capacity_wanted, capacity, memory_order_relaxed);
	atomic_store_explicit(&l->grow_asked, true, memory_order_relaxed);
	(void)!write(l->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
}
