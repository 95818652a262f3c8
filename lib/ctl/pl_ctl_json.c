/* SPDX-License-Identifier: BSD-3-Clause */
/* The request's line, and its arguments. */
#include <errno.h>
#include <inttypes.h>

#include "ctl/pl_ctl.h"

/* Before the parser, which would go 2048 levels deep: brackets outside of strings. */
static bool too_deep(const char *line, size_t size)
{
	bool in_string = false;
	uint32_t depth = 0;

	for (size_t i = 0; i < size; i++) {
		char c = line[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '"')
			in_string = true;
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth > 0)
			depth--;
		if (depth > PL_CTL_DEPTH_MAX)
			return true;
	}
	return false;
}

static bool command_is_word(const char *s)
{
	if (*s == '\0' || *s == ' ' || strlen(s) > PL_CTL_COMMAND_SIZE_MAX)
		return false;
	for (; *s != '\0'; s++)
		if ((*s < 'a' || *s > 'z') && *s != '-' && *s != ' ')
			return false;
	return true;
}

static int take_fields(json_t *root, struct pl_ctl_request *out, char *error, size_t error_size)
{
	const json_t *command = json_object_get(root, "command");
	const json_t *size = json_object_get(root, "size");
	json_t *args = json_object_get(root, "args");
	size_t known = (command != NULL) + (size != NULL) + (args != NULL);

	if (json_object_size(root) != known) {
		snprintf(error, error_size,
			 "a request has \"command\", \"args\" and \"size\", and nothing else");
		return -EINVAL;
	}
	if (!json_is_string(command) || !command_is_word(json_string_value(command))) {
		snprintf(error, error_size,
			 "\"command\" must be there: at most %u small letters, such as \"status\"",
			 PL_CTL_COMMAND_SIZE_MAX);
		return -EINVAL;
	}
	if (args != NULL && !json_is_object(args)) {
		snprintf(error, error_size, "\"args\" must be an object");
		return -EINVAL;
	}
	if (size != NULL && (!json_is_integer(size) || json_integer_value(size) < 0)) {
		snprintf(error, error_size,
			 "\"size\" must be how many bytes follow the line, from 0");
		return -EINVAL;
	}
	if (size != NULL && json_integer_value(size) > PL_CTL_PAYLOAD_SIZE_MAX) {
		snprintf(error, error_size, "\"size\" is over the limit of %u bytes",
			 PL_CTL_PAYLOAD_SIZE_MAX);
		return -E2BIG;
	}
	snprintf(out->command, sizeof(out->command), "%s", json_string_value(command));
	out->payload_size = size != NULL ? (uint32_t)json_integer_value(size) : 0;
	out->args = args != NULL ? json_incref(args) : json_object();
	return out->args != NULL ? 0 : -ENOMEM;
}

int pl_ctl_request_parse(const char *line, size_t size, struct pl_ctl_request *out, char *error,
			 size_t error_size)
{
	json_error_t why;
	json_t *root;
	int rc;

	memset(out, 0, sizeof(*out));
	if (size >= PL_CTL_LINE_SIZE_MAX) {
		snprintf(error, error_size, "a request's line has at most %u bytes",
			 PL_CTL_LINE_SIZE_MAX);
		return -EINVAL;
	}
	if (too_deep(line, size)) {
		snprintf(error, error_size, "objects and arrays are nested deeper than %u",
			 PL_CTL_DEPTH_MAX);
		return -EINVAL;
	}
	root = json_loadb(line, size, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(root)) {
		snprintf(error, error_size, "a request is one line with one JSON object: %s",
			 root == NULL ? why.text : "this is another value");
		json_decref(root);
		return -EINVAL;
	}
	rc = take_fields(root, out, error, error_size);
	json_decref(root);
	if (rc != 0)
		memset(out, 0, sizeof(*out));
	return rc;
}

int pl_ctl_args_known(struct pl_ctl_call *call, const char *const *names, size_t cnt)
{
	const char *key;
	json_t *value;

	/* The loop's macro wants no const, and changes nothing. */
	json_object_foreach((json_t *)(uintptr_t)call->args, key, value)
	{
		size_t i = 0;

		while (i < cnt && strcmp(key, names[i]) != 0)
			i++;
		if (i < cnt)
			continue;
		snprintf(call->error, call->error_size, "%s has no argument \"%.60s\"",
			 call->command, key);
		return -EINVAL;
	}
	return 0;
}

int pl_ctl_arg_number(struct pl_ctl_call *call, const char *name, uint64_t def, uint64_t min,
		      uint64_t max, uint64_t *out)
{
	const json_t *v = json_object_get(call->args, name);

	*out = def;
	if (v == NULL)
		return 0;
	if (json_is_integer(v) && json_integer_value(v) >= 0 &&
	    (uint64_t)json_integer_value(v) >= min && (uint64_t)json_integer_value(v) <= max) {
		*out = (uint64_t)json_integer_value(v);
		return 0;
	}
	snprintf(call->error, call->error_size,
		 "%s: \"%s\" must be a whole number from %" PRIu64 " to %" PRIu64, call->command,
		 name, min, max);
	return -EINVAL;
}

int pl_ctl_arg_text(struct pl_ctl_call *call, const char *name, const char **out)
{
	const json_t *v = json_object_get(call->args, name);

	*out = json_string_value(v);
	if (v == NULL || *out != NULL)
		return 0;
	snprintf(call->error, call->error_size, "%s: \"%s\" must be a text", call->command, name);
	return -EINVAL;
}

json_t *pl_ctl_text(const char *text)
{
	json_t *s = json_string(text);
	char *copy;

	if (s != NULL)
		return s;
	copy = strdup(text);
	if (copy == NULL)
		return NULL;
	for (char *c = copy; *c != '\0'; c++)
		if ((*c & 0x80) != 0)
			*c = '?';
	s = json_string(copy);
	free(copy);
	return s;
}
