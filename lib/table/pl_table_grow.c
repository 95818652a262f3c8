/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replacing a table by a larger one under its readers.
 *
 * FILL: the writer copies into the new table and applies every change to both. SWITCH: it
 * publishes {new, old}; facts now come from the new one, and only there are changes made. For the
 * newest accepted scan the old word of a certificate stays the one that counts until it is
 * frozen: so readers that still know only the old table, and those that know both, decide on one
 * word. MERGE, once every reader knows both: the writer freezes each old word and raises the new
 * one to it; a reader that meets a frozen word raises the new one itself (with the same value)
 * and decides there, so that it waits for nobody. DRAIN: {new} is published; when the readers
 * have left, the old table goes.
 *
 * Each certificate so has exactly one word that decides at each moment: no accepted scan is
 * lost, and none is accepted twice.
 *
 * Removed slots are not copied: a certificate that was removed and comes back after a grow has no
 * newest scan.
 *
 * Each step holds the table's lock: figures, walks and registrations of other threads wait for it.
 *
 * A death on the way: before {new, old} is published the old table is whole, and the new file is
 * dropped. After, attach finds both (superseded in the old, parent_id in the new) and goes on
 * from SWITCH; merging twice changes nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "table/pl_table_pvt.h"

#define MERGE_TRIES_MAX 16u
#define COPY_CNT        64u

static _Atomic uint64_t *seen_at(const struct pl_map *m, uint64_t slot)
{
	return &m->buckets[slot >> 2].seen[slot & 3];
}

/* Raise a seen word to at least value. False after losing a bounded number of races. */
static bool seen_raise(_Atomic uint64_t *word, uint64_t value)
{
	/* relaxed: see pl_seen_accept(). */
	uint64_t have = atomic_load_explicit(word, memory_order_relaxed);

	for (uint32_t i = 0; i < MERGE_TRIES_MAX; i++) {
		if (have >> 32 >= value >> 32)
			return true;
		if (atomic_compare_exchange_strong_explicit(
			    word, &have, value, memory_order_relaxed, memory_order_relaxed))
			return true;
	}
	return false;
}

PL_COLD enum pl_table_seen pl_table_seen_both(struct pl_table_reader *r,
					      const struct pl_table_hit *hit, uint32_t shown_at,
					      uint32_t scan_hash)
{
	_Atomic uint64_t *word = seen_at(r->cur, hit->slot);
	uint64_t want = pl_seen_word(shown_at, scan_hash);
	/* relaxed: this reader found the slot, so its id is settled. */
	uint64_t id = atomic_load_explicit(&r->cur->buckets[hit->slot >> 2].id[hit->slot & 3],
					   memory_order_relaxed);
	uint64_t old_slot = pl_map_find(r->prev, id, false);
	int got = PL_SEEN_MOVED;

	if (old_slot != PL_TABLE_NO_SLOT) {
		_Atomic uint64_t *old = seen_at(r->prev, old_slot);

		got = pl_seen_accept(old, want);
		/* FREEZE relaxed: a frozen word never changes again, so this is its last value. */
		if (got == PL_SEEN_MOVED &&
		    !seen_raise(word,
				atomic_load_explicit(old, memory_order_relaxed) & ~PL_SEEN_FROZEN))
			got = PL_SEEN_UNSURE;
	}
	if (got == PL_SEEN_MOVED)
		got = pl_seen_accept(word, want);
	if (PL_LIKELY(got < PL_SEEN_UNSURE))
		return (enum pl_table_seen)got;
	r->counters.unsure++;
	return PL_SEEN_UNSURE;
}

/* ---- the writer's side --------------------------------------------------------------------- */

static void view_publish(struct pl_table *t, struct pl_map *cur, struct pl_map *prev)
{
	/* The other of the two: no reader has had it since the last publication's grace. */
	struct pl_table_view *v = &t->views[t->view_idx ^= 1];

	*v = (struct pl_table_view){.cur = cur, .prev = prev};
	/* VIEW-PUB release: the view and the maps are complete. Pairs: pl_table_quiesce(). */
	atomic_store_explicit(&t->view, v, memory_order_release);
}

void pl_table_grow_put(struct pl_table *t, uint64_t id, uint32_t facts)
{
	struct pl_write w = {.t = t, .m = t->grow_new};

	if (pl_map_put(&w, id, facts) < 0)
		t->grow_failed = true;
}

