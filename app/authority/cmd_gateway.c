/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gateway add, gateway list.
 */
#include <errno.h>
#include <unistd.h>

#include "authority.h"

/** The key file of a gateway that is in no registry yet: left by a run that was cut off, or new. */
static struct pl_keys *load_or_make_key(const struct pl_registry_gateway *g, const char *path)
{
	struct pl_keys *keys = NULL;
	char error[ERROR_SIZE];

	if (access(path, F_OK) == 0) {
		if (pl_keys_load_file(path, PL_KEY_GATEWAY, &keys, error, sizeof(error)) != 0) {
			complain("%s", error);
			return NULL;
		}
		if (keys->key[0].gateway_id == g->id && keys->key[0].epoch == g->key_epoch)
			return keys;
		complain("%s: is another gateway's key", path);
		pl_keys_free(keys);
		return NULL;
	}
	keys = pl_keys_create(1);
	if (keys == NULL) {
		complain("no locked memory for keys: raise the limit (ulimit -l)");
		return NULL;
	}
	keys->key[0].kind = PL_KEY_GATEWAY;
	keys->key[0].gateway_id = g->id;
	keys->key[0].epoch = g->key_epoch;
	if (pl_keys_generate(&keys->key[0]) == 0 &&
	    pl_keys_write_file(path, &keys->key[0], false, error, sizeof(error)) == 0)
		return keys;
	complain("%s", error);
	pl_keys_free(keys);
	return NULL;
}

static int find_key(void *ctx, const struct pl_registry_gateway *g)
{
	const struct pl_registry_gateway *wanted = ctx;

	return g->id == wanted->id && g->key_epoch == wanted->key_epoch ? 1 : 0;
}

static int add(const struct pl_registry_gateway *g, const char *out_path)
{
	struct pl_keys *keys = NULL;
	struct authority a;
	char name[24];
	char error[ERROR_SIZE];
	const char *path;
	int code = EXIT_FAILED;
	int rc;

	if (!authority_open(&a, true))
		return EXIT_FAILED;
	snprintf(name, sizeof(name), "%u-%u.key", g->id, g->key_epoch);
	path = path_in_dir(GATEWAY_NAME, name);
	/* The key before the row: a row without a key would be a gateway that cannot be served. */
	rc = pl_registry_gateway_each(a.registry, find_key, (void *)(uintptr_t)g, error,
				      sizeof(error));
	if (rc == 0) {
		keys = load_or_make_key(g, path);
		rc = keys == NULL ? -EIO
				  : pl_registry_gateway_add(a.registry, g, error, sizeof(error));
		if (keys != NULL && rc != 0)
			complain("%s", error);
		if (rc == -EEXIST || rc == -EINVAL)
			(void)unlink(path);
	} else {
		complain("%s", rc == 1 ? "it has a key of that epoch already: name another with "
					 "--key-epoch"
				       : error);
	}
	if (rc == 0 && out_path != NULL &&
	    pl_keys_write_file(out_path, &keys->key[0], false, error, sizeof(error)) != 0) {
		complain("%s; the gateway was added: copy its key from %s", error, path);
		rc = -EIO;
	}
	if (rc == 0) {
		code = EXIT_DONE;
		if (json) {
			printf("{\"id\": %u, \"key_epoch\": %u, \"name\": ", g->id, g->key_epoch);
			json_string(g->name);
			printf(", \"key\": ");
			json_string(out_path != NULL ? out_path : path);
			puts("}");
		} else {
			printf("gateway %u \"%s\", key of epoch %u in %s\n", g->id, g->name,
			       g->key_epoch, out_path != NULL ? out_path : path);
		}
	}
	pl_keys_free(keys);
	authority_close(&a);
	return code;
}

static int list_one(void *ctx, const struct pl_registry_gateway *g)
{
	uint32_t *cnt = ctx;

	if (json) {
		printf("%s{\"id\": %u, \"key_epoch\": %u, \"name\": ", *cnt > 0 ? ",\n " : "",
		       g->id, g->key_epoch);
		json_string(g->name);
		putchar('}');
	} else {
		printf("%10u  epoch %3u  %s\n", g->id, g->key_epoch, g->name);
	}
	++*cnt;
	return 0;
}

static int list(void)
{
	struct authority a;
	char error[ERROR_SIZE];
	uint32_t cnt = 0;
	int rc;

	if (!authority_open(&a, false))
		return EXIT_FAILED;
	if (json)
		putchar('[');
	rc = pl_registry_gateway_each(a.registry, list_one, &cnt, error, sizeof(error));
	if (json)
		puts("]");
	if (rc != 0)
		complain("%s", error);
	authority_close(&a);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{"id",        required_argument, NULL, 'i'},
		{"name",      required_argument, NULL, 'n'},
		{"key-epoch", required_argument, NULL, 'e'},
		{"out",       required_argument, NULL, 'o'},
		COMMON_OPTIONS
        };
	struct pl_registry_gateway g = {0};
	const char *out_path = NULL;
	bool id_given = false;
	uint64_t number;
	int c;

	while ((c = next_option(argc, argv, options)) != -1) {
		switch (c) {
		case 'i':
			if (!number_arg("id", optarg, 0, UINT32_MAX, &number))
				return EXIT_USAGE;
			g.id = (uint32_t)number;
			id_given = true;
			break;
		case 'n':
			g.name = optarg;
			break;
		case 'e':
			if (!number_arg("key-epoch", optarg, 0, UINT8_MAX, &number))
				return EXIT_USAGE;
			g.key_epoch = (uint8_t)number;
			break;
		default:
			out_path = optarg;
		}
	}
	if (optind + 1 != argc)
		return usage("expected add or list");
	if (strcmp(argv[optind], "list") == 0)
		return list();
	if (strcmp(argv[optind], "add") != 0)
		return usage("expected add or list, got \"%s\"", argv[optind]);
	if (!id_given || g.name == NULL)
		return usage("add: expected --id N and --name NAME");
	return add(&g, out_path);
}

const struct command command_gateway = {
	.name = "gateway",
	.synopsis = "add --id N --name NAME [--key-epoch E] [--out FILE] | list",
	.summary = "add a gateway and make its key; list gateways",
	.help = "DESCRIPTION\n"
		"  add makes a root key, in DIR/gateway/N-E.key (mode 0600), which both the "
		"gateway and\n"
		"  the appliances need. A gateway that is there may be given a key of another "
		"epoch.\n"
		"\n"
		"OPTIONS\n"
		"      --id N         0 to 4294967295\n"
		"      --name NAME    for people; no two gateways share one\n"
		"      --key-epoch E  0 to 255; 0 unless given\n"
		"      --out FILE     a copy of the key for the gateway; must not be there yet\n",
	.run = run,
};
