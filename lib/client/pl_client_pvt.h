/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Internals of lib/client. Everything belongs to the client's one thread.
 */
#ifndef PL_CLIENT_PVT_H
#define PL_CLIENT_PVT_H

#include "client/pl_client.h"
#include "client/pl_client_counter.h"

#define RX_BURST  32u
#define NS_PER_MS 1000000ull

/** An address that does not answer is passed over for a while, doubling up to the limit. */
#define AVOID_MISSES      3u /* in a row */
#define AVOID_NS_FIRST    (1000 * NS_PER_MS)
#define AVOID_NS_MAX      (30000 * NS_PER_MS)
#define AVOID_DRAINING_NS (5000 * NS_PER_MS)
#define AVOID_LOADING_NS  (1000 * NS_PER_MS)

struct client_addr {
	struct pl_client_addr addr;
	int fd;               /* connected, or -1: connect when next needed */
	uint32_t misses;      /* datagrams in a row without an answer */
	uint64_t avoid_ns;    /* how long it is avoided next time */
	uint64_t avoid_until; /* better not, monotonic ns */
	uint64_t busy_until;  /* must not: it said retry-after */
};

enum req_state {
	REQ_FREE = 0,
	REQ_WAITING, /* outstanding: next_ns says when something is to be done */
	REQ_DONE,    /* its result waits to be collected */
};

struct client_req {
	uint8_t state; /* enum req_state */
	uint8_t attempts;
	uint8_t last_addr;
	uint8_t backoffs; /* waits so far: the exponent of the next */
	bool in_flight;   /* the last datagram was neither answered nor counted as a miss */
	uint32_t heap_idx;
	uint32_t next; /* in the free or the done list */
	uint64_t submit_ns;
	uint64_t deadline_ns;
	uint64_t next_ns;
	uint64_t counters[PL_CLIENT_ATTEMPTS_MAX];
	uint64_t sent_ns[PL_CLIENT_ATTEMPTS_MAX];
	uint8_t sent_addr[PL_CLIENT_ATTEMPTS_MAX];
	struct pl_client_result result; /* answered: the best answer so far */
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];
};

#define REQ_NIL UINT32_MAX

/** Outstanding counters -> request and attempt: linear probing, at most half full. */
struct counter_slot {
	uint64_t counter;
	uint32_t req_idx; /* REQ_NIL: empty */
	uint32_t attempt;
};

struct client_map {
	struct counter_slot *slots;
	uint32_t mask;
};

/** Requests by next_ns, the earliest first: a binary heap of request indices. */
struct client_heap {
	uint32_t *idxs;
	uint32_t cnt;
};

struct pl_client {
	struct pl_client_conf conf PL_FROZEN_AFTER(create); /* root is wiped */
	struct pl_seal *seal;
	struct pl_seal_key *request_key;
	struct pl_seal_key *reply_key;
	struct pl_client_counter counter;
	struct client_addr addrs[PL_CLIENT_ADDRS_MAX];
	uint32_t addr_current;
	uint32_t outstanding;
	uint32_t free_head;
	uint32_t done_head;
	uint32_t done_tail;
	uint64_t budget_milli; /* thousandths of a retry */
	uint64_t rng;
	uint64_t timer_ns; /* what the timer is set to; 0: not set */
	int epoll_fd;
	int timer_fd;
	struct client_req *reqs;
	struct client_heap heap;
	struct client_map map;
	struct pl_client_stats stats;
	uint8_t rx_bytes[RX_BURST][PL_WIRE_REP_SIZE(PL_WIRE_SCANS_MAX) + 1];
};

/* pl_client_queue.c */
PL_MUST_USE int client_map_create(struct client_map *m, uint32_t entry_cnt_max);
void client_map_put(struct client_map *m, uint64_t counter, uint32_t req_idx, uint32_t attempt);
/** @return the entry, or NULL. Valid until the map changes. */
const struct counter_slot *client_map_find(const struct client_map *m, uint64_t counter);
void client_map_remove(struct client_map *m, uint64_t counter);
/** Put a request in, or move it after its next_ns changed. */
void client_heap_put(struct client_heap *h, struct client_req *reqs, uint32_t idx);
void client_heap_fix(struct client_heap *h, struct client_req *reqs, uint32_t idx);
void client_heap_remove(struct client_heap *h, struct client_req *reqs, uint32_t idx);

/* pl_client_addr.c */
PL_MUST_USE int client_addr_connect(struct pl_client *c, uint32_t idx);
/**
 * Which address to ask now, in turn from `first` on.
 * @return its index, or -1 when every one has asked to wait; then *wait_until says until when.
 */
int client_addr_pick(const struct pl_client *c, uint32_t first, uint64_t now, uint64_t *wait_until);
void client_addr_miss(struct client_addr *a, uint64_t now);
void client_addr_avoid(struct client_addr *a, uint64_t until);

/* pl_client.c */
uint64_t client_now(const struct pl_client *c);
/** 0 .. bound - 1; 0 for a bound of 0. */
uint64_t client_random(struct pl_client *c, uint64_t bound);
void client_end(struct pl_client *c, uint32_t idx, uint64_t now);
/** How long to wait before the request's next datagram: doubling, half of it random. */
uint64_t client_backoff_ns(struct pl_client *c, const struct client_req *r);
bool client_budget_left(const struct pl_client *c);

/* pl_client_rx.c */
void client_receive(struct pl_client *c, uint64_t now);

#endif
