/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The segment directory. Readers and one writer may have it open at once: a file under a
 * segment's name is whole and never changes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pl_fail.h"
#include "feed/pl_feed_pvt.h"

/* The longest of them. */
#define TEMP_NAME_SIZE (PL_FEED_CHUNK_NAME_SIZE + 5u)

int pl_feed_store_open(const struct pl_feed_store_conf *conf, struct pl_feed_store **out,
		       char *error, size_t error_size)
{
	struct pl_feed_store *s = calloc(1, sizeof(*s));
	int rc;

	if (s == NULL)
		return pl_fail(-ENOMEM, error, error_size, "%s: out of memory", conf->dir_path);
	s->write = conf->write;
	memcpy(s->pubkey, conf->pubkey, sizeof(s->pubkey));
	s->dir_fd = open(conf->dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0) {
		rc = pl_fail(-errno, error, error_size, "%s: %s%s", conf->dir_path, strerror(errno),
			     errno == ENOENT ? ": create the feed directory first" : "");
		goto err_free;
	}
	/* On the directory itself: a lock file could be deleted under its holder. */
	if (conf->write && flock(s->dir_fd, LOCK_EX | LOCK_NB) != 0) {
		rc = pl_fail(-errno, error, error_size, "%s: %s", conf->dir_path,
			     errno == EWOULDBLOCK
				     ? "another process is writing to this feed directory"
				     : strerror(errno));
		goto err_close;
	}
	s->buffer = aligned_alloc(PL_CACHE_LINE, PL_FEED_BUFFER_SIZE);
	if (s->buffer == NULL) {
		rc = pl_fail(-ENOMEM, error, error_size, "%s: out of memory", conf->dir_path);
		goto err_close;
	}
	*out = s;
	return 0;

err_close:
	close(s->dir_fd);
err_free:
	free(s);
	return rc;
}

void pl_feed_store_close(struct pl_feed_store *s)
{
	if (s == NULL)
		return;
	close(s->dir_fd);
	free(s->buffer);
	free(s);
}

void pl_feed_store_refuse(struct pl_feed_report *report, const char *name, enum pl_feed_error e,
			  const char *particulars)
{
	snprintf(report->name, sizeof(report->name), "%s", name);
	snprintf(report->text, sizeof(report->text), "%s: %s%s%s", name, pl_feed_error_text(e),
		 particulars[0] != '\0' ? ": " : "", particulars);
}

enum pl_feed_error pl_feed_store_load(struct pl_feed_store *s, const char *name, size_t *size,
				      int *err, const char **particulars)
{
	enum pl_feed_error e = PL_FEED_OK;
	struct stat st;
	/* O_NONBLOCK: opening a fifo must not wait for its writer. */
	int fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	*size = 0;
	*err = 0;
	*particulars = "";
	if (fd < 0) {
		*err = errno;
		*particulars = errno == ELOOP ? "a link, not a regular file" : strerror(errno);
		return errno == ELOOP || errno == ENXIO ? PL_FEED_NOT_SEGMENT : PL_FEED_IO;
	}
	if (fstat(fd, &st) != 0) {
		*particulars = strerror(errno);
		e = PL_FEED_IO;
	} else if (!S_ISREG(st.st_mode)) {
		*particulars = "not a regular file";
		e = PL_FEED_NOT_SEGMENT;
	} else if ((uint64_t)st.st_size > PL_FEED_SEGMENT_SIZE_MAX) {
		e = PL_FEED_OVERSIZED;
	}
	while (e == PL_FEED_OK && *size <= PL_FEED_SEGMENT_SIZE_MAX) {
		ssize_t got = read(fd, s->buffer + *size, PL_FEED_SEGMENT_SIZE_MAX + 1 - *size);

		if (got == 0)
			break;
		if (got > 0) {
			*size += (size_t)got;
		} else if (errno != EINTR) {
			*particulars = strerror(errno);
			e = PL_FEED_IO;
		}
	}
	close(fd);
	return e;
}

int pl_feed_store_each(struct pl_feed_store *s, pl_feed_store_name_fn fn, void *ctx)
{
	int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	if (dir == NULL) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL)
		rc = fn(ctx, entry->d_name);
	if (rc == 0)
		rc = -errno;
	closedir(dir);
	return rc;
}

struct lowest {
	uint64_t above;
	uint64_t sequence; /* 0: none */
};

/** The lowest sequence above `above` that has a file. */
static int lowest_name(void *ctx, const char *name)
{
	struct lowest *l = ctx;
	uint64_t seq = pl_feed_name_sequence(name);

	if (seq > l->above && (l->sequence == 0 || seq < l->sequence))
		l->sequence = seq;
	return 0;
}

