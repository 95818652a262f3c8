/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Layout of the shared mapping, and what the parts of lib/table share.
 *
 *     header | bucket_cnt buckets | PL_TABLE_STASH_CNT buckets of last resort
 *
 * A key's places, in the order of trying: its home bucket; position 1, the home's buddy (the
 * other line of the same 128 bytes); positions 2..15, buckets that a hash of the home names; the
 * stash. The home's meta word leads to the keys that went beyond home: three signposts of a
 * position and a 6-bit tag, for the three deepest, and for the others a level that says how far to
 * search. So a reader that finds neither key nor matching signpost nor a level in the home line has
 * proved absence.
 */
#ifndef PL_TABLE_PVT_H
#define PL_TABLE_PVT_H

#include <pthread.h>
#include <stdatomic.h>

#include "cert/pl_cert.h"
#include "table/pl_table.h"

#define PL_TABLE_MAGIC          "PLTABLE\n"
#define PL_TABLE_LAYOUT_VERSION 3u
#define PL_TABLE_SLOTS          3u
#define PL_TABLE_STASH_CNT      64u /* buckets */
#define PL_TABLE_POS_CNT        16u /* home, buddy, 14 others; the stash is beyond */
#define PL_TABLE_NO_SLOT        UINT64_MAX
#define PL_TABLE_BULK_LOCKS     65536u

/* All words are atomic because readers look while the writer writes. */
struct pl_bucket {
	_Atomic uint64_t id[PL_TABLE_SLOTS];
	_Atomic uint64_t seen[PL_TABLE_SLOTS];
	_Atomic uint32_t facts[PL_TABLE_SLOTS];
	_Atomic uint32_t meta;
};
static_assert(sizeof(struct pl_bucket) == PL_CACHE_LINE, "one line a bucket");

/* facts: kind 0 is no certificate, which leaves words for slots without one.
 *   0                        never used, or given back
 *   TOMB | epoch << 4        removed at that epoch (27 bits); id and seen still stand
 *   kind != 0                present: the id and seen words are this certificate's */
#define PL_FACTS_TOMB       (1u << 31)
#define PL_TOMB_EPOCH_BITS  27
#define PL_TOMB_EPOCH_MASK  ((1u << PL_TOMB_EPOCH_BITS) - 1u)
#define PL_TOMB_EPOCH_SHIFT 4

static inline bool pl_facts_live(uint32_t facts)
{
	return (facts & PL_CERT_KIND_MAX) != 0;
}

static inline uint32_t pl_facts_tomb(uint64_t epoch)
{
	return PL_FACTS_TOMB | ((uint32_t)epoch & PL_TOMB_EPOCH_MASK) << PL_TOMB_EPOCH_SHIFT;
}

/* seen: shown_at in the high half, then 31 bits of hash, then FROZEN: while a table is being
 * replaced, the word is final here and goes on in the new table. */
#define PL_SEEN_FROZEN UINT64_C(1)

/* meta: three signposts of 10 bits (position 4, tag 6; 0: none), then the level. */
#define PL_META_SIGN_CNT    3u
#define PL_META_SIGN_BITS   10u
#define PL_META_SIGN_MASK   ((1u << PL_META_SIGN_BITS) - 1u)
#define PL_META_POS_MASK    15u
#define PL_META_TAG_SHIFT   4u
#define PL_META_TAG_MASK    63u
#define PL_META_LEVEL_SHIFT 30u
#define PL_META_LEVEL_STASH 3u
#define PL_META_DEEP        (1u << 31) /* a level with more than the buddy */

/* Positions 1 .. this many are searched at a level; the last level has the stash, too. The first has
 * the buddy alone, so that one line more settles it. */
static const uint8_t pl_meta_level_pos[4] = {0, 1, 7, PL_TABLE_POS_CNT - 1};

/* Registration of a reader, on a line of its own. */
struct pl_reader_slot {
	alignas(PL_CACHE_LINE) _Atomic uint64_t epoch
		PL_SHARED(reader, writer);                  /* 0: not reading */
	_Atomic uint64_t owner PL_SHARED(reader, writer);   /* pid | process start << 32; 0: free */
	_Atomic uint64_t mapping PL_SHARED(reader, writer); /* which of its process's mappings */
};

