/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A worker: one lcore that serves one queue, from frame to frame. The loop allocates nothing,
 * locks nothing, logs nothing and makes no system call; everything rare is in its chores, every
 * PL_CHORES_US. What others see of it are copies that it publishes there.
 */
#ifndef PL_WORKER_H
#define PL_WORKER_H

#include <stdatomic.h>

#include "net/pl_net.h"
#include "port/pl_port.h"
#include "site/pl_site.h"
#include "verify/pl_verify.h"
#include "view.h"

#define PL_CHORES_US        100u
#define PL_TX_TRIES_MAX     16u   /* of a transmit ring that takes nothing, before frames drop */
#define PL_STALL_US         1000u /* chores so late, which no burst makes them, are a stall */
#define PL_IDLE_POLLS_SLEEP 2000u /* empty polls in a row before a worker may sleep */
#define PL_FEED_AHEAD_S_MAX 300u  /* how far the authority's clock may be before ours */
#define PL_GATEWAYS_A_CHORE 16u   /* how many gateways' counts are published each time */
#define PL_GATEWAY_WORDS    (sizeof(struct pl_gateway_counters) / sizeof(uint64_t))

/** What control and the loader tell all workers; one line, rarely written. */
struct pl_live {
	/* enum pl_state_flag, from each who finds a reason of its own: nobody passes on another's,
	 * so that one who hangs holds back nobody's flags but his. pl_live_flags() joins them. */
	alignas(PL_CACHE_LINE) _Atomic uint32_t flags PL_SHARED(ctrl, worker);
	_Atomic uint32_t feed_flags PL_SHARED(loader, worker);
	_Atomic uint32_t intake_flags PL_SHARED(intake, worker);
	_Atomic uint32_t as_of PL_SHARED(loader, worker); /* unix s */
	_Atomic uint64_t nonce_limit PL_SHARED(nonce, worker);
	_Atomic uint32_t announce_generation PL_SHARED(ctrl, worker); /* a change: announce */
	_Atomic bool stop PL_SHARED(ctrl, worker);
};

/** All reasons in force, but for those that a worker finds by itself: clock and age of the feed. */
static inline uint32_t pl_live_flags(const struct pl_live *live)
{
	/* FLAGS-GET acquire, all three: pairs FLAGS-PUB, LOAD-PUB, INTAKE-PUB. With "loading" gone,
	 * all that was loaded is seen. */
	uint32_t flags = atomic_load_explicit(&live->flags, memory_order_acquire) |
			 atomic_load_explicit(&live->feed_flags, memory_order_acquire) |
			 atomic_load_explicit(&live->intake_flags, memory_order_acquire);

	/* Segments are there that the table does not have: who is absent may be in them, however
	 * young as_of is. */
	if (flags & (PL_FLAG_INTAKE | PL_FLAG_TABLE_FULL))
		flags |= PL_FLAG_FEED_OLD;
	return flags;
}

/** Is a feed as of then so old, at this time, that who is absent from it may be in a newer one? One
 * from the future is: it was signed by a clock that was wrong, and would be fresh until then. */
static inline bool pl_feed_is_old(uint32_t as_of, uint64_t now_s, uint32_t age_s_max)
{
	return now_s > (uint64_t)as_of + age_s_max || as_of > now_s + PL_FEED_AHEAD_S_MAX;
}

