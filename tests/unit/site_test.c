/* SPDX-License-Identifier: BSD-3-Clause */
/* The site file: every key, its defaults and its errors. [platform]: site_platform_test.c. What
 * a reload may change: site_reload_test.c. */
#include "site_fixture.h"

#include <arpa/inet.h>
#include <errno.h>

#define PASSLINE_CONF PL_SOURCE_ROOT "/app/passline/passline.conf"

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse(LEAST), 0);
	assert_string_equal(error, "");
	assert_string_equal(site.name, "passline");
	assert_string_equal(site.state_dir, "/var/lib/passline");
	assert_int_equal(site.appliance_id, 7);
	assert_int_equal(site.port_cnt, 1);
	assert_int_equal(site.queue_cnt, 1);
	assert_string_equal(site.ports[0].name, "p0");
	assert_string_equal(site.ports[0].device, "net_ring0");
	assert_int_equal(site.ports[0].queue_cnt, 1);
	assert_true(site.ports[0].garp);
	assert_int_equal(site.ports[0].net.udp_port, 4717);
	assert_int_equal(site.ports[0].net.vlan_id, 0);
	assert_int_equal(site.ports[0].net.ip4_cnt, 1);
	assert_int_equal(site.ports[0].net.ip4_prefix[0], 24);
	assert_memory_equal(site.ports[0].net.ip4[0], "\x0a\0\0\x01", 4);
	assert_int_equal(site.ports[0].net.ip6_cnt, 0);
	assert_string_equal(site.authority_path, "/etc/x/a.pub");
	assert_string_equal(site.token_dir, "/etc/x/t");
	assert_string_equal(site.gateway_dir, "/etc/x/g");
	assert_string_equal(site.feed_store_dir, "/var/lib/passline/feed");
	assert_string_equal(site.feed_dir, "/etc/x/f");
	assert_int_equal(site.feed_listen.ss_family, AF_UNSPEC);
	assert_int_equal(site.feed_certs_per_s_max, 4000000);
	assert_int_equal(site.feed_age_s_max, 86400);
	assert_int_equal(site.table_capacity, 1000);
	assert_int_equal(site.table_memory, PL_SITE_MEMORY_AUTO);
	assert_string_equal(site.table_path, "/dev/hugepages/passline-table");
	assert_string_equal(site.table_fallback_path, "/dev/shm/passline-table");
	assert_int_equal(site.table_numa_node, PL_SITE_NUMA_ANY);
	assert_string_equal(site.control_path, "/var/lib/passline/control.sock");
	assert_string_equal(site.control_owner, "");
	assert_string_equal(site.control_group, "");
	assert_int_equal(site.control_mode, 0600);
	assert_string_equal(site.policy_path, "");
	assert_int_equal(site.request_age_ms_max, 5000);
	assert_int_equal(site.retry_after_ms, 1000);
	assert_true(site.shed);
	assert_true(site.need_synchronised);
	assert_int_equal(site.step_ms_max, 500);
	assert_int_equal(site.settle_s, 60);
	assert_int_equal(site.idle, PL_SITE_IDLE_PAUSE);
	assert_int_equal(site.drain_ms, 2000);
}

