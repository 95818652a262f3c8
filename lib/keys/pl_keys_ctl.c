/* SPDX-License-Identifier: BSD-3-Clause */
#include "keys/pl_keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/pl_fail.h"

#define TEMP_TRIES_MAX 16

static bool kind_is_secret(enum pl_key_kind kind)
{
	switch (kind) {
#define K(id, word, size, secret) \
	case PL_KEY_##id:         \
		return secret;
		PL_KEYS_KINDS(K)
#undef K
	default:
		return true;
	}
}

/*
 * Who may have written the file, or read the secret in it? Looked at on the open file, so that
 * nobody can swap it in between.
 */
static int check_owner(const char *path, const struct stat *st, char *error, size_t error_size)
{
	unsigned int me = geteuid();

	if (!S_ISREG(st->st_mode))
		return pl_fail(-EINVAL, error, error_size, "%s: not a regular file", path);
	if (st->st_uid != 0 && st->st_uid != me)
		return pl_fail(
			-EACCES, error, error_size,
			"%s: belongs to user %u, who could change it: it must belong to root or "
			"to user %u (chown %u %s)",
			path, (unsigned int)st->st_uid, me, me, path);
	return 0;
}

static int check_mode(const char *path, const struct stat *st, enum pl_key_kind kind, char *error,
		      size_t error_size)
{
	unsigned int mode = st->st_mode & 07777;

	if (kind_is_secret(kind) && (mode & 0077) != 0)
		return pl_fail(
			-EACCES, error, error_size,
			"%s: mode %04o lets others than its owner at a secret key: chmod 600 %s",
			path, mode, path);
	if ((mode & 0002) != 0)
		return pl_fail(-EACCES, error, error_size,
			       "%s: mode %04o lets everybody change it: chmod 644 %s", path, mode,
			       path);
	return 0;
}

/* @return bytes read, up to size, or -errno. */
static ssize_t read_up_to(int fd, char *data, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, data + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* dir_fd and name open the file, path names it in messages. text: room for the size limit + 1. */
static int load_at(int dir_fd, const char *name, const char *path, enum pl_key_kind want,
		   char *text, struct pl_key *out, char *error, size_t error_size)
{
	char reason[256];
	struct stat st;
	ssize_t size;
	int fd;
	int rc;

	/* Non-blocking, or a FIFO would hold the start for ever. */
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ELOOP)
		return pl_fail(-ELOOP, error, error_size,
			       "%s: is a symbolic link; name the key file itself", path);
	if (fd < 0)
		return pl_fail(-errno, error, error_size, "%s: cannot open: %s", path,
			       strerror(errno));

	if (fstat(fd, &st) != 0) {
		rc = pl_fail(-errno, error, error_size, "%s: %s", path, strerror(errno));
		goto out_close;
	}
	rc = check_owner(path, &st, error, error_size);
	/* If any kind will do, the mode it must have is known only after reading. */
	if (rc == 0 && want != PL_KEY_NONE)
		rc = check_mode(path, &st, want, error, error_size);
	if (rc != 0)
		goto out_close;

	size = read_up_to(fd, text, PL_KEYS_FILE_SIZE_MAX + 1);
	if (size < 0) {
		rc = pl_fail((int)size, error, error_size, "%s: cannot read: %s", path,
			     strerror((int)-size));
		goto out_close;
	}
	rc = pl_keys_parse(text, (size_t)size, want, out, reason, sizeof(reason));
	if (rc != 0) {
		pl_fail(rc, error, error_size, "%s: %s", path, reason);
		goto out_close;
	}
	rc = check_mode(path, &st, out->kind, error, error_size);
	if (rc != 0)
		sodium_memzero(out, sizeof(*out));
out_close:
	close(fd);
	return rc;
}

/* A buffer for one file's text, in locked memory. */
static char *text_create(void)
{
	return sodium_init() < 0 ? NULL : sodium_malloc(PL_KEYS_FILE_SIZE_MAX + 1);
}

