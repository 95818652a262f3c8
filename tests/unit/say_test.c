/* SPDX-License-Identifier: BSD-3-Clause */
/* What is said goes to whoever reads it, and holds up nobody when nobody does. stderr is a pipe here. */
#include "../../app/passline/say.c"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define PIPE_SIZE \
	8192u       /* two pages: of one alone poll() says that it is full when anything is in it */
#define LINES  200u /* of some 100 bytes: more than twice what the pipe takes */
#define SAYERS 4u

static struct {
	int stderr_fd; /* the test's own, meanwhile */
	int pipe[2];
	char text[1u << 17]; /* read so far */
	size_t size;
} fx;

static int set_up(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	say.lost_cnt = say.told_cnt = 0;
	say.is_cut = false;
	signal(SIGPIPE, SIG_IGN);
	fx.stderr_fd = dup(STDERR_FILENO);
	PL_CHECK(fx.stderr_fd >= 0 && pipe2(fx.pipe, O_CLOEXEC) == 0);
	PL_CHECK(fcntl(fx.pipe[1], F_SETPIPE_SZ, (int)PIPE_SIZE) == (int)PIPE_SIZE);
	PL_CHECK(fcntl(fx.pipe[0], F_SETFL, O_NONBLOCK) == 0);
	return dup2(fx.pipe[1], STDERR_FILENO) >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	PL_CHECK(dup2(fx.stderr_fd, STDERR_FILENO) >= 0);
	close(fx.stderr_fd);
	close(fx.pipe[0]);
	close(fx.pipe[1]);
	return 0;
}

/** What is in the pipe, behind what was read before. */
static const char *read_all(void)
{
	ssize_t n;

	while ((n = read(fx.pipe[0], fx.text + fx.size, sizeof(fx.text) - 1 - fx.size)) > 0)
		fx.size += (size_t)n;
	fx.text[fx.size] = '\0';
	return fx.text;
}

static void nap(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void test_a_line_is_said(void **state)
{
	(void)state;
	pl_say("feed %s: %d", "here", 7);
	assert_string_equal(read_all(), "passline: feed here: 7\n");
	assert_int_equal(pl_say_lost_cnt(), 0);
}

/* As an old one did: fill the pipe, and wait in write() for ever. */
static void test_nobody_waits_for_who_does_not_read(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < LINES; i++)
		pl_say("line %03u is of some hundred bytes, so that not all of these lines go into "
		       "the "
		       "pipe: %060u",
		       i, i);
	assert_in_range(pl_say_lost_cnt(), LINES - PIPE_SIZE / 100, LINES - 1);
	read_all();
	assert_non_null(strstr(fx.text, "passline: line 000"));
	assert_null(strstr(fx.text, "passline: line 199"));
	assert_null(strstr(fx.text, "lost"));
}

/* Read again: how much is lost stands where it is missing, once, and all else goes. */
static void test_what_is_lost_is_told(void **state)
{
	uint64_t lost_cnt;
	char told[128];
	const char *at;

	(void)state;
	for (uint32_t i = 0; i < LINES; i++)
		pl_say("line %03u is of some hundred bytes, so that not all of these lines go into "
		       "the "
		       "pipe: %060u",
		       i, i);
	read_all();
	lost_cnt = pl_say_lost_cnt();
	pl_say("again");
	pl_say("and again");
	snprintf(told, sizeof(told),
		 "passline: what was said %" PRIu64 " time(s) before this is lost: nobody read it\n"
		 "passline: again\npassline: and again\n",
		 lost_cnt);
	at = strstr(read_all(), told);
	assert_non_null(at);
	assert_true(at == fx.text || at[-1] == '\n'); /* a line of its own */
	assert_string_equal(at, told);
	assert_int_equal(pl_say_lost_cnt(), lost_cnt);
}

/* One that is longer than the pipe's room went in part: what comes next begins a line. */
static void test_a_line_that_was_cut_has_an_end(void **state)
{
	static char longer[3 * PIPE_SIZE];
	const char *at;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	pl_say("%s", longer);
	assert_int_equal(pl_say_lost_cnt(), 1);
	read_all();
	pl_say("next");
	at = strstr(read_all(), "passline: what was said 1 time(s)");
	assert_non_null(at);
	assert_int_equal(at[-1], '\n');
	assert_int_equal(at[-2], 'x');
	assert_non_null(strstr(at, "\npassline: next\n"));
}

