/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <unistd.h>

#include "nonce_store.h"

#define MARK_NAME   "nonce"
#define MARK_TMP    "nonce.tmp"
#define MARK_WORD   "passline-nonce 1 "
#define MARK_SIZE   64u
#define COUNTER_MAX (UINT64_MAX - 2 * PL_NONCE_RESERVE)

static int refuse(const struct pl_nonce_store *s, const char *name, int err, const char *what,
		  char *error, size_t error_size)
{
	snprintf(
		error, error_size,
		"%s/%s: %s: %s. The state directory must exist, be on a disk with room, and belong "
		"to the user that passline runs as",
		s->dir_path, name, what, strerror(err));
	return -err;
}

static int lock(struct pl_nonce_store *s, char *error, size_t error_size)
{
	s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return refuse(s, "lock", errno, "cannot be opened", error, error_size);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	snprintf(error, error_size,
		 "%s is used by another appliance: each needs a state-dir of its own, for two that "
		 "count from one file would use a nonce twice",
		 s->dir_path);
	return -EWOULDBLOCK;
}

/* The mark of the last run; 0 if there is none. */
static int read_mark(struct pl_nonce_store *s, uint64_t *mark, char *error, size_t error_size)
{
	char text[MARK_SIZE + 1], *end = NULL;
	ssize_t size;
	/* O_NONBLOCK: a FIFO would hold the start for ever; so it is empty, and damaged. */
	int fd = openat(s->dir_fd, MARK_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	*mark = 0;
	if (fd < 0)
		return errno == ENOENT
			       ? 0
			       : refuse(s, MARK_NAME, errno, "cannot be read", error, error_size);
	size = read(fd, text, MARK_SIZE);
	if (size < 0) {
		int err = errno;

		close(fd);
		return refuse(s, MARK_NAME, err, "cannot be read", error, error_size);
	}
	close(fd);
	text[size] = '\0';
	errno = 0;
	if (strncmp(text, MARK_WORD, strlen(MARK_WORD)) == 0 && text[strlen(MARK_WORD)] >= '0' &&
	    text[strlen(MARK_WORD)] <= '9')
		*mark = strtoull(text + strlen(MARK_WORD), &end, 10);
	if (end != NULL && strcmp(end, "\n") == 0 && errno == 0 && *mark <= COUNTER_MAX)
		return 0;
	snprintf(
		error, error_size,
		"%s/%s is damaged: which reply counters are spent is not known. Give every gateway "
		"a key of a new epoch, then delete the file",
		s->dir_path, MARK_NAME);
	return -EINVAL;
}

/* All of it or nothing: written aside, on disk, then renamed, and the name on disk too. */
static int write_mark(struct pl_nonce_store *s, uint64_t mark, char *error, size_t error_size)
{
	char text[MARK_SIZE];
	int text_size = snprintf(text, sizeof(text), MARK_WORD "%" PRIu64 "\n", mark);
	int fd = openat(s->dir_fd, MARK_TMP, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			0600);
	int err = 0;

	if (fd < 0)
		return refuse(s, MARK_TMP, errno, "cannot be written", error, error_size);
	errno = 0;
	if (write(fd, text, (size_t)text_size) != text_size)
		err = errno != 0 ? errno : ENOSPC;
	if (err == 0 && fsync(fd) != 0)
		err = errno;
	if (close(fd) != 0 && err == 0)
		err = errno;
	if (err == 0 && renameat(s->dir_fd, MARK_TMP, s->dir_fd, MARK_NAME) != 0)
		err = errno;
	if (err == 0 && fsync(s->dir_fd) != 0)
		err = errno;
	if (err != 0)
		return refuse(s, MARK_NAME, err, "cannot be written", error, error_size);
	s->limit = mark;
	return 0;
}

int pl_nonce_store_open(struct pl_nonce_store *s, const char *dir_path, uint64_t wall_ns,
			uint64_t *first, char *error, size_t error_size)
{
	uint64_t mark = 0;
	int ret;

	memset(s, 0, sizeof(*s));
	s->lock_fd = -1;
	snprintf(s->dir_path, sizeof(s->dir_path), "%s", dir_path);
	s->dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return refuse(s, "", errno, "cannot be opened", error, error_size);
	ret = lock(s, error, error_size);
	if (ret == 0)
		ret = read_mark(s, &mark, error, error_size);
	if (ret == 0) {
		*first = mark > wall_ns ? mark : wall_ns;
		ret = pl_nonce_store_extend(s, *first, error, error_size);
	}
	if (ret != 0)
		pl_nonce_store_close(s);
	return ret;
}

int pl_nonce_store_extend(struct pl_nonce_store *s, uint64_t used_to, char *error,
			  size_t error_size)
{
	if (used_to > COUNTER_MAX) {
		snprintf(error, error_size,
			 "%s/%s: reply counters are used up: give every gateway a key of a new "
			 "epoch, set the clock right, then delete the file",
			 s->dir_path, MARK_NAME);
		return -EOVERFLOW;
	}
	return write_mark(s, used_to + PL_NONCE_RESERVE, error, error_size);
}

void pl_nonce_store_close(struct pl_nonce_store *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	s->lock_fd = -1;
	s->dir_fd = -1;
}
