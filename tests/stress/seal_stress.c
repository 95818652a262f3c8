/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads with an engine each share keys, while others make and destroy keys in the same memory:
 * every message opens under its own key, and at the end no key memory is left.
 */
#include "seal/pl_seal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <cmocka.h>

#include <sodium.h>

#include "seal/pl_seal_pvt.h"

#define THREAD_CNT     4u
#define SHARED_KEY_CNT 8u
#define OWN_KEY_CNT    100u
#define ROUND_CNT      400u
#define BURST          16u

static struct pl_seal_key *shared[SHARED_KEY_CNT];
static atomic_uint failures;

static void note_failure(void)
{
	/* relaxed: read after the threads are joined. */
	atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
}

/* Seal and open a burst under keys; the texts must come back. */
static bool round_trip(struct pl_seal *s, struct pl_seal_key *const *keys, uint32_t key_cnt)
{
	uint8_t texts[BURST][80], plain[BURST][80], tags[BURST][PL_SEAL_TAG_SIZE];
	struct pl_seal_op ops[BURST];

	randombytes_buf(plain, sizeof(plain));
	memcpy(texts, plain, sizeof(texts));
	for (uint32_t i = 0; i < BURST; i++) {
		ops[i] = (struct pl_seal_op){
			.key = keys[randombytes_uniform(key_cnt)],
			.aad = (const uint8_t *)"aad",
			.text = texts[i],
			.tag = tags[i],
			.aad_size = 3,
			.text_size = sizeof(texts[i]),
		};
		randombytes_buf(ops[i].nonce, sizeof(ops[i].nonce));
	}
	pl_seal_seal_burst(s, ops, BURST);
	return memcmp(texts, plain, sizeof(texts)) != 0 &&
	       pl_seal_open_burst(s, ops, BURST) == BURST &&
	       memcmp(texts, plain, sizeof(texts)) == 0;
}

static void *work(void *arg)
{
	struct pl_seal_key *own[OWN_KEY_CNT];
	uint8_t raw[PL_SEAL_KEY_SIZE];
	struct pl_seal *s;

	(void)arg;
	if (pl_seal_create(PL_SEAL_AUTO, &s) != 0) {
		note_failure();
		return NULL;
	}
	for (uint32_t round = 0; round < ROUND_CNT; round++) {
		for (uint32_t i = 0; i < OWN_KEY_CNT; i++) {
			randombytes_buf(raw, sizeof(raw));
			if (pl_seal_key_create(s, raw, &own[i]) != 0)
				abort();
		}
		if (!round_trip(s, own, OWN_KEY_CNT) || !round_trip(s, shared, SHARED_KEY_CNT))
			note_failure();
		for (uint32_t i = 0; i < OWN_KEY_CNT; i++)
			pl_seal_key_destroy(own[i * 37 % OWN_KEY_CNT]);
	}
	pl_seal_destroy(s);
	return NULL;
}

static void test_threads_share_keys_and_their_memory(void **state)
{
	pthread_t threads[THREAD_CNT];
	uint8_t raw[PL_SEAL_KEY_SIZE];
	struct pl_seal *s;

	(void)state;
	assert_int_equal(pl_seal_create(PL_SEAL_AUTO, &s), 0);
	for (uint32_t i = 0; i < SHARED_KEY_CNT; i++) {
		randombytes_buf(raw, sizeof(raw));
		assert_int_equal(pl_seal_key_create(s, raw, &shared[i]), 0);
	}
	for (uint32_t i = 0; i < THREAD_CNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
	for (uint32_t i = 0; i < THREAD_CNT; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load_explicit(&failures, memory_order_relaxed), 0);
	for (uint32_t i = 0; i < SHARED_KEY_CNT; i++)
		pl_seal_key_destroy(shared[i]);
	assert_int_equal(pl_seal_arena_size(), 0);
	pl_seal_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_share_keys_and_their_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
