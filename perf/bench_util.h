/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the benches share.
 */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include "base/pl_base.h"

/** Say what failed and why on stderr, and exit 2. */
void bench_die(const char *what, const char *why) __attribute__((noreturn));
/** A number, or a clear refusal and exit 2. name: of an option without its dashes, or of an argument in
 *  capitals. */
uint64_t bench_number(const char *name, const char *s, uint64_t min, uint64_t max);
/** Cycles of the time-stamp counter a second, measured over 0.1 s. */
double bench_tsc_hz(void);
/** size bytes of a new file on the hugetlbfs at dir, or a clear refusal and exit 2. The file has no name. */
void *bench_map_huge(const char *dir, size_t size);
/** size bytes of 4 KB pages, whatever the kernel would like better; or exit 2. */
void *bench_map_small(size_t size);
/** splitmix64 (Steele et al. 2014). */
static inline uint64_t bench_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return pl_mix64(*state);
}
/** Uniform enough in 0 .. bound - 1 for picking lines (Lemire's multiplication). */
static inline uint64_t bench_below(uint64_t x, uint64_t bound)
{
	return (uint64_t)((unsigned __int128)x * bound >> 64);
}
/** Sorts v. */
double bench_median(double *v, uint32_t cnt);
/** This thread, on that core. */
void bench_cpu_pin(uint64_t cpu);

#endif
