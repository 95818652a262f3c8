/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <limits.h>
#include <png.h>
#include <qrencode.h>
#include <unistd.h>

#include "base/pl_fail.h"
#include "qr/pl_qr.h"

static const char alphanumeric[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

int pl_qr_create(const char *text, struct pl_qr *out)
{
	QRcode *code;
	size_t cnt;
	int rc;

	memset(out, 0, sizeof(*out));
	if (text[0] == '\0' || text[strspn(text, alphanumeric)] != '\0')
		return -EINVAL;
	/* The hint says what to take for characters that no tighter mode has: there are none. */
	code = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
	if (code == NULL)
		return errno == ENOMEM ? -ENOMEM : -ERANGE;
	cnt = (size_t)code->width * (size_t)code->width;
	out->side = (uint32_t)code->width;
	out->modules = malloc(cnt);
	rc = out->modules == NULL ? -ENOMEM : 0;
	/* The other bits tell what a module is for. */
	for (size_t i = 0; rc == 0 && i < cnt; i++)
		out->modules[i] = code->data[i] & 1;
	QRcode_free(code);
	return rc;
}

void pl_qr_destroy(struct pl_qr *qr)
{
	free(qr->modules);
	memset(qr, 0, sizeof(*qr));
}

/** A module by its place in the drawing: the quiet zone, and what lies beyond it, is light. */
static bool is_dark(const struct pl_qr *qr, uint32_t x, uint32_t y)
{
	uint32_t mx = x - PL_QR_QUIET_MODULES;
	uint32_t my = y - PL_QR_QUIET_MODULES;

	/* Unsigned: left of the code wraps to a large number. */
	return mx < qr->side && my < qr->side && qr->modules[my * qr->side + mx] != 0;
}

/** All pixels, one byte each. */
static uint8_t *draw_pixels(const struct pl_qr *qr, uint32_t scale_px, uint32_t side_px)
{
	uint8_t *pixels = malloc((size_t)side_px * side_px);

	if (pixels == NULL)
		return NULL;
	for (uint32_t y = 0; y < side_px; y++)
		for (uint32_t x = 0; x < side_px; x++)
			pixels[(size_t)y * side_px + x] =
				is_dark(qr, x / scale_px, y / scale_px) ? 0 : 255;
	return pixels;
}

int pl_qr_write_png(const struct pl_qr *qr, const char *path, uint32_t scale_px, char *error,
		    size_t error_size)
{
	png_image image = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_GRAY};
	char temp[PATH_MAX];
	uint32_t side_px = (qr->side + 2 * PL_QR_QUIET_MODULES) * scale_px;
	uint8_t *pixels;
	int fd, rc = 0;
	FILE *f;

	if (scale_px == 0 || scale_px > PL_QR_SCALE_PX_MAX)
		return pl_fail(-EINVAL, error, error_size, "a module has 1 to %u pixels",
			       PL_QR_SCALE_PX_MAX);
	if (snprintf(temp, sizeof(temp), "%s.XXXXXX", path) >= (int)sizeof(temp))
		return pl_fail(-ENAMETOOLONG, error, error_size, "%s: name is too long", path);
	pixels = draw_pixels(qr, scale_px, side_px);
	if (pixels == NULL)
		return pl_fail(-ENOMEM, error, error_size, "%s: out of memory", path);
	image.width = image.height = side_px;
	/* mkstemp() makes it 0600: who can read a QR code can walk in with it. */
	fd = mkstemp(temp);
	f = fd < 0 ? NULL : fdopen(fd, "wb");
	if (f == NULL) {
		rc = pl_fail(-errno, error, error_size, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
	} else {
		if (png_image_write_to_stdio(&image, f, 0, pixels, 0, NULL) == 0)
			rc = pl_fail(-EIO, error, error_size, "%s: %s", path, image.message);
		if (fclose(f) != 0 && rc == 0)
			rc = pl_fail(-errno, error, error_size, "%s: %s", path, strerror(errno));
	}
	if (rc == 0 && rename(temp, path) != 0)
		rc = pl_fail(-errno, error, error_size, "%s: %s", path, strerror(errno));
	if (rc != 0 && fd >= 0)
		(void)unlink(temp);
	free(pixels);
	return rc;
}

char *pl_qr_terminal(const struct pl_qr *qr)
{
	/* By (dark above, dark below): both halves, upper, lower or none of the cell is ink. */
	static const char *const cells[2][2] = {{" ", "\u2584"}, {"\u2580", "\u2588"}};
	static const char line_begin[] = "\x1b[30;107m";
	static const char line_end[] = "\x1b[0m\n";
	uint32_t side = qr->side + 2 * PL_QR_QUIET_MODULES;
	size_t size_max = (size_t)(side + 1) / 2 *
				  (sizeof(line_begin) + sizeof(line_end) + (size_t)side * 3) +
			  1;
	char *text = malloc(size_max);
	char *at = text;

	if (text == NULL)
		return NULL;
	for (uint32_t y = 0; y < side; y += 2) {
		at = stpcpy(at, line_begin);
		for (uint32_t x = 0; x < side; x++)
			at = stpcpy(at, cells[is_dark(qr, x, y)][is_dark(qr, x, y + 1)]);
		at = stpcpy(at, line_end);
	}
	return text;
}
