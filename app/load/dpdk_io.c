/* SPDX-License-Identifier: BSD-3-Clause */

#include <arpa/inet.h>
#include <errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "clock.h"
#include "io.h"
#include "net/pl_net.h"
#include "port/pl_port.h"

#define LINK_WAIT_S   20
#define PEER_WAIT_S   10
#define ASK_EACH_MS   200
#define MBUF_DATA_MAX 2048u

struct dpdk_io {
	struct load_io io;
	struct pl_port port;
	struct pl_net_flow flow; /* of source port 0 */
	struct pl_net_if self;   /* answers ARP, echo and solicitations */
	struct rte_mbuf *held[LOAD_BURST];
	uint32_t held_cnt;
};

static uint32_t tx(struct load_io *io, const struct io_tx *pkts, uint32_t cnt)
{
	struct dpdk_io *d = (struct dpdk_io *)io;
	struct rte_mbuf *mbufs[LOAD_BURST];
	uint32_t sent;

	if (rte_pktmbuf_alloc_bulk(d->port.pool, mbufs, cnt) != 0)
		return 0;
	for (uint32_t i = 0; i < cnt; i++) {
		memcpy(rte_pktmbuf_mtod(mbufs[i], void *), pkts[i].frame, pkts[i].size);
		mbufs[i]->data_len = (uint16_t)pkts[i].size;
		mbufs[i]->pkt_len = pkts[i].size;
	}
	sent = pl_port_tx(&d->port, 0, mbufs, (uint16_t)cnt);
	if (PL_UNLIKELY(sent < cnt))
		rte_pktmbuf_free_bulk(mbufs + sent, cnt - sent);
	return sent;
}

/* ARP, ping and neighbour discovery: whoever asks about us gets its answer. */
static void other_frame(struct dpdk_io *d, struct rte_mbuf *m)
{
	struct pl_net_frame f = {
		.data = rte_pktmbuf_mtod(m, uint8_t *),
		.size = rte_pktmbuf_data_len(m),
		.room = rte_pktmbuf_data_len(m) + rte_pktmbuf_tailroom(m),
	};

	if (m->nb_segs != 1) {
		rte_pktmbuf_free(m);
		return;
	}
	pl_net_parse(&d->self, &f);
	if (f.kind == PL_NET_DROP || f.kind == PL_NET_UDP) {
		rte_pktmbuf_free(m);
		return;
	}
	m->data_len = (uint16_t)f.size;
	m->pkt_len = f.size;
	m->ol_flags = 0;
	if (pl_port_tx(&d->port, 0, &m, 1) == 0)
		rte_pktmbuf_free(m);
}

static uint32_t rx(struct load_io *io, struct io_rx *pkts, uint32_t cnt)
{
	struct dpdk_io *d = (struct dpdk_io *)io;
	struct rte_mbuf *mbufs[LOAD_BURST];
	uint32_t got = pl_port_rx(&d->port, 0, mbufs, (uint16_t)cnt), out = 0;

	for (uint32_t i = 0; i < got; i++)
		pl_prefetch(rte_pktmbuf_mtod(mbufs[i], void *));
	for (uint32_t i = 0; i < got; i++) {
		struct rte_mbuf *m = mbufs[i];
		uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
		uint32_t size, off = 0;
		uint16_t port;

		/* Checksums are checked: that the appliance writes them right is part of what
		 * is measured. */
		if (PL_LIKELY(m->nb_segs == 1))
			off = pl_net_flow_match(&d->flow, data, rte_pktmbuf_data_len(m), true,
						&size, &port);
		if (PL_UNLIKELY(off == 0 || (uint16_t)(port - d->flow.src_port) >= io->flow_cnt)) {
			other_frame(d, m);
			continue;
		}
		pkts[out++] = (struct io_rx){data + off, size};
		d->held[d->held_cnt++] = m;
	}
	return out;
}

static void rx_done(struct load_io *io)
{
	struct dpdk_io *d = (struct dpdk_io *)io;

	rte_pktmbuf_free_bulk(d->held, d->held_cnt);
	d->held_cnt = 0;
}

static uint32_t finish(struct load_io *io, uint8_t *frame, uint32_t flow, uint32_t payload_size)
{
	struct dpdk_io *d = (struct dpdk_io *)io;
	struct pl_net_flow f = d->flow;

	f.src_port = (uint16_t)(f.src_port + flow);
	return pl_net_flow_write(&f, frame, payload_size);
}

static void close_port(struct load_io *io)
{
	struct dpdk_io *d = (struct dpdk_io *)io;

	pl_port_close(&d->port);
	free(d);
}

static const struct load_io_ops ops = {tx, rx, rx_done, finish, close_port};

static void rest_ms(uint32_t ms)
{
	const struct timespec rest = {.tv_nsec = (long)ms * 1000000};

	nanosleep(&rest, NULL);
}

