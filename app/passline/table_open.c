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

#include <sodium.h>

#include "app.h"
#include "ready.h"

/* BLAKE2b-256 of a whole segment file, which the next one names, and so does the table. */
static int segment_hash(const char *dir_path, uint64_t sequence, uint8_t hash[PL_FEED_HASH_SIZE])
{
	char name[PL_FEED_NAME_SIZE], path[PL_SITE_PATH_SIZE + PL_FEED_NAME_SIZE];
	uint8_t bytes[16384];
	crypto_generichash_state state;
	ssize_t n;
	int fd;

	pl_feed_name(sequence, name);
	snprintf(path, sizeof(path), "%s/%s", dir_path, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	crypto_generichash_init(&state, NULL, 0, PL_FEED_HASH_SIZE);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		crypto_generichash_update(&state, bytes, (size_t)n);
	close(fd);
	crypto_generichash_final(&state, hash, PL_FEED_HASH_SIZE);
	return n < 0 ? -EIO : 0;
}

/*
 * Does the table hold this feed? Its segment is there with the same bytes; or it is not there at
 * all, as when the directory is not mounted yet or was emptied: then the table is the last good
 * copy, its as-of time tells its age, and a segment that does not follow it will be refused.
 */
static bool table_is_of_feed(const struct pl_app *app)
{
	union pl_table_position at;
	uint8_t hash[PL_FEED_HASH_SIZE];
	int ret;

	pl_table_position_get(app->table, &at);
	if (at.pos.sequence == 0 || at.pos.stream_id != app->config.authority->key[0].stream_id)
		return false;
	ret = segment_hash(app->config.site.feed_store_dir, at.pos.sequence, hash);
	if (ret == -ENOENT) {
		pl_say("feed %s lacks segment %" PRIu64
		       ", which the table holds: going on with the "
		       "table",
		       app->config.site.feed_store_dir, at.pos.sequence);
		return true;
	}
	return ret == 0 && memcmp(hash, at.pos.hash, sizeof(hash)) == 0;
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

/* Only what attach has seen to be a table is removed, and only if it is no other appliance's.
 * @return -ENOENT: there is none now. */
static int table_remove(const struct pl_site *site, const char *why, char *error, size_t error_size)
{
	char because[256]; /* why may be the error's own text */
	int rc;

	snprintf(because, sizeof(because), "%s", why);
	rc = unlink_unused(site->table_path);
	if (rc == 0 && site->table_fallback_path[0] != '\0')
		rc = unlink_unused(site->table_fallback_path);
	if (rc != 0) {
		snprintf(
			error, error_size,
			"%s, and it cannot be made anew: %s. Give each appliance on this machine a "
			"'path' in [table] of its own",
			because, rc == -EBUSY ? "another process uses it" : strerror(-rc));
		return rc;
	}
	pl_say("the table that is there is made anew: %s", because);
	return -ENOENT;
}

static int attach(struct pl_app *app, const struct pl_table_conf *conf, char *error,
		  size_t error_size)
{
	int ret = pl_table_attach(conf, true, &app->table, error, error_size);

	if (ret == -ERANGE)
		return table_remove(&app->config.site, error, error, error_size);
	if (ret != 0 || table_is_of_feed(app))
		return ret;
	pl_table_close(app->table);
	app->table = NULL;
	return table_remove(&app->config.site, "it does not hold this feed", error, error_size);
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
		ret = pl_table_create(&conf, &app->table, error, error_size);
	return ret != 0 ? ret : check_memory(app, error, error_size);
}
