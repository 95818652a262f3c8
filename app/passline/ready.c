/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include <rte_lcore.h>
#include <systemd/sd-daemon.h>

#include "app.h"
#include "ready.h"
#include "say.h"

void pl_ready_answering(const struct pl_app *app)
{
	pl_say("answering, loading feed %s", app->config.site.feed_store_dir);
	(void)sd_notifyf(0, "STATUS=answering, loading feed %s", app->config.site.feed_store_dir);
}

void pl_ready_loading(uint64_t record_cnt)
{
	pl_say("loading feed: %" PRIu64 " records so far", record_cnt);
	(void)sd_notifyf(0,
			 "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=answering, loading feed: %" PRIu64
			 " records so far",
			 record_cnt);
}

static const char *memory_text(const struct pl_table_stats *s)
{
	switch (s->memory) {
	case PL_TABLE_MEM_HUGE_1G:
		return "1 GB pages";
	case PL_TABLE_MEM_HUGE_2M:
		return "2 MB pages";
	case PL_TABLE_MEM_ORDINARY:
	default:
		return "ordinary pages, slower";
	}
}

void pl_ready_serving(const struct pl_app *app)
{
	struct pl_table_stats stats;
	char address[512];

	pl_table_stats_get(app->table, &stats);
	for (uint32_t i = 0; i < app->port_cnt; i++) {
		const struct pl_app_port *ap = &app->ports[i];
		const uint8_t *mac = ap->nif.mac;

		pl_ports_address_text(&ap->nif, address, sizeof(address));
		pl_say("port %s: %s (%s) %02x:%02x:%02x:%02x:%02x:%02x, %u queue(s)%s, checksums "
		       "rx %s tx %s, groups by %s, %s",
		       ap->conf->name, ap->conf->device, ap->port.driver, mac[0], mac[1], mac[2],
		       mac[3], mac[4], mac[5], ap->port.queue_cnt, ap->port.rss ? " by RSS" : "",
		       ap->port.rx_csum_l4 ? "by port" : "in software",
		       ap->port.tx_csum_l4 ? "by port" : "in software", ap->port.multicast,
		       address);
	}
	pl_ports_address_text(&app->ports[0].nif, address, sizeof(address));
	pl_say("ready: %u queue(s), %s, %" PRIu64 " of %" PRIu64
	       " certificates in %s, feed at segment %" PRIu64 ", %u gateway(s), %s",
	       app->worker_cnt, pl_verify_engines(app->workers[0]->verify), stats.entry_cnt,
	       stats.capacity, memory_text(&stats),
	       atomic_load_explicit(&app->loader.status.sequence, memory_order_relaxed),
	       atomic_load_explicit(&app->gateway_cnt, memory_order_relaxed), address);
	(void)sd_notifyf(0, "READY=1\nSTATUS=serving %" PRIu64 " certificates", stats.entry_cnt);
}

void pl_ready_draining(bool stop)
{
	pl_say("draining");
	(void)sd_notify(0, stop ? "STOPPING=1\nSTATUS=draining" : "STATUS=draining");
}
