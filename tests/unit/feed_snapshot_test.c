/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots: what a chunk may say, which snapshot is taken, what is deleted for it, and where a
 * directory ends. The store's system calls that change the disk go through hooks.
 */
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
	/* The chunk that is looked at by itself, and where it stands. */
	struct pl_feed_chunk_pos at;
	alignas(8) uint8_t data[PL_FEED_SEGMENT_SIZE(PER_CHUNK)];
	size_t size;
};

static struct fixture fx;

static int open_store(void)
{
	struct pl_feed_store_conf conf = {.dir_path = fx.dir, .write = true};

	memcpy(conf.pubkey, fx.pubkey, sizeof(conf.pubkey));
	return pl_feed_store_open(&conf, &fx.store, fx.error, sizeof(fx.error));
}

static int set_up(void **state)
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

static int tear_down(void **state)
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

static bool there(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fx.dir, name);
	return access(path, F_OK) == 0;
}

static bool tail_there(uint64_t sequence)
{
	char name[PL_FEED_NAME_SIZE];

	pl_feed_name(sequence, name);
	return there(name);
}

static const char *chunk_path(uint64_t sequence, uint32_t idx)
{
	static char path[128];
	char name[PL_FEED_CHUNK_NAME_SIZE];

	pl_feed_chunk_name(sequence, idx, name);
	snprintf(path, sizeof(path), "%s/%s", fx.dir, name);
	return path;
}

static const char *tail_path(uint64_t sequence)
{
	static char path[128];
	char name[PL_FEED_NAME_SIZE];

	pl_feed_name(sequence, name);
	snprintf(path, sizeof(path), "%s/%s", fx.dir, name);
	return path;
}

static void put_tail(uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++) {
		struct pl_feed_segment seg;
		const uint8_t *data;
		size_t size;

		pl_feed_writer_begin(fx.writer);
		assert_int_equal(pl_feed_writer_add(fx.writer, fx.pos.sequence + 1, facts_primary,
						    PL_FEED_PUT),
				 0);
		assert_int_equal(pl_feed_writer_seal(fx.writer, &fx.pos, 1000 + fx.pos.sequence,
						     fx.seckey, &seg, &data, &size),
				 0);
		assert_int_equal(
			pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)), 0);
		pl_feed_advance(&fx.pos, &seg);
	}
}

/** The snapshot of here and now, CHUNK_CNT chunks of PER_CHUNK. */
static struct pl_feed_snapshot snapshot_here(void)
{
	return (struct pl_feed_snapshot){
		.covers = fx.pos,
		.record_cnt = CHUNK_CNT * PER_CHUNK,
		.chunk_cnt = CHUNK_CNT,
	};
}

/** Seal the chunk at *pos, of ids 10, 20, ...; its bytes stay the writer's. */
static int seal_chunk(const struct pl_feed_chunk_pos *pos, struct pl_feed_segment *seg,
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

/** Put chunks 0 .. cnt - 1 of the snapshot of here. */
static void put_chunks(uint32_t cnt)
{
	struct pl_feed_chunk_pos pos = {.snapshot = snapshot_here()};

	for (uint32_t i = 0; i < cnt; i++) {
		struct pl_feed_segment seg;
		const uint8_t *data;
		size_t size;

		assert_int_equal(seal_chunk(&pos, &seg, &data, &size), 0);
		assert_int_equal(
			pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)), 0);
		pl_feed_chunk_advance(&pos, &seg);
	}
	assert_int_equal(pl_feed_chunk_complete(&pos), cnt == CHUNK_CNT);
}

static uint64_t newest(void)
{
	struct pl_feed_snapshot found;
	int rc = pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found);

	assert_true(rc == 0 || rc == -ENOENT);
	return rc == 0 ? found.covers.sequence : 0;
}

struct applied {
	uint64_t record_cnt;
	uint64_t id;
};

static int apply(void *ctx, const struct pl_feed_segment *seg)
{
	struct applied *a = ctx;

	for (uint32_t i = 0; i < seg->header.record_cnt; i++) {
		assert_int_equal(seg->records[i].cert_id, a->id + 10);
		a->id += 10;
	}
	a->record_cnt += seg->header.record_cnt;
	return 0;
}

static enum pl_feed_error read_it(const struct pl_feed_snapshot *snapshot, struct applied *a)
{
	memset(a, 0, sizeof(*a));
	return pl_feed_store_snapshot_read(fx.store, snapshot, apply, a, &fx.report);
}

