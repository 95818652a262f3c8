/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench_adds.h"

#include <pthread.h>
#include <time.h>

#include "base/pl_time.h"
#include "bench_util.h"

#define TRIES     256u /* 20 ms or so */
#define LOOPS     2000u
#define CHAIN_CNT 50u
#define WIDE_CNT  100u

#define FIVE(x) x x x x x

struct core {
	pthread_t thread;
	pthread_barrier_t *start;
	uint64_t cpu;
	double adds_per_cycle;
};

/* Of registers: some cores do not execute additions of constants at all. */
static double chain_ns(void)
{
	double start = (double)pl_time_ns(CLOCK_MONOTONIC);

	for (uint32_t i = 0; i < LOOPS; i++)
		__asm__ volatile(FIVE(FIVE("add %%rbx, %%rax\n\tadd %%rbx, %%rax\n\t"))
				 :
				 :
				 : "rax", "rbx");
	return ((double)pl_time_ns(CLOCK_MONOTONIC) - start) / (LOOPS * CHAIN_CNT);
}

static double wide_ns(void)
{
	double start = (double)pl_time_ns(CLOCK_MONOTONIC);

	for (uint32_t i = 0; i < LOOPS; i++)
		__asm__ volatile(FIVE(FIVE("add %%rbx, %%rax\n\tadd %%rbx, %%rcx\n\t"
					   "add %%rbx, %%rdx\n\tadd %%rbx, %%rsi\n\t"))
				 :
				 :
				 : "rax", "rbx", "rcx", "rdx", "rsi");
	return ((double)pl_time_ns(CLOCK_MONOTONIC) - start) / (LOOPS * WIDE_CNT);
}

static void *core_run(void *arg)
{
	struct core *core = arg;
	double cycle_ns = 1e9, sum_ns = 0;

	bench_cpu_pin(core->cpu);
	pthread_barrier_wait(core->start);
	for (uint32_t i = 0; i < TRIES; i++) {
		double chain = chain_ns();

		/* The least: an interrupt only ever adds. The other is a mean: what comes and goes shows. */
		cycle_ns = chain < cycle_ns ? chain : cycle_ns;
		sum_ns += wide_ns();
	}
	core->adds_per_cycle = cycle_ns * TRIES / sum_ns;
	return NULL;
}

void bench_adds(const uint64_t *cpus, uint32_t cnt, double *adds_per_cycle)
{
	struct core cores[BENCH_ADDS_CPU_MAX];
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, cnt);
	for (uint32_t i = 0; i < cnt; i++) {
		cores[i] = (struct core){.cpu = cpus[i], .start = &start};
		int rc = pthread_create(&cores[i].thread, NULL, core_run, &cores[i]);

		if (rc != 0)
			bench_die("thread", strerror(rc));
	}
	for (uint32_t i = 0; i < cnt; i++) {
		pthread_join(cores[i].thread, NULL);
		adds_per_cycle[i] = cores[i].adds_per_cycle;
	}
	pthread_barrier_destroy(&start);
}
