/* SPDX-License-Identifier: BSD-3-Clause */
/* The mapping: files, pages, NUMA node, header. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <linux/memfd.h>

#include "base/pl_fail.h"
#include "table/pl_table_pvt.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* From this many pages on a table is rounded down to whole pages, which costs at most 3 % of
 * the free slots; below, up. */
#define ROUND_DOWN_PAGES 32u
#define BYTES_PER_CERT   32u

uint64_t pl_table_size(uint64_t capacity, uint64_t page_size)
{
	uint64_t least = PL_TABLE_HEADER_SIZE + (PL_TABLE_STASH_CNT + 2) * sizeof(struct pl_bucket);
	uint64_t size = capacity * BYTES_PER_CERT;

	if (size >= ROUND_DOWN_PAGES * page_size && size >= 256 * least)
		return size / page_size * page_size;
	return (size + least + page_size - 1) / page_size * page_size;
}

static uint64_t fixed_check(const struct pl_table_fixed *f)
{
	uint64_t word, h = 0;

	for (size_t i = 0; i < offsetof(struct pl_table_fixed, check); i += sizeof(word)) {
		memcpy(&word, (const uint8_t *)f + i, sizeof(word));
		h = pl_mix64(h ^ word) + i;
	}
	return h;
}

static void map_use(struct pl_map *m, void *base)
{
	m->h = base;
	m->buckets = (struct pl_bucket *)((uint8_t *)base + PL_TABLE_HEADER_SIZE);
	/* A core file must not hold the registry. Best effort. */
	(void)madvise(base, m->size, MADV_DONTDUMP);
}

/* Have every page now, on the wished node, so that no lookup ever faults. */
static int map_populate(struct pl_map *m, void *base, int numa_node, char *error, size_t error_size)
{
	if (numa_node >= 0) {
		unsigned long mask[16] = {0};

		if ((unsigned int)numa_node >= 8 * sizeof(mask))
			return pl_fail(-EINVAL, error, error_size, "NUMA node %d: no such node",
				       numa_node);
		mask[(size_t)numa_node / 64] = 1ul << ((size_t)numa_node % 64);
		if (syscall(SYS_mbind, base, m->size, MPOL_BIND, mask, 8 * sizeof(mask), 0) != 0)
			return pl_fail(-errno, error, error_size,
				       "cannot place %" PRIu64 " MB on NUMA node %d: %s",
				       m->size >> 20, numa_node, strerror(errno));
	}
	if (!m->huge)
		(void)madvise(base, m->size, MADV_HUGEPAGE);
	if (madvise(base, m->size, MADV_POPULATE_WRITE) != 0)
		return pl_fail(-ENOMEM, error, error_size,
			       "no memory for %" PRIu64 " MB in pages of %" PRIu64 " kB%s: %s",
			       m->size >> 20, m->page_size >> 10,
			       numa_node >= 0 ? " on the chosen NUMA node" : "", strerror(errno));
	return 0;
}

static int fd_pages(int fd, struct pl_map *m)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return -errno;
	m->huge = fs.f_type == HUGETLBFS_MAGIC;
	m->page_size = m->huge ? (uint64_t)fs.f_bsize : (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

/* Bytes that ordinary pages could have without taking them from anyone; UINT64_MAX: not known. */
static uint64_t memory_available(void)
{
	unsigned long long kb = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	if (f == NULL)
		return UINT64_MAX;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1)
			break;
	fclose(f);
	return kb != 0 ? (uint64_t)kb << 10 : UINT64_MAX;
}

