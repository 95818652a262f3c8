/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * snapshot, prune: the whole registry as signed chunks, and what they make superfluous.
 */
#include <errno.h>

#include "authority.h"

static int run_snapshot(int argc, char **argv)
{
	static const struct option options[] = {
		{"chunk-certs", required_argument, NULL, 'c'},
		COMMON_OPTIONS,
	};
	struct pl_registry_snapshot done;
	uint64_t chunk_certs = PL_FEED_RECORDS_MAX;
	char error[ERROR_SIZE];
	struct authority a;
	int code = EXIT_FAILED;

	while (next_option(argc, argv, options) != -1)
		if (!number_arg("chunk-certs", optarg, 1, PL_FEED_RECORDS_MAX, &chunk_certs))
			return EXIT_USAGE;
	if (optind != argc)
		return usage("takes no arguments");
	if (!authority_open(&a, true))
		return EXIT_FAILED;
	if (pl_registry_snapshot(a.registry, (uint32_t)chunk_certs, &done, error, sizeof(error)) !=
	    0) {
		complain("%s", error);
	} else {
		const struct pl_feed_snapshot *s = &done.snapshot;

		code = EXIT_DONE;
		if (json)
			printf("{\"sequence\": %" PRIu64 ", \"as_of\": %" PRIu64
			       ", \"certificates\": %" PRIu64 ", \"chunks\": %u, "
			       "\"written\": %u}\n",
			       s->covers.sequence, s->covers.as_of, s->record_cnt, s->chunk_cnt,
			       done.written_cnt);
		else
			printf("snapshot of segment %" PRIu64 ": %" PRIu64
			       " certificates in %u chunks, %u of them written now\n",
			       s->covers.sequence, s->record_cnt, s->chunk_cnt, done.written_cnt);
	}
	authority_close(&a);
	return code;
}

static int run_prune(int argc, char **argv)
{
	static const struct option options[] = {
		{"keep", required_argument, NULL, 'k'},
		COMMON_OPTIONS,
	};
	struct pl_registry_pruned done;
	uint64_t keep = 2;
	char error[ERROR_SIZE];
	struct authority a;
	int code = EXIT_FAILED;

	while (next_option(argc, argv, options) != -1)
		if (!number_arg("keep", optarg, 1, 1000, &keep))
			return EXIT_USAGE;
	if (optind != argc)
		return usage("takes no arguments");
	if (!authority_open(&a, true))
		return EXIT_FAILED;
	if (pl_registry_prune(a.registry, (uint32_t)keep, &done, error, sizeof(error)) != 0) {
		complain("%s", error);
	} else {
		code = EXIT_DONE;
		if (json)
			printf("{\"segments\": %" PRIu64 ", \"chunks\": %" PRIu64
			       ", \"bytes\": %" PRIu64 ", \"first\": %" PRIu64 "}\n",
			       done.feed.segment_cnt, done.feed.chunk_cnt, done.feed.size,
			       done.sequence);
		else if (done.sequence == 0)
			printf("nothing deleted: there are fewer than %" PRIu64
			       " complete snapshots\n",
			       keep);
		else
			printf("%" PRIu64 " segments and %" PRIu64 " chunks deleted, %" PRIu64
			       " bytes; the feed begins with the snapshot of segment %" PRIu64 "\n",
			       done.feed.segment_cnt, done.feed.chunk_cnt, done.feed.size,
			       done.sequence);
	}
	authority_close(&a);
	return code;
}

const struct command command_snapshot = {
	.name = "snapshot",
	.synopsis = "[--chunk-certs N]",
	.summary = "write the whole registry into the feed, signed",
	.help = "DESCRIPTION\n"
		"  Writes every certificate, as it is after the feed's last segment, into the feed "
		"as\n"
		"  signed chunks. An appliance that starts with nothing, or lacks segments that "
		"are "
		"no\n"
		"  longer kept, begins with the newest complete snapshot and goes on with the "
		"segments\n"
		"  after it. A snapshot counts only when its last chunk is there; a command that "
		"was cut\n"
		"  off is taken up where it was by running it again before the next change.\n"
		"\n"
		"OPTIONS\n"
		"      --chunk-certs N  certificates in a chunk, 1 to 1048576 (the default)\n",
	.run = run_snapshot,
};

const struct command command_prune = {
	.name = "prune",
	.synopsis = "[--keep N]",
	.summary = "delete segments that snapshots stand for",
	.help = "DESCRIPTION\n"
		"  Deletes the segments and the older snapshots that the newest complete snapshots "
		"make\n"
		"  superfluous. The oldest snapshot that is kept is read from end to end before. "
		"With fewer\n"
		"  complete snapshots than are to be kept nothing is deleted.\n"
		"\n"
		"OPTIONS\n"
		"      --keep N  complete snapshots to keep, with every segment from the oldest of "
		"them\n"
		"                on, 1 to 1000 (2): appliances that are no further behind need no\n"
		"                snapshot\n",
	.run = run_prune,
};
