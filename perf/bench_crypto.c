/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a token check and a sealed message cost, each variant against libsodium in one run. In
 * every round each variant has its turn on the same data; a row is the median over the rounds, and
 * its ratio the median of the rounds' own ratios, so that a machine that slows down half-way
 * slows both sides. Prints one JSON object a line, one for each row.
 *
 * Tokens: random, under random master keys of 8 epochs, one in 16 with a wrong tag. Messages:
 * random, each under another gateway's key. All variants must agree on every token, and every
 * message must open to what was sealed; if not, it says so and ends.
 */

#include <getopt.h>
#include <time.h>

#include <sodium.h>

#include "base/pl_time.h"
#include "bench_util.h"
#include "cert/pl_cert.h"
#include "seal/pl_seal.h"
#include "token/pl_token.h"
#include "wire/pl_wire.h"

#define ROUNDS_MAX 101u
/* Passes are under a millisecond or two, so that on a busy machine most are not interrupted. */
#define TOKEN_CNT   8192u
#define MESSAGE_CNT 1024u
#define BURST       32u

struct options {
	uint32_t round_cnt;
	uint32_t key_cnt;
};

static void *must_alloc(size_t size)
{
	void *p = aligned_alloc(PL_CACHE_LINE, (size + PL_CACHE_LINE - 1) & ~(PL_CACHE_LINE - 1ul));

	if (p == NULL)
		bench_die("memory", "no more to be had");
	return p;
}

/* One row of the result: a variant's times, and libsodium's of the same rounds. */
static void print_row(const char *op, const char *variant, uint32_t size, uint32_t key_cnt,
		      const double *ns, const double *sodium_ns, uint32_t round_cnt)
{
	double sorted[ROUNDS_MAX], ratios[ROUNDS_MAX];

	memcpy(sorted, ns, sizeof(sorted));
	for (uint32_t r = 0; r < round_cnt; r++)
		ratios[r] = sodium_ns[r] / ns[r];
	printf("{\"op\": \"%s\", \"variant\": \"%s\", \"size\": %u, \"keys\": %u, \"ns\": %.2f, "
	       "\"times_libsodium\": %.2f}\n",
	       op, variant, size, key_cnt, bench_median(sorted, round_cnt),
	       bench_median(ratios, round_cnt));
}

struct tokens {
	uint64_t cert_id[TOKEN_CNT], master0[TOKEN_CNT], master1[TOKEN_CNT], tag0[TOKEN_CNT];
	uint32_t shown_at[TOKEN_CNT], generation[TOKEN_CNT], tag1[TOKEN_CNT];
	uint8_t ok[TOKEN_CNT], want[TOKEN_CNT];
};

static void make_tokens(struct tokens *t)
{
	uint8_t masters[PL_CERT_KEY_EPOCH_CNT][PL_TOKEN_KEY_SIZE];

	randombytes_buf(masters, sizeof(masters));
	randombytes_buf(t, sizeof(*t));
	for (uint32_t i = 0; i < TOKEN_CNT; i++) {
		const uint8_t *master = masters[t->master0[i] % PL_CERT_KEY_EPOCH_CNT];
		uint8_t cert_key[PL_TOKEN_KEY_SIZE];
		struct pl_token token;

		t->generation[i] %= PL_CERT_GENERATION_MAX + 1;
		t->want[i] = t->want[i] % 16 != 0;
		t->master0[i] = pl_le64_get(master);
		t->master1[i] = pl_le64_get(master + 8);
		pl_token_cert_key(cert_key, master, t->cert_id[i], t->generation[i]);
		pl_token_mint(&token, cert_key, t->cert_id[i], t->shown_at[i]);
		t->tag0[i] = pl_le64_get(token.tag) ^ !t->want[i];
		t->tag1[i] = pl_le32_get(token.tag + 8);
	}
}

