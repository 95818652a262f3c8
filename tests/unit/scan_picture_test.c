/* SPDX-License-Identifier: BSD-3-Clause */
/* A pass read back from pictures: whole, cut, bent, and hostile. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <png.h>
#include <qrencode.h>

#include "scan/picture.h"

#define PASS_TEXT  "PL1:9EU%ULM2D6J4676O2N/839/SMTS2PI-7IJ7T"
#define OTHER_TEXT "PL1:8EU%ULM2D6J4676O2N/839/SMTS2PI-7IJ7T"

#define DOT   6u
#define QUIET 4u
#define SIDE  400u

/* Draw a code at (x0, 0) of a white sheet of 2 * SIDE x SIDE. */
static void draw(struct picture *sheet, const char *text, uint32_t x0)
{
	QRcode *qr = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
	uint32_t width;

	assert_non_null(qr);
	width = (uint32_t)qr->width;
	assert_true((width + 2 * QUIET) * DOT <= SIDE);
	for (uint32_t y = 0; y < width * DOT; y++)
		for (uint32_t x = 0; x < width * DOT; x++)
			if (qr->data[y / DOT * width + x / DOT] & 1)
				sheet->grey[(y + QUIET * DOT) * sheet->width + x0 + QUIET * DOT +
					    x] = 0;
	QRcode_free(qr);
}

static struct picture sheet_with(const char *left, const char *right)
{
	struct picture p = {.width = 2 * SIDE, .height = SIDE};

	p.grey = malloc((size_t)p.width * p.height);
	assert_non_null(p.grey);
	memset(p.grey, 255, (size_t)p.width * p.height);
	if (left != NULL)
		draw(&p, left, 0);
	if (right != NULL)
		draw(&p, right, SIDE);
	return p;
}

static uint8_t *to_png(const struct picture *p, size_t *size)
{
	png_image image = {.version = PNG_IMAGE_VERSION,
			   .width = p->width,
			   .height = p->height,
			   .format = PNG_FORMAT_GRAY};
	png_alloc_size_t need = 0;
	uint8_t *data;

	assert_true(png_image_write_get_memory_size(image, need, 0, p->grey, 0, NULL));
	data = malloc(need);
	assert_non_null(data);
	assert_true(png_image_write_to_memory(&image, data, &need, 0, p->grey, 0, NULL));
	*size = need;
	return data;
}

static uint8_t *to_jpeg(const struct picture *p, size_t *size)
{
	struct jpeg_compress_struct info;
	struct jpeg_error_mgr err;
	unsigned char *data = NULL;
	unsigned long data_size = 0;

	info.err = jpeg_std_error(&err);
	jpeg_create_compress(&info);
	jpeg_mem_dest(&info, &data, &data_size);
	info.image_width = p->width;
	info.image_height = p->height;
	info.input_components = 1;
	info.in_color_space = JCS_GRAYSCALE;
	jpeg_set_defaults(&info);
	jpeg_set_quality(&info, 80, TRUE);
	jpeg_start_compress(&info, TRUE);
	while (info.next_scanline < info.image_height) {
		JSAMPROW row = p->grey + (size_t)info.next_scanline * p->width;

		jpeg_write_scanlines(&info, &row, 1);
	}
	jpeg_finish_compress(&info);
	jpeg_destroy_compress(&info);
	*size = data_size;
	return data;
}

static int read_back(const uint8_t *data, size_t size, char text[PICTURE_TEXT_SIZE], char *error,
		     size_t error_size)
{
	struct picture p;
	int rc = picture_decode(data, size, &p, error, error_size);

	if (rc != 0) {
		assert_null(p.grey);
		return rc;
	}
	rc = picture_find_pass(&p, text, error, error_size);
	free(p.grey);
	return rc;
}

static void test_the_pass_is_read_from_png_and_jpeg(void **state)
{
	struct picture p = sheet_with("https://example.org/menu", PASS_TEXT);
	char text[PICTURE_TEXT_SIZE], error[256];
	uint8_t *data;
	size_t size;

	(void)state;
	data = to_png(&p, &size);
	assert_int_equal(read_back(data, size, text, error, sizeof(error)), 0);
	assert_string_equal(text, PASS_TEXT);
	free(data);
	data = to_jpeg(&p, &size);
	memset(text, 0, sizeof(text));
	assert_int_equal(read_back(data, size, text, error, sizeof(error)), 0);
	assert_string_equal(text, PASS_TEXT);
	free(data);
	free(p.grey);
}