/** No file of the next sequence: the end of the feed, or a hole in it. */
static enum pl_feed_error at_end(struct pl_feed_store *s, uint64_t next_sequence,
				 struct pl_feed_report *report)
{
	char name[PL_FEED_NAME_SIZE];
	char particulars[64];
	struct lowest found = {.above = next_sequence};

	pl_feed_name(next_sequence, name);
	if (pl_feed_store_each(s, lowest_name, &found) != 0) {
		pl_feed_store_refuse(report, name, PL_FEED_IO,
				     "the feed directory cannot be listed");
		return PL_FEED_IO;
	}
	if (found.sequence == 0)
		return PL_FEED_OK;
	pl_feed_name(found.sequence, name);
	snprintf(particulars, sizeof(particulars), "%" PRIu64 " is not there", next_sequence);
	pl_feed_store_refuse(report, name, PL_FEED_GAP, particulars);
	return PL_FEED_GAP;
}

enum pl_feed_error pl_feed_store_read(struct pl_feed_store *s, struct pl_feed_pos *pos,
				      pl_feed_apply_fn apply, void *ctx,
				      struct pl_feed_report *report)
{
	return pl_feed_store_read_to(s, pos, UINT64_MAX, apply, ctx, report);
}

enum pl_feed_error pl_feed_store_read_to(struct pl_feed_store *s, struct pl_feed_pos *pos,
					 uint64_t newest, pl_feed_apply_fn apply, void *ctx,
					 struct pl_feed_report *report)
{
	memset(report, 0, sizeof(*report));
	for (;;) {
		char name[PL_FEED_NAME_SIZE];
		struct pl_feed_segment seg;
		char says[48];
		const char *particulars;
		enum pl_feed_error e;
		size_t size;
		int err;

		pl_feed_name(pos->sequence + 1, name);
		e = pl_feed_store_load(s, name, &size, &err, &particulars);
		if (e == PL_FEED_IO && err == ENOENT)
			return pos->sequence >= newest ? PL_FEED_OK
						       : at_end(s, pos->sequence + 1, report);
		if (e == PL_FEED_OK)
			e = pl_feed_check(s->buffer, size, s->pubkey, pos, &seg);
		if (e == PL_FEED_OK && apply != NULL && apply(ctx, &seg) != 0)
			e = PL_FEED_APPLY;
		if (e == PL_FEED_GAP || e == PL_FEED_OLD) { /* the file has another one's name */
			snprintf(
				says, sizeof(says), "its header says %" PRIu64,
				pl_le64_get(s->buffer + offsetof(struct pl_feed_header, sequence)));
			particulars = says;
		}
		if (e != PL_FEED_OK) {
			pl_feed_store_refuse(report, name, e, particulars);
			return e;
		}
		pl_feed_advance(pos, &seg);
		report->segment_cnt++;
		report->record_cnt += seg.header.record_cnt;
	}
}

#define TEMP_PUT    "tmp" /* a put that is under way */
#define TEMP_SETTLE "new" /* the copy of one that was interrupted */

static void temp_name(const char *name, const char *suffix, char temp[TEMP_NAME_SIZE])
{
	snprintf(temp, TEMP_NAME_SIZE, ".%s.%s", name, suffix);
}

static bool is_temp_name(const char *name)
{
	size_t size = strnlen(name, TEMP_NAME_SIZE);
	char inner[TEMP_NAME_SIZE];
	uint64_t sequence;
	uint32_t chunk_idx;

	if (size < 6 || size == TEMP_NAME_SIZE || name[0] != '.' ||
	    (strcmp(name + size - 4, "." TEMP_PUT) != 0 &&
	     strcmp(name + size - 4, "." TEMP_SETTLE) != 0))
		return false;
	memcpy(inner, name + 1, size - 5);
	inner[size - 5] = '\0';
	return pl_feed_name_sequence(inner) != 0 ||
	       pl_feed_chunk_name_parse(inner, &sequence, &chunk_idx);
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, data, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		data += done;
		size -= (size_t)done;
	}
	return 0;
}

