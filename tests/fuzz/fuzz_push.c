/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as what a peer sends to the intake, in pieces whose sizes the input chooses: no more is
 * ever asked for than the frame has, a body is only wanted for what may be a segment of our stream, and what
 * comes out is just what went in, however it was cut.
 */
#include "intake/pl_push.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STREAM 42u

static void check_head(const struct pl_push_rx *rx)
{
	struct pl_feed_header h;

	memcpy(&h, rx->head + PL_PUSH_FRAME_SIZE, sizeof(h));
	PL_CHECK(h.stream_id == STREAM && rx->body_size == PL_FEED_SEGMENT_SIZE(h.record_cnt));
	PL_CHECK(rx->body_size >= PL_FEED_SEGMENT_SIZE(0) &&
		 rx->body_size <= PL_FEED_SEGMENT_SIZE_MAX);
}

/* The messages of the other side: what is read is what was written. */
static void check_messages(const uint8_t *data, size_t size)
{
	uint8_t again[PL_PUSH_GREETING_SIZE];
	struct pl_push_greeting g;
	struct pl_push_answer a;

	if (size >= PL_PUSH_GREETING_SIZE && pl_push_greeting_read(data, &g)) {
		struct pl_push_greeting back;

		pl_push_greeting_write(again, &g);
		PL_CHECK(pl_push_greeting_read(again, &back) && memcmp(&g, &back, sizeof(g)) == 0);
	}
	if (size >= PL_PUSH_ANSWER_SIZE && pl_push_answer_read(data, &a)) {
		pl_push_answer_write(again, &a);
		PL_CHECK(memcmp(again, data, PL_PUSH_ANSWER_SIZE) == 0);
	}
}

/* step: 0: as much as there is room for; else at most so many bytes at once. @return segments. */
static uint32_t run(const uint8_t *data, size_t size, size_t step, enum pl_feed_error *end)
{
	struct pl_push_rx rx = {.stream_id = STREAM};
	uint32_t segment_cnt = 0;
	size_t at = 0;

	while (at < size) {
		enum pl_push_event event;
		size_t room, n;
		uint8_t *to = pl_push_rx_room(&rx, &room);

		if (room == 0)
			break;
		n = size - at < room ? size - at : room;
		n = step != 0 && step < n ? step : n;
		memcpy(to, data + at, n);
		at += n;
		event = pl_push_rx_took(&rx, n);
		PL_CHECK(pl_push_rx_within(&rx));
		if (event == PL_PUSH_HEAD) {
			uint8_t *body;

			check_head(&rx);
			/* As much as was said; pages are touched as bytes come. */
			body = malloc(rx.body_size);
			PL_CHECK(body != NULL && pl_push_rx_room(&rx, &room) != NULL && room == 0);
			event = pl_push_rx_body_set(&rx, body);
		}
		if (event == PL_PUSH_SEGMENT) {
			PL_CHECK(memcmp(rx.body, data + at - rx.body_size, rx.body_size) == 0);
			free(rx.body);
			pl_push_rx_next(&rx);
			segment_cnt++;
		}
		PL_CHECK((event == PL_PUSH_BAD) == (rx.error != PL_FEED_OK));
	}
	free(rx.body);
	*end = rx.error;
	return segment_cnt;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum pl_feed_error whole, pieces;
	size_t step = size > 0 ? 1 + data[size - 1] % 13 : 1;

	check_messages(data, size);
	PL_CHECK(run(data, size, 0, &whole) == run(data, size, step, &pieces));
	PL_CHECK(whole == pieces);
	return 0;
}
