/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Inside lib/token: the labels of the two hash steps, and the checks by CPU variant.
 */
#ifndef PL_TOKEN_PVT_H
#define PL_TOKEN_PVT_H

#include "token/pl_token.h"

/* "PLk1" and "PLt1" as the upper half of the second message word. */
#define PL_TOKEN_LABEL_KEY 0x316b4c50u
#define PL_TOKEN_LABEL_TAG 0x31744c50u

/* pl_token_lanes.c, once for each variant. */
void pl_token_check_scalar(const struct pl_token_batch *b, uint32_t cnt, uint8_t *ok);
void pl_token_check_avx2(const struct pl_token_batch *b, uint32_t cnt, uint8_t *ok);
void pl_token_check_avx512(const struct pl_token_batch *b, uint32_t cnt, uint8_t *ok);

/** By libsodium, one token at a time: the reference for the others. */
void pl_token_check_sodium(const struct pl_token_batch *b, uint32_t cnt, uint8_t *ok);

#endif
