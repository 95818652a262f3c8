/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Wall time for workers, without system calls: control samples the system clock, checks it
 * against a clock that cannot step, and publishes a base; workers extrapolate by TSC.
 */
#ifndef PL_CLOCK_H
#define PL_CLOCK_H

#include "base/pl_base.h"

/** A clock's published base. Opaque; one writer (control), many readers. */
struct pl_clock;

/** What a sampler looks at: replaced in tests by a fake. */
struct pl_clock_source {
	uint64_t (*wall_ns)(void *ctx);      /* CLOCK_REALTIME */
	uint64_t (*monotonic_ns)(void *ctx); /* CLOCK_MONOTONIC_RAW or BOOTTIME: never steps */
	uint64_t (*tsc)(void *ctx);
	bool (*synchronised)(void *ctx); /* adjtimex: not TIME_ERROR / STA_UNSYNC */
	void *ctx;
};

/** The machine's clocks. */
extern const struct pl_clock_source pl_clock_system;

enum pl_clock_trust {
	PL_CLOCK_TRUSTED = 0,
	PL_CLOCK_UNSYNCHRONISED = 1, /* and the site asks for a synchronised clock */
	PL_CLOCK_STEPPED = 2,        /* wall and monotonic time disagree by more than the limit */
};

struct pl_clock_conf {
	uint32_t step_ms_max;   /* a difference beyond this, between two samples, is a step */
	bool need_synchronised; /* distrust the clock while the kernel says it is not disciplined */
	uint64_t settle_s; /* after a step, how long without another until it is trusted again */
	struct pl_clock_source source;
};

PL_MUST_USE int pl_clock_create(const struct pl_clock_conf *conf, struct pl_clock **out);
void pl_clock_destroy(struct pl_clock *c);

/** Control: take a sample, every 10 ms or so. After a step the old base goes on for workers. */
enum pl_clock_trust pl_clock_sample(struct pl_clock *c);
const char *pl_clock_trust_text(enum pl_clock_trust t);

/** A worker's copy of the base: refreshed in its chores, used per burst. */
struct pl_clock_view {
	uint64_t tsc0;
	uint64_t wall_ns0;
	uint64_t ns_per_tsc_q32; /* nanoseconds a cycle, as a 32.32 fixed-point number */
	bool trusted;
};

/** Bounded; keeps the old view if the writer is in the midst of a publication. */
void pl_clock_view_get(const struct pl_clock *c, struct pl_clock_view *view);

static inline uint64_t pl_clock_wall_ns(const struct pl_clock_view *v, uint64_t now_tsc)
{
	/* 128 bits: a view may be hours old if control is stopped. */
	return v->wall_ns0 +
	       (uint64_t)(((unsigned __int128)(now_tsc - v->tsc0) * v->ns_per_tsc_q32) >> 32);
}

/** Site time zones: offset by table, built by control, so that workers never call localtime(). */
struct pl_clock_zone {
	int64_t until_s;  /* unix time up to which offset_s holds */
	int32_t offset_s; /* east of UTC */
	int32_t zero;
};

/** Look up an IANA zone name's offset at a time. @return 0 or -ENOENT for a name not installed. */
PL_MUST_USE int pl_clock_zone_get(const char *tz_name, int64_t at_s, struct pl_clock_zone *out);

/** Days since 1970-01-01 in a zone. */
static inline int32_t pl_clock_day(uint64_t wall_ms, const struct pl_clock_zone *z)
{
	return (int32_t)(((int64_t)(wall_ms / 1000) + z->offset_s) / 86400);
}

#endif
