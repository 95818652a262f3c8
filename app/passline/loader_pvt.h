/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the loader's files: loader.c decides what is read and says how it went, loader_apply.c puts it
 * into the table, loader_position.c says in the table how far that is, loader_missing.c keeps what finds no
 * room there, loader_grow.c makes the table larger. All of it is the loader's thread. */
#ifndef PL_LOADER_PVT_H
#define PL_LOADER_PVT_H

#include "loader.h"

#define PL_LOADER_BATCH_CNT 512u

/* Of growing; tests have other ones. */
#ifndef PL_LOADER_GROW_SLOTS
#define PL_LOADER_GROW_SLOTS  65536u /* a step: some ms */
#define PL_LOADER_TURN_NS     5000000u
#define PL_LOADER_MISSING_MIN (1u << 12)
#define PL_LOADER_MISSING_MAX (1u << 24) /* entries; 256 MB */
#endif

static inline bool pl_loader_stopping(const struct pl_loader *l)
{
	/* relaxed: a flag to end soon; nothing is read under it. */
	return atomic_load_explicit(&l->stop, memory_order_relaxed);
}

/** Monotonic time, for what is done now and then. */
uint64_t pl_loader_now_s(void);

/** Is it every_s since the last time that this was true for *last_s? */
static inline bool pl_loader_due(uint64_t *last_s, uint64_t every_s)
{
	uint64_t now_s = pl_loader_now_s();

	if (*last_s != 0 && now_s < *last_s + every_s)
		return false;
	*last_s = now_s;
	return true;
}

/** Say in the status what the loader's own fields amount to. */
void pl_loader_flags_publish(struct pl_loader *l);

/** Be loading; when it returns no worker tells anything of the table any more. */
void pl_loader_hush(struct pl_loader *l);

/** pl_feed_apply_fn, ctx a struct pl_loader: one segment of the tail. */
int pl_loader_segment(void *ctx, const struct pl_feed_segment *seg);

/**
 * Make the table what a snapshot says, while it is read by workers: everything is put, then what is
 * not in it is removed, then the position is the snapshot's. On failure the table has some of it
 * and lacks nothing, and the position stays.
 */
enum pl_feed_error pl_loader_snapshot(struct pl_loader *l, const struct pl_feed_snapshot *snapshot,
				      struct pl_feed_report *report);

/**
 * The tail has no more to read: is that the end? Not where a snapshot lies beyond, one that could not be
 * taken: the authority has signed what the table lacks.
 */
enum pl_feed_error pl_loader_end_check(struct pl_loader *l, struct pl_feed_report *report);

/**
 * Look over the table that was found. If it is damaged: forget it, and begin with nothing.
 * @return false if so.
 */
bool pl_loader_audit(struct pl_loader *l);

/** A certificate found no room; or, facts 0, one is removed, which may be missing. */
void pl_loader_missing_note(struct pl_loader *l, uint64_t id, uint32_t facts);

/** There is none missing, or it is known no more which. */
void pl_loader_missing_drop(struct pl_loader *l);
/** Have so many been removed that it is worth a trial? Asked once a minute, else false. */
bool pl_loader_missing_has_room(struct pl_loader *l);
/** There is room: put what is missing. That some are is said until they are all there. */
void pl_loader_missing_put_back(struct pl_loader *l);

/**
 * Do a part of making the table larger, if that is wanted or under way; and when it is done, put what had
 * found no room.
 * @return when to come again, in ms.
 */
uint32_t pl_loader_grow(struct pl_loader *l);
/** If it is under way, all of it; not beyond two minutes. */
void pl_loader_grow_through(struct pl_loader *l);
/**
 * Say that the table cannot be made larger or not be filled, and why: once for each reason, and again when
 * it was asked for again.
 * @param asked  just now.
 */
void pl_loader_not_grown(struct pl_loader *l, int ret, bool asked, uint32_t retry_s,
			 const char *text);

/** Put the first cnt of l->batch. 0, or what was wrong with the table: full is nothing wrong, but noted. */
int pl_loader_put(struct pl_loader *l, size_t cnt);
/* ---- what the table says of itself: loader_position.c ---- */

/** Everything up to pos is in it: a process that dies now is followed by one that goes on after that; one that
 * died before applies the same again, which changes nothing. */
void pl_loader_position_set(struct pl_loader *l, const struct pl_feed_pos *pos);
/**
 * Of a full table the position stays where it was complete, and from there the next process reads on: what is
 * put from now on, of segment `next`, is ahead of that.
 * @param got_to  the last segment of which it has all that has a place.
 */
void pl_loader_position_ahead(struct pl_loader *l, uint64_t next, uint64_t got_to);
/** What is put now may be older than what was told: nothing is told any more when it returns, by the next process
 * neither. */
void pl_loader_position_back(struct pl_loader *l);
/** An empty table is to say nothing before it has facts of segments up to this one again. */
static inline void pl_loader_known_to(struct pl_loader *l, uint64_t sequence)
{
	l->ahead_to = sequence;
	l->went_back = true;
}

/** Begin with nothing: what is there is not to be believed, or not to be completed. */
void pl_loader_forget(struct pl_loader *l);

/** Delete from the store what its second newest snapshot stands for. */
void pl_loader_prune(struct pl_loader *l);

#endif