enum pl_journal_op {
	PL_JOURNAL_NONE = 0,
	PL_JOURNAL_INSERT = 1,
	PL_JOURNAL_REMOVE = 2,
};

/* What never changes after creation; check is a hash of the words before it. */
struct pl_table_fixed {
	char magic[8];
	uint32_t layout_version;
	uint32_t header_size;
	uint64_t capacity;
	uint64_t bucket_cnt;
	uint64_t size; /* of the mapping */
	uint64_t hash_seed;
	uint64_t table_id;  /* random, names this mapping */
	uint64_t parent_id; /* of the table that this one replaces, or 0 */
	uint64_t generation;
	uint64_t check;
};

struct pl_table_header {
	struct pl_table_fixed fixed PL_FROZEN_AFTER(create);

	/* Readers look here once a burst. */
	alignas(PL_CACHE_LINE) _Atomic uint64_t epoch PL_SHARED(writer, reader); /* from 1 */
	_Atomic uint32_t superseded PL_SHARED(writer, reader);

	/* Written by the writer, read by the next one. */
	alignas(PL_CACHE_LINE) _Atomic uint64_t entry_cnt;
	_Atomic uint64_t tomb_cnt;
	_Atomic uint64_t full_cnt;
	_Atomic uint64_t blocked_cnt;
	_Atomic uint64_t reaped_cnt;
	_Atomic uint64_t repaired_cnt;
	_Atomic uint32_t bulk; /* a build is on: counts are not to be trusted */

	/* The insert or remove that is on; op is set last and cleared last. */
	alignas(PL_CACHE_LINE) _Atomic uint32_t op;
	_Atomic uint32_t was_tomb;
	_Atomic uint64_t op_id;
	_Atomic uint64_t op_slot;
	_Atomic uint64_t op_entry_cnt; /* before it */
	_Atomic uint64_t op_tomb_cnt;

	alignas(PL_CACHE_LINE) _Atomic uint64_t position[2][PL_TABLE_POSITION_SIZE / 8];
	_Atomic uint32_t position_idx;
	_Atomic uint32_t ready; /* creation is complete */

	struct pl_reader_slot readers[PL_TABLE_READERS_MAX];
};

#define PL_TABLE_HEADER_SIZE 8192u
static_assert(sizeof(struct pl_table_header) <= PL_TABLE_HEADER_SIZE, "header fits");

/* One mapping, as this process has it. */
struct pl_map {
	struct pl_table_header *h;
	struct pl_bucket *buckets;
	uint64_t bucket_cnt;
	uint64_t seed;
	uint64_t size;
	uint64_t page_size;
	int fd;
	bool huge;
	char *path; /* NULL: no name */
};

/* What readers of this process use; swapped as one pointer. */
struct pl_table_view {
	struct pl_map *cur;
	struct pl_map *prev; /* being replaced: see pl_table_grow.c. NULL otherwise */
};

enum pl_grow_phase {
	PL_GROW_NONE = 0,
	PL_GROW_FILL,   /* next is filled; nobody reads it */
	PL_GROW_SWITCH, /* next is published; some readers may still be in the old one only */
	PL_GROW_MERGE,  /* every reader knows both; seen words go over one by one */
	PL_GROW_DRAIN,  /* the new one alone is published; readers leave the old one */
};

struct pl_table {
	_Atomic(const struct pl_table_view *) view PL_SHARED(writer, reader);
	struct pl_table_view views[2] PL_OWNED_BY(writer);
	uint32_t view_idx PL_OWNED_BY(writer);
	bool writer PL_OWNED_BY(writer);
	bool bulk_on PL_OWNED_BY(writer);
	int numa_node;
	bool fallback;
	char fallback_reason[160];

	/* All readers have passed this epoch of map safe_map: a cache of a scan. */
	uint64_t safe_epoch PL_OWNED_BY(writer);
	const struct pl_map *safe_map PL_OWNED_BY(writer);
	uint32_t blocked_since_reap PL_OWNED_BY(writer);

