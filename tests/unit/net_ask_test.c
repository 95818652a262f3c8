/* SPDX-License-Identifier: BSD-3-Clause */
/* The asker's side against the answerer's: what one writes the other must take. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/pl_net.h"
#include "net/pl_net_ask.h"

#define ROOM 2048u

static struct pl_net_if appliance;
static struct pl_net_flow flow;
static uint8_t frame[ROOM];

/* Variants: IPv4 or IPv6, untagged or VLAN 7. */
static void lay(int is_ip6, uint16_t vlan_id)
{
	static const uint8_t ip4[2][4] = {{10, 1, 2, 3}, {10, 1, 2, 4}};

	appliance = (struct pl_net_if){.mac = {2, 0, 0, 0, 0, 1},
				       .vlan_id = vlan_id,
				       .udp_port = 4717,
				       .ip4_cnt = 1,
				       .ip6_cnt = 1};
	flow = (struct pl_net_flow){.src_mac = {2, 0, 0, 0, 0, 2},
				    .dst_mac = {2, 0, 0, 0, 0, 1},
				    .vlan_id = vlan_id,
				    .src_port = 20001,
				    .dst_port = 4717,
				    .is_ip6 = is_ip6 != 0};
	memcpy(appliance.ip4[0], ip4[0], 4);
	appliance.ip4_prefix[0] = 24;
	pl_net_link_local(appliance.mac, appliance.ip6[0]);
	memset(frame, 0xee, sizeof(frame));
	if (is_ip6) {
		pl_net_link_local(flow.src_mac, flow.src_ip);
		memcpy(flow.dst_ip, appliance.ip6[0], 16);
	} else {
		memcpy(flow.src_ip, ip4[1], 4);
		memcpy(flow.dst_ip, ip4[0], 4);
	}
}

static struct pl_net_frame parse(uint32_t size)
{
	struct pl_net_frame f = {.data = frame, .size = size, .room = ROOM};

	pl_net_parse(&appliance, &f);
	return f;
}

/* There and back; returns the reply's size. */
static uint32_t converse(uint32_t request_size, uint16_t reply_size)
{
	uint32_t off = pl_net_flow_headers_size(&flow);
	struct pl_net_frame f;

	for (uint32_t i = 0; i < request_size; i++)
		frame[off + i] = (uint8_t)(i * 7);
	f = parse(pl_net_flow_write(&flow, frame, request_size));
	assert_int_equal(f.kind, PL_NET_UDP);
	assert_int_equal(f.payload_off, off);
	assert_int_equal(f.payload_size, request_size);
	pl_net_udp_reply(&appliance, &f, reply_size, false, false);
	return f.size;
}

static void test_requests_are_taken_and_replies_known(void **state)
{
	static const uint32_t sizes[] = {0, 1, 17, 64, 65, 1440};

	(void)state;
	for (int is_ip6 = 0; is_ip6 < 2; is_ip6++) {
		for (uint16_t vlan_id = 0; vlan_id <= 7; vlan_id = (uint16_t)(vlan_id + 7)) {
			for (uint32_t i = 0; i < PL_ARRAY_CNT(sizes); i++) {
				uint32_t size, payload_size = 99;
				uint16_t reply_size = (uint16_t)(sizes[i] / 2), port = 0;

				lay(is_ip6, vlan_id);
				size = converse(sizes[i], reply_size);
				assert_int_equal(pl_net_flow_match(&flow, frame, size, true,
								   &payload_size, &port),
						 pl_net_flow_headers_size(&flow));
				assert_int_equal(payload_size, reply_size);
				assert_int_equal(port, 20001);
			}
		}
	}
}

static void test_short_frames_are_filled_up(void **state)
{
	(void)state;
	lay(0, 0);
	assert_int_equal(pl_net_flow_write(&flow, frame, 3), 60);
	for (uint32_t i = 14 + 20 + 8 + 3; i < 60; i++)
		assert_int_equal(frame[i], 0);
	assert_int_equal(frame[60], 0xee);
}

