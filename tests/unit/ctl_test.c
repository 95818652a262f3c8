/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: a server among clients who wish it ill, and where its socket may be. */
#include "ctl/pl_ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000 /* far beyond what a slow machine needs */

static char dir[128];
static char path[160];
static char error[PL_CTL_ERROR_SIZE];

/* ---- a server ------------------------------------------------------------------------------ */

static sem_t held; /* a handler is inside "hold" */
static sem_t go;   /* and may go on */

static int echo(void *ctx, struct pl_ctl_call *call)
{
	uint64_t sum = 0;

	(void)ctx;
	for (size_t i = 0; i < call->payload_size; i++)
		sum += call->payload[i];
	call->result = json_pack("{s:s, s:O, s:I, s:I, s:I}", "command", call->command, "args",
				 call->args, "size", (json_int_t)call->payload_size, "sum",
				 (json_int_t)sum, "uid", (json_int_t)call->peer.uid);
	return 0;
}

static int fails(void *ctx, struct pl_ctl_call *call)
{
	(void)ctx;
	snprintf(call->error, call->error_size, "because");
	return -EPERM;
}

/* Until it is let go, or until its client has gone. */
static int hold(void *ctx, struct pl_ctl_call *call)
{
	_Atomic int *cancelled = ctx;

	pl_ctl_progress(call, json_pack("{s:s}", "text", "held"));
	sem_post(&held);
	while (sem_trywait(&go) != 0) {
		if (pl_ctl_cancelled(call)) {
			atomic_store(cancelled, 1);
			return -ECANCELED;
		}
		usleep(1000);
	}
	return 0;
}

static int big(void *ctx, struct pl_ctl_call *call)
{
	uint64_t size;
	char *text;

	(void)ctx;
	if (pl_ctl_arg_number(call, "size", 0, 1, 64u << 20, &size) != 0)
		return -EINVAL;
	text = malloc(size);
	memset(text, 'x', size);
	call->result = json_stringn(text, size);
	free(text);
	return 0;
}

static int typed(void *ctx, struct pl_ctl_call *call)
{
	static const char *const names[] = {"n", "t"};
	const char *text;
	uint64_t n;

	(void)ctx;
	if (pl_ctl_args_known(call, names, 2) != 0 ||
	    pl_ctl_arg_number(call, "n", 5, 2, 9, &n) != 0 ||
	    pl_ctl_arg_text(call, "t", &text) != 0)
		return -EINVAL;
	call->result = json_pack("[I, s?]", (json_int_t)n, text);
	return 0;
}

#define COMMANDS(C)                             \
	C("echo", echo, 1u << 20, PL_CTL_QUICK) \
	C("fail", fails, 0, PL_CTL_QUICK)       \
	C("hold", hold, 0, PL_CTL_SLOW)         \
	C("change", echo, 0, PL_CTL_CHANGE)     \
	C("big", big, 0, PL_CTL_QUICK)          \
	C("typed", typed, 0, PL_CTL_QUICK)

static const struct pl_ctl_command commands[] = {
#define C(command, fn, size_max, in_lane) \
	{.name = command, .handler = fn, .payload_size_max = size_max, .lane = in_lane},
	COMMANDS(C)
#undef C
};
static _Atomic int cancelled;

static struct pl_ctl_server *server_start(uint32_t clients_max, uint32_t ms)
{
	const struct pl_ctl_server_conf conf = {
		.path = path,
		.mode = 0600,
		.commands = commands,
		.command_cnt = PL_ARRAY_CNT(commands),
		.ctx = &cancelled,
		.clients_max = clients_max,
		.line_ms = ms,
		.payload_ms = ms,
		.write_ms = ms,
	};
	struct pl_ctl_server *s;

