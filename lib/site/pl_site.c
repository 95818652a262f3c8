/* SPDX-License-Identifier: BSD-3-Clause */
#include "site/pl_site_pvt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>

#include "clock/pl_clock.h"
#include "intake/pl_intake.h"
#include "table/pl_table.h"
#include "wire/pl_wire.h"

#define S_MS   1000ull
#define MIN_MS (60 * S_MS)
#define D_S    86400ull

#define STATE_DIR     "/var/lib/passline"
#define TABLE_NAME    "passline-table"
#define HUGETLBFS_DIR "/dev/hugepages"
#define TMPFS_DIR     "/dev/shm"

/* Of IPv6 addresses one place is kept for the link-local one. */
#define IP4_CNT_MAX PL_NET_ADDRS_MAX
#define IP6_CNT_MAX (PL_NET_ADDRS_MAX - 1)

static void read_zone(struct pl_conf *c, struct pl_conf_section *s, struct pl_site *site)
{
	const char *key = "time-zone";
	struct pl_clock_zone zone;
	int rc;

	pl_conf_text(c, s, key, "Asia/Seoul", site->time_zone, sizeof(site->time_zone));
	rc = pl_clock_zone_get(site->time_zone, 0, &zone);
	if (rc == -ENODEV)
		pl_conf_error(c, s, NULL,
			      "%s %s cannot be looked up: the time zone database is not installed "
			      "(apt install tzdata), without it only UTC is known",
			      key, site->time_zone);
	else if (rc == -ENOENT)
		pl_conf_error(c, s, NULL,
			      "%s %s: no such time zone; timedatectl list-timezones shows them",
			      key, site->time_zone);
	else if (rc != 0)
		pl_conf_error(c, s, NULL, "%s %s cannot be used: %s (apt reinstall tzdata?)", key,
			      site->time_zone, strerror(-rc));
}

static void read_site(struct pl_conf *c, struct pl_site *site)
{
	struct pl_conf_section *s = pl_conf_section_required(c, "site");

	pl_conf_text(c, s, "name", "passline", site->name, sizeof(site->name));
	if (pl_conf_require(c, s, "appliance-id") != NULL)
		site->appliance_id = (uint32_t)pl_conf_number(c, s, "appliance-id", 0, 1,
							      PL_SITE_APPLIANCE_ID_MAX);
	if (s != NULL)
		read_zone(c, s, site);
	pl_conf_path(c, s, "state-dir", STATE_DIR, site->state_dir, sizeof(site->state_dir));
}

static bool all_bytes_are(const uint8_t *p, size_t size, uint8_t v)
{
	for (size_t i = 0; i < size; i++)
		if (p[i] != v)
			return false;
	return true;
}

/* Why an IPv4 address cannot be a host's own, or NULL. */
static const char *ip4_fault(const uint8_t ip[4], uint32_t prefix)
{
	uint32_t v = (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3];
	uint32_t host_mask = prefix == 0 ? UINT32_MAX : (uint32_t)((1ull << (32 - prefix)) - 1);

	if (ip[0] == 0)
		return "is no host's address";
	if (ip[0] == 127)
		return "is a loopback address";
	if (ip[0] >= 224)
		return "is a multicast or reserved address";
	/* In a /31 both addresses are hosts' (RFC 3021). */
	if (prefix < 31 && (v & host_mask) == 0)
		return "is its network's own address: give the appliance's";
	if (prefix < 31 && (v & host_mask) == host_mask)
		return "is its network's broadcast address: give the appliance's";
	return NULL;
}

static const char *ip6_fault(const uint8_t ip[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (all_bytes_are(ip, 15, 0) && ip[15] <= 1)
		return "is the unspecified or the loopback address";
	if (ip[0] == 0xff)
		return "is a multicast address";
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)
		return "is link-local: the port makes its own from its MAC address, leave it out";
	if (memcmp(ip, mapped, sizeof(mapped)) == 0)
		return "is an IPv4 address in disguise: write it as IPv4";
	return NULL;
}

