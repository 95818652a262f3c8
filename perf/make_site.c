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
static void segment_write(struct site *s, struct pl_feed_writer *w, const char *dir,
			  const struct pl_key *secret)
{
	char name[PL_FEED_NAME_SIZE], path[PATH_SIZE + PL_FEED_NAME_SIZE];
	struct pl_feed_segment seg;
	const uint8_t *data;
	size_t size, at = 0;
	int fd;

	if (pl_feed_writer_seal(w, &s->pos, s->as_of, secret->bytes, &seg, &data, &size) != 0)
		bench_die("segment", "cannot be sealed");
	pl_feed_name(seg.header.sequence, name);
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
	pl_feed_advance(&s->pos, &seg);
	pl_feed_writer_begin(w);
}

static void feed_make(struct site *s, const struct pl_key *secret)
{
	struct pl_population *p;
	struct pl_feed_writer *w;
	char dir[PATH_SIZE], error[512];

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
		if (pl_feed_writer_record_cnt(w) == PL_FEED_RECORDS_MAX)
			segment_write(s, w, dir, secret);
	}
	if (pl_feed_writer_record_cnt(w) != 0)
		segment_write(s, w, dir, secret);
	pl_feed_writer_destroy(w);
	pl_population_destroy(p);
}

static const char usage[] =
	"make_site DIR --certs N --as-of DATE: keys and a feed for an appliance to measure.\n"
	"\n"
	"  --certs N      certificates\n"
	"  --as-of DATE   YYYY-MM-DD, the population's day\n"
	"  --seed N       of the population (0)\n"
	"  --gateways N   keys of gateways (64)\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"certs", 1, NULL, 'c'},
                {"as-of",   1, NULL, 'a'},
                {"seed",       1, NULL, 's'},
		{"gateways",    1, NULL, 'g'},
                {"help",    0, NULL, 'h'},
                {0 }
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
		case 'g':
			s.gateway_cnt = (uint32_t)bench_number("gateways", optarg, 1, 1024);
			break;
		default:
			fputs(usage, opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (optind != argc - 1 || s.population.cert_cnt == 0 ||
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
