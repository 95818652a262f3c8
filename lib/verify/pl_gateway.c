/* SPDX-License-Identifier: BSD-3-Clause */

#include "verify/pl_gateway.h"

#include <errno.h>

/* Open addressing with linear probing, at a load so low that nearly each look-up ends where it began:
 * one line, and a branch that is foreseen. */
struct slot {
	alignas(PL_CACHE_LINE) uint64_t key; /* id << 8 | epoch */
	struct pl_gateway gateway;           /* without a request key: nobody's */
};

#define SLOTS_A_GATEWAY 4u

struct pl_gateway_set {
	struct slot *slots;
	uint32_t *ids;    /* by idx */
	uint32_t *shares; /* by idx */
	bool *present;    /* by idx: it has a key */
	uint64_t slot_mask;
	uint32_t id_cnt;
	uint32_t share_serial;
};

/* A key's gateway, and the platform that it is of. */
struct member {
	uint32_t platform; /* 0: none */
	uint32_t idx;
};

static uint64_t key_of(uint32_t id, uint8_t epoch)
{
	return (uint64_t)id << 8 | epoch;
}

static int conf_cmp(const void *pa, const void *pb)
{
	const struct pl_gateway_conf *const *a = pa, *const *b = pb;
	uint64_t ka = key_of((*a)->id, (*a)->epoch), kb = key_of((*b)->id, (*b)->epoch);

	return (ka > kb) - (ka < kb);
}

/* Refuse a list that contradicts itself, before any key is made. */
static int confs_check(const struct pl_gateway_conf *const *sorted, uint32_t conf_cnt,
		       uint32_t *bad_id)
{
	uint32_t epochs = 0;

	for (uint32_t i = 0; i < conf_cnt; i++) {
		bool same_id = i > 0 && sorted[i]->id == sorted[i - 1]->id;

		epochs = same_id ? epochs + 1 : 1;
		*bad_id = sorted[i]->id;
		if (same_id && sorted[i]->epoch == sorted[i - 1]->epoch)
			return -EEXIST;
		if (epochs > PL_GATEWAY_EPOCHS_MAX)
			return -ERANGE;
	}
	return 0;
}

/* The idx that an id has, or a new one; PL_GATEWAY_MAX if there is none left. A walk: sets are
 * made seldom, by control, and have a few thousand ids at most. */
static uint32_t idx_of(struct pl_gateway_set *set, uint32_t id)
{
	for (uint32_t i = 0; i < set->id_cnt; i++) {
		if (set->ids[i] == id)
			return i;
	}
	if (set->id_cnt == PL_GATEWAY_MAX)
		return PL_GATEWAY_MAX;
	set->ids[set->id_cnt] = id;
	return set->id_cnt++;
}

/* On failure it has what was made of its keys. */
static int gateway_fill(struct pl_gateway *g, const struct pl_seal *s,
			const struct pl_gateway_conf *c, uint32_t idx)
{
	uint8_t key[PL_SEAL_KEY_SIZE];
	struct pl_seal_key *made = NULL;
	int ret;

	*g = (struct pl_gateway){.id = c->id, .epoch = c->epoch, .idx = idx};
	pl_seal_derive(key, c->root, PL_SEAL_DIR_REQUEST, c->epoch, c->id);
	ret = pl_seal_key_create(s, key, &made);
	if (ret == 0) {
		g->request_key = made;
		pl_seal_derive(key, c->root, PL_SEAL_DIR_REPLY, c->epoch, c->id);
		ret = pl_seal_key_create(s, key, &made);
		if (ret == 0)
			g->reply_key = made;
	}
	explicit_bzero(key, sizeof(key));
	return ret;
}

static struct pl_gateway *slot_take(struct pl_gateway_set *set, uint64_t key)
{
	uint64_t at = pl_mix64(key) & set->slot_mask;

	while (set->slots[at].gateway.request_key != NULL)
		at = (at + 1) & set->slot_mask;
	set->slots[at].key = key;
	return &set->slots[at].gateway;
}

static int platform_cmp(const void *pa, const void *pb)
{
	const struct member *a = pa, *b = pb;

	if (a->platform != b->platform)
		return a->platform < b->platform ? -1 : 1;
	return (a->idx > b->idx) - (a->idx < b->idx);
}

/* A platform's share is named by its gateway of the lowest idx, which it stays when new ones join. */
static void shares_make(struct pl_gateway_set *set, struct member *members, uint32_t cnt)
{
	for (uint32_t i = 0; i < set->id_cnt; i++)
		set->shares[i] = i;
	qsort(members, cnt, sizeof(*members), platform_cmp);
	for (uint32_t i = 0, first = 0; i < cnt; i++) {
		set->present[members[i].idx] = true;
		if (members[i].platform != members[first].platform)
			first = i;
		if (members[i].platform != 0)
			set->shares[members[i].idx] = members[first].idx;
	}
	for (uint64_t at = 0; at <= set->slot_mask; at++)
		set->slots[at].gateway.share = set->shares[set->slots[at].gateway.idx];
}

