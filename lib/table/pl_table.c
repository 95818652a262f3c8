/* SPDX-License-Identifier: BSD-3-Clause */
/* What readers do for every scan. */
#include "table/pl_table_pvt.h"

#if defined(__SANITIZE_THREAD__)
#define PL_TABLE_SCALAR 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PL_TABLE_SCALAR 1
#endif
#endif
#if defined(__SSE4_1__) && !defined(PL_TABLE_SCALAR)
#include <smmintrin.h>
#endif

#define PL_SEEN_TRIES_MAX 16u
#define FETCH_GROUP_CNT   8u

/* A lookup whose home line leads on. */
struct pending {
	uint64_t bucket; /* home, then where it leads */
	uint32_t meta;
	uint32_t idx;
	uint32_t tag;
};

/*
 * Look into one bucket for the burst: the facts of id, 0 if it is not there, and its slot.
 *
 * On x86-64 with SSE4.1 the three ids are compared at once. Such loads are outside C11's model,
 * so this leans on the machine's: lanes of 8 and 4 aligned bytes are read whole, and loads are
 * not reordered with loads; the barrier keeps the compiler to it. What must hold is what
 * pl_bucket_match() argues: facts before ids. That one is used everywhere else, and under
 * ThreadSanitizer; tests hold the two against each other. In cache a hit takes 5.7 ns with this
 * and 10 with the other (EPYC Zen 4).
 */
#if defined(__SSE4_1__) && !defined(PL_TABLE_SCALAR)
static inline uint32_t bucket_facts(struct pl_bucket *buckets, uint64_t bucket, uint64_t id,
				    uint64_t *slot)
{
	const struct pl_bucket *b = &buckets[bucket];
	/* SLOT-PUB: facts, then ids. */
	__m128i facts = _mm_load_si128((const __m128i *)(const void *)&b->facts[0]);

	atomic_signal_fence(memory_order_acquire);

	__m128i key = _mm_set1_epi64x((long long)id);
	__m128i eq01 =
		_mm_cmpeq_epi64(_mm_load_si128((const __m128i *)(const void *)&b->id[0]), key);
	/* The other half is the first seen word; its lane falls out below. */
	__m128i eq2 =
		_mm_cmpeq_epi64(_mm_load_si128((const __m128i *)(const void *)&b->id[2]), key);
	__m128i eq = _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(eq01), _mm_castsi128_ps(eq2),
						     _MM_SHUFFLE(2, 0, 2, 0)));
	/* The fourth lane is meta: masked to nothing, so that it is never live. */
	__m128i kinds = _mm_and_si128(
		facts, _mm_setr_epi32(PL_CERT_KIND_MAX, PL_CERT_KIND_MAX, PL_CERT_KIND_MAX, 0));
	__m128i hit = _mm_andnot_si128(_mm_cmpeq_epi32(kinds, _mm_setzero_si128()), eq);
	uint32_t mask = (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(hit));

	/* At most one lane is left: 1, 2, 4 are slots 0, 1, 2. */
	*slot = pl_table_slot(bucket, mask >> 1);
	hit = _mm_and_si128(hit, facts);
	hit = _mm_or_si128(hit, _mm_srli_si128(hit, 8));
	hit = _mm_or_si128(hit, _mm_srli_si128(hit, 4));
	return (uint32_t)_mm_cvtsi128_si32(hit);
}
#else
static inline uint32_t bucket_facts(struct pl_bucket *buckets, uint64_t bucket, uint64_t id,
				    uint64_t *slot)
{
	uint32_t facts[PL_TABLE_SLOTS];
	uint32_t mask = pl_bucket_match(&buckets[bucket], id, facts);

	*slot = pl_table_slot(bucket, mask >> 1);
	return (facts[0] & -(mask & 1)) | (facts[1] & -(mask >> 1 & 1)) | (facts[2] & -(mask >> 2));
}
#endif

