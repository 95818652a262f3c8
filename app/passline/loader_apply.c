/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <time.h>

#include "loader_pvt.h"
#include "say.h"

#define BLOCKED_WAIT_US  1000u
#define BLOCKED_WAIT_MAX 1000u  /* a worker that passes no quiescent point in a second is stuck */
#define PRUNE_EVERY_S    5u     /* at most; each look reads the headers of two snapshots */
#define STEP_BUCKETS     65536u /* of a walk over the table, between looks at whether to stop */

static void wait_for_readers(void)
{
	const struct timespec ts = {.tv_nsec = BLOCKED_WAIT_US * 1000};

	(void)nanosleep(&ts, NULL);
}

/* Removed slots are used again once every worker has passed: that takes microseconds. A new
 * certificate that finds no room is passed over, and only that: the revocation behind it needs
 * none. */
int pl_loader_put(struct pl_loader *l, size_t cnt)
{
	uint32_t waits = 0;
	size_t at = 0;

	while (at < cnt) {
		size_t done = 0;
		int ret = pl_table_put_many(l->table, l->batch + at, cnt - at, &done);

		at += done;
		if (ret >= 0)
			break;
		if (ret == -ENOSPC) {
			l->table_full = true;
			pl_loader_missing_note(l, l->batch[at].id, l->batch[at].facts);
			at++;
			continue;
		}
		if (ret != -EAGAIN || ++waits > BLOCKED_WAIT_MAX || pl_loader_stopping(l))
			return ret;
		wait_for_readers();
	}
	return 0;
}

/* Everything up to pos is in the table. */
static void arrived(struct pl_loader *l, const struct pl_feed_pos *pos, uint32_t record_cnt)
{
	/* A table that lacks certificates does not say that it holds their segment: the next start,
	 * with more room, applies it again. */
	if (l->table_full) {
		pl_loader_position_ahead(l, pos->sequence, pos->sequence);
		/* Who is absent from it may be missing: before as_of says that it has all. */
		pl_loader_flags_publish(l);
	} else {
		pl_loader_position_set(l, pos);
	}
	/* relaxed, all three: figures for humans. */
	atomic_fetch_add_explicit(&l->status.record_cnt, record_cnt, memory_order_relaxed);
	atomic_fetch_add_explicit(&l->status.segment_cnt, 1, memory_order_relaxed);
	atomic_store_explicit(&l->status.sequence, pos->sequence, memory_order_relaxed);
	/* ASOF-PUB release: the segment is in the table. Pairs: ASOF-GET. */
	atomic_store_explicit(&l->live->as_of, (uint32_t)pos->as_of, memory_order_release);
}

/* Records in their order, runs of puts as batches. Of those of one certificate only the last is
 * applied: while all verdicts are UNKNOWN anyway, what it does in between need not be hidden. A
 * segment that fails half way is applied again from its start; every record of it may be repeated. */
int pl_loader_segment(void *ctx, const struct pl_feed_segment *seg)
{
	struct pl_loader *l = ctx;
	const uint64_t *overruled;
	uint32_t record_cnt = seg->header.record_cnt;
	struct pl_feed_pos pos = {0};
	size_t cnt = 0;
	int ret = 0;

	if (seg->header.sequence <= l->ahead_to)
		pl_loader_position_back(l);
	if (l->table_full)
		pl_loader_position_ahead(l, seg->header.sequence, seg->header.sequence - 1);
	overruled = l->loading ? NULL : pl_feed_net_overruled(l->net, seg);
	for (uint32_t i = 0; i < record_cnt && ret == 0; i++) {
		const struct pl_feed_record *r = &seg->records[i];

		if (pl_feed_net_is_overruled(overruled, i))
			continue;
		if (r->op == PL_FEED_PUT) {
			l->batch[cnt].id = r->cert_id;
			l->batch[cnt++].facts = r->facts;
			if (cnt < PL_LOADER_BATCH_CNT)
				continue;
		}
		ret = pl_loader_put(l, cnt);
		cnt = 0;
		if (ret == 0 && r->op == PL_FEED_REMOVE) {
			ret = pl_table_remove(l->table, r->cert_id);
			if (ret == -ENOENT) /* absent already, as wanted */
				ret = 0;
			pl_loader_missing_note(l, r->cert_id, 0);
		}
		if (pl_loader_stopping(l))
			return -ECANCELED;
	}
	if (ret == 0)
		ret = pl_loader_put(l, cnt);
	if (ret != 0)
		return ret;
	pl_feed_advance(&pos, seg);
	arrived(l, &pos, record_cnt);
	return 0;
}

/* ---- snapshots ---- */

