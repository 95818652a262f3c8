/* SPDX-License-Identifier: BSD-3-Clause */
#include "intake/pl_push.h"

/* These numbers are on the wire (docs/protocol.md): new ones come behind. */
static_assert(PL_FEED_STREAM == 5 && PL_FEED_GAP == 10 && PL_FEED_TIME == 13, "reasons");
static_assert(PL_INTAKE_HELD == 1 && PL_INTAKE_BROKEN == 4, "outcomes");
static_assert(sizeof(PL_PUSH_MAGIC) == 9, "eight bytes and the NUL");

#define FLAG_BROKEN 1u

/* The same 56 bytes in greeting and answer: sequence, as_of, applied, hash. */
static void pos_write(uint8_t *data, const struct pl_feed_pos *pos, uint64_t applied)
{
	pl_le64_put(data, pos->sequence);
	pl_le64_put(data + 8, pos->as_of);
	pl_le64_put(data + 16, applied);
	memcpy(data + 24, pos->hash, PL_FEED_HASH_SIZE);
}

static void pos_read(const uint8_t *data, struct pl_feed_pos *pos, uint64_t *applied)
{
	pos->sequence = pl_le64_get(data);
	pos->as_of = pl_le64_get(data + 8);
	*applied = pl_le64_get(data + 16);
	memcpy(pos->hash, data + 24, PL_FEED_HASH_SIZE);
}

void pl_push_greeting_write(uint8_t data[PL_PUSH_GREETING_SIZE], const struct pl_push_greeting *g)
{
	memset(data, 0, PL_PUSH_GREETING_SIZE);
	memcpy(data, PL_PUSH_MAGIC, 8);
	pl_le16_put(data + 8, PL_PUSH_VERSION);
	pl_le16_put(data + 10, g->broken ? FLAG_BROKEN : 0);
	pl_le32_put(data + 12, g->segment_size_max);
	pl_le64_put(data + 16, g->pos.stream_id);
	pos_write(data + 24, &g->pos, g->applied);
	pl_le64_put(data + 80, g->snapshot);
}

bool pl_push_greeting_read(const uint8_t data[PL_PUSH_GREETING_SIZE], struct pl_push_greeting *g)
{
	if (memcmp(data, PL_PUSH_MAGIC, 8) != 0 || pl_le16_get(data + 8) != PL_PUSH_VERSION)
		return false;
	memset(g, 0, sizeof(*g));
	g->broken = pl_le16_get(data + 10) & FLAG_BROKEN;
	g->segment_size_max = pl_le32_get(data + 12);
	g->pos.stream_id = pl_le64_get(data + 16);
	pos_read(data + 24, &g->pos, &g->applied);
	g->snapshot = pl_le64_get(data + 80);
	return g->pos.stream_id != 0;
}

void pl_push_frame_write(uint8_t data[PL_PUSH_FRAME_SIZE], uint32_t segment_size)
{
	pl_le32_put(data, PL_PUSH_FRAME_MAGIC);
	pl_le32_put(data + 4, segment_size);
}

void pl_push_answer_write(uint8_t data[PL_PUSH_ANSWER_SIZE], const struct pl_push_answer *a)
{
	memset(data, 0, PL_PUSH_ANSWER_SIZE);
	data[0] = (uint8_t)a->outcome;
	data[1] = (uint8_t)a->error;
	pos_write(data + 8, &a->pos, a->applied);
}

bool pl_push_answer_read(const uint8_t data[PL_PUSH_ANSWER_SIZE], struct pl_push_answer *a)
{
	memset(a, 0, sizeof(*a));
	a->outcome = data[0];
	a->error = data[1];
	pos_read(data + 8, &a->pos, &a->applied);
	return pl_le16_get(data + 2) == 0 && pl_le32_get(data + 4) == 0;
}

/* ---- reading ---- */

