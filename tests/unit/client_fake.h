/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * For tests of lib/client: an appliance's side of the conversation, spoken by hand. Sockets on
 * loopback deliver within send(), so that with a clock of the test's own no test waits.
 */
#ifndef CLIENT_FAKE_H
#define CLIENT_FAKE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/pl_client.h"
#include "wire/pl_wire.h"

#define FAKE_GATEWAY 77u
#define FAKE_EPOCH   3u

struct fake {
	int fd;
	struct pl_client_addr addr;
	struct pl_seal *seal;
	struct pl_seal_key *request_key;
	struct pl_seal_key *reply_key;
	struct pl_seal_key *wrong_key;
	uint64_t reply_counter;
};

/** A request as it came in, opened. */
struct fake_request {
	struct pl_wire_req_hdr hdr;
	struct pl_wire_req_head head;
	struct pl_wire_scan scans[PL_WIRE_SCANS_MAX];
	struct sockaddr_storage from;
	socklen_t from_size;
};

/** How to answer. Zeros: serving, every scan PASS. */
struct fake_reply {
	uint8_t state;
	uint8_t flags;
	uint8_t error;
	uint16_t retry_after_ms;
	uint32_t waiver_until;
	uint8_t codes[PL_WIRE_SCANS_MAX]; /* 0: PASS */
	int verdict_cnt_less;             /* say one verdict fewer than were asked for */
	int wrong_key, truncated, flipped, other_gateway, request_type;
};

static const uint8_t fake_root[PL_SEAL_KEY_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8};

static inline struct pl_seal_key *fake_key(struct fake *f, const uint8_t *root,
					   enum pl_seal_dir dir)
{
	uint8_t key[PL_SEAL_KEY_SIZE];
	struct pl_seal_key *out;

	pl_seal_derive(key, root, dir, FAKE_EPOCH, FAKE_GATEWAY);
	PL_CHECK(pl_seal_key_create(f->seal, key, &out) == 0);
	return out;
}

static inline void fake_open(struct fake *f, int family)
{
	const uint8_t other_root[PL_SEAL_KEY_SIZE] = {9};
	struct sockaddr_in *in4 = (struct sockaddr_in *)&f->addr.sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&f->addr.sa;

	memset(f, 0, sizeof(*f));
	PL_CHECK(sodium_init() >= 0);
	f->addr.sa_size = family == AF_INET ? sizeof(*in4) : sizeof(*in6);
	f->addr.sa.ss_family = (sa_family_t)family;
	if (family == AF_INET)
		in4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		in6->sin6_addr = in6addr_loopback;
	f->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	PL_CHECK(f->fd >= 0);
	PL_CHECK(bind(f->fd, (struct sockaddr *)&f->addr.sa, f->addr.sa_size) == 0);
	PL_CHECK(getsockname(f->fd, (struct sockaddr *)&f->addr.sa, &f->addr.sa_size) == 0);
	PL_CHECK(pl_seal_create(PL_SEAL_AUTO, &f->seal) == 0);
	f->request_key = fake_key(f, fake_root, PL_SEAL_DIR_REQUEST);
	f->reply_key = fake_key(f, fake_root, PL_SEAL_DIR_REPLY);
	f->wrong_key = fake_key(f, other_root, PL_SEAL_DIR_REPLY);
}

static inline void fake_close(struct fake *f)
{
	if (f->fd >= 0)
		close(f->fd);
	pl_seal_key_destroy(f->request_key);
	pl_seal_key_destroy(f->reply_key);
	pl_seal_key_destroy(f->wrong_key);
	pl_seal_destroy(f->seal);
}

static inline bool fake_pending(const struct fake *f, int wait_ms)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};

	return poll(&p, 1, wait_ms) == 1;
}

