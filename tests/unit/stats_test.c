/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters of a worker: every drop has its name, and a published copy is whole. */
#include "stats/pl_stats.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define WORD_CNT (sizeof(struct pl_counters) / sizeof(uint64_t))

/* Every word another value, the largest ones included. */
static void fill(struct pl_counters *c, uint64_t seed)
{
	uint64_t words[WORD_CNT];

	for (size_t i = 0; i < WORD_CNT; i++)
		words[i] = pl_mix64(seed + i);
	words[WORD_CNT - 1] = UINT64_MAX;
	memcpy(c, words, sizeof(*c));
}

static void test_each_drop_has_its_own_name_and_text(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PL_DROP_CNT; i++) {
		const char *name = pl_drop_name(i);

		assert_non_null(name);
		assert_non_null(pl_drop_text(i));
		/* A key in telemetry: lower case, digits and underscores. */
		for (const char *p = name; *p != '\0'; p++)
			assert_true(islower((unsigned char)*p) || isdigit((unsigned char)*p) ||
				    *p == '_');
		for (uint32_t j = 0; j < i; j++) {
			assert_string_not_equal(name, pl_drop_name(j));
			assert_string_not_equal(pl_drop_text(i), pl_drop_text(j));
		}
	}
	assert_string_equal(pl_drop_name(PL_DROP_BAD_SEAL), "bad_seal");
	assert_string_equal(pl_drop_text(PL_DROP_BAD_SEAL), "datagram does not authenticate");
}

static void test_no_name_beyond_the_last_drop(void **state)
{
	(void)state;
	assert_null(pl_drop_name(PL_DROP_NONE));
	assert_null(pl_drop_text(PL_DROP_NONE));
	assert_null(pl_drop_name(UINT32_MAX));
	assert_null(pl_drop_text(UINT32_MAX));
}

static void test_published_copy_is_read_back_whole(void **state)
{
	struct pl_counters_pub *pub = calloc(1, sizeof(*pub));
	struct pl_counters own, got;

	(void)state;
	assert_non_null(pub);
	fill(&own, 1);
	pl_stats_publish(pub, &own);
	memset(&got, 0xa5, sizeof(got));
	pl_stats_read(pub, &got);
	assert_memory_equal(&got, &own, sizeof(own));
	fill(&own, 2);
	pl_stats_read(pub, &got);
	assert_memory_not_equal(&got, &own, sizeof(own)); /* not before it is published */
	pl_stats_publish(pub, &own);
	pl_stats_read(pub, &got);
	assert_memory_equal(&got, &own, sizeof(own));
	free(pub);
}

static void test_add_adds_each_word(void **state)
{
	struct pl_counters a, b, sum;
	uint64_t aw[WORD_CNT], bw[WORD_CNT], sw[WORD_CNT];

	(void)state;
	fill(&a, 3);
	fill(&b, 4);
	sum = a;
	pl_stats_add(&sum, &b);
	memcpy(aw, &a, sizeof(aw));
	memcpy(bw, &b, sizeof(bw));
	memcpy(sw, &sum, sizeof(sw));
	for (size_t i = 0; i < WORD_CNT; i++)
		assert_true(sw[i] == aw[i] + bw[i]);
}

static void test_totals_take_every_answer_and_every_drop(void **state)
{
	struct pl_counters c = {
		.replies = 1,
		.arp_replies = 10,
		.icmp_replies = 100,
		.nd_replies = 1000,
		/* Parts of replies, and what is not an answer. */
		.error_replies = 1u << 20,
		.rx_pkts = 1u << 21,
		.tx_pkts = 1u << 22,
	};

	(void)state;
	assert_int_equal(pl_stats_answered(&c), 1111);
	assert_int_equal(pl_stats_dropped(&c), 0);
	for (uint32_t i = 0; i < PL_DROP_CNT; i++)
		c.drops[i] = 1ULL << i;
	assert_true(pl_stats_dropped(&c) == (1ULL << PL_DROP_CNT) - 1);
	assert_int_equal(pl_stats_answered(&c), 1111);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_drop_has_its_own_name_and_text),
		cmocka_unit_test(test_no_name_beyond_the_last_drop),
		cmocka_unit_test(test_published_copy_is_read_back_whole),
		cmocka_unit_test(test_add_adds_each_word),
		cmocka_unit_test(test_totals_take_every_answer_and_every_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
