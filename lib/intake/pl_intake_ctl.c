/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening a store for writing: what the last process left, and what the disk did to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "intake/pl_intake_pvt.h"

const char *pl_intake_source_name(enum pl_intake_source s)
{
	static const char *const names[] = {
#define S(id, name) name,
		PL_INTAKE_SOURCES(S)
#undef S
	};

	return (uint32_t)s < PL_ARRAY_CNT(names) ? names[s] : "?";
}

const char *pl_intake_outcome_name(enum pl_intake_outcome o)
{
	static const char *const names[] = {
#define O(id, name, text) name,
		PL_INTAKE_OUTCOMES(O)
#undef O
	};

	return (uint32_t)o < PL_ARRAY_CNT(names) ? names[o] : "?";
}

const char *pl_intake_outcome_text(enum pl_intake_outcome o)
{
	static const char *const texts[] = {
#define O(id, name, text) text,
		PL_INTAKE_OUTCOMES(O)
#undef O
	};

	return (uint32_t)o < PL_ARRAY_CNT(texts) ? texts[o] : "?";
}

/*
 * The end of the chain that a reader would reach: what is damaged there is set aside. A disk may spoil
 * one file or cut several short; two in a row without a good signature have another key.
 */
static int find_end(struct pl_intake *in, const char *path, char *error, size_t error_size)
{
	struct pl_feed_snapshot snapshot;
	struct pl_feed_report report;
	uint64_t stream_id = in->pos.stream_id;
	enum pl_feed_error e;
	uint64_t damaged;
	int rc;

	for (;;) {
		in->pos = (struct pl_feed_pos){.stream_id = stream_id};
		e = pl_feed_store_end(in->store, &in->pos, &report);
		if (e == PL_FEED_OK)
			break;
		damaged = pl_feed_name_sequence(report.name);
		if (e == PL_FEED_STREAM ||
		    (e == PL_FEED_SIGNATURE && damaged > 1 && in->pos.sequence != damaged - 1)) {
			snprintf(error, error_size,
				 "%s: %s: this store is another authority's. Correct [keys] "
				 "authority, or name another [feed] store",
				 path, report.text);
			return -EINVAL;
		}
		if (damaged == 0) {
			snprintf(error, error_size, "%s: %s", path, report.text);
			return -EIO;
		}
		snprintf(in->status.note, sizeof(in->status.note),
			 "%.180s: set aside as NAME.bad, it has to come again", report.text);
		rc = pl_feed_store_set_aside(in->store, report.name, error, error_size);
		if (rc != 0)
			return rc;
	}
	in->beyond = true; /* perhaps: it is looked at once */
	if (pl_feed_store_snapshot_find(in->store, 0, UINT64_MAX, &snapshot) == 0)
		in->snapshot_sequence = snapshot.covers.sequence;
	return 0;
}

/* The directory, if it is not there: its parent must be. */
static int make_dir(const char *path, char *error, size_t error_size)
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

static int prepare(struct pl_intake *in, const struct pl_intake_conf *conf, char *error,
		   size_t error_size)
{
	struct pl_feed_store_conf store = {.dir_path = conf->store_path, .write = true};
	char text[PL_INTAKE_TEXT_SIZE];
	int rc;

	in->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (in->event_fd < 0) {
		snprintf(error, error_size, "the intake's eventfd: %s", strerror(errno));
		return -errno;
	}
	rc = make_dir(conf->store_path, error, error_size);
	if (rc != 0)
		return rc;
	memcpy(store.pubkey, conf->pubkey, sizeof(store.pubkey));
	rc = pl_feed_store_open(&store, &in->store, error, error_size);
	if (rc != 0)
		return rc;
	rc = find_end(in, conf->store_path, error, error_size);
	if (rc != 0)
		return rc;
	in->unsettled = true;
	rc = pl_intake_settle(in, text, sizeof(text));
	if (rc != 0) {
		/* Whoever waits for a verdict needs no intake: start, and say so. */
		in->status.broken = rc == -EIO;
		in->status.unstored = rc != -EIO;
		snprintf(in->status.text, sizeof(in->status.text), "%s", text);
	}
	in->status.pos = in->pos;
	in->status.snapshot = in->snapshot_sequence;
	return 0;
}

int pl_intake_open(const struct pl_intake_conf *conf, struct pl_intake **out, char *error,
		   size_t error_size)
{
	struct pl_intake *in = calloc(1, sizeof(*in));
	int rc;

	PL_CHECK(conf->stream_id != 0);
	if (in == NULL) {
		snprintf(error, error_size, "%s: out of memory", conf->store_path);
		return -ENOMEM;
	}
	PL_CHECK(pthread_mutex_init(&in->lock, NULL) == 0);
	PL_CHECK(pthread_mutex_init(&in->status_lock, NULL) == 0);
	PL_CHECK(pthread_mutex_init(&in->rate_lock, NULL) == 0);
	in->event_fd = -1;
	memcpy(in->pubkey, conf->pubkey, sizeof(in->pubkey));
	in->pos.stream_id = conf->stream_id;
	in->certs_per_s_max = conf->certs_per_s_max;
	in->debt_ns = pl_intake_now_ns();
	rc = prepare(in, conf, error, error_size);
	if (rc != 0) {
		pl_intake_close(in);
		return rc;
	}
	*out = in;
	return 0;
}

void pl_intake_close(struct pl_intake *in)
{
	if (in == NULL)
		return;
	pl_feed_store_close(in->store);
	if (in->event_fd >= 0)
		close(in->event_fd);
	pthread_mutex_destroy(&in->lock);
	pthread_mutex_destroy(&in->status_lock);
	pthread_mutex_destroy(&in->rate_lock);
	free(in);
}
