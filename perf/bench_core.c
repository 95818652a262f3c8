/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much of each core this machine gives us, all of them busy at once (bench_adds.h). One JSON object a
 * core on stdout.
 *
 *     bench_core CPU...
 */
#include "bench_adds.h"
#include "bench_util.h"

#include <inttypes.h>

int main(int argc, char **argv)
{
	uint64_t cpus[BENCH_ADDS_CPU_MAX];
	double adds_per_cycle[BENCH_ADDS_CPU_MAX];
	uint32_t cnt = (uint32_t)argc - 1;

	if (argc < 2 || cnt > BENCH_ADDS_CPU_MAX)
		bench_die("usage", "bench_core CPU..., 64 at most, each once");
	for (uint32_t i = 0; i < cnt; i++) {
		cpus[i] = bench_number("CPU", argv[i + 1], 0, 1023);
		for (uint32_t k = 0; k < i; k++)
			if (cpus[k] == cpus[i])
				bench_die(argv[i + 1],
					  "named twice: two threads would share that core");
	}
	bench_adds(cpus, cnt, adds_per_cycle);
	for (uint32_t i = 0; i < cnt; i++)
		printf("{\"cpu\": %" PRIu64 ", \"adds_per_cycle\": %.2f}\n", cpus[i],
		       adds_per_cycle[i]);
	return 0;
}
