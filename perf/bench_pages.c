/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What it costs to find the page of a line, on memory of a given size:
 *
 *     bench_pages SIZE_MB FETCHES ROUNDS HUGE_DIR|-
 *
 * Three questions, each in every round, a figure is the median of the rounds:
 *
 *     reach  so many lines read one after the other, side by side and one in each 4 KB: they differ where
 *            the core has no room to remember so many pages. The most lie in 32 MB, 16 pages of 2 MB: with
 *            those the two do not differ, unless the hypervisor has them in pieces of 4 KB.
 *     fetch  random lines fetched 64 ahead: one, two of the same 4 KB, two anywhere. If the second of the
 *            same 4 KB is free, finding the page is what a line costs, not bringing it.
 *     work   one line with so many additions between fetches, in groups of so many fetches, and with one at
 *            a time also with a swap in the line; in cache (128 lines), and in all of the memory.
 *
 * One JSON object a line on stdout, the last one says how the waiting went: with more than one round each
 * measurement waits, for a while, for a core that no other guest is on (bench_alone.h). Timed by the
 * thread's time on its core.
 */
#include "base/pl_time.h"
#include "bench_alone.h"
#include "bench_util.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#define AHEAD       64u
#define ROUNDS_MAX  64u
#define PAGE_LINES  64u /* of 4 KB */
#define CACHE_LINES 128u
#define FIGURES_MAX 64u

struct line {
	_Atomic uint64_t word[PL_CACHE_LINE / 8];
};

struct bench {
	struct line *lines;
	uint64_t line_cnt;
	uint64_t fetch_cnt;
	uint32_t *at;    /* fetch_cnt + AHEAD of them */
	uint32_t *other; /* the second line of each */
	uint64_t rng;
};

static uint32_t below(struct bench *b, uint64_t bound)
{
	return (uint32_t)bench_below(bench_random(&b->rng), bound);
}

/* relaxed, here and below: one thread */
static inline uint64_t word_get(const struct line *l, uint32_t i)
{
	return atomic_load_explicit(&l->word[i], memory_order_relaxed);
}

/* ---- reach --------------------------------------------------------------------------------- */

/* A ring through cnt lines in random order, each of a 4 KB of its own or all side by side. */
static uint64_t ring_make(struct bench *b, uint32_t cnt, bool apart)
{
	uint32_t *order = b->at;

	for (uint32_t i = 0; i < cnt; i++) {
		uint32_t k = below(b, i + 1);

		order[i] = order[k];
		order[k] = apart ? i * PAGE_LINES + below(b, PAGE_LINES) : i;
	}
	for (uint32_t i = 0; i < cnt; i++)
		atomic_store_explicit(&b->lines[order[i]].word[0], order[(i + 1) % cnt],
				      memory_order_relaxed);
	return order[0];
}

static double reach_ns(struct bench *b, uint32_t cnt, bool apart)
{
	uint64_t at = ring_make(b, cnt, apart);
	double start;

	for (uint32_t i = 0; i < cnt; i++)
		at = word_get(&b->lines[at], 0);
	start = (double)pl_time_ns(CLOCK_THREAD_CPUTIME_ID);
	for (uint64_t i = 0; i < b->fetch_cnt; i++)
		at = word_get(&b->lines[at], 0);
	__asm__ volatile("" : : "r"(at));
	return ((double)pl_time_ns(CLOCK_THREAD_CPUTIME_ID) - start) / (double)b->fetch_cnt;
}

/* ---- fetch --------------------------------------------------------------------------------- */

enum second { SECOND_NONE, SECOND_SAME_PAGE, SECOND_ANYWHERE };

static inline __attribute__((always_inline)) double fetch_loop(const struct bench *b, bool two)
{
	uint64_t sum = 0;
	double start = (double)pl_time_ns(CLOCK_THREAD_CPUTIME_ID);

	for (uint64_t i = 0; i < b->fetch_cnt; i++) {
		pl_prefetch_far(&b->lines[b->at[i + AHEAD]]);
		if (two)
			pl_prefetch_far(&b->lines[b->other[i + AHEAD]]);
		sum += word_get(&b->lines[b->at[i]], 0);
		if (two)
			sum += word_get(&b->lines[b->other[i]], 0);
	}
	__asm__ volatile("" : : "r"(sum));
	return ((double)pl_time_ns(CLOCK_THREAD_CPUTIME_ID) - start) / (double)b->fetch_cnt;
}