static void test_a_reply_with_any_bit_bent_is_no_reply(void **state)
{
	uint32_t payload_size;
	uint16_t port;

	(void)state;
	for (int is_ip6 = 0; is_ip6 < 2; is_ip6++) {
		uint32_t size, l2_size = 14;

		lay(is_ip6, 0);
		size = converse(40, 40);
		for (uint32_t bit = 0; bit < size * 8; bit++) {
			bool known;

			frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
			known = pl_net_flow_match(&flow, frame, size, true, &payload_size, &port) !=
				0;
			frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
			/* The sender's Ethernet address, and what IPv6 sums do not cover. */
			if (known)
				assert_true(
					(bit / 8 >= 6 && bit / 8 < 12) ||
					(is_ip6 && bit / 8 >= l2_size && bit / 8 < l2_size + 8));
		}
	}
}

static void test_cut_replies_are_no_replies(void **state)
{
	uint32_t payload_size;
	uint16_t port;

	(void)state;
	for (int is_ip6 = 0; is_ip6 < 2; is_ip6++) {
		uint32_t size;

		lay(is_ip6, 7);
		size = converse(40, 40);
		for (uint32_t cut = 0; cut < size; cut++) {
			uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees each byte */

			memcpy(exact, frame, cut);
			assert_int_equal(
				pl_net_flow_match(&flow, exact, cut, true, &payload_size, &port),
				0);
			free(exact);
		}
	}
}

static void test_the_peer_tells_its_address(void **state)
{
	(void)state;
	for (int is_ip6 = 0; is_ip6 < 2; is_ip6++) {
		for (uint16_t vlan_id = 0; vlan_id <= 7; vlan_id = (uint16_t)(vlan_id + 7)) {
			struct pl_net_frame f;
			uint8_t mac[6];
			uint32_t size;

			lay(is_ip6, vlan_id);
			memset(flow.dst_mac, 0, 6); /* not known yet */
			size = pl_net_flow_who(&flow, frame);
			assert_true(size <= PL_NET_ASK_WHO_SIZE_MAX);
			assert_false(pl_net_flow_is_me(&flow, frame, size, mac));
			f = parse(size);
			assert_int_equal(f.kind, is_ip6 ? PL_NET_ND_REPLY : PL_NET_ARP_REPLY);
			assert_true(pl_net_flow_is_me(&flow, frame, f.size, mac));
			assert_memory_equal(mac, appliance.mac, 6);
			for (uint32_t cut = 0; cut < 14u + 28u; cut++)
				assert_false(pl_net_flow_is_me(&flow, frame, cut, mac));
		}
	}
}

static void test_another_hosts_answers_are_not_taken(void **state)
{
	uint32_t payload_size, size;
	uint16_t port;
	uint8_t mac[6];

	(void)state;
	for (int is_ip6 = 0; is_ip6 < 2; is_ip6++) {
		struct pl_net_frame f;

		lay(is_ip6, 0);
		size = converse(40, 40);
		flow.dst_ip[is_ip6 ? 15 : 3] ^= 1;
		assert_int_equal(pl_net_flow_match(&flow, frame, size, false, &payload_size, &port),
				 0);
		lay(is_ip6, 0);
		size = pl_net_flow_who(&flow, frame);
		f = parse(size);
		flow.dst_ip[is_ip6 ? 15 : 3] ^= 1;
		assert_false(pl_net_flow_is_me(&flow, frame, f.size, mac));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_are_taken_and_replies_known),
		cmocka_unit_test(test_short_frames_are_filled_up),
		cmocka_unit_test(test_a_reply_with_any_bit_bent_is_no_reply),
		cmocka_unit_test(test_cut_replies_are_no_replies),
		cmocka_unit_test(test_the_peer_tells_its_address),
		cmocka_unit_test(test_another_hosts_answers_are_not_taken),
	};

	return cmocka_run_group_tests_name("net_ask", tests, NULL, NULL);
}
