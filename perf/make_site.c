/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an appliance under measurement needs, in a directory that is not there yet: keys of an
 * authority, of tokens and of many gateways, and a feed of signed segments with a population.
 *
 * passline-authority makes the same, through its registry, which takes minutes and gigabytes for
 * fifty million certificates; here each segment is filled, signed and written, and that is all. The
 * appliance cannot tell them apart, and passline-load makes the same population by its seed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "base/pl_date.h"
#include "bench_util.h"
#include "feed/pl_feed.h"
#include "keys/pl_keys.h"
#include "population/pl_population.h"

#define PATH_SIZE 1024u

struct site {
	const char *dir;
	struct pl_population_conf population;
	uint32_t gateway_cnt;
	struct pl_feed_pos pos;
	uint64_t as_of;
	uint64_t tail_certs; /* of the population, those that are not in the snapshot */
	bool snapshot;
	struct pl_feed_record *sorted; /* of the snapshot */
};

static void dir_make(const struct site *s, const char *name, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "%s/%s", s->dir, name);
	if (mkdir(path, 0700) != 0)
		bench_die(path, strerror(errno));
}

static void key_write(struct pl_key *key, const char *path)
{
	char error[512];

	if (pl_keys_write_file(path, key, false, error, sizeof(error)) != 0)
		bench_die("key", error);
}

static void key_make(struct pl_key *key, const char *path)
{
	if (pl_keys_generate(key) != 0)
		bench_die("key", "cannot be generated");
	key_write(key, path);
}

static void keys_make(const struct site *s, struct pl_keys *keys)
{
	char dir[PATH_SIZE], path[PATH_SIZE + 32];
	struct pl_key public_key, *key = &keys->key[0];

	dir_make(s, "token", dir);
	snprintf(path, sizeof(path), "%s/0.key", dir);
	key->kind = PL_KEY_TOKEN;
	key_make(key, path);
	dir_make(s, "gateway", dir);
	for (uint32_t i = 1; i <= s->gateway_cnt; i++) {
		*key = (struct pl_key){.kind = PL_KEY_GATEWAY, .gateway_id = i};
		snprintf(path, sizeof(path), "%s/%u.key", dir, i);
		key_make(key, path);
	}
	*key = (struct pl_key){.kind = PL_KEY_AUTHORITY_SECRET, .stream_id = 1};
	snprintf(path, sizeof(path), "%s/authority-secret.key", s->dir);
	key_make(key, path);
	pl_keys_public_of(key, &public_key);
	snprintf(path, sizeof(path), "%s/authority-public.key", s->dir);
	key_write(&public_key, path);
}

/* Not by way of the store: nothing here has to outlive a power failure. */
static void file_write(const char *dir, const char *name, const uint8_t *data, size_t size)
{
	char path[PATH_SIZE + PL_FEED_CHUNK_NAME_SIZE];
	size_t at = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	while (fd >= 0 && at < size) {
		ssize_t n = write(fd, data + at, size - at);

		if (n < 0)
			break;
		at += (size_t)n;
	}
	if (fd < 0 || at < size || close(fd) != 0)
		bench_die(path, strerror(errno));
}

/* What a snapshot stands for is signed and not written: pruned, as it were. */
static void segment_write(struct site *s, struct pl_feed_writer *w, const char *dir,
			  const struct pl_key *secret, bool write_it)
{
	char name[PL_FEED_NAME_SIZE];
	struct pl_feed_segment seg;
	const uint8_t *data;
	size_t size;

	if (pl_feed_writer_seal(w, &s->pos, s->as_of, secret->bytes, &seg, &data, &size) != 0)
		bench_die("segment", "cannot be sealed");
	pl_feed_name(seg.header.sequence, name);
	if (write_it)
		file_write(dir, name, data, size);
	pl_feed_advance(&s->pos, &seg);
	pl_feed_writer_begin(w);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct pl_feed_record *)a)->cert_id;
	uint64_t y = ((const struct pl_feed_record *)b)->cert_id;

	return (x > y) - (x < y);
}

/* Ids are as good as random: 65536 heaps by their first bits, each sorted by itself. */
static void sort_records(struct pl_feed_record *records, uint64_t cnt)
{
	struct pl_feed_record *out = malloc((cnt + 1) * sizeof(*out));
	uint64_t *start = calloc(65537, sizeof(*start));

	if (out == NULL || start == NULL)
		bench_die("snapshot", strerror(ENOMEM));
	for (uint64_t i = 0; i < cnt; i++)
		start[(records[i].cert_id >> 48) + 1]++;
	for (uint32_t b = 0; b < 65536; b++)
		start[b + 1] += start[b];
	for (uint64_t i = 0; i < cnt; i++)
		out[start[records[i].cert_id >> 48]++] = records[i];
	for (uint32_t b = 0; b < 65536; b++) {
		uint64_t from = b == 0 ? 0 : start[b - 1];

		qsort(out + from, start[b] - from, sizeof(*out), by_id);
	}
	memcpy(records, out, cnt * sizeof(*out));
	free(out);
	free(start);
}

