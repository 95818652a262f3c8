/* SPDX-License-Identifier: BSD-3-Clause */
/* Key files: each kind, bad ones, whose files and directories are trusted, and how they are written. */
#include "keys/pl_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#define HEX32 "00112233445566778899aabbccddeeff"
#define HEX64 HEX32 HEX32

static char dir[PATH_MAX];
static char error[512];

static const char *in_dir(const char *name)
{
	static char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void put_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/pl-keys-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int remove_dir(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static int parse(const char *text, enum pl_key_kind want, struct pl_key *k)
{
	return pl_keys_parse(text, strlen(text), want, k, error, sizeof(error));
}

static void test_each_kind_parses(void **state)
{
	struct pl_key k;

	(void)state;
	assert_int_equal(
		parse("passline-gateway-key 1 4294967295 255 " HEX64 "\n", PL_KEY_NONE, &k), 0);
	assert_int_equal(k.kind, PL_KEY_GATEWAY);
	assert_int_equal(k.gateway_id, UINT32_MAX);
	assert_int_equal(k.epoch, 255);
	assert_int_equal(k.bytes[1], 0x11);
	assert_int_equal(k.bytes[31], 0xff);
	assert_int_equal(k.bytes[32], 0);

	/* The last newline may be missing; upper case digits are as good. */
	assert_int_equal(
		parse("passline-token-key 1 7 00112233445566778899AABBCCDDEEFF", PL_KEY_TOKEN, &k),
		0);
	assert_int_equal(k.epoch, 7);
	assert_int_equal(k.gateway_id, 0);
	assert_int_equal(k.bytes[15], 0xff);
	assert_int_equal(k.bytes[16], 0);
}

static void test_bad_text_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		" ",
		"passline-gateway-key",
		"passline-gateway-key 1",
		"passline-gateway-key 2 1 0 " HEX64,
		"passline-gateway-key 01 1 0 " HEX64,
		"passline-gateway-ke 1 1 0 " HEX64,
		"passline-gateway-key2 1 1 0 " HEX64,
		"passline-gateway-key  1 1 0 " HEX64,
		"passline-gateway-key 1 -1 0 " HEX64,
		"passline-gateway-key 1 +1 0 " HEX64,
		"passline-gateway-key 1 01 0 " HEX64,
		"passline-gateway-key 1 4294967296 0 " HEX64,
		"passline-gateway-key 1 99999999999999999999 0 " HEX64,
		"passline-gateway-key 1 1 256 " HEX64,
		"passline-gateway-key 1 1 0 " HEX32,
		"passline-gateway-key 1 1 0 " HEX64 "00",
		"passline-gateway-key 1 1 0 " HEX64 " ",
		"passline-gateway-key 1 1 0 " HEX64 "\n\n",
		"passline-gateway-key 1 1 0 " HEX64 "\npassline-gateway-key 1 2 0 " HEX64,
		"passline-gateway-key 1 1 0 x" HEX64,
		"passline-gateway-key 1 1 0 g0112233445566778899aabbccddeeff" HEX32,
		"passline-gateway-key 1 1 0 "
		"0000000000000000000000000000000000000000000000000000000000000000",
		"passline-token-key 1 8 " HEX32,
		"passline-token-key 1 0 " HEX64,
		"passline-token-key 1 0 00000000000000000000000000000000",
		"passline-authority-public 1 0000000000000000 "
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		"passline-authority-public 1 1 "
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		/* Small order: a signature under it means nothing. */
		"passline-authority-public 1 0000000000000001 "
		"0100000000000000000000000000000000000000000000000000000000000000",
		"passline-authority-public 1 0000000000000001 "
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(bad); i++) {
		struct pl_key k;

		memset(&k, 0xa5, sizeof(k));
		error[0] = '\0';
		if (parse(bad[i], PL_KEY_NONE, &k) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(sodium_is_zero((uint8_t *)&k, sizeof(k)));
		assert_string_not_equal(error, "");
		/* No part of a key shows in a message. */
		assert_null(strstr(error, "00112233"));
	}
}

static void test_size_and_nul_are_refused(void **state)
{
	char text[PL_KEYS_FILE_SIZE_MAX + 1];
	struct pl_key k;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(pl_keys_parse(text, sizeof(text), PL_KEY_NONE, &k, error, sizeof(error)),
			 -EINVAL);
	assert_non_null(strstr(error, "512"));
	snprintf(text, sizeof(text), "passline-token-key 1 7 " HEX32);
	text[30] = '\0';
	assert_int_equal(pl_keys_parse(text, 55, PL_KEY_NONE, &k, error, sizeof(error)), -EINVAL);
	assert_int_equal(pl_keys_parse(NULL, 0, PL_KEY_NONE, &k, error, sizeof(error)), -EINVAL);
}

static void test_another_kind_is_refused(void **state)
{
	struct pl_key k;

	(void)state;
	assert_int_equal(parse("passline-token-key 1 7 " HEX32, PL_KEY_GATEWAY, &k), -EINVAL);
	assert_non_null(strstr(error, "passline-token-key"));
	assert_non_null(strstr(error, "passline-gateway-key"));
}

/* RFC 8032, section 7.1, test 1. */
#define RFC8032_SEED   "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define RFC8032_PUBLIC "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

static void test_authority_keys_belong_together(void **state)
{
	struct pl_key secret;
	struct pl_key public_key;
	struct pl_key damaged;
	char text[PL_KEYS_FILE_SIZE_MAX];

	(void)state;
	assert_int_equal(
		parse("passline-authority-secret 1 00000000000000ff " RFC8032_SEED RFC8032_PUBLIC
		      "\n",
		      PL_KEY_AUTHORITY_SECRET, &secret),
		0);
	assert_int_equal(secret.stream_id, 255);
	pl_keys_public_of(&secret, &public_key);
	assert_int_not_equal(pl_keys_format(&public_key, text), 0);
	assert_string_equal(text,
			    "passline-authority-public 1 00000000000000ff " RFC8032_PUBLIC "\n");

	damaged = secret;
	damaged.bytes[0] ^= 1;
	assert_int_not_equal(pl_keys_format(&damaged, text), 0);
	assert_int_equal(parse(text, PL_KEY_NONE, &damaged), -EINVAL);
	assert_non_null(strstr(error, "halves"));
}

static void test_format_and_parse_agree(void **state)
{
	(void)state;
	for (uint32_t kind = 1; kind < PL_KEY_KIND_CNT; kind++) {
		struct pl_key k = {.kind = (uint8_t)kind};
		struct pl_key back;
		char text[PL_KEYS_FILE_SIZE_MAX];

		if (kind == PL_KEY_AUTHORITY_PUBLIC) {
			assert_int_equal(pl_keys_generate(&k), -EINVAL);
			continue;
		}
		if (kind == PL_KEY_AUTHORITY_SECRET)
			k.stream_id = UINT64_MAX - 1;
		if (kind == PL_KEY_GATEWAY)
			k.gateway_id = 70000;
		if (kind == PL_KEY_GATEWAY || kind == PL_KEY_TOKEN)
			k.epoch = 3;
		if (kind == PL_KEY_WALLET) { /* derived, not generated */
			assert_int_equal(pl_keys_generate(&k), -EINVAL);
			assert_int_equal(pl_keys_format(&k, text), 0);
			k.cert_id = 0x0123456789abcdef;
			k.bytes[15] = 1;
		} else {
			assert_int_equal(pl_keys_generate(&k), 0);
		}
		assert_int_not_equal(pl_keys_format(&k, text), 0);
		assert_int_equal(parse(text, kind, &back), 0);
		assert_memory_equal(&k, &back, sizeof(k));
	}
	assert_int_equal(pl_keys_format(&(struct pl_key){.kind = PL_KEY_TOKEN, .epoch = 8},
					(char[PL_KEYS_FILE_SIZE_MAX]){0}),
			 0);
	assert_int_equal(pl_keys_format(&(struct pl_key){.kind = PL_KEY_KIND_CNT},
					(char[PL_KEYS_FILE_SIZE_MAX]){0}),
			 0);
}

static void test_a_wallet_key_names_its_certificate(void **state)
{
	static const char text[] =
		"passline-wallet-key 1 0123456789abcdef 000102030405060708090a0b0c0d0e0f\n";
	char back[PL_KEYS_FILE_SIZE_MAX];
	struct pl_key k;

	(void)state;
	assert_int_equal(parse(text, PL_KEY_WALLET, &k), 0);
	assert_int_equal(k.cert_id, 0x0123456789abcdef);
	assert_int_equal(k.stream_id, 0);
	assert_int_equal(pl_keys_format(&k, back), strlen(text));
	assert_string_equal(back, text);
	assert_int_equal(parse("passline-wallet-key 1 0000000000000000 "
			       "000102030405060708090a0b0c0d0e0f\n",
			       PL_KEY_WALLET, &k),
			 -EINVAL);
	assert_non_null(strstr(error, "certificate id"));
}

static void test_open_modes_are_refused(void **state)
{
	static const mode_t too_open[] = {0640, 0604, 0610, 0601, 0660, 0666, 0777};
	struct pl_keys *keys;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(too_open); i++) {
		put_file("a.key", "passline-token-key 1 7 " HEX32 "\n", too_open[i]);
		/* Whether the kind is asked for or found out. */
		for (int want = 0; want <= PL_KEY_TOKEN; want += PL_KEY_TOKEN) {
			keys = (struct pl_keys *)1;
			assert_int_equal(pl_keys_load_file(in_dir("a.key"), want, &keys, error,
							   sizeof(error)),
					 -EACCES);
			assert_null(keys);
			assert_non_null(strstr(error, in_dir("a.key")));
			assert_non_null(strstr(error, "chmod 600"));
		}
	}
	put_file("a.key", "passline-token-key 1 7 " HEX32 "\n", 0400);
	assert_int_equal(
		pl_keys_load_file(in_dir("a.key"), PL_KEY_TOKEN, &keys, error, sizeof(error)), 0);
	assert_int_equal(keys->cnt, 1);
	assert_int_equal(keys->key[0].epoch, 7);
	pl_keys_free(keys);
}

