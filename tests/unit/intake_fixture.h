/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An authority in memory and a directory for its appliance's store, for tests of the intake.
 * Include feed_hooks.h before, to fail and to die at the store's system calls.
 */
#ifndef INTAKE_FIXTURE_H
#define INTAKE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "intake/pl_intake.h"

#define STREAM       42u
#define SEGMENTS_MAX 16u

struct segment {
	uint8_t *data;
	size_t size;
};

struct intake_fixture {
	char dir[64];
	char store[96]; /* in dir */
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint8_t seckey[PL_FEED_SECKEY_SIZE];
	struct pl_feed_writer *writer;
	struct segment segments[SEGMENTS_MAX]; /* [sequence - 1] */
	struct pl_feed_pos ends[SEGMENTS_MAX + 1];
	struct pl_intake *in;
	struct pl_intake_answer answer;
	struct pl_intake_status status;
	char error[512];
};

static struct intake_fixture fx;

/** A signed segment that follows pos; the bytes are the caller's. */
static inline struct segment make_segment(struct pl_feed_pos *pos, uint32_t record_cnt,
					  uint64_t first_id, const uint8_t *seckey)
{
	struct pl_feed_segment seg;
	struct segment made;
	const uint8_t *data;

	pl_feed_writer_begin(fx.writer);
	for (uint32_t i = 0; i < record_cnt; i++)
		PL_CHECK(pl_feed_writer_add(fx.writer, first_id + i, 1, PL_FEED_PUT) == 0);
	PL_CHECK(pl_feed_writer_seal(fx.writer, pos, 1000 + pos->sequence, seckey, &seg, &data,
				     &made.size) == 0);
	made.data = aligned_alloc(64, (made.size + 127) / 64 * 64);
	PL_CHECK(made.data != NULL);
	memcpy(made.data, data, made.size);
	pl_feed_advance(pos, &seg);
	return made;
}

static inline int open_intake(uint64_t certs_per_s_max)
{
	struct pl_intake_conf conf = {
		.store_path = fx.store, .stream_id = STREAM, .certs_per_s_max = certs_per_s_max};

	memcpy(conf.pubkey, fx.pubkey, sizeof(conf.pubkey));
	fx.in = NULL;
	return pl_intake_open(&conf, &fx.in, fx.error, sizeof(fx.error));
}

static inline int reopen_intake(void)
{
	pl_intake_close(fx.in);
	return open_intake(0);
}

static inline enum pl_intake_outcome submit_bytes(const uint8_t *data, size_t size)
{
	enum pl_intake_outcome o = pl_intake_submit(fx.in, data, size, PL_INTAKE_TCP, &fx.answer);

	pl_intake_status_get(fx.in, &fx.status);
	return o;
}

static inline enum pl_intake_outcome submit(uint64_t sequence)
{
	return submit_bytes(fx.segments[sequence - 1].data, fx.segments[sequence - 1].size);
}

static inline const char *store_path(uint64_t sequence)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/" PL_FEED_NAME_FORMAT, fx.store, sequence);
	return path;
}

static inline bool is_stored(uint64_t sequence)
{
	return access(store_path(sequence), F_OK) == 0;
}

static inline void write_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	PL_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void remove_all(const char *path)
{
	(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int set_up(void **state)
{
	struct pl_feed_pos pos = {.stream_id = STREAM};

	(void)state;
	PL_CHECK(sodium_init() >= 0);
	memset(&fx, 0, sizeof(fx));
	crypto_sign_keypair(fx.pubkey, fx.seckey);
	snprintf(fx.dir, sizeof(fx.dir), "%s/passline-intake-XXXXXX",
		 access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
	PL_CHECK(mkdtemp(fx.dir) != NULL);
	snprintf(fx.store, sizeof(fx.store), "%s/store", fx.dir);
	PL_CHECK(pl_feed_writer_create(&fx.writer) == 0);
	fx.ends[0] = pos;
	for (uint32_t i = 0; i < SEGMENTS_MAX; i++) {
		fx.segments[i] = make_segment(&pos, i + 1, 1000 * i + 1, fx.seckey);
		fx.ends[i + 1] = pos;
	}
	return open_intake(0);
}

static int tear_down(void **state)
{
	(void)state;
	pl_intake_close(fx.in);
	for (uint32_t i = 0; i < SEGMENTS_MAX; i++)
		free(fx.segments[i].data);
	pl_feed_writer_destroy(fx.writer);
	remove_all(fx.dir);
	return 0;
}

#endif
