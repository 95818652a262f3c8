/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * push: what an appliance lacks of the feed, over TCP.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "authority.h"
#include "intake/pl_push.h"
#include "push.h"

#define WINDOW         8u /* segments on their way before the first one's answer */
#define BACKOFF_MS_MIN 250u
#define BACKOFF_MS_MAX 30000u
#define LOOK_MS        1000u /* between looks at the feed, if nothing hints at a change */
#define WHY_SIZE       256u

enum push_end {
	PUSH_DONE,  /* the appliance has all of it */
	PUSH_RETRY, /* another try may succeed */
	PUSH_STOP,  /* none will, until somebody has done something */
};

struct push {
	const char *name; /* as it was given */
	char host[PUSH_ADDRESS_SIZE];
	char port[8];
	uint32_t timeout_ms;
	bool follow;
	struct pl_feed_store *store;
	uint64_t stream_id;
	struct pl_feed_pos end; /* of our feed */
	int fd;
	struct pl_feed_pos at; /* of the appliance, as it said last */
	uint64_t applied;
	uint64_t snapshot; /* the newest that it has, or got from us */
	uint64_t sent_cnt; /* segments and chunks, that it stored */
	uint64_t told_sequence, told_applied, told_end;
	char why[WHY_SIZE];
};

static enum push_end say(enum push_end end, struct push *p, const char *remedy)
{
	complain("%s: %s%s%s", p->name, p->why, remedy[0] != '\0' ? ": " : "", remedy);
	return end;
}

/* How far it is behind: for a human, or a monitor that reads JSON lines. */
static void publish(struct push *p)
{
	uint64_t now = (uint64_t)time(NULL), behind = p->end.sequence - p->at.sequence;
	uint64_t lag_s = p->at.as_of != 0 && now > p->at.as_of ? now - p->at.as_of : 0;

	if (p->told_sequence == p->at.sequence && p->told_applied == p->applied &&
	    p->told_end == p->end.sequence)
		return;
	p->told_sequence = p->at.sequence;
	p->told_applied = p->applied;
	p->told_end = p->end.sequence;
	if (json)
		printf("{\"sequence\": %" PRIu64 ", \"applied\": %" PRIu64 ", \"end\": %" PRIu64
		       ", \"behind\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"as_of\": %" PRIu64
		       ", \"age_s\": %" PRIu64 "}\n",
		       p->at.sequence, p->applied, p->end.sequence, behind, p->sent_cnt,
		       p->at.as_of, lag_s);
	else
		printf("%s: has segment %" PRIu64 " of %" PRIu64 ", %" PRIu64 " s old\n", p->name,
		       p->at.sequence, p->end.sequence, lag_s);
	fflush(stdout);
}

static enum push_end refresh_end(struct push *p)
{
	struct pl_feed_report report;
	const uint8_t *data;
	size_t size;

	/* The newest one was looked at before; is there another? If it is gone itself, so may be the
	 * one after it: pruned, and the feed is further by now. */
	if (p->end.sequence != 0 &&
	    pl_feed_store_get(p->store, p->end.sequence + 1, PL_FEED_TAIL_IDX, &data, &size) ==
		    -ENOENT &&
	    pl_feed_store_get(p->store, p->end.sequence, PL_FEED_TAIL_IDX, &data, &size) == 0)
		return PUSH_DONE;
	p->end = (struct pl_feed_pos){.stream_id = p->stream_id};
	if (pl_feed_store_end(p->store, &p->end, &report) == PL_FEED_OK)
		return PUSH_DONE;
	snprintf(p->why, sizeof(p->why), "our own feed: %s", report.text);
	return say(PUSH_STOP, p, "run a command that writes, such as publish: it looks after it");
}

/* ---- one connection ---- */

/* Is what it has what we signed? */
static enum push_end compare(struct push *p)
{
	uint8_t hash[PL_FEED_HASH_SIZE];
	const uint8_t *data;
	size_t size;
	int rc;

