/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A population of certificates that anyone can make again from a seed: certificate idx is a
 * function of (seed, idx), so that a load driver needs no list to know what to expect.
 *
 * Dates of doses are real: drawn from the daily doses of South Korea (lib/population/data), each
 * day as often as doses were given on it, up to enforcement day, 2021-12-13, which the whole
 * calendar is shifted to make as_of_day. The rest is modelled:
 *
 *   kind            share     event day, before as_of_day              why
 *   primary         74.0 %    any dose                                 about as many adults held
 *   booster         13.0 %    a dose of the last 62 days               a booster; they began on
 *                                                                      2021-10-12
 *   recovered        3.0 %    0 .. 209 days, evenly                    half a million cases; some
 *                                                                      are past 180 days
 *   pcr-negative     4.0 %    0 .. 3 days, evenly                      a quarter is past its end
 *   medical-exempt   1.0 %    0 .. 269 days, evenly
 *   under-age        5.0 %    -5479 .. 29 days, evenly: the birthday   some came of age
 *                             to come
 *
 * One certificate in 256 is revoked and another one in 256 suspended, whatever its kind. So each
 * answer arises by itself: primary series of the last 13 days are not yet valid, those of more
 * than 180 days ago have expired.
 */
#ifndef PL_POPULATION_H
#define PL_POPULATION_H

#include "base/pl_base.h"
#include "cert/pl_cert.h"

#define PL_POPULATION_CERTS_MAX (1ULL << 32)

struct pl_population; /* opaque; immutable once made, any thread may use it */

struct pl_population_conf {
	uint64_t seed;
	uint64_t cert_cnt; /* 1 .. PL_POPULATION_CERTS_MAX */
	int32_t as_of_day; /* the day, since 1970-01-01, that stands for enforcement day */
	uint8_t key_epoch;
	const char *doses_csv_path; /* "date,cumulative_doses" lines; NULL: the built-in counts */
};

/**
 * @return 0, or -errno with error set (path, line, what was expected): -EINVAL for a count, day
 * or file out of range, -ENOENT and others for a file that cannot be read, -ENOMEM.
 */
PL_MUST_USE int pl_population_create(const struct pl_population_conf *conf,
				     struct pl_population **out, char *error, size_t error_size);
void pl_population_destroy(struct pl_population *p);
uint64_t pl_population_cert_cnt(const struct pl_population *p);

/**
 * Certificate idx, 0 .. cert_cnt - 1. Within one seed ids never repeat, and are never 0. The
 * same for any cert_cnt: a larger population begins with the smaller one. Generation is 0.
 * Thread: any. Blocks: no. Allocates: no. Constant time.
 */
struct pl_cert pl_population_cert(const struct pl_population *p, uint64_t idx);

/** The same certificate's id alone: a few cycles. */
uint64_t pl_population_id(const struct pl_population *p, uint64_t idx);

/**
 * Id of a certificate that is in no population of this seed, however large; another for every
 * idx, 0 .. PL_POPULATION_CERTS_MAX - 1; never 0.
 */
uint64_t pl_population_absent_id(const struct pl_population *p, uint64_t idx);

#endif
