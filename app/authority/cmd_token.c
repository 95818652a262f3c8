/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * token: the token master keys, and their rotation from one epoch to the next.
 */
#include <errno.h>
#include <unistd.h>

#include "authority.h"

/* Certificates that are moved in one go through memory. */
#define BATCH_MAX 65536u

static const char *key_path(uint8_t epoch)
{
	char name[16];

	snprintf(name, sizeof(name), "%u.key", epoch);
	return path_in_dir(TOKEN_NAME, name);
}

/* Epochs go round a circle: the one after the issuing one is the next, or is there and waits. */
static uint8_t next_epoch(uint8_t issuing)
{
	return (uint8_t)((issuing + 1) % PL_CERT_KEY_EPOCH_CNT);
}

static bool next_waits(uint8_t mask, uint8_t issuing)
{
	return (mask >> next_epoch(issuing) & 1) != 0;
}

/** The other epoch than the issuing one: PL_CERT_KEY_EPOCH_CNT if there is none. */
static uint8_t other_epoch(uint8_t mask, uint8_t issuing)
{
	uint8_t others = mask & (uint8_t) ~(1u << issuing);

	return others == 0 ? PL_CERT_KEY_EPOCH_CNT : (uint8_t)__builtin_ctz(others);
}

static void print_epoch(const char *did, uint8_t epoch)
{
	if (json) {
		printf("{\"epoch\": %u, \"key\": ", epoch);
		json_string(key_path(epoch));
		puts("}");
	} else {
		printf("token key epoch %u %s\n", epoch, did);
	}
}

/** A key file of an epoch that the registry has not: what a run that was cut off left, or new. */
static bool make_key(uint8_t epoch)
{
	const char *path = key_path(epoch);
	struct pl_keys *keys = NULL;
	char error[ERROR_SIZE];
	bool ok;

	if (access(path, F_OK) == 0) {
		ok = pl_keys_load_file(path, PL_KEY_TOKEN, &keys, error, sizeof(error)) == 0;
		if (ok && keys->key[0].epoch != epoch) {
			snprintf(error, sizeof(error), "%s: is of epoch %u", path,
				 keys->key[0].epoch);
			ok = false;
		}
	} else {
		keys = pl_keys_create(1);
		if (keys == NULL) {
			complain("no locked memory for keys: raise the limit (ulimit -l)");
			return false;
		}
		keys->key[0].kind = PL_KEY_TOKEN;
		keys->key[0].epoch = epoch;
		ok = pl_keys_generate(&keys->key[0]) == 0 &&
		     pl_keys_write_file(path, &keys->key[0], false, error, sizeof(error)) == 0;
	}
	if (!ok)
		complain("%s", error);
	pl_keys_free(keys);
	return ok;
}

