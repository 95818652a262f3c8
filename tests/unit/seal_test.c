/* SPDX-License-Identifier: BSD-3-Clause */
/* Seals of every engine: published vectors, and libsodium as the oracle. */
#include "seal/pl_seal.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <cmocka.h>

#include <sodium.h>

#include "seal/pl_seal_pvt.h"
#include "seal_vectors.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

#define BURST_MAX 64u
#define KEY_CNT   5u

/* Every engine that runs here, by every way of asking for it. */
static struct pl_seal *seals[4];
static uint32_t seal_cnt;

static int group_setup(void **state)
{
	static const enum pl_seal_engine engines[] = {PL_SEAL_AUTO, PL_SEAL_SODIUM,
						      PL_SEAL_IPSEC_MB};

	(void)state;
	if (sodium_init() < 0)
		return -1;
	for (size_t i = 0; i < PL_ARRAY_CNT(engines); i++) {
		int rc = pl_seal_create(engines[i], &seals[seal_cnt]);

		if (rc == 0) {
			print_message("# engine %s\n", pl_seal_variant(seals[seal_cnt]));
			seal_cnt++;
		} else if (rc != -ENOTSUP) {
			return -1;
		}
	}
	/* The slow code of libipsec-mb, where the library was built with it. */
	seals[seal_cnt] = calloc(1, sizeof(struct pl_seal));
	if (pl_seal_ipsec_mb_init(seals[seal_cnt], PL_SEAL_IPSEC_MB_NO_AESNI) == 0)
		seal_cnt++;
	else
		free(seals[seal_cnt]);
	return seal_cnt > 0 ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < seal_cnt; i++)
		pl_seal_destroy(seals[i]);
	return 0;
}

static struct pl_seal_key *key_of(const struct pl_seal *s, const uint8_t raw[PL_SEAL_KEY_SIZE])
{
	struct pl_seal_key *k;

	assert_int_equal(pl_seal_key_create(s, raw, &k), 0);
	assert_non_null(k);
	assert_int_equal((uintptr_t)k % PL_CACHE_LINE, 0);
	return k;
}

static uint32_t from_hex(uint8_t *out, size_t room, const char *hex)
{
	size_t size;

	assert_int_equal(sodium_hex2bin(out, room, hex, strlen(hex), NULL, &size, NULL), 0);
	return (uint32_t)size;
}

static void check_vector(struct pl_seal *s, const struct seal_vector *v)
{
	uint8_t raw[PL_SEAL_KEY_SIZE], aad[64], text[64], want[64], tag[16], want_tag[16];
	struct pl_seal_op op = {.aad = aad, .text = text, .tag = tag};
	struct pl_seal_key *k;

	assert_int_equal(from_hex(raw, sizeof(raw), v->key), sizeof(raw));
	assert_int_equal(from_hex(op.nonce, sizeof(op.nonce), v->nonce), sizeof(op.nonce));
	assert_int_equal(from_hex(want_tag, sizeof(want_tag), v->tag), sizeof(want_tag));
	op.aad_size = from_hex(aad, sizeof(aad), v->aad);
	op.key = k = key_of(s, raw);
	if (v->pt != NULL) {
		op.text_size = from_hex(text, sizeof(text), v->pt);
		assert_int_equal(from_hex(want, sizeof(want), v->ct), op.text_size);
		pl_seal_seal_burst(s, &op, 1);
		assert_memory_equal(text, want, op.text_size);
		assert_memory_equal(tag, want_tag, sizeof(tag));
	}
	op.text_size = from_hex(text, sizeof(text), v->ct);
	memcpy(tag, want_tag, sizeof(tag));
	op.ok = v->pt == NULL;
	assert_int_equal(pl_seal_open_burst(s, &op, 1), v->pt != NULL);
	assert_int_equal(op.ok, v->pt != NULL);
	assert_memory_equal(tag, want_tag, sizeof(tag)); /* only read */
	if (v->pt != NULL) {
		from_hex(want, sizeof(want), v->pt);
		assert_memory_equal(text, want, op.text_size);
	}
	pl_seal_key_destroy(k);
}

static void test_published_vectors(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < seal_cnt; i++) {
		for (size_t v = 0; v < PL_ARRAY_CNT(seal_vectors); v++)
			check_vector(seals[i], &seal_vectors[v]);
	}
}

