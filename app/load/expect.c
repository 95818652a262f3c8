/* SPDX-License-Identifier: BSD-3-Clause */

#include "expect.h"

#include <errno.h>
#include <sodium.h>
#include <time.h>

#include "keys/pl_keys.h"

/* How many certificates are drawn before a kind is said not to exist. */
#define DRAWS_MAX 2000000u
/* Beyond the limits by this much, so that clocks a little apart agree. */
#define BEYOND_S 20u
/* A QR from the future stays so while its datagram lives in the pool. */
#define FUTURE_S 60u
/* Added to the scan id of a copy. */
#define COPY_BIT 0x80000000u

static uint64_t random64(struct expect *e)
{
	e->rng += 0x9e3779b97f4a7c15ULL; /* splitmix64, Steele et al. 2014 */
	return pl_mix64(e->rng);
}

enum pl_verdict expect_facts(const struct expect *e, uint32_t facts, uint32_t venue_class)
{
	if (facts & PL_FACTS_REVOKED)
		return PL_V_REVOKED;
	if (facts & PL_FACTS_SUSPENDED)
		return PL_V_SUSPENDED;
	return pl_policy_judge(e->policy, facts, venue_class, e->today);
}

void expect_set_time(struct expect *e, uint64_t wall_ms)
{
	int64_t at_s = (int64_t)(wall_ms / 1000);

	/* A zone that cannot be read again keeps its last offset. */
	if (at_s >= e->zone.until_s && pl_clock_zone_get(e->time_zone, at_s, &e->zone) != 0)
		e->zone.until_s = INT64_MAX;
	e->today = pl_clock_day(wall_ms, &e->zone);
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t t = a % b;

		a = b;
		b = t;
	}
	return a;
}

static void start_walk(struct expect *e)
{
	e->walk_at = random64(e) % e->walk_cnt;
	e->walk_stride = random64(e) % e->walk_cnt | 1;
	while (gcd(e->walk_stride, e->walk_cnt) != 1)
		e->walk_stride++;
	e->walk_done = 0;
}

static int load_master(struct expect *e, const struct load_args *args, char *error,
		       size_t error_size)
{
	struct pl_keys *keys;
	int rc = pl_keys_load_dir(args->token_key_dir, PL_KEY_TOKEN, &keys, error, error_size);

	if (rc != 0)
		return rc;
	rc = -ENOENT;
	for (uint32_t i = 0; i < keys->cnt; i++) {
		if (keys->key[i].epoch != args->key_epoch)
			continue;
		memcpy(e->master, keys->key[i].bytes, sizeof(e->master));
		rc = 0;
	}
	if (rc != 0)
		snprintf(error, error_size, "%s: no token key of epoch %u", args->token_key_dir,
			 args->key_epoch);
	pl_keys_free(keys);
	return rc;
}

static int load_policy(struct expect *e, const struct load_args *args, char *error,
		       size_t error_size)
{
	e->policy = malloc(sizeof(*e->policy));
	if (e->policy == NULL) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	if (args->policy_path != NULL) {
		int rc = pl_policy_load(args->policy_path, e->policy, NULL, error, error_size);

		if (rc != 0)
			return rc;
	} else {
		pl_policy_default(e->policy, NULL);
	}
	e->not_required_class = -1;
	for (uint32_t cls = 0; cls < PL_POLICY_CLASS_CNT && e->not_required_class < 0; cls++)
		if (e->policy->class_not_required[cls])
			e->not_required_class = (int32_t)cls;
	if (e->policy->class_not_required[args->venue_class]) {
		snprintf(error, error_size,
			 "venue class %u asks for no pass under this policy: choose another with "
			 "--venue-class",
			 args->venue_class);
		return -EINVAL;
	}
	return 0;
}

int expect_open(struct expect *e, const struct load_args *args, char *error, size_t error_size)
{
	struct pl_population_conf conf = {
		.seed = args->seed,
		.cert_cnt = args->cert_cnt,
		.key_epoch = (uint8_t)args->key_epoch,
		.doses_csv_path = args->doses_path,
	};
	uint64_t wall_ms = (uint64_t)time(NULL) * 1000;
	int rc;

	*e = (struct expect){
		.time_zone = args->time_zone,
		.venue_class = args->venue_class,
		.part_idx = args->part_idx,
		.part_cnt = args->part_cnt,
	};
	randombytes_buf(&e->rng, sizeof(e->rng));
	if (pl_clock_zone_get(e->time_zone, (int64_t)(wall_ms / 1000), &e->zone) != 0) {
		snprintf(error, error_size, "time zone '%s' is not installed", e->time_zone);
		return -ENOENT;
	}
	expect_set_time(e, wall_ms);
	conf.as_of_day = args->as_of_day == INT32_MIN ? e->today : args->as_of_day;
	rc = load_master(e, args, error, error_size);
	if (rc == 0)
		rc = load_policy(e, args, error, error_size);
	if (rc == 0)
		rc = pl_population_create(&conf, &e->population, error, error_size);
	if (rc != 0) {
		expect_close(e);
		return rc;
	}
	e->walk_cnt = (args->cert_cnt - args->part_idx + args->part_cnt - 1) / args->part_cnt;
	start_walk(e);
	return 0;
}

void expect_close(struct expect *e)
{
	pl_population_destroy(e->population);
	free(e->policy);
	sodium_memzero(e->master, sizeof(e->master));
	e->population = NULL;
	e->policy = NULL;
}

static struct pl_cert part_cert(const struct expect *e, uint64_t at)
{
	return pl_population_cert(e->population, at * e->part_cnt + e->part_idx);
}