static int add(struct authority *a, uint8_t mask, uint8_t issuing)
{
	uint8_t epoch = next_epoch(issuing);
	char error[ERROR_SIZE];

	/* Refused before a key is made. */
	if ((uint32_t)__builtin_popcount(mask) >= PL_REGISTRY_EPOCHS_MAX) {
		complain("there are %u token key epochs already, and no more than that at a time: "
			 "move the certificates off the old one and retire it (token move, token "
			 "retire)",
			 PL_REGISTRY_EPOCHS_MAX);
		return EXIT_FAILED;
	}
	/* The key before the row: an epoch without a key could not be served. */
	if (!make_key(epoch))
		return EXIT_FAILED;
	if (pl_registry_epoch_add(a->registry, epoch, error, sizeof(error)) != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	print_epoch("was made; nothing is issued under it until \"token use\": give its key to "
		    "every appliance first",
		    epoch);
	return EXIT_DONE;
}

static int use(struct authority *a, uint8_t mask, uint8_t issuing)
{
	char error[ERROR_SIZE];

	if (!next_waits(mask, issuing)) {
		complain("new certificates get the newest token key epoch, %u, already: make the "
			 "next one with token add",
			 issuing);
		return EXIT_FAILED;
	}
	issuing = next_epoch(issuing);
	if (pl_registry_epoch_use(a->registry, issuing, error, sizeof(error)) != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	print_epoch("is what new certificates get from now on", issuing);
	return EXIT_DONE;
}

/* ---- moving certificates --------------------------------------------------------------------- */

struct move {
	struct pl_registry *registry;
	struct pl_cert *batch;
	uint32_t cnt;
	uint64_t moved;
	uint64_t max;
	uint8_t to;
};

static int collect(void *ctx, const struct pl_cert *c)
{
	struct move *m = ctx;

	m->batch[m->cnt++] = *c;
	return 0;
}

/** Into the operation that is open. A batch at a time: rows that are being walked over are not to
 * be written. */
static int move_all(struct move *m, uint8_t from, char *error, size_t error_size)
{
	struct pl_registry_filter filter = {.revoked = -1, .suspended = -1, .epochs = from};
	int rc;

	do {
		uint64_t left = m->max - m->moved;

		m->cnt = 0;
		filter.cert_max = left < BATCH_MAX ? left : BATCH_MAX;
		rc = pl_registry_each(m->registry, &filter, collect, m, error, error_size);
		for (uint32_t i = 0; rc == 0 && i < m->cnt; i++) {
			m->batch[i].key_epoch = m->to;
			rc = pl_registry_put(m->registry, &m->batch[i], error, error_size);
			m->moved++;
			filter.id_after = m->batch[i].id;
		}
	} while (rc == 0 && m->cnt == BATCH_MAX && m->moved < m->max);
	return rc;
}

static int move(struct authority *a, uint8_t mask, uint8_t issuing, uint64_t max)
{
	struct move m = {.registry = a->registry, .max = max, .to = issuing};
	uint8_t from = other_epoch(mask, issuing);
	struct pl_registry_commit done;
	uint64_t left = 0;
	char error[ERROR_SIZE] = "";
	int code = EXIT_FAILED;

	if (from == PL_CERT_KEY_EPOCH_CNT || next_waits(mask, issuing)) {
		complain(from == PL_CERT_KEY_EPOCH_CNT
				 ? "every certificate is under token key epoch %u, the only one: "
				   "begin with token add"
				 : "new certificates get token key epoch %u still: once every "
				   "appliance has the new one's key, begin with token use",
			 issuing);
		return EXIT_FAILED;
	}
	m.batch = calloc(BATCH_MAX, sizeof(*m.batch));
	if (m.batch == NULL) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	if (pl_registry_begin(a->registry, error, sizeof(error)) != 0) {
		complain("%s", error);
	} else if (move_all(&m, (uint8_t)(1u << from), error, sizeof(error)) != 0) {
		complain("%s", error);
		pl_registry_rollback(a->registry);
	} else {
		code = authority_commit(a, false, &done);
	}
	if (code == EXIT_DONE &&
	    pl_registry_epoch_certs(a->registry, from, &left, error, sizeof(error)) != 0) {
		complain("the certificates were moved, but those left cannot be counted: %s",
			 error);
		code = EXIT_FAILED;
	}
	free(m.batch);
	if (code != EXIT_DONE)
		return code;
	if (json)
		printf("{\"moved\": %" PRIu64 ", \"left\": %" PRIu64
		       ", \"epoch\": %u, \"segments\": %" PRIu64 ", \"sequence\": %" PRIu64 "}\n",
		       m.moved, left, issuing, done.segment_cnt, done.sequence);
	else
		printf("%" PRIu64 " moved to token key epoch %u, %" PRIu64
		       " left under %u; feed at segment %" PRIu64 "\n",
		       m.moved, issuing, left, from, done.sequence);
	return EXIT_DONE;
}

/* ---- the end of an epoch ----------------------------------------------------------------------- */

static int retire(struct authority *a, uint8_t mask, uint8_t issuing)
{
	uint8_t epoch = other_epoch(mask, issuing);
	uint64_t cert_cnt = 0;
	char error[ERROR_SIZE];

	if (epoch == PL_CERT_KEY_EPOCH_CNT || next_waits(mask, issuing)) {
		complain("there is no old token key epoch: new certificates get %u%s", issuing,
			 epoch == PL_CERT_KEY_EPOCH_CNT ? ", the only one" : " until token use");
		return EXIT_FAILED;
	}
	if (pl_registry_epoch_certs(a->registry, epoch, &cert_cnt, error, sizeof(error)) != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	/* The file before the row: a file without a row is what an add leaves that was cut off, and
	 * the next add would take it for its own. */
	if (cert_cnt == 0 && unlink(key_path(epoch)) != 0 && errno != ENOENT) {
		complain("%s: %s", key_path(epoch), strerror(errno));
		return EXIT_FAILED;
	}
	if (pl_registry_epoch_retire(a->registry, epoch, error, sizeof(error)) != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	print_epoch("is retired: take its key from every appliance", epoch);
	return EXIT_DONE;
}

static int list(struct authority *a, uint8_t mask, uint8_t issuing)
{
	char error[ERROR_SIZE];
	const char *between = "";

	if (json)
		putchar('[');
	for (uint8_t e = 0; e < PL_CERT_KEY_EPOCH_CNT; e++) {
		uint64_t cnt = 0;

		if ((mask >> e & 1) == 0)
			continue;
		if (pl_registry_epoch_certs(a->registry, e, &cnt, error, sizeof(error)) != 0) {
			complain("%s", error);
			return EXIT_FAILED;
		}
		if (json)
			printf("%s{\"epoch\": %u, \"certificates\": %" PRIu64 ", \"issuing\": %s}",
			       between, e, cnt, e == issuing ? "true" : "false");
		else
			printf("epoch %u  %12" PRIu64 " certificates%s\n", e, cnt,
			       e == issuing ? "  new ones get it" : "");
		between = ",\n ";
	}
	if (json)
		puts("]");
	return EXIT_DONE;
}

static int run_on(struct authority *a, const char *what, uint64_t max)
{
	uint8_t issuing, mask;

	if (!authority_epochs(a, &issuing, &mask))
		return EXIT_FAILED;
	if (strcmp(what, "list") == 0)
		return list(a, mask, issuing);
	if (strcmp(what, "add") == 0)
		return add(a, mask, issuing);
	if (strcmp(what, "use") == 0)
		return use(a, mask, issuing);
	if (strcmp(what, "move") == 0)
		return move(a, mask, issuing, max);
	return retire(a, mask, issuing);
}

static int run(int argc, char **argv)
{
	static const char *const verbs[] = {"list", "add", "use", "move", "retire"};
	static const struct option options[] = {
		{"limit", required_argument, NULL, 'l'},
		COMMON_OPTIONS,
	};
	struct authority a;
	uint64_t max = UINT64_MAX;
	bool known = false, limited = false;
	int code;

	while (next_option(argc, argv, options) != -1) {
		if (!number_arg("limit", optarg, 1, UINT32_MAX, &max))
			return EXIT_USAGE;
		limited = true;
	}
	if (optind + 1 != argc)
		return usage("expected list, add, use, move or retire");
	for (uint32_t i = 0; i < PL_ARRAY_CNT(verbs); i++)
		known |= strcmp(argv[optind], verbs[i]) == 0;
	if (!known)
		return usage("expected list, add, use, move or retire, got \"%s\"", argv[optind]);
	if (limited && strcmp(argv[optind], "move") != 0)
		return usage("--limit goes with move only");
	if (!authority_open(&a, strcmp(argv[optind], "list") != 0))
		return EXIT_FAILED;
	code = run_on(&a, argv[optind], max);
	authority_close(&a);
	return code;
}

const struct command command_token = {
	.name = "token",
	.synopsis = "list | add | use | move [--limit N] | retire",
	.summary = "rotate the token master key",
	.help = "DESCRIPTION\n"
		"  A certificate's QR codes are made with a key that is derived from the token "
		"master\n"
		"  key of its epoch. Rotation takes five steps, in this order, days apart if need "
		"be:\n"
		"\n"
		"  add      makes the master key of the next epoch, in DIR/token. Nothing uses it "
		"yet:\n"
		"           copy it to every appliance and reload them.\n"
		"  use      from now on issue and replace give certificates the new epoch.\n"
		"  move     gives it to the certificates of the old epoch, and publishes them. "
		"Wallets\n"
		"           fetch their new keys (wallet ID --export); until the last step "
		"appliances\n"
		"           take QR codes of the old key and of the new.\n"
		"  retire   forgets the old epoch and its key, once no certificate is under it. "
		"Then\n"
		"           delete that key on the appliances and reload them: QR codes of wallets "
		"that\n"
		"           never fetched their new key are forged from then on.\n"
		"  list     says how many certificates each epoch has, at any time.\n"
		"\n"
		"  There are at most two epochs at a time. Their numbers go round: 0 to 7, and 0\n"
		"  again.\n"
		"\n"
		"OPTIONS\n"
		"      --limit N  move at most N certificates; run it again for the rest\n",
	.run = run,
};
