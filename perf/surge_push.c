/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An authority on its busiest day: new certificates in signed segments, pushed over TCP at a rate, or as
 * fast as they are taken. They are signed ahead, so that what is measured is who takes them.
 *
 * A JSON line for each sampled certificate says when the answer came that the appliance has it on disk; the last line is of all.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "base/pl_time.h"
#include "bench_util.h"
#include "feed/pl_feed.h"
#include "intake/pl_push.h"
#include "keys/pl_keys.h"

#define WINDOW 4u

struct surge {
	const char *key_path;
	const char *go_path; /* wait for this file; NULL: do not */
	bool list;           /* ids only */
	uint16_t port;
	uint64_t first;     /* number of the first certificate: another for each run */
	uint64_t cert_cnt;  /* in all */
	uint32_t batch_cnt; /* a segment */
	double rate;        /* certificates a second; 0: as fast as it goes */
	uint64_t every_ns;  /* push in every other interval of the clock only; 0: always */
	uint32_t phase;     /* 0: the even ones, 1: the odd ones */
	uint32_t sample;    /* every so many is told */
	struct segment {
		uint8_t *data;
		size_t size;
		uint64_t sent_ns;
		uint64_t stored_ns;
	} * segments;
	uint32_t segment_cnt;
	int fd;
};

static uint64_t cert_id(uint64_t number)
{
	return pl_mix64(number + 0x5u * 0x1000000000000ull) | 1;
}

static void transfer(int fd, void *data, size_t size, bool out)
{
	uint8_t *at = data;

	while (size > 0) {
		ssize_t n = out ? send(fd, at, size, MSG_NOSIGNAL) : recv(fd, at, size, 0);

		if (n <= 0)
			bench_die(out ? "send" : "receive",
				  n < 0 ? strerror(errno) : "the appliance has closed");
		at += n;
		size -= (size_t)n;
	}
}

static void connect_to(struct surge *s, struct pl_feed_pos *pos)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(s->port)};
	uint8_t bytes[PL_PUSH_GREETING_SIZE];
	struct pl_push_greeting g;
	int one = 1;

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		bench_die("connect", strerror(errno));
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	transfer(s->fd, bytes, sizeof(bytes), false);
	if (!pl_push_greeting_read(bytes, &g))
		bench_die("greeting", "is none");
	*pos = g.pos;
}

static void segments_make(struct surge *s, struct pl_feed_pos *pos)
{
	uint32_t facts =
		pl_facts_pack(&(struct pl_cert){.kind = PL_CERT_BOOSTER, .event_day = 18900});
	struct pl_feed_writer *w;
	struct pl_keys *keys;
	char error[512];

	if (pl_keys_load_file(s->key_path, PL_KEY_AUTHORITY_SECRET, &keys, error, sizeof(error)) !=
	    0)
		bench_die("key", error);
	s->segment_cnt = (uint32_t)((s->cert_cnt + s->batch_cnt - 1) / s->batch_cnt);
	s->segments = calloc(s->segment_cnt, sizeof(*s->segments));
	if (s->segments == NULL || pl_feed_writer_create(&w) != 0)
		bench_die("segments", strerror(ENOMEM));
	for (uint32_t i = 0; i < s->segment_cnt; i++) {
		uint64_t from = (uint64_t)i * s->batch_cnt, end = from + s->batch_cnt;
		struct pl_feed_segment seg;
		const uint8_t *data;

		pl_feed_writer_begin(w);
		for (uint64_t k = from; k < end && k < s->cert_cnt; k++)
			if (pl_feed_writer_add(w, cert_id(s->first + k), facts, PL_FEED_PUT) != 0)
				bench_die("segment", "a record is refused");
		if (pl_feed_writer_seal(w, pos, (uint64_t)time(NULL), keys->key[0].bytes, &seg,
					&data, &s->segments[i].size) != 0)
			bench_die("segment", "cannot be sealed");
		pl_feed_advance(pos, &seg);
		s->segments[i].data = malloc(s->segments[i].size);
		if (s->segments[i].data == NULL)
			bench_die("segment", strerror(ENOMEM));
		memcpy(s->segments[i].data, data, s->segments[i].size);
	}
	pl_feed_writer_destroy(w);
	pl_keys_free(keys);
}

