/* SPDX-License-Identifier: BSD-3-Clause */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <time.h>

#include "base/pl_date.h"
#include "help.h"
#include "load.h"

#define INTERVAL_CNT_MAX 100000 /* 2 KB each while the JSON is made */

/* O(id, name, takes an argument) */
#define OPTIONS(O)                             \
	O(SOCKETS, "sockets", 1)               \
	O(DEVICE, "device", 1)                 \
	O(DST_IP, "dst-ip", 1)                 \
	O(SRC_IP, "src-ip", 1)                 \
	O(DST_MAC, "dst-mac", 1)               \
	O(VLAN, "vlan", 1)                     \
	O(PORT, "port", 1)                     \
	O(SRC_PORT, "src-port", 1)             \
	O(FLOWS, "flows", 1)                   \
	O(ECHO, "echo", 0)                     \
	O(TELEMETRY, "telemetry", 1)           \
	O(KEY, "key", 1)                       \
	O(KEY_DIR, "key-dir", 1)               \
	O(STATE_DIR, "state-dir", 1)           \
	O(TOKEN_KEYS, "token-keys", 1)         \
	O(POLICY, "policy", 1)                 \
	O(TIME_ZONE, "time-zone", 1)           \
	O(DOSES, "doses", 1)                   \
	O(SEED, "seed", 1)                     \
	O(CERTS, "certs", 1)                   \
	O(AS_OF_DAY, "as-of", 1)               \
	O(KEY_EPOCH, "key-epoch", 1)           \
	O(VENUE_CLASS, "venue-class", 1)       \
	O(PART, "part", 1)                     \
	O(AWAIT, "await", 1)                   \
	O(MIX, "mix", 1)                       \
	O(SCANS, "scans", 1)                   \
	O(POOL, "pool", 1)                     \
	O(FRESH, "fresh", 0)                   \
	O(GARBAGE, "garbage", 1)               \
	O(SURGE, "surge", 1)                   \
	O(SURGE_GATEWAYS, "surge-gateways", 1) \
	O(REFRESH_MS, "refresh-ms", 1)         \
	O(RATE, "rate", 1)                     \
	O(LOSSY, "lossy", 0)                   \
	O(OUTSTANDING, "outstanding", 1)       \
	O(SECONDS, "seconds", 1)               \
	O(WARMUP, "warmup", 1)                 \
	O(INTERVAL, "interval", 1)             \
	O(CHECK_SHARE, "check-share", 1)       \
	O(SEAL, "seal", 1)                     \
	O(JSON, "json", 0)                     \
	O(HELP, "help", 0)                     \
	O(VERSION, "version", 0)

enum option_id {
	OPT_BEFORE = 256,
#define O(id, name, arg) OPT_##id,
	OPTIONS(O)
#undef O
		OPT_END
};

/* One more, of zeros, ends the list. */
static struct option options[OPT_END - OPT_BEFORE];

static void fill_options(void)
{
	struct option *at = options;

#define O(id, text, arg) *at++ = (struct option){.name = text, .has_arg = arg, .val = OPT_##id};
	OPTIONS(O)
#undef O
}

static int usage(const char *option, const char *want)
{
	fprintf(stderr, "passline-load: %s%s%s\nTry 'passline-load -- --help'.\n",
		option == NULL ? "" : option, option == NULL ? "" : ": ", want);
	return LOAD_EXIT_USAGE;
}

static bool to_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || n > (UINT64_MAX - 9) / 10)
			return false;
		n = n * 10 + (uint64_t)(*text - '0');
	}
	*out = n;
	return n >= min && n <= max;
}

