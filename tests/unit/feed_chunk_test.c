/* SPDX-License-Identifier: BSD-3-Clause */
/* One chunk of a snapshot by itself: what it may say, and where it may stand. */
#include "feed_snapshot_fixture.h"

/* The chunk that is looked at, and where it stands. */
static struct {
	struct pl_feed_chunk_pos at;
	alignas(8) uint8_t data[PL_FEED_SEGMENT_SIZE(PER_CHUNK)];
	size_t size;
} chunk;

static struct pl_feed_header *header(void)
{
	return (struct pl_feed_header *)(void *)chunk.data;
}

static struct pl_feed_record *record(uint32_t idx)
{
	return (struct pl_feed_record *)(void *)(chunk.data + PL_FEED_HEADER_SIZE) + idx;
}

static void sign_again(void)
{
	uint8_t message[11 + 32] = "PL1-segment";
	size_t unsigned_size = chunk.size - PL_FEED_SIG_SIZE;

	crypto_generichash(message + 11, 32, chunk.data, unsigned_size, NULL, 0);
	crypto_sign_detached(chunk.data + unsigned_size, NULL, message, sizeof(message), fx.seckey);
}

/** Chunk idx of a snapshot of segment 7 in chunk.data, chunk.at before it. */
static void fresh_chunk(uint32_t idx)
{
	memset(&chunk.at, 0, sizeof(chunk.at));
	chunk.at.snapshot = snapshot_here();
	chunk.at.snapshot.covers.sequence = 7;
	chunk.at.snapshot.covers.as_of = 1234;
	memset(chunk.at.snapshot.covers.hash, 0x5a, PL_FEED_HASH_SIZE);
	for (uint32_t i = 0;; i++) {
		struct pl_feed_segment seg;
		const uint8_t *data;

		assert_int_equal(seal_chunk(&chunk.at, &seg, &data, &chunk.size), 0);
		if (i == idx) {
			memcpy(chunk.data, data, chunk.size);
			return;
		}
		pl_feed_chunk_advance(&chunk.at, &seg);
	}
}

static enum pl_feed_error check(void)
{
	struct pl_feed_segment seg;

	return pl_feed_check_chunk(chunk.data, chunk.size, fx.pubkey, &chunk.at, &seg);
}

static void test_a_chunk_is_accepted_at_its_place_only(void **state)
{
	struct pl_feed_pos tail = {.stream_id = STREAM, .sequence = 6};
	struct pl_feed_segment seg;
	struct pl_feed_chunk_pos at;

	(void)state;
	for (uint32_t idx = 0; idx < CHUNK_CNT; idx++) {
		fresh_chunk(idx);
		assert_int_equal(check(), PL_FEED_OK);
		assert_int_equal(pl_feed_check(chunk.data, chunk.size, fx.pubkey, NULL, &seg),
				 PL_FEED_OK);
		assert_int_equal(seg.header.kind, PL_FEED_SNAPSHOT);
		/* Not in the tail, even where its number would fit. */
		assert_int_equal(pl_feed_check(chunk.data, chunk.size, fx.pubkey, &tail, &seg),
				 PL_FEED_KIND);
	}
	at = chunk.at;
	chunk.at.chunk_cnt = 1;
	assert_int_equal(check(), PL_FEED_GAP);
	chunk.at.chunk_cnt = 3;
	assert_int_equal(check(), PL_FEED_OLD);
	chunk.at = at;
	chunk.at.hash[0] ^= 1;
	assert_int_equal(check(), PL_FEED_FORK);
	chunk.at = at;
	chunk.at.snapshot.covers.hash[31] ^= 1;
	assert_int_equal(check(), PL_FEED_FORK);
	chunk.at = at;
	chunk.at.snapshot.record_cnt++;
	assert_int_equal(check(), PL_FEED_FORK);
	chunk.at = at;
	chunk.at.snapshot.covers.sequence++;
	assert_int_equal(check(), PL_FEED_FORK);
	chunk.at = at;
	chunk.at.snapshot.covers.stream_id++;
	assert_int_equal(check(), PL_FEED_STREAM);
}

static void test_signed_chunks_that_contradict_themselves_are_refused(void **state)
{
	(void)state;
#define REFUSED(idx, change)                               \
	do {                                               \
		fresh_chunk(idx);                          \
		change;                                    \
		sign_again();                              \
		assert_int_equal(check(), PL_FEED_HEADER); \
	} while (0)
	REFUSED(0, header()->chunk_cnt = 0);
	REFUSED(0, header()->chunk_cnt = PL_FEED_CHUNKS_MAX + 1);
	REFUSED(0, header()->chunk_idx = CHUNK_CNT);
	REFUSED(0, header()->chunk_idx = 1);                       /* and nothing before it */
	REFUSED(1, header()->chunk_idx = 0);                       /* and something before it */
	REFUSED(0, header()->snapshot_record_cnt = PER_CHUNK + 1); /* two others, one record */
	REFUSED(0, header()->snapshot_record_cnt = PER_CHUNK + 2 * PL_FEED_RECORDS_MAX + 1);
	REFUSED(0, header()->zero[7] = 1);
	REFUSED(0, header()->as_of = 0);
	REFUSED(0, header()->kind = PL_FEED_TAIL);
#undef REFUSED
	fresh_chunk(CHUNK_CNT - 1);
	chunk.at.record_cnt--; /* the last one does not bring the sum */
	assert_int_equal(check(), PL_FEED_HEADER);
}

