/* SPDX-License-Identifier: BSD-3-Clause */
/* What the table says of itself while it is written, for the process that comes next: before what it is said of
 * is so, as this one may die at any moment. */
#include "loader_pvt.h"

/* Of a table that has had facts of segments up to `known`, and has now got to `got_to`. */
static uint64_t ahead_mark(const struct pl_loader *l, uint64_t known, uint64_t got_to)
{
	uint64_t back = l->went_back && got_to < l->ahead_to ? PL_POSITION_BACK : 0;

	return known | PL_POSITION_AHEAD | back;
}

void pl_loader_position_set(struct pl_loader *l, const struct pl_feed_pos *pos)
{
	union pl_table_position at = {{.pos = *pos}};

	if (pos->sequence < l->snapshot_to)
		at.snapshot = l->snapshot_to > l->ahead_to ? l->snapshot_to : l->ahead_to;
	else if (pos->sequence < l->ahead_to)
		at.snapshot = ahead_mark(l, l->ahead_to, pos->sequence);
	pl_table_position_set(l->table, &at);
}

void pl_loader_position_ahead(struct pl_loader *l, uint64_t next, uint64_t got_to)
{
	union pl_table_position at;
	uint64_t known, mark;

	pl_table_position_get(l->table, &at);
	known = pl_table_position_known(&at);
	known = next > known ? next : known;
	/* With half of a snapshot it is made anew, and has to know as much. */
	mark = pl_table_position_is_half(&at) ? known : ahead_mark(l, known, got_to);
	if (mark == at.snapshot)
		return;
	at.snapshot = mark;
	at.pos.stream_id = l->pos.stream_id; /* of one that never was complete, too */
	pl_table_position_set(l->table, &at);
}

void pl_loader_position_back(struct pl_loader *l)
{
	union pl_table_position at;

	l->went_back = true;
	pl_loader_hush(l);
	pl_table_position_get(l->table, &at);
	if ((at.snapshot & PL_POSITION_AHEAD) == 0 || (at.snapshot & PL_POSITION_BACK) != 0)
		return;
	at.snapshot |= PL_POSITION_BACK;
	pl_table_position_set(l->table, &at);
}
