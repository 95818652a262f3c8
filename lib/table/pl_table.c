/* SPDX-License-Identifier: BSD-3-Clause */
/* What readers do for every scan. */
#include "table/pl_table_pvt.h"

#define PL_SEEN_TRIES_MAX 16u /* after the first try, which pl_table_seen() makes itself */

const struct pl_table_burst *pl_table_burst_of(enum pl_table_variant variant)
{
	static const struct pl_table_burst scalar = {pl_table_start_scalar, pl_table_finish_scalar};
	static const struct pl_table_burst sse4 = {pl_table_start_sse4, pl_table_finish_sse4};
	static const struct pl_table_burst avx512 = {pl_table_start_avx512, pl_table_finish_avx512};

	switch (variant) {
	case PL_TABLE_SCALAR_WORDS:
		return &scalar;
	case PL_TABLE_SSE4:
		return &sse4;
	case PL_TABLE_AVX512:
		/* What the variant is compiled with; see meson.build. */
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
				       __builtin_cpu_supports("avx512dq")
			       ? &avx512
			       : NULL;
	default:
		return NULL;
	}
}

const struct pl_table_burst *pl_table_burst_best(void)
{
	const struct pl_table_burst *burst = pl_table_burst_of(PL_TABLE_AVX512);

	return burst != NULL ? burst : pl_table_burst_of(PL_TABLE_SSE4);
}

void pl_table_prefetch(const struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt)
{
	struct pl_bucket *buckets = r->buckets;
	uint64_t bucket_cnt = r->bucket_cnt;
	uint64_t seed = r->seed;

	for (uint32_t i = 0; i < cnt; i++)
		pl_table_prefetch_home(buckets, bucket_cnt, seed, ids[i]);
	if (PL_UNLIKELY(r->prev != NULL)) {
		const struct pl_map *m = r->prev;

		for (uint32_t i = 0; i < cnt; i++)
			pl_table_prefetch_home(m->buckets, m->bucket_cnt, m->seed, ids[i]);
	}
	__asm__ volatile(""); /* see pl_prefetch() */
}

static PL_COLD void find_stale(struct pl_table_reader *r, uint32_t cnt, struct pl_table_hit *hits)
{
	r->counters.unsure += cnt;
	for (uint32_t i = 0; i < cnt; i++)
		hits[i] = (struct pl_table_hit){.found = PL_TABLE_UNSURE};
}

void pl_table_find_start(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
			 struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt,
			 struct pl_table_pending *pending)
{
	pending->ids = ids;
	pending->hits = hits;
	if (PL_UNLIKELY(r->stale)) {
		find_stale(r, cnt, hits);
		pending->cnt = 0;
		return;
	}
	if (PL_UNLIKELY(r->prev != NULL || next_cnt > cnt)) {
		pl_table_prefetch(r, next_ids, next_cnt);
		next_cnt = 0;
	}
	r->burst->start(r, ids, cnt, hits, next_ids, next_cnt, pending);
}

void pl_table_find_finish(struct pl_table_reader *r, const struct pl_table_pending *pending)
{
	r->burst->finish(r, pending);
}

void pl_table_find(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
		   struct pl_table_hit *hits)
{
	struct pl_table_pending pending;

	pl_table_find_start(r, ids, cnt, hits, NULL, 0, &pending);
	pl_table_find_finish(r, &pending);
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

/* A scan that was not recorded at once. Apart, so that the caller keeps nothing over a call. */
static __attribute__((noinline)) enum pl_table_seen
seen_again(struct pl_table_reader *r, _Atomic uint64_t *word, uint64_t want)
{
	int got = pl_seen_accept(word, want);

	if (PL_LIKELY(got < PL_SEEN_UNSURE))
		return (enum pl_table_seen)got;
	/* Frozen with no successor in sight: another process is replacing this table. */
	r->counters.unsure++;
	return PL_SEEN_UNSURE;
}

enum pl_table_seen pl_table_seen(struct pl_table_reader *r, const struct pl_table_hit *hit,
				 uint32_t shown_at, uint32_t scan_hash)
{
	_Atomic uint64_t *word = &r->buckets[hit->slot >> 2].seen[hit->slot & 3];
	uint64_t want = pl_seen_word(shown_at, scan_hash), have;

	PL_DCHECK(hit->found == PL_TABLE_FOUND);
	if (PL_UNLIKELY(r->prev != NULL))
		return pl_table_seen_both(r, hit, shown_at, scan_hash);
	/* One try before those of pl_seen_accept(), which nearly always does. */
	have = atomic_load_explicit(word, memory_order_relaxed);
	if (PL_LIKELY((have & PL_SEEN_FROZEN) == 0 && have >> 32 < want >> 32) &&
	    PL_LIKELY(atomic_compare_exchange_strong_explicit(
		    word, &have, want, memory_order_relaxed, memory_order_relaxed)))
		return PL_SEEN_NEW;
	return seen_again(r, word, want);
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
