/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "intake/pl_push.h"
#include "push.h"

bool push_address(const char *text, char host[PUSH_ADDRESS_SIZE], char port[8])
{
	const char *end = strrchr(text, ']'), *colon = strrchr(text, ':');
	size_t host_size, port_size;
	bool bracket = text[0] == '[';

	if (bracket && (end == NULL || (end[1] != '\0' && end[1] != ':')))
		return false;
	/* More than one colon and no bracket: an IPv6 address alone. */
	if (!bracket && colon != NULL && strchr(text, ':') != colon)
		colon = NULL;
	if (bracket && end[1] == '\0')
		colon = NULL;
	host_size = bracket ? (size_t)(end - text - 1)
			    : (colon != NULL ? (size_t)(colon - text) : strlen(text));
	port_size = colon != NULL ? strlen(colon + 1) : 0;
	if (host_size == 0 || host_size >= PUSH_ADDRESS_SIZE || port_size > 5 ||
	    (colon != NULL && (port_size == 0 || strspn(colon + 1, "0123456789") != port_size ||
			       atoi(colon + 1) == 0 || atoi(colon + 1) > UINT16_MAX)))
		return false;
	memcpy(host, text + bracket, host_size);
	host[host_size] = '\0';
	if (colon != NULL)
		snprintf(port, 8, "%.5s", colon + 1);
	else
		snprintf(port, 8, "%u", PL_PUSH_PORT);
	return true;
}

/* @return 0 when fd is ready for events, else an errno. */
static int ready(int fd, short events, uint32_t timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do
		n = poll(&p, 1, (int)timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : (n == 0 ? ETIMEDOUT : errno);
}

static int connect_one(const struct addrinfo *a, uint32_t timeout_ms, int *fd)
{
	int err = 0, one = 1;
	socklen_t size = sizeof(err);

	*fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return errno;
	(void)setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(*fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(*fd, a->ai_addr, a->ai_addrlen) == 0)
		return 0;
	if (errno == EINPROGRESS) {
		err = ready(*fd, POLLOUT, timeout_ms);
		if (err == 0 && getsockopt(*fd, SOL_SOCKET, SO_ERROR, &err, &size) == 0 && err == 0)
			return 0;
	} else {
		err = errno;
	}
	close(*fd);
	*fd = -1;
	return err;
}

int push_connect(const char *host, const char *port, uint32_t timeout_ms, char *why,
		 size_t why_size)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found;
	int rc = getaddrinfo(host, port, &hints, &found), fd = -1;

	if (rc != 0) {
		snprintf(why, why_size, "%s", gai_strerror(rc));
		return -1;
	}
	for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next) {
		rc = connect_one(a, timeout_ms, &fd);
		if (rc != 0)
			snprintf(why, why_size, "%s", strerror(rc));
	}
	freeaddrinfo(found);
	return fd;
}

bool push_send(int fd, const void *data, size_t size, uint32_t timeout_ms, char *why,
	       size_t why_size)
{
	const uint8_t *at = data;

	while (size > 0) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		int err = n < 0 ? errno : 0;

		if (n >= 0) {
			at += n;
			size -= (size_t)n;
			continue;
		}
		if (err == EAGAIN || err == EWOULDBLOCK)
			err = ready(fd, POLLOUT, timeout_ms);
		if (err != 0 && err != EINTR) {
			snprintf(why, why_size, "it takes no more: %s", strerror(err));
			return false;
		}
	}
	return true;
}

bool push_recv(int fd, void *data, size_t size, uint32_t timeout_ms, char *why, size_t why_size)
{
	uint8_t *at = data;

	while (size > 0) {
		ssize_t n = recv(fd, at, size, MSG_DONTWAIT);
		int err = n < 0 ? errno : 0;

		if (n > 0) {
			at += n;
			size -= (size_t)n;
			continue;
		}
		if (n == 0) {
			snprintf(why, why_size, "it has closed the connection");
			return false;
		}
		if (err == EAGAIN || err == EWOULDBLOCK)
			err = ready(fd, POLLIN, timeout_ms);
		if (err != 0 && err != EINTR) {
			snprintf(why, why_size, "it does not answer: %s", strerror(err));
			return false;
		}
	}
	return true;
}
