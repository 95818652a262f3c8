/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a good server without DPDK would be: the appliance's own verification, from its own
 * configuration, behind a UDP socket of the kernel, by recvmmsg() and sendmmsg(). One thread. It
 * looks certificates up in the table that an appliance of the same configuration has loaded
 * and left behind.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <sodium.h>

#include "base/pl_time.h"
#include "bench_util.h"
#include "clock/pl_clock.h"
#include "feed/pl_feed.h"
#include "keys/pl_keys.h"
#include "policy/pl_policy.h"
#include "site/pl_site.h"
#include "verify/pl_verify.h"

#define SOCKET_BUFFER (16 << 20)
/* Of reply nonces: no worker of an appliance has it, so none is used twice. */
#define QUEUE         255u
#define DATAGRAM_SIZE 2048u
#define SAMPLE_NS     10000000ull

struct server {
	struct pl_site site;
	struct pl_policy policy;
	struct pl_token_keys token_keys;
	struct pl_gateway_set *gateways;
	struct pl_table *table;
	struct pl_table_reader *reader;
	struct pl_verify *verify;
	struct pl_clock *clock;
	struct pl_clock_view clock_view;
	struct pl_clock_zone zone;
	struct pl_counters counters;
	struct pl_view view;
	uint32_t as_of;
	int fd;
	uint64_t sampled_tsc;
	/* One burst. */
	struct mmsghdr msgs[PL_VERIFY_BURST_MAX];
	struct mmsghdr out[PL_VERIFY_BURST_MAX];
	struct iovec iovs[PL_VERIFY_BURST_MAX];
	struct sockaddr_storage from[PL_VERIFY_BURST_MAX];
	struct pl_verify_item items[PL_VERIFY_BURST_MAX];
	uint8_t data[PL_VERIFY_BURST_MAX][DATAGRAM_SIZE];
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void config_load(struct server *s, const char *path)
{
	static char error[PL_SITE_ERROR_SIZE + PL_POLICY_NOTES_SIZE];
	struct pl_keys *tokens;

	if (pl_site_load(path, &s->site, error, sizeof(error)) != 0)
		bench_die(path, error);
	if (s->site.policy_path[0] == '\0')
		pl_policy_default(&s->policy, NULL);
	else if (pl_policy_load(s->site.policy_path, &s->policy, NULL, error, sizeof(error)) != 0)
		bench_die("policy", error);
	if (pl_keys_load_dir(s->site.token_dir, PL_KEY_TOKEN, &tokens, error, sizeof(error)) != 0)
		bench_die("token keys", error);
	pl_keys_token_words(tokens, s->token_keys.master0, s->token_keys.master1,
			    s->token_keys.held);
	pl_keys_free(tokens);
	if (pl_clock_zone_get(s->site.time_zone,
			      (int64_t)(pl_time_ns(CLOCK_REALTIME) / 1000000000u), &s->zone) != 0)
		bench_die("time zone", s->site.time_zone);
}

static void gateways_make(struct server *s)
{
	char error[1024];
	struct pl_keys *keys;
	struct pl_gateway_conf *confs;

	if (pl_keys_load_dir(s->site.gateway_dir, PL_KEY_GATEWAY, &keys, error, sizeof(error)) != 0)
		bench_die("gateway keys", error);
	confs = sodium_allocarray((size_t)keys->cnt + 1, sizeof(*confs));
	if (confs == NULL)
		bench_die("gateway keys", strerror(ENOMEM));
	for (uint32_t i = 0; i < keys->cnt; i++) {
		confs[i].id = keys->key[i].gateway_id;
		confs[i].platform = 0;
		confs[i].epoch = keys->key[i].epoch;
		memcpy(confs[i].root, keys->key[i].bytes, sizeof(confs[i].root));
	}
	if (pl_gateway_set_create(pl_verify_seal(s->verify), NULL, confs, keys->cnt, &s->gateways,
				  NULL) != 0)
		bench_die("gateway keys", "cannot be expanded");
	sodium_free(confs);
	pl_keys_free(keys);
}

static void table_attach(struct server *s)
{
	union {
		struct pl_feed_pos pos;
		uint8_t bytes[PL_TABLE_POSITION_SIZE];
	} at;
	struct pl_table_conf conf = {.path = s->site.table_path,
				     .capacity = s->site.table_capacity,
				     .numa_node = s->site.table_numa_node};
	char error[512];

	if (pl_table_attach(&conf, false, &s->table, error, sizeof(error)) != 0)
		bench_die("table", error);
	if (pl_table_reader_create(s->table, &s->reader) != 0)
		bench_die("table", "no reader");
	pl_table_position_get(s->table, &at);
	s->as_of = (uint32_t)at.pos.as_of;
	if (at.pos.sequence == 0)
		bench_die("table", "no appliance has loaded it");
}

static void verify_make(struct server *s)
{
	struct pl_verify_conf conf = {.token_variant = -1,
				      .queue = QUEUE,
				      .nonce_next = pl_time_ns(CLOCK_REALTIME),
				      .nonce_limit = UINT64_MAX,
				      .table = s->reader,
				      .counters = &s->counters};
	struct pl_clock_conf clock_conf = {.step_ms_max = s->site.step_ms_max,
					   .need_synchronised = s->site.need_synchronised,
					   .settle_s = s->site.settle_s,
					   .source = pl_clock_system};

	if (pl_verify_create(&conf, &s->verify) != 0)
		bench_die("verify", "cannot be made");
	gateways_make(s);
	s->view = (struct pl_view){.gateways = s->gateways,
				   .token_keys = &s->token_keys,
				   .policy = &s->policy,
				   .appliance_id = s->site.appliance_id,
				   .request_age_ms_max = s->site.request_age_ms_max};
	if (pl_clock_create(&clock_conf, &s->clock) != 0)
		bench_die("clock", "cannot be read");
}

static void socket_make(struct server *s, uint16_t port)
{
	const struct sockaddr_in here = {.sin_family = AF_INET,
					 .sin_port = htobe16(port),
					 .sin_addr.s_addr = htobe32(INADDR_LOOPBACK)};
	const int size = SOCKET_BUFFER;

	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (const struct sockaddr *)&here, sizeof(here)) != 0)
		bench_die("socket", strerror(errno));
	/* Root gets all of it, others what the system allows. */
	if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		(void)setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* At least one datagram and as many more as are there. @return how many; 0 on a signal. */
