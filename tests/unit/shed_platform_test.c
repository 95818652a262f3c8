/* SPDX-License-Identifier: BSD-3-Clause */
/* Gateways of one platform have one share together: the rule against the model of a worker. */
#include "shed_model.h"

/* The first cnt gateways are one platform. */
static void platform_make(struct model *m, uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++)
		m->shares[i] = 0;
	m->load.share_serial++;
}

/* Many gateways are not many shares: none of them asks for more than any other one does. */
static void test_a_platform_of_many_gateways_has_one_share(void **state)
{
	struct model *m = model_new();
	uint64_t answered = 0;

	(void)state;
	for (uint32_t i = 0; i < GATEWAYS; i++)
		m->rate[i] = 0.12 * CAPACITY;
	model_run(m, 2.0);
	assert_nobody_limited(m);
	assert_true(share(m->counts[GATEWAYS - 1].lost, m->counts[GATEWAYS - 1].sent) > 0.2);
	platform_make(m, 9);
	model_run(m, 2.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	model_run(m, 2.0);
	for (uint32_t i = 0; i < 9; i++)
		answered += m->counts[i].answered;
	for (uint32_t i = 9; i < GATEWAYS; i++)
		assert_unharmed(m, i);
	assert_true(share(answered, 2 * CAPACITY) > 0.35);
	free(m);
}

/* Nor do they make the shares of others smaller, by being heard. */
static void test_a_platform_is_one_of_those_who_share(void **state)
{
	struct model *m = model_new();

	(void)state;
	platform_make(m, 9);
	for (uint32_t i = 0; i < 9; i++)
		m->rate[i] = 0.001 * CAPACITY;
	m->rate[9] = 0.25 * CAPACITY;
	m->rate[10] = 1.5 * CAPACITY;
	model_run(m, 2.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	model_run(m, 1.0);
	assert_true(m->shed.limits[10].work_due != 0);
	for (uint32_t i = 0; i < 10; i++)
		assert_unharmed(m, i);
	free(m);
	/* Of which any one was heard lately it is there, and no longer than that: two windows are not enough
	 * to limit who is then alone. */
	m = model_new();
	platform_make(m, 9);
	m->load.tick = 20 * (uint64_t)HZ;
	m->rate[10] = 1.5 * CAPACITY;
	model_run(m, 0.1);
	assert_true(m->shed.watching);
	m->gateways[4].seen_ms = m->load.wall_ms - PL_SHED_HEARD_MS + 2 * PL_SHED_WINDOW_MS - 1;
	model_run(m, 1.0);
	assert_nobody_limited(m);
	m->gateways[4].seen_ms = m->load.wall_ms;
	model_run(m, 1.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	free(m);
}

/* Notes of shares that were others' are no one's: all begins anew, and is soon as it should be. */
static void test_new_shares_begin_anew(void **state)
{
	struct model *m = model_new();

	(void)state;
	m->rate[0] = 3 * CAPACITY;
	for (uint32_t i = 1; i < GATEWAYS; i++)
		m->rate[i] = 0.01 * CAPACITY;
	model_run(m, 1.0);
	assert_true(m->shed.limits[0].work_due != 0);
	/* From now on it is of gateway 1's share, and the share that was its is nobody's. */
	m->shares[0] = 1;
	m->load.share_serial++;
	model_turn(m);
	assert_int_equal(m->shed.limited_cnt, 0);
	model_run(m, 1.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	assert_true(m->shed.limits[0].work_due == 0);
	assert_true(m->shed.limits[1].work_due != 0);
	model_run(m, 1.0);
	for (uint32_t i = 2; i < GATEWAYS; i++)
		assert_unharmed(m, i);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_platform_of_many_gateways_has_one_share),
		cmocka_unit_test(test_a_platform_is_one_of_those_who_share),
		cmocka_unit_test(test_new_shares_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
