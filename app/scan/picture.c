/* SPDX-License-Identifier: BSD-3-Clause */

#include "picture.h"

#include <errno.h>
#include <setjmp.h>

#include <jpeglib.h>
#include <png.h>
#include <zbar.h>

#include "token/pl_token.h"

/* A progressive JPEG may ask for any number of passes over the whole picture. */
#define JPEG_PASSES_MAX 100

static int check_sides(uint64_t width, uint64_t height, char *error, size_t error_size)
{
	if (width >= 1 && height >= 1 && width <= PICTURE_SIDE_MAX && height <= PICTURE_SIDE_MAX &&
	    width * height <= PICTURE_PIXELS_MAX)
		return 0;
	snprintf(error, error_size,
		 "picture of %llu x %llu pixels: at most %u a side and %u megapixels; make it "
		 "smaller",
		 (unsigned long long)width, (unsigned long long)height, PICTURE_SIDE_MAX,
		 PICTURE_PIXELS_MAX >> 20);
	return -E2BIG;
}

static int decode_png(const uint8_t *data, size_t size, struct picture *out, char *error,
		      size_t error_size)
{
	png_image image = {.version = PNG_IMAGE_VERSION};
	png_color white = {255, 255, 255}; /* what is transparent was meant for white paper */
	int rc;

	if (!png_image_begin_read_from_memory(&image, data, size)) {
		snprintf(error, error_size, "damaged PNG: %s", image.message);
		return -EINVAL;
	}
	rc = check_sides(image.width, image.height, error, error_size);
	if (rc != 0)
		goto out;
	image.format = PNG_FORMAT_GRAY;
	out->width = image.width;
	out->height = image.height;
	out->grey = malloc((size_t)image.width * image.height);
	if (out->grey == NULL) {
		snprintf(error, error_size, "out of memory");
		rc = -ENOMEM;
		goto out;
	}
	if (!png_image_finish_read(&image, &white, out->grey, (png_int_32)image.width, NULL)) {
		snprintf(error, error_size, "damaged PNG: %s", image.message);
		free(out->grey);
		out->grey = NULL;
		rc = -EINVAL;
	}
out:
	png_image_free(&image);
	return rc;
}

struct jpeg_trap {
	struct jpeg_error_mgr mgr;
	struct jpeg_progress_mgr progress;
	jmp_buf back;
	char text[JMSG_LENGTH_MAX];
};

static void jpeg_fail(j_common_ptr info)
{
	struct jpeg_trap *trap = (struct jpeg_trap *)info->err;

	info->err->format_message(info, trap->text);
	longjmp(trap->back, 1);
}

static void jpeg_message(j_common_ptr info)
{
	(void)info;
}

static void jpeg_progress(j_common_ptr info)
{
	struct jpeg_trap *trap = (struct jpeg_trap *)info->err;

	if (((j_decompress_ptr)info)->input_scan_number <= JPEG_PASSES_MAX)
		return;
	snprintf(trap->text, sizeof(trap->text), "more than %d passes", JPEG_PASSES_MAX);
	longjmp(trap->back, 1);
}

/* All that may longjmp() out; out->grey is the caller's to free then. */
static int jpeg_read(struct jpeg_decompress_struct *info, const uint8_t *data, size_t size,
		     struct picture *out, char *error, size_t error_size)
{
	int rc;

	jpeg_mem_src(info, data, size);
	(void)jpeg_read_header(info, TRUE);
	rc = check_sides(info->image_width, info->image_height, error, error_size);
	if (rc != 0)
		return rc;
	info->out_color_space = JCS_GRAYSCALE;
	(void)jpeg_start_decompress(info);
	out->width = info->output_width;
	out->height = info->output_height;
	out->grey = calloc(out->width, out->height);
	if (out->grey == NULL) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	while (info->output_scanline < info->output_height) {
		JSAMPROW row = out->grey + (size_t)info->output_scanline * out->width;

		(void)jpeg_read_scanlines(info, &row, 1);
	}
	(void)jpeg_finish_decompress(info);
	return 0;
}

