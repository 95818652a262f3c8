/* SPDX-License-Identifier: BSD-3-Clause */
/* A client with a clock of the test's own, and one or two appliances that a test speaks for. */
#ifndef CLIENT_FIXTURE_H
#define CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "client_fake.h"

#define MS 1000000ull

static uint64_t test_now_ns;
static uint64_t test_wall_ns;

static inline uint64_t fake_monotonic(void *ctx)
{
	(void)ctx;
	return test_now_ns;
}

static inline uint64_t fake_wall(void *ctx)
{
	(void)ctx;
	return test_wall_ns;
}

struct world {
	char dir[64];
	char state_path[96];
	struct fake appliances[2];
	struct pl_client_conf conf;
	struct pl_client *client;
	struct pl_wire_scan scans[4];
};

static inline void advance(uint64_t ms)
{
	test_now_ns += ms * MS;
	test_wall_ns += ms * MS;
}

/* One appliance, 100 ms to the first retry, a second to the deadline; the test's clock. */
static inline int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	PL_CHECK(w != NULL);
	snprintf(w->dir, sizeof(w->dir), "/tmp/pl-client-XXXXXX");
	PL_CHECK(mkdtemp(w->dir) != NULL);
	snprintf(w->state_path, sizeof(w->state_path), "%s/counter", w->dir);
	fake_open(&w->appliances[0], AF_INET);
	fake_open(&w->appliances[1], AF_INET6);
	test_now_ns = 1000000 * MS;
	test_wall_ns = 1639364400000 * MS;
	pl_client_conf_default(&w->conf);
	w->conf.gateway_id = FAKE_GATEWAY;
	w->conf.key_epoch = FAKE_EPOCH;
	memcpy(w->conf.root, fake_root, sizeof(fake_root));
	w->conf.state_path = w->state_path;
	w->conf.addrs[0] = w->appliances[0].addr;
	w->conf.addrs[1] = w->appliances[1].addr;
	w->conf.addr_cnt = 1;
	w->conf.clock.monotonic_ns = fake_monotonic;
	w->conf.clock.wall_ns = fake_wall;
	for (uint32_t i = 0; i < 4; i++)
		w->scans[i] = (struct pl_wire_scan){
			.cert_id = 100 + i,
			.shown_at = 1639364400,
			.venue_id = PL_VENUE(1, 5),
			.scan_id = 1000 + i,
			.tag = {1, 2, 3},
		};
	*state = w;
	return 0;
}

static inline int teardown(void **state)
{
	struct world *w = *state;

	pl_client_destroy(w->client);
	fake_close(&w->appliances[0]);
	fake_close(&w->appliances[1]);
	unlink(w->state_path);
	rmdir(w->dir);
	free(w);
	return 0;
}

static inline void start(struct world *w)
{
	char error[256] = "";
	int rc = pl_client_create(&w->conf, &w->client, error, sizeof(error));

	if (rc != 0)
		fail_msg("create: %d %s", rc, error);
}

static inline struct pl_client_stats stats_of(const struct world *w)
{
	struct pl_client_stats s;

	pl_client_stats_get(w->client, &s);
	return s;
}

static inline void submit(struct world *w, uint32_t scan_cnt, uintptr_t cookie)
{
	assert_int_equal(pl_client_submit(w->client, w->scans, scan_cnt, (void *)cookie), 0);
}

/* Whether there is a result now, without any waiting. */
static inline bool poll_one(struct world *w, struct pl_client_result *r)
{
	return pl_client_poll(w->client, r, 1, 0) == 1;
}

static inline void no_result(struct world *w)
{
	struct pl_client_result r;

	assert_false(poll_one(w, &r));
}

/* Let time pass in steps of a millisecond until there is a result. */
static inline struct pl_client_result run_to_result(struct world *w, uint32_t ms_max)
{
	struct pl_client_result r;

	for (uint32_t ms = 0; ms <= ms_max; ms++) {
		if (poll_one(w, &r))
			return r;
		advance(1);
	}
	fail_msg("no result within %u ms", ms_max);
	abort();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
