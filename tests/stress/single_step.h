/* SPDX-License-Identifier: BSD-3-Clause */
/* A table's writer as a child that stops itself with SIGSTOP, goes on one instruction at a time, and
 * stops itself again when what it does is done. */
#ifndef SINGLE_STEP_H
#define SINGLE_STEP_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "table/pl_table.h"

/* The child becomes the writer of the table at path, stops, acts, stops. */
static inline pid_t step_start(const char *path, void (*act)(struct pl_table *t, const void *arg),
			       const void *arg)
{
	pid_t child = fork();
	int status;

	assert_int_not_equal(child, -1);
	if (child == 0) {
		struct pl_table_conf conf = {.path = path, .numa_node = -1};
		struct pl_table *t;
		char error[256];

		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 ||
		    pl_table_attach(&conf, true, &t, error, sizeof(error)) != 0)
			_exit(1);
		raise(SIGSTOP);
		act(t, arg);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status))
		fail_msg("the child ended with %d before it stopped", WEXITSTATUS(status));
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	/* Whatever becomes of us: a failed test leaves nobody behind. */
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL), 0);
	return child;
}

/* One instruction. False at the second stop. */
static inline bool step_one(pid_t child)
{
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status))
		fail_msg("the child ended with %d", WEXITSTATUS(status));
	assert_true(WIFSTOPPED(status));
	if (WSTOPSIG(status) == SIGSTOP)
		return false;
	assert_int_equal(WSTOPSIG(status), SIGTRAP);
	return true;
}

static inline void step_kill(pid_t child)
{
	int status;

	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

#endif
