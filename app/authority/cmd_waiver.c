/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * waiver: enforcement waivers, signed for appliances.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "authority.h"
#include "waiver/pl_waiver.h"

#define REASON_ENDED "enforcement is resumed"

struct waiver_args {
	const char *reason, *out_path;
	uint64_t from_s, until_s;
	bool from_given, until_given;
};

/** Unix seconds, +N from now, or 2022-01-06T05:00:00Z. */
static bool parse_time(const char *text, uint64_t now_s, uint64_t *at)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	char *number_end;

	if (end != NULL && *end == '\0') {
		*at = (uint64_t)timegm(&tm);
		return *at <= UINT32_MAX;
	}
	errno = 0;
	*at = strtoull(text[0] == '+' ? text + 1 : text, &number_end, 10);
	if (text[text[0] == '+'] < '0' || text[text[0] == '+'] > '9' || *number_end != '\0' ||
	    errno != 0 || *at > UINT32_MAX)
		return false;
	if (text[0] == '+')
		*at += now_s;
	return *at <= UINT32_MAX;
}

/** A new file, durable when it is there at all. */
static bool write_file(const char *path, const uint8_t *data)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	bool ok = fd >= 0 && write(fd, data, PL_WAIVER_SIZE) == PL_WAIVER_SIZE && fsync(fd) == 0;
	int why = errno;

	if (fd >= 0)
		close(fd);
	if (!ok) {
		complain("%s: %s", path, strerror(why));
		if (fd >= 0)
			(void)unlink(path);
	}
	return ok;
}

static void print_waiver(const struct pl_waiver *w, const char *path)
{
	char from[32], until[32];

	if (json) {
		printf("{\"serial\": %" PRIu64 ", \"from\": %u, \"until\": %u, \"reason\": ",
		       w->serial, w->from_s, w->until_s);
		json_string(w->reason);
		if (path != NULL) {
			printf(", \"file\": ");
			json_string(path);
		}
		printf("}");
		if (path != NULL)
			putchar('\n');
		return;
	}
	printf("waiver %" PRIu64, w->serial);
	if (w->until_s == 0)
		printf(", ends those before");
	else
		printf(", from %s until %s", time_words(w->from_s, from),
		       time_words(w->until_s, until));
	printf(": %s", w->reason);
	printf(path != NULL ? ", in %s\n" : "\n", path);
}