int pl_keys_load_file(const char *path, enum pl_key_kind want, struct pl_keys **out, char *error,
		      size_t error_size)
{
	struct pl_keys *keys = pl_keys_create(1);
	char *text = text_create();
	int rc;

	*out = NULL;
	if (keys == NULL || text == NULL)
		rc = pl_fail(-ENOMEM, error, error_size, "%s: no memory for keys", path);
	else
		rc = load_at(AT_FDCWD, path, path, want, text, &keys->key[0], error, error_size);
	sodium_free(text);
	if (rc != 0) {
		pl_keys_free(keys);
		return rc;
	}
	*out = keys;
	return 0;
}

static int is_key_name(const struct dirent *d)
{
	size_t size = strlen(d->d_name);

	return d->d_name[0] != '.' && size > 4 && strcmp(d->d_name + size - 4, ".key") == 0;
}

/* By bytes, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* What must not be there twice. */
static uint64_t key_identity(const struct pl_key *k)
{
	return (uint64_t)k->gateway_id << 8 | k->epoch;
}

struct identity {
	uint64_t id;
	uint32_t idx;
};

static int by_identity(const void *a, const void *b)
{
	const struct identity *x = a;
	const struct identity *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->idx > y->idx) - (x->idx < y->idx);
}

static int check_twice(const char *path, const struct pl_keys *keys, struct dirent **names,
		       char *error, size_t error_size)
{
	struct identity *ids = calloc(keys->cnt + 1, sizeof(*ids));
	int rc = 0;

	if (ids == NULL)
		return pl_fail(-ENOMEM, error, error_size, "%s: no memory", path);
	for (uint32_t i = 0; i < keys->cnt; i++)
		ids[i] = (struct identity){.id = key_identity(&keys->key[i]), .idx = i};
	qsort(ids, keys->cnt, sizeof(*ids), by_identity);
	for (uint32_t i = 1; i < keys->cnt && rc == 0; i++) {
		const struct pl_key *k = &keys->key[ids[i].idx];

		if (ids[i].id != ids[i - 1].id)
			continue;
		if (k->kind == PL_KEY_GATEWAY)
			rc = pl_fail(-EEXIST, error, error_size,
				     "%s: %s and %s are both for gateway %" PRIu32
				     ", epoch %u: remove one",
				     path, names[ids[i - 1].idx]->d_name, names[ids[i].idx]->d_name,
				     k->gateway_id, k->epoch);
		else
			rc = pl_fail(-EEXIST, error, error_size,
				     "%s: %s and %s are both for epoch %u: remove one", path,
				     names[ids[i - 1].idx]->d_name, names[ids[i].idx]->d_name,
				     k->epoch);
	}
	free(ids);
	return rc;
}

static int load_names(int dir_fd, const char *path, struct dirent **names, uint32_t name_cnt,
		      enum pl_key_kind want, struct pl_keys **out, char *error, size_t error_size)
{
	struct pl_keys *keys = pl_keys_create(name_cnt);
	char *text = text_create();
	int rc = 0;

	if (keys == NULL || text == NULL)
		rc = pl_fail(-ENOMEM, error, error_size, "%s: no memory for %" PRIu32 " keys", path,
			     name_cnt);
	for (uint32_t i = 0; i < name_cnt && rc == 0; i++) {
		char file_path[PATH_MAX];

		snprintf(file_path, sizeof(file_path), "%s/%s", path, names[i]->d_name);
		rc = load_at(dir_fd, names[i]->d_name, file_path, want, text, &keys->key[i], error,
			     error_size);
	}
	if (rc == 0)
		rc = check_twice(path, keys, names, error, error_size);
	sodium_free(text);
	if (rc != 0) {
		pl_keys_free(keys);
		return rc;
	}
	*out = keys;
	return 0;
}

