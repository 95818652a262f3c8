/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PL_POLICY_PVT_H
#define PL_POLICY_PVT_H

/* The text of app/passline/policy.ini. */
extern const char pl_policy_default_text[];

#endif