	atomic_store(&cancelled, 0);
	if (pl_ctl_server_start(&conf, &s, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return s;
}

static int client(void)
{
	int fd = pl_ctl_connect(path, error, sizeof(error));

	if (fd < 0)
		fail_msg("%s", error);
	return fd;
}

static void say(int fd, const char *data, size_t size)
{
	assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* A line of the reply, or NULL at the end. */
static json_t *hear(int fd)
{
	static char line[1u << 20];
	size_t used = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		n = recv(fd, line + used, 1, 0);
		if (n <= 0)
			return NULL;
		if (line[used] == '\n')
			return json_loadb(line, used, 0, NULL);
		used++;
	}
}

static json_t *ask(int fd, const char *command, json_t *args, const void *payload, size_t size)
{
	json_t *reply = NULL;

	if (pl_ctl_ask(fd, command, args, payload, size, PATIENCE_MS, NULL, NULL, &reply, error,
		       sizeof(error)) != 0)
		fail_msg("%s", error);
	json_decref(args);
	return reply;
}

static bool is_ok(json_t *reply)
{
	bool ok = json_is_true(json_object_get(reply, "ok"));

	json_decref(reply);
	return ok;
}

static const char *error_of(const json_t *reply)
{
	const char *text = json_string_value(json_object_get(reply, "error"));

	assert_false(json_is_true(json_object_get(reply, "ok")));
	assert_non_null(text);
	return text;
}

/* Somebody who behaves is served. */
static void assert_serves(void)
{
	int fd = client();

	assert_true(is_ok(ask(fd, "echo", NULL, NULL, 0)));
	close(fd);
}

static void test_asking_and_answering(void **state)
{
	struct pl_ctl_server *s = server_start(0, 0);
	uint8_t payload[1000];
	struct pl_ctl_stats stats;
	json_t *r, *result;
	int fd = client();

	(void)state;
	memset(payload, 3, sizeof(payload));
	r = ask(fd, "echo", json_pack("{s:i}", "a", 1), payload, sizeof(payload));
	result = json_object_get(r, "result");
	assert_string_equal(json_string_value(json_object_get(result, "command")), "echo");
	assert_int_equal(json_integer_value(json_object_get(result, "sum")), 3000);
	assert_int_equal(json_integer_value(json_object_get(result, "uid")), getuid());
	assert_int_equal(json_object_size(json_object_get(result, "args")), 1);
	json_decref(r);
	/* On the same connection. */
	r = ask(fd, "fail", NULL, NULL, 0);
	assert_string_equal(error_of(r), "because");
	assert_string_equal(json_string_value(json_object_get(r, "code")), "EPERM");
	json_decref(r);
	r = ask(fd, "typed", json_pack("{s:i, s:s}", "n", 9, "t", "x"), NULL, 0);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(r, "result"), 0)), 9);
	json_decref(r);
	r = ask(fd, "typed", json_pack("{s:i}", "n", 10), NULL, 0);
	assert_non_null(strstr(error_of(r), "from 2 to 9"));
	json_decref(r);
	r = ask(fd, "typed", json_pack("{s:i}", "t", 1), NULL, 0);
	assert_non_null(strstr(error_of(r), "\"t\" must be a text"));
	json_decref(r);
	r = ask(fd, "typed", json_pack("{s:i}", "nn", 1), NULL, 0);
	assert_non_null(strstr(error_of(r), "no argument \"nn\""));
	json_decref(r);
	close(fd);
	pl_ctl_server_stats(s, &stats);
	assert_int_equal(stats.accepted, 1);
	assert_int_equal(stats.requests, 6);
	pl_ctl_server_stop(s);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_requests_that_come_in_pieces_and_in_heaps(void **state)
{
	static const char two[] = "{\"command\":\"echo\",\"size\":3}\nabc{\"command\":\"fail\"}\n"
				  "{\"command\":\"echo\",\"size\":1}\nz";
	struct pl_ctl_server *s = server_start(0, 0);
	int fd = client();
	json_t *r;

	(void)state;
	for (size_t i = 0; i < sizeof(two) - 1; i++)
		say(fd, two + i, 1);
	assert_true(is_ok(hear(fd)));
	assert_false(is_ok(hear(fd)));
	assert_true(is_ok(hear(fd)));
	say(fd, two, sizeof(two) - 1);
	r = hear(fd);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(r, "result"), "sum")),
			 'a' + 'b' + 'c');
	json_decref(r);
	assert_false(is_ok(hear(fd)));
	assert_true(is_ok(hear(fd)));
	/* Who says that he will ask no more still gets his answer. */
	say(fd, two, sizeof(two) - 1);
	shutdown(fd, SHUT_WR);
	assert_true(is_ok(hear(fd)));
	assert_false(is_ok(hear(fd)));
	assert_true(is_ok(hear(fd)));
	assert_null(hear(fd));
	close(fd);
	pl_ctl_server_stop(s);
}

static void test_bad_bytes_get_a_reason_and_an_end(void **state)
{
	static char huge[PL_CTL_LINE_SIZE_MAX + 10];
	static const char *const lines[] = {
		"nonsense\n",
		"{\"command\":\"nothing\"}\n",
		"{\"command\":\"fail\",\"size\":1}\nx",
		"{\"command\":\"echo\",\"size\":1048577}\n",
		"{\"command\":\"echo\",\"args\":{\"a\":[[[[[[[[[]]]]]]]]]}}\n",
	};
	struct pl_ctl_server *s = server_start(0, 0);
	struct pl_ctl_stats stats;
	int fd;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(lines); i++) {
		json_t *r;

		fd = client();
		say(fd, lines[i], strlen(lines[i]));
		r = hear(fd);
		assert_true(strlen(error_of(r)) > 10);
		json_decref(r);
		assert_null(hear(fd));
		close(fd);
	}
	fd = client();
	say(fd, "\0\0\0\n", 4);
	assert_false(is_ok(hear(fd)));
	close(fd);
	/* No newline ever. */
	memset(huge, 'a', sizeof(huge));
	fd = client();
	say(fd, huge, PL_CTL_LINE_SIZE_MAX);
	assert_false(is_ok(hear(fd)));
	assert_null(hear(fd));
	close(fd);
	pl_ctl_server_stats(s, &stats);
	assert_int_equal(stats.refused, PL_ARRAY_CNT(lines) + 2);
	assert_int_equal(stats.requests, 0);
	assert_serves();
	pl_ctl_server_stop(s);
}

