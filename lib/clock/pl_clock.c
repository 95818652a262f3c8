/* SPDX-License-Identifier: BSD-3-Clause */
#include "clock/pl_clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/timex.h>
#include <time.h>
#include <x86intrin.h>

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

#define READ_TRIES       5
#define VIEW_TRIES_MAX   16
#define CALIBRATE_NS     (20 * NS_PER_MS)
#define CALIBRATE_POLLS  200
#define SLOPE_WINDOW_NS  (512 * NS_PER_S)     /* slope is measured over one to two of these */
#define SLOPE_Q32_MIN    ((1ull << 32) / 20)  /* a TSC of 20 GHz */
#define SLOPE_Q32_MAX    ((1ull << 32) * 100) /* and one of 10 MHz */
#define SLEW_PPB_MAX     ((int64_t)PL_CLOCK_SLEW_PPM_MAX * 1000)
#define TSC_JUMP_PERCENT 1

/* The three clocks at one moment, as near as they can be read. */
struct reading {
	uint64_t wall_ns;
	uint64_t mono_ns;
	uint64_t tsc;
	uint64_t unsure_ns; /* how far apart the reads may have been */
};

/* A line: wall time by TSC. */
struct base {
	uint64_t tsc0;
	uint64_t wall_ns0;
	uint64_t ns_per_tsc_q32;
};

struct pl_clock {
	struct pl_clock_conf conf; /* its source frozen after create; its limits the sampler's */

	/* The sampler's. */
	struct base base;
	struct reading last;
	struct reading anchor;      /* the slope is measured from here */
	struct reading next_anchor; /* and from here once it is old enough */
	uint64_t slope_q32;         /* nanoseconds of monotonic time a cycle */
	uint64_t stepped_mono_ns;   /* when the newest step was seen */
	bool stepped;
	enum pl_clock_trust trust;

	/* A sequence lock of atomics alone: a standalone fence would be out of ThreadSanitizer's
	 * sight. seq is odd while the words are written. */
	alignas(PL_CACHE_LINE) _Atomic uint64_t seq PL_SHARED(sampler, readers);
	_Atomic uint64_t pub_tsc0 PL_SHARED(sampler, readers);
	_Atomic uint64_t pub_wall_ns0 PL_SHARED(sampler, readers);
	_Atomic uint64_t pub_ns_per_tsc_q32 PL_SHARED(sampler, readers);
	_Atomic uint64_t pub_trusted PL_SHARED(sampler, readers);
};