/* One "address/prefix". */
static void read_address(struct pl_conf *c, struct pl_conf_section *s, struct pl_conf_item *item,
			 const char *word, struct pl_net_if *net)
{
	const char *slash = strchr(word, '/');
	char text[INET6_ADDRSTRLEN];
	uint8_t ip[16];
	uint64_t prefix;
	const char *fault;
	bool is_ip6 = strchr(word, ':') != NULL;

	if (slash == NULL || (size_t)(slash - word) >= sizeof(text) ||
	    !pl_conf_parse_number(slash + 1, &prefix) || prefix > (is_ip6 ? 128 : 32)) {
		pl_conf_error(c, s, item,
			      "\"%.60s\" is not an address and its prefix length, such as "
			      "192.0.2.10/24 or 2001:db8::10/64",
			      word);
		return;
	}
	snprintf(text, sizeof(text), "%.*s", (int)(slash - word), word);
	if (inet_pton(is_ip6 ? AF_INET6 : AF_INET, text, ip) != 1) {
		pl_conf_error(c, s, item, "\"%.60s\" is not an IPv4 or IPv6 address", text);
		return;
	}
	fault = is_ip6 ? ip6_fault(ip) : ip4_fault(ip, (uint32_t)prefix);
	if (fault != NULL) {
		pl_conf_error(c, s, item, "%s %s", word, fault);
	} else if (is_ip6 && net->ip6_cnt < IP6_CNT_MAX) {
		memcpy(net->ip6[net->ip6_cnt++], ip, 16);
	} else if (!is_ip6 && net->ip4_cnt < IP4_CNT_MAX) {
		net->ip4_prefix[net->ip4_cnt] = (uint8_t)prefix;
		memcpy(net->ip4[net->ip4_cnt++], ip, 4);
	} else {
		pl_conf_error(c, s, item,
			      "%s is one too many: a port has up to %u IPv4 and %u IPv6 "
			      "addresses",
			      word, IP4_CNT_MAX, IP6_CNT_MAX);
	}
}

static void read_addresses(struct pl_conf *c, struct pl_conf_section *s, struct pl_net_if *net)
{
	struct pl_conf_item *item = pl_conf_require(c, s, "addresses");
	const char *at = item != NULL ? item->value : "";
	uint32_t errors = pl_conf_error_cnt(c);
	char word[64];

	while (pl_conf_word_next(&at, word, sizeof(word)))
		read_address(c, s, item, word, net);
	if (*at != '\0')
		pl_conf_error(c, s, item, "\"%.60s\" is longer than an address", at);
	else if (item != NULL && net->ip4_cnt + net->ip6_cnt == 0 && pl_conf_error_cnt(c) == errors)
		pl_conf_error(c, s, item, "holds no address");
}

/* The same address twice in one network, which is the wire of a device or a VLAN. */
static void check_addresses(struct pl_conf *c, struct pl_conf_section *s, const struct pl_net_if *a,
			    const struct pl_net_if *b)
{
	char text[INET6_ADDRSTRLEN];

	for (uint32_t i = 0; i < a->ip4_cnt; i++)
		for (uint32_t k = 0; k < b->ip4_cnt; k++)
			if ((a != b || i < k) && memcmp(a->ip4[i], b->ip4[k], 4) == 0)
				pl_conf_error(c, s, NULL, "address %s is given twice: remove one",
					      inet_ntop(AF_INET, a->ip4[i], text, sizeof(text)));
	for (uint32_t i = 0; i < a->ip6_cnt; i++)
		for (uint32_t k = 0; k < b->ip6_cnt; k++)
			if ((a != b || i < k) && memcmp(a->ip6[i], b->ip6[k], 16) == 0)
				pl_conf_error(c, s, NULL, "address %s is given twice: remove one",
					      inet_ntop(AF_INET6, a->ip6[i], text, sizeof(text)));
}