struct pl_worker {
	/* The burst. */
	alignas(PL_CACHE_LINE) const struct pl_port *port PL_FROZEN_AFTER(start);
	const struct pl_net_if *nif PL_FROZEN_AFTER(start);
	struct pl_verify *verify PL_OWNED_BY(worker);
	struct pl_table_reader *reader PL_OWNED_BY(worker);
	const struct pl_app_view *view PL_OWNED_BY(worker); /* held until the next chores */
	struct pl_clock_view clock PL_OWNED_BY(worker);
	uint64_t chores_tsc PL_OWNED_BY(worker); /* when they are due */
	uint64_t chores_period_tsc PL_FROZEN_AFTER(start);
	uint64_t stall_tsc PL_FROZEN_AFTER(start);
	uint64_t sample_tsc PL_OWNED_BY(worker); /* when the next sample of the scans is due */
	uint32_t flags PL_OWNED_BY(worker);
	uint32_t as_of PL_OWNED_BY(worker);
	uint32_t empty_polls PL_OWNED_BY(worker); /* in a row */
	uint32_t tx_cnt PL_OWNED_BY(worker);
	uint32_t junk_cnt PL_OWNED_BY(worker);
	uint16_t queue PL_FROZEN_AFTER(start); /* of the port */
	struct pl_counters counters PL_OWNED_BY(worker);

	/* One burst's scratch. */
	struct rte_mbuf *rx[PL_PORT_BURST_MAX] PL_OWNED_BY(worker);
	struct rte_mbuf *tx[PL_PORT_BURST_MAX];
	struct rte_mbuf *junk[PL_PORT_BURST_MAX];
	uint8_t tx_kind[PL_PORT_BURST_MAX];    /* enum pl_net_kind */
	uint8_t item_frame[PL_PORT_BURST_MAX]; /* which frame an item is the payload of */
	struct pl_net_frame frames[PL_PORT_BURST_MAX];
	struct pl_verify_item items[PL_PORT_BURST_MAX];

	/* Rare. */
	alignas(PL_CACHE_LINE) struct pl_view_box *views PL_FROZEN_AFTER(start);
	const struct pl_clock *clock_base PL_FROZEN_AFTER(start);
	const struct pl_live *live PL_FROZEN_AFTER(start);
	uint64_t sample_period_tsc PL_FROZEN_AFTER(start);
	struct pl_samples *samples PL_SHARED(worker, desk); /* NULL: none are kept */
	uint32_t idx PL_FROZEN_AFTER(start); /* of all workers: queue number in nonces */
	uint32_t lcore_id PL_FROZEN_AFTER(start);
	bool garp PL_FROZEN_AFTER(start);
	uint32_t announced PL_OWNED_BY(worker);      /* generation last seen */
	uint32_t gateway_cursor PL_OWNED_BY(worker); /* next to publish */

	/* What it shows. */
	struct pl_counters_pub pub PL_SHARED(worker, ctrl);
	_Atomic uint64_t pub_version PL_SHARED(worker, ctrl); /* odd while pub is being written */
	_Atomic uint64_t pub_nonce_next PL_SHARED(worker, ctrl);
	_Atomic uint32_t pub_limited_cnt PL_SHARED(worker, ctrl); /* platforms: pl_shed.h */
	_Atomic uint64_t pub_gateways[PL_GATEWAY_MAX][PL_GATEWAY_WORDS] PL_SHARED(worker, ctrl);
	_Atomic bool pub_limited[PL_GATEWAY_MAX] PL_SHARED(worker, ctrl); /* pl_shed.h */
};

/** For rte_eal_remote_launch(); runs until live->stop. Always 0. */
int pl_worker_main(void *worker);

/** @return true when the worker shall stop. */
bool pl_worker_chores(struct pl_worker *w, uint64_t now_tsc) PL_COLD;
/** Tell the link our addresses. Queue 0 of a port only. */
void pl_worker_announce(struct pl_worker *w) PL_COLD;

/**
 * A published copy of a worker's counters, all of one moment between two bursts; so that
 * rx_pkts = answered + sum of drops holds in it, however busy the worker is. Any thread; it may
 * have to look again, a bounded number of times (then words may be of two adjacent moments).
 */
void pl_worker_counters_read(const struct pl_worker *w, struct pl_counters *out);

/** A published copy of one gateway's counts by one worker, and whether it is limited. Any thread. */
bool pl_worker_gateway_read(const struct pl_worker *w, uint32_t idx,
			    struct pl_gateway_counters *out);

#endif