uint8_t *pl_push_rx_room(struct pl_push_rx *rx, size_t *room)
{
	*room = 0;
	if (rx->error != PL_FEED_OK)
		return rx->head;
	/* First the frame's eight bytes alone: the segment may be shorter than a header. */
	if (rx->head_size < PL_PUSH_FRAME_SIZE) {
		*room = PL_PUSH_FRAME_SIZE - rx->head_size;
		return rx->head + rx->head_size;
	}
	if (rx->head_size < PL_PUSH_HEAD_SIZE) {
		*room = PL_PUSH_HEAD_SIZE - rx->head_size;
		return rx->head + rx->head_size;
	}
	if (rx->body == NULL)
		return rx->head;
	*room = rx->body_size - rx->body_got;
	return rx->body + rx->body_got;
}

static enum pl_push_event bad(struct pl_push_rx *rx, enum pl_feed_error e)
{
	rx->error = e;
	return PL_PUSH_BAD;
}

static enum pl_push_event frame_begun(struct pl_push_rx *rx)
{
	rx->body_size = pl_le32_get(rx->head + 4);
	if (pl_le32_get(rx->head) != PL_PUSH_FRAME_MAGIC)
		return bad(rx, PL_FEED_NOT_SEGMENT);
	if (rx->body_size > PL_FEED_SEGMENT_SIZE_MAX)
		return bad(rx, PL_FEED_OVERSIZED);
	if (rx->body_size < PL_FEED_SEGMENT_SIZE(0))
		return bad(rx, PL_FEED_TRUNCATED);
	return PL_PUSH_MORE;
}

/* Of an unsigned header only form and stream are looked at: what cannot become a segment of ours gets
 * no memory. */
static enum pl_push_event header_come(struct pl_push_rx *rx)
{
	struct pl_feed_header h;
	uint64_t size;

	memcpy(&h, rx->head + PL_PUSH_FRAME_SIZE, sizeof(h));
	if (memcmp(h.magic, PL_FEED_MAGIC, sizeof(h.magic)) != 0)
		return bad(rx, PL_FEED_NOT_SEGMENT);
	if (h.version != PL_FEED_FORMAT_VERSION ||
	    (h.kind != PL_FEED_TAIL && h.kind != PL_FEED_SNAPSHOT))
		return bad(rx, PL_FEED_VERSION);
	if (h.record_cnt > PL_FEED_RECORDS_MAX)
		return bad(rx, PL_FEED_OVERSIZED);
	size = PL_FEED_SEGMENT_SIZE(h.record_cnt);
	if (size != rx->body_size)
		return bad(rx, rx->body_size < size ? PL_FEED_TRUNCATED : PL_FEED_OVERSIZED);
	if (h.stream_id != rx->stream_id)
		return bad(rx, PL_FEED_STREAM);
	return PL_PUSH_HEAD;
}

enum pl_push_event pl_push_rx_took(struct pl_push_rx *rx, size_t size)
{
	size_t room;

	(void)pl_push_rx_room(rx, &room);
	PL_CHECK(size <= room);
	if (size == 0)
		return PL_PUSH_MORE;
	if (rx->body == NULL) {
		rx->head_size += (uint32_t)size;
		if (rx->head_size == PL_PUSH_FRAME_SIZE)
			return frame_begun(rx);
		return rx->head_size == PL_PUSH_HEAD_SIZE ? header_come(rx) : PL_PUSH_MORE;
	}
	rx->body_got += (uint32_t)size;
	return rx->body_got == rx->body_size ? PL_PUSH_SEGMENT : PL_PUSH_MORE;
}

enum pl_push_event pl_push_rx_body_set(struct pl_push_rx *rx, uint8_t *body)
{
	PL_CHECK(rx->body == NULL && rx->head_size == PL_PUSH_HEAD_SIZE && rx->error == PL_FEED_OK);
	memcpy(body, rx->head + PL_PUSH_FRAME_SIZE, PL_FEED_HEADER_SIZE);
	rx->body = body;
	rx->body_got = PL_FEED_HEADER_SIZE;
	return PL_PUSH_MORE; /* the signature is still to come */
}

void pl_push_rx_next(struct pl_push_rx *rx)
{
	rx->head_size = 0;
	rx->body_size = 0;
	rx->body_got = 0;
	rx->body = NULL;
}

bool pl_push_rx_within(const struct pl_push_rx *rx)
{
	return rx->head_size > 0;
}