static void test_who_is_slow_is_let_go(void **state)
{
	struct pl_ctl_server *s = server_start(0, 50);
	struct pl_ctl_stats stats;
	int silent = client(), half = client(), stingy = client(), deaf = client();
	int small = 4096;

	(void)state;
	say(half, "{\"comm", 7);
	say(stingy, "{\"command\":\"echo\",\"size\":100}\nab", 32);
	assert_int_equal(setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	say(deaf, "{\"command\":\"big\",\"args\":{\"size\":8000000}}\n", 43);
	assert_null(hear(silent));
	assert_null(hear(half));
	assert_null(hear(stingy));
	do {
		usleep(1000);
		pl_ctl_server_stats(s, &stats);
	} while (stats.late < 4);
	assert_int_equal(stats.late, 4);
	close(silent);
	close(half);
	close(stingy);
	close(deaf);
	assert_serves();
	pl_ctl_server_stop(s);
}

static void test_a_crowd_of_the_silent_keeps_nobody_out(void **state)
{
	struct pl_ctl_server *s = server_start(4, 0);
	struct pl_ctl_stats stats;
	int crowd[12];

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(crowd); i++) {
		crowd[i] = client();
		if (i % 2 == 0)
			say(crowd[i], "{\"command\":", 11);
	}
	assert_serves();
	pl_ctl_server_stats(s, &stats);
	assert_int_equal(stats.accepted, 13);
	assert_int_equal(stats.evicted, 9);
	for (size_t i = 0; i < PL_ARRAY_CNT(crowd); i++)
		close(crowd[i]);
	pl_ctl_server_stop(s);
}

static void test_long_work_keeps_nobody_waiting(void **state)
{
	struct pl_ctl_server *s = server_start(4, 50);
	int fds[4];
	json_t *r;
	int fd;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(fds); i++) {
		fds[i] = client();
		say(fds[i], "{\"command\":\"hold\"}\n", 19);
		if (i == 0)
			sem_wait(&held);
		if (i != 2)
			continue;
		assert_serves(); /* in the quick lane */
		fd = client();
		assert_true(is_ok(ask(fd, "change", NULL, NULL, 0)));
		close(fd);
	}
	/* Progress came before the end. */
	r = hear(fds[0]);
	assert_non_null(json_object_get(r, "progress"));
	json_decref(r);
	/* Those whose work has begun, or waits for its turn, are not sent away for another. */
	do {
		usleep(1000);
		fd = client();
		r = hear(fd);
		close(fd);
	} while (r == NULL);
	assert_non_null(strstr(error_of(r), "still worked on"));
	json_decref(r);
	for (size_t i = 0; i < PL_ARRAY_CNT(fds); i++)
		sem_post(&go);
	assert_true(is_ok(hear(fds[0])));
	for (size_t i = 1; i < PL_ARRAY_CNT(fds); i++) {
		json_decref(hear(fds[i]));
		assert_true(is_ok(hear(fds[i])));
		sem_wait(&held);
	}
	for (size_t i = 0; i < PL_ARRAY_CNT(fds); i++)
		close(fds[i]);
	pl_ctl_server_stop(s);
}

static void test_work_ends_when_nobody_waits_for_it(void **state)
{
	struct pl_ctl_server *s = server_start(0, 0);
	int fd = client();

	(void)state;
	say(fd, "{\"command\":\"hold\"}\n", 19);
	sem_wait(&held);
	close(fd);
	while (atomic_load(&cancelled) == 0)
		usleep(1000);
	/* And when the server stops. */
	atomic_store(&cancelled, 0);
	fd = client();
	say(fd, "{\"command\":\"hold\"}\n", 19);
	sem_wait(&held);
	pl_ctl_server_stop(s);
	assert_int_equal(atomic_load(&cancelled), 1);
	close(fd);
}

