/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/pl_time.h"
#include "journal.h"

#define NAME "journal.jsonl"

static char *line_make(const char *who, const char *what, const char *result, const char *text)
{
	struct timespec ts;
	struct tm tm;
	char when[48], date[32];
	json_t *line, *text_json = json_string(text);
	char *out = NULL;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(when, sizeof(when), "%s.%03ldZ", date, ts.tv_nsec / 1000000);
	if (text_json == NULL) /* bytes that are no UTF-8: of somebody's path */
		text_json = json_string("(cannot be shown)");
	line = json_pack("{s:s, s:s, s:s, s:s, s:o}", "time", when, "what", what, "who", who,
			 "result", result, "text", text_json);
	if (line != NULL)
		out = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	return out;
}

void pl_journal_write(struct pl_journal *j, const char *who, const char *what, const char *result,
		      const char *format, ...)
{
	char text[PL_JOURNAL_TEXT_SIZE], *line;
	va_list ap;
	int size;

	if (!j->running)
		return;
	va_start(ap, format);
	size = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (size >= (int)sizeof(text)) {
		size_t cut = sizeof(text) - 4;

		while (cut > 0 && ((uint8_t)text[cut] & 0xc0) == 0x80)
			cut--; /* not in the midst of a character */
		memcpy(text + cut, "...", 4);
	}
	line = line_make(who, what, result, text);
	pthread_mutex_lock(&j->lock);
	if (line != NULL && j->queue_cnt < PL_JOURNAL_QUEUE_MAX) {
		j->queue[j->queue_cnt++] = line;
		j->added++;
		line = NULL;
		pthread_cond_signal(&j->wake);
	} else {
		j->lost++;
	}
	pthread_mutex_unlock(&j->lock);
	free(line);
}

static void rotate(struct pl_journal *j)
{
	char from[40], to[40];

	for (uint32_t i = PL_JOURNAL_FILES_MAX; i > 0; i--) {
		snprintf(to, sizeof(to), NAME ".%" PRIu32, i);
		if (i > 1)
			snprintf(from, sizeof(from), NAME ".%" PRIu32, i - 1);
		else
			snprintf(from, sizeof(from), NAME);
		(void)renameat(j->dir_fd, from, j->dir_fd, to);
	}
}

/* @return a descriptor to append to, or -errno. */
static int file_open(struct pl_journal *j)
{
	const int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	struct stat st;
	char last = '\n';
	int fd = openat(j->dir_fd, NAME, flags, 0600);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	if (st.st_size >= PL_JOURNAL_FILE_SIZE) {
		close(fd);
		rotate(j);
		fd = openat(j->dir_fd, NAME, flags, 0600);
		return fd < 0 ? -errno : fd;
	}
	/* A line that a power failure cut short stays a line of its own. */
	if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n')
		(void)!write(fd, "\n", 1);
	return fd;
}

static int line_write(struct pl_journal *j, const char *line)
{
	size_t size = strlen(line);
	int fd = file_open(j), rc = 0;
	char *whole;

	if (fd < 0)
		return fd;
	whole = malloc(size + 1);
	if (whole == NULL) {
		close(fd);
		return -ENOMEM;
	}
	memcpy(whole, line, size);
	whole[size] = '\n';
	errno = 0;
	if (write(fd, whole, size + 1) != (ssize_t)(size + 1))
		rc = errno != 0 ? -errno : -ENOSPC;
	if (rc == 0 && fdatasync(fd) != 0)
		rc = -errno;
	close(fd);
	free(whole);
	return rc;
}

static void line_settle(struct pl_journal *j, char *line)
{
	int rc = line_write(j, line);

	if (rc != 0 && !j->failing)
		j->say("journal " NAME " cannot be written: %s. What happens is lost from it, and "
		       "nothing else; make room in the state directory",
		       strerror(-rc));
	else if (rc == 0 && j->failing)
		j->say("journal " NAME " is written again");
	free(line);
	pthread_mutex_lock(&j->lock);
	j->failing = rc != 0;
	j->lost += rc != 0;
	j->settled++;
	pthread_cond_broadcast(&j->idle);
	pthread_mutex_unlock(&j->lock);
}

