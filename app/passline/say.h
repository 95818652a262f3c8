/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the appliance says to its operator: lines on stderr. Nobody waits long for whoever reads them, and not
 * twice: a pipe that is full, as its reader hangs, would else hold up the thread that takes revocations. What finds
 * no room is lost and counted, and with the next line that goes it is told.
 *
 * Thread: any. SIGPIPE is to be ignored.
 */
#ifndef PL_SAY_H
#define PL_SAY_H

#include "base/pl_base.h"

/** One line, or several with \n between them: "passline: ...". */
void pl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** How often something found no room. */
uint64_t pl_say_lost_cnt(void);

/**
 * From now on DPDK's log goes the same way, and nowhere else: by itself the EAL writes to stderr and to syslog,
 * and waits for both. Before rte_eal_init(). 0 or -errno.
 */
PL_MUST_USE int pl_say_for_eal(void);

#endif
