/* SPDX-License-Identifier: BSD-3-Clause */

#include "telemetry.h"

#include <errno.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define COMMAND    "/passline/stats"
#define ANSWER_MAX (1u << 20)
#define WAIT_S     2

static bool get(const json_t *object, const char *name, uint64_t *out)
{
	const json_t *v = json_object_get(object, name);

	if (!json_is_integer(v))
		return false;
	*out = (uint64_t)json_integer_value(v);
	return true;
}

/* The first object, this one or one inside it, that has the totals. */
static bool find_totals(json_t *j, struct telemetry *out)
{
	const char *name;
	json_t *v;

	if (!json_is_object(j))
		return false;
	if (get(j, "busy_tsc", &out->busy_tsc) && get(j, "idle_tsc", &out->idle_tsc) &&
	    get(j, "replies", &out->replies) && get(j, "scans", &out->scans)) {
		if (!get(j, "rx_pkts", &out->rx_pkts))
			out->rx_pkts = 0;
		if (!get(j, "stalls", &out->stalls) || !get(j, "stalled_tsc", &out->stalled_tsc))
			out->stalls = out->stalled_tsc = 0;
		return true;
	}
	json_object_foreach(j, name, v) if (find_totals(v, out)) return true;
	return false;
}

int telemetry_read(const char *text, size_t size, struct telemetry *out)
{
	json_t *j = json_loadb(text, size, 0, NULL);
	bool found = find_totals(j, out);

	json_decref(j);
	return found ? 0 : -EBADMSG;
}

static int connect_to(const char *path)
{
	const struct timeval wait = {.tv_sec = WAIT_S};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0 ||
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int telemetry_ask(const char *path, struct telemetry *out, char *error, size_t error_size)
{
	char *text = malloc(ANSWER_MAX);
	int fd = -1, rc = -ENOMEM;
	ssize_t got;

	if (text == NULL)
		goto out;
	fd = connect_to(path);
	if (fd < 0) {
		rc = fd;
		goto out;
	}
	/* It greets with its version and limits; then one question, one answer. */
	got = recv(fd, text, ANSWER_MAX, 0);
	if (got > 0 && send(fd, COMMAND, strlen(COMMAND), MSG_NOSIGNAL) > 0)
		got = recv(fd, text, ANSWER_MAX, 0);
	else if (got > 0)
		got = -1;
	rc = got > 0 ? telemetry_read(text, (size_t)got, out) : got < 0 ? -errno : -EPIPE;
out:
	if (rc != 0)
		snprintf(error, error_size,
			 "%s: %s; want the appliance's telemetry socket, "
			 "/var/run/dpdk/<file-prefix>/dpdk_telemetry.v2",
			 path, rc == -EBADMSG ? "does not answer " COMMAND : strerror(-rc));
	if (fd >= 0)
		close(fd);
	free(text);
	return rc;
}
