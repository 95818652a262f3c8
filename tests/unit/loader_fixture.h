/* SPDX-License-Identifier: BSD-3-Clause */
/* The loader's work on a table, with a store in a directory of its own; its thread and its words to humans are
 * not here. */
#ifndef LOADER_FIXTURE_H
#define LOADER_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "table/pl_table_pvt.h"

static int hook_remove(struct pl_table *t, uint64_t id);
static int hook_put_many(struct pl_table *t, const struct pl_table_entry *entries, size_t cnt,
			 size_t *done);
#define pl_table_remove   hook_remove
#define pl_table_put_many hook_put_many
#include "../../app/passline/loader_apply.c"
#undef pl_table_remove
#undef pl_table_put_many
#include "../../app/passline/loader_grow.c"
#include "../../app/passline/loader_missing.c"
#include "../../app/passline/loader_position.c"

#define STREAM    9u
#define CAPACITY  2000u
#define CHUNK     100u
#define FACTS(n)  (1u | (uint32_t)(n) << 4)
#define NOT_THERE 0u

/* ---- what loader.c and the intake would do ---- */

static struct {
	uint32_t removed_cnt; /* calls */
	uint64_t removed[8];
	uint32_t put_cnt;       /* entries */
	uint64_t marked_at_put; /* in the position of the table, at the first of them */
	struct pl_table_entry put[64];
	uint32_t published_cnt;
	bool behind_published;
	uint32_t as_of_at_full; /* when it was said that the table is */
	bool loading_published;
	uint32_t quiet_at; /* entries put before everything was UNKNOWN */
	uint32_t prune_cnt;
	uint64_t pruned;       /* the snapshot's sequence */
	uint32_t damage_after; /* so many entries, a chunk of snapshot 7 is damaged; 0: none is */
} log_of;

static uint64_t clock_s;

static void chunk_damage(uint64_t sequence, uint32_t idx);

static int hook_remove(struct pl_table *t, uint64_t id)
{
	if (log_of.removed_cnt < PL_ARRAY_CNT(log_of.removed))
		log_of.removed[log_of.removed_cnt] = id;
	log_of.removed_cnt++;
	return pl_table_remove(t, id);
}

static int hook_put_many(struct pl_table *t, const struct pl_table_entry *entries, size_t cnt,
			 size_t *done)
{
	union pl_table_position at;

	pl_table_position_get(t, &at);
	if (log_of.put_cnt == 0 && cnt != 0)
		log_of.marked_at_put = at.snapshot;
	for (size_t i = 0; i < cnt; i++, log_of.put_cnt++)
		if (log_of.put_cnt < PL_ARRAY_CNT(log_of.put))
			log_of.put[log_of.put_cnt] = entries[i];
	if (log_of.damage_after != 0 && log_of.put_cnt >= log_of.damage_after) {
		log_of.damage_after = 0;
		chunk_damage(7, 3);
	}
	return pl_table_put_many(t, entries, cnt, done);
}

void pl_say(const char *format, ...)
{
	(void)format;
}

void pl_loader_flags_publish(struct pl_loader *l)
{
	log_of.published_cnt++;
	log_of.behind_published |= l->behind;
	if (l->table_full && log_of.as_of_at_full == 0)
		log_of.as_of_at_full = atomic_load(&l->live->as_of);
	log_of.loading_published |= l->loading;
}

void pl_loader_hush(struct pl_loader *l)
{
	l->loading = true;
	log_of.quiet_at = log_of.put_cnt;
	pl_loader_flags_publish(l);
}

uint64_t pl_loader_now_s(void)
{
	return clock_s;
}

int pl_intake_prune(struct pl_intake *in, const struct pl_feed_snapshot *snapshot,
		    struct pl_feed_pruned *out, char *error, size_t error_size)
{
	(void)in;
	(void)error;
	(void)error_size;
	memset(out, 0, sizeof(*out));
	log_of.prune_cnt++;
	log_of.pruned = snapshot->covers.sequence;
	return 0;
}

/* ---- fixture ---- */

static struct {
	char dir[64];
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint8_t seckey[PL_FEED_SECKEY_SIZE];
	struct pl_feed_writer *writer;
	struct pl_feed_store *store; /* for writing; the loader has its own */
	struct pl_live live;
	struct pl_loader l;
	struct pl_feed_report report;
	char error[256];
} fx;

static struct pl_feed_store *store_open(bool write)
{
	struct pl_feed_store_conf conf = {.dir_path = fx.dir, .write = write};
	struct pl_feed_store *store;

	memcpy(conf.pubkey, fx.pubkey, sizeof(conf.pubkey));
	assert_int_equal(pl_feed_store_open(&conf, &store, fx.error, sizeof(fx.error)), 0);
	return store;
}

