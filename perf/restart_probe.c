/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ask an appliance about certificates that hold, one every few milliseconds, while it is killed and
 * started again, and print when what it says changes:
 *
 *     NANOSECONDS pass|deny|unknown|none VERDICT
 *
 * by CLOCK_MONOTONIC, which whoever reads it has, too. Ends at TERM, or when its time is up, with a
 * line of JSON: how many of each. One attempt a question: nothing is asked twice.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <time.h>

#include <sodium.h>

#include "base/pl_date.h"
#include "base/pl_time.h"
#include "bench_util.h"
#include "client/pl_client.h"
#include "keys/pl_keys.h"
#include "policy/pl_policy.h"
#include "population/pl_population.h"
#include "token/pl_token.h"
#include "wire/pl_verdict.h"

#define OUTSTANDING_MAX 64u
#define DEADLINE_MS     200u
#define VENUE_CLASS     1u
#define ASK_AGAIN_S     (PL_TOKEN_LIFE_S + 6u) /* of one certificate: or it would be a copy */

enum group { GROUP_NONE, GROUP_PASS, GROUP_DENY, GROUP_UNKNOWN, GROUP_CNT };

static const char *const group_names[GROUP_CNT] = {"none", "pass", "deny", "unknown"};

static volatile sig_atomic_t ended;

struct probe {
	struct pl_client *client;
	struct pl_population *population;
	struct pl_policy policy;
	struct pl_population_conf conf;
	uint8_t master[PL_TOKEN_KEY_SIZE];
	uint64_t at;          /* in the population */
	uint64_t walk_from_s; /* when this walk through it began */
	uint32_t scan_id;
	uint64_t cnt[GROUP_CNT];
	uint32_t last_verdict;
};

static void on_term(int sig)
{
	(void)sig;
	ended = 1;
}

/* The next certificate that the default rules let in; after the last one the first again, once its
 * next picture is no copy. */
static bool next_cert(struct probe *p, struct pl_cert *out)
{
	uint64_t now_s = pl_time_ns(CLOCK_MONOTONIC) / 1000000000u;

	for (;;) {
		if (p->at == p->conf.cert_cnt) {
			if (now_s < p->walk_from_s + ASK_AGAIN_S)
				return false;
			p->at = 0;
			p->walk_from_s = now_s;
		}
		*out = pl_population_cert(p->population, p->at++);
		if (!out->revoked && !out->suspended &&
		    pl_policy_judge(&p->policy, pl_facts_pack(out), VENUE_CLASS,
				    p->conf.as_of_day) == PL_V_PASS)
			return true;
	}
}

static void ask(struct probe *p)
{
	uint8_t cert_key[PL_TOKEN_KEY_SIZE];
	struct pl_wire_scan scan = {.venue_id = VENUE_CLASS << 24 | 1};
	struct pl_token token;
	struct pl_cert cert;

	if (!next_cert(p, &cert))
		return;
	pl_token_cert_key(cert_key, p->master, cert.id, cert.generation);
	pl_token_mint(&token, cert_key, cert.id,
		      (uint32_t)(pl_time_ns(CLOCK_REALTIME) / 1000000000u));
	scan.cert_id = token.cert_id;
	scan.shown_at = token.shown_at;
	scan.scan_id = ++p->scan_id;
	memcpy(scan.tag, token.tag, sizeof(scan.tag));
	(void)!pl_client_submit(p->client, &scan, 1, NULL); /* too many are out: the next one */
}

static enum group group_of(uint32_t verdict)
{
	if (verdict == PL_V_NO_ANSWER)
		return GROUP_NONE;
	return verdict >> 4 == 0 ? GROUP_PASS : verdict >> 4 == 1 ? GROUP_DENY : GROUP_UNKNOWN;
}

static void take(struct probe *p, int wait_ms)
{
	struct pl_client_result results[OUTSTANDING_MAX];
	uint32_t cnt = pl_client_poll(p->client, results, OUTSTANDING_MAX, wait_ms);

	for (uint32_t i = 0; i < cnt; i++) {
		uint32_t verdict = !results[i].answered            ? PL_V_NO_ANSWER
				   : results[i].error != PL_V_NONE ? results[i].error
				   : results[i].scan_cnt == 1      ? results[i].verdicts[0] & 0xff
								   : PL_V_NO_ANSWER;
		enum group group = group_of(verdict);

		p->cnt[group]++;
		if (verdict == p->last_verdict)
			continue;
		p->last_verdict = verdict;
		printf("%llu %s %s\n", (unsigned long long)pl_time_ns(CLOCK_MONOTONIC),
		       group_names[group], pl_verdict_name((enum pl_verdict)verdict));
		fflush(stdout);
	}
}

