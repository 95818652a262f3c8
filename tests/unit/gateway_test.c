/* SPDX-License-Identifier: BSD-3-Clause */
/* Sets of gateways: who is found, who is refused, and whose counters are whose over reloads. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>

#include "verify/pl_gateway.h"

static int setup(void **state)
{
	struct pl_seal *s;

	assert_return_code(sodium_init(), 0);
	assert_int_equal(pl_seal_create(PL_SEAL_AUTO, &s), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	pl_seal_destroy(*state);
	return 0;
}

static struct pl_gateway_conf conf(uint32_t id, uint8_t epoch)
{
	struct pl_gateway_conf c = {.id = id, .epoch = epoch};

	memset(c.root, (int)(id + epoch), sizeof(c.root));
	return c;
}

static void test_found_by_id_and_epoch_only(void **state)
{
	const struct pl_gateway_conf confs[] = {conf(9, 1), conf(0, 0), conf(UINT32_MAX, 255),
						conf(9, 2)};
	struct pl_gateway_set *set;

	assert_int_equal(pl_gateway_set_create(*state, NULL, confs, 4, &set, NULL), 0);
	assert_int_equal(pl_gateway_cnt(set), 3);
	for (uint32_t i = 0; i < 4; i++) {
		const struct pl_gateway *g = pl_gateway_find(set, confs[i].id, confs[i].epoch);

		assert_non_null(g);
		assert_int_equal(g->id, confs[i].id);
		assert_int_equal(g->epoch, confs[i].epoch);
		assert_int_equal(pl_gateway_id(set, g->idx), confs[i].id);
	}
	/* Two epochs of one gateway count as one. */
	assert_int_equal(pl_gateway_find(set, 9, 1)->idx, pl_gateway_find(set, 9, 2)->idx);
	assert_null(pl_gateway_find(set, 9, 3));
	assert_null(pl_gateway_find(set, 8, 1));
	assert_null(pl_gateway_find(set, UINT32_MAX, 0));
	pl_gateway_set_destroy(set);
}

static void test_empty_set_finds_nobody(void **state)
{
	struct pl_gateway_set *set;

	assert_int_equal(pl_gateway_set_create(*state, NULL, NULL, 0, &set, NULL), 0);
	assert_int_equal(pl_gateway_cnt(set), 0);
	assert_null(pl_gateway_find(set, 0, 0));
	pl_gateway_set_destroy(set);
}

static void test_contradictions_are_refused_by_name(void **state)
{
	const struct pl_gateway_conf twice[] = {conf(5, 1), conf(6, 1), conf(5, 1)};
	const struct pl_gateway_conf third[] = {conf(5, 1), conf(5, 3), conf(5, 2), conf(4, 0)};
	struct pl_gateway_set *set = NULL;
	uint32_t bad = 0;

	assert_int_equal(pl_gateway_set_create(*state, NULL, twice, 3, &set, &bad), -EEXIST);
	assert_int_equal(bad, 5);
	bad = 0;
	assert_int_equal(pl_gateway_set_create(*state, NULL, third, 4, &set, &bad), -ERANGE);
	assert_int_equal(bad, 5);
	assert_null(set);
}

/* A gateway that comes, goes and comes again keeps its number, and nobody else gets it. */
static void test_idx_is_kept_from_set_to_set(void **state)
{
	const struct pl_gateway_conf one[] = {conf(7, 0), conf(30, 0)};
	const struct pl_gateway_conf two[] = {conf(5, 0), conf(30, 1)};
	const struct pl_gateway_conf three[] = {conf(7, 1), conf(5, 0), conf(6, 0)};
	struct pl_gateway_set *a, *b, *c;
	uint32_t idx7;

	assert_int_equal(pl_gateway_set_create(*state, NULL, one, 2, &a, NULL), 0);
	idx7 = pl_gateway_find(a, 7, 0)->idx;
	assert_int_equal(pl_gateway_set_create(*state, a, two, 2, &b, NULL), 0);
	assert_null(pl_gateway_find(b, 7, 0));
	assert_int_equal(pl_gateway_find(b, 30, 1)->idx, pl_gateway_find(a, 30, 0)->idx);
	assert_int_not_equal(pl_gateway_find(b, 5, 0)->idx, idx7);
	assert_int_equal(pl_gateway_id(b, idx7), 7);
	pl_gateway_set_destroy(a);
	assert_int_equal(pl_gateway_set_create(*state, b, three, 3, &c, NULL), 0);
	assert_int_equal(pl_gateway_find(c, 7, 1)->idx, idx7);
	assert_int_equal(pl_gateway_cnt(c), 4);
	pl_gateway_set_destroy(b);
	pl_gateway_set_destroy(c);
}

