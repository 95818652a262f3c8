/* SPDX-License-Identifier: BSD-3-Clause */
/* passlinectl: asks a running appliance, and tells people what it says. */
#ifndef PL_APP_CTL_H
#define PL_APP_CTL_H

#include <jansson.h>

#include "base/pl_base.h"
#include "ctl/pl_ctl.h"

#define PL_CLI_SOCKET "/var/lib/passline/control.sock"

/* Exit statuses. */
enum {
	PL_CLI_DONE = 0,
	PL_CLI_REFUSED = 1, /* or failed */
	PL_CLI_AWAY = 2,    /* no appliance answers */
	PL_CLI_USAGE = 3,
};

struct pl_cli {
	const char *socket_path;
	bool json;
	int timeout_ms;
	int fd;   /* -1: not connected */
	int argc; /* what follows the command */
	char **argv;
};

/**
 * One command. Its synopsis is what follows its name in the help. `options` serves the completion:
 * the options that it takes besides the common ones, "--name" or "--name=" with a value, and the
 * words that may follow its name; a blank between them.
 */
struct pl_cli_command {
	const char *name;
	int (*run)(struct pl_cli *cli);
	const char *summary;
	const char *synopsis;
	const char *description; /* paragraphs, indented by four blanks */
	const char *options;
};

extern const struct pl_cli_command pl_cli_commands[];
extern const size_t pl_cli_command_cnt;

/* help.c */
void pl_cli_help(void);
void pl_cli_command_help(const struct pl_cli_command *c);

/* args.c */
/** A command's options and operands, in place: options are taken out of argv wherever they stand. */
/** --name VALUE or --name=VALUE. @return the value, or NULL if the option is not there; *bad is set
 * when its value is missing. */
const char *pl_cli_option(struct pl_cli *cli, const char *name, bool *bad);
/** --name */
bool pl_cli_flag(struct pl_cli *cli, const char *name);
/** What is left: more than max operands, or an option that nobody took, is told. @return false. */
bool pl_cli_operands(struct pl_cli *cli, int min, int max, const char *what);
/** All of text is a decimal number of at most max. */
bool pl_cli_number(const char *text, uint64_t max, uint64_t *out);

/* ask.c */
/**
 * Ask, and deal with what is no success: it is told on stderr, or with --json on stdout.
 *
 * @param args    an object, or NULL; taken.
 * @param result  the answer's result; the caller's to json_decref(). NULL unless PL_CLI_DONE.
 * @return an exit status.
 */
int pl_cli_ask(struct pl_cli *cli, const char *command, json_t *args, const void *payload,
	       size_t payload_size, json_t **result);
/**
 * All of a file, for the caller to free(); told if it cannot be read or is larger than size_max.
 * @return NULL then.
 */
void *pl_cli_file(const char *path, size_t size_max, size_t *size);
/** Print a result as JSON. */
void pl_cli_json(const json_t *result);
void pl_cli_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* words.c: what people read. Texts in the caller's buffer. */
/** "49,123,456" */
const char *pl_cli_count_text(uint64_t n, char text[32]);
/** "3 d 4 h", "12 s" */
const char *pl_cli_span_text(uint64_t seconds, char text[32]);
/** "2026-01-06 14:00:05 UTC" */
const char *pl_cli_time_text(uint64_t unix_s, char text[32]);
uint64_t pl_cli_u64(const json_t *object, const char *name);
const char *pl_cli_str(const json_t *object, const char *name);
bool pl_cli_bool(const json_t *object, const char *name);

/* status.c */
int pl_cli_status(struct pl_cli *cli);
/* feed.c */
int pl_cli_feed(struct pl_cli *cli);
/* show.c */
int pl_cli_policy(struct pl_cli *cli);
int pl_cli_gateways(struct pl_cli *cli);
int pl_cli_keys(struct pl_cli *cli);
int pl_cli_counters(struct pl_cli *cli);
int pl_cli_journal(struct pl_cli *cli);
/* change.c */
int pl_cli_reload(struct pl_cli *cli);
int pl_cli_drain(struct pl_cli *cli);
int pl_cli_undrain(struct pl_cli *cli);
/* waiver.c */
int pl_cli_waiver(struct pl_cli *cli);

#endif
