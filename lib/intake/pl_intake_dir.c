/* SPDX-License-Identifier: BSD-3-Clause */
#include "intake/pl_intake_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/** What a file was when it was looked at: another one by that name, or more of it, differs. */
struct look {
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct pl_intake_dir {
	struct pl_intake *in;
	struct pl_feed_store *store; /* for reading */
	int fd;
	int watch_fd;
	struct look refused;        /* the file that is not to be tried again as it is */
	struct look growing;        /* the file that was too short */
	uint64_t snapshot_sequence; /* of the snapshot that is being taken; 0: none */
	uint32_t chunk_idx;
	uint64_t snapshot_refused; /* not to be tried again */
	struct pl_intake_dir_status status;
};

int pl_intake_dir_open(struct pl_intake *in, const char *path, struct pl_intake_dir **out,
		       char *error, size_t error_size)
{
	struct pl_feed_store_conf conf = {.dir_path = path};
	struct pl_intake_dir *d = calloc(1, sizeof(*d));
	int rc;

	if (d == NULL) {
		snprintf(error, error_size, "%s: out of memory", path);
		return -ENOMEM;
	}
	d->in = in;
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = pl_feed_store_open(&conf, &d->store, error, error_size);
	if (rc != 0 || d->fd < 0) {
		if (d->fd >= 0)
			close(d->fd);
		free(d);
		return rc != 0 ? rc : -EACCES;
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
	pl_feed_store_close(d->store);
	close(d->fd);
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

/* @return 0 for what was taken, else in how many ms to look again; *refused: it is not for now. */
static uint32_t take(struct pl_intake_dir *d, const char *name, const uint8_t *data, size_t size,
		     bool *refused)
{
	struct pl_intake_answer a;

	*refused = false;
	switch (pl_intake_submit(d->in, data, size, PL_INTAKE_DIR, &a)) {
	case PL_INTAKE_STORED:
	case PL_INTAKE_HELD:
		return goes_on(d);
	case PL_INTAKE_REFUSED:
		if (a.error == PL_FEED_OLD) /* another source was faster */
			return goes_on(d);
		*refused = true;
		return stuck(d, "%s: %s", name, pl_feed_error_text(a.error));
	case PL_INTAKE_UNSTORED:
	case PL_INTAKE_BROKEN:
	default:
		return stuck(d, "%s: %s", name, a.text);
	}
}

/* The next chunk of the newest complete snapshot above that sequence. @return false: there is none. */
static bool take_chunk(struct pl_intake_dir *d, uint64_t above, uint32_t *wait_ms)
{
	char name[PL_FEED_CHUNK_NAME_SIZE];
	struct pl_feed_snapshot snapshot;
	const uint8_t *data;
	bool refused;
	size_t size;

	if (pl_feed_store_snapshot_find(d->store, above, UINT64_MAX, &snapshot) != 0 ||
	    snapshot.covers.sequence == d->snapshot_refused)
		return false;
	if (snapshot.covers.sequence != d->snapshot_sequence ||
	    d->chunk_idx >= snapshot.chunk_cnt) {
		d->snapshot_sequence = snapshot.covers.sequence;
		d->chunk_idx = 0;
	}
	pl_feed_chunk_name(d->snapshot_sequence, d->chunk_idx, name);
	if (pl_feed_store_get(d->store, d->snapshot_sequence, d->chunk_idx, &data, &size) != 0)
		return false;
	d->status.idle = false;
	*wait_ms = take(d, name, data, size, &refused);
	if (refused)
		d->snapshot_refused = d->snapshot_sequence;
	else if (*wait_ms == 0)
		d->chunk_idx++;
	return true;
}

static uint32_t at_end(struct pl_intake_dir *d, const struct pl_feed_pos *pos, uint64_t snapshot)
{
	struct pl_feed_pos at = *pos;
	struct pl_feed_report report;
	enum pl_feed_error e;
	uint32_t wait_ms;

	if (take_chunk(d, pos->sequence, &wait_ms))
		return wait_ms;
	/* Nothing is applied: it only looks for what lies beyond. */
	e = pl_feed_store_read(d->store, &at, NULL, NULL, &report);
	if (e == PL_FEED_GAP || e == PL_FEED_IO)
		return stuck(d, "%s", report.text);
	if (e != PL_FEED_OK) /* it has come meanwhile */
		return 0;
	(void)goes_on(d);
	/* A snapshot that brings nothing new, for a later start, and so that older segments can go: nobody
	 * waits for it. */
	if (take_chunk(d, snapshot, &wait_ms)) {
		d->status.idle = true;
		return wait_ms;
	}
	d->status.idle = true;
	return PL_INTAKE_DIR_POLL_MS;
}

static uint32_t take_next(struct pl_intake_dir *d, const struct pl_feed_pos *pos, uint64_t snapshot)
{
	char name[PL_FEED_NAME_SIZE];
	const uint8_t *data;
	struct look look;
	uint32_t wait_ms;
	struct stat st;
	bool refused;
	size_t size;
	int rc;

	pl_feed_name(pos->sequence + 1, name);
	if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? at_end(d, pos, snapshot)
				       : stuck(d, "%s: %s", name, strerror(errno));
	look = (struct look){.ino = st.st_ino, .size = st.st_size, .mtime = st.st_mtim};
	if (looks_same(&look, &d->refused))
		return PL_INTAKE_DIR_POLL_MS;
	rc = pl_feed_store_get(d->store, pos->sequence + 1, PL_FEED_TAIL_IDX, &data, &size);
	if (rc == -ENOENT)
		return 0;
	if (rc != 0)
		return stuck(d, "%s: %s", name,
			     rc == -EIO ? "cannot be read, or is no regular file" : strerror(-rc));
	d->status.idle = false;
	if (may_grow(d, &look, data, size))
		return PL_INTAKE_DIR_COPY_MS;
	wait_ms = take(d, name, data, size, &refused);
	if (refused)
		d->refused = look;
	return wait_ms;
}

uint32_t pl_intake_dir_work(struct pl_intake_dir *d)
{
	uint32_t wait_ms = pl_intake_delay_ms(d->in);
	struct pl_intake_status now;
	char events[4096];

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
	/* One who has nothing begins with the newest snapshot, not with the first segment ever. */
	if (now.pos.sequence == 0 && take_chunk(d, 0, &wait_ms))
		return wait_ms;
	return take_next(d, &now.pos, now.snapshot);
}
