/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf/pl_conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#include "conf/pl_conf_pvt.h"

/* where: "" or "[section] key: ", in front of the message. */
static void note(struct pl_conf *c, enum pl_conf_severity severity, uint32_t line,
		 const char *where, const char *format, va_list ap)
{
	uint32_t idx = c->note_cnt[severity]++;
	struct pl_conf_note *n;
	char message[PL_CONF_NOTE_SIZE];
	char place[16] = "";

	if (idx >= PL_CONF_NOTES_MAX)
		return;
	n = &c->notes[severity][idx];
	n->line = line;
	n->order = idx;
	vsnprintf(message, sizeof(message), format, ap);
	if (line != 0)
		snprintf(place, sizeof(place), ":%" PRIu32, line);
	/* Cut short if the path or the values in it are very long. */
	if (snprintf(n->text, sizeof(n->text), "%.150s%s: %s%s%s", c->path, place,
		     severity == PL_CONF_WARNING ? "warning: " : "", where, message) < 0)
		n->text[0] = '\0';
}

static void note_at(struct pl_conf *c, enum pl_conf_severity severity,
		    const struct pl_conf_section *s, const struct pl_conf_item *item,
		    const char *format, va_list ap)
{
	char where[3 * PL_CONF_NAME_SIZE_MAX + 8] = "";
	uint32_t line = 0;

	if (s != NULL) {
		line = s->line;
		snprintf(where, sizeof(where), "[%.63s%s%.63s]%s%.63s: ", s->name,
			 *s->arg != '\0' ? " " : "", s->arg, item != NULL ? " " : "",
			 item != NULL ? item->key : "");
	}
	if (item != NULL)
		line = item->line;
	note(c, severity, line, where, format, ap);
}

void pl_conf_error_line(struct pl_conf *c, uint32_t line, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note(c, PL_CONF_ERROR, line, "", format, ap);
	va_end(ap);
}

void pl_conf_error(struct pl_conf *c, const struct pl_conf_section *s,
		   const struct pl_conf_item *item, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note_at(c, PL_CONF_ERROR, s, item, format, ap);
	va_end(ap);
}

void pl_conf_warn(struct pl_conf *c, const struct pl_conf_section *s,
		  const struct pl_conf_item *item, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note_at(c, PL_CONF_WARNING, s, item, format, ap);
	va_end(ap);
}

uint32_t pl_conf_error_cnt(const struct pl_conf *c)
{
	return c->note_cnt[PL_CONF_ERROR];
}

/* Append to a list of words, as long as there is room. */
static void list_add(char *list, size_t size, const char *word)
{
	size_t used = strlen(list);

	if (used + strlen(word) + 3 <= size)
		snprintf(list + used, size - used, "%s%s", used != 0 ? ", " : "", word);
}

static void note_unknown(struct pl_conf *c)
{
	for (uint32_t i = 0; i < c->section_cnt; i++) {
		struct pl_conf_section *s = &c->sections[i];
		char known[200] = "";

		if (!s->used) {
			pl_conf_error(c, s, NULL, "no such section here; is its name spelt right?");
			continue;
		}
		for (uint32_t a = 0; a < s->asked_cnt; a++)
			list_add(known, sizeof(known), s->asked[a]);
		/* Of a section that was refused as a whole nothing was asked. */
		for (uint32_t k = 0; k < s->item_cnt && s->asked_cnt != 0; k++) {
			struct pl_conf_item *item = &c->items[s->item_first + k];

			if (!item->used)
				pl_conf_error(c, s, item, "no such key here; keys are: %s", known);
		}
	}
}

static int by_line(const void *a, const void *b)
{
	const struct pl_conf_note *x = a;
	const struct pl_conf_note *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static void append(char *text, size_t text_size, const char *line)
{
	size_t used = strlen(text);

	snprintf(text + used, text_size - used, "%s%s", used != 0 ? "\n" : "", line);
}

int pl_conf_finish(struct pl_conf *c, char *text, size_t text_size)
{
	static const char *const names[] = {"errors", "warnings"};

	note_unknown(c);
	if (text_size > 0)
		text[0] = '\0';
	for (int severity = 0; severity < PL_CONF_SEVERITY_CNT && text_size > 0; severity++) {
		struct pl_conf_note *notes = c->notes[severity];
		uint32_t cnt = c->note_cnt[severity];
		uint32_t told_cnt = cnt < PL_CONF_NOTES_MAX ? cnt : PL_CONF_NOTES_MAX;

		qsort(notes, told_cnt, sizeof(*notes), by_line);
		for (uint32_t i = 0; i < told_cnt; i++)
			append(text, text_size, notes[i].text);
		if (cnt > told_cnt) {
			char more[PL_CONF_NOTE_SIZE];

			snprintf(more, sizeof(more), "%.150s: and %" PRIu32 " more %s", c->path,
				 cnt - told_cnt, names[severity]);
			append(text, text_size, more);
		}
	}
	return c->note_cnt[PL_CONF_ERROR] == 0 ? 0 : -EINVAL;
}