static void test_answers_of_any_size(void **state)
{
	struct pl_ctl_server *s = server_start(0, 0);
	int fd = client();
	json_t *r = ask(fd, "big", json_pack("{s:i}", "size", 8000000), NULL, 0);

	(void)state;
	assert_int_equal(json_string_length(json_object_get(r, "result")), 8000000);
	json_decref(r);
	r = ask(fd, "big", json_pack("{s:i}", "size", 64 << 20), NULL, 0);
	assert_non_null(strstr(error_of(r), "ask for less"));
	json_decref(r);
	close(fd);
	pl_ctl_server_stop(s);
}

/* ---- the socket's place -------------------------------------------------------------------- */

static int start_at(const char *at, const char *owner, const char *group)
{
	const struct pl_ctl_server_conf conf = {.path = at,
						.mode = 0660,
						.owner = owner,
						.group = group,
						.commands = commands,
						.command_cnt = PL_ARRAY_CNT(commands)};
	struct pl_ctl_server *s;
	int rc = pl_ctl_server_start(&conf, &s, error, sizeof(error));

	pl_ctl_server_stop(s);
	return rc;
}

static void test_the_living_are_not_robbed(void **state)
{
	struct pl_ctl_server *s = server_start(0, 0);
	struct stat st;
	char other[200];
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(start_at(path, NULL, NULL), -EADDRINUSE);
	assert_non_null(strstr(error, "served by another process"));
	assert_serves();
	pl_ctl_server_stop(s);
	/* A stranger who listens, without our lock. */
	snprintf(other, sizeof(other), "%s/other", dir);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", other);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(start_at(other, NULL, NULL), -EADDRINUSE);
	assert_non_null(strstr(error, "answers already"));
	assert_int_equal(access(other, F_OK), 0);
	/* He dies, and leaves it. */
	close(fd);
	assert_int_equal(start_at(other, NULL, NULL), 0);
	assert_int_equal(access(other, F_OK), -1);
	/* What is no socket stays. */
	fd = open(other, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(start_at(other, NULL, NULL), -EEXIST);
	assert_int_equal(access(other, F_OK), 0);
	unlink(other);
}

static void test_places_that_will_not_do(void **state)
{
	char at[400], sub[200], *end;

	(void)state;
	snprintf(at, sizeof(at), "%s/nowhere/c.sock", dir);
	assert_int_equal(start_at(at, NULL, NULL), -ENOENT);
	assert_non_null(strstr(error, "nowhere"));
	snprintf(at, sizeof(at), "%s/", dir);
	assert_int_equal(start_at(at, NULL, NULL), -EINVAL);
	assert_int_equal(start_at(path, "no-such-user-here", NULL), -ENOENT);
	assert_non_null(strstr(error, "no user no-such-user-here"));
	assert_int_equal(start_at(path, NULL, "no-such-group-here"), -ENOENT);
	assert_int_equal(pl_ctl_names_check("", "no-such-group-here", error, sizeof(error)),
			 -ENOENT);
	assert_int_equal(pl_ctl_names_check("root", "root", error, sizeof(error)), 0);
	snprintf(sub, sizeof(sub), "%s/open", dir);
	assert_int_equal(mkdir(sub, 0777), 0);
	assert_int_equal(chmod(sub, 0777), 0);
	snprintf(at, sizeof(at), "%s/c.sock", sub);
	assert_int_equal(start_at(at, NULL, NULL), -EPERM);
	assert_non_null(strstr(error, "chmod o-w"));
	assert_int_equal(chmod(sub, 01777), 0);
	assert_int_equal(start_at(at, NULL, NULL), 0);
	/* Longer than a socket's address. */
	assert_int_equal(chmod(sub, 0700), 0);
	end = at + snprintf(at, sizeof(at), "%s/", sub);
	memset(end, 'd', 150);
	end[150] = '\0';
	assert_int_equal(mkdir(at, 0700), 0);
	strcat(at, "/c.sock");
	assert_int_equal(start_at(at, NULL, NULL), 0);
	assert_int_equal(pl_ctl_connect(at, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "no appliance serves it"));
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%.90s/pl-ctl-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/c.sock", dir);
	sem_init(&held, 0, 0);
	sem_init(&go, 0, 0);
	return 0;
}

static int teardown(void **state)
{
	char command[200];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asking_and_answering),
		cmocka_unit_test(test_requests_that_come_in_pieces_and_in_heaps),
		cmocka_unit_test(test_bad_bytes_get_a_reason_and_an_end),
		cmocka_unit_test(test_who_is_slow_is_let_go),
		cmocka_unit_test(test_a_crowd_of_the_silent_keeps_nobody_out),
		cmocka_unit_test(test_long_work_keeps_nobody_waiting),
		cmocka_unit_test(test_work_ends_when_nobody_waits_for_it),
		cmocka_unit_test(test_answers_of_any_size),
		cmocka_unit_test(test_the_living_are_not_robbed),
		cmocka_unit_test(test_places_that_will_not_do),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