static int decode_jpeg(const uint8_t *data, size_t size, struct picture *out, char *error,
		       size_t error_size)
{
	struct jpeg_decompress_struct info = {0};
	struct jpeg_trap trap = {.progress.progress_monitor = jpeg_progress};
	int rc;

	info.err = jpeg_std_error(&trap.mgr);
	trap.mgr.error_exit = jpeg_fail;
	trap.mgr.output_message = jpeg_message;
	if (setjmp(trap.back) != 0) {
		snprintf(error, error_size, "damaged JPEG: %s", trap.text);
		jpeg_destroy_decompress(&info);
		free(out->grey);
		out->grey = NULL;
		return -EINVAL;
	}
	jpeg_create_decompress(&info);
	info.progress = &trap.progress;
	rc = jpeg_read(&info, data, size, out, error, error_size);
	jpeg_destroy_decompress(&info);
	return rc;
}

int picture_decode(const uint8_t *data, size_t size, struct picture *out, char *error,
		   size_t error_size)
{
	static const uint8_t png_magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
	static const uint8_t jpeg_magic[3] = {0xff, 0xd8, 0xff};

	*out = (struct picture){0};
	if (size > PICTURE_FILE_SIZE_MAX) {
		snprintf(error, error_size, "picture file over %u MB; make it smaller",
			 PICTURE_FILE_SIZE_MAX >> 20);
		return -E2BIG;
	}
	if (size >= sizeof(png_magic) && memcmp(data, png_magic, sizeof(png_magic)) == 0)
		return decode_png(data, size, out, error, error_size);
	if (size >= sizeof(jpeg_magic) && memcmp(data, jpeg_magic, sizeof(jpeg_magic)) == 0)
		return decode_jpeg(data, size, out, error, error_size);
	snprintf(error, error_size, "neither a PNG nor a JPEG picture");
	return -EINVAL;
}

/* Take the passes among the codes found. */
static int pick_pass(zbar_image_scanner_t *scanner, char text[PICTURE_TEXT_SIZE], char *error,
		     size_t error_size)
{
	const size_t prefix_size = strlen(PL_TOKEN_TEXT_PREFIX);
	const zbar_symbol_t *symbol;
	uint32_t code_cnt = 0;

	text[0] = '\0';
	for (symbol = zbar_symbol_set_first_symbol(zbar_image_scanner_get_results(scanner));
	     symbol != NULL; symbol = zbar_symbol_next(symbol)) {
		const char *data = zbar_symbol_get_data(symbol);
		size_t size = zbar_symbol_get_data_length(symbol);

		code_cnt++;
		if (size < prefix_size || size >= PICTURE_TEXT_SIZE ||
		    memcmp(data, PL_TOKEN_TEXT_PREFIX, prefix_size) != 0)
			continue;
		if (text[0] != '\0' && (strlen(text) != size || memcmp(text, data, size) != 0)) {
			snprintf(error, error_size,
				 "several passes in one picture; show one at a time");
			return -EEXIST;
		}
		memcpy(text, data, size);
		text[size] = '\0';
	}
	if (text[0] != '\0')
		return 0;
	snprintf(error, error_size,
		 code_cnt == 0 ? "no QR code found in the picture"
			       : "no pass among the QR codes in the picture (it begins with %s)",
		 PL_TOKEN_TEXT_PREFIX);
	return -ENOENT;
}

int picture_find_pass(const struct picture *p, char text[PICTURE_TEXT_SIZE], char *error,
		      size_t error_size)
{
	zbar_image_scanner_t *scanner = zbar_image_scanner_create();
	zbar_image_t *image = zbar_image_create();
	int rc = -ENOMEM;

	if (scanner == NULL || image == NULL) {
		snprintf(error, error_size, "out of memory");
		goto out;
	}
	(void)zbar_image_scanner_set_config(scanner, ZBAR_NONE, ZBAR_CFG_ENABLE, 0);
	(void)zbar_image_scanner_set_config(scanner, ZBAR_QRCODE, ZBAR_CFG_ENABLE, 1);
	zbar_image_set_format(image, zbar_fourcc('Y', '8', '0', '0'));
	zbar_image_set_size(image, p->width, p->height);
	/* Borrowed: without a clean-up handler zbar does not free it. */
	zbar_image_set_data(image, p->grey, (unsigned long)p->width * p->height, NULL);
	if (zbar_scan_image(scanner, image) < 0) {
		snprintf(error, error_size, "the picture cannot be scanned");
		rc = -ENOENT;
		goto out;
	}
	rc = pick_pass(scanner, text, error, error_size);
out:
	if (image != NULL)
		zbar_image_destroy(image);
	if (scanner != NULL)
		zbar_image_scanner_destroy(scanner);
	return rc;
}
