/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The loop: sends at a rate or with so many outstanding, receives, and keeps the pool fresh.
 */
#ifndef PL_LOAD_RUN_H
#define PL_LOAD_RUN_H

#include "reply.h"
#include "telemetry.h"

struct run_result {
	struct load_stats stats;
	struct intervals intervals;
	double seconds;   /* of sending */
	uint64_t lost;    /* sent and not answered */
	uint64_t unsent;  /* due by the rate, and not sent by the end */
	double load_busy; /* share of our own loop's time that did something */
	bool has_telemetry;
	struct telemetry appliance; /* what it did meanwhile */
};

/** @return 0, or -errno with error set if the telemetry cannot be had; run_result_free() then, too. */
PL_MUST_USE int run_load(struct pool *pool, const struct load_args *args, struct run_result *out,
			 char *error, size_t error_size);

void run_result_free(struct run_result *r);

#endif
