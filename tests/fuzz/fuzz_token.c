/* SPDX-License-Identifier: BSD-3-Clause */
/* A QR's text: whatever is accepted is exactly what we would have written. */
#include "token/pl_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[PL_TOKEN_TEXT_SIZE + 1];
	struct pl_token t;

	if (pl_token_from_text(&t, (const char *)data, size) == 0) {
		pl_token_to_text(&t, text);
		PL_CHECK(size == PL_TOKEN_TEXT_SIZE && memcmp(text, data, size) == 0);
	}
	return 0;
}
