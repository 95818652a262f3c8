/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The gateways that the load pretends to be: keys and request counters.
 */
#ifndef PL_LOAD_GATEWAYS_H
#define PL_LOAD_GATEWAYS_H

#include "client/pl_client_counter.h"
#include "load.h"

#define GATEWAYS_MAX   4096u
#define GATEWAYS_SLOTS (4u * GATEWAYS_MAX)

struct gateway {
	uint32_t id;
	uint8_t epoch;
	struct pl_seal_key *request_key;
	struct pl_seal_key *reply_key;
	struct pl_client_counter counter;
};

struct gateways {
	struct gateway *all; /* by id */
	uint32_t cnt;
	uint16_t by_id[GATEWAYS_SLOTS]; /* index + 1; 0: empty; linear probing */
};

/**
 * Load --key or --key-dir: of a gateway with several key epochs the newest.
 * @param counters_each  how many request counters to reserve at once for each.
 */
PL_MUST_USE int gateways_open(struct gateways *g, const struct load_args *args,
			      const struct pl_seal *seal, uint64_t counters_each, char *error,
			      size_t error_size);
void gateways_close(struct gateways *g);

static inline uint32_t gateways_home(uint32_t id)
{
	return (uint32_t)pl_mix64(id) & (GATEWAYS_SLOTS - 1);
}

/** By id, or NULL. */
static inline const struct gateway *gateways_find(const struct gateways *g, uint32_t id)
{
	for (uint32_t i = gateways_home(id); g->by_id[i] != 0; i = (i + 1) & (GATEWAYS_SLOTS - 1))
		if (g->all[g->by_id[i] - 1].id == id)
			return &g->all[g->by_id[i] - 1];
	return NULL;
}

#endif
