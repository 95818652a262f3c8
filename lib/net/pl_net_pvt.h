/* SPDX-License-Identifier: BSD-3-Clause */
/* Header layouts and checksum arithmetic of lib/net. Every field is bytes, so that a header may
 * lie at any address; numbers on the wire are big-endian. */
#ifndef PL_NET_PVT_H
#define PL_NET_PVT_H

#include "net/pl_net.h"

#define PL_ETH_SIZE  14u
#define PL_VLAN_SIZE 4u
#define PL_ARP_SIZE  28u
#define PL_IP4_SIZE  20u
#define PL_IP6_SIZE  40u
#define PL_UDP_SIZE  8u
#define PL_ICMP_SIZE 8u
#define PL_ND_SIZE   24u /* a solicitation or advertisement without options */
#define PL_ND_OPT    8u  /* one link-layer address option */

#define PL_ETHERTYPE_IP4  0x0800u
#define PL_ETHERTYPE_ARP  0x0806u
#define PL_ETHERTYPE_VLAN 0x8100u
#define PL_ETHERTYPE_IP6  0x86ddu

#define PL_IPPROTO_HOPOPTS 0u
#define PL_IPPROTO_ICMP    1u
#define PL_IPPROTO_UDP     17u
#define PL_IPPROTO_ROUTING 43u
#define PL_IPPROTO_FRAG    44u
#define PL_IPPROTO_ESP     50u
#define PL_IPPROTO_AH      51u
#define PL_IPPROTO_ICMP6   58u
#define PL_IPPROTO_DSTOPTS 60u
#define PL_IPPROTO_MOBILE  135u
#define PL_IPPROTO_HIP     139u
#define PL_IPPROTO_SHIM6   140u

#define PL_IP_TTL     64u
#define PL_ND_HOPS    255u /* RFC 4861 7.1.1: shows that no router forwarded it */
#define PL_IP4_DF_BE0 0x40u

#define PL_ICMP_ECHO_REPLY    0u
#define PL_ICMP_ECHO_REQUEST  8u
#define PL_ICMP6_ECHO_REQUEST 128u
#define PL_ICMP6_ECHO_REPLY   129u
#define PL_ICMP6_NS           135u
#define PL_ICMP6_NA           136u
#define PL_ND_OPT_SOURCE_LL   1u
#define PL_ND_OPT_TARGET_LL   2u
#define PL_NA_SOLICITED       0x40u
#define PL_NA_OVERRIDE        0x20u

#define PL_ARP_REQUEST 1u
#define PL_ARP_REPLY   2u

struct pl_eth {
	uint8_t dst[6];
	uint8_t src[6];
	uint8_t type[2];
};

struct pl_arp {
	uint8_t htype[2];
	uint8_t ptype[2];
	uint8_t hlen;
	uint8_t plen;
	uint8_t op[2];
	uint8_t sha[6];
	uint8_t spa[4];
	uint8_t tha[6];
	uint8_t tpa[4];
};
static_assert(sizeof(struct pl_arp) == PL_ARP_SIZE, "ARP layout");

struct pl_ip4 {
	uint8_t ver_ihl;
	uint8_t tos;
	uint8_t total[2];
	uint8_t id[2];
	uint8_t frag[2];
	uint8_t ttl;
	uint8_t proto;
	uint8_t csum[2];
	uint8_t src[4];
	uint8_t dst[4];
};
static_assert(sizeof(struct pl_ip4) == PL_IP4_SIZE, "IPv4 layout");

struct pl_ip6 {
	uint8_t ver_class_flow[4];
	uint8_t payload[2];
	uint8_t next;
	uint8_t hops;
	uint8_t src[16];
	uint8_t dst[16];
};
static_assert(sizeof(struct pl_ip6) == PL_IP6_SIZE, "IPv6 layout");

struct pl_udp {
	uint8_t src[2];
	uint8_t dst[2];
	uint8_t size[2];
	uint8_t csum[2];
};
static_assert(sizeof(struct pl_udp) == PL_UDP_SIZE, "UDP layout");

struct pl_icmp {
	uint8_t type;
	uint8_t code;
	uint8_t csum[2];
	uint8_t rest[4];
};
static_assert(sizeof(struct pl_icmp) == PL_ICMP_SIZE, "ICMP layout");

/* A neighbour solicitation or advertisement; icmp.rest[0] of the latter holds its flags. */
struct pl_nd {
	struct pl_icmp icmp;
	uint8_t target[16];
};
static_assert(sizeof(struct pl_nd) == PL_ND_SIZE, "ND layout");

