/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Certificates that are in no feed yet: they are scanned over and over among the others, and when
 * each one passed first is noted. How long a new certificate takes to reach the gate.
 */
#ifndef PL_LOAD_AWAIT_H
#define PL_LOAD_AWAIT_H

#include "base/pl_base.h"

#define AWAIT_MAX 65536u

struct await {
	uint32_t cnt;
	uint32_t seen_cnt;
	uint64_t *ids;
	uint64_t *seen_ns; /* unix time; 0: not yet */
};

/** One id a line, 0x and hex digits. @return 0 or -errno with error set. */
PL_MUST_USE int await_load(struct await *a, const char *path, char *error, size_t error_size);
void await_free(struct await *a);

#endif
