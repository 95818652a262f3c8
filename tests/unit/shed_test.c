/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is told to come back: the rule against a model of a worker with its receive queue, in which time
 * is counted and not measured. What becomes of the datagrams is in verify_shed_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>

#include "verify/pl_shed.h"
#include "verify/pl_verify.h"

#define HZ              1000000000u
#define TURN_TICKS      100000u /* a worker's chores */
#define TURNS_A_SECOND  (HZ / TURN_TICKS)
#define SLICES          5u
#define SLICE_TICKS     (TURN_TICKS / SLICES)
#define SLICES_A_SECOND (TURNS_A_SECOND * SLICES)
#define GATEWAYS        12u
#define QUEUE_MAX       1024u

/* What a datagram costs the worker of the model, in ticks: with its scan (below), with BUSY, dropped unopened
 * and opened, not ours; and what each burst costs. */
#define UNIT_TICKS   200u
#define BUSY_TICKS   600u
#define BURST_TICKS  1600u
#define DROP_TICKS   120u
#define OPENED_TICKS 360u
#define ALIEN_TICKS  400u
#define ALIEN        GATEWAYS /* who sends what no key opens */
#define SCANS        1u
#define FULL_TICKS   (UNIT_TICKS * (PL_SHED_DATAGRAM_UNITS + SCANS))
#define CAPACITY     (HZ / FULL_TICKS) /* datagrams a second */

struct counts {
	uint64_t sent, lost, answered, busy, dropped;
};

struct model {
	struct pl_shed shed;
	struct pl_shed_load load;
	double rate[GATEWAYS + 1]; /* datagrams a second */
	double owed;
	uint64_t rng;
	struct pl_gateway_counters gateways[GATEWAYS];
	struct counts counts[GATEWAYS + 1];
	uint32_t shares[GATEWAYS];
	uint8_t queue[QUEUE_MAX];
	uint32_t queue_at, queue_cnt;
	uint64_t worked_ticks; /* of the next slice, already */
	uint32_t burst_max;
	uint32_t burst_ticks;
	bool waited;
	bool on;
};

static struct model *model_new(void)
{
	struct model *m = aligned_alloc(PL_CACHE_LINE, sizeof(*m));

	assert_non_null(m);
	memset(m, 0, sizeof(*m));
	pl_shed_init(&m->shed, HZ);
	m->burst_max = 64;
	m->burst_ticks = BURST_TICKS;
	m->on = true;
	m->load.tick = 1;
	m->load.wall_ms = 1;
	m->load.gateways = m->gateways;
	m->load.shares = m->shares;
	for (uint32_t i = 0; i < GATEWAYS; i++)
		m->shares[i] = i;
	return m;
}

static uint64_t model_serve(struct model *m, uint32_t from)
{
	struct counts *c = &m->counts[from];

	if (from == ALIEN)
		return ALIEN_TICKS;
	if (m->shed.limited_cnt != 0 && pl_shed_drops(&m->shed, m->shares[from], m->load.tick)) {
		c->dropped++;
		return DROP_TICKS;
	}
	switch (m->shed.watching ? pl_shed_ask(&m->shed, m->shares[from], SCANS, m->load.tick)
				 : PL_SHED_ADMIT) {
	case PL_SHED_BUSY:
		c->busy++;
		return BUSY_TICKS;
	case PL_SHED_DROP:
		c->dropped++;
		return OPENED_TICKS;
	case PL_SHED_ADMIT:
	default:
		break;
	}
	m->gateways[from].seen_ms = m->load.wall_ms;
	c->answered++;
	return FULL_TICKS;
}

static void model_arrive_one(struct model *m, uint32_t from)
{
	m->counts[from].sent++;
	if (m->queue_cnt == QUEUE_MAX)
		m->counts[from].lost++;
	else
		m->queue[(m->queue_at + m->queue_cnt++) % QUEUE_MAX] = (uint8_t)from;
}

/* What arrives in a slice of a turn, by chance in the order of the wire. */
static void model_arrive(struct model *m)
{
	double sum = 0;

	for (uint32_t i = 0; i <= GATEWAYS; i++)
		sum += m->rate[i];
	for (m->owed += sum / SLICES_A_SECOND; m->owed >= 1; m->owed -= 1) {
		uint32_t from = 0;
		double at;

		m->rng += 0x9e3779b97f4a7c15u;
		at = (double)(pl_mix64(m->rng) >> 11) / 0x1p53 * sum;
		while (at >= m->rate[from] && from < GATEWAYS)
			at -= m->rate[from++];
		model_arrive_one(m, from);
	}
}

/* A slice's time of work, a burst at a time, less what the last burst of the slice before took beyond its
 * end. */
static void model_work(struct model *m)
{
	while (m->worked_ticks < SLICE_TICKS && m->queue_cnt != 0) {
		uint32_t cnt = m->queue_cnt < m->burst_max ? m->queue_cnt : m->burst_max;

		pl_shed_burst(&m->shed, cnt, m->waited);
		m->waited = false;
		m->load.rx_cnt += cnt;
		m->worked_ticks += m->burst_ticks;
		for (; cnt > 0; cnt--) {
			m->worked_ticks += model_serve(m, m->queue[m->queue_at]);
			m->queue_at = (m->queue_at + 1) % QUEUE_MAX;
			m->queue_cnt--;
		}
	}
	if (m->worked_ticks < SLICE_TICKS) {
		m->load.busy_ticks += m->worked_ticks;
		m->load.idle_ticks += SLICE_TICKS - m->worked_ticks;
		m->worked_ticks = 0;
		m->waited = true;
	} else {
		m->load.busy_ticks += SLICE_TICKS;
		m->worked_ticks -= SLICE_TICKS;
	}
	m->load.tick += SLICE_TICKS;
	m->load.wall_ms = 1 + m->load.tick / (HZ / 1000);
}

static void model_turn(struct model *m)
{
	for (uint32_t i = 0; i < SLICES; i++) {
		model_arrive(m);
		model_work(m);
	}
	pl_shed_renew(&m->shed, &m->load, GATEWAYS, m->on);
}

static void model_run(struct model *m, double seconds)
{
	memset(m->counts, 0, sizeof(m->counts));
	for (uint32_t i = 0; i < (uint32_t)(seconds * TURNS_A_SECOND); i++)
		model_turn(m);
}

static double share(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (double)part / (double)whole;
}

static void assert_unharmed(const struct model *m, uint32_t idx)
{
	const struct counts *c = &m->counts[idx];

	if (c->lost + c->busy + c->dropped > c->sent / 1000)
		fail_msg("gateway %u: of %" PRIu64 " datagrams %" PRIu64 " lost, %" PRIu64
			 " busy, %" PRIu64 " dropped",
			 idx, c->sent, c->lost, c->busy, c->dropped);
}

static void assert_nobody_limited(const struct model *m)
{
	assert_int_equal(m->shed.limited_cnt, 0);
	for (uint32_t i = 0; i < GATEWAYS; i++) {
		assert_int_equal(m->counts[i].busy, 0);
		assert_int_equal(m->counts[i].dropped, 0);
	}
}

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
		{4, 19,  1,   1},
                {4, 4.5, 0.5, 1},
                {2, 19,  1,   1},
                {4, 2.5, 7.5, 1},
		{4, 300, 700, 1},
                {4, 25,  35,  1},
                {4, 40,  0,   4},
                {4, 20,  0,   4},
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
		cmocka_unit_test(test_a_platform_of_many_gateways_has_one_share),
		cmocka_unit_test(test_a_platform_is_one_of_those_who_share),
		cmocka_unit_test(test_new_shares_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
