/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK's rte_hash with its lock-free flag, looked up in bulk; liburcu's lock-free hash table. */
#include "bench_table.h"

#include <errno.h>
#include <sys/mman.h>

#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>

#define _LGPL_SOURCE /* liburcu's read side inline, as fast as it gets */
#include <urcu/urcu-qsbr.h>
#include <urcu/rculfhash.h>

#define BULK 32u

static struct rte_hash *rte;

bool bench_rte_hash_fill(const struct bench *b)
{
	char *argv[] = {"bench_table", "--in-memory", "--no-pci", "--no-telemetry", "-l", "0",
			"--log-level", "*:3",         NULL};
	struct rte_hash_parameters params = {
		.name = "bench",
		.entries = (uint32_t)b->certs,
		.key_len = sizeof(uint64_t),
		.hash_func = rte_hash_crc,
		.extra_flag =
			RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};
	char *no_huge[] = {"bench_table", "--no-shconf", "--no-pci", "--no-telemetry",
			   "--no-huge",   "-m",          "512",      "-l",
			   "0",           "--log-level", "*:3",      NULL};

	if ((b->huge_dir != NULL ? rte_eal_init(PL_ARRAY_CNT(argv) - 1, argv)
				 : rte_eal_init(PL_ARRAY_CNT(no_huge) - 1, no_huge)) < 0)
		bench_die("rte_eal_init", "failed");
	rte = rte_hash_create(&params);
	if (rte == NULL)
		return false;
	for (uint64_t i = 0; i < b->certs; i++) {
		uint64_t id = bench_table_id(i);

		if (rte_hash_add_key_data(rte, &id, (void *)(uintptr_t)(i + 1)) != 0)
			return false;
	}
	return true;
}

double bench_rte_hash_lookup(const struct bench *b, const uint64_t *keys)
{
	uint64_t start = bench_table_cpu_ns(), found = 0;
	const void *ptrs[BULK];
	void *data[BULK];

	for (uint64_t i = 0; i + BULK <= b->lookups; i += BULK) {
		uint64_t mask;

		for (uint32_t k = 0; k < BULK; k++)
			ptrs[k] = &keys[i + k];
		rte_hash_lookup_bulk_data(rte, ptrs, BULK, &mask, data);
		found += (uint64_t)__builtin_popcountll(mask);
	}
	if (found != b->lookups / BULK * BULK)
		bench_die("rte_hash", "certificates are missing");
	return (double)(bench_table_cpu_ns() - start) / (double)(b->lookups / BULK * BULK);
}

/* ---- liburcu --------------------------------------------------------------------------------- */

struct node {
	struct cds_lfht_node node;
	uint64_t id;
	uint32_t facts;
};

static struct cds_lfht *lfht;

static int node_match(struct cds_lfht_node *n, const void *key)
{
	return caa_container_of(n, struct node, node)->id == *(const uint64_t *)key;
}

void bench_lfht_fill(const struct bench *b)
{
	uint64_t buckets = 1, size = b->certs * sizeof(struct node);
	struct node *nodes =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (nodes == MAP_FAILED)
		bench_die("lfht", strerror(errno));
	(void)madvise(nodes, size, MADV_HUGEPAGE);
	while (buckets < b->certs)
		buckets *= 2;
	urcu_qsbr_register_thread();
	lfht = cds_lfht_new_flavor(buckets, buckets, buckets, 0, &urcu_qsbr_flavor, NULL);
	if (lfht == NULL)
		bench_die("lfht", "not created");
	for (uint64_t i = 0; i < b->certs; i++) {
		nodes[i].id = bench_table_id(i);
		nodes[i].facts = 1;
		cds_lfht_node_init(&nodes[i].node);
		cds_lfht_add(lfht, pl_mix64(nodes[i].id), &nodes[i].node);
		if (i % 1024 == 0)
			urcu_qsbr_quiescent_state();
	}
	urcu_qsbr_thread_offline();
}

double bench_lfht_lookup(const struct bench *b, const uint64_t *keys)
{
	uint64_t cnt = b->lookups / 8 + 1, found = 0, start;

	urcu_qsbr_thread_online();
	start = bench_table_cpu_ns();
	for (uint64_t i = 0; i < cnt; i++) {
		struct cds_lfht_iter iter;

		cds_lfht_lookup(lfht, pl_mix64(keys[i]), node_match, &keys[i], &iter);
		found += cds_lfht_iter_get_node(&iter) != NULL;
		if (i % 64 == 0)
			urcu_qsbr_quiescent_state();
	}
	double ns = (double)(bench_table_cpu_ns() - start) / (double)cnt;

	urcu_qsbr_thread_offline();
	if (found != cnt)
		bench_die("lfht", "certificates are missing");
	return ns;
}
