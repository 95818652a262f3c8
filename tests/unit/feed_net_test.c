/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments joined: the last record of a certificate is what holds. */
#include "feed/pl_feed_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct pl_feed_net *net;
static struct pl_feed_record *records;
static struct pl_feed_segment seg;

static int set_up(void **state)
{
	(void)state;
	records = calloc(PL_FEED_RECORDS_MAX, sizeof(*records));
	PL_CHECK(records != NULL);
	return pl_feed_net_create(&net);
}

static int tear_down(void **state)
{
	(void)state;
	pl_feed_net_destroy(net);
	free(records);
	return 0;
}

static const uint64_t *overruled(const uint64_t *ids, uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++)
		records[i].cert_id = ids[i];
	seg.header.record_cnt = cnt;
	seg.records = records;
	return pl_feed_net_overruled(net, &seg);
}

static void test_the_last_record_of_a_certificate_counts(void **state)
{
	static const uint64_t ids[] = {7, 8, 7, UINT64_MAX, 7, 9, UINT64_MAX};
	const uint64_t *bits = overruled(ids, PL_ARRAY_CNT(ids));

	(void)state;
	assert_non_null(bits);
	assert_int_equal(bits[0], 1u << 0 | 1u << 2 | 1u << 3);
	assert_true(pl_feed_net_is_overruled(bits, 0));
	assert_false(pl_feed_net_is_overruled(bits, 4));
}

static void test_where_each_is_named_once_nothing_is_overruled(void **state)
{
	static const uint64_t ids[] = {3, 2, 1};

	(void)state;
	assert_null(overruled(ids, 0));
	assert_null(overruled(ids, 1));
	assert_null(overruled(ids, 3));
	assert_false(pl_feed_net_is_overruled(NULL, 2));
}

/* Nothing of the segment before is left, whatever their sizes were. */
static void test_segments_do_not_mix(void **state)
{
	static const uint64_t twice[] = {5, 5}, once[] = {5, 6};

	(void)state;
	assert_non_null(overruled(twice, 2));
	assert_null(overruled(once, 2));
	assert_null(overruled(once, 1));
}

static void test_the_largest_segment(void **state)
{
	const uint64_t *bits;
	uint64_t cnt = 0;

	(void)state;
	for (uint32_t i = 0; i < PL_FEED_RECORDS_MAX; i++)
		records[i].cert_id = i % (PL_FEED_RECORDS_MAX - 3) + 1;
	seg.header.record_cnt = PL_FEED_RECORDS_MAX;
	seg.records = records;
	bits = pl_feed_net_overruled(net, &seg);
	assert_non_null(bits);
	for (uint32_t i = 0; i < PL_FEED_RECORDS_MAX; i++)
		cnt += pl_feed_net_is_overruled(bits, i);
	assert_int_equal(cnt, 3);
	assert_true(pl_feed_net_is_overruled(bits, 2));
	assert_false(pl_feed_net_is_overruled(bits, 3));
	for (uint32_t i = 0; i < PL_FEED_RECORDS_MAX; i++)
		records[i].cert_id = 1;
	bits = pl_feed_net_overruled(net, &seg);
	for (uint32_t i = 0; i < PL_FEED_RECORDS_MAX; i++)
		assert_int_equal(pl_feed_net_is_overruled(bits, i), i < PL_FEED_RECORDS_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_last_record_of_a_certificate_counts),
		cmocka_unit_test(test_where_each_is_named_once_nothing_is_overruled),
		cmocka_unit_test(test_segments_do_not_mix),
		cmocka_unit_test(test_the_largest_segment),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
