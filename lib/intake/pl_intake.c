/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "base/pl_time.h"
#include "intake/pl_intake_pvt.h"

/* What a segment costs beside its records: a signature's check, three fsyncs. So that a flood of
 * empty ones is bounded, too. */
#define SEGMENT_CERTS 256u

/* ---- rate ---- */

uint64_t pl_intake_now_ns(void)
{
	return pl_time_ns(CLOCK_MONOTONIC);
}

/* Under rate_lock. */
static void work_off(struct pl_intake *in)
{
	uint64_t now = pl_intake_now_ns(), past_ms = (now - in->debt_ns) / 1000000u, done;

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
	/* APPLIED-PUB release: the table has all of it. Pairs: APPLIED-GET, after which whoever
	 * publishes that nothing is lacking (INTAKE-PUB) hands that on to those who look it up. */
	atomic_store_explicit(&in->applied, sequence, memory_order_release);
}

void pl_intake_status_get(struct pl_intake *in, struct pl_intake_status *out)
{
	pthread_mutex_lock(&in->status_lock);
	*out = in->status;
	pthread_mutex_unlock(&in->status_lock);
	/* APPLIED-GET acquire: pairs APPLIED-PUB. */
	out->applied = atomic_load_explicit(&in->applied, memory_order_acquire);
}

void pl_intake_refused_count(struct pl_intake *in, enum pl_intake_source source,
			     enum pl_feed_error error)
{
	pthread_mutex_lock(&in->status_lock);
	in->status.refused[source][error]++;
	pthread_mutex_unlock(&in->status_lock);
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
	s->snapshot = in->snapshot_sequence;
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
	s->lacked_to = in->behind_until;
	if (!s->broken && !s->unstored && !s->behind)
		s->text[0] = '\0';
	pthread_mutex_unlock(&in->status_lock);
}

/* ---- one segment ---- */

/* The outcome of a put that was no success. */
static void not_stored(int rc, struct pl_intake_answer *a)
{
	a->error = PL_FEED_OK;
	a->outcome = rc == -EIO ? PL_INTAKE_BROKEN : PL_INTAKE_UNSTORED;
}

static void tell_reader(struct pl_intake *in)
{
	(void)!write(in->event_fd, &(uint64_t){1}, sizeof(uint64_t));
}

/* Of a segment behind us: is it the one that the chain went on from? */
static bool is_of_our_chain(struct pl_intake *in, const struct pl_feed_segment *seg)
{
	struct pl_feed_header next;
	const uint8_t *data;
	size_t size;

	if (seg->header.kind == PL_FEED_SNAPSHOT)
		return true; /* the next start looks through all of them together */
	if (seg->header.sequence == in->pos.sequence)
		return memcmp(seg->hash, in->pos.hash, sizeof(seg->hash)) == 0;
	if (pl_feed_store_get(in->store, seg->header.sequence + 1, PL_FEED_TAIL_IDX, &data,
			      &size) != 0 ||
	    size < sizeof(next))
		return false;
	memcpy(&next, data, sizeof(next));
	return memcmp(seg->hash, next.previous, sizeof(seg->hash)) == 0;
}

/* Ours is not what was stored: the disk has spoiled it. The good one takes its place. @return false: it is
 * not that. */
static bool mend(struct pl_intake *in, const uint8_t *data, size_t size, struct pl_intake_answer *a)
{
	char name[PL_FEED_CHUNK_NAME_SIZE];
	struct pl_feed_segment seg;
	int rc;

	if (in->status.broken || pl_feed_check(data, size, in->pubkey, NULL, &seg) != PL_FEED_OK ||
	    !is_of_our_chain(in, &seg))
		return false;
	if (seg.header.kind == PL_FEED_SNAPSHOT)
		pl_feed_chunk_name(seg.header.sequence, seg.header.chunk_idx, name);
	else
		pl_feed_name(seg.header.sequence, name);
	rc = pl_feed_store_set_aside(in->store, name, a->text, sizeof(a->text));
	if (rc == 0)
		rc = pl_feed_store_put(in->store, data, size, a->text, sizeof(a->text));
	if (rc != 0) {
		not_stored(rc, a);
		return true;
	}
	a->error = PL_FEED_OK;
	a->outcome = PL_INTAKE_STORED;
	in->news = true;
	return true;
}