static void check_size(struct pl_seal *s, uint32_t size, uint32_t aad_size)
{
	static uint8_t text[PL_SEAL_TEXT_SIZE_MAX + 1], plain[PL_SEAL_TEXT_SIZE_MAX],
		want[PL_SEAL_TEXT_SIZE_MAX];
	uint8_t raw[PL_SEAL_KEY_SIZE], aad[PL_SEAL_AAD_SIZE_MAX], tag[16], want_tag[16];
	struct pl_seal_op op = {
		.aad = aad, .text = text, .tag = tag, .aad_size = aad_size, .text_size = size};
	struct pl_seal_key *k;

	randombytes_buf(raw, sizeof(raw));
	randombytes_buf(aad, sizeof(aad));
	randombytes_buf(plain, size);
	randombytes_buf(op.nonce, sizeof(op.nonce));
	op.key = k = key_of(s, raw);
	memcpy(text, plain, size);
	text[size] = 0xa5;
	pl_seal_seal_burst(s, &op, 1);
	assert_int_equal(text[size], 0xa5);
	crypto_aead_aes256gcm_encrypt_detached(want, want_tag, NULL, plain, size, aad, aad_size,
					       NULL, op.nonce, raw);
	assert_memory_equal(text, want, size);
	assert_memory_equal(tag, want_tag, sizeof(tag));
	assert_int_equal(pl_seal_open_burst(s, &op, 1), 1);
	assert_true(op.ok);
	assert_memory_equal(text, plain, size);
	assert_int_equal(text[size], 0xa5);
	pl_seal_key_destroy(k);
}

static void test_every_size_agrees_with_libsodium(void **state)
{
	static const uint32_t aad_sizes[] = {16, 20};

	(void)state;
	if (crypto_aead_aes256gcm_is_available() == 0)
		skip();
	for (uint32_t i = 0; i < seal_cnt; i++) {
		for (uint32_t size = 0; size <= 1500; size++) {
			for (size_t a = 0; a < PL_ARRAY_CNT(aad_sizes); a++)
				check_size(seals[i], size, aad_sizes[a]);
		}
		for (uint32_t aad_size = 0; aad_size <= PL_SEAL_AAD_SIZE_MAX; aad_size++)
			check_size(seals[i], 64, aad_size);
		check_size(seals[i], PL_SEAL_TEXT_SIZE_MAX, PL_SEAL_AAD_SIZE_MAX);
	}
}

/* One message, and a copy to bend. */
struct message {
	uint8_t aad[20], text[96], tag[16], nonce[PL_SEAL_NONCE_SIZE];
};

static bool opens(struct pl_seal *s, const struct pl_seal_key *k, struct message m)
{
	struct pl_seal_op op = {
		.key = k,
		.aad = m.aad,
		.text = m.text,
		.tag = m.tag,
		.aad_size = sizeof(m.aad),
		.text_size = sizeof(m.text),
		.ok = true,
	};
	uint32_t ok_cnt;

	memcpy(op.nonce, m.nonce, sizeof(op.nonce));
	ok_cnt = pl_seal_open_burst(s, &op, 1);
	assert_int_equal(ok_cnt, op.ok);
	return op.ok;
}

