/* SPDX-License-Identifier: BSD-3-Clause */

#include "wire/pl_verdict.h"

const uint8_t pl_verdict_codes[] = {
#define V(id, code, name, text) code,
	PL_VERDICTS(V)
#undef V
		PL_V_NONE};

const char *pl_verdict_name(uint32_t code)
{
	switch (code) {
#define V(id, num, name, text) \
	case num:              \
		return name;
		PL_VERDICTS(V)
#undef V
	default:
		return NULL;
	}
}

const char *pl_verdict_text(uint32_t code)
{
	switch (code) {
#define V(id, num, name, text) \
	case num:              \
		return text;
		PL_VERDICTS(V)
#undef V
	default:
		return NULL;
	}
}

const char *pl_group_name(enum pl_group group)
{
	static const char *const names[] = {"PASS", "DENY", "UNKNOWN"};

	return names[group];
}
