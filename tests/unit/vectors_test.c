/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The worked examples of docs/protocol.md: key derivation and token. The constants were made by a
 * program that shares no code with ours (Python: hashlib's BLAKE2b, and SipHash written from its
 * paper), so that they hold for a client in any language.
 */
#include "seal/pl_seal.h"
#include "token/pl_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sodium.h>

static void assert_hex(const void *bytes, size_t size, const char *want)
{
	char hex[2 * 64 + 1];

	assert_true(size <= 64);
	sodium_bin2hex(hex, sizeof(hex), bytes, size);
	assert_string_equal(hex, want);
}

static void test_direction_keys_of_a_gateway(void **state)
{
	static const struct {
		enum pl_seal_dir dir;
		uint8_t epoch;
		uint32_t gateway_id;
		const char *key;
	} vectors[] = {
		{PL_SEAL_DIR_REQUEST, 1, 7,
		 "d86857634f5854a729d0ee7bf1ba0f4da9159b3e56818154359466bf54116217"},
		{PL_SEAL_DIR_REPLY, 1, 7,
		 "73c8bb6d607296cbd2de112d818209bc0e898729e8382c0fb01f9426acfbea92"},
		{PL_SEAL_DIR_REQUEST, 255, 0xfedcba98u,
		 "b172a2f94df9c541e174c65471ae7e26dda8297a0cbe6e19ab5a78bbe8235a40"},
		{PL_SEAL_DIR_REPLY, 255, 0xfedcba98u,
		 "2058e11406a6eca3825d6d8b3a580e7f5f3e8fd4c47c8635bec1c925e235305e"},
	};
	uint8_t root[PL_SEAL_KEY_SIZE], key[PL_SEAL_KEY_SIZE];

	(void)state;
	for (uint8_t i = 0; i < sizeof(root); i++)
		root[i] = i;
	for (size_t i = 0; i < PL_ARRAY_CNT(vectors); i++) {
		pl_seal_derive(key, root, vectors[i].dir, vectors[i].epoch, vectors[i].gateway_id);
		assert_hex(key, sizeof(key), vectors[i].key);
	}
}

static void test_token_of_a_certificate(void **state)
{
	const uint64_t cert_id = 0x0123456789abcdefu;
	const uint32_t generation = 2, shown_at = 1639364400; /* 2021-12-13 12:00 in Seoul */
	uint8_t master[PL_TOKEN_KEY_SIZE], cert_key[PL_TOKEN_KEY_SIZE], bytes[PL_TOKEN_SIZE];
	char text[PL_TOKEN_TEXT_SIZE + 1];
	struct pl_token t;

	(void)state;
	for (uint8_t i = 0; i < sizeof(master); i++)
		master[i] = i;
	pl_token_cert_key(cert_key, master, cert_id, generation);
	assert_hex(cert_key, sizeof(cert_key), "0105a29e367521c9629a57d96cb95eb7");
	pl_token_mint(&t, cert_key, cert_id, shown_at);
	assert_hex(t.tag, sizeof(t.tag), "194ee514e2ab92c98fc6e6b3");
	pl_le64_put(bytes, t.cert_id);
	pl_le32_put(bytes + 8, t.shown_at);
	memcpy(bytes + 12, t.tag, sizeof(t.tag));
	assert_hex(bytes, sizeof(bytes), "efcdab896745230130b7b661194ee514e2ab92c98fc6e6b3");
	pl_token_to_text(&t, text);
	assert_string_equal(text, "PL1:9EU%ULM2D6J4676O2N/839/SMTS2PI-7IJ7T");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direction_keys_of_a_gateway),
		cmocka_unit_test(test_token_of_a_certificate),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
