/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a full table has passed over: kept, the last change of each certificate, and put in when there is
 * room. Of more than can be kept it is not known which are missing: then the feed is read again.
 */
#include <errno.h>
#include <stdlib.h>

#include "loader_pvt.h"
#include "say.h"

#define READ_AGAIN_S 60u
#define ROOM_S       60u
#define ROOM_PART    8u /* of what is missing: for less room not all of it is tried */

/* By certificate, and of one certificate in the order of time. */
static int compare_missing(const void *pa, const void *pb)
{
	const struct pl_loader_change *a = pa, *b = pb;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

/* Of each certificate the last change only, and of one that was removed none: there is nothing to put. */
static void compact(struct pl_loader_missing *m)
{
	size_t kept = 0;

	if (m->cnt != 0)
		qsort(m->log, m->cnt, sizeof(*m->log), compare_missing);
	for (size_t i = 0; i < m->cnt; i++)
		if ((i + 1 == m->cnt || m->log[i + 1].id != m->log[i].id) && m->log[i].facts != 0)
			m->log[kept++] = m->log[i];
	m->cnt = kept;
	for (size_t i = 0; i < kept; i++)
		m->log[i].order = (uint32_t)i;
}

static bool make_room(struct pl_loader_missing *m)
{
	size_t room = m->room == 0 ? PL_LOADER_MISSING_MIN : 2 * m->room;
	struct pl_loader_change *log;

	if (m->cnt < m->room)
		return true;
	/* If that does not free a quarter it is larger next time: or each change would mean to sort all. */
	compact(m);
	if (m->cnt < m->room / 4 * 3)
		return true;
	if (m->room == PL_LOADER_MISSING_MAX)
		return false;
	log = realloc(m->log, room * sizeof(*log));
	if (log == NULL)
		return false;
	m->log = log;
	m->room = room;
	return true;
}

void pl_loader_missing_note(struct pl_loader *l, uint64_t id, uint32_t facts)
{
	struct pl_loader_missing *m = &l->missing;

	/* Removed: of one that is not missing there is nothing to take back. */
	if (m->lost || (facts == 0 && m->cnt == 0))
		return;
	if (!make_room(m)) {
		free(m->log);
		*m = (struct pl_loader_missing){.lost = true};
		return;
	}
	m->log[m->cnt] =
		(struct pl_loader_change){.id = id, .facts = facts, .order = (uint32_t)m->cnt};
	m->cnt++;
}

void pl_loader_missing_drop(struct pl_loader *l)
{
	free(l->missing.log);
	l->missing = (struct pl_loader_missing){0};
	l->put_back_due = false;
	l->full_told = false;
}

/* What is there by now came later than what the log has of it. */
static int put_missing(struct pl_loader *l, const struct pl_loader_missing *m)
{
	size_t cnt = 0;
	int ret = 0;

	for (size_t i = 0; i < m->cnt && ret == 0; i++) {
		const struct pl_loader_change *c = &m->log[i];

		if (pl_loader_stopping(l))
			return -ECANCELED;
		if (pl_table_get(l->table, c->id, NULL, NULL) == 0)
			continue;
		l->batch[cnt++] = (struct pl_table_entry){.id = c->id, .facts = c->facts};
		if (cnt < PL_LOADER_BATCH_CNT)
			continue;
		ret = pl_loader_put(l, cnt);
		cnt = 0;
	}
	return ret != 0 ? ret : pl_loader_put(l, cnt);
}

static int go_on(void *ctx, const struct pl_feed_segment *seg)
{
	(void)seg;
	return pl_loader_stopping(ctx) ? -ECANCELED : 0;
}

/* Can the store bring who is at `from` to `sequence`, by its segments, or a snapshot and what follows it? */
static bool is_readable(struct pl_loader *l, const struct pl_feed_pos *from, uint64_t sequence)
{
	struct pl_feed_snapshot snapshot;
	struct pl_feed_pos pos = *from;
	struct pl_feed_report report;

	(void)pl_feed_store_read_to(l->store, &pos, sequence, go_on, l, &report);
	if (pos.sequence >= sequence)
		return true;
	if (pl_feed_store_snapshot_find(l->store, pos.sequence, sequence + 1, &snapshot) != 0 ||
	    snapshot.covers.stream_id != from->stream_id ||
	    pl_feed_store_snapshot_read(l->store, &snapshot, go_on, l, &report) != PL_FEED_OK)
		return false;
	pos = snapshot.covers;
	(void)pl_feed_store_read_to(l->store, &pos, sequence, go_on, l, &report);
	return pos.sequence >= sequence;
}

/*
 * Which are missing is not known: the feed is read again from where the table was complete. Facts go back
 * on the way, so everything is UNKNOWN until it is where it was; and it is only begun if it can be ended.
 */
static void read_again(struct pl_loader *l)
{
	struct pl_feed_pos from = {.stream_id = l->pos.stream_id};
	union pl_table_position at;
	uint64_t ahead_to;

	pl_table_position_get(l->table, &at);
	if (at.pos.sequence != 0 && !pl_table_position_is_half(&at))
		from = at.pos;
	ahead_to = pl_table_position_known(&at);
	if (l->pos.sequence > ahead_to)
		ahead_to = l->pos.sequence;
	if (!is_readable(l, &from, ahead_to)) {
		if (l->missing.told)
			return;
		l->missing.told = true;
		pl_loader_not_grown(
			l, -ENODATA, true, READ_AGAIN_S,
			"the table has room, but which certificates are missing is not known any "
			"more, and the feed store has not all since it was complete: the next "
			"snapshot or a restart mends that");
		return;
	}
	pl_say("more was missing than is kept: everything is UNKNOWN until the feed is read again");
	pl_loader_hush(l);
	l->pos = from;
	l->ahead_to = ahead_to;
	l->went_back = true;
	l->table_full = false;
	pl_loader_missing_drop(l);
	pl_loader_position_set(l, &from);
	pl_loader_flags_publish(l);
}

bool pl_loader_missing_has_room(struct pl_loader *l)
{
	struct pl_table_stats stats;

	/* To read the feed again for those who left is not worth that everything is UNKNOWN. */
	if (!l->table_full || l->loading || !l->audited || l->missing.lost ||
	    !pl_loader_due(&l->room_s, ROOM_S))
		return false;
	compact(&l->missing);
	pl_table_stats_get(l->table, &stats);
	return stats.capacity - stats.entry_cnt >= l->missing.cnt / ROOM_PART;
}

void pl_loader_missing_put_back(struct pl_loader *l)
{
	struct pl_loader_missing m = l->missing;
	int ret;

	if (m.lost) {
		if (pl_loader_due(&l->read_again_s, READ_AGAIN_S))
			read_again(l);
		return;
	}
	compact(&m);
	l->missing = (struct pl_loader_missing){0};
	l->table_full = false;
	ret = put_missing(l, &m);
	if (ret != 0) {
		/* All of it counts still; what is there by then is passed over. */
		free(l->missing.log);
		l->missing = m;
		l->table_full = true;
		return;
	}
	free(m.log);
	l->put_back_due = false;
	if (l->table_full)
		return;
	l->full_told = false;
	pl_loader_position_set(l, &l->pos);
	pl_say("all that found no room is in the table now");
	pl_loader_flags_publish(l);
}