static double fetch_ns(struct bench *b, enum second second)
{
	for (uint64_t i = 0; i < b->fetch_cnt + AHEAD; i++) {
		uint32_t line = b->at[i] = below(b, b->line_cnt);

		b->other[i] =
			second == SECOND_SAME_PAGE
				? (line & ~(PAGE_LINES - 1)) |
					  ((line + 1 + below(b, PAGE_LINES - 1)) & (PAGE_LINES - 1))
				: below(b, b->line_cnt);
	}
	return second == SECOND_NONE ? fetch_loop(b, false) : fetch_loop(b, true);
}

/* ---- work ---------------------------------------------------------------------------------- */

/* Four additions a step, each in a chain of its own that waits for no line. */
static inline __attribute__((always_inline)) void additions(uint64_t sums[4], uint32_t steps)
{
#pragma GCC unroll 16
	for (uint32_t s = 0; s < steps; s++)
		__asm__ volatile("add $1, %0\n\tadd $1, %1\n\tadd $1, %2\n\tadd $1, %3"
				 : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
				 :
				 : "cc");
}

static inline __attribute__((always_inline)) double work_loop(const struct bench *b, uint32_t cnt,
							      uint32_t group, bool swap)
{
	uint64_t sum = 0, sums[4] = {0}, fetch_cnt = b->fetch_cnt & ~(uint64_t)(group - 1);
	double start = (double)pl_time_ns(CLOCK_THREAD_CPUTIME_ID);

	for (uint64_t i = 0; i < fetch_cnt; i += group) {
		for (uint32_t k = 0; k < group; k++)
			pl_prefetch_far(&b->lines[b->at[i + AHEAD + k]]);
		for (uint32_t k = 0; k < group; k++) {
			struct line *l = &b->lines[b->at[i + k]];
			uint64_t have = word_get(l, 3);

			sum += word_get(l, 0);
			additions(sums, cnt / 4);
			if (swap && !atomic_compare_exchange_strong_explicit(
					    &l->word[3], &have, have + 1, memory_order_relaxed,
					    memory_order_relaxed))
				bench_die("swap", "another thread writes this memory");
		}
	}
	__asm__ volatile("" : : "r"(sum), "r"(sums[0]), "r"(sums[1]), "r"(sums[2]), "r"(sums[3]));
	return ((double)pl_time_ns(CLOCK_THREAD_CPUTIME_ID) - start) / (double)fetch_cnt;
}

/* Each a loop of its own, as the number of instructions in it is what is asked. */
#define WORK(adds, group, swap)                                             \
	static double work_##adds##_##group##_##swap(const struct bench *b) \
	{                                                                   \
		return work_loop(b, adds, group, swap);                     \
	}
#define WORKS(adds) WORK(adds, 1, 0) WORK(adds, 1, 1) WORK(adds, 4, 0) WORK(adds, 16, 0)
WORKS(0)
WORKS(16)
WORKS(32)
WORKS(48)
WORKS(64)

static const struct work {
	uint32_t adds, group;
	bool swap;
	double (*run)(const struct bench *b);
} works[] = {
#define ROW(adds, group, swap)                                    \
	{                                                         \
		adds, group, swap, work_##adds##_##group##_##swap \
	}
#define ROWS(adds) ROW(adds, 1, 0), ROW(adds, 1, 1), ROW(adds, 4, 0), ROW(adds, 16, 0)
	ROWS(0), ROWS(16), ROWS(32), ROWS(48), ROWS(64),
};

static double work_ns(struct bench *b, const struct work *w, uint64_t line_cnt)
{
	for (uint64_t i = 0; i < b->fetch_cnt + AHEAD; i++)
		b->at[i] = below(b, line_cnt);
	return w->run(b);
}

/* ---- the run ------------------------------------------------------------------------------- */

static double figures[FIGURES_MAX][ROUNDS_MAX];
static uint32_t figure_cnt; /* of the round that is on */

