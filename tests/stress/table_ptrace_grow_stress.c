/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A writer in another process replaces its table by a larger one, changing both on the way, and is
 * stopped after each of its instructions. Whenever a byte or a name of its files has changed: a reader
 * here, which knows the old table only, finds every certificate or is unsure; and of the files as they
 * are, which is what a writer killed there would leave, copies are attached to, by a reader that must
 * find every certificate and take no scan that was accepted before for a new one, and then by a writer
 * that goes on until the table is one again. At some such places the writer is also really killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "single_step.h"
#include "table/pl_table_pvt.h"

#define BUCKETS      8u
#define FILLED       20u /* keys from 0 on */
#define KEY_PUT      FILLED
#define KEY_CHANGED  3u
#define KEY_REMOVED  5u
#define KEYS         (FILLED + 1)
#define CAPACITY     40u
#define CAPACITY_NEW 60u
#define STEP_SLOTS   40u
#define STEP_COPIED  3u /* by then all buckets, and the part of the stash that is in use */
#define STEPS_MAX    2000000u
#define KILLS        12u

#define POSITION_BYTE 0x5a

static _Atomic uint32_t *changes_made; /* by the child, in memory that both have */
static char error[256], path[96], new_path[104], part_path[112];
static char copy_path[104], copy_new_path[112], copy_part_path[120];

static uint64_t id_of(uint32_t key)
{
	return key == 0 ? 0 : key == 1 ? UINT64_MAX : pl_mix64(key);
}

static uint32_t facts_of(uint32_t key, uint32_t version)
{
	return (key % 6 + 1) | (key & 0xff) << 4 | version << 12;
}

static uint32_t shown_at(uint32_t key)
{
	return 1000 + key;
}

static void names_make(void)
{
	snprintf(path, sizeof(path), "/dev/shm/pl-table-grow-%d", (int)getpid());
	snprintf(new_path, sizeof(new_path), "%s.new", path);
	snprintf(copy_path, sizeof(copy_path), "%s.copy", path);
	snprintf(part_path, sizeof(part_path), "%s.part", new_path);
	snprintf(copy_new_path, sizeof(copy_new_path), "%s.new", copy_path);
	snprintf(copy_part_path, sizeof(copy_part_path), "%s.part", copy_new_path);
}

static void files_remove(void)
{
	unlink(path);
	unlink(new_path);
	unlink(copy_path);
	unlink(copy_new_path);
	unlink(part_path);
	unlink(copy_part_path);
}

static struct pl_table *open_as(const char *file, bool writer)
{
	struct pl_table_conf conf = {.path = file, .numa_node = -1};
	struct pl_table *t = NULL;

