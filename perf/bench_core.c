/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much of each core this machine gives us: additions a cycle, of four that do not wait for each
 * other. A core with nobody else on it does nearly four (any x86-64 of the last ten years); one
 * whose other thread another guest runs on does two or three. A cycle is what one addition takes
 * that waits for the one before, which is the same either way.
 *
 *     bench_core CPU...
 */
#include "bench_util.h"

#include <inttypes.h>
#include <time.h>

#define TRIES     21u
#define LOOPS     2000u
#define CHAIN_CNT 50u
#define WIDE_CNT  100u

#define FIVE(x) x x x x x

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double chain_ns(void)
{
	double start = now_ns();

	for (uint32_t i = 0; i < LOOPS; i++)
		__asm__ volatile(FIVE(FIVE("add $1, %%rax\n\tadd $1, %%rax\n\t")) : : : "rax");
	return (now_ns() - start) / (LOOPS * CHAIN_CNT);
}

static double wide_ns(void)
{
	double start = now_ns();

	for (uint32_t i = 0; i < LOOPS; i++)
		__asm__ volatile(FIVE(FIVE("add $1, %%rax\n\tadd $1, %%rcx\n\t"
					   "add $1, %%rdx\n\tadd $1, %%rsi\n\t"))
				 :
				 :
				 : "rax", "rcx", "rdx", "rsi");
	return (now_ns() - start) / (LOOPS * WIDE_CNT);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		bench_die("usage", "bench_core CPU...");
	for (int a = 1; a < argc; a++) {
		uint64_t cpu = bench_number("CPU", argv[a], 0, 1023);
		double cycle_ns = 1e9, wide[TRIES];

		bench_cpu_pin(cpu);
		for (uint32_t i = 0; i < TRIES; i++) {
			double chain = chain_ns();

			/* The least: an interrupt only ever adds. */
			cycle_ns = chain < cycle_ns ? chain : cycle_ns;
			wide[i] = wide_ns();
		}
		printf("{\"cpu\": %" PRIu64 ", \"adds_per_cycle\": %.2f}\n", cpu,
		       cycle_ns / bench_median(wide, TRIES));
	}
	return 0;
}
