/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>

#include <rte_errno.h>

#include "port/pl_port.h"

#define DESC_CNT_DEFAULT 1024u
#define POOL_CACHE_CNT   256u
/* Buffers of one queue besides its rings: AF_XDP keeps as many as 4096 in its own. */
#define QUEUE_MBUF_SPARE 5120u

static const char *say(char *error, size_t error_size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static const char *say(char *error, size_t error_size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, error_size, format, ap);
	va_end(ap);
	return error;
}

/* The names of all ports, for the message that says that one is not there. */
static void list_ports(char *list, size_t list_size)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	size_t used = 0;
	uint16_t port_id;

	snprintf(list, list_size, "none");
	for (port_id = 0; port_id < RTE_MAX_ETHPORTS; port_id++) {
		if (!rte_eth_dev_is_valid_port(port_id) ||
		    rte_eth_dev_get_name_by_port(port_id, name) != 0 || used >= list_size)
			continue;
		used += (size_t)snprintf(list + used, list_size - used, "%s%s",
					 used > 0 ? ", " : "", name);
	}
}

static int find(const struct pl_port_conf *conf, struct pl_port *port,
		struct rte_eth_dev_info *info, char *error, size_t error_size)
{
	char list[256];
	int ret;

	if (rte_eth_dev_get_port_by_name(conf->device, &port->port_id) != 0) {
		list_ports(list, sizeof(list));
		say(error, error_size,
		    "port %s does not exist; the EAL has: %s. Add it with an EAL option "
		    "(--vdev %s,... or --allow <PCI address>), or correct 'device'",
		    conf->device, list, conf->device);
		return -ENODEV;
	}
	ret = rte_eth_dev_info_get(port->port_id, info);
	if (ret != 0) {
		say(error, error_size, "port %s: driver gives no information: %s", conf->device,
		    strerror(-ret));
		return ret;
	}
	snprintf(port->driver, sizeof(port->driver), "%s", info->driver_name);
	ret = rte_eth_macaddr_get(port->port_id, (struct rte_ether_addr *)port->mac);
	if (ret != 0) {
		say(error, error_size, "port %s has no Ethernet address: %s", conf->device,
		    strerror(-ret));
		return ret;
	}
	port->numa_node = rte_eth_dev_socket_id(port->port_id);
	return 0;
}

static int check_queues(const struct pl_port_conf *conf, const struct rte_eth_dev_info *info,
			char *error, size_t error_size)
{
	uint16_t queues_max = info->max_rx_queues < info->max_tx_queues ? info->max_rx_queues
									: info->max_tx_queues;

	if (conf->queue_cnt >= 1 && conf->queue_cnt <= queues_max)
		return 0;
	say(error, error_size,
	    "port %s (%s) has %u queue(s), but %u are asked for: set 'queues' to 1 .. %u, or give "
	    "the device more (af_packet: qpairs=, af_xdp: queue_count= and ethtool -L)",
	    conf->device, info->driver_name, queues_max, conf->queue_cnt, queues_max);
	return -ERANGE;
}