/* Gateways of one platform have one share: the first one's, by whatever key they come. */
static void test_a_platform_has_one_share(void **state)
{
	struct pl_gateway_conf confs[] = {conf(10, 0), conf(11, 0), conf(12, 0), conf(13, 0),
					  conf(14, 0), conf(12, 1), conf(15, 0)};
	/* By idx, which is by id here. */
	static const uint32_t alone[] = {0, 1, 2, 3, 4, 5}, shared[] = {0, 1, 0, 3, 1, 5};
	struct pl_gateway_set *set;

	assert_int_equal(pl_gateway_set_create(*state, NULL, confs, 7, &set, NULL), 0);
	assert_memory_equal(pl_gateway_shares(set), alone, sizeof(alone));
	pl_gateway_set_destroy(set);
	/* 10 and 12 under either key, 11 and 14; 13 and 15 are of none. */
	confs[0].platform = confs[2].platform = confs[5].platform = UINT32_MAX;
	confs[1].platform = confs[4].platform = 1;
	assert_int_equal(pl_gateway_set_create(*state, NULL, confs, 7, &set, NULL), 0);
	assert_memory_equal(pl_gateway_shares(set), shared, sizeof(shared));
	for (uint32_t i = 0; i < 7; i++) {
		const struct pl_gateway *g = pl_gateway_find(set, confs[i].id, confs[i].epoch);

		assert_int_equal(g->idx, confs[i].id - 10);
		assert_int_equal(g->share, shared[g->idx]);
	}
	pl_gateway_set_destroy(set);
}

/* Whoever keeps notes by share begins anew when a share is another's, and only then. */
static void test_a_share_that_moves_is_told(void **state)
{
	struct pl_gateway_conf confs[] = {conf(20, 0), conf(21, 0), conf(22, 0), conf(5, 0)};
	/* The last one without the first key, by which the share was named. */
	struct pl_gateway_set *sets[8];
	uint32_t cnts[] = {3, 3, 4, 4, 4, 2, 4, 3}, serial;

	for (uint32_t i = 0; i < PL_ARRAY_CNT(sets); i++) {
		confs[0].platform = confs[2].platform = i == 3 ? 0 : 1;
		confs[3].platform = i == 4 ? 1 : 2; /* the lowest id, and the last to come */
		assert_int_equal(pl_gateway_set_create(*state, i == 0 ? NULL : sets[i - 1],
						       confs + (i == 7), cnts[i], &sets[i], NULL),
				 0);
	}
	serial = pl_gateway_share_serial(sets[0]);
	assert_true(serial != 0);
	/* The same again; one joins. */
	assert_int_equal(pl_gateway_share_serial(sets[1]), serial);
	assert_int_equal(pl_gateway_share_serial(sets[2]), serial);
	/* No platform any more; one again, with one more. */
	assert_int_equal(pl_gateway_share_serial(sets[3]), serial + 1);
	assert_int_equal(pl_gateway_share_serial(sets[4]), serial + 2);
	assert_int_equal(pl_gateway_shares(sets[4])[3], 0);
	/* Two go, and come again: nobody who stays has another share. */
	assert_int_equal(pl_gateway_share_serial(sets[5]), serial + 2);
	assert_int_equal(pl_gateway_shares(sets[5])[2], 2);
	assert_int_equal(pl_gateway_share_serial(sets[6]), serial + 2);
	/* Without the first one it is named by another. */
	assert_int_equal(pl_gateway_share_serial(sets[7]), serial + 3);
	assert_int_equal(pl_gateway_shares(sets[7])[2], 2);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(sets); i++)
		pl_gateway_set_destroy(sets[i]);
}

static void test_as_many_as_there_is_room_for(void **state)
{
	struct pl_gateway_conf *confs = calloc(PL_GATEWAY_MAX + 1, sizeof(*confs));
	struct pl_gateway_set *set, *more = NULL;
	uint32_t bad = 0;

	assert_non_null(confs);
	for (uint32_t i = 0; i <= PL_GATEWAY_MAX; i++)
		confs[i] = conf(i * 3, 0);
	assert_int_equal(
		pl_gateway_set_create(*state, NULL, confs, PL_GATEWAY_MAX + 1, &more, &bad),
		-E2BIG);
	assert_int_equal(bad, PL_GATEWAY_MAX * 3);
	assert_int_equal(pl_gateway_set_create(*state, NULL, confs, PL_GATEWAY_MAX, &set, NULL), 0);
	for (uint32_t i = 0; i < PL_GATEWAY_MAX; i++)
		assert_int_equal(pl_gateway_find(set, i * 3, 0)->idx, i);
	/* Those that are gone still have their numbers. */
	assert_int_equal(pl_gateway_set_create(*state, set, &confs[PL_GATEWAY_MAX], 1, &more, &bad),
			 -E2BIG);
	pl_gateway_set_destroy(set);
	free(confs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_by_id_and_epoch_only),
		cmocka_unit_test(test_empty_set_finds_nobody),
		cmocka_unit_test(test_contradictions_are_refused_by_name),
		cmocka_unit_test(test_idx_is_kept_from_set_to_set),
		cmocka_unit_test(test_a_platform_has_one_share),
		cmocka_unit_test(test_a_share_that_moves_is_told),
		cmocka_unit_test(test_as_many_as_there_is_room_for),
	};

	return cmocka_run_group_tests_name("gateway", tests, setup, teardown);
}
