/* SPDX-License-Identifier: BSD-3-Clause */

#include "stats/pl_stats.h"

#define COUNTER_WORDS (sizeof(struct pl_counters) / sizeof(uint64_t))

/* What makes it right to copy and add the struct as words. */
static_assert(sizeof(struct pl_counters) % sizeof(uint64_t) == 0, "counters are u64 words");
static_assert(alignof(struct pl_counters) == alignof(uint64_t), "counters are u64 words");
static_assert(sizeof(struct pl_counters_pub) == sizeof(struct pl_counters),
	      "an atomic word is as wide as a plain one");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a published word must never take a lock");

const char *pl_drop_name(uint32_t drop)
{
	static const char *const names[PL_DROP_CNT] = {
#define D(id, name, text) [PL_DROP_##id] = name,
		PL_DROPS(D)
#undef D
	};

	return drop < PL_DROP_CNT ? names[drop] : NULL;
}

const char *pl_drop_text(uint32_t drop)
{
	static const char *const texts[PL_DROP_CNT] = {
#define D(id, name, text) [PL_DROP_##id] = text,
		PL_DROPS(D)
#undef D
	};

	return drop < PL_DROP_CNT ? texts[drop] : NULL;
}

void pl_stats_publish(struct pl_counters_pub *pub, const struct pl_counters *own)
{
	const uint64_t *from = (const uint64_t *)own;

	for (size_t i = 0; i < COUNTER_WORDS; i++) {
		/* STATS-WORD relaxed: each word is a total of its own that only grows, and no reader
		 * takes one word as proof of another; nothing needs ordering. Pairs: STATS-READ. */
		atomic_store_explicit(&pub->words[i], from[i], memory_order_relaxed);
	}
}

void pl_stats_read(const struct pl_counters_pub *pub, struct pl_counters *out)
{
	uint64_t *to = (uint64_t *)out;

	for (size_t i = 0; i < COUNTER_WORDS; i++) {
		/* STATS-READ relaxed: see STATS-WORD, its pair. */
		to[i] = atomic_load_explicit(&pub->words[i], memory_order_relaxed);
	}
}

void pl_stats_add(struct pl_counters *to, const struct pl_counters *from)
{
	uint64_t *sum = (uint64_t *)to;
	const uint64_t *words = (const uint64_t *)from;

	for (size_t i = 0; i < COUNTER_WORDS; i++)
		sum[i] += words[i];
}

uint64_t pl_stats_answered(const struct pl_counters *c)
{
	return c->replies + c->arp_replies + c->icmp_replies + c->nd_replies;
}

uint64_t pl_stats_dropped(const struct pl_counters *c)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < PL_DROP_CNT; i++)
		sum += c->drops[i];
	return sum;
}
