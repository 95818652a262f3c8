/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Insert, replace, remove: each leaves the table right after every single store.
 *
 * Insert: journal; where the slot was another's, it is given up and that one's signpost goes; the new
 * key's signpost (META-PUB); id and seen; facts (SLOT-PUB), with which it is present. Remove: journal;
 * facts becomes a tombstone; the signpost stays with it, so that the same certificate, coming
 * back, finds its own slot and its newest accepted scan.
 *
 * With w->locks several threads insert at once (a build): each holds the lock of its key's home
 * pair, and of any other pair for as long as it writes there, which it only ever tries to take.
 */
#include <errno.h>
#include <sched.h>

#include "table/pl_table_pvt.h"

#define PUT_GROUP          16u
#define REAP_AFTER_BLOCKED 4096u
#define POS_STASH          PL_TABLE_POS_CNT

/* ---- locks of a build -------------------------------------------------------------------- */

static uint64_t lock_idx(uint64_t bucket)
{
	return (bucket >> 1) % PL_TABLE_BULK_LOCKS;
}

/* BULK-LOCK: acquire on taking, release on giving back; what is done under it is seen by the
 * next holder. Home locks are waited for by threads that hold none, others only tried: so no
 * two threads wait for each other. */
static void home_lock(const struct pl_write *w, uint64_t home)
{
	while (atomic_exchange_explicit(&w->locks[lock_idx(home)], 1, memory_order_acquire) != 0)
		sched_yield();
}

static void home_unlock(const struct pl_write *w, uint64_t home)
{
	atomic_store_explicit(&w->locks[lock_idx(home)], 0, memory_order_release);
}

static bool lock_try(const struct pl_write *w, uint64_t bucket, uint64_t home)
{
	if (w->locks == NULL || lock_idx(bucket) == lock_idx(home))
		return true;
	return atomic_exchange_explicit(&w->locks[lock_idx(bucket)], 1, memory_order_acquire) == 0;
}

static void unlock(const struct pl_write *w, uint64_t bucket, uint64_t home)
{
	if (w->locks != NULL && lock_idx(bucket) != lock_idx(home))
		atomic_store_explicit(&w->locks[lock_idx(bucket)], 0, memory_order_release);
}

/* ---- small steps ---------------------------------------------------------------------------- */

/* The counters and the journal are the writer's alone while it lives, hence relaxed; others see
 * them for display, or after attaching, when the writer is gone. */