static void open_all(struct probe *p, const char *dir, const char *to, const char *state)
{
	char path[1024], error[512];
	struct pl_client_conf conf;
	struct pl_keys *keys;

	snprintf(path, sizeof(path), "%s/token/0.key", dir);
	if (pl_keys_load_file(path, PL_KEY_TOKEN, &keys, error, sizeof(error)) != 0)
		bench_die("token key", error);
	memcpy(p->master, keys->key[0].bytes, sizeof(p->master));
	pl_keys_free(keys);
	if (pl_population_create(&p->conf, &p->population, error, sizeof(error)) != 0)
		bench_die("population", error);
	pl_policy_default(&p->policy, NULL);

	snprintf(path, sizeof(path), "%s/gateway/1.key", dir);
	if (pl_keys_load_file(path, PL_KEY_GATEWAY, &keys, error, sizeof(error)) != 0)
		bench_die("gateway key", error);
	pl_client_conf_default(&conf);
	conf.gateway_id = keys->key[0].gateway_id;
	conf.key_epoch = keys->key[0].epoch;
	memcpy(conf.root, keys->key[0].bytes, sizeof(conf.root));
	pl_keys_free(keys);
	conf.state_path = state;
	conf.outstanding_max = OUTSTANDING_MAX;
	conf.deadline_ms = DEADLINE_MS;
	conf.first_retry_ms = DEADLINE_MS;
	conf.retry_ms_max = DEADLINE_MS;
	conf.attempts_max = 1;
	conf.addr_cnt = 1;
	if (pl_client_addr_parse(to, &conf.addrs[0], error, sizeof(error)) != 0 ||
	    pl_client_create(&conf, &p->client, error, sizeof(error)) != 0)
		bench_die("client", error);
	explicit_bzero(conf.root, sizeof(conf.root));
}

static const char usage[] =
	"restart_probe SITE --to ADDRESS --certs N --as-of DATE --state FILE: what an appliance "
	"says.\n"
	"\n"
	"  SITE           a directory that make_site made\n"
	"  --to ADDRESS   the appliance's\n"
	"  --certs N --as-of DATE --seed N   the population, as make_site was told\n"
	"  --state FILE   the gateway's counters\n"
	"  --every-ms N   a question every so often (2)\n"
	"  --seconds N    end by itself after so long (600)\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"to", 1, NULL, 't'},      {"certs", 1, NULL, 'c'}, {"as-of", 1, NULL, 'a'},
		{"seed", 1, NULL, 's'},    {"state", 1, NULL, 'f'}, {"every-ms", 1, NULL, 'e'},
		{"seconds", 1, NULL, 'u'}, {"help", 0, NULL, 'h'},  {0},
	};
	struct probe p = {.conf = {.as_of_day = INT32_MIN}, .last_verdict = UINT32_MAX};
	const char *to = NULL, *state = NULL;
	uint64_t every_ms = 2, seconds = 600, end_ns, next_ns;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 't':
			to = optarg;
			break;
		case 'c':
			p.conf.cert_cnt = bench_number("certs", optarg, 1, PL_POPULATION_CERTS_MAX);
			break;
		case 'a':
			if (!pl_date_parse(optarg, strlen(optarg), &p.conf.as_of_day))
				bench_die("--as-of", "YYYY-MM-DD is needed");
			break;
		case 's':
			p.conf.seed = bench_number("seed", optarg, 0, UINT64_MAX);
			break;
		case 'f':
			state = optarg;
			break;
		case 'e':
			every_ms = bench_number("every-ms", optarg, 1, 1000);
			break;
		case 'u':
			seconds = bench_number("seconds", optarg, 1, 86400);
			break;
		default:
			fputs(usage, opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (optind != argc - 1 || to == NULL || state == NULL || p.conf.cert_cnt == 0 ||
	    p.conf.as_of_day == INT32_MIN) {
		fputs(usage, stderr);
		return 2;
	}
	if (sodium_init() < 0)
		bench_die("libsodium", "cannot start");
	open_all(&p, argv[optind], to, state);
	signal(SIGTERM, on_term);
	signal(SIGINT, on_term);
	next_ns = pl_time_ns(CLOCK_MONOTONIC);
	end_ns = next_ns + seconds * 1000000000u;
	p.scan_id = (uint32_t)next_ns;
	p.walk_from_s = next_ns / 1000000000u;
	while (!ended && pl_time_ns(CLOCK_MONOTONIC) < end_ns) {
		if (pl_time_ns(CLOCK_MONOTONIC) >= next_ns) {
			ask(&p);
			next_ns = pl_time_ns(CLOCK_MONOTONIC) + every_ms * 1000000u;
		}
		take(&p, 1);
		/* With nothing out the poll does not wait. */
		if (pl_client_outstanding(p.client) == 0)
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	printf("{\"pass\": %llu, \"deny\": %llu, \"unknown\": %llu, \"none\": %llu}\n",
	       (unsigned long long)p.cnt[GROUP_PASS], (unsigned long long)p.cnt[GROUP_DENY],
	       (unsigned long long)p.cnt[GROUP_UNKNOWN], (unsigned long long)p.cnt[GROUP_NONE]);
	pl_client_destroy(p.client);
	pl_population_destroy(p.population);
	return 0;
}