static void test_records_of_chunks_are_sorted_certificates(void **state)
{
	(void)state;
#define REFUSED(change)                                    \
	do {                                               \
		fresh_chunk(1);                            \
		change;                                    \
		sign_again();                              \
		assert_int_equal(check(), PL_FEED_RECORD); \
	} while (0)
	REFUSED(record(1)->cert_id = record(0)->cert_id);
	REFUSED(record(3)->cert_id = record(2)->cert_id - 1);
	REFUSED(record(0)->cert_id = chunk.at.id_last); /* the chunk before has it */
	REFUSED((record(0)->op = PL_FEED_REMOVE, record(0)->facts = 0));
	REFUSED(record(3)->facts |= 1u << 30);
#undef REFUSED
	fresh_chunk(1);
	record(0)->cert_id = chunk.at.id_last + 1;
	sign_again();
	assert_int_equal(check(), PL_FEED_OK);
}

static void test_every_flipped_bit_and_every_cut_is_refused(void **state)
{
	size_t whole;

	(void)state;
	fresh_chunk(1);
	for (size_t bit = 0; bit < chunk.size * 8; bit++) {
		chunk.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(check(), PL_FEED_OK);
		chunk.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	whole = chunk.size;
	for (chunk.size = 0; chunk.size < whole; chunk.size++)
		assert_int_equal(check(), PL_FEED_TRUNCATED);
}

static void test_the_writer_seals_no_chunk_that_no_reader_would_take(void **state)
{
	struct pl_feed_chunk_pos pos;
	struct pl_feed_segment seg;
	const uint8_t *data;
	size_t size;

	(void)state;
	fresh_chunk(0);
	pos = chunk.at;
	pos.id_last = 10;
	assert_int_equal(seal_chunk(&pos, &seg, &data, &size), -EINVAL);
	pos = chunk.at;
	pos.snapshot.chunk_cnt = 1; /* of 12 records, with 4 in it */
	assert_int_equal(seal_chunk(&pos, &seg, &data, &size), -EINVAL);
	pos = chunk.at;
	pos.snapshot.covers.sequence = 0;
	assert_int_equal(seal_chunk(&pos, &seg, &data, &size), -EINVAL);
	pl_feed_writer_begin(fx.writer);
	assert_int_equal(
		pl_feed_writer_seal_chunk(fx.writer, &chunk.at, fx.seckey, &seg, &data, &size),
		-EINVAL); /* empty, and not the only one */
	pos = (struct pl_feed_chunk_pos){.snapshot = chunk.at.snapshot};
	pos.snapshot.chunk_cnt = 1;
	pos.snapshot.record_cnt = 0;
	assert_int_equal(pl_feed_writer_seal_chunk(fx.writer, &pos, fx.seckey, &seg, &data, &size),
			 0);
	assert_int_equal(pl_feed_check_chunk(data, size, fx.pubkey, &pos, &seg), PL_FEED_OK);
}

static void test_chunk_names_have_one_form(void **state)
{
	char name[PL_FEED_CHUNK_NAME_SIZE];
	uint64_t sequence;
	uint32_t idx;

	(void)state;
	pl_feed_chunk_name(7, 12, name);
	assert_string_equal(name, "00000000000000000007.00012.plsnap");
	assert_true(pl_feed_chunk_name_parse(name, &sequence, &idx));
	assert_int_equal(sequence, 7);
	assert_int_equal(idx, 12);
	pl_feed_chunk_name(UINT64_MAX, PL_FEED_CHUNKS_MAX - 1, name);
	assert_true(pl_feed_chunk_name_parse(name, &sequence, &idx));
	assert_int_equal(sequence, UINT64_MAX);
	assert_false(
		pl_feed_chunk_name_parse("00000000000000000000.00000.plsnap", &sequence, &idx));
	assert_false(
		pl_feed_chunk_name_parse("00000000000000000007.99999.plsnap", &sequence, &idx));
	assert_false(
		pl_feed_chunk_name_parse("00000000000000000007.0001x.plsnap", &sequence, &idx));
	assert_false(
		pl_feed_chunk_name_parse("00000000000000000007.00012.plsnaq", &sequence, &idx));
	assert_false(pl_feed_chunk_name_parse("00000000000000000007.plseg", &sequence, &idx));
	assert_false(
		pl_feed_chunk_name_parse("18446744073709551616.00000.plsnap", &sequence, &idx));
	assert_int_equal(pl_feed_name_sequence("00000000000000000007.00012.plsnap"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_chunk_is_accepted_at_its_place_only),
		T(test_signed_chunks_that_contradict_themselves_are_refused),
		T(test_records_of_chunks_are_sorted_certificates),
		T(test_every_flipped_bit_and_every_cut_is_refused),
		T(test_the_writer_seals_no_chunk_that_no_reader_would_take),
		T(test_chunk_names_have_one_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