enum held { HELD_NONE, HELD_SAME, HELD_OTHER, HELD_SPOILED };

/* What we have under the number of a segment or chunk. */
static enum held held(struct pl_intake *in, const uint8_t *data, size_t size)
{
	uint8_t hash[PL_FEED_HASH_SIZE];
	struct pl_feed_segment is;
	struct pl_feed_header h;
	const uint8_t *ours;
	size_t our_size;

	memcpy(&h, data, sizeof(h));
	if (pl_feed_store_get(in->store, h.sequence,
			      h.kind == PL_FEED_SNAPSHOT ? h.chunk_idx : PL_FEED_TAIL_IDX, &ours,
			      &our_size) != 0) {
		/* The one that the chain ends with is known without its file: a snapshot may stand
		 * for it. */
		if (h.kind == PL_FEED_SNAPSHOT || h.sequence != in->pos.sequence)
			return HELD_NONE;
		crypto_generichash(hash, sizeof(hash), data, size, NULL, 0);
		return memcmp(hash, in->pos.hash, sizeof(hash)) == 0 ? HELD_SAME : HELD_OTHER;
	}
	if (our_size == size && memcmp(ours, data, size) == 0)
		return HELD_SAME;
	return pl_feed_check(ours, our_size, in->pubkey, NULL, &is) == PL_FEED_OK ? HELD_OTHER
										  : HELD_SPOILED;
}

/* The answer to a segment or chunk that we have: the very same, another, or nobody knows. */
static void compare_old(struct pl_intake *in, const uint8_t *data, size_t size,
			struct pl_intake_answer *a)
{
	enum held what = held(in, data, size);

