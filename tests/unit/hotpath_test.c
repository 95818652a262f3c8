/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A burst allocates nothing and makes no system call: jemalloc's own count of bytes allocated by
 * this thread stands still, and the kernel, told to kill at any call but read, write and exit,
 * does not.
 */

#include "verify_fixture.h"

#include <jemalloc/jemalloc.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BURSTS 32u
#define SCANS  7u

struct load {
	uint8_t data[BURSTS][PL_VERIFY_BURST_MAX][PL_WIRE_REQ_SIZE_MAX];
	struct pl_verify_item items[BURSTS][PL_VERIFY_BURST_MAX];
};

static struct load load;

/* Passes, unknown certificates, forgeries, copies, garbage: every path of the burst. */
static void load_fill(struct fx *fx)
{
	uint64_t id = 1;

	for (uint32_t b = 0; b < BURSTS; b++) {
		for (uint32_t i = 0; i < PL_VERIFY_BURST_MAX; i++) {
			struct pl_wire_scan scans[SCANS];

			for (uint32_t s = 0; s < SCANS; s++) {
				struct pl_cert c = fx_cert_valid(id++ % 4000);

				if (s != 1)
					fx_cert(fx, &c);
				scans[s] = fx_scan(fx, &c, FX_NOW_S, (uint32_t)id);
				scans[s].tag[0] ^= s == 2;
			}
			load.items[b][i].data = load.data[b][i];
			load.items[b][i].request_size =
				fx_request(fx, load.data[b][i], scans, SCANS);
			load.data[b][i][30] ^= i % 16 == 3;
		}
	}
}

static uint32_t load_run(struct fx *fx)
{
	uint32_t replies = 0;

	for (uint32_t b = 0; b < BURSTS; b++)
		replies += pl_verify_burst(fx->verify, &fx->view, &fx->now, load.items[b],
					   PL_VERIFY_BURST_MAX);
	return replies;
}

static int setup(void **state)
{
	static const struct fx_engines engines = {PL_SEAL_AUTO, -1};
	static struct fx fx;

	fx_open(&fx, engines);
	load_fill(&fx);
	*state = &fx;
	return 0;
}

static int teardown(void **state)
{
	fx_close(*state);
	return 0;
}

static void test_burst_allocates_nothing(void **state)
{
	uint64_t *allocated, before;
	size_t size = sizeof(allocated);
	void *p;

	assert_int_equal(mallctl("thread.allocatedp", &allocated, &size, NULL, 0), 0);
	before = *allocated;
	p = malloc(100); /* the count does count: malloc() here is jemalloc's */
	assert_non_null(p);
	free(p);
	assert_true(*allocated > before);
	before = *allocated;
	assert_int_equal(load_run(*state), BURSTS * PL_VERIFY_BURST_MAX * 15 / 16);
	assert_true(*allocated == before);
}

static void test_burst_makes_no_system_call(void **state)
{
	int status;
	pid_t pid = fork();

	assert_return_code(pid, 0);
	if (pid == 0) {
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
			_exit(2);
		load_run(*state);
		syscall(SYS_exit, 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		fail_msg("killed by signal %d: a burst made a system call", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_burst_makes_no_system_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_burst_allocates_nothing, setup, teardown),
	};

	return cmocka_run_group_tests_name("hotpath", tests, NULL, NULL);
}