static void read_port(struct pl_conf *c, struct pl_conf_section *s, struct pl_site *site)
{
	struct pl_site_port *p = &site->ports[site->port_cnt];
	struct pl_conf_item *device;

	*p = (struct pl_site_port){0};
	snprintf(p->name, sizeof(p->name), "%s", s->arg);
	device = pl_conf_require(c, s, "device");
	if (device != NULL)
		pl_conf_text(c, s, "device", "", p->device, sizeof(p->device));
	p->queue_cnt = (uint32_t)pl_conf_number(c, s, "queues", 1, 1, PL_SITE_QUEUES_MAX);
	p->garp = pl_conf_bool(c, s, "garp", true);
	p->net.vlan_id = (uint16_t)pl_conf_number(c, s, "vlan", 0, 1, 4094);
	p->net.udp_port = (uint16_t)pl_conf_number(c, s, "udp-port", PL_WIRE_PORT, 1, UINT16_MAX);
	read_addresses(c, s, &p->net);

	for (uint32_t i = 0; i < site->port_cnt; i++) {
		const struct pl_site_port *q = &site->ports[i];

		if (device != NULL && strcmp(p->device, q->device) == 0)
			pl_conf_error(c, s, device,
				      "%s is the device of [port %s] already: one section a device",
				      p->device, q->name);
		if (p->net.vlan_id == q->net.vlan_id)
			check_addresses(c, s, &q->net, &p->net);
	}
	check_addresses(c, s, &p->net, &p->net);
	site->port_cnt++;
	site->queue_cnt += p->queue_cnt;
}

static void read_ports(struct pl_conf *c, struct pl_site *site)
{
	struct pl_conf_section *s = NULL;
	uint32_t errors = pl_conf_error_cnt(c);

	while ((s = pl_conf_section_next(c, "port", s)) != NULL) {
		if (site->port_cnt == PL_SITE_PORTS_MAX) {
			pl_conf_error(c, s, NULL, "more than %u ports", PL_SITE_PORTS_MAX);
			continue;
		}
		read_port(c, s, site);
	}
	if (site->port_cnt == 0 && pl_conf_error_cnt(c) == errors)
		pl_conf_error(c, NULL, NULL, "no [port NAME]: where should requests come from?");
	if (site->queue_cnt > PL_SITE_QUEUES_MAX)
		pl_conf_error(c, NULL, NULL,
			      "the ports have %" PRIu32
			      " queues together, more than the limit of %u",
			      site->queue_cnt, PL_SITE_QUEUES_MAX);
}

/* A path without which nothing works: no default, so that nobody takes another site's keys. */
static void read_required_path(struct pl_conf *c, struct pl_conf_section *s, const char *key,
			       char path[PL_SITE_PATH_SIZE])
{
	path[0] = '\0';
	if (pl_conf_require(c, s, key) != NULL)
		pl_conf_path(c, s, key, "", path, PL_SITE_PATH_SIZE);
}

/* "ADDR:PORT", with an IPv6 address in brackets. */
static void read_listen(struct pl_conf *c, struct pl_conf_section *s, struct pl_site *site)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				 .ai_socktype = SOCK_STREAM};
	char text[PL_SITE_NAME_SIZE], *host = text, *port;
	struct pl_conf_item *item = pl_conf_find(c, s, "listen");
	struct addrinfo *found = NULL;
	uint64_t number = 0;

	if (item == NULL)
		return;
	pl_conf_text(c, s, "listen", "", text, sizeof(text));
	port = strrchr(text, ':');
	if (port != NULL) {
		*port++ = '\0';
		if (text[0] == '[' && port - text > 2 && port[-2] == ']') {
			host = text + 1;
			port[-2] = '\0';
			hints.ai_family = AF_INET6;
		} else {
			hints.ai_family = AF_INET;
		}
	}
	if (port == NULL || !pl_conf_parse_number(port, &number) || number == 0 ||
	    number > UINT16_MAX || getaddrinfo(host, port, &hints, &found) != 0) {
		pl_conf_error(c, s, item,
			      "\"%.60s\" is not an address and a TCP port, such as 192.0.2.1:%u or "
			      "[2001:db8::1]:%u",
			      item->value, PL_SITE_FEED_PORT, PL_SITE_FEED_PORT);
		return;
	}
	memcpy(&site->feed_listen, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
}

