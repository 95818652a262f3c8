/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * From the bytes of a picture to the text of the QR code in it. Pictures come from strangers'
 * phones: sizes are bounded before memory is taken, and a decoder's complaint is an error.
 */
#ifndef PL_SCAN_PICTURE_H
#define PL_SCAN_PICTURE_H

#include "base/pl_base.h"

#define PICTURE_FILE_SIZE_MAX (32u << 20)
#define PICTURE_PIXELS_MAX    (64u << 20) /* 64 megapixels: beyond any phone's camera */
#define PICTURE_SIDE_MAX      20000u
#define PICTURE_TEXT_SIZE     512u

struct picture {
	uint32_t width;
	uint32_t height;
	uint8_t *grey; /* width * height bytes; the caller frees */
};

/**
 * Decode a PNG or JPEG, told apart by its first bytes.
 * @return 0 and a picture; -EINVAL for what is neither or is damaged; -E2BIG beyond the limits;
 *         -ENOMEM. error says which.
 */
PL_MUST_USE int picture_decode(const uint8_t *data, size_t size, struct picture *out, char *error,
			       size_t error_size);

/**
 * Find the pass in a picture: the one QR code whose text begins with the token's prefix.
 *
 * @param text  gets it, ended by a NUL.
 * @return 0; -ENOENT if there is none; -EEXIST if there are several, different ones.
 */
PL_MUST_USE int picture_find_pass(const struct picture *p, char text[PICTURE_TEXT_SIZE],
				  char *error, size_t error_size);

#endif
