/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Takes what surge_push sends as an appliance does, into a store and a table of its own, beside the appliance and
 * not within it. So a run without intake has the same work on the load's core as one with it, and
 * what differs is what intake does to verification.
 *
 * surge_sink AUTHORITY-PUBLIC.key STORE-DIR CAPACITY: says "port N", and goes on until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <sodium.h>

#include "bench_util.h"
#include "intake/pl_intake.h"
#include "intake/pl_push_server.h"
#include "keys/pl_keys.h"
#include "table/pl_table.h"

#define BATCH_CNT 512u

static int apply(void *ctx, const struct pl_feed_segment *seg)
{
	static struct pl_table_entry batch[BATCH_CNT];
	struct pl_table *table = ctx;

	for (uint32_t at = 0; at < seg->header.record_cnt;) {
		uint32_t cnt = 0;
		size_t done;

		for (; cnt < BATCH_CNT && at < seg->header.record_cnt; at++, cnt++)
			batch[cnt] = (struct pl_table_entry){.id = seg->records[at].cert_id,
							     .facts = seg->records[at].facts};
		if (pl_table_put_many(table, batch, cnt, &done) < 0)
			bench_die("table", "is full");
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct pl_push_server_conf server_conf;
	struct pl_intake_conf conf = {.certs_per_s_max = PL_INTAKE_RATE};
	struct pl_feed_store_conf reader = {0};
	struct pl_feed_pos pos = {0};
	struct pl_table_conf table_conf = {0};
	struct pl_push_server *server;
	struct pl_feed_store *store;
	struct pl_feed_report report;
	struct pl_intake *in;
	struct pl_table *table;
	struct pl_keys *keys;
	char error[1024];

	if (argc != 4) {
		fputs("surge_sink AUTHORITY-PUBLIC.key STORE-DIR CAPACITY\n", stderr);
		return 2;
	}
	if (sodium_init() < 0 ||
	    pl_keys_load_file(argv[1], PL_KEY_AUTHORITY_PUBLIC, &keys, error, sizeof(error)) != 0)
		bench_die(argv[1], error);
	memcpy(conf.pubkey, keys->key[0].bytes, sizeof(conf.pubkey));
	memcpy(reader.pubkey, conf.pubkey, sizeof(conf.pubkey));
	conf.stream_id = pos.stream_id = keys->key[0].stream_id;
	conf.store_path = reader.dir_path = argv[2];
	table_conf.capacity = bench_number("capacity", argv[3], 1000, 1ull << 32);
	table_conf.numa_node = -1;
	pl_push_server_conf_default(&server_conf);
	server_conf.listen.ss_family = AF_INET;
	((struct sockaddr_in *)&server_conf.listen)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (pl_intake_open(&conf, &in, error, sizeof(error)) != 0 ||
	    pl_feed_store_open(&reader, &store, error, sizeof(error)) != 0 ||
	    pl_push_server_open(in, &server_conf, &server, error, sizeof(error)) != 0 ||
	    pl_table_create(&table_conf, &table, error, sizeof(error)) != 0)
		bench_die("sink", error);
	printf("port %u\n", pl_push_server_port(server));
	fflush(stdout);
	for (;;) {
		struct pollfd fds[2] = {
			{.fd = pl_push_server_fd(server), .events = POLLIN},
			{.fd = pl_intake_fd(in), .events = POLLIN},
		};
		uint64_t cnt;

		(void)poll(fds, 2, (int)pl_push_server_work(server));
		if (fds[1].revents & POLLIN && read(fds[1].fd, &cnt, sizeof(cnt)) > 0 &&
		    pl_feed_store_read(store, &pos, apply, table, &report) != PL_FEED_OK)
			bench_die("feed", report.text);
	}
}
