/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as an appliance's configuration: what is accepted keeps every bound that the header
 * promises, and what is refused is refused with a reason.
 */
#include "clock/pl_clock.h"
#include "site/pl_site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_text(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

static void check_port(const struct pl_site_port *p)
{
	PL_CHECK(is_text(p->name, sizeof(p->name)) && is_text(p->device, sizeof(p->device)));
	PL_CHECK(p->name[0] != '\0' && p->device[0] != '\0');
	PL_CHECK(p->queue_cnt >= 1 && p->net.udp_port >= 1 && p->net.vlan_id <= 4094);
	PL_CHECK(p->net.ip4_cnt <= PL_NET_ADDRS_MAX && p->net.ip6_cnt < PL_NET_ADDRS_MAX);
	PL_CHECK(p->net.ip4_cnt + p->net.ip6_cnt >= 1);
	for (uint32_t i = 0; i < p->net.ip4_cnt; i++)
		PL_CHECK(p->net.ip4_prefix[i] <= 32);
}

static void check_site(const struct pl_site *s)
{
	struct pl_clock_zone zone;
	uint32_t queue_cnt = 0;

	PL_CHECK(s->appliance_id >= 1 && s->appliance_id <= PL_SITE_APPLIANCE_ID_MAX);
	PL_CHECK(is_text(s->time_zone, sizeof(s->time_zone)));
	PL_CHECK(pl_clock_zone_get(s->time_zone, 0, &zone) == 0);
	PL_CHECK(s->port_cnt >= 1 && s->port_cnt <= PL_SITE_PORTS_MAX);
	for (uint32_t i = 0; i < s->port_cnt; i++) {
		check_port(&s->ports[i]);
		queue_cnt += s->ports[i].queue_cnt;
	}
	PL_CHECK(queue_cnt == s->queue_cnt && queue_cnt <= PL_SITE_QUEUES_MAX);
	PL_CHECK(s->authority_path[0] != '\0' && s->token_dir[0] != '\0');
	PL_CHECK(s->gateway_dir[0] != '\0' && s->feed_store_dir[0] != '\0');
	PL_CHECK(is_text(s->table_path, sizeof(s->table_path)) && s->table_path[0] != '\0');
	PL_CHECK(s->table_capacity >= 1000 && s->feed_age_s_max >= 1 && s->step_ms_max >= 10);
	PL_CHECK((s->table_memory == PL_SITE_MEMORY_AUTO) == (s->table_fallback_path[0] != '\0'));
	PL_CHECK(s->platform_cnt <= PL_SITE_PLATFORMS_MAX && s->span_cnt <= PL_SITE_SPANS_MAX);
	for (uint32_t i = 0; i < s->platform_cnt; i++)
		PL_CHECK(is_text(s->platforms[i], PL_SITE_PLATFORM_SIZE) &&
			 s->platforms[i][0] != '\0');
	for (uint32_t i = 0; i < s->span_cnt; i++) {
		PL_CHECK(s->spans[i].platform < s->platform_cnt);
		PL_CHECK(i == 0 || s->spans[i - 1].last < s->spans[i].first);
		PL_CHECK(pl_site_platform_of(s, s->spans[i].first) ==
			 (int32_t)s->spans[i].platform);
		PL_CHECK(pl_site_platform_of(s, s->spans[i].last) == (int32_t)s->spans[i].platform);
	}
	PL_CHECK(s->retry_after_ms >= 10 && s->request_age_ms_max >= 100 && s->idle_us >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pl_site site;
	static char error[PL_SITE_ERROR_SIZE];

	if (pl_site_parse("x/site.conf", (const char *)data, size, &site, error, sizeof(error)) ==
	    0) {
		check_site(&site);
	} else {
		PL_CHECK(strncmp(error, "x/site.conf:", 12) == 0);
		PL_CHECK(is_text(error, sizeof(error)));
	}
	return 0;
}
