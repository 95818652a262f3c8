/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * passline-scan: its options, and what it prints.
 */
#ifndef PL_SCAN_H
#define PL_SCAN_H

#include "client/pl_client.h"
#include "token/pl_token.h"

enum scan_exit {
	SCAN_EXIT_PASS = 0,
	SCAN_EXIT_DENY = 1,
	SCAN_EXIT_UNKNOWN = 2,
	SCAN_EXIT_NONE = 3, /* usage, or no answer */
};

struct scan_args {
	const char *qr_text;
	const char *qr_path;
	const char *image_path;
	const char *key_path;
	const char *state_path;
	const char *state_dir;
	uint32_t venue_id;
	uint32_t scan_id;
	bool scan_id_given;
	bool json;
	struct pl_client_conf conf; /* addresses and times */
};

/** What was asked and what came back. */
struct scan_outcome {
	const struct scan_args *args;
	struct pl_token token;
	uint32_t scan_id;
	struct pl_client_result result;
};

/**
 * @return -1 to go on, or the exit code to end with (--help, --version, an error already told).
 */
int scan_args_parse(struct scan_args *args, int argc, char **argv);

/** Print the outcome. @return the exit code. */
int scan_report(const struct scan_outcome *o);

#endif
