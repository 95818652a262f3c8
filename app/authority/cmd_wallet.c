/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wallet: what a citizen's app shows. A stand-in for it, and first issuance.
 */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <time.h>

#include "authority.h"
#include "qr/pl_qr.h"
#include "token/pl_token.h"

struct wallet {
	struct pl_keys *key; /* PL_KEY_WALLET */
	const char *png_path;
	uint32_t scale_px;
	bool draw;
};

static volatile sig_atomic_t stop;

static void on_signal(int signal_nr)
{
	(void)signal_nr;
	stop = 1;
}

/** Derive a certificate's key from its master key; @return NULL and a complaint if it cannot. */
static struct pl_keys *derive(uint64_t id)
{
	struct pl_keys *master = NULL, *out = NULL;
	struct authority a;
	struct pl_cert c;
	char error[ERROR_SIZE];
	char name[16];
	uint64_t sequence;
	bool ok;

	if (!authority_open(&a, false))
		return NULL;
	ok = pl_registry_get(a.registry, id, &c, &sequence, error, sizeof(error)) == 0;
	authority_close(&a);
	if (ok) {
		snprintf(name, sizeof(name), "%u.key", c.key_epoch);
		ok = pl_keys_load_file(path_in_dir(TOKEN_NAME, name), PL_KEY_TOKEN, &master, error,
				       sizeof(error)) == 0;
	}
	if (!ok) {
		complain("%s", error);
		return NULL;
	}
	if (c.revoked || c.suspended)
		complain("0x%016" PRIx64 ": is %s; its codes will be denied", id,
			 c.revoked ? "revoked" : "suspended");
	out = pl_keys_create(1);
	if (out == NULL) {
		complain("no locked memory for keys: raise the limit (ulimit -l)");
	} else {
		out->key[0].kind = PL_KEY_WALLET;
		out->key[0].cert_id = id;
		pl_token_cert_key(out->key[0].bytes, master->key[0].bytes, id, c.generation);
	}
	pl_keys_free(master);
	return out;
}

/** Show the code of one moment, in whichever way was asked for. */
static bool show(const struct wallet *w, uint32_t shown_at)
{
	const struct pl_key *key = &w->key->key[0];
	char text[PL_TOKEN_TEXT_SIZE + 1];
	char error[ERROR_SIZE];
	struct pl_token token;
	struct pl_qr qr = {0};
	bool ok = true;

	pl_token_mint(&token, key->bytes, key->cert_id, shown_at);
	pl_token_to_text(&token, text);
	if (w->draw || w->png_path != NULL)
		ok = pl_qr_create(text, &qr) == 0;
	if (!ok)
		complain("out of memory");
	if (ok && w->png_path != NULL &&
	    pl_qr_write_png(&qr, w->png_path, w->scale_px, error, sizeof(error)) != 0) {
		complain("%s", error);
		ok = false;
	}
	if (ok && w->draw) {
		char *drawing = pl_qr_terminal(&qr);

		ok = drawing != NULL && fputs(drawing, stdout) != EOF;
		free(drawing);
	}
	pl_qr_destroy(&qr);
	if (!ok)
		return false;
	if (json)
		printf("{\"id\": \"0x%016" PRIx64 "\", \"shown_at\": %u, \"text\": \"%s\"}\n",
		       key->cert_id, shown_at, text);
	else
		puts(text);
	return fflush(stdout) == 0;
}

/** A new code every 15 s, until a signal or until cnt were shown (0: no end). */
static bool watch(const struct wallet *w, uint64_t cnt)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct timespec next;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	clock_gettime(CLOCK_REALTIME, &next);
	for (uint64_t i = 0; !stop; i++) {
		if (w->draw && !json && i > 0)
			fputs("\x1b[2J\x1b[H", stdout); /* clear, and home */
		if (!show(w, (uint32_t)time(NULL)))
			return false;
		if (i + 1 == cnt)
			break;
		next.tv_sec += PL_TOKEN_LIFE_S;
		while (!stop &&
		       clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &next, NULL) == EINTR)
			continue;
	}
	return true;
}

/** Unix seconds, or +N or -N: seconds from now. */
static bool parse_at(const char *text, uint32_t *at)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (text[0] == '\0' || text[0] == ' ' || *end != '\0' || errno != 0)
		return false;
	if (text[0] == '+' || text[0] == '-')
		value += (long long)time(NULL);
	*at = (uint32_t)value;
	return value >= 0 && value <= UINT32_MAX;
}

