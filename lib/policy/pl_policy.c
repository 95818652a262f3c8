/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy/pl_policy.h"

#include <errno.h>
#include <inttypes.h>

#include "conf/pl_conf.h"
#include "policy/pl_policy_pvt.h"

#define QR_LIFE_S_MAX 600u
#define QR_SKEW_S_MAX 300u

static_assert(PL_POLICY_NOTES_SIZE >= PL_CONF_TEXT_SIZE, "notes are never cut short");

struct kind {
	uint32_t num;
	const char *name;
};

static const struct kind kinds[] = {
#define K(id, num, name, text) {num, name},
	PL_CERT_KINDS(K)
#undef K
};

/* What is being read. */
struct reader {
	struct pl_conf *c;
	struct pl_policy *p;
	struct pl_policy_names *names;
	bool profile_used[PL_POLICY_PROFILE_MAX];
	bool class_set[PL_POLICY_CLASS_CNT];
};

/* A day with its sign at *at, which moves behind it. @return false if there is none. */
static bool take_day(const char **at, int32_t *out)
{
	int32_t sign = **at == '-' ? -1 : 1;
	const char *s = *at + (sign < 0 ? 1 : 0);
	int32_t v = 0;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (*s - '0');
		if (v > PL_POLICY_DAYS_MAX)
			return false;
	}
	*out = sign * v;
	*at = s;
	return true;
}

/* "14..180", "0..", "..-1", with blanks or without, or "reject". */
static bool parse_rule(const char *s, struct pl_policy_rule *r)
{
	*r = (struct pl_policy_rule){
		.from_days = PL_POLICY_DAYS_EVER,
		.to_days = PL_POLICY_DAYS_ANY,
		.accept = PL_POLICY_ACCEPT,
	};
	if (strcmp(s, "reject") == 0) {
		*r = (struct pl_policy_rule){.accept = PL_POLICY_REJECT};
		return true;
	}
	if (*s != '.' && !take_day(&s, &r->from_days))
		return false;
	s += strspn(s, " ");
	if (strncmp(s, "..", 2) != 0)
		return false;
	s += 2;
	s += strspn(s, " ");
	return *s == '\0' || (take_day(&s, &r->to_days) && *s == '\0');
}

static struct pl_policy_rule get_rule(struct pl_conf *c, struct pl_conf_section *s,
				      const struct pl_conf_item *item)
{
	struct pl_policy_rule r;

	if (!parse_rule(item->value, &r)) {
		pl_conf_error(c, s, item,
			      "\"%.60s\" is neither a range of days such as 14..180, 0.. or ..-1 "
			      "(each within %d days) nor \"reject\"",
			      item->value, PL_POLICY_DAYS_MAX);
		return (struct pl_policy_rule){0};
	}
	if (r.accept == PL_POLICY_ACCEPT && r.from_days > r.to_days)
		pl_conf_error(c, s, item,
			      "begins on day %" PRId32 ", after its end on day %" PRId32
			      ": no certificate would ever hold (write \"reject\" if none should)",
			      r.from_days, r.to_days);
	return r;
}

static void read_profile(struct reader *rd, struct pl_conf_section *s)
{
	struct pl_conf *c = rd->c;
	uint32_t idx = rd->p->profile_cnt;
	struct pl_policy_profile *profile = &rd->p->profiles[idx];
	struct pl_conf_item *other = pl_conf_find(c, s, "other");
	bool rejects_others = other != NULL && strcmp(other->value, "reject") == 0;

	if (!pl_conf_is_name(s->arg, PL_POLICY_NAME_SIZE - 1))
		pl_conf_error(c, s, NULL,
			      "a profile's name has 1 to %u small letters, digits and '-'",
			      PL_POLICY_NAME_SIZE - 1);
	if (other != NULL && !rejects_others)
		pl_conf_error(c, s, other, "can be \"reject\" only; give each kind its own line");
	snprintf(rd->names->profile[idx], PL_POLICY_NAME_SIZE, "%.*s", (int)PL_POLICY_NAME_SIZE - 1,
		 s->arg);
	for (size_t i = 0; i < PL_ARRAY_CNT(kinds); i++) {
		const struct pl_conf_item *item = pl_conf_find(c, s, kinds[i].name);
		struct pl_policy_rule *r = &profile->rules[kinds[i].num];

		if (item != NULL)
			*r = get_rule(c, s, item);
		else if (rejects_others)
			*r = (struct pl_policy_rule){.accept = PL_POLICY_REJECT};
		else if (other == NULL)
			pl_conf_error(
				c, s, NULL,
				"no rule for %s: add one, or \"other = reject\" for all kinds "
				"without a line",
				kinds[i].name);
	}
	rd->p->profile_cnt++;
}

