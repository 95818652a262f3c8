/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A writer in another process, stopped after each of its instructions: a reader here looks up
 * every certificate there is. Whenever the table has changed, its bytes are what a writer killed
 * there would leave: a copy is attached to by a new writer, which repairs it, does the same operation
 * and others, and all is checked. At some such places the writer is then also really killed.
 */
#include <errno.h>
#include <fcntl.h>

#include "single_step.h"
#include "table/pl_table_pvt.h"

#define KEYS        150u
#define STEPS_MAX   2000000u
#define CHANGES_MAX 400u
#define SHOWN_AT    2000000000u

static char error[256], path[96], copy_path[104];

enum op {
	OP_PUT,
	OP_REMOVE,
	OP_POSITION,
};

struct scene {
	const char *name;
	uint64_t bucket_cnt;
	uint32_t filled;     /* keys 0 .. filled - 1 are put first */
	uint32_t removed[4]; /* of these, removed again; 0 ends */
	enum op op;
	uint32_t key; /* what the writer does it to */
	uint32_t version;
	bool reuses; /* a removed slot: another's, or its own */
};

static uint64_t id_of(uint32_t key)
{
	return key == 0 ? 0 : key == 1 ? UINT64_MAX : pl_mix64(key);
}

static uint32_t facts_of(uint32_t key, uint32_t version)
{
	return (key % 6 + 1) | (key & 0xff) << 4 | version << 12;
}

/* The feed's place: all its bytes from one set. */
static void position_set(struct pl_table *t, uint8_t byte)
{
	uint8_t position[PL_TABLE_POSITION_SIZE];

	memset(position, byte, sizeof(position));
	pl_table_position_set(t, position);
}

static void position_look(const struct scene *s, const struct pl_table *t)
{
	uint8_t position[PL_TABLE_POSITION_SIZE];

	pl_table_position_get(t, position);
	for (uint32_t i = 0; i < sizeof(position); i++)
		if (position[i] != position[0] || position[i] < 1 || position[i] > 2)
			fail_msg("%s: byte %u of the position is %u", s->name, i, position[i]);
}

/* Of a scan: the certificate's own, so that one in another's slot is seen. */
static uint32_t hash_of(uint64_t id)
{
	return (uint32_t)pl_mix64(id ^ 0x5555) & 0x7fffffff;
}

/* Every certificate has its own newest scan, and one that was never scanned none. */
static void seen_look(const struct scene *s, const struct pl_table *t)
{
	const struct pl_map *m = atomic_load_explicit(&t->view, memory_order_acquire)->cur;

	for (uint64_t i = 0; i < (m->bucket_cnt + PL_TABLE_STASH_CNT) * PL_TABLE_SLOTS; i++) {
		struct pl_bucket *b = &m->buckets[i / PL_TABLE_SLOTS];
		uint64_t seen = b->seen[i % PL_TABLE_SLOTS], id = b->id[i % PL_TABLE_SLOTS];
		uint64_t want = 0;

		for (uint32_t key = 0; key < s->filled; key++)
			if (id_of(key) == id)
				want = pl_seen_word(SHOWN_AT, hash_of(id));
		if (pl_facts_live(b->facts[i % PL_TABLE_SLOTS]) && seen != want)
			fail_msg("%s: id %llx has the scan %llx", s->name, (unsigned long long)id,
				 (unsigned long long)seen);
	}
}

static void scan_all(struct pl_table *t, uint32_t filled)
{
	struct pl_table_reader *r;

	assert_int_equal(pl_table_reader_create(t, &r), 0);
	for (uint32_t key = 0; key < filled; key++) {
		uint64_t id = id_of(key);
		struct pl_table_hit hit;

		pl_table_find(r, &id, 1, &hit);
		assert_int_equal(pl_table_seen(r, &hit, SHOWN_AT, hash_of(id)), PL_SEEN_NEW);
	}
	pl_table_reader_destroy(r);
}

static int do_op(struct pl_table *t, const struct scene *s)
{
	if (s->op == OP_POSITION) {
		position_set(t, 2);
		return 0;
	}

	int rc = s->op == OP_PUT ? pl_table_put(t, id_of(s->key), facts_of(s->key, s->version))
				 : pl_table_remove(t, id_of(s->key));

	return rc < 0 ? rc : 0;
}

static struct pl_table *open_as(const char *file, bool writer)
{
	struct pl_table_conf conf = {.path = file, .numa_node = -1};
	struct pl_table *t = NULL;

