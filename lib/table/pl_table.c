/* SPDX-License-Identifier: BSD-3-Clause */
/* What readers do for every scan. */
#include "table/pl_table_pvt.h"

#define PL_SEEN_TRIES_MAX 16u

void pl_table_prefetch(const struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt)
{
	struct pl_bucket *buckets = r->buckets;
	uint64_t bucket_cnt = r->bucket_cnt;
	uint64_t seed = r->seed;

	for (uint32_t i = 0; i < cnt; i++)
		pl_prefetch(&buckets[pl_table_reduce(pl_table_hash(ids[i], seed), bucket_cnt)]);
	if (PL_UNLIKELY(r->prev != NULL)) {
		const struct pl_map *m = r->prev;

		for (uint32_t i = 0; i < cnt; i++)
			pl_prefetch(&m->buckets[pl_table_reduce(pl_table_hash(ids[i], m->seed),
								m->bucket_cnt)]);
	}
}

/* Position of the first signpost for this tag, or 0. */
static inline uint32_t meta_first_pos(uint32_t meta, uint32_t tag)
{
	for (uint32_t j = 0; j < PL_META_SIGN_CNT; j++) {
		uint32_t sign = meta >> (j * PL_META_SIGN_BITS) & PL_META_SIGN_MASK;

		if (sign >> PL_META_TAG_SHIFT == tag && (sign & PL_META_POS_MASK) != 0)
			return sign & PL_META_POS_MASK;
	}
	return 0;
}

/* A lookup whose home line leads on. */
struct pending {
	uint64_t bucket;
	uint32_t idx;
};

static inline void hit_set(struct pl_table_hit *hit, uint64_t bucket, uint32_t mask,
			   const uint32_t facts[PL_TABLE_SLOTS])
{
	uint32_t i = (uint32_t)__builtin_ctz(mask);

	hit->slot = pl_table_slot(bucket, i);
	hit->facts = facts[i];
	hit->found = PL_TABLE_FOUND;
}

/* Everything that meta leads to, one line after another: a tag that another key has, too, or a
 * home with more than three keys beyond it. */
static PL_COLD void find_rest(struct pl_table_reader *r, uint64_t id, struct pl_table_hit *hit)
{
	uint64_t hash = pl_table_hash(id, r->seed);
	uint32_t facts;
	uint64_t slot =
		pl_table_find_beyond(r->buckets, r->bucket_cnt, r->seed,
				     pl_table_reduce(hash, r->bucket_cnt), hash, id, false, &facts);

	r->counters.rest++;
	if (slot == PL_TABLE_NO_SLOT)
		return;
	hit->slot = slot;
	hit->facts = facts;
	hit->found = PL_TABLE_FOUND;
}

/* The second lines were all asked for in the first pass; now they arrive. */
static void find_pending(struct pl_table_reader *r, const uint64_t *ids, struct pl_table_hit *hits,
			 const struct pending *pending, uint32_t cnt)
{
	uint32_t facts[PL_TABLE_SLOTS];

	r->counters.second_line += cnt;
	for (uint32_t k = 0; k < cnt; k++) {
		const struct pending *p = &pending[k];
		uint32_t mask = pl_bucket_match(&r->buckets[p->bucket], ids[p->idx], facts);

		if (PL_LIKELY(mask != 0))
			hit_set(&hits[p->idx], p->bucket, mask, facts);
		else
			find_rest(r, ids[p->idx], &hits[p->idx]);
	}
}

static PL_COLD void find_stale(struct pl_table_reader *r, uint32_t cnt, struct pl_table_hit *hits)
{
	r->counters.unsure += cnt;
	for (uint32_t i = 0; i < cnt; i++)
		hits[i] = (struct pl_table_hit){.found = PL_TABLE_UNSURE};
}

void pl_table_find(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
		   struct pl_table_hit *hits)
{
	struct pending pending[PL_TABLE_BURST_MAX];
	uint32_t pending_cnt = 0;
	struct pl_bucket *buckets = r->buckets;
	uint64_t bucket_cnt = r->bucket_cnt;
	uint64_t seed = r->seed;
	uint32_t facts[PL_TABLE_SLOTS];