/* Of what the port offers, what the pipeline can use. */
static void choose_offloads(const struct pl_port_conf *conf, struct pl_port *port,
			    const struct rte_eth_dev_info *info, struct rte_eth_conf *eth)
{
	uint64_t rx = conf->no_offload ? 0 : info->rx_offload_capa;
	uint64_t tx = conf->no_offload ? 0 : info->tx_offload_capa;

	eth->rxmode.offloads = rx & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
	eth->txmode.offloads = tx & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	port->rx_csum_ip = (eth->rxmode.offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0;
	port->rx_csum_l4 = (eth->rxmode.offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0;
	port->tx_csum_ip = (eth->txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
	port->tx_csum_l4 = (eth->txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0;
	/* What a queue sends came from the port's one pool and has no other user. */
	eth->txmode.offloads |= info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	/* A port without RSS (memif, af_packet, af_xdp) is spread by its other end. */
	if (conf->queue_cnt > 1) {
		eth->rx_adv_conf.rss_conf.rss_hf =
			info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP);
		port->rss = eth->rx_adv_conf.rss_conf.rss_hf != 0;
		eth->rxmode.mq_mode = port->rss ? RTE_ETH_MQ_RX_RSS : RTE_ETH_MQ_RX_NONE;
	}
}

static int make_pool(const struct pl_port_conf *conf, struct pl_port *port, uint16_t rx_desc_cnt,
		     uint16_t tx_desc_cnt, char *error, size_t error_size)
{
	uint32_t mbuf_cnt = conf->mbuf_cnt;
	char name[RTE_MEMPOOL_NAMESIZE];

	if (mbuf_cnt == 0)
		mbuf_cnt = conf->queue_cnt * (rx_desc_cnt + tx_desc_cnt + QUEUE_MBUF_SPARE) - 1;
	snprintf(name, sizeof(name), "pl_port_%u", port->port_id);
	port->pool = rte_pktmbuf_pool_create(name, mbuf_cnt, POOL_CACHE_CNT, 0,
					     RTE_MBUF_DEFAULT_BUF_SIZE, port->numa_node);
	if (port->pool == NULL && port->numa_node != SOCKET_ID_ANY)
		port->pool = rte_pktmbuf_pool_create(name, mbuf_cnt, POOL_CACHE_CNT, 0,
						     RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (port->pool != NULL)
		return 0;
	say(error, error_size,
	    "port %s: no memory for %u packet buffers (%u MB): %s. Reserve more hugepages, or give "
	    "the EAL more memory (-m <MB>), or ask for fewer queues",
	    conf->device, mbuf_cnt,
	    (unsigned int)((uint64_t)mbuf_cnt * RTE_MBUF_DEFAULT_BUF_SIZE >> 20),
	    rte_strerror(rte_errno));
	return -ENOMEM;
}

static int set_queues(struct pl_port *port, const struct rte_eth_dev_info *info,
		      const struct rte_eth_conf *eth, uint16_t rx_desc_cnt, uint16_t tx_desc_cnt)
{
	struct rte_eth_rxconf rx = info->default_rxconf;
	struct rte_eth_txconf tx = info->default_txconf;
	unsigned int node = (unsigned int)port->numa_node;
	int ret = 0;

	rx.offloads = eth->rxmode.offloads;
	tx.offloads = eth->txmode.offloads;
	for (uint16_t q = 0; q < port->queue_cnt && ret == 0; q++) {
		ret = rte_eth_rx_queue_setup(port->port_id, q, rx_desc_cnt, node, &rx, port->pool);
		if (ret == 0)
			ret = rte_eth_tx_queue_setup(port->port_id, q, tx_desc_cnt, node, &tx);
	}
	return ret;
}

/* Neighbour solicitations come to a group: by filter, else by taking all groups, else everything.
 * A driver that knows none of the three (memif, ring) filters nothing. */
static void let_groups_in(const struct pl_port_conf *conf, struct pl_port *port)
{
	struct rte_ether_addr macs[PL_PORT_GROUP_MACS_MAX];
	const char *how = "all";

	memcpy(macs, conf->group_macs, sizeof(macs));
	if (conf->group_mac_cnt == 0)
		how = "none";
	else if (rte_eth_dev_set_mc_addr_list(port->port_id, macs, conf->group_mac_cnt) == 0)
		how = "filter";
	else if (rte_eth_allmulticast_enable(port->port_id) == 0)
		how = "allmulticast";
	else if (rte_eth_promiscuous_enable(port->port_id) == 0)
		how = "promiscuous";
	snprintf(port->multicast, sizeof(port->multicast), "%s", how);
}

int pl_port_open(const struct pl_port_conf *conf, struct pl_port *port, char *error,
		 size_t error_size)
{
	uint16_t rx_desc_cnt = conf->rx_desc_cnt ? conf->rx_desc_cnt : DESC_CNT_DEFAULT;
	uint16_t tx_desc_cnt = conf->tx_desc_cnt ? conf->tx_desc_cnt : DESC_CNT_DEFAULT;
	struct rte_eth_dev_info info;
	struct rte_eth_conf eth;
	const char *step;
	int ret;

	memset(port, 0, sizeof(*port));
	memset(&eth, 0, sizeof(eth));
	port->queue_cnt = conf->queue_cnt;
	if (conf->group_mac_cnt > PL_PORT_GROUP_MACS_MAX) {
		say(error, error_size, "port %s: more than %u group addresses", conf->device,
		    PL_PORT_GROUP_MACS_MAX);
		return -ERANGE;
	}
	ret = find(conf, port, &info, error, error_size);
	if (ret == 0)
		ret = check_queues(conf, &info, error, error_size);
	if (ret != 0)
		return ret;
	choose_offloads(conf, port, &info, &eth);
	step = "configuring it";
	ret = rte_eth_dev_configure(port->port_id, conf->queue_cnt, conf->queue_cnt, &eth);
	if (ret == 0) {
		step = "sizing its rings";
		ret = rte_eth_dev_adjust_nb_rx_tx_desc(port->port_id, &rx_desc_cnt, &tx_desc_cnt);
	}
	if (ret == 0) {
		ret = make_pool(conf, port, rx_desc_cnt, tx_desc_cnt, error, error_size);
		if (ret != 0)
			return ret;
		step = "setting up its queues";
		ret = set_queues(port, &info, &eth, rx_desc_cnt, tx_desc_cnt);
	}
	if (ret == 0) {
		/* The largest datagram needs all of it. A driver that cannot set the MTU (memif)
		 * takes frames up to its buffer size, which is larger. */
		step = "setting its MTU to 1500";
		ret = rte_eth_dev_set_mtu(port->port_id, PL_NET_MTU);
		if (ret == -ENOTSUP)
			ret = 0;
	}
	if (ret != 0) {
		say(error, error_size, "port %s (%s): %s failed: %s", conf->device, port->driver,
		    step, strerror(-ret));
		rte_mempool_free(port->pool);
		port->pool = NULL;
		return ret;
	}
	let_groups_in(conf, port);
	return 0;
}

int pl_port_start(struct pl_port *port, char *error, size_t error_size)
{
	int ret = rte_eth_dev_start(port->port_id);

	if (ret != 0) {
		say(error, error_size, "port %u (%s) does not start: %s", port->port_id,
		    port->driver, strerror(-ret));
		return ret;
	}
	port->started = true;
	return 0;
}

void pl_port_stop(struct pl_port *port)
{
	if (port->started)
		(void)rte_eth_dev_stop(port->port_id);
	port->started = false;
}

void pl_port_close(struct pl_port *port)
{
	if (port->pool == NULL)
		return;
	pl_port_stop(port);
	(void)rte_eth_dev_close(port->port_id);
	rte_mempool_free(port->pool);
	port->pool = NULL;
}

void pl_port_status(const struct pl_port *port, struct pl_port_status *out)
{
	struct rte_eth_link link;
	struct rte_eth_stats stats;

	memset(out, 0, sizeof(*out));
	if (rte_eth_link_get_nowait(port->port_id, &link) == 0) {
		out->link_up = link.link_status == RTE_ETH_LINK_UP;
		if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
			out->link_mbps = link.link_speed;
	}
	if (rte_eth_stats_get(port->port_id, &stats) == 0) {
		out->rx_missed = stats.imissed;
		out->rx_errors = stats.ierrors;
		out->rx_no_mbuf = stats.rx_nombuf;
		out->tx_errors = stats.oerrors;
	}
}
