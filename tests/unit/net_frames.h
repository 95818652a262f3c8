/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames for tests, built byte by byte, with checksums of an own, slow routine: nothing here is
 * shared with lib/net. */
#ifndef NET_FRAMES_H
#define NET_FRAMES_H

#include <arpa/inet.h>

#include "net/pl_net.h"

#define FRAME_ROOM 2048u

static const uint8_t peer_mac[6] = {0x02, 0, 0, 0, 0, 0x99};
static const uint8_t our_mac[6] = {0x02, 0, 0, 0x12, 0x34, 0x56};

struct frame {
	uint8_t b[FRAME_ROOM];
	uint32_t size;
	uint32_t l3; /* offsets */
	uint32_t l4;
};

/* Sum of big-endian words, folded at each step. */
static inline uint16_t slow_sum(uint16_t sum, const uint8_t *p, uint32_t size)
{
	for (uint32_t i = 0; i < size; i += 2) {
		uint32_t word = (uint32_t)p[i] << 8 | (i + 1 < size ? p[i + 1] : 0u);
		uint32_t s = sum + word;

		sum = (uint16_t)((s & 0xffff) + (s >> 16));
	}
	return sum;
}

static inline void be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t be16_of(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/* Sum over pseudo-header and upper layer, checksum field included: 0xffff when right. */
static inline uint16_t slow_l4_sum(const uint8_t *ip, uint32_t proto, uint32_t l4_size)
{
	bool v6 = ip[0] >> 4 == 6;
	uint8_t tail[4] = {0, (uint8_t)proto, (uint8_t)(l4_size >> 8), (uint8_t)l4_size};
	uint16_t sum = v6 ? slow_sum(0, ip + 8, 32) : slow_sum(0, ip + 12, 8);

	sum = slow_sum(sum, tail, 4);
	return slow_sum(sum, ip + (v6 ? 40 : 20), l4_size);
}

static inline struct pl_net_if test_if(uint16_t vlan_id)
{
	struct pl_net_if nif = {.vlan_id = vlan_id, .udp_port = 4717, .ip4_cnt = 2, .ip6_cnt = 2};

	memcpy(nif.mac, our_mac, 6);
	inet_pton(AF_INET, "10.1.2.3", nif.ip4[0]);
	nif.ip4_prefix[0] = 24;
	inet_pton(AF_INET, "192.0.2.8", nif.ip4[1]);
	nif.ip4_prefix[1] = 31;
	inet_pton(AF_INET6, "fd00::5", nif.ip6[0]);
	pl_net_link_local(nif.mac, nif.ip6[1]);
	return nif;
}

/* tci: -1 for none. */
static inline void put_eth(struct frame *f, const uint8_t dst[6], int tci, uint32_t type)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->b, dst, 6);
	memcpy(f->b + 6, peer_mac, 6);
	f->l3 = 14;
	if (tci >= 0) {
		be16(f->b + 12, 0x8100);
		be16(f->b + 14, (uint32_t)tci);
		f->l3 = 18;
	}
	be16(f->b + f->l3 - 2, type);
	f->size = f->l3;
}

static inline void fix_ip4(struct frame *f)
{
	be16(f->b + f->l3 + 10, 0);
	be16(f->b + f->l3 + 10, (uint16_t)~slow_sum(0, f->b + f->l3, 20));
}

static inline void put_ip4(struct frame *f, const char *src, const char *dst, uint32_t proto,
			   uint32_t l4_size)
{
	uint8_t *ip = f->b + f->l3;

	ip[0] = 0x45;
	be16(ip + 2, 20 + l4_size);
	ip[8] = 63;
	ip[9] = (uint8_t)proto;
	inet_pton(AF_INET, src, ip + 12);
	inet_pton(AF_INET, dst, ip + 16);
	fix_ip4(f);
	f->l4 = f->l3 + 20;
	f->size = f->l4 + l4_size;
}

static inline void put_ip6(struct frame *f, const char *src, const char *dst, uint32_t next,
			   uint32_t l4_size, uint32_t hops)
{
	uint8_t *ip = f->b + f->l3;

	ip[0] = 0x60;
	be16(ip + 4, l4_size);
	ip[6] = (uint8_t)next;
	ip[7] = (uint8_t)hops;
	inet_pton(AF_INET6, src, ip + 8);
	inet_pton(AF_INET6, dst, ip + 24);
	f->l4 = f->l3 + 40;
	f->size = f->l4 + l4_size;
}

/* Write the checksum at csum_off of an upper layer that fills the rest of the frame. */
static inline void fix_l4(struct frame *f, uint32_t proto, uint32_t csum_off)
{
	be16(f->b + f->l4 + csum_off, 0);
	be16(f->b + f->l4 + csum_off, (uint16_t)~slow_l4_sum(f->b + f->l3, proto, f->size - f->l4));
}

