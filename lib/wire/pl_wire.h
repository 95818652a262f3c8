/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The datagram, both ways: fixed offsets, little-endian, no state. docs/protocol.md is the
 * authority; this header is its C form.
 *
 *   request = header 16 | sealed { head 32, scans n * 32 } | tag 16        64 + 32 n bytes
 *   reply   = header 20 | sealed { head 28, verdicts n * 4 } | tag 16      64 +  4 n bytes
 *
 * So a reply is never longer than its request. The headers are authenticated, not encrypted.
 * The first 16 bytes of a request and the place of its tag are the same in every version, so
 * that a request of a version we do not speak can be authenticated before it is answered.
 */
#ifndef PL_WIRE_H
#define PL_WIRE_H

#include "base/pl_base.h"
#include "wire/pl_verdict.h"

#define PL_WIRE_VERSION 1u
#define PL_WIRE_PORT    4717u /* UDP, the default */

enum pl_wire_type {
	PL_WIRE_REQUEST = 1,
	PL_WIRE_REPLY = 2,
};

#define PL_WIRE_GCM_TAG_SIZE  16u
#define PL_WIRE_REQ_HDR_SIZE  16u
#define PL_WIRE_REQ_HEAD_SIZE 32u
#define PL_WIRE_SCAN_SIZE     32u
#define PL_WIRE_REP_HDR_SIZE  20u
#define PL_WIRE_REP_HEAD_SIZE 28u
#define PL_WIRE_VERDICT_SIZE  4u
#define PL_TOKEN_TAG_SIZE     12u

/** As many scans as fit one UDP datagram over IPv6 in an Ethernet MTU of 1500. */
#define PL_WIRE_SCANS_MAX 43u

#define PL_WIRE_REQ_SIZE(scan_cnt)                                                     \
	(PL_WIRE_REQ_HDR_SIZE + PL_WIRE_REQ_HEAD_SIZE + (scan_cnt)*PL_WIRE_SCAN_SIZE + \
	 PL_WIRE_GCM_TAG_SIZE)
#define PL_WIRE_REP_SIZE(verdict_cnt)                                                        \
	(PL_WIRE_REP_HDR_SIZE + PL_WIRE_REP_HEAD_SIZE + (verdict_cnt)*PL_WIRE_VERDICT_SIZE + \
	 PL_WIRE_GCM_TAG_SIZE)
#define PL_WIRE_REQ_SIZE_MIN PL_WIRE_REQ_SIZE(0u)
#define PL_WIRE_REQ_SIZE_MAX PL_WIRE_REQ_SIZE(PL_WIRE_SCANS_MAX)

/** Clear header of a request. */
struct pl_wire_req_hdr {
	uint8_t ver;
	uint8_t type;
	uint8_t key_epoch; /* which of the gateway's root keys, 0 .. 255 */
	uint8_t zero;
	uint32_t gateway_id;
	uint64_t counter; /* never twice under one key; with gateway_id it is the nonce */
};
static_assert(sizeof(struct pl_wire_req_hdr) == PL_WIRE_REQ_HDR_SIZE, "wire layout");

/** First part of the sealed body of a request. */
struct pl_wire_req_head {
	uint64_t sent_at_ms; /* unix time of this datagram */
	uint16_t scan_cnt;   /* 0 (asks for the state only) .. PL_WIRE_SCANS_MAX */
	uint16_t attempt; /* 0 for the first sending of these scans, 1 for the first retry, ... */
	uint8_t zero[20];
};
static_assert(sizeof(struct pl_wire_req_head) == PL_WIRE_REQ_HEAD_SIZE, "wire layout");

/** One QR as the venue's scanner read it. */
struct pl_wire_scan {
	uint64_t cert_id;
	uint32_t shown_at; /* unix s, as the wallet wrote it into the QR */
	uint32_t venue_id; /* venue class in bits 24..31, number below */
	uint32_t scan_id;  /* the same in every resend of this scan, another for each new scan */
	uint8_t tag[PL_TOKEN_TAG_SIZE];
};
static_assert(sizeof(struct pl_wire_scan) == PL_WIRE_SCAN_SIZE, "wire layout");

#define PL_VENUE(cls, number)    ((uint32_t)(cls) << 24 | ((uint32_t)(number)&0xffffffu))
#define PL_VENUE_CLASS(venue_id) ((venue_id) >> 24)

/** What the appliance is able to say, most restrictive first when several hold. */
enum pl_state {
	PL_STATE_SERVING = 0,
	PL_STATE_DEGRADED = 1, /* answers, and a flag says what it cannot answer */
	PL_STATE_LOADING = 2,  /* every verdict is UNKNOWN: loading */
	PL_STATE_DRAINING = 3, /* out of service or about to stop: send new scans elsewhere */
};

/* F(id, bit, name, text). Flags of a reply: why the state is what it is. */
#define PL_STATE_FLAGS(F)                                                                   \
	F(LOADING, 0, "loading", "certificates are being loaded")                           \
	F(FEED_OLD, 1, "feed_old", "the feed is too old, or not all of it is in the table") \
	F(CLOCK, 2, "clock", "the wall clock is not trusted")                               \
	F(INTAKE, 3, "intake_stopped", "new segments are refused or cannot be stored")      \
	F(TABLE_FULL, 4, "table_full", "the certificate table is full")                     \
	F(WAIVER, 5, "waiver", "an enforcement waiver is in force")                         \
	F(BUSY, 6, "busy", "the appliance is shedding load")                                \
	F(DRAINING, 7, "draining", "the appliance is out of service, or about to stop")