static void test_public_key_may_be_read_by_all_and_written_by_its_owner(void **state)
{
	const char *text = "passline-authority-public 1 00000000000000ff " RFC8032_PUBLIC "\n";
	struct pl_keys *keys;

	(void)state;
	put_file("p.key", text, 0644);
	assert_int_equal(pl_keys_load_file(in_dir("p.key"), PL_KEY_AUTHORITY_PUBLIC, &keys, error,
					   sizeof(error)),
			 0);
	pl_keys_free(keys);
	put_file("p.key", text, 0646);
	assert_int_equal(pl_keys_load_file(in_dir("p.key"), PL_KEY_AUTHORITY_PUBLIC, &keys, error,
					   sizeof(error)),
			 -EACCES);
	assert_non_null(strstr(error, "chmod 644"));
}

static void test_foreign_owner_is_refused(void **state)
{
	struct pl_keys *keys;

	(void)state;
	if (geteuid() != 0)
		skip();
	put_file("a.key", "passline-token-key 1 7 " HEX32 "\n", 0600);
	assert_int_equal(chown(in_dir("a.key"), 65534, 65534), 0);
	assert_int_equal(
		pl_keys_load_file(in_dir("a.key"), PL_KEY_TOKEN, &keys, error, sizeof(error)),
		-EACCES);
	assert_non_null(strstr(error, "65534"));
}