static const uint32_t reaches[] = {64, 256, 1024, 4096, 8192};
static const char *const fetched[] = {"a line", "two of the same 4 KB", "two anywhere"};
static_assert(2 * PL_ARRAY_CNT(reaches) + PL_ARRAY_CNT(fetched) + 2 * PL_ARRAY_CNT(works) <=
		      FIGURES_MAX,
	      "each has a place");

/* What is measured next, once a core is ours. */
#define NOTE(round, ns)                              \
	do {                                         \
		bench_alone_wait(alone, 1);          \
		figures[figure_cnt++][round] = (ns); \
	} while (0)

static void measure(struct bench *b, struct bench_alone *alone, uint32_t round)
{
	figure_cnt = 0;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(reaches); i++) {
		NOTE(round, reach_ns(b, reaches[i], false));
		NOTE(round, reach_ns(b, reaches[i], true));
	}
	for (enum second s = SECOND_NONE; s <= SECOND_ANYWHERE; s++)
		NOTE(round, fetch_ns(b, s));
	for (uint32_t i = 0; i < PL_ARRAY_CNT(works); i++) {
		NOTE(round, work_ns(b, &works[i], CACHE_LINES));
		NOTE(round, work_ns(b, &works[i], b->line_cnt));
	}
}

static void print(uint32_t rounds, const struct bench_alone *alone)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < PL_ARRAY_CNT(reaches); i++, at += 2)
		printf("{\"what\": \"reach\", \"lines\": %u, \"side_by_side_ns\": %.3f, "
		       "\"in_pages_ns\": %.3f}\n",
		       reaches[i], bench_median(figures[at], rounds),
		       bench_median(figures[at + 1], rounds));
	for (uint32_t i = 0; i < PL_ARRAY_CNT(fetched); i++, at++)
		printf("{\"what\": \"fetch\", \"fetched\": \"%s\", \"line_ns\": %.3f}\n",
		       fetched[i], bench_median(figures[at], rounds));
	for (uint32_t i = 0; i < PL_ARRAY_CNT(works); i++, at += 2)
		printf("{\"what\": \"work\", \"additions\": %u, \"group\": %u, \"swap\": %s, "
		       "\"cache_ns\": %.3f, \"memory_ns\": %.3f}\n",
		       works[i].adds, works[i].group, works[i].swap ? "true" : "false",
		       bench_median(figures[at], rounds), bench_median(figures[at + 1], rounds));
	printf("{\"what\": \"cores\", \"turns\": %u, \"begun_with_another\": %u, "
	       "\"waited_s\": %.1f}\n",
	       figure_cnt * rounds, alone->shared_turns, alone->waited_s);
}

int main(int argc, char **argv)
{
	struct bench_alone alone = {0};
	struct bench b = {.rng = 1};
	uint32_t rounds;
	size_t size;

	if (argc != 5)
		bench_die("usage", "bench_pages SIZE_MB FETCHES ROUNDS HUGE_DIR|-");
	/* Line numbers have 32 bits; the longest ring needs a page each. */
	size = (size_t)bench_number("SIZE_MB", argv[1], 32, 200000) << 20;
	b.fetch_cnt = bench_number("FETCHES", argv[2], 8192, 1000000000);
	rounds = (uint32_t)bench_number("ROUNDS", argv[3], 1, ROUNDS_MAX);
	alone.wait = rounds > 1; /* one round is to try it */
	b.line_cnt = size / PL_CACHE_LINE;
	b.at = malloc((b.fetch_cnt + AHEAD) * sizeof(*b.at));
	b.other = malloc((b.fetch_cnt + AHEAD) * sizeof(*b.other));
	if (b.at == NULL || b.other == NULL)
		bench_die("memory", strerror(errno));
	b.lines = strcmp(argv[4], "-") == 0 ? bench_map_small(size) : bench_map_huge(argv[4], size);
	/* Each page a page of its own. */
	for (uint64_t i = 0; i < b.line_cnt; i++)
		atomic_store_explicit(&b.lines[i].word[0], i, memory_order_relaxed);
	for (uint32_t round = 0; round < rounds; round++)
		measure(&b, &alone, round);
	print(rounds, &alone);
	return 0;
}
