/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which readers there are, and what they have passed.
 *
 * The writer stamps a removed slot with the epoch E and uses it again when every reader has
 * announced E + 1 or later: such a reader has read E + 1, with which it sees the removal, and
 * what it read before is behind it. No fence is needed on either side, as the epoch itself
 * carries the order (the token of a quiescent-state scheme; see DPDK's rte_rcu for the same idea).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "table/pl_table_pvt.h"

/* Low 32 bits of when a process started, in ticks: tells it from another of the same pid. */
static uint32_t process_start(pid_t pid, bool *found)
{
	char path[32], text[1024];
	uint32_t field = 2;
	ssize_t size;
	int fd;

	*found = false;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	size = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (size <= 0)
		return 0;
	text[size] = '\0';

	/* The second field is the name in parentheses and may hold anything. */
	const char *p = strrchr(text, ')');

	while (p != NULL && field < 22) {
		p = strchr(p + 1, ' ');
		field++;
	}
	if (p == NULL)
		return 0;
	*found = true;
	return (uint32_t)strtoull(p + 1, NULL, 10);
}

/* A start of 0: it could not be read, as when no descriptor was to be had. */
static uint64_t owner_self(void)
{
	bool found;
	uint32_t start = process_start(getpid(), &found);

	return (uint64_t)start << 32 | (uint32_t)getpid();
}

static bool owner_dead(uint64_t owner)
{
	pid_t pid = (pid_t)(uint32_t)owner;
	bool found;

	if (kill(pid, 0) != 0 && errno == ESRCH)
		return true;
	uint32_t start = process_start(pid, &found);

	return found && owner >> 32 != 0 && start != (uint32_t)(owner >> 32);
}

struct pl_reader_slot *pl_reader_slot_take(struct pl_map *m)
{
	uint64_t owner = owner_self();

	for (uint32_t i = 0; i < PL_TABLE_READERS_MAX; i++) {
		struct pl_reader_slot *s = &m->h->readers[i];
		uint64_t none = 0;

		/* acquire: pairs with the release in pl_reader_slot_drop(). */
		if (!atomic_compare_exchange_strong_explicit(
			    &s->owner, &none, owner, memory_order_acq_rel, memory_order_relaxed))
			continue;
		uint64_t epoch = atomic_load_explicit(&m->h->epoch, memory_order_acquire);

		/* relaxed: read only after the epoch, which is set next. */
		atomic_store_explicit(&s->mapping, (uintptr_t)m, memory_order_relaxed);
		/* QS-ONLINE: an exchange, because the writer's scan does a read-modify-write of
		 * slots that are not reading, too. Of the two one comes first: ours, then the
		 * scan sees us; the scan's, then we see all that the writer did before it. */
		atomic_exchange_explicit(&s->epoch, epoch, memory_order_acq_rel);
		return s;
	}
	return NULL;
}

void pl_reader_slot_drop(struct pl_reader_slot *s)
{
	/* QS-PASS release: all our reads come before it. */
	atomic_store_explicit(&s->epoch, 0, memory_order_release);
	atomic_store_explicit(&s->owner, 0, memory_order_release);
}

uint64_t pl_map_epoch_bump(struct pl_map *m)
{
	/* relaxed: only the writer changes it. */
	uint64_t epoch = atomic_load_explicit(&m->h->epoch, memory_order_relaxed) + 1;

	/* QS-EPOCH release: removals stamped with an earlier epoch come before it. Pairs: the
	 * acquire loads in pl_table_quiesce() and pl_reader_slot_take(). */
	atomic_store_explicit(&m->h->epoch, epoch, memory_order_release);
	return epoch;
}

uint64_t pl_map_epoch_min(struct pl_map *m, bool own_only)
{
	uint64_t min = UINT64_MAX;

	for (uint32_t i = 0; i < PL_TABLE_READERS_MAX; i++) {
		struct pl_reader_slot *s = &m->h->readers[i];

		/* QS-PASS acquire: the reads of a reader that has passed come before ours. */
		uint64_t epoch = atomic_load_explicit(&s->epoch, memory_order_acquire);

		if (epoch == 0) /* QS-ONLINE, see pl_reader_slot_take() */
			epoch = atomic_fetch_add_explicit(&s->epoch, 0, memory_order_acq_rel);
		/* relaxed: set before the epoch that was just acquired. */
		if (own_only &&
		    ((uint32_t)atomic_load_explicit(&s->owner, memory_order_relaxed) !=
			     (uint32_t)getpid() ||
		     atomic_load_explicit(&s->mapping, memory_order_relaxed) != (uintptr_t)m))
			continue;
		if (epoch != 0 && epoch < min)
			min = epoch;
	}
	return min;
}

uint32_t pl_map_reap(struct pl_map *m)
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < PL_TABLE_READERS_MAX; i++) {
		struct pl_reader_slot *s = &m->h->readers[i];
		uint64_t owner = atomic_load_explicit(&s->owner, memory_order_acquire);

		if (owner == 0 || !owner_dead(owner))
			continue;
		/* Nobody runs in it any more. Epoch first: the slot is free when owner is 0. */
		pl_reader_slot_drop(s);
		atomic_fetch_add_explicit(&m->h->reaped_cnt, 1, memory_order_relaxed);
		cnt++;
	}
	return cnt;
}

