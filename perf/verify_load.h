/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A load for the verify stage by itself, without a link: a table, many gateways, and for each
 * worker a pool of sealed datagrams.
 *
 * Every scan of all pools is of another certificate, in an order that no prefetcher guesses, under
 * one of many gateway keys; vl_mint() makes new tokens for the whole pool, so that each scan is
 * then accepted by a compare-and-swap.
 */
#ifndef VERIFY_LOAD_H
#define VERIFY_LOAD_H

#include "verify/pl_verify.h"

struct vl_conf {
	uint64_t cert_cnt;
	uint64_t pool_scan_cnt; /* of each worker */
	const char *table_path; /* on hugetlbfs; NULL: ordinary pages */
	uint32_t scans;         /* a datagram */
	uint32_t burst;         /* datagrams */
	uint32_t gateway_cnt;
	enum pl_seal_engine seal_engine;
	int token_variant; /* or -1 */
};

/** What workers share. */
struct vl_site {
	struct vl_conf conf;
	struct pl_table *table;
	struct pl_policy policy;
	struct pl_token_keys keys;
	struct pl_gateway_set *gateways;
	struct pl_view view;
	struct pl_now now;
	uint8_t master[PL_TOKEN_KEY_SIZE];
	uint64_t first_cert; /* where the next pool's certificates begin */
	uint64_t scan_cnt;   /* of all pools */
};

struct vl_worker {
	struct vl_site *site;
	struct pl_table_reader *reader;
	struct pl_verify *verify;
	struct pl_seal *seal;
	struct pl_counters counters;
	uint64_t datagram_cnt;
	uint64_t scan_cnt;
	uint32_t size; /* of one datagram */
	uint8_t *pool;
	uint8_t *work;   /* one burst */
	uint64_t *order; /* certificate of each scan of the pool */
	uint64_t rng;
};

/* All exit with a message if they cannot. */
void vl_site_open(struct vl_site *site, const struct vl_conf *conf);
void vl_worker_open(struct vl_site *site, struct vl_worker *w, uint32_t queue);

/** A second later: before the pools are minted anew. */
void vl_tick(struct vl_site *site);
void vl_mint(struct vl_worker *w);
/** Verify the whole pool, burst by burst. @return cycles spent in pl_verify_burst(). */
uint64_t vl_run(struct vl_worker *w);
/** Copy burst at datagram d into w->work, as a port that has just written it would. */
void vl_burst_load(struct vl_worker *w, uint64_t d);

/** Flags that the benches have in common: "certs", "scans", ...; false if name is none. */
bool vl_conf_set(struct vl_conf *conf, const char *name, const char *value);
extern const char vl_usage[];

#endif
