/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <time.h>

#include <sodium.h>

#include <rte_lcore.h>
#include <rte_malloc.h>

#include "view.h"

#define ROOM_WAIT_MS 1000u

static void view_free(struct pl_app_view *v)
{
	if (v == NULL)
		return;
	pl_gateway_set_destroy(v->gateways);
	if (v->token_keys != NULL) {
		explicit_bzero(v->token_keys, sizeof(*v->token_keys));
		rte_free(v->token_keys);
	}
	free(v->policy);
	free(v);
}

int pl_view_box_create(struct pl_view_box *box, uint32_t worker_cnt)
{
	size_t size = rte_rcu_qsbr_get_memsize(worker_cnt);

	memset(box, 0, sizeof(*box));
	atomic_init(&box->current, NULL);
	pthread_mutex_init(&box->check_lock, NULL);
	box->qsbr = rte_zmalloc("pl_view_qsbr", size, RTE_CACHE_LINE_SIZE);
	if (box->qsbr == NULL)
		return -ENOMEM;
	return rte_rcu_qsbr_init(box->qsbr, worker_cnt) == 0 ? 0 : -EINVAL;
}

void pl_view_box_destroy(struct pl_view_box *box)
{
	/* No const by now: the workers are gone, and control made it. */
	view_free((struct pl_app_view *)(uintptr_t)pl_view_get(box));
	for (uint32_t i = 0; i < box->retired_cnt; i++)
		view_free((struct pl_app_view *)(uintptr_t)box->retired[i].view);
	pthread_mutex_destroy(&box->check_lock);
	rte_free(box->qsbr);
	box->qsbr = NULL;
}

static int gateways_make(struct pl_app_view *v, const struct pl_gateway_set *prev,
			 const struct pl_config *c, const struct pl_seal *seal, char *error,
			 size_t error_size)
{
	uint32_t cnt = c->gateways->cnt, bad_id = 0;
	struct pl_gateway_conf *confs = sodium_allocarray((size_t)cnt + 1, sizeof(*confs));
	int ret = -ENOMEM;

	if (confs != NULL) {
		for (uint32_t i = 0; i < cnt; i++) {
			confs[i].id = c->gateways->key[i].gateway_id;
			confs[i].platform =
				(uint32_t)(pl_site_platform_of(&c->site, confs[i].id) + 1);
			confs[i].epoch = c->gateways->key[i].epoch;
			memcpy(confs[i].root, c->gateways->key[i].bytes, PL_SEAL_KEY_SIZE);
		}
		ret = pl_gateway_set_create(seal, prev, confs, cnt, &v->gateways, &bad_id);
		sodium_free(confs); /* wipes */
	}
	switch (ret) {
	case 0:
		break;
	case -ERANGE:
		snprintf(error, error_size,
			 "%s: gateway %u has more than %u key epochs: delete the oldest key file",
			 c->site.gateway_dir, bad_id, PL_GATEWAY_EPOCHS_MAX);
		break;
	case -E2BIG:
		snprintf(error, error_size,
			 "%s: more than %u gateways since the start, those that went "
			 "included: move some to another appliance, or restart this one",
			 c->site.gateway_dir, PL_GATEWAY_MAX);
		break;
	default:
		snprintf(error, error_size, "%s: gateway %u: %s", c->site.gateway_dir, bad_id,
			 strerror(-ret));
	}
	return ret;
}

/* Into hugepages, which no core dump has and which are never swapped. */
static int token_keys_make(struct pl_app_view *v, const struct pl_config *c)
{
	v->token_keys = rte_zmalloc("pl_token_keys", sizeof(*v->token_keys), RTE_CACHE_LINE_SIZE);
	if (v->token_keys == NULL)
		return -ENOMEM;
	pl_keys_token_words(c->tokens, v->token_keys->master0, v->token_keys->master1,
			    v->token_keys->held);
	return 0;
}

