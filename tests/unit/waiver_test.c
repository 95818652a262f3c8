/* SPDX-License-Identifier: BSD-3-Clause */
/* Waivers: opened as sealed, no bit turned, replaced and dropped. */
#include "waiver/pl_waiver.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <sodium.h>

#define STREAM 0x1122334455667788u
#define FROM   1641445200u /* 2022-01-06 14:00 in Seoul */
#define HOUR   3600u

static struct {
	uint8_t pubkey[PL_WAIVER_PUBKEY_SIZE], seckey[PL_WAIVER_SECKEY_SIZE];
	uint8_t data[PL_WAIVER_SIZE + 1];
	char error[512];
	char dir[64];
} fx;
#define E fx.error, sizeof(fx.error)

static struct pl_waiver waiver(uint64_t serial)
{
	return (struct pl_waiver){.stream_id = STREAM,
				  .serial = serial,
				  .issued_s = FROM - HOUR,
				  .from_s = FROM,
				  .until_s = FROM + 10 * HOUR,
				  .reason = "register down: 점검 후 장애"};
}

static int take(size_t size, struct pl_waiver *out)
{
	return pl_waiver_open(fx.data, size, STREAM, fx.pubkey, out, E);
}

/* Change a signed byte and sign again, by hand: what the authority's own code would refuse. */
static void resign(void)
{
	uint8_t message[10 + 32] = "PL1-waiver";

	crypto_generichash(message + 10, 32, fx.data, 256, NULL, 0);
	crypto_sign_detached(fx.data + 256, NULL, message, sizeof(message), fx.seckey);
}

static int setup(void **state)
{
	uint8_t seed[32];

	(void)state;
	memset(&fx, 0, sizeof(fx));
	for (uint8_t i = 0; i < sizeof(seed); i++)
		seed[i] = i;
	crypto_sign_seed_keypair(fx.pubkey, fx.seckey, seed);
	strcpy(fx.dir, "/tmp/passline-waiver-XXXXXX");
	return mkdtemp(fx.dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", fx.dir);
	return system(command);
}

static void test_what_is_sealed_is_what_is_opened(void **state)
{
	struct pl_waiver w = waiver(UINT64_MAX), got;

	(void)state;
	assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), 0);
	assert_int_equal(take(PL_WAIVER_SIZE, &got), 0);
	assert_int_equal(got.stream_id, STREAM);
	assert_int_equal(got.serial, UINT64_MAX);
	assert_int_equal(got.issued_s, w.issued_s);
	assert_int_equal(got.from_s, w.from_s);
	assert_int_equal(got.until_s, w.until_s);
	assert_string_equal(got.reason, w.reason);
	assert_false(pl_waiver_holds(&got, FROM - 1));
	assert_true(pl_waiver_holds(&got, FROM));
	assert_true(pl_waiver_holds(&got, FROM + 10 * HOUR - 1));
	assert_false(pl_waiver_holds(&got, FROM + 10 * HOUR));
	/* One that ends the others never holds itself. */
	w.from_s = w.until_s = 0;
	assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), 0);
	assert_int_equal(take(PL_WAIVER_SIZE, &got), 0);
	assert_false(pl_waiver_holds(&got, 0));
	assert_false(pl_waiver_holds(&got, FROM));
}

static void test_no_bit_can_be_turned(void **state)
{
	struct pl_waiver w = waiver(1), got;

	(void)state;
	assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), 0);
	for (uint32_t bit = 0; bit < PL_WAIVER_SIZE * 8; bit++) {
		fx.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(take(PL_WAIVER_SIZE, &got), -EBADMSG);
		assert_int_equal(got.serial, 0);
		fx.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t size = 0; size < PL_WAIVER_SIZE; size++)
		assert_int_equal(take(size, &got), -EBADMSG);
	assert_int_equal(take(PL_WAIVER_SIZE + 1, &got), -EBADMSG);
	assert_int_equal(take(PL_WAIVER_SIZE, &got), 0);
	/* Another authority's, or the same one's of another feed. */
	assert_int_equal(pl_waiver_open(fx.data, PL_WAIVER_SIZE, STREAM + 1, fx.pubkey, &got, E),
			 -EBADMSG);
	fx.pubkey[0] ^= 1;
	assert_int_equal(take(PL_WAIVER_SIZE, &got), -EBADMSG);
	assert_non_null(strstr(fx.error, "not signed by the authority"));
}

static void test_a_segments_signature_is_none(void **state)
{
	struct pl_waiver w = waiver(1), got;
	uint8_t message[11 + 32] = "PL1-segment";

	(void)state;
	assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), 0);
	crypto_generichash(message + 11, 32, fx.data, 256, NULL, 0);
	crypto_sign_detached(fx.data + 256, NULL, message, sizeof(message), fx.seckey);
	assert_int_equal(take(PL_WAIVER_SIZE, &got), -EBADMSG);
}

