/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker renews its view while control replaces it at the worst moments. What a race of threads
 * would meet once in millions is made to happen: control acts just before and just after the worker
 * reports its quiescent point.
 */
#include <rte_rcu_qsbr.h>

static void report(struct rte_rcu_qsbr *v, unsigned int thread_id);
#define rte_rcu_qsbr_quiescent report
#include "../../app/passline/view.h"
#undef rte_rcu_qsbr_quiescent

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct {
	struct pl_view_box box;
	struct pl_app_view views[2];
	uint64_t token; /* of the replacement; 0: there was none yet */
	bool before;    /* the report, or behind it */
} fx;

/* As pl_view_publish() does. */
static void replace(void)
{
	atomic_store_explicit(&fx.box.current, &fx.views[1], memory_order_release);
	fx.token = rte_rcu_qsbr_start(fx.box.qsbr);
}

static void report(struct rte_rcu_qsbr *v, unsigned int thread_id)
{
	if (fx.before && fx.token == 0)
		replace();
	rte_rcu_qsbr_quiescent(v, thread_id);
	if (!fx.before && fx.token == 0)
		replace();
}

static void open_box(bool before)
{
	size_t size = rte_rcu_qsbr_get_memsize(1);

	memset(&fx, 0, sizeof(fx));
	assert_int_equal(pthread_mutex_init(&fx.box.check_lock, NULL), 0);
	fx.before = before;
	fx.box.qsbr =
		aligned_alloc(PL_CACHE_LINE, (size + PL_CACHE_LINE - 1) & ~(PL_CACHE_LINE - 1ul));
	assert_non_null(fx.box.qsbr);
	assert_int_equal(rte_rcu_qsbr_init(fx.box.qsbr, 1), 0);
	assert_int_equal(rte_rcu_qsbr_thread_register(fx.box.qsbr, 0), 0);
	rte_rcu_qsbr_thread_online(fx.box.qsbr, 0);
	atomic_init(&fx.box.current, &fx.views[0]);
}

/* May control free the old view now? */
static bool old_is_free(void)
{
	return rte_rcu_qsbr_check(fx.box.qsbr, fx.token, false) == 1;
}

static void test_a_view_that_is_held_is_never_free(void **state)
{
	(void)state;
	for (uint32_t before = 0; before < 2; before++) {
		const struct pl_app_view *held;

		open_box(before != 0);
		held = pl_view_renew(&fx.box, 0);
		assert_true(fx.token != 0);
		assert_true(held == &fx.views[1] || !old_is_free());
		/* With the next renewal at the latest the old one goes. */
		held = pl_view_renew(&fx.box, 0);
		assert_ptr_equal(held, &fx.views[1]);
		assert_true(old_is_free());
		free(fx.box.qsbr);
	}
}

static struct {
	pthread_t thread;
	_Atomic bool stop;
	_Atomic bool done;
} waiter;

static void *wait_main(void *ctx)
{
	(void)ctx;
	pl_view_wait(&fx.box, &waiter.stop);
	atomic_store(&waiter.done, true);
	return NULL;
}

static void waiter_start(void)
{
	memset(&waiter, 0, sizeof(waiter));
	assert_int_equal(pthread_create(&waiter.thread, NULL, wait_main, NULL), 0);
	/* Long enough for one that does not wait. */
	(void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	assert_false(atomic_load(&waiter.done));
}

/* Not before the worker has been at its quiescent point, or the process is to stop. */
static void test_who_waits_comes_after_the_worker(void **state)
{
	(void)state;
	open_box(false);
	(void)pl_view_renew(&fx.box, 0);
	waiter_start();
	(void)pl_view_renew(&fx.box, 0);
	assert_int_equal(pthread_join(waiter.thread, NULL), 0);
	waiter_start();
	atomic_store(&waiter.stop, true);
	assert_int_equal(pthread_join(waiter.thread, NULL), 0);
	/* A worker that has ended keeps nobody. */
	rte_rcu_qsbr_thread_offline(fx.box.qsbr, 0);
	atomic_store(&waiter.stop, false);
	pl_view_wait(&fx.box, &waiter.stop);
	free(fx.box.qsbr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_view_that_is_held_is_never_free),
		cmocka_unit_test(test_who_waits_comes_after_the_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
