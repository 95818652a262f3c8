/* SPDX-License-Identifier: BSD-3-Clause */

#include "mix.h"

#include <errno.h>
#include <math.h>

static const struct {
	const char *name, *text;
	enum pl_verdict verdict;
} kinds[MIX_CNT] = {
#define M(id, n, v, t) [MIX_##id] = {.name = (n), .text = (t), .verdict = (v)},
	LOAD_MIX(M)
#undef M
};

const char *mix_name(enum mix_kind kind)
{
	return kinds[kind].name;
}

const char *mix_text(enum mix_kind kind)
{
	return kinds[kind].text;
}

enum pl_verdict mix_verdict(enum mix_kind kind)
{
	return kinds[kind].verdict;
}

/* Weights to shares. A kind with a weight never loses all its places to rounding. */
static void settle(struct mix *m, const double weights[MIX_CNT], double sum)
{
	double below = 0;
	uint32_t last = 0;

	for (uint32_t k = 0; k < MIX_CNT; k++) {
		m->share[k] = weights[k] / sum;
		below += m->share[k];
		m->cumulative[k] = (uint64_t)llround(below * 4294967296.0);
		if (weights[k] > 0)
			last = k;
	}
	for (uint32_t k = last; k < MIX_CNT; k++)
		m->cumulative[k] = 1ull << 32;
}

void mix_default(struct mix *m)
{
	const double weights[MIX_CNT] = {[MIX_VALID] = 1};

	settle(m, weights, 1);
}

static int kind_of(const char *name, size_t size)
{
	for (int k = 0; k < MIX_CNT; k++)
		if (strlen(kinds[k].name) == size && memcmp(kinds[k].name, name, size) == 0)
			return k;
	return -1;
}

int mix_parse(struct mix *m, const char *text, char *error, size_t error_size)
{
	double weights[MIX_CNT], sum = 0;
	const char *p = text;

	for (uint32_t k = 0; k < MIX_CNT; k++)
		weights[k] = -1;
	for (;;) {
		size_t name_size = strcspn(p, "=,");
		int kind = kind_of(p, name_size);
		char *end;
		double w;

		if (kind < 0 || p[name_size] != '=') {
			snprintf(error, error_size,
				 "'%.*s' is no KIND=WEIGHT; kinds are listed in --help",
				 (int)strcspn(p, ","), p);
			return -EINVAL;
		}
		p += name_size + 1;
		w = strtod(p, &end);
		if (end == p || (*end != '\0' && *end != ',') || !isfinite(w) || w < 0 || w > 1e9) {
			snprintf(error, error_size, "the weight of %s must be a number 0 .. 1e9",
				 kinds[kind].name);
			return -EINVAL;
		}
		if (weights[kind] >= 0) {
			snprintf(error, error_size, "%s is given twice", kinds[kind].name);
			return -EINVAL;
		}
		weights[kind] = w;
		sum += w;
		if (*end == '\0')
			break;
		p = end + 1;
	}
	if (sum <= 0) {
		snprintf(error, error_size, "the weights add up to nothing");
		return -EINVAL;
	}
	for (uint32_t k = 0; k < MIX_CNT; k++)
		if (weights[k] < 0)
			weights[k] = 0;
	settle(m, weights, sum);
	return 0;
}

enum mix_kind mix_pick(const struct mix *m, uint32_t random)
{
	uint32_t k = 0;

	while (random >= m->cumulative[k])
		k++;
	return (enum mix_kind)k;
}