/* Nanoseconds a token, of one pass over all of them in batches. */
static double time_tokens(struct tokens *t, pl_token_check_fn check, uint32_t batch)
{
	double start, ns;

	memset(t->ok, 2, sizeof(t->ok));
	start = (double)pl_time_ns(CLOCK_MONOTONIC_RAW);
	for (uint32_t i = 0; i + batch <= TOKEN_CNT; i += batch) {
		const struct pl_token_batch b = {
			.cert_id = t->cert_id + i,
			.shown_at = t->shown_at + i,
			.generation = t->generation + i,
			.master0 = t->master0 + i,
			.master1 = t->master1 + i,
			.tag0 = t->tag0 + i,
			.tag1 = t->tag1 + i,
		};

		check(&b, batch, t->ok + i);
	}
	ns = (double)pl_time_ns(CLOCK_MONOTONIC_RAW) - start;
	if (memcmp(t->ok, t->want, TOKEN_CNT / batch * batch) != 0)
		bench_die("token", "a variant is wrong about a token");
	return ns / (TOKEN_CNT / batch * batch);
}

static void bench_tokens(const struct options *o)
{
	static const uint32_t batches[] = {1, 4, 8, 12, 16, 64, 1024};
	static double ns[PL_TOKEN_VARIANT_CNT][ROUNDS_MAX];
	struct tokens *t = must_alloc(sizeof(*t));

	make_tokens(t);
	for (size_t s = 0; s < PL_ARRAY_CNT(batches); s++) {
		for (uint32_t r = 0; r < o->round_cnt; r++) {
			for (int v = 0; v < PL_TOKEN_VARIANT_CNT; v++) {
				pl_token_check_fn check =
					pl_token_check_of((enum pl_token_variant)v);

				if (check != NULL)
					ns[v][r] = time_tokens(t, check, batches[s]);
			}
		}
		for (int v = 0; v < PL_TOKEN_VARIANT_CNT; v++) {
			if (pl_token_check_of((enum pl_token_variant)v) != NULL)
				print_row("token", pl_token_variant_name((enum pl_token_variant)v),
					  batches[s], PL_CERT_KEY_EPOCH_CNT, ns[v],
					  ns[PL_TOKEN_SODIUM], o->round_cnt);
		}
	}
	free(t);
}

/* Messages and keys of one engine. */
struct messages {
	struct pl_seal *seal;
	struct pl_seal_key **keys;
	uint8_t (*text)[PL_SEAL_TEXT_SIZE_MAX];
	uint8_t (*plain)[PL_SEAL_TEXT_SIZE_MAX];
	uint8_t (*aad)[PL_SEAL_AAD_SIZE_MAX];
	uint8_t (*tag)[PL_SEAL_TAG_SIZE];
	struct pl_seal_op *ops;
	double seal_ns[ROUNDS_MAX];
	double open_ns[ROUNDS_MAX];
};

static void make_messages(struct messages *m, const struct options *o)
{
	m->keys = must_alloc(o->key_cnt * sizeof(*m->keys));
	m->text = must_alloc(MESSAGE_CNT * sizeof(*m->text));
	m->plain = must_alloc(MESSAGE_CNT * sizeof(*m->plain));
	m->aad = must_alloc(MESSAGE_CNT * sizeof(*m->aad));
	m->tag = must_alloc(MESSAGE_CNT * sizeof(*m->tag));
	m->ops = must_alloc(MESSAGE_CNT * sizeof(*m->ops));
	randombytes_buf(m->plain, MESSAGE_CNT * sizeof(*m->plain));
	randombytes_buf(m->aad, MESSAGE_CNT * sizeof(*m->aad));
	for (uint32_t i = 0; i < o->key_cnt; i++) {
		uint8_t key[PL_SEAL_KEY_SIZE];

		randombytes_buf(key, sizeof(key));
		if (pl_seal_key_create(m->seal, key, &m->keys[i]) != 0)
			bench_die("keys", "no memory for them");
	}
}

static void free_messages(struct messages *m, const struct options *o)
{
	for (uint32_t i = 0; i < o->key_cnt; i++)
		pl_seal_key_destroy(m->keys[i]);
	pl_seal_destroy(m->seal);
	free(m->keys);
	free(m->text);
	free(m->plain);
	free(m->aad);
	free(m->tag);
	free(m->ops);
}

/* One pass over all messages. Each burst's text is in the cache, as a datagram's is that was just
 * parsed or just answered; whether its keys are is up to how many keys there are. */
