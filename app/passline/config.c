/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "config.h"
#include "ctl/pl_ctl.h"
#include "say.h"
#include "verify/pl_gateway.h"
#include "verify/pl_view.h"

/* Errors one a line, as many as there is room for. */
struct complaints {
	char *text;
	size_t size;
	size_t used;
	bool any;
};

static void complain(struct complaints *c, const char *what)
{
	int n;

	c->any = true;
	if (c->used >= c->size)
		return;
	n = snprintf(c->text + c->used, c->size - c->used, "%s%s", c->used > 0 ? "\n" : "", what);
	c->used += n > 0 ? (size_t)n : 0;
}

static void check_dir(struct complaints *c, const char *path, const char *key, int access_mode)
{
	char what[PL_SITE_PATH_SIZE + 256];
	struct stat st;

	if (stat(path, &st) != 0) {
		snprintf(what, sizeof(what), "%s: %s: %s: make the directory, or correct the path",
			 key, path, strerror(errno));
		complain(c, what);
	} else if (!S_ISDIR(st.st_mode)) {
		snprintf(what, sizeof(what), "%s: %s is not a directory", key, path);
		complain(c, what);
	} else if (access(path, access_mode) != 0) {
		snprintf(what, sizeof(what),
			 "%s: %s: %s: give it to the user that passline runs as", key, path,
			 strerror(errno));
		complain(c, what);
	}
}

/* What is made if it is not there; the directory above it is not. */
static void check_made(struct complaints *cs, const char *path, const char *key, bool is_dir)
{
	char above[PL_SITE_PATH_SIZE], what[64];
	char *slash;

	snprintf(above, sizeof(above), "%s", path);
	slash = strrchr(above, '/');
	if (slash == NULL || (is_dir && access(path, F_OK) == 0)) {
		if (is_dir)
			check_dir(cs, path, key, R_OK | W_OK | X_OK);
		return;
	}
	slash[slash == above] = '\0';
	snprintf(what, sizeof(what), "%s: the directory above it", key);
	check_dir(cs, above, what, W_OK | X_OK);
}