enum pl_state_flag {
#define F(id, bit, name, text) PL_FLAG_##id = 1 << (bit),
	PL_STATE_FLAGS(F)
#undef F
};

/** The state that a set of flags amounts to. */
enum pl_state pl_state_of_flags(uint32_t flags);
const char *pl_state_name(uint32_t state); /* "serving", ...; NULL if unknown */

/** Clear header of a reply. appliance_queue and counter are the reply's nonce. */
struct pl_wire_rep_hdr {
	uint8_t ver;
	uint8_t type;
	uint8_t state; /* enum pl_state */
	uint8_t flags; /* enum pl_state_flag */
	uint32_t gateway_id;
	uint32_t appliance_queue; /* appliance id in bits 8..31, queue in 0..7 */
	uint8_t counter[8];       /* le64; a byte array because its offset is 12 */
};
static_assert(sizeof(struct pl_wire_rep_hdr) == PL_WIRE_REP_HDR_SIZE, "wire layout");

/** First part of the sealed body of a reply. Bytes, because it starts at offset 20. */
struct pl_wire_rep_head {
	uint64_t req_counter;    /* which request this answers */
	uint64_t now_ms;         /* the appliance's clock */
	uint32_t as_of;          /* unix s: the table holds the feed up to here; 0 while loading */
	uint32_t waiver_until;   /* unix s; 0: no waiver in force */
	uint16_t retry_after_ms; /* 0: no need to wait */
	uint8_t error;           /* 0, or one enum pl_verdict for every scan of the request */
	uint8_t verdict_cnt;     /* 0 when error is set */
} __attribute__((packed));
static_assert(sizeof(struct pl_wire_rep_head) == PL_WIRE_REP_HEAD_SIZE, "wire layout");

/* A verdict's 32 bits: code, the certificate's kind (0 when not PASS), flags, zero. */
#define PL_WIRE_VERDICT(code, kind, flags) \
	((uint32_t)(code) | (uint32_t)(kind) << 8 | (uint32_t)(flags) << 16)
#define PL_WIRE_VERDICT_CODE(v)  ((v)&0xffu)
#define PL_WIRE_VERDICT_KIND(v)  (((v) >> 8) & 0xffu)
#define PL_WIRE_VERDICT_FLAGS(v) (((v) >> 16) & 0xffu)
#define PL_WIRE_VERDICT_RESEND   1u /* this very scan had been accepted before */

/** Why a request cannot be read. X-macro users: see lib/stats for the counters. */
enum pl_wire_status {
	PL_WIRE_OK = 0,
	PL_WIRE_RUNT,      /* shorter than an empty request */
	PL_WIRE_OVERSIZED, /* longer than PL_WIRE_REQ_SIZE_MAX */
	PL_WIRE_NOT_REQUEST,
};

/** What a datagram shows before it is opened. Cheap, reads 16 bytes, trusts nothing. */
enum pl_wire_status pl_wire_req_peek(const uint8_t *data, uint32_t size,
				     struct pl_wire_req_hdr *hdr);

/** 12-byte GCM nonces: gateway_id | counter, and appliance_queue | counter. */
void pl_wire_req_nonce(const struct pl_wire_req_hdr *hdr, uint8_t nonce[12]);
void pl_wire_rep_nonce(const struct pl_wire_rep_hdr *hdr, uint8_t nonce[12]);

/**
 * Read an opened request.
 *
 * @param data  the whole datagram, its sealed part decrypted in place.
 * @return PL_V_NONE and the head, or the verdict that the whole datagram gets: PL_V_VERSION for
 *         a version we do not speak, PL_V_MALFORMED when the counts or sizes do not agree.
 */
enum pl_verdict pl_wire_req_read(const uint8_t *data, uint32_t size, struct pl_wire_req_head *head);

/** Scan idx of an opened request that pl_wire_req_read() accepted. */
static inline const uint8_t *pl_wire_req_scan(const uint8_t *data, uint32_t idx)
{
	return data + PL_WIRE_REQ_HDR_SIZE + PL_WIRE_REQ_HEAD_SIZE + idx * PL_WIRE_SCAN_SIZE;
}

/**
 * Write a request, unsealed: header, head and scans; the caller seals it (lib/seal).
 *
 * @param scan_cnt  0 .. PL_WIRE_SCANS_MAX.
 * @return size of the whole datagram with room for the tag, or 0 if scan_cnt is too large.
 */
uint32_t pl_wire_req_write(uint8_t *data, const struct pl_wire_req_hdr *hdr,
			   const struct pl_wire_req_head *head, const struct pl_wire_scan *scans,
			   uint32_t scan_cnt);

/** Write header and head of a reply; verdicts go to pl_wire_rep_verdicts(). Returns its size. */
uint32_t pl_wire_rep_write(uint8_t *data, const struct pl_wire_rep_hdr *hdr,
			   const struct pl_wire_rep_head *head);

static inline uint8_t *pl_wire_rep_verdicts(uint8_t *data)
{
	return data + PL_WIRE_REP_HDR_SIZE + PL_WIRE_REP_HEAD_SIZE;
}

/** Header of a reply before it is opened: false if it cannot be one. */
bool pl_wire_rep_peek(const uint8_t *data, uint32_t size, struct pl_wire_rep_hdr *hdr);

/** Head of an opened reply: false if counts and sizes do not agree. */
bool pl_wire_rep_read(const uint8_t *data, uint32_t size, struct pl_wire_rep_head *head);

#endif
