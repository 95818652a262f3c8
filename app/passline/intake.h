/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The intake's thread, beside control on its CPU: it watches the directory in which segments arrive
 * and serves the authority's connections. All that they bring goes through pl_intake_submit().
 */
#ifndef PL_APP_INTAKE_H
#define PL_APP_INTAKE_H

#include <pthread.h>
#include <stdatomic.h>

#include "config.h"
#include "intake/pl_intake.h"
#include "intake/pl_intake_dir.h"
#include "intake/pl_push_server.h"
#include "worker.h"

struct pl_intake_thread {
	struct pl_intake *in; /* the one that the control socket and the loader use, too */
	struct pl_intake_dir *dir PL_OWNED_BY(intake); /* NULL: none is configured */
	const char *dir_path;
	struct pl_live *live;
	struct pl_push_server *server PL_OWNED_BY(intake); /* NULL: none is configured */
	pthread_t thread;
	int stop_fd; /* an eventfd: written once, to stop */
	_Atomic bool stop PL_SHARED(ctrl, intake);
	_Atomic bool dir_idle PL_SHARED(intake, ctrl);  /* nothing is left to be taken from it */
	_Atomic bool dir_stuck PL_SHARED(intake, ctrl); /* something is, and cannot be */
	bool running;
	pthread_mutex_t lock; /* for the copies below, between the thread and who shows them */
	struct pl_push_server_status server_status;
	char told[PL_INTAKE_TEXT_SIZE]; /* of the directory: what is wrong with it; else "" */
};

/** Lock the store and look at what is there: before anything reads it. */
PL_MUST_USE int pl_intake_thread_open(struct pl_intake_thread *t, const struct pl_config *c,
				      struct pl_live *live, char *error, size_t error_size);
/** Take segments from now on. */
PL_MUST_USE int pl_intake_thread_start(struct pl_intake_thread *t, char *error, size_t error_size);
/** What the connections are doing. Thread: any. @return false: none are listened for. */
bool pl_intake_thread_server(struct pl_intake_thread *t, struct pl_push_server_status *out);
/** How the intake is, for people: what the watched directory cannot give counts as behind. Thread: any. */
void pl_intake_thread_status(struct pl_intake_thread *t, struct pl_intake_status *out);
/** No more segments; the store stays locked, for whoever reads it. */
void pl_intake_thread_stop(struct pl_intake_thread *t);
/** Does nothing for one that was not opened. */
void pl_intake_thread_close(struct pl_intake_thread *t);

/**
 * Tell workers PL_FLAG_INTAKE if segments are refused or cannot be stored, or if some that were lacking
 * are not in the table yet: the intake's thread by itself, and whoever has just submitted one.
 * @param out  what it says of itself.
 * @return it refuses, or cannot store.
 * Thread: any. Blocks: no.
 */
bool pl_intake_thread_flags(struct pl_intake_thread *t, struct pl_intake_status *out);

#endif
