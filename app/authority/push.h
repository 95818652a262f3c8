/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection to an appliance, for push.
 */
#ifndef PUSH_H
#define PUSH_H

#include "base/pl_base.h"

#define PUSH_ADDRESS_SIZE 256u

/** "HOST", "HOST:PORT", "ADDR6", "[ADDR6]:PORT" taken apart; false if it is none of them. */
bool push_address(const char *text, char host[PUSH_ADDRESS_SIZE], char port[8]);

/* Each within timeout_ms, or with a complaint of which `why` says the reason. */

/** @return a socket, or -1. */
int push_connect(const char *host, const char *port, uint32_t timeout_ms, char *why,
		 size_t why_size);
/** timeout_ms is of the last byte that went, not of all of them. */
bool push_send(int fd, const void *data, size_t size, uint32_t timeout_ms, char *why,
	       size_t why_size);
bool push_recv(int fd, void *data, size_t size, uint32_t timeout_ms, char *why, size_t why_size);

#endif