static void test_everything_said(void **state)
{
	uint8_t ip6[16];

	(void)state;
	assert_int_equal(
		parse("[site]\nname = gangnam\nappliance-id = 16777215\ntime-zone = UTC\n"
		      "state-dir = state\n" PORT "[port p1]\ndevice = 0000:01:00.0\nqueues = "
		      "29\nvlan = 4094\nudp-port = 65535\n"
		      "garp = no\naddresses = 10.0.0.1/31 fd00::1/64, 192.168.1.2/32\n" KEYS FEED
		      "store = s\nlisten = [fd00::5]:4718\nrate = 20k\n"
		      "age-max = 1 h\n"
		      "[table]\ncapacity = 50M\nmemory = pages\nnuma-node = 1\n"
		      "[policy]\nfile = /etc/policy.ini\n"
		      "[limits]\nrequest-age-max = 2s\nretry-after = 250 ms\nshed = no\n"
		      "[clock]\nneed-synchronised = no\nstep-max = 100 ms\nsettle = 5 min\n"
		      "[worker]\nidle = sleep\nidle-us = 100\ndrain = 0 s\n"),
		0);
	assert_string_equal(error, "");
	assert_string_equal(site.name, "gangnam");
	assert_int_equal(site.appliance_id, PL_SITE_APPLIANCE_ID_MAX);
	assert_string_equal(site.state_dir, "/etc/x/state");
	assert_int_equal(site.port_cnt, 2);
	assert_int_equal(site.queue_cnt, 30);
	assert_int_equal(site.ports[1].queue_cnt, 29);
	assert_int_equal(site.ports[1].net.vlan_id, 4094);
	assert_int_equal(site.ports[1].net.udp_port, 65535);
	assert_false(site.ports[1].garp);
	assert_int_equal(site.ports[1].net.ip4_cnt, 2);
	assert_int_equal(site.ports[1].net.ip4_prefix[0], 31);
	assert_int_equal(site.ports[1].net.ip6_cnt, 1);
	assert_int_equal(inet_pton(AF_INET6, "fd00::1", ip6), 1);
	assert_memory_equal(site.ports[1].net.ip6[0], ip6, 16);
	assert_string_equal(site.feed_store_dir, "/etc/x/s");
	assert_int_equal(site.feed_listen.ss_family, AF_INET6);
	assert_int_equal(((struct sockaddr_in6 *)&site.feed_listen)->sin6_port, htons(4718));
	assert_int_equal(site.feed_certs_per_s_max, 20000);
	assert_int_equal(site.feed_age_s_max, 3600);
	assert_int_equal(site.table_capacity, 50000000);
	assert_int_equal(site.table_memory, PL_SITE_MEMORY_PAGES);
	assert_string_equal(site.table_path, "/dev/shm/passline-table");
	assert_string_equal(site.table_fallback_path, "");
	assert_int_equal(site.table_numa_node, 1);
	assert_string_equal(site.policy_path, "/etc/policy.ini");
	assert_int_equal(site.request_age_ms_max, 2000);
	assert_int_equal(site.retry_after_ms, 250);
	assert_false(site.shed);
	assert_false(site.need_synchronised);
	assert_int_equal(site.step_ms_max, 100);
	assert_int_equal(site.settle_s, 300);
	assert_int_equal(site.idle, PL_SITE_IDLE_SLEEP);
	assert_int_equal(site.idle_us, 100);
	assert_int_equal(site.drain_ms, 0);
}

