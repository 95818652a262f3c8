/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "ctl/pl_ctl.h"

#define LINE_SIZE_MAX (PL_CTL_REPLY_SIZE_MAX + PL_CTL_PROGRESS_SIZE)

static int wait_for(int fd, short events, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return -ETIMEDOUT;
	return n < 0 ? -errno : 0;
}

static int send_all(int fd, const char *data, size_t size, int timeout_ms)
{
	size_t at = 0;

	while (at < size) {
		ssize_t n;
		int rc = wait_for(fd, POLLOUT, timeout_ms);

		if (rc != 0)
			return rc;
		n = send(fd, data + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			at += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return 0;
}

static int send_request(int fd, const char *command, json_t *args, const void *payload,
			size_t payload_size, int timeout_ms)
{
	json_t *line = json_pack("{s:s}", "command", command);
	char *text = NULL;
	int rc = -ENOMEM;

	if (line != NULL && (args == NULL || json_object_set(line, "args", args) == 0) &&
	    (payload_size == 0 ||
	     json_object_set_new(line, "size", json_integer((json_int_t)payload_size)) == 0))
		text = json_dumps(line, JSON_COMPACT);
	if (text != NULL) {
		rc = send_all(fd, text, strlen(text), timeout_ms);
		if (rc == 0)
			rc = send_all(fd, "\n", 1, timeout_ms);
		if (rc == 0 && payload_size != 0)
			rc = send_all(fd, payload, payload_size, timeout_ms);
	}
	free(text);
	json_decref(line);
	return rc;
}

struct lines {
	char *data;
	size_t used;
	size_t room;
};

/* The next line, as JSON; what came behind it stays. @return 0, -EPIPE at the end, -errno. */
static int line_read(int fd, struct lines *in, int timeout_ms, json_t **out)
{
	size_t looked = 0;

	for (;;) {
		char *end = in->used > looked ? memchr(in->data + looked, '\n', in->used - looked)
					      : NULL;
		ssize_t n;
		int rc;

		if (end != NULL) {
			*out = json_loadb(in->data, (size_t)(end - in->data), 0, NULL);
			in->used -= (size_t)(end - in->data) + 1;
			memmove(in->data, end + 1, in->used);
			return json_is_object(*out) ? 0 : -EPROTO;
		}
		looked = in->used;
		if (in->used == in->room) {
			size_t room = in->room == 0 ? 65536 : in->room * 2;
			char *data =
				room <= 2 * (size_t)LINE_SIZE_MAX ? realloc(in->data, room) : NULL;

			if (data == NULL)
				return -EMSGSIZE;
			in->data = data;
			in->room = room;
		}
		rc = wait_for(fd, POLLIN, timeout_ms);
		if (rc != 0)
			return rc;
		n = recv(fd, in->data + in->used, in->room - in->used, MSG_DONTWAIT);
		if (n == 0)
			return -EPIPE;
		if (n > 0)
			in->used += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}

int pl_ctl_ask(int fd, const char *command, json_t *args, const void *payload, size_t payload_size,
	       int timeout_ms, pl_ctl_progress_fn progress, void *ctx, json_t **reply, char *error,
	       size_t error_size)
{
	struct lines in = {0};
	json_t *line = NULL;
	int rc = send_request(fd, command, args, payload, payload_size, timeout_ms);

	*reply = NULL;
	/* A server that refuses does not read to the end, but says why. */
	if (rc == 0 || rc == -EPIPE)
		while ((rc = line_read(fd, &in, timeout_ms, &line)) == 0 &&
		       json_object_get(line, "ok") == NULL) {
			if (progress != NULL)
				progress(ctx, json_object_get(line, "progress"));
			json_decref(line);
			line = NULL;
		}
	if (rc == 0) {
		*reply = line;
	} else {
		json_decref(line);
		snprintf(error, error_size, "%s: %s", command,
			 rc == -EPIPE       ? "the appliance ended the connection without an answer"
			 : rc == -ETIMEDOUT ? "the appliance does not answer in time"
			 : rc == -EPROTO    ? "the answer is no JSON object"
			 : rc == -EMSGSIZE  ? "the answer is too large"
					    : strerror(-rc));
	}
	free(in.data);
	return rc;
}
