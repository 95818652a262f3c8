/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One worker against several at once, each with its own queue of datagrams, all on one table; no
 * link. In a round each worker has a turn alone, then all have one together. Prints one JSON object.
 *
 * A core of a shared machine runs for seconds at a time as slow as its neighbours make it, and not
 * the same core each time. So rounds are short and many, every core is measured alone, and the
 * ratio is that of turns which were close in time: the median of the rounds' own ratios.
 */

#include <getopt.h>
#include <pthread.h>
#include <x86intrin.h>

#include "bench_util.h"
#include "verify_load.h"

#define WORKERS_MAX 64u
#define ROUNDS_MAX  999u

struct thread {
	struct vl_worker w;
	pthread_t id;
	pthread_barrier_t *barrier;
	uint32_t cpu;
	uint32_t worker_cnt;
	uint32_t rounds;
	double tsc_hz;
	double alone[ROUNDS_MAX]; /* scans a second */
	double together[ROUNDS_MAX];
};

/* One turn: scans a second of this worker if it runs in it. The whole pool once, with new tokens that
 * are minted outside the time; all threads wait for each other, so that no one mints while another
 * is measured. */
static double measure(struct thread *t, bool run)
{
	if (pthread_barrier_wait(t->barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
		vl_tick(t->w.site);
	pthread_barrier_wait(t->barrier);
	if (run)
		vl_mint(&t->w);
	pthread_barrier_wait(t->barrier);
	return run ? (double)t->w.scan_cnt * t->tsc_hz / (double)vl_run(&t->w) : 0;
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	bench_cpu_pin(t->cpu);
	for (uint32_t r = 0; r < t->rounds; r++) {
		for (uint32_t i = 0; i < t->worker_cnt; i++) {
			double got = measure(t, i == t->cpu);

			if (i == t->cpu)
				t->alone[r] = got;
		}
		t->together[r] = measure(t, true);
	}
	return NULL;
}

static void print(struct thread *threads, uint32_t worker_cnt, uint32_t rounds)
{
	static double one[ROUNDS_MAX], all[ROUNDS_MAX], ratio[ROUNDS_MAX];
	const struct vl_conf *conf = &threads[0].w.site->conf;

	for (uint32_t r = 0; r < rounds; r++) {
		double sum = 0;

		for (uint32_t i = 0; i < worker_cnt; i++) {
			sum += threads[i].alone[r];
			all[r] += threads[i].together[r];
		}
		one[r] = sum / worker_cnt;
		ratio[r] = all[r] / one[r];
	}
	/* Sorts each: from here on a place is no longer a round. */
	double one_mid = bench_median(one, rounds), all_mid = bench_median(all, rounds);
	double ratio_mid = bench_median(ratio, rounds);

	printf("{\"certs\": %llu, \"scans\": %u, \"workers\": %u, \"rounds\": %u, "
	       "\"engines\": \"%s\", \"tsc_hz\": %.0f, \"scans_per_s_one\": %.0f, "
	       "\"scans_per_s_all\": %.0f, \"ratio\": %.3f, \"ratio_p25\": %.3f, "
	       "\"ratio_p75\": %.3f}\n",
	       (unsigned long long)conf->cert_cnt, conf->scans, worker_cnt, rounds,
	       pl_verify_engines(threads[0].w.verify), threads[0].tsc_hz, one_mid, all_mid,
	       ratio_mid, ratio[rounds / 4], ratio[rounds - 1 - rounds / 4]);
}

static const char usage[] =
	"bench_scale: one worker against several, no link; JSON on standard output.\n"
	"Worker n runs on core n. In a round each has a turn alone, then all have one together;\n"
	"figures are medians of the rounds, the ratio that of the rounds' own ratios.\n"
	"\n"
	"  --workers N    workers, on cores 0 to N - 1 (2)\n"
	"  --rounds N     rounds (5)\n";

static void run(struct vl_conf *conf, uint32_t worker_cnt, uint32_t rounds)
{
	static struct thread threads[WORKERS_MAX];
	pthread_barrier_t barrier;
	struct vl_site site;
	double tsc_hz = bench_tsc_hz();

	vl_site_open(&site, conf);
	pthread_barrier_init(&barrier, NULL, worker_cnt);
	for (uint32_t i = 0; i < worker_cnt; i++) {
		vl_worker_open(&site, &threads[i].w, i);
		threads[i].cpu = i;
		threads[i].worker_cnt = worker_cnt;
		threads[i].rounds = rounds;
		threads[i].tsc_hz = tsc_hz;
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
		{"certs", 1, NULL, 0},     {"scans", 1, NULL, 0},    {"burst", 1, NULL, 0},
		{"pool", 1, NULL, 0},      {"gateways", 1, NULL, 0}, {"table", 1, NULL, 0},
		{"seal", 1, NULL, 0},      {"token", 1, NULL, 0},    {"rounds", 1, NULL, 'r'},
		{"workers", 1, NULL, 'w'}, {"help", 0, NULL, 'h'},   {0}};
	struct vl_conf conf = {.cert_cnt = 1000000,
			       .pool_scan_cnt = 131072,
			       .scans = 1,
			       .burst = 64,
			       .gateway_cnt = 256,
			       .token_variant = -1};
	uint32_t worker_cnt = 2, rounds = 5;
	int opt, idx = 0;

	while ((opt = getopt_long(argc, argv, "", options, &idx)) != -1) {
		if (opt == 0 && vl_conf_set(&conf, options[idx].name, optarg))
			continue;
		if (opt == 'r') {
			rounds = (uint32_t)bench_number("rounds", optarg, 1, ROUNDS_MAX);
		} else if (opt == 'w') {
			worker_cnt = (uint32_t)bench_number("workers", optarg, 1, WORKERS_MAX);
		} else {
			fprintf(opt == 'h' ? stdout : stderr, "%s%s", usage, vl_usage);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (optind != argc)
		bench_die(argv[optind], "what is this? All settings are options; see --help");
	run(&conf, worker_cnt, rounds);
	return 0;
}