static uint32_t receive(struct server *s)
{
	int got;

	for (uint32_t i = 0; i < PL_VERIFY_BURST_MAX; i++) {
		s->iovs[i] = (struct iovec){s->data[i], DATAGRAM_SIZE};
		s->msgs[i].msg_hdr = (struct msghdr){.msg_name = &s->from[i],
						     .msg_namelen = sizeof(s->from[i]),
						     .msg_iov = &s->iovs[i],
						     .msg_iovlen = 1};
	}
	got = recvmmsg(s->fd, s->msgs, PL_VERIFY_BURST_MAX, MSG_WAITFORONE, NULL);
	if (got < 0 && errno != EINTR)
		bench_die("recvmmsg", strerror(errno));
	return got < 0 ? 0 : (uint32_t)got;
}

static struct pl_now now_make(struct server *s)
{
	uint64_t tsc = __rdtsc();
	struct pl_now now = {.as_of = s->as_of};

	if (tsc - s->sampled_tsc > SAMPLE_NS * 2) {
		(void)pl_clock_sample(s->clock);
		pl_clock_view_get(s->clock, &s->clock_view);
		s->sampled_tsc = tsc;
	}
	now.wall_ms = pl_clock_wall_ns(&s->clock_view, tsc) / 1000000;
	now.today = pl_clock_day(now.wall_ms, &s->zone);
	if (!s->clock_view.trusted)
		now.flags |= PL_FLAG_CLOCK;
	if (now.wall_ms / 1000 > (uint64_t)s->as_of + s->site.feed_age_s_max)
		now.flags |= PL_FLAG_FEED_OLD;
	return now;
}

static void answer(struct server *s, uint32_t cnt)
{
	struct pl_now now = now_make(s);
	uint32_t out_cnt = 0;
	int sent = 0;

	for (uint32_t i = 0; i < cnt; i++)
		s->items[i] = (struct pl_verify_item){.data = s->data[i],
						      .request_size = s->msgs[i].msg_len};
	pl_verify_burst(s->verify, &s->view, &now, s->items, cnt);
	pl_table_quiesce(s->reader);
	for (uint32_t i = 0; i < cnt; i++) {
		if (s->items[i].reply_size == 0)
			continue;
		s->iovs[i].iov_len = s->items[i].reply_size;
		s->out[out_cnt++].msg_hdr = s->msgs[i].msg_hdr;
	}
	for (uint32_t at = 0; at < out_cnt && sent >= 0; at += (uint32_t)sent)
		sent = sendmmsg(s->fd, s->out + at, out_cnt - at, 0);
}

static const char usage[] =
	"peer_sockets [--cpu N] [--port N] CONFIG: an appliance's verification behind a UDP socket "
	"of\n"
	"127.0.0.1, with the table that an appliance of this configuration has loaded. Ends with\n"
	"SIGTERM.\n"
	"\n"
	"  --cpu N    run on this core\n"
	"  --port N   UDP port (4717)\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"cpu", 1, NULL, 'c'}, {"port", 1, NULL, 'p'}, {"help", 0, NULL, 'h'}, {0}};
	struct sigaction action = {.sa_handler = on_signal};
	struct server *s = calloc(1, sizeof(*s));
	uint16_t port = PL_WIRE_PORT;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'c') {
			bench_cpu_pin(bench_number("cpu", optarg, 0, 1023));
		} else if (opt == 'p') {
			port = (uint16_t)bench_number("port", optarg, 1, 65535);
		} else {
			fputs(usage, opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (optind != argc - 1 || s == NULL || sodium_init() < 0) {
		fputs(usage, stderr);
		return 2;
	}
	config_load(s, argv[optind]);
	table_attach(s);
	verify_make(s);
	socket_make(s, port);
	sigaction(SIGTERM, &action, NULL);
	fprintf(stderr, "peer_sockets: ready, %s\n", pl_verify_engines(s->verify));
	while (!stop) {
		uint32_t cnt = receive(s);

		if (cnt != 0)
			answer(s, cnt);
	}
	return 0;
}
