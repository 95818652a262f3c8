/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the variants of a burst of lookups share: whether a home leads to more than one place, and going
 * there.
 */
#ifndef PL_TABLE_BURST_H
#define PL_TABLE_BURST_H

#include "table/pl_table_pvt.h"

/* ThreadSanitizer follows C11's atomics, and no vector's loads. */
#if !defined(PL_TABLE_SCALAR)
#if defined(__SANITIZE_THREAD__)
#define PL_TABLE_SCALAR
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PL_TABLE_SCALAR
#endif
#endif
#endif

/*
 * Does meta lead a key of this tag anywhere but to meta_first_pos()? It must be the meta word that gave
 * that position: a later one may lead to the key by another way.
 */
static inline bool meta_leads_further(uint32_t meta, uint32_t match)
{
	uint32_t level = meta >> PL_META_LEVEL_SHIFT;

	return (match & (match - 1)) != 0 || level > 1 || (level != 0 && match != 0);
}

/* A key that is not where its home's meta led to first. */
static inline void find_further(struct pl_table_reader *r, const struct pl_table_pending *p,
				uint32_t k)
{
	if (PL_UNLIKELY(meta_leads_further(p->meta[k], p->match[k])))
		pl_table_find_rest(r, p->ids[p->idx[k]], &p->hits[p->idx[k]]);
}

#endif
