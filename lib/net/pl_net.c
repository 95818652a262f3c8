/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of a datagram: in through pl_net_parse(), out through pl_net_udp_reply(). */
#include "net/pl_net_pvt.h"

static_assert(PL_DROP_NONE <= UINT8_MAX, "pl_net_frame.drop holds a byte");

static const uint8_t mac_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* Is host part of ip all ones, or all zeros (the old form of a broadcast, RFC 1122 3.3.6), in
 * one of our subnets? A /31 and a /32 have no broadcast address (RFC 3021). */
static bool subnet_broadcast(const struct pl_net_if *nif, uint32_t ip)
{
	for (uint32_t i = 0; i < nif->ip4_cnt; i++) {
		uint32_t ours = __builtin_bswap32(pl_le32_get(nif->ip4[i]));
		uint32_t prefix = nif->ip4_prefix[i];
		uint32_t host_mask;

		if (prefix == 0 || prefix > 30)
			continue;
		host_mask = UINT32_MAX >> prefix;
		if (((ip ^ ours) & ~host_mask) != 0)
			continue;
		if ((ip & host_mask) == host_mask || (ip & host_mask) == 0)
			return true;
	}
	return false;
}

bool pl_net_ip4_source_ok(const struct pl_net_if *nif, const uint8_t ip[4])
{
	/* "This network", loopback, multicast, reserved and limited broadcast: RFC 6890. */
	if (ip[0] == 0 || ip[0] == 127 || ip[0] >= 224)
		return false;
	return !pl_net_has_ip4(nif, ip) &&
	       !subnet_broadcast(nif, __builtin_bswap32(pl_le32_get(ip)));
}

bool pl_net_ip6_source_ok(const struct pl_net_if *nif, const uint8_t ip[16])
{
	/* Multicast, then ::, ::1 and all of the IPv4-compatible and IPv4-mapped ranges. */
	if (ip[0] == 0xff)
		return false;
	if (pl_le64_get(ip) == 0 && (pl_le32_get(ip + 8) == 0 || pl_le32_get(ip + 8) == 0xffff0000))
		return false;
	return !pl_net_has_ip6(nif, ip);
}

static void parse_udp(const struct pl_net_if *nif, struct pl_net_frame *f, uint32_t l4_size)
{
	const struct pl_udp *udp = (const struct pl_udp *)(f->data + f->l2_size + f->l3_size);

	if (PL_UNLIKELY(l4_size < PL_UDP_SIZE || pl_be16_get(udp->size) != l4_size)) {
		pl_net_drop(f, PL_DROP_UDP_HEADER);
		return;
	}
	if (pl_le16_get(udp->csum) == 0) {
		/* Over IPv4 the sender may leave it out; the seal covers the payload anyway. Over
		 * IPv6 it also guards the addresses, and RFC 8200 8.1 forbids leaving it out. */
		if (f->is_ip6) {
			pl_net_drop(f, PL_DROP_UDP_CHECKSUM);
			return;
		}
	} else if (f->l4_csum == PL_NET_CSUM_BAD) {
		pl_net_drop(f, PL_DROP_UDP_CHECKSUM);
		return;
	} else if (f->l4_csum != PL_NET_CSUM_GOOD) {
		const uint8_t *ip = f->data + f->l2_size;
		uint64_t sum = f->is_ip6 ? pl_csum_pseudo6((const struct pl_ip6 *)ip,
							   PL_IPPROTO_UDP, l4_size)
					 : pl_csum_pseudo4((const struct pl_ip4 *)ip, l4_size);

		if (PL_UNLIKELY(pl_csum_fold(pl_csum_add(sum, udp, l4_size)) != 0xffff)) {
			pl_net_drop(f, PL_DROP_UDP_CHECKSUM);
			return;
		}
	}
	if (PL_UNLIKELY(pl_be16_get(udp->dst) != nif->udp_port || pl_le16_get(udp->src) == 0)) {
		pl_net_drop(f, PL_DROP_UDP_PORT);
		return;
	}
	f->payload_off = (uint16_t)(f->l2_size + f->l3_size + PL_UDP_SIZE);
	f->payload_size = (uint16_t)(l4_size - PL_UDP_SIZE);
	f->kind = PL_NET_UDP;
}