	if (p->at.sequence > p->end.sequence) {
		snprintf(p->why, sizeof(p->why),
			 "it has segment %" PRIu64 ", and our feed ends at %" PRIu64,
			 p->at.sequence, p->end.sequence);
		return say(PUSH_STOP, p,
			   "this directory is an older copy: fetch the segments back before "
			   "anything is signed here, or the feed forks");
	}
	if (p->at.sequence == 0)
		return PUSH_DONE;
	rc = pl_feed_store_get(p->store, p->at.sequence, PL_FEED_TAIL_IDX, &data, &size);
	if (rc == -ENOENT) /* pruned: the snapshot that covers it will show it */
		return PUSH_DONE;
	if (rc != 0) {
		snprintf(p->why, sizeof(p->why), "our own segment %" PRIu64 ": %s", p->at.sequence,
			 strerror(-rc));
		return say(PUSH_STOP, p, "look at the disk");
	}
	crypto_generichash(hash, sizeof(hash), data, size, NULL, 0);
	if (memcmp(hash, p->at.hash, sizeof(hash)) == 0)
		return PUSH_DONE;
	snprintf(p->why, sizeof(p->why), "its segment %" PRIu64 " is not ours: the feed has forked",
		 p->at.sequence);
	return say(PUSH_STOP, p,
		   "two authorities signed under one number; nothing was sent. Find out which "
		   "one is right, and empty the [feed] store of appliances that have the other");
}

static enum push_end open_connection(struct push *p)
{
	uint8_t bytes[PL_PUSH_GREETING_SIZE];
	struct pl_push_greeting g;

	p->fd = push_connect(p->host, p->port, p->timeout_ms, p->why, sizeof(p->why));
	if (p->fd < 0)
		return say(PUSH_RETRY, p, "");
	if (!push_recv(p->fd, bytes, sizeof(bytes), p->timeout_ms, p->why, sizeof(p->why)))
		return say(PUSH_RETRY, p, "");
	if (!pl_push_greeting_read(bytes, &g)) {
		snprintf(p->why, sizeof(p->why), "this is no appliance of our version");
		return say(PUSH_STOP, p, "give the address of its [feed] listen");
	}
	if (g.pos.stream_id != p->stream_id) {
		snprintf(p->why, sizeof(p->why),
			 "it follows stream %016" PRIx64 ", and ours is %016" PRIx64,
			 g.pos.stream_id, p->stream_id);
		return say(PUSH_STOP, p, "give it this authority's public key, or another --dir");
	}
	p->at = g.pos;
	p->applied = g.applied;
	p->snapshot = g.snapshot;
	if (g.broken) {
		snprintf(p->why, sizeof(p->why), "its disk has failed and it stores nothing more");
		return say(PUSH_RETRY, p, "look after it, and start it again");
	}
	return compare(p);
}

static enum push_end read_answer(struct push *p)
{
	uint8_t bytes[PL_PUSH_ANSWER_SIZE];
	struct pl_push_answer a;

	if (!push_recv(p->fd, bytes, sizeof(bytes), p->timeout_ms, p->why, sizeof(p->why)))
		return say(PUSH_RETRY, p, "");
	if (!pl_push_answer_read(bytes, &a)) {
		snprintf(p->why, sizeof(p->why), "its answer is none");
		return say(PUSH_RETRY, p, "");
	}
	a.pos.stream_id = p->stream_id;
	p->at = a.pos;
	p->applied = a.applied;
	switch (a.outcome) {
	case PL_INTAKE_STORED:
		p->sent_cnt++;
		return PUSH_DONE;
	case PL_INTAKE_HELD:
		return PUSH_DONE;
	case PL_INTAKE_REFUSED:
		snprintf(p->why, sizeof(p->why), "it refuses what follows segment %" PRIu64 ": %s",
			 p->at.sequence, pl_feed_error_text((enum pl_feed_error)a.error));
		/* Another source may have been faster: a new connection sees. */
		return say(a.error == PL_FEED_OLD || a.error == PL_FEED_GAP ? PUSH_RETRY
									    : PUSH_STOP,
			   p, "");
	default:
		snprintf(p->why, sizeof(p->why), "segment %" PRIu64 ": %s", p->at.sequence + 1,
			 pl_intake_outcome_text((enum pl_intake_outcome)a.outcome));
		return say(PUSH_RETRY, p, "look at its log and its disk");
	}
}

static enum push_end send_one(struct push *p, uint64_t sequence, uint32_t chunk_idx)
{
	uint8_t frame[PL_PUSH_FRAME_SIZE];
	const uint8_t *data;
	size_t size;
	int rc = pl_feed_store_get(p->store, sequence, chunk_idx, &data, &size);