static inline void put_udp(struct frame *f, uint32_t sport, uint32_t dport, uint32_t payload_size)
{
	be16(f->b + f->l4, sport);
	be16(f->b + f->l4 + 2, dport);
	be16(f->b + f->l4 + 4, 8 + payload_size);
	for (uint32_t i = 0; i < payload_size; i++)
		f->b[f->l4 + 8 + i] = (uint8_t)(i * 7 + 1);
	fix_l4(f, 17, 6);
}

static inline void udp4(struct frame *f, int tci, uint32_t payload_size)
{
	put_eth(f, our_mac, tci, 0x0800);
	put_ip4(f, "10.1.2.77", "10.1.2.3", 17, 8 + payload_size);
	put_udp(f, 5555, 4717, payload_size);
}

static inline void udp6(struct frame *f, int tci, uint32_t payload_size)
{
	put_eth(f, our_mac, tci, 0x86dd);
	put_ip6(f, "fd00::77", "fd00::5", 17, 8 + payload_size, 64);
	put_udp(f, 5555, 4717, payload_size);
}

static inline void arp_request(struct frame *f, int tci, const char *spa, const char *tpa)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	static const uint8_t form[8] = {0, 1, 8, 0, 6, 4, 0, 1};
	uint8_t *arp;

	put_eth(f, all, tci, 0x0806);
	arp = f->b + f->l3;
	memcpy(arp, form, 8);
	memcpy(arp + 8, peer_mac, 6);
	inet_pton(AF_INET, spa, arp + 14);
	inet_pton(AF_INET, tpa, arp + 24);
	f->size = f->l3 + 28;
}

static inline void fix_icmp4(struct frame *f)
{
	be16(f->b + f->l4 + 2, 0);
	be16(f->b + f->l4 + 2, (uint16_t)~slow_sum(0, f->b + f->l4, f->size - f->l4));
}

static inline void echo4(struct frame *f, const char *src, const char *dst, uint32_t data_size)
{
	put_eth(f, our_mac, -1, 0x0800);
	put_ip4(f, src, dst, 1, 8 + data_size);
	f->b[f->l4] = 8;
	be16(f->b + f->l4 + 4, 0x1234);
	memset(f->b + f->l4 + 8, 0xab, data_size);
	fix_icmp4(f);
}

static inline void echo6(struct frame *f, const char *src, const char *dst, uint32_t data_size)
{
	put_eth(f, our_mac, -1, 0x86dd);
	put_ip6(f, src, dst, 58, 8 + data_size, 64);
	f->b[f->l4] = 128;
	be16(f->b + f->l4 + 4, 0x1234);
	memset(f->b + f->l4 + 8, 0xab, data_size);
	fix_l4(f, 58, 2);
}

/* A neighbour solicitation as a kernel sends it; with_ll: a source link-layer address option. */
static inline void solicit(struct frame *f, const char *src, const char *dst, const char *target,
			   bool with_ll)
{
	uint8_t mac[6] = {0x33, 0x33}, ip[16], *ns;

	inet_pton(AF_INET6, dst, ip);
	memcpy(mac + 2, ip + 12, 4);
	put_eth(f, ip[0] == 0xff ? mac : our_mac, -1, 0x86dd);
	put_ip6(f, src, dst, 58, with_ll ? 32 : 24, 255);
	ns = f->b + f->l4;
	ns[0] = 135;
	inet_pton(AF_INET6, target, ns + 8);
	if (with_ll) {
		ns[24] = 1;
		ns[25] = 1;
		memcpy(ns + 26, peer_mac, 6);
	}
	fix_l4(f, 58, 2);
}

/* Through the parser, in an allocation of exactly its size so that ASan sees each byte beyond. */
static inline struct pl_net_frame parse(const struct pl_net_if *nif, struct frame *f)
{
	struct pl_net_frame nf = {.data = f->b, .size = f->size, .room = FRAME_ROOM};
	uint8_t *exact = malloc(f->size > 0 ? f->size : 1);

	if (exact == NULL)
		abort();
	memcpy(exact, f->b, f->size);
	nf.data = exact;
	nf.room = f->size;
	pl_net_parse(nif, &nf);
	if (nf.kind == PL_NET_UDP || nf.kind == PL_NET_DROP)
		memcpy(f->b, exact, f->size);
	free(exact);
	/* Once more with room to grow, for the answer itself. */
	nf = (struct pl_net_frame){.data = f->b, .size = f->size, .room = FRAME_ROOM};
	pl_net_parse(nif, &nf);
	f->size = nf.size;
	return nf;
}

/* For cmocka tests. */
#define expect_drop(f, why)                                \
	do {                                               \
		struct pl_net_if nif_ = test_if(0);        \
		struct pl_net_frame nf_ = parse(&nif_, f); \
		assert_int_equal(nf_.kind, PL_NET_DROP);   \
		assert_int_equal(nf_.drop, PL_DROP_##why); \
	} while (0)

#define expect_kind(f, kind_)                                           \
	do {                                                            \
		struct pl_net_if nif_ = test_if(0);                     \
		assert_int_equal(parse(&nif_, f).kind, PL_NET_##kind_); \
	} while (0)

#endif
