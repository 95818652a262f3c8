/* SPDX-License-Identifier: BSD-3-Clause */

#include "run.h"

/* A datagram of which nothing is heard for so long is given up: it frees its place in the window. */
#define GIVE_UP_MS 100u
/* After the last datagram was sent, replies are waited for this long. */
#define DRAIN_MS     300u
#define SETTLE_MS    5u
#define CLOCK_SYNC_S 1u
#define STALLS_A_S   1000u /* a turn that took as long as 1 / this of a second is a stall */

struct run {
	struct pool *pool;
	const struct load_args *args;
	struct reply reply;
	struct load_stats *stats;
	struct intervals *intervals;
	uint32_t cursor; /* slot to send next */
	uint32_t garbage_cursor;
	double garbage_due; /* share of a datagram of garbage that is owed */
	/* Open loop: when the next datagram is due, in 1/65536 cycles after start_tsc. */
	uint64_t start_tsc;
	uint64_t next_q16;
	uint64_t step_q16;
	/* Closed loop. */
	uint64_t sent; /* datagrams of the pool, ever */
	uint64_t given_up;
	uint64_t mark_sent;
	uint64_t mark_tsc;
	uint64_t give_up_tsc;
	uint64_t sync_tsc;
	uint64_t busy_tsc;
};

/* One of a burst to send: a slot, or garbage. */
struct pick {
	uint32_t idx;
	bool is_garbage;
	uint64_t due_tsc;
};

static uint64_t due_tsc(const struct run *r, uint64_t q16)
{
	return r->start_tsc + (q16 >> 16);
}

/* How many datagrams may go now, LOAD_BURST at most. */
static uint32_t allowance(struct run *r, uint64_t now_tsc)
{
	uint64_t out, since;

	if (r->step_q16 != 0) {
		since = now_tsc - r->start_tsc;
		if (since << 16 < r->next_q16)
			return 0;
		out = ((since << 16) - r->next_q16) / r->step_q16 + 1;
		return out > LOAD_BURST ? LOAD_BURST : (uint32_t)out;
	}
	if (now_tsc - r->mark_tsc > r->give_up_tsc) {
		uint64_t heard = r->reply.replied + r->given_up;

		/* What was sent before the mark has been answered by now, or never will be. */
		if (heard < r->mark_sent)
			r->given_up += r->mark_sent - heard;
		r->mark_sent = r->sent;
		r->mark_tsc = now_tsc;
	}
	if (r->sent <= r->reply.replied + r->given_up)
		out = 0; /* some that were given up have answered after all */
	else
		out = r->sent - r->reply.replied - r->given_up;
	if (out >= r->args->outstanding)
		return 0;
	out = r->args->outstanding - out;
	return out > LOAD_BURST ? LOAD_BURST : (uint32_t)out;
}

static void choose(struct run *r, struct pick *picks, uint32_t cnt, uint64_t now_tsc)
{
	uint32_t at = r->cursor, garbage_at = r->garbage_cursor;
	uint64_t q16 = r->next_q16;
	double due = r->garbage_due;

	for (uint32_t i = 0; i < cnt; i++) {
		picks[i].due_tsc = r->step_q16 != 0 ? due_tsc(r, q16) : now_tsc;
		q16 += r->step_q16;
		due += r->args->garbage_share;
		picks[i].is_garbage = due >= 1;
		if (picks[i].is_garbage) {
			due -= 1;
			picks[i].idx = garbage_at++ % GARBAGE_CNT;
			continue;
		}
		picks[i].idx = at;
		at = (at + 1) & (r->pool->cnt - 1);
	}
}

/* Seal anew what is too old to be sent, or everything if each must be fresh. */
static void renew(struct run *r, const struct pick *picks, uint32_t cnt, uint64_t now_tsc)
{
	uint32_t idxs[POOL_BUILD_MAX], n = 0;

	for (uint32_t i = 0; i < cnt; i++) {
		struct slot *s = &r->pool->slots[picks[i].idx];

		if (picks[i].is_garbage)
			continue;
		if (PL_UNLIKELY(pool_is_old(r->pool, s, now_tsc)))
			s->stage = 0;
		else if (!r->args->fresh)
			continue;
		idxs[n++] = picks[i].idx;
		if (n == POOL_BUILD_MAX) {
			pool_build(r->pool, idxs, n, now_tsc);
			n = 0;
		}
	}
	if (n > 0)
		pool_build(r->pool, idxs, n, now_tsc);
}

