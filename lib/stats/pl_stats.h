/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a worker counts. Every received packet ends in exactly one of: answered, or one drop
 * reason; that sum is an invariant which the tests check:
 *
 *     rx_pkts = answered (reply, ARP, ICMP, ND) + sum over reasons of drops
 *
 * Counters are plain fields owned by the worker; the worker publishes a copy now and then
 * (pl_stats_publish()), and anyone may read that copy (pl_stats_read()).
 */
#ifndef PL_STATS_H
#define PL_STATS_H

#include <stdatomic.h>

#include "base/pl_base.h"
#include "wire/pl_verdict.h"

/* D(id, counter name, text). In the order in which a packet meets them. */
#define PL_DROPS(D)                                                                         \
	D(FRAME_RUNT, "frame_runt", "frame shorter than its headers")                       \
	D(FRAME_SPLIT, "frame_split", "frame in more than one buffer")                      \
	D(ETH_SOURCE, "eth_source", "source address is broadcast or multicast, or our own") \
	D(ETH_DEST, "eth_dest", "not sent to our Ethernet address")                         \
	D(ETH_TYPE, "eth_type", "not ARP, IPv4 or IPv6")                                    \
	D(VLAN, "vlan", "VLAN tag is not the port's")                                       \
	D(ARP, "arp", "ARP that is malformed or not for us")                                \
	D(IP_HEADER, "ip_header", "malformed IP header")                                    \
	D(IP_CHECKSUM, "ip_checksum", "wrong IPv4 header checksum")                         \
	D(IP_OPTIONS, "ip_options", "IPv4 options or IPv6 extension headers")               \
	D(IP_FRAGMENT, "ip_fragment", "fragmented")                                         \
	D(IP_SOURCE, "ip_source", "source address that cannot be answered")                 \
	D(IP_DEST, "ip_dest", "not sent to our IP address")                                 \
	D(IP_PROTO, "ip_proto", "not UDP, ICMP echo or neighbour solicitation")             \
	D(ICMP, "icmp", "ICMP that is malformed or of no interest")                         \
	D(UDP_HEADER, "udp_header", "malformed UDP header")                                 \
	D(UDP_CHECKSUM, "udp_checksum", "wrong or missing UDP checksum")                    \
	D(UDP_PORT, "udp_port", "another UDP port, or source port 0")                       \
	D(RUNT, "runt", "datagram shorter than an empty request")                           \
	D(OVERSIZED, "oversized", "datagram longer than the largest request")               \
	D(NOT_REQUEST, "not_request", "datagram is not a request")                          \
	D(NO_GATEWAY, "no_gateway", "gateway or key epoch is not known")                    \
	D(SHED, "shed", "its gateway, or platform, is over its limit, and was told so")     \
	D(BAD_SEAL, "bad_seal", "datagram does not authenticate")                           \
	D(ERROR_LIMIT, "error_limit", "at fault, and its gateway was told before")          \
	D(NO_NONCE, "no_nonce", "reply counters ran out: state directory is not writable")  \
	D(TX_FULL, "tx_full", "reply built but the port did not take it")

enum pl_drop {
#define D(id, name, text) PL_DROP_##id,
	PL_DROPS(D)
#undef D
		PL_DROP_CNT,
	PL_DROP_NONE = PL_DROP_CNT /* not dropped */
};

/** Static storage; NULL for PL_DROP_NONE and beyond. */
const char *pl_drop_name(uint32_t drop);
const char *pl_drop_text(uint32_t drop);

/* C(field, text): plain totals of one worker. */
#define PL_WORKER_COUNTERS(C)                                                              \
	C(polls, "rx polls")                                                               \
	C(polls_empty, "rx polls that found nothing")                                      \
	C(rx_pkts, "packets received")                                                     \
	C(rx_bytes, "bytes received")                                                      \
	C(tx_pkts, "packets sent")                                                         \
	C(tx_bytes, "bytes sent")                                                          \
	C(replies, "datagrams answered")                                                   \
	C(arp_replies, "ARP requests answered")                                            \
	C(icmp_replies, "echo requests answered, IPv4 and IPv6")                           \
	C(nd_replies, "neighbour solicitations answered")                                  \
	C(error_replies, "datagrams answered with one error for all scans")                \
	C(busy_replies, "of these, the ones told to come back: busy")                      \
	C(scans, "scans answered")                                                         \
	C(resends, "scans that were accepted before and came again")                       \
	C(retries, "datagrams that said they were a retry")                                \
	C(busy_tsc, "cycles spent on polls that found packets")                            \
	C(idle_tsc, "cycles spent on polls that found nothing")                            \
	C(stalls, "times that a worker was not running for a millisecond or more")         \
	C(stalled_tsc, "cycles that these took: preempted, or the machine stood still")    \
	C(other_epoch,                                                                     \
	  "tokens right under another key epoch than the certificate's: wallets to renew") \
	C(clock_waived, "denials resting on time made UNKNOWN: clock")                     \
	C(feed_waived, "denials resting on the feed made UNKNOWN: feed_old or loading")

/** One worker's counters; the hot ones first. Plain u64 fields only: it is copied as words. */
struct pl_counters {
#define C(field, text) uint64_t field;
	PL_WORKER_COUNTERS(C)
#undef C
	uint64_t drops[PL_DROP_CNT];
	uint64_t verdicts[PL_V_CODE_END]; /* by wire code */
};

/** A published copy: written by one worker, read by anyone. */
struct pl_counters_pub {
	_Atomic uint64_t words[sizeof(struct pl_counters) / sizeof(uint64_t)] PL_SHARED(worker,
											ctrl);
};

/** Worker only. Each word is stored whole; words of one copy may be of adjacent publications. */
void pl_stats_publish(struct pl_counters_pub *pub, const struct pl_counters *own);
void pl_stats_read(const struct pl_counters_pub *pub, struct pl_counters *out);
/** to += from, word by word. */
void pl_stats_add(struct pl_counters *to, const struct pl_counters *from);
/** Packets answered, by any of the four kinds of answer. */
uint64_t pl_stats_answered(const struct pl_counters *c);
uint64_t pl_stats_dropped(const struct pl_counters *c);

#endif