static void read_profiles(struct reader *rd)
{
	struct pl_conf_section *s = NULL;
	uint32_t errors = pl_conf_error_cnt(rd->c);

	while ((s = pl_conf_section_next(rd->c, "profile", s)) != NULL) {
		if (rd->p->profile_cnt == PL_POLICY_PROFILE_MAX)
			pl_conf_error(rd->c, s, NULL, "more than %u profiles",
				      PL_POLICY_PROFILE_MAX);
		else
			read_profile(rd, s);
	}
	if (rd->p->profile_cnt == 0 && pl_conf_error_cnt(rd->c) == errors)
		pl_conf_error(rd->c, NULL, NULL, "no [profile NAME]: what are the rules?");
}

/* The profile that an item names, 0 if it is none. */
static uint8_t get_profile(struct reader *rd, struct pl_conf_section *s,
			   const struct pl_conf_item *item)
{
	for (uint32_t i = 0; i < rd->p->profile_cnt; i++)
		if (strcmp(item->value, rd->names->profile[i]) == 0) {
			rd->profile_used[i] = true;
			return (uint8_t)i;
		}
	pl_conf_error(rd->c, s, item, "there is no [profile %.60s]", item->value);
	return 0;
}

/* A class by its number, or -1. A class has one place in the file. */
static int32_t take_class(struct reader *rd, struct pl_conf_section *s,
			  const struct pl_conf_item *item, const char *number)
{
	uint64_t class;

	if (!pl_conf_parse_number(number, &class) || class >= PL_POLICY_CLASS_CNT) {
		pl_conf_error(rd->c, s, item, "a class of venue is a number from 0 to %u",
			      PL_POLICY_CLASS_CNT - 1);
		return -1;
	}
	if (rd->class_set[class]) {
		pl_conf_error(rd->c, s, item,
			      "class %" PRIu64 " was given before: keep it in one place", class);
		return -1;
	}
	rd->class_set[class] = true;
	return (int32_t) class;
}

static void read_classes(struct reader *rd)
{
	struct pl_conf_section *s = pl_conf_section_required(rd->c, "classes");
	struct pl_conf_item *item = pl_conf_require(rd->c, s, "other");

	if (item != NULL)
		rd->names->other_profile = get_profile(rd, s, item);
	memset(rd->p->class_profile, rd->names->other_profile, sizeof(rd->p->class_profile));
	while ((item = pl_conf_item_next(rd->c, s)) != NULL) {
		int32_t class = take_class(rd, s, item, item->key);
		uint8_t profile = get_profile(rd, s, item);

		if (class >= 0)
			rd->p->class_profile[class] = profile;
	}
}

static void read_class_name(struct reader *rd, struct pl_conf_section *s, uint32_t class)
{
	struct pl_conf_item *item = pl_conf_find(rd->c, s, "name");

	if (item == NULL)
		return;
	if (!pl_conf_is_name(item->value, PL_POLICY_NAME_SIZE - 1)) {
		pl_conf_error(rd->c, s, item, "has 1 to %u small letters, digits and '-'",
			      PL_POLICY_NAME_SIZE - 1);
		return;
	}
	for (uint32_t i = 0; i < PL_POLICY_CLASS_CNT; i++)
		if (strcmp(rd->names->class_name[i], item->value) == 0)
			pl_conf_error(rd->c, s, item, "is the name of class %" PRIu32 " already",
				      i);
	snprintf(rd->names->class_name[class], PL_POLICY_NAME_SIZE, "%s", item->value);
}

