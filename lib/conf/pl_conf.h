/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Configuration files: sections, keys and values, read whole before anything is believed.
 *
 *     # a comment, on its own line or behind a value
 *     [section]
 *     key = value
 *     [section argument]
 *     key = value
 *
 * Errors are gathered, not thrown: getters note what is wrong and hand out the default, and
 * pl_conf_finish() tells everything at once, in the order of the file. A key or a section that no
 * getter asked for is an error, so a misspelt key never passes for a default.
 *
 * Why not libinih, which Debian has: built as it is there it cuts lines at 200 bytes and names at
 * 50 without a word, tells its handler no line numbers, passes over empty sections and reports the
 * first error only. Checking for all that beforehand is this parser.
 */
#ifndef PL_CONF_H
#define PL_CONF_H

#include "base/pl_base.h"

#define PL_CONF_FILE_SIZE_MAX (1u << 20) /* bytes */
#define PL_CONF_LINE_SIZE_MAX 1024u      /* bytes without the line's end */
#define PL_CONF_NAME_SIZE_MAX 63u        /* bytes of a section's name, its argument, or a key */
#define PL_CONF_SECTIONS_MAX  512u
#define PL_CONF_ITEMS_MAX     8192u
#define PL_CONF_ASKED_MAX     16u /* keys that getters may ask of one section */
#define PL_CONF_NOTES_MAX     20u /* errors told, and warnings told; more are counted */
#define PL_CONF_NOTE_SIZE     400u

/** Room for the text of every error and warning that pl_conf_finish() can tell. */
#define PL_CONF_TEXT_SIZE (2u * (PL_CONF_NOTES_MAX + 1u) * PL_CONF_NOTE_SIZE)

/** A file's contents and what was found wrong with them. Opaque; one thread at a time. */
struct pl_conf;

/** Strings belong to the pl_conf. */
struct pl_conf_item {
	const char *key;
	const char *value; /* without blanks around it, never empty */
	uint32_t line;     /* from 1 */
	bool used;
};

struct pl_conf_section {
	const char *name;
	const char *arg; /* "" if it has none */
	uint32_t line;
	uint32_t item_first; /* the parser's */
	uint32_t item_cnt;
	uint32_t asked_cnt;
	const char *asked[PL_CONF_ASKED_MAX];
	bool used;
};

/**
 * Take bytes apart. Errors of form are noted, like all others; what can be read is kept.
 *
 * @param path  for messages and relative paths. Copied, as is the text.
 * @param text  any bytes; no NUL needed.
 * @return 0 or -ENOMEM.
 */
PL_MUST_USE int pl_conf_parse(const char *path, const char *text, size_t size,
			      struct pl_conf **out);
/** The same from a file. @return 0, or -errno and a message if it cannot be read. */
PL_MUST_USE int pl_conf_load(const char *path, struct pl_conf **out, char *error,
			     size_t error_size);
void pl_conf_free(struct pl_conf *c);

/**
 * The section of this name that has no argument; NULL if there is none. Every getter takes NULL
 * for a section whose keys all have their defaults. A section is handed out once.
 */
struct pl_conf_section *pl_conf_section(struct pl_conf *c, const char *name);
/** The same, and its absence is an error. */
struct pl_conf_section *pl_conf_section_required(struct pl_conf *c, const char *name);
/** The next "[name argument]" after prev (NULL: the first), in the file's order, or NULL. */
struct pl_conf_section *pl_conf_section_next(struct pl_conf *c, const char *name,
					     const struct pl_conf_section *prev);

/** One key's item, or NULL. The key counts as known from then on. key: static storage. */
struct pl_conf_item *pl_conf_find(struct pl_conf *c, struct pl_conf_section *s, const char *key);
/** The same, and its absence is an error (in a section that is there). */
struct pl_conf_item *pl_conf_require(struct pl_conf *c, struct pl_conf_section *s, const char *key);
/** Every item that nobody has asked for, one after the other: for keys that are data. */
struct pl_conf_item *pl_conf_item_next(struct pl_conf *c, struct pl_conf_section *s);

/* Typed getters: the value, or def if the key is absent or wrong (which is then noted). Ranges
 * include both ends. */
uint64_t pl_conf_number(struct pl_conf *c, struct pl_conf_section *s, const char *key, uint64_t def,
			uint64_t min, uint64_t max);
/** "15 s", "250ms": a whole number and one of ms, s, min, h, d. @return milliseconds. */
uint64_t pl_conf_duration_ms(struct pl_conf *c, struct pl_conf_section *s, const char *key,
			     uint64_t def_ms, uint64_t min_ms, uint64_t max_ms);
/** The same for what counts in seconds: without ms. @return seconds. */
uint64_t pl_conf_duration_s(struct pl_conf *c, struct pl_conf_section *s, const char *key,
			    uint64_t def_s, uint64_t min_s, uint64_t max_s);
/** A number of bytes: plain, or with K, M or G (1024 each). */
uint64_t pl_conf_size(struct pl_conf *c, struct pl_conf_section *s, const char *key, uint64_t def,
		      uint64_t min, uint64_t max);
/** A number of things: plain, or with k, M or G (1000 each). */
uint64_t pl_conf_count(struct pl_conf *c, struct pl_conf_section *s, const char *key, uint64_t def,
		       uint64_t min, uint64_t max);
/** yes or no */
bool pl_conf_bool(struct pl_conf *c, struct pl_conf_section *s, const char *key, bool def);
/** @return index in names of the word. */
uint32_t pl_conf_enum(struct pl_conf *c, struct pl_conf_section *s, const char *key,
		      const char *const *names, uint32_t name_cnt, uint32_t def);
/** Copy a text of at most out_size - 1 bytes. */
void pl_conf_text(struct pl_conf *c, struct pl_conf_section *s, const char *key, const char *def,
		  char *out, size_t out_size);
/** Copy a path; a relative one is taken from the configuration file's directory. */
void pl_conf_path(struct pl_conf *c, struct pl_conf_section *s, const char *key, const char *def,
		  char *out, size_t out_size);

/**
 * Cut the next word off a list: words are separated by commas, blanks or both.
 * @param at  where to go on; moved. @return false when no word is left, or it does not fit out.
 */
bool pl_conf_word_next(const char **at, char *out, size_t out_size);

/** Is it 1 to size_max small letters, digits and '-'? */
bool pl_conf_is_name(const char *s, size_t size_max);

/** A decimal number without sign, all of s. @return false for anything else or beyond 64 bits. */
bool pl_conf_parse_number(const char *s, uint64_t *out);

/**
 * Note an error or a warning.
 * @param s    or NULL. @param item  or NULL; gives the line and the key.
 */
void pl_conf_error(struct pl_conf *c, const struct pl_conf_section *s,
		   const struct pl_conf_item *item, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void pl_conf_warn(struct pl_conf *c, const struct pl_conf_section *s,
		  const struct pl_conf_item *item, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/** Errors so far. */
uint32_t pl_conf_error_cnt(const struct pl_conf *c);

/**
 * Note what nobody asked for, and tell everything that was noted, one line each, in the order of
 * the file, warnings marked as such.
 *
 * @param text  "" if nothing was noted; PL_CONF_TEXT_SIZE is enough.
 * @return 0 if there are no errors (text may hold warnings), else -EINVAL.
 */
PL_MUST_USE int pl_conf_finish(struct pl_conf *c, char *text, size_t text_size);

#endif
