/* SPDX-License-Identifier: BSD-3-Clause */

#include "client/pl_client_counter.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pl_fail.h"

#define COUNTER_MAGIC "PLCTR1\r\n"

struct counter_file {
	uint8_t magic[8];
	uint32_t gateway_id;
	uint8_t key_epoch;
	uint8_t zero[3];
	uint64_t next;
	uint64_t reserved;
	uint64_t zero2;
	uint64_t check;
};
static_assert(sizeof(struct counter_file) == PL_CLIENT_COUNTER_FILE_SIZE, "file layout");

/* Against a torn or foreign file, not against an enemy. */
static uint64_t file_check(const struct counter_file *f)
{
	uint64_t words[5];
	uint64_t sum = 0;

	memcpy(words, f, sizeof(words));
	for (size_t i = 0; i < PL_ARRAY_CNT(words); i++)
		sum = pl_mix64(sum ^ words[i]) + i + 1;
	return sum;
}

static int sync_dir_of(const char *path)
{
	char *copy = strdup(path);
	int fd, rc = 0;

	if (copy == NULL)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int lock_file(int fd)
{
	while (flock(fd, LOCK_EX) != 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/*
 * Lock the file that is at the path now: one that was replaced or deleted while we waited would
 * not be the one that others lock. Bounded: each round means that somebody replaced it again.
 */
static int open_locked(struct pl_client_counter *c)
{
	for (int tries = 0; tries < 16; tries++) {
		struct stat ours, named;
		int rc;

		if (c->fd < 0) {
			c->fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
			if (c->fd < 0)
				return -errno;
		}
		rc = lock_file(c->fd);
		if (rc != 0)
			return rc;
		if (fstat(c->fd, &ours) != 0)
			return -errno;
		if (stat(c->path, &named) == 0 && named.st_ino == ours.st_ino &&
		    named.st_dev == ours.st_dev)
			return 0;
		close(c->fd); /* unlocks */
		c->fd = -1;
	}
	return -EAGAIN;
}

/* The high-water mark in the file; 0 for a new file. */
static int read_next(struct pl_client_counter *c, uint64_t *next, bool *is_new, char *error,
		     size_t error_size)
{
	struct counter_file f;
	ssize_t got = pread(c->fd, &f, sizeof(f), 0);

	if (got < 0)
		return pl_fail(-errno, error, error_size, "%s: cannot be read: %s", c->path,
			       strerror(errno));
	*next = 0;
	*is_new = got == 0;
	if (got == 0)
		return 0;
	if ((size_t)got != sizeof(f) || memcmp(f.magic, COUNTER_MAGIC, sizeof(f.magic)) != 0 ||
	    f.check != file_check(&f))
		return pl_fail(
			-EBADMSG, error, error_size,
			"%s: not a counter state file, or damaged; if the wall clock is right, "
			"remove it to start again from the clock",
			c->path);
	if (f.gateway_id != c->gateway_id || f.key_epoch != c->key_epoch)
		return pl_fail(-EINVAL, error, error_size,
			       "%s: belongs to gateway %" PRIu32
			       " epoch %u, not to gateway %" PRIu32
			       " epoch %u; give each key a state file of its own",
			       c->path, f.gateway_id, f.key_epoch, c->gateway_id, c->key_epoch);
	*next = f.next;
	return 0;
}

static int write_next(struct pl_client_counter *c, uint64_t next, bool is_new, char *error,
		      size_t error_size)
{
	struct counter_file f = {
		.gateway_id = c->gateway_id,
		.key_epoch = c->key_epoch,
		.next = next,
		.reserved = c->block_cnt,
	};
	ssize_t put;
	int rc = 0;

	memcpy(f.magic, COUNTER_MAGIC, sizeof(f.magic));
	f.check = file_check(&f);
	put = pwrite(c->fd, &f, sizeof(f), 0);
	if (put != (ssize_t)sizeof(f))
		rc = put < 0 ? -errno : -EIO;
	else if (fsync(c->fd) != 0)
		rc = -errno;
	else if (is_new)
		rc = sync_dir_of(c->path);
	if (rc != 0)
		return pl_fail(rc, error, error_size,
			       "%s: cannot be written to disk: %s; without it a counter could be "
			       "used twice, so nothing is sent",
			       c->path, strerror(-rc));
	return 0;
}

int pl_client_counter_reserve(struct pl_client_counter *c, uint64_t wall_ns, char *error,
			      size_t error_size)
{
	uint64_t first;
	bool is_new;
	int rc = open_locked(c);

	if (rc != 0)
		return pl_fail(rc, error, error_size, "%s: cannot be opened and locked: %s%s",
			       c->path, strerror(-rc), rc == -ENOENT ? "; make its directory" : "");
	rc = read_next(c, &first, &is_new, error, error_size);
	if (rc == 0) {
		if (first < wall_ns)
			first = wall_ns;
		if (first > UINT64_MAX - c->block_cnt)
			rc = pl_fail(-EOVERFLOW, error, error_size,
				     "%s: counters of this key are used up; use a new key epoch",
				     c->path);
		else
			rc = write_next(c, first + c->block_cnt, is_new, error, error_size);
	}
	(void)flock(c->fd, LOCK_UN);
	if (rc != 0)
		return rc;
	c->next = first;
	c->limit = first + c->block_cnt;
	return 0;
}

int pl_client_counter_open(struct pl_client_counter *c, const char *path, uint32_t gateway_id,
			   uint8_t key_epoch, uint64_t block_cnt, uint64_t wall_ns, char *error,
			   size_t error_size)
{
	int rc;

	*c = (struct pl_client_counter){
		.fd = -1,
		.gateway_id = gateway_id,
		.key_epoch = key_epoch,
		.block_cnt = block_cnt,
	};
	if (block_cnt == 0 || block_cnt > (1ull << 40))
		return pl_fail(-EINVAL, error, error_size,
			       "counter block of %" PRIu64 ": must be 1 .. 2^40", block_cnt);
	c->path = strdup(path);
	if (c->path == NULL)
		return pl_fail(-ENOMEM, error, error_size, "out of memory");
	rc = pl_client_counter_reserve(c, wall_ns, error, error_size);
	if (rc != 0)
		pl_client_counter_close(c);
	return rc;
}

void pl_client_counter_close(struct pl_client_counter *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	c->fd = -1;
	c->path = NULL;
	c->next = c->limit = 0;
}
