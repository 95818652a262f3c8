/* SPDX-License-Identifier: BSD-3-Clause */
/* What is found in a frame, the reply to a datagram, and each fault under its drop reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net_frames.h"

static void test_udp_payload_is_found(void **state)
{
	struct pl_net_if nif = test_if(0), vlan_nif = test_if(7);
	struct pl_net_frame nf;
	struct frame f;

	(void)state;
	for (uint32_t size = 0; size <= 1472; size += size < 70 ? 1 : 113) {
		udp4(&f, -1, size);
		nf = parse(&nif, &f);
		assert_int_equal(nf.kind, PL_NET_UDP);
		assert_int_equal(nf.payload_off, 42);
		assert_int_equal(nf.payload_size, size);
		udp6(&f, -1, size);
		nf = parse(&nif, &f);
		assert_int_equal(nf.kind, PL_NET_UDP);
		assert_int_equal(nf.payload_off, 62);
		assert_int_equal(nf.payload_size, size);
		udp4(&f, 7, size);
		nf = parse(&vlan_nif, &f);
		assert_int_equal(nf.kind, PL_NET_UDP);
		assert_int_equal(nf.payload_off, 46);
		assert_int_equal(nf.l2_size, 18);
	}
	udp4(&f, -1, 5); /* Ethernet padding after the datagram */
	memset(f.b + f.size, 0xee, 60 - f.size);
	f.size = 60;
	nf = parse(&nif, &f);
	assert_int_equal(nf.kind, PL_NET_UDP);
	assert_int_equal(nf.payload_size, 5);
}

static void reply_and_check(const struct pl_net_if *nif, struct frame *f, uint16_t reply_size)
{
	struct frame asked;
	struct pl_net_frame nf = parse(nif, f);
	const uint8_t *ip, *was;
	uint32_t addr_size, addr_off;

	asked = *f;
	assert_int_equal(nf.kind, PL_NET_UDP);
	for (uint32_t i = 0; i < reply_size; i++)
		f->b[nf.payload_off + i] = (uint8_t)(0x80 + i);
	pl_net_udp_reply(nif, &nf, reply_size, false, false);
	assert_int_equal(nf.size, nf.payload_off + reply_size);
	assert_memory_equal(f->b, peer_mac, 6);
	assert_memory_equal(f->b + 6, our_mac, 6);
	assert_memory_equal(f->b + 12, asked.b + 12, f->l3 - 12); /* tag and type stay */
	ip = f->b + f->l3;
	was = asked.b + f->l3;
	addr_size = nf.is_ip6 ? 16 : 4;
	addr_off = nf.is_ip6 ? 8 : 12;
	assert_memory_equal(ip + addr_off, was + addr_off + addr_size, addr_size);
	assert_memory_equal(ip + addr_off + addr_size, was + addr_off, addr_size);
	if (nf.is_ip6) {
		assert_int_equal(be16_of(ip + 4), 8 + reply_size);
		assert_int_equal(ip[7], 64);
	} else {
		assert_int_equal(be16_of(ip + 2), 28 + reply_size);
		assert_int_equal(slow_sum(0, ip, 20), 0xffff);
		assert_int_equal(ip[8], 64);
		assert_int_equal(ip[6], 0x40);
	}
	assert_int_equal(be16_of(f->b + f->l4), 4717);
	assert_int_equal(be16_of(f->b + f->l4 + 2), 5555);
	assert_int_equal(be16_of(f->b + f->l4 + 4), 8 + reply_size);
	assert_int_not_equal(be16_of(f->b + f->l4 + 6), 0);
	assert_int_equal(slow_l4_sum(ip, 17, 8 + reply_size), 0xffff);
	assert_int_equal(f->b[nf.payload_off], reply_size > 0 ? 0x80 : asked.b[nf.payload_off]);
}