static void test_what_is_no_plain_file_is_refused(void **state)
{
	struct pl_keys *keys;

	(void)state;
	put_file("real.key", "passline-token-key 1 7 " HEX32 "\n", 0600);
	assert_int_equal(symlink("real.key", in_dir("link.key")), 0);
	assert_int_equal(
		pl_keys_load_file(in_dir("link.key"), PL_KEY_TOKEN, &keys, error, sizeof(error)),
		-ELOOP);
	assert_int_equal(mkfifo(in_dir("fifo.key"), 0600), 0);
	assert_int_equal(
		pl_keys_load_file(in_dir("fifo.key"), PL_KEY_TOKEN, &keys, error, sizeof(error)),
		-EINVAL);
	assert_int_equal(pl_keys_load_file(dir, PL_KEY_TOKEN, &keys, error, sizeof(error)),
			 -EINVAL);
	assert_int_equal(
		pl_keys_load_file(in_dir("none.key"), PL_KEY_TOKEN, &keys, error, sizeof(error)),
		-ENOENT);
	assert_non_null(strstr(error, "none.key"));
}

static int load_dir(enum pl_key_kind want, struct pl_keys **keys)
{
	return pl_keys_load_dir(dir, want, keys, error, sizeof(error));
}

static void test_directory_loads_sorted(void **state)
{
	struct pl_keys *keys;

	(void)state;
	assert_int_equal(load_dir(PL_KEY_GATEWAY, &keys), 0);
	assert_int_equal(keys->cnt, 0);
	pl_keys_free(keys);

	put_file("b.key", "passline-gateway-key 1 2 0 " HEX64, 0600);
	put_file("a.key", "passline-gateway-key 1 9 0 " HEX64, 0600);
	put_file("c.key", "passline-gateway-key 1 2 1 " HEX64, 0600);
	put_file("notes.txt", "not a key", 0644);
	put_file(".hidden.key", "not a key", 0644);
	put_file(".key", "not a key", 0644);
	assert_int_equal(load_dir(PL_KEY_GATEWAY, &keys), 0);
	assert_int_equal(keys->cnt, 3);
	assert_int_equal(keys->key[0].gateway_id, 9);
	assert_int_equal(keys->key[1].gateway_id, 2);
	assert_int_equal(keys->key[2].epoch, 1);
	pl_keys_free(keys);

	assert_int_equal(load_dir(PL_KEY_AUTHORITY_SECRET, &keys), -EINVAL);
	assert_int_equal(
		pl_keys_load_dir(in_dir("none"), PL_KEY_TOKEN, &keys, error, sizeof(error)),
		-ENOENT);
}

