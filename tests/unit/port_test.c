/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports of virtual drivers, in a process with ordinary pages: net_null has many queues, two
 * rings back to back carry frames. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <rte_eal.h>

#include "port/pl_port.h"

static char error[512];

static void open_ring(struct pl_port *port)
{
	struct pl_port_conf conf = {.device = "net_ring0", .queue_cnt = 1, .mbuf_cnt = 511};

	pl_net_solicited_mac((const uint8_t[16]){0xfd, [15] = 5}, conf.group_macs[0]);
	conf.group_mac_cnt = 1;
	error[0] = '\0';
	assert_int_equal(pl_port_open(&conf, port, error, sizeof(error)), 0);
	assert_string_equal(error, "");
}

static void test_frames_go_through(void **state)
{
	struct rte_mbuf *m, *back[PL_PORT_BURST_MAX];
	struct pl_port_status status;
	struct pl_port port;

	(void)state;
	open_ring(&port);
	assert_int_equal(pl_port_start(&port, error, sizeof(error)), 0);
	m = rte_pktmbuf_alloc(port.pool);
	assert_non_null(m);
	memset(rte_pktmbuf_append(m, 60), 0x5a, 60);
	assert_int_equal(pl_port_tx(&port, 0, &m, 1), 1); /* this driver loops back */
	assert_int_equal(pl_port_rx(&port, 0, back, PL_PORT_BURST_MAX), 1);
	assert_ptr_equal(back[0], m);
	assert_int_equal(rte_pktmbuf_pkt_len(back[0]), 60);
	rte_pktmbuf_free(m);
	pl_port_status(&port, &status);
	assert_true(status.link_up);
	assert_int_equal(rte_mempool_in_use_count(port.pool), 0);
	pl_port_close(&port);
	assert_null(port.pool);
	pl_port_close(&port); /* once more does no harm */
}

static void test_device_that_is_not_there_is_named(void **state)
{
	struct pl_port_conf conf = {.device = "net_nowhere7", .queue_cnt = 1};
	struct pl_port port;

	(void)state;
	assert_int_equal(pl_port_open(&conf, &port, error, sizeof(error)), -ENODEV);
	assert_non_null(strstr(error, "net_nowhere7"));
	assert_non_null(strstr(error, "net_null0")); /* what there is */
	assert_non_null(strstr(error, "--vdev"));
}

static void test_queues_beyond_the_port_are_refused(void **state)
{
	struct pl_port_conf conf = {.device = "net_null0", .queue_cnt = 0};
	struct rte_eth_dev_info info;
	struct pl_port port;
	uint16_t port_id;
	char limit[32];

	(void)state;
	assert_int_equal(rte_eth_dev_get_port_by_name("net_null0", &port_id), 0);
	assert_int_equal(rte_eth_dev_info_get(port_id, &info), 0);
	assert_int_equal(pl_port_open(&conf, &port, error, sizeof(error)), -ERANGE);
	conf.queue_cnt = (uint16_t)(info.max_rx_queues + 1);
	assert_int_equal(pl_port_open(&conf, &port, error, sizeof(error)), -ERANGE);
	snprintf(limit, sizeof(limit), "1 .. %u", info.max_rx_queues);
	assert_non_null(strstr(error, "net_null0"));
	assert_non_null(strstr(error, limit));
	pl_port_close(&port); /* a refused port may be closed too */
}

static void test_memory_that_is_not_there_is_told(void **state)
{
	struct pl_port_conf conf = {
		.device = "net_null0", .queue_cnt = 1, .mbuf_cnt = 100u * 1000 * 1000};
	struct pl_port port;

	(void)state;
	assert_int_equal(pl_port_open(&conf, &port, error, sizeof(error)), -ENOMEM);
	assert_non_null(strstr(error, "hugepages"));
	assert_null(port.pool);
}

static void test_many_queues_share_one_pool(void **state)
{
	struct pl_port_conf conf = {.device = "net_null0", .queue_cnt = 4};
	struct pl_port port;

	(void)state;
	assert_int_equal(pl_port_open(&conf, &port, error, sizeof(error)), 0);
	assert_true(port.pool->size >= 4 * (2048 + 4096));
	assert_int_equal(pl_port_start(&port, error, sizeof(error)), 0);
	pl_port_close(&port);
}

static void test_checksum_flags_become_hints(void **state)
{
	static const struct {
		uint64_t flags;
		uint8_t ip;
		uint8_t l4;
	} cases[] = {
		{0, PL_NET_CSUM_CHECK, PL_NET_CSUM_CHECK},
		{RTE_MBUF_F_RX_IP_CKSUM_GOOD, PL_NET_CSUM_GOOD, PL_NET_CSUM_CHECK},
		{RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_GOOD, PL_NET_CSUM_BAD,
		 PL_NET_CSUM_GOOD},
		{RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD, PL_NET_CSUM_GOOD,
		 PL_NET_CSUM_BAD},
		{RTE_MBUF_F_RX_IP_CKSUM_NONE | RTE_MBUF_F_RX_L4_CKSUM_NONE, PL_NET_CSUM_CHECK,
		 PL_NET_CSUM_CHECK},
	};

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		struct rte_mbuf m = {.ol_flags = cases[i].flags};
		struct pl_net_frame f;

		pl_port_rx_csums(&m, &f);
		assert_int_equal(f.ip_csum, cases[i].ip);
		assert_int_equal(f.l4_csum, cases[i].l4);
	}
}

static void test_checksums_are_asked_for_only_where_offered(void **state)
{
	struct pl_net_frame f4 = {.l2_size = 18, .l3_size = 20};
	struct pl_net_frame f6 = {.l2_size = 14, .l3_size = 40, .is_ip6 = 1};
	struct pl_port port = {.port_id = 0};
	struct rte_mbuf m = {.ol_flags = 0};

	(void)state;
	pl_port_tx_csums(&port, &m, &f4);
	assert_true(m.ol_flags == 0);
	port.tx_csum_ip = true;
	port.tx_csum_l4 = true;
	pl_port_tx_csums(&port, &m, &f4);
	assert_true(m.ol_flags ==
		    (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM));
	assert_int_equal(m.l2_len, 18);
	assert_int_equal(m.l3_len, 20);
	m.ol_flags = 0;
	pl_port_tx_csums(&port, &m, &f6);
	assert_true(m.ol_flags == (RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM));
	assert_int_equal(m.l3_len, 40);
}

static int start_eal(void **state)
{
	char *argv[] = {"port_test",      "--no-huge",         "-m",     "256",
			"--no-pci",       "--lcores",          "0",      "--no-shconf",
			"--no-telemetry", "--log-level=error", "--vdev", "net_null0",
			"--vdev",         "net_ring0",         NULL};

	(void)state;
	return rte_eal_init(PL_ARRAY_CNT(argv) - 1, argv) < 0 ? -1 : 0;
}

static int stop_eal(void **state)
{
	(void)state;
	return rte_eal_cleanup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device_that_is_not_there_is_named),
		cmocka_unit_test(test_queues_beyond_the_port_are_refused),
		cmocka_unit_test(test_memory_that_is_not_there_is_told),
		cmocka_unit_test(test_checksum_flags_become_hints),
		cmocka_unit_test(test_checksums_are_asked_for_only_where_offered),
		cmocka_unit_test(test_many_queues_share_one_pool),
		cmocka_unit_test(test_frames_go_through),
	};

	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
