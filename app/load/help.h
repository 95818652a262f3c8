/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PL_LOAD_HELP_H
#define PL_LOAD_HELP_H

/** Print the manual page to stdout. */
void load_help(void);

#endif
