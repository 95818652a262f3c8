/* SPDX-License-Identifier: BSD-3-Clause */
/* A pass's token in every variant of the lanes: libsodium is the oracle. */
#include "token/pl_token.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include <sodium.h>

#define BATCH_MAX 100u

/* A batch with room; arrays are the test's to bend. */
struct tokens {
	uint64_t cert_id[BATCH_MAX], master0[BATCH_MAX], master1[BATCH_MAX], tag0[BATCH_MAX];
	uint32_t shown_at[BATCH_MAX], generation[BATCH_MAX], tag1[BATCH_MAX];
};

static struct pl_token_batch batch_of(const struct tokens *t)
{
	return (struct pl_token_batch){
		.cert_id = t->cert_id,
		.shown_at = t->shown_at,
		.generation = t->generation,
		.master0 = t->master0,
		.master1 = t->master1,
		.tag0 = t->tag0,
		.tag1 = t->tag1,
	};
}

/* Random tokens, each with its own master key, and the tags that libsodium gives them. */
static void make_tokens(struct tokens *t)
{
	randombytes_buf(t, sizeof(*t));
	for (uint32_t i = 0; i < BATCH_MAX; i++) {
		uint8_t master[PL_TOKEN_KEY_SIZE], cert_key[PL_TOKEN_KEY_SIZE];
		struct pl_token token;

		pl_le64_put(master, t->master0[i]);
		pl_le64_put(master + 8, t->master1[i]);
		pl_token_cert_key(cert_key, master, t->cert_id[i], t->generation[i]);
		pl_token_mint(&token, cert_key, t->cert_id[i], t->shown_at[i]);
		t->tag0[i] = pl_le64_get(token.tag);
		t->tag1[i] = pl_le32_get(token.tag + 8);
	}
}

typedef void (*variant_test_fn)(pl_token_check_fn check, const char *name);

static void each_variant(variant_test_fn test)
{
	for (int v = 0; v < PL_TOKEN_VARIANT_CNT; v++) {
		pl_token_check_fn check = pl_token_check_of((enum pl_token_variant)v);
		const char *name = pl_token_variant_name((enum pl_token_variant)v);

		if (check == NULL)
			print_message("# this CPU does not run the variant %s\n", name);
		else
			test(check, name);
	}
}

/* From vectors.h of the SipHash reference code (Aumasson and Bernstein), vectors_sip128[16]: key
 * and message are 00 01 .. 0f. */
static const uint8_t published[16] = {0x6e, 0xe2, 0xa4, 0xca, 0x67, 0xb0, 0x54, 0xbb,
				      0xfd, 0x33, 0x15, 0xbf, 0x85, 0x23, 0x05, 0x77};

/* token_hash16.c, by variant: the result of every lane, of three vectors. */
void hash16_scalar(const uint8_t key[16], const uint8_t message[16], uint8_t out[][16]);
void hash16_avx2(const uint8_t key[16], const uint8_t message[16], uint8_t out[][16]);
void hash16_avx512(const uint8_t key[16], const uint8_t message[16], uint8_t out[][16]);

static void test_hash_is_siphash_2_4_128_in_every_lane(void **state)
{
	static const struct {
		enum pl_token_variant variant;
		void (*hash16)(const uint8_t *key, const uint8_t *message, uint8_t (*out)[16]);
		uint32_t lane_cnt;
	} variants[] = {
		{PL_TOKEN_SCALAR, hash16_scalar, HASH16_LANES_scalar},
		{PL_TOKEN_AVX2, hash16_avx2, HASH16_LANES_avx2},
		{PL_TOKEN_AVX512, hash16_avx512, HASH16_LANES_avx512},
	};
	uint8_t key[16], message[16], want[2][16], out[64][16];

	(void)state;
	for (size_t v = 0; v < PL_ARRAY_CNT(variants); v++) {
		if (pl_token_check_of(variants[v].variant) == NULL)
			continue;
		for (uint8_t i = 0; i < 16; i++)
			key[i] = message[i] = i;
		for (uint32_t round = 0; round < 200; round++) {
			crypto_shorthash_siphashx24(want[0], message, sizeof(message), key);
			message[0] ^= 1;
			crypto_shorthash_siphashx24(want[1], message, sizeof(message), key);
			message[0] ^= 1;
			if (round == 0)
				assert_memory_equal(want[0], published, sizeof(published));
			memset(out, 0, sizeof(out));
			variants[v].hash16(key, message, out);
			for (uint32_t i = 0; i < 3 * variants[v].lane_cnt; i++)
				assert_memory_equal(out[i], want[i / variants[v].lane_cnt == 1],
						    sizeof(want[0]));
			randombytes_buf(key, sizeof(key));
			randombytes_buf(message, sizeof(message));
		}
	}
}

