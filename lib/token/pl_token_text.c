/* SPDX-License-Identifier: BSD-3-Clause */

#include "token/pl_token.h"

#include <errno.h>

/* base45, RFC 9285: two bytes, as a big-endian number, become three digits, lowest first. Its
 * alphabet is that of a QR code's alphanumeric mode. */
static const char alphabet[46] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

#define PREFIX_SIZE (sizeof(PL_TOKEN_TEXT_PREFIX) - 1)
static_assert(PREFIX_SIZE + PL_TOKEN_SIZE / 2 * 3 == PL_TOKEN_TEXT_SIZE, "text form");

/* Digit values by character, plus one, so that what is not named is 0: no digit. */
static const uint8_t digit_plus_1[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,
	['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14,
	['E'] = 15, ['F'] = 16, ['G'] = 17, ['H'] = 18, ['I'] = 19, ['J'] = 20, ['K'] = 21,
	['L'] = 22, ['M'] = 23, ['N'] = 24, ['O'] = 25, ['P'] = 26, ['Q'] = 27, ['R'] = 28,
	['S'] = 29, ['T'] = 30, ['U'] = 31, ['V'] = 32, ['W'] = 33, ['X'] = 34, ['Y'] = 35,
	['Z'] = 36, [' '] = 37, ['$'] = 38, ['%'] = 39, ['*'] = 40, ['+'] = 41, ['-'] = 42,
	['.'] = 43, ['/'] = 44, [':'] = 45,
};

void pl_token_to_text(const struct pl_token *t, char text[PL_TOKEN_TEXT_SIZE + 1])
{
	uint8_t bytes[PL_TOKEN_SIZE];
	char *out = text + PREFIX_SIZE;

	pl_le64_put(bytes, t->cert_id);
	pl_le32_put(bytes + 8, t->shown_at);
	memcpy(bytes + 12, t->tag, sizeof(t->tag));

	memcpy(text, PL_TOKEN_TEXT_PREFIX, PREFIX_SIZE);
	for (uint32_t i = 0; i < PL_TOKEN_SIZE; i += 2) {
		uint32_t n = (uint32_t)bytes[i] << 8 | bytes[i + 1];

		*out++ = alphabet[n % 45];
		*out++ = alphabet[n / 45 % 45];
		*out++ = alphabet[n / 2025];
	}
	*out = '\0';
}

int pl_token_from_text(struct pl_token *t, const char *text, size_t size)
{
	uint8_t bytes[PL_TOKEN_SIZE];
	const unsigned char *in;

	if (size != PL_TOKEN_TEXT_SIZE || memcmp(text, PL_TOKEN_TEXT_PREFIX, PREFIX_SIZE) != 0)
		return -EINVAL;
	in = (const unsigned char *)text + PREFIX_SIZE;
	for (uint32_t i = 0; i < PL_TOKEN_SIZE; i += 2, in += 3) {
		uint32_t c = digit_plus_1[in[0]];
		uint32_t d = digit_plus_1[in[1]];
		uint32_t e = digit_plus_1[in[2]];
		uint32_t n;

		if (c == 0 || d == 0 || e == 0)
			return -EINVAL;
		n = c - 1 + (d - 1) * 45 + (e - 1) * 2025;
		if (n > UINT16_MAX)
			return -EINVAL;
		bytes[i] = (uint8_t)(n >> 8);
		bytes[i + 1] = (uint8_t)n;
	}
	t->cert_id = pl_le64_get(bytes);
	t->shown_at = pl_le32_get(bytes + 8);
	memcpy(t->tag, bytes + 12, sizeof(t->tag));
	return 0;
}
