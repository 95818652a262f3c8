/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a frame. The first byte of the input chooses the conditions (FUZZ_* below), the
 * rest is the frame. What is answered is answered to its sender only, within bounds, and with
 * checksums that an independent routine finds right.
 */
#include "../unit/net_frames.h"

#define FUZZ_HINTS_GOOD 1u /* the port vouches for the checksums */
#define FUZZ_VLAN       2u /* the port is on VLAN 7 */
#define FUZZ_OFFLOAD    4u /* the port writes the checksums */
#define FUZZ_MEND       8u /* put right checksums in before, so that more gets past them */
#define GROWTH_SIZE_MAX 8u /* an advertisement may be one option longer than what asked */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Offsets of the layers, if the frame has as much as an IP header; false otherwise. */
static bool layers(struct frame *f, uint32_t *proto, uint32_t *l4_size)
{
	f->l3 = f->size >= 18 && be16_of(f->b + 12) == 0x8100 ? 18 : 14;
	if (f->size < f->l3 + 20)
		return false;
	if (be16_of(f->b + f->l3 - 2) == 0x0800 && f->b[f->l3] == 0x45) {
		f->l4 = f->l3 + 20;
		*proto = f->b[f->l3 + 9];
		*l4_size = be16_of(f->b + f->l3 + 2) - 20;
	} else if (be16_of(f->b + f->l3 - 2) == 0x86dd && f->b[f->l3] >> 4 == 6 &&
		   f->size >= f->l3 + 40) {
		f->l4 = f->l3 + 40;
		*proto = f->b[f->l3 + 6];
		*l4_size = be16_of(f->b + f->l3 + 4);
	} else {
		return false;
	}
	return *l4_size <= f->size - f->l4;
}

static void mend(struct frame *f)
{
	uint32_t proto, l4_size, whole_size = f->size;

	if (!layers(f, &proto, &l4_size))
		return;
	if (f->l4 == f->l3 + 20)
		fix_ip4(f);
	f->size = f->l4 + l4_size;
	if (proto == 17 && l4_size >= 8)
		fix_l4(f, 17, 6);
	else if (proto == 58 && l4_size >= 4)
		fix_l4(f, 58, 2);
	else if (proto == 1 && l4_size >= 4)
		fix_icmp4(f);
	f->size = whole_size;
}

static void check_sums(struct frame *f)
{
	uint32_t proto = 0, l4_size = 0;

	if (be16_of(f->b + 12) == 0x0806 || be16_of(f->b + 16) == 0x0806)
		return;
	PL_CHECK(layers(f, &proto, &l4_size));
	PL_CHECK(f->l4 + l4_size == f->size);
	if (f->l4 == f->l3 + 20)
		PL_CHECK(slow_sum(0, f->b + f->l3, 20) == 0xffff);
	if (proto == 1)
		PL_CHECK(slow_sum(0, f->b + f->l4, l4_size) == 0xffff);
	else
		PL_CHECK(slow_l4_sum(f->b + f->l3, proto, l4_size) == 0xffff);
}

static void answer(const struct pl_net_if *nif, struct pl_net_frame *nf, uint8_t how)
{
	uint16_t reply_size = (uint16_t)(nf->payload_size / 2);
	bool offload = (how & FUZZ_OFFLOAD) != 0;

	PL_CHECK(nf->payload_off + nf->payload_size <= nf->size);
	memset(nf->data + nf->payload_off, 0x5a, reply_size);
	pl_net_udp_reply(nif, nf, reply_size, offload, offload);
	PL_CHECK(nf->size == nf->payload_off + (uint32_t)reply_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl_net_if nif;
	struct pl_net_frame nf;
	struct frame f = {.size = 0};
	uint8_t *exact;
	uint8_t how, source[6];

	if (size < 1 || size > FRAME_ROOM)
		return 0;
	how = data[0];
	nif = test_if(how & FUZZ_VLAN ? 7 : 0);
	f.size = (uint32_t)size - 1;
	memcpy(f.b, data + 1, f.size);
	if (how & FUZZ_MEND)
		mend(&f);
	/* Of exactly its size, so that ASan sees any step beyond; no answer to it may grow. */
	exact = malloc(f.size + GROWTH_SIZE_MAX);
	PL_CHECK(exact != NULL);
	memcpy(exact, f.b, f.size);
	nf = (struct pl_net_frame){.data = exact, .size = f.size};
	nf.room = f.size + (how & FUZZ_MEND ? GROWTH_SIZE_MAX : 0);
	nf.ip_csum = how & FUZZ_HINTS_GOOD ? PL_NET_CSUM_GOOD : PL_NET_CSUM_CHECK;
	nf.l4_csum = nf.ip_csum;
	pl_net_parse(&nif, &nf);
	if (nf.kind == PL_NET_DROP) {
		PL_CHECK(nf.drop < PL_DROP_NONE);
		free(exact);
		return 0;
	}
	memcpy(source, f.b + 6, 6);
	if (nf.kind == PL_NET_UDP)
		answer(&nif, &nf, how);
	PL_CHECK(nf.size <= f.size + GROWTH_SIZE_MAX && nf.size <= nf.room);
	PL_CHECK(memcmp(exact + 6, our_mac, 6) == 0);
	/* To the sender; or, for a probe's answer, to all nodes of IPv6. */
	PL_CHECK(memcmp(exact, source, 6) == 0 || (nf.kind == PL_NET_ND_REPLY && exact[0] == 0x33));
	if (nf.kind != PL_NET_UDP || !(how & FUZZ_OFFLOAD)) {
		memcpy(f.b, exact, nf.size);
		f.size = nf.size;
		check_sums(&f);
	}
	free(exact);
	return 0;
}
