/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What bench_table.c and its rivals share.
 */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench_alone.h"
#include "bench_util.h"
#include "table/pl_table.h"

struct bench {
	uint64_t certs;
	uint64_t lookups; /* a measurement */
	uint32_t rounds;
	const char *huge_dir; /* NULL: ordinary pages */
	bool rte, lfht;       /* which rivals */
	struct pl_table *table;
	uint8_t *region; /* as large as the table */
	uint64_t region_size, table_size, page_size;
	uint64_t failed_inserts;
	double insert_s, build_s, writes_per_s;
	struct bench_alone cores;
};

uint64_t bench_table_now_ns(void);
uint64_t bench_table_cpu_ns(void); /* of this thread */
uint64_t bench_table_id(uint64_t idx);

/* Of random lines of b->region, fetched so many ahead; ns each. far: into the second-level cache. */
double bench_ceiling(const struct bench *b, const uint64_t *keys, uint32_t ahead, bool far);
/* A word of each swapped, as a recorded scan ends in one: 64 ahead, far, and which word is known
 * beforehand. */
double bench_ceiling_swap(const struct bench *b, const uint64_t *keys);

/* Each holds the same certificates. Lookups are of b->lookups keys, all present; ns each. */
/* False: it cannot hold them. */
bool bench_rte_hash_fill(const struct bench *b);
double bench_rte_hash_lookup(const struct bench *b, const uint64_t *keys);
void bench_lfht_fill(const struct bench *b);
double bench_lfht_lookup(const struct bench *b, const uint64_t *keys);

#endif
