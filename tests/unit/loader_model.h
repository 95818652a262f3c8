/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loader's work on a table that is full or grows, beside a plain array of what the feed says. Steps are
 * small here, so that much comes between them. Who includes this has loader_missing.c in it, too, with the
 * feed store of its choice.
 */
#ifndef LOADER_MODEL_H
#define LOADER_MODEL_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define PL_LOADER_GROW_SLOTS  64u
#define PL_LOADER_TURN_NS     0u
#define PL_LOADER_MISSING_MIN 8u
#define PL_LOADER_MISSING_MAX 2048u
#include "../../app/passline/loader_apply.c"
#include "../../app/passline/loader_grow.c"
#include "../../app/passline/loader_position.c"

#define STREAM   9u
#define CAPACITY 1000u
#define IDS      3200u
#define FACTS(n) (1u | (uint32_t)(n) << 4)

static struct {
	struct pl_live live;
	struct pl_loader l;
	uint64_t clock_s;
	uint32_t said_cnt;
	bool full_published; /* the last time */
	bool loading_published;
	uint32_t model[IDS + 1];             /* facts by id; 0: not there */
	struct pl_feed_record history[8000]; /* by sequence; for the test that reads it again */
} fx;

void pl_say(const char *format, ...)
{
	(void)format;
	fx.said_cnt++;
}

void pl_loader_flags_publish(struct pl_loader *l)
{
	fx.full_published = l->table_full;
	fx.loading_published |= l->loading;
}

void pl_loader_hush(struct pl_loader *l)
{
	l->loading = true;
	pl_loader_flags_publish(l);
}

uint64_t pl_loader_now_s(void)
{
	return fx.clock_s;
}

/* What only snapshots and the store need. */
int pl_intake_prune(struct pl_intake *in, const struct pl_feed_snapshot *snapshot,
		    struct pl_feed_pruned *out, char *error, size_t error_size)
{
	(void)in, (void)snapshot, (void)out, (void)error, (void)error_size;
	return -EINVAL;
}

static inline void open_table(const char *path)
{
	struct pl_table_conf conf = {
		.path = path, .capacity = CAPACITY, .hash_seed = 3, .numa_node = -1};
	char error[256];

	assert_int_equal(pl_table_create(&conf, &fx.l.table, error, sizeof(error)), 0);
}

static inline int set_up(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	fx.clock_s = 100;
	fx.l.live = &fx.live;
	fx.l.dir_path = "feed";
	fx.l.pos.stream_id = STREAM;
	fx.l.audited = true;
	fx.l.wake_fd = -1;
	fx.l.batch = calloc(PL_LOADER_BATCH_CNT, sizeof(*fx.l.batch));
	PL_CHECK(fx.l.batch != NULL && pl_feed_net_create(&fx.l.net) == 0);
	open_table(NULL);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	pl_table_close(fx.l.table);
	pl_feed_net_destroy(fx.l.net);
	pl_loader_missing_drop(&fx.l);
	free(fx.l.batch);
	return 0;
}

/** The next segment, as loader.c would hand it on, and into the model. */
static inline void apply(struct pl_feed_record record)
{
	struct pl_feed_segment seg = {
		.header = {.stream_id = STREAM, .sequence = fx.l.pos.sequence + 1, .record_cnt = 1},
		.records = &record,
	};

	assert_int_equal(pl_loader_segment(&fx.l, &seg), 0);
	pl_feed_advance(&fx.l.pos, &seg);
	if (fx.l.pos.sequence < PL_ARRAY_CNT(fx.history))
		fx.history[fx.l.pos.sequence] = record;
	fx.model[record.cert_id] = record.op == PL_FEED_PUT ? record.facts : 0;
}

/** Certificates first, first + 1, ...; a segment each. Another salt: other facts. */
static inline void put(uint64_t first, uint64_t cnt, uint32_t salt)
{
	for (uint64_t id = first; id < first + cnt; id++)
		apply((struct pl_feed_record){
			.cert_id = id, .facts = FACTS(id + salt), .op = PL_FEED_PUT});
}

static inline void drop(uint64_t id)
{
	apply((struct pl_feed_record){.cert_id = id, .op = PL_FEED_REMOVE});
}

static inline uint32_t facts_of(uint64_t id)
{
	uint32_t facts;

	return pl_table_get(fx.l.table, id, &facts, NULL) == 0 ? facts : 0;
}

static inline uint64_t position(void)
{
	union pl_table_position at;

	pl_table_position_get(fx.l.table, &at);
	return at.pos.sequence;
}

/** What is there is as the feed says, and if the table is not full all of it is. */
static inline void assert_as_the_feed_says(void)
{
	char error[256] = "";

	for (uint64_t id = 1; id <= IDS; id++) {
		uint32_t facts = facts_of(id);

		if (facts != fx.model[id] && (facts != 0 || !fx.l.table_full))
			fail_msg("certificate %" PRIu64 ": %08x for %08x", id, facts, fx.model[id]);
	}
	if (pl_table_check(fx.l.table, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static inline void grow_to(uint64_t capacity)
{
	struct pl_table_stats stats;

	pl_loader_grow_to(&fx.l, capacity);
	for (uint32_t turns = 0; pl_loader_grow(&fx.l) == TURN_GAP_MS && !fx.l.loading; turns++)
		assert_true(turns < 100000);
	pl_table_stats_get(fx.l.table, &stats);
	assert_int_equal(stats.capacity, capacity);
	assert_false(stats.growing);
}

#endif