static void test_udp_reply_is_right_to_the_byte(void **state)
{
	struct pl_net_if nif = test_if(0), vlan_nif = test_if(7);
	struct frame f;

	(void)state;
	for (uint16_t size = 0; size <= 300; size = (uint16_t)(size + (size < 70 ? 1 : 37))) {
		udp4(&f, -1, 1440);
		reply_and_check(&nif, &f, size);
		udp6(&f, -1, 1440);
		reply_and_check(&nif, &f, size);
		udp4(&f, 0x6007, 400);
		reply_and_check(&vlan_nif, &f, size);
		udp6(&f, 0x6007, 400);
		reply_and_check(&vlan_nif, &f, size);
		udp4(&f, 0xe000, 400); /* priority tag of VLAN 0 on an untagged port */
		reply_and_check(&nif, &f, size);
	}
}

static void test_udp_reply_never_sends_a_zero_checksum(void **state)
{
	struct pl_net_if nif = test_if(0);
	struct pl_net_frame nf;
	struct frame f;
	uint16_t csum;

	(void)state;
	udp4(&f, -1, 64);
	nf = parse(&nif, &f);
	be16(f.b + nf.payload_off, 0);
	pl_net_udp_reply(&nif, &nf, 2, false, false);
	csum = (uint16_t)be16_of(f.b + f.l4 + 6);
	udp4(&f, -1, 64);
	nf = parse(&nif, &f);
	be16(f.b + nf.payload_off,
	     csum); /* now the sum of everything is 0xffff, its complement 0 */
	pl_net_udp_reply(&nif, &nf, 2, false, false);
	assert_int_equal(be16_of(f.b + f.l4 + 6), 0xffff);
}

static void test_udp_reply_leaves_checksums_to_the_port(void **state)
{
	struct pl_net_if nif = test_if(0);
	struct pl_net_frame nf;
	struct frame f;
	uint16_t pseudo;
	uint8_t tail[4] = {0, 17, 0, 28};

	(void)state;
	udp4(&f, -1, 64);
	nf = parse(&nif, &f);
	pl_net_udp_reply(&nif, &nf, 20, true, true);
	assert_int_equal(be16_of(f.b + f.l3 + 10), 0);
	pseudo = slow_sum(slow_sum(0, f.b + f.l3 + 12, 8), tail, 4);
	assert_int_equal(be16_of(f.b + f.l4 + 6), pseudo);
	udp6(&f, -1, 64);
	nf = parse(&nif, &f);
	pl_net_udp_reply(&nif, &nf, 20, true, true);
	pseudo = slow_sum(slow_sum(0, f.b + f.l3 + 8, 32), tail, 4);
	assert_int_equal(be16_of(f.b + f.l4 + 6), pseudo);
}

static void test_ethernet_faults(void **state)
{
	static const uint8_t other[6] = {2, 0, 0, 0, 0, 1};
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	struct pl_net_if vlan_nif = test_if(7);
	struct frame f;

	(void)state;
	for (uint32_t size = 0; size < 14; size++) {
		udp4(&f, -1, 64);
		f.size = size;
		expect_drop(&f, FRAME_RUNT);
	}
	udp4(&f, -1, 64);
	memcpy(f.b, other, 6);
	expect_drop(&f, ETH_DEST);
	udp4(&f, -1, 64);
	memcpy(f.b, all, 6); /* a good datagram, but sent to all */
	expect_drop(&f, ETH_DEST);
	udp6(&f, -1, 64);
	f.b[0] = f.b[1] = 0x33;
	expect_drop(&f, ETH_DEST);
	udp4(&f, -1, 64);
	memcpy(f.b + 6, all, 6);
	expect_drop(&f, ETH_SOURCE);
	udp4(&f, -1, 64);
	f.b[6] |= 1;
	expect_drop(&f, ETH_SOURCE);
	udp4(&f, -1, 64);
	memset(f.b + 6, 0, 6);
	expect_drop(&f, ETH_SOURCE);
	udp4(&f, -1, 64);
	memcpy(f.b + 6, our_mac, 6);
	expect_drop(&f, ETH_SOURCE);
	udp4(&f, -1, 64);
	be16(f.b + 12, 0x88cc);
	expect_drop(&f, ETH_TYPE);
	udp4(&f, 7, 64);
	expect_drop(&f, VLAN);
	udp4(&f, 0, 64);
	be16(f.b + 16, 0x8100); /* two tags */
	expect_drop(&f, ETH_TYPE);
	udp4(&f, 0, 64);
	f.size = 17;
	expect_drop(&f, FRAME_RUNT);
	udp4(&f, -1, 64);
	assert_int_equal(parse(&vlan_nif, &f).drop, PL_DROP_VLAN);
	udp4(&f, 8, 64);
	assert_int_equal(parse(&vlan_nif, &f).drop, PL_DROP_VLAN);
	udp4(&f, 0, 64);
	assert_int_equal(parse(&vlan_nif, &f).drop, PL_DROP_VLAN);
}