	if (pl_table_attach(&conf, writer, &t, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return t;
}

/* ---- what must hold ------------------------------------------------------------------------ */

/* May this be what is found of a key? A change whose call has returned must be there. */
static bool facts_may_be(uint32_t key, uint32_t facts, bool done)
{
	/* relaxed: the child is stopped, or dead. */
	uint32_t made = atomic_load_explicit(changes_made, memory_order_relaxed);

	switch (key) {
	case KEY_PUT:
		return facts == facts_of(key, 1) || (!done && made < 1 && facts == 0);
	case KEY_REMOVED:
		return facts == 0 || (!done && made < 2 && facts == facts_of(key, 0));
	case KEY_CHANGED:
		return facts == facts_of(key, 1) ||
		       (!done && made < 3 && facts == facts_of(key, 0));
	default:
		return facts == facts_of(key, 0);
	}
}

static void find_all(struct pl_table_reader *r, struct pl_table_hit *hits)
{
	uint64_t ids[KEYS];

	static_assert(KEYS <= PL_TABLE_BURST_MAX, "one burst");
	for (uint32_t key = 0; key < KEYS; key++)
		ids[key] = id_of(key);
	pl_table_find(r, ids, KEYS, hits);
}

static void look(struct pl_table_reader *r, bool done)
{
	struct pl_table_hit hits[KEYS];

	find_all(r, hits);
	for (uint32_t key = 0; key < KEYS; key++)
		if (hits[key].found != (hits[key].facts != 0) ||
		    !facts_may_be(key, hits[key].facts, done))
			fail_msg("key %u: found %u, facts %x", key, hits[key].found,
				 hits[key].facts);
}

/* The reader that knows the old table only: as it was or is, or all unsure once it is superseded. */
static void look_at_old(struct pl_table_reader *r)
{
	struct pl_table_hit hits[KEYS];

	pl_table_quiesce(r);
	if (!r->stale) {
		look(r, false);
		return;
	}
	assert_int_equal(atomic_load_explicit(&r->h->superseded, memory_order_relaxed), 1);
	find_all(r, hits);
	for (uint32_t key = 0; key < KEYS; key++)
		assert_int_equal(hits[key].found, PL_TABLE_UNSURE);
}

/* Of each certificate that was there from the first: the scan of `age` is its newest. */
static void look_at_seen(struct pl_table_reader *r, uint32_t age)
{
	struct pl_table_hit hits[KEYS];

	find_all(r, hits);
	for (uint32_t key = 0; key < FILLED; key++) {
		if (hits[key].found != PL_TABLE_FOUND)
			continue;
		assert_int_equal(pl_table_seen(r, &hits[key], shown_at(key) + age, key + 1),
				 PL_SEEN_REPLAYED);
		assert_int_equal(pl_table_seen(r, &hits[key], shown_at(key) + age, key),
				 PL_SEEN_RESEND);
	}
}

static void scan_all(struct pl_table_reader *r, uint32_t age)
{
	struct pl_table_hit hits[KEYS];

	find_all(r, hits);
	for (uint32_t key = 0; key < FILLED; key++)
		if (hits[key].found == PL_TABLE_FOUND)
			assert_int_equal(pl_table_seen(r, &hits[key], shown_at(key) + age, key),
					 PL_SEEN_NEW);
}

/* The feed's place, which the new table has from the moment that it counts. */
static void look_at_position(const struct pl_table *t)
{
	uint8_t position[PL_TABLE_POSITION_SIZE];

	pl_table_position_get(t, position);
	for (uint32_t i = 0; i < sizeof(position); i++)
		assert_int_equal(position[i], POSITION_BYTE);
}

/* ---- the writer --------------------------------------------------------------------------------- */

static struct pl_table *scene_make(void)
{
	struct pl_table_conf conf = {
		.path = path, .capacity = CAPACITY, .hash_seed = 2, .numa_node = -1};
	struct pl_table_tuning tuning = {.bucket_cnt = BUCKETS};
	uint8_t position[PL_TABLE_POSITION_SIZE];
	struct pl_table_reader *r;
	struct pl_table *t;

	files_remove();
	atomic_store_explicit(changes_made, 0, memory_order_relaxed);
	memset(position, POSITION_BYTE, sizeof(position));
	if (pl_table_create_tuned(&conf, &tuning, &t, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	for (uint32_t key = 0; key < FILLED; key++)
		assert_int_equal(pl_table_put(t, id_of(key), facts_of(key, 0)), 0);
	pl_table_position_set(t, position);
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	scan_all(r, 0);
	pl_table_reader_destroy(r);
	pl_table_close(t);
	return open_as(path, false);
}

static void made(bool ok)
{
	if (!ok)
		_exit(1);
	atomic_fetch_add_explicit(changes_made, 1, memory_order_relaxed);
}

/* Grow; two changes of what has been copied already, and one when the new table has been published. */
static void grow(struct pl_table *t, const void *none)
{
	bool changed = false;

	(void)none;
	if (pl_table_grow_begin(t, CAPACITY_NEW, error, sizeof(error)) != 0)
		_exit(1);
	for (uint32_t step = 1; pl_table_grow_step(t, STEP_SLOTS) == 1; step++) {
		if (step == STEP_COPIED) {
			made(t->grow == PL_GROW_FILL &&
			     pl_table_put(t, id_of(KEY_PUT), facts_of(KEY_PUT, 1)) == 0);
			made(pl_table_remove(t, id_of(KEY_REMOVED)) == 0);
		}
		if (t->grow > PL_GROW_FILL && !changed) {
			made(pl_table_put(t, id_of(KEY_CHANGED), facts_of(KEY_CHANGED, 1)) == 1);
			changed = true;
		}
	}
}

/* ---- its files ------------------------------------------------------------------------------------ */

/* A file as it was when last looked at. */
struct file {
	void *base; /* NULL: not there yet */
	uint8_t *last;
	size_t size;
};

static void file_map(struct file *f, const char *name)
{
	int fd = open(name, O_RDWR);
	struct stat st;

	if (fd == -1)
		return;
	assert_int_equal(fstat(fd, &st), 0);
	f->size = (size_t)st.st_size;
	f->base = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	assert_ptr_not_equal(f->base, MAP_FAILED);
	f->last = malloc(f->size);
	assert_non_null(f->last);
	memset(f->last, 0xee, f->size); /* changed, when first asked */
}

static void file_unmap(struct file *f)
{
	if (f->base != NULL)
		munmap(f->base, f->size);
	free(f->last);
	*f = (struct file){0};
}

static bool file_changed(struct file *f)
{
	if (f->base == NULL || memcmp(f->last, f->base, f->size) == 0)
		return false;
	memcpy(f->last, f->base, f->size);
	return true;
}

/* Both, and which of the names there are. */
struct files {
	struct file old, new;
	bool part; /* the new file is being made */
	bool renamed;
};

static bool files_changed(struct files *f)
{
	bool part = f->new.base == NULL &&access(part_path, F_OK) == 0, changed = part != f->part;

	f->part = part;
	if (f->new.base == NULL)
		file_map(&f->new, new_path);
	changed |= file_changed(&f->old);
	changed |= file_changed(&f->new);
	if (f->new.base != NULL && !f->renamed && access(new_path, F_OK) != 0)
		changed = f->renamed = true;
	return changed;
}

static void file_write(const char *name, const struct file *f)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, f->last, f->size), (ssize_t)f->size);
	close(fd);
}

static void files_copy(const struct files *f)
{
	unlink(copy_new_path);
	/* What is in it is for nobody. */
	if (f->part)
		file_write(copy_part_path, &f->old);
	file_write(copy_path, f->renamed ? &f->new : &f->old);
	if (f->new.base != NULL && !f->renamed)
		file_write(copy_new_path, &f->new);
}

/* ---- the test -------------------------------------------------------------------------------------- */

/* Attach, as a restarted appliance does, and go on. */
static void recover(const char *file, const char *file_new, const char *file_part)
{
	struct pl_table *t = open_as(file, false);
	struct pl_table_reader *r;
	struct pl_table_stats stats;

	assert_int_equal(pl_table_reader_create(t, &r), 0);
	look(r, false);
	look_at_position(t);
	look_at_seen(r, 0);
	scan_all(r, 100);
	pl_table_reader_destroy(r);
	pl_table_close(t);

	t = open_as(file, true);
	assert_int_equal(pl_table_reader_create(t, &r), 0);
	look(r, false);
	while (pl_table_grow_step(t, STEP_SLOTS) == 1)
		pl_table_quiesce(r);
	pl_table_quiesce(r);
	if (pl_table_check(t, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	look(r, false);
	look_at_position(t);
	look_at_seen(r, 100);
	/* What the dead one was at, and the place of the new file, are free for the next. */
	assert_int_not_equal(access(file_new, F_OK), 0);
	assert_int_not_equal(access(file_part, F_OK), 0);
	assert_in_range(pl_table_put(t, id_of(KEY_PUT), facts_of(KEY_PUT, 1)), 0, 1);
	assert_int_equal(pl_table_put(t, id_of(KEY_CHANGED), facts_of(KEY_CHANGED, 1)), 1);
	assert_true(pl_table_remove(t, id_of(KEY_REMOVED)) <= 0);
	look(r, true);
	pl_table_stats_get(t, &stats);
	assert_int_equal(stats.entry_cnt, KEYS - 1);
	assert_true(stats.capacity == CAPACITY || stats.capacity == CAPACITY_NEW);
	if (stats.capacity == CAPACITY) {
		assert_int_equal(pl_table_grow_begin(t, CAPACITY_NEW, error, sizeof(error)), 0);
		while (pl_table_grow_step(t, STEP_SLOTS) == 1)
			pl_table_quiesce(r);
		look(r, true);
		look_at_seen(r, 100);
	}
	pl_table_reader_destroy(r);
	pl_table_close(t);
}

/* A lookup depends on nothing but the files' bytes and names, so looking after each step that changed
 * one is looking after each step. @return how many did. */
static uint32_t step_through(void)
{
	struct pl_table *t = scene_make();
	struct files files = {0};
	struct pl_table_reader *r;
	uint32_t changes = 0, steps = 0;
	bool running = true;
	pid_t child;

	assert_int_equal(pl_table_reader_create(t, &r), 0);
	child = step_start(path, grow, NULL);
	file_map(&files.old, path);
	(void)files_changed(&files); /* what attaching wrote */
	while (running) {
		running = step_one(child);
		assert_true(++steps < STEPS_MAX);
		if (!files_changed(&files))
			continue;
		changes++;
		look_at_old(r);
		files_copy(&files);
		recover(copy_path, copy_new_path, copy_part_path);
	}
	assert_int_equal(atomic_load_explicit(changes_made, memory_order_relaxed), 3);
	assert_true(files.renamed); /* it did not give up */
	assert_true(r->stale);
	step_kill(child);
	file_unmap(&files.old);
	file_unmap(&files.new);
	pl_table_reader_destroy(r);
	pl_table_close(t);
	return changes;
}

static void kill_at(uint32_t change)
{
	struct pl_table *t = scene_make();
	struct files files = {0};
	struct pl_table_reader *r;
	uint32_t changes = 0;
	pid_t child;

	assert_int_equal(pl_table_reader_create(t, &r), 0);
	child = step_start(path, grow, NULL);
	file_map(&files.old, path);
	(void)files_changed(&files);
	while (changes < change && step_one(child))
		changes += files_changed(&files);
	step_kill(child);
	look_at_old(r);
	pl_table_reader_destroy(r);
	pl_table_close(t);
	file_unmap(&files.old);
	file_unmap(&files.new);
	recover(path, new_path, part_path);
}

static void test_growing(void **state)
{
	uint32_t changes;

	(void)state;
	names_make();
	changes_made = mmap(NULL, sizeof(*changes_made), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(changes_made, MAP_FAILED);
	changes = step_through();
	/* Each certificate was copied, and its newest scan carried over. */
	assert_true(changes > FILLED * 3);
	for (uint32_t i = 1; i <= KILLS; i++)
		kill_at(changes * i / KILLS);
	files_remove();
	munmap(changes_made, sizeof(*changes_made));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growing),
	};

	return cmocka_run_group_tests_name("table_ptrace_grow", tests, NULL, NULL);
}
