/* SPDX-License-Identifier: BSD-3-Clause */
/* What a reload of the site file may change, and what only a restart can. */
#include "site_fixture.h"

/* A site with every key. */
static const char every_key[] =
	"[site]\nappliance-id = 7\nname = x\ntime-zone = UTC\nstate-dir = s\n"
	"[port p0]\ndevice = net_ring0\naddresses = 10.0.0.1/24\nqueues = 1\nvlan = 7\n"
	"udp-port = 4717\ngarp = yes\n"
	"[keys]\nauthority = a.pub\ntoken-dir = t\ngateway-dir = g\n"
	"[feed]\nstore = st\nlisten = 192.0.2.1:4718\nrate = 1M\ndir = f\nage-max = 1 h\n"
	"[table]\ncapacity = 1000\nmemory = auto\npath = /x/t\nnuma-node = 0\n"
	"[control]\nsocket = c\nmode = 0600\nowner = o\ngroup = g1\n"
	"[policy]\nfile = r\n[limits]\nrequest-age-max = 1 s\nretry-after = 1 s\nshed = yes\n"
	"[clock]\nneed-synchronised = yes\nstep-max = 100 ms\nsettle = 5 s\n"
	"[worker]\nidle = sleep\ndrain = 1 s\n"
	"[platform north]\ngateways = 1-9\n";

/* A change of each key of the reference: a reload either refuses it or applies it. */
static const struct change {
	const char *from;
	const char *to;
	const char *note; /* why a restart is needed; "": it is not */
} changes[] = {
	{"appliance-id = 7", "appliance-id = 8", "[site] appliance-id"},
	{"state-dir = s", "state-dir = u", "[site] state-dir"},
	{"name = x", "name = y", ""},
	{"time-zone = UTC", "time-zone = Asia/Seoul", ""},
	{"[port p0]", "[port p1]", "[port p0] (its name)"},
	{"net_ring0", "net_ring1", "[port p0] device"},
	{"10.0.0.1/24", "10.0.0.2/24", "[port p0] addresses"},
	{"10.0.0.1/24", "10.0.0.1/25", "[port p0] addresses"},
	{"10.0.0.1/24", "10.0.0.1/24, fd00::1/64", "[port p0] addresses"},
	{"queues = 1", "queues = 2", "[port p0] queues"},
	{"vlan = 7", "vlan = 8", "[port p0] vlan"},
	{"udp-port = 4717", "udp-port = 4718", "[port p0] udp-port"},
	{"garp = yes", "garp = no", "[port p0] garp"},
	{"a.pub", "b.pub", "[keys] authority"},
	{"token-dir = t", "token-dir = u", ""},
	{"gateway-dir = g", "gateway-dir = h", ""},
	{"store = st", "store = su", "[feed] store"},
	{"listen = 192.0.2.1:4718", "listen = 192.0.2.1:4719", "[feed] listen"},
	{"rate = 1M", "rate = 2M", "[feed] rate"},
	{"dir = f\n", "dir = e\n", "[feed] dir"},
	{"age-max = 1 h", "age-max = 2 h", ""},
	{"capacity = 1000", "capacity = 2000", ""},
	{"memory = auto", "memory = hugepages", "[table] memory"},
	{"path = /x/t", "path = /x/u", "[table] path"},
	{"numa-node = 0", "numa-node = 1", "[table] numa-node"},
	{"socket = c", "socket = d", "[control] socket"},
	{"mode = 0600", "mode = 0660", "[control] mode"},
	{"owner = o", "owner = p", "[control] owner"},
	{"group = g1", "group = g2", "[control] group"},
	{"file = r", "file = q", ""},
	{"request-age-max = 1 s", "request-age-max = 2 s", ""},
	{"retry-after = 1 s", "retry-after = 2 s", ""},
	{"shed = yes", "shed = no", ""},
	{"need-synchronised = yes", "need-synchronised = no", ""},
	{"step-max = 100 ms", "step-max = 200 ms", ""},
	{"settle = 5 s", "settle = 6 s", ""},
	{"idle = sleep", "idle = spin", ""},
	{"drain = 1 s", "drain = 2 s", ""},
	{"gateways = 1-9", "gateways = 2-9", ""},
	{"[platform north]", "[platform south]", ""},
};

