/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The certificate table against the machine and against others, in one process and one run:
 *
 *     bench_table CERTS LOOKUPS ROUNDS HUGE_DIR|- RIVALS
 *
 * LOOKUPS: half of CERTS at most, so that two cores take different ones.
 * The ceiling is a random line of a region of the table's size, fetched well ahead: the best of three
 * distances into the first-level cache and two into the second; beside it the same with a swap of a word
 * of each line. Lookups are timed by their thread's time on its core, fillings by the wall clock. Keys do
 * not repeat within a measurement. Rounds alternate over everything, so that a slow minute meets all
 * alike, and with more than one round each measurement and filling waits for cores that no other guest is
 * on; each figure is the median. One JSON object on stdout.
 * RIVALS: r for DPDK's rte_hash, l for liburcu's lfht, in bench_table_rivals.c; - for none.
 */
#include "base/pl_time.h"
#include "bench_table.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BURST          64u
#define PASS_BURSTS    16u /* between two quiescent points */
#define PASS           (PASS_BURSTS * BURST)
#define WRITES_PER_S   1000000u
#define WRITE_PAUSE_NS 100000u
#define ROUNDS_MAX     64u
#define BULK_PART      4096u

enum what {
	W_CEILING, /* and at two more distances, and two into the second-level cache */
	W_CEILING_32,
	W_CEILING_64,
	W_CEILING_FAR_32,
	W_CEILING_FAR_64,
	W_CEILING_SWAP,
	W_HIT,
	W_HIT_SEEN,
	W_MISS,
	W_HALF,
	W_ZIPF,
	W_ZIPF_SEEN,
	W_WRITER_HIT_SEEN,
	W_TWO_HIT_SEEN,
	W_RTE_HIT,
	W_LFHT_HIT,
	W_CNT,
};

static const char *const what_names[W_CNT] = {
	"ceiling",
	"ceiling_32",
	"ceiling_64",
	"ceiling_far_32",
	"ceiling_far_64",
	"ceiling_swap",
	"hit",
	"hit_seen",
	"miss",
	"half_hits",
	"zipf",
	"zipf_seen",
	"hit_seen_while_written",
	"hit_seen_two_cores",
	"rte_hash_hit",
	"lfht_hit",
};

static struct bench b;

uint64_t bench_table_now_ns(void)
{
	return pl_time_ns(CLOCK_MONOTONIC);
}

