/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Waiting for a core, or for both, with nobody else on it: what perf/harness/cores.py does between
 * programs, between the measurements of one.
 */
#ifndef BENCH_ALONE_H
#define BENCH_ALONE_H

#include <stdbool.h>
#include <stdint.h>

/* Zeros to begin, and wait. */
struct bench_alone {
	bool wait;
	uint32_t cpu;          /* 0 or 1: what needs one core runs there */
	uint32_t shared_turns; /* that did not get what they needed */
	double waited_s;
};

/**
 * Before a measurement, whatever is measured: until no other guest is on one of cores 0 and 1, which is
 * a->cpu then, or on neither, or patience ends: 8 s at most, and two minutes in all. Then, and without
 * a->wait at once, this thread is pinned to a->cpu. What is told as waited is what neighbours cost,
 * neither the looks that each measurement takes nor learning, which is two seconds.
 *
 * @param need  1 or 2 cores.
 */
void bench_alone_wait(struct bench_alone *a, uint32_t need);

#endif