static void answer_read(struct surge *s, uint32_t idx)
{
	uint8_t bytes[PL_PUSH_ANSWER_SIZE];
	struct pl_push_answer a;

	transfer(s->fd, bytes, sizeof(bytes), false);
	if (!pl_push_answer_read(bytes, &a) || a.outcome != PL_INTAKE_STORED)
		bench_die("answer", pl_intake_outcome_name((enum pl_intake_outcome)a.outcome));
	s->segments[idx].stored_ns = pl_time_ns(CLOCK_REALTIME);
}

static void sleep_until(uint64_t monotonic_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(monotonic_ns / 1000000000u),
			      .tv_nsec = (long)(monotonic_ns % 1000000000u)};

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* The next interval of the clock that is ours begins. @return when, in monotonic time. */
static uint64_t wait_for_phase(const struct surge *s)
{
	uint64_t wall_ns = pl_time_ns(CLOCK_REALTIME), start_ns = pl_time_ns(CLOCK_MONOTONIC);

	if (s->every_ns != 0) {
		uint64_t next = wall_ns / s->every_ns + 1;

		next += next % 2 != s->phase;
		start_ns += next * s->every_ns - wall_ns;
		sleep_until(start_ns);
	}
	return start_ns;
}

/* When so much time of pushing is over, if what is not ours is left out. */
static uint64_t after(const struct surge *s, uint64_t start_ns, double pushing_ns)
{
	uint64_t ns = (uint64_t)pushing_ns;

	return start_ns + ns + (s->every_ns == 0 ? 0 : ns / s->every_ns * s->every_ns);
}

/* Seconds of pushing since then: the inverse of after(). */
static double pushing_s(const struct surge *s, uint64_t start_ns)
{
	uint64_t ns = pl_time_ns(CLOCK_MONOTONIC) - start_ns, turns, rest;

	if (s->every_ns == 0)
		return (double)ns / 1e9;
	turns = ns / (2 * s->every_ns);
	rest = ns % (2 * s->every_ns);
	if (rest > s->every_ns)
		rest = s->every_ns;
	return (double)(turns * s->every_ns + rest) / 1e9;
}

static void push_all(struct surge *s, uint64_t start_ns)
{
	uint32_t answered = 0;

	for (uint32_t i = 0; i < s->segment_cnt; i++) {
		uint8_t frame[PL_PUSH_FRAME_SIZE];

		if (s->rate > 0) {
			/* A batch is due when its last certificate is there to be signed. */
			double pushing_ns = (double)(i + 1) * s->batch_cnt / s->rate * 1e9;

			sleep_until(after(s, start_ns, pushing_ns));
		}
		pl_push_frame_write(frame, (uint32_t)s->segments[i].size);
		s->segments[i].sent_ns = pl_time_ns(CLOCK_REALTIME);
		transfer(s->fd, frame, sizeof(frame), true);
		transfer(s->fd, s->segments[i].data, s->segments[i].size, true);
		while (i + 1 - answered >= (s->rate > 0 ? 1 : WINDOW))
			answer_read(s, answered++);
	}
	while (answered < s->segment_cnt)
		answer_read(s, answered++);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Segments that were taken late, in an interval that is not ours. */
static uint32_t outside_cnt(const struct surge *s)
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < s->segment_cnt && s->every_ns != 0; i++)
		cnt += s->segments[i].stored_ns / s->every_ns % 2 != s->phase;
	return cnt;
}

static void tell(const struct surge *s, double seconds, double begin_s)
{
	uint64_t *took = calloc(s->segment_cnt, sizeof(*took));

	if (took == NULL)
		bench_die("result", strerror(ENOMEM));
	for (uint32_t i = 0; i < s->segment_cnt; i++)
		took[i] = s->segments[i].stored_ns - s->segments[i].sent_ns;
	qsort(took, s->segment_cnt, sizeof(*took), compare);
	for (uint64_t k = 0; s->sample != 0 && k < s->cert_cnt; k += s->sample)
		printf("{\"id\": \"0x%016" PRIx64 "\", \"stored_ns\": %" PRIu64 "}\n",
		       cert_id(s->first + k), s->segments[k / s->batch_cnt].stored_ns);
	printf("{\"certs\": %" PRIu64 ", \"segments\": %u, \"outside\": %u, \"begin_s\": %.3f, "
	       "\"end_s\": %.3f, \"seconds\": %.6f, "
	       "\"certs_per_s\": %.1f, "
	       "\"stored_ms_p50\": %.3f, \"stored_ms_p99\": %.3f}\n",
	       s->cert_cnt, s->segment_cnt, outside_cnt(s), begin_s,
	       (double)pl_time_ns(CLOCK_REALTIME) / 1e9, seconds, (double)s->cert_cnt / seconds,
	       (double)took[s->segment_cnt / 2] / 1e6,
	       (double)took[(uint64_t)s->segment_cnt * 99 / 100] / 1e6);
	free(took);
}

