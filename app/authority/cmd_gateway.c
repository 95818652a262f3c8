/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gateway add, rotate, retire, list.
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

static const char *key_path(uint32_t id, uint8_t epoch)
{
	char name[24];

	snprintf(name, sizeof(name), "%u-%u.key", id, epoch);
	return path_in_dir(GATEWAY_NAME, name);
}

static int add(struct authority *a, const struct pl_registry_gateway *g, const char *out_path)
{
	const char *path = key_path(g->id, g->key_epoch);
	struct pl_keys *keys = NULL;
	char error[ERROR_SIZE];
	int code = EXIT_FAILED;
	int rc;

	/* The key before the row: a row without a key would be a gateway that cannot be served. */
	rc = pl_registry_gateway_each(a->registry, find_key, (void *)(uintptr_t)g, error,
				      sizeof(error));
	if (rc == 0) {
		keys = load_or_make_key(g, path);
		rc = keys == NULL ? -EIO
				  : pl_registry_gateway_add(a->registry, g, error, sizeof(error));
		if (keys != NULL && rc != 0)
			complain("%s", error);
		if (rc == -EEXIST || rc == -EINVAL || rc == -E2BIG)
			(void)unlink(path);
	} else if (rc == 1) {
		complain("gateway %u has a key of epoch %u already: gateway rotate makes its next "
			 "one",
			 g->id, g->key_epoch);
	} else {
		complain("%s", error);
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
	return code;
}

/* ---- from one key to the next ------------------------------------------------------------------ */

/** What a gateway has. */
struct held {
	uint32_t id;
	uint32_t cnt;
	uint8_t epochs[PL_REGISTRY_EPOCHS_MAX];
	char name[PL_REGISTRY_NAME_MAX + 1];
};

static int held_add(void *ctx, const struct pl_registry_gateway *g)
{
	struct held *h = ctx;

	if (g->id != h->id)
		return 0;
	if (h->cnt < PL_REGISTRY_EPOCHS_MAX)
		h->epochs[h->cnt] = g->key_epoch;
	h->cnt++;
	snprintf(h->name, sizeof(h->name), "%s", g->name);
	return 0;
}

static bool held_find(struct authority *a, uint32_t id, struct held *h)
{
	char error[ERROR_SIZE];

	*h = (struct held){.id = id};
	if (pl_registry_gateway_each(a->registry, held_add, h, error, sizeof(error)) != 0) {
		complain("%s", error);
		return false;
	}
	if (h->cnt == 0)
		complain("there is no gateway %u: gateway add makes one", id);
	return h->cnt != 0;
}

static int rotate(struct authority *a, uint32_t id, const char *out_path)
{
	struct pl_registry_gateway g = {.id = id};
	struct held h;

	if (!held_find(a, id, &h))
		return EXIT_FAILED;
	if (h.cnt > 1) {
		complain("gateway %u has keys of epochs %u and %u already, and no more than two "
			 "at a time: retire the old one first (gateway retire)",
			 id, h.epochs[0], h.epochs[1]);
		return EXIT_FAILED;
	}
	g.key_epoch = (uint8_t)(h.epochs[0] + 1u); /* after 255 comes 0 */
	g.name = h.name;
	return add(a, &g, out_path);
}

/* The old one of two is the one that the other follows; of two that do not follow one another
 * nobody knows. @return -1: say which. */
static int old_epoch(const struct held *h)
{
	if (h->cnt != 2)
		return -1;
	if ((uint8_t)(h->epochs[0] + 1u) == h->epochs[1])
		return h->epochs[0];
	return (uint8_t)(h->epochs[1] + 1u) == h->epochs[0] ? h->epochs[1] : -1;
}

static bool held_has(const struct held *h, int epoch)
{
	for (uint32_t i = 0; i < h->cnt && i < PL_REGISTRY_EPOCHS_MAX; i++)
		if (h->epochs[i] == epoch)
			return true;
	return false;
}

static int retire(struct authority *a, uint32_t id, int epoch)
{
	const char *path;
	char error[ERROR_SIZE];
	struct held h;

	if (!held_find(a, id, &h))
		return EXIT_FAILED;
	if (epoch < 0 && h.cnt == 1)
		epoch = h.epochs[0]; /* refused, with the reason */
	else if (epoch < 0)
		epoch = old_epoch(&h);
	if (epoch < 0) {
		complain("gateway %u has keys of epochs %u and %u: say with --key-epoch which one "
			 "to retire",
			 id, h.epochs[0], h.epochs[1]);
		return EXIT_FAILED;
	}
	/* The file before the row, where the row may go: a file without a row is what an add leaves
	 * that was cut off, and the next add would take it for its own. */
	path = key_path(id, (uint8_t)epoch);
	if (h.cnt > 1 && held_has(&h, epoch) && unlink(path) != 0 && errno != ENOENT) {
		complain("%s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	if (pl_registry_gateway_retire(a->registry, id, (uint8_t)epoch, error, sizeof(error)) !=
	    0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	if (json)
		printf("{\"id\": %u, \"retired\": %d}\n", id, epoch);
	else
		printf("gateway %u: key of epoch %d is retired: take it from every appliance\n", id,
		       epoch);
	return EXIT_DONE;
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

static int list(struct authority *a)
{
	char error[ERROR_SIZE];
	uint32_t cnt = 0;
	int rc;

	if (json)
		putchar('[');
	rc = pl_registry_gateway_each(a->registry, list_one, &cnt, error, sizeof(error));
	if (json)
		puts("]");
	if (rc != 0)
		complain("%s", error);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}

enum verb { VERB_ADD, VERB_ROTATE, VERB_RETIRE, VERB_LIST, VERB_CNT };
static const char *const verbs[VERB_CNT] = {"add", "rotate", "retire", "list"};

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{"id", required_argument, NULL, 'i'},
		{"name", required_argument, NULL, 'n'},
		{"key-epoch", required_argument, NULL, 'e'},
		{"out", required_argument, NULL, 'o'},
		COMMON_OPTIONS,
	};
	struct pl_registry_gateway g = {0};
	const char *out_path = NULL;
	bool id_given = false;
	uint32_t verb = 0;
	struct authority a;
	uint64_t number;
	int epoch = -1, c;

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
			epoch = (int)number;
			break;
		default:
			out_path = optarg;
		}
	}
	if (optind + 1 != argc)
		return usage("expected add, rotate, retire or list");
	while (verb < VERB_CNT && strcmp(argv[optind], verbs[verb]) != 0)
		verb++;
	if (verb == VERB_CNT)
		return usage("expected add, rotate, retire or list, got \"%s\"", argv[optind]);
	if (verb == VERB_ADD && (!id_given || g.name == NULL))
		return usage("add: expected --id N and --name NAME");
	if (verb != VERB_ADD && verb != VERB_LIST && !id_given)
		return usage("%s: expected --id N", verbs[verb]);
	if (verb == VERB_ROTATE && epoch >= 0)
		return usage("rotate takes the next epoch: --key-epoch does not go with it");
	if (!authority_open(&a, verb != VERB_LIST))
		return EXIT_FAILED;
	switch ((enum verb)verb) {
	case VERB_ADD:
		c = add(&a, &g, out_path);
		break;
	case VERB_ROTATE:
		c = rotate(&a, g.id, out_path);
		break;
	case VERB_RETIRE:
		c = retire(&a, g.id, epoch);
		break;
	case VERB_LIST:
	case VERB_CNT:
	default:
		c = list(&a);
	}
	authority_close(&a);
	return c;
}

const struct command command_gateway = {
	.name = "gateway",
	.synopsis = "add --id N --name NAME [--key-epoch E] [--out FILE]\n"
		    "                             | rotate --id N [--out FILE] | retire --id N "
		    "[--key-epoch E] | list",
	.summary = "add a gateway and make its key; rotate its key; list gateways",
	.help = "DESCRIPTION\n"
		"  add makes a root key, in DIR/gateway/N-E.key (mode 0600), which both the "
		"gateway and\n"
		"  the appliances need.\n"
		"\n"
		"  rotate makes its next key beside the one it has. Copy it to every appliance and "
		"reload\n"
		"  them: they serve both. Then give it to the gateway. When the gateway uses it, "
		"retire\n"
		"  forgets the old one: delete that on the appliances, too, and reload them; who "
		"has the\n"
		"  old key gets no answer any more.\n"
		"\n"
		"OPTIONS\n"
		"      --id N         0 to 4294967295\n"
		"      --name NAME    for people; no two gateways share one\n"
		"      --key-epoch E  0 to 255. add: 0 unless given; retire: the older one\n"
		"      --out FILE     a copy of the key for the gateway; must not be there yet\n",
	.run = run,
};
