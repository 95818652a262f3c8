/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The datagrams that are sent: sealed ahead of time, sent again and again, and sealed anew before
 * the appliance would find them old.
 *
 * A slot asks about the same certificates for good, with one QR each; each certificate that holds
 * is in one slot alone, and a slot's datagrams all leave by one flow. So of one certificate's QRs
 * the older is never behind the newer, and sending a datagram again gets the same verdicts.
 *
 * A slot with REPLAYED places has two stages. The first shows their QRs for the first time (right
 * is PASS); when that was answered, the second shows copies of them. Sealing anew begins at the
 * first stage again, with newer QRs.
 */
#ifndef PL_LOAD_POOL_H
#define PL_LOAD_POOL_H

#include "await.h"
#include "clock.h"
#include "expect.h"
#include "gateways.h"
#include "io.h"

#define POOL_BUILD_MAX 16u
#define GARBAGE_CNT    256u

struct slot {
	alignas(PL_CACHE_LINE) uint64_t counter; /* of the datagram; its low bits are the slot */
	uint64_t counter_limit;                  /* first counter that was not reserved */
	uint64_t sent_tsc;                       /* when it was due to be sent; 0: not in flight */
	uint64_t built_tsc;                      /* 0: never */
	uint32_t shown_at;                       /* of its QRs */
	uint32_t frame_size;
	uint16_t gateway;
	uint16_t flow;
	uint8_t stage; /* 0, or 1: copies */
	bool has_copies;
};

/** What no honest gateway sends, besides datagrams an hour old. */
struct garbage {
	uint32_t frame_size;
	uint16_t flow;
	bool is_old;
	uint8_t frame[PL_NET_ASK_HEADERS_MAX + PL_WIRE_REQ_SIZE_MAX + 64];
};

struct pool {
	uint32_t cnt; /* slots, a power of two */
	uint32_t scan_cnt;
	uint32_t frame_room;
	uint32_t payload_size;
	struct slot *slots;
	struct plan *plans; /* scan_cnt a slot */
	uint8_t *rights;    /* scan_cnt a slot: the right verdicts */
	uint8_t *frames;    /* frame_room a slot */
	struct garbage *garbage;
	uint64_t old_counter; /* of the first old datagram; they have consecutive ones */
	uint32_t old_cnt;
	uint32_t surge_cnt;        /* slots of --surge's gateways */
	uint32_t refresh_at;       /* slot that the background walk looks at next */
	uint64_t refresh_tsc;      /* the walk's period */
	uint64_t refresh_step_tsc; /* from one slot to the next */
	uint64_t refresh_next_tsc;
	uint64_t rebuilt;
	uint64_t counter_faults; /* datagrams not built for want of a counter */
	uint32_t payload_off;
	struct await await; /* in the first slots, one a place */
	struct pl_seal *seal;
	struct expect *expect;
	struct gateways *gateways;
	struct load_io *io;
	struct load_clock *clock;
};

/** How many counters each gateway should reserve at once. */
uint64_t pool_counters_each(const struct load_args *args);
/** The pool's size: as asked for, or by itself. */
uint32_t pool_size(const struct load_args *args);

/** A window for which the pool is too small is made smaller: half of the pool. @return if so. */
bool pool_fit(struct load_args *args);

/** Plan and seal every slot. seal, expect, gateways, io and clock are set by the caller. */
PL_MUST_USE int pool_open(struct pool *p, const struct load_args *args, char *error,
			  size_t error_size);
void pool_close(struct pool *p);

/** Seal slots anew with the time of now. */
void pool_build(struct pool *p, const uint32_t *idxs, uint32_t cnt, uint64_t now_tsc);

/**
 * Seal anew what is due by the background walk: the whole pool once every refresh_tsc, evenly, and
 * a bounded number of slots a call.
 */
void pool_refresh(struct pool *p, uint64_t now_tsc);

/** How long ago a slot was sealed: never negative, though now may be a little older than that. */
static inline uint64_t pool_age_tsc(const struct slot *s, uint64_t now_tsc)
{
	int64_t age = (int64_t)(now_tsc - s->built_tsc);

	return age < 0 ? 0 : (uint64_t)age;
}

/** The walk has not come by in time: the appliance might soon find it old. */
static inline bool pool_is_old(const struct pool *p, const struct slot *s, uint64_t now_tsc)
{
	return pool_age_tsc(s, now_tsc) > p->refresh_tsc + p->refresh_tsc / 2;
}

static inline uint8_t *pool_frame(const struct pool *p, uint32_t idx)
{
	return p->frames + (size_t)idx * p->frame_room;
}

static inline const uint8_t *pool_rights(const struct pool *p, uint32_t idx)
{
	return p->rights + (size_t)idx * p->scan_cnt;
}

#endif
