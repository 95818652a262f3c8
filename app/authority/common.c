/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <limits.h>
#include <time.h>

#include "authority.h"
#include "base/pl_date.h"

const char *path_in_dir(const char *sub, const char *name)
{
	static char paths[4][PATH_MAX];
	static uint32_t calls;
	char *path = paths[calls++ % PL_ARRAY_CNT(paths)];
	int size = snprintf(path, PATH_MAX, "%s%s%s/%s", dir_path, sub != NULL ? "/" : "",
			    sub != NULL ? sub : "", name);

	if (size >= PATH_MAX) {
		complain("%s: name is too long", dir_path);
		exit(EXIT_FAILED);
	}
	return path;
}

bool authority_open(struct authority *a, bool write)
{
	struct pl_registry_conf conf = {.dir_path = dir_path};
	char error[ERROR_SIZE];
	struct pl_key public_key;
	int rc;

	memset(a, 0, sizeof(*a));
	rc = write ? pl_keys_load_file(path_in_dir(NULL, SECRET_NAME), PL_KEY_AUTHORITY_SECRET,
				       &a->key, error, sizeof(error))
		   : pl_keys_load_file(path_in_dir(NULL, PUBLIC_NAME), PL_KEY_AUTHORITY_PUBLIC,
				       &a->key, error, sizeof(error));
	if (rc == -ENOENT) {
		complain("%s; make an authority with keygen, or name its directory with --dir",
			 error);
		return false;
	}
	if (rc != 0) {
		complain("%s", error);
		return false;
	}
	conf.stream_id = a->key->key[0].stream_id;
	if (write) {
		pl_keys_public_of(&a->key->key[0], &public_key);
		memcpy(conf.pubkey, public_key.bytes, sizeof(conf.pubkey));
		conf.seckey = a->key->key[0].bytes;
	}
	rc = pl_registry_open(&conf, &a->registry, error, sizeof(error));
	if (rc != 0) {
		complain("%s", error);
		authority_close(a);
		return false;
	}
	if (pl_registry_recovered_cnt(a->registry) > 0)
		complain("an earlier command was cut off after it had published %" PRIu64
			 " segments: the registry now has them",
			 pl_registry_recovered_cnt(a->registry));
	return true;
}

void authority_close(struct authority *a)
{
	pl_registry_close(a->registry);
	pl_keys_free(a->key);
	memset(a, 0, sizeof(*a));
}

int authority_commit(struct authority *a, bool heartbeat, struct pl_registry_commit *done)
{
	char error[ERROR_SIZE];
	int rc = pl_registry_commit(a->registry, (uint64_t)time(NULL), heartbeat, done, error,
				    sizeof(error));

	if (rc != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

const char *time_words(uint64_t unix_s, char text[32])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(text, 32, "%" PRIu64, unix_s);
	return text;
}

bool authority_epochs(struct authority *a, uint8_t *issuing, uint8_t *mask)
{
	char error[ERROR_SIZE];

	if (pl_registry_epochs(a->registry, mask, error, sizeof(error)) != 0) {
		complain("%s", error);
		return false;
	}
	if (*mask == 0) {
		complain("the registry has no token key epoch: keygen was cut off; delete the "
			 "directory and run it again");
		return false;
	}
	if (pl_registry_epoch_issuing(a->registry, issuing, error, sizeof(error)) != 0) {
		complain("%s", error);
		return false;
	}
	return true;
}

void json_string(const char *text)
{
	putchar('"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((uint8_t)*text < ' ')
			printf("\\u%04x", (uint8_t)*text);
		else
			putchar(*text);
	}
	putchar('"');
}

void json_cert(const struct pl_cert *c, uint64_t sequence)
{
	char date[PL_DATE_TEXT_SIZE];

	pl_date_format(c->event_day, date);
	printf("{\"id\": \"0x%016" PRIx64 "\", \"kind\": \"%s\", \"event_date\": \"%s\", "
	       "\"key_epoch\": %u, \"generation\": %u, \"revoked\": %s, \"suspended\": %s",
	       c->id, pl_cert_kind_name(c->kind), date, c->key_epoch, c->generation,
	       c->revoked ? "true" : "false", c->suspended ? "true" : "false");
	if (sequence != 0)
		printf(", \"sequence\": %" PRIu64, sequence);
	putchar('}');
}