static void test_faults_are_told(void **state)
{
	static const struct fault cases[] = {
		{"", "section [site] is missing"},
		{"", "section [keys] is missing"},
		{"", "section [table] is missing"},
		{"", "no [port NAME]"},
		{"[site]\ntime-zone = UTC\n" PORT REST,
		 ":1: [site]: key \"appliance-id\" is missing"},
		{"[site]\nappliance-id = 0\ntime-zone = UTC\n" PORT REST,
		 "\"0\" is not a whole number from 1 to 16777215"},
		{"[site]\nappliance-id = 16777216\ntime-zone = UTC\n" PORT REST,
		 "is not a whole number"},
		{"[site]\nappliance-id = 1\ntime-zone = Asia/Soeul\n" PORT REST,
		 "time-zone Asia/Soeul"},
		{SITE "[port p]\naddresses = 10.0.0.1/24\n" REST,
		 ":4: [port p]: key \"device\" is missing"},
		{SITE "[port p]\ndevice = d\n" REST, "key \"addresses\" is missing"},
		{SITE "[port p]\ndevice = d\naddresses = ,\n" REST,
		 ":6: [port p] addresses: holds no address"},
		{SITE "[port]\ndevice = d\n" REST, "write [port NAME]"},
		{SITE PORT "quues = 2\n" REST,
		 ":7: [port p0] quues: no such key here; keys are: device, queues"},
		{SITE PORT "queues = 0\n" REST, "from 1 to 30"},
		{SITE PORT "queues = 31\n" REST, "from 1 to 30"},
		{SITE PORT
		 "queues = 16\n[port b]\ndevice = e\nqueues = 15\naddresses = 10.1.0.1/24\n" REST,
		 "31 queues together, more than the limit of 30"},
		{SITE PORT "vlan = 4095\n" REST, "from 1 to 4094"},
		{SITE PORT "vlan = 0\n" REST, "from 1 to 4094"},
		{SITE PORT "udp-port = 0\n" REST, "from 1 to 65535"},
		{SITE PORT "udp-port = 65536\n" REST, "from 1 to 65535"},
		{SITE PORT "[port b]\ndevice = net_ring0\naddresses = 10.0.0.2/24\n" REST,
		 "is the device of [port p0] already"},
		{SITE PORT "[port b]\ndevice = d\naddresses = 10.0.0.1/16\n" REST,
		 "address 10.0.0.1 is given twice"},
		{SITE PORT "[port p0]\n" REST, "section [port p0] was begun before"},
		{LEAST "[worker]\nidle = spin\nidle-us = 5\n", "works with \"idle = sleep\" only"},
		{LEAST "[worker]\nidle = never\n", "is not spin or pause or sleep"},
		{SITE PORT "[keys]\nauthority = a\ntoken-dir = k\ngateway-dir = k\n" FEED TABLE,
		 "token-dir and gateway-dir are both /etc/x/k"},
		{SITE PORT "[keys]\nauthority = a\ntoken-dir = f\ngateway-dir = g\n" FEED TABLE,
		 "token-dir and [feed] dir are both"},
		{SITE PORT "[keys]\nauthority = a\n" FEED TABLE,
		 "[keys]: key \"token-dir\" is missing"},
		{SITE PORT KEYS FEED "[table]\ncapacity = 999\n", "from 1 k to 4294967296"},
		{SITE PORT KEYS FEED "[table]\ncapacity = 1k\npath = t/\n", "name a file in it"},
		{SITE PORT KEYS FEED "[table]\ncapacity = 1k\nmemory = some\n",
		 "is not auto or hugepages or pages"},
		{SITE PORT KEYS FEED "store = f\n" TABLE,
		 "[feed] dir and [feed] store are both /etc/x/f"},
		{SITE PORT KEYS "[feed]\nstore = g\n" TABLE,
		 "gateway-dir and [feed] store are both"},
		{SITE PORT KEYS "[feed]\nrate = 9999\n" TABLE, "10 k to 1 G"},
		{SITE PORT KEYS "[feed]\nlisten = 4718\n" TABLE,
		 "such as 192.0.2.1:4718 or [2001:db8::1]:4718"},
		{SITE PORT KEYS "[feed]\nlisten = host:4718\n" TABLE,
		 "is not an address and a TCP port"},
		{SITE PORT KEYS "[feed]\nlisten = 10.0.0.1:0\n" TABLE,
		 "is not an address and a TCP port"},
		{SITE PORT KEYS "[feed]\nlisten = 10.0.0.1:65536\n" TABLE,
		 "is not an address and a TCP port"},
		{SITE PORT KEYS "[feed]\nlisten = fd00::1:4718\n" TABLE,
		 "is not an address and a TCP port"},
		{SITE PORT KEYS "[feed]\nlisten = [10.0.0.1]:4718\n" TABLE,
		 "is not an address and a TCP port"},
		{SITE PORT KEYS "[feed]\nlisten = [fd00::1]\n" TABLE,
		 "is not an address and a TCP port"},
		{SITE PORT KEYS FEED "age-max = 30\n" TABLE, "1 s to 30 d"},
		{LEAST "[limits]\nretry-after = 61 s\n", "10 ms to 1 min"},
		{LEAST "[clock]\nstep-max = 0 ms\n", "10 ms to 10 s"},
		{LEAST "[limts]\n", "[limts]: no such section"},
	};

	(void)state;
	assert_told(cases, PL_ARRAY_CNT(cases));
}

static void test_addresses_that_no_host_has(void **state)
{
	static const char *const bad[] = {
		"10.0.0.1",
		"10.0.0.1/33",
		"10.0.0.1/",
		"10.0.0.1/-1",
		"10.0.0/24",
		"10.0.0.256/24",
		"0.0.0.0/0",
		"0.1.2.3/24",
		"127.0.0.1/8",
		"224.0.0.1/24",
		"255.255.255.255/32",
		"10.0.0.0/24",
		"10.0.0.255/24",
		"10.0.1.255/23",
		"::/0",
		"::1/128",
		"ff02::1/64",
		"fe80::1/64",
		"::ffff:10.0.0.1/96",
		"fd00::1",
		"fd00::1/129",
		"fd00:::1/64",
		"/24",
		"host/24",
		"10.0.0.1/24/24",
		"fd00::1%eth0/64",
		"00000000000000000000000000000000000000000000000:/64",
	};
	static const char *const good[] = {
		"10.0.0.0/31", "10.0.0.1/31", "10.0.0.255/32",      "10.0.0.255/23", "192.0.2.1/24",
		"10.0.0.1/0",  "fd00::/64",   "2001:db8::ffff/128", "fe00::1/64",
	};
	char conf[1024];

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(bad) + PL_ARRAY_CNT(good); i++) {
		bool is_good = i >= PL_ARRAY_CNT(bad);
		const char *a = is_good ? good[i - PL_ARRAY_CNT(bad)] : bad[i];

		snprintf(conf, sizeof(conf), SITE "[port p]\ndevice = d\naddresses = %s\n" REST, a);
		if ((parse(conf) == 0) != is_good)
			fail_msg("%s is %s: %s", a, is_good ? "refused" : "taken", error);
		if (!is_good && strstr(error, ":6: [port p] addresses") == NULL)
			fail_msg("%s: %s", a, error);
	}
}