	if (pl_table_attach(&conf, writer, &t, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return t;
}

static bool was_removed(const struct scene *s, uint32_t key)
{
	for (uint32_t i = 0; i < PL_ARRAY_CNT(s->removed); i++)
		if (s->removed[i] == key && key != 0)
			return true;
	return false;
}

/* Every key is as it was before the operation, or as it is after it, where that may be. */
static void look(const struct scene *s, struct pl_table_reader *r, bool may_old, bool may_new)
{
	uint64_t ids[PL_TABLE_BURST_MAX];
	struct pl_table_hit hits[PL_TABLE_BURST_MAX];

	position_look(s, r->t);
	seen_look(s, r->t);
	for (uint32_t first = 0; first < KEYS; first += PL_TABLE_BURST_MAX) {
		uint32_t cnt =
			KEYS - first < PL_TABLE_BURST_MAX ? KEYS - first : PL_TABLE_BURST_MAX;

		for (uint32_t i = 0; i < cnt; i++)
			ids[i] = id_of(first + i);
		pl_table_find(r, ids, cnt, hits);
		for (uint32_t i = 0; i < cnt; i++) {
			uint32_t key = first + i;
			bool before = key < s->filled && !was_removed(s, key);
			uint32_t old_facts = before ? facts_of(key, 0) : 0, new_facts = old_facts;

			if (key == s->key && s->op != OP_POSITION)
				new_facts = s->op == OP_PUT ? facts_of(key, s->version) : 0;
			if (hits[i].found == (hits[i].facts != 0) &&
			    ((may_old && hits[i].facts == old_facts) ||
			     (may_new && hits[i].facts == new_facts)))
				continue;
			fail_msg("%s: key %u: found %u, facts %x", s->name, key, hits[i].found,
				 hits[i].facts);
		}
	}
}

static struct pl_table *scene_make(const struct scene *s)
{
	struct pl_table_conf conf = {
		.path = path, .capacity = 400, .hash_seed = 2, .numa_node = -1};
	struct pl_table_tuning tuning = {.bucket_cnt = s->bucket_cnt};
	struct pl_table *t;

	unlink(path);
	if (pl_table_create_tuned(&conf, &tuning, &t, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	position_set(t, 2);
	position_set(t, 1);
	for (uint32_t key = 0; key < s->filled; key++)
		assert_int_equal(pl_table_put(t, id_of(key), facts_of(key, 0)), 0);
	scan_all(t, s->filled);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(s->removed) && s->removed[i] != 0; i++)
		assert_int_equal(pl_table_remove(t, id_of(s->removed[i])), 0);
	/* Readers from here on have passed the removals. */
	(void)pl_map_epoch_bump(atomic_load_explicit(&t->view, memory_order_acquire)->cur);
	pl_table_close(t);
	return open_as(path, false);
}

/* The new writer: repairs, finds everything, goes on. */
static void recover(const struct scene *s, const char *file)
{
	struct pl_table *t = open_as(file, true);
	struct pl_table_reader *r;

	if (pl_table_check(t, error, sizeof(error)) != 0)
		fail_msg("%s: %s", s->name, error);
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	look(s, r, true, true);
	pl_table_reader_destroy(r);
	/* The operation again; of a removal nothing may be left. */
	int rc = do_op(t, s);

	assert_true(rc == 0 || (s->op == OP_REMOVE && rc == -ENOENT));
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	look(s, r, false, true);
	/* And everything else that can be done, on the same places. */
	for (uint32_t key = 0; key < KEYS; key++)
		assert_true(pl_table_put(t, id_of(key), facts_of(key, 9)) >= 0);
	pl_table_quiesce(r);
	for (uint32_t key = 0; key < KEYS; key += 2)
		assert_int_equal(pl_table_remove(t, id_of(key)), 0);
	pl_table_quiesce(r);
	for (uint32_t key = 0; key < KEYS; key += 2) {
		rc = pl_table_put(t, id_of(KEYS + key), facts_of(key, 8));
		pl_table_quiesce(r);
		assert_true(rc == 0 || rc == -EAGAIN);
	}
	if (pl_table_check(t, error, sizeof(error)) != 0)
		fail_msg("%s: %s", s->name, error);
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

static void file_write(const char *file, const void *bytes, size_t size)
{
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	close(fd);
}

static void act(struct pl_table *t, const void *scene)
{
	(void)do_op(t, scene);
}

/* Put a table file back as it was, under its mappings. */
static void restore(struct pl_map *m, const void *bytes)
{
	memcpy((void *)m->h, bytes, m->size);
}

/*
 * How often the table changed. A lookup depends on nothing but the table's bytes, so looking after
 * each step that changed one is looking after each step.
 */
static uint32_t step_through(const struct scene *s, struct pl_table_reader *r, struct pl_map *m,
			     uint8_t *last)
{
	pid_t child = step_start(path, act, s);
	uint32_t changes = 0, steps = 0;
	bool running = true;

	/* What attaching wrote is not the operation's. */
	memcpy(last, (void *)m->h, m->size);
	while (running) {
		running = step_one(child);
		assert_true(++steps < STEPS_MAX);
		if (memcmp(last, (void *)m->h, m->size) == 0)
			continue;
		look(s, r, true, true);
		memcpy(last, (void *)m->h, m->size);
		file_write(copy_path, last, m->size);
		recover(s, copy_path);
		assert_true(++changes < CHANGES_MAX);
	}
	look(s, r, false, true);
	step_kill(child);
	assert_true(steps > 100); /* it really was stepped through */
	return changes;
}

static uint64_t removed_count(const struct pl_table *t)
{
	struct pl_table_stats stats;

	pl_table_stats_get(t, &stats);
	return stats.removed_cnt;
}

static void run_scene(const struct scene *s)
{
	struct pl_table *t = scene_make(s);
	struct pl_map *m = atomic_load_explicit(&t->view, memory_order_acquire)->cur;
	uint8_t *begin = malloc(m->size), *last = malloc(m->size);
	struct pl_table_reader *r;
	uint64_t removed_cnt;
	uint32_t changes;

	assert_non_null(begin);
	assert_non_null(last);
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	memcpy(begin, (void *)m->h, m->size);
	look(s, r, true, false);
	removed_cnt = removed_count(t);
	changes = step_through(s, r, m, last);
	assert_true(changes >= 1);
	assert_int_equal(removed_count(t), removed_cnt + (s->op == OP_REMOVE) - s->reuses);
	/* Now by really killing, at the first change, in the middle and at the last or the one before. */
	for (uint32_t at = 1; at <= changes; at += changes > 2 ? (changes - 1) / 2 : 1) {
		restore(m, begin);
		pid_t child = step_start(path, act, s);
		uint32_t seen = 0;

		memcpy(last, (void *)m->h, m->size);
		while (seen < at && step_one(child))
			if (memcmp(last, (void *)m->h, m->size) != 0) {
				memcpy(last, (void *)m->h, m->size);
				seen++;
			}
		step_kill(child);
		look(s, r, true, true);
		pl_table_quiesce(r);
		pl_table_reader_destroy(r);
		recover(s, path);
		assert_int_equal(pl_table_reader_create(t, &r), 0);
	}
	pl_table_reader_destroy(r);
	pl_table_close(t);
	free(begin);
	free(last);
	unlink(path);
	unlink(copy_path);
}

static void run_scenes(const struct scene *scenes, size_t cnt)
{
	snprintf(path, sizeof(path), "/dev/shm/pl-table-ptrace-%d", (int)getpid());
	snprintf(copy_path, sizeof(copy_path), "%s.copy", path);
	for (size_t i = 0; i < cnt; i++)
		run_scene(&scenes[i]);
}

static void test_put(void **state)
{
	static const struct scene scenes[] = {
		{"at home", 4096, 10, {0}, OP_PUT, 20, 1},
		{"beyond home", 16, 40, {0}, OP_PUT, 60, 1},
		{"beyond home, more", 16, 42, {0}, OP_PUT, 61, 1},
		{"in the stash", 4, 30, {0}, OP_PUT, 60, 1},
		{"in the stash, more", 2, 100, {0}, OP_PUT, 120, 1},
		{"the last key of a small table", 64, 149, {0}, OP_PUT, 149, 1},
	};

	(void)state;
	run_scenes(scenes, PL_ARRAY_CNT(scenes));
}

static void test_put_in_a_removed_slot(void **state)
{
	static const struct scene scenes[] = {
		{"used again, at home or near", 2, 6, {1, 2, 3, 4}, OP_PUT, 60, 1, true},
		{"used again, crowded", 16, 48, {3, 9, 17, 40}, OP_PUT, 100, 1, true},
		{"used again, more crowded", 16, 60, {31, 41, 45, 47}, OP_PUT, 101, 1, true},
		{"comes back", 16, 48, {3, 9, 17, 40}, OP_PUT, 17, 1, true},
		{"comes back from the stash", 2, 100, {70, 80}, OP_PUT, 80, 1, true},
	};

	(void)state;
	run_scenes(scenes, PL_ARRAY_CNT(scenes));
}

static void test_replace_and_remove(void **state)
{
	static const struct scene scenes[] = {
		{"replace at home", 4096, 10, {0}, OP_PUT, 5, 1},
		{"replace beyond home", 16, 48, {0}, OP_PUT, 47, 1},
		{"remove at home", 4096, 10, {0}, OP_REMOVE, 5, 0},
		{"remove beyond home", 16, 48, {0}, OP_REMOVE, 47, 0},
		{"remove from the stash", 2, 100, {0}, OP_REMOVE, 90, 0},
	};

	(void)state;
	run_scenes(scenes, PL_ARRAY_CNT(scenes));
}

static void test_position(void **state)
{
	static const struct scene scenes[] = {
		{"the feed's position", 64, 10, {0}, OP_POSITION, 0, 0},
	};

	(void)state;
	run_scenes(scenes, PL_ARRAY_CNT(scenes));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_put),
	cmocka_unit_test(test_put_in_a_removed_slot),
	cmocka_unit_test(test_replace_and_remove),
	cmocka_unit_test(test_position),
};

int main(void)
{
	return cmocka_run_group_tests_name("table_ptrace", tests, NULL, NULL);
}
