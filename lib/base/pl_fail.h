/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * How a function of the slow path fails: a reason in words for whoever runs the program, and a number for
 * its caller.
 */
#ifndef PL_FAIL_H
#define PL_FAIL_H

#include <stdarg.h>

#include "base/pl_base.h"

/** @param error  may be NULL if error_size is 0. @return rc. */
__attribute__((format(printf, 4, 5), cold)) static inline int
pl_fail(int rc, char *error, size_t error_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, error_size, format, args);
	va_end(args);
	return rc;
}

#endif