static void test_address_counts(void **state)
{
	(void)state;
	assert_int_equal(parse(SITE
			       "[port p]\ndevice = d\naddresses = 10.0.0.1/8 10.0.0.2/8 "
			       "10.0.0.3/8 10.0.0.4/8 fd00::1/64 fd00::2/64 fd00::3/64\n" REST),
			 0);
	assert_int_equal(site.ports[0].net.ip4_cnt, 4);
	assert_int_equal(site.ports[0].net.ip6_cnt, 3);
	assert_int_equal(parse(SITE "[port p]\ndevice = d\naddresses = 10.0.0.1/8 10.0.0.2/8 "
				    "10.0.0.3/8 10.0.0.4/8 10.0.0.5/8\n" REST),
			 -EINVAL);
	assert_non_null(strstr(error, "10.0.0.5/8 is one too many"));
	assert_int_equal(parse(SITE "[port p]\ndevice = d\naddresses = fd00::1/64 fd00::2/64 "
				    "fd00::3/64 fd00::4/64\n" REST),
			 -EINVAL);
	assert_int_equal(
		parse(SITE "[port p]\ndevice = d\naddresses = fd00::1/64 fd00::1/64\n" REST),
		-EINVAL);
	assert_non_null(strstr(error, "fd00::1 is given twice"));
	/* The same address in two VLANs is two networks' affair. */
	assert_int_equal(
		parse(SITE PORT "[port q]\ndevice = d\nvlan = 2\naddresses = 10.0.0.1/24\n" REST),
		0);
}

static void test_too_many_ports(void **state)
{
	char conf[4096];
	size_t used = (size_t)snprintf(conf, sizeof(conf), SITE REST);

	(void)state;
	for (uint32_t i = 0; i < PL_SITE_PORTS_MAX; i++)
		used += (size_t)snprintf(conf + used, sizeof(conf) - used,
					 "[port p%u]\ndevice = d%u\naddresses = 10.0.%u.1/24\n", i,
					 i, i);
	assert_int_equal(parse(conf), 0);
	assert_int_equal(site.port_cnt, PL_SITE_PORTS_MAX);
	snprintf(conf + used, sizeof(conf) - used,
		 "[port q]\ndevice = e\naddresses = 10.1.0.1/24\n");
	assert_int_equal(parse(conf), -EINVAL);
	assert_non_null(strstr(error, "[port q]: more than 8 ports"));
}

static void test_control_socket(void **state)
{
	(void)state;
	assert_int_equal(parse(LEAST "[control]\nsocket = c.sock\nmode = 0660\nowner = root\n"
				     "group = ops\n"),
			 0);
	assert_string_equal(site.control_path, "/etc/x/c.sock");
	assert_int_equal(site.control_mode, 0660);
	assert_string_equal(site.control_owner, "root");
	assert_string_equal(site.control_group, "ops");
	/* Everybody is nobody's group. */
	assert_int_equal(parse(LEAST "[control]\nmode = 0666\n"), -EINVAL);
	assert_non_null(strstr(error, "mode"));
}

static void test_all_errors_come_at_once(void **state)
{
	uint32_t lines = 1;

	(void)state;
	assert_int_equal(parse("[site]\nappliance-id = x\ntime-zone = UTC\n"
			       "[port p]\nqueues = 99\naddresses = 1.2.3/4\n"
			       "[keys]\n[feed]\n[table]\ncapacity = 0\n[nonsense]\n"),
			 -EINVAL);
	for (const char *s = error; (s = strchr(s, '\n')) != NULL; s++)
		lines++;
	assert_int_equal(lines, 9);
}

