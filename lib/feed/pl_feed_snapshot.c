/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots in the segment directory, what they make superfluous, and where a directory ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pl_fail.h"
#include "feed/pl_feed_pvt.h"

#define BAD_SUFFIX ".bad"

/* ---- finding ---- */

struct newest {
	uint64_t above;
	uint64_t below;
	uint64_t sequence; /* 0: none */
};

static int newest_name(void *ctx, const char *name)
{
	struct newest *n = ctx;
	uint64_t sequence;
	uint32_t chunk_idx;

	if (pl_feed_chunk_name_parse(name, &sequence, &chunk_idx) && chunk_idx == 0 &&
	    sequence > n->above && sequence < n->below && sequence > n->sequence)
		n->sequence = sequence;
	return 0;
}

/** Open a regular file; its size, and its header if it is of that size. @return fd or -errno. */
static int open_chunk(struct pl_feed_store *s, const char *name, struct pl_feed_header *h)
{
	struct stat st;
	int fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode) || pread(fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h) ||
		 memcmp(h->magic, PL_FEED_MAGIC, sizeof(h->magic)) != 0 ||
		 h->version != PL_FEED_FORMAT_VERSION || h->kind != PL_FEED_SNAPSHOT ||
		 h->record_cnt > PL_FEED_RECORDS_MAX || !pl_feed_header_sound(h) ||
		 (uint64_t)st.st_size != PL_FEED_SEGMENT_SIZE(h->record_cnt))
		rc = -EBADMSG;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/** Are all chunks there, by their headers? @return 0, -ENOENT, or another -errno. */
static int look_at(struct pl_feed_store *s, uint64_t sequence, struct pl_feed_snapshot *out)
{
	uint64_t record_cnt = 0;
	uint32_t chunk_cnt = 1;

	for (uint32_t i = 0; i < chunk_cnt; i++) {
		char name[PL_FEED_CHUNK_NAME_SIZE];
		struct pl_feed_snapshot of;
		struct pl_feed_header h;
		int fd;

		pl_feed_chunk_name(sequence, i, name);
		fd = open_chunk(s, name, &h);
		if (fd < 0)
			return fd == -EBADMSG || fd == -ELOOP || fd == -ENXIO ? -ENOENT : fd;
		close(fd);
		pl_feed_snapshot_of(&h, &of);
		if (i == 0) {
			*out = of;
			chunk_cnt = of.chunk_cnt;
		}
		if (h.sequence != sequence || h.chunk_idx != i || of.chunk_cnt != chunk_cnt ||
		    of.record_cnt != out->record_cnt ||
		    memcmp(&of.covers, &out->covers, sizeof(of.covers)) != 0)
			return -ENOENT;
		record_cnt += h.record_cnt;
	}
	return record_cnt == out->record_cnt ? 0 : -ENOENT;
}

int pl_feed_store_snapshot_find(struct pl_feed_store *s, uint64_t above, uint64_t below,
				struct pl_feed_snapshot *out)
{
	for (;;) {
		struct newest n = {.above = above, .below = below};
		int rc = pl_feed_store_each(s, newest_name, &n);

		if (rc == 0)
			rc = n.sequence == 0 ? -ENOENT : look_at(s, n.sequence, out);
		if (rc != -ENOENT || n.sequence == 0)
			return rc;
		below = n.sequence; /* not whole: an older one may be */
	}
}

/* ---- reading ---- */

/** Ask the disk for what is read next; a wish, no more. */
static void read_ahead(struct pl_feed_store *s, uint64_t sequence, uint32_t chunk_idx)
{
	char name[PL_FEED_CHUNK_NAME_SIZE];
	int fd;

	if (chunk_idx >= PL_FEED_CHUNKS_MAX)
		return;
	pl_feed_chunk_name(sequence, chunk_idx, name);
	fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	close(fd);
}

enum pl_feed_error pl_feed_store_snapshot_read(struct pl_feed_store *s,
					       const struct pl_feed_snapshot *snapshot,
					       pl_feed_apply_fn apply, void *ctx,
					       struct pl_feed_report *report)
{
	struct pl_feed_chunk_pos pos = {.snapshot = *snapshot};

	memset(report, 0, sizeof(*report));
	while (!pl_feed_chunk_complete(&pos)) {
		char name[PL_FEED_CHUNK_NAME_SIZE];
		struct pl_feed_segment seg;
		const char *particulars;
		enum pl_feed_error e;
		size_t size;
		int err;

		pl_feed_chunk_name(snapshot->covers.sequence, pos.chunk_cnt, name);
		e = pl_feed_store_load(s, name, &size, &err, &particulars);
		read_ahead(s, snapshot->covers.sequence, pos.chunk_cnt + 1);
		if (e == PL_FEED_OK)
			e = pl_feed_check_chunk(s->buffer, size, s->pubkey, &pos, &seg);
		if (e == PL_FEED_OK && apply != NULL && apply(ctx, &seg) != 0)
			e = PL_FEED_APPLY;
		if (e != PL_FEED_OK) {
			pl_feed_store_refuse(report, name, e, particulars);
			return e;
		}
		pl_feed_chunk_advance(&pos, &seg);
		report->segment_cnt++;
		report->record_cnt += seg.header.record_cnt;
	}
	return PL_FEED_OK;
}

