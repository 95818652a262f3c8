/* SPDX-License-Identifier: BSD-3-Clause */
#include "intake/pl_intake.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "intake/pl_intake_pvt.h"

/* What a segment costs beside its records: a signature's check, three fsyncs. So that a flood of
 * empty ones is bounded, too. */
#define SEGMENT_CERTS 256u

struct pl_intake {
	struct pl_intake_files files;
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint64_t certs_per_s_max;
	int event_fd;

	pthread_mutex_t lock; /* one submit at a time; held while the disk works */
	struct pl_feed_store *store;
	struct pl_feed_pos pos;
	bool unsettled;        /* what an interrupted write left is still to be looked at */
	bool beyond;           /* files lie beyond a gap, which may close */
	uint64_t behind_until; /* behind until this sequence is stored */

	pthread_mutex_t status_lock; /* held for copies only */
	struct pl_intake_status status;
	_Atomic uint64_t applied;

	pthread_mutex_t rate_lock; /* the same */
	uint64_t debt_certs;       /* charged and not yet worked off */
	uint64_t debt_ns;          /* as of this time */
};

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

/* ---- rate ---- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Under rate_lock. */
static void work_off(struct pl_intake *in)
{
	uint64_t now = now_ns(), past_ms = (now - in->debt_ns) / 1000000u, done;

	if (past_ms == 0)
		return;
	in->debt_ns += past_ms * 1000000u;
	done = past_ms >= 1000000u ? UINT64_MAX : past_ms * in->certs_per_s_max / 1000;
	in->debt_certs -= done < in->debt_certs ? done : in->debt_certs;
}

static void charge(struct pl_intake *in, size_t size)
{
	pthread_mutex_lock(&in->rate_lock);
	work_off(in);
	in->debt_certs += size / PL_FEED_RECORD_SIZE + SEGMENT_CERTS;
	pthread_mutex_unlock(&in->rate_lock);
}

uint32_t pl_intake_delay_ms(struct pl_intake *in)
{
	uint64_t ms = 0;

	if (in->certs_per_s_max == 0)
		return 0;
	pthread_mutex_lock(&in->rate_lock);
	work_off(in);
	if (in->debt_certs > 0)
		ms = in->debt_certs * 1000 / in->certs_per_s_max;
	pthread_mutex_unlock(&in->rate_lock);
	return ms < 60000 ? (uint32_t)ms : 60000;
}

/* ---- status ---- */

void pl_intake_applied_set(struct pl_intake *in, uint64_t sequence)
{
	/* relaxed: a figure for humans and peers; nothing is read because of it. */
	atomic_store_explicit(&in->applied, sequence, memory_order_relaxed);
}

void pl_intake_status_get(struct pl_intake *in, struct pl_intake_status *out)
{
	pthread_mutex_lock(&in->status_lock);
	*out = in->status;
	pthread_mutex_unlock(&in->status_lock);
	/* relaxed: see pl_intake_applied_set(). */
	out->applied = atomic_load_explicit(&in->applied, memory_order_relaxed);
}

int pl_intake_fd(const struct pl_intake *in)
{
	return in->event_fd;
}

/* The text is kept while one of the states that it explains lasts. */
static void status_count(struct pl_intake *in, enum pl_intake_source source, uint32_t record_cnt,
			 const struct pl_intake_answer *a)
{
	struct pl_intake_status *s = &in->status;
	bool behind = in->behind_until > in->pos.sequence;

	pthread_mutex_lock(&in->status_lock);
	s->pos = in->pos;
	switch (a->outcome) {
	case PL_INTAKE_STORED:
		s->stored[source]++;
		s->records[source] += record_cnt;
		s->unstored = false;
		break;
	case PL_INTAKE_HELD:
		s->held[source]++;
		break;
	case PL_INTAKE_REFUSED:
		s->refused[source][a->error]++;
		if (behind && !s->broken && !s->unstored)
			memcpy(s->text, a->text, sizeof(s->text));
		break;
	case PL_INTAKE_UNSTORED:
	case PL_INTAKE_BROKEN:
	default:
		s->unstored_cnt[source]++;
		/* The first failure, not those that follow from it. */
		if (!s->broken)
			memcpy(s->text, a->text, sizeof(s->text));
		s->broken = a->outcome == PL_INTAKE_BROKEN;
		s->unstored = !s->broken;
		break;
	}
	s->behind = behind;
	if (!s->broken && !s->unstored && !s->behind)
		s->text[0] = '\0';
	pthread_mutex_unlock(&in->status_lock);
}

