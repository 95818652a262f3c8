/* SPDX-License-Identifier: BSD-3-Clause */

#include "bench_util.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

void bench_die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
	exit(2);
}

uint64_t bench_number(const char *name, const char *s, uint64_t min, uint64_t max)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(s, &end, 10);
	/* strtoull() takes a sign, and turns it round. */
	if (errno != 0 || !isdigit((unsigned char)*s) || *end != '\0' || v < min || v > max) {
		fprintf(stderr, "%s: %s%s %s: a number from %llu to %llu is needed\n",
			program_invocation_short_name, isupper((unsigned char)*name) ? "" : "--",
			name, s, (unsigned long long)min, (unsigned long long)max);
		exit(2);
	}
	return v;
}

void *bench_map_huge(const char *dir, size_t size)
{
	char path[4200];
	struct statfs fs;
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/%s.%d", dir, program_invocation_short_name, (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		bench_die(path, strerror(errno));
	unlink(path);
	/* On another file system the first store beyond the file's end would be the end. */
	if (fstatfs(fd, &fs) != 0 || fs.f_type != HUGETLBFS_MAGIC)
		bench_die(dir, "no hugetlbfs: mount one there, or give - for ordinary pages");
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		bench_die(dir, errno == ENOMEM ? "not enough free hugepages: see "
						 "/proc/sys/vm/nr_hugepages"
					       : strerror(errno));
	close(fd);
	return p;
}

void *bench_map_small(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_die("memory", strerror(errno));
	/* Not by luck: the kernel must not make large pages of these. */
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

double bench_tsc_hz(void)
{
	struct timespec a, z;
	uint64_t t0, t1;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	t0 = __rdtsc();
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	clock_gettime(CLOCK_MONOTONIC_RAW, &z);
	t1 = __rdtsc();
	return (double)(t1 - t0) /
	       ((double)(z.tv_sec - a.tv_sec) + (double)(z.tv_nsec - a.tv_nsec) / 1e9);
}

static int cmp_f64(const void *pa, const void *pb)
{
	const double *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

double bench_median(double *v, uint32_t cnt)
{
	qsort(v, cnt, sizeof(*v), cmp_f64);
	return v[cnt / 2];
}

void bench_cpu_pin(uint64_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0) {
		char what[32];

		snprintf(what, sizeof(what), "core %llu", (unsigned long long)cpu);
		bench_die(what, strerror(errno));
	}
}
