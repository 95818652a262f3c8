/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Enforcement waivers: the authority's word that venues need not act on verdicts for a while, as on
 * 13 December 2021, when fines were waived by text message in the evening. A waiver changes no
 * verdict. It is signed, bounded in time, and numbered, so that the newest one counts: a newer one
 * takes the place of every one before, and one that is for no time at all ends them.
 *
 * A file of PL_WAIVER_SIZE bytes, little-endian; docs/protocol.md has the offsets:
 *     head 56 | reason 200 | signature 64
 * signature = Ed25519(authority, "PL1-waiver" | BLAKE2b-256(the 256 bytes before it)).
 *
 * sodium_init() must have been called before anything here.
 */
#ifndef PL_WAIVER_H
#define PL_WAIVER_H

#include "base/pl_base.h"

#define PL_WAIVER_SIZE        320u
#define PL_WAIVER_REASON_SIZE 200u           /* with its NUL, which the file has, too */
#define PL_WAIVER_SPAN_S_MAX  (31u * 86400u) /* until_s - from_s */
#define PL_WAIVER_PUBKEY_SIZE 32u
#define PL_WAIVER_SECKEY_SIZE 64u

struct pl_waiver {
	uint64_t stream_id;                 /* whose: the authority's, never 0 */
	uint64_t serial;                    /* 1 ..; 0: no waiver at all */
	uint64_t issued_s;                  /* unix s */
	uint32_t from_s;                    /* unix s; both 0: it ends the ones before */
	uint32_t until_s;                   /* the first second in which it is over */
	char reason[PL_WAIVER_REASON_SIZE]; /* UTF-8 without control characters; never empty */
};

/** Is it in force? */
static inline bool pl_waiver_holds(const struct pl_waiver *w, uint64_t now_s)
{
	return now_s >= w->from_s && now_s < w->until_s;
}

/**
 * Make a waiver's file.
 * @return 0; -EINVAL for fields that no reader would take, error saying which and why.
 */
PL_MUST_USE int pl_waiver_seal(const struct pl_waiver *w,
			       const uint8_t seckey[PL_WAIVER_SECKEY_SIZE],
			       uint8_t data[PL_WAIVER_SIZE], char *error, size_t error_size);

/**
 * Check a waiver's file: form, stream, signature, and only then what is in it.
 *
 * @param data  any bytes.
 * @param out   zeroed on error.
 * @return 0; -EBADMSG for what is no waiver, of another stream, or not signed by this key; -EINVAL
 *         for a signed one whose fields are out of range. error says what and what to do.
 */
PL_MUST_USE int pl_waiver_open(const uint8_t *data, size_t size, uint64_t stream_id,
			       const uint8_t pubkey[PL_WAIVER_PUBKEY_SIZE], struct pl_waiver *out,
			       char *error, size_t error_size);

/* ---- an appliance's own: in its state directory, across restarts ---- */

#define PL_WAIVER_NAME         "waiver"         /* the newest that was taken */
#define PL_WAIVER_DROPPED_NAME "waiver.dropped" /* one that the operator took away */

/**
 * Read one of the two. @return 0, *out all zeros if there is none; as pl_waiver_open(); another
 * -errno if it cannot be read. error names the file.
 */
PL_MUST_USE int pl_waiver_read(const char *dir_path, const char *name, uint64_t stream_id,
			       const uint8_t pubkey[PL_WAIVER_PUBKEY_SIZE], struct pl_waiver *out,
			       char *error, size_t error_size);

/** Put one in the place of what is there, durably: after a death on the way it is the old or the
 * new. data is a checked waiver. @return 0 or -errno. */
PL_MUST_USE int pl_waiver_write(const char *dir_path, const uint8_t data[PL_WAIVER_SIZE],
				char *error, size_t error_size);

/** Take the one that is there away: it is kept under its other name, so that it is known not to be
 * taken again. @return 0; -ENOENT if there is none; another -errno. */
PL_MUST_USE int pl_waiver_drop(const char *dir_path, char *error, size_t error_size);

#endif