/* ---- one chunk by itself ---- */

static struct pl_feed_header *header(void)
{
	return (struct pl_feed_header *)(void *)fx.data;
}

static struct pl_feed_record *record(uint32_t idx)
{
	return (struct pl_feed_record *)(void *)(fx.data + PL_FEED_HEADER_SIZE) + idx;
}

static void sign_again(void)
{
	uint8_t message[11 + 32] = "PL1-segment";
	size_t unsigned_size = fx.size - PL_FEED_SIG_SIZE;

	crypto_generichash(message + 11, 32, fx.data, unsigned_size, NULL, 0);
	crypto_sign_detached(fx.data + unsigned_size, NULL, message, sizeof(message), fx.seckey);
}

/** Chunk idx of a snapshot of segment 7 in fx.data, fx.at before it. */
static void fresh_chunk(uint32_t idx)
{
	memset(&fx.at, 0, sizeof(fx.at));
	fx.at.snapshot = snapshot_here();
	fx.at.snapshot.covers.sequence = 7;
	fx.at.snapshot.covers.as_of = 1234;
	memset(fx.at.snapshot.covers.hash, 0x5a, PL_FEED_HASH_SIZE);
	for (uint32_t i = 0;; i++) {
		struct pl_feed_segment seg;
		const uint8_t *data;

		assert_int_equal(seal_chunk(&fx.at, &seg, &data, &fx.size), 0);
		if (i == idx) {
			memcpy(fx.data, data, fx.size);
			return;
		}
		pl_feed_chunk_advance(&fx.at, &seg);
	}
}

static enum pl_feed_error check(void)
{
	struct pl_feed_segment seg;

	return pl_feed_check_chunk(fx.data, fx.size, fx.pubkey, &fx.at, &seg);
}

static void test_a_chunk_is_accepted_at_its_place_only(void **state)
{
	struct pl_feed_pos tail = {.stream_id = STREAM, .sequence = 6};
	struct pl_feed_segment seg;
	struct pl_feed_chunk_pos at;

	(void)state;
	for (uint32_t idx = 0; idx < CHUNK_CNT; idx++) {
		fresh_chunk(idx);
		assert_int_equal(check(), PL_FEED_OK);
		assert_int_equal(pl_feed_check(fx.data, fx.size, fx.pubkey, NULL, &seg),
				 PL_FEED_OK);
		assert_int_equal(seg.header.kind, PL_FEED_SNAPSHOT);
		/* Not in the tail, even where its number would fit. */
		assert_int_equal(pl_feed_check(fx.data, fx.size, fx.pubkey, &tail, &seg),
				 PL_FEED_KIND);
	}
	at = fx.at;
	fx.at.chunk_cnt = 1;
	assert_int_equal(check(), PL_FEED_GAP);
	fx.at.chunk_cnt = 3;
	assert_int_equal(check(), PL_FEED_OLD);
	fx.at = at;
	fx.at.hash[0] ^= 1;
	assert_int_equal(check(), PL_FEED_FORK);
	fx.at = at;
	fx.at.snapshot.covers.hash[31] ^= 1;
	assert_int_equal(check(), PL_FEED_FORK);
	fx.at = at;
	fx.at.snapshot.record_cnt++;
	assert_int_equal(check(), PL_FEED_FORK);
	fx.at = at;
	fx.at.snapshot.covers.sequence++;
	assert_int_equal(check(), PL_FEED_FORK);
	fx.at = at;
	fx.at.snapshot.covers.stream_id++;
	assert_int_equal(check(), PL_FEED_STREAM);
}

static void test_signed_chunks_that_contradict_themselves_are_refused(void **state)
{
	(void)state;
#define REFUSED(idx, change)                               \
	do {                                               \
		fresh_chunk(idx);                          \
		change;                                    \
		sign_again();                              \
		assert_int_equal(check(), PL_FEED_HEADER); \
	} while (0)
	REFUSED(0, header()->chunk_cnt = 0);
	REFUSED(0, header()->chunk_cnt = PL_FEED_CHUNKS_MAX + 1);
	REFUSED(0, header()->chunk_idx = CHUNK_CNT);
	REFUSED(0, header()->chunk_idx = 1);                       /* and nothing before it */
	REFUSED(1, header()->chunk_idx = 0);                       /* and something before it */
	REFUSED(0, header()->snapshot_record_cnt = PER_CHUNK + 1); /* two others, one record */
	REFUSED(0, header()->snapshot_record_cnt = PER_CHUNK + 2 * PL_FEED_RECORDS_MAX + 1);
	REFUSED(0, header()->zero[7] = 1);
	REFUSED(0, header()->as_of = 0);
	REFUSED(0, header()->kind = PL_FEED_TAIL);
#undef REFUSED
	fresh_chunk(CHUNK_CNT - 1);
	fx.at.record_cnt--; /* the last one does not bring the sum */
	assert_int_equal(check(), PL_FEED_HEADER);
}