static uint64_t get64(_Atomic uint64_t *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

static void set64(_Atomic uint64_t *p, uint64_t v)
{
	atomic_store_explicit(p, v, memory_order_relaxed);
}

static void journal_begin(const struct pl_write *w, enum pl_journal_op op, uint64_t id,
			  uint64_t slot, bool was_tomb)
{
	struct pl_table_header *h = w->m->h;

	if (w->locks != NULL)
		return; /* a build that dies is counted anew */
	set64(&h->op_id, id);
	set64(&h->op_slot, slot);
	set64(&h->op_entry_cnt, get64(&h->entry_cnt));
	set64(&h->op_tomb_cnt, get64(&h->tomb_cnt));
	atomic_store_explicit(&h->was_tomb, was_tomb, memory_order_relaxed);
	/* JOURNAL release: the words above are stored before it. A next writer reads them after
	 * this process has died: it needs the order of our stores and no more. */
	atomic_store_explicit(&h->op, op, memory_order_release);
}

static void journal_end(const struct pl_write *w)
{
	if (w->locks == NULL)
		/* JOURNAL release: the operation and its counts are complete. */
		atomic_store_explicit(&w->m->h->op, PL_JOURNAL_NONE, memory_order_release);
}

static void count(const struct pl_write *w, _Atomic uint64_t *p, int64_t add)
{
	if (w->locks != NULL)
		/* relaxed: a count; the threads' end is synchronised by their joining. */
		atomic_fetch_add_explicit(p, (uint64_t)add, memory_order_relaxed);
	else
		set64(p, get64(p) + (uint64_t)add);
}

/* Claim one of the capacity before placing; a build's threads do so at once. */
static bool capacity_claim(const struct pl_write *w)
{
	struct pl_table_header *h = w->m->h;

	if (w->locks == NULL)
		return get64(&h->entry_cnt) < h->fixed.capacity;

	uint64_t have = get64(&h->entry_cnt);

	do {
		if (have >= h->fixed.capacity)
			return false;
		/* relaxed: only the number matters. */
	} while (!atomic_compare_exchange_weak_explicit(
		&h->entry_cnt, &have, have + 1, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static void capacity_unclaim(const struct pl_write *w)
{
	if (w->locks != NULL)
		count(w, &w->m->h->entry_cnt, -1);
}

static _Atomic uint32_t *facts_at(const struct pl_map *m, uint64_t slot)
{
	return &m->buckets[slot >> 2].facts[slot & 3];
}

static uint64_t id_at(const struct pl_map *m, uint64_t slot)
{
	/* relaxed: only the writer changes ids. */
	return atomic_load_explicit(&m->buckets[slot >> 2].id[slot & 3], memory_order_relaxed);
}

static uint64_t home_of(const struct pl_map *m, uint64_t id)
{
	return pl_table_reduce(pl_table_hash(id, m->seed), m->bucket_cnt);
}

/* ---- meta ------------------------------------------------------------------------------------- */

static uint32_t level_for(uint32_t pos)
{
	uint32_t level = 1;

	while (level < PL_META_LEVEL_STASH && pos > pl_meta_level_pos[level])
		level++;
	return level;
}

/* The signpost with the least position, 0 for a free one: the shift of its bits. */
static uint32_t meta_least(uint32_t meta, uint32_t *pos)
{
	uint32_t least = 0;

	*pos = meta & PL_META_POS_MASK;
	for (uint32_t j = 1; j < PL_META_SIGN_CNT; j++) {
		uint32_t shift = j * PL_META_SIGN_BITS;
		uint32_t have = meta >> shift & PL_META_POS_MASK;

		if (have < *pos) {
			*pos = have;
			least = shift;
		}
	}
	return least;
}

/*
 * meta with one more key beyond home. When all signposts are taken the deepest keys have them, and
 * the level stands for the others: nearly always for keys in the buddy.
 */
static uint32_t meta_with(uint32_t meta, uint32_t pos, uint32_t tag)
{
	uint32_t level = PL_META_LEVEL_STASH;

	if (pos < POS_STASH) {
		uint32_t least_pos;
		uint32_t shift = meta_least(meta, &least_pos);

		if (least_pos < pos) {
			meta = (meta & ~(PL_META_SIGN_MASK << shift)) |
			       (pos | tag << PL_META_TAG_SHIFT) << shift;
			pos = least_pos;
		}
		if (pos == 0)
			return meta;
		level = level_for(pos);
	}
	if (level > meta >> PL_META_LEVEL_SHIFT)
		meta = (meta & ~(3u << PL_META_LEVEL_SHIFT)) | level << PL_META_LEVEL_SHIFT;
	return meta;
}

static void meta_store(struct pl_map *m, uint64_t home, uint32_t meta)
{
	/* META-PUB release: keys that this word leads to were put before, but for one that is being
	 * put. Pairs: the loads of a burst's first half (look() with AVX-512, ask() else) and the
	 * acquire load in pl_table_find_beyond(). */
	atomic_store_explicit(&m->buckets[home].meta, meta, memory_order_release);
}

static bool occupant_of(const struct pl_map *m, uint64_t bucket, uint32_t i, uint64_t home,
			uint32_t *tag)
{
	/* relaxed: the writer's own words. */
	uint32_t facts = atomic_load_explicit(&m->buckets[bucket].facts[i], memory_order_relaxed);

	if (facts == 0)
		return false;
	uint64_t hash = pl_table_hash(id_at(m, pl_table_slot(bucket, i)), m->seed);

	*tag = pl_table_tag(hash);
	return pl_table_reduce(hash, m->bucket_cnt) == home;
}

/*
 * Make a home's meta anew from what is in its positions. One store: every key present before is
 * led to before and after. The deepest keys get the signposts, so that the level is least.
 */
void pl_map_home_rebuild(struct pl_map *m, uint64_t home)
{
	uint64_t seen_buckets[PL_TABLE_POS_CNT] = {home};
	uint32_t meta = 0;
	uint32_t tag;

	for (uint64_t i = 0; i < PL_TABLE_STASH_CNT * PL_TABLE_SLOTS; i++)
		if (occupant_of(m, m->bucket_cnt + i / PL_TABLE_SLOTS,
				(uint32_t)(i % PL_TABLE_SLOTS), home, &tag))
			meta = meta_with(meta, POS_STASH, tag);
	for (uint32_t pos = 1; pos < PL_TABLE_POS_CNT; pos++)
		seen_buckets[pos] = pl_table_pos_bucket(home, pos, m->seed, m->bucket_cnt);
	for (uint32_t pos = PL_TABLE_POS_CNT - 1; pos >= 1; pos--) {
		bool again = false;

		/* In a small table positions may name one bucket twice: the first counts. */
		for (uint32_t k = 0; k < pos; k++)
			again |= seen_buckets[k] == seen_buckets[pos];
		if (again)
			continue;
		for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++)
			if (occupant_of(m, seen_buckets[pos], i, home, &tag))
				meta = meta_with(meta, pos, tag);
	}
	meta_store(m, home, meta);
}

/* What led to the key that a slot was of, which is nobody's now: no reader holds it, no lookup ends in it. */
static void detach_old(struct pl_map *m, uint64_t slot)
{
	uint64_t hash = pl_table_hash(id_at(m, slot), m->seed);
	uint64_t home = pl_table_reduce(hash, m->bucket_cnt);
	/* relaxed: the writer's own word. */
	uint32_t meta = atomic_load_explicit(&m->buckets[home].meta, memory_order_relaxed);

	if (home == slot >> 2)
		return;
	if (meta >> PL_META_LEVEL_SHIFT == 0) {
		for (uint32_t j = 0; j < PL_META_SIGN_CNT; j++) {
			uint32_t shift = j * PL_META_SIGN_BITS;
			uint32_t sign = meta >> shift & PL_META_SIGN_MASK;
			uint32_t pos = sign & PL_META_POS_MASK;

			if (pos == 0 || sign >> PL_META_TAG_SHIFT != pl_table_tag(hash) ||
			    pl_table_pos_bucket(home, pos, m->seed, m->bucket_cnt) != slot >> 2)
				continue;
			meta_store(m, home, meta & ~(PL_META_SIGN_MASK << shift));
			return;
		}
		return;
	}
	/* With a level it takes a look at all positions. */
	pl_map_home_rebuild(m, home);
}

/* ---- finding room --------------------------------------------------------------------------------- */

/* May a slot removed at this epoch be used again? Epochs are compared by difference in 27 bits;
 * an answer that is wrong by wrapping only waits. */
static bool tomb_passed(struct pl_write *w, uint32_t facts)
{
	struct pl_table *t = w->t;
	uint32_t stamp = facts >> PL_TOMB_EPOCH_SHIFT & PL_TOMB_EPOCH_MASK;

	if (w->locks != NULL)
		return false; /* its old key's home may be another thread's */
	for (uint32_t pass = 0; pass < 2; pass++) {
		uint32_t ahead = ((uint32_t)t->safe_epoch - stamp) & PL_TOMB_EPOCH_MASK;

		if (t->safe_map == w->m && ahead >= 1 && ahead < 1u << (PL_TOMB_EPOCH_BITS - 1))
			return true;
		if (pass != 0)
			break;
		/* relaxed: only the writer changes it. */
		uint64_t epoch = atomic_load_explicit(&w->m->h->epoch, memory_order_relaxed);

		if (((uint32_t)epoch & PL_TOMB_EPOCH_MASK) == stamp)
			epoch = pl_map_epoch_bump(w->m);
		uint64_t min = pl_map_epoch_min(w->m, false);

		t->safe_epoch = min < epoch ? min : epoch;
		t->safe_map = w->m;
	}
	if (++t->blocked_since_reap >= REAP_AFTER_BLOCKED) {
		t->blocked_since_reap = 0;
		(void)pl_map_reap(w->m);
	}
	return false;
}

/* A slot in this bucket that may be written, or PL_TABLE_NO_SLOT. */
static uint64_t room_in(struct pl_write *w, uint64_t bucket, bool *blocked)
{
	struct pl_bucket *b = &w->m->buckets[bucket];
	uint32_t facts[PL_TABLE_SLOTS];

	for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++) {
		/* relaxed: the writer's own words (under the pair's lock in a build). */
		facts[i] = atomic_load_explicit(&b->facts[i], memory_order_relaxed);
		if (facts[i] == 0)
			return pl_table_slot(bucket, i);
	}
	for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++) {
		if (pl_facts_live(facts[i]))
			continue;
		if (tomb_passed(w, facts[i]))
			return pl_table_slot(bucket, i);
		*blocked = true;
	}
	return PL_TABLE_NO_SLOT;
}

struct place {
	uint64_t slot;
	uint32_t pos;
	bool blocked;   /* no room, but removed slots that a reader has not passed */
	bool contended; /* a place was not looked at: another thread was there */
};

/* On success in a build the place's pair is locked. */
static struct place place_find(struct pl_write *w, uint64_t home)
{
	struct place p = {.slot = PL_TABLE_NO_SLOT};
	const struct pl_map *m = w->m;

	for (uint32_t pos = 0; pos <= POS_STASH; pos++) {
		uint64_t cnt = pos < POS_STASH ? 1 : PL_TABLE_STASH_CNT;

		for (uint64_t i = 0; i < cnt; i++) {
			uint64_t bucket = pos < POS_STASH ? pl_table_pos_bucket(home, pos, m->seed,
										m->bucket_cnt)
							  : m->bucket_cnt + i;

			/* The home by its other names. */
			if (pos > 1 && bucket == home)
				continue;
			if (!lock_try(w, bucket, home)) {
				p.contended = true;
				continue;
			}
			p.slot = room_in(w, bucket, &p.blocked);
			p.pos = pos;
			if (p.slot != PL_TABLE_NO_SLOT)
				return p;
			unlock(w, bucket, home);
		}
	}
	return p;
}

/* What is put while a sweep is on stays. */
static void mark(const struct pl_write *w, uint64_t slot)
{
	if (PL_UNLIKELY(w->t->marks != NULL))
		w->t->marks[slot / 64] |= UINT64_C(1) << slot % 64;
}

/* ---- the operations --------------------------------------------------------------------------------- */

static void facts_publish(struct pl_map *m, uint64_t slot, uint32_t facts)
{
	/* SLOT-PUB release: id, seen and what leads here are stored before. Pairs: the acquire
	 * load in pl_bucket_match(). */
	atomic_store_explicit(facts_at(m, slot), facts, memory_order_release);
}

static int put_found(struct pl_write *w, uint64_t slot, uint32_t facts, uint64_t id)
{
	struct pl_table_header *h = w->m->h;
	uint32_t have = atomic_load_explicit(facts_at(w->m, slot), memory_order_relaxed);

	if (pl_facts_live(have)) {
		facts_publish(w->m, slot, facts);
		return 1;
	}
	/* It was removed and comes back to its own slot: no reader can mistake it. */
	if (!capacity_claim(w)) {
		count(w, &h->full_cnt, 1);
		return -ENOSPC;
	}
	journal_begin(w, PL_JOURNAL_INSERT, id, slot, true);
	facts_publish(w->m, slot, facts);
	if (w->locks == NULL)
		count(w, &h->entry_cnt, 1);
	count(w, &h->tomb_cnt, -1);
	journal_end(w);
	return 0;
}

static void put_new(struct pl_write *w, uint64_t id, uint32_t tag, uint32_t facts, uint64_t home,
		    const struct place *p)
{
	struct pl_map *m = w->m;
	struct pl_bucket *b = &m->buckets[p->slot >> 2];
	uint32_t i = p->slot & 3;
	bool was_tomb = atomic_load_explicit(&b->facts[i], memory_order_relaxed) != 0;

	journal_begin(w, PL_JOURNAL_INSERT, id, p->slot, was_tomb);
	if (was_tomb) {
		/* relaxed: a removed certificate is absent to readers either way. */
		atomic_store_explicit(&b->facts[i], 0, memory_order_relaxed);
		detach_old(m, p->slot);
	}
	if (p->pos != 0)
		meta_store(m, home,
			   meta_with(atomic_load_explicit(&m->buckets[home].meta,
							  memory_order_relaxed),
				     p->pos, tag));
	/* REUSE release, both: the slot was given up before. If we die here, the next writer must not
	 * find a removed slot with the newcomer's id and the seen word of another: it would take it
	 * for the newcomer's own, and its scans for replayed. Nor one with the old id and no scan.
	 * Pairs: the next writer's attaching, which finds our stores in their order. Readers take
	 * no notice before SLOT-PUB. */
	atomic_store_explicit(&b->id[i], id, memory_order_release);
	atomic_store_explicit(&b->seen[i], 0, memory_order_release);
	facts_publish(m, p->slot, facts);
	if (w->locks == NULL)
		count(w, &m->h->entry_cnt, 1);
	if (was_tomb)
		count(w, &m->h->tomb_cnt, -1);
	journal_end(w);
}

static int put_locked(struct pl_write *w, uint64_t id, uint64_t hash, uint64_t home, uint32_t facts)
{
	struct pl_table_header *h = w->m->h;
	uint64_t slot = pl_map_find(w->m, id, true);

	if (slot != PL_TABLE_NO_SLOT) {
		int rc = put_found(w, slot, facts, id);

		if (rc >= 0)
			mark(w, slot);
		return rc;
	}
	if (!capacity_claim(w)) {
		count(w, &h->full_cnt, 1);
		return -ENOSPC;
	}
	struct place p = place_find(w, home);

	if (p.slot == PL_TABLE_NO_SLOT) {
		capacity_unclaim(w);
		return p.contended ? -EBUSY : p.blocked ? -EAGAIN : -ENOSPC;
	}
	put_new(w, id, pl_table_tag(hash), facts, home, &p);
	mark(w, p.slot);
	unlock(w, p.slot >> 2, home);
	return 0;
}

int pl_map_put(struct pl_write *w, uint64_t id, uint32_t facts)
{
	uint64_t hash = pl_table_hash(id, w->m->seed);
	uint64_t home = pl_table_reduce(hash, w->m->bucket_cnt);
	int rc;

	if (!pl_facts_valid(facts))
		return -EINVAL;
	if (w->locks == NULL) {
		rc = put_locked(w, id, hash, home, facts);
	} else {
		do {
			home_lock(w, home);
			rc = put_locked(w, id, hash, home, facts);
			home_unlock(w, home);
		} while (rc == -EBUSY); /* the only room was another thread's just then */
	}
	if (rc == -EAGAIN)
		count(w, &w->m->h->blocked_cnt, 1);
	else if (rc == -ENOSPC && get64(&w->m->h->entry_cnt) < w->m->h->fixed.capacity)
		count(w, &w->m->h->full_cnt, 1);
	return rc;
}

/* The homes of a group, one right after the other: with the 500 instructions of an insert between them,
 * pages would be looked for one by one (perf/run pages). always_inline: see pl_prefetch(). */
static inline __attribute__((always_inline)) void
group_fetch(const struct pl_map *m, const struct pl_table_entry *entries, size_t cnt)
{
	for (size_t i = 0; i < cnt && i < PUT_GROUP; i++)
		pl_table_prefetch_home(m->buckets, m->bucket_cnt, m->seed, entries[i].id);
}

int pl_map_put_many(struct pl_write *w, const struct pl_table_entry *entries, size_t cnt,
		    size_t *done)
{
	group_fetch(w->m, entries, cnt);
	for (size_t i = 0; i < cnt; i++) {
		int rc;

		if (i % PUT_GROUP == 0 && cnt - i > PUT_GROUP)
			group_fetch(w->m, &entries[i + PUT_GROUP], cnt - i - PUT_GROUP);
		rc = pl_map_put(w, entries[i].id, entries[i].facts);
		if (rc < 0) {
			*done = i;
			return rc;
		}
	}
	*done = cnt;
	return 0;
}

int pl_map_remove(struct pl_write *w, uint64_t id)
{
	struct pl_table_header *h = w->m->h;
	uint64_t slot = pl_map_find(w->m, id, false);

	if (slot == PL_TABLE_NO_SLOT)
		return -ENOENT;
	journal_begin(w, PL_JOURNAL_REMOVE, id, slot, false);
	/* release: nothing needs it but the journal before it. The epoch is read first: a reader
	 * that has passed it can hold a hit on this slot, one that passes the next cannot. */
	atomic_store_explicit(facts_at(w->m, slot),
			      pl_facts_tomb(atomic_load_explicit(&h->epoch, memory_order_relaxed)),
			      memory_order_release);
	count(w, &h->entry_cnt, -1);
	count(w, &h->tomb_cnt, 1);
	journal_end(w);
	return 0;
}

/* ---- after a writer's death ----------------------------------------------------------------------------- */

void pl_map_recount(struct pl_map *m)
{
	uint64_t live = 0, tomb = 0;

	for (uint64_t b = 0; b < m->bucket_cnt + PL_TABLE_STASH_CNT; b++)
		for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++) {
			/* relaxed: the writer's own words. */
			uint32_t facts =
				atomic_load_explicit(&m->buckets[b].facts[i], memory_order_relaxed);

			live += pl_facts_live(facts);
			tomb += !pl_facts_live(facts) && facts != 0;
		}
	set64(&m->h->entry_cnt, live);
	set64(&m->h->tomb_cnt, tomb);
}

