/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Time for the loop: TSC, and wall time from it without a system call.
 */
#ifndef PL_LOAD_CLOCK_H
#define PL_LOAD_CLOCK_H

#include <time.h>
#include <x86intrin.h>

#include "base/pl_base.h"
#include "base/pl_time.h"

struct load_clock {
	uint64_t hz;
	uint64_t tsc0;
	uint64_t wall_ns0;
	double ns_per_tsc;
};

static inline uint64_t load_tsc(void)
{
	return __rdtsc();
}

/** Take the wall clock's word again; every second or so. */
static inline void load_clock_sync(struct load_clock *c)
{
	c->wall_ns0 = pl_time_ns(CLOCK_REALTIME);
	c->tsc0 = load_tsc();
}

/** Measure the TSC's rate: takes 50 ms. */
static inline void load_clock_start(struct load_clock *c)
{
	const struct timespec rest = {.tv_nsec = 50000000};
	uint64_t ns0 = pl_time_ns(CLOCK_MONOTONIC_RAW), tsc0 = load_tsc();
	uint64_t ns, tsc;

	nanosleep(&rest, NULL);
	ns = pl_time_ns(CLOCK_MONOTONIC_RAW) - ns0;
	tsc = load_tsc() - tsc0;
	c->ns_per_tsc = (double)ns / (double)tsc;
	c->hz = (uint64_t)(1e9 / c->ns_per_tsc);
	load_clock_sync(c);
}

static inline uint64_t load_clock_wall_ns(const struct load_clock *c, uint64_t now_tsc)
{
	return c->wall_ns0 + (uint64_t)((double)(now_tsc - c->tsc0) * c->ns_per_tsc);
}

#endif
