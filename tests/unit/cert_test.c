/* SPDX-License-Identifier: BSD-3-Clause */
/* A certificate's facts in one word: each field at its bits, as segments have them. */
#include "cert/pl_cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_facts_bits_are_where_segments_have_them(void **state)
{
	struct pl_cert c = {.kind = 0xf, .event_day = 0xffff, .key_epoch = 7, .generation = 15};

	(void)state;
	assert_int_equal(pl_facts_pack(&(struct pl_cert){.kind = 15}), 0x0000000fu);
	assert_int_equal(pl_facts_pack(&(struct pl_cert){.event_day = 65535}), 0x000ffff0u);
	assert_int_equal(pl_facts_pack(&(struct pl_cert){.key_epoch = 7}), 0x00700000u);
	assert_int_equal(pl_facts_pack(&(struct pl_cert){.generation = 15}), 0x07800000u);
	assert_int_equal(pl_facts_pack(&(struct pl_cert){.revoked = true}), 0x08000000u);
	assert_int_equal(pl_facts_pack(&(struct pl_cert){.suspended = true}), 0x10000000u);
	assert_int_equal(pl_facts_pack(&c), 0x07ffffffu);
}

static void test_facts_come_back_whole(void **state)
{
	struct pl_cert c = {
		.id = 0xfedcba9876543210u,
		.kind = PL_CERT_BOOSTER,
		.key_epoch = 5,
		.generation = 9,
		.suspended = true,
		.event_day = 18993,
	};
	struct pl_cert back = pl_facts_unpack(c.id, pl_facts_pack(&c));

	(void)state;
	assert_true(back.id == c.id);
	assert_int_equal(back.kind, c.kind);
	assert_int_equal(back.key_epoch, c.key_epoch);
	assert_int_equal(back.generation, c.generation);
	assert_int_equal(back.event_day, c.event_day);
	assert_false(back.revoked);
	assert_true(back.suspended);
}

static void test_too_wide_fields_do_not_spill_into_neighbours(void **state)
{
	struct pl_cert c = {.kind = 0xff, .key_epoch = 0xff, .generation = 0xff};

	(void)state;
	assert_int_equal(pl_facts_pack(&c), 0x07f0000fu);
}

static void test_facts_valid_refuses_no_kind_and_spare_bits(void **state)
{
	(void)state;
	assert_true(pl_facts_valid(0x00000001u));
	assert_true(pl_facts_valid(0x1fffffffu));
	assert_false(pl_facts_valid(0));
	assert_false(pl_facts_valid(0x1ffffff0u));
	assert_false(pl_facts_valid(0x20000001u));
	assert_false(pl_facts_valid(0x80000001u));
}

static void test_every_kind_has_a_name_and_comes_back_by_it(void **state)
{
	uint32_t named_cnt = 0;

	(void)state;
	for (uint32_t kind = 0; kind <= PL_CERT_KIND_MAX; kind++) {
		const char *name = pl_cert_kind_name(kind);

		if (name == NULL)
			continue;
		named_cnt++;
		assert_int_equal(pl_cert_kind_by_name(name), kind);
	}
	assert_int_equal(named_cnt, 6);
	assert_null(pl_cert_kind_name(PL_CERT_NONE));
	assert_null(pl_cert_kind_name(UINT32_MAX));
	assert_int_equal(pl_cert_kind_by_name(""), PL_CERT_NONE);
	assert_int_equal(pl_cert_kind_by_name("Primary"), PL_CERT_NONE);
	assert_int_equal(pl_cert_kind_by_name("primary "), PL_CERT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts_bits_are_where_segments_have_them),
		cmocka_unit_test(test_facts_come_back_whole),
		cmocka_unit_test(test_too_wide_fields_do_not_spill_into_neighbours),
		cmocka_unit_test(test_facts_valid_refuses_no_kind_and_spare_bits),
		cmocka_unit_test(test_every_kind_has_a_name_and_comes_back_by_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
