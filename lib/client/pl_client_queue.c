/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "client/pl_client_pvt.h"

int client_map_create(struct client_map *m, uint32_t entry_cnt_max)
{
	uint32_t slot_cnt = 16;

	while (slot_cnt < 2 * entry_cnt_max)
		slot_cnt *= 2;
	m->slots = malloc(slot_cnt * sizeof(*m->slots));
	if (m->slots == NULL)
		return -ENOMEM;
	m->mask = slot_cnt - 1;
	for (uint32_t i = 0; i < slot_cnt; i++)
		m->slots[i].req_idx = REQ_NIL;
	return 0;
}

/* Counters are consecutive, so their low bits are the best hash there is. */
static uint32_t map_home(const struct client_map *m, uint64_t counter)
{
	return (uint32_t)counter & m->mask;
}

void client_map_put(struct client_map *m, uint64_t counter, uint32_t req_idx, uint32_t attempt)
{
	uint32_t i = map_home(m, counter);

	while (m->slots[i].req_idx != REQ_NIL)
		i = (i + 1) & m->mask;
	m->slots[i] = (struct counter_slot){counter, req_idx, attempt};
}

const struct counter_slot *client_map_find(const struct client_map *m, uint64_t counter)
{
	for (uint32_t i = map_home(m, counter); m->slots[i].req_idx != REQ_NIL;
	     i = (i + 1) & m->mask)
		if (m->slots[i].counter == counter)
			return &m->slots[i];
	return NULL;
}

/* Backward-shift deletion: no tombstones, so a long life costs nothing. */
void client_map_remove(struct client_map *m, uint64_t counter)
{
	const struct counter_slot *found = client_map_find(m, counter);
	uint32_t hole, i;

	if (found == NULL)
		return;
	hole = (uint32_t)(found - m->slots);
	for (i = (hole + 1) & m->mask; m->slots[i].req_idx != REQ_NIL; i = (i + 1) & m->mask) {
		uint32_t home = map_home(m, m->slots[i].counter);

		/* It may fill the hole unless its home lies behind the hole. */
		if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].req_idx = REQ_NIL;
}

static void heap_set(struct client_heap *h, struct client_req *reqs, uint32_t pos, uint32_t idx)
{
	h->idxs[pos] = idx;
	reqs[idx].heap_idx = pos;
}

static uint32_t sift_up(struct client_heap *h, struct client_req *reqs, uint32_t pos)
{
	uint32_t idx = h->idxs[pos];

	while (pos > 0) {
		uint32_t parent = (pos - 1) / 2;

		if (reqs[h->idxs[parent]].next_ns <= reqs[idx].next_ns)
			break;
		heap_set(h, reqs, pos, h->idxs[parent]);
		pos = parent;
	}
	heap_set(h, reqs, pos, idx);
	return pos;
}

static void sift_down(struct client_heap *h, struct client_req *reqs, uint32_t pos)
{
	uint32_t idx = h->idxs[pos];

	for (;;) {
		uint32_t child = 2 * pos + 1;

		if (child >= h->cnt)
			break;
		if (child + 1 < h->cnt &&
		    reqs[h->idxs[child + 1]].next_ns < reqs[h->idxs[child]].next_ns)
			child++;
		if (reqs[h->idxs[child]].next_ns >= reqs[idx].next_ns)
			break;
		heap_set(h, reqs, pos, h->idxs[child]);
		pos = child;
	}
	heap_set(h, reqs, pos, idx);
}

void client_heap_put(struct client_heap *h, struct client_req *reqs, uint32_t idx)
{
	heap_set(h, reqs, h->cnt++, idx);
	sift_up(h, reqs, h->cnt - 1);
}

void client_heap_fix(struct client_heap *h, struct client_req *reqs, uint32_t idx)
{
	uint32_t pos = sift_up(h, reqs, reqs[idx].heap_idx);

	sift_down(h, reqs, pos);
}

void client_heap_remove(struct client_heap *h, struct client_req *reqs, uint32_t idx)
{
	uint32_t pos = reqs[idx].heap_idx;
	uint32_t last = h->idxs[--h->cnt];

	if (pos == h->cnt)
		return;
	heap_set(h, reqs, pos, last);
	client_heap_fix(h, reqs, last);
}