static void all_sizes(pl_token_check_fn check, const char *name)
{
	struct tokens *t = calloc(1, sizeof(*t));
	struct pl_token_batch b = batch_of(t);
	uint8_t ok[BATCH_MAX + 1];

	make_tokens(t);
	for (uint32_t cnt = 0; cnt <= BATCH_MAX; cnt++) {
		memset(ok, 0xa5, sizeof(ok));
		check(&b, cnt, ok);
		for (uint32_t i = 0; i < cnt; i++) {
			if (ok[i] != 1)
				fail_msg("%s: token %u of %u refused: %u", name, i, cnt, ok[i]);
		}
		for (uint32_t i = cnt; i <= BATCH_MAX; i++)
			assert_int_equal(ok[i], 0xa5); /* nothing written beyond cnt */
	}
	free(t);
}

static void test_right_tags_hold_at_every_batch_size(void **state)
{
	(void)state;
	each_variant(all_sizes);
}

/* One wrong bit in one token: that one is refused, its neighbours are not. */
static void flip_and_check(pl_token_check_fn check, const char *name, struct tokens *t, void *word,
			   size_t size, uint32_t idx, uint32_t cnt)
{
	struct pl_token_batch b = batch_of(t);
	uint8_t ok[BATCH_MAX];

	for (uint32_t bit = 0; bit < size * 8; bit++) {
		((uint8_t *)word)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		memset(ok, 0xa5, sizeof(ok));
		check(&b, cnt, ok);
		for (uint32_t i = 0; i < cnt; i++) {
			if (ok[i] != (i != idx))
				fail_msg("%s: bit %u of token %u of %u: token %u got %u", name, bit,
					 idx, cnt, i, ok[i]);
		}
		((uint8_t *)word)[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void every_bit(pl_token_check_fn check, const char *name)
{
	/* Sizes in which the token falls into a full group, a lone vector, a tail. */
	static const uint32_t cnts[] = {1, 3, 4, 7, 8, 13, 16, 21, 33};
	struct tokens *t = calloc(1, sizeof(*t));

	make_tokens(t);
	for (size_t c = 0; c < PL_ARRAY_CNT(cnts); c++) {
		uint32_t cnt = cnts[c];

		for (uint32_t idx = 0; idx < cnt; idx += 3) {
#define FLIP(field) flip_and_check(check, name, t, &t->field[idx], sizeof(t->field[idx]), idx, cnt)
			FLIP(cert_id);
			FLIP(shown_at);
			FLIP(generation);
			FLIP(master0);
			FLIP(master1);
			FLIP(tag0);
			FLIP(tag1);
#undef FLIP
		}
	}
	free(t);
}

static void test_every_bit_of_every_input_counts(void **state)
{
	(void)state;
	each_variant(every_bit);
}

/* The batch's arrays one by one, each ending where readable memory ends and unaligned to any
 * vector: a read or write one byte beyond cnt ends the test. */
static void at_page_end(pl_token_check_fn check, const char *name)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct tokens *t = calloc(1, sizeof(*t));
	uint8_t *area = mmap(NULL, 16 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *ends[8];

	(void)name;
	make_tokens(t);
	assert_true(area != MAP_FAILED);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(mprotect(area + 2 * i * page, page, PROT_READ | PROT_WRITE), 0);
		ends[i] = area + (2 * i + 1) * page;
	}
	for (uint32_t cnt = 1; cnt <= 33; cnt++) {
		uint8_t *ok = ends[7] - cnt;
		struct pl_token_batch b;

#define AT_END(i, field) \
	b.field = memcpy(ends[i] - cnt * sizeof(t->field[0]), t->field, cnt * sizeof(t->field[0]))
		AT_END(0, cert_id);
		AT_END(1, shown_at);
		AT_END(2, generation);
		AT_END(3, master0);
		AT_END(4, master1);
		AT_END(5, tag0);
		AT_END(6, tag1);
#undef AT_END
		memset(ok, 0, cnt);
		check(&b, cnt, ok);
		for (uint32_t i = 0; i < cnt; i++)
			assert_int_equal(ok[i], 1);
	}
	munmap(area, 16 * page);
	free(t);
}

static void test_nothing_beyond_the_batch_is_touched(void **state)
{
	(void)state;
	each_variant(at_page_end);
}

static void test_best_variant_is_one_that_runs(void **state)
{
	enum pl_token_variant variant = PL_TOKEN_VARIANT_CNT;
	pl_token_check_fn best = pl_token_check_best(&variant);

	(void)state;
	assert_non_null(best);
	assert_true(best == pl_token_check_of(variant));
	assert_true(best == pl_token_check_best(NULL));
	assert_true(variant != PL_TOKEN_SODIUM);
	for (int v = (int)variant + 1; v < PL_TOKEN_VARIANT_CNT; v++)
		assert_null(pl_token_check_of((enum pl_token_variant)v));
	assert_null(pl_token_check_of(PL_TOKEN_VARIANT_CNT));
	assert_null(pl_token_variant_name(PL_TOKEN_VARIANT_CNT));
	assert_string_equal(pl_token_variant_name(PL_TOKEN_AVX512), "avx512");
}

static struct pl_token random_token(void)
{
	struct pl_token t;

	randombytes_buf(&t, sizeof(t));
	return t;
}

static void assert_same_token(const struct pl_token *a, const struct pl_token *b)
{
	assert_true(a->cert_id == b->cert_id);
	assert_int_equal(a->shown_at, b->shown_at);
	assert_memory_equal(a->tag, b->tag, sizeof(a->tag));
}

static void test_text_comes_back(void **state)
{
	char text[PL_TOKEN_TEXT_SIZE + 1];
	struct pl_token t, back;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		t = random_token();
		if (i == 0)
			memset(&t, 0, sizeof(t));
		if (i == 1)
			memset(&t, 0xff, sizeof(t));
		memset(&back, 0xa5, sizeof(back));
		pl_token_to_text(&t, text);
		assert_int_equal(strlen(text), PL_TOKEN_TEXT_SIZE);
		assert_int_equal(pl_token_from_text(&back, text, strlen(text)), 0);
		assert_same_token(&back, &t);
	}
}

/* RFC 9285, section 4.3: "AB" is BB8, "Hello!!" %69 VD92EX0, "base-45" UJCLQE7W581. Our tokens
 * have whole pairs only: AB, Hello! and base-4, and zeros for the rest. */
static void test_text_is_base45_of_the_rfc(void **state)
{
	static const struct {
		const char *bytes, *text;
	} published_texts[] = {
		{"AB", "BB8"},
		{"Hello!", "%69 VD92E"},
		{"base-4", "UJCLQE7W5"},
	};
	char text[PL_TOKEN_TEXT_SIZE + 1];

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(published_texts); i++) {
		uint8_t bytes[8] = {0};
		struct pl_token t = {0};

		memcpy(bytes, published_texts[i].bytes, strlen(published_texts[i].bytes));
		t.cert_id = pl_le64_get(bytes);
		pl_token_to_text(&t, text);
		assert_memory_equal(text, "PL1:", 4);
		assert_memory_equal(text + 4, published_texts[i].text,
				    strlen(published_texts[i].text));
		assert_memory_equal(text + 4 + 12, "000000000000000000000000", 24);
	}
}

