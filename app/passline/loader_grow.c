/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A larger table under the workers: they are answered from the old one until the new one has all of it,
 * and the loader takes segments meanwhile. What had found no room is put in then (loader_missing.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "base/pl_time.h"
#include "loader_pvt.h"
#include "say.h"

#define TURN_GAP_MS 1u  /* between turns, for whoever shares the CPU */
#define RETRY_S     60u /* after a refusal: hugepages may have been reserved */
#define THROUGH_S   120u

void pl_loader_not_grown(struct pl_loader *l, int ret, bool asked, uint32_t retry_s,
			 const char *text)
{
	/* relaxed, both: figures for humans. */
	uint64_t wanted = atomic_load_explicit(&l->capacity_wanted, memory_order_relaxed);

	if (!asked && l->refused_ret == ret && l->refused_wanted == wanted)
		return;
	l->refused_ret = ret;
	l->refused_wanted = wanted;
	atomic_fetch_add_explicit(&l->status.not_grown_cnt, 1, memory_order_relaxed);
	pl_say("%s. It is tried again every %u s", text, retry_s);
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
		pl_loader_not_grown(l, ret, asked, RETRY_S, text);
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
	uint64_t end_ns = pl_time_ns(CLOCK_MONOTONIC) + PL_LOADER_TURN_NS;
	struct pl_table_stats stats;
	char why[192];
	int ret;

	do
		ret = pl_table_grow_step(l->table, PL_LOADER_GROW_SLOTS);
	while (ret == 1 && pl_time_ns(CLOCK_MONOTONIC) < end_ns && !pl_loader_stopping(l));
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
	pl_loader_not_grown(l, ret, false, l->growing ? PL_LOADER_POLL_MS / 1000 : RETRY_S, why);
	return false;
}

uint32_t pl_loader_grow(struct pl_loader *l)
{
	/* Before it is made larger still: that may fail for long. */
	if (!l->growing && !l->loading && l->table_full &&
	    (l->put_back_due || pl_loader_missing_has_room(l))) {
		pl_loader_missing_put_back(l);
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
