/* SPDX-License-Identifier: BSD-3-Clause */

#include "feed/pl_feed_pvt.h"

const char *pl_feed_error_name(enum pl_feed_error e)
{
	static const char *const names[] = {
#define E(id, name, text) name,
		PL_FEED_ERRORS(E)
#undef E
	};

	return (uint32_t)e < PL_ARRAY_CNT(names) ? names[e] : "?";
}

const char *pl_feed_error_text(enum pl_feed_error e)
{
	static const char *const texts[] = {
#define E(id, name, text) text,
		PL_FEED_ERRORS(E)
#undef E
	};

	return (uint32_t)e < PL_ARRAY_CNT(texts) ? texts[e] : "?";
}

void pl_feed_name(uint64_t sequence, char name[PL_FEED_NAME_SIZE])
{
	snprintf(name, PL_FEED_NAME_SIZE, PL_FEED_NAME_FORMAT, sequence);
}

uint64_t pl_feed_name_sequence(const char *name)
{
	char again[PL_FEED_NAME_SIZE];
	uint64_t sequence = 0;

	if (strnlen(name, PL_FEED_NAME_SIZE) != PL_FEED_NAME_SIZE - 1)
		return 0;
	for (uint32_t i = 0; i < 20; i++) {
		if (name[i] < '0' || name[i] > '9')
			return 0;
		sequence = sequence * 10 + (uint64_t)(name[i] - '0'); /* may wrap: see below */
	}
	/* The one form that a sequence has; a number over 64 bits comes back as another. */
	pl_feed_name(sequence, again);
	return memcmp(name, again, PL_FEED_NAME_SIZE) == 0 ? sequence : 0;
}

void pl_feed_chunk_name(uint64_t sequence, uint32_t chunk_idx, char name[PL_FEED_CHUNK_NAME_SIZE])
{
	PL_CHECK(chunk_idx < PL_FEED_CHUNKS_MAX);
	snprintf(name, PL_FEED_CHUNK_NAME_SIZE, PL_FEED_CHUNK_NAME_FORMAT, sequence, chunk_idx);
}

bool pl_feed_chunk_name_parse(const char *name, uint64_t *sequence, uint32_t *chunk_idx)
{
	char tail[PL_FEED_NAME_SIZE], again[PL_FEED_CHUNK_NAME_SIZE];
	uint32_t idx = 0;
	uint64_t seq;

	if (strnlen(name, PL_FEED_CHUNK_NAME_SIZE) != PL_FEED_CHUNK_NAME_SIZE - 1)
		return false;
	for (uint32_t i = 21; i < 26; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		idx = idx * 10 + (uint32_t)(name[i] - '0');
	}
	/* The number before it, by way of the segment's name that has it. */
	memcpy(tail, name, 20);
	memcpy(tail + 20, ".plseg", 7);
	seq = pl_feed_name_sequence(tail);
	if (seq == 0 || idx >= PL_FEED_CHUNKS_MAX)
		return false;
	pl_feed_chunk_name(seq, idx, again);
	if (memcmp(name, again, sizeof(again)) != 0)
		return false;
	*sequence = seq;
	*chunk_idx = idx;
	return true;
}

/** What can be said of the bytes before any of them is believed. */
static enum pl_feed_error check_form(const uint8_t *data, size_t size, struct pl_feed_header *h)
{
	if (size < PL_FEED_HEADER_SIZE) {
		size_t cmp_size = size < sizeof(h->magic) ? size : sizeof(h->magic);

		return memcmp(data, PL_FEED_MAGIC, cmp_size) == 0 ? PL_FEED_TRUNCATED
								  : PL_FEED_NOT_SEGMENT;
	}
	memcpy(h, data, sizeof(*h));
	if (memcmp(h->magic, PL_FEED_MAGIC, sizeof(h->magic)) != 0)
		return PL_FEED_NOT_SEGMENT;
	if (h->version != PL_FEED_FORMAT_VERSION ||
	    (h->kind != PL_FEED_TAIL && h->kind != PL_FEED_SNAPSHOT))
		return PL_FEED_VERSION;
	if (h->record_cnt > PL_FEED_RECORDS_MAX)
		return PL_FEED_OVERSIZED;
	if (size != PL_FEED_SEGMENT_SIZE(h->record_cnt))
		return size < PL_FEED_SEGMENT_SIZE(h->record_cnt) ? PL_FEED_TRUNCATED
								  : PL_FEED_OVERSIZED;
	return pl_feed_header_sound(h) ? PL_FEED_OK : PL_FEED_HEADER;
}

static enum pl_feed_error check_chain(const struct pl_feed_header *h, const struct pl_feed_pos *pos)
{
	if (h->sequence <= pos->sequence)
		return PL_FEED_OLD;
	if (h->sequence != pos->sequence + 1)
		return PL_FEED_GAP;
	/* At the beginning both are zeros: pl_feed_header_sound(). */
	if (pos->sequence != 0 && memcmp(h->previous, pos->hash, PL_FEED_HASH_SIZE) != 0)
		return PL_FEED_FORK;
	return h->as_of < pos->as_of ? PL_FEED_TIME : PL_FEED_OK;
}

