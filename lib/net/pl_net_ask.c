/* SPDX-License-Identifier: BSD-3-Clause */

#include "net/pl_net_ask.h"

#include "net/pl_net_pvt.h"

static const uint8_t mac_all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static uint32_t l2_size_of(const struct pl_net_flow *flow)
{
	return PL_ETH_SIZE + (flow->vlan_id != 0 ? PL_VLAN_SIZE : 0);
}

uint32_t pl_net_flow_headers_size(const struct pl_net_flow *flow)
{
	return l2_size_of(flow) + (flow->is_ip6 ? PL_IP6_SIZE : PL_IP4_SIZE) + PL_UDP_SIZE;
}

static uint32_t l2_write(const struct pl_net_flow *flow, const uint8_t dst[6], uint32_t type,
			 uint8_t *frame)
{
	struct pl_eth *eth = (struct pl_eth *)frame;

	memcpy(eth->dst, dst, 6);
	memcpy(eth->src, flow->src_mac, 6);
	if (flow->vlan_id == 0) {
		pl_be16_put(eth->type, type);
		return PL_ETH_SIZE;
	}
	pl_be16_put(eth->type, PL_ETHERTYPE_VLAN);
	pl_be16_put(frame + PL_ETH_SIZE, flow->vlan_id);
	pl_be16_put(frame + PL_ETH_SIZE + 2, type);
	return PL_ETH_SIZE + PL_VLAN_SIZE;
}

/* Headers up to the transport; returns the pseudo-header's sum. */
static uint64_t ip_write(const struct pl_net_flow *flow, uint8_t *p, uint32_t proto, uint32_t hops,
			 uint32_t l4_size)
{
	struct pl_ip4 *ip4 = (struct pl_ip4 *)p;
	struct pl_ip6 *ip6 = (struct pl_ip6 *)p;

	if (flow->is_ip6) {
		memset(ip6, 0, sizeof(*ip6));
		ip6->ver_class_flow[0] = 0x60;
		pl_be16_put(ip6->payload, l4_size);
		ip6->next = (uint8_t)proto;
		ip6->hops = (uint8_t)hops;
		memcpy(ip6->src, flow->src_ip, 16);
		memcpy(ip6->dst, flow->dst_ip, 16);
		return pl_csum_pseudo6(ip6, proto, l4_size);
	}
	memset(ip4, 0, sizeof(*ip4));
	ip4->ver_ihl = 0x45;
	pl_be16_put(ip4->total, PL_IP4_SIZE + l4_size);
	ip4->frag[0] = PL_IP4_DF_BE0;
	ip4->ttl = (uint8_t)hops;
	ip4->proto = (uint8_t)proto;
	memcpy(ip4->src, flow->src_ip, 4);
	memcpy(ip4->dst, flow->dst_ip, 4);
	pl_le16_put(ip4->csum, (uint16_t)~pl_csum_fold(pl_csum_add(0, ip4, PL_IP4_SIZE)));
	return pl_csum_pseudo4(ip4, l4_size);
}

static uint32_t fill_up(uint8_t *frame, uint32_t size)
{
	if (size >= PL_NET_FRAME_SIZE_MIN)
		return size;
	memset(frame + size, 0, PL_NET_FRAME_SIZE_MIN - size);
	return PL_NET_FRAME_SIZE_MIN;
}

uint32_t pl_net_flow_write(const struct pl_net_flow *flow, uint8_t *frame, uint32_t payload_size)
{
	uint32_t l2_size = l2_write(flow, flow->dst_mac,
				    flow->is_ip6 ? PL_ETHERTYPE_IP6 : PL_ETHERTYPE_IP4, frame);
	uint32_t l4_off = l2_size + (flow->is_ip6 ? PL_IP6_SIZE : PL_IP4_SIZE);
	uint32_t l4_size = PL_UDP_SIZE + payload_size;
	struct pl_udp *udp = (struct pl_udp *)(frame + l4_off);
	uint64_t sum = ip_write(flow, frame + l2_size, PL_IPPROTO_UDP, PL_IP_TTL, l4_size);
	uint16_t csum;

	pl_be16_put(udp->src, flow->src_port);
	pl_be16_put(udp->dst, flow->dst_port);
	pl_be16_put(udp->size, l4_size);
	pl_le16_put(udp->csum, 0);
	csum = (uint16_t)~pl_csum_fold(pl_csum_add(sum, udp, l4_size));
	/* A sum of 0 is sent as its other form, for 0 means "none": RFC 768. */
	pl_le16_put(udp->csum, csum == 0 ? 0xffff : csum);
	return fill_up(frame, l4_off + l4_size);
}

