/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a gateway links: scans in, verdicts out, over sealed UDP datagrams to one or more
 * appliances. A call that waits (pl_client_check()) and calls that do not (submit and poll, with
 * one file descriptor to wait on).
 *
 * A client is one thread's. Processes and threads that share a gateway's key each make their own
 * client, with the same state file.
 *
 * When it sends again, and when it does not:
 * - Every request ends by its deadline, with the appliance's answer or with NO_ANSWER for every
 *   scan. Nothing that goes wrong here can become a DENY.
 * - A request without an answer is sent again after a wait that doubles each time, half of it
 *   random, to the next address. It carries the same scans with the same scan ids, so that the
 *   appliance knows it for a resend; counter, sent_at and the attempt number are new.
 * - Sending again is paid from a budget (a token bucket): retry_permille of the requests submitted,
 *   and a burst. However many requests go unanswered, the client sends at most
 *
 *       requests * (1 + retry_permille / 1000) + retry_burst
 *
 *   datagrams. After Google's "Site Reliability Engineering" (2016), chapter 21, and Brooker,
 *   "Timeouts, retries, and backoff with jitter" (Amazon Builders' Library, 2019).
 * - retry_after_ms of a reply is obeyed, plus a random part: after BUSY by that request, for it is over
 *   the share of this gateway, or its platform, and the next one may be within it; after LOADING and
 *   UNSURE by all that would go to that address. What cannot wait that long ends at once with what is
 *   known, or BUSY if that is nothing.
 * - BUSY waits and asks again, if retry_after_ms ends before the deadline. LOADING and UNSURE ask again,
 *   elsewhere if there is an elsewhere; if no better answer comes, that answer is the result. Other
 *   answers are final.
 * - An appliance that says it is draining or loading, or that does not answer three times in a
 *   row, is passed over for some seconds if there is another.
 */
#ifndef PL_CLIENT_H
#define PL_CLIENT_H

#include <sys/socket.h>

#include "base/pl_base.h"
#include "seal/pl_seal.h"
#include "wire/pl_wire.h"

#define PL_CLIENT_ADDRS_MAX       8u
#define PL_CLIENT_ATTEMPTS_MAX    8u /* datagrams for one request */
#define PL_CLIENT_OUTSTANDING_MAX 4096u
#define PL_CLIENT_ADDR_TEXT_SIZE  80u

/** Where an appliance is asked. */
struct pl_client_addr {
	struct sockaddr_storage sa;
	socklen_t sa_size;
};

/**
 * Read "192.0.2.1", "192.0.2.1:4717", "2001:db8::1", "[2001:db8::1]:4717" or "fe80::1%eth0". No
 * names: a gateway must not depend on DNS at noon. Without a port, PL_WIRE_PORT.
 *
 * @return 0, or -EINVAL and what is wrong in error.
 */
PL_MUST_USE int pl_client_addr_parse(const char *text, struct pl_client_addr *out, char *error,
				     size_t error_size);
void pl_client_addr_text(const struct pl_client_addr *addr, char text[PL_CLIENT_ADDR_TEXT_SIZE]);

/** The clocks that a client reads; tests bring their own. */
struct pl_client_clock {
	uint64_t (*monotonic_ns)(void *ctx); /* never 0 */
	uint64_t (*wall_ns)(void *ctx);
	void *ctx;
};

struct pl_client_conf {
	uint32_t gateway_id;
	uint8_t key_epoch;
	uint8_t root[PL_SEAL_KEY_SIZE]; /* the gateway's root key; the caller wipes it */
	const char *state_path;         /* counter state, see pl_client_counter.h; one per key */
	struct pl_client_addr addrs[PL_CLIENT_ADDRS_MAX]; /* in order of preference */
	uint32_t addr_cnt;                                /* 1 .. PL_CLIENT_ADDRS_MAX */
	uint32_t outstanding_max;                         /* 1 .. PL_CLIENT_OUTSTANDING_MAX */
	uint32_t deadline_ms;                             /* 1 .. 600000: from submit to result */
	uint32_t first_retry_ms; /* 1 .. deadline_ms: the first wait; then it doubles */
	uint32_t retry_ms_max;   /* and stays at this; at least first_retry_ms */
	uint32_t attempts_max;   /* 1 (never again) .. PL_CLIENT_ATTEMPTS_MAX */
	uint32_t retry_permille; /* 0 .. 1000: budget earned by each request */
	uint32_t retry_burst;    /* 0 .. 1000: the most that can be saved up; held at start */
	enum pl_seal_engine seal_engine;
	struct pl_client_clock clock; /* functions NULL: the machine's */
};

/** Everything but who, which key and where to. */
void pl_client_conf_default(struct pl_client_conf *conf);

/** How one request ended. */
struct pl_client_result {
	void *cookie;     /* the caller's, from submit */
	bool answered;    /* an appliance said this; if not, the fields of the reply are 0 */
	uint8_t state;    /* enum pl_state */
	uint8_t flags;    /* enum pl_state_flag */
	uint8_t error;    /* PL_V_NONE, or the one verdict that the whole datagram got */
	uint8_t addr_idx; /* of conf.addrs: who answered */
	uint8_t attempts; /* datagrams sent, or tried, for this request */
	uint16_t retry_after_ms;
	uint32_t appliance_queue;
	uint64_t now_ms;       /* the appliance's clock */
	uint32_t as_of;        /* unix s */
	uint32_t waiver_until; /* unix s; 0: none */
	uint64_t rtt_ns;       /* of the datagram that was answered */
	uint64_t took_ns;      /* from submit to the end */
	uint32_t scan_cnt;
	uint32_t verdicts[PL_WIRE_SCANS_MAX]; /* scan_cnt words, PL_WIRE_VERDICT() */
};

/* C(field, text) */
#define PL_CLIENT_COUNTERS(C)                                         \
	C(requests, "requests submitted")                             \
	C(datagrams, "datagrams sent")                                \
	C(retries, "of these, retries")                               \
	C(retries_denied, "retries that the budget did not allow")    \
	C(answered, "requests that ended with an appliance's answer") \
	C(no_answer, "requests that ended without one")               \
	C(waits, "requests that waited because of retry-after")       \
	C(replies, "replies accepted")                                \
	C(late, "replies to nothing outstanding: late or twice")      \
	C(foreign, "datagrams that are no reply to this gateway")     \
	C(bad_seal, "replies that do not authenticate")               \
	C(mismatched, "replies that do not fit their request")        \
	C(send_errors, "datagrams that the system did not take")      \
	C(refused, "ICMP errors: nobody there")                       \
	C(counter_errors, "datagrams not sent for want of a counter")

struct pl_client_stats {
#define C(field, text) uint64_t field;
	PL_CLIENT_COUNTERS(C)
#undef C
};

struct pl_client; /* opaque */

/**
 * @return 0; -EINVAL for a setting out of range, -ENOTSUP if the seal engine does not run here,
 *         or the error of pl_client_counter_open(). error names the thing and the remedy.
 */
PL_MUST_USE int pl_client_create(const struct pl_client_conf *conf, struct pl_client **out,
				 char *error, size_t error_size);
/** Requests outstanding end without a result. Wipes the keys. NULL is allowed. */
void pl_client_destroy(struct pl_client *c);

/**
 * Ask about scans and wait for the result.
 *
 * @param scan_cnt  0 (asks for the appliance's state only) .. PL_WIRE_SCANS_MAX. scan_id must be
 *                  the same each time one scan is asked about, and another for each new scan.
 * @return 0 and a result, NO_ANSWER included; -EAGAIN when outstanding_max requests are out,
 *         -E2BIG for too many scans.
 *
 * Blocks: until the deadline at most, and on the state file once a block of counters. Results of
 * other requests wait for pl_client_poll().
 */
PL_MUST_USE int pl_client_check(struct pl_client *c, const struct pl_wire_scan *scans,
				uint32_t scan_cnt, struct pl_client_result *result);

/**
 * Send scans; the result comes from pl_client_poll() with the cookie. Scans are copied.
 * Errors as for pl_client_check(). Blocks: on the state file once a block of counters.
 */
PL_MUST_USE int pl_client_submit(struct pl_client *c, const struct pl_wire_scan *scans,
				 uint32_t scan_cnt, void *cookie);

/**
 * Receive, send what is due again, and collect results.
 *
 * @param wait_ms  how long to wait for the first result: 0 not at all, -1 while any is outstanding.
 * @return how many results were written, 0 .. result_max.
 */
uint32_t pl_client_poll(struct pl_client *c, struct pl_client_result *results, uint32_t result_max,
			int wait_ms);

/** Readable when pl_client_poll() has something to do; for poll(), epoll and event loops. */
int pl_client_fd(const struct pl_client *c);
/** Requests submitted whose result was not collected yet. */
uint32_t pl_client_outstanding(const struct pl_client *c);
void pl_client_stats_get(const struct pl_client *c, struct pl_client_stats *out);

#endif
