/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "verify/pl_verify_pvt.h"

static int token_choose(struct pl_verify *v, int wanted, enum pl_token_variant *variant)
{
	if (wanted < 0) {
		v->token_check = pl_token_check_best(variant);
	} else {
		if (wanted >= PL_TOKEN_VARIANT_CNT)
			return -EINVAL;
		*variant = (enum pl_token_variant)wanted;
		v->token_check = pl_token_check_of(*variant);
	}
	return v->token_check != NULL ? 0 : -ENOTSUP;
}

int pl_verify_create(const struct pl_verify_conf *conf, struct pl_verify **out)
{
	enum pl_token_variant variant = PL_TOKEN_SODIUM;
	struct pl_verify *v;
	int ret;

	if (conf->table == NULL || conf->counters == NULL || conf->queue > 255)
		return -EINVAL;
	v = aligned_alloc(PL_CACHE_LINE, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	memset(v, 0, sizeof(*v));
	v->table = conf->table;
	v->counters = conf->counters;
	v->queue = conf->queue;
	v->nonce_next = conf->nonce_next;
	v->nonce_limit = conf->nonce_limit;
	pl_shed_init(&v->shed, conf->tick_hz);
	ret = token_choose(v, conf->token_variant, &variant);
	if (ret == 0)
		ret = pl_seal_create(conf->seal_engine, &v->seal);
	if (ret != 0) {
		pl_verify_destroy(v);
		return ret;
	}
	snprintf(v->engines, sizeof(v->engines), "seal %s, token %s", pl_seal_variant(v->seal),
		 pl_token_variant_name(variant));
	*out = v;
	return 0;
}

void pl_verify_destroy(struct pl_verify *v)
{
	if (v == NULL)
		return;
	if (v->seal != NULL)
		pl_seal_destroy(v->seal);
	/* Master keys, and scans in the clear. */
	explicit_bzero(v, sizeof(*v));
	free(v);
}

uint64_t pl_verify_nonce_next(const struct pl_verify *v)
{
	return v->nonce_next;
}

void pl_verify_nonce_limit_set(struct pl_verify *v, uint64_t limit)
{
	v->nonce_limit = limit;
}

const struct pl_gateway_counters *pl_verify_gateway_counters(const struct pl_verify *v)
{
	return v->gateway_counters;
}

void pl_verify_shed_renew(struct pl_verify *v, const struct pl_view *view, uint64_t tick,
			  uint64_t wall_ms)
{
	const struct pl_shed_load load = {
		.tick = tick,
		.wall_ms = wall_ms,
		.gateways = v->gateway_counters,
		.shares = pl_gateway_shares(view->gateways),
		.share_serial = pl_gateway_share_serial(view->gateways),
		.busy_ticks = v->counters->busy_tsc,
		.idle_ticks = v->counters->idle_tsc,
		.rx_cnt = v->counters->rx_pkts,
	};

	pl_shed_renew(&v->shed, &load, pl_gateway_cnt(view->gateways), view->shed);
}

uint32_t pl_verify_limited_cnt(const struct pl_verify *v)
{
	return v->shed.limited_cnt;
}

bool pl_verify_is_limited(const struct pl_verify *v, const struct pl_view *view,
			  uint32_t gateway_idx)
{
	return v->shed.limits[pl_gateway_shares(view->gateways)[gateway_idx]].work_due != 0;
}

const char *pl_verify_engines(const struct pl_verify *v)
{
	return v->engines;
}

const struct pl_seal *pl_verify_seal(const struct pl_verify *v)
{
	return v->seal;
}

void pl_verify_sample_ask(struct pl_verify *v)
{
	v->sample_asked = true;
}

bool pl_verify_sample_get(struct pl_verify *v, struct pl_sample *out)
{
	if (!v->sample_taken)
		return false;
	v->sample_taken = false;
	*out = v->sample;
	return true;
}