static void test_ip4_header_faults(void **state)
{
	struct frame f;

	(void)state;
	udp4(&f, -1, 64);
	f.size = 14 + 19;
	expect_drop(&f, FRAME_RUNT);
	udp4(&f, -1, 64);
	f.size--; /* cut short */
	expect_drop(&f, IP_HEADER);
	udp4(&f, -1, 64);
	f.b[14] = 0x55;
	fix_ip4(&f);
	expect_drop(&f, IP_HEADER);
	udp4(&f, -1, 64);
	f.b[14] = 0x44;
	fix_ip4(&f);
	expect_drop(&f, IP_HEADER);
	udp4(&f, -1, 64);
	be16(f.b + 16, 19);
	fix_ip4(&f);
	expect_drop(&f, IP_HEADER);
	udp4(&f, -1, 64);
	f.b[14 + 8]++;
	expect_drop(&f, IP_CHECKSUM);
	udp4(&f, -1, 64); /* six words of header: the sum is over 24 bytes */
	f.b[14] = 0x46;
	be16(f.b + 24, 0);
	be16(f.b + 24, (uint16_t)~slow_sum(0, f.b + 14, 24));
	expect_drop(&f, IP_OPTIONS);
	udp4(&f, -1, 64);
	f.b[14 + 6] = 0x20; /* more fragments */
	fix_ip4(&f);
	expect_drop(&f, IP_FRAGMENT);
	udp4(&f, -1, 64);
	f.b[14 + 7] = 1; /* an offset */
	fix_ip4(&f);
	expect_drop(&f, IP_FRAGMENT);
	udp4(&f, -1, 64);
	f.b[14 + 6] = 0x40; /* don't fragment is no fragment */
	fix_ip4(&f);
	expect_kind(&f, UDP);
}

static void test_ip4_address_faults(void **state)
{
	static const char *const bad[] = {"0.0.0.0",   "0.1.2.3",         "127.0.0.1", "224.0.0.1",
					  "239.1.2.3", "240.0.0.1",       "10.1.2.3",  "192.0.2.8",
					  "10.1.2.0",  "255.255.255.255", "10.1.2.255"};
	static const char *const good[] = {"10.1.2.254",     "10.1.3.255",      "192.0.2.9",
					   "1.0.0.0",        "126.255.255.255", "128.0.0.1",
					   "223.255.255.254"};
	static const char *const not_ours[] = {"10.1.2.4", "10.1.2.255", "255.255.255.255",
					       "224.0.0.1", "127.0.0.1"};
	struct frame f;

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		udp4(&f, -1, 64);
		put_ip4(&f, bad[i], "10.1.2.3", 17, 72);
		put_udp(&f, 5555, 4717, 64);
		expect_drop(&f, IP_SOURCE);
	}
	for (uint32_t i = 0; i < PL_ARRAY_CNT(good); i++) {
		udp4(&f, -1, 64);
		put_ip4(&f, good[i], "192.0.2.8", 17, 72);
		put_udp(&f, 5555, 4717, 64);
		expect_kind(&f, UDP);
	}
	for (uint32_t i = 0; i < PL_ARRAY_CNT(not_ours); i++) {
		udp4(&f, -1, 64);
		put_ip4(&f, "10.1.2.77", not_ours[i], 17, 72);
		put_udp(&f, 5555, 4717, 64);
		expect_drop(&f, IP_DEST);
	}
	udp4(&f, -1, 64);
	put_ip4(&f, "10.1.2.77", "10.1.2.3", 6, 72);
	expect_drop(&f, IP_PROTO);
}