static inline uint32_t pl_be16_get(const uint8_t p[2])
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline void pl_be16_put(uint8_t p[2], uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline bool pl_mac_same(const uint8_t a[6], const uint8_t b[6])
{
	return ((pl_le32_get(a) ^ pl_le32_get(b)) |
		(uint32_t)(pl_le16_get(a + 4) ^ pl_le16_get(b + 4))) == 0;
}

static inline bool pl_mac_is_group(const uint8_t mac[6])
{
	return (mac[0] & 1) != 0;
}

static inline bool pl_mac_is_zero(const uint8_t mac[6])
{
	return (pl_le32_get(mac) | pl_le16_get(mac + 4)) == 0;
}

static inline bool pl_ip6_same(const uint8_t a[16], const uint8_t b[16])
{
	return ((pl_le64_get(a) ^ pl_le64_get(b)) | (pl_le64_get(a + 8) ^ pl_le64_get(b + 8))) == 0;
}

static inline bool pl_ip6_is_zero(const uint8_t a[16])
{
	return (pl_le64_get(a) | pl_le64_get(a + 8)) == 0;
}

static inline bool pl_net_has_ip4(const struct pl_net_if *nif, const uint8_t ip[4])
{
	for (uint32_t i = 0; i < nif->ip4_cnt; i++)
		if (pl_le32_get(nif->ip4[i]) == pl_le32_get(ip))
			return true;
	return false;
}

static inline bool pl_net_has_ip6(const struct pl_net_if *nif, const uint8_t ip[16])
{
	for (uint32_t i = 0; i < nif->ip6_cnt; i++)
		if (pl_ip6_same(nif->ip6[i], ip))
			return true;
	return false;
}

/*
 * Checksums, RFC 1071: the one's complement sum does not depend on byte order, so words are added
 * as the machine reads them, 32 bits at a time into 64, and folded once. A frame is far too
 * short for 64 bits to overflow.
 */
static inline uint64_t pl_csum_add(uint64_t sum, const void *data, uint32_t size)
{
	const uint8_t *p = data;
	uint32_t word_cnt = size / 4;

	for (uint32_t i = 0; i < word_cnt; i++)
		sum += pl_le32_get(p + 4 * i);
	p += 4 * word_cnt;
	if (size & 2) {
		sum += pl_le16_get(p);
		p += 2;
	}
	if (size & 1)
		sum += *p;
	return sum;
}

static inline uint16_t pl_csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of a pseudo-header's two numbers; the addresses are added from the IP header. */
static inline uint64_t pl_csum_pseudo(uint32_t proto, uint32_t l4_size)
{
	uint8_t b[4] = {0, (uint8_t)proto, (uint8_t)(l4_size >> 8), (uint8_t)l4_size};

	return (uint64_t)pl_le16_get(b) + pl_le16_get(b + 2);
}

static inline uint64_t pl_csum_pseudo4(const struct pl_ip4 *ip, uint32_t l4_size)
{
	return pl_csum_pseudo(ip->proto, l4_size) + pl_le32_get(ip->src) + pl_le32_get(ip->dst);
}

static inline uint64_t pl_csum_pseudo6(const struct pl_ip6 *ip, uint32_t proto, uint32_t l4_size)
{
	return pl_csum_add(pl_csum_pseudo(proto, l4_size), ip->src, 32);
}

/* An address that no packet on the wire may come from, whatever our own addresses are. */
bool pl_net_ip4_source_ok(const struct pl_net_if *nif, const uint8_t ip[4]);
bool pl_net_ip6_source_ok(const struct pl_net_if *nif, const uint8_t ip[16]);

/* Each answers f in place or sets its drop reason; headers below are known to be in the frame. */
void pl_net_arp(const struct pl_net_if *nif, struct pl_net_frame *f);
void pl_net_icmp4(const struct pl_net_if *nif, struct pl_net_frame *f, uint32_t l4_size);
void pl_net_icmp6(const struct pl_net_if *nif, struct pl_net_frame *f, uint32_t l4_size,
		  bool to_group);

void pl_net_ip4_turn(struct pl_net_frame *f, uint32_t total_size, bool offload_csum);

static inline void pl_net_eth_turn(const struct pl_net_if *nif, struct pl_net_frame *f)
{
	struct pl_eth *eth = (struct pl_eth *)f->data;

	memcpy(eth->dst, eth->src, 6);
	memcpy(eth->src, nif->mac, 6);
}

static inline void pl_net_drop(struct pl_net_frame *f, enum pl_drop why)
{
	f->kind = PL_NET_DROP;
	f->drop = (uint8_t)why;
}

#endif
