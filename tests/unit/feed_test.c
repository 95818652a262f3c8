/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments: the writer and the checker against each other, and everything that must be refused. */
#include "feed/pl_feed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sodium.h>

#define STREAM 0x1122334455667788ULL
#define AS_OF  1639353600ULL /* 2021-12-13 00:00:00 UTC */

struct fixture {
	uint8_t pubkey[PL_FEED_PUBKEY_SIZE];
	uint8_t seckey[PL_FEED_SECKEY_SIZE];
	struct pl_feed_writer *writer;
	struct pl_feed_pos pos; /* where the segment in data follows */
	alignas(8) uint8_t data[PL_FEED_SEGMENT_SIZE(4)];
	size_t size;
};

static struct fixture fx;

static const uint32_t facts_primary = 1u | 18900u << 4;

static int set_up(void **state)
{
	uint8_t seed[crypto_sign_SEEDBYTES];

	(void)state;
	PL_CHECK(sodium_init() >= 0);
	for (uint32_t i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)i;
	crypto_sign_seed_keypair(fx.pubkey, fx.seckey, seed);
	return pl_feed_writer_create(&fx.writer);
}

static int tear_down(void **state)
{
	(void)state;
	pl_feed_writer_destroy(fx.writer);
	return 0;
}

/** A segment of two records in fx.data, following fx.pos, which is at the beginning. */
static int fresh(void **state)
{
	struct pl_feed_segment seg;
	const uint8_t *data;

	(void)state;
	memset(&fx.pos, 0, sizeof(fx.pos));
	fx.pos.stream_id = STREAM;
	pl_feed_writer_begin(fx.writer);
	assert_int_equal(
		pl_feed_writer_add(fx.writer, 0x0102030405060708, facts_primary, PL_FEED_PUT), 0);
	assert_int_equal(pl_feed_writer_add(fx.writer, UINT64_MAX, 0, PL_FEED_REMOVE), 0);
	assert_int_equal(
		pl_feed_writer_seal(fx.writer, &fx.pos, AS_OF, fx.seckey, &seg, &data, &fx.size),
		0);
	assert_int_equal(fx.size, PL_FEED_SEGMENT_SIZE(2));
	memcpy(fx.data, data, fx.size);
	return 0;
}

/** Sign fx.data anew after its bytes were changed: what only a faulty authority could send. */
static void sign_again(void)
{
	uint8_t message[11 + 32] = "PL1-segment";
	size_t unsigned_size = fx.size - PL_FEED_SIG_SIZE;

	crypto_generichash(message + 11, 32, fx.data, unsigned_size, NULL, 0);
	crypto_sign_detached(fx.data + unsigned_size, NULL, message, sizeof(message), fx.seckey);
}

static enum pl_feed_error check(const struct pl_feed_pos *pos)
{
	struct pl_feed_segment seg;

	return pl_feed_check(fx.data, fx.size, fx.pubkey, pos, &seg);
}

static struct pl_feed_header *header(void)
{
	return (struct pl_feed_header *)(void *)fx.data;
}

static struct pl_feed_record *record(uint32_t idx)
{
	return (struct pl_feed_record *)(void *)(fx.data + PL_FEED_HEADER_SIZE) + idx;
}

static void test_a_written_segment_is_accepted_and_says_what_was_written(void **state)
{
	struct pl_feed_segment seg;

	(void)state;
	assert_int_equal(pl_feed_check(fx.data, fx.size, fx.pubkey, &fx.pos, &seg), PL_FEED_OK);
	assert_int_equal(seg.header.record_cnt, 2);
	assert_int_equal(seg.header.sequence, 1);
	assert_int_equal(seg.header.as_of, AS_OF);
	assert_int_equal(seg.records[0].cert_id, 0x0102030405060708);
	assert_int_equal(seg.records[0].facts, facts_primary);
	assert_int_equal(seg.records[0].op, PL_FEED_PUT);
	assert_int_equal(seg.records[1].cert_id, UINT64_MAX);
	assert_int_equal(seg.records[1].op, PL_FEED_REMOVE);
	assert_int_equal(check(NULL), PL_FEED_OK);
	fx.pos.stream_id = 0; /* takes the first segment's */
	assert_int_equal(check(&fx.pos), PL_FEED_OK);
}

