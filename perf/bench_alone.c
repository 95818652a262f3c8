/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench_alone.h"

#include <time.h>
#include <unistd.h>

#include "base/pl_time.h"
#include "bench_adds.h"
#include "bench_util.h"

#define CORES          2u
#define ALONE_SHARE    0.93 /* of the most that a core was seen to do */
#define LEARN_CNT      20u  /* looks that tell what that is */
#define IN_A_ROW       2u
#define PAUSE_US       100000u
#define PATIENCE_S     8.0
#define PATIENCE_ALL_S 120.0

static double now_s(void)
{
	return (double)pl_time_ns(CLOCK_MONOTONIC) * 1e-9;
}

/* Which core has nobody else on it just now? */
static void look(double most[CORES], bool alone[CORES])
{
	static const uint64_t cpus[CORES] = {0, 1};
	double now[CORES];

	bench_adds(cpus, CORES, now);
	for (uint32_t k = 0; k < CORES; k++) {
		most[k] = now[k] > most[k] ? now[k] : most[k];
		alone[k] = now[k] >= ALONE_SHARE * most[k];
	}
}

void bench_alone_wait(struct bench_alone *a, uint32_t need)
{
	static double most[CORES];
	uint32_t rows[CORES] = {0}, ready = 0;
	bool alone[CORES];
	double start = 0, waited = 0;

	for (uint32_t i = a->wait && most[0] == 0 ? LEARN_CNT : 0; i > 0; i--) {
		look(most, alone);
		usleep(PAUSE_US);
	}
	for (uint32_t looks = 1; a->wait && ready < need; looks++) {
		look(most, alone);
		start = looks == 1 ? now_s() : start;
		ready = 0;
		for (uint32_t k = CORES; k-- > 0;) {
			rows[k] = alone[k] ? rows[k] + 1 : 0;
			if (rows[k] >= IN_A_ROW) {
				a->cpu = k;
				ready++;
			}
		}
		if (ready >= need || looks < IN_A_ROW)
			continue;
		waited = now_s() - start;
		if (waited > PATIENCE_S || a->waited_s + waited > PATIENCE_ALL_S) {
			a->shared_turns++;
			break;
		}
		if (!alone[0] && !alone[1])
			usleep(PAUSE_US);
	}
	a->waited_s += waited;
	bench_cpu_pin(a->cpu);
}
