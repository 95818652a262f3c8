/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "ctl.h"

void pl_cli_complain(const char *format, ...)
{
	va_list ap;

	fputs("passlinectl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void *pl_cli_file(const char *path, size_t size_max, size_t *size)
{
	FILE *f = fopen(path, "rbe");
	char *data = f != NULL ? malloc(size_max + 1) : NULL;

	if (data == NULL) {
		pl_cli_complain("%s: %s", path, strerror(errno));
		if (f != NULL)
			fclose(f);
		return NULL;
	}
	*size = fread(data, 1, size_max + 1, f);
	if (ferror(f))
		pl_cli_complain("%s: %s", path, strerror(errno));
	else if (*size > size_max)
		pl_cli_complain("%s is larger than the limit of %zu bytes", path, size_max);
	else if (*size == 0)
		pl_cli_complain("%s is empty", path);
	if (ferror(f) || *size > size_max || *size == 0) {
		free(data);
		data = NULL;
	}
	fclose(f);
	return data;
}

void pl_cli_json(const json_t *result)
{
	(void)json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

/* For programs, too, the reason is on stdout. */
static int fail(struct pl_cli *cli, int status, const char *code, const char *error)
{
	if (cli->json) {
		json_t *o = json_pack("{s:b, s:o, s:s}", "ok", 0, "error", pl_ctl_text(error),
				      "code", code);

		pl_cli_json(o);
		json_decref(o);
	}
	pl_cli_complain("%s", error);
	return status;
}

static void progress(void *ctx, const json_t *p)
{
	const struct pl_cli *cli = ctx;
	const char *text = pl_cli_str(p, "text");

	if (!cli->json && *text != '\0')
		fprintf(stderr, "%s\n", text);
}

int pl_cli_ask(struct pl_cli *cli, const char *command, json_t *args, const void *payload,
	       size_t payload_size, json_t **result)
{
	char error[1200];
	json_t *reply = NULL;
	int rc;

	*result = NULL;
	if (cli->fd < 0)
		cli->fd = pl_ctl_connect(cli->socket_path, error, sizeof(error));
	if (cli->fd < 0) {
		int code = fail(cli, PL_CLI_AWAY, "ECONNREFUSED", error);

		json_decref(args);
		pl_cli_complain("is it running? If its socket is elsewhere ([control], state-dir), "
				"name it: --socket PATH, or PASSLINE_SOCKET");
		return code;
	}
	rc = pl_ctl_ask(cli->fd, command, args, payload, payload_size, cli->timeout_ms, progress,
			cli, &reply, error, sizeof(error));
	json_decref(args);
	if (rc != 0)
		return fail(cli, PL_CLI_AWAY, rc == -ETIMEDOUT ? "ETIMEDOUT" : "EPIPE", error);
	if (pl_cli_bool(reply, "ok")) {
		*result = json_incref(json_object_get(reply, "result"));
		json_decref(reply);
		return PL_CLI_DONE;
	}
	if (cli->json)
		pl_cli_json(reply);
	pl_cli_complain("%s: %s", command, pl_cli_str(reply, "error"));
	json_decref(reply);
	return PL_CLI_REFUSED;
}
