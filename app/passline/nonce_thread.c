/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "base/pl_time.h"
#include "nonce_thread.h"

/* Tests have other ones. */
#ifndef PL_NONCE_RETRY_MS
#define PL_NONCE_RETRY_MS 10000u /* not to hammer a disk that fails */
#define PL_NONCE_SLOW_MS  5000u  /* from here on a write is told of */
#endif

int pl_nonce_thread_open(struct pl_nonce_thread *t, const char *state_dir, uint64_t wall_ns,
			 _Atomic uint64_t *limit, uint64_t *first, char *error, size_t error_size)
{
	pthread_condattr_t attr;
	int ret;

	memset(t, 0, sizeof(*t));
	ret = pl_nonce_store_open(&t->store, state_dir, wall_ns, first, error, error_size);
	if (ret != 0)
		return ret;
	t->limit = limit;
	atomic_init(limit, t->store.limit);
	pthread_mutex_init(&t->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	t->open = true;
	return 0;
}

/* With the lock held, which it lets go meanwhile. */
static void reserve(struct pl_nonce_thread *t)
{
	uint64_t used_to = t->used_to;
	char error[PL_NONCE_TEXT_SIZE] = "";
	int ret;

	t->begun_ms = pl_time_monotonic_ms();
	pthread_mutex_unlock(&t->lock);
	ret = pl_nonce_store_extend(&t->store, used_to, error, sizeof(error));
	if (ret == 0)
		/* relaxed: the number is all that matters, and it is on disk. */
		atomic_store_explicit(t->limit, t->store.limit, memory_order_relaxed);
	pthread_mutex_lock(&t->lock);
	t->begun_ms = 0;
	memcpy(t->text, error, sizeof(t->text));
	if (ret == 0)
		t->asked = false; /* who asked meanwhile does so again if it has to */
}

static void wait_to_retry(struct pl_nonce_thread *t)
{
	const struct timespec until = pl_time_after_ms(PL_NONCE_RETRY_MS);
	int rc = 0;

	while (!t->stop && rc == 0)
		rc = pthread_cond_timedwait(&t->wake, &t->lock, &until);
}

static void *nonce_main(void *arg)
{
	struct pl_nonce_thread *t = arg;

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		if (!t->asked) {
			pthread_cond_wait(&t->wake, &t->lock);
			continue;
		}
		reserve(t);
		if (t->asked)
			wait_to_retry(t);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int pl_nonce_thread_start(struct pl_nonce_thread *t, char *error, size_t error_size)
{
	int ret = -pthread_create(&t->thread, NULL, nonce_main, t);

	if (ret != 0) {
		snprintf(error, error_size, "cannot start the thread for reply counters: %s",
			 strerror(-ret));
		return ret;
	}
	(void)pthread_setname_np(t->thread, "pl-nonce");
	t->running = true;
	return 0;
}

uint64_t pl_nonce_thread_left(const struct pl_nonce_thread *t, uint64_t used_to)
{
	/* relaxed: a number. */
	uint64_t limit = atomic_load_explicit(t->limit, memory_order_relaxed);

	return limit > used_to ? limit - used_to : 0;
}

void pl_nonce_thread_ask(struct pl_nonce_thread *t, uint64_t used_to)
{
	if (pl_nonce_thread_left(t, used_to) > PL_NONCE_RESERVE / 2)
		return;
	pthread_mutex_lock(&t->lock);
	t->used_to = used_to;
	if (!t->asked) {
		t->asked = true;
		pthread_cond_signal(&t->wake);
	}
	pthread_mutex_unlock(&t->lock);
}

void pl_nonce_thread_text(struct pl_nonce_thread *t, char *text, size_t text_size)
{
	pthread_mutex_lock(&t->lock);
	if (t->begun_ms != 0 && pl_time_monotonic_ms() >= t->begun_ms + PL_NONCE_SLOW_MS)
		snprintf(text, text_size,
			 "%s: its disk has not answered for more than %u s: the next reply "
			 "counters wait to be reserved there",
			 t->store.dir_path, PL_NONCE_SLOW_MS / 1000);
	else
		snprintf(text, text_size, "%s", t->text);
	pthread_mutex_unlock(&t->lock);
}

void pl_nonce_thread_stop(struct pl_nonce_thread *t)
{
	if (!t->running)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	t->running = false;
}

void pl_nonce_thread_close(struct pl_nonce_thread *t)
{
	if (!t->open)
		return;
	pl_nonce_store_close(&t->store);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	t->open = false;
}