	uint64_t *marks PL_OWNED_BY(writer); /* a bit a slot that was put; NULL: no sweep is on */
	uint64_t sweep_cursor PL_OWNED_BY(writer); /* buckets swept */
	uint64_t clear_epoch PL_OWNED_BY(writer);  /* readers must pass it; 0: not being cleared */

	enum pl_grow_phase grow PL_OWNED_BY(writer);
	struct pl_map *grow_old PL_OWNED_BY(writer);
	struct pl_map *grow_new PL_OWNED_BY(writer);
	uint64_t grow_cursor PL_OWNED_BY(writer);
	uint64_t grow_epoch PL_OWNED_BY(writer);
	bool grow_failed PL_OWNED_BY(writer);
	/* Held by who looks at the table without being registered as its reader, and by the writer while it
	 * grows it: so nobody looks at a map that goes, or at a view that is written. Never taken by a
	 * look-up, a put or a quiescent point. */
	pthread_mutex_t lock;
};

struct pl_table_reader;

/* The two halves of a burst of lookups: pl_table_burst.c, pl_table_burst_avx512.c. next_cnt <= cnt <=
 * PL_TABLE_BURST_MAX; ids and hits of pending are set. */
struct pl_table_burst {
	void (*start)(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
		      struct pl_table_hit *hits, const uint64_t *next_ids, uint32_t next_cnt,
		      struct pl_table_pending *p);
	void (*finish)(struct pl_table_reader *r, const struct pl_table_pending *p);
};

enum pl_table_variant {
	PL_TABLE_SCALAR_WORDS = 0,
	PL_TABLE_SSE4,
	PL_TABLE_AVX512,
	PL_TABLE_VARIANT_CNT,
};

struct pl_table_reader {
	/* A copy of the current map's, so that the hot path has it at hand. */
	struct pl_bucket *buckets PL_OWNED_BY(reader);
	uint64_t bucket_cnt;
	uint64_t seed;
	struct pl_table_header *h;
	struct pl_reader_slot *slot;
	uint64_t epoch;
	const struct pl_table_burst *burst;
	const struct pl_table_view *view;
	struct pl_map *cur;
	struct pl_map *prev;
	struct pl_reader_slot *prev_slot;
	struct pl_table *t;
	bool stale;
	struct pl_table_reader_counters counters;
};

/* ---- where things are ------------------------------------------------------------------ */

/* The high half of a hash to 0 .. cnt - 1 with no division (multiply-shift: Lemire 2019). cnt up
 * to 2^32; at 50 M buckets one is 1.2 % likelier than another at most. */
static inline uint64_t pl_table_reduce(uint64_t hash, uint64_t cnt)
{
	return (hash >> 32) * cnt >> 32;
}

/* Two multiplications and a fold between them (the shape of MurmurHash3's finalizer, Appleby 2011):
 * of 64 bits, so that eight keys can be hashed in a vector. The seed is secret, and ids are given by
 * the authority. Bits from PL_TABLE_TAG_SHIFT up depend on all of the id. */
#define PL_TABLE_HASH_MUL1 UINT64_C(0x9e3779b97f4a7c15)
#define PL_TABLE_HASH_MUL2 UINT64_C(0xd6e8feb86659fd93)
#define PL_TABLE_TAG_SHIFT 16u

static inline uint64_t pl_table_hash(uint64_t id, uint64_t seed)
{
	uint64_t h = (id ^ seed) * PL_TABLE_HASH_MUL1;

	return (h ^ h >> 32) * PL_TABLE_HASH_MUL2;
}

/* 1 .. 63, from bits 16 .. 31 of the hash; the home comes from those above. */
static inline uint32_t pl_table_tag(uint64_t hash)
{
	return (uint32_t)((hash >> PL_TABLE_TAG_SHIFT & 0xffff) * PL_META_TAG_MASK >> 16) + 1;
}

/*
 * Which signposts of a meta word have this tag: bit 10 for the first, 20, 30. No branches: every
 * lookup does this, and which way it goes is anyone's guess. Adding 63 to a 6-bit difference
 * carries out of it unless it is 0; tags are never 0, so an empty signpost never matches.
 */
