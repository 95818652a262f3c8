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
	if (h->version != PL_FEED_FORMAT_VERSION || h->kind != PL_FEED_TAIL)
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

enum pl_feed_error pl_feed_check(const uint8_t *data, size_t size,
				 const uint8_t pubkey[PL_FEED_PUBKEY_SIZE],
				 const struct pl_feed_pos *pos, struct pl_feed_segment *out)
{
	uint8_t message[PL_FEED_SIGN_SIZE];
	crypto_generichash_state state;
	struct pl_feed_segment seg;
	enum pl_feed_error e;
	size_t unsigned_size;

	PL_CHECK((uintptr_t)data % alignof(struct pl_feed_record) == 0);
	e = check_form(data, size, &seg.header);
	if (e != PL_FEED_OK)
		return e;
	if (pos != NULL && pos->stream_id != 0 && pos->stream_id != seg.header.stream_id)
		return PL_FEED_STREAM;

	unsigned_size = size - PL_FEED_SIG_SIZE;
	pl_feed_sign_message(data, unsigned_size, message, &state);
	if (crypto_sign_verify_detached(data + unsigned_size, message, sizeof(message), pubkey) !=
	    0)
		return PL_FEED_SIGNATURE;
	pl_feed_file_hash(&state, data + unsigned_size, seg.hash);

	if (pos != NULL) {
		e = check_chain(&seg.header, pos);
		if (e != PL_FEED_OK)
			return e;
	}
	seg.records = (const struct pl_feed_record *)(const void *)(data + PL_FEED_HEADER_SIZE);
	for (uint32_t i = 0; i < seg.header.record_cnt; i++)
		if (!pl_feed_record_valid(&seg.records[i]))
			return PL_FEED_RECORD;
	*out = seg;
	return PL_FEED_OK;
}

void pl_feed_advance(struct pl_feed_pos *pos, const struct pl_feed_segment *seg)
{
	pos->stream_id = seg->header.stream_id;
	pos->sequence = seg->header.sequence;
	pos->as_of = seg->header.as_of;
	memcpy(pos->hash, seg->hash, PL_FEED_HASH_SIZE);
}