static void *writer_main(void *arg)
{
	struct pl_journal *j = arg;

	pthread_mutex_lock(&j->lock);
	for (;;) {
		char *line;

		if (j->queue_cnt == 0) {
			if (j->stop)
				break;
			pthread_cond_wait(&j->wake, &j->lock);
			continue;
		}
		line = j->queue[0];
		j->queue_cnt--;
		memmove(j->queue, j->queue + 1, j->queue_cnt * sizeof(j->queue[0]));
		pthread_mutex_unlock(&j->lock);
		line_settle(j, line);
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

int pl_journal_open(struct pl_journal *j, const char *state_dir,
		    void (*say)(const char *format, ...), char *error, size_t error_size)
{
	pthread_condattr_t attr;
	int rc;

	memset(j, 0, sizeof(*j));
	j->say = say;
	j->dir_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dir_fd < 0) {
		rc = -errno;
		snprintf(error, error_size, "[site] state-dir: %s: %s", state_dir, strerror(-rc));
		return rc;
	}
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the wall clock may be set */
	pthread_cond_init(&j->idle, &attr);
	(void)pthread_condattr_destroy(&attr);
	rc = -pthread_create(&j->thread, NULL, writer_main, j);
	if (rc != 0) {
		snprintf(error, error_size, "cannot start the journal's writer: %s", strerror(-rc));
		close(j->dir_fd);
		return rc;
	}
	(void)pthread_setname_np(j->thread, "pl-journal");
	j->running = true;
	return 0;
}

void pl_journal_close(struct pl_journal *j)
{
	if (!j->running)
		return;
	pthread_mutex_lock(&j->lock);
	j->stop = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
	pthread_join(j->thread, NULL);
	j->running = false;
	close(j->dir_fd);
	pthread_cond_destroy(&j->wake);
	pthread_cond_destroy(&j->idle);
	pthread_mutex_destroy(&j->lock);
}

bool pl_journal_sync(struct pl_journal *j)
{
	const struct timespec until = pl_time_after_ms(PL_JOURNAL_SYNC_MS_MAX);
	uint64_t want;
	int rc = 0;

	if (!j->running)
		return false;
	pthread_mutex_lock(&j->lock);
	want = j->added;
	while (j->settled < want && rc == 0)
		rc = pthread_cond_timedwait(&j->idle, &j->lock, &until);
	rc = j->settled < want || j->failing;
	pthread_mutex_unlock(&j->lock);
	return rc == 0;
}

uint64_t pl_journal_lost(struct pl_journal *j)
{
	uint64_t lost;

	if (!j->running)
		return 0;
	pthread_mutex_lock(&j->lock);
	lost = j->lost;
	pthread_mutex_unlock(&j->lock);
	return lost;
}

/* A file's whole lines, newest last, in front of what out holds, until there are cnt. */
static void lines_collect(json_t *out, char *text, size_t size, uint32_t cnt)
{
	size_t end = size;

	while (end > 0 && json_array_size(out) < cnt) {
		size_t start = end - 1; /* of the line that ends at end, its newline included */
		json_t *line;

		while (start > 0 && text[start - 1] != '\n')
			start--;
		line = json_loadb(text + start, end - start, 0, NULL);
		if (json_is_object(line)) /* else it was cut short */
			(void)json_array_insert_new(out, 0, line);
		else
			json_decref(line);
		end = start;
	}
}

json_t *pl_journal_last(struct pl_journal *j, uint32_t cnt)
{
	json_t *out = json_array();
	size_t room = 2u * PL_JOURNAL_FILE_SIZE; /* a file ends one line beyond its size */
	char *text = malloc(room), name[40] = NAME;

	for (uint32_t i = 0; text != NULL && i <= PL_JOURNAL_FILES_MAX; i++) {
		size_t used = 0;
		ssize_t n;
		int fd;

		if (i > 0)
			snprintf(name, sizeof(name), NAME ".%" PRIu32, i);
		fd = openat(j->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd < 0)
			break;
		while (used < room && (n = read(fd, text + used, room - used)) > 0)
			used += (size_t)n;
		close(fd);
		lines_collect(out, text, used, cnt);
		if (json_array_size(out) >= cnt)
			break;
	}
	free(text);
	return out;
}
