/* SPDX-License-Identifier: BSD-3-Clause */
/* Which keys a running appliance cannot change. A key that is not here is applied by a reload. */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "site/pl_site.h"

struct diff {
	char *text;
	size_t size;
	size_t used;
	uint32_t cnt;
};

static void add(struct diff *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct diff *d, const char *format, ...)
{
	va_list ap;
	int n;

	d->cnt++;
	if (d->used >= d->size)
		return;
	if (d->used > 0)
		d->text[d->used++] = '\n';
	va_start(ap, format);
	n = vsnprintf(d->text + d->used, d->size - d->used, format, ap);
	va_end(ap);
	d->used += n > 0 ? (size_t)n : 0;
}

static void differs(struct diff *d, const char *section, const char *key)
{
	add(d,
	    "[%s] %s cannot change while the appliance runs: restart it, or take the change back",
	    section, key);
}

/* F(section, key, field) */
#define FROZEN(F)                                \
	F("site", "appliance-id", appliance_id)  \
	F("site", "state-dir", state_dir)        \
	F("keys", "authority", authority_path)   \
	F("feed", "store", feed_store_dir)       \
	F("feed", "listen", feed_listen)         \
	F("feed", "rate", feed_certs_per_s_max)  \
	F("feed", "dir", feed_dir)               \
	F("table", "memory", table_memory)       \
	F("table", "path", table_path)           \
	F("table", "numa-node", table_numa_node) \
	F("control", "socket", control_path)     \
	F("control", "owner", control_owner)     \
	F("control", "group", control_group)     \
	F("control", "mode", control_mode)

static void ports_diff(struct diff *d, const struct pl_site *now, const struct pl_site *next)
{
	if (now->port_cnt != next->port_cnt) {
		add(d,
		    "[port]: there were %u and are %u: ports cannot change while the appliance "
		    "runs: restart it, or take the change back",
		    now->port_cnt, next->port_cnt);
		return;
	}
	for (uint32_t i = 0; i < now->port_cnt; i++) {
		const struct pl_site_port *a = &now->ports[i], *b = &next->ports[i];
		char section[PL_SITE_NAME_SIZE + 8];

		snprintf(section, sizeof(section), "port %s", a->name);
		if (strcmp(a->name, b->name) != 0)
			differs(d, section, "(its name)");
		if (strcmp(a->device, b->device) != 0)
			differs(d, section, "device");
		if (a->queue_cnt != b->queue_cnt)
			differs(d, section, "queues");
		if (a->garp != b->garp)
			differs(d, section, "garp");
		if (a->net.vlan_id != b->net.vlan_id)
			differs(d, section, "vlan");
		if (a->net.udp_port != b->net.udp_port)
			differs(d, section, "udp-port");
		/* Both were zeroed before they were filled in. */
		if (a->net.ip4_cnt != b->net.ip4_cnt || a->net.ip6_cnt != b->net.ip6_cnt ||
		    memcmp(a->net.ip4, b->net.ip4, sizeof(a->net.ip4)) != 0 ||
		    memcmp(a->net.ip4_prefix, b->net.ip4_prefix, sizeof(a->net.ip4_prefix)) != 0 ||
		    memcmp(a->net.ip6, b->net.ip6, sizeof(a->net.ip6)) != 0)
			differs(d, section, "addresses");
	}
}

uint32_t pl_site_frozen_diff(const struct pl_site *now, const struct pl_site *next, char *text,
			     size_t text_size)
{
	struct diff d = {.text = text, .size = text_size};

	if (text_size > 0)
		text[0] = '\0';
		/* Numbers and zeroed texts: equal bytes are equal values. */
#define F(section, key, field)                                          \
	if (memcmp(&now->field, &next->field, sizeof(now->field)) != 0) \
		differs(&d, section, key);
	FROZEN(F)
#undef F
	ports_diff(&d, now, next);
	return d.cnt;
}

struct span {
	size_t begin;
	size_t end;
};

static int compare_spans(const void *a, const void *b)
{
	size_t x = ((const struct span *)a)->begin, y = ((const struct span *)b)->begin;

	return (x > y) - (x < y);
}

void pl_site_reload(struct pl_site *now, const struct pl_site *next)
{
#define SPAN(field) \
	{offsetof(struct pl_site, field), offsetof(struct pl_site, field) + sizeof(now->field)},
#define F(section, key, field) SPAN(field)
	/* And what follows from them. */
	struct span spans[] = {FROZEN(F) SPAN(port_cnt) SPAN(queue_cnt) SPAN(ports)
				       SPAN(table_fallback_path)};
#undef F
#undef SPAN
	size_t at = 0;

	qsort(spans, PL_ARRAY_CNT(spans), sizeof(spans[0]), compare_spans);
	for (size_t i = 0; i <= PL_ARRAY_CNT(spans); i++) {
		size_t end = i < PL_ARRAY_CNT(spans) ? spans[i].begin : sizeof(*now);

		memcpy((uint8_t *)now + at, (const uint8_t *)next + at, end - at);
		at = i < PL_ARRAY_CNT(spans) ? spans[i].end : end;
	}
}