uint64_t bench_table_cpu_ns(void)
{
	return pl_time_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_table_id(uint64_t idx)
{
	return pl_mix64(idx + 0x1234567);
}

static uint32_t facts_of(uint64_t idx)
{
	return 1u | (uint32_t)(idx & 0xffff) << 4;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static uint64_t gcd(uint64_t x, uint64_t y)
{
	return y == 0 ? x : gcd(y, x % y);
}

/* The certificates in an order that no table has them in; each comes once before any repeats. */
static uint64_t next_idx(void)
{
	static uint64_t at, stride;

	if (stride == 0)
		for (stride = (uint64_t)((double)b.certs * 0.6180339887) | 1;
		     gcd(stride, b.certs) != 1;)
			stride++;
	at = (at + stride) % b.certs;
	return at;
}

static double zipf_h(double x, double s)
{
	return (pow(x, 1 - s) - 1) / (1 - s);
}

/* Ranks 1 .. certs with exponent s by rejection-inversion (Hoermann and Derflinger 1996). */
static uint64_t zipf_rank(uint64_t *rng, double s)
{
	double n = (double)b.certs, low = zipf_h(1.5, s) - 1, high = zipf_h(n + 0.5, s);

	for (;;) {
		*rng += 0x9e3779b97f4a7c15u;
		double u = high + (double)(pl_mix64(*rng) >> 11) * 0x1p-53 * (low - high);
		double x = pow(u * (1 - s) + 1, 1 / (1 - s));
		double k = floor(x + 0.5);

		k = k < 1 ? 1 : k > n ? n : k;
		if (u >= zipf_h(k + 0.5, s) - pow(k, -s))
			return (uint64_t)k;
	}
}

static void keys_make(uint64_t *keys, enum what what)
{
	static uint64_t absent, rng = 1;

	for (uint64_t i = 0; i < b.lookups + BURST; i++) {
		bool miss = what == W_MISS;

		if (what == W_HALF) {
			rng += 0x9e3779b97f4a7c15u;
			miss = pl_mix64(rng) & 1;
		}
		if (miss)
			keys[i] = bench_table_id(b.certs + absent++);
		else if (what == W_ZIPF || what == W_ZIPF_SEEN)
			keys[i] = bench_table_id(zipf_rank(&rng, 0.99) * 2654435761u % b.certs);
		else
			keys[i] = bench_table_id(next_idx());
	}
}

/* ---- ours ---------------------------------------------------------------------------------------- */

struct job {
	const uint64_t *keys;
	uint32_t cpu;
	bool seen;
	bool unrepeated; /* no key twice: each scan must be recorded */
	uint32_t shown;
	uint64_t wrong;  /* answers that are not what they must be */
	uint32_t expect; /* 1 hits, 0 misses, 2 either */
	double ns;
	pthread_barrier_t *start;
};

/* What was found for a burst, and its scans. */
static uint64_t burst_use(struct pl_table_reader *r, const struct job *j,
			  const struct pl_table_hit *hits)
{
	uint64_t wrong = 0, unrecorded = 0;

	for (uint32_t k = 0; k < BURST; k++)
		wrong += hits[k].found != j->expect;
	if (j->seen)
		for (uint32_t k = 0; k < BURST; k++)
			unrecorded += pl_table_seen(r, &hits[k], j->shown, 5) != PL_SEEN_NEW;
	return wrong + (j->unrepeated ? unrecorded : 0);
}

/* PASS_BURSTS bursts, as of one burst of datagrams, each started before the one before it is finished. The first
 * one's lines have been asked for, and those of the burst after the last are. */
static uint64_t pass_run(struct pl_table_reader *r, const struct job *j, const uint64_t *keys)
{
	struct pl_table_hit hits[2][BURST];
	struct pl_table_pending pending[2];
	uint64_t wrong = 0;

	pl_table_find_start(r, keys, BURST, hits[0], keys + BURST, BURST, &pending[0]);
	for (uint32_t n = 1; n < PASS_BURSTS; n++) {
		pl_table_find_start(r, keys + n * BURST, BURST, hits[n & 1], keys + (n + 1) * BURST,
				    BURST, &pending[n & 1]);
		pl_table_find_finish(r, &pending[~n & 1]);
		wrong += burst_use(r, j, hits[~n & 1]);
	}
	pl_table_find_finish(r, &pending[~PASS_BURSTS & 1]);
	wrong += burst_use(r, j, hits[~PASS_BURSTS & 1]);
	pl_table_quiesce(r);
	return wrong;
}

static void *lookups_run(void *arg)
{
	struct job *j = arg;
	struct pl_table_reader *r;
	uint64_t start, wrong = 0, done = 0;

	bench_cpu_pin(j->cpu);
	if (pl_table_reader_create(b.table, &r) != 0)
		bench_die("reader", "not created");
	if (j->start != NULL)
		pthread_barrier_wait(j->start);
	start = bench_table_cpu_ns();
	pl_table_prefetch(r, j->keys, BURST);
	for (; done + PASS <= b.lookups; done += PASS)
		wrong += pass_run(r, j, &j->keys[done]);
	j->ns = (double)(bench_table_cpu_ns() - start) / (double)done;
	j->wrong = j->expect < 2 ? wrong : 0;
	pl_table_reader_destroy(r);
	return NULL;
}

static void job_check(const struct job *j)
{
	if (j->wrong != 0)
		bench_die("ours", "lookups with a wrong answer, or scans that were not recorded");
}

/* Later than any scan before it, of whatever measurement: so each first scan of a certificate is recorded. */
static uint32_t shown_next(void)
{
	static uint32_t shown;

	return ++shown;
}

static double ours(const uint64_t *keys, enum what what)
{
	struct job j = {.keys = keys,
			.cpu = b.cores.cpu,
			.seen = what == W_HIT_SEEN || what == W_ZIPF_SEEN ||
				what == W_WRITER_HIT_SEEN,
			.shown = shown_next(),
			.unrepeated = what != W_ZIPF && what != W_ZIPF_SEEN,
			.expect = what == W_MISS   ? 0
				  : what == W_HALF ? 2
						   : 1};

	(void)lookups_run(&j);
	job_check(&j);
	return j.ns;
}

struct writer {
	/* relaxed, both: they say when, and guard no data; joining orders per_s. */
	atomic_bool stop;
	atomic_bool running;
	double per_s;
};

/* Facts of certificates here and there change, a hundred every tenth of a millisecond. */
static void *writer_run(void *arg)
{
	struct writer *w = arg;
	struct pl_table_entry e[WRITES_PER_S / (1000000000u / WRITE_PAUSE_NS)];
	uint64_t rng = 77, done_cnt = 0, start, due;
	size_t done;

	bench_cpu_pin(b.cores.cpu ^ 1);
	atomic_store_explicit(&w->running, true, memory_order_relaxed);
	start = due = bench_table_now_ns();
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		for (uint32_t i = 0; i < PL_ARRAY_CNT(e); i++) {
			rng += 0x9e3779b97f4a7c15u;
			uint64_t idx = pl_mix64(rng) % b.certs;

			e[i] = (struct pl_table_entry){bench_table_id(idx), facts_of(rng >> 20)};
		}
		if (pl_table_put_many(b.table, e, PL_ARRAY_CNT(e), &done) != 0)
			bench_die("writer", "update failed");
		done_cnt += done;
		due += WRITE_PAUSE_NS;
		while (bench_table_now_ns() < due &&
		       !atomic_load_explicit(&w->stop, memory_order_relaxed))
			__builtin_ia32_pause();
	}
	w->per_s = (double)done_cnt * 1e9 / (double)(bench_table_now_ns() - start);
	return NULL;
}

static double ours_while_written(const uint64_t *keys)
{
	struct writer w = {.per_s = 0};
	pthread_t thread;
	double ns;

	if (pthread_create(&thread, NULL, writer_run, &w) != 0)
		bench_die("thread", "not created");
	while (!atomic_load_explicit(&w.running, memory_order_relaxed))
		usleep(100);
	ns = ours(keys, W_WRITER_HIT_SEEN);
	atomic_store_explicit(&w.stop, true, memory_order_relaxed);
	pthread_join(thread, NULL);
	/* Of the round with the fewest. */
	b.writes_per_s = b.writes_per_s == 0 || w.per_s < b.writes_per_s ? w.per_s : b.writes_per_s;
	return ns;
}

/* ns a lookup of both cores together. */
static double ours_two_cores(const uint64_t *keys, const uint64_t *keys2)
{
	uint32_t shown = shown_next();
	pthread_barrier_t start;
	struct job j[2] = {{.keys = keys, .cpu = 0}, {.keys = keys2, .cpu = 1}};
	pthread_t threads[2];

	pthread_barrier_init(&start, NULL, 2);
	for (uint32_t i = 0; i < 2; i++) {
		j[i].seen = true;
		j[i].shown = shown;
		j[i].unrepeated = true;
		j[i].expect = 1;
		j[i].start = &start;
		if (pthread_create(&threads[i], NULL, lookups_run, &j[i]) != 0)
			bench_die("thread", "not created");
	}
	for (uint32_t i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		job_check(&j[i]);
	}
	pthread_barrier_destroy(&start);
	return 1 / (1 / j[0].ns + 1 / j[1].ns);
}

/* ---- filling ---------------------------------------------------------------------------------------- */

static void table_make(void)
{
	static char path[4200], error[256];
	struct pl_table_conf conf = {.capacity = b.certs, .numa_node = -1};

	if (b.huge_dir != NULL) {
		snprintf(path, sizeof(path), "%s/bench_table.%d", b.huge_dir, (int)getpid());
		conf.path = path;
	}
	if (pl_table_create(&conf, &b.table, error, sizeof(error)) != 0)
		bench_die("table", error);
	if (conf.path != NULL)
		unlink(path); /* it lives as long as it is mapped */
}

static void part_make(struct pl_table_entry *e, uint64_t first, uint64_t cnt)
{
	for (uint64_t i = 0; i < cnt; i++)
		e[i] = (struct pl_table_entry){bench_table_id(first + i), facts_of(first + i)};
}

/* One writer, up to the stated capacity. */
static void insert_all(void)
{
	struct pl_table_entry e[BULK_PART];
	uint64_t start;
	size_t done;

	bench_alone_wait(&b.cores, 1);
	start = bench_table_now_ns();
	for (uint64_t i = 0; i < b.certs; i += BULK_PART) {
		uint64_t cnt = b.certs - i < BULK_PART ? b.certs - i : BULK_PART;

		part_make(e, i, cnt);
		while (pl_table_put_many(b.table, e, cnt, &done) != 0) {
			b.failed_inserts++;
			cnt -= done + 1;
			memmove(e, e + done + 1, cnt * sizeof(*e));
		}
	}
	b.insert_s = (double)(bench_table_now_ns() - start) * 1e-9;
}

struct builder {
	struct pl_table_bulk *bulk;
	uint64_t first, last;
	uint32_t cpu;
};

static void *builder_run(void *arg)
{
	struct builder *p = arg;
	struct pl_table_entry e[BULK_PART];
	size_t done;

	bench_cpu_pin(p->cpu);
	for (uint64_t i = p->first; i < p->last; i += BULK_PART) {
		uint64_t cnt = p->last - i < BULK_PART ? p->last - i : BULK_PART;

		part_make(e, i, cnt);
		if (pl_table_bulk_put(p->bulk, e, cnt, &done) != 0)
			bench_die("build", "insert failed");
	}
	return NULL;
}

static void build_all(void)
{
	struct builder p[2] = {
		{.first = 0, .last = b.certs / 2, .cpu = 0},
		{.first = b.certs / 2, .last = b.certs, .cpu = 1},
	};
	struct pl_table_bulk *bulk;
	pthread_t threads[2];
	uint64_t start;

	bench_alone_wait(&b.cores, 2);
	start = bench_table_now_ns();
	if (pl_table_bulk_begin(b.table, &bulk) != 0)
		bench_die("build", "not begun");
	for (uint32_t i = 0; i < 2; i++) {
		p[i].bulk = bulk;
		if (pthread_create(&threads[i], NULL, builder_run, &p[i]) != 0)
			bench_die("thread", "not created");
	}
	for (uint32_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pl_table_bulk_end(bulk);
	b.build_s = (double)(bench_table_now_ns() - start) * 1e-9;
}

static void region_make(void)
{
	struct pl_table_stats stats;
	void *p;

	pl_table_stats_get(b.table, &stats);
	b.table_size = stats.size;
	b.page_size = stats.page_size;
	b.region_size = stats.size;
	p = mmap(NULL, b.region_size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE |
			 (stats.memory == PL_TABLE_MEM_ORDINARY ? 0 : MAP_HUGETLB),
		 -1, 0);
	if (p == MAP_FAILED)
		bench_die("region", strerror(errno));
	b.region = p;
	/* Each page must be a page of its own. */
	for (uint64_t i = 0; i < b.region_size; i += 64)
		b.region[i] = (uint8_t)i;
}

/* ---- the run ------------------------------------------------------------------------------------------ */

static double measure(enum what what, uint64_t *keys, uint64_t *keys2)
{
	keys_make(keys, what);
	if (what == W_TWO_HIT_SEEN)
		keys_make(keys2, what);
	bench_alone_wait(&b.cores, what == W_TWO_HIT_SEEN || what == W_WRITER_HIT_SEEN ? 2 : 1);
	switch (what) {
	case W_CEILING:
		return bench_ceiling(&b, keys, 16, false);
	case W_CEILING_32:
		return bench_ceiling(&b, keys, 32, false);
	case W_CEILING_64:
		return bench_ceiling(&b, keys, 64, false);
	case W_CEILING_FAR_32:
		return bench_ceiling(&b, keys, 32, true);
	case W_CEILING_FAR_64:
		return bench_ceiling(&b, keys, 64, true);
	case W_CEILING_SWAP:
		return bench_ceiling_swap(&b, keys);
	case W_WRITER_HIT_SEEN:
		return ours_while_written(keys);
	case W_TWO_HIT_SEEN:
		return ours_two_cores(keys, keys2);
	case W_RTE_HIT:
		return bench_rte_hash_lookup(&b, keys);
	case W_LFHT_HIT:
		return bench_lfht_lookup(&b, keys);
	default:
		return ours(keys, what);
	}
}

static bool wanted(enum what what)
{
	return (what != W_RTE_HIT || b.rte) && (what != W_LFHT_HIT || b.lfht);
}

/* The loop with the least median stands for all five. */
static void best_ceiling(double ns[W_CNT][ROUNDS_MAX])
{
	double least = bench_median(ns[W_CEILING], b.rounds);

	for (enum what w = W_CEILING_32; w <= W_CEILING_FAR_64; w++) {
		double median = bench_median(ns[w], b.rounds);

		if (median < least) {
			least = median;
			memcpy(ns[W_CEILING], ns[w], sizeof(ns[w]));
		}
	}
}

static void print(double ns[W_CNT][ROUNDS_MAX])
{
	printf("{\"certs\": %llu, \"bytes_per_cert\": %.4f, \"page_kb\": %llu, "
	       "\"failed_inserts\": %llu, \"insert_m_per_s\": %.3f, \"build_s\": %.3f, "
	       "\"writes_per_s\": %.0f, \"shared_turns\": %u, \"waited_s\": %.1f",
	       (unsigned long long)b.certs, (double)b.table_size / (double)b.certs,
	       (unsigned long long)b.page_size >> 10, (unsigned long long)b.failed_inserts,
	       (double)b.certs / b.insert_s * 1e-6, b.build_s, b.writes_per_s, b.cores.shared_turns,
	       b.cores.waited_s);
	best_ceiling(ns);
	for (enum what w = 0; w < W_CNT; w++) {
		if (!wanted(w) || (w >= W_CEILING_32 && w <= W_CEILING_FAR_64))
			continue;
		double median = bench_median(ns[w], b.rounds); /* sorts */

		printf(", \"%s\": {\"ns\": %.3f, \"least_ns\": %.3f, \"most_ns\": %.3f}",
		       what_names[w], median, ns[w][0], ns[w][b.rounds - 1]);
	}
	printf("}\n");
}

int main(int argc, char **argv)
{
	static double ns[W_CNT][ROUNDS_MAX];
	uint64_t *keys, *keys2;

	if (argc != 6)
		bench_die("usage",
			  "bench_table CERTS LOOKUPS ROUNDS HUGE_DIR|- RIVALS; RIVALS: r for "
			  "rte_hash, l for lfht, rl, or - for none");
	if (strcmp(argv[5], "-") != 0 && strspn(argv[5], "rl") != strlen(argv[5]))
		bench_die(argv[5], "not a choice of rivals: r, l, rl or -");
	b.certs = bench_number("CERTS", argv[1], 2 * PASS, 1000000000);
	b.lookups = bench_number("LOOKUPS", argv[2], PASS, b.certs / 2);
	b.rounds = (uint32_t)bench_number("ROUNDS", argv[3], 1, ROUNDS_MAX);
	b.huge_dir = strcmp(argv[4], "-") == 0 ? NULL : argv[4];
	b.cores.wait = b.rounds > 1; /* one round is to try it */
	b.rte = strchr(argv[5], 'r') != NULL;
	b.lfht = strchr(argv[5], 'l') != NULL;
	keys = malloc((b.lookups + BURST) * sizeof(*keys));
	keys2 = malloc((b.lookups + BURST) * sizeof(*keys2));
	if (keys == NULL || keys2 == NULL)
		bench_die("memory", strerror(errno));
	table_make();
	insert_all();
	pl_table_close(b.table);
	table_make();
	build_all();
	region_make();
	if (b.rte && !bench_rte_hash_fill(&b)) {
		fprintf(stderr, "rte_hash cannot hold %llu certificates: left out\n",
			(unsigned long long)b.certs);
		b.rte = false;
	}
	if (b.lfht)
		bench_lfht_fill(&b);
	for (uint32_t round = 0; round < b.rounds; round++)
		for (enum what w = 0; w < W_CNT; w++) {
			/* There and back, so that none always follows the same one. */
			enum what one = round % 2 == 0 ? w : W_CNT - 1 - w;

			if (wanted(one))
				ns[one][round] = measure(one, keys, keys2);
		}
	print(ns);
	return 0;
}
