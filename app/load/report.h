/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PL_LOAD_REPORT_H
#define PL_LOAD_REPORT_H

#include "run.h"

/** Print the result. @return the exit code. */
int report(const struct load_args *args, const struct pool *pool, const struct run_result *r);

#endif
