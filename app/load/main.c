/* SPDX-License-Identifier: BSD-3-Clause */
/* passline-load: EAL options, "--", our own; see --help. */

#include <errno.h>
#include <rte_eal.h>
#include <sodium.h>

#include "report.h"

#define ERROR_SIZE 8192u

volatile sig_atomic_t load_stop;

static void on_signal(int sig)
{
	(void)sig;
	load_stop = 1;
}

static int told(const char *what)
{
	fprintf(stderr, "passline-load: %s\n", what);
	return LOAD_EXIT_USAGE;
}

static int run_pool(struct pool *pool, const struct load_args *args, char *error)
{
	struct run_result *result = calloc(1, sizeof(*result));
	int rc = LOAD_EXIT_USAGE;

	if (result == NULL)
		return told("out of memory");
	if ((args->await_path != NULL &&
	     await_load(&pool->await, args->await_path, error, ERROR_SIZE) != 0) ||
	    pool_open(pool, args, error, ERROR_SIZE) != 0 ||
	    run_load(pool, args, result, error, ERROR_SIZE) != 0)
		rc = told(error);
	else
		rc = report(args, pool, result);
	pool_close(pool);
	await_free(&pool->await);
	run_result_free(result);
	free(result);
	return rc;
}

static int run_with_io(const struct load_args *args, struct load_io *io, char *error)
{
	struct load_clock clock;
	struct expect expect;
	struct gateways *gateways = calloc(1, sizeof(*gateways));
	struct pool pool = {.io = io, .clock = &clock, .expect = &expect, .gateways = gateways};
	int rc = LOAD_EXIT_USAGE;

	if (gateways == NULL)
		return told("out of memory");
	load_clock_start(&clock);
	if (pl_seal_create(args->seal_engine, &pool.seal) != 0) {
		rc = told("--seal: the engine does not run on this CPU");
		goto out_gateways;
	}
	if (expect_open(&expect, args, error, ERROR_SIZE) != 0) {
		rc = told(error);
		goto out_seal;
	}
	if (gateways_open(gateways, args, pool.seal, pool_counters_each(args), error, ERROR_SIZE) !=
	    0) {
		rc = told(error);
		goto out_expect;
	}
	rc = run_pool(&pool, args, error);
	gateways_close(gateways);
out_expect:
	expect_close(&expect);
out_seal:
	pl_seal_destroy(pool.seal);
out_gateways:
	free(gateways);
	return rc;
}

int main(int argc, char **argv)
{
	bool with_eal = !load_args_want_sockets(argc, argv), eal_runs = false;
	int separator = load_args_separator(argc, argv), skip = 0, rc;
	char *error = calloc(1, ERROR_SIZE);
	struct load_args args;
	struct load_io *io = NULL;

	if (error == NULL || sodium_init() < 0)
		return told("out of memory, or libsodium does not start");
	if (with_eal && separator < 0)
		return told("no \"--\": the EAL's options, which name the port, go before it, ours "
			    "after; "
			    "or give --sockets ADDRESS:PORT. See passline-load --help");
	if (with_eal ||
	    (separator > 0 && load_args_want_sockets(argc - separator, argv + separator)))
		skip = separator;
	/* Ours first: a mistake in them is told before the EAL has taken hugepages and ports. */
	argv[skip] = argv[0];
	rc = load_args_parse(&args, argc - skip, argv + skip);
	if (rc < 0 && !with_eal && separator > 1)
		rc = told("--sockets starts no EAL: leave out the options before \"--\"");
	if (rc < 0 && with_eal) {
		eal_runs = rte_eal_init(skip, argv) >= 0;
		if (!eal_runs)
			rc = told("the EAL does not start. What it says above is its reason; the "
				  "options before \"--\" are its own, ours go after");
	}
	if (rc < 0) {
		if (pool_fit(&args))
			fprintf(stderr,
				"passline-load: %u outstanding, as the pool is small: more with a "
				"larger population or --pool\n",
				args.outstanding);
		signal(SIGINT, on_signal);
		signal(SIGTERM, on_signal);
		rc = args.sockets != NULL ? socket_io_open(&args, &io, error, ERROR_SIZE)
					  : dpdk_io_open(&args, &io, error, ERROR_SIZE);
		rc = rc != 0 ? told(error) : run_with_io(&args, io, error);
		io_close(io);
	}
	if (eal_runs)
		(void)rte_eal_cleanup();
	free(error);
	return rc;
}