void pl_table_grow_remove(struct pl_table *t, uint64_t id)
{
	struct pl_write w = {.t = t, .m = t->grow_new};

	(void)pl_map_remove(&w, id); /* not copied yet: nothing to remove */
}

int pl_table_grow_begin(struct pl_table *t, uint64_t capacity, char *error, size_t error_size)
{
	struct pl_map *old = atomic_load_explicit(&t->view, memory_order_acquire)->cur;
	struct pl_map *fresh;
	char *path = NULL;
	int rc;

	if (!t->writer || t->bulk_on || t->marks != NULL || t->grow != PL_GROW_NONE) {
		snprintf(error, error_size, "%s",
			 !t->writer         ? "not the table's writer"
			 : t->bulk_on       ? "a build is on"
			 : t->marks != NULL ? "its content is being replaced"
					    : "the table is growing already");
		return t->writer ? -EBUSY : -EPERM;
	}
	if (capacity < old->h->fixed.capacity || capacity > PL_TABLE_CAPACITY_MAX) {
		snprintf(error, error_size,
			 "new capacity %" PRIu64 " is not in %" PRIu64
			 " (the present one) .. %" PRIu64,
			 capacity, old->h->fixed.capacity, (uint64_t)PL_TABLE_CAPACITY_MAX);
		return -EINVAL;
	}
	if (old->path != NULL && asprintf(&path, "%s.new", old->path) < 0) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	rc = pl_map_create(path, capacity, 0, t->numa_node, NULL, old, &fresh, error, error_size);
	free(path);
	if (rc != 0)
		return rc;
	pthread_mutex_lock(&t->lock);
	t->grow_old = old;
	t->grow_new = fresh;
	t->grow_cursor = 0;
	t->grow_failed = false;
	t->grow = PL_GROW_FILL;
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static int grow_fill(struct pl_table *t, uint64_t slots)
{
	struct pl_table_entry entries[COPY_CNT];
	struct pl_write w = {.t = t, .m = t->grow_new};
	uint8_t position[PL_TABLE_POSITION_SIZE];

	while (t->grow_cursor != UINT64_MAX && slots != 0 && !t->grow_failed) {
		uint64_t walk = slots < COPY_CNT ? slots : COPY_CNT;
		size_t done;
		size_t cnt = pl_map_iterate(t->grow_old, &t->grow_cursor, walk, entries, COPY_CNT);

		t->grow_failed |= pl_map_put_many(&w, entries, cnt, &done) < 0;
		slots -= walk;
	}
	if (t->grow_failed) {
		pl_table_grow_abandon(t);
		return -ENOSPC;
	}
	if (t->grow_cursor != UINT64_MAX)
		return 1;

	pl_map_position_get(t->grow_old, position);
	pl_map_position_set(t->grow_new, position);
	view_publish(t, t->grow_new, t->grow_old);
	/* STALE release: after the view. Other processes' readers stop trusting the old table; if
	 * we die right here, attach finds the successor by it. */
	atomic_store_explicit(&t->grow_old->h->superseded, 1, memory_order_release);
	t->grow_epoch = pl_map_epoch_bump(t->grow_old);
	t->grow = PL_GROW_SWITCH;
	return 1;
}

static void merge_bucket(struct pl_table *t, uint64_t bucket)
{
	struct pl_bucket *b = &t->grow_old->buckets[bucket];

	for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++) {
		/* relaxed: the old table's slots do not change any more. */
		if (!pl_facts_live(atomic_load_explicit(&b->facts[i], memory_order_relaxed)))
			continue;
		uint64_t id = atomic_load_explicit(&b->id[i], memory_order_relaxed);
		/* FREEZE relaxed: from here on in the word's own order no CAS succeeds. */
		uint64_t last = atomic_fetch_or_explicit(&b->seen[i], PL_SEEN_FROZEN,
							 memory_order_relaxed) &
				~PL_SEEN_FROZEN;
		uint64_t slot = pl_map_find(t->grow_new, id, false);

		if (last == 0 || slot == PL_TABLE_NO_SLOT)
			continue;
		while (!seen_raise(seen_at(t->grow_new, slot), last))
			; /* the writer may wait; each round another scan was accepted */
	}
}

