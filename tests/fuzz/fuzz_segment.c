/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a segment file, as they are and signed anew by a key that the target knows, so
 * that what lies behind the signature is reached. What is accepted lies within the file and is
 * written back byte for byte.
 */
#include <sodium.h>

#include "feed/pl_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
static uint8_t seckey[PL_FEED_SECKEY_SIZE];
static struct pl_feed_writer *writer;

/* A chunk, at a place in its snapshot where its counts fit. */
static void check_chunk(const uint8_t *data, size_t size, const struct pl_feed_header *h)
{
	struct pl_feed_chunk_pos pos = {.chunk_cnt = h->chunk_idx};
	uint64_t rest = h->snapshot_record_cnt - h->record_cnt;
	uint64_t room = (h->chunk_cnt - h->chunk_idx - 1) * (uint64_t)PL_FEED_RECORDS_MAX;
	struct pl_feed_segment seg, again;
	const uint8_t *back;
	size_t back_size;

	pl_feed_snapshot_of(h, &pos.snapshot);
	pos.record_cnt = rest > room ? rest - room : 0;
	memcpy(pos.hash, h->previous, sizeof(pos.hash));
	PL_CHECK(pl_feed_check_chunk(data, size, pubkey, &pos, &seg) == PL_FEED_OK);
	PL_CHECK(pl_feed_writer_seal_chunk(writer, &pos, seckey, &again, &back, &back_size) == 0);
	PL_CHECK(back_size == size && memcmp(back, data, size) == 0);
	PL_CHECK(memcmp(again.hash, seg.hash, sizeof(seg.hash)) == 0);
	pl_feed_chunk_advance(&pos, &seg);
	PL_CHECK(pl_feed_check_chunk(data, size, pubkey, &pos, &seg) == PL_FEED_OLD);
}

static void check_both(const uint8_t *data, size_t size)
{
	struct pl_feed_segment seg, again;
	struct pl_feed_pos before = {0};
	const uint8_t *back;
	size_t back_size;

	if (pl_feed_check(data, size, pubkey, NULL, &seg) != PL_FEED_OK)
		return;
	PL_CHECK(PL_FEED_SEGMENT_SIZE(seg.header.record_cnt) == size);
	pl_feed_writer_begin(writer);
	for (uint32_t i = 0; i < seg.header.record_cnt; i++)
		PL_CHECK(pl_feed_writer_add(writer, seg.records[i].cert_id, seg.records[i].facts,
					    seg.records[i].op) == 0);
	if (seg.header.kind == PL_FEED_SNAPSHOT) {
		PL_CHECK(pl_feed_check(data, size, pubkey, &before, &again) == PL_FEED_KIND);
		check_chunk(data, size, &seg.header);
		return;
	}
	before.stream_id = seg.header.stream_id;
	before.sequence = seg.header.sequence - 1;
	before.as_of = seg.header.as_of;
	memcpy(before.hash, seg.header.previous, sizeof(before.hash));
	PL_CHECK(pl_feed_check(data, size, pubkey, &before, &seg) == PL_FEED_OK);
	PL_CHECK(pl_feed_writer_seal(writer, &before, seg.header.as_of, seckey, &again, &back,
				     &back_size) == 0);
	PL_CHECK(back_size == size && memcmp(back, data, size) == 0);
	PL_CHECK(memcmp(again.hash, seg.hash, sizeof(seg.hash)) == 0);
	pl_feed_advance(&before, &seg);
	PL_CHECK(pl_feed_check(data, size, pubkey, &before, &seg) == PL_FEED_OLD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t message[11 + PL_FEED_HASH_SIZE] = "PL1-segment";
	uint8_t *copy = malloc(size + 1);

	if (writer == NULL) {
		uint8_t seed[crypto_sign_SEEDBYTES];

		for (uint32_t i = 0; i < sizeof(seed); i++)
			seed[i] = (uint8_t)i;
		PL_CHECK(sodium_init() >= 0);
		PL_CHECK(pl_feed_writer_create(&writer) == 0);
		crypto_sign_seed_keypair(pubkey, seckey, seed);
	}
	PL_CHECK(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	check_both(copy, size);
	if (size >= PL_FEED_SEGMENT_SIZE(0)) {
		size_t unsigned_size = size - PL_FEED_SIG_SIZE;

		crypto_generichash(message + 11, PL_FEED_HASH_SIZE, copy, unsigned_size, NULL, 0);
		crypto_sign_detached(copy + unsigned_size, NULL, message, sizeof(message), seckey);
		check_both(copy, size);
	}
	free(copy);
	return 0;
}