static int set_up(void **state)
{
	struct pl_table_conf conf = {.capacity = CAPACITY, .hash_seed = 3, .numa_node = -1};

	(void)state;
	memset(&fx, 0, sizeof(fx));
	memset(&log_of, 0, sizeof(log_of));
	clock_s = 100;
	PL_CHECK(sodium_init() >= 0);
	crypto_sign_keypair(fx.pubkey, fx.seckey);
	snprintf(fx.dir, sizeof(fx.dir), "%s/passline-loader-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	PL_CHECK(mkdtemp(fx.dir) != NULL);
	PL_CHECK(pl_feed_writer_create(&fx.writer) == 0);
	fx.store = store_open(true);
	fx.l.store = store_open(false);
	fx.l.live = &fx.live;
	fx.l.dir_path = fx.dir;
	fx.l.pos.stream_id = STREAM;
	fx.l.audited = true;
	fx.l.batch = calloc(PL_LOADER_BATCH_CNT, sizeof(*fx.l.batch));
	PL_CHECK(fx.l.batch != NULL && pl_feed_net_create(&fx.l.net) == 0);
	return pl_table_create(&conf, &fx.l.table, fx.error, sizeof(fx.error));
}

static int tear_down(void **state)
{
	DIR *dir = opendir(fx.dir);
	struct dirent *entry;

	(void)state;
	pl_table_close(fx.l.table);
	pl_feed_net_destroy(fx.l.net);
	pl_loader_missing_drop(&fx.l);
	free(fx.l.batch);
	pl_feed_store_close(fx.l.store);
	pl_feed_store_close(fx.store);
	pl_feed_writer_destroy(fx.writer);
	PL_CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	return rmdir(fx.dir);
}

/** A segment of the tail in memory, as pl_feed_check() would give it. */
static struct pl_feed_segment segment(uint64_t sequence, const struct pl_feed_record *records,
				      uint32_t cnt)
{
	struct pl_feed_segment seg = {
		.header = {.stream_id = STREAM,
			   .sequence = sequence,
			   .as_of = 1000 + sequence,
			   .record_cnt = cnt},
		.records = records,
	};

	memset(seg.hash, (int)sequence, sizeof(seg.hash));
	return seg;
}

/** Store a snapshot of `sequence` with ids first, first + 1, ... and facts of their numbers. */
static struct pl_feed_snapshot snapshot_put(uint64_t sequence, uint64_t first, uint32_t cnt)
{
	struct pl_feed_chunk_pos pos = {.snapshot = {.covers = {.stream_id = STREAM,
								.sequence = sequence,
								.as_of = 1000 + sequence},
						     .record_cnt = cnt,
						     .chunk_cnt = (cnt + CHUNK - 1) / CHUNK}};

	memset(pos.snapshot.covers.hash, (int)sequence, PL_FEED_HASH_SIZE);
	while (!pl_feed_chunk_complete(&pos)) {
		struct pl_feed_segment seg;
		const uint8_t *data;
		size_t size;

		pl_feed_writer_begin(fx.writer);
		for (uint64_t i = pos.record_cnt; i < cnt && i < pos.record_cnt + CHUNK; i++)
			assert_int_equal(pl_feed_writer_add(fx.writer, first + i, FACTS(first + i),
							    PL_FEED_PUT),
					 0);
		assert_int_equal(
			pl_feed_writer_seal_chunk(fx.writer, &pos, fx.seckey, &seg, &data, &size),
			0);
		assert_int_equal(
			pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)), 0);
		pl_feed_chunk_advance(&pos, &seg);
	}
	return pos.snapshot;
}

/** Flip a bit of a record; its signature does not hold then. */
static void chunk_damage(uint64_t sequence, uint32_t idx)
{
	char name[PL_FEED_CHUNK_NAME_SIZE], path[128];
	uint8_t byte;
	int fd;

	pl_feed_chunk_name(sequence, idx, name);
	snprintf(path, sizeof(path), "%s/%s", fx.dir, name);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, PL_FEED_HEADER_SIZE), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, PL_FEED_HEADER_SIZE), 1);
	close(fd);
}

static uint32_t facts_of(uint64_t id)
{
	uint32_t facts;

	return pl_table_get(fx.l.table, id, &facts, NULL) == 0 ? facts : NOT_THERE;
}

static uint64_t entry_cnt(void)
{
	struct pl_table_stats stats;

	pl_table_stats_get(fx.l.table, &stats);
	return stats.entry_cnt;
}

/** The table is ids first .. first + cnt - 1 and nothing else, at that position. */
static void assert_content(uint64_t first, uint64_t cnt, uint64_t sequence, uint64_t marked)
{
	union pl_table_position at;

	assert_int_equal(entry_cnt(), cnt);
	for (uint64_t id = first; id < first + cnt; id++)
		assert_int_equal(facts_of(id), FACTS(id));
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.pos.sequence, sequence);
	assert_int_equal(at.snapshot, marked);
	assert_int_equal(pl_table_check(fx.l.table, fx.error, sizeof(fx.error)), 0);
}

static void fill(uint64_t first, uint64_t cnt)
{
	for (uint64_t id = first; id < first + cnt; id++)
		assert_true(pl_table_put(fx.l.table, id, FACTS(id)) >= 0);
}

#endif
