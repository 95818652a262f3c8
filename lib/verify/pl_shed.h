/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Shedding: whom a worker tells to come back when it cannot keep up, so that one platform's surge does
 * not harm another's.
 *
 * What a receive queue loses when it is full is everybody's. So a worker whose queue is long for a
 * quarter of what it takes in a window (long: PL_SHED_RUN_MIN datagrams in whole bursts with no empty
 * poll between) notes from then on whose its work is. A gateway that asks for more than its share, of
 * what all who were heard within PL_SHED_HEARD_MS could have, in several windows is limited: what is
 * beyond its limit is answered BUSY with a time to come back, which costs no look-up and no token, and
 * beyond a bound for such answers it is dropped before it is opened. All who are limited have one limit
 * (max-min fairness: Bertsekas and Gallager, Data Networks, 6.5.2), which sinks while the queue is long,
 * and rises when it has not been for a while and there is time to spare; those who ask for less than it
 * lose nothing. It lets go of a gateway that has kept within it for PL_SHED_CALM_WINDOWS.
 *
 * Only authentic and fresh datagrams are charged, so that nobody spends another's share; and while
 * more than a quarter of what is looked at is neither, nobody is limited further: the load is not the
 * gateways'.
 *
 * Work is counted in units: a scan is one, and what a datagram costs whatever is in it is
 * PL_SHED_DATAGRAM_UNITS.
 *
 * A share is a platform's, of all its gateways together, or a gateway's that is of none (pl_gateway.h). What
 * is said of a gateway here holds for a platform.
 *
 * A pl_shed belongs to one worker: every call is on its thread. None blocks or allocates.
 */
#ifndef PL_SHED_H
#define PL_SHED_H

#include "base/pl_base.h"
#include "verify/pl_gateway.h"

#define PL_SHED_WINDOW_MS 20u
/* In so many windows it must be over its share; each is forgotten in PL_SHED_FORGET_WINDOWS, so that
 * pauses, or gateways that take turns, do not hide a surge. */
#define PL_SHED_HEAVY_WINDOWS  3u
#define PL_SHED_FORGET_WINDOWS 16u
/* Within its limit for so long (10 s), it is let go. */
#define PL_SHED_CALM_WINDOWS 500u
/* No limit rises before so many windows were without a long queue. */
#define PL_SHED_QUIET_WINDOWS  4u
#define PL_SHED_HEARD_MS       10000u
#define PL_SHED_RUN_MIN        512u
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

/** When each may spend again: theoretical arrival times, as in the generic cell rate algorithm
 * (ITU-T I.371). */
struct pl_shed_limit {
	uint64_t work_due; /* ticks; 0: not limited */
	uint64_t busy_due;
};

struct pl_shed_notes {
	uint32_t units;   /* of work in this window */
	uint32_t refused; /* datagrams in this window, told BUSY or dropped */
	uint16_t heavy;   /* PL_SHED_FORGET_WINDOWS for each over its share, 1 less for others */
	uint16_t calm;    /* windows in a row within its limit */
	bool heard;       /* scratch of a window's end */
};

struct pl_shed {
	uint64_t tick_hz PL_FROZEN_AFTER(create); /* of the ticks; 0: never sheds */
	bool watching PL_OWNED_BY(worker);        /* false: nothing is noted, nobody is limited */
	uint32_t limited_cnt;                     /* shares */
	uint32_t share_serial;                    /* of the shares that limits and notes are of */
	uint64_t units_per_s;                     /* the limit */
	uint64_t unit_q16;                        /* the limit as ticks a unit, times 65536 */
	uint64_t burst_ticks;
	uint64_t peak_units_per_s; /* the most since it watches: what the worker can do */
	uint32_t burst_most;       /* datagrams, since the start: what the port gives at a time */
	uint32_t quiet;            /* windows since the queue was long */
	/* Of this window. */
	uint64_t run;     /* datagrams in whole bursts, up to now with no empty poll between */
	uint64_t run_cnt; /* datagrams in runs of PL_SHED_RUN_MIN and more */
	uint64_t datagram_cnt;
	uint64_t fair_cnt;  /* datagrams that are a gateway's own */
	uint64_t blind_cnt; /* datagrams that nobody opened: whose they are is not known */
	/* When it began. */
	uint64_t busy_ticks;
	uint64_t idle_ticks;
	uint64_t rx_cnt;
	uint64_t begin_tick;
	/* By share. */
	struct pl_shed_limit limits[PL_GATEWAY_MAX];
	struct pl_shed_notes notes[PL_GATEWAY_MAX];
};

/** What the worker has counted since it started. */
struct pl_shed_load {
	uint64_t tick;
	uint64_t wall_ms;                           /* as in seen_ms of the gateways */
	const struct pl_gateway_counters *gateways; /* by idx; borrowed */
	const uint32_t *shares;                     /* by idx; borrowed */
	uint32_t share_serial;                      /* another one: begin anew */
	uint64_t busy_ticks;                        /* of polls that found something */
	uint64_t idle_ticks;
	uint64_t rx_cnt; /* packets */
};

/** tick_hz 0: it never sheds. s is zeros. */
void pl_shed_init(struct pl_shed *s, uint64_t tick_hz);

/**
 * A look at the load, every millisecond or so; does something when a window is over. Bounded: a walk
 * over the gateways, and only while the queue is long or somebody is limited.
 *
 * @param gateway_cnt  gateways have idx below it.
 * @param on           false: let everybody go, and watch nobody.
 */
void pl_shed_renew(struct pl_shed *s, const struct pl_shed_load *load, uint32_t gateway_cnt,
		   bool on);

/** A burst of datagrams has come. @param waited  a poll before it found nothing. */
static inline void pl_shed_burst(struct pl_shed *s, uint32_t datagram_cnt, bool waited)
{
	if (datagram_cnt > s->burst_most)
		s->burst_most = datagram_cnt;
	/* Whole: three quarters of the most that the port ever gave. */
	if (waited || datagram_cnt * 4 < s->burst_most * 3 || datagram_cnt < PL_SHED_FULL_BURST_MIN)
		s->run = 0;
	else
		s->run += datagram_cnt;
	if (s->run >= PL_SHED_RUN_MIN)
		s->run_cnt += s->run - datagram_cnt >= PL_SHED_RUN_MIN ? datagram_cnt : s->run;
	s->datagram_cnt += datagram_cnt;
}

/** Not even to be opened: far over its limit, and BUSY was told often enough. Counts it. Asked while
 * limited_cnt is not 0. */
bool pl_shed_drops(struct pl_shed *s, uint32_t share, uint64_t tick);

/** What an authentic and fresh datagram gets, and charges its share for it. Asked while watching. */
enum pl_shed_answer pl_shed_ask(struct pl_shed *s, uint32_t share, uint32_t scan_cnt,
				uint64_t tick);

#endif
