/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for expanded keys. A country has thousands of gateways with two or four keys each, and
 * every datagram reads one or two of them, so they lie packed: sodium_malloc() would give each
 * its own guarded pages, four mappings and a TLB entry a key, and run into vm.max_map_count.
 *
 * Slabs grow from 64 KiB (a client has two keys, and RLIMIT_MEMLOCK may be small) to 2 MiB, the
 * size at which the kernel can back a slab with one huge page.
 */

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include <sodium.h>

#include "seal/pl_seal_pvt.h"

#define SLAB_SIZE_MIN ((size_t)64 << 10)
#define SLAB_SIZE_MAX ((size_t)2 << 20)

struct slab {
	struct slab *next;
	size_t size;
	uint32_t slot_cnt;
	struct pl_seal_key *slots;
	uint32_t free_cnt;
	uint32_t free_idx[]; /* a stack of free slots */
};

/* Control only: no datagram takes this lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct slab *slabs;
static size_t mapped_size;

/* A mapping of size, aligned to size, so that a 2 MiB slab can be one huge page. */
static void *map_aligned(size_t size)
{
	uint8_t *p =
		mmap(NULL, size * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (p == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)p & (size - 1);
	if (before > 0)
		munmap(p, before);
	munmap(p + before + size, size - before);
	return p + before;
}

static struct slab *slab_create(size_t size)
{
	uint32_t slot_cnt = (uint32_t)(size / sizeof(struct pl_seal_key));
	struct slab *slab = malloc(sizeof(*slab) + slot_cnt * sizeof(slab->free_idx[0]));
	void *p;

	if (slab == NULL)
		return NULL;
	p = map_aligned(size);
	if (p == NULL) {
		free(slab);
		return NULL;
	}
	/* All three are best effort, as in libsodium: a limit on locked memory or an old kernel
	 * must not keep the appliance from serving. */
	(void)madvise(p, size, MADV_DONTDUMP);
	if (size == SLAB_SIZE_MAX)
		(void)madvise(p, size, MADV_HUGEPAGE);
	(void)mlock(p, size);
	*slab = (struct slab){
		.size = size,
		.slot_cnt = slot_cnt,
		.slots = p,
		.free_cnt = slot_cnt,
	};
	/* The lowest slot is on top: keys made together lie together. */
	for (uint32_t i = 0; i < slot_cnt; i++)
		slab->free_idx[i] = slot_cnt - 1 - i;
	return slab;
}

static struct slab *slab_with_room(void)
{
	size_t size = SLAB_SIZE_MIN;
	struct slab *slab;

	for (slab = slabs; slab != NULL; slab = slab->next) {
		if (slab->free_cnt > 0)
			return slab;
		size = slab->size * 2 > size ? slab->size * 2 : size;
	}
	slab = slab_create(size > SLAB_SIZE_MAX ? SLAB_SIZE_MAX : size);
	if (slab == NULL)
		return NULL;
	slab->next = slabs;
	slabs = slab;
	mapped_size += slab->size;
	return slab;
}

struct pl_seal_key *pl_seal_arena_get(void)
{
	struct pl_seal_key *k = NULL;
	struct slab *slab;

	pthread_mutex_lock(&lock);
	slab = slab_with_room();
	if (slab != NULL)
		k = &slab->slots[slab->free_idx[--slab->free_cnt]];
	pthread_mutex_unlock(&lock);
	return k;
}

void pl_seal_arena_put(struct pl_seal_key *k)
{
	struct slab **link = &slabs;
	struct slab *slab;

	sodium_memzero(k, sizeof(*k));
	pthread_mutex_lock(&lock);
	while ((slab = *link) != NULL && (k < slab->slots || k >= slab->slots + slab->slot_cnt))
		link = &slab->next;
	PL_CHECK(slab != NULL);
	slab->free_idx[slab->free_cnt++] = (uint32_t)(k - slab->slots);
	if (slab->free_cnt == slab->slot_cnt) {
		*link = slab->next;
		mapped_size -= slab->size;
		munmap(slab->slots, slab->size);
		free(slab);
	}
	pthread_mutex_unlock(&lock);
}

size_t pl_seal_arena_size(void)
{
	size_t size;

	pthread_mutex_lock(&lock);
	size = mapped_size;
	pthread_mutex_unlock(&lock);
	return size;
}
