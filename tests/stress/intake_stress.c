/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three sources that bring the same chain at once, each all of it, while a fourth thread looks at the status and a
 * fifth applies: every segment is stored once and held otherwise, and what is shown never goes back.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../unit/intake_fixture.h"

#define ROUNDS 20u

static bool done; /* by __atomic: a test's own flag */
static uint64_t stored_cnt;

static void *bring(void *ctx)
{
	enum pl_intake_source source = (enum pl_intake_source)(uintptr_t)ctx;

	for (uint32_t i = 0; i < SEGMENTS_MAX;) {
		struct pl_intake_answer a;

		switch (pl_intake_submit(fx.in, fx.segments[i].data, fx.segments[i].size, source,
					 &a)) {
		case PL_INTAKE_STORED:
			__atomic_add_fetch(&stored_cnt, 1, __ATOMIC_SEQ_CST);
			i++;
			break;
		case PL_INTAKE_HELD:
			i++;
			break;
		default:
			PL_CHECK(false && "neither stored nor held");
		}
	}
	return NULL;
}

static void *watch(void *ctx)
{
	struct pl_intake_status s;
	uint64_t sequence = 0, applied = 0;

	(void)ctx;
	while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) {
		pl_intake_status_get(fx.in, &s);
		PL_CHECK(s.pos.sequence >= sequence && s.applied >= applied);
		PL_CHECK(!s.behind && !s.broken && !s.unstored);
		sequence = s.pos.sequence;
		applied = s.applied;
		(void)pl_intake_delay_ms(fx.in);
	}
	return NULL;
}

static void *apply(void *ctx)
{
	struct pl_intake_status s;

	(void)ctx;
	do {
		pl_intake_status_get(fx.in, &s);
		pl_intake_applied_set(fx.in, s.pos.sequence);
	} while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST));
	return NULL;
}

static void test_sources_that_bring_the_same(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		pthread_t sources[PL_INTAKE_SOURCE_CNT], watcher, applier;
		struct pl_intake_status s;
		uint64_t sum = 0;

		done = false;
		stored_cnt = 0;
		PL_CHECK(pthread_create(&watcher, NULL, watch, NULL) == 0);
		PL_CHECK(pthread_create(&applier, NULL, apply, NULL) == 0);
		for (uintptr_t i = 0; i < PL_INTAKE_SOURCE_CNT; i++)
			PL_CHECK(pthread_create(&sources[i], NULL, bring, (void *)i) == 0);
		for (uint32_t i = 0; i < PL_INTAKE_SOURCE_CNT; i++)
			pthread_join(sources[i], NULL);
		__atomic_store_n(&done, true, __ATOMIC_SEQ_CST);
		pthread_join(watcher, NULL);
		pthread_join(applier, NULL);
		assert_int_equal(stored_cnt, SEGMENTS_MAX);
		pl_intake_status_get(fx.in, &s);
		for (uint32_t i = 0; i < PL_INTAKE_SOURCE_CNT; i++)
			sum += s.stored[i] + s.held[i];
		assert_int_equal(sum, PL_INTAKE_SOURCE_CNT * SEGMENTS_MAX);
		assert_memory_equal(&s.pos, &fx.ends[SEGMENTS_MAX], sizeof(s.pos));
		pl_intake_close(fx.in);
		remove_all(fx.store);
		assert_int_equal(open_intake(0), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sources_that_bring_the_same, set_up,
						tear_down),
	};

	return cmocka_run_group_tests_name("intake_stress", tests, NULL, NULL);
}
