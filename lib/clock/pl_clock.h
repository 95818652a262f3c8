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
	uint64_t (*monotonic_ns)(void *ctx); /* CLOCK_MONOTONIC_RAW: never steps, never slewed */
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
	uint32_t step_ms_max;   /* a difference beyond this is a step; 1 .. */
	bool need_synchronised; /* distrust the clock while the kernel says it is not disciplined */
	uint64_t settle_s; /* after a step, how long without another until it is trusted again */
	struct pl_clock_source source;
};

/**
 * Calibrates the TSC first, which takes some 20 ms.
 * @return 0; -EIO if the TSC or the monotonic clock does not advance; -EINVAL; -ENOMEM.
 */
PL_MUST_USE int pl_clock_create(const struct pl_clock_conf *conf, struct pl_clock **out);
/** No reader may be left. */
void pl_clock_destroy(struct pl_clock *c);

/**
 * Take a sample and publish, every 10 to 50 ms; rarer is fine. One thread at a time (control).
 *
 * The published time follows the wall clock: it is never put right by a jump, but by running at
 * most PL_CLOCK_SLEW_PPM_MAX faster or slower. While it is trusted it is within step_ms_max of the
 * wall clock.
 *
 * A step is a change of the wall clock against the monotonic one by more than step_ms_max,
 * at once or adding up faster than slewing takes it off; or a TSC that jumps. From then on the
 * published time goes on as if there had been none, untrusted, until settle_s have passed without
 * another step. Then it takes the wall clock's time, trusted. That is the one moment at which it
 * may go back.
 */
enum pl_clock_trust pl_clock_sample(struct pl_clock *c);
/** Other limits, from the next sample on; a step that is being waited out stays one. Thread: the
 * sampler's. @return 0 or -EINVAL for a step_ms_max of 0. */
PL_MUST_USE int pl_clock_limits_set(struct pl_clock *c, uint32_t step_ms_max,
				    bool need_synchronised, uint64_t settle_s);
/** What the last sample found. Thread: the sampler's. */
enum pl_clock_trust pl_clock_trust(const struct pl_clock *c);
const char *pl_clock_trust_text(enum pl_clock_trust t);

#define PL_CLOCK_SLEW_PPM_MAX 5000u

/** A worker's copy of the base: refreshed in its chores, used per burst. Zeros: not trusted. */
struct pl_clock_view {
	uint64_t tsc0;
	uint64_t wall_ns0;
	uint64_t ns_per_tsc_q32; /* nanoseconds a cycle, as a 32.32 fixed-point number */
	bool trusted;
};

/** Bounded; keeps the old view if the writer is in the midst of a publication. Any thread. */
void pl_clock_view_get(const struct pl_clock *c, struct pl_clock_view *view);

/**
 * Wall time at now_tsc. Never goes back as now_tsc grows, from one view to the next either, but
 * for the end of a step (see pl_clock_sample()) and for a now_tsc read before the view was made.
 */
static inline uint64_t pl_clock_wall_ns(const struct pl_clock_view *v, uint64_t now_tsc)
{
	/* Signed: a view may have been made after now_tsc was read. 128 bits: it may be hours old
	 * if control is stopped. */
	return v->wall_ns0 +
	       (uint64_t)(((__int128)(int64_t)(now_tsc - v->tsc0) * (__int128)v->ns_per_tsc_q32) >>
			  32);
}

#define PL_CLOCK_ZONE_NAME_SIZE 64u /* with the NUL */

/** Site time zones: offset by table, built by control, so that workers never call localtime(). */
struct pl_clock_zone {
	int64_t from_s;   /* offset_s holds for unix times from this; INT64_MIN: ever since */
	int64_t until_s;  /* and before this; INT64_MAX: for ever */
	int32_t offset_s; /* east of UTC */
	int32_t zero;
};

/**
 * An IANA zone's offset at a time, from the machine's tz database (/usr/share/zoneinfo). "UTC"
 * needs none. Neither the environment nor the C library's zone is looked at or changed.
 *
 * @return 0; -ENOENT for a zone that is not installed, or no zone name at all; -ENODEV if there is
 *         no tz database (Debian: package tzdata); -EINVAL for a file that is damaged or counts
 *         leap seconds ("right/..."); another -errno.
 * Thread: any. Blocks: reads a file.
 */
PL_MUST_USE int pl_clock_zone_get(const char *tz_name, int64_t at_s, struct pl_clock_zone *out);

/** The same from the bytes of a TZif file (RFC 8536, version 2 on). @return 0 or -EINVAL. */
PL_MUST_USE int pl_clock_zone_parse(const uint8_t *data, size_t size, int64_t at_s,
				    struct pl_clock_zone *out);

/** Is the offset the zone's at this time? If not, get it anew: time has gone on, or was set back. */
static inline bool pl_clock_zone_holds(const struct pl_clock_zone *z, int64_t at_s)
{
	return at_s >= z->from_s && at_s < z->until_s;
}

/** Days since 1970-01-01 in a zone. */
static inline int32_t pl_clock_day(uint64_t wall_ms, const struct pl_clock_zone *z)
{
	return (int32_t)(((int64_t)(wall_ms / 1000) + z->offset_s) / 86400);
}

#endif
