/* SPDX-License-Identifier: BSD-3-Clause */
#include "waiver/pl_waiver.h"

#include <errno.h>
#include <inttypes.h>

#include <sodium.h>

#define MAGIC       "PLWAV1\r\n"
#define VERSION     1u
#define SIGNED_SIZE (PL_WAIVER_SIZE - crypto_sign_BYTES)
#define DOMAIN      "PL1-waiver"
#define DOMAIN_SIZE (sizeof(DOMAIN) - 1)
#define HASH_SIZE   32u

/* Offsets in the file. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_ZERO = 10,
	AT_STREAM = 16,
	AT_SERIAL = 24,
	AT_ISSUED = 32,
	AT_FROM = 40,
	AT_UNTIL = 48,
	AT_REASON = 56,
};
static_assert(AT_REASON + PL_WAIVER_REASON_SIZE == SIGNED_SIZE, "file layout");

static void message_make(const uint8_t *data, uint8_t message[DOMAIN_SIZE + HASH_SIZE])
{
	memcpy(message, DOMAIN, DOMAIN_SIZE);
	crypto_generichash(message + DOMAIN_SIZE, HASH_SIZE, data, SIGNED_SIZE, NULL, 0);
}

/* Text that a terminal shows as it is: well-formed UTF-8 without control characters, C1's included. */
static bool reason_ok(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;

	if (*p == '\0')
		return false;
	while (*p != '\0') {
		uint32_t more = *p < 0x80                  ? 0
				: *p >= 0xc2 && *p <= 0xdf ? 1
				: *p >= 0xe0 && *p <= 0xef ? 2
				: *p >= 0xf0 && *p <= 0xf4 ? 3
							   : 4;
		uint32_t c = more == 0 ? *p : *p & (0x3fu >> more);

		if (more == 4)
			return false;
		for (uint32_t i = 1; i <= more; i++) {
			if ((p[i] & 0xc0) != 0x80) /* a NUL, too */
				return false;
			c = c << 6 | (p[i] & 0x3fu);
		}
		if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (more == 2 && c < 0x800) ||
		    (more == 3 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c <= 0xdfff))
			return false;
		p += more + 1;
	}
	return true;
}

static int fields_check(const struct pl_waiver *w, uint64_t from_s, uint64_t until_s, char *error,
			size_t error_size)
{
	const char *what = NULL;

	if (w->stream_id == 0 || w->serial == 0)
		what = "a waiver's stream and serial are not 0";
	else if (!reason_ok(w->reason))
		what = "a waiver's reason is 1 to 199 bytes of UTF-8 without control characters";
	else if (from_s > UINT32_MAX || until_s > UINT32_MAX)
		what = "a waiver's times are unix seconds before 2106";
	else if ((from_s != 0 || until_s != 0) && (from_s == 0 || from_s >= until_s))
		what = "a waiver must end after it begins";
	else if (until_s - from_s > PL_WAIVER_SPAN_S_MAX)
		what = "a waiver lasts 31 days at most: issue another when it ends";
	if (what == NULL)
		return 0;
	snprintf(error, error_size, "%s", what);
	return -EINVAL;
}

int pl_waiver_seal(const struct pl_waiver *w, const uint8_t seckey[PL_WAIVER_SECKEY_SIZE],
		   uint8_t data[PL_WAIVER_SIZE], char *error, size_t error_size)
{
	uint8_t message[DOMAIN_SIZE + HASH_SIZE];
	int ret = fields_check(w, w->from_s, w->until_s, error, error_size);

	if (ret != 0)
		return ret;
	memset(data, 0, PL_WAIVER_SIZE);
	memcpy(data + AT_MAGIC, MAGIC, sizeof(MAGIC) - 1);
	pl_le16_put(data + AT_VERSION, VERSION);
	pl_le64_put(data + AT_STREAM, w->stream_id);
	pl_le64_put(data + AT_SERIAL, w->serial);
	pl_le64_put(data + AT_ISSUED, w->issued_s);
	pl_le64_put(data + AT_FROM, w->from_s);
	pl_le64_put(data + AT_UNTIL, w->until_s);
	memcpy(data + AT_REASON, w->reason, strnlen(w->reason, PL_WAIVER_REASON_SIZE - 1));
	message_make(data, message);
	return crypto_sign_detached(data + SIGNED_SIZE, NULL, message, sizeof(message), seckey) == 0
		       ? 0
		       : -EINVAL;
}

/* Form and signature. @return what is wrong, or NULL. */
static const char *authentic(const uint8_t *data, size_t size, uint64_t stream_id,
			     const uint8_t *pubkey)
{
	uint8_t message[DOMAIN_SIZE + HASH_SIZE];
	size_t reason_size;

	if (size != PL_WAIVER_SIZE || memcmp(data + AT_MAGIC, MAGIC, sizeof(MAGIC) - 1) != 0)
		return "is no waiver: one is a file of 320 bytes by passline-authority waiver";
	if (pl_le16_get(data + AT_VERSION) != VERSION)
		return "is of a version that this program does not know: update it";
	if (pl_le64_get(data + AT_STREAM) != stream_id)
		return "is of another authority";
	message_make(data, message);
	if (crypto_sign_verify_detached(data + SIGNED_SIZE, message, sizeof(message), pubkey) != 0)
		return "is not signed by the authority";
	if (!sodium_is_zero(data + AT_ZERO, AT_STREAM - AT_ZERO))
		return "has bytes set that must be zero";
	reason_size = strnlen((const char *)data + AT_REASON, PL_WAIVER_REASON_SIZE);
	if (reason_size == PL_WAIVER_REASON_SIZE ||
	    !sodium_is_zero(data + AT_REASON + reason_size, PL_WAIVER_REASON_SIZE - reason_size))
		return "has a reason without an end, or something behind it";
	return NULL;
}

int pl_waiver_open(const uint8_t *data, size_t size, uint64_t stream_id,
		   const uint8_t pubkey[PL_WAIVER_PUBKEY_SIZE], struct pl_waiver *out, char *error,
		   size_t error_size)
{
	const char *what = authentic(data, size, stream_id, pubkey);
	uint64_t from_s, until_s;
	int ret;

	memset(out, 0, sizeof(*out));
	if (what != NULL) {
		snprintf(error, error_size, "this %s", what);
		return -EBADMSG;
	}
	from_s = pl_le64_get(data + AT_FROM);
	until_s = pl_le64_get(data + AT_UNTIL);
	out->stream_id = stream_id;
	out->serial = pl_le64_get(data + AT_SERIAL);
	out->issued_s = pl_le64_get(data + AT_ISSUED);
	memcpy(out->reason, data + AT_REASON, sizeof(out->reason));
	ret = fields_check(out, from_s, until_s, error, error_size);
	if (ret != 0) {
		memset(out, 0, sizeof(*out));
		return ret;
	}
	out->from_s = (uint32_t)from_s;
	out->until_s = (uint32_t)until_s;
	return 0;
}
