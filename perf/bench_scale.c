/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One worker against several at once, each with its own queue of datagrams, all on one table; no
 * link. Rounds of one and of all take turns. Prints one JSON object.
 */

#include <getopt.h>
#include <pthread.h>
#include <x86intrin.h>

#include "bench_util.h"
#include "verify_load.h"

#define WORKERS_MAX 64u
#define ROUNDS_MAX  99u

struct thread {
	struct vl_worker w;
	pthread_t id;
	pthread_barrier_t *barrier;
	uint32_t cpu;
	uint32_t rounds;
	uint64_t passes;          /* over the pool, in one round */
	double alone[ROUNDS_MAX]; /* cycles a scan */
	double together[ROUNDS_MAX];
};

/* New tokens for every pass are minted outside the time; all threads wait for each other, so
 * that no one mints while another is measured. */
static double measure(struct thread *t, bool run)
{
	uint64_t cycles = 0;

	for (uint64_t p = 0; p < t->passes; p++) {
		if (pthread_barrier_wait(t->barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			vl_tick(t->w.site);
		pthread_barrier_wait(t->barrier);
		if (run)
			vl_mint(&t->w);
		pthread_barrier_wait(t->barrier);
		if (run)
			cycles += vl_run(&t->w);
	}
	return (double)cycles / (double)t->passes / (double)t->w.scan_cnt;
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	bench_cpu_pin(t->cpu);
	for (uint32_t r = 0; r < t->rounds; r++) {
		t->alone[r] = measure(t, t->cpu == 0);
		t->together[r] = measure(t, true);
	}
	return NULL;
}

static void print(struct thread *threads, uint32_t worker_cnt, uint32_t rounds)
{
	const struct vl_conf *conf = &threads[0].w.site->conf;
	double hz = bench_tsc_hz(), one = hz / bench_median(threads[0].alone, rounds), all = 0;

	for (uint32_t i = 0; i < worker_cnt; i++)
		all += hz / bench_median(threads[i].together, rounds);
	printf("{\"certs\": %llu, \"scans\": %u, \"workers\": %u, \"engines\": \"%s\", "
	       "\"tsc_hz\": %.0f, \"scans_per_s_one\": %.0f, \"scans_per_s_all\": %.0f, "
	       "\"ratio\": %.3f}\n",
	       (unsigned long long)conf->cert_cnt, conf->scans, worker_cnt,
	       pl_verify_engines(threads[0].w.verify), hz, one, all, all / one);
}

static const char usage[] =
	"bench_scale: one worker against several, no link; JSON on standard output.\n"
	"Worker n runs on core n; figures are medians of the rounds.\n"
	"\n"
	"  --workers N    workers, on cores 0 to N - 1 (2)\n"
	"  --rounds N     rounds (5)\n"
	"  --passes N     passes over the pool in a round (4)\n";

static void run(struct vl_conf *conf, uint32_t worker_cnt, uint32_t rounds, uint64_t passes)
{
	static struct thread threads[WORKERS_MAX];
	pthread_barrier_t barrier;
	struct vl_site site;

	vl_site_open(&site, conf);
	pthread_barrier_init(&barrier, NULL, worker_cnt);
	for (uint32_t i = 0; i < worker_cnt; i++) {
		vl_worker_open(&site, &threads[i].w, i);
		threads[i].cpu = i;
		threads[i].rounds = rounds;
		threads[i].passes = passes;
		threads[i].barrier = &barrier;
	}
	for (uint32_t i = 0; i < worker_cnt; i++) {
		if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) != 0)
			bench_die("--workers", "cannot start a thread");
	}
	for (uint32_t i = 0; i < worker_cnt; i++)
		pthread_join(threads[i].id, NULL);
	print(threads, worker_cnt, rounds);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"certs",    1, NULL, 0},
		{"scans",      1, NULL, 0},
		{"burst",          1, NULL, 0},
		{"pool",    1, NULL, 0},
		{"gateways",         1, NULL, 0},
		{"table",    1, NULL, 0},
		{"seal",      1, NULL, 0},
		{"token",          1, NULL, 0},
		{"rounds",      1, NULL, 'r'},
		{"workers",         1, NULL, 'w'},
		{"passes", 1, NULL, 'p'},
		{"help",      0, NULL, 'h'},
		{0         }
        };
	struct vl_conf conf = {.cert_cnt = 1000000,
			       .pool_scan_cnt = 131072,
			       .scans = 1,
			       .burst = 64,
			       .gateway_cnt = 256,
			       .token_variant = -1};
	uint32_t worker_cnt = 2, rounds = 5;
	uint64_t passes = 4;
	int opt, idx = 0;

	while ((opt = getopt_long(argc, argv, "", options, &idx)) != -1) {
		if (opt == 0 && vl_conf_set(&conf, options[idx].name, optarg))
			continue;
		if (opt == 'r') {
			rounds = (uint32_t)bench_number("rounds", optarg, 1, ROUNDS_MAX);
		} else if (opt == 'w') {
			worker_cnt = (uint32_t)bench_number("workers", optarg, 1, WORKERS_MAX);
		} else if (opt == 'p') {
			passes = bench_number("passes", optarg, 1, 1000);
		} else {
			fprintf(opt == 'h' ? stdout : stderr, "%s%s", usage, vl_usage);
			return opt == 'h' ? 0 : 2;
		}
	}
	run(&conf, worker_cnt, rounds, passes);
	return 0;
}