static void test_ip6_faults(void **state)
{
	static const char *const bad[] = {"::",      "::1",       "ff02::1",
					  "fd00::5", "::1.2.3.4", "::ffff:10.1.2.77"};
	static const struct {
		uint8_t next;
		uint8_t drop;
	} nexts[] = {
		{0, PL_DROP_IP_OPTIONS},  {43, PL_DROP_IP_OPTIONS}, {44, PL_DROP_IP_FRAGMENT},
		{50, PL_DROP_IP_OPTIONS}, {51, PL_DROP_IP_OPTIONS}, {60, PL_DROP_IP_OPTIONS},
		{6, PL_DROP_IP_PROTO},    {1, PL_DROP_IP_PROTO},    {59, PL_DROP_IP_PROTO},
	};
	struct pl_net_if nif = test_if(0);
	struct frame f;

	(void)state;
	udp6(&f, -1, 64);
	f.size = 14 + 39;
	expect_drop(&f, FRAME_RUNT);
	udp6(&f, -1, 64);
	f.size--;
	expect_drop(&f, IP_HEADER);
	udp6(&f, -1, 64);
	f.b[14] = 0x40;
	expect_drop(&f, IP_HEADER);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		udp6(&f, -1, 64);
		inet_pton(AF_INET6, bad[i], f.b + 22);
		fix_l4(&f, 17, 6);
		expect_drop(&f, IP_SOURCE);
	}
	udp6(&f, -1, 64);
	inet_pton(AF_INET6, "fd00::6", f.b + 38);
	expect_drop(&f, IP_DEST);
	udp6(&f, -1, 64);
	inet_pton(AF_INET6, "ff02::1", f.b + 38);
	expect_drop(&f, IP_DEST);
	udp6(&f, -1, 64); /* UDP to a group that only solicitations may use */
	inet_pton(AF_INET6, "ff02::1:ff00:5", f.b + 38);
	expect_drop(&f, IP_DEST);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(nexts); i++) {
		struct pl_net_frame nf;

		udp6(&f, -1, 64);
		f.b[20] = nexts[i].next;
		nf = parse(&nif, &f);
		assert_int_equal(nf.kind, PL_NET_DROP);
		assert_int_equal(nf.drop, nexts[i].drop);
	}
}

static void test_udp_faults(void **state)
{
	struct frame f;

	(void)state;
	udp4(&f, -1, 64);
	be16(f.b + f.l4 + 4, 71);
	expect_drop(&f, UDP_HEADER);
	udp4(&f, -1, 64);
	be16(f.b + f.l4 + 4, 73);
	expect_drop(&f, UDP_HEADER);
	udp4(&f, -1, 64);
	be16(f.b + f.l4 + 4, 7);
	expect_drop(&f, UDP_HEADER);
	put_eth(&f, our_mac, -1, 0x0800);
	put_ip4(&f, "10.1.2.77", "10.1.2.3", 17, 7); /* no room for a header */
	expect_drop(&f, UDP_HEADER);
	udp4(&f, -1, 64);
	f.b[f.l4 + 20] ^= 4;
	expect_drop(&f, UDP_CHECKSUM);
	udp6(&f, -1, 65);
	f.b[f.l4 + 8 + 64] ^= 4; /* the odd byte at the end */
	expect_drop(&f, UDP_CHECKSUM);
	udp4(&f, -1, 64);
	be16(f.b + f.l4 + 6, 0);
	expect_kind(&f, UDP);
	udp6(&f, -1, 64);
	be16(f.b + f.l4 + 6, 0);
	expect_drop(&f, UDP_CHECKSUM);
	udp4(&f, -1, 64);
	put_udp(&f, 5555, 4718, 64);
	expect_drop(&f, UDP_PORT);
	udp4(&f, -1, 64);
	put_udp(&f, 0, 4717, 64);
	expect_drop(&f, UDP_PORT);
}