/* Asked before any page is touched: finding out by touching would first starve the machine. */
static int memory_check(const struct pl_map *m, char *error, size_t error_size)
{
	uint64_t have = memory_available();
	struct statfs fs;

	if (m->huge)
		return 0; /* hugetlb answers at mmap */
	if (m->path != NULL && fstatfs(m->fd, &fs) == 0 && fs.f_blocks != 0 &&
	    (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < have)
		have = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	if (m->size <= have)
		return 0;
	return pl_fail(-ENOMEM, error, error_size,
		       "no memory for a table of %" PRIu64 " MB at %s: there are %" PRIu64 " MB",
		       m->size >> 20, m->path != NULL ? m->path : "no path", have >> 20);
}

#define PART_SUFFIX ".part"

/* The file of a creation that died half way; nobody has use for it. */
static int part_remove(const char *part)
{
	int fd = open(part, O_RDWR | O_CLOEXEC | O_NOFOLLOW), rc = 0;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		rc = -EBUSY; /* its maker lives */
	else if (unlink(part) != 0)
		rc = -errno;
	close(fd);
	return rc;
}

int pl_map_part_remove(const char *path)
{
	char *part;
	int rc;

	if (asprintf(&part, "%s" PART_SUFFIX, path) < 0)
		return -ENOMEM;
	rc = part_remove(part);
	free(part);
	return rc;
}

/* A table is made beside its name and takes it when it is whole: whoever is killed in between
 * leaves nothing that a next start would have to ask a person about. */
static int part_open(const char *path, struct pl_map *m, char *error, size_t error_size)
{
	int rc = -EEXIST;

	if (access(path, F_OK) == 0)
		return pl_fail(rc, error, error_size, "cannot create %s: %s", path,
			       strerror(EEXIST));
	if (asprintf(&m->path, "%s" PART_SUFFIX, path) < 0) {
		m->path = NULL;
		return pl_fail(-ENOMEM, error, error_size, "out of memory");
	}
	for (uint32_t tries = 0; tries < 2 && rc == -EEXIST; tries++) {
		m->fd = open(m->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		rc = m->fd >= 0 ? 0 : -errno;
		if (rc == -EEXIST && tries == 0) {
			int removed = part_remove(m->path);

			rc = removed == 0 || removed == -ENOENT ? rc : removed;
		}
	}
	if (rc == 0)
		return 0;
	pl_fail(rc, error, error_size, "cannot create %s: %s", m->path,
		rc == -EBUSY ? "another process is making it"
		: rc == -ENOENT
			? "its directory is not there: mount hugetlbfs there for hugepages, "
			  "or name another path"
			: strerror(-rc));
	free(m->path); /* not ours to remove */
	m->path = NULL;
	return rc;
}

static int part_finish(const char *path, struct pl_map *m, char *error, size_t error_size)
{
	char *name = strdup(path);

	if (name == NULL)
		return pl_fail(-ENOMEM, error, error_size, "out of memory");
	if (renameat2(AT_FDCWD, m->path, AT_FDCWD, path, RENAME_NOREPLACE) != 0) {
		free(name);
		return pl_fail(-errno, error, error_size, "cannot name %s %s: %s", m->path, path,
			       strerror(errno));
	}
	free(m->path);
	m->path = name;
	return 0;
}

static int map_open_new(const char *path, struct pl_map *m, char *error, size_t error_size)
{
	if (path != NULL)
		return part_open(path, m, error, error_size);
	m->fd = memfd_create("passline-table", MFD_CLOEXEC);
	if (m->fd < 0)
		return pl_fail(-errno, error, error_size, "memfd_create: %s", strerror(errno));
	return 0;
}

static int header_init(struct pl_map *m, uint64_t capacity, uint64_t seed,
		       const struct pl_table_tuning *tuning, const struct pl_map *parent)
{
	struct pl_table_fixed *f = &m->h->fixed;
	uint64_t random[2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	memcpy(f->magic, PL_TABLE_MAGIC, sizeof(f->magic));
	f->layout_version = PL_TABLE_LAYOUT_VERSION;
	f->header_size = PL_TABLE_HEADER_SIZE;
	f->capacity = capacity;
	f->bucket_cnt = m->bucket_cnt;
	f->size = m->size;
	f->hash_seed = seed != 0 ? seed : random[0];
	f->table_id = random[1] | 1;
	f->parent_id = parent != NULL ? parent->h->fixed.table_id : 0;
	f->generation = parent != NULL ? parent->h->fixed.generation + 1 : 0;
	f->check = fixed_check(f);
	m->seed = f->hash_seed;
	atomic_store_explicit(&m->h->epoch,
			      tuning != NULL && tuning->first_epoch ? tuning->first_epoch : 1,
			      memory_order_relaxed);
	/* READY release: all of the header comes before. Pairs: pl_map_attach(). */
	atomic_store_explicit(&m->h->ready, 1, memory_order_release);
	return 0;
}

/* A table without a name gets huge pages, if it gains by them and there are any. */
static void memfd_huge_try(struct pl_map *m, uint64_t capacity)
{
	int fd = memfd_create("passline-table", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	uint64_t size = pl_table_size(capacity, 2u << 20);
	void *base = MAP_FAILED;

	/* Small tables gain nothing by huge pages. hugetlb reserves at mmap. */
	if (fd >= 0 && size >= 16u << 20 && ftruncate(fd, (off_t)size) == 0)
		base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base != MAP_FAILED) {
		munmap(base, size);
		close(m->fd);
		m->fd = fd;
		m->huge = true;
		m->page_size = 2u << 20;
	} else if (fd >= 0) {
		close(fd);
	}
}

static void size_choose(struct pl_map *m, uint64_t capacity, const struct pl_table_tuning *tuning)
{
	if (tuning != NULL && tuning->bucket_cnt != 0) {
		uint64_t need = PL_TABLE_HEADER_SIZE + (tuning->bucket_cnt + PL_TABLE_STASH_CNT) *
							       sizeof(struct pl_bucket);

		m->size = (need + m->page_size - 1) / m->page_size * m->page_size;
		m->bucket_cnt = tuning->bucket_cnt;
	} else {
		m->size = pl_table_size(capacity, m->page_size);
		m->bucket_cnt = ((m->size - PL_TABLE_HEADER_SIZE) / sizeof(struct pl_bucket) -
				 PL_TABLE_STASH_CNT) &
				~UINT64_C(1);
	}
}

/* Lock the new file, make it m->size long and map it; not a page of it is touched yet. */
static int map_new(const char *name, struct pl_map *m, void **base, char *error, size_t error_size)
{
	int rc;

	if (flock(m->fd, LOCK_EX | LOCK_NB) != 0)
		return pl_fail(-EBUSY, error, error_size, "%s is locked by another process", name);
	rc = memory_check(m, error, error_size);
	if (rc != 0)
		return rc;
	if (ftruncate(m->fd, (off_t)m->size) != 0)
		return pl_fail(-errno, error, error_size, "cannot make %s %" PRIu64 " MB long: %s",
			       name, m->size >> 20, strerror(errno));
	*base = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (*base == MAP_FAILED)
		return pl_fail(-errno, error, error_size,
			       "no memory for %" PRIu64 " MB in pages of %" PRIu64 " kB%s: %s",
			       m->size >> 20, m->page_size >> 10,
			       m->huge ? " (raise vm.nr_hugepages)" : "", strerror(errno));
	return 0;
}

int pl_map_create(const char *path, uint64_t capacity, uint64_t seed, int numa_node,
		  const struct pl_table_tuning *tuning, const struct pl_map *parent,
		  struct pl_map **out, char *error, size_t error_size)
{
	const char *name = path != NULL ? path : "memfd";
	struct pl_map *m = calloc(1, sizeof(*m));
	void *base;
	int rc;

	if (m == NULL)
		return pl_fail(-ENOMEM, error, error_size, "out of memory");
	m->fd = -1;
	rc = map_open_new(path, m, error, error_size);
	if (rc != 0)
		goto err;
	rc = fd_pages(m->fd, m);
	if (rc != 0) {
		pl_fail(rc, error, error_size, "%s: %s", name, strerror(-rc));
		goto err;
	}
	if (path == NULL)
		memfd_huge_try(m, capacity);
	size_choose(m, capacity, tuning);
	rc = map_new(name, m, &base, error, error_size);
	if (rc != 0)
		goto err;
	map_use(m, base);
	rc = map_populate(m, base, numa_node, error, error_size);
	if (rc == 0) {
		rc = header_init(m, capacity, seed, tuning, parent);
		if (rc != 0)
			pl_fail(rc, error, error_size, "no random numbers");
	}
	if (rc == 0 && path != NULL)
		rc = part_finish(path, m, error, error_size);
	if (rc != 0)
		goto err;
	*out = m;
	return 0;
err:
	if (m->path != NULL)
		unlink(m->path);
	pl_map_close(m);
	return rc;
}

/* A table whose magic alone was hit: everything else of the fixed part says so. */
static bool is_ours(const struct pl_table_fixed *f)
{
	struct pl_table_fixed mended = *f;

	if (memcmp(f->magic, PL_TABLE_MAGIC, sizeof(f->magic)) == 0)
		return true;
	memcpy(mended.magic, PL_TABLE_MAGIC, sizeof(mended.magic));
	return fixed_check(&mended) == f->check;
}

/* A file too short to be mapped as a table: one of ours that was cut? */
static bool begins_as_ours(int fd)
{
	char magic[sizeof(((struct pl_table_fixed *)NULL)->magic)];

	return pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	       memcmp(magic, PL_TABLE_MAGIC, sizeof(magic)) == 0;
}

/* What the next writer goes by lies within the table. */
static bool journal_sound(const struct pl_map *m)
{
	const struct pl_table_header *h = m->h;
	/* relaxed, all: the last writer is gone, or they are looked at again by the next. */
	uint32_t op = atomic_load_explicit(&h->op, memory_order_relaxed);
	uint64_t slot = atomic_load_explicit(&h->op_slot, memory_order_relaxed);

	if (atomic_load_explicit(&h->position_idx, memory_order_relaxed) > 1 ||
	    op > PL_JOURNAL_REMOVE)
		return false;
	return op == PL_JOURNAL_NONE || (slot >> 2 < m->h->fixed.bucket_cnt + PL_TABLE_STASH_CNT &&
					 (slot & 3) < PL_TABLE_SLOTS);
}

static int header_verify(const struct pl_map *m, const char *path, char *error, size_t error_size)
{
	const struct pl_table_fixed *f = &m->h->fixed;

	if (!is_ours(f))
		return pl_fail(-EPROTO, error, error_size,
			       "%s is not a certificate table: remove it, or name another path",
			       path);
	if (f->layout_version != PL_TABLE_LAYOUT_VERSION || f->header_size != PL_TABLE_HEADER_SIZE)
		return pl_fail(
			-EILSEQ, error, error_size,
			"%s has table layout %u, this program has %u: remove it and let the feed "
			"be loaded again",
			path, f->layout_version, PL_TABLE_LAYOUT_VERSION);
	/* READY acquire: pairs with the release in header_init(). */
	if (f->check != fixed_check(f) || f->size != m->size || f->bucket_cnt < 2 ||
	    f->bucket_cnt % 2 != 0 ||
	    f->bucket_cnt > (m->size - PL_TABLE_HEADER_SIZE) / sizeof(struct pl_bucket) -
				    PL_TABLE_STASH_CNT ||
	    memcmp(f->magic, PL_TABLE_MAGIC, sizeof(f->magic)) != 0 || !journal_sound(m) ||
	    atomic_load_explicit(&m->h->ready, memory_order_acquire) == 0)
		return pl_fail(
			-EILSEQ, error, error_size,
			"%s is damaged or was never completed: remove it and let the feed be "
			"loaded again",
			path);
	return 0;
}

int pl_map_attach(const char *path, struct pl_map **out, char *error, size_t error_size)
{
	struct pl_map *m = calloc(1, sizeof(*m));
	struct stat st;
	void *base;
	int rc;

	if (m == NULL)
		return pl_fail(-ENOMEM, error, error_size, "out of memory");
	m->fd = open(path, O_RDWR | O_CLOEXEC);
	if (m->fd < 0 || fstat(m->fd, &st) != 0 || (m->path = strdup(path)) == NULL) {
		rc = pl_fail(-errno, error, error_size, "cannot open %s: %s", path,
			     strerror(errno));
		goto err;
	}
	rc = fd_pages(m->fd, m);
	if (rc != 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size <
		    PL_TABLE_HEADER_SIZE + (2 + PL_TABLE_STASH_CNT) * sizeof(struct pl_bucket)) {
		rc = pl_fail(rc == 0 && S_ISREG(st.st_mode) && begins_as_ours(m->fd) ? -EILSEQ
										     : -EPROTO,
			     error, error_size,
			     "%s is not a certificate table, or was never completed: remove it, "
			     "or name another path",
			     path);
		goto err;
	}
	m->size = (uint64_t)st.st_size;
	base = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (base == MAP_FAILED) {
		rc = pl_fail(-errno, error, error_size, "cannot map %s: %s", path, strerror(errno));
		goto err;
	}
	map_use(m, base);
	rc = header_verify(m, path, error, error_size);
	if (rc != 0)
		goto err;
	/* Map all pages now, so that no lookup faults; if that fails they still will later. */
	(void)madvise(base, m->size, MADV_POPULATE_WRITE);
	m->bucket_cnt = m->h->fixed.bucket_cnt;
	m->seed = m->h->fixed.hash_seed;
	*out = m;
	return 0;
err:
	pl_map_close(m);
	return rc;
}

void pl_map_close(struct pl_map *m)
{
	if (m == NULL)
		return;
	if (m->h != NULL)
		munmap(m->h, m->size);
	if (m->fd >= 0)
		close(m->fd);
	free(m->path);
	free(m);
}