static void test_text_of_another_form_is_refused(void **state)
{
	char text[PL_TOKEN_TEXT_SIZE + 8], bad[PL_TOKEN_TEXT_SIZE + 8];
	struct pl_token t = random_token(), out = t;

	(void)state;
	memset(text, '0', sizeof(text));
	pl_token_to_text(&t, text);
	for (size_t size = 0; size < sizeof(text); size++) {
		if (size != PL_TOKEN_TEXT_SIZE)
			assert_int_equal(pl_token_from_text(&out, text, size), -EINVAL);
	}
	/* Every character in every place: those outside the alphabet are refused. */
	for (uint32_t i = 0; i < PL_TOKEN_TEXT_SIZE; i++) {
		for (int c = 0; c < 256; c++) {
			bool in = c != 0 && strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:",
						   c) != NULL;

			memcpy(bad, text, sizeof(bad));
			bad[i] = (char)c;
			if (!in || (i < 4 && bad[i] != text[i]))
				assert_int_equal(pl_token_from_text(&out, bad, PL_TOKEN_TEXT_SIZE),
						 -EINVAL);
		}
	}
	/* 65535 is FGW; one more in any digit is not two bytes. */
	for (uint32_t i = 4; i < PL_TOKEN_TEXT_SIZE; i += 3) {
		static const char *const too_large[] = {"GGW", "FHW", "FGX", ":::", "00X"};

		memcpy(bad, text, sizeof(bad));
		memcpy(bad + i, "FGW", 3);
		assert_int_equal(pl_token_from_text(&out, bad, PL_TOKEN_TEXT_SIZE), 0);
		for (size_t k = 0; k < PL_ARRAY_CNT(too_large); k++) {
			memcpy(bad + i, too_large[k], 3);
			assert_int_equal(pl_token_from_text(&out, bad, PL_TOKEN_TEXT_SIZE),
					 -EINVAL);
		}
	}
	assert_int_equal(pl_token_from_text(&out, "pl1:", 4), -EINVAL);
	assert_int_equal(pl_token_from_text(&out, NULL, 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash_is_siphash_2_4_128_in_every_lane),
		cmocka_unit_test(test_right_tags_hold_at_every_batch_size),
		cmocka_unit_test(test_every_bit_of_every_input_counts),
		cmocka_unit_test(test_nothing_beyond_the_batch_is_touched),
		cmocka_unit_test(test_best_variant_is_one_that_runs),
		cmocka_unit_test(test_text_comes_back),
		cmocka_unit_test(test_text_is_base45_of_the_rfc),
		cmocka_unit_test(test_text_of_another_form_is_refused),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
