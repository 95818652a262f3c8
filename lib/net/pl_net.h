/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Ethernet, ARP, IPv4, IPv6, ICMP echo, neighbour discovery and UDP over byte spans: just what an
 * appliance with fixed addresses needs to be found and asked. Nothing here knows of mbufs.
 *
 * ARP: RFC 826, 5227 (announcements). IPv4: RFC 791, 1122. ICMP: RFC 792. UDP: RFC 768.
 * IPv6: RFC 8200. ICMPv6: RFC 4443. Neighbour discovery: RFC 4861. Checksums: RFC 1071.
 */
#ifndef PL_NET_H
#define PL_NET_H

#include "base/pl_base.h"
#include "stats/pl_stats.h"

#define PL_NET_ADDRS_MAX 4u
#define PL_NET_MTU       1500u

#define PL_NET_FRAME_SIZE_MIN    60u /* Ethernet, without its checksum */
#define PL_NET_ANNOUNCE_SIZE_MAX 96u /* enough room for any announcement */

/**
 * One port's addresses. Immutable while workers use it. Answers take their Ethernet source and
 * nothing else from here: the rest of an answer comes from the frame that asked.
 */
struct pl_net_if {
	uint8_t mac[6];
	uint16_t vlan_id;  /* 0: untagged; else frames must carry this tag and replies do */
	uint16_t udp_port; /* host order */
	uint8_t ip4_cnt;   /* 0 .. PL_NET_ADDRS_MAX */
	uint8_t ip6_cnt;
	uint8_t ip4[PL_NET_ADDRS_MAX][4];
	uint8_t ip4_prefix[PL_NET_ADDRS_MAX]; /* 0 .. 32; broadcast addresses are derived */
	uint8_t ip6[PL_NET_ADDRS_MAX][16];    /* configured ones and the link-local one */
};

/* What the port has found out about a received frame's checksums. */
enum pl_net_rx_csum {
	PL_NET_CSUM_CHECK = 0, /* nothing: check in software */
	PL_NET_CSUM_GOOD = 1,
	PL_NET_CSUM_BAD = 2,
};

enum pl_net_kind {
	PL_NET_DROP = 0,
	PL_NET_UDP = 1,       /* for our port: payload is set */
	PL_NET_ARP_REPLY = 2, /* the frame has become the answer, ready to send */
	PL_NET_ICMP_REPLY = 3,
	PL_NET_ND_REPLY = 4,
};

/** One frame, before and after. */
struct pl_net_frame {
	uint8_t *data;        /* from the Ethernet header on; rewritten in place */
	uint32_t size;        /* in: received. out, for answers: to send */
	uint32_t room;        /* bytes that data may grow to (an ND answer can be longer) */
	uint16_t payload_off; /* UDP only */
	uint16_t payload_size;
	uint8_t kind;    /* out: enum pl_net_kind */
	uint8_t drop;    /* out: enum pl_drop, when kind is PL_NET_DROP */
	uint8_t ip_csum; /* in: enum pl_net_rx_csum */
	uint8_t l4_csum; /* in */
	/* What the answer needs, from where; for pl_net_udp_reply() and for offload flags. */
	uint8_t l2_size; /* 14, or 18 with a tag */
	uint8_t l3_size; /* 20 or 40 */
	uint8_t is_ip6;
};

/**
 * Classify one frame; an ARP request, echo request or neighbour solicitation for us is turned
 * into its answer in place. Bounded by the frame's size; reads nothing beyond it.
 */
void pl_net_parse(const struct pl_net_if *nif, struct pl_net_frame *f);

/**
 * Turn a parsed UDP frame, whose payload now holds payload_size bytes of reply, into the answer:
 * addresses and ports swapped, sizes and checksums written, f->size set.
 *
 * @param offload_ip, offload_l4  leave the checksum to the port: the IPv4 one as 0, the UDP one as
 *        the pseudo-header's sum, as DPDK's RTE_MBUF_F_TX_UDP_CKSUM wants it.
 */
void pl_net_udp_reply(const struct pl_net_if *nif, struct pl_net_frame *f, uint16_t payload_size,
		      bool offload_ip, bool offload_l4);

/**
 * Frames to announce address idx to the link.
 * @param room  PL_NET_ANNOUNCE_SIZE_MAX or more.
 * @return size, or 0 if room is too small or there is no such address.
 */
uint32_t pl_net_garp(const struct pl_net_if *nif, uint32_t ip4_idx, uint8_t *data, uint32_t room);
uint32_t pl_net_unsolicited_na(const struct pl_net_if *nif, uint32_t ip6_idx, uint8_t *data,
			       uint32_t room);

/** The link-local address of a MAC: EUI-64, RFC 4291. */
void pl_net_link_local(const uint8_t mac[6], uint8_t ip6[16]);
/** The Ethernet group in which neighbours ask for an address: RFC 4291 2.7.1, RFC 2464 7. */
void pl_net_solicited_mac(const uint8_t ip6[16], uint8_t mac[6]);

#endif
