/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the loader does to the table: the net effect of a segment, a snapshot put over what is there, a
 * table that was found damaged, and what is deleted from the store. Its thread and its words to humans
 * are not here; the end-to-end tests have those.
 */
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

#define STREAM    9u
#define CAPACITY  2000u
#define CHUNK     100u
#define FACTS(n)  (1u | (uint32_t)(n) << 4)
#define NOT_THERE 0u

/* ---- what the loader's other file and the intake would do ---- */

static struct {
	uint32_t removed_cnt; /* calls */
	uint64_t removed[8];
	uint32_t put_cnt; /* entries */
	struct pl_table_entry put[64];
	uint32_t published_cnt;
	bool behind_published;
	bool loading_published;
	uint32_t prune_cnt;
	uint64_t pruned; /* the snapshot's sequence */
} log_of;

static uint64_t clock_s;

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
	for (size_t i = 0; i < cnt; i++, log_of.put_cnt++)
		if (log_of.put_cnt < PL_ARRAY_CNT(log_of.put))
			log_of.put[log_of.put_cnt] = entries[i];
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
	log_of.loading_published |= l->loading;
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
	struct pl_feed_chunk_pos pos = {
		.snapshot = {.covers = {.stream_id = STREAM,
					.sequence = sequence,
					.as_of = 1000 + sequence},
			     .record_cnt = cnt,
			     .chunk_cnt = (cnt + CHUNK - 1) / CHUNK}
        };

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

/* ---- the net effect of a segment ---- */

static const struct pl_feed_record back_and_forth[] = {
	{.cert_id = 1,        .op = PL_FEED_REMOVE},
	{.cert_id = 2,        .op = PL_FEED_PUT,    .facts = FACTS(2) | PL_FACTS_REVOKED},
	{.cert_id = 1,                   .op = PL_FEED_PUT,                            .facts = FACTS(11)},
	{.cert_id = 3, .op = PL_FEED_PUT,.facts = FACTS(3)},
	{.cert_id = 2,  .op = PL_FEED_PUT,            .facts = FACTS(22)},
	{.cert_id = 3,        .op = PL_FEED_REMOVE         },
};

/* What comes and goes within one segment is never seen: no one is absent who is to stay, no one
 * revoked who is not. */
static void test_only_the_net_effect_of_a_segment_is_applied(void **state)
{
	struct pl_feed_segment seg = segment(1, back_and_forth, PL_ARRAY_CNT(back_and_forth));

	(void)state;
	fill(1, 3);
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_int_equal(log_of.removed_cnt, 1);
	assert_int_equal(log_of.removed[0], 3);
	assert_int_equal(log_of.put_cnt, 2);
	for (uint32_t i = 0; i < log_of.put_cnt; i++)
		assert_int_equal(log_of.put[i].facts & PL_FACTS_REVOKED, 0);
	assert_int_equal(facts_of(1), FACTS(11));
	assert_int_equal(facts_of(2), FACTS(22));
	assert_int_equal(facts_of(3), NOT_THERE);
	assert_int_equal(atomic_load(&fx.live.as_of), 1001);
}

/* While nothing is told of anyone it comes to the same by the shorter way. */
static void test_while_loading_it_comes_to_the_same(void **state)
{
	struct pl_feed_segment seg = segment(1, back_and_forth, PL_ARRAY_CNT(back_and_forth));

	(void)state;
	fill(1, 3);
	fx.l.loading = true;
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_int_equal(facts_of(1), FACTS(11));
	assert_int_equal(facts_of(2), FACTS(22));
	assert_int_equal(facts_of(3), NOT_THERE);
	/* And again, as after a death in the midst of it. */
	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	assert_int_equal(entry_cnt(), 2);
}

/* ---- snapshots ---- */

static void test_a_snapshot_into_an_empty_table(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_content(500, 350, 7, 0);
	assert_int_equal(fx.l.pos.sequence, 7);
	assert_memory_equal(&fx.l.pos, &s.covers, sizeof(s.covers));
	assert_int_equal(atomic_load(&fx.live.as_of), 1007);
	assert_int_equal(log_of.removed_cnt, 0);
}

