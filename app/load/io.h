/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Where datagrams go out and replies come in: a DPDK port or sockets.
 */
#ifndef PL_LOAD_IO_H
#define PL_LOAD_IO_H

#include "load.h"

struct io_tx {
	const uint8_t *frame; /* from io_finish() */
	uint32_t size;
	uint32_t flow;
};

/** A reply's payload; valid until io_rx_done(). It may be written to. */
struct io_rx {
	uint8_t *payload;
	uint32_t size;
};

struct load_io;

struct load_io_ops {
	uint32_t (*tx)(struct load_io *io, const struct io_tx *pkts, uint32_t cnt);
	uint32_t (*rx)(struct load_io *io, struct io_rx *pkts, uint32_t cnt);
	void (*rx_done)(struct load_io *io);
	uint32_t (*finish)(struct load_io *io, uint8_t *frame, uint32_t flow,
			   uint32_t payload_size);
	void (*close)(struct load_io *io);
};

struct load_io {
	const struct load_io_ops *ops;
	uint32_t payload_off; /* in a frame */
	uint32_t flow_cnt;
	char name[96];
};

PL_MUST_USE int socket_io_open(const struct load_args *args, struct load_io **out, char *error,
			       size_t error_size);
#ifdef PL_LOAD_DPDK
/** The EAL must be initialised. Waits for the link and for the peer's Ethernet address. */
PL_MUST_USE int dpdk_io_open(const struct load_args *args, struct load_io **out, char *error,
			     size_t error_size);
#endif

/** Send a burst. @return how many were taken. */
static inline uint32_t io_tx(struct load_io *io, const struct io_tx *pkts, uint32_t cnt)
{
	return io->ops->tx(io, pkts, cnt);
}

/** Receive up to cnt (LOAD_BURST at most) replies; then io_rx_done(). */
static inline uint32_t io_rx(struct load_io *io, struct io_rx *pkts, uint32_t cnt)
{
	return io->ops->rx(io, pkts, cnt);
}

static inline void io_rx_done(struct load_io *io)
{
	io->ops->rx_done(io);
}

/** Complete a frame whose payload, sealed, lies at payload_off. @return its size. */
static inline uint32_t io_finish(struct load_io *io, uint8_t *frame, uint32_t flow,
				 uint32_t payload_size)
{
	return io->ops->finish(io, frame, flow, payload_size);
}

static inline void io_close(struct load_io *io)
{
	if (io != NULL)
		io->ops->close(io);
}

#endif
