/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules and keys change under workers that verify: each burst is judged by one view, whole, and a
 * view is freed only when nobody reads it. Views and grace periods are as in app/passline/view.h,
 * with plain atomics in the place of rte_rcu_qsbr. */
#include "verify_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define WORKER_CNT 2u
#define CHANGES    1000u
#define SCAN_CNT   12u /* of A and of B in turn */

/* One view with what it leads to, so that freeing it shows. */
struct view {
	struct pl_view view;
	struct pl_token_keys token_keys;
	struct pl_policy policy;
};

struct worker {
	struct fx fx;
	alignas(PL_CACHE_LINE) _Atomic(struct view *) current;
	_Atomic uint64_t published; /* control: changes so far */
	_Atomic uint64_t passed;    /* worker: holds no view older than this change */
	_Atomic bool stop;
	uint64_t bursts[2], mixed;
};

/* Set 0 has token key FX_KEY_EPOCH and takes primary series alone; set 1 the next key and boosters. */
static struct view *view_make(const struct fx *fx, uint32_t set)
{
	static const uint32_t kinds[2] = {PL_CERT_PRIMARY, PL_CERT_BOOSTER};
	struct view *v = malloc(sizeof(*v));

	assert_non_null(v);
	v->view = fx->view;
	v->token_keys = fx->token_keys;
	v->policy = fx->policy;
	v->view.token_keys = &v->token_keys;
	v->view.policy = &v->policy;
	v->view.generation = set;
	v->token_keys.held[set == 0 ? FX_NEXT_EPOCH : FX_KEY_EPOCH] = 0;
	for (uint32_t i = 0; i < v->policy.profile_cnt; i++)
		for (uint32_t k = 0; k < PL_POLICY_KIND_CNT; k++)
			v->policy.profiles[i].rules[k] = (struct pl_policy_rule){
				.accept = k == kinds[set] ? PL_POLICY_ACCEPT : PL_POLICY_REJECT,
				.from_days = PL_POLICY_DAYS_EVER,
				.to_days = PL_POLICY_DAYS_ANY,
			};
	return v;
}

static void view_free(struct view *v)
{
	memset(v, 0xa5, sizeof(*v)); /* a worker that still read it would judge strangely */
	free(v);
}

/* The verdicts that one set gives to certificates of that set, and of the other. */
static bool judged_by(uint8_t *data, uint32_t set)
{
	for (uint32_t i = 0; i < SCAN_CNT; i++) {
		uint32_t code =
			pl_le32_get(pl_wire_rep_verdicts(data) + i * PL_WIRE_VERDICT_SIZE) & 0xff;

		if (code != (i % 2 == set ? PL_V_PASS : PL_V_NO_KEY))
			return false;
	}
	return true;
}

static void one_burst(struct worker *w, const struct pl_wire_scan *scans, const struct view *v)
{
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	struct pl_verify_item it = {.data = data};
	struct pl_wire_rep_hdr hdr;
	struct pl_wire_rep_head head;

	it.request_size = fx_request(&w->fx, data, scans, SCAN_CNT);
	if (pl_verify_burst(w->fx.verify, &v->view, &w->fx.now, &it, 1) != 1 ||
	    !fx_reply(&w->fx, data, it.reply_size, &hdr, &head) ||
	    !judged_by(data, (uint32_t)v->view.generation))
		w->mixed++;
	else
		w->bursts[v->view.generation]++;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct pl_wire_scan scans[SCAN_CNT];

	for (uint32_t i = 0; i < SCAN_CNT; i++) {
		struct pl_cert c = fx_cert_valid(900 + i);

		c.kind = i % 2 == 0 ? PL_CERT_PRIMARY : PL_CERT_BOOSTER;
		c.key_epoch = i % 2 == 0 ? FX_KEY_EPOCH : FX_NEXT_EPOCH;
		scans[i] = fx_scan(&w->fx, &c, FX_NOW_S, i);
		fx_cert(&w->fx, &c);
	}
	/* relaxed: a flag to end soon. */
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		/* VS-SEEN acquire: the view loaded after it is of this change at least. Pairs:
		 * VS-PUB. */
		uint64_t change = atomic_load_explicit(&w->published, memory_order_acquire);
		const struct view *v;

		/* VS-PASS release: reads of older views are done. Pairs: VS-REAP. */
		atomic_store_explicit(&w->passed, change, memory_order_release);
		/* VS-GET acquire: *v is complete. Pairs: VS-SET. */
		v = atomic_load_explicit(&w->current, memory_order_acquire);
		one_burst(w, scans, v);
	}
	/* VS-PASS release: as above, for good. */
	atomic_store_explicit(&w->passed, UINT64_MAX, memory_order_release);
	return NULL;
}

static void change(struct worker *w, uint64_t n)
{
	struct view *old = atomic_load_explicit(&w->current, memory_order_relaxed); /* own */

	/* VS-SET release: pairs VS-GET. */
	atomic_store_explicit(&w->current, view_make(&w->fx, n % 2), memory_order_release);
	/* VS-PUB release: after VS-SET. Pairs: VS-SEEN. */
	atomic_store_explicit(&w->published, n, memory_order_release);
	/* VS-REAP acquire: pairs VS-PASS. */
	while (atomic_load_explicit(&w->passed, memory_order_acquire) < n)
		sched_yield();
	view_free(old);
}

static void test_no_burst_mixes_two_views(void **state)
{
	static struct worker workers[WORKER_CNT];
	pthread_t threads[WORKER_CNT];

	(void)state;
	for (uint32_t i = 0; i < WORKER_CNT; i++) {
		struct worker *w = &workers[i];

		fx_open(&w->fx, (struct fx_engines){.seal = PL_SEAL_AUTO, .token = -1});
		atomic_init(&w->current, view_make(&w->fx, 0));
		atomic_init(&w->published, 0);
		atomic_init(&w->passed, 0);
		atomic_init(&w->stop, false);
		assert_int_equal(pthread_create(&threads[i], NULL, worker_main, w), 0);
	}
	for (uint64_t n = 1; n <= CHANGES; n++)
		for (uint32_t i = 0; i < WORKER_CNT; i++)
			change(&workers[i], n);
	for (uint32_t i = 0; i < WORKER_CNT; i++) {
		struct worker *w = &workers[i];

		atomic_store_explicit(&w->stop, true, memory_order_relaxed); /* see above */
		pthread_join(threads[i], NULL);
		assert_int_equal(w->mixed, 0);
		assert_true(w->bursts[0] > 0 && w->bursts[1] > 0);
		view_free(atomic_load_explicit(&w->current, memory_order_relaxed));
		fx_close(&w->fx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_burst_mixes_two_views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