/* The link layer of a frame for us, of this type? Returns its size, or 0. */
static uint32_t l2_match(const struct pl_net_flow *flow, const uint8_t *frame, uint32_t size,
			 uint32_t type)
{
	const struct pl_eth *eth = (const struct pl_eth *)frame;
	uint32_t l2_size = l2_size_of(flow);

	if (size < l2_size || !pl_mac_same(eth->dst, flow->src_mac))
		return 0;
	if (flow->vlan_id != 0 && (pl_be16_get(eth->type) != PL_ETHERTYPE_VLAN ||
				   (pl_be16_get(frame + PL_ETH_SIZE) & 0xfff) != flow->vlan_id))
		return 0;
	return pl_be16_get(frame + l2_size - 2) == type ? l2_size : 0;
}

/* The IP header of a packet from our peer to us? Returns the transport's size, or 0. */
static uint32_t ip_match(const struct pl_net_flow *flow, const uint8_t *p, uint32_t size,
			 uint32_t proto, bool csum, uint64_t *pseudo)
{
	const struct pl_ip4 *ip4 = (const struct pl_ip4 *)p;
	const struct pl_ip6 *ip6 = (const struct pl_ip6 *)p;
	uint32_t l4_size;

	if (flow->is_ip6) {
		if (size < PL_IP6_SIZE || ip6->next != proto ||
		    !pl_ip6_same(ip6->src, flow->dst_ip) || !pl_ip6_same(ip6->dst, flow->src_ip))
			return 0;
		l4_size = pl_be16_get(ip6->payload);
		*pseudo = pl_csum_pseudo6(ip6, proto, l4_size);
		return l4_size <= size - PL_IP6_SIZE ? l4_size : 0;
	}
	if (size < PL_IP4_SIZE || ip4->ver_ihl != 0x45 || ip4->proto != proto ||
	    pl_le32_get(ip4->src) != pl_le32_get(flow->dst_ip) ||
	    pl_le32_get(ip4->dst) != pl_le32_get(flow->src_ip))
		return 0;
	l4_size = pl_be16_get(ip4->total);
	if (l4_size < PL_IP4_SIZE || l4_size > size)
		return 0;
	if (csum && pl_csum_fold(pl_csum_add(0, ip4, PL_IP4_SIZE)) != 0xffff)
		return 0;
	l4_size -= PL_IP4_SIZE;
	*pseudo = pl_csum_pseudo4(ip4, l4_size);
	return l4_size;
}

uint32_t pl_net_flow_match(const struct pl_net_flow *flow, const uint8_t *frame, uint32_t size,
			   bool csum, uint32_t *payload_size, uint16_t *dst_port)
{
	uint32_t ip_size = flow->is_ip6 ? PL_IP6_SIZE : PL_IP4_SIZE;
	uint32_t l2_size =
		l2_match(flow, frame, size, flow->is_ip6 ? PL_ETHERTYPE_IP6 : PL_ETHERTYPE_IP4);
	const struct pl_udp *udp;
	uint64_t pseudo;
	uint32_t l4_size;

	if (l2_size == 0)
		return 0;
	l4_size = ip_match(flow, frame + l2_size, size - l2_size, PL_IPPROTO_UDP, csum, &pseudo);
	if (l4_size < PL_UDP_SIZE)
		return 0;
	udp = (const struct pl_udp *)(frame + l2_size + ip_size);
	if (pl_be16_get(udp->size) != l4_size || pl_be16_get(udp->src) != flow->dst_port)
		return 0;
	if (csum && (pl_le16_get(udp->csum) == 0 ||
		     pl_csum_fold(pl_csum_add(pseudo, udp, l4_size)) != 0xffff))
		return 0;
	*dst_port = (uint16_t)pl_be16_get(udp->dst);
	*payload_size = l4_size - PL_UDP_SIZE;
	return l2_size + ip_size + PL_UDP_SIZE;
}

static uint32_t arp_write(const struct pl_net_flow *flow, uint8_t *frame)
{
	uint32_t l2_size = l2_write(flow, mac_all, PL_ETHERTYPE_ARP, frame);
	struct pl_arp *arp = (struct pl_arp *)(frame + l2_size);

	memset(arp, 0, sizeof(*arp));
	pl_be16_put(arp->htype, 1);
	pl_be16_put(arp->ptype, PL_ETHERTYPE_IP4);
	arp->hlen = 6;
	arp->plen = 4;
	pl_be16_put(arp->op, PL_ARP_REQUEST);
	memcpy(arp->sha, flow->src_mac, 6);
	memcpy(arp->spa, flow->src_ip, 4);
	memcpy(arp->tpa, flow->dst_ip, 4);
	return fill_up(frame, l2_size + PL_ARP_SIZE);
}

