/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much of each core this machine gives us, all of them busy at once: additions a cycle, of four
 * that do not wait for each other. Alone on a core they are as many as it has adders, four on most;
 * with another guest on the core's other thread, fewer. A cycle is what an addition takes that waits
 * for the one before, which is the same either way. Only comparisons on one machine mean something.
 *
 *     bench_core CPU...
 */
#include "bench_util.h"

#include <inttypes.h>
#include <pthread.h>
#include <time.h>

#define CPU_MAX   64u
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

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Of registers: some cores do not execute additions of constants at all. */
static double chain_ns(void)
{
	double start = now_ns();

	for (uint32_t i = 0; i < LOOPS; i++)
		__asm__ volatile(FIVE(FIVE("add %%rbx, %%rax\n\tadd %%rbx, %%rax\n\t"))
				 :
				 :
				 : "rax", "rbx");
	return (now_ns() - start) / (LOOPS * CHAIN_CNT);
}

static double wide_ns(void)
{
	double start = now_ns();

	for (uint32_t i = 0; i < LOOPS; i++)
		__asm__ volatile(FIVE(FIVE("add %%rbx, %%rax\n\tadd %%rbx, %%rcx\n\t"
					   "add %%rbx, %%rdx\n\tadd %%rbx, %%rsi\n\t"))
				 :
				 :
				 : "rax", "rbx", "rcx", "rdx", "rsi");
	return (now_ns() - start) / (LOOPS * WIDE_CNT);
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

int main(int argc, char **argv)
{
	static struct core cores[CPU_MAX];
	uint32_t cnt = (uint32_t)argc - 1;
	pthread_barrier_t start;

	if (argc < 2 || cnt > CPU_MAX)
		bench_die("usage", "bench_core CPU..., 64 at most");
	pthread_barrier_init(&start, NULL, cnt);
	for (uint32_t i = 0; i < cnt; i++) {
		cores[i].cpu = bench_number("CPU", argv[i + 1], 0, 1023);
		cores[i].start = &start;
		int rc = pthread_create(&cores[i].thread, NULL, core_run, &cores[i]);

		if (rc != 0)
			bench_die("thread", strerror(rc));
	}
	for (uint32_t i = 0; i < cnt; i++)
		pthread_join(cores[i].thread, NULL);
	for (uint32_t i = 0; i < cnt; i++)
		printf("{\"cpu\": %" PRIu64 ", \"adds_per_cycle\": %.2f}\n", cores[i].cpu,
		       cores[i].adds_per_cycle);
	return 0;
}