static inline void prefetch_home(struct pl_bucket *buckets, uint64_t bucket_cnt, uint64_t seed,
				 uint64_t id)
{
	pl_prefetch(&buckets[pl_table_reduce(pl_table_hash(id, seed), bucket_cnt)]);
}

void pl_table_prefetch(const struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt)
{
	struct pl_bucket *buckets = r->buckets;
	uint64_t bucket_cnt = r->bucket_cnt;
	uint64_t seed = r->seed;

	for (uint32_t i = 0; i < cnt; i++)
		prefetch_home(buckets, bucket_cnt, seed, ids[i]);
	if (PL_UNLIKELY(r->prev != NULL)) {
		const struct pl_map *m = r->prev;

		for (uint32_t i = 0; i < cnt; i++)
			prefetch_home(m->buckets, m->bucket_cnt, m->seed, ids[i]);
	}
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

/*
 * The position that a home's meta leads to first; with a level and no signpost, the buddy.
 * match: from pl_meta_match(), may be 0.
 */
static inline uint32_t meta_first_pos(uint32_t meta, uint32_t match)
{
	/* The lowest carry bit is 10, 20 or 30; its signpost begins 10 below. */
	uint32_t shift = (uint32_t)__builtin_ctz(match | 1u << 31) - PL_META_SIGN_BITS;

	return match == 0 ? 1 : meta >> shift & PL_META_POS_MASK;
}

/* The homes of these had not the key and a meta word: which lead on? */
static uint32_t pending_collect(struct pl_table_reader *r, const uint64_t *ids,
				const struct pl_table_hit *hits, const uint8_t *open,
				uint32_t open_cnt, struct pending *pending)
{
	uint32_t cnt = 0;

	for (uint32_t k = 0; k < open_cnt; k++) {
		uint32_t i = open[k];
		uint64_t home = hits[i].slot >> 2;
		uint32_t tag = pl_table_tag(pl_table_hash(ids[i], r->seed));
		/* META-PUB acquire: a key that was put before this lookup began has its signpost
		 * here, and its entry where that leads. Pairs: META-PUB release in the writer. */
		uint32_t meta = atomic_load_explicit(&r->buckets[home].meta, memory_order_acquire);

		pending[cnt] = (struct pending){home, meta, i, tag};
		cnt += (pl_meta_match(meta, tag) | meta >> PL_META_LEVEL_SHIFT) != 0;
	}
	return cnt;
}

/* facts 0: not found. The two fields as one store. */
static inline void hit_set(struct pl_table_hit *hit, uint32_t facts)
{
	uint64_t word = facts | (uint64_t)(facts != 0) << 32;

	static_assert(offsetof(struct pl_table_hit, found) ==
			      offsetof(struct pl_table_hit, facts) + 4,
		      "one word");
	memcpy((uint8_t *)hit + offsetof(struct pl_table_hit, facts), &word, sizeof(word));
}

/* Ask for all the second lines. */
static void pending_ask(struct pl_table_reader *r, struct pending *pending, uint32_t cnt)
{
	r->counters.second_line += cnt;
	for (uint32_t k = 0; k < cnt; k++) {
		struct pending *p = &pending[k];
		uint32_t pos = meta_first_pos(p->meta, pl_meta_match(p->meta, p->tag));

		p->bucket = pl_table_pos_bucket(p->bucket, pos, r->seed, r->bucket_cnt);
		pl_prefetch(&r->buckets[p->bucket]);
	}
}

/* Look at them, and where that does not settle it, further. */
static void pending_look(struct pl_table_reader *r, const uint64_t *ids, struct pl_table_hit *hits,
			 const struct pending *pending, uint32_t cnt)
{
	for (uint32_t k = 0; k < cnt; k++) {
		const struct pending *p = &pending[k];
		struct pl_table_hit *hit = &hits[p->idx];
		uint32_t facts = bucket_facts(r->buckets, p->bucket, ids[p->idx], &hit->slot);

		hit_set(hit, facts);
		if (PL_UNLIKELY(facts == 0))
			find_rest(r, ids[p->idx], hit);
	}
}

static PL_COLD void find_stale(struct pl_table_reader *r, uint32_t cnt, struct pl_table_hit *hits)
{
	r->counters.unsure += cnt;
	for (uint32_t i = 0; i < cnt; i++)
		hits[i] = (struct pl_table_hit){.found = PL_TABLE_UNSURE};
}

/* Look into the homes of ids[first] on; notes in open which are not there but may be beyond. */
static inline __attribute__((always_inline)) uint32_t
find_group(struct pl_bucket *buckets, uint64_t bucket_cnt, uint64_t seed, const uint64_t *ids,
	   uint32_t first, uint32_t cnt, struct pl_table_hit *hits, uint8_t *open,
	   uint32_t open_cnt)
{
	for (uint32_t i = first; i < first + cnt; i++) {
		uint64_t home = pl_table_reduce(pl_table_hash(ids[i], seed), bucket_cnt);
		uint32_t facts = bucket_facts(buckets, home, ids[i], &hits[i].slot);

		hit_set(&hits[i], facts);
		open[open_cnt] = (uint8_t)i;
		/* relaxed: a filter; looked at again with acquire in pending_collect(). That it is not
		 * older than a put before this lookup is coherence's doing. */
		open_cnt += (facts == 0) &
			    (atomic_load_explicit(&buckets[home].meta, memory_order_relaxed) != 0);
	}
	return open_cnt;
}

/*
 * No branch depends on what is found: hits, misses and second lines come in any order, and a wrong
 * guess costs more than all of this. Fetches of the next burst go out in small groups between
 * lookups, which keeps the memory evenly busy: against fetching the next burst first it takes a
 * quarter off at 50 M. Groups, because a fetch that misses the TLB holds up retirement until it is
 * translated: close together they wait together.
 */
static inline __attribute__((always_inline)) void
find_burst(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt, struct pl_table_hit *hits,
	   const uint64_t *next_ids, uint32_t next_cnt)
{
	struct pending pending[PL_TABLE_BURST_MAX + 1];
	uint8_t open[PL_TABLE_BURST_MAX + 1];
	uint32_t i = 0, open_cnt = 0, pending_cnt;
	struct pl_bucket *buckets = r->buckets;
	uint64_t bucket_cnt = r->bucket_cnt;
	uint64_t seed = r->seed;

	PL_DCHECK(cnt <= PL_TABLE_BURST_MAX && next_cnt <= cnt);
	for (; i + FETCH_GROUP_CNT <= next_cnt; i += FETCH_GROUP_CNT) {
		for (uint32_t k = 0; k < FETCH_GROUP_CNT; k++)
			prefetch_home(buckets, bucket_cnt, seed, next_ids[i + k]);
		open_cnt = find_group(buckets, bucket_cnt, seed, ids, i, FETCH_GROUP_CNT, hits,
				      open, open_cnt);
	}
	for (uint32_t k = i; k < next_cnt; k++)
		prefetch_home(buckets, bucket_cnt, seed, next_ids[k]);
	open_cnt = find_group(buckets, bucket_cnt, seed, ids, i, cnt - i, hits, open, open_cnt);
	pending_cnt = pending_collect(r, ids, hits, open, open_cnt, pending);
	pending_ask(r, pending, pending_cnt);
	pending_look(r, ids, hits, pending, pending_cnt);
}

void pl_table_find(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
		   struct pl_table_hit *hits)
{
	if (PL_UNLIKELY(r->stale))
		find_stale(r, cnt, hits);
	else
		find_burst(r, ids, cnt, hits, NULL, 0);
}

void pl_table_find_ahead(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
			 struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt)
{
	if (PL_UNLIKELY(r->stale || r->prev != NULL || next_cnt > cnt)) {
		pl_table_prefetch(r, next_ids, next_cnt);
		pl_table_find(r, ids, cnt, hits);
		return;
	}
	find_burst(r, ids, cnt, hits, next_ids, next_cnt);
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
