/* SPDX-License-Identifier: BSD-3-Clause */

#include "intervals.h"

#include <errno.h>

static uint64_t every_tsc(const struct intervals *iv)
{
	return iv->clock->hz * iv->every_ms / 1000;
}

static void start(struct intervals *iv, uint64_t from_ms, uint64_t from_tsc)
{
	memset(iv->now, 0, sizeof(*iv->now));
	iv->now->figures.from_ms = from_ms;
	iv->now->from_tsc = from_tsc;
	iv->next_tsc = from_tsc + every_tsc(iv);
}

/* All its answers have come. */
static void keep(struct intervals *iv, struct interval_open *one)
{
	struct interval *out = &one->figures;

	if (iv->cnt == iv->list_size)
		return;
	latency_us(&one->latency, iv->clock->ns_per_tsc, out->us);
	out->samples = one->latency.cnt;
	iv->list[iv->cnt++] = *out;
}

int intervals_open(struct intervals *iv, uint32_t every_ms, double seconds,
		   struct load_clock *clock)
{
	*iv = (struct intervals){.every_ms = every_ms, .clock = clock};
	if (every_ms == 0)
		return 0;
	iv->list_size = (uint32_t)(seconds * 1000 / every_ms) + 1;
	iv->list = calloc(iv->list_size, sizeof(*iv->list));
	iv->now = calloc(1, sizeof(*iv->now));
	iv->before = calloc(1, sizeof(*iv->before));
	iv->next_tsc = UINT64_MAX; /* until it begins */
	if (iv->list != NULL && iv->now != NULL && iv->before != NULL)
		return 0;
	intervals_close(iv);
	return -ENOMEM;
}

void intervals_close(struct intervals *iv)
{
	free(iv->list);
	free(iv->now);
	free(iv->before);
	*iv = (struct intervals){0};
}

void intervals_begin(struct intervals *iv, uint64_t now_tsc)
{
	uint64_t wall_ns, first_ms, wait_ns;

	if (iv->every_ms == 0)
		return;
	wall_ns = load_clock_wall_ns(iv->clock, now_tsc);
	first_ms = (wall_ns / 1000000u / iv->every_ms + 1) * iv->every_ms;
	wait_ns = first_ms * 1000000u - wall_ns;
	iv->cnt = 0;
	iv->has_before = false;
	/* The one before the first: nobody is told of it. */
	iv->leading_in = true;
	start(iv, first_ms - iv->every_ms,
	      now_tsc + (uint64_t)((double)wait_ns / iv->clock->ns_per_tsc) - every_tsc(iv));
	iv->stalls = iv->stalled_us = 0;
}

void intervals_roll(struct intervals *iv, const struct load_stats *stats, uint64_t now_tsc)
{
	struct interval_open *over = iv->now;

	over->figures.stalls = stats->stalls - iv->stalls;
	over->figures.stalled_us = stats->stalled_us - iv->stalled_us;
	iv->stalls = stats->stalls;
	iv->stalled_us = stats->stalled_us;
	if (iv->has_before)
		keep(iv, iv->before);
	iv->now = iv->before;
	iv->before = over;
	iv->has_before = !iv->leading_in;
	iv->leading_in = false;
	start(iv, over->figures.from_ms + iv->every_ms, iv->next_tsc);
	if (PL_LIKELY(now_tsc < iv->next_tsc))
		return;
	/* We were not running for a whole interval, or for more: these are not kept, and what was
	 * due in them counts where we were stopped. */
	uint64_t missed = (now_tsc - iv->now->from_tsc) / every_tsc(iv);

	start(iv, iv->now->figures.from_ms + missed * iv->every_ms,
	      iv->now->from_tsc + missed * every_tsc(iv));
}

void intervals_end(struct intervals *iv)
{
	if (iv->every_ms != 0 && iv->has_before)
		keep(iv, iv->before);
	iv->has_before = false;
}
