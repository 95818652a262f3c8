/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the commands of passline-authority share.
 */
#ifndef AUTHORITY_H
#define AUTHORITY_H

#include <getopt.h>
#include <inttypes.h>

#include "base/pl_base.h"
#include "keys/pl_keys.h"
#include "registry/pl_cert_csv.h"
#include "registry/pl_registry.h"

#define DIR_DEFAULT  "/var/lib/passline-authority"
#define DIR_VARIABLE "PASSLINE_AUTHORITY_DIR"

#define SECRET_NAME  "authority-secret.key"
#define PUBLIC_NAME  "authority-public.key"
#define TOKEN_NAME   "token"
#define GATEWAY_NAME "gateway"

#define ERROR_SIZE 1024u

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,  /* nothing was changed, unless the message says so */
	EXIT_SKIPPED = 2, /* done, but for lines that were put aside */
	EXIT_USAGE = 3,
};

/** One command. */
struct command {
	const char *name;
	const char *synopsis; /* arguments */
	const char *summary;  /* one line */
	const char *help;     /* description, options, examples */
	int (*run)(int argc, char **argv);
};

extern const struct command command_keygen, command_population, command_issue, command_revoke,
	command_suspend, command_restore, command_replace, command_publish, command_push,
	command_gateway, command_snapshot, command_prune, command_token, command_waiver,
	command_wallet, command_list, command_show, command_export, command_status;

/* The command that runs, for messages; and the options that all commands take. */
extern const struct command *current;
extern const char *dir_path;
extern bool json;

#define OPTION_DIR  'd'
#define OPTION_JSON 'J'
#define OPTION_HELP 'h'
#define COMMON_OPTIONS                                                                          \
	{"dir", required_argument, NULL, OPTION_DIR}, {"json", no_argument, NULL, OPTION_JSON}, \
		{"help", no_argument, NULL, OPTION_HELP},                                       \
	{                                                                                       \
		NULL, 0, NULL, 0                                                                \
	}
#define COMMON_SHORT "d:h"

/**
 * The next option of a command, those that all take dealt with (--help ends the program).
 * @return as getopt_long(), -1 at the end; a wrong option ends the program.
 */
int next_option(int argc, char **argv, const struct option *options);

/** Print to stderr, with the command's name before. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);
/** The same and the way to the help. @return EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int usage(const char *format, ...);

/** A number of an option's argument; false and a complaint if it is none or out of range. */
bool number_arg(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value);
/** An id of a certificate; false and a complaint. */
bool id_arg(const char *text, uint64_t *id);

/** DIR/name, or DIR/sub/name; exits if it is too long. Overwritten by the fourth call after. */
const char *path_in_dir(const char *sub, const char *name);

/** A registry and the key it was opened with. */
struct authority {
	struct pl_keys *key; /* secret when open for writing, else the public one */
	struct pl_registry *registry;
};

/** Complains and @return false if it cannot. */
bool authority_open(struct authority *a, bool write);
void authority_close(struct authority *a);

/** Commit with the clock's time, and say what was published. @return an exit code. */
int authority_commit(struct authority *a, bool heartbeat, struct pl_registry_commit *done);

/** The token key epoch that new certificates get, and the mask of all; false and a complaint. */
bool authority_epochs(struct authority *a, uint8_t *issuing, uint8_t *mask);

/** A moment for people: "2022-01-06 05:00:00 UTC". @return text. */
const char *time_words(uint64_t unix_s, char text[32]);

/** A JSON string with its quotes, to stdout. */
void json_string(const char *text);
/** One certificate as a JSON object, to stdout; sequence 0 is left out. */
void json_cert(const struct pl_cert *c, uint64_t sequence);

#endif
