/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the appliance says it did, from the socket of its rte_telemetry.
 */
#ifndef PL_LOAD_TELEMETRY_H
#define PL_LOAD_TELEMETRY_H

#include "base/pl_base.h"

/** Totals of all its workers. */
struct telemetry {
	uint64_t busy_tsc;
	uint64_t idle_tsc;
	uint64_t replies;
	uint64_t scans;
	uint64_t rx_pkts;
	uint64_t stalls; /* of its workers, and what they took; 0 if it does not tell */
	uint64_t stalled_tsc;
};

/**
 * Ask /passline/stats over a DPDK telemetry socket (version 2: dpdk_telemetry.v2).
 * @return 0, or -errno with error set. Blocks: 2 s at most.
 */
PL_MUST_USE int telemetry_ask(const char *path, struct telemetry *out, char *error,
			      size_t error_size);

/** The same from the text of an answer. */
PL_MUST_USE int telemetry_read(const char *text, size_t size, struct telemetry *out);

#endif