	if (what == HELD_SAME) {
		a->outcome = PL_INTAKE_HELD;
		a->error = PL_FEED_OK;
	} else if (what == HELD_OTHER || (what == HELD_SPOILED && !mend(in, data, size, a))) {
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

/* The authority has signed a segment of that sequence, and we have not got it. */
static void lacking(struct pl_intake *in, uint64_t sequence)
{
	if (sequence > in->behind_until)
		in->behind_until = sequence;
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
int pl_intake_settle(struct pl_intake *in, char *error, size_t error_size)
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
	int rc = pl_intake_settle(in, a->text, sizeof(a->text));

	if (rc == 0)
		rc = pl_feed_store_put(in->store, data, size, a->text, sizeof(a->text));
	if (rc == -EEXIST) {
		char name[PL_FEED_NAME_SIZE];

		if (roll_forward(in)) {
			compare_old(in, data, size, a);
			return;
		}
		/* A file under that name which does not follow: it is no good. */
		pl_feed_name(seg->header.sequence, name);
		rc = pl_feed_store_set_aside(in->store, name, a->text, sizeof(a->text));
		if (rc == 0)
			rc = pl_feed_store_put(in->store, data, size, a->text, sizeof(a->text));
	}
	if (rc != 0) {
		not_stored(rc, a);
		return;
	}
	a->error = PL_FEED_OK;
	a->outcome = PL_INTAKE_STORED;
	pl_feed_advance(&in->pos, seg);
	if (in->beyond)
		(void)roll_forward(in);
	in->news = true;
}

static void take_tail(struct pl_intake *in, const uint8_t *data, size_t size,
		      struct pl_feed_segment *seg, struct pl_intake_answer *a)
{
	a->error = check(in, data, size, seg);
	if (a->error == PL_FEED_OLD)
		compare_old(in, data, size, a);
	else if (a->error == PL_FEED_OK && in->status.broken)
		a->outcome = PL_INTAKE_BROKEN;
	else if (a->error == PL_FEED_OK)
		store(in, data, size, seg, a);
}

/* ---- one chunk of a snapshot ---- */

/* Of the snapshot that is coming in? By what it says itself, which proves nothing. */
static bool comes_in_turn(const struct pl_intake *in, const struct pl_feed_header *h)
{
	return in->chunk.chunk_cnt != 0 && h->sequence == in->chunk.snapshot.covers.sequence;
}

/* A newer one that is coming in is not given up for an older one, which anybody may have kept and may
 * send again, unless nothing has come of it for a while. */
static bool is_busy_with_newer(const struct pl_intake *in, const struct pl_feed_header *h)
{
	return in->chunk.chunk_cnt != 0 && h->sequence < in->chunk.snapshot.covers.sequence &&
	       pl_intake_now_ns() - in->chunk_ns < PL_INTAKE_CHUNK_WAIT_NS;
}

/* Where this chunk has to follow: the one that is coming in, or, for a first chunk, a new one. */
static enum pl_feed_error check_chunk(struct pl_intake *in, const uint8_t *data, size_t size,
				      struct pl_feed_chunk_pos *pos, struct pl_feed_segment *seg)
{
	struct pl_feed_header h;
	enum pl_feed_error e;

	if (size < sizeof(h))
		return pl_feed_check(data, size, in->pubkey, &in->pos, seg);
	memcpy(&h, data, sizeof(h));
	/* Of what we have, and need not follow anything. */
	if (h.sequence <= in->snapshot_sequence) {
		e = pl_feed_check(data, size, in->pubkey, NULL, seg);
		if (e == PL_FEED_OK)
			e = h.stream_id == in->pos.stream_id ? PL_FEED_OLD : PL_FEED_STREAM;
		return e;
	}
	if (comes_in_turn(in, &h)) {
		*pos = in->chunk;
		e = pl_feed_check_chunk(data, size, in->pubkey, pos, seg);
		/* Of another making, it begins anew; the same again does not. */
		if (e != PL_FEED_FORK || h.chunk_idx != 0)
			return e;
	} else if (h.chunk_idx != 0 || is_busy_with_newer(in, &h)) {
		e = pl_feed_check(data, size, in->pubkey, NULL, seg);
		if (e == PL_FEED_OK)
			e = h.stream_id == in->pos.stream_id ? PL_FEED_GAP : PL_FEED_STREAM;
		return e; /* it has to begin with the first, or to wait */
	}
	*pos = (struct pl_feed_chunk_pos){0};
	pl_feed_snapshot_of(&h, &pos->snapshot);
	pos->snapshot.covers.stream_id = in->pos.stream_id;
	return pl_feed_check_chunk(data, size, in->pubkey, pos, seg);
}

/* Of what was stored before, a snapshot may not say anything else. */
static bool covers_ours(struct pl_intake *in, const struct pl_feed_snapshot *s)
{
	uint8_t hash[PL_FEED_HASH_SIZE];
	const uint8_t *ours;
	size_t size;

	if (s->covers.sequence > in->pos.sequence)
		return true;
	if (s->covers.sequence == in->pos.sequence)
		return memcmp(s->covers.hash, in->pos.hash, sizeof(hash)) == 0;
	if (pl_feed_store_get(in->store, s->covers.sequence, PL_FEED_TAIL_IDX, &ours, &size) != 0)
		return true;
	crypto_generichash(hash, sizeof(hash), ours, size, NULL, 0);
	return memcmp(s->covers.hash, hash, sizeof(hash)) == 0;
}

/* What an earlier attempt left under the chunk's name and behind it makes way. */
static int put_chunk(struct pl_intake *in, const uint8_t *data, size_t size,
		     const struct pl_feed_header *h, struct pl_intake_answer *a)
{
	int rc = pl_intake_settle(in, a->text, sizeof(a->text));

	if (rc == 0)
		rc = pl_feed_store_put(in->store, data, size, a->text, sizeof(a->text));
	if (rc != -EEXIST)
		return rc;
	if (held(in, data, size) == HELD_SAME) {
		a->outcome = PL_INTAKE_HELD;
		return 0;
	}
	rc = pl_feed_store_snapshot_drop(in->store, h->sequence, h->chunk_idx, a->text,
					 sizeof(a->text));
	return rc == 0 ? pl_feed_store_put(in->store, data, size, a->text, sizeof(a->text)) : rc;
}

static void snapshot_complete(struct pl_intake *in)
{
	const struct pl_feed_snapshot *s = &in->chunk.snapshot;

	in->snapshot_sequence = s->covers.sequence;
	if (s->covers.sequence > in->pos.sequence) {
		in->pos = s->covers;
		(void)roll_forward(in);
	}
	memset(&in->chunk, 0, sizeof(in->chunk));
	in->news = true;
}

static void take_chunk(struct pl_intake *in, const uint8_t *data, size_t size,
		       struct pl_feed_segment *seg, struct pl_intake_answer *a)
{
	struct pl_feed_chunk_pos pos;
	uint64_t other = in->chunk.snapshot.covers.sequence;
	int rc = 0;

	a->error = check_chunk(in, data, size, &pos, seg);
	if (a->error == PL_FEED_OLD) {
		compare_old(in, data, size, a);
		return;
	}
	if (a->error == PL_FEED_OK && !covers_ours(in, &pos.snapshot)) {
		a->error = PL_FEED_FORK;
		lacking(in, in->pos.sequence + 1);
	}
	if (a->error != PL_FEED_OK)
		return;
	if (in->status.broken) {
		a->outcome = PL_INTAKE_BROKEN;
		return;
	}
	/* One at a time: what was begun before is given up. */
	if (other != 0 && other != seg->header.sequence)
		rc = pl_feed_store_snapshot_drop(in->store, other, 0, a->text, sizeof(a->text));
	if (rc == 0)
		rc = put_chunk(in, data, size, &seg->header, a);
	if (rc != 0) {
		not_stored(rc, a);
		return;
	}
	if (a->outcome != PL_INTAKE_HELD)
		a->outcome = PL_INTAKE_STORED;
	a->error = PL_FEED_OK;
	pl_feed_chunk_advance(&pos, seg);
	in->chunk = pos;
	in->chunk_ns = pl_intake_now_ns();
	if (seg->header.sequence > in->pos.sequence)
		lacking(in, seg->header.sequence);
	if (pl_feed_chunk_complete(&pos))
		snapshot_complete(in);
}

/* A refusal in words; and whether it shows that something is lacking. */
static void refused(struct pl_intake *in, const struct pl_feed_header *h,
		    struct pl_intake_answer *a)
{
	uint64_t next = in->pos.sequence + 1;

	if (a->error == PL_FEED_NOT_SEGMENT || h->sequence == 0)
		/* It has no number: what stands there means something else. */
		snprintf(a->text, sizeof(a->text), "%s", pl_feed_error_text(a->error));
	else if (h->kind == PL_FEED_SNAPSHOT)
		snprintf(a->text, sizeof(a->text),
			 "chunk %" PRIu32 " of the snapshot of segment %" PRIu64 ": %s%s",
			 h->chunk_idx, h->sequence, pl_feed_error_text(a->error),
			 a->error != PL_FEED_GAP     ? ""
			 : is_busy_with_newer(in, h) ? ": a newer one is coming in"
						     : ": begin with chunk 0");
	else
		snprintf(a->text, sizeof(a->text), "segment %" PRIu64 ": %s%s", h->sequence,
			 pl_feed_error_text(a->error),
			 a->error == PL_FEED_GAP ? ": send them first" : "");
	/* A chunk shows that there is a segment of its number, and of what follows ours nothing more. */
	if (is_evidence(a->error) && (h->kind != PL_FEED_SNAPSHOT || h->sequence >= next))
		lacking(in, h->sequence > next ? h->sequence : next);
}

enum pl_intake_outcome pl_intake_submit(struct pl_intake *in, const uint8_t *data, size_t size,
					enum pl_intake_source source,
					struct pl_intake_answer *answer)
{
	struct pl_intake_answer *a = answer;
	struct pl_feed_segment seg = {0};
	struct pl_feed_header h = {0};

	memset(a, 0, sizeof(*a));
	a->outcome = PL_INTAKE_REFUSED;
	if (size >= sizeof(h))
		memcpy(&h, data, sizeof(h));
	charge(in, size);
	pthread_mutex_lock(&in->lock);
	if (h.kind == PL_FEED_SNAPSHOT)
		take_chunk(in, data, size, &seg, a);
	else
		take_tail(in, data, size, &seg, a);
	if (a->outcome == PL_INTAKE_REFUSED)
		refused(in, &h, a);
	a->pos = in->pos;
	if (a->outcome == PL_INTAKE_BROKEN && a->text[0] == '\0')
		snprintf(a->text, sizeof(a->text), "%s", pl_intake_outcome_text(PL_INTAKE_BROKEN));
	status_count(in, source, seg.header.record_cnt, a);
	/* After the status: whoever is woken by it goes by what that says. */
	if (in->news)
		tell_reader(in);
	in->news = false;
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