static uint32_t solicitation_write(const struct pl_net_flow *flow, uint8_t *frame)
{
	static const uint8_t group[13] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
	const uint32_t l4_size = PL_ND_SIZE + PL_ND_OPT;
	struct pl_net_flow to_group = *flow;
	uint32_t l2_size;
	struct pl_nd *nd;
	uint8_t mac[6], *option;
	uint64_t sum;

	pl_net_solicited_mac(flow->dst_ip, mac);
	memcpy(to_group.dst_ip, group, sizeof(group)); /* RFC 4291 2.7.1: the last 24 bits stay */
	l2_size = l2_write(flow, mac, PL_ETHERTYPE_IP6, frame);
	sum = ip_write(&to_group, frame + l2_size, PL_IPPROTO_ICMP6, PL_ND_HOPS, l4_size);
	nd = (struct pl_nd *)(frame + l2_size + PL_IP6_SIZE);
	memset(nd, 0, sizeof(*nd));
	nd->icmp.type = PL_ICMP6_NS;
	memcpy(nd->target, flow->dst_ip, 16);
	option = (uint8_t *)(nd + 1);
	option[0] = PL_ND_OPT_SOURCE_LL;
	option[1] = 1;
	memcpy(option + 2, flow->src_mac, 6);
	pl_le16_put(nd->icmp.csum, (uint16_t)~pl_csum_fold(pl_csum_add(sum, nd, l4_size)));
	return l2_size + PL_IP6_SIZE + l4_size;
}

uint32_t pl_net_flow_who(const struct pl_net_flow *flow, uint8_t frame[PL_NET_ASK_WHO_SIZE_MAX])
{
	return flow->is_ip6 ? solicitation_write(flow, frame) : arp_write(flow, frame);
}

static bool arp_tells(const struct pl_net_flow *flow, const uint8_t *frame, uint32_t size,
		      uint8_t mac[6])
{
	uint32_t l2_size = l2_match(flow, frame, size, PL_ETHERTYPE_ARP);
	const struct pl_arp *arp = (const struct pl_arp *)(frame + l2_size);

	if (l2_size == 0 || size - l2_size < PL_ARP_SIZE)
		return false;
	if (pl_be16_get(arp->htype) != 1 || pl_be16_get(arp->ptype) != PL_ETHERTYPE_IP4 ||
	    arp->hlen != 6 || arp->plen != 4 || pl_be16_get(arp->op) != PL_ARP_REPLY ||
	    pl_le32_get(arp->spa) != pl_le32_get(flow->dst_ip) || pl_mac_is_group(arp->sha))
		return false;
	memcpy(mac, arp->sha, 6);
	return true;
}

static bool advertisement_tells(const struct pl_net_flow *flow, const uint8_t *frame, uint32_t size,
				uint8_t mac[6])
{
	uint32_t l2_size = l2_match(flow, frame, size, PL_ETHERTYPE_IP6);
	const struct pl_nd *nd = (const struct pl_nd *)(frame + l2_size + PL_IP6_SIZE);
	const uint8_t *option = (const uint8_t *)(nd + 1);
	uint64_t sum;
	uint32_t l4_size;

	if (l2_size == 0)
		return false;
	l4_size = ip_match(flow, frame + l2_size, size - l2_size, PL_IPPROTO_ICMP6, true, &sum);
	if (l4_size < PL_ND_SIZE + PL_ND_OPT ||
	    pl_csum_fold(pl_csum_add(sum, nd, l4_size)) != 0xffff)
		return false;
	if (nd->icmp.type != PL_ICMP6_NA || !pl_ip6_same(nd->target, flow->dst_ip) ||
	    option[0] != PL_ND_OPT_TARGET_LL || option[1] != 1 || pl_mac_is_group(option + 2))
		return false;
	memcpy(mac, option + 2, 6);
	return true;
}

bool pl_net_flow_is_me(const struct pl_net_flow *flow, const uint8_t *frame, uint32_t size,
		       uint8_t mac[6])
{
	return flow->is_ip6 ? advertisement_tells(flow, frame, size, mac)
			    : arp_tells(flow, frame, size, mac);
}