/* What is wrong with this IPv4 header, up to the protocol; PL_DROP_NONE if nothing. */
static enum pl_drop ip4_fault(const struct pl_net_if *nif, const struct pl_net_frame *f,
			      const struct pl_ip4 *ip, uint32_t left)
{
	uint32_t header_size, total_size;

	if (left < PL_IP4_SIZE)
		return PL_DROP_FRAME_RUNT;
	header_size = (ip->ver_ihl & 15u) * 4;
	total_size = pl_be16_get(ip->total);
	/* Bytes after the datagram are Ethernet padding; a datagram cut short is not tolerated. */
	if (ip->ver_ihl >> 4 != 4 || header_size < PL_IP4_SIZE || total_size < header_size ||
	    total_size > left)
		return PL_DROP_IP_HEADER;
	if (f->ip_csum == PL_NET_CSUM_BAD ||
	    (f->ip_csum != PL_NET_CSUM_GOOD &&
	     pl_csum_fold(pl_csum_add(0, ip, header_size)) != 0xffff))
		return PL_DROP_IP_CHECKSUM;
	if (header_size > PL_IP4_SIZE)
		return PL_DROP_IP_OPTIONS;
	if ((pl_be16_get(ip->frag) & 0x3fff) != 0) /* more fragments, or an offset */
		return PL_DROP_IP_FRAGMENT;
	if (!pl_net_ip4_source_ok(nif, ip->src))
		return PL_DROP_IP_SOURCE;
	if (!pl_net_has_ip4(nif, ip->dst))
		return PL_DROP_IP_DEST;
	return PL_DROP_NONE;
}

static void parse_ip4(const struct pl_net_if *nif, struct pl_net_frame *f)
{
	const struct pl_ip4 *ip = (const struct pl_ip4 *)(f->data + f->l2_size);
	enum pl_drop fault = ip4_fault(nif, f, ip, f->size - f->l2_size);
	uint32_t l4_size;

	if (PL_UNLIKELY(fault != PL_DROP_NONE)) {
		pl_net_drop(f, fault);
		return;
	}
	l4_size = pl_be16_get(ip->total) - PL_IP4_SIZE;
	f->l3_size = PL_IP4_SIZE;
	if (PL_LIKELY(ip->proto == PL_IPPROTO_UDP))
		parse_udp(nif, f, l4_size);
	else if (ip->proto == PL_IPPROTO_ICMP)
		pl_net_icmp4(nif, f, l4_size);
	else
		pl_net_drop(f, PL_DROP_IP_PROTO);
}

/* The drop reason of a next header that is not an upper layer we speak. */
static enum pl_drop ip6_next_fault(uint32_t next)
{
	switch (next) {
	case PL_IPPROTO_FRAG:
		return PL_DROP_IP_FRAGMENT;
	case PL_IPPROTO_HOPOPTS:
	case PL_IPPROTO_ROUTING:
	case PL_IPPROTO_ESP:
	case PL_IPPROTO_AH:
	case PL_IPPROTO_DSTOPTS:
	case PL_IPPROTO_MOBILE:
	case PL_IPPROTO_HIP:
	case PL_IPPROTO_SHIM6:
		return PL_DROP_IP_OPTIONS;
	default:
		return PL_DROP_NONE;
	}
}

/* ff02::1:ffXX:XXXX of one of our addresses: RFC 4291 2.7.1. */
static bool is_solicited_node(const struct pl_net_if *nif, const uint8_t ip[16])
{
	static const uint8_t prefix[13] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};

	if (memcmp(ip, prefix, sizeof(prefix)) != 0)
		return false;
	for (uint32_t i = 0; i < nif->ip6_cnt; i++)
		if (memcmp(nif->ip6[i] + 13, ip + 13, 3) == 0)
			return true;
	return false;
}