static void read_feed(struct pl_conf *c, struct pl_site *site)
{
	struct pl_conf_section *s = pl_conf_section(c, "feed");
	char store[PL_SITE_PATH_SIZE + 8];

	if (snprintf(store, sizeof(store), "%s/feed", site->state_dir) >= (int)PL_SITE_PATH_SIZE)
		pl_conf_error(c, s, NULL, "the path of [site] state-dir is too long");
	pl_conf_path(c, s, "store", store, site->feed_store_dir, sizeof(site->feed_store_dir));
	pl_conf_path(c, s, "dir", "", site->feed_dir, sizeof(site->feed_dir));
	site->feed_certs_per_s_max =
		pl_conf_count(c, s, "rate", PL_INTAKE_RATE, PL_INTAKE_RATE_MIN, PL_INTAKE_RATE_MAX);
	site->feed_age_s_max = (uint32_t)pl_conf_duration_s(c, s, "age-max", D_S, 1, 30 * D_S);
	read_listen(c, s, site);
}

static void read_keys_and_feed(struct pl_conf *c, struct pl_site *site)
{
	struct pl_conf_section *s = pl_conf_section_required(c, "keys");
	const char *dirs[] = {site->token_dir, site->gateway_dir, site->feed_dir,
			      site->feed_store_dir};
	const char *keys[] = {"token-dir", "gateway-dir", "[feed] dir", "[feed] store"};

	read_required_path(c, s, "authority", site->authority_path);
	read_required_path(c, s, "token-dir", site->token_dir);
	read_required_path(c, s, "gateway-dir", site->gateway_dir);
	read_feed(c, site);
	for (size_t i = 0; i < PL_ARRAY_CNT(dirs); i++)
		for (size_t k = 0; k < i; k++)
			if (*dirs[i] != '\0' && strcmp(dirs[i], dirs[k]) == 0)
				pl_conf_error(
					c, NULL, NULL,
					"%s and %s are both %.100s: each needs a directory of its "
					"own",
					keys[k], keys[i], dirs[i]);
}

static void read_table(struct pl_conf *c, struct pl_site *site)
{
	static const char *const memories[] = {"auto", "hugepages", "pages"};
	struct pl_conf_section *s = pl_conf_section_required(c, "table");
	const char *name;

	if (pl_conf_require(c, s, "capacity") != NULL)
		site->table_capacity =
			pl_conf_count(c, s, "capacity", 1, 1000, PL_TABLE_CAPACITY_MAX);
	site->table_memory = pl_conf_enum(c, s, "memory", memories, 3, PL_SITE_MEMORY_AUTO);
	pl_conf_path(c, s, "path",
		     site->table_memory == PL_SITE_MEMORY_PAGES ? TMPFS_DIR "/" TABLE_NAME
								: HUGETLBFS_DIR "/" TABLE_NAME,
		     site->table_path, sizeof(site->table_path));
	name = strrchr(site->table_path, '/');
	name = name != NULL ? name + 1 : site->table_path;
	if (*name == '\0' && *site->table_path != '\0')
		pl_conf_error(c, s, NULL, "path %.100s is a directory: name a file in it",
			      site->table_path);
	if (site->table_memory == PL_SITE_MEMORY_AUTO &&
	    snprintf(site->table_fallback_path, sizeof(site->table_fallback_path), "%s/%s",
		     TMPFS_DIR, name) >= (int)sizeof(site->table_fallback_path))
		pl_conf_error(c, s, NULL, "path is too long");
	/* No number means: no wish. */
	site->table_numa_node = PL_SITE_NUMA_ANY;
	if (pl_conf_find(c, s, "numa-node") != NULL)
		site->table_numa_node = (int32_t)pl_conf_number(c, s, "numa-node", 0, 0, 1023);
}

