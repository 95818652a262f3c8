/* SPDX-License-Identifier: BSD-3-Clause */
/* From the last record to the first, with a set of the certificates met: open addressing, half full
 * at most. */
#include "feed/pl_feed_net.h"

#include <errno.h>

#define SLOTS_MAX (2 * (uint64_t)PL_FEED_RECORDS_MAX)

struct pl_feed_net {
	uint32_t *slots;     /* 1 + a record's number; 0: free */
	uint64_t *overruled; /* a bit a record */
};

int pl_feed_net_create(struct pl_feed_net **out)
{
	struct pl_feed_net *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return -ENOMEM;
	n->slots = malloc(SLOTS_MAX * sizeof(*n->slots));
	n->overruled = malloc(PL_FEED_RECORDS_MAX / 8);
	if (n->slots == NULL || n->overruled == NULL) {
		pl_feed_net_destroy(n);
		return -ENOMEM;
	}
	*out = n;
	return 0;
}

void pl_feed_net_destroy(struct pl_feed_net *n)
{
	if (n == NULL)
		return;
	free(n->slots);
	free(n->overruled);
	free(n);
}

/** Put record i's certificate in; false if it is there. */
static bool meet(struct pl_feed_net *n, const struct pl_feed_record *records, uint32_t i,
		 uint64_t mask)
{
	uint64_t at = pl_mix64(records[i].cert_id) & mask;

	for (; n->slots[at] != 0; at = (at + 1) & mask)
		if (records[n->slots[at] - 1].cert_id == records[i].cert_id)
			return false;
	n->slots[at] = i + 1;
	return true;
}

const uint64_t *pl_feed_net_overruled(struct pl_feed_net *n, const struct pl_feed_segment *seg)
{
	uint32_t cnt = seg->header.record_cnt;
	uint64_t slot_cnt = 2;
	bool any = false;

	while (slot_cnt < 2 * (uint64_t)cnt)
		slot_cnt *= 2;
	memset(n->slots, 0, slot_cnt * sizeof(*n->slots));
	memset(n->overruled, 0, (cnt + 63) / 64 * sizeof(*n->overruled));
	for (uint32_t i = cnt; i-- > 0;) {
		if (meet(n, seg->records, i, slot_cnt - 1))
			continue;
		n->overruled[i / 64] |= UINT64_C(1) << i % 64;
		any = true;
	}
	return any ? n->overruled : NULL;
}