static bool export_key(const struct wallet *w, const char *path)
{
	char error[ERROR_SIZE];

	if (pl_keys_write_file(path, &w->key->key[0], false, error, sizeof(error)) != 0) {
		complain("%s", error);
		return false;
	}
	if (json)
		printf("{\"id\": \"0x%016" PRIx64 "\", \"key\": \"%s\"}\n", w->key->key[0].cert_id,
		       path);
	else
		printf("0x%016" PRIx64 ": key in %s\n", w->key->key[0].cert_id, path);
	return true;
}

static struct pl_keys *load_key(const char *path)
{
	struct pl_keys *key = NULL;
	char error[ERROR_SIZE];

	if (pl_keys_load_file(path, PL_KEY_WALLET, &key, error, sizeof(error)) != 0)
		complain("%s", error);
	return key;
}

struct wallet_args {
	struct wallet wallet;
	const char *key_path, *export_path;
	uint64_t id;
	uint64_t show_cnt;
	uint32_t at;
	bool at_given, watch;
};

static int parse_args(int argc, char **argv, struct wallet_args *w)
{
	static const struct option options[] = {
		{"png", required_argument, NULL, 'p'},
		{"scale", required_argument, NULL, 's'},
		{"draw", no_argument, NULL, 'D'},
		{"watch", no_argument, NULL, 'w'},
		{"count", required_argument, NULL, 'n'},
		{"at", required_argument, NULL, 'a'},
		{"key", required_argument, NULL, 'k'},
		{"export", required_argument, NULL, 'e'},
		COMMON_OPTIONS,
	};
	uint64_t scale = 8;
	int c;

	while ((c = next_option(argc, argv, options)) != -1) {
		switch (c) {
		case 'p':
			w->wallet.png_path = optarg;
			break;
		case 's':
			if (!number_arg("scale", optarg, 1, PL_QR_SCALE_PX_MAX, &scale))
				return EXIT_USAGE;
			break;
		case 'D':
			w->wallet.draw = true;
			break;
		case 'w':
			w->watch = true;
			break;
		case 'n':
			if (!number_arg("count", optarg, 1, UINT32_MAX, &w->show_cnt))
				return EXIT_USAGE;
			break;
		case 'a':
			w->at_given = true;
			if (!parse_at(optarg, &w->at))
				return usage("--at: expected unix seconds, or +N or -N seconds "
					     "from now, got \"%s\"",
					     optarg);
			break;
		case 'k':
			w->key_path = optarg;
			break;
		default:
			w->export_path = optarg;
		}
	}
	w->wallet.scale_px = (uint32_t)scale;
	if ((w->key_path == NULL) != (optind + 1 == argc) || optind + 1 < argc)
		return usage("expected one id, or --key FILE");
	if (w->watch && w->at_given)
		return usage("--watch shows codes of now: --at does not go with it");
	if (w->key_path == NULL && !id_arg(argv[optind], &w->id))
		return EXIT_USAGE;
	return EXIT_DONE;
}

static int run(int argc, char **argv)
{
	struct wallet_args w = {0};
	int code = parse_args(argc, argv, &w);
	bool ok;

	if (code != EXIT_DONE)
		return code;
	w.wallet.key = w.key_path != NULL ? load_key(w.key_path) : derive(w.id);
	if (w.wallet.key == NULL)
		return EXIT_FAILED;
	if (w.export_path != NULL)
		ok = export_key(&w.wallet, w.export_path);
	else if (w.watch)
		ok = watch(&w.wallet, w.show_cnt);
	else
		ok = show(&w.wallet, w.at_given ? w.at : (uint32_t)time(NULL));
	pl_keys_free(w.wallet.key);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_wallet = {
	.name = "wallet",
	.synopsis = "ID | --key FILE [--png FILE] [--draw] [--watch] [--at TIME] [--export FILE]",
	.summary = "show a certificate's QR code, as its wallet would",
	.help = "DESCRIPTION\n"
		"  Prints the text that the certificate's QR code holds now, and draws it if "
		"asked. A\n"
		"  code holds for 15 s and the site's tolerance.\n"
		"\n"
		"  --export is first issuance: it writes the certificate's own key, all that a "
		"wallet\n"
		"  needs to work without a network. --key is such a wallet: it asks neither "
		"registry\n"
		"  nor master key.\n"
		"\n"
		"OPTIONS\n"
		"      --png FILE     draw it as a PNG (mode 0600), replacing FILE at once\n"
		"      --scale N      pixels a module, 1 to 64; 8 unless given\n"
		"      --draw         draw it in the terminal\n"
		"      --watch        a new one every 15 s, until interrupted\n"
		"      --count N      with --watch: stop after N\n"
		"      --at TIME      as if it were TIME: unix seconds, or +N or -N seconds from "
		"now\n"
		"      --key FILE     a wallet's key file in place of an id\n"
		"      --export FILE  write the wallet's key file (mode 0600; must not be there "
		"yet)\n",
	.run = run,
};
