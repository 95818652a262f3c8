/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The asker's side over byte spans: UDP datagrams to one peer, finding its Ethernet address, and
 * knowing its answers. For load drivers and tests that have a port and no kernel.
 */
#ifndef PL_NET_ASK_H
#define PL_NET_ASK_H

#include "base/pl_base.h"
#include "net/pl_net.h"

/** Ethernet, VLAN, IPv6 and UDP headers: the most that comes before a payload. */
#define PL_NET_ASK_HEADERS_MAX 66u
/** Room for a question about the peer's Ethernet address. */
#define PL_NET_ASK_WHO_SIZE_MAX 96u

/** One direction of a conversation. Ports and VLAN in host order. */
struct pl_net_flow {
	uint8_t src_mac[6];
	uint8_t dst_mac[6];
	uint16_t vlan_id; /* 0: untagged */
	uint16_t src_port;
	uint16_t dst_port;
	bool is_ip6;
	uint8_t src_ip[16]; /* IPv4: the first four bytes */
	uint8_t dst_ip[16];
};

/** Where the payload begins. */
uint32_t pl_net_flow_headers_size(const struct pl_net_flow *flow);

/**
 * Write the headers, checksums included, before a payload that is in place already.
 *
 * @param frame  headers and payload; payload_size is at most what fits PL_NET_MTU.
 * @return the frame's size, at least 60: a shorter one is filled up with zeros, so frame has room
 *         for PL_NET_ASK_HEADERS_MAX + payload_size + 60 bytes.
 */
uint32_t pl_net_flow_write(const struct pl_net_flow *flow, uint8_t *frame, uint32_t payload_size);

/**
 * A datagram from the flow's peer to its source address?
 *
 * @param csum      check the checksums too.
 * @param dst_port  its destination port.
 * @return the payload's offset, or 0 if it is not one.
 */
uint32_t pl_net_flow_match(const struct pl_net_flow *flow, const uint8_t *frame, uint32_t size,
			   bool csum, uint32_t *payload_size, uint16_t *dst_port);

/** Ask who has the flow's destination address: ARP request or neighbour solicitation. @return size */
uint32_t pl_net_flow_who(const struct pl_net_flow *flow, uint8_t frame[PL_NET_ASK_WHO_SIZE_MAX]);

/** The answer to that? Then mac is set: ARP reply, or neighbour advertisement (checksum checked). */
bool pl_net_flow_is_me(const struct pl_net_flow *flow, const uint8_t *frame, uint32_t size,
		       uint8_t mac[6]);

#endif