static void test_a_snapshot_replaces_what_a_running_table_has(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);
	struct pl_table_reader *r;
	struct pl_table_hit hit;
	uint64_t id = 600;
	uint32_t shown;

	(void)state;
	fill(400, 300); /* 400 .. 699: a hundred go, 150 come */
	fx.l.pos.sequence = 3;
	assert_int_equal(pl_table_reader_create(fx.l.table, &r), 0);
	pl_table_find(r, &id, 1, &hit);
	assert_int_equal(pl_table_seen(r, &hit, 77, 1), PL_SEEN_NEW);
	pl_table_quiesce(r);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_content(500, 350, 7, 0);
	assert_true(log_of.behind_published); /* meanwhile no one absent was called unknown */
	assert_int_equal(pl_table_get(fx.l.table, 600, NULL, &shown), 0);
	assert_int_equal(shown, 77);
	pl_table_reader_destroy(r);
}

/* Looked at from end to end before a table that is in use is touched. */
static void test_a_damaged_snapshot_changes_nothing_of_a_running_table(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	fill(400, 300);
	fx.l.pos.sequence = 3;
	pl_loader_position_set(&fx.l, &fx.l.pos);
	chunk_damage(7, 3);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_SIGNATURE);
	assert_string_equal(fx.report.name, "00000000000000000007.00003.plsnap");
	assert_content(400, 300, 3, 0);
	assert_int_equal(fx.l.pos.sequence, 3);
	/* But it shows that segments are lacking: nobody is called unknown, now or later. */
	assert_true(log_of.behind_published);
	assert_int_equal(pl_loader_end_check(&fx.l, &fx.report), PL_FEED_GAP);
	assert_non_null(strstr(fx.report.text, "up to 7 are missing"));
	fx.l.pos.sequence = 7;
	assert_int_equal(pl_loader_end_check(&fx.l, &fx.report), PL_FEED_OK);
	fx.l.pos = (struct pl_feed_pos){.stream_id = STREAM + 1, .sequence = 3};
	assert_int_equal(pl_loader_end_check(&fx.l, &fx.report), PL_FEED_OK);
}

/* A running appliance whose feed has had no certificate so far: absent is not yet unknown. */
static void test_a_snapshot_into_an_empty_table_that_serves_says_so(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	fx.l.pos.sequence = 3;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_true(log_of.behind_published);
	assert_content(500, 350, 7, 0);
}

/* A start begins to put a snapshot whose last chunk is damaged: the table says that it is of no one
 * position, and an older snapshot leaves nothing of it. */
static void test_a_snapshot_that_fails_half_way_gives_way_to_an_older_one(void **state)
{
	struct pl_feed_snapshot old = snapshot_put(5, 100, 50), s = snapshot_put(7, 500, 350);
	union pl_table_position at;

	(void)state;
	fx.l.loading = true;
	chunk_damage(7, 3);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_SIGNATURE);
	assert_int_equal(entry_cnt(), 300);
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.pos.sequence, 0);
	assert_int_equal(at.snapshot, 7);
	assert_int_equal(pl_loader_snapshot(&fx.l, &old, &fx.report), PL_FEED_OK);
	assert_content(100, 50, 5, 0);
}

/* While a snapshot is going in, and after one that did not come to its end, the table says so; until
 * the tail has come that far, too. */
static void test_the_mark_goes_when_the_tail_has_come_as_far(void **state)
{
	struct pl_feed_segment seg;
	union pl_table_position at;

	(void)state;
	fx.l.snapshot_to = 5;
	for (uint64_t sequence = 4; sequence <= 6; sequence++) {
		seg = segment(sequence, NULL, 0);
		assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
		pl_table_position_get(fx.l.table, &at);
		assert_int_equal(at.pos.sequence, sequence);
		assert_int_equal(at.snapshot, sequence < 5 ? 5 : 0);
	}
}

/* New ones come before old ones go: what does not fit in between fits after. */
static void test_a_snapshot_as_large_as_the_table_takes_the_place_of_another(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 10000, CAPACITY);

	(void)state;
	fill(1, CAPACITY);
	fx.l.pos.sequence = 3;
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_false(fx.l.table_full);
	assert_content(10000, CAPACITY, 7, 0);
}

static void test_a_snapshot_larger_than_the_table_says_so_and_takes_what_fits(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 10000, CAPACITY + 5);
	union pl_table_position at;

	(void)state;
	fill(1, 10);
	fx.l.pos.sequence = 3;
	pl_loader_position_set(&fx.l, &fx.l.pos);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_OK);
	assert_true(fx.l.table_full);
	assert_int_equal(entry_cnt(), CAPACITY);
	assert_int_equal(facts_of(1), NOT_THERE);
	/* The next start, with more room, puts it in again. */
	pl_table_position_get(fx.l.table, &at);
	assert_int_equal(at.snapshot, 7);
}

