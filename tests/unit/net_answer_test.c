/* SPDX-License-Identifier: BSD-3-Clause */
/* Being found and pinged: ARP, ICMP echo, neighbour discovery, and what is announced unasked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net_frames.h"

static void test_arp_is_answered(void **state)
{
	struct pl_net_if nif = test_if(0), vlan_nif = test_if(7);
	struct pl_net_frame nf;
	struct frame f;
	uint8_t ip[4];

	(void)state;
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	memset(f.b + f.size, 0, 18);
	f.size += 18;
	nf = parse(&nif, &f);
	assert_int_equal(nf.kind, PL_NET_ARP_REPLY);
	assert_int_equal(nf.size, 42);
	assert_memory_equal(f.b, peer_mac, 6);
	assert_memory_equal(f.b + 6, our_mac, 6);
	assert_int_equal(be16_of(f.b + 20), 2);
	assert_memory_equal(f.b + 22, our_mac, 6);
	inet_pton(AF_INET, "10.1.2.3", ip);
	assert_memory_equal(f.b + 28, ip, 4);
	assert_memory_equal(f.b + 32, peer_mac, 6);
	inet_pton(AF_INET, "10.1.2.77", ip);
	assert_memory_equal(f.b + 38, ip, 4);
	arp_request(&f, -1, "0.0.0.0", "10.1.2.3"); /* a probe */
	expect_kind(&f, ARP_REPLY);
	arp_request(&f, 7, "10.1.2.77", "192.0.2.8");
	assert_int_equal(parse(&vlan_nif, &f).kind, PL_NET_ARP_REPLY);
	assert_int_equal(be16_of(f.b + 14), 7);
	assert_int_equal(f.size, 46);
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	memcpy(f.b, our_mac, 6); /* a unicast poll of a neighbour's cache */
	expect_kind(&f, ARP_REPLY);
}

static void test_arp_faults(void **state)
{
	static const char *const bad_spa[] = {"10.1.2.3", "224.0.0.1", "127.0.0.1", "10.1.2.255",
					      "255.255.255.255"};
	struct frame f;

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad_spa); i++) {
		arp_request(&f, -1, bad_spa[i], "10.1.2.3");
		expect_drop(&f, ARP);
	}
	for (uint32_t i = 0; i < 7; i++) { /* form, and op 1 */
		arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
		f.b[14 + i] ^= 3;
		expect_drop(&f, ARP);
	}
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	be16(f.b + 20, 2);
	expect_drop(&f, ARP);
	arp_request(&f, -1, "10.1.2.77", "10.1.2.4");
	expect_drop(&f, ARP);
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	f.b[22] |= 1; /* a sender that is a group */
	expect_drop(&f, ARP);
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	memset(f.b + 22, 0, 6);
	expect_drop(&f, ARP);
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	memcpy(f.b + 22, our_mac, 6);
	expect_drop(&f, ARP);
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	f.size--;
	expect_drop(&f, FRAME_RUNT);
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	f.b[0] = 1; /* a group that is not everybody */
	expect_drop(&f, ETH_DEST);
}

static void test_ping_is_answered(void **state)
{
	struct pl_net_if nif = test_if(0);
	struct pl_net_frame nf;
	struct frame f;

	(void)state;
	for (uint32_t size = 0; size <= 1472; size += size < 65 ? 1 : 201) {
		echo4(&f, "10.1.2.77", "10.1.2.3", size);
		f.b[f.size] = 0xee; /* padding, left off in the answer */
		f.size++;
		nf = parse(&nif, &f);
		assert_int_equal(nf.kind, PL_NET_ICMP_REPLY);
		assert_int_equal(nf.size, 42 + size);
		assert_int_equal(f.b[f.l4], 0);
		assert_int_equal(be16_of(f.b + f.l4 + 4), 0x1234);
		assert_int_equal(slow_sum(0, f.b + f.l4, 8 + size), 0xffff);
		assert_int_equal(slow_sum(0, f.b + f.l3, 20), 0xffff);
		assert_memory_equal(f.b, peer_mac, 6);
		assert_int_equal(f.b[33], 77);
		assert_int_equal(f.b[29], 3);
	}
	for (uint32_t size = 0; size <= 1400; size += size < 65 ? 1 : 201) {
		echo6(&f, "fd00::77", "fd00::5", size);
		nf = parse(&nif, &f);
		assert_int_equal(nf.kind, PL_NET_ICMP_REPLY);
		assert_int_equal(nf.size, 62 + size);
		assert_int_equal(f.b[f.l4], 129);
		assert_int_equal(slow_l4_sum(f.b + f.l3, 58, 8 + size), 0xffff);
		assert_int_equal(f.b[37], 5);
		assert_int_equal(f.b[53], 0x77);
	}
}