static void check_flips(struct pl_seal *s)
{
	uint8_t raw[PL_SEAL_KEY_SIZE];
	struct pl_seal_key *k;
	struct message m;
	struct pl_seal_op op = {
		.aad = m.aad,
		.text = m.text,
		.tag = m.tag,
		.aad_size = sizeof(m.aad),
		.text_size = sizeof(m.text),
	};

	randombytes_buf(raw, sizeof(raw));
	randombytes_buf(&m, sizeof(m));
	memcpy(op.nonce, m.nonce, sizeof(op.nonce));
	op.key = k = key_of(s, raw);
	pl_seal_seal_burst(s, &op, 1);
	assert_true(opens(s, k, m));
	for (uint32_t bit = 0; bit < sizeof(m) * 8; bit++) {
		((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (opens(s, k, m))
			fail_msg("%s: opens with bit %u flipped", pl_seal_variant(s), bit);
		((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	pl_seal_key_destroy(k);
	for (uint32_t bit = 0; bit < 256; bit += 17) {
		raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
		k = key_of(s, raw);
		assert_false(opens(s, k, m));
		pl_seal_key_destroy(k);
		raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void test_one_flipped_bit_anywhere_is_refused(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < seal_cnt; i++)
		check_flips(seals[i]);
}

/* A burst with mixed keys and sizes, of which every third message is spoilt. */
static void check_burst(struct pl_seal *s, struct pl_seal_key *const *keys, uint32_t cnt)
{
	static uint8_t texts[BURST_MAX][256], plain[BURST_MAX][256], tags[BURST_MAX][16];
	static uint8_t aads[BURST_MAX][PL_SEAL_AAD_SIZE_MAX];
	struct pl_seal_op ops[BURST_MAX + 1];
	uint32_t good_cnt = 0;

	randombytes_buf(plain, sizeof(plain));
	randombytes_buf(aads, sizeof(aads));
	memcpy(texts, plain, sizeof(texts));
	for (uint32_t i = 0; i <= cnt; i++) {
		ops[i] = (struct pl_seal_op){
			.key = keys[randombytes_uniform(KEY_CNT)],
			.aad = aads[i % BURST_MAX],
			.text = texts[i % BURST_MAX],
			.tag = tags[i % BURST_MAX],
			.aad_size = randombytes_uniform(PL_SEAL_AAD_SIZE_MAX + 1),
			.text_size = randombytes_uniform(sizeof(texts[0]) + 1),
		};
		randombytes_buf(ops[i].nonce, sizeof(ops[i].nonce));
	}
	pl_seal_seal_burst(s, ops, cnt);
	assert_false(ops[cnt].ok); /* the one beyond is left alone */
	for (uint32_t i = 0; i < cnt; i++) {
		assert_true(ops[i].ok);
		ops[i].ok = i % 3 == 2;
		if (i % 3 == 2)
			tags[i][randombytes_uniform(16)] ^= 1;
		else
			good_cnt++;
	}
	assert_int_equal(pl_seal_open_burst(s, ops, cnt), good_cnt);
	for (uint32_t i = 0; i < cnt; i++) {
		assert_int_equal(ops[i].ok, i % 3 != 2);
		if (ops[i].ok)
			assert_memory_equal(texts[i], plain[i], ops[i].text_size);
	}
	assert_false(ops[cnt].ok);
}

static void test_bursts_of_mixed_keys(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < seal_cnt; i++) {
		struct pl_seal_key *keys[KEY_CNT];
		uint8_t raw[PL_SEAL_KEY_SIZE];

		for (uint32_t k = 0; k < KEY_CNT; k++) {
			randombytes_buf(raw, sizeof(raw));
			keys[k] = key_of(seals[i], raw);
			pl_seal_key_prefetch(keys[k]);
		}
		for (uint32_t cnt = 0; cnt < BURST_MAX; cnt++)
			check_burst(seals[i], keys, cnt);
		for (uint32_t k = 0; k < KEY_CNT; k++)
			pl_seal_key_destroy(keys[k]);
	}
}

static void test_engine_is_what_was_asked_for(void **state)
{
	struct pl_seal *s;

	(void)state;
	for (uint32_t i = 0; i < seal_cnt; i++) {
		enum pl_seal_engine engine = pl_seal_engine(seals[i]);
		const char *name = pl_seal_engine_name(engine);

		assert_int_not_equal(engine, PL_SEAL_AUTO);
		assert_non_null(name);
		assert_int_equal(strncmp(pl_seal_variant(seals[i]), name, strlen(name)), 0);
	}
	assert_string_equal(pl_seal_engine_name(PL_SEAL_SODIUM), "libsodium");
	assert_string_equal(pl_seal_engine_name(PL_SEAL_IPSEC_MB), "ipsec-mb");
	assert_string_equal(pl_seal_engine_name(PL_SEAL_AUTO), "auto");
	assert_null(pl_seal_engine_name((enum pl_seal_engine)99));
	assert_int_equal(pl_seal_create((enum pl_seal_engine)99, &s), -ENOTSUP);
	assert_null(s);
	pl_seal_destroy(NULL);
	pl_seal_key_destroy(NULL);
}

/* More keys than the first slabs hold, freed out of order: each is its own, wiped when it goes,
 * and nothing is left mapped. */
static void test_many_keys_come_and_go(void **state)
{
	enum { cnt = 3000 };
	struct pl_seal_key **keys = calloc(cnt, sizeof(*keys));
	const size_t size_before = pl_seal_arena_size();
	struct message m;
	uint8_t raw[PL_SEAL_KEY_SIZE] = {0};

	(void)state;
	for (uint32_t i = 0; i < cnt; i++) {
		pl_le32_put(raw, i);
		keys[i] = key_of(seals[0], raw);
	}
	assert_true(pl_seal_arena_size() >= size_before + cnt * sizeof(struct pl_seal_key));
	for (uint32_t i = 0; i < cnt; i += 2) {
		const struct pl_seal_key *wiped = keys[i];
		uint32_t sum = 0;

		pl_seal_key_destroy(keys[i]);
		/* Its neighbour keeps the slab mapped. */
		for (size_t b = 0; b < sizeof(*wiped); b++)
			sum |= ((const uint8_t *)wiped)[b];
		assert_int_equal(sum, 0);
		pl_le32_put(raw, i);
		keys[i] = key_of(seals[0], raw);
	}
	for (uint32_t i = 0; i < cnt; i++) {
		struct pl_seal_key *fresh;
		struct pl_seal_op op = {
			.key = keys[i],
			.aad = m.aad,
			.text = m.text,
			.tag = m.tag,
			.aad_size = sizeof(m.aad),
			.text_size = sizeof(m.text),
		};

		memset(&m, 7, sizeof(m));
		memcpy(op.nonce, m.nonce, sizeof(op.nonce));
		pl_seal_seal_burst(seals[0], &op, 1);
		pl_le32_put(raw, i);
		fresh = key_of(seals[0], raw);
		assert_true(opens(seals[0], fresh, m));
		assert_false(opens(seals[0], keys[(i + 1) % cnt], m));
		pl_seal_key_destroy(fresh);
	}
	for (uint32_t i = 0; i < cnt; i++)
		pl_seal_key_destroy(keys[(i * 1009) % cnt]);
	assert_int_equal(pl_seal_arena_size(), size_before);
	free(keys);
}

/* The flags of the mapping that p is in, from smaps: "rd wr mr ... lo dd". */
static void vm_flags(const void *p, char flags[256])
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool in = false;

	assert_non_null(f);
	memset(flags, 0, 256);
	while (fgets(line, sizeof(line), f) != NULL) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			in = (uintptr_t)p >= from && (uintptr_t)p < to;
		else if (in && strncmp(line, "VmFlags:", 8) == 0)
			memccpy(flags, line + 8, '\0', 255);
	}
	fclose(f);
}

static void test_key_memory_is_locked_and_out_of_core_dumps(void **state)
{
	uint8_t raw[PL_SEAL_KEY_SIZE] = {1};
	struct pl_seal_key *k = key_of(seals[0], raw);
	struct rlimit limit;
	char flags[256];

	(void)state;
	vm_flags(k, flags);
	assert_non_null(strstr(flags, " dd"));
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	/* ThreadSanitizer and AddressSanitizer make mlock() do nothing. */
	if (limit.rlim_cur >= 65536 && !SANITIZED)
		assert_non_null(strstr(flags, " lo"));
	pl_seal_key_destroy(k);
}

static void test_derived_keys_differ_in_every_input(void **state)
{
	uint8_t root[PL_SEAL_KEY_SIZE] = {0}, a[PL_SEAL_KEY_SIZE], b[PL_SEAL_KEY_SIZE];

	(void)state;
	pl_seal_derive(a, root, PL_SEAL_DIR_REQUEST, 1, 2);
	pl_seal_derive(b, root, PL_SEAL_DIR_REQUEST, 1, 2);
	assert_memory_equal(a, b, sizeof(a));
	pl_seal_derive(b, root, PL_SEAL_DIR_REPLY, 1, 2);
	assert_memory_not_equal(a, b, sizeof(a));
	pl_seal_derive(b, root, PL_SEAL_DIR_REQUEST, 2, 2);
	assert_memory_not_equal(a, b, sizeof(a));
	pl_seal_derive(b, root, PL_SEAL_DIR_REQUEST, 1, 2 | 1u << 31);
	assert_memory_not_equal(a, b, sizeof(a));
	root[31] ^= 0x80;
	pl_seal_derive(b, root, PL_SEAL_DIR_REQUEST, 1, 2);
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors),
		cmocka_unit_test(test_every_size_agrees_with_libsodium),
		cmocka_unit_test(test_one_flipped_bit_anywhere_is_refused),
		cmocka_unit_test(test_bursts_of_mixed_keys),
		cmocka_unit_test(test_engine_is_what_was_asked_for),
		cmocka_unit_test(test_many_keys_come_and_go),
		cmocka_unit_test(test_key_memory_is_locked_and_out_of_core_dumps),
		cmocka_unit_test(test_derived_keys_differ_in_every_input),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
