/* SPDX-License-Identifier: BSD-3-Clause */
/* Which gateways are one platform's. */
#include <inttypes.h>
#include <stdlib.h>

#include "site/pl_site_pvt.h"

/* "N" or "N-M". */
static bool parse_span(char *word, struct pl_site_span *span)
{
	char *dash = strchr(word, '-');
	uint64_t first, last;

	if (dash != NULL)
		*dash = '\0';
	if (!pl_conf_parse_number(word, &first) || first > UINT32_MAX)
		return false;
	last = first;
	if (dash != NULL && (!pl_conf_parse_number(dash + 1, &last) || last > UINT32_MAX))
		return false;
	span->first = (uint32_t)first;
	span->last = (uint32_t)last;
	return first <= last;
}

/* Of those that are known, or NULL. */
static const struct pl_site_span *overlapping(const struct pl_site *site,
					      const struct pl_site_span *span)
{
	for (uint32_t i = 0; i < site->span_cnt; i++)
		if (span->first <= site->spans[i].last && site->spans[i].first <= span->last)
			return &site->spans[i];
	return NULL;
}

static void read_span(struct pl_conf *c, struct pl_conf_section *s, struct pl_conf_item *item,
		      const char *word, struct pl_site *site)
{
	struct pl_site_span span = {.platform = site->platform_cnt};
	const struct pl_site_span *other;
	char copy[32];

	snprintf(copy, sizeof(copy), "%s", word);
	if (!parse_span(copy, &span)) {
		pl_conf_error(c, s, item,
			      "\"%s\" is neither a gateway's number nor a range of them: such as 7 "
			      "or 100-199, of 0 to 4294967295",
			      word);
		return;
	}
	other = overlapping(site, &span);
	if (other != NULL) {
		pl_conf_error(
			c, s, item,
			"%s: gateway %" PRIu32 " is in [platform %s] already: a gateway is of "
			"one platform, once",
			word, span.first > other->first ? span.first : other->first,
			other->platform == site->platform_cnt ? s->arg
							      : site->platforms[other->platform]);
	} else if (site->span_cnt == PL_SITE_SPANS_MAX) {
		pl_conf_error(c, s, item,
			      "%s: all platforms together have %u numbers and ranges already, the "
			      "most there is room for: give them ranges",
			      word, PL_SITE_SPANS_MAX);
	} else {
		site->spans[site->span_cnt++] = span;
	}
}

static void read_platform(struct pl_conf *c, struct pl_conf_section *s, struct pl_site *site)
{
	struct pl_conf_item *item = pl_conf_require(c, s, "gateways");
	const char *at = item != NULL ? item->value : "";
	uint32_t cnt = site->span_cnt, errors = pl_conf_error_cnt(c);
	char word[32];

	if (!pl_conf_is_name(s->arg, PL_SITE_PLATFORM_SIZE - 1))
		pl_conf_error(c, s, NULL,
			      "a platform's name has 1 to %u small letters, digits and '-'",
			      PL_SITE_PLATFORM_SIZE - 1);
	while (pl_conf_word_next(&at, word, sizeof(word)))
		read_span(c, s, item, word, site);
	if (*at != '\0')
		pl_conf_error(c, s, item,
			      "\"%.*s\" is longer than a range of gateways, such as 100-199",
			      (int)strcspn(at, ", \t") < 60 ? (int)strcspn(at, ", \t") : 60, at);
	else if (item != NULL && site->span_cnt == cnt && pl_conf_error_cnt(c) == errors)
		pl_conf_error(c, s, item, "holds no gateway");
	snprintf(site->platforms[site->platform_cnt++], PL_SITE_PLATFORM_SIZE, "%.*s",
		 (int)PL_SITE_PLATFORM_SIZE - 1, s->arg);
}

static int compare_spans(const void *a, const void *b)
{
	uint32_t x = ((const struct pl_site_span *)a)->first;
	uint32_t y = ((const struct pl_site_span *)b)->first;

	return (x > y) - (x < y);
}

void pl_site_read_platforms(struct pl_conf *c, struct pl_site *site)
{
	struct pl_conf_section *s = NULL;

	while ((s = pl_conf_section_next(c, "platform", s)) != NULL) {
		if (site->platform_cnt == PL_SITE_PLATFORMS_MAX) {
			pl_conf_error(c, s, NULL,
				      "more than %u platforms: leave out those that never surge",
				      PL_SITE_PLATFORMS_MAX);
			continue;
		}
		read_platform(c, s, site);
	}
	qsort(site->spans, site->span_cnt, sizeof(site->spans[0]), compare_spans);
}

int32_t pl_site_platform_of(const struct pl_site *s, uint32_t gateway_id)
{
	uint32_t below = 0, above = s->span_cnt;

	while (below < above) {
		uint32_t middle = below + (above - below) / 2;

		if (gateway_id > s->spans[middle].last)
			below = middle + 1;
		else if (gateway_id < s->spans[middle].first)
			above = middle;
		else
			return (int32_t)s->spans[middle].platform;
	}
	return -1;
}