static int view_make(struct pl_app_view **out, const struct pl_gateway_set *prev,
		     const struct pl_config *c, const struct pl_seal *seal, uint64_t wall_ns,
		     char *error, size_t error_size)
{
	struct pl_app_view *v = calloc(1, sizeof(*v));
	int ret = -ENOMEM;

	if (v == NULL)
		goto fail;
	v->policy = malloc(sizeof(*v->policy));
	if (v->policy == NULL || token_keys_make(v, c) != 0)
		goto fail;
	*v->policy = c->policy;
	ret = pl_clock_zone_get(c->site.time_zone, (int64_t)(wall_ns / 1000000000u), &v->zone);
	if (ret != 0) {
		snprintf(error, error_size, "time zone %s: %s; install tzdata", c->site.time_zone,
			 strerror(-ret));
		view_free(v);
		return ret;
	}
	ret = gateways_make(v, prev, c, seal, error, error_size);
	if (ret != 0) {
		view_free(v);
		return ret;
	}
	v->view.gateways = v->gateways;
	v->view.token_keys = v->token_keys;
	v->view.policy = v->policy;
	v->view.appliance_id = c->site.appliance_id;
	v->view.waiver_from = c->waiver.from_s;
	v->view.waiver_until = c->waiver.until_s;
	v->view.request_age_ms_max = c->site.request_age_ms_max;
	v->view.shed = c->site.shed;
	v->feed_age_s_max = c->site.feed_age_s_max;
	v->retry_after_ms = c->site.retry_after_ms;
	v->idle = (uint8_t)c->site.idle;
	v->idle_us = c->site.idle_us;
	*out = v;
	return 0;
fail:
	snprintf(error, error_size, "no memory for keys and policy");
	view_free(v);
	return ret;
}

/* A worker passes every PL_CHORES_US, unless its CPU is somebody else's just then. */
static bool room_wait(struct pl_view_box *box)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	pl_view_reclaim(box);
	for (uint32_t i = 0; box->retired_cnt == PL_VIEW_RETIRED_MAX && i < ROOM_WAIT_MS; i++) {
		(void)nanosleep(&ms, NULL);
		pl_view_reclaim(box);
	}
	return box->retired_cnt < PL_VIEW_RETIRED_MAX;
}

int pl_view_publish(struct pl_view_box *box, const struct pl_config *c, const struct pl_seal *seal,
		    uint64_t wall_ns, char *error, size_t error_size)
{
	const struct pl_app_view *old = pl_view_get(box);
	struct pl_app_view *v = NULL;
	int ret;

	if (!room_wait(box)) {
		snprintf(error, error_size,
			 "%u older views are still in use by a worker that has not run for %u ms: "
			 "does it share its CPU?",
			 PL_VIEW_RETIRED_MAX, ROOM_WAIT_MS);
		return -EAGAIN;
	}
	ret = view_make(&v, old != NULL ? old->gateways : NULL, c, seal, wall_ns, error,
			error_size);
	if (ret != 0)
		return ret;
	v->view.generation = ++box->generation;
	/* VIEW-PUB release: *v is complete before a worker can see it. Pairs: VIEW-GET. */
	atomic_store_explicit(&box->current, v, memory_order_release);
	if (old != NULL) {
		/* Release: the token is taken after the store, so a worker that reports it has let
		 * go and will take the new one. Pairs: VIEW-QS. */
		box->retired[box->retired_cnt].token = rte_rcu_qsbr_start(box->qsbr);
		box->retired[box->retired_cnt].view = old;
		box->retired_cnt++;
	}
	return 0;
}

void pl_view_reclaim(struct pl_view_box *box)
{
	uint32_t freed = 0;

	while (freed < box->retired_cnt && pl_view_passed(box, box->retired[freed].token)) {
		view_free((struct pl_app_view *)(uintptr_t)box->retired[freed].view);
		freed++;
	}
	if (freed == 0)
		return;
	box->retired_cnt -= freed;
	memmove(box->retired, box->retired + freed, box->retired_cnt * sizeof(box->retired[0]));
}
