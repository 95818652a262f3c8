/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy/pl_policy.h"

#include <inttypes.h>
#include <stdarg.h>

struct writer {
	char *text;
	size_t size; /* of text */
	size_t used; /* of the whole, whether it fits or not */
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
	size_t room = w->used < w->size ? w->size - w->used : 0;
	va_list ap;
	int size;

	va_start(ap, format);
	size = vsnprintf(room > 0 ? w->text + w->used : NULL, room, format, ap);
	va_end(ap);
	PL_CHECK(size >= 0);
	w->used += (size_t)size;
}

static void put_rule(struct writer *w, const char *kind, const struct pl_policy_rule *r)
{
	if (r->accept == PL_POLICY_NO_RULE)
		return;
	put(w, "%s = ", kind);
	if (r->accept == PL_POLICY_REJECT) {
		put(w, "reject\n");
		return;
	}
	if (r->from_days != PL_POLICY_DAYS_EVER)
		put(w, "%" PRId32, r->from_days);
	put(w, "..");
	if (r->to_days != PL_POLICY_DAYS_ANY)
		put(w, "%" PRId32, r->to_days);
	put(w, "\n");
}

/* Classes that differ from the others, without a name: one line each. */
static bool is_plain(const struct pl_policy *p, const struct pl_policy_names *names, uint32_t class)
{
	return names->class_name[class][0] == '\0' && p->class_not_required[class] == 0;
}

size_t pl_policy_describe(const struct pl_policy *p, const struct pl_policy_names *names,
			  char *text, size_t text_size)
{
	struct writer w = {.text = text, .size = text_size};

	if (text_size > 0)
		text[0] = '\0';
	put(&w, "[qr]\nlife = %" PRIu32 " s\nskew = %" PRIu32 " s\n", p->qr_life_s, p->qr_skew_s);
	for (uint32_t i = 0; i < p->profile_cnt; i++) {
		const struct pl_policy_rule *rules = p->profiles[i].rules;

		put(&w, "\n[profile %s]\n", names->profile[i]);
#define K(id, num, name, what) put_rule(&w, name, &rules[num]);
		PL_CERT_KINDS(K)
#undef K
	}

	put(&w, "\n[classes]\nother = %s\n", names->profile[names->other_profile]);
	for (uint32_t i = 0; i < PL_POLICY_CLASS_CNT; i++)
		if (is_plain(p, names, i) && p->class_profile[i] != names->other_profile)
			put(&w, "%" PRIu32 " = %s\n", i, names->profile[p->class_profile[i]]);
	for (uint32_t i = 0; i < PL_POLICY_CLASS_CNT; i++) {
		if (is_plain(p, names, i))
			continue;
		put(&w, "\n[class %" PRIu32 "]\n", i);
		if (names->class_name[i][0] != '\0')
			put(&w, "name = %s\n", names->class_name[i]);
		put(&w, "profile = %s\n", names->profile[p->class_profile[i]]);
		if (p->class_not_required[i] != 0)
			put(&w, "required = no\n");
	}
	return w.used;
}
