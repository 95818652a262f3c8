/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_log.h>

#include "config.h"
#include "say.h"

/* For a reader that is only slow, a serial line for instance; one that has lost something already is not waited
 * for again. */
#define WAIT_MS 200

static struct {
	pthread_mutex_t lock;
	uint64_t lost_cnt; /* lock */
	uint64_t told_cnt; /* lock: of these */
	bool is_cut;       /* lock: what went last has no end */
	char line[PL_CONFIG_ERROR_SIZE +
		  256]; /* lock; the longest has all faults of a configuration */
} say = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Whoever may write at all may write PIPE_BUF bytes without waiting, unless another process puts something into
 * the same pipe in between; a socket has more room then. @return whether all of it went. */
static bool put(const char *text, size_t size)
{
	int wait_ms = say.told_cnt == say.lost_cnt ? WAIT_MS : 0;

	while (size > 0) {
		struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
		ssize_t done;

		if (poll(&out, 1, wait_ms) != 1 || (out.revents & POLLOUT) == 0)
			return false;
		done = write(STDERR_FILENO, text, size < PIPE_BUF ? size : PIPE_BUF);
		if (done <= 0)
			return false;
		say.is_cut = text[done - 1] != '\n';
		text += done;
		size -= (size_t)done;
	}
	return true;
}

static void put_or_lose(const char *text, size_t size)
{
	char told[96];
	int told_size;

	if (say.told_cnt != say.lost_cnt) {
		told_size = snprintf(told, sizeof(told),
				     "%spassline: what was said %" PRIu64
				     " time(s) before this is lost: nobody read it\n",
				     say.is_cut ? "\n" : "", say.lost_cnt - say.told_cnt);
		if (put(told, (size_t)told_size))
			say.told_cnt = say.lost_cnt;
	}
	if (say.told_cnt != say.lost_cnt || !put(text, size))
		say.lost_cnt++;
}

void pl_say(const char *format, ...)
{
	static const char begin[] = "passline: ";
	const size_t room = sizeof(say.line) - sizeof(begin); /* and the newline */
	va_list ap;
	int size;

	pthread_mutex_lock(&say.lock);
	memcpy(say.line, begin, sizeof(begin) - 1);
	va_start(ap, format);
	size = vsnprintf(say.line + sizeof(begin) - 1, room, format, ap);
	va_end(ap);
	size = size < 0 ? 0 : (size_t)size >= room ? (int)room - 1 : size;
	size += (int)sizeof(begin) - 1;
	say.line[size++] = '\n';
	put_or_lose(say.line, (size_t)size);
	pthread_mutex_unlock(&say.lock);
}

uint64_t pl_say_lost_cnt(void)
{
	uint64_t cnt;

	pthread_mutex_lock(&say.lock);
	cnt = say.lost_cnt;
	pthread_mutex_unlock(&say.lock);
	return cnt;
}

/* @return size, always: an error would stop the stream. */
static ssize_t eal_write(void *ctx, const char *text, size_t size)
{
	(void)ctx;
	pthread_mutex_lock(&say.lock);
	put_or_lose(text, size);
	pthread_mutex_unlock(&say.lock);
	return (ssize_t)size;
}

int pl_say_for_eal(void)
{
	/* Never closed: the EAL writes until the process ends. */
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = eal_write});

	if (stream == NULL)
		return -errno;
	return rte_openlog_stream(stream) == 0 ? 0 : -ENOMEM;
}
