/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf/pl_conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/pl_conf_pvt.h"

static bool is_blank(char ch)
{
	return ch == ' ' || ch == '\t';
}

/* Cut blanks off both ends, in place. */
static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (is_blank(*s))
		s++;
	while (end > s && is_blank(end[-1]))
		end--;
	*end = '\0';
	return s;
}

/* A comment begins the line, or follows a blank: "a#b" is a value. */
static void cut_comment(char *s)
{
	for (size_t i = 0; s[i] != '\0'; i++)
		if ((s[i] == '#' || s[i] == ';') && (i == 0 || is_blank(s[i - 1]))) {
			s[i] = '\0';
			return;
		}
}

bool pl_conf_is_name(const char *s, size_t size_max)
{
	size_t size = strlen(s);

	return size > 0 && size <= size_max &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

static struct pl_conf_section *section_add(struct pl_conf *c, const char *name, const char *arg,
					   uint32_t line)
{
	struct pl_conf_section *s = &c->sections[c->section_cnt++];

	*s = (struct pl_conf_section){
		.name = name,
		.arg = arg,
		.line = line,
		.item_first = c->item_cnt,
	};
	return s;
}

/*
 * One "[name]" or "[name argument]". A bad one begins a section too, one that is passed over, so
 * that its keys are not taken for the section's before it.
 */
static void parse_section(struct pl_conf *c, char *s, uint32_t line)
{
	struct pl_conf_section *added;
	char *end = strchr(s, ']');
	char *name;
	char *arg;
	uint32_t before_cnt = c->section_cnt;

	if (c->section_cnt == PL_CONF_SECTIONS_MAX) {
		pl_conf_error_line(c, line, "more than %u sections", PL_CONF_SECTIONS_MAX);
		c->sections[c->section_cnt - 1].used = true;
		return;
	}
	if (end == NULL || end[1] != '\0') {
		pl_conf_error_line(c, line, "a section is written [name] or [name argument]");
		section_add(c, "", "", line)->used = true;
		return;
	}
	*end = '\0';
	name = trim(s + 1);
	arg = name + strcspn(name, " \t");
	if (*arg != '\0') {
		*arg++ = '\0';
		arg = trim(arg);
	}
	added = section_add(c, name, arg, line);
	if (!pl_conf_is_name(name, PL_CONF_NAME_SIZE_MAX) || strlen(arg) > PL_CONF_NAME_SIZE_MAX ||
	    arg[strcspn(arg, " \t[")] != '\0') {
		pl_conf_error_line(
			c, line,
			"a section is written [name] or [name argument]: a name of small "
			"letters, digits and '-', an argument without blanks, each of at "
			"most %u bytes",
			PL_CONF_NAME_SIZE_MAX);
		added->used = true;
		return;
	}
	for (uint32_t i = 0; i < before_cnt; i++)
		if (strcmp(c->sections[i].name, name) == 0 &&
		    strcmp(c->sections[i].arg, arg) == 0) {
			pl_conf_error_line(c, line,
					   "section [%s%s%s] was begun before, in line %" PRIu32
					   ": join them",
					   name, *arg != '\0' ? " " : "", arg, c->sections[i].line);
			added->used = true;
			return;
		}
}

static void parse_item(struct pl_conf *c, char *s, uint32_t line)
{
	struct pl_conf_section *sec;
	char *equals = strchr(s, '=');
	char *key = s;
	char *value;

	if (equals == NULL) {
		pl_conf_error_line(c, line, "neither \"[section]\" nor \"key = value\"");
		return;
	}
	*equals = '\0';
	key = trim(key);
	value = trim(equals + 1);
	if (!pl_conf_is_name(key, PL_CONF_NAME_SIZE_MAX)) {
		pl_conf_error_line(c, line,
				   "a key has 1 to %u small letters, digits and '-', then '='",
				   PL_CONF_NAME_SIZE_MAX);
		return;
	}
	if (c->section_cnt == 0) {
		pl_conf_error_line(c, line, "%s stands before the first [section]", key);
		return;
	}
	sec = &c->sections[c->section_cnt - 1];
	if (*value == '\0') {
		pl_conf_error_line(
			c, line,
			"[%s] %s has no value: give one, or remove the line for the default",
			sec->name, key);
		return;
	}
	for (uint32_t i = sec->item_first; i < c->item_cnt; i++)
		if (strcmp(c->items[i].key, key) == 0) {
			pl_conf_error_line(c, line,
					   "[%s] %s was set before, in line %" PRIu32
					   ": keep one of them",
					   sec->name, key, c->items[i].line);
			return;
		}
	if (c->item_cnt == PL_CONF_ITEMS_MAX) {
		pl_conf_error_line(c, line, "more than %u keys", PL_CONF_ITEMS_MAX);
		return;
	}
	c->items[c->item_cnt++] = (struct pl_conf_item){.key = key, .value = value, .line = line};
	sec->item_cnt++;
}

/* s[0..size) is followed by a byte that may be overwritten. */
static void parse_line(struct pl_conf *c, char *s, size_t size, uint32_t line)
{
	if (size > 0 && s[size - 1] == '\r')
		size--;
	if (size > PL_CONF_LINE_SIZE_MAX) {
		pl_conf_error_line(c, line, "longer than %u bytes", PL_CONF_LINE_SIZE_MAX);
		return;
	}
	for (size_t i = 0; i < size; i++)
		if ((uint8_t)s[i] < ' ' ? s[i] != '\t' : s[i] == 0x7f) {
			pl_conf_error_line(
				c, line,
				"holds a control character (0x%02x) in column %zu: is this "
				"a text file?",
				(uint8_t)s[i], i + 1);
			return;
		}
	s[size] = '\0';
	cut_comment(s);
	s = trim(s);
	if (*s == '[')
		parse_section(c, s, line);
	else if (*s != '\0')
		parse_item(c, s, line);
}

static void parse_text(struct pl_conf *c, size_t size)
{
	char *at = c->text;
	char *end = c->text + size;
	uint32_t line = 1;

	if (size >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
		at += 3; /* the byte order mark that some editors leave */
	while (at < end) {
		char *eol = memchr(at, '\n', (size_t)(end - at));

		if (eol == NULL)
			eol = end;
		parse_line(c, at, (size_t)(eol - at), line++);
		at = eol + 1;
	}
}

int pl_conf_parse(const char *path, const char *text, size_t size, struct pl_conf **out)
{
	struct pl_conf *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL)
		return -ENOMEM;
	c->path = strdup(path);
	c->sections = calloc(PL_CONF_SECTIONS_MAX, sizeof(*c->sections));
	c->items = calloc(PL_CONF_ITEMS_MAX, sizeof(*c->items));
	c->text = calloc(1, size > PL_CONF_FILE_SIZE_MAX ? 1 : size + 1);
	if (c->path == NULL || c->sections == NULL || c->items == NULL || c->text == NULL) {
		pl_conf_free(c);
		return -ENOMEM;
	}
	if (size > PL_CONF_FILE_SIZE_MAX) {
		pl_conf_error_line(c, 0, "longer than %u bytes: not a configuration file",
				   PL_CONF_FILE_SIZE_MAX);
	} else if (size > 0) {
		memcpy(c->text, text, size);
		parse_text(c, size);
	}
	*out = c;
	return 0;
}

void pl_conf_free(struct pl_conf *c)
{
	if (c == NULL)
		return;
	free(c->path);
	free(c->text);
	free(c->sections);
	free(c->items);
	free(c);
}

/* @return bytes read (up to size) or -errno. */
static ssize_t read_file(const char *path, char *data, size_t size)
{
	struct stat st;
	size_t got = 0;
	ssize_t n = 0;
	/* Non-blocking, or a FIFO would hold the start for ever. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		n = -errno;
	else if (S_ISDIR(st.st_mode))
		n = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		n = -EINVAL;
	while (n >= 0 && got < size) {
		n = read(fd, data + got, size - got);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			n = -errno;
		else if (n == 0)
			break;
		else
			got += (size_t)n;
	}
	close(fd);
	return n < 0 ? n : (ssize_t)got;
}

int pl_conf_load(const char *path, struct pl_conf **out, char *error, size_t error_size)
{
	size_t size_max = PL_CONF_FILE_SIZE_MAX + 1; /* one more, to see that there is more */
	char *data = malloc(size_max);
	ssize_t size;
	int rc;

	*out = NULL;
	if (data == NULL) {
		snprintf(error, error_size, "%s: no memory", path);
		return -ENOMEM;
	}
	size = read_file(path, data, size_max);
	if (size < 0) {
		snprintf(error, error_size, "%s: cannot read: %s", path, strerror((int)-size));
		rc = (int)size;
	} else {
		rc = pl_conf_parse(path, data, (size_t)size, out);
		if (rc != 0)
			snprintf(error, error_size, "%s: no memory", path);
	}
	free(data);
	return rc;
}
