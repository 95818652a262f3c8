/* SPDX-License-Identifier: BSD-3-Clause */
#include "mailbox.h"

#include <errno.h>
#include <time.h>

#include "base/pl_time.h"

struct pl_letter {
	pl_mailbox_fn fn;
	void *arg;
	char *error;
	size_t error_size;
	int rc;
	enum { WAITS, TAKEN, DONE } state;
	struct pl_letter *next;
};

int pl_mailbox_open(struct pl_mailbox *m)
{
	pthread_condattr_t attr;
	int rc;

	memset(m, 0, sizeof(*m));
	m->wait_ms = PL_MAILBOX_WAIT_MS;
	rc = -pthread_mutex_init(&m->lock, NULL);
	if (rc != 0)
		return rc;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the wall clock may be set */
	rc = -pthread_cond_init(&m->done, &attr);
	(void)pthread_condattr_destroy(&attr);
	return rc;
}

void pl_mailbox_shut(struct pl_mailbox *m)
{
	pthread_mutex_lock(&m->lock);
	m->closed = true;
	pthread_cond_broadcast(&m->done);
	pthread_mutex_unlock(&m->lock);
}

void pl_mailbox_destroy(struct pl_mailbox *m)
{
	pthread_cond_destroy(&m->done);
	pthread_mutex_destroy(&m->lock);
}

static void letter_remove(struct pl_mailbox *m, const struct pl_letter *letter)
{
	struct pl_letter **at = &m->first;

	while (*at != NULL && *at != letter)
		at = &(*at)->next;
	if (*at != NULL)
		*at = letter->next;
}

void pl_mailbox_empty(struct pl_mailbox *m, void *ctx)
{
	pthread_mutex_lock(&m->lock);
	while (m->first != NULL && !m->closed) {
		struct pl_letter *letter = m->first;

		letter_remove(m, letter);
		letter->state = TAKEN;
		pthread_mutex_unlock(&m->lock);
		letter->rc = letter->fn(ctx, letter->arg, letter->error, letter->error_size);
		pthread_mutex_lock(&m->lock);
		letter->state = DONE;
		pthread_cond_broadcast(&m->done);
	}
	pthread_mutex_unlock(&m->lock);
}

int pl_mailbox_ask(struct pl_mailbox *m, pl_mailbox_fn fn, void *arg, char *error,
		   size_t error_size)
{
	struct pl_letter letter = {
		.fn = fn, .arg = arg, .error = error, .error_size = error_size, .state = WAITS};
	struct pl_letter **end;
	const struct timespec until = pl_time_after_ms(m->wait_ms);
	int rc = 0;

	pthread_mutex_lock(&m->lock);
	for (end = &m->first; *end != NULL; end = &(*end)->next)
		continue;
	*end = &letter;
	if (m->wake != NULL)
		m->wake();
	while (letter.state == WAITS && rc == 0 && !m->closed)
		rc = pthread_cond_timedwait(&m->done, &m->lock, &until);
	while (letter.state == TAKEN)
		pthread_cond_wait(&m->done, &m->lock);
	if (letter.state == WAITS) {
		letter_remove(m, &letter);
		letter.rc = m->closed ? -ECANCELED : -ETIMEDOUT;
		snprintf(error, error_size, "%s",
			 m->closed ? "the appliance is stopping"
				   : "the control thread does not answer, and nothing was changed. "
				     "It may wait for a disk: stderr has its last words");
	}
	pthread_mutex_unlock(&m->lock);
	return letter.rc;
}