	if (rc != 0 || size > PL_FEED_SEGMENT_SIZE_MAX) {
		snprintf(p->why, sizeof(p->why), "our own segment %" PRIu64 ": %s", sequence,
			 rc != 0 ? strerror(-rc) : "too long");
		return say(PUSH_RETRY, p, ""); /* pruned meanwhile, perhaps */
	}
	pl_push_frame_write(frame, (uint32_t)size);
	if (push_send(p->fd, frame, sizeof(frame), p->timeout_ms, p->why, sizeof(p->why)) &&
	    push_send(p->fd, data, size, p->timeout_ms, p->why, sizeof(p->why)))
		return PUSH_DONE;
	return say(PUSH_RETRY, p, "");
}

/* first .. last of the tail, or of a snapshot's chunks: a few ahead of their answers. */
static enum push_end send_all(struct push *p, uint64_t snapshot_sequence, uint64_t first,
			      uint64_t last)
{
	enum push_end end = PUSH_DONE;
	uint64_t sent = first, answered = first;

	while (end == PUSH_DONE && answered <= last) {
		if (sent <= last && sent - answered < WINDOW) {
			end = snapshot_sequence != 0
				      ? send_one(p, snapshot_sequence, (uint32_t)sent)
				      : send_one(p, sent, PL_FEED_TAIL_IDX);
			sent++;
			continue;
		}
		end = read_answer(p);
		answered++;
	}
	return end;
}

/* A snapshot that says nothing new to it: it starts from that later, and need not keep what is before. */
static enum push_end send_newest_snapshot(struct push *p)
{
	struct pl_feed_snapshot snapshot;
	enum push_end end;

	if (pl_feed_store_snapshot_find(p->store, p->snapshot, p->at.sequence + 1, &snapshot) != 0)
		return PUSH_DONE;
	end = send_all(p, snapshot.covers.sequence, 0, snapshot.chunk_cnt - 1);
	if (end == PUSH_DONE)
		p->snapshot = snapshot.covers.sequence;
	return end;
}

/* Everything that it lacks: a snapshot first if the segment after its last is no longer here, or if it
 * has nothing at all. */
static enum push_end bring_up(struct push *p)
{
	struct pl_feed_snapshot snapshot;
	enum push_end end;
	const uint8_t *data;
	size_t size;
	bool here;

	end = refresh_end(p);
	if (end != PUSH_DONE)
		return end;
	if (p->at.sequence >= p->end.sequence)
		return send_newest_snapshot(p);
	here = pl_feed_store_get(p->store, p->at.sequence + 1, PL_FEED_TAIL_IDX, &data, &size) == 0;
	if ((!here || p->at.sequence == 0) &&
	    pl_feed_store_snapshot_find(p->store, p->at.sequence, UINT64_MAX, &snapshot) == 0) {
		end = send_all(p, snapshot.covers.sequence, 0, snapshot.chunk_cnt - 1);
		p->snapshot = end == PUSH_DONE ? snapshot.covers.sequence : p->snapshot;
		here = true;
	}
	if (!here) {
		snprintf(p->why, sizeof(p->why),
			 "segment %" PRIu64 " is no longer here, and no snapshot stands for it",
			 p->at.sequence + 1);
		return say(PUSH_STOP, p, "run passline-authority snapshot");
	}
	if (end == PUSH_DONE && p->at.sequence < p->end.sequence)
		end = send_all(p, 0, p->at.sequence + 1, p->end.sequence);
	return end == PUSH_DONE ? send_newest_snapshot(p) : end;
}

/* ---- for ever ---- */

/* Until something was renamed in the feed directory, the appliance closed, or it is time to look.
 * @return false: it closed. */
static bool wait_for_change(const struct push *p, int watch_fd)
{
	struct pollfd fds[2] = {
		{.fd = watch_fd, .events = POLLIN},
		{.fd = p->fd, .events = POLLIN},
	};
	char events[4096];

	(void)poll(fds, PL_ARRAY_CNT(fds), LOOK_MS);
	while (fds[0].revents & POLLIN && read(watch_fd, events, sizeof(events)) > 0)
		continue;
	/* It has nothing to say on its own: what comes is the end. */
	return fds[1].revents == 0;
}

static void back_off(uint32_t *backoff_ms)
{
	/* Half of it at random, so that many authorities' tools do not come back as one. */
	uint32_t ms = *backoff_ms / 2 + randombytes_uniform(*backoff_ms / 2 + 1);
	const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};

	(void)nanosleep(&ts, NULL);
	*backoff_ms = *backoff_ms * 2 < BACKOFF_MS_MAX ? *backoff_ms * 2 : BACKOFF_MS_MAX;
}

