/* SPDX-License-Identifier: BSD-3-Clause */
/* Lookups of one key wherever it may be: the writer's own, and the rare rest of the readers'. */
#include "table/pl_table_pvt.h"

static uint32_t bucket_match_any(struct pl_bucket *b, uint64_t id, bool with_tomb,
				 uint32_t facts[PL_TABLE_SLOTS])
{
	uint32_t mask = pl_bucket_match(b, id, facts);

	if (mask != 0 || !with_tomb)
		return mask;
	/* Only the writer asks for these, and only it changes ids: relaxed. */
	for (uint32_t i = 0; i < PL_TABLE_SLOTS; i++)
		if ((facts[i] & PL_FACTS_TOMB) != 0 &&
		    atomic_load_explicit(&b->id[i], memory_order_relaxed) == id)
			mask |= 1u << i;
	return mask;
}

static uint64_t slot_in(struct pl_bucket *buckets, uint64_t bucket, uint64_t id, bool with_tomb,
			uint32_t *facts_out)
{
	uint32_t facts[PL_TABLE_SLOTS];
	uint32_t mask = bucket_match_any(&buckets[bucket], id, with_tomb, facts);

	if (mask == 0)
		return PL_TABLE_NO_SLOT;
	uint32_t i = (uint32_t)__builtin_ctz(mask);

	*facts_out = facts[i];
	return pl_table_slot(bucket, i);
}

/* Bounded: at most 3 signposts, 15 positions and the stash. */
uint64_t pl_table_find_beyond(struct pl_bucket *buckets, uint64_t bucket_cnt, uint64_t seed,
			      uint64_t home, uint64_t hash, uint64_t id, bool with_tomb,
			      uint32_t *facts)
{
	/* META-PUB acquire: a key that was put before has its signpost, or its level, here. Pairs:
	 * META-PUB release in the writer. */
	uint32_t meta = atomic_load_explicit(&buckets[home].meta, memory_order_acquire);
	uint32_t tag = pl_table_tag(hash);
	uint32_t level = meta >> PL_META_LEVEL_SHIFT;
	uint64_t slot;

	for (uint32_t j = 0; j < PL_META_SIGN_CNT; j++) {
		uint32_t sign = meta >> (j * PL_META_SIGN_BITS) & PL_META_SIGN_MASK;
		uint32_t pos = sign & PL_META_POS_MASK;

		if (pos == 0 || sign >> PL_META_TAG_SHIFT != tag)
			continue;
		slot = slot_in(buckets, pl_table_pos_bucket(home, pos, seed, bucket_cnt), id,
			       with_tomb, facts);
		if (slot != PL_TABLE_NO_SLOT)
			return slot;
	}
	for (uint32_t pos = 1; pos <= pl_meta_level_pos[level]; pos++) {
		slot = slot_in(buckets, pl_table_pos_bucket(home, pos, seed, bucket_cnt), id,
			       with_tomb, facts);
		if (slot != PL_TABLE_NO_SLOT)
			return slot;
	}
	if (level < PL_META_LEVEL_STASH)
		return PL_TABLE_NO_SLOT;
	for (uint64_t i = 0; i < PL_TABLE_STASH_CNT; i++) {
		slot = slot_in(buckets, bucket_cnt + i, id, with_tomb, facts);
		if (slot != PL_TABLE_NO_SLOT)
			return slot;
	}
	return PL_TABLE_NO_SLOT;
}

void pl_table_prefetch_rest(const struct pl_table_reader *r, uint64_t home, uint32_t meta)
{
	uint32_t last = pl_meta_level_pos[meta >> PL_META_LEVEL_SHIFT];

	for (uint32_t pos = 1; pos <= last; pos++)
		pl_prefetch(&r->buckets[pl_table_pos_bucket(home, pos, r->seed, r->bucket_cnt)]);
}

/* Several keys with one tag, or a home with more keys beyond it than signposts. */
void pl_table_find_rest(struct pl_table_reader *r, uint64_t id, struct pl_table_hit *hit)
{
	uint64_t hash = pl_table_hash(id, r->seed);
	uint32_t facts;
	uint64_t slot =
		pl_table_find_beyond(r->buckets, r->bucket_cnt, r->seed,
				     pl_table_reduce(hash, r->bucket_cnt), hash, id, false, &facts);

	r->counters.rest++;
	if (slot == PL_TABLE_NO_SLOT)
		return;
	hit->slot = slot;
	hit->facts = facts;
	hit->found = PL_TABLE_FOUND;
}

uint64_t pl_map_find(const struct pl_map *m, uint64_t id, bool with_tomb)
{
	uint64_t hash = pl_table_hash(id, m->seed);
	uint64_t home = pl_table_reduce(hash, m->bucket_cnt);
	uint32_t facts;
	uint64_t slot = slot_in(m->buckets, home, id, with_tomb, &facts);

	if (slot != PL_TABLE_NO_SLOT)
		return slot;
	return pl_table_find_beyond(m->buckets, m->bucket_cnt, m->seed, home, hash, id, with_tomb,
				    &facts);
}
