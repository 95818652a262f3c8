/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <getopt.h>

#include "scan.h"

static const char help_text[] =
	"NAME\n"
	"    passline-scan - ask an appliance whether a pass holds\n"
	"\n"
	"SYNOPSIS\n"
	"    passline-scan --key FILE --to ADDRESS[:PORT] [OPTION]... QR-TEXT\n"
	"    passline-scan --key FILE --to ADDRESS[:PORT] [OPTION]... --image PICTURE\n"
	"    passline-scan --key FILE --to ADDRESS[:PORT] [OPTION]... --qr-file FILE\n"
	"\n"
	"DESCRIPTION\n"
	"    Sends one scan to an appliance as a gateway would, and prints the verdict. The QR "
	"code\n"
	"    comes as its text (PL1:...), as a PNG or JPEG picture, or in a file.\n"
	"\n"
	"OPTIONS\n"
	"    --to ADDRESS[:PORT]    an appliance; IPv6 with a port as [ADDRESS]:PORT. Port 4717\n"
	"                           unless given. Up to 8 times: tried in turn\n"
	"    --key FILE             the gateway's key file. A key is never taken from the command\n"
	"                           line, where others could read it\n"
	"    --image PICTURE        read the QR code from a PNG or JPEG file, - for standard "
	"input\n"
	"    --qr-file FILE         read the QR code's text from a file, - for standard input\n"
	"    --venue CLASS:NUMBER   where the scan takes place: class 0 .. 255 and number\n"
	"                           0 .. 16777215 (default 1:1)\n"
	"    --scan-id N            the scan's number, 0 .. 4294967295. The same one asks about "
	"the\n"
	"                           same scan again; default: a new random one\n"
	"    --timeout-ms N         until there must be an answer, 1 .. 600000 (default 1000)\n"
	"    --state FILE           the key's counter file; default: in the state directory,\n"
	"                           counter-GATEWAY-EPOCH\n"
	"    --state-dir DIR        state directory; default: $STATE_DIRECTORY, or\n"
	"                           $XDG_STATE_HOME/passline, or ~/.local/state/passline\n"
	"    --json                 print one JSON object\n"
	"    --help, --version\n"
	"\n"
	"EXIT STATUS\n"
	"    0  PASS\n"
	"    1  DENY\n"
	"    2  UNKNOWN: the appliance cannot tell; no denial\n"
	"    3  wrong usage, or no answer\n"
	"\n"
	"EXAMPLES\n"
	"    passline-scan --key gateway-1.key --to 192.0.2.1 --image pass.png\n"
	"    passline-authority wallet ... | passline-scan --key g.key --to 192.0.2.1 --qr-file -\n"
	"\n"
	"SEE ALSO\n"
	"    docs/gateway.md, docs/protocol.md\n";

enum option_id {
	OPT_TO = 256,
	OPT_KEY,
	OPT_IMAGE,
	OPT_QR_FILE,
	OPT_VENUE,
	OPT_SCAN_ID,
	OPT_TIMEOUT_MS,
	OPT_STATE,
	OPT_STATE_DIR,
	OPT_JSON,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option options[] = {
	{"to", required_argument, NULL, OPT_TO},
	{"key", required_argument, NULL, OPT_KEY},
	{"image", required_argument, NULL, OPT_IMAGE},
	{"qr-file", required_argument, NULL, OPT_QR_FILE},
	{"venue", required_argument, NULL, OPT_VENUE},
	{"scan-id", required_argument, NULL, OPT_SCAN_ID},
	{"timeout-ms", required_argument, NULL, OPT_TIMEOUT_MS},
	{"state", required_argument, NULL, OPT_STATE},
	{"state-dir", required_argument, NULL, OPT_STATE_DIR},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static int usage(const char *what, const char *value)
{
	fprintf(stderr, "passline-scan: %s%s%s\nTry 'passline-scan --help'.\n", what,
		value == NULL ? "" : ": ", value == NULL ? "" : value);
	return SCAN_EXIT_NONE;
}

/* Decimal digits only, up to end. */
static bool parse_number(const char *text, const char *end, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (text == end)
		return false;
	for (; text != end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (uint64_t)(*text - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return true;
}

static int parse_venue(const char *text, uint32_t *out)
{
	const char *colon = strchr(text, ':');
	uint64_t cls, number;

	if (colon == NULL || !parse_number(text, colon, 255, &cls) ||
	    !parse_number(colon + 1, colon + strlen(colon), 0xffffff, &number))
		return usage("--venue wants CLASS:NUMBER, 0 .. 255 and 0 .. 16777215", text);
	*out = PL_VENUE(cls, number);
	return -1;
}

static int parse_to(struct scan_args *args, const char *text)
{
	char error[256];

	if (args->conf.addr_cnt == PL_CLIENT_ADDRS_MAX)
		return usage("--to at most 8 times", NULL);
	if (pl_client_addr_parse(text, &args->conf.addrs[args->conf.addr_cnt], error,
				 sizeof(error)) != 0)
		return usage("--to", error);
	args->conf.addr_cnt++;
	return -1;
}

static int parse_option(struct scan_args *args, int opt, const char *value)
{
	uint64_t n;

	switch (opt) {
	case OPT_TO:
		return parse_to(args, value);
	case OPT_KEY:
		args->key_path = value;
		return -1;
	case OPT_IMAGE:
		args->image_path = value;
		return -1;
	case OPT_QR_FILE:
		args->qr_path = value;
		return -1;
	case OPT_VENUE:
		return parse_venue(value, &args->venue_id);
	case OPT_SCAN_ID:
		if (!parse_number(value, value + strlen(value), UINT32_MAX, &n))
			return usage("--scan-id wants 0 .. 4294967295", value);
		args->scan_id = (uint32_t)n;
		args->scan_id_given = true;
		return -1;
	case OPT_TIMEOUT_MS:
		if (!parse_number(value, value + strlen(value), 600000, &n) || n == 0)
			return usage("--timeout-ms wants 1 .. 600000", value);
		args->conf.deadline_ms = (uint32_t)n;
		return -1;
	case OPT_STATE:
		args->state_path = value;
		return -1;
	case OPT_STATE_DIR:
		args->state_dir = value;
		return -1;
	case OPT_JSON:
		args->json = true;
		return -1;
	case OPT_HELP:
		fputs(help_text, stdout);
		return 0;
	case OPT_VERSION:
		puts("passline-scan " PL_VERSION);
		return 0;
	default:
		return usage("wrong option", NULL); /* getopt has named it */
	}
}

static int check(struct scan_args *args, int argc, char **argv, int at)
{
	int sources = (args->image_path != NULL) + (args->qr_path != NULL) + (argc - at);

	if (sources != 1)
		return usage("give one QR code: its text, --image or --qr-file", NULL);
	if (at < argc)
		args->qr_text = argv[at];
	if (args->key_path == NULL)
		return usage("--key is missing: the gateway's key file", NULL);
	if (args->conf.addr_cnt == 0)
		return usage("--to is missing: the appliance's address", NULL);
	if (args->conf.first_retry_ms > args->conf.deadline_ms / 2)
		args->conf.first_retry_ms = args->conf.deadline_ms / 2 + 1;
	return -1;
}

int scan_args_parse(struct scan_args *args, int argc, char **argv)
{
	int opt, rc;

	*args = (struct scan_args){.venue_id = PL_VENUE(1, 1)};
	pl_client_conf_default(&args->conf);
	args->conf.outstanding_max = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		rc = parse_option(args, opt, optarg);
		if (rc >= 0)
			return rc;
	}
	return check(args, argc, argv, optind);
}
