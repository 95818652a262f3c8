/* SPDX-License-Identifier: BSD-3-Clause */
/* passline-scan: one QR code to a verdict, as a gateway would ask. */

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keys/pl_keys.h"
#include "picture.h"
#include "scan.h"

#define ERROR_SIZE 2048u
#define PATH_SIZE  1024u

static int told(const char *what)
{
	fprintf(stderr, "passline-scan: %s\n", what);
	return SCAN_EXIT_NONE;
}

/* Read a whole file of at most size_max bytes. @return bytes, which the caller frees, or NULL. */
static uint8_t *read_file(const char *path, size_t size_max, size_t *size, char *error,
			  size_t error_size)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *data = malloc(size_max + 1);
	ssize_t got = 1;

	*size = 0;
	if (fd < 0 || data == NULL) {
		snprintf(error, error_size, "%s: %s", path, strerror(errno));
		goto fail;
	}
	while (got > 0 && *size <= size_max) {
		got = read(fd, data + *size, size_max + 1 - *size);
		if (got > 0)
			*size += (size_t)got;
	}
	if (got < 0) {
		snprintf(error, error_size, "%s: %s", path, strerror(errno));
		goto fail;
	}
	if (*size > size_max) {
		snprintf(error, error_size, "%s: over the limit of %zu bytes", path, size_max);
		goto fail;
	}
	if (!is_stdin)
		close(fd);
	return data;
fail:
	free(data);
	if (fd >= 0 && !is_stdin)
		close(fd);
	return NULL;
}

static int text_of_picture(const char *path, char text[PICTURE_TEXT_SIZE], char *error,
			   size_t error_size)
{
	char why[ERROR_SIZE / 2];
	struct picture picture;
	size_t size;
	uint8_t *data = read_file(path, PICTURE_FILE_SIZE_MAX, &size, error, error_size);
	int rc;

	if (data == NULL)
		return -EINVAL;
	rc = picture_decode(data, size, &picture, why, sizeof(why));
	free(data);
	if (rc == 0) {
		rc = picture_find_pass(&picture, text, why, sizeof(why));
		free(picture.grey);
	}
	if (rc != 0)
		snprintf(error, error_size, "%s: %s", path, why);
	return rc;
}

static int text_of_file(const char *path, char text[PICTURE_TEXT_SIZE], char *error,
			size_t error_size)
{
	size_t size;
	uint8_t *data = read_file(path, PICTURE_TEXT_SIZE - 1, &size, error, error_size);

	if (data == NULL)
		return -EINVAL;
	while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r'))
		size--;
	memcpy(text, data, size);
	text[size] = '\0';
	free(data);
	return 0;
}

static int get_token(const struct scan_args *args, struct pl_token *token, char *error,
		     size_t error_size)
{
	char text[PICTURE_TEXT_SIZE];
	const char *qr = text;
	int rc = 0;

	if (args->image_path != NULL)
		rc = text_of_picture(args->image_path, text, error, error_size);
	else if (args->qr_path != NULL)
		rc = text_of_file(args->qr_path, text, error, error_size);
	else
		qr = args->qr_text;
	if (rc != 0)
		return rc;
	if (pl_token_from_text(token, qr, strlen(qr)) != 0) {
		snprintf(error, error_size,
			 "the QR code is no pass: want " PL_TOKEN_TEXT_PREFIX
			 " and 36 characters of base45");
		return -EINVAL;
	}
	return 0;
}

/* mkdir -p, for ourselves alone. */
static int make_dirs(char *path)
{
	for (char *p = path + 1;; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			return -errno;
		*p = was;
		if (was == '\0')
			return 0;
	}
}

static int state_dir(const struct scan_args *args, char path[PATH_SIZE], char *error,
		     size_t error_size)
{
	const char *given = args->state_dir != NULL ? args->state_dir : getenv("STATE_DIRECTORY");
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int size, rc;

	if (given != NULL && *given != '\0')
		size = snprintf(path, PATH_SIZE, "%s", given);
	else if (xdg != NULL && *xdg == '/')
		size = snprintf(path, PATH_SIZE, "%s/passline", xdg);
	else
		size = snprintf(path, PATH_SIZE, "%s/.local/state/passline",
				home != NULL && *home == '/' ? home : "/root");
	if (size >= (int)PATH_SIZE) {
		snprintf(error, error_size, "state directory: path is too long");
		return -ENAMETOOLONG;
	}
	rc = make_dirs(path);
	if (rc != 0)
		snprintf(error, error_size, "state directory %s: %s; choose one with --state-dir",
			 path, strerror(-rc));
	return rc;
}

static int state_file(const struct scan_args *args, const struct pl_key *key, char path[PATH_SIZE],
		      char *error, size_t error_size)
{
	char dir[PATH_SIZE];
	int rc;

	if (args->state_path != NULL) {
		snprintf(path, PATH_SIZE, "%s", args->state_path);
		return 0;
	}
	rc = state_dir(args, dir, error, error_size);
	if (rc != 0)
		return rc;
	if (snprintf(path, PATH_SIZE, "%s/counter-%u-%u", dir, key->gateway_id, key->epoch) >=
	    (int)PATH_SIZE) {
		snprintf(error, error_size, "state directory: path is too long");
		return -ENAMETOOLONG;
	}
	return 0;
}

static int create_client(const struct scan_args *args, struct pl_client **client, char *error,
			 size_t error_size)
{
	struct pl_client_conf conf = args->conf;
	struct pl_keys *keys;
	char path[PATH_SIZE];
	int rc;

	rc = pl_keys_load_file(args->key_path, PL_KEY_GATEWAY, &keys, error, error_size);
	if (rc != 0)
		return rc;
	rc = state_file(args, &keys->key[0], path, error, error_size);
	if (rc == 0) {
		conf.gateway_id = keys->key[0].gateway_id;
		conf.key_epoch = keys->key[0].epoch;
		memcpy(conf.root, keys->key[0].bytes, sizeof(conf.root));
		conf.state_path = path;
		rc = pl_client_create(&conf, client, error, error_size);
		sodium_memzero(conf.root, sizeof(conf.root));
	}
	pl_keys_free(keys);
	return rc;
}

int main(int argc, char **argv)
{
	struct scan_args args;
	struct scan_outcome outcome = {.args = &args};
	struct pl_client *client = NULL;
	struct pl_wire_scan scan;
	char error[ERROR_SIZE] = "";
	int rc = scan_args_parse(&args, argc, argv);

	if (rc >= 0)
		return rc;
	if (sodium_init() < 0)
		return told("libsodium does not start");
	if (get_token(&args, &outcome.token, error, sizeof(error)) != 0 ||
	    create_client(&args, &client, error, sizeof(error)) != 0)
		return told(error);
	outcome.scan_id = args.scan_id_given ? args.scan_id : randombytes_random();
	scan = (struct pl_wire_scan){
		.cert_id = outcome.token.cert_id,
		.shown_at = outcome.token.shown_at,
		.venue_id = args.venue_id,
		.scan_id = outcome.scan_id,
	};
	memcpy(scan.tag, outcome.token.tag, sizeof(scan.tag));
	/* One request, one place for it, one scan: nothing that could be refused. */
	PL_CHECK(pl_client_check(client, &scan, 1, &outcome.result) == 0);
	pl_client_destroy(client);
	return scan_report(&outcome);
}
