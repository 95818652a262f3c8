/* SPDX-License-Identifier: BSD-3-Clause */

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client/pl_client_pvt.h"

static int parse_port(const char *text, uint16_t *out)
{
	uint32_t port = 0;

	if (*text == '\0')
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (uint32_t)(*text - '0');
		if (port > UINT16_MAX)
			return -EINVAL;
	}
	if (port == 0)
		return -EINVAL;
	*out = (uint16_t)port;
	return 0;
}

/* host is an address without brackets or port, perhaps with %interface; it is written to. */
static int parse_host(char *host, uint16_t port, struct pl_client_addr *out)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)&out->sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->sa;
	char *zone;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
		out->sa_size = sizeof(*in4);
		return 0;
	}
	zone = strchr(host, '%');
	if (zone != NULL) {
		*zone++ = '\0';
		in6->sin6_scope_id = if_nametoindex(zone);
		if (in6->sin6_scope_id == 0)
			return -ENODEV;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	out->sa_size = sizeof(*in6);
	return 0;
}

int pl_client_addr_parse(const char *text, struct pl_client_addr *out, char *error,
			 size_t error_size)
{
	char host[PL_CLIENT_ADDR_TEXT_SIZE];
	const char *start = text, *end, *port_text = NULL;
	uint16_t port = PL_WIRE_PORT;
	int rc = -EINVAL;

	if (*text == '[') {
		start = text + 1;
		end = strchr(start, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			goto out;
		if (end[1] == ':')
			port_text = end + 2;
	} else {
		const char *colon = strchr(text, ':');

		/* One colon parts address and port; several are an IPv6 address. */
		if (colon != NULL && strchr(colon + 1, ':') == NULL) {
			end = colon;
			port_text = colon + 1;
		} else {
			end = text + strlen(text);
		}
	}
	if ((size_t)(end - start) >= sizeof(host))
		goto out;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	if (port_text != NULL && parse_port(port_text, &port) != 0)
		goto out;
	rc = parse_host(host, port, out);
out:
	if (rc == -ENODEV) {
		snprintf(error, error_size, "address '%s': no such interface", text);
		return -EINVAL;
	}
	if (rc != 0)
		snprintf(
			error, error_size,
			"address '%s': want ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT with a numeric "
			"IPv4 or IPv6 address",
			text);
	return rc;
}

void pl_client_addr_text(const struct pl_client_addr *addr, char text[PL_CLIENT_ADDR_TEXT_SIZE])
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&addr->sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->sa;
	char host[INET6_ADDRSTRLEN] = "?";

	if (addr->sa.ss_family == AF_INET) {
		inet_ntop(AF_INET, &in4->sin_addr, host, sizeof(host));
		snprintf(text, PL_CLIENT_ADDR_TEXT_SIZE, "%s:%u", host, ntohs(in4->sin_port));
		return;
	}
	inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
	if (in6->sin6_scope_id != 0)
		snprintf(text, PL_CLIENT_ADDR_TEXT_SIZE, "[%s%%%u]:%u", host, in6->sin6_scope_id,
			 ntohs(in6->sin6_port));
	else
		snprintf(text, PL_CLIENT_ADDR_TEXT_SIZE, "[%s]:%u", host, ntohs(in6->sin6_port));
}

/*
 * One connected socket per address: the kernel then drops what comes from elsewhere and tells us
 * of ICMP errors. A network that is not up yet is no reason to fail; the next datagram tries again.
 */
int client_addr_connect(struct pl_client *c, uint32_t idx)
{
	struct client_addr *a = &c->addrs[idx];
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = idx};
	int fd, rc;

	if (a->fd >= 0)
		return 0;
	fd = socket(a->addr.sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&a->addr.sa, a->addr.sa_size) != 0 ||
	    epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	a->fd = fd;
	return 0;
}

int client_addr_pick(const struct pl_client *c, uint32_t first, uint64_t now, uint64_t *wait_until)
{
	uint32_t cnt = c->conf.addr_cnt;
	int second_best = -1;

	*wait_until = UINT64_MAX;
	for (uint32_t i = 0; i < cnt; i++) {
		uint32_t idx = (first + i) % cnt;
		const struct client_addr *a = &c->addrs[idx];

		if (a->busy_until > now) {
			if (a->busy_until < *wait_until)
				*wait_until = a->busy_until;
			continue;
		}
		if (a->avoid_until <= now)
			return (int)idx;
		if (second_best < 0 || a->avoid_until < c->addrs[second_best].avoid_until)
			second_best = (int)idx;
	}
	return second_best;
}

void client_addr_avoid(struct client_addr *a, uint64_t until)
{
	if (a->avoid_until < until)
		a->avoid_until = until;
}

void client_addr_miss(struct client_addr *a, uint64_t now)
{
	if (++a->misses < AVOID_MISSES)
		return;
	a->misses = 0;
	a->avoid_ns = a->avoid_ns == 0 ? AVOID_NS_FIRST : a->avoid_ns * 2;
	if (a->avoid_ns > AVOID_NS_MAX)
		a->avoid_ns = AVOID_NS_MAX;
	client_addr_avoid(a, now + a->avoid_ns);
}
