/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line: EAL options, "--", our options and the configuration file. */
#ifndef PL_ARGS_H
#define PL_ARGS_H

#include "base/pl_base.h"
#include "seal/pl_seal.h"

enum pl_args_do {
	PL_ARGS_RUN,
	PL_ARGS_CHECK,
	PL_ARGS_HELP,
	PL_ARGS_VERSION,
};

struct pl_args {
	enum pl_args_do what;
	int eal_argc; /* argv[0 .. eal_argc - 1] are the EAL's */
	char **eal_argv;
	const char *config_path;
	enum pl_seal_engine seal_engine;
	int token_variant; /* enum pl_token_variant, or -1: the fastest */
	bool no_offload;
};

/** @return 0, or -EINVAL with a message that ends in what to do. argv is borrowed and cut up. */
PL_MUST_USE int pl_args_parse(int argc, char **argv, struct pl_args *out, char *error,
			      size_t error_size);
void pl_args_help(void);

/** Does the EAL get this option, as "name" or "name=..."? */
bool pl_args_eal_has(const struct pl_args *args, const char *name);
/**
 * How many lcores the EAL's options ask for: -l, --lcores, -c, or else each CPU that the process
 * may run on. @return 0 if they cannot be read (the EAL will say why).
 */
uint32_t pl_args_lcore_cnt(const struct pl_args *args);

#endif