static bool to_u32(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t n;

	if (!to_u64(text, min, max, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool to_u16(const char *text, uint16_t min, uint16_t max, uint16_t *out)
{
	uint64_t n;

	if (!to_u64(text, min, max, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

static bool to_real(const char *text, double min, double max, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return end != text && *end == '\0' && isfinite(*out) && *out >= min && *out <= max;
}

/* Seconds, to so many whole milliseconds. */
static bool to_ms(const char *text, uint32_t min_ms, uint32_t max_ms, uint32_t *out)
{
	double s;

	if (!to_real(text, min_ms / 1e3, max_ms / 1e3, &s))
		return false;
	*out = (uint32_t)lround(s * 1e3);
	return fabs(s * 1e3 - *out) < 1e-6;
}

static bool to_ip(const char *text, bool *is_ip6, uint8_t ip[16])
{
	*is_ip6 = strchr(text, ':') != NULL;
	return inet_pton(*is_ip6 ? AF_INET6 : AF_INET, text, ip) == 1;
}

static bool to_mac(const char *text, uint8_t mac[6])
{
	int end = 0;

	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		      &mac[3], &mac[4], &mac[5], &end) == 6 &&
	       text[end] == '\0';
}

static bool to_part(const char *text, struct load_args *args)
{
	char first[24];
	const char *slash = strchr(text, '/');

	if (slash == NULL || (size_t)(slash - text) >= sizeof(first))
		return false;
	memcpy(first, text, (size_t)(slash - text));
	first[slash - text] = '\0';
	return to_u32(slash + 1, 1, 4096, &args->part_cnt) &&
	       to_u32(first, 0, args->part_cnt - 1, &args->part_idx);
}

static bool to_engine(const char *text, enum pl_seal_engine *out)
{
	if (strcmp(text, "auto") == 0) {
		*out = PL_SEAL_AUTO;
		return true;
	}
#define E(id, name)                    \
	if (strcmp(text, name) == 0) { \
		*out = PL_SEAL_##id;   \
		return true;           \
	}
	PL_SEAL_ENGINES(E)
#undef E
	return false;
}

/* Where to and as whom. @return NULL, or what was wanted. */
static const char *parse_where(struct load_args *a, int opt, const char *v, bool *src_is_ip6)
{
	switch (opt) {
	case OPT_SOCKETS:
		a->sockets = v;
		return NULL;
	case OPT_DEVICE:
		a->device = v;
		return NULL;
	case OPT_DST_IP:
		return to_ip(v, &a->flow.is_ip6, a->flow.dst_ip) ? NULL : "want an IP address";
	case OPT_SRC_IP:
		return to_ip(v, src_is_ip6, a->flow.src_ip) ? NULL : "want an IP address";
	case OPT_DST_MAC:
		a->dst_mac_given = true;
		return to_mac(v, a->flow.dst_mac) ? NULL : "want xx:xx:xx:xx:xx:xx";
	case OPT_VLAN:
		return to_u16(v, 1, 4094, &a->flow.vlan_id) ? NULL : "want 1 .. 4094";
	case OPT_PORT:
		return to_u16(v, 1, 65535, &a->flow.dst_port) ? NULL : "want 1 .. 65535";
	case OPT_SRC_PORT:
		return to_u16(v, 1, 65535, &a->flow.src_port) ? NULL : "want 1 .. 65535";
	case OPT_FLOWS:
		return to_u32(v, 1, LOAD_FLOWS_MAX, &a->flow_cnt) ? NULL : "want 1 .. 1024";
	case OPT_ECHO:
		a->echo = true;
		return NULL;
	case OPT_TELEMETRY:
		a->telemetry_path = v;
		return NULL;
	case OPT_KEY:
		a->key_path = v;
		return NULL;
	case OPT_KEY_DIR:
		a->key_dir = v;
		return NULL;
	case OPT_STATE_DIR:
		a->state_dir = v;
		return NULL;
	default:
		return "wrong option";
	}
}

/* About whom. */
static const char *parse_population(struct load_args *a, int opt, const char *v)
{
	switch (opt) {
	case OPT_TOKEN_KEYS:
		a->token_key_dir = v;
		return NULL;
	case OPT_POLICY:
		a->policy_path = v;
		return NULL;
	case OPT_TIME_ZONE:
		a->time_zone = v;
		return NULL;
	case OPT_DOSES:
		a->doses_path = v;
		return NULL;
	case OPT_SEED:
		return to_u64(v, 0, UINT64_MAX, &a->seed) ? NULL : "want a number";
	case OPT_CERTS:
		return to_u64(v, 1, 1ull << 32, &a->cert_cnt) ? NULL : "want 1 .. 2^32";
	case OPT_AS_OF_DAY:
		return pl_date_parse(v, strlen(v), &a->as_of_day) ? NULL : "want YYYY-MM-DD";
	case OPT_KEY_EPOCH:
		return to_u32(v, 0, 7, &a->key_epoch) ? NULL : "want 0 .. 7";
	case OPT_VENUE_CLASS:
		return to_u32(v, 0, 255, &a->venue_class) ? NULL : "want 0 .. 255";
	case OPT_AWAIT:
		a->await_path = v;
		return NULL;
	case OPT_PART:
		return to_part(v, a) ? NULL : "want I/N: 0 <= I < N <= 4096";
	default:
		return "wrong option";
	}
}

/* What, how fast and how long. */
static const char *parse_what(struct load_args *a, int opt, const char *v, char *error,
			      size_t error_size)
{
	switch (opt) {
	case OPT_MIX:
		return mix_parse(&a->mix, v, error, error_size) == 0 ? NULL : error;
	case OPT_SCANS:
		return to_u32(v, 1, PL_WIRE_SCANS_MAX, &a->scan_cnt) ? NULL : "want 1 .. 43";
	case OPT_POOL:
		return to_u32(v, 64, 1u << 24, &a->pool_cnt) ? NULL : "want 64 .. 16777216";
	case OPT_FRESH:
		a->fresh = true;
		return NULL;
	case OPT_GARBAGE:
		return to_real(v, 0, 0.99, &a->garbage_share) ? NULL : "want a share, 0 .. 0.99";
	case OPT_SURGE:
		return to_real(v, 0.001, 0.999, &a->surge_share) ? NULL
								 : "want a share, 0.001 .. 0.999";
	case OPT_SURGE_GATEWAYS:
		return to_u32(v, 1, 4095, &a->surge_gateways) ? NULL : "want 1 .. 4095";
	case OPT_REFRESH_MS:
		return to_u32(v, 100, 3000, &a->refresh_ms) ? NULL : "want 100 .. 3000";
	case OPT_RATE:
		return to_real(v, 1, 1e9, &a->rate) ? NULL : "want 1 .. 1e9 datagrams a second";
	case OPT_LOSSY:
		a->lossy = true;
		return NULL;
	case OPT_OUTSTANDING:
		return to_u32(v, 1, 1u << 20, &a->outstanding) ? NULL : "want 1 .. 1048576";
	case OPT_SECONDS:
		return to_real(v, 0.01, 86400, &a->seconds) ? NULL : "want 0.01 .. 86400";
	case OPT_WARMUP:
		return to_real(v, 0, 3600, &a->warmup_s) ? NULL : "want 0 .. 3600";
	case OPT_INTERVAL:
		return to_ms(v, 10, 3600000, &a->interval_ms)
			       ? NULL
			       : "want 0.01 .. 3600 seconds, in whole milliseconds";
	case OPT_CHECK_SHARE:
		return to_real(v, 0.001, 1, &a->check_share) ? NULL : "want a share, 0.001 .. 1";
	case OPT_SEAL:
		return to_engine(v, &a->seal_engine) ? NULL : "want auto, ipsec-mb or libsodium";
	case OPT_JSON:
		a->json = true;
		return NULL;
	default:
		return "wrong option";
	}
}

static int check(struct load_args *a, bool dst_given, bool src_given, bool src_is_ip6)
{
	char error[256];

	if (a->sockets != NULL) {
		if (pl_client_addr_parse(a->sockets, &a->sockets_addr, error, sizeof(error)) != 0)
			return usage("--sockets", error);
		if (a->echo)
			return usage("--echo", "needs a DPDK port");
		if (dst_given || src_given || a->device != NULL)
			return usage("--sockets", "goes without --device, --dst-ip and --src-ip");
	} else if (!dst_given || !src_given) {
		return usage(NULL, "give --dst-ip (the appliance's) and --src-ip (ours), or "
				   "--sockets ADDRESS:PORT");
	} else if (src_is_ip6 != a->flow.is_ip6) {
		return usage("--src-ip", "must be of the family of --dst-ip");
	}
	if (a->seconds * 1e3 < 2.0 * a->interval_ms)
		return usage("--interval", "at most half of --seconds: it begins at a multiple "
					   "of itself on the clock, and only whole ones are told");
	if (a->interval_ms != 0 && a->seconds * 1e3 / a->interval_ms > INTERVAL_CNT_MAX)
		return usage("--interval", "makes more than 100000 intervals of --seconds");
	if (a->echo && !a->dst_mac_given)
		return usage("--echo", "needs --dst-mac: what echoes answers no ARP");
	if (a->echo && (a->telemetry_path != NULL || a->check_share < 1))
		return usage("--echo", "goes without --telemetry and --check-share");
	if ((a->key_path == NULL) == (a->key_dir == NULL))
		return usage(NULL, "give --key FILE or --key-dir DIR: the gateways' keys");
	if (a->surge_share > 0 && (a->key_dir == NULL || a->echo || a->check_share < 1))
		return usage("--surge",
			     "needs --key-dir with two gateways or more, and goes without "
			     "--echo and --check-share");
	if (a->surge_gateways != 0 && a->surge_share == 0)
		return usage("--surge-gateways", "needs --surge");
	if (a->surge_gateways == 0)
		a->surge_gateways = 1;
	if (a->lossy && a->rate == 0)
		return usage("--lossy", "needs --rate: in a closed loop nothing is sent too fast");
	if (a->token_key_dir == NULL)
		return usage(NULL, "give --token-keys DIR: the token master keys");
	if (a->state_dir == NULL)
		return usage(NULL, "give --state-dir DIR: where request counters are kept");
	if (a->cert_cnt == 0)
		return usage(NULL,
			     "give --certs (and --seed): as for 'passline-authority population'");
	if (a->cert_cnt < a->part_cnt)
		return usage("--part", "more parts than certificates");
	if (a->flow.src_port + a->flow_cnt > 65536)
		return usage("--flows", "run past port 65535");
	if (a->rate == 0 && a->pool_cnt != 0 && a->pool_cnt < 2 * a->outstanding)
		return usage("--pool", "must be twice --outstanding at least");
	return -1;
}

static void defaults(struct load_args *a)
{
	*a = (struct load_args){
		.flow = {.dst_port = PL_WIRE_PORT, .src_port = 20000},
		.flow_cnt = 1,
		.time_zone = "Asia/Seoul",
		.as_of_day = INT32_MIN,
		.venue_class = 1,
		.part_cnt = 1,
		.scan_cnt = 16,
		.refresh_ms = 2000,
		.outstanding = 256,
		.seconds = 10,
		.warmup_s = 1,
		.check_share = 1,
	};
	mix_default(&a->mix);
}

int load_args_parse(struct load_args *args, int argc, char **argv)
{
	bool dst_given = false, src_given = false, src_is_ip6 = false;
	int opt, index = 0;

	defaults(args);
	fill_options();
	while ((opt = getopt_long(argc, argv, "", options, &index)) != -1) {
		const char *want;
		char error[256], name[40];

		if (opt == OPT_HELP) {
			load_help();
			return LOAD_EXIT_OK;
		}
		if (opt == OPT_VERSION) {
			puts("passline-load " PL_VERSION);
			return LOAD_EXIT_OK;
		}
		if (opt < OPT_BEFORE)
			return usage(NULL, "wrong option"); /* getopt has named it */
		dst_given |= opt == OPT_DST_IP;
		src_given |= opt == OPT_SRC_IP;
		if (opt < OPT_TOKEN_KEYS)
			want = parse_where(args, opt, optarg, &src_is_ip6);
		else if (opt < OPT_MIX)
			want = parse_population(args, opt, optarg);
		else
			want = parse_what(args, opt, optarg, error, sizeof(error));
		if (want != NULL) {
			snprintf(name, sizeof(name), "--%s", options[index].name);
			return usage(name, want);
		}
	}
	if (optind != argc)
		return usage(argv[optind], "what is this? All settings are options");
	return check(args, dst_given, src_given, src_is_ip6);
}

bool load_args_want_sockets(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--sockets", 9) == 0 || strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "--version") == 0)
			return true;
	return false;
}

int load_args_separator(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return -1;
}
