/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What every module may use: ownership marks, checks, little-endian access.
 */
#ifndef PL_BASE_H
#define PL_BASE_H

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PL_CACHE_LINE 64

/* Who may touch a field. They expand to nothing: they are there to be read. */
#define PL_OWNED_BY(role)         /* only this role reads or writes it */
#define PL_SHARED(writer, reader) /* crosses threads: must be _Atomic */
#define PL_FROZEN_AFTER(phase)    /* read-only from then on */

#define PL_MUST_USE __attribute__((warn_unused_result))
#define PL_COLD     __attribute__((cold, noinline))

#define PL_LIKELY(x)   __builtin_expect(!!(x), 1)
#define PL_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define PL_ARRAY_CNT(a) (sizeof(a) / sizeof((a)[0]))

/** Always on; for set-up and for states that only a bug of ours can reach. */
#define PL_CHECK(c)                                                                           \
	do {                                                                                  \
		if (PL_UNLIKELY(!(c))) {                                                      \
			fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #c); \
			abort();                                                              \
		}                                                                             \
	} while (0)

/** Hot-path check, in debug builds only; type-checked and never run otherwise. */
#ifdef PL_DEBUG
#define PL_DCHECK(c) PL_CHECK(c)
#else
#define PL_DCHECK(c) ((void)sizeof(!(c)))
#endif

/* Fetches of lines. A function that does nothing else GCC 12 takes for one without effect, and may leave
 * out its calls: it must be always_inline, or have an empty __asm__ volatile. */
static inline void pl_prefetch(const void *p)
{
	__builtin_prefetch(p, 0, 3);
}

/** Into the second-level cache, which can wait for more lines at once than the first: for more than a
 *  dozen at once. */
static inline void pl_prefetch_far(const void *p)
{
	__builtin_prefetch(p, 0, 2);
}

/** For a line that will be written soon. */
static inline void pl_prefetch_w(const void *p)
{
	__builtin_prefetch(p, 1, 3);
}

/* Unaligned little-endian access. The appliance and its clients run on x86-64 and
 * arm64, both little-endian, so these are plain moves. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts are not supported");

static inline uint16_t pl_le16_get(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t pl_le32_get(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t pl_le64_get(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void pl_le16_put(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void pl_le32_put(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void pl_le64_put(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

#define PL_MIX64_MUL1 UINT64_C(0xbf58476d1ce4e5b9)
#define PL_MIX64_MUL2 UINT64_C(0x94d049bb133111eb)

/** A bijection of 64 bits that mixes well (the finaliser of splitmix64, Steele et al. 2014). */
static inline uint64_t pl_mix64(uint64_t x)
{
	x ^= x >> 30;
	x *= PL_MIX64_MUL1;
	x ^= x >> 27;
	x *= PL_MIX64_MUL2;
	x ^= x >> 31;
	return x;
}

#endif
