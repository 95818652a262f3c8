/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Figures of each so many milliseconds of the wall clock, beside those of the whole run: when it was
 * that something happened. They begin at multiples of the interval since 1970-01-01 UTC, so that other
 * programs on the machine know them without a word between them; only whole ones are kept.
 *
 * An answer counts in the interval in which it came; its latency counts in the one in which its
 * datagram was due, or, if that is two or more back, in the one before the present.
 *
 * The clock is looked at when measuring begins: a step of it later moves no interval.
 */
#ifndef PL_LOAD_INTERVALS_H
#define PL_LOAD_INTERVALS_H

#include "clock.h"
#include "load.h"

struct interval {
	uint64_t from_ms; /* wall clock */
	uint64_t answered;
	uint64_t samples; /* latencies; us is 0 without */
	double us[LATENCY_QUANTILE_CNT];
	uint64_t stalls;
	uint64_t stalled_us;
};

/* One that is not over, or whose last answers may still come. */
struct interval_open {
	uint64_t from_tsc;
	struct interval figures;
	struct latency latency; /* TSC cycles */
};

struct intervals {
	uint32_t every_ms; /* 0: none are kept */
	uint32_t cnt;
	uint32_t list_size;
	struct interval *list;
	struct load_clock *clock;
	uint64_t next_tsc;           /* when `now` is over */
	uint64_t stalls, stalled_us; /* of the whole run when `now` began */
	bool has_before;
	bool leading_in;
	struct interval_open *now, *before;
};

/** Room for every interval in so many seconds. @return 0 or -ENOMEM; every_ms 0 needs none. */
PL_MUST_USE int intervals_open(struct intervals *iv, uint32_t every_ms, double seconds,
			       struct load_clock *clock);
void intervals_close(struct intervals *iv);

/** Measuring begins now; the clock has just been synchronised. */
void intervals_begin(struct intervals *iv, uint64_t now_tsc);
/** The interval is over: use intervals_turn(). */
void intervals_roll(struct intervals *iv, const struct load_stats *stats, uint64_t now_tsc);
/** No more is sent, and the last answers have come. What has begun and is not over is dropped. */
void intervals_end(struct intervals *iv);

/** Once a turn of the loop, while it sends. */
static inline void intervals_turn(struct intervals *iv, const struct load_stats *stats,
				  uint64_t now_tsc)
{
	if (PL_UNLIKELY(iv->every_ms != 0 && now_tsc >= iv->next_tsc))
		intervals_roll(iv, stats, now_tsc);
}

/** An answer came now. */
static inline void intervals_answer(struct intervals *iv)
{
	if (PL_UNLIKELY(iv->every_ms != 0))
		iv->now->figures.answered++;
}

/** It was opened, and its datagram had been due then. */
static inline void intervals_latency(struct intervals *iv, uint64_t due_tsc, uint64_t now_tsc)
{
	if (PL_LIKELY(iv->every_ms == 0))
		return;
	if (due_tsc >= iv->now->from_tsc)
		latency_add(&iv->now->latency, now_tsc - due_tsc);
	else if (iv->has_before)
		latency_add(&iv->before->latency, now_tsc - due_tsc);
}

#endif
