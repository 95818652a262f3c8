/* SPDX-License-Identifier: BSD-3-Clause */
/* A pass as a QR code: PNG, terminal, and what has no code. */
#include "qr/pl_qr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <png.h>

/* What a wallet shows: docs/protocol.md. */
static const char token[] = "PL1:9EU%ULM2D6J4676O2N/839/SMTS2PI-7IJ7T";

static char error[256];

static void test_a_token_makes_a_code_of_29_modules(void **state)
{
	static const uint8_t finder_row[] = {1, 1, 1, 1, 1, 1, 1, 0};
	struct pl_qr qr;

	(void)state;
	assert_int_equal(pl_qr_create(token, &qr), 0);
	assert_int_equal(qr.side, 29);
	assert_memory_equal(qr.modules, finder_row, sizeof(finder_row));
	for (uint32_t i = 0; i < qr.side * qr.side; i++)
		assert_in_range(qr.modules[i], 0, 1);
	pl_qr_destroy(&qr);
	assert_null(qr.modules);
}

static void test_other_characters_and_too_many_are_refused(void **state)
{
	char text[8000];
	struct pl_qr qr;

	(void)state;
	assert_int_equal(pl_qr_create("", &qr), -EINVAL);
	assert_int_equal(pl_qr_create("pl1:lower", &qr), -EINVAL);
	assert_int_equal(pl_qr_create("PL1:\n", &qr), -EINVAL);
	assert_int_equal(pl_qr_create("\xc3\xa4", &qr), -EINVAL);
	memset(text, 'A', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(pl_qr_create(text, &qr), -ERANGE);
	text[3391] = '\0'; /* what version 40 holds at level M */
	assert_int_equal(pl_qr_create(text, &qr), 0);
	assert_int_equal(qr.side, 177);
	pl_qr_destroy(&qr);
}

static void test_the_png_holds_the_modules_in_a_white_frame(void **state)
{
	char dir[] = "/tmp/passline-qr-XXXXXX";
	char path[64];
	png_image image = {.version = PNG_IMAGE_VERSION};
	struct pl_qr qr;
	struct stat st;
	uint8_t *pixels;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/qr.png", dir);
	assert_int_equal(pl_qr_create(token, &qr), 0);
	assert_int_equal(pl_qr_write_png(&qr, path, 0, error, sizeof(error)), -EINVAL);
	assert_int_equal(pl_qr_write_png(&qr, path, 65, error, sizeof(error)), -EINVAL);
	assert_int_equal(pl_qr_write_png(&qr, path, 1, error, sizeof(error)), 0);
	assert_int_equal(pl_qr_write_png(&qr, path, 3, error, sizeof(error)), 0); /* replaces */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	assert_int_not_equal(png_image_begin_read_from_file(&image, path), 0);
	image.format = PNG_FORMAT_GRAY;
	assert_int_equal(image.width, (29 + 8) * 3);
	assert_int_equal(image.height, image.width);
	pixels = malloc(PNG_IMAGE_SIZE(image));
	assert_int_not_equal(png_image_finish_read(&image, NULL, pixels, 0, NULL), 0);
	for (uint32_t y = 0; y < image.height; y++)
		for (uint32_t x = 0; x < image.width; x++) {
			uint32_t mx = x / 3 - 4, my = y / 3 - 4;
			bool dark = mx < 29 && my < 29 && qr.modules[my * 29 + mx] != 0;

			assert_int_equal(pixels[y * image.width + x], dark ? 0 : 255);
		}
	free(pixels);
	pl_qr_destroy(&qr);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0); /* nothing else was left there */
}

static void test_a_path_that_cannot_be_written_is_named(void **state)
{
	struct pl_qr qr;

	(void)state;
	assert_int_equal(pl_qr_create(token, &qr), 0);
	assert_int_equal(pl_qr_write_png(&qr, "/nonexistent/qr.png", 3, error, sizeof(error)),
			 -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/qr.png"));
	pl_qr_destroy(&qr);
}

static void test_the_terminal_shows_every_module(void **state)
{
	struct pl_qr qr;
	char *text, *line, *rest = NULL;
	uint32_t y = 0;

	(void)state;
	assert_int_equal(pl_qr_create(token, &qr), 0);
	text = pl_qr_terminal(&qr);
	assert_non_null(text);
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		const char *at = line + strlen("\x1b[30;107m");

		assert_memory_equal(line, "\x1b[30;107m", strlen("\x1b[30;107m"));
		for (uint32_t x = 0; x < 37; x++) {
			uint32_t mx = x - 4, my = y - 4;
			bool up = mx < 29 && my < 29 && qr.modules[my * 29 + mx] != 0;
			bool down = mx < 29 && my + 1 < 29 && qr.modules[(my + 1) * 29 + mx] != 0;
			const char *want = up ? (down ? "█" : "▀") : (down ? "▄" : " ");

			assert_memory_equal(at, want, strlen(want));
			at += strlen(want);
		}
		assert_string_equal(at, "\x1b[0m");
		y += 2;
	}
	assert_int_equal(y, 38);
	free(text);
	pl_qr_destroy(&qr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_token_makes_a_code_of_29_modules),
		cmocka_unit_test(test_other_characters_and_too_many_are_refused),
		cmocka_unit_test(test_the_png_holds_the_modules_in_a_white_frame),
		cmocka_unit_test(test_a_path_that_cannot_be_written_is_named),
		cmocka_unit_test(test_the_terminal_shows_every_module),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
