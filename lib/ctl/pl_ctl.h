/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The control socket: a Unix stream socket on which an operator's program asks and a server
 * answers, one request at a time.
 *
 *   request:  one line of JSON, {"command": "...", "args": {...}, "size": N}, and N raw bytes
 *   reply:    any number of lines {"progress": {...}}, then one line
 *             {"ok": true, "result": ...} or {"ok": false, "error": "...", "code": "EINVAL"}
 *
 * "args" and "size" may be left out. A connection may carry several requests, one after the other.
 *
 * The server: one thread polls all sockets, and lanes of their own run handlers that are quick, slow,
 * or change something, so that neither a client that is slow, silent or hostile nor a long piece of work
 * keeps anyone else waiting. Everything is bounded: clients, bytes, and the time that a client
 * takes to say what it wants and to read the answer.
 */
#ifndef PL_CTL_H
#define PL_CTL_H

#include <pthread.h>
#include <sys/types.h>

#include <jansson.h>

#include "base/pl_base.h"

#define PL_CTL_LINE_SIZE_MAX    16384u      /* bytes of a request's line, its end included */
#define PL_CTL_DEPTH_MAX        8u          /* of objects and arrays in each other */
#define PL_CTL_COMMAND_SIZE_MAX 63u         /* bytes */
#define PL_CTL_PAYLOAD_SIZE_MAX (32u << 20) /* bytes behind one request */
#define PL_CTL_PAYLOADS_SIZE    (96u << 20) /* bytes of all requests at a time */
#define PL_CTL_REPLY_SIZE_MAX   (16u << 20) /* bytes of a reply's line */
#define PL_CTL_PROGRESS_SIZE    65536u      /* bytes of progress that nobody has read yet */
#define PL_CTL_ERROR_SIZE       32768u      /* bytes of an error's text */
#define PL_CTL_CLIENTS_MAX      32u         /* connections at a time */
#define PL_CTL_LINE_MS          5000u       /* from connecting to the request's last byte */
#define PL_CTL_PAYLOAD_MS       60000u      /* for the bytes behind it */
#define PL_CTL_WRITE_MS         10000u      /* for reading the reply */

/** Who is at the other end, as the kernel says (SO_PEERCRED, of the moment of connecting). */
struct pl_ctl_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/** A request in the hands of its handler; all of it borrowed for the call. */
struct pl_ctl_call {
	const char *command;
	const json_t *args;     /* an object, perhaps empty */
	const uint8_t *payload; /* aligned to 16 bytes; NULL if there is none */
	size_t payload_size;
	struct pl_ctl_peer peer;

	/* The handler's answer. */
	json_t *result; /* the server frees it; NULL is told as null */
	char *error;    /* "" at first; what is wrong, the limit and the remedy */
	size_t error_size;
};

/**
 * Carry out one request. Runs on a lane's thread, one at a time on each.
 * @return 0: call->result is told; or -errno: call->error is told, and call->result if it is set.
 */
typedef int (*pl_ctl_handler)(void *ctx, struct pl_ctl_call *call);

/** Where a command runs: those of one lane one after another, lanes beside each other. */
enum pl_ctl_lane_id {
	PL_CTL_QUICK = 0, /* never waits, never works long */
	PL_CTL_SLOW = 1,  /* may wait for a disk, or work long */
	PL_CTL_CHANGE =
		2, /* what must not stand behind long work, but may wait for another thread */
	PL_CTL_LANE_CNT
};

/** One line of the dispatch table. Static storage. */
struct pl_ctl_command {
	const char *name; /* one or more words of small letters, one blank between them */
	pl_ctl_handler handler;
	uint32_t payload_size_max; /* 0: no bytes may follow. At most PL_CTL_PAYLOAD_SIZE_MAX */
	uint8_t lane;              /* enum pl_ctl_lane_id */
	const char *help;          /* what it does, for "help" */
};

/** Tell the client how far it is. A line that finds no room because nobody reads is dropped. Takes
 * the reference. Thread: the handler's. */
void pl_ctl_progress(const struct pl_ctl_call *call, json_t *progress);
/** Has the client gone, or does the server stop? A long handler asks now and then, and ends. */
bool pl_ctl_cancelled(const struct pl_ctl_call *call);

/* ---- arguments and texts ---- */

/** Refuse arguments that are not in the list of cnt names. @return 0 or -EINVAL with call->error. */
PL_MUST_USE int pl_ctl_args_known(struct pl_ctl_call *call, const char *const *names, size_t cnt);
/** A whole number; def if it is absent. @return 0 or -EINVAL with call->error. */
PL_MUST_USE int pl_ctl_arg_number(struct pl_ctl_call *call, const char *name, uint64_t def,
				  uint64_t min, uint64_t max, uint64_t *out);
