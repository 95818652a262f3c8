/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * keygen: a new authority.
 */
#include <errno.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authority.h"

static bool make_dir(const char *path, mode_t mode)
{
	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return true;
	complain("%s: %s", path, strerror(errno));
	return false;
}

/** A new key of a kind, into a file that is not there yet. */
static bool make_key(struct pl_keys *keys, enum pl_key_kind kind, const char *path)
{
	struct pl_key *key = &keys->key[0];
	char error[ERROR_SIZE];

	key->kind = (uint8_t)kind;
	if (pl_keys_generate(key) != 0 ||
	    pl_keys_write_file(path, key, false, error, sizeof(error)) != 0) {
		complain("%s", error);
		return false;
	}
	return true;
}

static bool make_registry(uint64_t stream_id)
{
	struct authority a;
	char error[ERROR_SIZE];
	bool ok;

	if (pl_registry_create(dir_path, stream_id, error, sizeof(error)) != 0) {
		complain("%s", error);
		return false;
	}
	if (!authority_open(&a, true))
		return false;
	ok = pl_registry_epoch_add(a.registry, 0, error, sizeof(error)) == 0;
	if (!ok)
		complain("%s", error);
	authority_close(&a);
	return ok;
}

static bool make_authority(struct pl_keys *keys)
{
	struct pl_key *key = &keys->key[0];
	struct pl_key public_key;
	char error[ERROR_SIZE];

	if (!make_key(keys, PL_KEY_TOKEN, path_in_dir(TOKEN_NAME, "0.key")))
		return false;
	randombytes_buf(&key->stream_id, sizeof(key->stream_id));
	key->stream_id |= 1; /* never 0 */
	if (!make_key(keys, PL_KEY_AUTHORITY_SECRET, path_in_dir(NULL, SECRET_NAME)))
		return false;
	pl_keys_public_of(key, &public_key);
	if (pl_keys_write_file(path_in_dir(NULL, PUBLIC_NAME), &public_key, false, error,
			       sizeof(error)) != 0) {
		complain("%s", error);
		return false;
	}
	return make_registry(key->stream_id);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS};
	struct pl_keys *keys;
	bool ok;

	while (next_option(argc, argv, options) != -1)
		continue;
	if (optind != argc)
		return usage("takes no arguments");
	if (access(path_in_dir(NULL, SECRET_NAME), F_OK) == 0) {
		complain("%s: there is an authority already; its keys are never replaced",
			 dir_path);
		return EXIT_FAILED;
	}
	if (!make_dir(dir_path, 0755) || !make_dir(path_in_dir(NULL, TOKEN_NAME), 0700) ||
	    !make_dir(path_in_dir(NULL, GATEWAY_NAME), 0700))
		return EXIT_FAILED;
	keys = pl_keys_create(1);
	if (keys == NULL) {
		complain("no locked memory for keys: raise the limit (ulimit -l)");
		return EXIT_FAILED;
	}
	ok = make_authority(keys);
	if (ok && json)
		printf("{\"dir\": \"%s\", \"stream\": \"%016" PRIx64 "\"}\n", dir_path,
		       keys->key[0].stream_id);
	else if (ok)
		printf("%s: authority of stream %016" PRIx64 "\n", dir_path,
		       keys->key[0].stream_id);
	pl_keys_free(keys);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_keygen = {
	.name = "keygen",
	.synopsis = "[--dir DIR]",
	.summary = "make a new authority: keys and an empty registry",
	.help = "DESCRIPTION\n"
		"  Makes DIR, a signing key and stream id, the token master key of epoch 0 and an\n"
		"  empty registry. Secret keys get mode 0600. Refuses a directory that has an\n"
		"  authority: its keys are never replaced.\n",
	.run = run,
};