static void test_one_bad_file_refuses_the_directory(void **state)
{
	struct pl_keys *keys;

	(void)state;
	put_file("a.key", "passline-gateway-key 1 9 0 " HEX64, 0600);
	put_file("z.key", "passline-gateway-key 1 8 0 " HEX64, 0640);
	assert_int_equal(load_dir(PL_KEY_GATEWAY, &keys), -EACCES);
	assert_null(keys);
	assert_non_null(strstr(error, in_dir("z.key")));
	put_file("z.key", "passline-token-key 1 1 " HEX32, 0600);
	assert_int_equal(load_dir(PL_KEY_GATEWAY, &keys), -EINVAL);
}

static void test_twice_the_same_is_refused(void **state)
{
	struct pl_keys *keys;

	(void)state;
	put_file("a.key", "passline-gateway-key 1 9 1 " HEX64, 0600);
	put_file("b.key", "passline-gateway-key 1 8 1 " HEX64, 0600);
	put_file("c.key", "passline-gateway-key 1 9 1 " HEX64, 0600);
	assert_int_equal(load_dir(PL_KEY_GATEWAY, &keys), -EEXIST);
	assert_non_null(strstr(error, "a.key and c.key"));
	assert_non_null(strstr(error, "gateway 9, epoch 1"));
}

