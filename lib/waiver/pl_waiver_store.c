/* SPDX-License-Identifier: BSD-3-Clause */
/* The two files in an appliance's state directory. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "waiver/pl_waiver.h"

#define TEMP_NAME ".waiver.tmp"

static int fail(int rc, const char *dir_path, const char *name, char *error, size_t error_size)
{
	snprintf(error, error_size, "%s/%s: %s", dir_path, name, strerror(-rc));
	return rc;
}

static int dir_open(const char *dir_path, char *error, size_t error_size)
{
	int fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 ? fd : fail(-errno, dir_path, "", error, error_size);
}

/* One byte more than there should be, to see that there is not. */
static ssize_t read_all(int fd, uint8_t *data, size_t size_max)
{
	size_t size = 0;

	while (size < size_max) {
		ssize_t n = read(fd, data + size, size_max - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	return (ssize_t)size;
}

int pl_waiver_read(const char *dir_path, const char *name, uint64_t stream_id,
		   const uint8_t pubkey[PL_WAIVER_PUBKEY_SIZE], struct pl_waiver *out, char *error,
		   size_t error_size)
{
	uint8_t data[PL_WAIVER_SIZE + 1];
	char why[256];
	int dir_fd = dir_open(dir_path, error, error_size);
	int fd, rc;
	ssize_t size;

	memset(out, 0, sizeof(*out));
	if (dir_fd < 0)
		return dir_fd;
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	rc = fd < 0 ? -errno : 0;
	close(dir_fd);
	if (rc == -ENOENT)
		return 0;
	if (rc != 0)
		return fail(rc, dir_path, name, error, error_size);
	size = read_all(fd, data, sizeof(data));
	close(fd);
	if (size < 0)
		return fail((int)size, dir_path, name, error, error_size);
	rc = pl_waiver_open(data, (size_t)size, stream_id, pubkey, out, why, sizeof(why));
	if (rc != 0)
		snprintf(error, error_size, "%s/%s: %s", dir_path, name, why);
	return rc;
}

static int temp_write(int dir_fd, const uint8_t *data)
{
	int fd = openat(dir_fd, TEMP_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
			0600);
	int rc = 0;

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < PL_WAIVER_SIZE && rc == 0;) {
		ssize_t n = write(fd, data + at, PL_WAIVER_SIZE - at);

		if (n < 0 && errno != EINTR)
			rc = -errno;
		else if (n > 0)
			at += (size_t)n;
	}
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	if (close(fd) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

static int rename_durably(int dir_fd, const char *from, const char *to)
{
	return renameat(dir_fd, from, dir_fd, to) != 0 || fsync(dir_fd) != 0 ? -errno : 0;
}

int pl_waiver_write(const char *dir_path, const uint8_t data[PL_WAIVER_SIZE], char *error,
		    size_t error_size)
{
	int dir_fd = dir_open(dir_path, error, error_size);
	int rc;

	if (dir_fd < 0)
		return dir_fd;
	rc = temp_write(dir_fd, data);
	if (rc == 0)
		rc = rename_durably(dir_fd, TEMP_NAME, PL_WAIVER_NAME);
	if (rc != 0)
		(void)unlinkat(dir_fd, TEMP_NAME, 0);
	close(dir_fd);
	return rc == 0 ? 0 : fail(rc, dir_path, PL_WAIVER_NAME, error, error_size);
}

int pl_waiver_drop(const char *dir_path, char *error, size_t error_size)
{
	int dir_fd = dir_open(dir_path, error, error_size);
	int rc;

	if (dir_fd < 0)
		return dir_fd;
	rc = rename_durably(dir_fd, PL_WAIVER_NAME, PL_WAIVER_DROPPED_NAME);
	close(dir_fd);
	return rc == 0 ? 0 : fail(rc, dir_path, PL_WAIVER_NAME, error, error_size);
}
