/* SPDX-License-Identifier: BSD-3-Clause */
#include "verify/pl_shed.h"

#define UNITS_PER_S_MIN 1000u
#define Q16             65536u

struct window {
	uint64_t ticks;
	bool saturated; /* the queue was long, and what filled it was the gateways' own */
	bool fair;
	bool relieved; /* a sixteenth of the time to spare */
};

/* For a quarter of what came: a pause of the worker, or of who sends, leaves one run behind it. */
static bool is_queue_long(const struct pl_shed *s)
{
	return s->run_cnt != 0 && s->run_cnt * 4 >= s->datagram_cnt;
}

static struct window window_look(const struct pl_shed *s, const struct pl_shed_load *load)
{
	uint64_t busy = load->busy_ticks - s->busy_ticks, idle = load->idle_ticks - s->idle_ticks;
	bool fair = s->fair_cnt * 4 >= (load->rx_cnt - s->rx_cnt - s->blind_cnt) * 3;

	return (struct window){
		.ticks = load->tick - s->begin_tick,
		.saturated = fair && is_queue_long(s),
		.fair = fair,
		.relieved = idle * 16 > busy + idle,
	};
}

void pl_shed_init(struct pl_shed *s, uint64_t tick_hz)
{
	s->tick_hz = tick_hz;
	s->burst_ticks = tick_hz / 1000000 * PL_SHED_BURST_US;
}

/* Never above what the worker can do: a limit that is of no consequence would take its time to bite. */
static void limit_set(struct pl_shed *s, uint64_t units_per_s)
{
	if (units_per_s > s->peak_units_per_s)
		units_per_s = s->peak_units_per_s;
	s->units_per_s = units_per_s > UNITS_PER_S_MIN ? units_per_s : UNITS_PER_S_MIN;
	s->unit_q16 = s->tick_hz * Q16 / s->units_per_s;
}

static void limit_begin(struct pl_shed *s, uint32_t idx, uint64_t tick)
{
	s->limits[idx].work_due = tick; /* never 0: a window has passed */
	s->limits[idx].busy_due = tick;
	s->notes[idx].calm = 0;
	s->limited_cnt++;
}

static void limit_end(struct pl_shed *s, uint32_t idx)
{
	s->limits[idx] = (struct pl_shed_limit){0};
	s->notes[idx].heavy = 0;
	s->limited_cnt--;
}

static void stop(struct pl_shed *s)
{
	s->watching = false;
	s->limited_cnt = 0;
	s->peak_units_per_s = 0;
	memset(s->limits, 0, sizeof(s->limits));
	memset(s->notes, 0, sizeof(s->notes));
}

static void notes_clear(struct pl_shed *s, uint32_t gateway_cnt)
{
	for (uint32_t i = 0; i < gateway_cnt && s->watching; i++) {
		s->notes[i].units = 0;
		s->notes[i].refused = 0;
	}
}

static void window_begin(struct pl_shed *s, const struct pl_shed_load *load)
{
	s->busy_ticks = load->busy_ticks;
	s->idle_ticks = load->idle_ticks;
	s->rx_cnt = load->rx_cnt;
	s->begin_tick = load->tick;
	s->run = 0;
	s->run_cnt = 0;
	s->datagram_cnt = 0;
	s->fair_cnt = 0;
	s->blind_cnt = 0;
}

static bool is_heard(const struct pl_shed_load *load, uint32_t idx)
{
	uint64_t seen_ms = load->gateways[idx].seen_ms;

	/* Nor from the future, where the clock was put back. */
	return seen_ms != 0 && load->wall_ms < seen_ms + PL_SHED_HEARD_MS &&
	       seen_ms < load->wall_ms + PL_SHED_HEARD_MS;
}

/* An equal share and a quarter. */
static uint64_t share_of(uint64_t units_per_s, uint32_t active_cnt)
{
	return active_cnt == 0 ? 0 : units_per_s / active_cnt * 5 / 4;
}

/* What they asked for in a window, all together, and how many share it: who was heard lately, for of
 * who sends little there may be nothing in this window, or it was lost. */
struct sum {
	uint64_t units_per_s;
	uint32_t active_cnt;
	bool refused;
};

static struct sum sum_up(struct pl_shed *s, const struct pl_shed_load *load, const struct window *w,
			 uint32_t gateway_cnt)
{
	struct sum sum = {0};
	uint64_t units = 0;

	for (uint32_t i = 0; i < gateway_cnt; i++)
		s->notes[load->shares[i]].heard |= is_heard(load, i);
	for (uint32_t i = 0; i < gateway_cnt; i++) {
		struct pl_shed_notes *n = &s->notes[i];

		units += n->units;
		sum.active_cnt += n->units != 0 || n->heard;
		sum.refused |= n->refused != 0;
		n->heard = false;
	}
	sum.units_per_s = units * s->tick_hz / w->ticks;
	return sum;
}

/* One that is not limited: is it to be? Over its share of what the worker can do, not of what it does:
 * while most of the time goes by with dropping that is little, and any who asks for something would be
 * over it. And below a sixty-fourth nobody's surge fills a queue. */
static bool gets_heavy(struct pl_shed *s, const struct sum *sum, const struct window *w,
		       uint32_t idx)
{
	struct pl_shed_notes *n = &s->notes[idx];
	uint64_t units_per_s = n->units * s->tick_hz / w->ticks;

	if (w->saturated && units_per_s > share_of(s->peak_units_per_s, sum->active_cnt) &&
	    units_per_s > s->peak_units_per_s / 64)
		n->heavy += PL_SHED_FORGET_WINDOWS;
	else if (n->heavy != 0)
		n->heavy--;
	/* One of them may have been forgotten in part. */
	return n->heavy > (PL_SHED_HEAVY_WINDOWS - 1) * PL_SHED_FORGET_WINDOWS;
}

