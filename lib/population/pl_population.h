/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A population of certificates that anyone can make again from a seed: certificate idx is a
 * function of (seed, idx), so that a load driver needs no list to know what to expect. Event
 * dates follow the national dose counts (tests and demo use real ones).
 */
#ifndef PL_POPULATION_H
#define PL_POPULATION_H

#include "base/pl_base.h"
#include "cert/pl_cert.h"

struct pl_population; /* opaque; immutable once made, any thread may use it */

struct pl_population_conf {
	uint64_t seed;
	uint64_t cert_cnt;
	int32_t as_of_day; /* the day, since 1970-01-01, that stands for enforcement day 2021-12-13 */
	uint8_t key_epoch;
	const char *doses_csv_path; /* "date,cumulative_doses" lines */
};

PL_MUST_USE int pl_population_create(const struct pl_population_conf *conf,
				     struct pl_population **out, char *error, size_t error_size);
void pl_population_destroy(struct pl_population *p);

/** Certificate idx, 0 .. cert_cnt - 1. Ids never repeat. */
struct pl_cert pl_population_cert(const struct pl_population *p, uint64_t idx);
/** Id of a certificate that is not in the population; another for every idx. */
uint64_t pl_population_absent_id(const struct pl_population *p, uint64_t idx);

#endif