static void fill(const struct run *r, const struct pick *pick, struct io_tx *tx)
{
	const struct pool *p = r->pool;

	if (PL_UNLIKELY(pick->is_garbage)) {
		const struct garbage *g = &p->garbage[pick->idx];

		*tx = (struct io_tx){g->frame, g->frame_size, g->flow};
		return;
	}
	*tx = (struct io_tx){pool_frame(p, pick->idx), p->slots[pick->idx].frame_size,
			     p->slots[pick->idx].flow};
}

static void note_sent(struct run *r, const struct pick *pick, bool taken)
{
	r->next_q16 += r->step_q16;
	r->garbage_due += r->args->garbage_share;
	r->stats->overrun += !taken;
	if (PL_UNLIKELY(pick->is_garbage)) {
		r->garbage_due -= 1;
		r->garbage_cursor++;
		r->stats->garbage_sent += taken;
		r->stats->old_sent += taken && r->pool->garbage[pick->idx].is_old;
		return;
	}
	r->cursor = (r->cursor + 1) & (r->pool->cnt - 1);
	r->sent++;
	r->stats->sent++;
	if (PL_UNLIKELY(r->reply.surging != 0))
		reply_side(&r->reply, &r->pool->slots[pick->idx])->sent++;
	r->pool->slots[pick->idx].sent_tsc = taken ? pick->due_tsc : 0;
}

static bool send_some(struct run *r, uint64_t now_tsc)
{
	uint32_t cnt = allowance(r, now_tsc), taken;
	struct pick picks[LOAD_BURST];
	struct io_tx tx[LOAD_BURST];

	if (cnt == 0)
		return false;
	choose(r, picks, cnt, now_tsc);
	renew(r, picks, cnt, now_tsc);
	for (uint32_t i = 0; i < cnt; i++)
		fill(r, &picks[i], &tx[i]);
	taken = io_tx(r->pool->io, tx, cnt);
	for (uint32_t i = 0; i < (r->args->lossy ? cnt : taken); i++)
		note_sent(r, &picks[i], i < taken);
	if (taken < cnt)
		r->stats->tx_full++;
	/* The next burst's slots and frames, from far memory while replies are looked at. */
	for (uint32_t i = 0; i < LOAD_BURST; i++) {
		uint32_t ahead = (r->cursor + i) & (r->pool->cnt - 1);

		pl_prefetch_w(&r->pool->slots[ahead]);
		for (uint32_t line = 0; line < 3; line++)
			pl_prefetch(pool_frame(r->pool, ahead) + line * PL_CACHE_LINE);
	}
	return taken > 0;
}

static bool receive_some(struct run *r)
{
	struct io_rx pkts[LOAD_BURST];
	uint32_t cnt = io_rx(r->pool->io, pkts, LOAD_BURST);

	if (cnt != 0)
		reply_burst(&r->reply, pkts, cnt, load_tsc());
	io_rx_done(r->pool->io);
	return cnt != 0;
}

/* No turn takes a thousandth of a second: another thread had the core, or the hypervisor. */
static void note_stall(struct run *r, uint64_t turn_tsc)
{
	if (PL_LIKELY(turn_tsc * STALLS_A_S < r->pool->clock->hz))
		return;
	r->stats->stalls++;
	r->stats->stalled_us += (uint64_t)((double)turn_tsc * r->pool->clock->ns_per_tsc / 1e3);
}

static void keep_time(struct run *r, uint64_t now_tsc)
{
	if (now_tsc - r->sync_tsc < r->pool->clock->hz * CLOCK_SYNC_S)
		return;
	load_clock_sync(r->pool->clock);
	expect_set_time(r->pool->expect, load_clock_wall_ns(r->pool->clock, load_tsc()) / 1000000);
	r->sync_tsc = now_tsc;
}

