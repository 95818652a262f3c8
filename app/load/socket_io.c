/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io.h"

#define RX_SIZE (PL_WIRE_REP_SIZE(PL_WIRE_SCANS_MAX) + 1u)
#define RCVBUF  (16 << 20)

struct socket_io {
	struct load_io io;
	uint32_t rx_next; /* socket to read next: in turn */
	uint8_t rx_bytes[LOAD_BURST][RX_SIZE];
	int fds[LOAD_FLOWS_MAX];
};

/* A run of packets of one flow. */
static uint32_t tx_run(struct socket_io *s, const struct io_tx *pkts, uint32_t cnt)
{
	struct mmsghdr msgs[LOAD_BURST] = {0};
	struct iovec iovs[LOAD_BURST];
	int sent;

	for (uint32_t i = 0; i < cnt; i++) {
		iovs[i] = (struct iovec){(void *)(uintptr_t)pkts[i].frame, pkts[i].size};
		msgs[i].msg_hdr.msg_iov = &iovs[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	sent = sendmmsg(s->fds[pkts[0].flow], msgs, cnt, MSG_DONTWAIT);
	if (sent < 0 && errno == ECONNREFUSED) /* told of an earlier datagram */
		sent = sendmmsg(s->fds[pkts[0].flow], msgs, cnt, MSG_DONTWAIT);
	return sent < 0 ? 0 : (uint32_t)sent;
}

static uint32_t tx(struct load_io *io, const struct io_tx *pkts, uint32_t cnt)
{
	struct socket_io *s = (struct socket_io *)io;
	uint32_t done = 0;

	while (done < cnt) {
		uint32_t run = 1, sent;

		while (done + run < cnt && pkts[done + run].flow == pkts[done].flow)
			run++;
		sent = tx_run(s, pkts + done, run);
		done += sent;
		if (sent < run)
			break;
	}
	return done;
}

static uint32_t rx(struct load_io *io, struct io_rx *pkts, uint32_t cnt)
{
	struct socket_io *s = (struct socket_io *)io;
	struct mmsghdr msgs[LOAD_BURST] = {0};
	struct iovec iovs[LOAD_BURST];
	int got = 0;

	for (uint32_t i = 0; i < cnt; i++) {
		iovs[i] = (struct iovec){s->rx_bytes[i], RX_SIZE};
		msgs[i].msg_hdr.msg_iov = &iovs[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	for (uint32_t tries = 0; tries < io->flow_cnt && got <= 0; tries++) {
		got = recvmmsg(s->fds[s->rx_next], msgs, cnt, MSG_DONTWAIT, NULL);
		if (++s->rx_next == io->flow_cnt)
			s->rx_next = 0;
	}
	for (int i = 0; i < got; i++)
		pkts[i] = (struct io_rx){s->rx_bytes[i], msgs[i].msg_len};
	return got < 0 ? 0 : (uint32_t)got;
}

static void rx_done(struct load_io *io)
{
	(void)io; /* the bytes are ours */
}

static uint32_t finish(struct load_io *io, uint8_t *frame, uint32_t flow, uint32_t payload_size)
{
	(void)io;
	(void)frame;
	(void)flow;
	return payload_size;
}

static void close_all(struct load_io *io)
{
	struct socket_io *s = (struct socket_io *)io;

	for (uint32_t i = 0; i < io->flow_cnt; i++)
		close(s->fds[i]);
	free(s);
}

static const struct load_io_ops ops = {tx, rx, rx_done, finish, close_all};

int socket_io_open(const struct load_args *args, struct load_io **out, char *error,
		   size_t error_size)
{
	const struct pl_client_addr *addr = &args->sockets_addr;
	const int rcvbuf = RCVBUF;
	struct socket_io *s = calloc(1, sizeof(*s));
	int rc;

	if (s == NULL) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	s->io.ops = &ops;
	for (uint32_t i = 0; i < args->flow_cnt; i++) {
		int fd = socket(addr->sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd >= 0) {
			s->fds[s->io.flow_cnt++] = fd;
			/* Root gets all of it, others what the system allows. */
			if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf)) !=
			    0)
				(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf,
						 sizeof(rcvbuf));
		}
		if (fd < 0 || connect(fd, (const struct sockaddr *)&addr->sa, addr->sa_size) != 0) {
			rc = -errno;
			snprintf(error, error_size, "%s: %s", args->sockets, strerror(errno));
			close_all(&s->io);
			return rc;
		}
	}
	snprintf(s->io.name, sizeof(s->io.name), "sockets %.80s", args->sockets);
	*out = &s->io;
	return 0;
}