/* The site as it is now, and with one change: whether a reload may take it. */
static void assert_change_is_judged(const struct pl_site *now, const struct change *c)
{
	const char *at = strstr(every_key, c->from);
	char text[2048];

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - every_key), every_key, c->to,
		 at + strlen(c->from));
	if (parse(text) != 0 && strstr(error, "apt install tzdata") != NULL)
		return;
	if (error[0] != '\0')
		fail_msg("%s: %s", c->to, error);
	if (c->note[0] == '\0') {
		if (pl_site_frozen_diff(now, &site, error, sizeof(error)) != 0)
			fail_msg("%s is refused: %s", c->to, error);
		return;
	}
	/* A directory that was derived from another moves with it. */
	assert_true(pl_site_frozen_diff(now, &site, error, sizeof(error)) >= 1);
	if (strstr(error, c->note) == NULL ||
	    strstr(error, "restart it, or take the change back") == NULL)
		fail_msg("%s: %s", c->to, error);
}

static void test_what_only_a_restart_can_change(void **state)
{
	static struct pl_site now;
	char more[2048];

	(void)state;
	assert_int_equal(parse(every_key), 0);
	now = site;
	assert_int_equal(pl_site_frozen_diff(&now, &site, error, sizeof(error)), 0);
	assert_string_equal(error, "");
	for (size_t i = 0; i < PL_ARRAY_CNT(changes); i++)
		assert_change_is_judged(&now, &changes[i]);
	assert_int_equal(parse(LEAST), 0);
	assert_true(pl_site_frozen_diff(&now, &site, error, 20) > 5);
	assert_int_equal(strlen(error), 19);
	snprintf(more, sizeof(more), "%s[port p1]\ndevice = d\naddresses = 10.2.0.1/24\n",
		 every_key);
	assert_int_equal(parse(more), 0);
	assert_int_equal(pl_site_frozen_diff(&now, &site, error, sizeof(error)), 1);
	assert_non_null(strstr(error, "there were 1 and are 2"));
}

/* What others read without a lock is not touched, and all else is taken over: each byte of a site is
 * the one or the other. */
static void test_a_reload_leaves_alone_what_cannot_change(void **state)
{
	static struct pl_site now, next;
	const uint8_t *bytes = (const uint8_t *)&now;
	size_t kept = 0, taken = 0;

	(void)state;
	memset(&now, 1, sizeof(now));
	memset(&next, 2, sizeof(next));
	pl_site_reload(&now, &next);
	for (size_t i = 0; i < sizeof(now); i++) {
		kept += bytes[i] == 1;
		taken += bytes[i] == 2;
	}
	assert_int_equal(kept + taken, sizeof(now));
#define KEPT(field)  assert_memory_not_equal(&now.field, &next.field, sizeof(now.field))
#define TAKEN(field) assert_memory_equal(&now.field, &next.field, sizeof(now.field))
	KEPT(state_dir);
	KEPT(appliance_id);
	KEPT(port_cnt);
	KEPT(queue_cnt);
	KEPT(ports);
	KEPT(authority_path);
	KEPT(feed_store_dir);
	KEPT(feed_dir);
	KEPT(feed_listen);
	KEPT(feed_certs_per_s_max);
	KEPT(table_memory);
	KEPT(table_path);
	KEPT(table_fallback_path);
	KEPT(table_numa_node);
	KEPT(control_path);
	KEPT(control_owner);
	KEPT(control_group);
	KEPT(control_mode);
	TAKEN(name);
	TAKEN(time_zone);
	TAKEN(token_dir);
	TAKEN(gateway_dir);
	TAKEN(feed_age_s_max);
	TAKEN(policy_path);
	TAKEN(request_age_ms_max);
	TAKEN(retry_after_ms);
	TAKEN(shed);
	TAKEN(need_synchronised);
	TAKEN(step_ms_max);
	TAKEN(settle_s);
	TAKEN(idle);
	TAKEN(idle_us);
	TAKEN(drain_ms);
#undef KEPT
#undef TAKEN
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_only_a_restart_can_change),
		cmocka_unit_test(test_a_reload_leaves_alone_what_cannot_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