static void time_messages(struct messages *m, const struct options *o, uint32_t size,
			  uint32_t round)
{
	double seal_ns = 0, open_ns = 0;

	for (uint32_t i = 0; i < MESSAGE_CNT; i++) {
		m->ops[i] = (struct pl_seal_op){
			.key = m->keys[randombytes_uniform(o->key_cnt)],
			.aad = m->aad[i],
			.text = m->text[i],
			.tag = m->tag[i],
			.aad_size = PL_WIRE_REQ_HDR_SIZE,
			.text_size = size,
		};
		randombytes_buf(m->ops[i].nonce, sizeof(m->ops[i].nonce));
	}
	for (uint32_t i = 0; i < MESSAGE_CNT; i += BURST) {
		double start, sealed;
		uint32_t ok_cnt;

		for (uint32_t j = i; j < i + BURST; j++)
			memcpy(m->text[j], m->plain[j], size);
		start = (double)pl_time_ns(CLOCK_MONOTONIC_RAW);
		pl_seal_seal_burst(m->seal, m->ops + i, BURST);
		sealed = (double)pl_time_ns(CLOCK_MONOTONIC_RAW);
		ok_cnt = pl_seal_open_burst(m->seal, m->ops + i, BURST);
		open_ns += (double)pl_time_ns(CLOCK_MONOTONIC_RAW) - sealed;
		seal_ns += sealed - start;
		if (ok_cnt != BURST)
			bench_die("open", "a sealed message does not open");
		for (uint32_t j = i; j < i + BURST; j++) {
			if (memcmp(m->text[j], m->plain[j], size) != 0)
				bench_die("open", "a message opens to something else");
		}
	}
	m->seal_ns[round] = seal_ns / MESSAGE_CNT;
	m->open_ns[round] = open_ns / MESSAGE_CNT;
}

static void bench_seals(const struct options *o)
{
	/* The sealed part of: a reply with one verdict; requests with 1, 19 and the most scans. */
	static const uint32_t sizes[] = {32, 64, 640, 1408};
	static const enum pl_seal_engine engines[] = {PL_SEAL_SODIUM, PL_SEAL_IPSEC_MB};
	static struct messages all[PL_ARRAY_CNT(engines)];
	uint32_t cnt = 0;

	for (size_t i = 0; i < PL_ARRAY_CNT(engines); i++) {
		if (pl_seal_create(engines[i], &all[cnt].seal) != 0) {
			if (engines[i] == PL_SEAL_SODIUM)
				bench_die("libsodium", "no AES-256-GCM here to compare with");
			continue;
		}
		make_messages(&all[cnt++], o);
	}
	for (size_t s = 0; s < PL_ARRAY_CNT(sizes); s++) {
		for (uint32_t r = 0; r < o->round_cnt; r++) {
			for (uint32_t i = 0; i < cnt; i++)
				time_messages(&all[i], o, sizes[s], r);
		}
		for (uint32_t i = 0; i < cnt; i++)
			print_row("seal", pl_seal_variant(all[i].seal), sizes[s], o->key_cnt,
				  all[i].seal_ns, all[0].seal_ns, o->round_cnt);
		for (uint32_t i = 0; i < cnt; i++)
			print_row("open", pl_seal_variant(all[i].seal), sizes[s], o->key_cnt,
				  all[i].open_ns, all[0].open_ns, o->round_cnt);
	}
	for (uint32_t i = 0; i < cnt; i++)
		free_messages(&all[i], o);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"keys", required_argument, NULL, 'k'},
		{0},
	};
	struct options o = {.round_cnt = 31, .key_cnt = 256};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			o.round_cnt = (uint32_t)bench_number("rounds", optarg, 1, ROUNDS_MAX);
			break;
		case 'k':
			o.key_cnt = (uint32_t)bench_number("keys", optarg, 1, 1u << 16);
			break;
		default:
			fprintf(stderr, "usage: bench_crypto [--rounds N] [--keys N]\n");
			return 2;
		}
	}
	if (optind != argc) {
		fprintf(stderr, "bench_crypto: unexpected argument \"%s\"\n", argv[optind]);
		return 2;
	}
	if (sodium_init() < 0)
		bench_die("libsodium", "does not start");
	bench_tokens(&o);
	bench_seals(&o);
	return 0;
}