int pl_feed_store_get(struct pl_feed_store *s, uint64_t sequence, uint32_t chunk_idx,
		      const uint8_t **data, size_t *size)
{
	char name[PL_FEED_CHUNK_NAME_SIZE];
	const char *particulars;
	enum pl_feed_error e;
	int err;

	if (chunk_idx == PL_FEED_TAIL_IDX)
		pl_feed_name(sequence, name);
	else
		pl_feed_chunk_name(sequence, chunk_idx, name);
	e = pl_feed_store_load(s, name, size, &err, &particulars);
	*data = s->buffer;
	if (e == PL_FEED_OK)
		return 0;
	return err != 0 ? -err : e == PL_FEED_OVERSIZED ? -EFBIG : -EIO;
}

/* ---- where it ends ---- */

struct above {
	uint64_t base;
	uint64_t cnt;  /* names seen above base */
	uint64_t last; /* the highest */
};

static int above_name(void *ctx, const char *name)
{
	struct above *a = ctx;
	uint64_t seq = pl_feed_name_sequence(name);

	if (seq <= a->base)
		return 0;
	a->cnt++;
	a->last = seq > a->last ? seq : a->last;
	return 0;
}

/** The last of the names base + 1, base + 2, ... without a hole; base if there is none. */
static int end_of_names(struct pl_feed_store *s, uint64_t base, uint64_t *end)
{
	struct above a = {.base = base};
	int rc = pl_feed_store_each(s, above_name, &a);
	struct stat st;

	*end = base;
	if (rc != 0 || a.cnt == 0)
		return rc;
	/* As many names as numbers: no hole, and no file needs to be looked for. */
	if (a.last - base == a.cnt) {
		*end = a.last;
		return 0;
	}
	for (;;) {
		char name[PL_FEED_NAME_SIZE];

		pl_feed_name(*end + 1, name);
		if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			return errno == ENOENT ? 0 : -errno;
		++*end;
	}
}

/** One segment of the tail by itself; pos is moved onto it if it holds. */
static enum pl_feed_error check_one(struct pl_feed_store *s, uint64_t sequence,
				    struct pl_feed_pos *pos, struct pl_feed_report *report)
{
	char name[PL_FEED_NAME_SIZE];
	struct pl_feed_segment seg;
	const char *particulars;
	enum pl_feed_error e;
	size_t size;
	int err;

	pl_feed_name(sequence, name);
	e = pl_feed_store_load(s, name, &size, &err, &particulars);
	if (e == PL_FEED_OK)
		e = pl_feed_check(s->buffer, size, s->pubkey, NULL, &seg);
	if (e == PL_FEED_OK && seg.header.kind != PL_FEED_TAIL)
		e = PL_FEED_KIND;
	if (e == PL_FEED_OK && pos->stream_id != 0 && seg.header.stream_id != pos->stream_id)
		e = PL_FEED_STREAM;
	if (e == PL_FEED_OK && seg.header.sequence != sequence)
		e = seg.header.sequence < sequence ? PL_FEED_OLD : PL_FEED_GAP;
	if (e != PL_FEED_OK) {
		pl_feed_store_refuse(report, name, e, particulars);
		return e;
	}
	pl_feed_advance(pos, &seg);
	return PL_FEED_OK;
}

enum pl_feed_error pl_feed_store_end(struct pl_feed_store *s, struct pl_feed_pos *pos,
				     struct pl_feed_report *report)
{
	struct pl_feed_pos base = {.stream_id = pos->stream_id};
	struct pl_feed_report second;
	struct pl_feed_snapshot snapshot;
	enum pl_feed_error e;
	uint64_t end;
	int rc = pl_feed_store_snapshot_find(s, 0, UINT64_MAX, &snapshot);

	memset(report, 0, sizeof(*report));
	if (rc == 0 && (base.stream_id == 0 || base.stream_id == snapshot.covers.stream_id))
		base = snapshot.covers;
	if (rc == 0 || rc == -ENOENT)
		rc = end_of_names(s, base.sequence, &end);
	*pos = base;
	if (rc != 0) {
		pl_feed_store_refuse(report, "", PL_FEED_IO, "the feed directory cannot be listed");
		return PL_FEED_IO;
	}
	if (end == base.sequence)
		return PL_FEED_OK;
	e = check_one(s, end, pos, report);
	if (e != PL_FEED_OK && end - 1 > base.sequence)
		(void)check_one(s, end - 1, pos, &second);
	return e;
}

