/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker and its receive queue, in which time is counted and not measured, for tests of whom it sheds. */
#ifndef SHED_MODEL_H
#define SHED_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>

#include "verify/pl_shed.h"
#include "verify/pl_verify.h"

#define HZ              1000000000u
#define TURN_TICKS      100000u /* a worker's chores */
#define TURNS_A_SECOND  (HZ / TURN_TICKS)
#define SLICES          5u
#define SLICE_TICKS     (TURN_TICKS / SLICES)
#define SLICES_A_SECOND (TURNS_A_SECOND * SLICES)
#define GATEWAYS        12u
#define QUEUE_MAX       1024u

/* What a datagram costs the worker of the model, in ticks: with its scan (below), with BUSY, dropped unopened
 * and opened, not ours; and what each burst costs. */
#define UNIT_TICKS   200u
#define BUSY_TICKS   600u
#define BURST_TICKS  1600u
#define DROP_TICKS   120u
#define OPENED_TICKS 360u
#define ALIEN_TICKS  400u
#define ALIEN        GATEWAYS /* who sends what no key opens */
#define SCANS        1u
#define FULL_TICKS   (UNIT_TICKS * (PL_SHED_DATAGRAM_UNITS + SCANS))
#define CAPACITY     (HZ / FULL_TICKS) /* datagrams a second */

struct counts {
	uint64_t sent, lost, answered, busy, dropped;
};

struct model {
	struct pl_shed shed;
	struct pl_shed_load load;
	double rate[GATEWAYS + 1]; /* datagrams a second */
	double owed;
	uint64_t rng;
	struct pl_gateway_counters gateways[GATEWAYS];
	struct counts counts[GATEWAYS + 1];
	uint32_t shares[GATEWAYS];
	uint8_t queue[QUEUE_MAX];
	uint32_t queue_at, queue_cnt;
	uint64_t worked_ticks; /* of the next slice, already */
	uint32_t burst_max;
	uint32_t burst_ticks;
	bool waited;
	bool on;
};

static inline struct model *model_new(void)
{
	struct model *m = aligned_alloc(PL_CACHE_LINE, sizeof(*m));

	assert_non_null(m);
	memset(m, 0, sizeof(*m));
	pl_shed_init(&m->shed, HZ);
	m->burst_max = 64;
	m->burst_ticks = BURST_TICKS;
	m->on = true;
	m->load.tick = 1;
	m->load.wall_ms = 1;
	m->load.gateways = m->gateways;
	m->load.shares = m->shares;
	for (uint32_t i = 0; i < GATEWAYS; i++)
		m->shares[i] = i;
	return m;
}

static inline uint64_t model_serve(struct model *m, uint32_t from)
{
	struct counts *c = &m->counts[from];

	if (from == ALIEN)
		return ALIEN_TICKS;
	if (m->shed.limited_cnt != 0 && pl_shed_drops(&m->shed, m->shares[from], m->load.tick)) {
		c->dropped++;
		return DROP_TICKS;
	}
	switch (m->shed.watching ? pl_shed_ask(&m->shed, m->shares[from], SCANS, m->load.tick)
				 : PL_SHED_ADMIT) {
	case PL_SHED_BUSY:
		c->busy++;
		return BUSY_TICKS;
	case PL_SHED_DROP:
		c->dropped++;
		return OPENED_TICKS;
	case PL_SHED_ADMIT:
	default:
		break;
	}
	m->gateways[from].seen_ms = m->load.wall_ms;
	c->answered++;
	return FULL_TICKS;
}

static inline void model_arrive_one(struct model *m, uint32_t from)
{
	m->counts[from].sent++;
	if (m->queue_cnt == QUEUE_MAX)
		m->counts[from].lost++;
	else
		m->queue[(m->queue_at + m->queue_cnt++) % QUEUE_MAX] = (uint8_t)from;
}

/* What arrives in a slice of a turn, by chance in the order of the wire. */
static inline void model_arrive(struct model *m)
{
	double sum = 0;

	for (uint32_t i = 0; i <= GATEWAYS; i++)
		sum += m->rate[i];
	for (m->owed += sum / SLICES_A_SECOND; m->owed >= 1; m->owed -= 1) {
		uint32_t from = 0;
		double at;

		m->rng += 0x9e3779b97f4a7c15u;
		at = (double)(pl_mix64(m->rng) >> 11) / 0x1p53 * sum;
		while (at >= m->rate[from] && from < GATEWAYS)
			at -= m->rate[from++];
		model_arrive_one(m, from);
	}
}

/* A slice's time of work, a burst at a time, less what the last burst of the slice before took beyond its
 * end. */
static inline void model_work(struct model *m)
{
	while (m->worked_ticks < SLICE_TICKS && m->queue_cnt != 0) {
		uint32_t cnt = m->queue_cnt < m->burst_max ? m->queue_cnt : m->burst_max;

		pl_shed_burst(&m->shed, cnt, m->waited);
		m->waited = false;
		m->load.rx_cnt += cnt;
		m->worked_ticks += m->burst_ticks;
		for (; cnt > 0; cnt--) {
			m->worked_ticks += model_serve(m, m->queue[m->queue_at]);
			m->queue_at = (m->queue_at + 1) % QUEUE_MAX;
			m->queue_cnt--;
		}
	}
	if (m->worked_ticks < SLICE_TICKS) {
		m->load.busy_ticks += m->worked_ticks;
		m->load.idle_ticks += SLICE_TICKS - m->worked_ticks;
		m->worked_ticks = 0;
		m->waited = true;
	} else {
		m->load.busy_ticks += SLICE_TICKS;
		m->worked_ticks -= SLICE_TICKS;
	}
	m->load.tick += SLICE_TICKS;
	m->load.wall_ms = 1 + m->load.tick / (HZ / 1000);
}

static inline void model_turn(struct model *m)
{
	for (uint32_t i = 0; i < SLICES; i++) {
		model_arrive(m);
		model_work(m);
	}
	pl_shed_renew(&m->shed, &m->load, GATEWAYS, m->on);
}

static inline void model_run(struct model *m, double seconds)
{
	memset(m->counts, 0, sizeof(m->counts));
	for (uint32_t i = 0; i < (uint32_t)(seconds * TURNS_A_SECOND); i++)
		model_turn(m);
}

static inline double share(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (double)part / (double)whole;
}

static inline void assert_unharmed(const struct model *m, uint32_t idx)
{
	const struct counts *c = &m->counts[idx];

	if (c->lost + c->busy + c->dropped > c->sent / 1000)
		fail_msg("gateway %u: of %" PRIu64 " datagrams %" PRIu64 " lost, %" PRIu64
			 " busy, %" PRIu64 " dropped",
			 idx, c->sent, c->lost, c->busy, c->dropped);
}

static inline void assert_nobody_limited(const struct model *m)
{
	assert_int_equal(m->shed.limited_cnt, 0);
	for (uint32_t i = 0; i < GATEWAYS; i++) {
		assert_int_equal(m->counts[i].busy, 0);
		assert_int_equal(m->counts[i].dropped, 0);
	}
}

#endif
