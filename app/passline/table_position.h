/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a table says of itself, for the process that finds it: how far the feed is in it, and what of it may be
 * told.
 */
#ifndef PL_TABLE_POSITION_H
#define PL_TABLE_POSITION_H

#include "feed/pl_feed.h"
#include "table/pl_table.h"

#define PL_POSITION_AHEAD (UINT64_C(1) << 63)
#define PL_POSITION_BACK  (UINT64_C(1) << 62)

/** How far the feed is in the table: kept in the table itself. */
union pl_table_position {
	struct {
		struct pl_feed_pos pos;
		/* A snapshot of this segment is being put in: until that is done the content is of no
		 * one position. 0: none is. With PL_POSITION_AHEAD: the table was full, or is read
		 * anew, and has had facts of segments up to this one already; with PL_POSITION_BACK,
		 * too: it has not all of them now, and is to tell nothing before that. */
		uint64_t snapshot;
	};
	uint8_t bytes[PL_TABLE_POSITION_SIZE];
};
static_assert(sizeof(union pl_table_position) == PL_TABLE_POSITION_SIZE, "kept in the table");

/** The newest segment of which the table has had facts. */
static inline uint64_t pl_table_position_known(const union pl_table_position *at)
{
	uint64_t marked = at->snapshot & ~(PL_POSITION_AHEAD | PL_POSITION_BACK);

	return marked > at->pos.sequence ? marked : at->pos.sequence;
}

/** Has it a part of a snapshot, so that its content is of no one position? */
static inline bool pl_table_position_is_half(const union pl_table_position *at)
{
	return at->snapshot != 0 && (at->snapshot & PL_POSITION_AHEAD) == 0;
}

/** Of a table with nothing in it that may tell nothing before it knows as much again. */
static inline union pl_table_position pl_table_position_anew(uint64_t stream_id, uint64_t known_to)
{
	return (union pl_table_position){
		{.pos = {.stream_id = stream_id},
		 .snapshot = known_to | PL_POSITION_AHEAD | PL_POSITION_BACK}};
}

#endif