#define PL_META_SIGN_ONES  (1u << 0 | 1u << PL_META_SIGN_BITS | 1u << (2 * PL_META_SIGN_BITS))
#define PL_META_TAG_BITS   (PL_META_SIGN_ONES * (PL_META_TAG_MASK << PL_META_TAG_SHIFT))
#define PL_META_CARRY_BITS (PL_META_SIGN_ONES << PL_META_SIGN_BITS)

static inline uint32_t pl_meta_match(uint32_t meta, uint32_t tag)
{
	uint32_t diff = (meta ^ PL_META_SIGN_ONES * (tag << PL_META_TAG_SHIFT)) & PL_META_TAG_BITS;

	return ~(diff + PL_META_TAG_BITS) & PL_META_CARRY_BITS;
}

/* pos 0 .. PL_TABLE_POS_CNT - 1. A function of the home, not of the key: so a home's meta can
 * be made again from the buckets alone. */
static inline uint64_t pl_table_pos_bucket(uint64_t home, uint32_t pos, uint64_t seed,
					   uint64_t bucket_cnt)
{
	if (pos < 2)
		return home ^ pos;
	return pl_table_reduce(pl_mix64((home << 4 | pos) + ~seed), bucket_cnt);
}

/* Slots are named bucket * 4 + index. */
static inline uint64_t pl_table_slot(uint64_t bucket, uint32_t idx)
{
	return bucket << 2 | idx;
}

/*
 * Which slots of a bucket hold id as a present certificate, as a bit mask.
 *
 * SLOT-PUB acquire: facts before id. A present facts word read here makes the id that was
 * stored before it visible; a later id cannot be read, because the slot is not used again before
 * this reader has quiesced (QS-*). Pairs: the release stores of facts in pl_table_write.c.
 */
static inline uint32_t pl_bucket_match(struct pl_bucket *b, uint64_t id,
				       uint32_t facts[PL_TABLE_SLOTS])
{
	facts[0] = atomic_load_explicit(&b->facts[0], memory_order_acquire);
	facts[1] = atomic_load_explicit(&b->facts[1], memory_order_acquire);
	facts[2] = atomic_load_explicit(&b->facts[2], memory_order_acquire);

	/* relaxed: ordered by the acquire loads above. Written out, as compilers do not unroll
	 * loops over atomics. */
	uint32_t hit0 = atomic_load_explicit(&b->id[0], memory_order_relaxed) == id;
	uint32_t hit1 = atomic_load_explicit(&b->id[1], memory_order_relaxed) == id;
	uint32_t hit2 = atomic_load_explicit(&b->id[2], memory_order_relaxed) == id;

	return (hit0 & pl_facts_live(facts[0])) | (hit1 & pl_facts_live(facts[1])) << 1 |
	       (hit2 & pl_facts_live(facts[2])) << 2;
}

/* Into the second-level cache: fetches for the first are fewer at once. At 20 M certificates it takes
 * a third off a miss and a quarter off a hit (EPYC Zen 4). */
static inline void pl_table_prefetch_home(struct pl_bucket *buckets, uint64_t bucket_cnt,
					  uint64_t seed, uint64_t id)
{
	pl_prefetch_far(&buckets[pl_table_reduce(pl_table_hash(id, seed), bucket_cnt)]);
}

/* ---- between the files ------------------------------------------------------------------- */

/* Tests choose what capacity would decide. */
struct pl_table_tuning {
	uint64_t bucket_cnt;  /* 0: from capacity; even, 2 or more */
	uint64_t first_epoch; /* 0: 1 */
};

int pl_table_create_tuned(const struct pl_table_conf *conf, const struct pl_table_tuning *tuning,
			  struct pl_table **out, char *error, size_t error_size);

/* pl_table_map.c */
int pl_map_create(const char *path, uint64_t capacity, uint64_t seed, int numa_node,
		  const struct pl_table_tuning *tuning, const struct pl_map *parent,
		  struct pl_map **out, char *error, size_t error_size);
