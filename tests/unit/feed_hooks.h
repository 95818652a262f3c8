/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The feed's store with its system calls that change the disk behind hooks, to die or to fail at
 * any one of them. Included by a test in place of linking the store.
 */
#ifndef FEED_HOOKS_H
#define FEED_HOOKS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pl_base.h"

static ssize_t hook_write(int fd, const void *data, size_t size);
static int hook_fsync(int fd);
static int hook_renameat(int from_fd, const char *from, int to_fd, const char *to);
static int hook_unlinkat(int fd, const char *name, int flags);

#define write(fd, data, size)          hook_write(fd, data, size)
#define fsync(fd)                      hook_fsync(fd)
#define renameat(from_fd, a, to_fd, b) hook_renameat(from_fd, a, to_fd, b)
#define unlinkat(fd, name, flags)      hook_unlinkat(fd, name, flags)
#include "../../lib/feed/pl_feed_store.c"
#include "../../lib/feed/pl_feed_snapshot.c"
#undef write
#undef fsync
#undef renameat
#undef unlinkat

#define DIED 9

static struct {
	uint32_t point;    /* how many hooked calls so far */
	uint32_t die_at;   /* die at this one, counted from 1; 0: never */
	uint32_t fsyncs;   /* how many fsync() so far */
	uint32_t fsync_at; /* this one fails, and all after it would succeed */
	int write_errno;   /* writing fails with this, after half */
} hook;

static bool dies_here(void)
{
	return ++hook.point == hook.die_at;
}

static ssize_t hook_write(int fd, const void *data, size_t size)
{
	if (dies_here()) {
		PL_CHECK(write(fd, data, size / 2) == (ssize_t)(size / 2));
		_exit(DIED);
	}
	if (hook.write_errno != 0) {
		PL_CHECK(write(fd, data, size / 2) == (ssize_t)(size / 2));
		errno = hook.write_errno;
		return -1;
	}
	return write(fd, data, size);
}

static int hook_fsync(int fd)
{
	if (dies_here())
		_exit(DIED);
	if (++hook.fsyncs == hook.fsync_at) {
		errno = EIO;
		return -1;
	}
	return fsync(fd);
}

static int hook_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (dies_here())
		_exit(DIED);
	return renameat(from_fd, from, to_fd, to);
}

static int hook_unlinkat(int fd, const char *name, int flags)
{
	if (dies_here())
		_exit(DIED);
	return unlinkat(fd, name, flags);
}

/** Where test directories go: a hundred fsyncs wait for no busy disk there. */
static inline const char *fast_dir(void)
{
	return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

#endif
