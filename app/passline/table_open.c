/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table outlives the process: a restart attaches to what is there and goes on from the segment
 * that it holds. It is a copy, though, and the feed is the original: a table that cannot be shown
 * to come from this very feed is thrown away and loaded again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <unistd.h>

#include "app.h"
#include "say.h"

/* The hash of a segment, from its own file, or from a snapshot that covers it.
 * @return -ENOENT: neither is there, or to be relied on. */
static int segment_hash(const struct pl_app *app, uint64_t sequence,
			uint8_t hash[PL_FEED_HASH_SIZE])
{
	const struct pl_key *authority = &app->config.authority->key[0];
	struct pl_feed_store_conf conf = {.dir_path = app->config.site.feed_store_dir};
	struct pl_feed_snapshot snapshot;
	struct pl_feed_segment seg;
	struct pl_feed_store *store;
	const uint8_t *data;
	char error[256];
	size_t size;
	int ret;

	memcpy(conf.pubkey, authority->bytes, PL_FEED_PUBKEY_SIZE);
	ret = pl_feed_store_open(&conf, &store, error, sizeof(error));
	if (ret != 0)
		return ret;
	ret = pl_feed_store_get(store, sequence, PL_FEED_TAIL_IDX, &data, &size);
	if (ret == 0 && pl_feed_check(data, size, conf.pubkey, NULL, &seg) == PL_FEED_OK &&
	    seg.header.kind == PL_FEED_TAIL && seg.header.sequence == sequence) {
		memcpy(hash, seg.hash, PL_FEED_HASH_SIZE);
	} else {
		ret = pl_feed_store_snapshot_find(store, sequence - 1,
						  sequence == UINT64_MAX ? sequence : sequence + 1,
						  &snapshot);
		if (ret == 0)
			memcpy(hash, snapshot.covers.hash, PL_FEED_HASH_SIZE);
	}
	pl_feed_store_close(store);
	return ret;
}

/*
 * Does the table hold this feed? Its segment is there with the same bytes, or a snapshot names it; or it
 * is not there at all, as when it was pruned, or the directory is not mounted yet or was emptied: then
 * the table is the last good copy, its as-of time tells its age, and a segment that does not follow it
 * will be refused.
 */
static const char *table_is_not_of_feed(const struct pl_app *app)
{
	union pl_table_position at;
	uint8_t hash[PL_FEED_HASH_SIZE];
	int ret;

	pl_table_position_get(app->table, &at);
	if (at.pos.sequence == 0 || at.pos.stream_id != app->config.authority->key[0].stream_id)
		return "it does not hold this feed";
	if (pl_table_position_is_half(&at))
		return "it was taking a snapshot when its process ended";
	ret = segment_hash(app, at.pos.sequence, hash);
	if (ret == -ENOENT) {
		pl_say("feed %s lacks segment %" PRIu64
		       ", which the table holds: going on with the "
		       "table",
		       app->config.site.feed_store_dir, at.pos.sequence);
		return NULL;
	}
	return ret == 0 && memcmp(hash, at.pos.hash, sizeof(hash)) == 0
		       ? NULL
		       : "it does not hold this feed";
}