/* Who may write there could put another's mark of spent counters in place of ours. */
static void check_mode(struct complaints *c, const char *path, const char *key)
{
	char what[2 * PL_SITE_PATH_SIZE + 256];
	struct stat st;

	if (stat(path, &st) != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return;
	snprintf(what, sizeof(what),
		 "%s: %s may be written to by group or others (mode %04o): chmod go-w %s", key,
		 path, st.st_mode & 07777u, path);
	complain(c, what);
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Each gateway's epochs against what a set of gateways takes, before there is one. */
static void check_epochs(struct complaints *cs, const struct pl_keys *gateways, const char *dir)
{
	char what[PL_SITE_PATH_SIZE + 256];
	uint32_t *id = calloc(gateways->cnt, sizeof(*id));

	if (id == NULL) {
		complain(cs, "no memory to compare the gateways' keys");
		return;
	}
	for (uint32_t i = 0; i < gateways->cnt; i++)
		id[i] = gateways->key[i].gateway_id;
	qsort(id, gateways->cnt, sizeof(*id), compare_ids);
	for (uint32_t i = PL_GATEWAY_EPOCHS_MAX; i < gateways->cnt; i++) {
		/* Once for each gateway: at the first key too many. */
		if (id[i] != id[i - PL_GATEWAY_EPOCHS_MAX] ||
		    (i > PL_GATEWAY_EPOCHS_MAX && id[i] == id[i - PL_GATEWAY_EPOCHS_MAX - 1]))
			continue;
		snprintf(what, sizeof(what),
			 "%s: gateway %u has more than %u key epochs: delete the oldest key file",
			 dir, id[i], PL_GATEWAY_EPOCHS_MAX);
		complain(cs, what);
	}
	free(id);
}

/* A platform without a gateway holds, as keys may come later, and so does one with all of them; but somebody
 * may have meant something else. */
static void look_at_platforms(const struct pl_config *c)
{
	int32_t of_first = pl_site_platform_of(&c->site, c->gateways->key[0].gateway_id);
	bool has_gateway[PL_SITE_PLATFORMS_MAX] = {false}, same = of_first >= 0;
	uint32_t first = 0, empty_cnt = 0;

	for (uint32_t i = 0; i < c->gateways->cnt; i++) {
		int32_t platform = pl_site_platform_of(&c->site, c->gateways->key[i].gateway_id);

		same &= platform == of_first;
		if (platform >= 0)
			has_gateway[platform] = true;
	}
	for (uint32_t i = 0; i < c->site.platform_cnt; i++) {
		if (has_gateway[i])
			continue;
		first = empty_cnt == 0 ? i : first;
		empty_cnt++;
	}
	if (empty_cnt != 0)
		pl_say("[platform %s]%s: none of its gateways has a key in %s: are the numbers "
		       "right?",
		       c->site.platforms[first], empty_cnt > 1 ? ", and others behind it" : "",
		       c->site.gateway_dir);
	if (c->gateways->cnt > 1 && same)
		pl_say("[platform %s]: all gateways are its own, so there is nobody to share with: "
		       "none is ever limited",
		       c->site.platforms[of_first]);
}

/* What a file lacks, and which key of the configuration names it. */
static void complain_key(struct complaints *c, const char *key, const char *what)
{
	char text[PL_SITE_PATH_SIZE + 600];

	snprintf(text, sizeof(text), "%s: %s", key, what);
	complain(c, text);
}

static void load_keys(struct pl_config *c, struct complaints *cs)
{
	char what[PL_SITE_PATH_SIZE + 512];

	if (pl_keys_load_file(c->site.authority_path, PL_KEY_AUTHORITY_PUBLIC, &c->authority, what,
			      sizeof(what)) != 0)
		complain_key(cs, "[keys] authority", what);
	if (pl_keys_load_dir(c->site.token_dir, PL_KEY_TOKEN, &c->tokens, what, sizeof(what)) !=
	    0) {
		complain_key(cs, "[keys] token-dir", what);
	} else if (c->tokens->cnt == 0) {
		snprintf(what, sizeof(what),
			 "%s holds no token key: copy the authority's there (*.key)",
			 c->site.token_dir);
		complain(cs, what);
	} else if (c->tokens->cnt > PL_TOKEN_EPOCHS_HELD_MAX) {
		snprintf(what, sizeof(what),
			 "%s has token keys of %u epochs, and no more than %u are served at a "
			 "time: delete those that the authority has retired",
			 c->site.token_dir, c->tokens->cnt, PL_TOKEN_EPOCHS_HELD_MAX);
		complain(cs, what);
	}
	if (pl_keys_load_dir(c->site.gateway_dir, PL_KEY_GATEWAY, &c->gateways, what,
			     sizeof(what)) != 0) {
		complain_key(cs, "[keys] gateway-dir", what);
	} else if (c->gateways->cnt == 0) {
		snprintf(what, sizeof(what),
			 "%s holds no gateway key: nobody could ask. Copy keys there (*.key)",
			 c->site.gateway_dir);
		complain(cs, what);
	} else {
		check_epochs(cs, c->gateways, c->site.gateway_dir);
		look_at_platforms(c);
	}
}

static void load_policy(struct pl_config *c, struct complaints *cs)
{
	char *notes;
	int rc;

	if (c->site.policy_path[0] == '\0') {
		pl_policy_default(&c->policy, &c->policy_names);
		return;
	}
	notes = calloc(1, PL_POLICY_NOTES_SIZE);
	if (notes == NULL) {
		complain(cs, "no memory to read the policy");
		return;
	}
	rc = pl_policy_load(c->site.policy_path, &c->policy, &c->policy_names, notes,
			    PL_POLICY_NOTES_SIZE);
	if (rc == -ENOENT)
		complain_key(cs, "[policy] file", notes);
	else if (rc != 0)
		complain(cs, notes);
	else if (notes[0] != '\0')
		pl_say("%s", notes); /* it holds, but somebody should look */
	free(notes);
}

/* What the rules amount to, whatever file they came from. */
static void hash_policy(struct pl_config *c, struct complaints *cs)
{
	char *text = malloc(PL_POLICY_TEXT_SIZE);
	size_t size;

	if (text == NULL) {
		complain(cs, "no memory to describe the policy");
		return;
	}
	size = pl_policy_describe(&c->policy, &c->policy_names, text, PL_POLICY_TEXT_SIZE);
	if (size < PL_POLICY_TEXT_SIZE)
		crypto_generichash(c->policy_hash, sizeof(c->policy_hash), (const uint8_t *)text,
				   size, NULL, 0);
	else
		complain(cs, "the policy is longer than can be shown");
	free(text);
}

/* A request may be on its way for as long as request-age-max, and the QR code in it was good when
 * it was shown. What waits longer than the skew would be called stale by a delay that is not its
 * owner's. */
static void check_ages(const struct pl_config *c, struct complaints *cs)
{
	char what[PL_SITE_PATH_SIZE + 256];

	/* Times in a QR code are whole seconds: below one, no delay shows. */
	if (c->site.request_age_ms_max <= c->policy.qr_skew_s * 1000u ||
	    c->site.request_age_ms_max <= 1000u)
		return;
	snprintf(what, sizeof(what),
		 "[limits] request-age-max is %u ms, more than the %u s of 'skew' in [qr] of %s: a "
		 "good QR code that waits on its way for so long would be called stale. Lower the "
		 "one (1 s always holds), or raise the other",
		 c->site.request_age_ms_max, c->policy.qr_skew_s,
		 c->site.policy_path[0] != '\0' ? c->site.policy_path : "the built-in rules");
	complain(cs, what);
}

static void check_lcores(const struct pl_config *c, const struct pl_args *args,
			 struct complaints *cs)
{
	uint32_t lcore_cnt = pl_args_lcore_cnt(args);
	char what[256];

	if (lcore_cnt == 0 || lcore_cnt >= c->site.queue_cnt + 1)
		return;
	snprintf(what, sizeof(what),
		 "%s: %u queue(s) need %u lcores, one of them for control, and the EAL would have "
		 "%u: give it more (-l), or set fewer 'queues'",
		 args->config_path, c->site.queue_cnt, c->site.queue_cnt + 1, lcore_cnt);
	complain(cs, what);
}

/* Everything but the site itself. */
static void load_rest(struct pl_config *c, const struct pl_args *args, struct complaints *cs)
{
	char what[256];
	bool sound;

	if (c->site.feed_dir[0] != '\0')
		check_dir(cs, c->site.feed_dir, "[feed] dir", R_OK | X_OK);
	check_made(cs, c->site.feed_store_dir, "[feed] store", true);
	check_made(cs, c->site.control_path, "[control] socket", false);
	check_dir(cs, c->site.state_dir, "[site] state-dir", R_OK | W_OK | X_OK);
	check_mode(cs, c->site.state_dir, "[site] state-dir");
	if (pl_ctl_names_check(c->site.control_owner, c->site.control_group, what, sizeof(what)) !=
	    0)
		complain(cs, what);
	load_keys(c, cs);
	sound = !cs->any;
	cs->any = false;
	load_policy(c, cs);
	if (!cs->any) {
		hash_policy(c, cs);
		check_ages(c, cs);
	}
	cs->any |= !sound;
	check_lcores(c, args, cs);
}

int pl_config_load(struct pl_config *c, const struct pl_args *args, char *error, size_t error_size)
{
	struct complaints cs = {.text = error, .size = error_size};

	memset(c, 0, sizeof(*c));
	/* Without a site nothing else is known: its own list of errors stands alone. */
	if (pl_site_load(args->config_path, &c->site, error, error_size) != 0)
		return -EINVAL;
	load_rest(c, args, &cs);
	if (!cs.any)
		return 0;
	pl_config_free(c);
	return -EINVAL;
}

/* A key of an epoch never changes, a new key takes a new epoch: so another one is a mistake, and would
 * turn every good QR code of that epoch into a forged one. */
static void check_tokens_same(const struct pl_config *old, const struct pl_config *fresh,
			      struct complaints *cs)
{
	char what[PL_SITE_PATH_SIZE + 256];

	if (fresh->tokens == NULL)
		return; /* complained of already */
	for (uint32_t i = 0; i < fresh->tokens->cnt; i++) {
		const struct pl_key *k = &fresh->tokens->key[i];

		for (uint32_t j = 0; j < old->tokens->cnt; j++) {
			const struct pl_key *was = &old->tokens->key[j];

			if (was->epoch != k->epoch ||
			    sodium_memcmp(was->bytes, k->bytes, pl_keys_size(PL_KEY_TOKEN)) == 0)
				continue;
			snprintf(
				what, sizeof(what),
				"%s: the token key of epoch %u is another than before, by which "
				"every QR code of that epoch would be forged: give a new key a new "
				"epoch, or restart if the old one was the mistake",
				fresh->site.token_dir, k->epoch);
			complain(cs, what);
		}
	}
}

/* Segments are checked by the key that the loader was started with. */
static void check_authority_same(const struct pl_config *now, const struct pl_config *next,
				 struct complaints *cs)
{
	char what[PL_SITE_PATH_SIZE + 256];
	const struct pl_key *a = &now->authority->key[0], *b;

	if (next->authority == NULL)
		return; /* complained of already */
	b = &next->authority->key[0];
	if (a->stream_id == b->stream_id &&
	    memcmp(a->bytes, b->bytes, pl_keys_size(PL_KEY_AUTHORITY_PUBLIC)) == 0)
		return;
	snprintf(what, sizeof(what),
		 "%s holds another key than before: another authority, or another stream, takes a "
		 "restart",
		 next->site.authority_path);
	complain(cs, what);
}

static void check_not_smaller(const struct pl_site *site, uint64_t capacity_min,
			      struct complaints *cs)
{
	char what[256];

	if (site->table_capacity >= capacity_min)
		return;
	snprintf(what, sizeof(what),
		 "[table] capacity cannot be lowered while the appliance runs: the table has room "
		 "for %" PRIu64 " certificates. Give that or more, or restart it, and it makes the "
		 "table anew",
		 capacity_min);
	complain(cs, what);
}

int pl_config_reload(const struct pl_config *now, struct pl_config *next,
		     const struct pl_args *args, uint64_t capacity_min, char *error,
		     size_t error_size)
{
	struct complaints cs = {.text = error, .size = error_size};
	static char frozen[PL_SITE_ERROR_SIZE];

	memset(next, 0, sizeof(*next));
	if (pl_site_load(args->config_path, &next->site, error, error_size) != 0)
		return -EINVAL;
	if (pl_site_frozen_diff(&now->site, &next->site, frozen, sizeof(frozen)) != 0)
		complain(&cs, frozen);
	check_not_smaller(&next->site, capacity_min, &cs);
	next->waiver = now->waiver;
	load_rest(next, args, &cs);
	check_tokens_same(now, next, &cs);
	check_authority_same(now, next, &cs);
	if (!cs.any)
		return 0;
	pl_config_free(next);
	return -EINVAL;
}

void pl_config_free(struct pl_config *c)
{
	pl_keys_free(c->authority);
	pl_keys_free(c->tokens);
	pl_keys_free(c->gateways);
	c->authority = NULL;
	c->tokens = NULL;
	c->gateways = NULL;
}
