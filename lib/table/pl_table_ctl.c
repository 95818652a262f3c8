/* SPDX-License-Identifier: BSD-3-Clause */
/* Making, opening, writing through the whole table, reporting. */
#include <errno.h>
#include <inttypes.h>
#include <sys/file.h>
#include <unistd.h>

#include "table/pl_table_pvt.h"

static struct pl_map *map_cur(const struct pl_table *t)
{
	/* VIEW-PUB acquire: pairs with the release store in pl_table_grow.c. */
	return atomic_load_explicit(&t->view, memory_order_acquire)->cur;
}

/* Around what any thread does with the maps. */
static void look_begin(const struct pl_table *t)
{
	pthread_mutex_lock((pthread_mutex_t *)(uintptr_t)&t->lock);
}

static void look_end(const struct pl_table *t)
{
	pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)&t->lock);
}

static struct pl_table *table_new(const struct pl_table_conf *conf, struct pl_map *cur,
				  struct pl_map *prev)
{
	struct pl_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	t->numa_node = conf->numa_node;
	t->views[0] = (struct pl_table_view){.cur = cur, .prev = prev};
	atomic_init(&t->view, &t->views[0]);
	return t;
}

int pl_table_create_tuned(const struct pl_table_conf *conf, const struct pl_table_tuning *tuning,
			  struct pl_table **out, char *error, size_t error_size)
{
	char why[160] = "";
	struct pl_table *t;
	struct pl_map *m;
	int rc;

	if (conf->capacity == 0 || conf->capacity > PL_TABLE_CAPACITY_MAX) {
		snprintf(error, error_size,
			 "table capacity %" PRIu64 " is not in 1 .. %" PRIu64 " certificates",
			 conf->capacity, (uint64_t)PL_TABLE_CAPACITY_MAX);
		return -EINVAL;
	}
	if (conf->fallback_path != NULL && access(conf->fallback_path, F_OK) == 0) {
		snprintf(error, error_size, "%s exists: attach to it, or remove it",
			 conf->fallback_path);
		return -EEXIST;
	}
	rc = pl_map_create(conf->path, conf->capacity, conf->hash_seed, conf->numa_node, tuning,
			   NULL, &m, error, error_size);
	if (rc != 0 && rc != -EEXIST && conf->fallback_path != NULL) {
		snprintf(why, sizeof(why), "%s", error);
		rc = pl_map_create(conf->fallback_path, conf->capacity, conf->hash_seed,
				   conf->numa_node, tuning, NULL, &m, error, error_size);
	}
	if (rc != 0)
		return rc;
	t = table_new(conf, m, NULL);
	if (t == NULL) {
		if (m->path != NULL)
			unlink(m->path);
		pl_map_close(m);
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	t->writer = true;
	t->fallback = why[0] != '\0';
	snprintf(t->fallback_reason, sizeof(t->fallback_reason), "%s", why);
	*out = t;
	return 0;
}

int pl_table_create(const struct pl_table_conf *conf, struct pl_table **out, char *error,
		    size_t error_size)
{
	return pl_table_create_tuned(conf, NULL, out, error, error_size);
}

static bool superseded(const struct pl_map *m)
{
	/* STALE acquire: pairs with the release store in pl_table_grow.c. */
	return atomic_load_explicit(&m->h->superseded, memory_order_acquire) != 0;
}

/* The table at path, and, if it was being replaced, its successor. */
static int attach_pair(const char *path, uint64_t capacity, struct pl_map **cur,
		       struct pl_map **next, char *error, size_t error_size)
{
	char *next_path;
	int rc;