static uint64_t system_ns(clockid_t id)
{
	struct timespec ts;

	PL_CHECK(clock_gettime(id, &ts) == 0);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t system_wall_ns(void *ctx)
{
	(void)ctx;
	return system_ns(CLOCK_REALTIME);
}

static uint64_t system_monotonic_ns(void *ctx)
{
	(void)ctx;
	return system_ns(CLOCK_MONOTONIC_RAW);
}

static uint64_t system_tsc(void *ctx)
{
	(void)ctx;
	return __rdtsc();
}

static bool system_synchronised(void *ctx)
{
	struct timex t = {0}; /* no modes: it only asks */
	int state = adjtimex(&t);

	(void)ctx;
	return state >= 0 && state != TIME_ERROR && (t.status & STA_UNSYNC) == 0;
}

const struct pl_clock_source pl_clock_system = {
	.wall_ns = system_wall_ns,
	.monotonic_ns = system_monotonic_ns,
	.tsc = system_tsc,
	.synchronised = system_synchronised,
};

/*
 * Between the two reads of the monotonic clock lie the others; if we were interrupted there, they
 * lie apart, and another try is better.
 */
static struct reading read_clocks(const struct pl_clock_source *s)
{
	struct reading best = {.unsure_ns = UINT64_MAX};

	for (int i = 0; i < READ_TRIES; i++) {
		uint64_t before_ns = s->monotonic_ns(s->ctx);
		uint64_t tsc = s->tsc(s->ctx);
		uint64_t wall_ns = s->wall_ns(s->ctx);
		uint64_t apart_ns = s->monotonic_ns(s->ctx) - before_ns;

		if (apart_ns < best.unsure_ns)
			best = (struct reading){
				.wall_ns = wall_ns,
				.mono_ns = before_ns + apart_ns / 2,
				.tsc = tsc,
				.unsure_ns = apart_ns,
			};
	}
	return best;
}

/* @return 0 if no TSC counts so. */
static uint64_t slope_between(const struct reading *a, const struct reading *b)
{
	unsigned __int128 q32;

	if (b->tsc <= a->tsc)
		return 0;
	q32 = ((unsigned __int128)(b->mono_ns - a->mono_ns) << 32) / (b->tsc - a->tsc);
	return q32 >= SLOPE_Q32_MIN && q32 <= SLOPE_Q32_MAX ? (uint64_t)q32 : 0;
}

static uint64_t base_wall_ns(const struct base *b, uint64_t tsc)
{
	struct pl_clock_view v = {
		.tsc0 = b->tsc0,
		.wall_ns0 = b->wall_ns0,
		.ns_per_tsc_q32 = b->ns_per_tsc_q32,
	};

	return pl_clock_wall_ns(&v, tsc);
}

static void publish(struct pl_clock *c)
{
	/* relaxed: this thread is the only writer of seq. */
	uint64_t seq = atomic_load_explicit(&c->seq, memory_order_relaxed);

	/*
	 * CLK-ODD relaxed: ordered before the words by their own release. A reader that sees any
	 * word of this publication (CLK-WORD) therefore sees seq odd or later at CLK-AGAIN.
	 */
	atomic_store_explicit(&c->seq, seq + 1, memory_order_relaxed);
	/* CLK-PUT release, each: carries CLK-ODD with it. Pairs: CLK-WORD. */
	atomic_store_explicit(&c->pub_tsc0, c->base.tsc0, memory_order_release);
	atomic_store_explicit(&c->pub_wall_ns0, c->base.wall_ns0, memory_order_release);
	atomic_store_explicit(&c->pub_ns_per_tsc_q32, c->base.ns_per_tsc_q32, memory_order_release);
	atomic_store_explicit(&c->pub_trusted, c->trust == PL_CLOCK_TRUSTED, memory_order_release);
	/* CLK-EVEN release: the words are complete. Pairs: CLK-FIRST. */
	atomic_store_explicit(&c->seq, seq + 2, memory_order_release);
}

void pl_clock_view_get(const struct pl_clock *c, struct pl_clock_view *view)
{
	for (int i = 0; i < VIEW_TRIES_MAX; i++) {
		struct pl_clock_view v;
		/* CLK-FIRST acquire: if even, words as new as this number at least. Pairs: CLK-EVEN. */
		uint64_t seq = atomic_load_explicit(&c->seq, memory_order_acquire);

		/* CLK-WORD acquire, each: CLK-AGAIN cannot be read before them. Pairs: CLK-PUT. */
		v.tsc0 = atomic_load_explicit(&c->pub_tsc0, memory_order_acquire);
		v.wall_ns0 = atomic_load_explicit(&c->pub_wall_ns0, memory_order_acquire);
		v.ns_per_tsc_q32 =
			atomic_load_explicit(&c->pub_ns_per_tsc_q32, memory_order_acquire);
		v.trusted = atomic_load_explicit(&c->pub_trusted, memory_order_acquire) != 0;
		/* CLK-AGAIN relaxed: the acquire loads above keep it behind them. */
		if ((seq & 1) == 0 && atomic_load_explicit(&c->seq, memory_order_relaxed) == seq) {
			*view = v;
			return;
		}
		__builtin_ia32_pause();
	}
}

int pl_clock_limits_set(struct pl_clock *c, uint32_t step_ms_max, bool need_synchronised,
			uint64_t settle_s)
{
	if (step_ms_max == 0)
		return -EINVAL;
	c->conf.step_ms_max = step_ms_max;
	c->conf.need_synchronised = need_synchronised;
	c->conf.settle_s = settle_s;
	return 0;
}

int pl_clock_create(const struct pl_clock_conf *conf, struct pl_clock **out)
{
	struct timespec poll = {.tv_nsec = (long)NS_PER_MS};
	struct reading now = {0};
	struct pl_clock *c;

	*out = NULL;
	if (conf->step_ms_max == 0)
		return -EINVAL;
	c = aligned_alloc(PL_CACHE_LINE, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->conf = *conf;

	c->anchor = read_clocks(&c->conf.source);
	for (int i = 0; i < CALIBRATE_POLLS; i++) {
		nanosleep(&poll, NULL);
		now = read_clocks(&c->conf.source);
		if (now.mono_ns - c->anchor.mono_ns >= CALIBRATE_NS)
			break;
	}
	c->slope_q32 = slope_between(&c->anchor, &now);
	if (now.mono_ns - c->anchor.mono_ns < CALIBRATE_NS || c->slope_q32 == 0) {
		free(c);
		return -EIO;
	}
	c->next_anchor = now;
	c->last = now;
	c->base = (struct base){
		.tsc0 = now.tsc,
		.wall_ns0 = now.wall_ns,
		.ns_per_tsc_q32 = c->slope_q32,
	};
	(void)pl_clock_sample(c);
	*out = c;
	return 0;
}

void pl_clock_destroy(struct pl_clock *c)
{
	free(c);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* Has the TSC run otherwise than measured so far? After a suspend, or a move to another host. */
static bool tsc_jumped(const struct pl_clock *c, const struct reading *now)
{
	uint64_t mono_ns = now->mono_ns - c->last.mono_ns;
	unsigned __int128 tsc_ns;

	if (now->tsc < c->last.tsc)
		return true;
	tsc_ns = ((unsigned __int128)(now->tsc - c->last.tsc) * c->slope_q32) >> 32;
	if (tsc_ns > UINT64_MAX)
		return true;
	return distance((uint64_t)tsc_ns, mono_ns) >
	       mono_ns / 100 * TSC_JUMP_PERCENT + now->unsure_ns + c->last.unsure_ns + NS_PER_MS;
}

/* Did the wall clock step since the last reading? */
static bool wall_stepped(const struct pl_clock *c, const struct reading *now)
{
	uint64_t mono_ns = now->mono_ns - c->last.mono_ns;
	uint64_t limit_ns = c->conf.step_ms_max * NS_PER_MS + now->unsure_ns + c->last.unsure_ns;

	return distance(now->wall_ns, c->last.wall_ns + mono_ns) > limit_ns;
}

static void adopt_slope(struct pl_clock *c, const struct reading *from, const struct reading *to)
{
	uint64_t slope_q32 = slope_between(from, to);

	if (slope_q32 != 0)
		c->slope_q32 = slope_q32;
}

/* Measure the slope over a longer and longer time, up to two windows. */
static void refine_slope(struct pl_clock *c, const struct reading *now)
{
	if (now->mono_ns - c->anchor.mono_ns >= CALIBRATE_NS)
		adopt_slope(c, &c->anchor, now);
	if (now->mono_ns - c->next_anchor.mono_ns >= SLOPE_WINDOW_NS) {
		c->anchor = c->next_anchor;
		c->next_anchor = *now;
	}
}

/* The slope that takes an error of the published time off within about a second, if it may. */
static uint64_t slewed_slope(uint64_t slope_q32, int64_t error_ns)
{
	int64_t ppb = error_ns;

	if (ppb > SLEW_PPB_MAX)
		ppb = SLEW_PPB_MAX;
	if (ppb < -SLEW_PPB_MAX)
		ppb = -SLEW_PPB_MAX;
	return slope_q32 + (uint64_t)((__int128)slope_q32 * ppb / (int64_t)NS_PER_S);
}

static void note_step(struct pl_clock *c, const struct reading *now)
{
	c->stepped = true;
	c->stepped_mono_ns = now->mono_ns;
	/* The slope may be why; it is measured anew. */
	c->anchor = *now;
	c->next_anchor = *now;
}

enum pl_clock_trust pl_clock_sample(struct pl_clock *c)
{
	const struct pl_clock_conf *conf = &c->conf;
	struct reading now = read_clocks(&conf->source);
	uint64_t limit_ns = conf->step_ms_max * NS_PER_MS;
	uint64_t wall_ns = base_wall_ns(&c->base, now.tsc); /* where the published line is */

	if (tsc_jumped(c, &now)) {
		/*
		 * The line is of no use; monotonic time tells how long it was since the last
		 * reading. If the TSC runs at another rate from now on, this is its slope; if it
		 * jumped once, the next reading will find that it "jumped" again, and set it right.
		 */
		wall_ns = base_wall_ns(&c->base, c->last.tsc) + now.mono_ns - c->last.mono_ns;
		adopt_slope(c, &c->last, &now);
		note_step(c, &now);
	} else {
		refine_slope(c, &now);
	}
	if (wall_stepped(c, &now) ||
	    (!c->stepped && distance(now.wall_ns, wall_ns) > limit_ns + now.unsure_ns))
		note_step(c, &now);
	if (c->stepped && now.mono_ns - c->stepped_mono_ns >= conf->settle_s * NS_PER_S) {
		c->stepped = false;
		wall_ns = now.wall_ns;
	}

	c->base = (struct base){
		.tsc0 = now.tsc,
		.wall_ns0 = wall_ns,
		/* After a step, the old line's rate: by the clock that does not step. */
		.ns_per_tsc_q32 =
			c->stepped ? c->slope_q32
				   : slewed_slope(c->slope_q32, (int64_t)(now.wall_ns - wall_ns)),
	};
	c->last = now;
	if (c->stepped)
		c->trust = PL_CLOCK_STEPPED;
	else if (conf->need_synchronised && !conf->source.synchronised(conf->source.ctx))
		c->trust = PL_CLOCK_UNSYNCHRONISED;
	else
		c->trust = PL_CLOCK_TRUSTED;
	publish(c);
	return c->trust;
}

enum pl_clock_trust pl_clock_trust(const struct pl_clock *c)
{
	return c->trust;
}

const char *pl_clock_trust_text(enum pl_clock_trust t)
{
	switch (t) {
	case PL_CLOCK_TRUSTED:
		return "trusted";
	case PL_CLOCK_UNSYNCHRONISED:
		return "not synchronised (is chronyd or another NTP service running?)";
	case PL_CLOCK_STEPPED:
		return "stepped";
	}
	return "unknown";
}
