/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "feed/pl_feed_pvt.h"

struct pl_feed_writer {
	uint8_t *data; /* PL_FEED_SEGMENT_SIZE_MAX bytes: pages are touched as records come */
	uint32_t record_cnt;
};

int pl_feed_writer_create(struct pl_feed_writer **out)
{
	struct pl_feed_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->data = aligned_alloc(PL_CACHE_LINE, PL_FEED_SEGMENT_SIZE_MAX);
	if (w->data == NULL) {
		free(w);
		return -ENOMEM;
	}
	*out = w;
	return 0;
}

void pl_feed_writer_destroy(struct pl_feed_writer *w)
{
	if (w == NULL)
		return;
	free(w->data);
	free(w);
}

void pl_feed_writer_begin(struct pl_feed_writer *w)
{
	w->record_cnt = 0;
}

int pl_feed_writer_add(struct pl_feed_writer *w, uint64_t cert_id, uint32_t facts,
		       enum pl_feed_op op)
{
	struct pl_feed_record r = {.cert_id = cert_id, .facts = facts, .op = (uint8_t)op};

	if (!pl_feed_record_valid(&r))
		return -EINVAL;
	if (w->record_cnt == PL_FEED_RECORDS_MAX)
		return -ENOSPC;
	memcpy(w->data + PL_FEED_HEADER_SIZE + (size_t)w->record_cnt * PL_FEED_RECORD_SIZE, &r,
	       sizeof(r));
	w->record_cnt++;
	return 0;
}

uint32_t pl_feed_writer_record_cnt(const struct pl_feed_writer *w)
{
	return w->record_cnt;
}

/** Hash and sign what is in w->data, header included. */
static void sign(struct pl_feed_writer *w, const struct pl_feed_header *h,
		 const uint8_t seckey[PL_FEED_SECKEY_SIZE], struct pl_feed_segment *seg,
		 const uint8_t **data, size_t *size)
{
	uint8_t message[PL_FEED_SIGN_SIZE];
	crypto_generichash_state state;
	size_t unsigned_size = PL_FEED_HEADER_SIZE + (size_t)w->record_cnt * PL_FEED_RECORD_SIZE;

	memcpy(w->data, h, sizeof(*h));
	pl_feed_sign_message(w->data, unsigned_size, message, &state);
	crypto_sign_detached(w->data + unsigned_size, NULL, message, sizeof(message), seckey);

	seg->header = *h;
	seg->records = (const struct pl_feed_record *)(const void *)(w->data + PL_FEED_HEADER_SIZE);
	pl_feed_file_hash(&state, w->data + unsigned_size, seg->hash);
	*data = w->data;
	*size = unsigned_size + PL_FEED_SIG_SIZE;
}

int pl_feed_writer_seal(struct pl_feed_writer *w, const struct pl_feed_pos *pos, uint64_t as_of,
			const uint8_t seckey[PL_FEED_SECKEY_SIZE], struct pl_feed_segment *seg,
			const uint8_t **data, size_t *size)
{
	struct pl_feed_header h = {
		.version = PL_FEED_FORMAT_VERSION,
		.kind = PL_FEED_TAIL,
		.record_cnt = w->record_cnt,
		.stream_id = pos->stream_id,
		.sequence = pos->sequence + 1,
		.as_of = as_of,
	};

	memcpy(h.magic, PL_FEED_MAGIC, sizeof(h.magic));
	if (pos->sequence != 0)
		memcpy(h.previous, pos->hash, sizeof(h.previous));
	if (!pl_feed_header_sound(&h) || as_of < pos->as_of)
		return -EINVAL;
	sign(w, &h, seckey, seg, data, size);
	return 0;
}

int pl_feed_writer_seal_chunk(struct pl_feed_writer *w, const struct pl_feed_chunk_pos *pos,
			      const uint8_t seckey[PL_FEED_SECKEY_SIZE],
			      struct pl_feed_segment *seg, const uint8_t **data, size_t *size)
{
	const struct pl_feed_snapshot *of = &pos->snapshot;
	const struct pl_feed_record *records =
		(const struct pl_feed_record *)(const void *)(w->data + PL_FEED_HEADER_SIZE);
	struct pl_feed_header h = {
		.version = PL_FEED_FORMAT_VERSION,
		.kind = PL_FEED_SNAPSHOT,
		.record_cnt = w->record_cnt,
		.stream_id = of->covers.stream_id,
		.sequence = of->covers.sequence,
		.as_of = of->covers.as_of,
		.chunk_idx = pos->chunk_cnt,
		.chunk_cnt = of->chunk_cnt,
		.snapshot_record_cnt = of->record_cnt,
	};

	memcpy(h.magic, PL_FEED_MAGIC, sizeof(h.magic));
	memcpy(h.covers, of->covers.hash, sizeof(h.covers));
	if (pos->chunk_cnt != 0)
		memcpy(h.previous, pos->hash, sizeof(h.previous));
	if (!pl_feed_header_sound(&h) || pl_feed_chunk_counts(&h, pos) != PL_FEED_OK ||
	    !pl_feed_records_sorted(records, w->record_cnt, pos->id_last))
		return -EINVAL;
	sign(w, &h, seckey, seg, data, size);
	return 0;
}