	*next = NULL;
	for (uint32_t tries = 0; tries < 3; tries++) {
		rc = pl_map_attach(path, cur, error, error_size);
		if (rc != 0)
			return rc;
		if (!superseded(*cur))
			break;
		if (asprintf(&next_path, "%s.new", path) < 0) {
			pl_map_close(*cur);
			snprintf(error, error_size, "out of memory");
			return -ENOMEM;
		}
		rc = pl_map_attach(next_path, next, error, error_size);
		free(next_path);
		if (rc == 0 && (*next)->h->fixed.parent_id == (*cur)->h->fixed.table_id)
			break;
		if (rc == 0)
			pl_map_close(*next);
		*next = NULL;
		/* It may just have taken the name: look again. */
		if (tries < 2)
			pl_map_close(*cur);
	}
	uint64_t have = (*next != NULL ? *next : *cur)->h->fixed.capacity;

	if (capacity == 0 || have == capacity)
		return 0;
	snprintf(error, error_size,
		 "%s has a capacity of %" PRIu64 " certificates, not %" PRIu64
		 ": configure %" PRIu64 ", or have the table made anew",
		 path, have, capacity, have);
	pl_map_close(*next);
	pl_map_close(*cur);
	return -ERANGE;
}

int pl_table_attach(const struct pl_table_conf *conf, bool writer, struct pl_table **out,
		    char *error, size_t error_size)
{
	const char *path = conf->path;
	struct pl_map *cur, *next;
	struct pl_table *t;
	int rc;

	if (conf->fallback_path != NULL && (path == NULL || access(path, F_OK) != 0) &&
	    access(conf->fallback_path, F_OK) == 0)
		path = conf->fallback_path;
	if (path == NULL) {
		snprintf(error, error_size, "a table without a path cannot be attached to");
		return -EINVAL;
	}
	rc = attach_pair(path, conf->capacity, &cur, &next, error, error_size);
	if (rc != 0)
		return rc;
	t = next != NULL ? table_new(conf, next, cur) : table_new(conf, cur, NULL);
	if (t == NULL) {
		pl_map_close(next);
		pl_map_close(cur);
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	if (path != conf->path && conf->path != NULL) {
		t->fallback = true;
		snprintf(t->fallback_reason, sizeof(t->fallback_reason),
			 "the table was made at %s, as %s could not be used", path, conf->path);
	}
	rc = writer ? pl_table_writer_take(t) : 0;
	if (rc != 0) {
		snprintf(error, error_size,
			 "%s has a writer already: another process uses this table, give this "
			 "one a file of its own",
			 path);
		pl_table_close(t);
		return rc;
	}
	*out = t;
	return 0;
}

int pl_table_writer_take(struct pl_table *t)
{
	const struct pl_table_view *view = atomic_load_explicit(&t->view, memory_order_acquire);

	if (t->writer)
		return 0;
	if (view->prev != NULL && flock(view->prev->fd, LOCK_EX | LOCK_NB) != 0)
		return -EBUSY;
	if (flock(view->cur->fd, LOCK_EX | LOCK_NB) != 0) {
		if (view->prev != NULL)
			(void)flock(view->prev->fd, LOCK_UN);
		return -EBUSY;
	}
	pl_map_repair(view->cur);
	t->writer = true;
	pl_table_grow_resume(t);
	return 0;
}

void pl_table_writer_drop(struct pl_table *t)
{
	if (!t->writer || t->bulk_on)
		return;
	pl_table_grow_abandon(t);
	pl_table_sweep_abandon(t);

	const struct pl_table_view *view = atomic_load_explicit(&t->view, memory_order_acquire);

	t->writer = false;
	(void)flock(view->cur->fd, LOCK_UN);
	if (view->prev != NULL)
		(void)flock(view->prev->fd, LOCK_UN);
}

void pl_table_close(struct pl_table *t)
{
	if (t == NULL)
		return;
	pl_table_grow_abandon(t);
	pl_table_sweep_abandon(t);

	const struct pl_table_view *view = atomic_load_explicit(&t->view, memory_order_acquire);

	if (t->grow == PL_GROW_DRAIN)
		pl_map_close(t->grow_old);
	pl_map_close(view->prev);
	pl_map_close(view->cur);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* ---- writing ----------------------------------------------------------------------------- */

int pl_table_put(struct pl_table *t, uint64_t id, uint32_t facts)
{
	struct pl_write w = {.t = t, .m = map_cur(t)};

	if (!t->writer)
		return -EPERM;

	int rc = pl_map_put(&w, id, facts);

	if (rc >= 0 && t->grow == PL_GROW_FILL)
		pl_table_grow_put(t, id, facts);
	return rc;
}

int pl_table_put_many(struct pl_table *t, const struct pl_table_entry *entries, size_t cnt,
		      size_t *done)
{
	struct pl_write w = {.t = t, .m = map_cur(t)};

	*done = 0;
	if (!t->writer)
		return -EPERM;

	int rc = pl_map_put_many(&w, entries, cnt, done);

	if (t->grow == PL_GROW_FILL)
		for (size_t i = 0; i < *done; i++)
			pl_table_grow_put(t, entries[i].id, entries[i].facts);
	return rc;
}

int pl_table_remove(struct pl_table *t, uint64_t id)
{
	struct pl_write w = {.t = t, .m = map_cur(t)};

	if (!t->writer)
		return -EPERM;

	int rc = pl_map_remove(&w, id);

	if (rc == 0 && t->grow == PL_GROW_FILL)
		pl_table_grow_remove(t, id);
	return rc;
}

int pl_table_get(const struct pl_table *t, uint64_t id, uint32_t *facts, uint32_t *seen_shown_at)
{
	const struct pl_table_view *view = atomic_load_explicit(&t->view, memory_order_acquire);
	uint64_t slot = pl_map_find(view->cur, id, false);
	uint64_t seen = 0;

	if (slot == PL_TABLE_NO_SLOT)
		return -ENOENT;

	struct pl_bucket *b = &view->cur->buckets[slot >> 2];

	/* relaxed: single words, for the caller to look at. */
	if (facts != NULL)
		*facts = atomic_load_explicit(&b->facts[slot & 3], memory_order_relaxed);
	if (seen_shown_at == NULL)
		return 0;
	seen = atomic_load_explicit(&b->seen[slot & 3], memory_order_relaxed) >> 32;
	if (view->prev != NULL && (slot = pl_map_find(view->prev, id, false)) != PL_TABLE_NO_SLOT) {
		uint64_t old = atomic_load_explicit(&view->prev->buckets[slot >> 2].seen[slot & 3],
						    memory_order_relaxed) >>
			       32;

		seen = old > seen ? old : seen;
	}
	*seen_shown_at = (uint32_t)seen;
	return 0;
}

void pl_table_position_set(struct pl_table *t, const void *position)
{
	if (t->writer)
		pl_map_position_set(map_cur(t), position);
}

void pl_table_position_get(const struct pl_table *t, void *position)
{
	pl_map_position_get(map_cur(t), position);
}

void pl_map_position_set(struct pl_map *m, const void *position)
{
	struct pl_table_header *h = m->h;
	uint32_t idx = 1 - atomic_load_explicit(&h->position_idx, memory_order_relaxed);
	uint64_t words[PL_TABLE_POSITION_SIZE / 8];

	memcpy(words, position, sizeof(words));
	for (uint32_t i = 0; i < PL_ARRAY_CNT(words); i++)
		/* relaxed: the idle half; ordered by the next store. */
		atomic_store_explicit(&h->position[idx][i], words[i], memory_order_relaxed);
	/* POSITION release: the half is complete. Pairs: the acquire load below. */
	atomic_store_explicit(&h->position_idx, idx, memory_order_release);
}

void pl_map_position_get(struct pl_map *m, void *position)
{
	struct pl_table_header *h = m->h;
	/* POSITION acquire. Two sets during one get would tear; they are a segment apart, and a
	 * reader of its own process is the writer's thread. */
	uint32_t idx = atomic_load_explicit(&h->position_idx, memory_order_acquire);
	uint64_t words[PL_TABLE_POSITION_SIZE / 8];

	for (uint32_t i = 0; i < PL_ARRAY_CNT(words); i++)
		words[i] = atomic_load_explicit(&h->position[idx][i], memory_order_relaxed);
	memcpy(position, words, sizeof(words));
}

size_t pl_table_iterate(const struct pl_table *t, uint64_t *cursor, struct pl_table_entry *out,
			size_t max)
{
	size_t cnt;

	look_begin(t);
	cnt = pl_map_iterate(map_cur(t), cursor, UINT64_MAX, out, max);
	look_end(t);
	return cnt;
}

size_t pl_map_iterate(const struct pl_map *m, uint64_t *cursor, uint64_t slots_max,
		      struct pl_table_entry *out, size_t max)
{
	uint64_t slot_cnt = (m->bucket_cnt + PL_TABLE_STASH_CNT) * PL_TABLE_SLOTS;
	uint64_t at = *cursor;
	size_t cnt = 0;

	for (; at < slot_cnt && cnt < max && slots_max != 0; at++, slots_max--) {
		struct pl_bucket *b = &m->buckets[at / PL_TABLE_SLOTS];
		/* SLOT-PUB acquire: see pl_bucket_match(). */
		uint32_t facts =
			atomic_load_explicit(&b->facts[at % PL_TABLE_SLOTS], memory_order_acquire);

		if (!pl_facts_live(facts))
			continue;
		out[cnt].id =
			atomic_load_explicit(&b->id[at % PL_TABLE_SLOTS], memory_order_relaxed);
		out[cnt++].facts = facts;
	}
	*cursor = at >= slot_cnt ? UINT64_MAX : at;
	return cnt;
}

/* ---- reporting ------------------------------------------------------------------------------- */

static uint64_t peek(_Atomic uint64_t *p)
{
	/* relaxed: figures for people. */
	return atomic_load_explicit(p, memory_order_relaxed);
}

void pl_table_stats_get(const struct pl_table *t, struct pl_table_stats *out)
{
	struct pl_table_header *h;
	struct pl_map *m;

	look_begin(t);
	m = map_cur(t);
	h = m->h;
	*out = (struct pl_table_stats){
		.capacity = h->fixed.capacity,
		.entry_cnt = peek(&h->entry_cnt),
		.removed_cnt = peek(&h->tomb_cnt),
		.slot_cnt = (m->bucket_cnt + PL_TABLE_STASH_CNT) * PL_TABLE_SLOTS,
		.size = m->size,
		.page_size = m->page_size,
		.full_cnt = peek(&h->full_cnt),
		.blocked_cnt = peek(&h->blocked_cnt),
		.reaped_cnt = peek(&h->reaped_cnt),
		.repaired_cnt = peek(&h->repaired_cnt),
		.generation = h->fixed.generation,
		.memory = !m->huge                            ? PL_TABLE_MEM_ORDINARY
			  : m->page_size >= UINT64_C(1) << 30 ? PL_TABLE_MEM_HUGE_1G
							      : PL_TABLE_MEM_HUGE_2M,
		.fallback = t->fallback,
		.growing = t->grow != PL_GROW_NONE,
		.superseded = superseded(m),
	};
	memcpy(out->fallback_reason, t->fallback_reason, sizeof(out->fallback_reason));
	for (uint32_t i = 0; i < PL_TABLE_READERS_MAX; i++)
		out->reader_cnt += peek(&h->readers[i].owner) != 0;
	for (uint32_t i = 0; i < PL_TABLE_STASH_CNT * PL_TABLE_SLOTS; i++)
		out->stash_used +=
			atomic_load_explicit(&m->buckets[m->bucket_cnt + i / PL_TABLE_SLOTS]
						      .facts[i % PL_TABLE_SLOTS],
					     memory_order_relaxed) != 0;
	look_end(t);
}
