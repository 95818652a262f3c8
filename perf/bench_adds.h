/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * How much of a core this machine gives us: additions a cycle, of four that do not wait for each other.
 * Alone on a core they are as many as it has adders, four on most; with another guest on the core's
 * other thread, fewer. A cycle is what an addition takes that waits for the one before, which is the
 * same either way. Only comparisons on one machine mean something.
 */
#ifndef BENCH_ADDS_H
#define BENCH_ADDS_H

#include <stdint.h>

#define BENCH_ADDS_CPU_MAX 64u

/**
 * Of each of these cores, all of them busy at once, for 20 ms or so.
 *
 * @param cnt  1 .. BENCH_ADDS_CPU_MAX.
 */
void bench_adds(const uint64_t *cpus, uint32_t cnt, double *adds_per_cycle);

#endif
