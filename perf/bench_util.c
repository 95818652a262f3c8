/* SPDX-License-Identifier: BSD-3-Clause */

#include "bench_util.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <time.h>
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
