/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PL_CONF_PVT_H
#define PL_CONF_PVT_H

#include "conf/pl_conf.h"

enum pl_conf_severity {
	PL_CONF_ERROR = 0,
	PL_CONF_WARNING = 1,
	PL_CONF_SEVERITY_CNT,
};

struct pl_conf_note {
	uint32_t line; /* 0: of the file as a whole */
	uint32_t order;
	char text[PL_CONF_NOTE_SIZE];
};

struct pl_conf {
	char *path;
	char *text; /* with a NUL; items and sections point into it */
	struct pl_conf_section *sections;
	struct pl_conf_item *items;
	uint32_t section_cnt;
	uint32_t item_cnt;
	uint32_t note_cnt[PL_CONF_SEVERITY_CNT]; /* noted, told or not */
	struct pl_conf_note notes[PL_CONF_SEVERITY_CNT][PL_CONF_NOTES_MAX];
};

/** Note an error about a line that is no item. */
void pl_conf_error_line(struct pl_conf *c, uint32_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
