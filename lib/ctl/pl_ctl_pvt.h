/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PL_CTL_PVT_H
#define PL_CTL_PVT_H

#include <stdatomic.h>

#include "ctl/pl_ctl.h"

/* ---- pl_ctl_path.c ---- */

/** A socket that listens under a path, and what removes it again. */
struct pl_ctl_listener {
	int fd;
	int lock_fd;
	int dir_fd;
	char name[64]; /* in the directory */
};

PL_MUST_USE int pl_ctl_listen(const struct pl_ctl_server_conf *conf, struct pl_ctl_listener *l,
			      char *error, size_t error_size);
void pl_ctl_unlisten(struct pl_ctl_listener *l);

/* ---- pl_ctl_exec.c ---- */

enum pl_ctl_conn_state {
	PL_CTL_READ_LINE,
	PL_CTL_READ_PAYLOAD,
	PL_CTL_RUNNING, /* in a lane's queue or in its handler's hands */
	PL_CTL_WRITE,
};

/** One connection. The poll thread's, but for what says otherwise. */
struct pl_ctl_conn {
	int fd; /* -1: the client went while its request ran */
	enum pl_ctl_conn_state state;
	struct pl_ctl_server *server;
	struct pl_ctl_peer peer;
	uint64_t deadline_ms;
	uint64_t since_ms; /* of connecting or the last reply: who is evicted first */
	bool closing;      /* once the reply is out */
	char *in;          /* PL_CTL_LINE_SIZE_MAX bytes */
	size_t in_used;
	struct pl_ctl_request request;
	const struct pl_ctl_command *command;
	uint8_t *payload;
	size_t payload_used;
	struct pl_ctl_conn *next; /* in the lane's queue; server->lock */
	char *out;                /* server->lock */
	size_t out_size;          /* server->lock */
	size_t out_sent;          /* server->lock */
	bool done;                /* server->lock: the reply's last line is in out */
	_Atomic bool cancelled PL_SHARED(poll thread, handler);
};

struct pl_ctl_lane {
	struct pl_ctl_server *server;
	pthread_t thread;
	bool running;
	pthread_cond_t wake;
	struct pl_ctl_conn *first; /* server->lock */
	struct pl_ctl_conn *last;  /* server->lock */
	char error[PL_CTL_ERROR_SIZE];
};

struct pl_ctl_server {
	struct pl_ctl_server_conf conf;
	struct pl_ctl_listener listener;
	pthread_t thread;
	bool running;
	int wake_fd; /* eventfd: there is something for the poll thread */
	pthread_mutex_t lock;
	bool stop; /* lock */
	_Atomic bool stopping PL_SHARED(stopper, handlers);
	struct pl_ctl_lane lanes[PL_CTL_LANE_CNT];
	struct pl_ctl_conn **conns;
	uint32_t conn_cnt;
	size_t payloads_size;                               /* bytes held for payloads */
	struct pl_ctl_stats stats PL_OWNED_BY(poll thread); /* written under lock */
};

PL_MUST_USE int pl_ctl_lanes_start(struct pl_ctl_server *s);
void pl_ctl_lanes_stop(struct pl_ctl_server *s);
/** Give a connection's request to its lane. */
void pl_ctl_lane_add(struct pl_ctl_conn *c);
/** Append a line to what the client is to read. lock is held. @return false: no memory or room. */
bool pl_ctl_out_add(struct pl_ctl_conn *c, json_t *line, size_t size_max);
/** The last line of a reply. lock is held. */
void pl_ctl_out_reply(struct pl_ctl_conn *c, int rc, json_t *result, const char *error);
void pl_ctl_wake(struct pl_ctl_server *s);

#endif
