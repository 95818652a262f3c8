/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is told to come back: the rule against a model of a worker with its receive queue, in which time
 * is counted and not measured. What becomes of the datagrams is in verify_shed_test.c. */
#include "shed_model.h"

static void test_nobody_is_watched_while_there_is_time(void **state)
{
	struct model *m = model_new();

	(void)state;
	m->rate[0] = 0.7 * CAPACITY;
	m->rate[1] = 0.1 * CAPACITY;
	for (uint32_t i = 0; i < TURNS_A_SECOND; i++) {
		model_turn(m);
		assert_false(m->shed.watching);
	}
	assert_nobody_limited(m);
	/* Small bursts cost more each: hardly any time to spare is not yet too much work. */
	m->rate[0] = 0.5 * CAPACITY;
	m->burst_ticks = 10 * BURST_TICKS;
	m->load.busy_ticks = 0;
	m->load.idle_ticks = 0;
	memset(&m->shed, 0, sizeof(m->shed));
	pl_shed_init(&m->shed, HZ);
	m->shed.burst_most = m->burst_max; /* there were full ones before */
	for (uint32_t i = 0; i < TURNS_A_SECOND; i++) {
		model_turn(m);
		assert_false(m->shed.watching);
	}
	assert_true(m->load.idle_ticks * 64 < m->load.busy_ticks);
	free(m);
}

/* A heap of work that is soon over, now and then, is no surge. */
static void test_a_moment_is_no_surge(void **state)
{
	struct model *m = model_new();

	(void)state;
	for (uint32_t k = 0; k < 5; k++) {
		m->rate[0] = 2 * CAPACITY;
		m->rate[1] = 0.1 * CAPACITY;
		model_run(m, (PL_SHED_HEAVY_WINDOWS - 1) * PL_SHED_WINDOW_MS / 1e3);
		m->rate[0] = 0.1 * CAPACITY;
		model_run(m, 2.0 * PL_SHED_HEAVY_WINDOWS * PL_SHED_FORGET_WINDOWS *
				     PL_SHED_WINDOW_MS / 1e3);
	}
	assert_nobody_limited(m);
	free(m);
}

/* What it is for: however great one's surge, the others' datagrams are answered, and it gets what they leave. */
static void test_a_surge_harms_nobody_else(void **state)
{
	static const double surges[] = {1.2, 4, 6};

	(void)state;
	for (uint32_t k = 0; k < PL_ARRAY_CNT(surges); k++) {
		struct model *m = model_new();
		double others = 0;

		for (uint32_t i = 1; i < GATEWAYS; i++)
			m->rate[i] = 0.01 * i / GATEWAYS * CAPACITY;
		m->rate[0] = surges[k] * CAPACITY;
		m->burst_max = 16u << k; /* what ports give at a time, from the least that sheds */
		model_run(m, 1.5);
		if (m->shed.limited_cnt != 1 || m->shed.limits[0].work_due == 0)
			fail_msg("a surge of %.1f: %u limited", surges[k], m->shed.limited_cnt);
		model_run(m, 2.0);
		for (uint32_t i = 1; i < GATEWAYS; i++) {
			assert_unharmed(m, i);
			others += m->rate[i];
		}
		/* What is not answered is dropped for the price of dropping. */
		if (share(m->counts[0].answered, 2 * CAPACITY) <
		    0.6 * (1 - others / CAPACITY - surges[k] * DROP_TICKS / FULL_TICKS - 0.2))
			fail_msg("a surge of %.1f: %.3f of the worker for the surging one",
				 surges[k], share(m->counts[0].answered, 2 * CAPACITY));
		free(m);
	}
}

/* Pauses in a surge, or gateways that take turns in it, do not hide it. */
static void test_pauses_do_not_hide_a_surge(void **state)
{
	static const struct {
		double times, on_ms, off_ms;
		uint32_t gateways;
	} surges[] = {
		{4, 19, 1, 1},    {4, 4.5, 0.5, 1}, {2, 19, 1, 1}, {4, 2.5, 7.5, 1},
		{4, 300, 700, 1}, {4, 25, 35, 1},   {4, 40, 0, 4}, {4, 20, 0, 4},
	};

	(void)state;
	for (uint32_t k = 0; k < PL_ARRAY_CNT(surges); k++) {
		struct model *m = model_new();
		uint64_t sent = 0, harmed = 0;

		for (uint32_t i = 4; i < GATEWAYS; i++)
			m->rate[i] = 0.006 * CAPACITY;
		for (double ms = 0; ms < 2400;) {
			uint32_t turn = (uint32_t)(ms / (surges[k].on_ms + surges[k].off_ms));
			uint32_t from = turn % surges[k].gateways;

			m->rate[from] = surges[k].times * CAPACITY;
			model_run(m, surges[k].on_ms / 1e3);
			m->rate[from] = 0;
			for (uint32_t i = 4; i < GATEWAYS && ms > 1400; i++) {
				sent += m->counts[i].sent;
				harmed += m->counts[i].lost + m->counts[i].busy +
					  m->counts[i].dropped;
			}
			model_run(m, surges[k].off_ms / 1e3);
			ms += surges[k].on_ms + surges[k].off_ms;
		}
		if (share(harmed, sent) > 0.05)
			fail_msg("%.1f times for %.1f of %.1f ms: %.3f of the others' harmed",
				 surges[k].times, surges[k].on_ms,
				 surges[k].on_ms + surges[k].off_ms, share(harmed, sent));
		free(m);
	}
}

