/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An authority's chain and snapshots of it, in a store of its own. The store's system calls that
 * change the disk go through hooks.
 */
#ifndef FEED_SNAPSHOT_FIXTURE_H
#define FEED_SNAPSHOT_FIXTURE_H

#include "feed_hooks.h" /* first: its names are macros of cmocka */

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define STREAM    42u
#define CHUNK_CNT 3u
#define PER_CHUNK 4u

static const uint32_t facts_primary = 1u | 18900u << 4;

struct fixture {
	char dir[64];
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint8_t seckey[PL_FEED_SECKEY_SIZE];
	struct pl_feed_writer *writer;
	struct pl_feed_store *store;
	struct pl_feed_pos pos; /* the chain's end */
	struct pl_feed_report report;
	char error[256];
};

static struct fixture fx;

static inline int open_store(void)
{
	struct pl_feed_store_conf conf = {.dir_path = fx.dir, .write = true};

	memcpy(conf.pubkey, fx.pubkey, sizeof(conf.pubkey));
	return pl_feed_store_open(&conf, &fx.store, fx.error, sizeof(fx.error));
}

static inline int set_up(void **state)
{
	(void)state;
	PL_CHECK(sodium_init() >= 0);
	memset(&fx, 0, sizeof(fx));
	memset(&hook, 0, sizeof(hook));
	crypto_sign_keypair(fx.pubkey, fx.seckey);
	snprintf(fx.dir, sizeof(fx.dir), "%s/passline-snap-XXXXXX", fast_dir());
	PL_CHECK(mkdtemp(fx.dir) != NULL);
	fx.pos.stream_id = STREAM;
	return pl_feed_writer_create(&fx.writer) | open_store();
}

static inline int tear_down(void **state)
{
	DIR *dir = opendir(fx.dir);
	struct dirent *entry;

	(void)state;
	pl_feed_store_close(fx.store);
	pl_feed_writer_destroy(fx.writer);
	PL_CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	return rmdir(fx.dir);
}

/** The snapshot of here and now, CHUNK_CNT chunks of PER_CHUNK. */
static inline struct pl_feed_snapshot snapshot_here(void)
{
	return (struct pl_feed_snapshot){
		.covers = fx.pos,
		.record_cnt = CHUNK_CNT * PER_CHUNK,
		.chunk_cnt = CHUNK_CNT,
	};
}

/** Seal the chunk at *pos, of ids 10, 20, ...; its bytes stay the writer's. */
static inline int seal_chunk(const struct pl_feed_chunk_pos *pos, struct pl_feed_segment *seg,
			     const uint8_t **data, size_t *size)
{
	pl_feed_writer_begin(fx.writer);
	for (uint32_t i = 0; i < PER_CHUNK; i++)
		assert_int_equal(pl_feed_writer_add(fx.writer,
						    10ull * (pos->chunk_cnt * PER_CHUNK + i + 1),
						    facts_primary, PL_FEED_PUT),
				 0);
	return pl_feed_writer_seal_chunk(fx.writer, pos, fx.seckey, seg, data, size);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