int pl_keys_load_dir(const char *path, enum pl_key_kind want, struct pl_keys **out, char *error,
		     size_t error_size)
{
	struct dirent **names = NULL;
	int name_cnt;
	int dir_fd;
	int rc;

	*out = NULL;
	if (want != PL_KEY_GATEWAY && want != PL_KEY_TOKEN)
		return pl_fail(-EINVAL, error, error_size,
			       "%s: only gateway and token keys come by directory", path);
	dir_fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	if (dir_fd < 0)
		return pl_fail(
			-errno, error, error_size,
			"%s: cannot open the key directory: %s: correct the path, or make it", path,
			strerror(errno));
	name_cnt = scandirat(dir_fd, ".", &names, is_key_name, by_name);
	if (name_cnt < 0)
		rc = pl_fail(-errno, error, error_size, "%s: cannot list: %s", path,
			     strerror(errno));
	else if ((uint32_t)name_cnt > PL_KEYS_DIR_CNT_MAX)
		rc = pl_fail(-E2BIG, error, error_size,
			     "%s: %d key files, more than the limit of %u: move old epochs away",
			     path, name_cnt, PL_KEYS_DIR_CNT_MAX);
	else
		rc = load_names(dir_fd, path, names, (uint32_t)name_cnt, want, out, error,
				error_size);
	for (int i = 0; i < name_cnt; i++)
		free(names[i]);
	free(names);
	close(dir_fd);
	return rc;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* A new file of a random name, whole and on disk. @param temp  gets its name; NAME_MAX + 1. */
static int write_temp(int dir_fd, char *temp, mode_t mode, const char *text, size_t size)
{
	int fd = -1;
	int rc;

	for (int i = 0; i < TEMP_TRIES_MAX && fd < 0; i++) {
		snprintf(temp, NAME_MAX + 1, ".%08" PRIx32 "%08" PRIx32 ".tmp",
			 randombytes_random(), randombytes_random());
		fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			    0600);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		return -errno;
	rc = write_all(fd, text, size);
	/* The umask may have taken bits from a public key. */
	if (rc == 0 && fchmod(fd, mode) != 0)
		rc = -errno;
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	if (close(fd) != 0 && rc == 0)
		rc = -errno;
	if (rc != 0)
		unlinkat(dir_fd, temp, 0);
	return rc;
}

/* Give the new file its name. link() refuses an existing name in one step; rename() does not. */
static int publish_temp(int dir_fd, const char *temp, const char *name, bool replace)
{
	int rc = 0;

	if (replace) {
		if (renameat(dir_fd, temp, dir_fd, name) == 0)
			return 0;
		rc = -errno;
	} else if (linkat(dir_fd, temp, dir_fd, name, 0) != 0) {
		rc = -errno;
	}
	unlinkat(dir_fd, temp, 0);
	return rc;
}

int pl_keys_write_file(const char *path, const struct pl_key *key, bool replace, char *error,
		       size_t error_size)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	char dir[PATH_MAX];
	char temp[NAME_MAX + 1];
	char *text;
	size_t size;
	int dir_fd;
	int rc;

	if (*name == '\0' || strlen(path) >= sizeof(dir))
		return pl_fail(-EINVAL, error, error_size, "%s: not a file name", path);
	snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(name - path) : 1,
		 slash != NULL ? path : ".");
	dir_fd = open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	if (dir_fd < 0)
		return pl_fail(-errno, error, error_size, "%s: cannot open the directory: %s", dir,
			       strerror(errno));
	text = text_create();
	if (text == NULL) {
		rc = pl_fail(-ENOMEM, error, error_size, "%s: no memory", path);
		goto out;
	}
	size = pl_keys_format(key, text);
	if (size == 0) {
		rc = pl_fail(-EINVAL, error, error_size, "%s: key is out of range", path);
		goto out;
	}
	rc = write_temp(dir_fd, temp, kind_is_secret(key->kind) ? 0600 : 0644, text, size);
	if (rc == 0)
		rc = publish_temp(dir_fd, temp, name, replace);
	if (rc == 0 && fsync(dir_fd) != 0)
		rc = -errno;
	if (rc == -EEXIST)
		pl_fail(rc, error, error_size,
			"%s: exists already; a key that is in use must not be lost: choose another "
			"name or remove it first",
			path);
	else if (rc != 0)
		pl_fail(rc, error, error_size, "%s: cannot write: %s", path, strerror(-rc));
out:
	sodium_free(text);
	close(dir_fd);
	return rc;
}