/* ---- one segment ---- */

/* The answer to a segment whose sequence we have: the very same, another, or nobody knows. */
static void compare_old(struct pl_intake *in, const uint8_t *data, size_t size,
			struct pl_intake_answer *a)
{
	uint64_t sequence = pl_le64_get(data + offsetof(struct pl_feed_header, sequence));
	int same = pl_intake_files_same(&in->files, sequence, data, size);

	if (same > 0) {
		a->outcome = PL_INTAKE_HELD;
		a->error = PL_FEED_OK;
	} else if (same == 0) {
		a->error = PL_FEED_FORK;
	}
}

/* Behind a gap, or under a name that put() finds taken, there may be files that we do not know. Not on a
 * disk that failed: what it shows may not be there tomorrow. */
static bool roll_forward(struct pl_intake *in)
{
	struct pl_feed_report report;
	uint64_t was = in->pos.sequence;
	enum pl_feed_error e;

	if (in->status.broken)
		return false;
	e = pl_feed_store_read(in->store, &in->pos, NULL, NULL, &report);
	in->beyond = e == PL_FEED_GAP;
	return in->pos.sequence != was;
}

static bool is_evidence(enum pl_feed_error e)
{
	return e == PL_FEED_GAP || e == PL_FEED_FORK || e == PL_FEED_TIME || e == PL_FEED_RECORD;
}

static enum pl_feed_error check(struct pl_intake *in, const uint8_t *data, size_t size,
				struct pl_feed_segment *seg)
{
	enum pl_feed_error e = pl_feed_check(data, size, in->pubkey, &in->pos, seg);

	/* What was put into the store by hand is seen when something does not follow. */
	if (e == PL_FEED_GAP && roll_forward(in))
		e = pl_feed_check(data, size, in->pubkey, &in->pos, seg);
	return e;
}

/* What an interrupted write left, while it has not been looked at. */
static int settle(struct pl_intake *in, char *error, size_t error_size)
{
	bool adopted = false;
	int rc;

	if (!in->unsettled)
		return 0;
	rc = pl_feed_store_settle(in->store, &in->pos, &adopted, error, error_size);
	if (rc != 0)
		return rc;
	in->unsettled = false;
	(void)roll_forward(in);
	return 0;
}

static void store(struct pl_intake *in, const uint8_t *data, size_t size,
		  const struct pl_feed_segment *seg, struct pl_intake_answer *a)
{
	int rc = settle(in, a->text, sizeof(a->text));
	bool taken = false;

	if (rc == 0)
		rc = pl_feed_store_put(in->store, data, size, a->text, sizeof(a->text));
	if (rc == -EEXIST && !(taken = roll_forward(in))) {
		/* A file under that name which does not follow: it is no good. */
		rc = pl_intake_files_set_aside(&in->files, seg->header.sequence, a->text,
					       sizeof(a->text));
		if (rc == 0)
			rc = pl_feed_store_put(in->store, data, size, a->text, sizeof(a->text));
	}
	if (taken) {
		compare_old(in, data, size, a);
		return;
	}
	a->error = PL_FEED_OK;
	if (rc != 0) {
		a->outcome = rc == -EIO ? PL_INTAKE_BROKEN : PL_INTAKE_UNSTORED;
		return;
	}
	a->outcome = PL_INTAKE_STORED;
	pl_feed_advance(&in->pos, seg);
	if (in->beyond)
		(void)roll_forward(in);
	(void)!write(in->event_fd, &(uint64_t){1}, sizeof(uint64_t));
}

enum pl_intake_outcome pl_intake_submit(struct pl_intake *in, const uint8_t *data, size_t size,
					enum pl_intake_source source,
					struct pl_intake_answer *answer)
{
	struct pl_intake_answer *a = answer;
	struct pl_feed_segment seg = {0};
	uint64_t sequence = 0;