static void parse_ip6(const struct pl_net_if *nif, struct pl_net_frame *f)
{
	const struct pl_eth *eth = (const struct pl_eth *)f->data;
	const struct pl_ip6 *ip = (const struct pl_ip6 *)(f->data + f->l2_size);
	uint32_t left = f->size - f->l2_size;
	bool to_group = false;
	enum pl_drop fault = PL_DROP_NONE;
	uint32_t l4_size = 0;

	if (left < PL_IP6_SIZE)
		fault = PL_DROP_FRAME_RUNT;
	else if (ip->ver_class_flow[0] >> 4 != 6 || pl_be16_get(ip->payload) > left - PL_IP6_SIZE)
		fault = PL_DROP_IP_HEADER;
	else
		fault = ip6_next_fault(ip->next);
	if (PL_UNLIKELY(fault != PL_DROP_NONE)) {
		pl_net_drop(f, fault);
		return;
	}
	l4_size = pl_be16_get(ip->payload);
	/* Only duplicate address detection may come from ::, and only a solicitation may come to
	 * a group; pl_net_icmp6() sees to the rest of both. */
	if (PL_UNLIKELY(!pl_net_ip6_source_ok(nif, ip->src) &&
			!(pl_ip6_is_zero(ip->src) && ip->next == PL_IPPROTO_ICMP6))) {
		pl_net_drop(f, PL_DROP_IP_SOURCE);
		return;
	}
	if (PL_UNLIKELY(!pl_net_has_ip6(nif, ip->dst))) {
		to_group = ip->next == PL_IPPROTO_ICMP6 && is_solicited_node(nif, ip->dst);
		if (!to_group) {
			pl_net_drop(f, PL_DROP_IP_DEST);
			return;
		}
	}
	/* A group's frame must be addressed to that group, or to us alone (RFC 6085). */
	if (PL_UNLIKELY(pl_mac_is_group(eth->dst) &&
			!(to_group && memcmp(eth->dst + 2, ip->dst + 12, 4) == 0))) {
		pl_net_drop(f, PL_DROP_ETH_DEST);
		return;
	}
	f->l3_size = PL_IP6_SIZE;
	f->is_ip6 = 1;
	if (PL_LIKELY(ip->next == PL_IPPROTO_UDP))
		parse_udp(nif, f, l4_size);
	else if (ip->next == PL_IPPROTO_ICMP6)
		pl_net_icmp6(nif, f, l4_size, to_group);
	else
		pl_net_drop(f, PL_DROP_IP_PROTO);
}

/* Size of the Ethernet header with its tag, or 0 if the frame is on another VLAN or too short. */
static uint32_t l2_parse(const struct pl_net_if *nif, struct pl_net_frame *f, uint32_t *type)
{
	const struct pl_eth *eth = (const struct pl_eth *)f->data;
	uint32_t vlan_id;

	*type = pl_be16_get(eth->type);
	if (*type != PL_ETHERTYPE_VLAN) {
		if (PL_LIKELY(nif->vlan_id == 0))
			return PL_ETH_SIZE;
		pl_net_drop(f, PL_DROP_VLAN);
		return 0;
	}
	if (f->size < PL_ETH_SIZE + PL_VLAN_SIZE) {
		pl_net_drop(f, PL_DROP_FRAME_RUNT);
		return 0;
	}
	/* VLAN 0 is no VLAN, just a priority: IEEE 802.1Q 6.9. Its tag stays on the answer. */
	vlan_id = pl_be16_get(f->data + PL_ETH_SIZE) & 0x0fff;
	if (vlan_id != nif->vlan_id) {
		pl_net_drop(f, PL_DROP_VLAN);
		return 0;
	}
	*type = pl_be16_get(f->data + PL_ETH_SIZE + 2);
	return PL_ETH_SIZE + PL_VLAN_SIZE;
}

void pl_net_parse(const struct pl_net_if *nif, struct pl_net_frame *f)
{
	const struct pl_eth *eth = (const struct pl_eth *)f->data;
	bool to_us, type_ok;
	uint32_t type;

	f->kind = PL_NET_DROP;
	f->drop = PL_DROP_NONE;
	f->payload_off = 0;
	f->payload_size = 0;
	f->l2_size = 0;
	f->l3_size = 0;
	f->is_ip6 = 0;
	if (PL_UNLIKELY(f->size < PL_ETH_SIZE)) {
		pl_net_drop(f, PL_DROP_FRAME_RUNT);
		return;
	}
	if (PL_UNLIKELY(pl_mac_is_group(eth->src) || pl_mac_is_zero(eth->src) ||
			pl_mac_same(eth->src, nif->mac))) {
		pl_net_drop(f, PL_DROP_ETH_SOURCE);
		return;
	}
	to_us = pl_mac_same(eth->dst, nif->mac);
	if (PL_UNLIKELY(!to_us && !pl_mac_is_group(eth->dst))) {
		pl_net_drop(f, PL_DROP_ETH_DEST);
		return;
	}
	f->l2_size = (uint8_t)l2_parse(nif, f, &type);
	if (PL_UNLIKELY(f->l2_size == 0))
		return;
	/* To a group only what asks who has an address: ARP to all, solicitations to 33:33. */
	type_ok = type == PL_ETHERTYPE_IP4 || type == PL_ETHERTYPE_IP6 || type == PL_ETHERTYPE_ARP;
	if (PL_UNLIKELY(!type_ok))
		pl_net_drop(f, PL_DROP_ETH_TYPE);
	else if (PL_UNLIKELY(!to_us &&
			     !(type == PL_ETHERTYPE_ARP && pl_mac_same(eth->dst, mac_broadcast)) &&
			     !(type == PL_ETHERTYPE_IP6 && pl_be16_get(eth->dst) == 0x3333)))
		pl_net_drop(f, PL_DROP_ETH_DEST);
	else if (type == PL_ETHERTYPE_IP4)
		parse_ip4(nif, f);
	else if (type == PL_ETHERTYPE_IP6)
		parse_ip6(nif, f);
	else
		pl_net_arp(nif, f);
}