	PL_DCHECK(cnt <= PL_TABLE_BURST_MAX);
	if (PL_UNLIKELY(r->stale)) {
		find_stale(r, cnt, hits);
		return;
	}
	for (uint32_t i = 0; i < cnt; i++) {
		uint64_t hash = pl_table_hash(ids[i], seed);
		uint64_t home = pl_table_reduce(hash, bucket_cnt);
		uint32_t mask = pl_bucket_match(&buckets[home], ids[i], facts);

		if (PL_LIKELY(mask != 0)) {
			hit_set(&hits[i], home, mask, facts);
			continue;
		}
		hits[i] = (struct pl_table_hit){.found = PL_TABLE_ABSENT};

		/* META-PUB acquire: a key that was put before this lookup began has its signpost
		 * here, and its entry where that leads. Pairs: META-PUB release in the writer. */
		uint32_t meta = atomic_load_explicit(&buckets[home].meta, memory_order_acquire);

		if (meta == 0)
			continue;
		uint32_t pos = meta_first_pos(meta, pl_table_tag(hash));

		if (pos == 0 && meta >> PL_META_LEVEL_SHIFT == 0)
			continue;
		/* A level without a signpost: begin with the buddy. */
		uint64_t bucket = pl_table_pos_bucket(home, pos == 0 ? 1 : pos, seed, bucket_cnt);

		pl_prefetch(&buckets[bucket]);
		pending[pending_cnt++] = (struct pending){.bucket = bucket, .idx = i};
	}
	if (pending_cnt != 0)
		find_pending(r, ids, hits, pending, pending_cnt);
}

/*
 * The replay rule on one seen word: enum pl_table_seen, or PL_SEEN_MOVED.
 *
 * Wait-free: a CAS fails only because another scan of this certificate was accepted meanwhile,
 * and after a bounded number of those the answer is that we cannot tell.
 */
int pl_seen_accept(_Atomic uint64_t *word, uint64_t want)
{
	/* relaxed, here and below: the word itself is all there is; it orders nothing else. That
	 * the slot is still this certificate's is the quiescent points' business (QS-*). */
	uint64_t have = atomic_load_explicit(word, memory_order_relaxed);

	for (uint32_t i = 0; i < PL_SEEN_TRIES_MAX; i++) {
		if (PL_UNLIKELY(have & PL_SEEN_FROZEN))
			return PL_SEEN_MOVED;
		if (have >> 32 > want >> 32)
			return PL_SEEN_REPLAYED;
		if (have >> 32 == want >> 32)
			return have == want ? PL_SEEN_RESEND : PL_SEEN_REPLAYED;
		if (atomic_compare_exchange_strong_explicit(word, &have, want, memory_order_relaxed,
							    memory_order_relaxed))
			return PL_SEEN_NEW;
	}
	return PL_SEEN_UNSURE;
}

enum pl_table_seen pl_table_seen(struct pl_table_reader *r, const struct pl_table_hit *hit,
				 uint32_t shown_at, uint32_t scan_hash)
{
	PL_DCHECK(hit->found == PL_TABLE_FOUND);
	if (PL_UNLIKELY(r->prev != NULL))
		return pl_table_seen_both(r, hit, shown_at, scan_hash);

	int got = pl_seen_accept(&r->buckets[hit->slot >> 2].seen[hit->slot & 3],
				 pl_seen_word(shown_at, scan_hash));

	if (PL_LIKELY(got < PL_SEEN_UNSURE))
		return (enum pl_table_seen)got;
	/* Frozen with no successor in sight: another process is replacing this table. */
	r->counters.unsure++;
	return PL_SEEN_UNSURE;
}

void pl_table_quiesce(struct pl_table_reader *r)
{
	/* QS-EPOCH acquire: whatever was removed before this epoch began is seen removed by our
	 * later reads. Pairs: QS-EPOCH release in pl_map_epoch_bump(). Before the view: an
	 * epoch that began after a view was published brings that view. */
	uint64_t epoch = atomic_load_explicit(&r->h->epoch, memory_order_acquire);
	/* STALE acquire: pairs with the release store in pl_table_grow.c; before the view, as a
	 * process that set it published its view first. */
	uint32_t superseded = atomic_load_explicit(&r->h->superseded, memory_order_acquire);
	/* VIEW-PUB acquire: pairs with the release store in pl_table_grow.c. */
	const struct pl_table_view *view = atomic_load_explicit(&r->t->view, memory_order_acquire);

	if (PL_UNLIKELY(view != r->view || superseded || r->prev != NULL)) {
		pl_table_reader_switch(r, view);
		return;
	}
	if (PL_UNLIKELY(epoch != r->epoch)) {
		r->epoch = epoch;
		/* QS-PASS release: our reads of earlier bursts come before it. Pairs: the acquire
		 * load in pl_map_epoch_min(), after which the writer uses slots again. */
		atomic_store_explicit(&r->slot->epoch, epoch, memory_order_release);
	}
}

const struct pl_table_reader_counters *pl_table_reader_counters(const struct pl_table_reader *r)
{
	return &r->counters;
}
