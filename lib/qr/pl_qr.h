/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Draw a token's text as a QR code: PNG, or text for a terminal. Reading pictures is app/scan's.
 *
 * QR Code: ISO/IEC 18004, by libqrencode; alphanumeric mode, error correction level M (15 % of
 * the symbol may be lost). 40 characters make version 3: 29 by 29 modules.
 */
#ifndef PL_QR_H
#define PL_QR_H

#include "base/pl_base.h"

#define PL_QR_QUIET_MODULES 4u /* of white on each side, as the standard asks */
#define PL_QR_SCALE_PX_MAX  64u

/** A QR code. modules[y * side + x]: 1 is dark. */
struct pl_qr {
	uint32_t side;
	uint8_t *modules;
};

/**
 * @param text  characters of alphanumeric mode only: 0-9 A-Z space $ % * + - . / :
 * @return 0; -EINVAL for other characters; -ERANGE if it is too long for any QR code; -ENOMEM.
 */
PL_MUST_USE int pl_qr_create(const char *text, struct pl_qr *out);
/** Leaves it zeroed. */
void pl_qr_destroy(struct pl_qr *qr);

/**
 * Write a grey PNG, quiet zone included. An existing file is replaced at once, by rename.
 *
 * @param scale_px  pixels a module, 1 .. PL_QR_SCALE_PX_MAX.
 * @return 0 or -errno, error naming the path.
 */
PL_MUST_USE int pl_qr_write_png(const struct pl_qr *qr, const char *path, uint32_t scale_px,
				char *error, size_t error_size);

/**
 * The code in UTF-8 half blocks, black on white by ANSI colours whatever the terminal's own are,
 * two rows of modules a line, quiet zone included. @return a string to free(), or NULL.
 */
char *pl_qr_terminal(const struct pl_qr *qr);

#endif