static _Atomic bool reading;

static void *read_slowly(void *arg)
{
	(void)arg;
	while (atomic_load(&reading)) {
		nap();
		read_all();
	}
	return NULL;
}

static void *say_many(void *arg)
{
	for (uint32_t i = 0; i < LINES; i++)
		pl_say("thread %c says %060u", *(const char *)arg, i);
	return NULL;
}

/* Threads' lines do not mix, and a reader who is slower than they are loses nothing. */
static void test_a_slow_reader_gets_all(void **state)
{
	static const char names[] = "abcd";
	pthread_t reader, sayers[SAYERS];
	uint32_t next[SAYERS] = {0};
	char *line, *rest = fx.text;

	(void)state;
	atomic_store(&reading, true);
	assert_int_equal(pthread_create(&reader, NULL, read_slowly, NULL), 0);
	for (uint32_t i = 0; i < SAYERS; i++)
		assert_int_equal(pthread_create(&sayers[i], NULL, say_many, (void *)(names + i)),
				 0);
	for (uint32_t i = 0; i < SAYERS; i++)
		pthread_join(sayers[i], NULL);
	atomic_store(&reading, false);
	pthread_join(reader, NULL);
	read_all();
	assert_int_equal(pl_say_lost_cnt(), 0);
	for (uint32_t cnt = 0; cnt < SAYERS * LINES; cnt++) {
		uint32_t number, who;
		char name;

		line = strsep(&rest, "\n");
		assert_non_null(line);
		assert_int_equal(sscanf(line, "passline: thread %c says %u", &name, &number), 2);
		who = (uint32_t)(name - 'a');
		assert_in_range(who, 0, SAYERS - 1);
		assert_int_equal(number, next[who]);
		next[who]++;
	}
	assert_string_equal(rest, "");
}

static void test_a_pipe_that_is_closed_is_one_that_is_not_read(void **state)
{
	(void)state;
	close(fx.pipe[0]);
	pl_say("to nobody");
	pl_say("to nobody");
	assert_int_equal(pl_say_lost_cnt(), 2);
	fx.pipe[0] = dup(fx.pipe[1]); /* for tear_down() */
}

/* More than fits in one: cut, and a line all the same. */
static void test_a_text_without_end(void **state)
{
	static char longer[sizeof(say.line) + 10];

	(void)state;
	assert_true(fcntl(fx.pipe[1], F_SETPIPE_SZ, 1 << 16) >= (int)sizeof(say.line));
	memset(longer, 'x', sizeof(longer) - 1);
	pl_say("%s", longer);
	assert_int_equal(strlen(read_all()), sizeof(say.line) - 1);
	assert_int_equal(fx.text[fx.size - 1], '\n');
	assert_int_equal(fx.text[fx.size - 2], 'x');
	assert_int_equal(pl_say_lost_cnt(), 0);
}

static void test_the_eal_says_it_the_same_way(void **state)
{
	(void)state;
	assert_int_equal(pl_say_for_eal(), 0);
	RTE_LOG(ERR, USER1, "of a driver: %d\n", 5);
	assert_string_equal(read_all(), "USER1: of a driver: 5\n");
	for (uint32_t i = 0; i < LINES; i++)
		RTE_LOG(ERR, USER1, "of a driver: %060u\n", i);
	assert_true(pl_say_lost_cnt() > LINES / 2);
	read_all();
	RTE_LOG(ERR, USER1, "of a driver: %d\n", 6);
	assert_non_null(strstr(read_all(), "nobody read it\nUSER1: of a driver: 6\n"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_a_line_is_said),
		T(test_nobody_waits_for_who_does_not_read),
		T(test_what_is_lost_is_told),
		T(test_a_line_that_was_cut_has_an_end),
		T(test_a_slow_reader_gets_all),
		T(test_a_pipe_that_is_closed_is_one_that_is_not_read),
		T(test_a_text_without_end),
		T(test_the_eal_says_it_the_same_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
