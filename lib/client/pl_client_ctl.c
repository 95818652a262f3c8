/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <sodium.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/pl_time.h"
#include "client/pl_client.h"
#include "client/pl_client_pvt.h"

#define DEADLINE_MS_MAX 600000u

static uint64_t system_monotonic_ns(void *ctx)
{
	(void)ctx;
	return pl_time_ns(CLOCK_MONOTONIC);
}

static uint64_t system_wall_ns(void *ctx)
{
	(void)ctx;
	return pl_time_ns(CLOCK_REALTIME);
}

void pl_client_conf_default(struct pl_client_conf *conf)
{
	*conf = (struct pl_client_conf){
		.outstanding_max = 256,
		.deadline_ms = 1000,
		.first_retry_ms = 100,
		.retry_ms_max = 1000,
		.attempts_max = 4,
		.retry_permille = 100,
		.retry_burst = 10,
		.seal_engine = PL_SEAL_AUTO,
	};
}

static const char *conf_fault(const struct pl_client_conf *conf)
{
	if (conf->addr_cnt < 1 || conf->addr_cnt > PL_CLIENT_ADDRS_MAX)
		return "number of addresses must be 1 .. 8";
	if (conf->outstanding_max < 1 || conf->outstanding_max > PL_CLIENT_OUTSTANDING_MAX)
		return "outstanding requests must be 1 .. 4096";
	if (conf->deadline_ms < 1 || conf->deadline_ms > DEADLINE_MS_MAX)
		return "deadline must be 1 .. 600000 ms";
	if (conf->first_retry_ms < 1 || conf->first_retry_ms > conf->deadline_ms)
		return "first retry must come after 1 ms .. the deadline";
	if (conf->retry_ms_max < conf->first_retry_ms || conf->retry_ms_max > DEADLINE_MS_MAX)
		return "longest wait must be the first wait .. 600000 ms";
	if (conf->attempts_max < 1 || conf->attempts_max > PL_CLIENT_ATTEMPTS_MAX)
		return "attempts must be 1 .. 8";
	if (conf->retry_permille > 1000 || conf->retry_burst > 1000)
		return "retry budget must be at most 1000 permille, its burst at most 1000";
	if (conf->state_path == NULL)
		return "no counter state file given";
	return NULL;
}

static int create_keys(struct pl_client *c)
{
	uint8_t key[PL_SEAL_KEY_SIZE];
	int rc;

	rc = pl_seal_create(c->conf.seal_engine, &c->seal);
	if (rc != 0)
		return rc;
	pl_seal_derive(key, c->conf.root, PL_SEAL_DIR_REQUEST, c->conf.key_epoch,
		       c->conf.gateway_id);
	rc = pl_seal_key_create(c->seal, key, &c->request_key);
	if (rc == 0) {
		pl_seal_derive(key, c->conf.root, PL_SEAL_DIR_REPLY, c->conf.key_epoch,
			       c->conf.gateway_id);
		rc = pl_seal_key_create(c->seal, key, &c->reply_key);
	}
	sodium_memzero(key, sizeof(key));
	sodium_memzero(c->conf.root, sizeof(c->conf.root));
	return rc;
}

static int create_requests(struct pl_client *c)
{
	uint32_t cnt = c->conf.outstanding_max;

	c->reqs = calloc(cnt, sizeof(*c->reqs));
	c->heap.idxs = calloc(cnt, sizeof(*c->heap.idxs));
	if (c->reqs == NULL || c->heap.idxs == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < cnt; i++)
		c->reqs[i].next = i + 1 < cnt ? i + 1 : REQ_NIL;
	c->free_head = 0;
	c->done_head = c->done_tail = REQ_NIL;
	return client_map_create(&c->map, cnt * c->conf.attempts_max);
}

static int create_fds(struct pl_client *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};

	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll_fd < 0)
		return -errno;
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (c->timer_fd < 0 || epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->timer_fd, &event) != 0)
		return -errno;
	return 0;
}

int pl_client_create(const struct pl_client_conf *conf, struct pl_client **out, char *error,
		     size_t error_size)
{
	const char *fault = conf_fault(conf);
	struct pl_client *c;
	int rc;

	if (fault != NULL) {
		snprintf(error, error_size, "%s", fault);
		return -EINVAL;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL || sodium_init() < 0) {
		free(c);
		snprintf(error, error_size, "out of memory, or libsodium does not start");
		return -ENOMEM;
	}
	c->conf = *conf;
	c->conf.state_path = NULL; /* the caller's; the counter keeps a copy */
	c->epoll_fd = c->timer_fd = c->counter.fd = -1;
	for (uint32_t i = 0; i < conf->addr_cnt; i++)
		c->addrs[i] = (struct client_addr){.addr = conf->addrs[i], .fd = -1};
	if (c->conf.clock.monotonic_ns == NULL)
		c->conf.clock.monotonic_ns = system_monotonic_ns;
	if (c->conf.clock.wall_ns == NULL)
		c->conf.clock.wall_ns = system_wall_ns;
	c->budget_milli = (uint64_t)conf->retry_burst * 1000u;
	randombytes_buf(&c->rng, sizeof(c->rng));
	c->rng |= 1; /* a state of 0 would stay 0 */

	rc = create_keys(c);
	if (rc == 0)
		rc = create_requests(c);
	if (rc == 0)
		rc = create_fds(c);
	if (rc != 0) {
		snprintf(error, error_size, "%s",
			 rc == -ENOTSUP ? "seal engine does not run on this CPU; choose another"
					: strerror(-rc));
		goto fail;
	}
	rc = pl_client_counter_open(&c->counter, conf->state_path, conf->gateway_id,
				    conf->key_epoch, PL_CLIENT_COUNTER_BLOCK,
				    c->conf.clock.wall_ns(c->conf.clock.ctx), error, error_size);
	if (rc != 0)
		goto fail;
	*out = c;
	return 0;
fail:
	pl_client_destroy(c);
	return rc;
}

void pl_client_destroy(struct pl_client *c)
{
	if (c == NULL)
		return;
	for (uint32_t i = 0; i < c->conf.addr_cnt; i++)
		if (c->addrs[i].fd >= 0)
			close(c->addrs[i].fd);
	if (c->counter.path != NULL)
		pl_client_counter_close(&c->counter);
	if (c->timer_fd >= 0)
		close(c->timer_fd);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	pl_seal_key_destroy(c->request_key);
	pl_seal_key_destroy(c->reply_key);
	pl_seal_destroy(c->seal);
	free(c->map.slots);
	free(c->heap.idxs);
	free(c->reqs);
	sodium_memzero(c, sizeof(*c));
	free(c);
}
