/* SPDX-License-Identifier: BSD-3-Clause */
/* Pieces of answers that several commands share. Each returns a new reference. */
#ifndef PL_DESK_JSON_H
#define PL_DESK_JSON_H

#include <jansson.h>

#include "base/pl_base.h"

struct pl_app;

/** A number that JSON can hold: jansson's are signed. */
static inline json_t *pl_desk_number(uint64_t v)
{
	return json_integer(v <= INT64_MAX ? (json_int_t)v : INT64_MAX);
}

/** The flags of a set, each with its text. */
json_t *pl_desk_flags_json(uint32_t flags);
/** Position, age, intake and what was refused. */
json_t *pl_desk_feed_json(struct pl_app *app, uint32_t as_of, uint64_t now_s);

#endif