static int create(struct authority *a, const struct waiver_args *args)
{
	struct pl_waiver w = {
		.stream_id = a->key->key[0].stream_id,
		.issued_s = (uint64_t)time(NULL),
		.from_s = (uint32_t)args->from_s,
		.until_s = (uint32_t)args->until_s,
	};
	uint8_t data[PL_WAIVER_SIZE];
	char error[ERROR_SIZE];

	if (strlen(args->reason) >= sizeof(w.reason)) {
		complain("--reason: at most %zu bytes, got %zu", sizeof(w.reason) - 1,
			 strlen(args->reason));
		return EXIT_FAILED;
	}
	memcpy(w.reason, args->reason, strlen(args->reason));
	/* Once with a serial that is none, to see that it can be made; a number is spent on it then. */
	w.serial = UINT64_MAX;
	if (pl_waiver_seal(&w, a->key->key[0].bytes, data, error, sizeof(error)) != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	if (access(args->out_path, F_OK) == 0) {
		complain("%s: is there already, and is not written over", args->out_path);
		return EXIT_FAILED;
	}
	if (pl_registry_waiver_add(a->registry, &w, &w.serial, error, sizeof(error)) != 0 ||
	    pl_waiver_seal(&w, a->key->key[0].bytes, data, error, sizeof(error)) != 0) {
		complain("%s", error);
		return EXIT_FAILED;
	}
	if (!write_file(args->out_path, data))
		return EXIT_FAILED;
	print_waiver(&w, args->out_path);
	return EXIT_DONE;
}

static int list_one(void *ctx, const struct pl_waiver *w)
{
	uint32_t *cnt = ctx;

	if (json && (*cnt)++ > 0)
		printf(",\n ");
	print_waiver(w, NULL);
	return 0;
}

static int list(void)
{
	struct authority a;
	char error[ERROR_SIZE];
	uint32_t cnt = 0;
	int rc;

	if (!authority_open(&a, false))
		return EXIT_FAILED;
	if (json)
		putchar('[');
	rc = pl_registry_waiver_each(a.registry, list_one, &cnt, error, sizeof(error));
	if (json)
		puts("]");
	if (rc != 0)
		complain("%s", error);
	authority_close(&a);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int parse_args(int argc, char **argv, struct waiver_args *w)
{
	static const struct option options[] = {
		{"from", required_argument, NULL, 'f'},
		{"until", required_argument, NULL, 'u'},
		{"reason", required_argument, NULL, 'r'},
		{"out", required_argument, NULL, 'o'},
		COMMON_OPTIONS,
	};
	uint64_t now_s = (uint64_t)time(NULL);
	int c;

	w->from_s = now_s;
	while ((c = next_option(argc, argv, options)) != -1) {
		switch (c) {
		case 'f':
		case 'u':
			if (!parse_time(optarg, now_s, c == 'f' ? &w->from_s : &w->until_s))
				return usage("--%s: expected unix seconds, +N seconds from now, or "
					     "2022-01-06T05:00:00Z, got \"%s\"",
					     c == 'f' ? "from" : "until", optarg);
			w->from_given |= c == 'f';
			w->until_given |= c == 'u';
			break;
		case 'r':
			w->reason = optarg;
			break;
		default:
			w->out_path = optarg;
		}
	}
	return EXIT_DONE;
}

static int run(int argc, char **argv)
{
	struct waiver_args w = {0};
	int code = parse_args(argc, argv, &w);
	struct authority a;
	bool ends;

	if (code != EXIT_DONE)
		return code;
	if (optind + 1 != argc)
		return usage("expected create, end or list");
	if (strcmp(argv[optind], "list") == 0)
		return list();
	ends = strcmp(argv[optind], "end") == 0;
	if (!ends && strcmp(argv[optind], "create") != 0)
		return usage("expected create, end or list, got \"%s\"", argv[optind]);
	if (w.out_path == NULL)
		return usage("%s: expected --out FILE", argv[optind]);
	if (ends && (w.from_given || w.until_given))
		return usage("end: ends at once, --from and --until do not go with it");
	if (!ends && (!w.until_given || w.reason == NULL))
		return usage("create: expected --until TIME and --reason TEXT");
	if (ends) {
		w.from_s = w.until_s = 0;
		w.reason = w.reason != NULL ? w.reason : REASON_ENDED;
	}
	if (!authority_open(&a, true))
		return EXIT_FAILED;
	code = create(&a, &w);
	authority_close(&a);
	return code;
}

const struct command command_waiver = {
	.name = "waiver",
	.synopsis = "create [--from TIME] --until TIME --reason TEXT --out FILE\n"
		    "                            | end [--reason TEXT] --out FILE | list",
	.summary = "waive enforcement for a while, or resume it",
	.help = "DESCRIPTION\n"
		"  create signs a waiver: from one time until another venues need not act on "
		"verdicts.\n"
		"  It changes no verdict. Appliances take it by `passlinectl waiver apply FILE`, "
		"and say\n"
		"  so in every reply until it is over. It lasts 31 days at most. end makes one "
		"that "
		"ends\n"
		"  it before its time. The newest counts, by its serial: each takes the place of "
		"all\n"
		"  before. list shows all that were made.\n"
		"\n"
		"OPTIONS\n"
		"      --from TIME    unix seconds, +N seconds from now, or 2022-01-06T05:00:00Z; "
		"now\n"
		"                     unless given\n"
		"      --until TIME   the same\n"
		"      --reason TEXT  for venues' and operators' eyes; up to 199 bytes\n"
		"      --out FILE     the waiver; must not be there yet\n",
	.run = run,
};