/** A text; NULL if it is absent. Borrowed. @return 0 or -EINVAL with call->error. */
PL_MUST_USE int pl_ctl_arg_text(struct pl_ctl_call *call, const char *name, const char **out);
/** A JSON string of any bytes: what is not UTF-8 (a path may be so) is told as '?'. */
json_t *pl_ctl_text(const char *text);

/* ---- the request's line ---- */

struct pl_ctl_request {
	char command[PL_CTL_COMMAND_SIZE_MAX + 1];
	json_t *args; /* an object; the caller's to json_decref() */
	uint32_t payload_size;
};

/**
 * Take a request's line apart.
 *
 * @param line  size bytes without the newline; any bytes.
 * @param out   zeroed on error.
 * @return 0; -EINVAL for what is no request; -E2BIG for a payload over the limit; -ENOMEM.
 */
PL_MUST_USE int pl_ctl_request_parse(const char *line, size_t size, struct pl_ctl_request *out,
				     char *error, size_t error_size);

/* ---- the server ---- */

struct pl_ctl_server;

struct pl_ctl_server_conf {
	const char *path;  /* of the socket; its directory must be there */
	const char *owner; /* name of a user; NULL or "": this process's */
	const char *group; /* name of a group; NULL or "": this process's */
	uint32_t mode;     /* of the socket: 0600, 0660 */
	const struct pl_ctl_command *commands;
	uint32_t command_cnt;
	void *ctx; /* for the handlers */
	/* As pthread_create(): 0 or an error number. NULL: pthread_create(). */
	int (*thread_create)(pthread_t *thread, const char *name, void *(*main_fn)(void *),
			     void *arg);
	/* 0: the limits above. */
	uint32_t clients_max;
	uint32_t line_ms;
	uint32_t payload_ms;
	uint32_t write_ms;
};

/** What became of those who connected. */
struct pl_ctl_stats {
	uint64_t accepted;
	uint64_t requests; /* that reached a handler */
	uint64_t refused;  /* malformed, unknown, too large, or no room */
	uint64_t late;     /* closed because they took too long */
	uint64_t evicted;  /* closed unfinished, oldest first, to let another in */
};

/** Are there such a user and group? For a check before anything starts. */
PL_MUST_USE int pl_ctl_names_check(const char *owner, const char *group, char *error,
				   size_t error_size);

/**
 * Make the socket and serve it.
 *
 * The socket appears under its path with its mode and owner already set. PATH.lock, which stays,
 * is locked while a server lives: a second one on the same path is refused (-EADDRINUSE), while a
 * socket that a dead one left is replaced. What is no socket is not touched (-EEXIST). A directory
 * that everybody may write to is refused (-EPERM), unless it is sticky.
 *
 * @return 0, or -errno with error naming the path and the remedy.
 * Thread: any. It blocks SIGPIPE in its own writes only.
 */
PL_MUST_USE int pl_ctl_server_start(const struct pl_ctl_server_conf *conf,
				    struct pl_ctl_server **out, char *error, size_t error_size);
/** Removes the socket, waits for the handlers under way, frees. NULL is fine. */
void pl_ctl_server_stop(struct pl_ctl_server *s);
void pl_ctl_server_stats(struct pl_ctl_server *s, struct pl_ctl_stats *out);

/* ---- the client ---- */

/** @return a socket, or -errno with error naming the path and what to look at. */
PL_MUST_USE int pl_ctl_connect(const char *path, char *error, size_t error_size);

typedef void (*pl_ctl_progress_fn)(void *ctx, const json_t *progress);

/**
 * Ask, and wait for the answer.
 *
 * @param args        an object, or NULL. Not changed.
 * @param timeout_ms  for each step of the way: sending, and every line of the reply; -1: for ever.
 * @param progress    may be NULL.
 * @param reply       the reply's object, with "ok" and the rest; the caller's to json_decref().
 * @return 0 if there is a reply, whatever it says; -ETIMEDOUT, -EPIPE, -EPROTO or another -errno
 *         with error.
 */
PL_MUST_USE int pl_ctl_ask(int fd, const char *command, json_t *args, const void *payload,
			   size_t payload_size, int timeout_ms, pl_ctl_progress_fn progress,
			   void *ctx, json_t **reply, char *error, size_t error_size);

#endif