/** "name" to "name.bad", durable. */
int pl_feed_store_set_aside(struct pl_feed_store *s, const char *name, char *error,
			    size_t error_size)
{
	char bad[PL_FEED_CHUNK_NAME_SIZE + sizeof(BAD_SUFFIX)];
	uint64_t sequence;
	uint32_t chunk_idx;

	PL_CHECK(s->write);
	if (pl_feed_name_sequence(name) == 0 &&
	    !pl_feed_chunk_name_parse(name, &sequence, &chunk_idx))
		return pl_fail(-EINVAL, error, error_size, "%s: not a segment's name", name);
	if (s->broken)
		return pl_fail(-EIO, error, error_size,
			       "the feed directory is not written to after a failed "
			       "fsync: check the disk, then start again");
	snprintf(bad, sizeof(bad), "%s" BAD_SUFFIX, name);
	if (renameat(s->dir_fd, name, s->dir_fd, bad) != 0)
		return pl_fail(-errno, error, error_size, "%s: cannot rename to %s: %s", name, bad,
			       strerror(errno));
	if (fsync(s->dir_fd) == 0)
		return 0;
	s->broken = true;
	return pl_fail(-EIO, error, error_size, "fsync of the feed directory failed: %s",
		       strerror(errno));
}

/* ---- pruning ---- */

struct prune {
	struct pl_feed_store *s;
	uint64_t below; /* the covered segment's sequence */
	struct pl_feed_pruned *out;
	uint64_t *sequences; /* of the tail, to be deleted */
	size_t cnt;
	size_t room;
	char name[PL_FEED_CHUNK_NAME_SIZE]; /* that could not be deleted */
};

static int delete_one(struct prune *p, const char *name, uint64_t *cnt)
{
	struct stat st = {0};

	(void)fstatat(p->s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW);
	if (unlinkat(p->s->dir_fd, name, 0) != 0) {
		int rc = -errno;

		if (rc == -ENOENT)
			return 0;
		snprintf(p->name, sizeof(p->name), "%s", name);
		return rc;
	}
	++*cnt;
	p->out->size += (uint64_t)st.st_size;
	return 0;
}

struct drop {
	struct pl_feed_store *s;
	uint64_t sequence;
	uint32_t chunk_idx;
};

static int drop_name(void *ctx, const char *name)
{
	struct drop *d = ctx;
	uint64_t sequence;
	uint32_t chunk_idx;

	if (!pl_feed_chunk_name_parse(name, &sequence, &chunk_idx) || sequence != d->sequence ||
	    chunk_idx < d->chunk_idx)
		return 0;
	return unlinkat(d->s->dir_fd, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

int pl_feed_store_snapshot_drop(struct pl_feed_store *s, uint64_t sequence, uint32_t chunk_idx,
				char *error, size_t error_size)
{
	struct drop d = {.s = s, .sequence = sequence, .chunk_idx = chunk_idx};
	int rc;

	PL_CHECK(s->write);
	rc = pl_feed_store_each(s, drop_name, &d);
	if (rc == 0)
		return 0;
	return pl_fail(rc, error, error_size,
		       "chunks of the snapshot of segment %" PRIu64 ": cannot delete: %s", sequence,
		       strerror(-rc));
}

/** Chunks of older snapshots go at once, for there order does not matter; the tail is noted. */
static int prune_name(void *ctx, const char *name)
{
	struct prune *p = ctx;
	uint64_t sequence = pl_feed_name_sequence(name);
	uint32_t chunk_idx;

	if (pl_feed_chunk_name_parse(name, &sequence, &chunk_idx))
		return sequence < p->below ? delete_one(p, name, &p->out->chunk_cnt) : 0;
	if (sequence == 0 || sequence >= p->below)
		return 0;
	if (p->cnt == p->room) {
		size_t room = p->room == 0 ? 1024 : p->room * 2;
		uint64_t *more = reallocarray(p->sequences, room, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		p->sequences = more;
		p->room = room;
	}
	p->sequences[p->cnt++] = sequence;
	return 0;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int delete_tail(struct prune *p)
{
	int rc = 0;

	if (p->cnt > 0)
		qsort(p->sequences, p->cnt, sizeof(*p->sequences), ascending);
	for (size_t i = 0; i < p->cnt && rc == 0; i++) {
		char name[PL_FEED_NAME_SIZE];

		pl_feed_name(p->sequences[i], name);
		rc = delete_one(p, name, &p->out->segment_cnt);
	}
	return rc;
}

int pl_feed_store_prune(struct pl_feed_store *s, const struct pl_feed_snapshot *snapshot,
			struct pl_feed_pruned *out, char *error, size_t error_size)
{
	struct prune p = {.s = s, .below = snapshot->covers.sequence, .out = out};
	struct pl_feed_snapshot now;
	int rc;

	memset(out, 0, sizeof(*out));
	PL_CHECK(s->write);
	rc = look_at(s, p.below, &now);
	if (rc != 0 || memcmp(&now.covers, &snapshot->covers, sizeof(now.covers)) != 0)
		return pl_fail(rc != 0 ? rc : -ENOENT, error, error_size,
			       "the snapshot of segment %" PRIu64
			       " is not complete: nothing was deleted",
			       p.below);
	rc = pl_feed_store_each(s, prune_name, &p);
	if (rc == 0)
		rc = delete_tail(&p);
	free(p.sequences);
	if (rc != 0)
		return pl_fail(rc, error, error_size, "%s: cannot delete: %s",
			       p.name[0] != '\0' ? p.name : "old segments", strerror(-rc));
	return 0;
}