static void test_records_of_chunks_are_sorted_certificates(void **state)
{
	(void)state;
#define REFUSED(change)                                    \
	do {                                               \
		fresh_chunk(1);                            \
		change;                                    \
		sign_again();                              \
		assert_int_equal(check(), PL_FEED_RECORD); \
	} while (0)
	REFUSED(record(1)->cert_id = record(0)->cert_id);
	REFUSED(record(3)->cert_id = record(2)->cert_id - 1);
	REFUSED(record(0)->cert_id = fx.at.id_last); /* the chunk before has it */
	REFUSED((record(0)->op = PL_FEED_REMOVE, record(0)->facts = 0));
	REFUSED(record(3)->facts |= 1u << 30);
#undef REFUSED
	fresh_chunk(1);
	record(0)->cert_id = fx.at.id_last + 1;
	sign_again();
	assert_int_equal(check(), PL_FEED_OK);
}

static void test_every_flipped_bit_and_every_cut_is_refused(void **state)
{
	size_t whole;

	(void)state;
	fresh_chunk(1);
	for (size_t bit = 0; bit < fx.size * 8; bit++) {
		fx.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(check(), PL_FEED_OK);
		fx.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	whole = fx.size;
	for (fx.size = 0; fx.size < whole; fx.size++)
		assert_int_equal(check(), PL_FEED_TRUNCATED);
}

static void test_the_writer_seals_no_chunk_that_no_reader_would_take(void **state)
{
	struct pl_feed_chunk_pos pos;
	struct pl_feed_segment seg;
	const uint8_t *data;
	size_t size;

	(void)state;
	fresh_chunk(0);
	pos = fx.at;
	pos.id_last = 10;
	assert_int_equal(seal_chunk(&pos, &seg, &data, &size), -EINVAL);
	pos = fx.at;
	pos.snapshot.chunk_cnt = 1; /* of 12 records, with 4 in it */
	assert_int_equal(seal_chunk(&pos, &seg, &data, &size), -EINVAL);
	pos = fx.at;
	pos.snapshot.covers.sequence = 0;
	assert_int_equal(seal_chunk(&pos, &seg, &data, &size), -EINVAL);
	pl_feed_writer_begin(fx.writer);
	assert_int_equal(
		pl_feed_writer_seal_chunk(fx.writer, &fx.at, fx.seckey, &seg, &data, &size),
		-EINVAL); /* empty, and not the only one */
	pos = (struct pl_feed_chunk_pos){.snapshot = fx.at.snapshot};
	pos.snapshot.chunk_cnt = 1;
	pos.snapshot.record_cnt = 0;
	assert_int_equal(pl_feed_writer_seal_chunk(fx.writer, &pos, fx.seckey, &seg, &data, &size),
			 0);
	assert_int_equal(pl_feed_check_chunk(data, size, fx.pubkey, &pos, &seg), PL_FEED_OK);
}

static void test_chunk_names_have_one_form(void **state)
{
	char name[PL_FEED_CHUNK_NAME_SIZE];
	uint64_t sequence;
	uint32_t idx;

	(void)state;
	pl_feed_chunk_name(7, 12, name);
	assert_string_equal(name, "00000000000000000007.00012.plsnap");
	assert_true(pl_feed_chunk_name_parse(name, &sequence, &idx));
	assert_int_equal(sequence, 7);
	assert_int_equal(idx, 12);
	pl_feed_chunk_name(UINT64_MAX, PL_FEED_CHUNKS_MAX - 1, name);
	assert_true(pl_feed_chunk_name_parse(name, &sequence, &idx));
	assert_int_equal(sequence, UINT64_MAX);
	assert_false(
		pl_feed_chunk_name_parse("00000000000000000000.00000.plsnap", &sequence, &idx));
	assert_false(
		pl_feed_chunk_name_parse("00000000000000000007.99999.plsnap", &sequence, &idx));
	assert_false(
		pl_feed_chunk_name_parse("00000000000000000007.0001x.plsnap", &sequence, &idx));
	assert_false(
		pl_feed_chunk_name_parse("00000000000000000007.00012.plsnaq", &sequence, &idx));
	assert_false(pl_feed_chunk_name_parse("00000000000000000007.plseg", &sequence, &idx));
	assert_false(
		pl_feed_chunk_name_parse("18446744073709551616.00000.plsnap", &sequence, &idx));
	assert_int_equal(pl_feed_name_sequence("00000000000000000007.00012.plsnap"), 0);
}

/* ---- in the directory ---- */

static void test_only_a_complete_snapshot_is_found_and_the_newest(void **state)
{
	struct pl_feed_snapshot found;
	struct applied a;

	(void)state;
	assert_int_equal(newest(), 0);
	put_tail(2);
	put_chunks(CHUNK_CNT);
	assert_int_equal(newest(), 2);
	put_tail(3);
	put_chunks(CHUNK_CNT - 1); /* of 5: the last is not there */
	assert_int_equal(newest(), 2);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 2, UINT64_MAX, &found), -ENOENT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, 2, &found), -ENOENT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 1, 3, &found), 0);
	assert_int_equal(found.record_cnt, CHUNK_CNT * PER_CHUNK);
	assert_int_equal(read_it(&found, &a), PL_FEED_OK);
	assert_int_equal(a.record_cnt, found.record_cnt);
	assert_int_equal(fx.report.segment_cnt, CHUNK_CNT);
	{ /* The tail goes on from it. */
		struct pl_feed_pos pos = found.covers;

		assert_int_equal(pl_feed_store_read(fx.store, &pos, NULL, NULL, &fx.report),
				 PL_FEED_OK);
		assert_memory_equal(&pos, &fx.pos, sizeof(pos));
	}
	/* A hole in the middle, or a chunk cut short: none either. */
	assert_int_equal(unlink(chunk_path(2, 1)), 0);
	assert_int_equal(newest(), 0);
}

