/* SPDX-License-Identifier: BSD-3-Clause */
/* Letters are done once, on the owner's thread, in their order, or never. */
#include "../../app/passline/mailbox.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#define SENDERS 4
#define LETTERS 500

static struct pl_mailbox m;
static pthread_t owner;
static uint64_t sum; /* the owner's alone: no atomic, so that a race is seen */

static int add(void *ctx, void *arg, char *error, size_t error_size)
{
	(void)error;
	(void)error_size;
	assert_true(pthread_equal(pthread_self(), owner));
	*(uint64_t *)ctx += *(uint64_t *)arg;
	return 0;
}

static int refuse(void *ctx, void *arg, char *error, size_t error_size)
{
	(void)ctx;
	(void)arg;
	snprintf(error, error_size, "no");
	return -EPERM;
}

static _Atomic int senders_left;
static _Atomic int bad;

static void *sender(void *arg)
{
	uint64_t one = 1;
	char error[200];

	(void)arg;
	for (int i = 0; i < LETTERS; i++)
		if (pl_mailbox_ask(&m, add, &one, error, sizeof(error)) != 0 ||
		    pl_mailbox_ask(&m, refuse, NULL, error, sizeof(error)) != -EPERM ||
		    strcmp(error, "no") != 0)
			atomic_fetch_add(&bad, 1);
	atomic_fetch_sub(&senders_left, 1);
	return NULL;
}

static void test_each_letter_is_done_once(void **state)
{
	pthread_t threads[SENDERS];

	(void)state;
	owner = pthread_self();
	sum = 0;
	atomic_store(&bad, 0);
	atomic_store(&senders_left, SENDERS);
	assert_int_equal(pl_mailbox_open(&m), 0);
	m.wait_ms = 60000;
	for (int i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sender, NULL), 0);
	while (atomic_load(&senders_left) != 0)
		pl_mailbox_empty(&m, &sum);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(sum, SENDERS * LETTERS);
	assert_int_equal(atomic_load(&bad), 0);
	pl_mailbox_destroy(&m);
}

/* An owner who hangs: the letter comes back, and is not done when he wakes. */
static void test_a_letter_nobody_takes_comes_back(void **state)
{
	uint64_t one = 1;
	char error[200] = "";

	(void)state;
	owner = pthread_self();
	sum = 0;
	assert_int_equal(pl_mailbox_open(&m), 0);
	m.wait_ms = 20;
	assert_int_equal(pl_mailbox_ask(&m, add, &one, error, sizeof(error)), -ETIMEDOUT);
	assert_non_null(strstr(error, "does not answer, and nothing was changed"));
	pl_mailbox_empty(&m, &sum);
	assert_int_equal(sum, 0);
	pl_mailbox_shut(&m);
	m.wait_ms = 60000;
	assert_int_equal(pl_mailbox_ask(&m, add, &one, error, sizeof(error)), -ECANCELED);
	assert_non_null(strstr(error, "stopping"));
	pl_mailbox_destroy(&m);
}

static _Atomic int inside;

static int slow(void *ctx, void *arg, char *error, size_t error_size)
{
	(void)error;
	(void)error_size;
	atomic_store(&inside, 1);
	usleep(100000); /* longer than the sender's patience */
	return add(ctx, arg, error, error_size);
}

static void *slow_sender(void *arg)
{
	uint64_t two = 2;
	char error[200];
	int *rc = arg;

	*rc = pl_mailbox_ask(&m, slow, &two, error, sizeof(error));
	two = 1000; /* ours again */
	return NULL;
}

static void test_one_that_was_taken_is_waited_for(void **state)
{
	pthread_t thread;
	int rc = 1;

	(void)state;
	owner = pthread_self();
	sum = 0;
	atomic_store(&inside, 0);
	assert_int_equal(pl_mailbox_open(&m), 0);
	m.wait_ms = 50;
	do { /* on a slow machine the letter may come back before we look */
		assert_int_equal(pthread_create(&thread, NULL, slow_sender, &rc), 0);
		for (int i = 0; i < 40 && atomic_load(&inside) == 0; i++) {
			pl_mailbox_empty(&m, &sum);
			usleep(1000);
		}
		pthread_join(thread, NULL);
	} while (atomic_load(&inside) == 0);
	assert_int_equal(rc, 0);
	assert_int_equal(sum, 2);
	pl_mailbox_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_letter_is_done_once),
		cmocka_unit_test(test_a_letter_nobody_takes_comes_back),
		cmocka_unit_test(test_one_that_was_taken_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