static const char usage[] =
	"surge_push --key FILE --port N --certs N [OPTION]...: push new certificates to "
	"127.0.0.1.\n"
	"surge_push --list --sample N --certs N [--first N]: print the sampled ids, push nothing.\n"
	"\n"
	"  --rate R       certificates a second (as fast as they are taken)\n"
	"  --every S      with --rate: push in every other interval of S seconds of the UTC clock\n"
	"  --phase N      the even ones, 0, or the odd ones, 1 (0)\n"
	"  --batch N      certificates a segment (1048576)\n"
	"  --first N      number of the first one (0)\n"
	"  --sample N     tell when the answer came that every N-th was stored\n"
	"  --go FILE      wait for this file, once all is signed: \"signed\" is said then\n";

/* @return -1 to go on, or the exit status. */
static int args_parse(struct surge *s, int argc, char **argv)
{
	static const struct option options[] = {
		{"key", 1, NULL, 'k'},
		{"port", 1, NULL, 'p'},
		{"certs", 1, NULL, 'c'},
		{"rate", 1, NULL, 'r'},
		{"every", 1, NULL, 'e'},
		{"phase", 1, NULL, 'P'},
		{"batch", 1, NULL, 'b'},
		{"first", 1, NULL, 'f'},
		{"sample", 1, NULL, 's'},
		{"list", 0, NULL, 'l'},
		{"go", 1, NULL, 'g'},
		{"help", 0, NULL, 'h'},
		{0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'k':
			s->key_path = optarg;
			break;
		case 'p':
			s->port = (uint16_t)bench_number("port", optarg, 1, 65535);
			break;
		case 'c':
			s->cert_cnt = bench_number("certs", optarg, 1, 1ull << 32);
			break;
		case 'r':
			s->rate = (double)bench_number("rate", optarg, 1, 1ull << 32);
			break;
		case 'e':
			s->every_ns = bench_number("every", optarg, 1, 3600) * 1000000000u;
			break;
		case 'P':
			s->phase = (uint32_t)bench_number("phase", optarg, 0, 1);
			break;
		case 'b':
			s->batch_cnt =
				(uint32_t)bench_number("batch", optarg, 1, PL_FEED_RECORDS_MAX);
			break;
		case 'f':
			s->first = bench_number("first", optarg, 0, 1ull << 40);
			break;
		case 's':
			s->sample = (uint32_t)bench_number("sample", optarg, 1, 1u << 30);
			break;
		case 'l':
			s->list = true;
			break;
		case 'g':
			s->go_path = optarg;
			break;
		default:
			fputs(usage, opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (s->cert_cnt == 0 || (!s->list && (s->key_path == NULL || s->port == 0)) ||
	    (s->list && s->sample == 0) || (s->every_ns != 0 && s->rate == 0) ||
	    (s->phase != 0 && s->every_ns == 0)) {
		fputs(usage, stderr);
		return 2;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct surge s = {.batch_cnt = PL_FEED_RECORDS_MAX};
	struct pl_feed_pos pos;
	uint64_t start_ns;
	double begin_s;
	int rc = args_parse(&s, argc, argv);

	if (rc >= 0)
		return rc;
	if (sodium_init() < 0)
		bench_die("libsodium", "cannot start");
	for (uint64_t k = 0; s.list && k < s.cert_cnt; k += s.sample)
		printf("0x%016" PRIx64 "\n", cert_id(s.first + k));
	if (s.list)
		return 0;
	connect_to(&s, &pos);
	segments_make(&s, &pos);
	fprintf(stderr, "signed\n");
	while (s.go_path != NULL && access(s.go_path, F_OK) != 0)
		(void)usleep(1000);
	start_ns = wait_for_phase(&s);
	begin_s = (double)pl_time_ns(CLOCK_REALTIME) / 1e9;
	push_all(&s, start_ns);
	tell(&s, pushing_s(&s, start_ns), begin_s);
	return 0;
}
