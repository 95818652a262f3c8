/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Shedding: whom a worker tells to come back when it cannot keep up, so that one platform's surge does
 * not harm another's.
 *
 * What a receive queue loses when it is full is everybody's. So a worker that has found nothing but work
 * for a window of PL_SHED_WINDOW_MS, and its queue never near empty, begins to note whose it is. A gateway
 * that has asked for more than its share (of what all who were heard within PL_SHED_HEARD_MS could have)
 * for PL_SHED_HEAVY_WINDOWS is limited: what is beyond its limit is answered BUSY with a time to come
 * back, which costs no look-up and no token, and beyond a bound for such answers it is dropped before it
 * is opened. All who are limited have one limit (max-min fairness: Bertsekas and Gallager, Data Networks,
 * 6.5.2), which sinks while the queue is full and rises when there is time to spare; those who ask for
 * less than it lose nothing. It lets go of a gateway that has kept within it for PL_SHED_CALM_WINDOWS.
 *
 * Only authentic and fresh datagrams are charged, so that nobody spends another's share; and while
 * more than a quarter of what arrives is neither, nobody is limited further: the load is not the gateways'.
 *
 * Work is counted in units: a scan is one, and what a datagram costs whatever is in it is
 * PL_SHED_DATAGRAM_UNITS.
 *
 * A pl_shed belongs to one worker: every call is on its thread. None blocks or allocates.
 */
#ifndef PL_SHED_H
#define PL_SHED_H

#include "base/pl_base.h"
#include "verify/pl_gateway.h"

/* Windows are in a row: it takes 60 ms to be limited, and 2 s within the limit to be let go. */
#define PL_SHED_WINDOW_MS      20u
#define PL_SHED_HEAVY_WINDOWS  3u
#define PL_SHED_CALM_WINDOWS   100u
#define PL_SHED_HEARD_MS       10000u
#define PL_SHED_DATAGRAM_UNITS 4u
/* A limit is a rate; of it, so much may come at once: less than fills a queue while it is judged. */
#define PL_SHED_BURST_US 200u
/* BUSY is told for a quarter of the limit, on top of it. */
#define PL_SHED_BUSY_PART 4u
/* A queue that gives a worker fewer at a time is none that is full. */
#define PL_SHED_FULL_BURST_MIN 16u

enum pl_shed_answer {
	PL_SHED_ADMIT,
	PL_SHED_BUSY, /* over its limit: tell it */
	PL_SHED_DROP, /* and it was told often enough */
};

/** When each may spend again: the theoretical arrival times of the generic cell rate algorithm (ITU-T I.371). */
struct pl_shed_limit {
	uint64_t work_due; /* ticks; 0: not limited */
	uint64_t busy_due;
};

struct pl_shed_notes {
	uint32_t
		units; /* of work in this window; one that was refused counts as an empty datagram */
	uint32_t refused; /* datagrams in this window */
	uint8_t heavy;    /* windows in a row */
	uint8_t calm;
};

struct pl_shed {
	uint64_t tick_hz PL_FROZEN_AFTER(create); /* of the ticks; 0: never sheds */
	bool watching PL_OWNED_BY(worker);        /* false: nothing is noted, nobody is limited */
	uint32_t limited_cnt;                     /* gateways */
	uint64_t units_per_s;                     /* the limit */
	uint64_t peak_units;                      /* the most of a window since it watches */
	uint64_t unit_q16;                        /* the limit as ticks a unit, times 65536 */
	uint64_t burst_ticks;
	uint64_t fair_cnt; /* datagrams in this window that are a gateway's own: noted or dropped */
	uint32_t burst_most; /* datagrams, since the start: what the port gives at a time */
	/* Of this window: bursts of datagrams, and these. */
	uint64_t burst_cnt;
	uint64_t datagram_cnt;
	/* When it began. */
	uint64_t busy_ticks;
	uint64_t idle_ticks;
	uint64_t rx_cnt;
	uint64_t begin_tick;
	struct pl_shed_limit limits[PL_GATEWAY_MAX];
	struct pl_shed_notes notes[PL_GATEWAY_MAX];
};

/** What the worker has counted since it started. */
struct pl_shed_load {
	uint64_t tick;
	uint64_t wall_ms;                           /* as in seen_ms of the gateways */
	const struct pl_gateway_counters *gateways; /* by idx; borrowed */
	uint64_t busy_ticks;                        /* of polls that found something */
	uint64_t idle_ticks;
	uint64_t rx_cnt; /* packets */
};

/** tick_hz 0: it never sheds. s is zeros. */
void pl_shed_init(struct pl_shed *s, uint64_t tick_hz);

/**
 * A look at the load, every millisecond or so; does something when a window is over. Bounded: a walk over the gateways, and only
 * while there is nothing but work.
 *
 * @param gateway_cnt  gateways have idx below it.
 * @param on           false: let everybody go, and watch nobody.
 */
void pl_shed_renew(struct pl_shed *s, const struct pl_shed_load *load, uint32_t gateway_cnt,
		   bool on);

/** A burst of datagrams has come. */
static inline void pl_shed_burst(struct pl_shed *s, uint32_t datagram_cnt)
{
	s->burst_cnt++;
	s->datagram_cnt += datagram_cnt;
	if (datagram_cnt > s->burst_most)
		s->burst_most = datagram_cnt;
}

/** Not even to be opened: far over its limit, and BUSY was told often enough. Counts it. Asked while limited_cnt
 * is not 0. */
bool pl_shed_drops(struct pl_shed *s, uint32_t gateway_idx, uint64_t tick);

/** What an authentic and fresh datagram gets, and charges its gateway for it. Asked while watching. */
enum pl_shed_answer pl_shed_ask(struct pl_shed *s, uint32_t gateway_idx, uint32_t scan_cnt,
				uint64_t tick);

#endif
