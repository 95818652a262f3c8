/* SPDX-License-Identifier: BSD-3-Clause */
/* How far the appliance is, for its operator and systemd. Control only. */
#ifndef PL_READY_H
#define PL_READY_H

#include "base/pl_base.h"

struct pl_app;

/** Workers answer; the feed is being loaded. */
void pl_ready_answering(const struct pl_app *app);
/** Still loading: systemd's patience is renewed. */
void pl_ready_loading(uint64_t record_cnt);
/** Everything is up. */
void pl_ready_serving(const struct pl_app *app);
/** stop: and then it stops; else it goes on until it is told otherwise. */
void pl_ready_draining(bool stop);

#endif