static void test_a_chunk_cut_short_or_of_another_making_is_no_snapshot(void **state)
{
	struct pl_feed_snapshot found;
	struct applied a;
	uint8_t byte;
	int fd;

	(void)state;
	put_tail(1);
	put_chunks(CHUNK_CNT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found), 0);
	assert_int_equal(truncate(chunk_path(1, 2), PL_FEED_SEGMENT_SIZE(PER_CHUNK) - 1), 0);
	assert_int_equal(newest(), 0);
	assert_int_equal(read_it(&found, &a), PL_FEED_TRUNCATED);
	assert_string_equal(fx.report.name, "00000000000000000001.00002.plsnap");
	/* Whole by its size, and not by its signature: that shows in reading. Its second half becomes
	 * zeros, for the last byte of one is zero in every sixteenth signature anyway. */
	assert_int_equal(
		truncate(chunk_path(1, 2), PL_FEED_SEGMENT_SIZE(PER_CHUNK) - PL_FEED_SIG_SIZE / 2),
		0);
	assert_int_equal(truncate(chunk_path(1, 2), PL_FEED_SEGMENT_SIZE(PER_CHUNK)), 0);
	assert_int_equal(newest(), 1);
	assert_int_equal(read_it(&found, &a), PL_FEED_SIGNATURE);
	fd = open(chunk_path(1, 0), O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offsetof(struct pl_feed_header, covers)), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, offsetof(struct pl_feed_header, covers)), 1);
	close(fd);
	assert_int_equal(newest(), 0); /* its chunks are of two minds */
}