/** The temporary file on disk, its directory entry too. On failure it is gone again. */
static int put_temp(struct pl_feed_store *s, const char *name, const uint8_t *data, size_t size,
		    char *error, size_t error_size)
{
	int rc;
	int fd =
		openat(s->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return pl_fail(-errno, error, error_size, "%s: cannot create: %s", name,
			       strerror(errno));
	rc = write_all(fd, data, size);
	if (rc != 0)
		rc = pl_fail(rc, error, error_size, "%s: cannot write: %s", name, strerror(-rc));
	else if (fsync(fd) != 0)
		rc = pl_fail(-EIO, error, error_size, "%s: fsync failed: %s", name,
			     strerror(errno));
	/* close() can report a write that failed, but fsync() has reported it before. */
	close(fd);
	if (rc == 0 && fsync(s->dir_fd) != 0)
		rc = pl_fail(-EIO, error, error_size, "fsync of the feed directory failed: %s",
			     strerror(errno));
	if (rc != 0) /* if this fails too, settle looks at what is left */
		(void)unlinkat(s->dir_fd, name, 0);
	return rc;
}

/** From its temporary to its own name, on disk. */
static int put_rename(struct pl_feed_store *s, const char *temp, const char *name, char *error,
		      size_t error_size)
{
	/* The lock keeps other writers out, so what was not there before the write is not there
	 * now: rename() replaces nothing. */
	if (renameat(s->dir_fd, temp, s->dir_fd, name) != 0)
		return pl_fail(-EIO, error, error_size, "%s: cannot rename to %s: %s", temp, name,
			       strerror(errno));
	if (fsync(s->dir_fd) != 0)
		return pl_fail(-EIO, error, error_size, "fsync of the feed directory failed: %s",
			       strerror(errno));
	return 0;
}

int pl_feed_store_put(struct pl_feed_store *s, const uint8_t *data, size_t size, char *error,
		      size_t error_size)
{
	char temp[TEMP_NAME_SIZE], name[PL_FEED_CHUNK_NAME_SIZE];
	struct pl_feed_header h;
	struct stat st;
	int rc;

	PL_CHECK(s->write && size >= PL_FEED_SEGMENT_SIZE(0) && size <= PL_FEED_SEGMENT_SIZE_MAX);
	if (s->broken)
		return pl_fail(
			-EIO, error, error_size,
			"the feed directory is not written to after a failed fsync: check the "
			"disk, then start again");
	memcpy(&h, data, sizeof(h));
	if (h.kind == PL_FEED_SNAPSHOT)
		pl_feed_chunk_name(h.sequence, h.chunk_idx, name);
	else
		pl_feed_name(h.sequence, name);
	temp_name(name, TEMP_PUT, temp);
	if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return pl_fail(-EEXIST, error, error_size, "%s: is there already", name);
	rc = put_temp(s, temp, data, size, error, error_size);
	if (rc == 0)
		rc = put_rename(s, temp, name, error, error_size);
	s->broken = rc == -EIO;
	return rc;
}

struct delete_temps {
	struct pl_feed_store *s;
	const char *keep;
	int rc;
};

static int delete_temp(void *ctx, const char *name)
{
	struct delete_temps *d = ctx;

	if (is_temp_name(name) && strcmp(name, d->keep) != 0 &&
	    unlinkat(d->s->dir_fd, name, 0) != 0)
		d->rc = -errno;
	return 0;
}

/** Delete all temporary files but `keep`; no error if there are none. */
static int delete_temps(struct pl_feed_store *s, const char *keep)
{
	struct delete_temps d = {.s = s, .keep = keep};
	int rc = pl_feed_store_each(s, delete_temp, &d);

	return rc != 0 ? rc : d.rc;
}

int pl_feed_store_settle(struct pl_feed_store *s, const struct pl_feed_pos *pos, bool *adopted,
			 char *error, size_t error_size)
{
	char left[TEMP_NAME_SIZE], copy[TEMP_NAME_SIZE], name[PL_FEED_NAME_SIZE];
	struct pl_feed_segment seg;
	const char *particulars;
	enum pl_feed_error e;
	size_t size;
	int rc, err;

	PL_CHECK(s->write);
	*adopted = false;
	pl_feed_name(pos->sequence + 1, name);
	temp_name(name, TEMP_PUT, left);
	temp_name(name, TEMP_SETTLE, copy);
	rc = delete_temps(s, left);
	if (rc != 0)
		return pl_fail(rc, error, error_size, "cannot delete old temporary files: %s",
			       strerror(-rc));
	e = pl_feed_store_load(s, left, &size, &err, &particulars);
	if (e == PL_FEED_IO && err == ENOENT)
		return 0;
	if (e == PL_FEED_IO)
		return pl_fail(-EIO, error, error_size, "%s: %s", left, particulars);
	if (e == PL_FEED_OK && pl_feed_check(s->buffer, size, s->pubkey, pos, &seg) == PL_FEED_OK) {
		/* A copy of what was checked, not the file as found: whether its bytes are on
		 * disk is not known, and after a failed fsync a second one proves nothing. It is
		 * deleted last, so that it is never missing in between. */
		rc = put_temp(s, copy, s->buffer, size, error, error_size);
		if (rc == 0)
			rc = put_rename(s, copy, name, error, error_size);
		s->broken = rc == -EIO;
		if (rc != 0)
			return rc;
		*adopted = true;
	}
	if (unlinkat(s->dir_fd, left, 0) != 0)
		return pl_fail(-errno, error, error_size, "%s: cannot delete: %s", left,
			       strerror(errno));
	return 0;
}