static void test_checksum_hints_are_obeyed(void **state)
{
	struct pl_net_if nif = test_if(0);
	struct pl_net_frame nf;
	struct frame f;

	(void)state;
	udp4(&f, -1, 64);
	f.b[14 + 8]++; /* both sums are wrong, but the port says it looked */
	f.b[f.l4 + 9] ^= 1;
	nf = (struct pl_net_frame){.data = f.b, .size = f.size, .room = FRAME_ROOM};
	nf.ip_csum = PL_NET_CSUM_GOOD;
	nf.l4_csum = PL_NET_CSUM_GOOD;
	pl_net_parse(&nif, &nf);
	assert_int_equal(nf.kind, PL_NET_UDP);
	udp4(&f, -1, 64);
	nf.size = f.size;
	nf.ip_csum = PL_NET_CSUM_BAD;
	pl_net_parse(&nif, &nf);
	assert_int_equal(nf.drop, PL_DROP_IP_CHECKSUM);
	nf.ip_csum = PL_NET_CSUM_CHECK;
	nf.l4_csum = PL_NET_CSUM_BAD;
	pl_net_parse(&nif, &nf);
	assert_int_equal(nf.drop, PL_DROP_UDP_CHECKSUM);
}

/* Each byte of good frames set to each of a few values: no crash, no reply beyond bounds. */
static void test_every_byte_may_lie(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	struct pl_net_if nif = test_if(0);
	struct frame good[6], f;

	(void)state;
	udp4(&good[0], -1, 64);
	udp6(&good[1], -1, 64);
	udp4(&good[2], 0, 64);
	arp_request(&good[3], -1, "10.1.2.77", "10.1.2.3");
	echo6(&good[4], "fd00::77", "fd00::5", 9);
	solicit(&good[5], "::", "ff02::1:ff00:5", "fd00::5", false);
	for (uint32_t g = 0; g < PL_ARRAY_CNT(good); g++)
		for (uint32_t i = 0; i < good[g].size; i++)
			for (uint32_t v = 0; v < PL_ARRAY_CNT(values); v++) {
				struct pl_net_frame nf;

				f = good[g];
				f.b[i] = values[v];
				nf = parse(&nif, &f);
				if (nf.kind == PL_NET_DROP)
					assert_true(nf.drop < PL_DROP_NONE);
				else
					assert_true(nf.size <= good[g].size + 8);
				f = good[g];
				f.size = i;
				nf = parse(&nif, &f);
				assert_int_equal(nf.kind, PL_NET_DROP);
				assert_true(nf.drop < PL_DROP_NONE);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udp_payload_is_found),
		cmocka_unit_test(test_udp_reply_is_right_to_the_byte),
		cmocka_unit_test(test_udp_reply_never_sends_a_zero_checksum),
		cmocka_unit_test(test_udp_reply_leaves_checksums_to_the_port),
		cmocka_unit_test(test_ethernet_faults),
		cmocka_unit_test(test_ip4_header_faults),
		cmocka_unit_test(test_ip4_address_faults),
		cmocka_unit_test(test_ip6_faults),
		cmocka_unit_test(test_udp_faults),
		cmocka_unit_test(test_checksum_hints_are_obeyed),
		cmocka_unit_test(test_every_byte_may_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
