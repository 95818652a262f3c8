/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The bytes by which an authority pushes segments to an appliance over TCP, both ways, and what an
 * appliance makes of what comes in: bytes in, events out, no socket and no clock. docs/protocol.md has the
 * offsets.
 *
 *     appliance: greeting 96     who it is, which stream, where its chain ends
 *     peer:      frame = 8 | one segment file's bytes, then the next one, without waiting
 *     appliance: answer 64       to each frame, in order
 *
 * Nothing that a peer says is believed but what the authority signed, so the connection itself needs
 * no secret.
 */
#ifndef PL_PUSH_H
#define PL_PUSH_H

#include "feed/pl_feed.h"
#include "intake/pl_intake.h"

#define PL_PUSH_PORT          4718u /* TCP, the default */
#define PL_PUSH_MAGIC         "PLPUSH1\n"
#define PL_PUSH_VERSION       1u
#define PL_PUSH_GREETING_SIZE 96u
#define PL_PUSH_FRAME_MAGIC   0x31464c50u /* "PLF1" */
#define PL_PUSH_FRAME_SIZE    8u
#define PL_PUSH_ANSWER_SIZE   64u
/* What a connection holds before a header that may be a segment's has come: no more. */
#define PL_PUSH_HEAD_SIZE (PL_PUSH_FRAME_SIZE + PL_FEED_HEADER_SIZE)

struct pl_push_greeting {
	uint32_t segment_size_max;
	struct pl_feed_pos
		pos;       /* where the appliance's chain ends; stream_id is the one it follows */
	uint64_t applied;  /* the newest segment that verdicts rest on */
	uint64_t snapshot; /* the newest whole snapshot that it has; 0: none */
	bool broken;       /* nothing can be stored until somebody has looked after the appliance */
};

void pl_push_greeting_write(uint8_t data[PL_PUSH_GREETING_SIZE], const struct pl_push_greeting *g);
/** false: not a greeting of this protocol and version. */
bool pl_push_greeting_read(const uint8_t data[PL_PUSH_GREETING_SIZE], struct pl_push_greeting *g);

void pl_push_frame_write(uint8_t data[PL_PUSH_FRAME_SIZE], uint32_t segment_size);

struct pl_push_answer {
	uint32_t outcome;       /* enum pl_intake_outcome, of a later version perhaps another */
	uint32_t error;         /* enum pl_feed_error, likewise */
	struct pl_feed_pos pos; /* stream_id is not sent */
	uint64_t applied;
};

void pl_push_answer_write(uint8_t data[PL_PUSH_ANSWER_SIZE], const struct pl_push_answer *a);
/** false: the bytes that are zero are not. */
bool pl_push_answer_read(const uint8_t data[PL_PUSH_ANSWER_SIZE], struct pl_push_answer *a);

/* ---- what comes in, on the appliance's side ---- */

enum pl_push_event {
	PL_PUSH_MORE,    /* more bytes are needed */
	PL_PUSH_HEAD,    /* a header that may be a segment's has come: pl_push_body_set() */
	PL_PUSH_SEGMENT, /* body holds a whole segment: pl_push_next() when done with it */
	PL_PUSH_BAD,     /* error says why; nothing more is to be read */
};

/** One connection's reading side. Zeros are the beginning; the body is the caller's. */
struct pl_push_rx {
	uint64_t
		stream_id; /* set by the caller: another one's segments are refused by their header */
	uint8_t head[PL_PUSH_HEAD_SIZE];
	uint32_t head_size;
	uint32_t body_size; /* of the segment that is coming; 0 while that is not known */
	uint32_t body_got;
	uint8_t *body;
	enum pl_feed_error error;
};

/**
 * Where the next bytes belong, and how many there is room for: 0 when an event must be seen to first.
 * Never more than the rest of the frame.
 */
uint8_t *pl_push_rx_room(struct pl_push_rx *rx, size_t *room);
/** So many bytes were put there. */
enum pl_push_event pl_push_rx_took(struct pl_push_rx *rx, size_t size);
/** body_size bytes, aligned to 8, for the segment; its header is copied there. */
enum pl_push_event pl_push_rx_body_set(struct pl_push_rx *rx, uint8_t *body);
/** Done with the segment: on to the next frame. The body is the caller's again. */
void pl_push_rx_next(struct pl_push_rx *rx);
/** Has a frame begun that is not whole? */
bool pl_push_rx_within(const struct pl_push_rx *rx);

#endif