static void test_stopping_ends_a_snapshot(void **state)
{
	struct pl_feed_snapshot s = snapshot_put(7, 500, 350);

	(void)state;
	atomic_store(&fx.l.stop, true);
	assert_int_equal(pl_loader_snapshot(&fx.l, &s, &fx.report), PL_FEED_APPLY);
	assert_int_equal(fx.l.pos.sequence, 0);
}

/* ---- a table that was found ---- */

static void test_a_whole_table_is_believed_once_it_was_looked_over(void **state)
{
	(void)state;
	fill(1, 100);
	fx.l.pos.sequence = 3;
	fx.l.audited = false;
	assert_true(pl_loader_audit(&fx.l));
	assert_true(fx.l.audited);
	assert_int_equal(log_of.published_cnt, 1);
	assert_false(log_of.loading_published);
	assert_int_equal(entry_cnt(), 100);
}

static void test_a_damaged_table_is_emptied_and_nothing_is_told_meanwhile(void **state)
{
	struct pl_map *m = fx.l.table->views[0].cur;
	bool done = false;

	(void)state;
	fill(1, 100);
	fx.l.pos.sequence = 3;
	fx.l.audited = false;
	for (uint64_t b = 0; b < m->bucket_cnt && !done; b++)
		if (m->buckets[b].facts[0] != 0) {
			m->buckets[b].id[0] ^= UINT64_C(1) << 40;
			done = true;
		}
	assert_true(done);
	assert_false(pl_loader_audit(&fx.l));
	assert_true(log_of.loading_published);
	assert_true(fx.l.loading);
	assert_true(fx.l.audited); /* of an empty one there is nothing to look over */
	assert_int_equal(fx.l.pos.sequence, 0);
	assert_int_equal(fx.l.pos.stream_id, STREAM);
	assert_content(0, 0, 0, 0);
}

/* ---- pruning ---- */

static void test_what_the_second_newest_snapshot_stands_for_is_deleted(void **state)
{
	(void)state;
	fx.l.pos.sequence = 10;
	pl_loader_prune(&fx.l);
	(void)snapshot_put(3, 1, 150);
	clock_s += PRUNE_EVERY_S;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 0); /* there is one only */
	(void)snapshot_put(6, 1, 150);
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 0); /* it was looked just now */
	clock_s += PRUNE_EVERY_S;
	fx.l.behind = true;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 0); /* not while anything is wrong */
	fx.l.behind = false;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 1);
	assert_int_equal(log_of.pruned, 3);
	clock_s += PRUNE_EVERY_S;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 1); /* once */
	(void)snapshot_put(12, 1, 150);        /* which is ahead of the table */
	clock_s += PRUNE_EVERY_S;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 1);
}

static void test_nothing_is_deleted_for_a_damaged_snapshot(void **state)
{
	(void)state;
	fx.l.pos.sequence = 10;
	(void)snapshot_put(3, 1, 150);
	(void)snapshot_put(6, 1, 150);
	chunk_damage(6, 1);
	pl_loader_prune(&fx.l);
	clock_s += PRUNE_EVERY_S;
	pl_loader_prune(&fx.l);
	assert_int_equal(log_of.prune_cnt, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_only_the_net_effect_of_a_segment_is_applied),
		T(test_while_loading_it_comes_to_the_same),
		T(test_a_snapshot_into_an_empty_table),
		T(test_a_snapshot_replaces_what_a_running_table_has),
		T(test_a_damaged_snapshot_changes_nothing_of_a_running_table),
		T(test_a_snapshot_into_an_empty_table_that_serves_says_so),
		T(test_a_snapshot_that_fails_half_way_gives_way_to_an_older_one),
		T(test_the_mark_goes_when_the_tail_has_come_as_far),
		T(test_a_snapshot_as_large_as_the_table_takes_the_place_of_another),
		T(test_a_snapshot_larger_than_the_table_says_so_and_takes_what_fits),
		T(test_stopping_ends_a_snapshot),
		T(test_a_whole_table_is_believed_once_it_was_looked_over),
		T(test_a_damaged_table_is_emptied_and_nothing_is_told_meanwhile),
		T(test_what_the_second_newest_snapshot_stands_for_is_deleted),
		T(test_nothing_is_deleted_for_a_damaged_snapshot),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