/* Finish what the last writer left half done; idempotent, as we may die here, too. */
void pl_map_repair(struct pl_map *m)
{
	struct pl_table_header *h = m->h;
	/* JOURNAL acquire: pairs with the release in journal_begin(). */
	uint32_t op = atomic_load_explicit(&h->op, memory_order_acquire);

	if (atomic_load_explicit(&h->bulk, memory_order_relaxed) != 0) {
		pl_map_recount(m);
		set64(&h->repaired_cnt, get64(&h->repaired_cnt) + 1);
		atomic_store_explicit(&h->bulk, 0, memory_order_release);
	}
	if (op == PL_JOURNAL_NONE)
		return;

	uint64_t slot = get64(&h->op_slot);
	uint64_t id = get64(&h->op_id);
	uint32_t facts = atomic_load_explicit(facts_at(m, slot), memory_order_relaxed);
	bool was_tomb = atomic_load_explicit(&h->was_tomb, memory_order_relaxed) != 0;
	bool is_tomb = facts != 0 && !pl_facts_live(facts);
	bool is_live = pl_facts_live(facts) && id_at(m, slot) == id;

	set64(&h->entry_cnt, get64(&h->op_entry_cnt) + (op == PL_JOURNAL_INSERT && is_live) -
				     (op == PL_JOURNAL_REMOVE && !is_live));
	set64(&h->tomb_cnt, get64(&h->op_tomb_cnt) + (op == PL_JOURNAL_REMOVE && is_tomb) -
				    (op == PL_JOURNAL_INSERT && was_tomb && !is_tomb));
	/* Signposts to nowhere, or a removed slot without one. */
	pl_map_home_rebuild(m, home_of(m, id));
	pl_map_home_rebuild(m, home_of(m, id_at(m, slot)));
	set64(&h->repaired_cnt, get64(&h->repaired_cnt) + 1);
	/* JOURNAL release: as in journal_end(). */
	atomic_store_explicit(&h->op, PL_JOURNAL_NONE, memory_order_release);
}
