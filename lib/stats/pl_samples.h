/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A sample of the scans that a worker judged, some sixteen a second, of more than the last hour: what
 * rules are tried on before they are put in force. Nothing in it tells whose certificate it was.
 *
 * A ring that its writer never waits for and readers never hold: who reads sees which entries were
 * overwritten meanwhile, and leaves them out.
 */
#ifndef PL_SAMPLES_H
#define PL_SAMPLES_H

#include "base/pl_base.h"

#define PL_SAMPLES_CNT      65536u /* entries: 68 minutes of 16 a second */
#define PL_SAMPLES_A_SECOND 16u

/** One scan, and how many it stands for. */
struct pl_sample {
	uint32_t facts;    /* lib/cert; 0 if there is no such certificate */
	uint32_t at_s;     /* unix s */
	uint32_t scan_cnt; /* scans since the sample before, this one included; at least 1 */
	uint8_t venue_class;
	uint8_t verdict; /* enum pl_verdict */
};

struct pl_samples; /* opaque */

/** @return NULL if memory is short. */
struct pl_samples *pl_samples_create(void);
/** NULL is fine. Nobody may read or write any more. */
void pl_samples_destroy(struct pl_samples *s);

/** Thread: the one writer. Wait-free. */
void pl_samples_put(struct pl_samples *s, const struct pl_sample *sample);

/**
 * Copy the newest ones, newest first, as long as they are of since_s or later.
 *
 * @return how many, 0 .. max. Fewer than there are if the writer overtook: never a wrong one.
 * Thread: any. Wait-free.
 */
size_t pl_samples_read(const struct pl_samples *s, uint32_t since_s, struct pl_sample *out,
		       size_t max);

#endif