/* Swap the addresses and write the rest of the header anew. */
void pl_net_ip4_turn(struct pl_net_frame *f, uint32_t total_size, bool offload_csum)
{
	struct pl_ip4 *ip = (struct pl_ip4 *)(f->data + f->l2_size);
	uint32_t src = pl_le32_get(ip->src), dst = pl_le32_get(ip->dst);
	uint8_t *words = (uint8_t *)ip;
	/* Version and size as they were, no type of service. */
	uint32_t first = ip->ver_ihl | (uint32_t)__builtin_bswap16((uint16_t)total_size) << 16;
	/* With DF set an identification means nothing: RFC 6864 4.1. */
	uint32_t second = (uint32_t)PL_IP4_DF_BE0 << 16;
	uint32_t third = PL_IP_TTL | (uint32_t)ip->proto << 8;
	uint64_t sum = (uint64_t)first + second + third + src + dst;

	/* The sum is made of what is at hand: to load what has just been stored in smaller
	 * pieces stalls. */
	if (!offload_csum)
		third |= (uint32_t)(uint16_t)~pl_csum_fold(sum) << 16;
	pl_le32_put(words, first);
	pl_le32_put(words + 4, second);
	pl_le32_put(words + 8, third);
	pl_le32_put(ip->src, dst);
	pl_le32_put(ip->dst, src);
}

static uint64_t udp_turn_ip6(struct pl_net_frame *f, uint32_t l4_size)
{
	struct pl_ip6 *ip = (struct pl_ip6 *)(f->data + f->l2_size);
	uint8_t src[16];

	memcpy(src, ip->src, 16);
	memcpy(ip->src, ip->dst, 16);
	memcpy(ip->dst, src, 16);
	/* The flow label is the sender's, not ours; ECN is not used. */
	ip->ver_class_flow[0] = 0x60;
	ip->ver_class_flow[1] = 0;
	pl_le16_put(ip->ver_class_flow + 2, 0);
	pl_be16_put(ip->payload, l4_size);
	ip->hops = PL_IP_TTL;
	return pl_csum_pseudo6(ip, PL_IPPROTO_UDP, l4_size);
}

void pl_net_udp_reply(const struct pl_net_if *nif, struct pl_net_frame *f, uint16_t payload_size,
		      bool offload_ip, bool offload_l4)
{
	struct pl_udp *udp = (struct pl_udp *)(f->data + f->l2_size + f->l3_size);
	uint32_t l4_size = PL_UDP_SIZE + payload_size;
	uint32_t ports = pl_le32_get(udp->src);
	uint16_t csum;
	uint64_t sum;

	PL_DCHECK(f->kind == PL_NET_UDP);
	PL_DCHECK(f->payload_off + (uint32_t)payload_size <= f->room);
	pl_net_eth_turn(nif, f);
	if (f->is_ip6) {
		sum = udp_turn_ip6(f, l4_size);
	} else {
		pl_net_ip4_turn(f, PL_IP4_SIZE + l4_size, offload_ip);
		sum = pl_csum_pseudo4((const struct pl_ip4 *)(f->data + f->l2_size), l4_size);
	}
	ports = ports << 16 | ports >> 16;
	pl_le32_put(udp->src, ports);
	pl_be16_put(udp->size, l4_size);
	if (offload_l4) {
		pl_le16_put(udp->csum, pl_csum_fold(sum));
	} else {
		sum += (uint64_t)ports + __builtin_bswap16((uint16_t)l4_size);
		csum = (uint16_t)~pl_csum_fold(
			pl_csum_add(sum, f->data + f->payload_off, payload_size));
		/* A sum of 0 is sent as its other form, for 0 means "none": RFC 768. */
		pl_le16_put(udp->csum, csum == 0 ? 0xffff : csum);
	}
	f->payload_size = payload_size;
	f->size = f->payload_off + (uint32_t)payload_size;
}