/* @return when it ended. */
static uint64_t loop(struct run *r, double seconds, bool sending)
{
	uint64_t now_tsc = load_tsc();
	uint64_t end_tsc = now_tsc + (uint64_t)(seconds * (double)r->pool->clock->hz);

	while (now_tsc < end_tsc && !(sending && load_stop)) {
		uint64_t then = now_tsc;
		bool busy = receive_some(r);

		now_tsc = load_tsc();
		if (sending)
			busy |= send_some(r, now_tsc);
		pool_refresh(r->pool, now_tsc);
		keep_time(r, now_tsc);
		now_tsc = load_tsc();
		if (busy)
			r->busy_tsc += now_tsc - then;
		if (sending) {
			note_stall(r, now_tsc - then);
			intervals_turn(r->intervals, r->stats, now_tsc);
		}
	}
	return now_tsc;
}

static void start_pace(struct run *r, uint64_t now_tsc)
{
	r->start_tsc = now_tsc;
	r->next_q16 = 0;
	if (r->args->rate > 0)
		r->step_q16 = (uint64_t)((double)r->pool->clock->hz / r->args->rate * 65536.0);
}

static void measure(struct run *r, struct run_result *out)
{
	uint64_t start = load_tsc(), end;

	memset(r->stats, 0, sizeof(*r->stats));
	r->pool->rebuilt = 0;
	r->busy_tsc = 0;
	r->reply.measure_tsc = start;
	intervals_begin(r->intervals, start);
	start_pace(r, start);
	end = loop(r, r->args->seconds, true);
	out->seconds = (double)(end - start) / (double)r->pool->clock->hz;
	out->load_busy = (double)r->busy_tsc / (double)(end - start);
	r->stats->rebuilt = r->pool->rebuilt;
	if (r->step_q16 != 0 && (end - start) << 16 > r->next_q16)
		out->unsent = (((end - start) << 16) - r->next_q16) / r->step_q16;
}

int run_load(struct pool *pool, const struct load_args *args, struct run_result *out, char *error,
	     size_t error_size)
{
	struct telemetry before = {0};
	struct run r = {
		.pool = pool,
		.args = args,
		.stats = &out->stats,
		.intervals = &out->intervals,
		.give_up_tsc = pool->clock->hz * GIVE_UP_MS / 1000,
		.sync_tsc = load_tsc(),
	};
	int rc;

	memset(out, 0, sizeof(*out));
	rc = intervals_open(&out->intervals, args->interval_ms, args->seconds, pool->clock);
	if (rc != 0) {
		snprintf(error, error_size, "--interval: out of memory");
		return rc;
	}
	r.reply = (struct reply){
		.pool = pool,
		.stats = &out->stats,
		.intervals = &out->intervals,
		.echo = args->echo,
		.surging = args->surge_share > 0 ? args->surge_gateways : 0,
		.check_below = (uint64_t)(args->check_share * 4294967296.0),
		.rng = load_tsc(),
		.measure_tsc = load_tsc(),
	};
	r.mark_tsc = load_tsc();
	start_pace(&r, load_tsc());
	(void)loop(&r, args->warmup_s, true);
	if (args->telemetry_path != NULL) {
		rc = telemetry_ask(args->telemetry_path, &before, error, error_size);
		if (rc != 0)
			return rc;
		/* Replies that waited meanwhile, before the clock starts. */
		(void)loop(&r, SETTLE_MS / 1000.0, false);
	}
	measure(&r, out);
	/* What is in flight must not wait for a question to somebody else. */
	(void)loop(&r, SETTLE_MS / 1000.0, false);
	if (args->telemetry_path != NULL) {
		rc = telemetry_ask(args->telemetry_path, &out->appliance, error, error_size);
		if (rc != 0)
			return rc;
		out->appliance.busy_tsc -= before.busy_tsc;
		out->appliance.idle_tsc -= before.idle_tsc;
		out->appliance.replies -= before.replies;
		out->appliance.scans -= before.scans;
		out->appliance.rx_pkts -= before.rx_pkts;
		out->appliance.stalls -= before.stalls;
		out->appliance.stalled_tsc -= before.stalled_tsc;
		out->has_telemetry = true;
	}
	(void)loop(&r, DRAIN_MS / 1000.0, false);
	intervals_end(&out->intervals);
	if (out->stats.sent > out->stats.answered)
		out->lost = out->stats.sent - out->stats.answered;
	return 0;
}

void run_result_free(struct run_result *r)
{
	intervals_close(&r->intervals);
}