/** Receive and open one request. @return false if none came. */
static inline bool fake_recv(struct fake *f, struct fake_request *r, int wait_ms)
{
	uint8_t data[PL_WIRE_REQ_SIZE_MAX + 1];
	struct pl_seal_op op;
	ssize_t size;

	if (!fake_pending(f, wait_ms))
		return false;
	r->from_size = sizeof(r->from);
	size = recvfrom(f->fd, data, sizeof(data), 0, (struct sockaddr *)&r->from, &r->from_size);
	PL_CHECK(size > 0);
	PL_CHECK(pl_wire_req_peek(data, (uint32_t)size, &r->hdr) == PL_WIRE_OK);
	op = (struct pl_seal_op){
		.key = f->request_key,
		.aad = data,
		.aad_size = PL_WIRE_REQ_HDR_SIZE,
		.text = data + PL_WIRE_REQ_HDR_SIZE,
		.text_size = (uint32_t)size - PL_WIRE_REQ_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE,
		.tag = data + size - PL_WIRE_GCM_TAG_SIZE,
	};
	pl_wire_req_nonce(&r->hdr, op.nonce);
	PL_CHECK(pl_seal_open_burst(f->seal, &op, 1) == 1);
	PL_CHECK(pl_wire_req_read(data, (uint32_t)size, &r->head) == PL_V_NONE);
	memcpy(r->scans, pl_wire_req_scan(data, 0), r->head.scan_cnt * sizeof(r->scans[0]));
	return true;
}

/** How many requests wait; they are thrown away. */
static inline uint32_t fake_drain(struct fake *f)
{
	uint8_t data[PL_WIRE_REQ_SIZE_MAX];
	uint32_t cnt = 0;

	while (recv(f->fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		cnt++;
	return cnt;
}

static inline void fake_send(struct fake *f, const struct fake_request *r,
			     const struct fake_reply *how)
{
	uint8_t data[PL_WIRE_REP_SIZE(PL_WIRE_SCANS_MAX)];
	struct pl_wire_rep_hdr hdr = {
		.ver = PL_WIRE_VERSION,
		.type = how->request_type ? PL_WIRE_REQUEST : PL_WIRE_REPLY,
		.state = how->state,
		.flags = how->flags,
		.gateway_id = how->other_gateway ? FAKE_GATEWAY + 1 : FAKE_GATEWAY,
		.appliance_queue = 5 << 8 | 1,
	};
	struct pl_wire_rep_head head = {
		.req_counter = r->hdr.counter,
		.now_ms = 1639364400123,
		.as_of = 1639364000,
		.waiver_until = how->waiver_until,
		.retry_after_ms = how->retry_after_ms,
		.error = how->error,
		.verdict_cnt = how->error ? 0 : (uint8_t)r->head.scan_cnt,
	};
	struct pl_seal_op op = {.key = how->wrong_key ? f->wrong_key : f->reply_key};
	uint32_t size;

	if (how->verdict_cnt_less)
		head.verdict_cnt--;
	pl_le64_put(hdr.counter, ++f->reply_counter);
	size = pl_wire_rep_write(data, &hdr, &head);
	for (uint32_t i = 0; i < head.verdict_cnt; i++) {
		uint32_t code = how->codes[i] == 0 ? PL_V_PASS : how->codes[i];

		pl_le32_put(pl_wire_rep_verdicts(data) + 4 * i,
			    PL_WIRE_VERDICT(code, code == PL_V_PASS ? 1 : 0, 0));
	}
	op.aad = data;
	op.aad_size = PL_WIRE_REP_HDR_SIZE;
	op.text = data + PL_WIRE_REP_HDR_SIZE;
	op.text_size = size - PL_WIRE_REP_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE;
	op.tag = data + size - PL_WIRE_GCM_TAG_SIZE;
	pl_wire_rep_nonce(&hdr, op.nonce);
	pl_seal_seal_burst(f->seal, &op, 1);
	if (how->flipped)
		data[PL_WIRE_REP_HDR_SIZE] ^= 1;
	if (how->truncated)
		size -= 5;
	PL_CHECK(sendto(f->fd, data, size, 0, (const struct sockaddr *)&r->from, r->from_size) ==
		 (ssize_t)size);
}

/** Receive one request, which must come, and answer it. */
static inline void fake_answer(struct fake *f, struct fake_request *r, const struct fake_reply *how)
{
	PL_CHECK(fake_recv(f, r, 5000));
	fake_send(f, r, how);
}

#endif