static int find(const char *left, const char *right, char *error, size_t error_size)
{
	struct picture p = sheet_with(left, right);
	char text[PICTURE_TEXT_SIZE];
	int rc = picture_find_pass(&p, text, error, error_size);

	free(p.grey);
	return rc;
}

static void test_pictures_without_the_one_pass(void **state)
{
	char error[256];

	(void)state;
	assert_int_equal(find(NULL, NULL, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "no QR code"));
	assert_int_equal(find("https://example.org", NULL, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "no pass among"));
	assert_int_equal(find(PASS_TEXT, OTHER_TEXT, error, sizeof(error)), -EEXIST);
	assert_int_equal(find(PASS_TEXT, PASS_TEXT, error, sizeof(error)), 0);
}

static void test_cut_and_bent_pictures_are_errors_or_pictures(void **state)
{
	struct picture p = sheet_with(PASS_TEXT, NULL), got;
	char error[256];
	uint64_t rng = 1;

	(void)state;
	for (int jpeg = 0; jpeg < 2; jpeg++) {
		size_t size;
		uint8_t *data = jpeg ? to_jpeg(&p, &size) : to_png(&p, &size);

		for (size_t cut = 0; cut < size; cut += 1 + size / 97) {
			/* libjpeg fills a cut picture up with grey; libpng does not miss its end. */
			if (picture_decode(data, cut, &got, error, sizeof(error)) == 0) {
				assert_true(jpeg == 1 || cut > size / 2);
				free(got.grey);
			} else {
				assert_null(got.grey);
			}
		}
		for (int i = 0; i < 300; i++) {
			size_t at;
			uint8_t was;

			rng = pl_mix64(rng + (uint64_t)i + 1);
			at = rng % size;
			was = data[at];
			data[at] = (uint8_t)(rng >> 40);
			if (picture_decode(data, size, &got, error, sizeof(error)) == 0)
				free(got.grey);
			data[at] = was;
		}
		free(data);
	}
	free(p.grey);
}

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t png_crc(const uint8_t *p, size_t size)
{
	uint32_t crc = UINT32_MAX;

	while (size-- > 0) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void test_a_header_that_promises_too_much_takes_no_memory(void **state)
{
	static const uint32_t sides[][2] = {
		{20001, 1}, {1, 20001}, {20000, 20000}, {8193, 8193}, {1000000, 1000000},
	};
	struct picture p = sheet_with(NULL, NULL), got;
	char error[256];
	size_t size;
	uint8_t *data = to_png(&p, &size);

	(void)state;
	for (uint32_t i = 0; i < PL_ARRAY_CNT(sides); i++) {
		put_be32(data + 16, sides[i][0]);
		put_be32(data + 20, sides[i][1]);
		put_be32(data + 29, png_crc(data + 12, 17));
		assert_int_equal(picture_decode(data, size, &got, error, sizeof(error)), -E2BIG);
		assert_null(got.grey);
	}
	free(data);
	data = to_jpeg(&p, &size);
	for (size_t at = 0; at + 9 < size; at++) {
		if (data[at] != 0xff || data[at + 1] != 0xc0)
			continue;
		data[at + 5] = data[at + 7] = 0xff; /* 65,000 or more each way */
		break;
	}
	assert_int_equal(picture_decode(data, size, &got, error, sizeof(error)), -E2BIG);
	assert_null(got.grey);
	free(data);
	free(p.grey);
}

static void test_other_files_are_no_pictures(void **state)
{
	static const uint8_t gif[] = "GIF89a", nothing[1];
	struct picture got;
	char error[256];

	(void)state;
	assert_int_equal(picture_decode(gif, sizeof(gif), &got, error, sizeof(error)), -EINVAL);
	assert_int_equal(picture_decode(nothing, 0, &got, error, sizeof(error)), -EINVAL);
	assert_int_equal(
		picture_decode(nothing, PICTURE_FILE_SIZE_MAX + 1u, &got, error, sizeof(error)),
		-E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_pass_is_read_from_png_and_jpeg),
		cmocka_unit_test(test_pictures_without_the_one_pass),
		cmocka_unit_test(test_cut_and_bent_pictures_are_errors_or_pictures),
		cmocka_unit_test(test_a_header_that_promises_too_much_takes_no_memory),
		cmocka_unit_test(test_other_files_are_no_pictures),
	};

	return cmocka_run_group_tests_name("scan_picture", tests, NULL, NULL);
}