/* The next certificate of the walk that holds. */
static bool next_valid(struct expect *e, struct pl_cert *c)
{
	while (e->walk_done < e->walk_cnt) {
		*c = part_cert(e, e->walk_at);
		e->walk_done++;
		e->walk_at = (e->walk_at + e->walk_stride) % e->walk_cnt;
		if (expect_facts(e, pl_facts_pack(c), e->venue_class) == PL_V_PASS)
			return true;
	}
	return false;
}

/* Any certificate whose facts come to this. */
static bool draw(struct expect *e, enum pl_verdict want, uint32_t venue_class, struct pl_cert *c)
{
	for (uint32_t i = 0; i < DRAWS_MAX; i++) {
		*c = part_cert(e, random64(e) % e->walk_cnt);
		if (expect_facts(e, pl_facts_pack(c), venue_class) == want)
			return true;
	}
	return false;
}

/* Of a kind that some class of venue does not accept. */
static bool draw_not_accepted(struct expect *e, uint32_t *venue_class, struct pl_cert *c)
{
	for (uint32_t cls = 0; cls < PL_POLICY_CLASS_CNT; cls++) {
		const struct pl_policy_profile *p =
			&e->policy->profiles[e->policy->class_profile[cls]];

		if (e->policy->class_not_required[cls])
			continue;
		for (uint32_t kind = 0; kind < PL_POLICY_KIND_CNT; kind++) {
			if (p->rules[kind].accept != PL_POLICY_REJECT ||
			    pl_cert_kind_name(kind) == NULL)
				continue;
			*venue_class = cls;
			return draw(e, PL_V_NOT_ACCEPTED, cls, c);
		}
	}
	return false;
}

static bool choose(struct expect *e, enum mix_kind kind, uint32_t *venue_class, struct pl_cert *c)
{
	switch (kind) {
	case MIX_VALID:
	case MIX_REPLAYED:
		return next_valid(e, c);
	case MIX_UNKNOWN:
		*c = (struct pl_cert){
			.id = pl_population_absent_id(e->population,
						      random64(e) % PL_POPULATION_CERTS_MAX)};
		return true;
	case MIX_NOT_ACCEPTED:
		return draw_not_accepted(e, venue_class, c);
	case MIX_NOT_REQUIRED:
		*venue_class = (uint32_t)e->not_required_class;
		*c = part_cert(e, random64(e) % e->walk_cnt);
		return e->not_required_class >= 0;
	case MIX_FORGED:
	case MIX_STALE:
	case MIX_FUTURE:
		return draw(e, PL_V_PASS, *venue_class, c);
	default:
		return draw(e, mix_verdict(kind), *venue_class, c);
	}
}

int expect_plan(struct expect *e, enum mix_kind kind, struct plan *out, char *error,
		size_t error_size)
{
	uint32_t venue_class = e->venue_class;
	struct pl_cert c;

	if (!choose(e, kind, &venue_class, &c)) {
		snprintf(error, error_size,
			 "no certificate %s for '%s': %s. Use a smaller --pool, a larger "
			 "population, another --venue-class or another --mix",
			 kind == MIX_VALID || kind == MIX_REPLAYED ? "left" : "to be found",
			 mix_name(kind), mix_text(kind));
		return -ENOENT;
	}
	*out = (struct plan){
		.cert_id = c.id,
		.facts = c.kind == PL_CERT_NONE ? 0 : pl_facts_pack(&c),
		.venue_id = PL_VENUE(venue_class, random64(e)),
		.nonce = (uint32_t)random64(e),
		.kind = (uint8_t)kind,
	};
	pl_token_cert_key(out->cert_key, e->master, c.id, c.generation);
	return 0;
}

void expect_plan_absent(struct expect *e, uint64_t cert_id, struct plan *out)
{
	*out = (struct plan){
		.cert_id = cert_id,
		.venue_id = PL_VENUE(e->venue_class, random64(e)),
		.nonce = (uint32_t)random64(e),
		.kind = MIX_UNKNOWN,
	};
	pl_token_cert_key(out->cert_key, e->master, cert_id, 0);
}

enum pl_verdict expect_scan(const struct expect *e, const struct plan *p, uint32_t shown_at,
			    bool second, struct pl_wire_scan *out)
{
	uint32_t venue_class = PL_VENUE_CLASS(p->venue_id);
	enum pl_verdict right;
	struct pl_token token;

	if (p->kind == MIX_STALE)
		shown_at -= e->policy->qr_life_s + e->policy->qr_skew_s + BEYOND_S;
	else if (p->kind == MIX_FUTURE)
		shown_at += e->policy->qr_skew_s + FUTURE_S;
	pl_token_mint(&token, p->cert_key, p->cert_id, shown_at);
	out->cert_id = p->cert_id;
	out->shown_at = shown_at;
	out->venue_id = p->venue_id;
	/* The same QR at the same place is the same scan, however often it is sealed. */
	out->scan_id = (p->nonce ^ shown_at) & ~COPY_BIT;
	memcpy(out->tag, token.tag, sizeof(out->tag));
	switch (p->kind) {
	case MIX_UNKNOWN:
	case MIX_NOT_REQUIRED:
	case MIX_STALE:
	case MIX_FUTURE:
		right = mix_verdict((enum mix_kind)p->kind);
		break;
	case MIX_FORGED:
		out->tag[p->nonce % sizeof(out->tag)] ^= (uint8_t)(1u << (p->nonce >> 29));
		right = PL_V_FORGED;
		break;
	case MIX_REPLAYED:
		right = expect_facts(e, p->facts, venue_class);
		if (second) {
			out->scan_id |= COPY_BIT;
			if (right == PL_V_PASS)
				right = PL_V_REPLAYED;
		}
		break;
	default:
		/* Not what was asked for at the start, but what holds today. */
		right = expect_facts(e, p->facts, venue_class);
		break;
	}
	return right;
}
