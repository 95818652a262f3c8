/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * To be preloaded: a disk that fails when it is told to. While the file $DISK_FAILS exists, fsync() fails
 * with EIO for everything whose path has $DISK_FAILS_IN in it, as it does on a disk that could not write;
 * each failure is a line in $DISK_FAILS.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fsync(int fd)
{
	const char *file = getenv("DISK_FAILS"), *in = getenv("DISK_FAILS_IN");
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	char link[64], path[1024] = "";
	int out;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (file == NULL || in == NULL || readlink(link, path, sizeof(path) - 1) < 0 ||
	    strstr(path, in) == NULL)
		return real(fd);
	out = open(file, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (out < 0)
		return real(fd);
	(void)!write(out, "EIO\n", 4);
	close(out);
	errno = EIO;
	return -1;
}
