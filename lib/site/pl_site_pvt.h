/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of lib/site. */
#ifndef PL_SITE_PVT_H
#define PL_SITE_PVT_H

#include "conf/pl_conf.h"
#include "site/pl_site.h"

/* Every [platform NAME]. */
void pl_site_read_platforms(struct pl_conf *c, struct pl_site *site);

#endif
