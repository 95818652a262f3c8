/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <errno.h>

#include "app.h"
#include "say.h"

/* The device's own two addresses join those of the site. */
static void nif_fill(struct pl_app_port *ap)
{
	struct pl_net_if *nif = &ap->nif;

	memcpy(nif->mac, ap->port.mac, 6);
	if (nif->ip6_cnt > 0 && nif->ip6_cnt < PL_NET_ADDRS_MAX)
		pl_net_link_local(nif->mac, nif->ip6[nif->ip6_cnt++]);
}

/* Where neighbours will ask: known before the device is, but for its link-local address. */
static void groups_fill(struct pl_port_conf *conf, const struct pl_net_if *nif)
{
	for (uint32_t i = 0; i < nif->ip6_cnt; i++)
		pl_net_solicited_mac(nif->ip6[i], conf->group_macs[conf->group_mac_cnt++]);
}

static int port_open(struct pl_app *app, uint32_t idx, char *error, size_t error_size)
{
	struct pl_app_port *ap = &app->ports[idx];
	struct pl_port_conf conf = {0};
	uint16_t port_id;
	int ret;

	ap->conf = &app->config.site.ports[idx];
	ap->nif = ap->conf->net;
	conf.device = ap->conf->device;
	conf.queue_cnt = (uint16_t)ap->conf->queue_cnt;
	conf.no_offload = app->args.no_offload;
	/* The link-local address asks for a group of its own, which needs the MAC first. */
	if (rte_eth_dev_get_port_by_name(conf.device, &port_id) == 0 &&
	    rte_eth_macaddr_get(port_id, (struct rte_ether_addr *)ap->port.mac) == 0)
		nif_fill(ap);
	groups_fill(&conf, &ap->nif);
	ret = pl_port_open(&conf, &ap->port, error, error_size);
	if (ret != 0)
		return ret;
	ap->opened = true;
	return 0;
}

int pl_ports_open(struct pl_app *app, char *error, size_t error_size)
{
	for (uint32_t i = 0; i < app->config.site.port_cnt; i++) {
		int ret = port_open(app, i, error, error_size);

		if (ret != 0)
			return ret;
		app->port_cnt = i + 1;
	}
	return 0;
}

int pl_ports_start(struct pl_app *app, char *error, size_t error_size)
{
	for (uint32_t i = 0; i < app->port_cnt; i++) {
		struct pl_app_port *ap = &app->ports[i];
		int ret = pl_port_start(&ap->port, error, error_size);

		if (ret != 0)
			return ret;
		if (strcmp(ap->port.driver, "net_af_packet") == 0 ||
		    strcmp(ap->port.driver, "net_af_xdp") == 0)
			pl_say("port %s: the kernel's end of this interface must fill its "
			       "checksums "
			       "in (ethtool -K <peer> tx off) and have no addresses of its own",
			       ap->conf->name);
	}
	return 0;
}

void pl_ports_close(struct pl_app *app)
{
	for (uint32_t i = 0; i < app->port_cnt; i++)
		if (app->ports[i].opened)
			pl_port_close(&app->ports[i].port);
}

void pl_ports_address_text(const struct pl_net_if *nif, char *text, size_t text_size)
{
	char ip[INET6_ADDRSTRLEN];
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < nif->ip4_cnt && used < text_size; i++)
		used += (size_t)snprintf(
			text + used, text_size - used, "%s%s/%u", used > 0 ? ", " : "",
			inet_ntop(AF_INET, nif->ip4[i], ip, sizeof(ip)), nif->ip4_prefix[i]);
	for (uint32_t i = 0; i < nif->ip6_cnt && used < text_size; i++)
		used += (size_t)snprintf(text + used, text_size - used, "%s%s",
					 used > 0 ? ", " : "",
					 inet_ntop(AF_INET6, nif->ip6[i], ip, sizeof(ip)));
	if (nif->vlan_id != 0 && used < text_size)
		used += (size_t)snprintf(text + used, text_size - used, " vlan %u", nif->vlan_id);
	if (used < text_size)
		snprintf(text + used, text_size - used, " udp %u", nif->udp_port);
}