uint32_t pl_table_readers_reap(struct pl_table *t)
{
	/* VIEW-PUB: the caller is the writer's thread. */
	return pl_map_reap(atomic_load_explicit(&t->view, memory_order_acquire)->cur);
}

/* ---- readers of this process ------------------------------------------------------------ */

static void reader_use(struct pl_table_reader *r, struct pl_map *m, struct pl_reader_slot *slot)
{
	r->cur = m;
	r->h = m->h;
	r->buckets = m->buckets;
	r->bucket_cnt = m->bucket_cnt;
	r->seed = m->seed;
	r->slot = slot;
	r->epoch = atomic_load_explicit(&slot->epoch, memory_order_relaxed); /* our own word */
}

static struct pl_reader_slot *slot_kept(struct pl_table_reader *r, const struct pl_map *m)
{
	if (m == NULL)
		return NULL;
	return m == r->cur ? r->slot : m == r->prev ? r->prev_slot : NULL;
}

/* A quiescent point where more than the epoch may have changed. */
PL_COLD void pl_table_reader_switch(struct pl_table_reader *r, const struct pl_table_view *view)
{
	struct pl_reader_slot *old_slot = r->slot, *old_prev_slot = r->prev_slot;
	/* QS-EPOCH acquire, before the view: see pl_table_quiesce(). */
	uint64_t epoch = atomic_load_explicit(&r->h->epoch, memory_order_acquire);
	uint64_t prev_epoch =
		r->prev == NULL ? 0
				: atomic_load_explicit(&r->prev->h->epoch, memory_order_acquire);

	/* VIEW-PUB acquire. */
	view = atomic_load_explicit(&r->t->view, memory_order_acquire);

	struct pl_reader_slot *slot = slot_kept(r, view->cur);
	struct pl_reader_slot *prev_slot = slot_kept(r, view->prev);

	if (slot == NULL)
		slot = pl_reader_slot_take(view->cur);
	if (slot == NULL || (view->prev != NULL && prev_slot == NULL &&
			     (prev_slot = pl_reader_slot_take(view->prev)) == NULL)) {
		/* More readers than the new table registers: ask again at the next burst. */
		if (slot != NULL && slot != old_slot && slot != old_prev_slot)
			pl_reader_slot_drop(slot);
		r->stale = true;
		return;
	}
	/* QS-PASS release: reads of earlier bursts come before. */
	if (old_slot == slot || old_slot == prev_slot)
		atomic_store_explicit(&old_slot->epoch, epoch, memory_order_release);
	else
		pl_reader_slot_drop(old_slot);
	if (old_prev_slot != NULL) {
		if (old_prev_slot == slot || old_prev_slot == prev_slot)
			atomic_store_explicit(&old_prev_slot->epoch, prev_epoch,
					      memory_order_release);
		else
			pl_reader_slot_drop(old_prev_slot);
	}
	reader_use(r, view->cur, slot);
	r->prev = view->prev;
	r->prev_slot = prev_slot;
	r->view = view;
	/* STALE acquire: another process serves readers from a newer table. */
	r->stale = atomic_load_explicit(&r->h->superseded, memory_order_acquire) != 0;
}

int pl_table_reader_create(struct pl_table *t, struct pl_table_reader **out)
{
	struct pl_table_reader *r = aligned_alloc(
		PL_CACHE_LINE, (sizeof(*r) + PL_CACHE_LINE - 1) / PL_CACHE_LINE * PL_CACHE_LINE);
	const struct pl_table_view *view;
	struct pl_reader_slot *slot;

	if (r == NULL)
		return -ENOMEM;
	memset(r, 0, sizeof(*r));
	/* Until it is registered nothing keeps the map. */
	pthread_mutex_lock(&t->lock);
	view = atomic_load_explicit(&t->view, memory_order_acquire);
	slot = pl_reader_slot_take(view->cur);
	if (slot == NULL && pl_map_reap(view->cur) != 0)
		slot = pl_reader_slot_take(view->cur);
	if (slot == NULL) {
		pthread_mutex_unlock(&t->lock);
		free(r);
		return -EUSERS;
	}
	r->t = t;
	r->burst = pl_table_burst_best();
	r->view = view;
	reader_use(r, view->cur, slot);
	/* Registered first, then the view: a grow that did not see us has published by now. */
	pl_table_reader_switch(r, view);
	pthread_mutex_unlock(&t->lock);
	*out = r;
	return 0;
}

void pl_table_reader_destroy(struct pl_table_reader *r)
{
	if (r == NULL)
		return;
	pl_reader_slot_drop(r->slot);
	if (r->prev_slot != NULL)
		pl_reader_slot_drop(r->prev_slot);
	free(r);
}
