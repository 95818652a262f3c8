/* SPDX-License-Identifier: BSD-3-Clause */
#include "intake/pl_intake_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "intake/pl_intake_pvt.h"

/** What a file was when it was looked at: another one by that name, or more of it, differs. */
struct look {
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct pl_intake_dir {
	struct pl_intake *in;
	struct pl_intake_files files;
	int watch_fd;
	struct look refused; /* the file that is not to be tried again as it is */
	struct look growing; /* the file that was too short */
	struct pl_intake_dir_status status;
};

int pl_intake_dir_open(struct pl_intake *in, const char *path, struct pl_intake_dir **out,
		       char *error, size_t error_size)
{
	struct pl_intake_dir *d = calloc(1, sizeof(*d));
	int rc;

	if (d == NULL) {
		snprintf(error, error_size, "%s: out of memory", path);
		return -ENOMEM;
	}
	d->in = in;
	rc = pl_intake_files_open(&d->files, path, error, error_size);
	if (rc != 0) {
		free(d);
		return rc;
	}
	/* Without a watch (a file system that has none, the limit on watches) polling is left. */
	d->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (d->watch_fd >= 0 &&
	    inotify_add_watch(d->watch_fd, path, IN_MOVED_TO | IN_CREATE | IN_CLOSE_WRITE) < 0) {
		close(d->watch_fd);
		d->watch_fd = -1;
	}
	*out = d;
	return 0;
}

void pl_intake_dir_close(struct pl_intake_dir *d)
{
	if (d == NULL)
		return;
	pl_intake_files_close(&d->files);
	if (d->watch_fd >= 0)
		close(d->watch_fd);
	free(d);
}

int pl_intake_dir_fd(const struct pl_intake_dir *d)
{
	return d->watch_fd;
}

const struct pl_intake_dir_status *pl_intake_dir_status_get(const struct pl_intake_dir *d)
{
	return &d->status;
}

static uint32_t goes_on(struct pl_intake_dir *d)
{
	d->status.stuck = false;
	d->status.text[0] = '\0';
	return 0;
}

__attribute__((format(printf, 2, 3))) static uint32_t stuck(struct pl_intake_dir *d,
							    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(d->status.text, sizeof(d->status.text), format, args);
	va_end(args);
	d->status.stuck = true;
	d->status.idle = true;
	return PL_INTAKE_DIR_POLL_MS;
}

static bool looks_same(const struct look *a, const struct look *b)
{
	return a->ino == b->ino && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static uint32_t at_end(struct pl_intake_dir *d, uint64_t next)
{
	uint64_t above;
	int rc = pl_intake_files_above(&d->files, next, &above);

	if (rc != 0)
		return stuck(d, "cannot be listed: %s", strerror(-rc));
	if (above != 0)
		return stuck(d, PL_FEED_NAME_FORMAT ": %s: %" PRIu64 " is not there", above,
			     pl_feed_error_text(PL_FEED_GAP), next);
	(void)goes_on(d);
	d->status.idle = true;
	return PL_INTAKE_DIR_POLL_MS;
}

/* A file that somebody copies to its place is short for a while. */
static bool may_grow(struct pl_intake_dir *d, const struct look *look, const uint8_t *data,
		     size_t size)
{
	uint32_t record_cnt;

	if (looks_same(look, &d->growing))
		return false;
	d->growing = *look;
	if (size < PL_FEED_HEADER_SIZE)
		return true;
	record_cnt = pl_le32_get(data + offsetof(struct pl_feed_header, record_cnt));
	return record_cnt <= PL_FEED_RECORDS_MAX && size < PL_FEED_SEGMENT_SIZE(record_cnt);
}

static uint32_t take(struct pl_intake_dir *d, const char *name, const struct look *look,
		     const uint8_t *data, size_t size)
{
	struct pl_intake_answer a;

	switch (pl_intake_submit(d->in, data, size, PL_INTAKE_DIR, &a)) {
	case PL_INTAKE_STORED:
	case PL_INTAKE_HELD:
		return goes_on(d);
	case PL_INTAKE_REFUSED:
		if (a.error == PL_FEED_OLD) /* another source was faster */
			return goes_on(d);
		d->refused = *look;
		return stuck(d, "%s: %s", name, pl_feed_error_text(a.error));
	case PL_INTAKE_UNSTORED:
	case PL_INTAKE_BROKEN:
	default:
		return stuck(d, "%s: %s", name, a.text);
	}
}

uint32_t pl_intake_dir_work(struct pl_intake_dir *d)
{
	uint32_t wait_ms = pl_intake_delay_ms(d->in);
	struct pl_intake_status now;
	char name[PL_FEED_NAME_SIZE], events[4096];
	struct look look;
	struct stat st;
	uint8_t *data;
	size_t size;
	int rc;

	/* What happened does not matter, only that something did. */
	while (d->watch_fd >= 0 && read(d->watch_fd, events, sizeof(events)) > 0)
		continue;
	if (wait_ms > 0)
		return wait_ms;
	pl_intake_status_get(d->in, &now);
	if (now.broken) { /* which is told, and will not end */
		d->status.idle = true;
		return PL_INTAKE_DIR_POLL_MS;
	}
	pl_feed_name(now.pos.sequence + 1, name);
	if (fstatat(d->files.fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? at_end(d, now.pos.sequence + 1)
				       : stuck(d, "%s: %s", name, strerror(errno));
	look = (struct look){.ino = st.st_ino, .size = st.st_size, .mtime = st.st_mtim};
	if (looks_same(&look, &d->refused))
		return PL_INTAKE_DIR_POLL_MS;
	rc = pl_intake_file_load(d->files.fd, name, &data, &size);
	if (rc != 0)
		return stuck(d, "%s: %s", name,
			     rc == -ELOOP ? "not a regular file" : strerror(-rc));
	d->status.idle = false;
	wait_ms = may_grow(d, &look, data, size) ? PL_INTAKE_DIR_COPY_MS
						 : take(d, name, &look, data, size);
	free(data);
	return wait_ms;
}