static void test_hash_is_blake2b_of_the_whole_file_for_writer_and_checker(void **state)
{
	uint8_t want[PL_FEED_HASH_SIZE];
	struct pl_feed_segment seg, written;
	const uint8_t *data;
	size_t size;

	(void)state;
	crypto_generichash(want, sizeof(want), fx.data, fx.size, NULL, 0);
	assert_int_equal(pl_feed_check(fx.data, fx.size, fx.pubkey, &fx.pos, &seg), PL_FEED_OK);
	assert_memory_equal(seg.hash, want, sizeof(want));
	assert_int_equal(
		pl_feed_writer_seal(fx.writer, &fx.pos, AS_OF, fx.seckey, &written, &data, &size),
		0);
	assert_memory_equal(written.hash, want, sizeof(want));
}

static void test_every_flipped_bit_is_refused(void **state)
{
	(void)state;
	for (size_t bit = 0; bit < fx.size * 8; bit++) {
		fx.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(check(&fx.pos), PL_FEED_OK);
		fx.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(check(&fx.pos), PL_FEED_OK);
}

static void test_every_shorter_and_a_longer_file_is_refused(void **state)
{
	size_t whole = fx.size;

	(void)state;
	for (fx.size = 0; fx.size < whole; fx.size++)
		assert_int_equal(check(&fx.pos), PL_FEED_TRUNCATED);
	fx.size = whole + 1;
	fx.data[whole] = 0;
	assert_int_equal(check(&fx.pos), PL_FEED_OVERSIZED);
}

static void test_form_is_told_before_anything_is_believed(void **state)
{
	(void)state;
	header()->record_cnt = PL_FEED_RECORDS_MAX + 1;
	assert_int_equal(check(NULL), PL_FEED_OVERSIZED);
	header()->record_cnt = 3;
	assert_int_equal(check(NULL), PL_FEED_TRUNCATED);
	header()->record_cnt = 1;
	assert_int_equal(check(NULL), PL_FEED_OVERSIZED);
	fresh(NULL);
	header()->version = 2;
	sign_again();
	assert_int_equal(check(NULL), PL_FEED_VERSION);
	fresh(NULL);
	for (uint16_t kind = 0; kind <= 3; kind += 3) {
		fresh(NULL);
		header()->kind = kind;
		sign_again();
		assert_int_equal(check(NULL), PL_FEED_VERSION);
	}
	fresh(NULL);
	header()->magic[7] = '\r';
	sign_again();
	assert_int_equal(check(NULL), PL_FEED_NOT_SEGMENT);
	memcpy(fx.data, "{}", 2);
	fx.size = 2;
	assert_int_equal(check(NULL), PL_FEED_NOT_SEGMENT);
}

static void test_signed_headers_that_contradict_themselves_are_refused(void **state)
{
	(void)state;
#define REFUSED(change)                                        \
	do {                                                   \
		fresh(NULL);                                   \
		change;                                        \
		sign_again();                                  \
		assert_int_equal(check(NULL), PL_FEED_HEADER); \
	} while (0)
	REFUSED(header()->stream_id = 0);
	REFUSED(header()->sequence = 0);
	REFUSED(header()->sequence = 2); /* and no previous */
	REFUSED(header()->previous[0] = 1);
	REFUSED(header()->as_of = 0);
	REFUSED(header()->as_of = UINT32_MAX + 1ULL);
	REFUSED(header()->zero[0] = 1);
	REFUSED(header()->zero[sizeof(header()->zero) - 1] = 1);
	/* What a snapshot's chunk says is nothing that a tail's segment may say. */
	REFUSED(header()->chunk_idx = 1);
	REFUSED(header()->chunk_cnt = 1);
	REFUSED(header()->snapshot_record_cnt = 2);
	REFUSED(header()->covers[0] = 1);
	REFUSED(header()->kind = PL_FEED_SNAPSHOT);
#undef REFUSED
	fresh(NULL);
	header()->as_of = UINT32_MAX;
	sign_again();
	assert_int_equal(check(NULL), PL_FEED_OK);
}

static void test_signed_records_that_are_malformed_are_refused(void **state)
{
	(void)state;
#define REFUSED(change)                                        \
	do {                                                   \
		fresh(NULL);                                   \
		change;                                        \
		sign_again();                                  \
		assert_int_equal(check(NULL), PL_FEED_RECORD); \
	} while (0)
	REFUSED(record(0)->cert_id = 0);
	REFUSED(record(1)->cert_id = 0);
	REFUSED(record(0)->op = 0);
	REFUSED(record(0)->op = 3);
	REFUSED(record(0)->facts &= ~15u);     /* no kind */
	REFUSED(record(0)->facts |= 1u << 29); /* spare bits */
	REFUSED(record(0)->facts |= 1u << 31);
	REFUSED(record(1)->facts = facts_primary); /* a removal has none */
	REFUSED(record(0)->zero[0] = 1);
	REFUSED(record(1)->zero[2] = 1);
#undef REFUSED
}

static void test_another_key_and_another_stream_are_told_apart(void **state)
{
	uint8_t other_public[PL_FEED_PUBKEY_SIZE], other_secret[PL_FEED_SECKEY_SIZE];
	struct pl_feed_segment seg;

	(void)state;
	crypto_sign_keypair(other_public, other_secret);
	assert_int_equal(pl_feed_check(fx.data, fx.size, other_public, &fx.pos, &seg),
			 PL_FEED_SIGNATURE);
	fx.pos.stream_id = STREAM + 1;
	assert_int_equal(check(&fx.pos), PL_FEED_STREAM);
	/* Another authority's segment: the stream says it better than the signature. */
	assert_int_equal(pl_feed_check(fx.data, fx.size, other_public, &fx.pos, &seg),
			 PL_FEED_STREAM);
}

static void test_a_forged_sequence_is_a_bad_signature_not_a_gap(void **state)
{
	(void)state;
	header()->sequence = 9;
	header()->previous[0] = 1;
	assert_int_equal(check(&fx.pos), PL_FEED_SIGNATURE);
}

static void test_a_signature_over_the_bare_hash_is_refused(void **state)
{
	uint8_t hash[32];
	size_t unsigned_size = fx.size - PL_FEED_SIG_SIZE;

	(void)state;
	crypto_generichash(hash, sizeof(hash), fx.data, unsigned_size, NULL, 0);
	crypto_sign_detached(fx.data + unsigned_size, NULL, hash, sizeof(hash), fx.seckey);
	assert_int_equal(check(&fx.pos), PL_FEED_SIGNATURE);
}

/* s + L instead of s: the same equation, another signature (RFC 8032, 5.1.7 refuses it). */
static void test_a_malleated_signature_is_refused(void **state)
{
	static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a,       0x63,
					  0x12, 0x58, 0xd6, 0x9c, 0xf7,       0xa2,
					  0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
	uint8_t *s = fx.data + fx.size - 32;
	uint32_t carry = 0;

	(void)state;
	for (uint32_t i = 0; i < 32; i++) {
		carry += (uint32_t)s[i] + order[i];
		s[i] = (uint8_t)carry;
		carry >>= 8;
	}
	assert_int_equal(carry, 0);
	assert_int_equal(check(&fx.pos), PL_FEED_SIGNATURE);
}

/* With a public key of small order, R = identity and s = 0 would verify for every message. */
static void test_a_small_order_public_key_accepts_nothing(void **state)
{
	static const uint8_t identity[32] = {1};
	struct pl_feed_segment seg;

	(void)state;
	memset(fx.data + fx.size - 64, 0, 64);
	fx.data[fx.size - 64] = 1;
	assert_int_equal(pl_feed_check(fx.data, fx.size, identity, &fx.pos, &seg),
			 PL_FEED_SIGNATURE);
}

static void test_the_chain_refuses_gap_fork_old_and_time(void **state)
{
	struct pl_feed_segment seg;
	struct pl_feed_pos first, second;
	const uint8_t *data;
	size_t size;

	(void)state;
	assert_int_equal(pl_feed_check(fx.data, fx.size, fx.pubkey, &fx.pos, &seg), PL_FEED_OK);
	first = fx.pos;
	pl_feed_advance(&first, &seg);
	assert_int_equal(first.sequence, 1);
	assert_int_equal(first.as_of, AS_OF);
	assert_int_equal(check(&first), PL_FEED_OLD);

	/* The second, empty: it says that nothing happened. */
	pl_feed_writer_begin(fx.writer);
	assert_int_equal(
		pl_feed_writer_seal(fx.writer, &first, AS_OF + 1, fx.seckey, &seg, &data, &size),
		0);
	memcpy(fx.data, data, size);
	fx.size = size;
	assert_int_equal(check(&fx.pos), PL_FEED_GAP);
	assert_int_equal(pl_feed_check(fx.data, fx.size, fx.pubkey, &first, &seg), PL_FEED_OK);
	second = first;
	pl_feed_advance(&second, &seg);
	assert_int_equal(second.sequence, 2);
	first.hash[31] ^= 1;
	assert_int_equal(check(&first), PL_FEED_FORK);
	first.hash[31] ^= 1;
	first.as_of = AS_OF + 1; /* standing still is no step back */
	assert_int_equal(check(&first), PL_FEED_OK);
	first.as_of = AS_OF + 2;
	assert_int_equal(check(&first), PL_FEED_TIME);
}

static void test_nothing_is_said_of_a_refused_segment(void **state)
{
	struct pl_feed_segment seg, before;

	(void)state;
	memset(&seg, 0xa5, sizeof(seg));
	before = seg;
	record(0)->cert_id = 0;
	sign_again();
	assert_int_equal(pl_feed_check(fx.data, fx.size, fx.pubkey, &fx.pos, &seg), PL_FEED_RECORD);
	assert_memory_equal(&seg, &before, sizeof(seg));
}

static void test_the_writer_refuses_what_no_reader_would_accept(void **state)
{
	struct pl_feed_pos pos = fx.pos;
	struct pl_feed_segment seg;
	const uint8_t *data;
	size_t size;

	(void)state;
	pl_feed_writer_begin(fx.writer);
	assert_int_equal(pl_feed_writer_add(fx.writer, 0, facts_primary, PL_FEED_PUT), -EINVAL);
	assert_int_equal(pl_feed_writer_add(fx.writer, 1, 0, PL_FEED_PUT), -EINVAL);
	assert_int_equal(pl_feed_writer_add(fx.writer, 1, 1, PL_FEED_REMOVE), -EINVAL);
	assert_int_equal(pl_feed_writer_add(fx.writer, 1, 1, 7), -EINVAL);
	assert_int_equal(pl_feed_writer_record_cnt(fx.writer), 0);
#define SEAL(as_of) pl_feed_writer_seal(fx.writer, &pos, as_of, fx.seckey, &seg, &data, &size)
	assert_int_equal(SEAL(0), -EINVAL);
	assert_int_equal(SEAL(UINT32_MAX + 1ULL), -EINVAL);
	pos.as_of = 100;
	assert_int_equal(SEAL(99), -EINVAL);
	assert_int_equal(SEAL(100), 0);
	pos.stream_id = 0;
	assert_int_equal(SEAL(100), -EINVAL);
#undef SEAL
}

static void test_a_segment_holds_just_so_many_records(void **state)
{
	struct pl_feed_segment seg;
	const uint8_t *data;
	size_t size;

	(void)state;
	pl_feed_writer_begin(fx.writer);
	for (uint32_t i = 0; i < PL_FEED_RECORDS_MAX; i++)
		assert_int_equal(pl_feed_writer_add(fx.writer, i + 1, facts_primary, PL_FEED_PUT),
				 0);
	assert_int_equal(pl_feed_writer_add(fx.writer, 9, facts_primary, PL_FEED_PUT), -ENOSPC);
	assert_int_equal(
		pl_feed_writer_seal(fx.writer, &fx.pos, AS_OF, fx.seckey, &seg, &data, &size), 0);
	assert_int_equal(size, PL_FEED_SEGMENT_SIZE_MAX);
	assert_int_equal(pl_feed_check(data, size, fx.pubkey, &fx.pos, &seg), PL_FEED_OK);
	assert_int_equal(seg.records[PL_FEED_RECORDS_MAX - 1].cert_id, PL_FEED_RECORDS_MAX);
}

static void test_names_have_one_form(void **state)
{
	char name[PL_FEED_NAME_SIZE];

	(void)state;
	pl_feed_name(1, name);
	assert_string_equal(name, "00000000000000000001.plseg");
	assert_int_equal(pl_feed_name_sequence(name), 1);
	pl_feed_name(UINT64_MAX, name);
	assert_int_equal(pl_feed_name_sequence(name), UINT64_MAX);
	assert_int_equal(pl_feed_name_sequence("18446744073709551616.plseg"), 0);
	assert_int_equal(pl_feed_name_sequence("00000000000000000000.plseg"), 0);
	assert_int_equal(pl_feed_name_sequence("1.plseg"), 0);
	assert_int_equal(pl_feed_name_sequence(""), 0);
	assert_int_equal(pl_feed_name_sequence("0000000000000000000x.plseg"), 0);
	assert_int_equal(pl_feed_name_sequence("00000000000000000001.plseh"), 0);
	assert_int_equal(pl_feed_name_sequence("00000000000000000001.plseg~"), 0);
	assert_int_equal(pl_feed_name_sequence("000000000000000000010.plseg"), 0);
}

static void test_errors_have_names_and_texts(void **state)
{
	(void)state;
	assert_string_equal(pl_feed_error_name(PL_FEED_OK), "ok");
	assert_string_equal(pl_feed_error_name(PL_FEED_APPLY), "apply");
	assert_string_equal(pl_feed_error_name(PL_FEED_ERROR_CNT), "?");
	assert_string_equal(pl_feed_error_text(PL_FEED_ERROR_CNT), "?");
	for (uint32_t i = 0; i < PL_FEED_ERROR_CNT; i++)
		assert_true(strlen(pl_feed_error_text(i)) > 5);
}

/* The bytes that docs/protocol.md prints, between "segment-vector" marks, are the bytes made. */
static void test_the_documented_vector_is_what_is_written(void **state)
{
	FILE *f = fopen(PL_SOURCE_ROOT "/docs/protocol.md", "r");
	char line[256];
	bool inside = false;
	size_t size = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned int byte;
		int used;

		if (strstr(line, "segment-vector") != NULL) {
			inside = !inside;
			continue;
		}
		if (!inside || line[0] == '`')
			continue;
		/* "offset  hex bytes": the offset must count the bytes before it. */
		assert_int_equal(sscanf(line, "%u%n", &byte, &used), 1);
		assert_int_equal(byte, size);
		for (char *p = line + used; sscanf(p, " %2x%n", &byte, &used) == 1; p += used) {
			assert_true(size < fx.size);
			assert_int_equal(byte, fx.data[size]);
			size++;
		}
	}
	fclose(f);
	assert_int_equal(size, fx.size);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, fresh)
	const struct CMUnitTest tests[] = {
		T(test_a_written_segment_is_accepted_and_says_what_was_written),
		T(test_hash_is_blake2b_of_the_whole_file_for_writer_and_checker),
		T(test_every_flipped_bit_is_refused),
		T(test_every_shorter_and_a_longer_file_is_refused),
		T(test_form_is_told_before_anything_is_believed),
		T(test_signed_headers_that_contradict_themselves_are_refused),
		T(test_signed_records_that_are_malformed_are_refused),
		T(test_another_key_and_another_stream_are_told_apart),
		T(test_a_forged_sequence_is_a_bad_signature_not_a_gap),
		T(test_a_signature_over_the_bare_hash_is_refused),
		T(test_a_malleated_signature_is_refused),
		T(test_a_small_order_public_key_accepts_nothing),
		T(test_the_chain_refuses_gap_fork_old_and_time),
		T(test_nothing_is_said_of_a_refused_segment),
		T(test_the_writer_refuses_what_no_reader_would_accept),
		T(test_a_segment_holds_just_so_many_records),
		T(test_names_have_one_form),
		T(test_errors_have_names_and_texts),
		T(test_the_documented_vector_is_what_is_written),
	};
#undef T

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