static void test_pruning_deletes_what_the_snapshot_stands_for_and_no_more(void **state)
{
	struct pl_feed_snapshot found;
	struct pl_feed_pruned pruned;
	struct pl_feed_pos pos;

	(void)state;
	put_tail(2);
	put_chunks(CHUNK_CNT);
	put_tail(3);
	put_chunks(CHUNK_CNT);
	put_tail(2);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found), 0);
	assert_int_equal(found.covers.sequence, 5);
	assert_int_equal(pl_feed_store_prune(fx.store, &found, &pruned, fx.error, sizeof(fx.error)),
			 0);
	assert_int_equal(pruned.segment_cnt, 4);
	assert_int_equal(pruned.chunk_cnt, CHUNK_CNT);
	assert_int_equal(pruned.size,
			 4 * PL_FEED_SEGMENT_SIZE(1) + CHUNK_CNT * PL_FEED_SEGMENT_SIZE(PER_CHUNK));
	for (uint64_t sequence = 1; sequence <= 7; sequence++)
		assert_int_equal(tail_there(sequence), sequence >= 5);
	assert_int_equal(newest(), 5);
	pos = found.covers;
	assert_int_equal(pl_feed_store_read(fx.store, &pos, NULL, NULL, &fx.report), PL_FEED_OK);
	assert_int_equal(pos.sequence, 7);
	/* Again: nothing is left to do. */
	assert_int_equal(pl_feed_store_prune(fx.store, &found, &pruned, fx.error, sizeof(fx.error)),
			 0);
	assert_int_equal(pruned.segment_cnt + pruned.chunk_cnt + pruned.size, 0);
}

static void test_nothing_is_pruned_for_an_incomplete_snapshot(void **state)
{
	struct pl_feed_snapshot found;
	struct pl_feed_pruned pruned;

	(void)state;
	put_tail(3);
	put_chunks(CHUNK_CNT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found), 0);
	assert_int_equal(unlink(chunk_path(3, 1)), 0);
	assert_int_equal(pl_feed_store_prune(fx.store, &found, &pruned, fx.error, sizeof(fx.error)),
			 -ENOENT);
	assert_non_null(strstr(fx.error, "nothing was deleted"));
	for (uint64_t sequence = 1; sequence <= 3; sequence++)
		assert_true(tail_there(sequence));
}

/* Whoever dies while pruning leaves a tail that has lost its beginning only. */
static void test_death_while_pruning_leaves_no_hole(void **state)
{
	struct pl_feed_snapshot found;

	(void)state;
	put_tail(6);
	put_chunks(CHUNK_CNT);
	assert_int_equal(pl_feed_store_snapshot_find(fx.store, 0, UINT64_MAX, &found), 0);
	for (uint32_t die_at = 1; die_at <= 3; die_at++) {
		struct pl_feed_pruned pruned;
		bool seen = false;
		pid_t pid = fork();

		if (pid == 0) {
			hook.point = 0;
			hook.die_at = 2; /* one is deleted, then death */
			_exit(pl_feed_store_prune(fx.store, &found, &pruned, fx.error,
						  sizeof(fx.error)) == 0);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		for (uint64_t sequence = 1; sequence <= 6; sequence++) {
			assert_true(tail_there(sequence) || !seen);
			seen |= tail_there(sequence);
		}
		assert_false(tail_there(die_at));
		assert_true(tail_there(die_at + 1));
	}
}

static void test_settling_drops_a_chunk_that_was_cut_off(void **state)
{
	struct pl_feed_chunk_pos pos;
	struct pl_feed_segment seg;
	const uint8_t *data;
	bool adopted;
	size_t size;
	pid_t pid;

	(void)state;
	put_tail(1);
	pos = (struct pl_feed_chunk_pos){.snapshot = snapshot_here()};
	assert_int_equal(seal_chunk(&pos, &seg, &data, &size), 0);
	pid = fork();
	if (pid == 0) {
		hook.point = 0;
		hook.die_at = 4; /* before its rename */
		_exit(pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)) == 0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(there(".00000000000000000001.00000.plsnap.tmp"));
	assert_int_equal(
		pl_feed_store_settle(fx.store, &fx.pos, &adopted, fx.error, sizeof(fx.error)), 0);
	assert_false(adopted);
	assert_false(there(".00000000000000000001.00000.plsnap.tmp"));
	assert_int_equal(pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)), 0);
	assert_int_equal(pl_feed_store_put(fx.store, data, size, fx.error, sizeof(fx.error)),
			 -EEXIST);
}

/* ---- where it ends ---- */

static enum pl_feed_error end(struct pl_feed_pos *pos)
{
	*pos = (struct pl_feed_pos){.stream_id = STREAM};
	return pl_feed_store_end(fx.store, pos, &fx.report);
}

