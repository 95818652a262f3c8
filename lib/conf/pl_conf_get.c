/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf/pl_conf.h"

#include <inttypes.h>

#include "conf/pl_conf_pvt.h"

#define VALUE_FORMAT "\"%.60s\"" /* how much of a value is shown */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};
static const struct unit second_units[] = {
	{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0}};
static const struct unit size_units[] = {
	{"", 1}, {"K", 1u << 10}, {"M", 1u << 20}, {"G", 1u << 30}, {NULL, 0}};
static const struct unit count_units[] = {
	{"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

struct pl_conf_section *pl_conf_section(struct pl_conf *c, const char *name)
{
	struct pl_conf_section *found = NULL;

	for (uint32_t i = 0; i < c->section_cnt; i++) {
		struct pl_conf_section *s = &c->sections[i];

		if (s->used || strcmp(s->name, name) != 0)
			continue;
		s->used = true;
		if (*s->arg == '\0') {
			found = s;
			continue;
		}
		pl_conf_error(c, s, NULL, "takes no argument: write [%s]", name);
	}
	return found;
}

struct pl_conf_section *pl_conf_section_required(struct pl_conf *c, const char *name)
{
	struct pl_conf_section *s = pl_conf_section(c, name);

	if (s == NULL)
		pl_conf_error(c, NULL, NULL, "section [%s] is missing", name);
	return s;
}

struct pl_conf_section *pl_conf_section_next(struct pl_conf *c, const char *name,
					     const struct pl_conf_section *prev)
{
	for (uint32_t i = prev != NULL ? (uint32_t)(prev - c->sections) + 1 : 0; i < c->section_cnt;
	     i++) {
		struct pl_conf_section *s = &c->sections[i];

		if (s->used || strcmp(s->name, name) != 0)
			continue;
		s->used = true;
		if (*s->arg != '\0')
			return s;
		pl_conf_error(c, s, NULL, "needs an argument: write [%s NAME]", name);
	}
	return NULL;
}

/* Remember for messages which keys there are; a key may be asked of more than once. */
static void note_asked(struct pl_conf_section *s, const char *key)
{
	for (uint32_t i = 0; i < s->asked_cnt; i++)
		if (strcmp(s->asked[i], key) == 0)
			return;
	PL_CHECK(s->asked_cnt < PL_CONF_ASKED_MAX);
	s->asked[s->asked_cnt++] = key;
}

struct pl_conf_item *pl_conf_find(struct pl_conf *c, struct pl_conf_section *s, const char *key)
{
	if (s == NULL)
		return NULL;
	note_asked(s, key);
	for (uint32_t i = 0; i < s->item_cnt; i++) {
		struct pl_conf_item *item = &c->items[s->item_first + i];

		if (strcmp(item->key, key) == 0) {
			item->used = true;
			return item;
		}
	}
	return NULL;
}

struct pl_conf_item *pl_conf_require(struct pl_conf *c, struct pl_conf_section *s, const char *key)
{
	struct pl_conf_item *item = pl_conf_find(c, s, key);

	if (item == NULL && s != NULL)
		pl_conf_error(c, s, NULL, "key \"%s\" is missing", key);
	return item;
}

struct pl_conf_item *pl_conf_item_next(struct pl_conf *c, struct pl_conf_section *s)
{
	for (uint32_t i = 0; s != NULL && i < s->item_cnt; i++) {
		struct pl_conf_item *item = &c->items[s->item_first + i];

		if (!item->used) {
			item->used = true;
			return item;
		}
	}
	return NULL;
}

/* Digits at the start of s. @return what follows them, or NULL if there are none or too many. */
static const char *take_number(const char *s, uint64_t *out)
{
	uint64_t v = 0;

	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return NULL;
	*out = v;
	return s;
}

bool pl_conf_parse_number(const char *s, uint64_t *out)
{
	const char *rest = take_number(s, out);

	return rest != NULL && *rest == '\0';
}

/* A bound in the largest unit that divides it, as a person would write it. */
static void print_scaled(char *text, size_t size, uint64_t v, const struct unit *units)
{
	const struct unit *best = units;

	for (const struct unit *u = units; u->name != NULL; u++)
		if (v != 0 && v % u->factor == 0)
			best = u;
	snprintf(text, size, "%" PRIu64 "%s%s", v / best->factor, *best->name != '\0' ? " " : "",
		 best->name);
}

static uint64_t get_scaled(struct pl_conf *c, struct pl_conf_section *s, const char *key,
			   uint64_t def, uint64_t min, uint64_t max, const struct unit *units)
{
	const struct pl_conf_item *item = pl_conf_find(c, s, key);
	char min_text[32];
	char max_text[32];
	const char *rest;
	uint64_t v = 0;

	if (item == NULL)
		return def;
	rest = take_number(item->value, &v);
	while (rest != NULL && *rest == ' ')
		rest++;
	for (const struct unit *u = units; rest != NULL && u->name != NULL; u++)
		if (strcmp(rest, u->name) == 0 && !__builtin_mul_overflow(v, u->factor, &v) &&
		    v >= min && v <= max)
			return v;

	print_scaled(min_text, sizeof(min_text), min, units);
	print_scaled(max_text, sizeof(max_text), max, units);
	if (units == duration_units || units == second_units)
		pl_conf_error(
			c, s, item,
			VALUE_FORMAT " is not %s to %s, a whole number and its unit: %ss, min, "
				     "h or d",
			item->value, min_text, max_text, units == duration_units ? "ms, " : "");
	else
		pl_conf_error(c, s, item, VALUE_FORMAT " is not a whole number from %s to %s",
			      item->value, min_text, max_text);
	return def;
}

uint64_t pl_conf_number(struct pl_conf *c, struct pl_conf_section *s, const char *key, uint64_t def,
			uint64_t min, uint64_t max)
{
	return get_scaled(c, s, key, def, min, max, no_units);
}

uint64_t pl_conf_duration_ms(struct pl_conf *c, struct pl_conf_section *s, const char *key,
			     uint64_t def_ms, uint64_t min_ms, uint64_t max_ms)
{
	return get_scaled(c, s, key, def_ms, min_ms, max_ms, duration_units);
}

uint64_t pl_conf_duration_s(struct pl_conf *c, struct pl_conf_section *s, const char *key,
			    uint64_t def_s, uint64_t min_s, uint64_t max_s)
{
	return get_scaled(c, s, key, def_s, min_s, max_s, second_units);
}

uint64_t pl_conf_size(struct pl_conf *c, struct pl_conf_section *s, const char *key, uint64_t def,
		      uint64_t min, uint64_t max)
{
	return get_scaled(c, s, key, def, min, max, size_units);
}

uint64_t pl_conf_count(struct pl_conf *c, struct pl_conf_section *s, const char *key, uint64_t def,
		       uint64_t min, uint64_t max)
{
	return get_scaled(c, s, key, def, min, max, count_units);
}

uint32_t pl_conf_enum(struct pl_conf *c, struct pl_conf_section *s, const char *key,
		      const char *const *names, uint32_t name_cnt, uint32_t def)
{
	const struct pl_conf_item *item = pl_conf_find(c, s, key);
	char list[200] = "";

	if (item == NULL)
		return def;
	for (uint32_t i = 0; i < name_cnt; i++) {
		size_t used = strlen(list);

		if (strcmp(item->value, names[i]) == 0)
			return i;
		snprintf(list + used, sizeof(list) - used, "%s%s", i != 0 ? " or " : "", names[i]);
	}
	pl_conf_error(c, s, item, VALUE_FORMAT " is not %s", item->value, list);
	return def;
}

bool pl_conf_bool(struct pl_conf *c, struct pl_conf_section *s, const char *key, bool def)
{
	static const char *const names[] = {"no", "yes"};

	return pl_conf_enum(c, s, key, names, 2, def ? 1 : 0) == 1;
}

void pl_conf_text(struct pl_conf *c, struct pl_conf_section *s, const char *key, const char *def,
		  char *out, size_t out_size)
{
	const struct pl_conf_item *item = pl_conf_find(c, s, key);
	const char *value = item != NULL ? item->value : def;

	if (strlen(value) >= out_size) {
		pl_conf_error(c, s, item, "longer than %zu bytes", out_size - 1);
		value = "";
	}
	snprintf(out, out_size, "%s", value);
}

void pl_conf_path(struct pl_conf *c, struct pl_conf_section *s, const char *key, const char *def,
		  char *out, size_t out_size)
{
	const struct pl_conf_item *item = pl_conf_find(c, s, key);
	const char *slash = strrchr(c->path, '/');
	const char *value = item != NULL ? item->value : def;
	int dir_size = 0;

	/* A default is the program's own: absolute, or none. */
	if (item != NULL && *value != '/' && slash != NULL)
		dir_size = (int)(slash - c->path) + 1;
	if ((size_t)dir_size + strlen(value) >= out_size) {
		pl_conf_error(c, s, item, "the path is longer than %zu bytes", out_size - 1);
		value = "";
		dir_size = 0;
	}
	snprintf(out, out_size, "%.*s%s", dir_size, c->path, value);
}

bool pl_conf_word_next(const char **at, char *out, size_t out_size)
{
	size_t size;

	*at += strspn(*at, ", \t");
	size = strcspn(*at, ", \t");
	if (size == 0 || size >= out_size)
		return false;
	memcpy(out, *at, size);
	out[size] = '\0';
	*at += size;
	return true;
}