/* @return the most that one of the newly limited has asked for a second, 0 if there is none. *waiting:
 * some are on their way to a limit. */
static uint64_t gateways_judge(struct pl_shed *s, const struct sum *sum, const struct window *w,
			       uint32_t gateway_cnt, uint64_t tick, bool *waiting)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < gateway_cnt; i++) {
		struct pl_shed_notes *n = &s->notes[i];
		uint64_t units_per_s = n->units * s->tick_hz / w->ticks;

		if (s->limits[i].work_due != 0) {
			n->calm = n->refused != 0 ? 0 : (uint16_t)(n->calm + 1);
			if (n->calm == PL_SHED_CALM_WINDOWS)
				limit_end(s, i);
		} else if (gets_heavy(s, sum, w, i)) {
			limit_begin(s, i, tick);
			most = units_per_s > most ? units_per_s : most;
		}
		*waiting |= n->heavy != 0;
		n->units = 0;
		n->refused = 0;
	}
	return most;
}

/* The least that a limit sinks to: the share of what is done now, for who has no more than that harms
 * nobody; and for all who are limited together a sixteenth of what the worker can do. */
static uint64_t limit_least(const struct pl_shed *s, const struct sum *sum)
{
	uint64_t share = share_of(sum->units_per_s, sum->active_cnt);
	uint64_t part = s->peak_units_per_s / 16 / s->limited_cnt;

	return share > part ? share : part;
}

static void window_end(struct pl_shed *s, const struct pl_shed_load *load, const struct window *w,
		       uint32_t gateway_cnt)
{
	const struct sum sum = sum_up(s, load, w, gateway_cnt);
	bool had = s->limited_cnt != 0, waiting = false;
	uint64_t most, least, sunk;

	if (sum.units_per_s > s->peak_units_per_s)
		s->peak_units_per_s = sum.units_per_s;
	most = gateways_judge(s, &sum, w, gateway_cnt, load->tick, &waiting);
	s->quiet = w->saturated ? 0 : s->quiet + 1;
	if (s->limited_cnt == 0) {
		if (!w->saturated && !waiting)
			stop(s);
		return;
	}
	if (!had)
		limit_set(s, most);
	if (w->saturated) {
		least = limit_least(s, &sum);
		sunk = s->units_per_s - s->units_per_s / 8;
		if (least < s->units_per_s)
			limit_set(s, sunk > least ? sunk : least);
	} else if (sum.refused &&
		   (!w->fair || (w->relieved && s->quiet >= PL_SHED_QUIET_WINDOWS))) {
		limit_set(s, s->units_per_s + s->units_per_s / 16);
	}
}

void pl_shed_renew(struct pl_shed *s, const struct pl_shed_load *load, uint32_t gateway_cnt,
		   bool on)
{
	const uint64_t window_ticks = s->tick_hz * PL_SHED_WINDOW_MS / 1000;
	struct window w;

	/* What was noted was others'. */
	if (load->share_serial != s->share_serial && s->watching)
		stop(s);
	s->share_serial = load->share_serial;
	if (!on || s->tick_hz == 0) {
		if (s->watching)
			stop(s);
		return;
	}
	if (load->tick - s->begin_tick < window_ticks)
		return;
	w = window_look(s, load);
	/* In one that took so long the worker stood still: nothing in it is a rate. */
	if (w.ticks > 2 * window_ticks)
		notes_clear(s, gateway_cnt);
	else if (s->watching)
		window_end(s, load, &w, gateway_cnt);
	else
		s->watching = is_queue_long(s);
	window_begin(s, load);
}

/* Its due time is ahead by more than so many ticks. */
static bool is_over(uint64_t due, uint64_t tick, uint64_t ticks)
{
	return due > tick + ticks;
}

static void spend(const struct pl_shed *s, uint64_t *due, uint64_t units, uint64_t tick)
{
	*due = (*due > tick ? *due : tick) + (units * s->unit_q16 / Q16);
}

/* At half of what may come at once: else each burst would find room for one datagram, and the others
 * of it would be opened for nothing. */
bool pl_shed_drops(struct pl_shed *s, uint32_t share, uint64_t tick)
{
	const struct pl_shed_limit *l = &s->limits[share];

	if (l->work_due == 0 || !is_over(l->work_due, tick, s->burst_ticks / 2) ||
	    !is_over(l->busy_due, tick, s->burst_ticks / 2))
		return false;
	s->notes[share].refused++;
	s->blind_cnt++;
	return true;
}

enum pl_shed_answer pl_shed_ask(struct pl_shed *s, uint32_t share, uint32_t scan_cnt, uint64_t tick)
{
	struct pl_shed_limit *l = &s->limits[share];
	struct pl_shed_notes *n = &s->notes[share];
	uint32_t units = PL_SHED_DATAGRAM_UNITS + scan_cnt;

	s->fair_cnt++;
	if (l->work_due == 0) {
		n->units += units;
		return PL_SHED_ADMIT;
	}
	if (!is_over(l->work_due, tick, s->burst_ticks)) {
		n->units += units;
		spend(s, &l->work_due, units, tick);
		return PL_SHED_ADMIT;
	}
	n->refused++;
	if (is_over(l->busy_due, tick, s->burst_ticks))
		return PL_SHED_DROP;
	spend(s, &l->busy_due, PL_SHED_DATAGRAM_UNITS * PL_SHED_BUSY_PART, tick);
	return PL_SHED_BUSY;
}
