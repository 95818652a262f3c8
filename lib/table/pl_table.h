/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The certificate table: id -> facts, and the newest accepted scan of each certificate. One
 * writer, any number of readers; reads are wait-free whatever the writer does.
 */
#ifndef PL_TABLE_H
#define PL_TABLE_H

#include "base/pl_base.h"

#define PL_TABLE_BURST_MAX 64u

struct pl_table;        /* a mapping of the table; opaque */
struct pl_table_reader; /* one per reading thread; opaque */

enum pl_table_found {
	PL_TABLE_ABSENT = 0,
	PL_TABLE_FOUND = 1,
	PL_TABLE_UNSURE = 2, /* a bounded number of tries could not tell */
};

struct pl_table_hit {
	uint64_t slot;  /* for pl_table_seen(), valid until the reader's next burst begins */
	uint32_t facts; /* lib/cert; 0 unless found */
	uint8_t found;  /* enum pl_table_found */
};

enum pl_table_seen {
	PL_SEEN_NEW = 0,    /* newer than any accepted scan: now recorded as accepted */
	PL_SEEN_RESEND = 1, /* the very scan that was accepted last */
	PL_SEEN_REPLAYED = 2,
	PL_SEEN_UNSURE = 3, /* lost a bounded number of races */
};

/** Start fetching what the lookups of these ids touch first. */
void pl_table_prefetch(const struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt);

/**
 * Look up a burst. For full speed call pl_table_prefetch() for it a while before.
 *
 * @param cnt  0 .. PL_TABLE_BURST_MAX.
 * Thread: r's. Blocks: no. Allocates: no. Wait-free.
 */
void pl_table_find(struct pl_table_reader *r, const uint64_t *ids, uint32_t cnt,
		   struct pl_table_hit *hits);

/**
 * Accept a scan of a found certificate, unless this QR or a newer one was accepted before.
 * One CAS on the line that the lookup fetched.
 *
 * @param scan_hash  32 bits of a hash of (venue_id, scan_id): tells a resend from a copy.
 */
enum pl_table_seen pl_table_seen(struct pl_table_reader *r, const struct pl_table_hit *hit,
				 uint32_t shown_at, uint32_t scan_hash);

/** Say that no hit of an earlier burst is held any more: once per burst of the pipeline. */
void pl_table_quiesce(struct pl_table_reader *r);

#endif