static void read_control(struct pl_conf *c, struct pl_site *site)
{
	static const char *const modes[] = {"0600", "0660"};
	static const uint32_t mode_bits[] = {0600, 0660};
	struct pl_conf_section *s = pl_conf_section(c, "control");
	char path[PL_SITE_PATH_SIZE + 16];

	snprintf(path, sizeof(path), "%s/control.sock", site->state_dir);
	pl_conf_path(c, s, "socket", path, site->control_path, sizeof(site->control_path));
	pl_conf_text(c, s, "owner", "", site->control_owner, sizeof(site->control_owner));
	pl_conf_text(c, s, "group", "", site->control_group, sizeof(site->control_group));
	site->control_mode = mode_bits[pl_conf_enum(c, s, "mode", modes, 2, 0)];
}

static void read_limits_and_clock(struct pl_conf *c, struct pl_site *site)
{
	struct pl_conf_section *s = pl_conf_section(c, "policy");

	pl_conf_path(c, s, "file", "", site->policy_path, sizeof(site->policy_path));

	s = pl_conf_section(c, "limits");
	site->request_age_ms_max =
		(uint32_t)pl_conf_duration_ms(c, s, "request-age-max", 5 * S_MS, 100, 5 * MIN_MS);
	site->retry_after_ms =
		(uint16_t)pl_conf_duration_ms(c, s, "retry-after", S_MS, 10, 60 * S_MS);
	site->shed = pl_conf_bool(c, s, "shed", true);

	s = pl_conf_section(c, "clock");
	site->need_synchronised = pl_conf_bool(c, s, "need-synchronised", true);
	site->step_ms_max = (uint32_t)pl_conf_duration_ms(c, s, "step-max", 500, 10, 10 * S_MS);
	site->settle_s = (uint32_t)pl_conf_duration_s(c, s, "settle", 60, 1, 3600);
}

static void read_worker(struct pl_conf *c, struct pl_site *site)
{
	static const char *const idles[] = {"spin", "pause", "sleep"};
	struct pl_conf_section *s = pl_conf_section(c, "worker");
	struct pl_conf_item *idle_us;

	site->idle = pl_conf_enum(c, s, "idle", idles, 3, PL_SITE_IDLE_PAUSE);
	idle_us = pl_conf_find(c, s, "idle-us");
	site->idle_us = (uint32_t)pl_conf_number(c, s, "idle-us", 50, 1, 10000);
	if (idle_us != NULL && site->idle != PL_SITE_IDLE_SLEEP)
		pl_conf_error(c, s, idle_us,
			      "works with \"idle = sleep\" only: change one of them");
	site->drain_ms = (uint32_t)pl_conf_duration_ms(c, s, "drain", 2 * S_MS, 0, 5 * MIN_MS);
}

/* Takes c. */
static int site_of(struct pl_conf *c, struct pl_site *out, char *error, size_t error_size)
{
	int rc;

	memset(out, 0, sizeof(*out));
	read_site(c, out);
	read_ports(c, out);
	read_keys_and_feed(c, out);
	read_table(c, out);
	read_control(c, out);
	read_limits_and_clock(c, out);
	read_worker(c, out);
	pl_site_read_platforms(c, out);
	rc = pl_conf_finish(c, error, error_size);
	pl_conf_free(c);
	return rc;
}

int pl_site_parse(const char *path, const char *text, size_t size, struct pl_site *out, char *error,
		  size_t error_size)
{
	struct pl_conf *c;
	int rc = pl_conf_parse(path, text, size, &c);

	if (rc != 0) {
		snprintf(error, error_size, "%s: no memory", path);
		return rc;
	}
	return site_of(c, out, error, error_size);
}

int pl_site_load(const char *path, struct pl_site *out, char *error, size_t error_size)
{
	struct pl_conf *c;
	int rc = pl_conf_load(path, &c, error, error_size);

	return rc != 0 ? rc : site_of(c, out, error, error_size);
}