static int apply_chunk(void *ctx, const struct pl_feed_segment *seg)
{
	struct pl_loader *l = ctx;
	uint32_t cnt = seg->header.record_cnt;

	for (uint32_t i = 0; i < cnt;) {
		uint32_t n = cnt - i < PL_LOADER_BATCH_CNT ? cnt - i : PL_LOADER_BATCH_CNT;
		int ret;

		for (uint32_t k = 0; k < n; k++) {
			l->batch[k].id = seg->records[i + k].cert_id;
			l->batch[k].facts = seg->records[i + k].facts;
		}
		ret = pl_loader_put(l, n);
		if (ret != 0)
			return ret;
		if (pl_loader_stopping(l))
			return -ECANCELED;
		i += n;
	}
	/* relaxed: a figure for humans. */
	atomic_fetch_add_explicit(&l->status.record_cnt, cnt, memory_order_relaxed);
	return 0;
}

static int sweep(struct pl_loader *l)
{
	uint64_t removed_cnt;
	int ret;

	do {
		ret = pl_table_sweep_step(l->table, STEP_BUCKETS, &removed_cnt);
		if (pl_loader_stopping(l))
			return -ECANCELED;
	} while (ret == 1);
	return ret;
}

static enum pl_feed_error not_applied(struct pl_feed_report *report, int ret)
{
	snprintf(report->text, sizeof(report->text), "it cannot be put into the table: %s",
		 strerror(-ret));
	return PL_FEED_APPLY;
}

/* Over what is there already. What found no room before the sweep may find it after. */
static enum pl_feed_error replace_content(struct pl_loader *l,
					  const struct pl_feed_snapshot *snapshot,
					  struct pl_feed_report *report)
{
	bool was_full = l->table_full;
	enum pl_feed_error e;
	int ret;

	/* The one does not go with the other. */
	pl_loader_grow_through(l);
	ret = pl_table_sweep_begin(l->table);
	if (ret != 0)
		return not_applied(report, ret);
	l->table_full = false;
	e = pl_feed_store_snapshot_read(l->store, snapshot, apply_chunk, l, report);
	if (e == PL_FEED_OK) {
		ret = sweep(l);
		if (ret != 0)
			e = not_applied(report, ret);
	}
	if (e != PL_FEED_OK) {
		pl_table_sweep_abandon(l->table);
		l->table_full |= was_full;
		return e;
	}
	pl_loader_missing_drop(l);
	if (!l->table_full)
		return PL_FEED_OK;
	l->table_full = false;
	e = pl_feed_store_snapshot_read(l->store, snapshot, apply_chunk, l, report);
	/* Half of it: which are missing is not known. */
	l->missing.lost |= e != PL_FEED_OK;
	l->table_full |= e != PL_FEED_OK;
	return e;
}

enum pl_feed_error pl_loader_snapshot(struct pl_loader *l, const struct pl_feed_snapshot *snapshot,
				      struct pl_feed_report *report)
{
	uint64_t sequence = snapshot->covers.sequence;
	bool was_full = l->table_full;
	struct pl_table_stats stats;
	enum pl_feed_error e;

	pl_table_stats_get(l->table, &stats);
	pl_say("feed %s: taking the snapshot of segment %" PRIu64 ", %" PRIu64 " certificates",
	       l->dir_path, sequence, snapshot->record_cnt);
	/* That it lacks what the snapshot has is known from here on, not only once that is looked
	 * through; and of an empty table, too. */
	l->behind = true;
	pl_loader_flags_publish(l);
	if (stats.entry_cnt != 0) {
		/* Look before a table that is in use is touched. */
		e = pl_feed_store_snapshot_read(l->store, snapshot, NULL, NULL, report);
		if (e != PL_FEED_OK)
			return e;
	}
	if (sequence < l->ahead_to)
		pl_loader_position_back(l);
	l->snapshot_to = sequence;
	/* Should only half of it come in: facts of it were told. */
	if (!l->loading && sequence > l->ahead_to)
		l->ahead_to = sequence;
	pl_loader_position_set(l, &l->pos);
	if (stats.entry_cnt == 0) {
		pl_loader_missing_drop(l);
		l->table_full = false;
	}
	e = stats.entry_cnt == 0
		    ? pl_feed_store_snapshot_read(l->store, snapshot, apply_chunk, l, report)
		    : replace_content(l, snapshot, report);
	if (e != PL_FEED_OK) {
		/* Of an empty one they were forgotten. */
		l->missing.lost |= was_full && stats.entry_cnt == 0;
		l->table_full |= was_full;
		return e;
	}
	l->pos = snapshot->covers;
	l->good_snapshot = sequence;
	arrived(l, &l->pos, 0);
	/* relaxed: a figure for humans. */
	atomic_store_explicit(&l->status.snapshot, sequence, memory_order_relaxed);
	return PL_FEED_OK;
}

