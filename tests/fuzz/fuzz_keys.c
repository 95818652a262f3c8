/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a key file: what is accepted is written back as a text that means the same key,
 * and a refusal leaves nothing of the key behind.
 */
#include "keys/pl_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pl_key none;
	char text[PL_KEYS_FILE_SIZE_MAX];
	char error[256];
	struct pl_key key;
	struct pl_key back;

	if (pl_keys_parse((const char *)data, size, PL_KEY_NONE, &key, error, sizeof(error)) != 0) {
		PL_CHECK(memcmp(&key, &none, sizeof(key)) == 0);
		return 0;
	}
	size = pl_keys_format(&key, text);
	PL_CHECK(size > 0 && size < sizeof(text) && text[size] == '\0');
	PL_CHECK(pl_keys_parse(text, size, key.kind, &back, error, sizeof(error)) == 0);
	PL_CHECK(memcmp(&key, &back, sizeof(key)) == 0);
	return 0;
}