static void test_ping_of_any_checksum_is_answered_right(void **state)
{
	struct pl_net_if nif = test_if(0);
	struct frame f;

	(void)state;
	echo4(&f, "10.1.2.77", "10.1.2.3", 2); /* nothing but zeros after the type */
	memset(f.b + f.l4 + 4, 0, 6);
	fix_icmp4(&f);
	assert_int_equal(parse(&nif, &f).kind, PL_NET_ICMP_REPLY);
	assert_int_equal(slow_sum(0, f.b + f.l4, 10), 0xffff);
	/* Every value that the one changed word can meet: no end-around carry is missed. */
	for (uint32_t id = 0; id <= 0xffff; id++) {
		echo4(&f, "10.1.2.77", "10.1.2.3", 2);
		be16(f.b + f.l4 + 4, id);
		fix_icmp4(&f);
		assert_int_equal(parse(&nif, &f).kind, PL_NET_ICMP_REPLY);
		assert_int_equal(slow_sum(0, f.b + f.l4, 10), 0xffff);
	}
}

static void test_icmp_faults(void **state)
{
	struct frame f;

	(void)state;
	echo4(&f, "10.1.2.77", "10.1.2.3", 8);
	f.b[f.l4 + 9] ^= 1;
	expect_drop(&f, ICMP);
	echo4(&f, "10.1.2.77", "10.1.2.3", 8);
	f.b[f.l4] = 0; /* an answer is not answered */
	fix_icmp4(&f);
	expect_drop(&f, ICMP);
	echo4(&f, "10.1.2.77", "10.1.2.3", 8);
	f.b[f.l4 + 1] = 1;
	fix_icmp4(&f);
	expect_drop(&f, ICMP);
	echo4(&f, "10.1.2.77", "10.1.2.3", 0);
	put_ip4(&f, "10.1.2.77", "10.1.2.3", 1, 7);
	fix_icmp4(&f);
	expect_drop(&f, ICMP);
	echo4(&f, "10.1.2.77", "10.1.2.255", 8);
	expect_drop(&f, IP_DEST);
	echo4(&f, "10.1.2.255", "10.1.2.3", 8);
	expect_drop(&f, IP_SOURCE);
	echo6(&f, "fd00::77", "fd00::5", 8);
	f.b[f.l4 + 9] ^= 1;
	expect_drop(&f, ICMP);
	echo6(&f, "::", "fd00::5", 8);
	expect_drop(&f, ICMP);
	echo6(&f, "fd00::77", "ff02::1:ff00:5", 8); /* never to a group */
	expect_drop(&f, ICMP);
	echo6(&f, "fd00::77", "fd00::5", 8);
	f.b[f.l4] = 134; /* router advertisement */
	fix_l4(&f, 58, 2);
	expect_drop(&f, ICMP);
	put_eth(&f, our_mac, -1, 0x86dd);
	put_ip6(&f, "fd00::77", "fd00::5", 58, 7, 64);
	expect_drop(&f, ICMP);
}

static void check_na(const struct frame *f, const char *dst, uint32_t flags)
{
	uint8_t ip[16];

	assert_int_equal(f->size, 86);
	assert_int_equal(f->b[f->l3 + 7], 255);
	assert_int_equal(slow_l4_sum(f->b + f->l3, 58, 32), 0xffff);
	assert_int_equal(f->b[f->l4], 136);
	assert_int_equal(f->b[f->l4 + 4], flags);
	inet_pton(AF_INET6, "fd00::5", ip);
	assert_memory_equal(f->b + f->l3 + 8, ip, 16);
	assert_memory_equal(f->b + f->l4 + 8, ip, 16);
	inet_pton(AF_INET6, dst, ip);
	assert_memory_equal(f->b + f->l3 + 24, ip, 16);
	assert_int_equal(be16_of(f->b + f->l4 + 24), 0x0201);
	assert_memory_equal(f->b + f->l4 + 26, our_mac, 6);
	assert_memory_equal(f->b + 6, our_mac, 6);
}

static void test_solicitation_is_answered(void **state)
{
	static const uint8_t all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1};
	struct frame f;

	(void)state;
	solicit(&f, "fd00::77", "ff02::1:ff00:5", "fd00::5", true);
	expect_kind(&f, ND_REPLY);
	check_na(&f, "fd00::77", 0x60);
	assert_memory_equal(f.b, peer_mac, 6);
	solicit(&f, "fe80::77", "fd00::5", "fd00::5", false); /* to us alone, and it grows */
	expect_kind(&f, ND_REPLY);
	check_na(&f, "fe80::77", 0x60);
	solicit(&f, "::", "ff02::1:ff00:5", "fd00::5", false); /* duplicate address detection */
	expect_kind(&f, ND_REPLY);
	check_na(&f, "ff02::1", 0x20);
	assert_memory_equal(f.b, all_nodes, 6);
	solicit(&f, "fd00::77", "ff02::1:ff12:3456", "fe80::ff:fe12:3456", true);
	expect_kind(&f, ND_REPLY);
}