enum pl_feed_error pl_loader_end_check(struct pl_loader *l, struct pl_feed_report *report)
{
	struct pl_feed_snapshot beyond;

	if (pl_feed_store_snapshot_find(l->store, l->pos.sequence, UINT64_MAX, &beyond) != 0 ||
	    beyond.covers.stream_id != l->pos.stream_id)
		return PL_FEED_OK;
	snprintf(report->text, sizeof(report->text),
		 "segments up to %" PRIu64 " are missing, and the snapshot that has them cannot be "
		 "taken",
		 beyond.covers.sequence);
	return PL_FEED_GAP;
}

/* ---- the table that was found ---- */

void pl_loader_forget(struct pl_loader *l)
{
	uint64_t stream_id = l->pos.stream_id, known_to = l->pos.sequence;
	union pl_table_position anew;

	if (l->ahead_to > known_to)
		known_to = l->ahead_to;
	pl_loader_hush(l);
	l->pos = (struct pl_feed_pos){.stream_id = stream_id};
	/* What was told of it is not to be taken back for what an earlier segment says. */
	anew = pl_table_position_anew(stream_id, known_to);
	pl_loader_known_to(l, known_to);
	l->snapshot_to = 0;
	l->table_full = false;
	pl_loader_missing_drop(l);
	pl_loader_flags_publish(l);
	/* While it is not done everything is UNKNOWN, for what is there is not to be believed. */
	while (pl_table_clear(l->table, &anew) != 0 && !pl_loader_stopping(l)) {
		pl_loader_grow_through(l);
		wait_for_readers();
	}
}

bool pl_loader_audit(struct pl_loader *l)
{
	struct pl_table_audit audit = {0};
	char error[256] = "";
	int ret;

	do {
		ret = pl_table_audit_step(l->table, &audit, STEP_BUCKETS, error, sizeof(error));
		if (pl_loader_stopping(l))
			return true;
	} while (ret == 1);
	if (ret != 0) {
		pl_say("%s: it is emptied and loaded again, and until then everything is UNKNOWN",
		       error);
		/* relaxed: a figure for humans. */
		atomic_fetch_add_explicit(&l->status.rebuilt_cnt, 1, memory_order_relaxed);
		pl_loader_forget(l);
	}
	l->audited = true;
	pl_loader_flags_publish(l);
	return ret == 0;
}

/* ---- what the store need not keep ---- */

static bool is_good(struct pl_loader *l, const struct pl_feed_snapshot *snapshot)
{
	struct pl_feed_report report;

	if (snapshot->covers.sequence == l->bad_snapshot ||
	    snapshot->covers.stream_id != l->pos.stream_id)
		return false;
	if (snapshot->covers.sequence <= l->good_snapshot)
		return true;
	if (pl_feed_store_snapshot_read(l->store, snapshot, NULL, NULL, &report) == PL_FEED_OK) {
		l->good_snapshot = snapshot->covers.sequence;
		return true;
	}
	pl_say("feed %s: snapshot of segment %" PRIu64 ": %s", l->dir_path,
	       snapshot->covers.sequence, report.text);
	l->bad_snapshot = snapshot->covers.sequence;
	return false;
}

/* With the newest two snapshots whole, what is before the older one of them is of no more use: if
 * one of the two is found damaged the other and the tail are there. */
void pl_loader_prune(struct pl_loader *l)
{
	struct pl_feed_snapshot newest, before;
	struct pl_feed_pruned pruned;
	char error[256];
	int ret;

	if (l->behind || l->pos.sequence == UINT64_MAX ||
	    !pl_loader_due(&l->prune_s, PRUNE_EVERY_S) ||
	    pl_feed_store_snapshot_find(l->store, 0, l->pos.sequence + 1, &newest) != 0 ||
	    pl_feed_store_snapshot_find(l->store, 0, newest.covers.sequence, &before) != 0 ||
	    before.covers.sequence <= l->pruned_to || !is_good(l, &newest))
		return;
	ret = pl_intake_prune(l->intake, &before, &pruned, error, sizeof(error));
	l->pruned_to = before.covers.sequence; /* tried once, and again for the next */
	if (ret != 0) {
		pl_say("feed %s: old segments are not deleted: %s", l->dir_path, error);
		return;
	}
	/* relaxed: a figure for humans. */
	atomic_fetch_add_explicit(&l->status.pruned_cnt, pruned.segment_cnt + pruned.chunk_cnt,
				  memory_order_relaxed);
	if (pruned.segment_cnt + pruned.chunk_cnt != 0)
		pl_say("feed %s: %" PRIu64 " segments and %" PRIu64
		       " chunks deleted, which the snapshot of segment %" PRIu64 " stands for",
		       l->dir_path, pruned.segment_cnt, pruned.chunk_cnt, before.covers.sequence);
}