static void test_written_file_is_private_and_not_overwritten(void **state)
{
	struct pl_key k = {.kind = PL_KEY_GATEWAY, .gateway_id = 5, .epoch = 2};
	struct pl_keys *keys;
	struct stat st;
	mode_t mask = umask(0);

	(void)state;
	assert_int_equal(pl_keys_generate(&k), 0);
	assert_int_equal(pl_keys_write_file(in_dir("w.key"), &k, false, error, sizeof(error)), 0);
	umask(mask);
	assert_int_equal(stat(in_dir("w.key"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(load_dir(PL_KEY_GATEWAY, &keys), 0);
	assert_int_equal(keys->cnt, 1);
	assert_memory_equal(&keys->key[0], &k, sizeof(k));
	pl_keys_free(keys);

	k.gateway_id = 6;
	assert_int_equal(pl_keys_write_file(in_dir("w.key"), &k, false, error, sizeof(error)),
			 -EEXIST);
	assert_int_equal(
		pl_keys_load_file(in_dir("w.key"), PL_KEY_GATEWAY, &keys, error, sizeof(error)), 0);
	assert_int_equal(keys->key[0].gateway_id, 5);
	pl_keys_free(keys);

	assert_int_equal(pl_keys_write_file(in_dir("w.key"), &k, true, error, sizeof(error)), 0);
	assert_int_equal(
		pl_keys_load_file(in_dir("w.key"), PL_KEY_GATEWAY, &keys, error, sizeof(error)), 0);
	assert_int_equal(keys->key[0].gateway_id, 6);
	pl_keys_free(keys);

	/* Nothing else is left lying about, and a bare name goes to the working directory. */
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(pl_keys_write_file("bare.key", &k, false, error, sizeof(error)), 0);
	assert_int_equal(system("test \"$(ls -A | tr '\\n' ' ')\" = 'bare.key w.key '"), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(pl_keys_write_file("/nonexistent/w.key", &k, false, error, sizeof(error)),
			 -ENOENT);
	k.kind = PL_KEY_NONE;
	assert_int_equal(pl_keys_write_file(in_dir("x.key"), &k, false, error, sizeof(error)),
			 -EINVAL);
}

static void test_written_public_key_is_readable(void **state)
{
	struct pl_key k = {.kind = PL_KEY_AUTHORITY_SECRET, .stream_id = 1};
	struct pl_key pub;
	struct stat st;
	mode_t mask = umask(077);

	(void)state;
	assert_int_equal(pl_keys_generate(&k), 0);
	pl_keys_public_of(&k, &pub);
	assert_int_equal(pl_keys_write_file(in_dir("p.key"), &pub, false, error, sizeof(error)), 0);
	umask(mask);
	assert_int_equal(stat(in_dir("p.key"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

static void test_token_words_are_little_endian_halves(void **state)
{
	struct pl_keys *keys;
	uint64_t m0[8];
	uint64_t m1[8];
	uint8_t held[8];

	(void)state;
	put_file("1.key", "passline-token-key 1 1 " HEX32, 0600);
	put_file("6.key", "passline-token-key 1 6 ffeeddccbbaa99887766554433221100", 0600);
	assert_int_equal(load_dir(PL_KEY_TOKEN, &keys), 0);
	memset(held, 0xff, sizeof(held));
	pl_keys_token_words(keys, m0, m1, held);
	pl_keys_free(keys);
	assert_int_equal(m0[1], 0x7766554433221100u);
	assert_int_equal(m1[1], 0xffeeddccbbaa9988u);
	assert_int_equal(m0[6], 0x8899aabbccddeeffu);
	for (int i = 0; i < 8; i++)
		assert_int_equal(held[i], i == 1 || i == 6);
	assert_int_equal(m0[0] | m1[0] | m0[7] | m1[7], 0);
}

int main(void)
{
#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_kind_parses),
		cmocka_unit_test(test_bad_text_is_refused),
		cmocka_unit_test(test_size_and_nul_are_refused),
		cmocka_unit_test(test_another_kind_is_refused),
		cmocka_unit_test(test_authority_keys_belong_together),
		cmocka_unit_test(test_format_and_parse_agree),
		cmocka_unit_test(test_a_wallet_key_names_its_certificate),
		IN_DIR(test_open_modes_are_refused),
		IN_DIR(test_public_key_may_be_read_by_all_and_written_by_its_owner),
		IN_DIR(test_foreign_owner_is_refused),
		IN_DIR(test_what_is_no_plain_file_is_refused),
		IN_DIR(test_directory_loads_sorted),
		IN_DIR(test_one_bad_file_refuses_the_directory),
		IN_DIR(test_twice_the_same_is_refused),
		IN_DIR(test_written_file_is_private_and_not_overwritten),
		IN_DIR(test_written_public_key_is_readable),
		IN_DIR(test_token_words_are_little_endian_halves),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
