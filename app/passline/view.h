/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What workers judge by, published as one pointer: a change is a new view, and the old one is
 * freed when every worker has said that it holds it no more (rte_rcu_qsbr).
 */
#ifndef PL_APP_VIEW_H
#define PL_APP_VIEW_H

#include <stdatomic.h>

#include <pthread.h>
#include <time.h>

#include <rte_rcu_qsbr.h>

#include "clock/pl_clock.h"
#include "config.h"
#include "verify/pl_view.h"

/** Immutable; what its pointers lead to is its own. */
struct pl_app_view {
	struct pl_view view;
	struct pl_clock_zone zone;
	uint32_t feed_age_s_max;
	uint16_t retry_after_ms; /* while loading, draining or shedding */
	uint8_t idle;            /* enum pl_site_idle */
	uint32_t idle_us;
	struct pl_token_keys *token_keys;
	struct pl_policy *policy;
	struct pl_gateway_set *gateways;
};

#define PL_VIEW_RETIRED_MAX 8u

struct pl_view_box {
	_Atomic(const struct pl_app_view *) current PL_SHARED(ctrl, worker);
	struct rte_rcu_qsbr *qsbr;
	/* Held around a check: what another thread's check has found it remembers for all, by a word
	 * that orders nothing. No worker takes it. */
	pthread_mutex_t check_lock;
	uint64_t generation PL_OWNED_BY(ctrl);
	/* Views that some worker may still hold, oldest first. */
	struct {
		const struct pl_app_view *view;
		uint64_t token;
	} retired[PL_VIEW_RETIRED_MAX] PL_OWNED_BY(ctrl);
	uint32_t retired_cnt;
};

PL_MUST_USE int pl_view_box_create(struct pl_view_box *box, uint32_t worker_cnt);
/** Workers must have stopped. */
void pl_view_box_destroy(struct pl_view_box *box);

/**
 * Make a view of the configuration and publish it.
 *
 * @param seal  of the engine that the workers use.
 * @return 0; -EAGAIN while too many old views are held, after a second's wait; -errno with error
 *         set.
 * Thread: control.
 */
PL_MUST_USE int pl_view_publish(struct pl_view_box *box, const struct pl_config *c,
				const struct pl_seal *seal, uint64_t wall_ns, char *error,
				size_t error_size);
/** Free what no worker holds any more. Blocks: no. */
void pl_view_reclaim(struct pl_view_box *box);

/** Has every worker passed a quiescent point since the token was taken? */
static inline bool pl_view_passed(struct pl_view_box *box, uint64_t token)
{
	bool passed;

	pthread_mutex_lock(&box->check_lock);
	passed = rte_rcu_qsbr_check(box->qsbr, token, false) == 1;
	pthread_mutex_unlock(&box->check_lock);
	return passed;
}

/** Control, which frees views and so holds none that goes; workers renew theirs, below. */
static inline const struct pl_app_view *pl_view_get(struct pl_view_box *box)
{
	/* VIEW-GET acquire: pairs VIEW-PUB; what the pointer leads to is complete. */
	return atomic_load_explicit(&box->current, memory_order_acquire);
}

/**
 * Let the view that a worker holds go, and take the newest.
 *
 * In this order: a view taken first could be replaced before the report, which would then read
 * the token of that very replacement and say that the view was let go of, just taken.
 *
 * VIEW-QS: the report reads the token (acquire) and so, if it is as new as one that control
 * took after VIEW-PUB, the load after it sees that publication. Pairs: rte_rcu_qsbr_start() in
 * pl_view_publish().
 */
static inline const struct pl_app_view *pl_view_renew(struct pl_view_box *box, uint32_t worker_idx)
{
	rte_rcu_qsbr_quiescent(box->qsbr, worker_idx);
	return pl_view_get(box);
}

/**
 * Wait until every worker that polls has renewed its view: what it reads after that is as new as what the
 * caller stored before. Ends early when *stop is set. Any thread but a worker's; several may.
 *
 * VIEW-WAIT release: the token is taken after the caller's stores. Pairs: VIEW-QS.
 */
static inline void pl_view_wait(struct pl_view_box *box, const _Atomic bool *stop)
{
	const struct timespec gap = {.tv_nsec = 100000};
	uint64_t token = rte_rcu_qsbr_start(box->qsbr);

	/* relaxed: a flag to end soon; nothing is read under it. */
	while (!pl_view_passed(box, token) && !atomic_load_explicit(stop, memory_order_relaxed))
		(void)nanosleep(&gap, NULL);
}

#endif