int pl_map_attach(const char *path, struct pl_map **out, char *error, size_t error_size);
void pl_map_close(struct pl_map *m);
/* What a creation of path that died half way left; nobody has use for it. 0, -ENOENT; -EBUSY: its maker lives. */
int pl_map_part_remove(const char *path);

/* pl_table_ctl.c */
void pl_map_position_set(struct pl_map *m, const void *position);
void pl_map_position_get(struct pl_map *m, void *position);
/* slots_max: how many slots to walk at most. */
size_t pl_map_iterate(const struct pl_map *m, uint64_t *cursor, uint64_t slots_max,
		      struct pl_table_entry *out, size_t max);

/* pl_table_find.c: any place, with no prefetch. with_tomb: removed ones, too. */
uint64_t pl_map_find(const struct pl_map *m, uint64_t id, bool with_tomb);
uint64_t pl_table_find_beyond(struct pl_bucket *buckets, uint64_t bucket_cnt, uint64_t seed,
			      uint64_t home, uint64_t hash, uint64_t id, bool with_tomb,
			      uint32_t *facts);
/* The lines that a level leads to, but for the stash. */
PL_COLD void pl_table_prefetch_rest(const struct pl_table_reader *r, uint64_t home, uint32_t meta);
/* All that the home's meta leads to, one line after another; hit as it is when there is no more. */
PL_COLD void pl_table_find_rest(struct pl_table_reader *r, uint64_t id, struct pl_table_hit *hit);

/* pl_table_write.c */
struct pl_write { /* one inserting thread */
	struct pl_table *t;
	struct pl_map *m;
	atomic_uchar *locks; /* NULL: the only writer */
};
int pl_map_put(struct pl_write *w, uint64_t id, uint32_t facts);
int pl_map_put_many(struct pl_write *w, const struct pl_table_entry *entries, size_t cnt,
		    size_t *done);
int pl_map_remove(struct pl_write *w, uint64_t id);
void pl_map_home_rebuild(struct pl_map *m, uint64_t home);
void pl_map_repair(struct pl_map *m);
void pl_map_recount(struct pl_map *m);

/* pl_table_quiesce.c */
struct pl_reader_slot *pl_reader_slot_take(struct pl_map *m);
void pl_reader_slot_drop(struct pl_reader_slot *s);
uint64_t pl_map_epoch_bump(struct pl_map *m);
/* The least epoch that readers are at; UINT64_MAX with no reader. own_only: of this mapping. */
uint64_t pl_map_epoch_min(struct pl_map *m, bool own_only);
uint32_t pl_map_reap(struct pl_map *m);
void pl_table_reader_switch(struct pl_table_reader *r, const struct pl_table_view *view);

/* pl_table_grow.c */
enum pl_table_seen pl_table_seen_both(struct pl_table_reader *r, const struct pl_table_hit *hit,
				      uint32_t shown_at, uint32_t scan_hash);
void pl_table_grow_put(struct pl_table *t, uint64_t id, uint32_t facts);
void pl_table_grow_remove(struct pl_table *t, uint64_t id);
void pl_table_grow_resume(struct pl_table *t);
void pl_table_grow_abandon(struct pl_table *t);

/* pl_table.c */
const struct pl_table_burst *
pl_table_burst_of(enum pl_table_variant variant); /* NULL: not on this CPU */
const struct pl_table_burst *pl_table_burst_best(void);
/* pl_table_burst.c, compiled twice, and pl_table_burst_avx512.c */
#define B(name)                                                                                  \
	void pl_table_start_##name(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt, \
				   struct pl_table_hit *hits, const uint64_t *next_ids,          \
				   uint32_t next_cnt, struct pl_table_pending *p);               \
	void pl_table_finish_##name(struct pl_table_reader *r, const struct pl_table_pending *p)
B(scalar);
B(sse4);
B(avx512);
#undef B
enum { PL_SEEN_MOVED = 4 }; /* beside enum pl_table_seen: the word is frozen */
int pl_seen_accept(_Atomic uint64_t *word, uint64_t want);
static inline uint64_t pl_seen_word(uint32_t shown_at, uint32_t scan_hash)
{
	return (uint64_t)shown_at << 32 | (uint64_t)(scan_hash & 0x7fffffffu) << 1;
}

#endif
