/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "intake/pl_intake_pvt.h"

int pl_intake_files_make(const char *path, char *error, size_t error_size)
{
	size_t size = strlen(path);
	char *parent = malloc(size + 4);
	int fd, rc = 0;

	if (parent == NULL) {
		snprintf(error, error_size, "%s: out of memory", path);
		return -ENOMEM;
	}
	if (mkdir(path, 0700) != 0) {
		if (errno != EEXIST) {
			rc = -errno;
			snprintf(error, error_size,
				 "%s: the feed store cannot be made: %s: correct [feed] store, or "
				 "make its parent directory and give it to this user",
				 path, strerror(errno));
		}
		free(parent);
		return rc;
	}
	/* A store whose own name is lost with the power has lost all that is in it. */
	snprintf(parent, size + 4, "%s/..", path);
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0) {
		rc = -errno;
		snprintf(error, error_size, "%s: the directory above it: %s", path,
			 strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	free(parent);
	return rc;
}

int pl_intake_files_open(struct pl_intake_files *f, const char *path, char *error,
			 size_t error_size)
{
	f->path = path;
	f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->fd >= 0)
		return 0;
	snprintf(error, error_size, "%s: %s", path, strerror(errno));
	return -errno;
}

void pl_intake_files_close(struct pl_intake_files *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int list(const struct pl_intake_files *f, uint64_t **sequences, size_t *cnt)
{
	int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t room = 0;
	int rc = 0;

	*sequences = NULL;
	*cnt = 0;
	if (dir == NULL) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (errno = 0, (entry = readdir(dir)) != NULL) {
		uint64_t sequence = pl_feed_name_sequence(entry->d_name);

		if (sequence == 0)
			continue;
		if (*cnt == room) {
			uint64_t *more = realloc(*sequences, (room = room * 2 + 1024) * 8);

			if (more == NULL) {
				errno = ENOMEM;
				break;
			}
			*sequences = more;
		}
		(*sequences)[(*cnt)++] = sequence;
	}
	rc = -errno;
	closedir(dir);
	return rc;
}

int pl_intake_files_end(const struct pl_intake_files *f, uint64_t *end, bool *beyond)
{
	uint64_t *sequences;
	size_t cnt, at = 0;
	int rc = list(f, &sequences, &cnt);

	if (rc == 0 && cnt > 0)
		qsort(sequences, cnt, sizeof(*sequences), compare);
	while (rc == 0 && at < cnt && sequences[at] == at + 1)
		at++;
	*end = at;
	*beyond = at < cnt;
	free(sequences);
	return rc;
}

int pl_intake_files_above(const struct pl_intake_files *f, uint64_t above, uint64_t *sequence)
{
	uint64_t *sequences;
	size_t cnt;
	int rc = list(f, &sequences, &cnt);

	*sequence = 0;
	for (size_t i = 0; rc == 0 && i < cnt; i++)
		if (sequences[i] > above && (*sequence == 0 || sequences[i] < *sequence))
			*sequence = sequences[i];
	free(sequences);
	return rc;
}

int pl_intake_file_load(int dir_fd, const char *name, uint8_t **data, size_t *size)
{
	/* O_NONBLOCK: opening a fifo must not wait for its writer. */
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	size_t room;
	int rc = 0;

	*data = NULL;
	*size = 0;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = -ELOOP;
	else if ((uint64_t)st.st_size > PL_FEED_SEGMENT_SIZE_MAX)
		rc = -EFBIG;
	if (rc != 0)
		goto out;
	/* A file that is being written may be longer by now: what was there is what counts. */
	room = ((size_t)st.st_size + PL_CACHE_LINE) / PL_CACHE_LINE * PL_CACHE_LINE;
	*data = aligned_alloc(PL_CACHE_LINE, room);
	if (*data == NULL)
		rc = -ENOMEM;
	while (rc == 0 && *size < (size_t)st.st_size) {
		ssize_t got = read(fd, *data + *size, (size_t)st.st_size - *size);

		if (got == 0)
			break;
		if (got > 0)
			*size += (size_t)got;
		else if (errno != EINTR)
			rc = -errno;
	}
	if (rc != 0) {
		free(*data);
		*data = NULL;
	}
out:
	close(fd);
	return rc;
}

enum pl_feed_error pl_intake_files_check(const struct pl_intake_files *f, uint64_t sequence,
					 const uint8_t pubkey[PL_FEED_PUBKEY_SIZE],
					 uint64_t stream_id, struct pl_feed_pos *pos)
{
	char name[PL_FEED_NAME_SIZE];
	struct pl_feed_segment seg;
	enum pl_feed_error e;
	uint8_t *data;
	size_t size;
	int rc;

	pl_feed_name(sequence, name);
	rc = pl_intake_file_load(f->fd, name, &data, &size);
	if (rc != 0)
		return rc == -EFBIG ? PL_FEED_OVERSIZED
				    : (rc == -ELOOP ? PL_FEED_NOT_SEGMENT : PL_FEED_IO);
	e = pl_feed_check(data, size, pubkey, &(struct pl_feed_pos){.stream_id = stream_id}, &seg);
	/* Only as the chain's first could it follow such a position. */
	if (e == PL_FEED_OK || e == PL_FEED_GAP)
		e = pl_feed_check(data, size, pubkey, NULL, &seg);
	if (e == PL_FEED_OK && seg.header.sequence != sequence)
		e = PL_FEED_GAP;
	if (e == PL_FEED_OK)
		pl_feed_advance(pos, &seg);
	free(data);
	return e;
}

int pl_intake_files_same(const struct pl_intake_files *f, uint64_t sequence, const uint8_t *data,
			 size_t size)
{
	char name[PL_FEED_NAME_SIZE];
	uint8_t *ours;
	size_t our_size;
	int rc;

	pl_feed_name(sequence, name);
	rc = pl_intake_file_load(f->fd, name, &ours, &our_size);
	if (rc != 0)
		return rc;
	rc = our_size == size && memcmp(ours, data, size) == 0;
	free(ours);
	return rc;
}

int pl_intake_files_set_aside(const struct pl_intake_files *f, uint64_t sequence, char *error,
			      size_t error_size)
{
	char name[PL_FEED_NAME_SIZE], bad[PL_FEED_NAME_SIZE + 4];
	int rc;

	pl_feed_name(sequence, name);
	snprintf(bad, sizeof(bad), "%s.bad", name);
	if (renameat(f->fd, name, f->fd, bad) == 0 && fsync(f->fd) == 0)
		return 0;
	rc = -errno;
	snprintf(error, error_size, "%s/%s: it is damaged, and cannot be set aside: %s", f->path,
		 name, strerror(errno));
	return rc;
}