static void snapshot_write(struct site *s, struct pl_feed_writer *w, const char *dir,
			   const struct pl_key *secret, uint64_t cnt)
{
	struct pl_feed_chunk_pos pos = {
		.snapshot = {.covers = s->pos,
			     .record_cnt = cnt,
			     .chunk_cnt = (uint32_t)((cnt + PL_FEED_RECORDS_MAX - 1) /
						     PL_FEED_RECORDS_MAX)}};

	sort_records(s->sorted, cnt);
	while (!pl_feed_chunk_complete(&pos)) {
		char name[PL_FEED_CHUNK_NAME_SIZE];
		struct pl_feed_segment seg;
		const uint8_t *data;
		size_t size;

		pl_feed_writer_begin(w);
		for (uint64_t i = pos.record_cnt;
		     i < cnt && pl_feed_writer_record_cnt(w) < PL_FEED_RECORDS_MAX; i++)
			if (pl_feed_writer_add(w, s->sorted[i].cert_id, s->sorted[i].facts,
					       PL_FEED_PUT) != 0)
				bench_die("snapshot", "a record is refused");
		if (pl_feed_writer_seal_chunk(w, &pos, secret->bytes, &seg, &data, &size) != 0)
			bench_die("snapshot", "a chunk cannot be sealed");
		pl_feed_chunk_name(s->pos.sequence, pos.chunk_cnt, name);
		file_write(dir, name, data, size);
		pl_feed_chunk_advance(&pos, &seg);
	}
	pl_feed_writer_begin(w);
}

static void feed_make(struct site *s, const struct pl_key *secret)
{
	struct pl_population *p;
	struct pl_feed_writer *w;
	char dir[PATH_SIZE], error[512];
	uint64_t snapshot_cnt = s->snapshot ? s->population.cert_cnt - s->tail_certs : 0;

	if (s->snapshot && (s->sorted = calloc(snapshot_cnt, sizeof(*s->sorted))) == NULL)
		bench_die("snapshot", strerror(ENOMEM));
	dir_make(s, "feed", dir);
	if (pl_population_create(&s->population, &p, error, sizeof(error)) != 0)
		bench_die("population", error);
	if (pl_feed_writer_create(&w) != 0)
		bench_die("feed", strerror(ENOMEM));
	s->pos.stream_id = secret->stream_id;
	for (uint64_t i = 0; i < s->population.cert_cnt; i++) {
		struct pl_cert c = pl_population_cert(p, i);

		if (pl_feed_writer_add(w, c.id, pl_facts_pack(&c), PL_FEED_PUT) != 0)
			bench_die("feed", "a record is refused");
		if (i < snapshot_cnt)
			s->sorted[i] = (struct pl_feed_record){.cert_id = c.id,
							       .facts = pl_facts_pack(&c)};
		if (pl_feed_writer_record_cnt(w) == PL_FEED_RECORDS_MAX || i + 1 == snapshot_cnt)
			segment_write(s, w, dir, secret, i >= snapshot_cnt);
		if (i + 1 == snapshot_cnt)
			snapshot_write(s, w, dir, secret, snapshot_cnt);
	}
	if (pl_feed_writer_record_cnt(w) != 0)
		segment_write(s, w, dir, secret, true);
	free(s->sorted);
	pl_feed_writer_destroy(w);
	pl_population_destroy(p);
}

static const char usage[] =
	"make_site DIR --certs N --as-of DATE: keys and a feed for an appliance to measure.\n"
	"\n"
	"  --certs N      certificates\n"
	"  --as-of DATE   YYYY-MM-DD, the population's day\n"
	"  --seed N       of the population (0)\n"
	"  --gateways N   keys of gateways (64)\n"
	"  --tail N       all but the last N certificates in a snapshot, those in segments\n"
	"                 after it; without it all are in segments\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"certs", 1, NULL, 'c'},
		{"as-of", 1, NULL, 'a'},
		{"seed", 1, NULL, 's'},
		{"gateways", 1, NULL, 'g'},
		{"tail", 1, NULL, 't'},
		{"help", 0, NULL, 'h'},
		{0},
	};
	struct site s = {.gateway_cnt = 64, .as_of = (uint64_t)time(NULL)};
	struct pl_keys *keys;
	int opt;

	s.population.as_of_day = INT32_MIN;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			s.population.cert_cnt =
				bench_number("certs", optarg, 1, PL_POPULATION_CERTS_MAX);
			break;
		case 'a':
			if (!pl_date_parse(optarg, strlen(optarg), &s.population.as_of_day))
				bench_die("--as-of", "YYYY-MM-DD is needed");
			break;
		case 's':
			s.population.seed = bench_number("seed", optarg, 0, UINT64_MAX);
			break;
		case 't':
			s.tail_certs = bench_number("tail", optarg, 0, PL_POPULATION_CERTS_MAX);
			s.snapshot = true;
			break;
		case 'g':
			s.gateway_cnt = (uint32_t)bench_number("gateways", optarg, 1, 1024);
			break;
		default:
			fputs(usage, opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (optind != argc - 1 || s.population.cert_cnt == 0 ||
	    (s.snapshot && s.tail_certs >= s.population.cert_cnt) ||
	    s.population.as_of_day == INT32_MIN) {
		fputs(usage, stderr);
		return 2;
	}
	s.dir = argv[optind];
	if (sodium_init() < 0 || (keys = pl_keys_create(1)) == NULL)
		bench_die("libsodium", "cannot start");
	if (mkdir(s.dir, 0700) != 0)
		bench_die(s.dir, strerror(errno));
	keys_make(&s, keys);
	feed_make(&s, &keys->key[0]);
	pl_keys_free(keys);
	return 0;
}