static void test_solicitation_faults(void **state)
{
	struct pl_net_if nif = test_if(0);
	struct pl_net_frame nf;
	struct frame f;

	(void)state;
	solicit(&f, "fd00::77", "ff02::1:ff00:5", "fd00::5", true);
	f.b[f.l3 + 7] = 254;
	expect_drop(&f, ICMP);
	solicit(&f, "fd00::77", "ff02::1:ff00:5", "fd00::5", true);
	f.b[f.l4 + 1] = 1;
	fix_l4(&f, 58, 2);
	expect_drop(&f, ICMP);
	solicit(&f, "fd00::77", "ff02::1:ff00:5", "fd00::1:0:5", true); /* another's */
	expect_drop(&f, ICMP);
	solicit(&f, "fd00::77", "ff02::1:ff00:6", "fd00::5", true);
	expect_drop(&f, IP_DEST);
	solicit(&f, "fd00::77", "ff02::1:ff00:5", "fd00::5", true);
	f.b[5] ^= 1; /* another group's frame */
	expect_drop(&f, ETH_DEST);
	solicit(&f, "::", "ff02::1:ff00:5", "fd00::5", true); /* a probe with a source address */
	expect_drop(&f, ICMP);
	solicit(&f, "::", "fd00::5", "fd00::5", false); /* a probe to us alone */
	expect_drop(&f, ICMP);
	solicit(&f, "fd00::5", "ff02::1:ff00:5", "fd00::5", true); /* in our name */
	expect_drop(&f, IP_SOURCE);
	solicit(&f, "fd00::77", "ff02::1:ff00:5", "fd00::5", true);
	f.b[f.l4 + 25] = 0; /* an option that would never end */
	fix_l4(&f, 58, 2);
	expect_drop(&f, ICMP);
	solicit(&f, "fd00::77", "ff02::1:ff00:5", "fd00::5", true);
	f.b[f.l4 + 25] = 2; /* one that is longer than the message */
	fix_l4(&f, 58, 2);
	expect_drop(&f, ICMP);
	put_eth(&f, our_mac, -1, 0x86dd);
	put_ip6(&f, "fd00::77", "fd00::5", 58, 28, 255); /* half an option */
	f.b[f.l4] = 135;
	inet_pton(AF_INET6, "fd00::5", f.b + f.l4 + 8);
	fix_l4(&f, 58, 2);
	expect_drop(&f, ICMP);
	solicit(&f, "fd00::77", "fd00::5", "fd00::5", false);
	nf = (struct pl_net_frame){.data = f.b, .size = f.size, .room = 85}; /* no room to grow */
	pl_net_parse(&nif, &nf);
	assert_int_equal(nf.drop, PL_DROP_ICMP);
}

static void test_announcements(void **state)
{
	struct pl_net_if nif = test_if(0), vlan_nif = test_if(7);
	struct frame f = {.l3 = 14, .l4 = 54};
	uint8_t ip[4];

	(void)state;
	f.size = pl_net_garp(&nif, 0, f.b, FRAME_ROOM);
	assert_int_equal(f.size, 60);
	assert_int_equal(f.b[0] & f.b[5], 255);
	assert_int_equal(be16_of(f.b + 12), 0x0806);
	assert_int_equal(be16_of(f.b + 20), 1);
	assert_memory_equal(f.b + 22, our_mac, 6);
	inet_pton(AF_INET, "10.1.2.3", ip);
	assert_memory_equal(f.b + 28, ip, 4);
	assert_memory_equal(f.b + 38, ip, 4);
	f.size = pl_net_unsolicited_na(&nif, 0, f.b, FRAME_ROOM);
	check_na(&f, "ff02::1", 0x20);
	assert_int_equal(pl_net_unsolicited_na(&vlan_nif, 0, f.b, FRAME_ROOM), 90);
	assert_int_equal(be16_of(f.b + 14), 7);
	assert_int_equal(pl_net_garp(&nif, 2, f.b, FRAME_ROOM), 0);
	assert_int_equal(pl_net_unsolicited_na(&nif, 2, f.b, FRAME_ROOM), 0);
	assert_int_equal(pl_net_garp(&nif, 0, f.b, PL_NET_ANNOUNCE_SIZE_MAX - 1), 0);
	assert_int_equal(pl_net_unsolicited_na(&nif, 0, f.b, PL_NET_ANNOUNCE_SIZE_MAX - 1), 0);
}

static void test_link_local_is_eui64(void **state)
{
	static const uint8_t mac[6] = {0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}; /* RFC 2464 4 */
	uint8_t want[16], ip[16], group[6];
	static const uint8_t want_group[6] = {0x33, 0x33, 0xff, 0x9a, 0xbc, 0xde};

	(void)state;
	inet_pton(AF_INET6, "fe80::3656:78ff:fe9a:bcde", want);
	pl_net_link_local(mac, ip);
	assert_memory_equal(ip, want, 16);
	pl_net_solicited_mac(ip, group);
	assert_memory_equal(group, want_group, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp_is_answered),
		cmocka_unit_test(test_arp_faults),
		cmocka_unit_test(test_ping_is_answered),
		cmocka_unit_test(test_ping_of_any_checksum_is_answered_right),
		cmocka_unit_test(test_icmp_faults),
		cmocka_unit_test(test_solicitation_is_answered),
		cmocka_unit_test(test_solicitation_faults),
		cmocka_unit_test(test_announcements),
		cmocka_unit_test(test_link_local_is_eui64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
