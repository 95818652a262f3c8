/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a random cache line costs on this machine: one dependent read after another, and bursts of
 * reads whose lines were prefetched together. (Bursts that overlap do better: bench_table.c.)
 *
 *     bench_memory SIZE_MB HUGE_DIR|- READS
 */
#include "base/pl_time.h"
#include "bench_util.h"

#include <time.h>

#define BURST 32u

/* The compiler must have v, and cannot know what becomes of it. */
#define USE(v) __asm__ volatile("" : : "r"(v) : "memory")

struct memory {
	uint64_t *words;
	uint64_t lines_cnt;
	const char *pages;
};

/* Each line gets a value of its own, and so a page of its own. */
static void fill(struct memory *m)
{
	for (uint64_t i = 0; i < m->lines_cnt; i++)
		m->words[i * 8] = pl_mix64(i);
}

static double chase_ns(const struct memory *m, uint64_t reads_cnt)
{
	uint64_t state = 1;
	uint64_t at = 0;
	uint64_t start = pl_time_ns(CLOCK_MONOTONIC);

	for (uint64_t i = 0; i < reads_cnt; i++) {
		at = bench_below(m->words[at * 8] + bench_random(&state), m->lines_cnt);
	}
	USE(at);
	return (double)(pl_time_ns(CLOCK_MONOTONIC) - start) / (double)reads_cnt;
}

static double burst_ns(const struct memory *m, uint64_t reads_cnt)
{
	uint64_t state = 2;
	uint64_t sum = 0;
	uint64_t start = pl_time_ns(CLOCK_MONOTONIC);

	for (uint64_t i = 0; i < reads_cnt; i += BURST) {
		const uint64_t *lines[BURST];

		for (uint32_t b = 0; b < BURST; b++) {
			lines[b] = m->words + bench_below(bench_random(&state), m->lines_cnt) * 8;
			pl_prefetch(lines[b]);
		}
		for (uint32_t b = 0; b < BURST; b++)
			sum += *lines[b];
	}
	USE(sum);
	return (double)(pl_time_ns(CLOCK_MONOTONIC) - start) / (double)reads_cnt;
}

int main(int argc, char **argv)
{
	struct memory m = {.pages = "4K"};
	uint64_t reads_cnt;
	size_t size;

	if (argc != 4) {
		fprintf(stderr, "usage: %s SIZE_MB HUGE_DIR|- READS\n", argv[0]);
		return 2;
	}
	size = (size_t)bench_number("SIZE_MB", argv[1], 1, 1u << 20) << 20;
	reads_cnt = bench_number("READS", argv[3], 1, UINT32_MAX);
	if (strcmp(argv[2], "-") == 0) {
		m.words = bench_map_small(size);
	} else {
		m.words = bench_map_huge(argv[2], size);
		m.pages = "2M";
	}
	m.lines_cnt = size / PL_CACHE_LINE;
	fill(&m);
	burst_ns(&m, reads_cnt / 4 + 1); /* warm up */
	printf("{\"pages\": \"%s\", \"size_mb\": %zu, \"chase_ns\": %.2f, \"burst_ns\": %.2f}\n",
	       m.pages, size >> 20, chase_ns(&m, reads_cnt / 8 + 1), burst_ns(&m, reads_cnt));
	return 0;
}
