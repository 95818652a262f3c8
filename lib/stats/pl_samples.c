/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats/pl_samples.h"

#include <stdatomic.h>
#include <stdlib.h>

static_assert((PL_SAMPLES_CNT & (PL_SAMPLES_CNT - 1)) == 0, "indices are masked");

struct slot {
	_Atomic uint64_t what; /* facts, venue class, verdict */
	_Atomic uint64_t when; /* at_s, scan_cnt */
};

struct pl_samples {
	/* Entries ever written; the next one goes to this place, masked. */
	alignas(PL_CACHE_LINE) _Atomic uint64_t head PL_SHARED(worker, readers);
	alignas(PL_CACHE_LINE) struct slot slots[PL_SAMPLES_CNT] PL_SHARED(worker, readers);
};

struct pl_samples *pl_samples_create(void)
{
	struct pl_samples *s = aligned_alloc(PL_CACHE_LINE, sizeof(*s));

	if (s != NULL)
		memset(s, 0, sizeof(*s)); /* touched now, not by the worker */
	return s;
}

void pl_samples_destroy(struct pl_samples *s)
{
	free(s);
}

void pl_samples_put(struct pl_samples *s, const struct pl_sample *sample)
{
	/* relaxed: this thread alone writes it. */
	uint64_t head = atomic_load_explicit(&s->head, memory_order_relaxed);
	struct slot *slot = &s->slots[head & (PL_SAMPLES_CNT - 1)];

	/* SMP-PUT release, each: who sees one of these words also sees the head that came before
	 * them, by which it knows that what was here is gone. Pairs: SMP-WORD. */
	atomic_store_explicit(&slot->what,
			      (uint64_t)sample->facts | (uint64_t)sample->venue_class << 32 |
				      (uint64_t)sample->verdict << 40,
			      memory_order_release);
	atomic_store_explicit(&slot->when,
			      (uint64_t)sample->at_s | (uint64_t)sample->scan_cnt << 32,
			      memory_order_release);
	/* SMP-HEAD release: the entry is complete. Pairs: SMP-FIRST. */
	atomic_store_explicit(&s->head, head + 1, memory_order_release);
}

size_t pl_samples_read(const struct pl_samples *s, uint32_t since_s, struct pl_sample *out,
		       size_t max)
{
	/* SMP-FIRST acquire: entries below it are complete. Pairs: SMP-HEAD. */
	uint64_t head = atomic_load_explicit(&s->head, memory_order_acquire);
	size_t cnt = 0;

	while (cnt < max && cnt < head) {
		uint64_t i = head - 1 - cnt;
		const struct slot *slot = &s->slots[i & (PL_SAMPLES_CNT - 1)];
		/* SMP-WORD acquire, each: SMP-AGAIN cannot be read before them; if the writer has
		 * begun to write entry i + PL_SAMPLES_CNT here, it reads at least that. Pairs:
		 * SMP-PUT. */
		uint64_t what = atomic_load_explicit(&slot->what, memory_order_acquire);
		uint64_t when = atomic_load_explicit(&slot->when, memory_order_acquire);

		/* SMP-AGAIN relaxed: kept behind them by the acquire loads. Older entries are
		 * overwritten before newer ones: there is nothing beyond. */
		if (atomic_load_explicit(&s->head, memory_order_relaxed) - i >= PL_SAMPLES_CNT)
			break;
		if ((uint32_t)when < since_s)
			break;
		out[cnt++] = (struct pl_sample){
			.facts = (uint32_t)what,
			.at_s = (uint32_t)when,
			.scan_cnt = (uint32_t)(when >> 32),
			.venue_class = (uint8_t)(what >> 32),
			.verdict = (uint8_t)(what >> 40),
		};
	}
	return cnt;
}