/* @return -EBUSY if another process writes to it. */
static int unlink_unused(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), rc = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		rc = -EBUSY;
	else if (unlink(path) != 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* With the larger one that was to follow it. */
static int unlink_all(const char *path)
{
	static const char *const suffixes[] = {"", ".new", ".new.part"};
	char name[PL_SITE_PATH_SIZE + 16];
	int rc = 0;

	for (size_t i = 0; i < PL_ARRAY_CNT(suffixes) && rc == 0; i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		rc = unlink_unused(name);
	}
	return rc;
}

/* Only what attach has seen to be a table is removed, and only if it is no other appliance's.
 * @return -ENOENT: there is none now. */
static int table_remove(struct pl_app *app, const char *why, char *error, size_t error_size)
{
	const struct pl_site *site = &app->config.site;
	char because[256]; /* why may be the error's own text */
	int rc;

	snprintf(because, sizeof(because), "%s", why);
	rc = unlink_all(site->table_path);
	if (rc == 0 && site->table_fallback_path[0] != '\0')
		rc = unlink_all(site->table_fallback_path);
	if (rc != 0) {
		snprintf(
			error, error_size,
			"%s, and it cannot be made anew: %s. Give each appliance on this machine a "
			"'path' in [table] of its own",
			because, rc == -EBUSY ? "another process uses it" : strerror(-rc));
		return rc;
	}
	pl_say("the table that is there is made anew: %s", because);
	pl_journal_write(&app->journal, "appliance", "table", "changed", "made anew: %s", because);
	return -ENOENT;
}

static bool is_larger(const struct pl_app *app, uint64_t capacity, char *text, size_t text_size)
{
	struct pl_table_stats stats;

	pl_table_stats_get(app->table, &stats);
	snprintf(text, text_size,
		 "it has room for %" PRIu64 " certificates, more than 'capacity' in [table] says",
		 stats.capacity);
	return stats.capacity > capacity;
}

/* The segment up to which a table that is made anew had facts, if it was of this stream. */
static uint64_t known_to(const struct pl_app *app)
{
	union pl_table_position at;

	pl_table_position_get(app->table, &at);
	if (at.pos.stream_id != app->config.authority->key[0].stream_id)
		return 0;
	return pl_table_position_known(&at);
}

static int attach(struct pl_app *app, const struct pl_table_conf *conf, char *error,
		  size_t error_size)
{
	/* A smaller one is taken as it is, and the loader makes it larger. */
	const struct pl_table_conf any = {.path = conf->path,
					  .fallback_path = conf->fallback_path,
					  .numa_node = conf->numa_node};
	int ret = pl_table_attach(&any, true, &app->table, error, error_size);
	const char *why;
	char larger[160];

	if (ret == -EILSEQ)
		return table_remove(app, error, error, error_size);
	if (ret == -EBUSY) {
		size_t used = strlen(error);

		snprintf(error + used, error_size - used, " ('path' in [table])");
	}
	if (ret != 0)
		return ret;
	why = is_larger(app, conf->capacity, larger, sizeof(larger)) ? larger
								     : table_is_not_of_feed(app);
	if (why == NULL)
		return 0;
	app->table_known_to = known_to(app);
	pl_table_close(app->table);
	app->table = NULL;
	return table_remove(app, why, error, error_size);
}

static int check_memory(const struct pl_app *app, char *error, size_t error_size)
{
	const struct pl_site *site = &app->config.site;
	struct pl_table_stats stats;

	pl_table_stats_get(app->table, &stats);
	if (stats.memory != PL_TABLE_MEM_ORDINARY || site->table_memory == PL_SITE_MEMORY_PAGES)
		return 0;
	if (site->table_memory == PL_SITE_MEMORY_HUGEPAGES) {
		snprintf(error, error_size,
			 "%s is in ordinary pages: name a path on hugetlbfs and reserve %" PRIu64
			 " MB of hugepages for it, or set 'memory' in [table] to auto",
			 site->table_path, stats.size >> 20);
		return -ENOMEM;
	}
	pl_say("table is in ordinary pages, which is slower%s%s",
	       stats.fallback_reason[0] != '\0' ? ": " : "", stats.fallback_reason);
	return 0;
}

/* What the one before it had told is known to whoever comes next, even if the loader gets nowhere. Between the
 * removal of that one and this nobody knows. */
static int create(struct pl_app *app, const struct pl_table_conf *conf, char *error,
		  size_t error_size)
{
	const union pl_table_position at = pl_table_position_anew(
		app->config.authority->key[0].stream_id, app->table_known_to);
	int ret = pl_table_create(conf, &app->table, error, error_size);

	if (ret == 0 && app->table_known_to != 0)
		pl_table_position_set(app->table, &at);
	return ret;
}

int pl_table_open(struct pl_app *app, char *error, size_t error_size)
{
	const struct pl_site *site = &app->config.site;
	struct pl_table_conf conf = {.path = site->table_path,
				     .capacity = site->table_capacity,
				     .numa_node = site->table_numa_node};
	int ret;

	if (site->table_fallback_path[0] != '\0')
		conf.fallback_path = site->table_fallback_path;
	ret = attach(app, &conf, error, error_size);
	if (ret == -ENOENT)
		ret = create(app, &conf, error, error_size);
	return ret != 0 ? ret : check_memory(app, error, error_size);
}
