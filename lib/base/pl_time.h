/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The kernel's clocks, as one number each. What is answered goes by lib/clock, not by these.
 */
#ifndef PL_TIME_H
#define PL_TIME_H

#include <time.h>

#include "base/pl_base.h"

/** Of a clock that every machine has: it cannot fail. */
static inline uint64_t pl_time_ns(clockid_t id)
{
	struct timespec ts;

	PL_CHECK(clock_gettime(id, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/** CLOCK_MONOTONIC: for what is to be done after a while, whatever is done to the wall clock. */
static inline uint64_t pl_time_monotonic_ms(void)
{
	return pl_time_ns(CLOCK_MONOTONIC) / 1000000u;
}

/** So long from now, for pthread_cond_timedwait() with a condition of CLOCK_MONOTONIC. */
static inline struct timespec pl_time_after_ms(uint64_t ms)
{
	uint64_t ns = pl_time_ns(CLOCK_MONOTONIC) + ms * 1000000u;

	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
				 .tv_nsec = (long)(ns % 1000000000u)};
}

#endif