static int push(struct push *p)
{
	int watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	uint32_t backoff_ms = BACKOFF_MS_MIN;
	enum push_end end;

	if (watch_fd >= 0)
		(void)inotify_add_watch(watch_fd, path_in_dir(NULL, PL_REGISTRY_FEED_NAME),
					IN_MOVED_TO);
	do {
		p->fd = -1;
		p->told_sequence = UINT64_MAX;
		end = refresh_end(p);
		if (end == PUSH_DONE)
			end = open_connection(p);
		while (end == PUSH_DONE) {
			end = bring_up(p);
			publish(p);
			if (end != PUSH_DONE)
				break;
			backoff_ms = BACKOFF_MS_MIN;
			if (!p->follow)
				break;
			if (!wait_for_change(p, watch_fd))
				end = PUSH_RETRY;
		}
		if (p->fd >= 0)
			close(p->fd);
		if (p->follow && end == PUSH_RETRY)
			back_off(&backoff_ms);
	} while (p->follow && end == PUSH_RETRY);
	if (watch_fd >= 0)
		close(watch_fd);
	return end == PUSH_DONE ? EXIT_DONE : EXIT_FAILED;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{"follow", no_argument, NULL, 'f'},
		{"timeout", required_argument, NULL, 't'},
		COMMON_OPTIONS,
	};
	struct pl_feed_store_conf conf = {.dir_path = NULL};
	struct push p = {.timeout_ms = 60000};
	struct pl_keys *key;
	char error[ERROR_SIZE];
	uint64_t seconds;
	int option, code = EXIT_FAILED;

	while ((option = next_option(argc, argv, options)) != -1) {
		if (option == 'f') {
			p.follow = true;
		} else if (!number_arg("timeout", optarg, 1, 3600, &seconds)) {
			return EXIT_USAGE;
		} else {
			p.timeout_ms = (uint32_t)seconds * 1000;
		}
	}
	if (optind + 1 != argc)
		return usage("expected one HOST:PORT");
	p.name = argv[optind];
	if (!push_address(p.name, p.host, p.port))
		return usage("\"%s\" is not HOST, HOST:PORT or [IPV6]:PORT", p.name);
	if (pl_keys_load_file(path_in_dir(NULL, PUBLIC_NAME), PL_KEY_AUTHORITY_PUBLIC, &key, error,
			      sizeof(error)) != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	p.stream_id = key->key[0].stream_id;
	memcpy(conf.pubkey, key->key[0].bytes, sizeof(conf.pubkey));
	pl_keys_free(key);
	conf.dir_path = path_in_dir(NULL, PL_REGISTRY_FEED_NAME);
	if (pl_feed_store_open(&conf, &p.store, error, sizeof(error)) != 0)
		complain("%s", error);
	else
		code = push(&p);
	pl_feed_store_close(p.store);
	return code;
}

const struct command command_push = {
	.name = "push",
	.synopsis = "HOST[:PORT] [--follow] [--timeout SECONDS]",
	.summary = "send an appliance what it lacks of the feed",
	.help = "DESCRIPTION\n"
		"  Connects to an appliance's [feed] listen, learns how far its feed goes, and "
		"sends\n"
		"  what follows: segments, and before them the newest snapshot if the appliance "
		"has\n"
		"  nothing yet or lacks segments that are no longer kept here. The appliance "
		"checks "
		"and\n"
		"  stores each one durably before it says so. Only the public key is read here; "
		"any\n"
		"  number of these may run, also beside commands that write.\n"
		"\n"
		"  Tells how far the appliance is: the newest segment that it has on disk, of how\n"
		"  many, and how long ago that was complete. With --json the newest one that its\n"
		"  verdicts rest on, too (applied).\n"
		"\n"
		"OPTIONS\n"
		"      --follow           go on for ever: send each new segment as it is "
		"published, "
		"and\n"
		"                         come back after 0.25 s to 30 s when the connection is "
		"lost\n"
		"      --timeout SECONDS  for connecting and for each answer, 1 to 3600 (60)\n"
		"\n"
		"  Even with --follow it stops, with status 1, for what no retry mends: the "
		"appliance\n"
		"  has another history than ours (a fork), follows another authority, or refuses "
		"a\n"
		"  segment.\n"
		"\n"
		"EXAMPLES\n"
		"  passline-authority push 192.0.2.10:4718\n"
		"  passline-authority push [2001:db8::10]:4718 --follow --json\n",
	.run = run,
};