	memset(a, 0, sizeof(*a));
	charge(in, size);
	pthread_mutex_lock(&in->lock);
	a->outcome = PL_INTAKE_REFUSED;
	a->error = check(in, data, size, &seg);
	if (a->error != PL_FEED_OK && size >= PL_FEED_HEADER_SIZE)
		sequence = pl_le64_get(data + offsetof(struct pl_feed_header, sequence));
	if (a->error == PL_FEED_OLD)
		compare_old(in, data, size, a);
	else if (a->error == PL_FEED_OK && in->status.broken)
		a->outcome = PL_INTAKE_BROKEN;
	else if (a->error == PL_FEED_OK)
		store(in, data, size, &seg, a);
	if (a->outcome == PL_INTAKE_REFUSED) {
		snprintf(a->text, sizeof(a->text), "segment %" PRIu64 ": %s%s", sequence,
			 pl_feed_error_text(a->error),
			 a->error == PL_FEED_GAP ? ": send them first" : "");
		if (is_evidence(a->error))
			in->behind_until =
				sequence > in->pos.sequence ? sequence : in->pos.sequence + 1;
	}
	a->pos = in->pos;
	if (a->outcome == PL_INTAKE_BROKEN && a->text[0] == '\0')
		snprintf(a->text, sizeof(a->text), "%s", pl_intake_outcome_text(PL_INTAKE_BROKEN));
	status_count(in, source, seg.header.record_cnt, a);
	pthread_mutex_unlock(&in->lock);
	return a->outcome;
}

int pl_intake_prune(struct pl_intake *in, const struct pl_feed_snapshot *snapshot,
		    struct pl_feed_pruned *out, char *error, size_t error_size)
{
	int rc;

	pthread_mutex_lock(&in->lock);
	rc = pl_feed_store_prune(in->store, snapshot, out, error, error_size);
	pthread_mutex_unlock(&in->lock);
	return rc;
}

/* ---- opening ---- */

/* The end of the chain that a reader would reach: of the files from the first one on without a hole,
 * the last that is whole. */
static int find_end(struct pl_intake *in, char *error, size_t error_size)
{
	uint64_t end = 0;
	bool beyond = false;
	int rc = pl_intake_files_end(&in->files, &end, &beyond);

	if (rc != 0) {
		snprintf(error, error_size, "%s: cannot be listed: %s", in->files.path,
			 strerror(-rc));
		return rc;
	}
	in->beyond = beyond;
	for (; end > 0; end--) {
		struct pl_feed_pos pos = {.stream_id = in->pos.stream_id};
		enum pl_feed_error e =
			pl_intake_files_check(&in->files, end, in->pubkey, in->pos.stream_id, &pos);

		if (e == PL_FEED_OK) {
			in->pos = pos;
			return 0;
		}
		/* A disk may spoil one; two in a row without a good signature have another key. */
		if (e == PL_FEED_STREAM || (e == PL_FEED_SIGNATURE && end > 1 &&
					    pl_intake_files_check(&in->files, end - 1, in->pubkey,
								  in->pos.stream_id, &pos) == e)) {
			snprintf(error, error_size,
				 "%s: segment %" PRIu64 ": %s: this store is another authority's. "
				 "Correct [keys] authority, or name another [feed] store",
				 in->files.path, end, pl_feed_error_text(e));
			return -EINVAL;
		}
		snprintf(in->status.note, sizeof(in->status.note),
			 "segment %" PRIu64
			 ": %s: it is set aside as NAME.bad and has to come again",
			 end, pl_feed_error_text(e));
		rc = pl_intake_files_set_aside(&in->files, end, error, error_size);
		if (rc != 0)
			return rc;
	}
	return 0;
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
	rc = pl_intake_files_make(conf->store_path, error, error_size);
	if (rc != 0)
		return rc;
	memcpy(store.pubkey, conf->pubkey, sizeof(store.pubkey));
	rc = pl_feed_store_open(&store, &in->store, error, error_size);
	if (rc != 0)
		return rc;
	rc = pl_intake_files_open(&in->files, conf->store_path, error, error_size);
	if (rc == 0)
		rc = find_end(in, error, error_size);
	if (rc != 0)
		return rc;
	in->unsettled = true;
	rc = settle(in, text, sizeof(text));
	if (rc != 0) {
		/* Whoever waits for a verdict needs no intake: start, and say so. */
		in->status.broken = rc == -EIO;
		in->status.unstored = rc != -EIO;
		snprintf(in->status.text, sizeof(in->status.text), "%s", text);
	}
	in->status.pos = in->pos;
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
	in->files.fd = -1;
	memcpy(in->pubkey, conf->pubkey, sizeof(in->pubkey));
	in->pos.stream_id = conf->stream_id;
	in->certs_per_s_max = conf->certs_per_s_max;
	in->debt_ns = now_ns();
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
	pl_intake_files_close(&in->files);
	if (in->event_fd >= 0)
		close(in->event_fd);
	pthread_mutex_destroy(&in->lock);
	pthread_mutex_destroy(&in->status_lock);
	pthread_mutex_destroy(&in->rate_lock);
	free(in);
}