static void read_class(struct reader *rd, struct pl_conf_section *s)
{
	int32_t class = take_class(rd, s, NULL, s->arg);
	struct pl_conf_item *item = pl_conf_find(rd->c, s, "profile");
	uint8_t profile = item != NULL ? get_profile(rd, s, item) : rd->names->other_profile;
	bool required = pl_conf_bool(rd->c, s, "required", true);

	if (class < 0) {
		(void)pl_conf_find(rd->c, s, "name");
		return;
	}
	if (item == NULL && required)
		pl_conf_error(
			rd->c, s, NULL,
			"key \"profile\" is missing; only a class with \"required = no\" can do "
			"without");
	read_class_name(rd, s, (uint32_t) class);
	rd->p->class_profile[class] = profile;
	rd->p->class_not_required[class] = required ? 0 : 1;
}

static void read_qr(struct reader *rd)
{
	struct pl_conf_section *s = pl_conf_section(rd->c, "qr");

	rd->p->qr_life_s = (uint32_t)pl_conf_duration_s(rd->c, s, "life", 15, 1, QR_LIFE_S_MAX);
	rd->p->qr_skew_s = (uint32_t)pl_conf_duration_s(rd->c, s, "skew", 5, 0, QR_SKEW_S_MAX);
}

/* Takes c. */
static int policy_of(struct pl_conf *c, struct pl_policy *out, struct pl_policy_names *names,
		     char *notes, size_t notes_size)
{
	struct reader *rd = calloc(1, sizeof(*rd));
	struct pl_policy_names *own = names == NULL ? calloc(1, sizeof(*own)) : NULL;
	struct pl_conf_section *s = NULL;
	int rc;

	if (rd == NULL || (names == NULL && own == NULL)) {
		snprintf(notes, notes_size, "no memory");
		rc = -ENOMEM;
		goto out;
	}
	memset(out, 0, sizeof(*out));
	rd->c = c;
	rd->p = out;
	rd->names = names != NULL ? names : own;
	memset(rd->names, 0, sizeof(*rd->names));
	read_qr(rd);
	read_profiles(rd);
	read_classes(rd);
	while ((s = pl_conf_section_next(c, "class", s)) != NULL)
		read_class(rd, s);
	for (uint32_t i = 0; i < out->profile_cnt; i++)
		if (!rd->profile_used[i])
			pl_conf_warn(c, NULL, NULL, "[profile %s] is used by no class",
				     rd->names->profile[i]);
	rc = pl_conf_finish(c, notes, notes_size);
out:
	free(own);
	free(rd);
	pl_conf_free(c);
	return rc;
}

int pl_policy_parse(const char *path, const char *text, size_t size, struct pl_policy *out,
		    struct pl_policy_names *names, char *notes, size_t notes_size)
{
	struct pl_conf *c;
	int rc = pl_conf_parse(path, text, size, &c);

	if (rc != 0) {
		snprintf(notes, notes_size, "%s: no memory", path);
		return rc;
	}
	return policy_of(c, out, names, notes, notes_size);
}

int pl_policy_load(const char *path, struct pl_policy *out, struct pl_policy_names *names,
		   char *notes, size_t notes_size)
{
	struct pl_conf *c;
	int rc = pl_conf_load(path, &c, notes, notes_size);

	return rc != 0 ? rc : policy_of(c, out, names, notes, notes_size);
}

void pl_policy_default(struct pl_policy *out, struct pl_policy_names *names)
{
	char notes[256];

	/* The text is ours, and a test reads it: only memory can be wanting. */
	PL_CHECK(pl_policy_parse("built-in policy", pl_policy_default_text,
				 strlen(pl_policy_default_text), out, names, notes,
				 sizeof(notes)) == 0);
}
