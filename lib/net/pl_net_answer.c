/* SPDX-License-Identifier: BSD-3-Clause */
/* Being found and pinged: ARP, ICMP echo, neighbour discovery. */
#include "net/pl_net_pvt.h"

static const uint8_t mac_all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t ip6_all_nodes[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

/* A request for one of our addresses, from a sender whose addresses can be answered. */
static bool arp_is_for_us(const struct pl_net_if *nif, const struct pl_arp *arp)
{
	static const uint8_t form[6] = {0, 1, 8, 0, 6, 4}; /* Ethernet, IPv4, 6 and 4 bytes */

	if (memcmp(arp->htype, form, sizeof(form)) != 0 || pl_be16_get(arp->op) != PL_ARP_REQUEST)
		return false;
	if (pl_mac_is_group(arp->sha) || pl_mac_is_zero(arp->sha) ||
	    pl_mac_same(arp->sha, nif->mac))
		return false;
	/* A sender of 0.0.0.0 probes whether the address is taken (RFC 5227): it is. */
	return pl_net_has_ip4(nif, arp->tpa) &&
	       (pl_le32_get(arp->spa) == 0 || pl_net_ip4_source_ok(nif, arp->spa));
}

void pl_net_arp(const struct pl_net_if *nif, struct pl_net_frame *f)
{
	struct pl_arp *arp = (struct pl_arp *)(f->data + f->l2_size);
	uint8_t ip[4];

	if (f->size < f->l2_size + PL_ARP_SIZE) {
		pl_net_drop(f, PL_DROP_FRAME_RUNT);
		return;
	}
	if (!arp_is_for_us(nif, arp)) {
		pl_net_drop(f, PL_DROP_ARP);
		return;
	}
	pl_be16_put(arp->op, PL_ARP_REPLY);
	memcpy(ip, arp->tpa, 4);
	memcpy(arp->tha, arp->sha, 6);
	memcpy(arp->tpa, arp->spa, 4);
	memcpy(arp->sha, nif->mac, 6);
	memcpy(arp->spa, ip, 4);
	pl_net_eth_turn(nif, f);
	f->kind = PL_NET_ARP_REPLY;
	f->size = f->l2_size + PL_ARP_SIZE;
}

/* The type is all that changes in an answer: take the old word out of the sum, put the new one
 * in (RFC 1624, equation 3). Swapped addresses do not change a sum. */
static void icmp_retype(struct pl_icmp *icmp, uint8_t type)
{
	uint8_t old_word[2] = {icmp->type, icmp->code};
	uint8_t new_word[2] = {type, icmp->code};
	uint32_t sum = (uint32_t)(uint16_t)~pl_le16_get(icmp->csum) +
		       (uint32_t)(uint16_t)~pl_le16_get(old_word) + pl_le16_get(new_word);
	uint16_t csum = (uint16_t)~pl_csum_fold(sum);

	icmp->type = type;
	/* Equation 3 gives 0 for a message of zeros only, whose checksum is 0xffff; for any other
	 * that gets 0 the two are the same number. */
	pl_le16_put(icmp->csum, csum == 0 ? 0xffff : csum);
}

void pl_net_icmp4(const struct pl_net_if *nif, struct pl_net_frame *f, uint32_t l4_size)
{
	struct pl_icmp *icmp = (struct pl_icmp *)(f->data + f->l2_size + f->l3_size);

	if (l4_size < PL_ICMP_SIZE || icmp->type != PL_ICMP_ECHO_REQUEST || icmp->code != 0 ||
	    pl_csum_fold(pl_csum_add(0, icmp, l4_size)) != 0xffff) {
		pl_net_drop(f, PL_DROP_ICMP);
		return;
	}
	icmp_retype(icmp, PL_ICMP_ECHO_REPLY);
	pl_net_eth_turn(nif, f);
	pl_net_ip4_turn(f, PL_IP4_SIZE + l4_size, false);
	f->kind = PL_NET_ICMP_REPLY;
	f->size = f->l2_size + PL_IP4_SIZE + l4_size;
}

static void echo6(const struct pl_net_if *nif, struct pl_net_frame *f, uint32_t l4_size)
{
	struct pl_ip6 *ip = (struct pl_ip6 *)(f->data + f->l2_size);
	uint8_t src[16];

	icmp_retype((struct pl_icmp *)(f->data + f->l2_size + f->l3_size), PL_ICMP6_ECHO_REPLY);
	memcpy(src, ip->src, 16);
	memcpy(ip->src, ip->dst, 16);
	memcpy(ip->dst, src, 16);
	ip->hops = PL_IP_TTL;
	pl_net_eth_turn(nif, f);
	f->kind = PL_NET_ICMP_REPLY;
	f->size = f->l2_size + PL_IP6_SIZE + l4_size;
}

/* RFC 4861 7.1.1, all of it, and that the target is ours. */
static bool ns_is_for_us(const struct pl_net_if *nif, const struct pl_ip6 *ip,
			 const struct pl_nd *ns, uint32_t l4_size, bool to_group)
{
	const uint8_t *opt = (const uint8_t *)(ns + 1);
	bool probe = pl_ip6_is_zero(ip->src);
	uint32_t left;

	if (ip->hops != PL_ND_HOPS || ns->icmp.code != 0 || l4_size < PL_ND_SIZE)
		return false;
	if (probe && !to_group)
		return false;
	for (left = l4_size - PL_ND_SIZE; left > 0;) {
		uint32_t opt_size;

		if (left < PL_ND_OPT)
			return false;
		opt_size = opt[1] * 8u;
		if (opt_size == 0 || opt_size > left)
			return false;
		if (probe && opt[0] == PL_ND_OPT_SOURCE_LL)
			return false;
		opt += opt_size;
		left -= opt_size;
	}
	return pl_net_has_ip6(nif, ns->target);
}

/* Write the advertisement of target over the frame; everything but Ethernet is anew. */
static uint32_t na_write(const struct pl_net_if *nif, uint8_t *data, uint32_t l2_size,
			 const uint8_t dst[16], const uint8_t target[16], uint32_t na_flags)
{
	const uint32_t l4_size = PL_ND_SIZE + PL_ND_OPT;
	struct pl_ip6 *ip = (struct pl_ip6 *)(data + l2_size);
	struct pl_nd *na = (struct pl_nd *)(ip + 1);
	uint8_t *opt = (uint8_t *)(na + 1);
	uint64_t sum;

	memset(ip, 0, PL_IP6_SIZE + l4_size);
	ip->ver_class_flow[0] = 0x60;
	pl_be16_put(ip->payload, l4_size);
	ip->next = PL_IPPROTO_ICMP6;
	ip->hops = PL_ND_HOPS;
	memcpy(ip->src, target, 16);
	memcpy(ip->dst, dst, 16);
	na->icmp.type = PL_ICMP6_NA;
	na->icmp.rest[0] = (uint8_t)na_flags;
	memcpy(na->target, target, 16);
	opt[0] = PL_ND_OPT_TARGET_LL;
	opt[1] = PL_ND_OPT / 8;
	memcpy(opt + 2, nif->mac, 6);
	sum = pl_csum_add(pl_csum_pseudo6(ip, PL_IPPROTO_ICMP6, l4_size), na, l4_size);
	pl_le16_put(na->icmp.csum, (uint16_t)~pl_csum_fold(sum));
	return l2_size + PL_IP6_SIZE + l4_size;
}

static void solicitation(const struct pl_net_if *nif, struct pl_net_frame *f, uint32_t l4_size,
			 bool to_group)
{
	const struct pl_ip6 *ip = (const struct pl_ip6 *)(f->data + f->l2_size);
	const struct pl_nd *ns = (const struct pl_nd *)(ip + 1);
	uint8_t dst[16], target[16];
	bool probe = pl_ip6_is_zero(ip->src);

	if (!ns_is_for_us(nif, ip, ns, l4_size, to_group) ||
	    f->room < f->l2_size + PL_IP6_SIZE + PL_ND_SIZE + PL_ND_OPT) {
		pl_net_drop(f, PL_DROP_ICMP);
		return;
	}
	/* Who probes has no address yet: all nodes are told instead (RFC 4861 7.2.4). */
	memcpy(dst, probe ? ip6_all_nodes : ip->src, 16);
	memcpy(target, ns->target, 16);
	pl_net_eth_turn(nif, f);
	if (probe)
		memcpy(f->data, mac_all_nodes, 6);
	f->size = na_write(nif, f->data, f->l2_size, dst, target,
			   PL_NA_OVERRIDE | (probe ? 0 : PL_NA_SOLICITED));
	f->kind = PL_NET_ND_REPLY;
}

void pl_net_icmp6(const struct pl_net_if *nif, struct pl_net_frame *f, uint32_t l4_size,
		  bool to_group)
{
	const struct pl_ip6 *ip = (const struct pl_ip6 *)(f->data + f->l2_size);
	const struct pl_icmp *icmp = (const struct pl_icmp *)(ip + 1);
	uint64_t sum;

	if (l4_size < PL_ICMP_SIZE) {
		pl_net_drop(f, PL_DROP_ICMP);
		return;
	}
	sum = pl_csum_add(pl_csum_pseudo6(ip, PL_IPPROTO_ICMP6, l4_size), icmp, l4_size);
	if (pl_csum_fold(sum) != 0xffff)
		pl_net_drop(f, PL_DROP_ICMP);
	else if (icmp->type == PL_ICMP6_NS)
		solicitation(nif, f, l4_size, to_group);
	else if (icmp->type == PL_ICMP6_ECHO_REQUEST && icmp->code == 0 && !to_group &&
		 !pl_ip6_is_zero(ip->src))
		echo6(nif, f, l4_size);
	else
		pl_net_drop(f, PL_DROP_ICMP);
}

static uint32_t l2_write(const struct pl_net_if *nif, const uint8_t dst[6], uint32_t type,
			 uint8_t *data)
{
	struct pl_eth *eth = (struct pl_eth *)data;

	memcpy(eth->dst, dst, 6);
	memcpy(eth->src, nif->mac, 6);
	if (nif->vlan_id == 0) {
		pl_be16_put(eth->type, type);
		return PL_ETH_SIZE;
	}
	pl_be16_put(eth->type, PL_ETHERTYPE_VLAN);
	pl_be16_put(data + PL_ETH_SIZE, nif->vlan_id);
	pl_be16_put(data + PL_ETH_SIZE + 2, type);
	return PL_ETH_SIZE + PL_VLAN_SIZE;
}

uint32_t pl_net_garp(const struct pl_net_if *nif, uint32_t ip4_idx, uint8_t *data, uint32_t room)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct pl_arp *arp;
	uint32_t l2_size;

	if (ip4_idx >= nif->ip4_cnt || room < PL_NET_ANNOUNCE_SIZE_MAX)
		return 0;
	memset(data, 0, PL_NET_ANNOUNCE_SIZE_MAX);
	l2_size = l2_write(nif, broadcast, PL_ETHERTYPE_ARP, data);
	arp = (struct pl_arp *)(data + l2_size);
	pl_be16_put(arp->htype, 1);
	pl_be16_put(arp->ptype, PL_ETHERTYPE_IP4);
	arp->hlen = 6;
	arp->plen = 4;
	pl_be16_put(arp->op, PL_ARP_REQUEST);
	memcpy(arp->sha, nif->mac, 6);
	memcpy(arp->spa, nif->ip4[ip4_idx], 4);
	memcpy(arp->tpa, nif->ip4[ip4_idx], 4);
	return PL_NET_FRAME_SIZE_MIN; /* zeros after the message, which is shorter */
}

uint32_t pl_net_unsolicited_na(const struct pl_net_if *nif, uint32_t ip6_idx, uint8_t *data,
			       uint32_t room)
{
	if (ip6_idx >= nif->ip6_cnt || room < PL_NET_ANNOUNCE_SIZE_MAX)
		return 0;
	return na_write(nif, data, l2_write(nif, mac_all_nodes, PL_ETHERTYPE_IP6, data),
			ip6_all_nodes, nif->ip6[ip6_idx], PL_NA_OVERRIDE);
}

void pl_net_link_local(const uint8_t mac[6], uint8_t ip6[16])
{
	memset(ip6, 0, 16);
	ip6[0] = 0xfe;
	ip6[1] = 0x80;
	memcpy(ip6 + 8, mac, 3);
	ip6[8] ^= 2; /* RFC 4291 appendix A: the universal bit is inverted */
	ip6[11] = 0xff;
	ip6[12] = 0xfe;
	memcpy(ip6 + 13, mac + 3, 3);
}

void pl_net_solicited_mac(const uint8_t ip6[16], uint8_t mac[6])
{
	mac[0] = 0x33;
	mac[1] = 0x33;
	mac[2] = 0xff;
	memcpy(mac + 3, ip6 + 13, 3);
}
