/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * One ethdev port of any driver, made ready for run-to-completion workers: a receive and a
 * transmit queue each, frames spread by RSS where the port has it, checksums left to the port
 * where it offers that, neighbour solicitations let in, one pool of buffers on the port's node.
 *
 * The EAL must be initialised. A port is set up, started, stopped and closed by one thread; each
 * of its queues belongs to one worker in between.
 */
#ifndef PL_PORT_H
#define PL_PORT_H

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/pl_base.h"
#include "net/pl_net.h"

#define PL_PORT_GROUP_MACS_MAX 16u
#define PL_PORT_BURST_MAX      64u

struct pl_port_conf {
	const char *device;   /* ethdev name: "net_memif0", "net_af_xdp0", "0000:01:00.0" */
	uint16_t queue_cnt;   /* receive and transmit queues, 1 .. */
	uint16_t rx_desc_cnt; /* 0: 1024, or the nearest that the port has */
	uint16_t tx_desc_cnt;
	uint32_t mbuf_cnt; /* 0: enough for the rings of every queue and bursts under way */
	/* Ethernet groups to receive besides broadcast: pl_net_solicited_mac() of each address. */
	uint8_t group_macs[PL_PORT_GROUP_MACS_MAX][6];
	uint32_t group_mac_cnt;
	bool no_offload; /* checksums in software whatever the port offers */
};

/** A port that was set up. Everything is read-only between start and stop. */
struct pl_port {
	uint16_t port_id;
	uint16_t queue_cnt;
	bool rx_csum_ip; /* the port says of each frame whether its checksum is right */
	bool rx_csum_l4;
	bool tx_csum_ip; /* the port writes them */
	bool tx_csum_l4;
	bool rss; /* the port itself spreads frames over its queues */
	bool started;
	uint8_t mac[6];
	int numa_node; /* of the port and its buffers, or SOCKET_ID_ANY */
	struct rte_mempool *pool;
	char driver[32];
	char multicast[16]; /* how groups get in: "filter", "allmulticast", "promiscuous", "all" */
};

/**
 * Find, configure and fill a port; pl_port_start() makes it receive.
 *
 * @param error  names the device, the limit and the remedy.
 * @return 0; -ENODEV if there is no such device; -ERANGE for more queues than it has; -ENOMEM;
 *         another -errno of the driver.
 */
PL_MUST_USE int pl_port_open(const struct pl_port_conf *conf, struct pl_port *port, char *error,
			     size_t error_size);
PL_MUST_USE int pl_port_start(struct pl_port *port, char *error, size_t error_size);
/** No frame is received or sent once this returned; workers must have left the queues. */
void pl_port_stop(struct pl_port *port);
/** Stops first if need be. A port that pl_port_open() refused needs no closing. */
void pl_port_close(struct pl_port *port);

/** What the driver and the port itself have to say; zeros where it cannot tell. */
struct pl_port_status {
	bool link_up;
	uint32_t link_mbps;  /* 0: unknown. Some virtual drivers make one up */
	uint64_t rx_missed;  /* not received: the rings were full */
	uint64_t rx_errors;  /* not received: erroneous */
	uint64_t rx_no_mbuf; /* not received: no buffer */
	uint64_t tx_errors;
};
/** Any thread, also while workers run. Blocks: no. */
void pl_port_status(const struct pl_port *port, struct pl_port_status *out);

/** Worker of the queue. @return how many, 0 .. cnt. */
static inline uint16_t pl_port_rx(const struct pl_port *port, uint16_t queue,
				  struct rte_mbuf **mbufs, uint16_t cnt)
{
	return rte_eth_rx_burst(port->port_id, queue, mbufs, cnt);
}

/** Worker of the queue. @return how many the port took; the rest stay the caller's. */
static inline uint16_t pl_port_tx(const struct pl_port *port, uint16_t queue,
				  struct rte_mbuf **mbufs, uint16_t cnt)
{
	return rte_eth_tx_burst(port->port_id, queue, mbufs, cnt);
}

/** What the port found out about a received frame's checksums, for pl_net_parse(). */
static inline void pl_port_rx_csums(const struct rte_mbuf *m, struct pl_net_frame *f)
{
	uint64_t ip = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	/* RX_NONE (not computed, but the data is fine) comes from virtual drivers that pass
	 * frames within a host: it is not taken at its word. */
	f->ip_csum = ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD  ? PL_NET_CSUM_GOOD
		     : ip == RTE_MBUF_F_RX_IP_CKSUM_BAD ? PL_NET_CSUM_BAD
							: PL_NET_CSUM_CHECK;
	f->l4_csum = l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD  ? PL_NET_CSUM_GOOD
		     : l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD ? PL_NET_CSUM_BAD
							: PL_NET_CSUM_CHECK;
}

/** Ask the port for the checksums that pl_net_udp_reply() left to it. */
static inline void pl_port_tx_csums(const struct pl_port *port, struct rte_mbuf *m,
				    const struct pl_net_frame *f)
{
	uint64_t flags = f->is_ip6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;

	if (!port->tx_csum_ip && !port->tx_csum_l4)
		return;
	if (port->tx_csum_ip && !f->is_ip6)
		flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if (port->tx_csum_l4)
		flags |= RTE_MBUF_F_TX_UDP_CKSUM;
	m->ol_flags |= flags;
	m->tx_offload = rte_mbuf_tx_offload(f->l2_size, f->l3_size, 0, 0, 0, 0, 0);
}

#endif