static void test_bounds(void **state)
{
	struct pl_waiver w, got;

	(void)state;
#define SEAL(field, value) \
	(w = waiver(1), w.field = (value), pl_waiver_seal(&w, fx.seckey, fx.data, E))
	assert_int_equal(SEAL(until_s, FROM + PL_WAIVER_SPAN_S_MAX), 0);
	assert_int_equal(take(PL_WAIVER_SIZE, &got), 0);
	assert_int_equal(SEAL(until_s, FROM + PL_WAIVER_SPAN_S_MAX + 1), -EINVAL);
	assert_non_null(strstr(fx.error, "31 days"));
	assert_int_equal(SEAL(until_s, FROM + 1), 0);
	assert_int_equal(SEAL(until_s, FROM), -EINVAL);
	assert_int_equal(SEAL(from_s, 0), -EINVAL);
	assert_int_equal(SEAL(until_s, 0), -EINVAL);
	assert_int_equal(SEAL(serial, 0), -EINVAL);
	assert_int_equal(SEAL(stream_id, 0), -EINVAL);
	assert_int_equal(SEAL(reason[0], '\0'), -EINVAL);
	assert_int_equal(SEAL(reason[0], '\n'), -EINVAL);
	assert_int_equal(SEAL(reason[0], '\x1b'), -EINVAL);
	assert_int_equal(SEAL(reason[0], (char)0xff), -EINVAL);
	w = waiver(1);
	strcpy(w.reason, "\xc2\x9b"); /* C1: some terminals take it for an escape */
	assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), -EINVAL);
	strcpy(w.reason, "\xc0\xaf"); /* not the shortest form */
	assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), -EINVAL);
	strcpy(w.reason, "\xed\xa0\x80"); /* a surrogate */
	assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), -EINVAL);
	strcpy(w.reason, "\xe2\x82"); /* cut off */
	assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), -EINVAL);
	memset(w.reason, 'x', sizeof(w.reason) - 1);
	w.reason[sizeof(w.reason) - 1] = '\0';
	assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), 0);
	assert_int_equal(take(PL_WAIVER_SIZE, &got), 0);
	assert_int_equal(strlen(got.reason), PL_WAIVER_REASON_SIZE - 1);
	/* What is signed is held to the same bounds. */
	fx.data[255] = 'x';
	resign();
	assert_int_equal(take(PL_WAIVER_SIZE, &got), -EBADMSG);
	assert_int_equal(SEAL(serial, 1), 0);
	fx.data[254] = 'x'; /* behind the reason's end */
	resign();
	assert_int_equal(take(PL_WAIVER_SIZE, &got), -EBADMSG);
	assert_int_equal(SEAL(serial, 1), 0);
	fx.data[12] = 1;
	resign();
	assert_int_equal(take(PL_WAIVER_SIZE, &got), -EBADMSG);
	assert_int_equal(SEAL(serial, 1), 0);
	fx.data[48 + 4] = 1; /* until: 136 years later */
	resign();
	assert_int_equal(take(PL_WAIVER_SIZE, &got), -EINVAL);
	assert_int_equal(got.until_s, 0);
	assert_int_equal(SEAL(serial, 1), 0);
	fx.data[24] = 0; /* serial */
	resign();
	assert_int_equal(take(PL_WAIVER_SIZE, &got), -EINVAL);
#undef SEAL
}

static void test_it_is_kept_replaced_and_dropped(void **state)
{
	struct pl_waiver w = waiver(1), got;
	char path[128];
	int fd;

	(void)state;
#define READ(name) pl_waiver_read(fx.dir, name, STREAM, fx.pubkey, &got, E)
	assert_int_equal(READ(PL_WAIVER_NAME), 0);
	assert_int_equal(got.serial, 0);
	assert_int_equal(pl_waiver_drop(fx.dir, E), -ENOENT);
	for (w.serial = 1; w.serial <= 2; w.serial++) {
		assert_int_equal(pl_waiver_seal(&w, fx.seckey, fx.data, E), 0);
		assert_int_equal(pl_waiver_write(fx.dir, fx.data, E), 0);
		assert_int_equal(READ(PL_WAIVER_NAME), 0);
		assert_int_equal(got.serial, w.serial);
	}
	assert_int_equal(pl_waiver_drop(fx.dir, E), 0);
	assert_int_equal(READ(PL_WAIVER_NAME), 0);
	assert_int_equal(got.serial, 0);
	assert_int_equal(READ(PL_WAIVER_DROPPED_NAME), 0);
	assert_int_equal(got.serial, 2);
	/* A file that is damaged, too long, a link. */
	assert_int_equal(pl_waiver_write(fx.dir, fx.data, E), 0);
	snprintf(path, sizeof(path), "%s/%s", fx.dir, PL_WAIVER_NAME);
	assert_int_equal(truncate(path, PL_WAIVER_SIZE - 1), 0);
	assert_int_equal(READ(PL_WAIVER_NAME), -EBADMSG);
	assert_non_null(strstr(fx.error, path));
	assert_int_equal(pl_waiver_write(fx.dir, fx.data, E), 0);
	fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	assert_int_equal(READ(PL_WAIVER_NAME), -EBADMSG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(PL_WAIVER_DROPPED_NAME, path), 0);
	assert_int_equal(READ(PL_WAIVER_NAME), -ELOOP);
	assert_int_equal(pl_waiver_write("/nonexistent", fx.data, E), -ENOENT);
	assert_non_null(strstr(fx.error, "/nonexistent"));
#undef READ
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_what_is_sealed_is_what_is_opened), T(test_no_bit_can_be_turned),
		T(test_a_segments_signature_is_none),     T(test_bounds),
		T(test_it_is_kept_replaced_and_dropped),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
