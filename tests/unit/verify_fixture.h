/* SPDX-License-Identifier: BSD-3-Clause */
/* A small appliance without a network: keys, a table, two gateways, and the gateway's side of the
 * wire made from the reference engines, so that what is tested is not its own oracle. */
#ifndef VERIFY_FIXTURE_H
#define VERIFY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "verify/pl_verify.h"

#define FX_NOW_S      1639364400u /* 2021-12-13 12:00 in Seoul */
#define FX_TODAY      18974
#define FX_GATEWAY    7u
#define FX_TICK_HZ    1000000000u
#define FX_EPOCH      1u
#define FX_CLASS      17u /* needs a pass; accepts all but medical exemptions */
#define FX_CLASS_FREE 18u /* needs none */
#define FX_SKEW_S     5u
#define FX_KEY_EPOCH  3u /* a token epoch that the appliance holds */
#define FX_NEXT_EPOCH 4u /* and the one that it rotates to; it holds no other */

struct fx {
	struct pl_verify *verify;
	struct pl_counters counters;
	struct pl_policy policy;
	struct pl_token_keys token_keys;
	struct pl_view view;
	struct pl_now now;
	struct pl_gateway_set *gateways;
	uint8_t root[PL_SEAL_KEY_SIZE]; /* FX_GATEWAY's */
	struct pl_table *table;
	struct pl_table_reader *reader;
	struct pl_seal *peer; /* the gateway's engine: libsodium */
	struct pl_seal_key *request_key;
	struct pl_seal_key *reply_key;
	uint8_t master[PL_CERT_KEY_EPOCH_CNT][PL_TOKEN_KEY_SIZE];
	uint64_t counter;
};

/** Which engines the appliance's side uses. */
struct fx_engines {
	enum pl_seal_engine seal;
	int token;
};

void fx_open(struct fx *fx, struct fx_engines engines);
void fx_close(struct fx *fx);

/** Put a certificate into the table. */
void fx_cert(struct fx *fx, const struct pl_cert *c);
/** A valid primary-series certificate with this id. */
struct pl_cert fx_cert_valid(uint64_t id);

/** A scan of a wallet's QR, as a venue of FX_CLASS would send it. */
struct pl_wire_scan fx_scan(const struct fx *fx, const struct pl_cert *c, uint32_t shown_at,
			    uint32_t scan_id);

/** A sealed request; returns its size. data has room for PL_WIRE_REQ_SIZE_MAX. */
uint32_t fx_request(struct fx *fx, uint8_t *data, const struct pl_wire_scan *scans,
		    uint32_t scan_cnt);
/** Seal whatever header and body say; size is the whole datagram's. */
void fx_seal(struct fx *fx, uint8_t *data, uint32_t size);

/** Open and read a reply; false if it does not authenticate. */
bool fx_reply(struct fx *fx, uint8_t *data, uint32_t size, struct pl_wire_rep_hdr *hdr,
	      struct pl_wire_rep_head *head);

/** One scan, one datagram, one verdict word (or the datagram's error code). */
uint32_t fx_ask(struct fx *fx, const struct pl_wire_scan *scan);

/** A sealed request of scan_cnt scans of zeros that says said_cnt, ver and sent_at_ms. */
uint32_t fx_request_with(struct fx *fx, uint8_t *data, uint8_t ver, uint64_t sent_at_ms,
			 uint32_t scan_cnt, uint32_t said_cnt);
/** The error that a datagram gets as a whole; it must be answered, with our clock. */
uint32_t fx_error_of(struct fx *fx, uint8_t *data, uint32_t size);
/** So many windows (lib/verify/pl_shed.h) of nothing but work, nearly all of it FX_GATEWAY's. */
void fx_saturate(struct fx *fx, uint32_t window_cnt);
/** Why a datagram is dropped; it must not be answered. */
enum pl_drop fx_drop_of(struct fx *fx, uint8_t *data, uint32_t size);

#define assert_verdict(word, code) assert_int_equal(PL_WIRE_VERDICT_CODE(word), code)

/** For cmocka: a fixture of each test's own, with the engines that *state names, or the best. */
int fx_setup(void **state);
int fx_teardown(void **state);

#endif