static int wait_link(struct dpdk_io *d, char *error, size_t error_size)
{
	struct pl_port_status status;

	for (uint32_t ms = 0; ms < LINK_WAIT_S * 1000 && !load_stop; ms += 10) {
		pl_port_status(&d->port, &status);
		if (status.link_up)
			return 0;
		rest_ms(10);
	}
	snprintf(error, error_size,
		 "%s: no link within %d s; is the other end running, and are both ends of a memif "
		 "given the same socket and opposite roles?",
		 d->io.name, LINK_WAIT_S);
	return -ETIMEDOUT;
}

/* Look among what came in for the peer's Ethernet address. */
static bool hear_peer(struct dpdk_io *d)
{
	struct rte_mbuf *mbufs[LOAD_BURST];
	uint32_t got = pl_port_rx(&d->port, 0, mbufs, LOAD_BURST);
	bool heard = false;

	for (uint32_t i = 0; i < got; i++) {
		if (!heard && mbufs[i]->nb_segs == 1 &&
		    pl_net_flow_is_me(&d->flow, rte_pktmbuf_mtod(mbufs[i], const uint8_t *),
				      rte_pktmbuf_data_len(mbufs[i]), d->flow.dst_mac)) {
			heard = true;
			rte_pktmbuf_free(mbufs[i]);
			continue;
		}
		other_frame(d, mbufs[i]);
	}
	return heard;
}

static int find_peer(struct dpdk_io *d, char *error, size_t error_size)
{
	for (uint32_t ms = 0; ms < PEER_WAIT_S * 1000 && !load_stop; ms++) {
		if (ms % ASK_EACH_MS == 0) {
			struct rte_mbuf *m = rte_pktmbuf_alloc(d->port.pool);

			if (m != NULL) {
				m->data_len = (uint16_t)pl_net_flow_who(
					&d->flow, rte_pktmbuf_mtod(m, uint8_t *));
				m->pkt_len = m->data_len;
				if (pl_port_tx(&d->port, 0, &m, 1) == 0)
					rte_pktmbuf_free(m);
			}
		}
		if (hear_peer(d))
			return 0;
		rest_ms(1);
	}
	snprintf(error, error_size,
		 "%s: --dst-ip does not answer %s; is it the appliance's address on this link? Or "
		 "give --dst-mac",
		 d->io.name, d->flow.is_ip6 ? "neighbour solicitations" : "ARP");
	return -EHOSTUNREACH;
}

static int choose_device(const struct load_args *args, char name[RTE_ETH_NAME_MAX_LEN], char *error,
			 size_t error_size)
{
	uint16_t port_id;

	if (args->device != NULL) {
		snprintf(name, RTE_ETH_NAME_MAX_LEN, "%s", args->device);
		return 0;
	}
	if (rte_eth_dev_count_avail() != 1) {
		snprintf(error, error_size,
			 "%u DPDK ports: name the one to use with --device, or give one to the EAL "
			 "(--vdev or -a before --)",
			 rte_eth_dev_count_avail());
		return -ENODEV;
	}
	port_id = (uint16_t)rte_eth_find_next(0);
	return rte_eth_dev_get_name_by_port(port_id, name);
}

static void fill_self(struct dpdk_io *d)
{
	memcpy(d->self.mac, d->port.mac, 6);
	d->self.vlan_id = d->flow.vlan_id;
	d->self.udp_port = d->flow.src_port;
	if (d->flow.is_ip6) {
		memcpy(d->self.ip6[d->self.ip6_cnt++], d->flow.src_ip, 16);
	} else {
		memcpy(d->self.ip4[0], d->flow.src_ip, 4);
		d->self.ip4_prefix[0] = 24;
		d->self.ip4_cnt = 1;
	}
	pl_net_link_local(d->port.mac, d->self.ip6[d->self.ip6_cnt++]);
}

int dpdk_io_open(const struct load_args *args, struct load_io **out, char *error, size_t error_size)
{
	char device[RTE_ETH_NAME_MAX_LEN];
	struct pl_port_conf conf = {.device = device, .queue_cnt = 1};
	struct dpdk_io *d = calloc(1, sizeof(*d));
	int rc;

	if (d == NULL) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	rc = choose_device(args, device, error, error_size);
	if (rc != 0)
		goto fail;
	d->io.ops = &ops;
	d->io.flow_cnt = args->flow_cnt;
	d->flow = args->flow;
	if (d->flow.is_ip6) {
		pl_net_solicited_mac(d->flow.src_ip, conf.group_macs[0]);
		conf.group_mac_cnt = 1;
	}
	rc = pl_port_open(&conf, &d->port, error, error_size);
	if (rc != 0)
		goto fail;
	snprintf(d->io.name, sizeof(d->io.name), "%.60s (%.30s)", device, d->port.driver);
	memcpy(d->flow.src_mac, d->port.mac, 6);
	d->io.payload_off = pl_net_flow_headers_size(&d->flow);
	fill_self(d);
	rc = pl_port_start(&d->port, error, error_size);
	if (rc == 0)
		rc = wait_link(d, error, error_size);
	if (rc == 0 && !args->dst_mac_given)
		rc = find_peer(d, error, error_size);
	if (rc != 0) {
		pl_port_close(&d->port);
		goto fail;
	}
	*out = &d->io;
	return 0;
fail:
	free(d);
	return rc;
}
