/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A histogram of times with a bounded relative error, in the manner of HdrHistogram (Gil Tene):
 * 128 buckets to each power of two, so a value read back is at most 1/128 too high.
 */
#ifndef PL_LOAD_LATENCY_H
#define PL_LOAD_LATENCY_H

#include "base/pl_base.h"

#define LATENCY_SUB_LOG2 7u
#define LATENCY_SUB      (1u << LATENCY_SUB_LOG2)
#define LATENCY_BUCKETS  ((64u - LATENCY_SUB_LOG2 + 1u) * LATENCY_SUB)

struct latency {
	uint64_t cnt;
	uint64_t max; /* exact */
	uint64_t buckets[LATENCY_BUCKETS];
};

static inline uint32_t latency_bucket(uint64_t v)
{
	uint32_t shift;

	if (v < LATENCY_SUB)
		return (uint32_t)v;
	shift = 63u - (uint32_t)__builtin_clzll(v) - LATENCY_SUB_LOG2;
	return (shift + 1) * LATENCY_SUB + ((uint32_t)(v >> shift) & (LATENCY_SUB - 1));
}

/** The highest value that falls into a bucket. */
static inline uint64_t latency_bucket_top(uint32_t bucket)
{
	uint32_t shift = bucket / LATENCY_SUB;

	if (shift == 0)
		return bucket;
	shift--;
	return ((((uint64_t)LATENCY_SUB + bucket % LATENCY_SUB) + 1) << shift) - 1;
}

static inline void latency_add(struct latency *l, uint64_t v)
{
	l->buckets[latency_bucket(v)]++;
	l->cnt++;
	if (v > l->max)
		l->max = v;
}

/** The value that a share (0 .. 1) of all values does not exceed; 0 if there are none. */
static inline uint64_t latency_at(const struct latency *l, double share)
{
	double want = share * (double)l->cnt;
	uint64_t seen = 0;

	for (uint32_t b = 0; b < LATENCY_BUCKETS && l->cnt != 0; b++) {
		seen += l->buckets[b];
		if ((double)seen >= want && seen != 0) {
			uint64_t top = latency_bucket_top(b);

			return top < l->max ? top : l->max;
		}
	}
	return l->max;
}

/* Q(name, share) */
#define LATENCY_QUANTILES(Q) \
	Q("p50", 0.5)        \
	Q("p99", 0.99)       \
	Q("p99.9", 0.999)    \
	Q("max", 1)
enum {
#define Q(name, share) +1
	LATENCY_QUANTILE_CNT = 0 LATENCY_QUANTILES(Q)
#undef Q
};

/** Microseconds of each, of values in units of so many nanoseconds. */
static inline void latency_us(const struct latency *l, double ns_per_unit,
			      double us[LATENCY_QUANTILE_CNT])
{
	static const double shares[LATENCY_QUANTILE_CNT] = {
#define Q(name, share) share,
		LATENCY_QUANTILES(Q)
#undef Q
	};

	for (uint32_t i = 0; i < LATENCY_QUANTILE_CNT; i++)
		us[i] = (double)latency_at(l, shares[i]) * ns_per_unit / 1e3;
}

#endif