/* Without it they are: the model is one in which a surge does harm. */
static void test_without_it_a_surge_harms_all(void **state)
{
	struct model *m = model_new();

	(void)state;
	m->on = false;
	m->rate[0] = 4 * CAPACITY;
	m->rate[1] = 0.02 * CAPACITY;
	model_run(m, 3.0);
	assert_nobody_limited(m);
	assert_false(m->shed.watching);
	assert_true(share(m->counts[1].lost, m->counts[1].sent) > 0.5);
	free(m);
}

/* When there is no helping, as most of the time goes by with dropping: those who ask for little are still
 * not limited, and who surges still gets as much as they may have. */
static void test_beyond_help_nobody_else_is_limited(void **state)
{
	struct model *m = model_new();

	(void)state;
	for (uint32_t i = 1; i < GATEWAYS; i++)
		m->rate[i] = 0.012 * CAPACITY;
	m->rate[1] = 0.06 * CAPACITY;
	m->rate[0] = 10 * CAPACITY;
	model_run(m, 3.0);
	model_run(m, 1.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	assert_true(m->counts[1].lost != 0);
	assert_true(share(m->counts[0].answered, CAPACITY) > 0.01);
	free(m);
}

/* What becomes free is given to who asks for it. */
static void test_a_limit_rises_when_there_is_room(void **state)
{
	struct model *m = model_new();

	(void)state;
	m->rate[0] = 1.5 * CAPACITY;
	m->rate[1] = 1.5 * CAPACITY;
	for (uint32_t i = 2; i < GATEWAYS; i++)
		m->rate[i] = 0.01 * CAPACITY;
	model_run(m, 2.0);
	model_run(m, 1.0);
	assert_int_equal(m->shed.limited_cnt, 2);
	assert_true(share(m->counts[0].answered, CAPACITY) < 0.4);
	m->rate[1] = 0;
	model_run(m, 2.0);
	model_run(m, 1.0);
	assert_true(share(m->counts[0].answered, CAPACITY) > 0.55);
	assert_unharmed(m, 2);
	free(m);
}

/* Two that surge get the same, whatever they ask for. */
static void test_those_who_surge_get_the_same(void **state)
{
	struct model *m = model_new();

	(void)state;
	m->rate[0] = 1 * CAPACITY;
	m->rate[1] = 2 * CAPACITY;
	for (uint32_t i = 2; i < GATEWAYS; i++)
		m->rate[i] = 0.02 * CAPACITY;
	model_run(m, 3.0);
	model_run(m, 2.0);
	assert_int_equal(m->shed.limited_cnt, 2);
	for (uint32_t i = 2; i < GATEWAYS; i++)
		assert_unharmed(m, i);
	assert_true(share(m->counts[0].answered, m->counts[1].answered) > 0.9);
	assert_true(share(m->counts[0].answered, m->counts[1].answered) < 1.1);
	free(m);
}

/* All of them at once is no one's surge, nor is one who is alone. */
static void test_equals_are_not_limited(void **state)
{
	struct model *m = model_new();

	(void)state;
	for (uint32_t i = 0; i < GATEWAYS; i++)
		m->rate[i] = (i % 2 == 0 ? 0.20 : 0.18) * CAPACITY;
	model_run(m, 3.0);
	assert_true(m->shed.watching);
	assert_nobody_limited(m);
	free(m);
	m = model_new();
	m->rate[5] = 3 * CAPACITY;
	model_run(m, 2.0);
	assert_true(m->shed.watching);
	assert_nobody_limited(m);
	/* Nor by one who was heard in an hour to come, where the clock was put back. */
	m->gateways[6].seen_ms = m->load.wall_ms + 3600000;
	model_run(m, 1.0);
	assert_nobody_limited(m);
	m->gateways[6].seen_ms = 0;
	/* Until there is another to harm, however little it sends: what arrives of it in a window of
	 * 50 ms is nothing mostly. */
	m->rate[6] = 10;
	model_run(m, 2.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	model_run(m, 3.0);
	assert_unharmed(m, 6);
	free(m);
}

/* A flood that no key opens is nobody's surge: who sends most of the rest is not to blame. */
static void test_a_flood_of_strangers_limits_nobody(void **state)
{
	struct model *m = model_new();
	uint64_t before;

	(void)state;
	m->rate[ALIEN] = 4 * CAPACITY;
	m->rate[0] = 0.5 * CAPACITY;
	m->rate[1] = 0.01 * CAPACITY;
	model_run(m, 3.0);
	assert_nobody_limited(m);
	/* Nor is one held down by it who was limited before it came: the limit goes up. */
	m->rate[ALIEN] = 0;
	m->rate[0] = 2 * CAPACITY;
	model_run(m, 2.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	before = m->shed.units_per_s;
	m->rate[ALIEN] = 4 * CAPACITY;
	model_run(m, 1.0);
	assert_true(m->shed.units_per_s > before);
	assert_true(m->shed.units_per_s <= m->shed.peak_units_per_s);
	m->rate[0] = 0.5 * CAPACITY;
	model_run(m, 2.0);
	model_run(m, 1.0);
	assert_int_equal(m->counts[0].busy + m->counts[0].dropped, 0);
	free(m);
}

static void test_after_the_surge_all_is_as_before(void **state)
{
	struct model *m = model_new();

	(void)state;
	m->rate[0] = 1.3 * CAPACITY;
	m->rate[1] = 0.02 * CAPACITY;
	model_run(m, 2.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	/* However long it lasts. */
	model_run(m, (PL_SHED_CALM_WINDOWS + 5) * PL_SHED_WINDOW_MS / 1e3);
	assert_int_equal(m->shed.limited_cnt, 1);
	assert_unharmed(m, 1);
	m->rate[0] = 0.3 * CAPACITY;
	model_run(m, (PL_SHED_CALM_WINDOWS + 5) * PL_SHED_WINDOW_MS / 1e3);
	assert_int_equal(m->shed.limited_cnt, 0);
	model_run(m, 1.0);
	assert_false(m->shed.watching);
	assert_unharmed(m, 0);
	assert_unharmed(m, 1);
	for (uint32_t i = 0; i < PL_GATEWAY_MAX; i++)
		assert_true(m->shed.limits[i].work_due == 0 && m->shed.notes[i].units == 0);
	free(m);
}

/* What was counted while the worker stood still is no rate: it would be next to none, and a limit after it. */
static void test_a_standstill_tells_nothing(void **state)
{
	struct model *m = model_new();

	(void)state;
	m->rate[0] = 4 * CAPACITY;
	m->rate[1] = 0.02 * CAPACITY;
	for (uint32_t k = 0; k < 40; k++) {
		model_run(m, PL_SHED_WINDOW_MS / 1e3 / 2);
		m->load.tick += HZ;
		m->load.busy_ticks += HZ;
	}
	assert_nobody_limited(m);
	model_run(m, 0.5);
	assert_int_equal(m->shed.limited_cnt, 1);
	m->load.tick += 60 * (uint64_t)HZ;
	m->load.busy_ticks += 60 * (uint64_t)HZ;
	model_run(m, 0.1);
	assert_true(share(m->counts[0].answered, CAPACITY / 10) > 0.2);
	free(m);
}

/* Switched off, everybody goes at once; on again, it begins anew. */
static void test_switched_off_it_lets_all_go(void **state)
{
	struct model *m = model_new();

	(void)state;
	m->rate[0] = 4 * CAPACITY;
	m->rate[1] = 0.02 * CAPACITY;
	model_run(m, 2.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	m->on = false;
	model_turn(m);
	model_run(m, 0.5);
	assert_nobody_limited(m);
	assert_false(m->shed.watching);
	m->on = true;
	model_run(m, 2.0);
	assert_int_equal(m->shed.limited_cnt, 1);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_is_watched_while_there_is_time),
		cmocka_unit_test(test_a_moment_is_no_surge),
		cmocka_unit_test(test_a_surge_harms_nobody_else),
		cmocka_unit_test(test_pauses_do_not_hide_a_surge),
		cmocka_unit_test(test_without_it_a_surge_harms_all),
		cmocka_unit_test(test_beyond_help_nobody_else_is_limited),
		cmocka_unit_test(test_a_limit_rises_when_there_is_room),
		cmocka_unit_test(test_those_who_surge_get_the_same),
		cmocka_unit_test(test_equals_are_not_limited),
		cmocka_unit_test(test_a_flood_of_strangers_limits_nobody),
		cmocka_unit_test(test_after_the_surge_all_is_as_before),
		cmocka_unit_test(test_a_standstill_tells_nothing),
		cmocka_unit_test(test_switched_off_it_lets_all_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
