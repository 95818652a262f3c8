/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Every answer that a scan can get. One table makes the enum, the wire code, the counter's
 * name, the text and the list that the tests walk.
 *
 * The high nibble of a code is its group. A fault of the appliance, of its feed or of its clock
 * is never in the group DENY.
 */
#ifndef PL_VERDICT_H
#define PL_VERDICT_H

#include "base/pl_base.h"

/* V(id, wire code, counter name, text for the person at the door) */
#define PL_VERDICTS(V)                                                                           \
	V(PASS, 0x01, "pass", "pass holds")                                                      \
	V(NOT_REQUIRED, 0x02, "not_required", "no pass is required at this kind of venue")       \
	V(UNKNOWN_CERT, 0x10, "unknown_cert", "no such certificate")                             \
	V(REVOKED, 0x11, "revoked", "certificate was revoked")                                   \
	V(SUSPENDED, 0x12, "suspended", "certificate is suspended")                              \
	V(NOT_YET_VALID, 0x13, "not_yet_valid", "certificate is not valid yet")                  \
	V(EXPIRED, 0x14, "expired", "certificate has expired")                                   \
	V(FORGED, 0x15, "forged", "QR code was not made by the certificate's wallet")            \
	V(STALE_QR, 0x16, "stale_qr", "QR code is too old: show a fresh one")                    \
	V(FUTURE_QR, 0x17, "future_qr", "QR code is from the future: check the phone's clock")   \
	V(REPLAYED, 0x18, "replayed", "QR code was used before: show a fresh one")               \
	V(NOT_ACCEPTED, 0x19, "not_accepted", "this kind of certificate is not accepted here")   \
	V(LOADING, 0x20, "loading", "the appliance is still loading certificates")               \
	V(FEED_OLD, 0x21, "feed_old",                                                            \
	  "absent or denied by its facts, and the feed is out of date")                          \
	V(CLOCK, 0x22, "clock", "the appliance's clock is not trusted")                          \
	V(BUSY, 0x23, "busy", "busy: try again later")                                           \
	V(VERSION, 0x24, "version", "protocol version is not supported")                         \
	V(MALFORMED, 0x25, "malformed", "request is malformed")                                  \
	V(STALE_REQUEST, 0x26, "stale_request", "request is too old: check the gateway's clock") \
	V(NO_KEY, 0x27, "no_key", "the appliance lacks the key for this certificate")            \
	V(UNSURE, 0x28, "unsure", "the table could not tell: ask again")                         \
	V(NO_RULE, 0x29, "no_rule", "no rule for this kind of certificate")                      \
	V(NO_ANSWER, 0x30, "no_answer", "the appliance did not answer (said by the client)")

enum pl_verdict {
	PL_V_NONE = 0, /* no verdict yet; never on the wire as a verdict */
#define V(id, code, name, text) PL_V_##id = code,
	PL_VERDICTS(V)
#undef V
		PL_V_CODE_END = 0x40 /* codes are below this */
};

enum pl_group {
	PL_GROUP_PASS = 0,
	PL_GROUP_DENY = 1,
	PL_GROUP_UNKNOWN = 2,
};

/** The group of any code, known or not: what is not PASS or DENY is UNKNOWN. */
static inline enum pl_group pl_verdict_group(uint32_t code)
{
	if (code == PL_V_NONE || code >= 0x20)
		return PL_GROUP_UNKNOWN;
	return code < 0x10 ? PL_GROUP_PASS : PL_GROUP_DENY;
}

/** Counter name, text and identifier by code; NULL if there is no such code. Static storage. */
const char *pl_verdict_name(uint32_t code);
const char *pl_verdict_text(uint32_t code);

/** "PASS", "DENY" or "UNKNOWN". */
const char *pl_group_name(enum pl_group group);

/** All codes in table order, ended by PL_V_NONE. */
extern const uint8_t pl_verdict_codes[];

#endif
