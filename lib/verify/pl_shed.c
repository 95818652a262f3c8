/* SPDX-License-Identifier: BSD-3-Clause */
#include "verify/pl_shed.h"

#define UNITS_PER_S_MIN 1000u
#define Q16             65536u

struct window {
	uint64_t ticks;
	bool saturated; /* no time to spare, and the queue gives whole bursts, or nearly */
	bool relieved; /* time to spare. Between the two the limit stays, so that it does not swing */
	bool fair;     /* what arrives is mostly the gateways' own */
};

/* The bursts tell more than the time does: a worker that keeps up with much takes it in small bursts,
 * which cost more each, and so has little time to spare long before it has none. */
static struct window window_look(const struct pl_shed *s, const struct pl_shed_load *load)
{
	uint64_t busy = load->busy_ticks - s->busy_ticks, idle = load->idle_ticks - s->idle_ticks;

	return (struct window){
		.ticks = load->tick - s->begin_tick,
		.saturated = idle * 64 < busy + idle && s->burst_most >= PL_SHED_FULL_BURST_MIN &&
			     s->datagram_cnt * 4 >= s->burst_cnt * s->burst_most * 3,
		.relieved = idle * 16 > busy + idle,
		.fair = s->fair_cnt * 4 >= (load->rx_cnt - s->rx_cnt) * 3,
	};
}

void pl_shed_init(struct pl_shed *s, uint64_t tick_hz)
{
	s->tick_hz = tick_hz;
	s->burst_ticks = tick_hz / 1000000 * PL_SHED_BURST_US;
}

static void limit_set(struct pl_shed *s, uint64_t units_per_s)
{
	if (units_per_s < UNITS_PER_S_MIN)
		units_per_s = UNITS_PER_S_MIN;
	s->units_per_s = units_per_s < s->tick_hz ? units_per_s : s->tick_hz;
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
	s->peak_units = 0;
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
	s->burst_cnt = 0;
	s->datagram_cnt = 0;
	s->fair_cnt = 0;
}

/* More than this is more than its share: a quarter above what each would have if all had the same, and
 * at least a sixty-fourth of what the worker can do, below which nobody's surge fills a queue. All: who
 * was heard lately, for of who sends little there may be nothing in this window, or it was lost. */
static uint64_t share_units(struct pl_shed *s, const struct pl_shed_load *load,
			    uint32_t gateway_cnt)
{
	uint64_t units = 0, active = 0, mean;

	for (uint32_t i = 0; i < gateway_cnt; i++) {
		uint64_t seen_ms = load->gateways[i].seen_ms;

		units += s->notes[i].units;
		active += s->notes[i].units != 0 ||
			  (seen_ms != 0 && load->wall_ms < seen_ms + PL_SHED_HEARD_MS);
	}
	/* While most of the time goes by with dropping, it does less than it can. */
	if (units > s->peak_units)
		s->peak_units = units;
	mean = active != 0 ? units / active : 0;
	mean += mean / 4;
	return mean > s->peak_units / 64 ? mean : s->peak_units / 64;
}

/* Who is over its share, again or for long enough; who has kept within its limit for long enough.
 * @return the most that one of the newly limited has asked for, 0 if there is none. */
static uint32_t gateways_judge(struct pl_shed *s, uint32_t gateway_cnt, uint64_t share,
			       bool saturated, uint64_t tick)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < gateway_cnt; i++) {
		struct pl_shed_notes *n = &s->notes[i];

		if (s->limits[i].work_due != 0) {
			n->calm = n->refused != 0 ? 0 : (uint8_t)(n->calm + 1);
			if (n->calm == PL_SHED_CALM_WINDOWS)
				limit_end(s, i);
		} else {
			n->heavy = saturated && n->units > share ? (uint8_t)(n->heavy + 1) : 0;
			if (n->heavy == PL_SHED_HEAVY_WINDOWS) {
				limit_begin(s, i, tick);
				most = n->units > most ? n->units : most;
			}
		}
		n->units = 0;
		n->refused = 0;
	}
	return most;
}

static void window_end(struct pl_shed *s, const struct pl_shed_load *load, const struct window *w,
		       uint32_t gateway_cnt)
{
	uint64_t share = share_units(s, load, gateway_cnt), units_per_s = s->units_per_s;
	bool saturated = w->fair && w->saturated, had = s->limited_cnt != 0;
	uint32_t most = gateways_judge(s, gateway_cnt, share, saturated, load->tick);

	if (!had && most != 0)
		units_per_s = most * s->tick_hz / w->ticks;
	if (s->limited_cnt == 0) {
		if (!w->saturated)
			stop(s);
	} else if (saturated) {
		/* Not below the share: who has no more than that harms nobody. */
		units_per_s -= units_per_s / 8;
		share = share * s->tick_hz / w->ticks;
		limit_set(s, units_per_s > share ? units_per_s : share);
	} else if (!w->fair || w->relieved) {
		limit_set(s, units_per_s + units_per_s / 32);
	}
}

void pl_shed_renew(struct pl_shed *s, const struct pl_shed_load *load, uint32_t gateway_cnt,
		   bool on)
{
	const uint64_t window_ticks = s->tick_hz * PL_SHED_WINDOW_MS / 1000;
	struct window w;

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
		s->watching = w.saturated;
	window_begin(s, load);
}

/* Its due time is ahead by more than so many ticks. */
static bool is_over(uint64_t due, uint64_t tick, uint64_t ticks)
{
	return due > tick && due - tick > ticks;
}

static void spend(const struct pl_shed *s, uint64_t *due, uint64_t units, uint64_t tick)
{
	*due = (*due > tick ? *due : tick) + (units * s->unit_q16 / Q16);
}

/* At half of what may come at once: else each burst would find room for one datagram, and the others
 * of it would be opened for nothing. */
bool pl_shed_drops(struct pl_shed *s, uint32_t gateway_idx, uint64_t tick)
{
	const struct pl_shed_limit *l = &s->limits[gateway_idx];

	if (l->work_due == 0 || !is_over(l->work_due, tick, s->burst_ticks / 2) ||
	    !is_over(l->busy_due, tick, s->burst_ticks / 2))
		return false;
	s->notes[gateway_idx].refused++;
	s->fair_cnt++;
	return true;
}

enum pl_shed_answer pl_shed_ask(struct pl_shed *s, uint32_t gateway_idx, uint32_t scan_cnt,
				uint64_t tick)
{
	struct pl_shed_limit *l = &s->limits[gateway_idx];
	struct pl_shed_notes *n = &s->notes[gateway_idx];
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
	n->units += PL_SHED_DATAGRAM_UNITS;
	n->refused++;
	if (is_over(l->busy_due, tick, s->burst_ticks))
		return PL_SHED_DROP;
	spend(s, &l->busy_due, PL_SHED_DATAGRAM_UNITS * PL_SHED_BUSY_PART, tick);
	return PL_SHED_BUSY;
}
