/* SPDX-License-Identifier: BSD-3-Clause */
/* What the machine itself does with random lines. */
#include "bench_table.h"

#include <errno.h>

double bench_ceiling(const struct bench *b, const uint64_t *keys, uint32_t ahead, bool far)
{
	const uint8_t *region = b->region;
	uint64_t lines = b->region_size / 64, cnt = b->lookups, sum = 0, start;
	static uint32_t *at;

	if (at == NULL && (at = malloc(cnt * sizeof(*at))) == NULL)
		bench_die("memory", strerror(errno));
	for (uint64_t i = 0; i < cnt; i++)
		at[i] = (uint32_t)((unsigned __int128)keys[i] * lines >> 64);
	start = bench_table_cpu_ns();
	for (uint64_t i = 0; i + ahead < cnt; i++) {
		if (far)
			pl_prefetch_far(&region[(uint64_t)at[i + ahead] * 64]);
		else
			pl_prefetch(&region[(uint64_t)at[i + ahead] * 64]);
		sum += *(const volatile uint64_t *)&region[(uint64_t)at[i] * 64];
	}
	__asm__ volatile("" : : "r"(sum));
	return (double)(bench_table_cpu_ns() - start) / (double)(cnt - ahead);
}

double bench_ceiling_swap(const struct bench *b, const uint64_t *keys)
{
	uint64_t lines = b->region_size / 64, cnt = b->lookups, start;
	const uint32_t ahead = 64;

	start = bench_table_cpu_ns();
	for (uint64_t i = 0; i + ahead < cnt; i++) {
		uint64_t next = (uint64_t)((unsigned __int128)keys[i + ahead] * lines >> 64);
		uint64_t at = (uint64_t)((unsigned __int128)keys[i] * lines >> 64);
		_Atomic uint64_t *word = (_Atomic uint64_t *)(void *)&b->region[at * 64];
		uint64_t have;

		pl_prefetch_far(&b->region[next * 64]);
		/* relaxed: one thread */
		have = atomic_load_explicit(word, memory_order_relaxed);
		if (!atomic_compare_exchange_strong_explicit(
			    word, &have, have + 1, memory_order_relaxed, memory_order_relaxed))
			bench_die("ceiling", "another thread writes its region");
	}
	return (double)(bench_table_cpu_ns() - start) / (double)(cnt - ahead);
}