static void test_the_end_is_found_from_names_and_the_last_segment(void **state)
{
	struct pl_feed_pos pos, covers;

	(void)state;
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_int_equal(pos.sequence, 0);
	assert_int_equal(pos.stream_id, STREAM);
	put_tail(4);
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_memory_equal(&pos, &fx.pos, sizeof(pos));
	covers = fx.pos;
	put_chunks(CHUNK_CNT);
	put_tail(2);
	for (uint64_t sequence = 1; sequence <= 4; sequence++)
		assert_int_equal(unlink(tail_path(sequence)), 0);
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_memory_equal(&pos, &fx.pos, sizeof(pos));
	/* A hole: what is beyond it is not to be had. */
	assert_int_equal(unlink(tail_path(5)), 0);
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_memory_equal(&pos, &covers, sizeof(pos));
}

static void test_a_torn_end_is_told_and_can_be_set_aside(void **state)
{
	struct pl_feed_pos pos, third;

	(void)state;
	put_tail(3);
	third = fx.pos;
	put_tail(1);
	assert_int_equal(truncate(tail_path(4), 100), 0);
	assert_int_equal(end(&pos), PL_FEED_TRUNCATED);
	assert_memory_equal(&pos, &third, sizeof(pos));
	assert_string_equal(fx.report.name, "00000000000000000004.plseg");
	assert_int_equal(
		pl_feed_store_set_aside(fx.store, fx.report.name, fx.error, sizeof(fx.error)), 0);
	assert_false(tail_there(4));
	assert_true(there("00000000000000000004.plseg.bad"));
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_memory_equal(&pos, &third, sizeof(pos));
	fx.pos = third;
	put_tail(1); /* its place can be filled again */
	assert_int_equal(end(&pos), PL_FEED_OK);
	assert_int_equal(pos.sequence, 4);
	assert_int_equal(pl_feed_store_set_aside(fx.store, "../passwd", fx.error, sizeof(fx.error)),
			 -EINVAL);
	hook.fsyncs = 0;
	hook.fsync_at = 1;
	assert_int_equal(pl_feed_store_set_aside(fx.store, "00000000000000000004.plseg", fx.error,
						 sizeof(fx.error)),
			 -EIO);
	assert_int_equal(pl_feed_store_set_aside(fx.store, "00000000000000000003.plseg", fx.error,
						 sizeof(fx.error)),
			 -EIO); /* nothing more is written */
	assert_true(tail_there(3));
}

static void test_bytes_are_handed_out_as_they_are(void **state)
{
	const uint8_t *data;
	struct pl_feed_segment seg;
	size_t size;

	(void)state;
	put_tail(2);
	put_chunks(CHUNK_CNT);
	assert_int_equal(pl_feed_store_get(fx.store, 2, PL_FEED_TAIL_IDX, &data, &size), 0);
	assert_int_equal(pl_feed_check(data, size, fx.pubkey, NULL, &seg), PL_FEED_OK);
	assert_int_equal(seg.header.sequence, 2);
	assert_int_equal(pl_feed_store_get(fx.store, 2, 1, &data, &size), 0);
	assert_int_equal(pl_feed_check(data, size, fx.pubkey, NULL, &seg), PL_FEED_OK);
	assert_int_equal(seg.header.chunk_idx, 1);
	assert_int_equal(pl_feed_store_get(fx.store, 3, PL_FEED_TAIL_IDX, &data, &size), -ENOENT);
	assert_int_equal(pl_feed_store_get(fx.store, 2, CHUNK_CNT, &data, &size), -ENOENT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_a_chunk_is_accepted_at_its_place_only),
		T(test_signed_chunks_that_contradict_themselves_are_refused),
		T(test_records_of_chunks_are_sorted_certificates),
		T(test_every_flipped_bit_and_every_cut_is_refused),
		T(test_the_writer_seals_no_chunk_that_no_reader_would_take),
		T(test_chunk_names_have_one_form),
		T(test_only_a_complete_snapshot_is_found_and_the_newest),
		T(test_a_chunk_cut_short_or_of_another_making_is_no_snapshot),
		T(test_pruning_deletes_what_the_snapshot_stands_for_and_no_more),
		T(test_nothing_is_pruned_for_an_incomplete_snapshot),
		T(test_death_while_pruning_leaves_no_hole),
		T(test_settling_drops_a_chunk_that_was_cut_off),
		T(test_the_end_is_found_from_names_and_the_last_segment),
		T(test_a_torn_end_is_told_and_can_be_set_aside),
		T(test_bytes_are_handed_out_as_they_are),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