static int grow_merge(struct pl_table *t, uint64_t slots)
{
	uint64_t bucket_cnt = t->grow_old->bucket_cnt + PL_TABLE_STASH_CNT;
	uint64_t buckets = slots / PL_TABLE_SLOTS + 1;

	for (; buckets != 0 && t->grow_cursor < bucket_cnt; buckets--)
		merge_bucket(t, t->grow_cursor++);
	if (t->grow_cursor < bucket_cnt)
		return 1;
	if (t->grow_new->path != NULL) {
		/* The new file takes the name in one step; then it is found without the old. */
		if (rename(t->grow_new->path, t->grow_old->path) != 0)
			return -errno;
		free(t->grow_new->path);
		t->grow_new->path = t->grow_old->path;
		t->grow_old->path = NULL;
	}
	view_publish(t, t->grow_new, NULL);
	t->grow = PL_GROW_DRAIN;
	return 1;
}

/* One that is no longer used. The next may be at the same address, and its epochs begin again: what readers
 * have passed of this one says nothing of that. */
static void map_forget(struct pl_table *t, struct pl_map *m)
{
	if (t->safe_map == m)
		t->safe_map = NULL;
	pl_map_close(m);
}

static int grow_step(struct pl_table *t, uint64_t slots)
{
	switch (t->grow) {
	case PL_GROW_NONE:
		return 0;
	case PL_GROW_FILL:
		return grow_fill(t, slots);
	case PL_GROW_SWITCH:
		/* Readers of other processes are not waited for: on a frozen word they are unsure. */
		if (pl_map_epoch_min(t->grow_old, true) < t->grow_epoch)
			return 1;
		t->grow_cursor = 0;
		t->grow = PL_GROW_MERGE;
		return 1;
	case PL_GROW_MERGE:
		return grow_merge(t, slots);
	case PL_GROW_DRAIN:
		if (pl_map_epoch_min(t->grow_old, true) != UINT64_MAX)
			return 1;
		map_forget(t, t->grow_old);
		t->grow_old = NULL;
		t->grow_new = NULL;
		t->grow = PL_GROW_NONE;
		return 0;
	}
	return 0;
}

int pl_table_grow_step(struct pl_table *t, uint64_t slots)
{
	int ret;

	pthread_mutex_lock(&t->lock);
	ret = grow_step(t, slots);
	pthread_mutex_unlock(&t->lock);
	return ret;
}

/* A new table that no reader has had is thrown away; later phases are left as they are. */
void pl_table_grow_abandon(struct pl_table *t)
{
	if (t->grow != PL_GROW_FILL)
		return;
	if (t->grow_new->path != NULL)
		unlink(t->grow_new->path);
	map_forget(t, t->grow_new);
	t->grow_new = NULL;
	t->grow_old = NULL;
	t->grow = PL_GROW_NONE;
}

/* A new writer goes on where the last one died. */
void pl_table_grow_resume(struct pl_table *t)
{
	const struct pl_table_view *view = atomic_load_explicit(&t->view, memory_order_acquire);

	if (t->grow != PL_GROW_NONE)
		return;
	if (view->prev != NULL) {
		t->grow_new = view->cur;
		t->grow_old = view->prev;
		t->grow_epoch = pl_map_epoch_bump(view->prev);
		t->grow = PL_GROW_SWITCH;
		return;
	}
	/* What a writer left that died in FILL; ours is the only right to it. */
	if (view->cur->path != NULL) {
		char *path;

		if (asprintf(&path, "%s.new", view->cur->path) >= 0) {
			unlink(path);
			(void)pl_map_part_remove(path);
			free(path);
		}
	}
	/* The successor is gone (someone removed it): this table counts again, with the feed
	 * position that it had. */
	if (atomic_load_explicit(&view->cur->h->superseded, memory_order_acquire) != 0) {
		for (uint64_t i = 0; i < view->cur->bucket_cnt + PL_TABLE_STASH_CNT; i++)
			for (uint32_t k = 0; k < PL_TABLE_SLOTS; k++)
				atomic_fetch_and_explicit(&view->cur->buckets[i].seen[k],
							  ~PL_SEEN_FROZEN, memory_order_relaxed);
		atomic_store_explicit(&view->cur->h->superseded, 0, memory_order_release);
	}
}
