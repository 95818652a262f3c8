/* SPDX-License-Identifier: BSD-3-Clause */

#include "gateways.h"

#include <errno.h>
#include <sodium.h>

#include "clock.h"
#include "keys/pl_keys.h"

static int make_key(const struct pl_seal *seal, const struct pl_key *key, enum pl_seal_dir dir,
		    struct pl_seal_key **out)
{
	uint8_t bytes[PL_SEAL_KEY_SIZE];
	int rc;

	pl_seal_derive(bytes, key->bytes, dir, key->epoch, key->gateway_id);
	rc = pl_seal_key_create(seal, bytes, out);
	sodium_memzero(bytes, sizeof(bytes));
	return rc;
}

static int compare_keys(const void *a, const void *b)
{
	uint32_t x = (*(const struct pl_key *const *)a)->gateway_id;
	uint32_t y = (*(const struct pl_key *const *)b)->gateway_id;

	return (x > y) - (x < y);
}

static bool is_newest(const struct pl_keys *keys, const struct pl_key *key)
{
	for (uint32_t i = 0; i < keys->cnt; i++)
		if (keys->key[i].gateway_id == key->gateway_id && keys->key[i].epoch > key->epoch)
			return false;
	return true;
}

static int add(struct gateways *g, const struct load_args *args, const struct pl_seal *seal,
	       const struct pl_key *key, uint64_t counters_each, char *error, size_t error_size)
{
	struct gateway *gw = &g->all[g->cnt];
	uint32_t slot = gateways_home(key->gateway_id);
	char path[1024];
	int rc;

	gw->id = key->gateway_id;
	gw->epoch = key->epoch;
	rc = make_key(seal, key, PL_SEAL_DIR_REQUEST, &gw->request_key);
	if (rc == 0)
		rc = make_key(seal, key, PL_SEAL_DIR_REPLY, &gw->reply_key);
	if (rc != 0) {
		snprintf(error, error_size, "gateway %u: %s", gw->id, strerror(-rc));
		return rc;
	}
	if (snprintf(path, sizeof(path), "%s/counter-%u-%u", args->state_dir, gw->id, gw->epoch) >=
	    (int)sizeof(path)) {
		snprintf(error, error_size, "--state-dir: path is too long");
		return -ENAMETOOLONG;
	}
	rc = pl_client_counter_open(&gw->counter, path, gw->id, gw->epoch, counters_each,
				    pl_time_ns(CLOCK_REALTIME), error, error_size);
	if (rc != 0)
		return rc;
	while (g->by_id[slot] != 0)
		slot = (slot + 1) & (GATEWAYS_SLOTS - 1);
	g->by_id[slot] = (uint16_t)++g->cnt;
	return 0;
}

int gateways_open(struct gateways *g, const struct load_args *args, const struct pl_seal *seal,
		  uint64_t counters_each, char *error, size_t error_size)
{
	const struct pl_key **by_id; /* the keys themselves stay where they are locked */
	struct pl_keys *keys;
	int rc;

	memset(g, 0, sizeof(*g));
	if (args->key_dir != NULL)
		rc = pl_keys_load_dir(args->key_dir, PL_KEY_GATEWAY, &keys, error, error_size);
	else
		rc = pl_keys_load_file(args->key_path, PL_KEY_GATEWAY, &keys, error, error_size);
	if (rc != 0)
		return rc;
	g->all = calloc(GATEWAYS_MAX, sizeof(*g->all));
	by_id = calloc((size_t)keys->cnt + 1, sizeof(const struct pl_key *));
	if (g->all == NULL || by_id == NULL) {
		snprintf(error, error_size, "out of memory");
		rc = -ENOMEM;
	}
	for (uint32_t i = 0; i < keys->cnt && rc == 0; i++)
		by_id[i] = &keys->key[i];
	if (rc == 0)
		qsort(by_id, keys->cnt, sizeof(const struct pl_key *), compare_keys);
	for (uint32_t i = 0; i < keys->cnt && rc == 0; i++) {
		if (!is_newest(keys, by_id[i]))
			continue;
		if (g->cnt == GATEWAYS_MAX) {
			snprintf(error, error_size, "more than %u gateways", GATEWAYS_MAX);
			rc = -E2BIG;
			break;
		}
		rc = add(g, args, seal, by_id[i], counters_each, error, error_size);
	}
	if (rc == 0 && g->cnt == 0) {
		snprintf(error, error_size, "%s: no gateway keys (*.key)", args->key_dir);
		rc = -ENOENT;
	}
	free(by_id);
	pl_keys_free(keys);
	if (rc != 0)
		gateways_close(g);
	return rc;
}

void gateways_close(struct gateways *g)
{
	for (uint32_t i = 0; g->all != NULL && i < GATEWAYS_MAX; i++) {
		pl_seal_key_destroy(g->all[i].request_key);
		pl_seal_key_destroy(g->all[i].reply_key);
		if (g->all[i].counter.path != NULL)
			pl_client_counter_close(&g->all[i].counter);
	}
	free(g->all);
	g->all = NULL;
}