static enum pl_feed_error check_chunk_chain(const struct pl_feed_header *h,
					    const struct pl_feed_chunk_pos *pos)
{
	struct pl_feed_snapshot of;

	pl_feed_snapshot_of(h, &of);
	if (memcmp(&of.covers, &pos->snapshot.covers, sizeof(of.covers)) != 0 ||
	    of.chunk_cnt != pos->snapshot.chunk_cnt || of.record_cnt != pos->snapshot.record_cnt)
		return PL_FEED_FORK;
	if (h->chunk_idx != pos->chunk_cnt)
		return h->chunk_idx < pos->chunk_cnt ? PL_FEED_OLD : PL_FEED_GAP;
	if (h->chunk_idx != 0 && memcmp(h->previous, pos->hash, PL_FEED_HASH_SIZE) != 0)
		return PL_FEED_FORK;
	return pl_feed_chunk_counts(h, pos);
}

/** Form, stream and signature: what is so of the bytes wherever they belong. */
static enum pl_feed_error check_bytes(const uint8_t *data, size_t size,
				      const uint8_t pubkey[PL_FEED_PUBKEY_SIZE], uint64_t stream_id,
				      struct pl_feed_segment *seg)
{
	uint8_t message[PL_FEED_SIGN_SIZE];
	crypto_generichash_state state;
	size_t unsigned_size;
	enum pl_feed_error e;

	PL_CHECK((uintptr_t)data % alignof(struct pl_feed_record) == 0);
	e = check_form(data, size, &seg->header);
	if (e != PL_FEED_OK)
		return e;
	if (stream_id != 0 && stream_id != seg->header.stream_id)
		return PL_FEED_STREAM;

	unsigned_size = size - PL_FEED_SIG_SIZE;
	pl_feed_sign_message(data, unsigned_size, message, &state);
	if (crypto_sign_verify_detached(data + unsigned_size, message, sizeof(message), pubkey) !=
	    0)
		return PL_FEED_SIGNATURE;
	pl_feed_file_hash(&state, data + unsigned_size, seg->hash);
	seg->records = (const struct pl_feed_record *)(const void *)(data + PL_FEED_HEADER_SIZE);
	return PL_FEED_OK;
}

static enum pl_feed_error check_records(const struct pl_feed_segment *seg, uint64_t id_above)
{
	for (uint32_t i = 0; i < seg->header.record_cnt; i++)
		if (!pl_feed_record_valid(&seg->records[i]))
			return PL_FEED_RECORD;
	if (seg->header.kind == PL_FEED_SNAPSHOT &&
	    !pl_feed_records_sorted(seg->records, seg->header.record_cnt, id_above))
		return PL_FEED_RECORD;
	return PL_FEED_OK;
}

enum pl_feed_error pl_feed_check(const uint8_t *data, size_t size,
				 const uint8_t pubkey[PL_FEED_PUBKEY_SIZE],
				 const struct pl_feed_pos *pos, struct pl_feed_segment *out)
{
	struct pl_feed_segment seg;
	enum pl_feed_error e;

	e = check_bytes(data, size, pubkey, pos != NULL ? pos->stream_id : 0, &seg);
	if (e == PL_FEED_OK && pos != NULL)
		e = seg.header.kind == PL_FEED_TAIL ? check_chain(&seg.header, pos) : PL_FEED_KIND;
	if (e == PL_FEED_OK)
		e = check_records(&seg, 0);
	if (e == PL_FEED_OK)
		*out = seg;
	return e;
}

enum pl_feed_error pl_feed_check_chunk(const uint8_t *data, size_t size,
				       const uint8_t pubkey[PL_FEED_PUBKEY_SIZE],
				       const struct pl_feed_chunk_pos *pos,
				       struct pl_feed_segment *out)
{
	struct pl_feed_segment seg;
	enum pl_feed_error e;

	e = check_bytes(data, size, pubkey, pos->snapshot.covers.stream_id, &seg);
	if (e == PL_FEED_OK)
		e = seg.header.kind == PL_FEED_SNAPSHOT ? check_chunk_chain(&seg.header, pos)
							: PL_FEED_KIND;
	if (e == PL_FEED_OK)
		e = check_records(&seg, pos->id_last);
	if (e == PL_FEED_OK)
		*out = seg;
	return e;
}

void pl_feed_advance(struct pl_feed_pos *pos, const struct pl_feed_segment *seg)
{
	pos->stream_id = seg->header.stream_id;
	pos->sequence = seg->header.sequence;
	pos->as_of = seg->header.as_of;
	memcpy(pos->hash, seg->hash, PL_FEED_HASH_SIZE);
}

void pl_feed_chunk_advance(struct pl_feed_chunk_pos *pos, const struct pl_feed_segment *seg)
{
	uint32_t cnt = seg->header.record_cnt;

	pos->chunk_cnt++;
	pos->record_cnt += cnt;
	if (cnt > 0)
		pos->id_last = seg->records[cnt - 1].cert_id;
	memcpy(pos->hash, seg->hash, PL_FEED_HASH_SIZE);
}

bool pl_feed_chunk_complete(const struct pl_feed_chunk_pos *pos)
{
	return pos->chunk_cnt > 0 && pos->chunk_cnt == pos->snapshot.chunk_cnt;
}

void pl_feed_snapshot_of(const struct pl_feed_header *h, struct pl_feed_snapshot *out)
{
	*out = (struct pl_feed_snapshot){
		.covers = {.stream_id = h->stream_id, .sequence = h->sequence, .as_of = h->as_of},
		.record_cnt = h->snapshot_record_cnt,
		.chunk_cnt = h->chunk_cnt,
	};
	memcpy(out->covers.hash, h->covers, PL_FEED_HASH_SIZE);
}