static int set_fill(struct pl_gateway_set *set, const struct pl_seal *s,
		    const struct pl_gateway_conf *const *sorted, uint32_t conf_cnt,
		    struct member *members, uint32_t *bad_id)
{
	for (uint32_t i = 0; i < conf_cnt; i++) {
		uint32_t idx = idx_of(set, sorted[i]->id);
		int ret;

		*bad_id = sorted[i]->id;
		if (idx == PL_GATEWAY_MAX)
			return -E2BIG;
		ret = gateway_fill(slot_take(set, key_of(sorted[i]->id, sorted[i]->epoch)), s,
				   sorted[i], idx);
		if (ret != 0)
			return ret;
		members[i] = (struct member){.platform = sorted[i]->platform, .idx = idx};
	}
	shares_make(set, members, conf_cnt);
	return 0;
}

static struct pl_gateway_set *set_alloc(const struct pl_gateway_set *prev, uint32_t conf_cnt)
{
	struct pl_gateway_set *set = calloc(1, sizeof(*set));
	uint64_t slot_cnt = 4;

	if (set == NULL)
		return NULL;
	while (slot_cnt < (uint64_t)SLOTS_A_GATEWAY * conf_cnt)
		slot_cnt *= 2;
	set->slot_mask = slot_cnt - 1;
	set->slots = aligned_alloc(alignof(struct slot), slot_cnt * sizeof(*set->slots));
	set->ids = calloc(PL_GATEWAY_MAX, sizeof(*set->ids));
	set->shares = calloc(PL_GATEWAY_MAX, sizeof(*set->shares));
	set->present = calloc(PL_GATEWAY_MAX, sizeof(*set->present));
	if (set->slots == NULL || set->ids == NULL || set->shares == NULL || set->present == NULL) {
		free(set->slots);
		free(set->ids);
		free(set->shares);
		free(set->present);
		free(set);
		return NULL;
	}
	memset(set->slots, 0, slot_cnt * sizeof(*set->slots));
	if (prev != NULL) {
		set->id_cnt = prev->id_cnt;
		memcpy(set->ids, prev->ids, prev->id_cnt * sizeof(*set->ids));
	}
	return set;
}

static uint32_t share_serial(const struct pl_gateway_set *set, const struct pl_gateway_set *prev)
{
	if (prev == NULL)
		return 1;
	for (uint32_t i = 0; i < prev->id_cnt; i++)
		if (set->present[i] && prev->present[i] && set->shares[i] != prev->shares[i])
			return prev->share_serial + 1;
	return prev->share_serial;
}

int pl_gateway_set_create(const struct pl_seal *s, const struct pl_gateway_set *prev,
			  const struct pl_gateway_conf *confs, uint32_t conf_cnt,
			  struct pl_gateway_set **out, uint32_t *bad_id)
{
	const struct pl_gateway_conf **sorted = calloc((size_t)conf_cnt + 1, sizeof(*sorted));
	struct member *members = calloc((size_t)conf_cnt + 1, sizeof(*members));
	struct pl_gateway_set *set = NULL;
	uint32_t bad = 0;
	int ret = -ENOMEM;

	if (sorted == NULL || members == NULL)
		goto out;
	for (uint32_t i = 0; i < conf_cnt; i++)
		sorted[i] = &confs[i];
	if (conf_cnt != 0)
		qsort(sorted, conf_cnt, sizeof(*sorted), conf_cmp);
	ret = confs_check(sorted, conf_cnt, &bad);
	if (ret != 0)
		goto out;
	set = set_alloc(prev, conf_cnt);
	ret = set == NULL ? -ENOMEM : set_fill(set, s, sorted, conf_cnt, members, &bad);
	if (ret == 0) {
		set->share_serial = share_serial(set, prev);
		*out = set;
		set = NULL;
	}
out:
	if (ret != 0 && bad_id != NULL)
		*bad_id = bad;
	pl_gateway_set_destroy(set);
	free(members);
	free(sorted);
	return ret;
}

void pl_gateway_set_destroy(struct pl_gateway_set *set)
{
	if (set == NULL)
		return;
	for (uint64_t at = 0; at <= set->slot_mask; at++) {
		const struct pl_gateway *g = &set->slots[at].gateway;

		pl_seal_key_destroy((struct pl_seal_key *)(uintptr_t)g->request_key);
		pl_seal_key_destroy((struct pl_seal_key *)(uintptr_t)g->reply_key);
	}
	free(set->slots);
	free(set->ids);
	free(set->shares);
	free(set->present);
	free(set);
}

const struct pl_gateway *pl_gateway_find(const struct pl_gateway_set *set, uint32_t id,
					 uint8_t epoch)
{
	uint64_t key = key_of(id, epoch);

	for (uint64_t at = pl_mix64(key) & set->slot_mask;; at = (at + 1) & set->slot_mask) {
		const struct slot *s = &set->slots[at];

		if (PL_UNLIKELY(s->gateway.request_key == NULL))
			return NULL;
		if (PL_LIKELY(s->key == key))
			return &s->gateway;
	}
}

uint32_t pl_gateway_cnt(const struct pl_gateway_set *set)
{
	return set->id_cnt;
}

uint32_t pl_gateway_id(const struct pl_gateway_set *set, uint32_t idx)
{
	PL_CHECK(idx < set->id_cnt);
	return set->ids[idx];
}

const uint32_t *pl_gateway_shares(const struct pl_gateway_set *set)
{
	return set->shares;
}

uint32_t pl_gateway_share_serial(const struct pl_gateway_set *set)
{
	return set->share_serial;
}
