/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The appliance's side of the push protocol (pl_push.h): a TCP listener as a source of the intake.
 *
 * Anybody may connect, so everything is bounded: connections, the bytes held for all of them, and the time in which
 * whoever has begun a frame must bring it. A connection holds PL_PUSH_HEAD_SIZE bytes until a header has
 * come that may be one of our stream's segments. Where all places are taken a newcomer takes that of the connection that has
 * brought least; one that has brought a segment which was stored is safe from those that have not. So a
 * thousand idle connections keep no authority out.
 */
#ifndef PL_PUSH_SERVER_H
#define PL_PUSH_SERVER_H

#include <sys/socket.h>

#include "intake/pl_intake.h"

struct pl_push_server_conf {
	struct sockaddr_storage listen; /* AF_INET or AF_INET6 */
	uint32_t conns_max;             /* 1 .. PL_PUSH_CONNS_MAX */
	uint32_t grace_ms;              /* a newcomer has its place for so long at least */
	uint32_t head_ms;               /* from a frame's first byte to its header */
	uint32_t body_bytes_s_min;      /* after that, on average, and head_ms more */
	uint32_t answer_ms;             /* in which a peer must take an answer */
	uint64_t memory_max; /* for the segments of all connections; at least the largest one */
};

#define PL_PUSH_CONNS_MAX 1024u

/** What the appliance uses. */
void pl_push_server_conf_default(struct pl_push_server_conf *conf);

struct pl_push_server; /* opaque; one thread */

/** @return 0, or -errno with error naming the address and the remedy. in is borrowed. */
PL_MUST_USE int pl_push_server_open(struct pl_intake *in, const struct pl_push_server_conf *conf,
				    struct pl_push_server **out, char *error, size_t error_size);
/** Closes all connections. */
void pl_push_server_close(struct pl_push_server *s);

/** An epoll descriptor: readable when pl_push_server_work() has something to do. */
int pl_push_server_fd(const struct pl_push_server *s);

/**
 * Do what there is to do, at most one segment of each connection.
 * @return in how many ms to call again at the latest.
 * Blocks: on the disk; never on a peer.
 */
uint32_t pl_push_server_work(struct pl_push_server *s);

/** The port it listens on, when conf asked for any (0). */
uint16_t pl_push_server_port(const struct pl_push_server *s);

struct pl_push_server_status {
	uint32_t conn_cnt;
	uint32_t proven_cnt;   /* of these, have brought a segment that was stored */
	uint64_t memory;       /* held for segments that are coming */
	uint64_t accepted_cnt; /* connections, ever */
	uint64_t evicted_cnt;  /* closed to make room */
	uint64_t late_cnt;     /* closed for bringing too little in time */
	uint64_t bad_cnt;      /* closed for bytes that are no frame of ours */
};

/** Thread: that of pl_push_server_work(). */
void pl_push_server_status_get(const struct pl_push_server *s, struct pl_push_server_status *out);

#endif