static void read_whole(const char *path, char *text, size_t text_size)
{
	FILE *f = fopen(path, "r");
	size_t size;

	assert_non_null(f);
	size = fread(text, 1, text_size - 1, f);
	fclose(f);
	assert_true(size < text_size - 1);
	text[size] = '\0';
}

/* The example's platform is one, when it is switched on. */
static void assert_platform_is_right(void)
{
	char text[8192];
	char *at;

	read_whole(PASSLINE_CONF, text, sizeof(text));
	at = strstr(text, "\n#[platform example]\n#gateways = ");
	assert_non_null(at);
	at[1] = ' ';
	*strchr(at + 2, '#') = ' ';
	assert_int_equal(parse(text), 0);
	assert_int_equal(site.platform_cnt, 1);
	assert_string_equal(site.platforms[0], "example");
}

static void test_shipped_example_is_right(void **state)
{
	(void)state;
	if (pl_site_load(PASSLINE_CONF, &site, error, sizeof(error)) != 0) {
		/* Without tzdata only the zone may be wrong. */
		assert_non_null(strstr(error, "apt install tzdata"));
		skip();
	}
	assert_string_equal(error, "");
	assert_string_equal(site.time_zone, "Asia/Seoul");
	assert_int_equal(site.ports[0].net.ip6_cnt, 1);
	assert_platform_is_right();
	assert_int_equal(pl_site_load("/nonexistent", &site, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent"));
}

/* "#key = value" in the example shows the default: switched on, it must change nothing. */
static void test_examples_comments_show_the_defaults(void **state)
{
	static struct pl_site with;
	char text[8192];
	char *at = text;

	(void)state;
	read_whole(PASSLINE_CONF, text, sizeof(text));
	if (parse(text) != 0)
		skip();
	with = site;
	while ((at = strstr(at, "\n#")) != NULL) {
		size_t key_size = strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-");

		/* Of these the example shows an example. */
		if (key_size != 0 && strncmp(at + 2 + key_size, " = ", 3) == 0 &&
		    strncmp(at + 2, "vlan", 4) != 0 && strncmp(at + 2, "numa-node", 9) != 0 &&
		    strncmp(at + 2, "file", 4) != 0 && strncmp(at + 2, "dir", 3) != 0 &&
		    strncmp(at + 2, "owner", 5) != 0 && strncmp(at + 2, "group", 5) != 0 &&
		    strncmp(at + 2, "gateways", 8) != 0 && strncmp(at + 2, "listen", 6) != 0 &&
		    strncmp(at + 2, "idle-us", 7) != 0)
			at[1] = ' ';
		at++;
	}
	assert_int_equal(parse(text), 0);
	assert_memory_equal(&with, &site, sizeof(site));
}

/* Every key that the example knows has its line in the reference. */
static void test_reference_has_every_key(void **state)
{
	static char doc[65536];
	char line[256];
	uint32_t keys_cnt = 0;
	FILE *f = fopen(PASSLINE_CONF, "r");

	(void)state;
	assert_non_null(f);
	read_whole(PL_SOURCE_ROOT "/docs/configuration.md", doc, sizeof(doc));
	while (fgets(line, sizeof(line), f) != NULL) {
		char cell[80];
		char *key = line + (line[0] == '#');
		size_t size = strspn(key, "abcdefghijklmnopqrstuvwxyz-");

		if (size == 0 || strncmp(key + size, " = ", 3) != 0)
			continue;
		keys_cnt++;
		snprintf(cell, sizeof(cell), "\n| `%.*s` |", (int)size, key);
		if (strstr(doc, cell) == NULL)
			fail_msg("docs/configuration.md has no row for %.*s", (int)size, key);
	}
	fclose(f);
	assert_int_equal(keys_cnt, 37);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything_said),
		cmocka_unit_test(test_faults_are_told),
		cmocka_unit_test(test_addresses_that_no_host_has),
		cmocka_unit_test(test_address_counts),
		cmocka_unit_test(test_too_many_ports),
		cmocka_unit_test(test_control_socket),
		cmocka_unit_test(test_all_errors_come_at_once),
		cmocka_unit_test(test_shipped_example_is_right),
		cmocka_unit_test(test_examples_comments_show_the_defaults),
		cmocka_unit_test(test_reference_has_every_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
