/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection and the server that it belongs to.
 */
#ifndef PL_PUSH_SERVER_PVT_H
#define PL_PUSH_SERVER_PVT_H

#include "intake/pl_push.h"
#include "intake/pl_push_server.h"

#define READ_AT_ONCE_MAX \
	(1u << 20) /* bytes from one connection before the others have their turn */
#define MEMORY_WAIT_MS 50u
#define DRAIN_MS       1000u /* for a peer to read why it was refused */
#define NEVER_MS       UINT64_MAX

enum conn_state {
	CONN_FREE = 0,
	CONN_OPEN,
	CONN_LAST, /* what is to be written still is, then no more */
	CONN_DRAIN /* all is said; what still comes in is thrown away */
};

struct conn {
	enum conn_state state;
	int fd;
	bool proven;
	bool memory_wait;  /* a header has come, and there is no memory for its segment */
	bool segment;      /* a whole one waits to be taken */
	uint32_t interest; /* of epoll */
	uint64_t since_ms; /* when it came, or its latest segment was stored */
	uint64_t late_ms;  /* when it is closed */
	struct pl_push_rx rx;
	uint8_t out[PL_PUSH_GREETING_SIZE];
	uint32_t out_size;
	uint32_t out_done;
};
static_assert(PL_PUSH_ANSWER_SIZE <= PL_PUSH_GREETING_SIZE, "out holds both");

struct pl_push_server {
	struct pl_intake *in;
	struct pl_push_server_conf conf;
	int listen_fd;
	int epoll_fd;
	bool listening;     /* in epoll */
	uint64_t accept_ms; /* not before */
	uint64_t intake_ms; /* no segment is taken before */
	uint32_t conn_cnt;
	struct conn *conns;
	struct pl_push_server_status status;
};

/** Read, take, answer: as far as it goes without waiting. */
void pl_push_conn_step(struct pl_push_server *s, struct conn *c, uint64_t now_ms);
void pl_push_conn_greet(struct pl_push_server *s, struct conn *c, uint64_t now_ms);
void pl_push_conn_close(struct pl_push_server *s, struct conn *c);
/** The connection to lose its place, or its memory, first; NULL: none may be. */
struct conn *pl_push_conn_least(struct pl_push_server *s, uint64_t now_ms, bool with_body,
				const struct conn *but);

#endif
