/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The push server over loopback, in one thread with its peers: honest ones, slow ones, crowds, and
 * bytes of every wrong kind. Deadlines are milliseconds here, and nothing is asserted of how long
 * anything takes: only of what comes in the end.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "intake/pl_push.h"
#include "intake/pl_push_server.h"
#include "intake_fixture.h"

#define ROUNDS_MAX 200000u

static struct pl_push_server *server;
static struct pl_push_server_status at;

static int open_server(const struct pl_push_server_conf *want, sa_family_t family)
{
	struct pl_push_server_conf conf = *want;

	conf.listen.ss_family = family;
	if (family == AF_INET6)
		((struct sockaddr_in6 *)&conf.listen)->sin6_addr = in6addr_loopback;
	else
		((struct sockaddr_in *)&conf.listen)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return pl_push_server_open(fx.in, &conf, &server, fx.error, sizeof(fx.error));
}

static struct pl_push_server_conf patient(void)
{
	struct pl_push_server_conf conf;

	pl_push_server_conf_default(&conf);
	conf.head_ms = 600000;
	conf.answer_ms = 600000;
	return conf;
}

static int set_up_server(void **state)
{
	struct pl_push_server_conf conf = patient();

	server = NULL;
	return set_up(state) | open_server(&conf, AF_INET);
}

static int tear_down_server(void **state)
{
	pl_push_server_close(server);
	return tear_down(state);
}

static void again(const struct pl_push_server_conf *conf)
{
	pl_push_server_close(server);
	server = NULL;
	memset(&at, 0, sizeof(at));
	assert_int_equal(open_server(conf, AF_INET), 0);
}

static void work(void)
{
	struct pollfd p = {.fd = pl_push_server_fd(server), .events = POLLIN};
	uint32_t wait_ms = pl_push_server_work(server);

	(void)poll(&p, 1, wait_ms < 2 ? (int)wait_ms : 2);
	pl_push_server_status_get(server, &at);
}

/* rcvbuf: bytes that the peer's kernel takes for it; 0: as always. */
static int dial_small(int rcvbuf)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(pl_push_server_port(server))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (rcvbuf != 0)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int dial(void)
{
	return dial_small(0);
}

/* So many bytes from the server, which works meanwhile; fewer if it closed. */
static size_t receive(int fd, uint8_t *data, size_t size)
{
	size_t got = 0;

	for (uint32_t i = 0; i < ROUNDS_MAX && got < size; i++) {
		ssize_t n = recv(fd, data + got, size - got, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return got;
		if (n > 0)
			got += (size_t)n;
		else
			work();
	}
	return got;
}

static bool is_closed(int fd)
{
	uint8_t byte;

	return receive(fd, &byte, 1) == 0;
}

static struct pl_push_greeting greeting_of(int fd)
{
	uint8_t bytes[PL_PUSH_GREETING_SIZE];
	struct pl_push_greeting g;

	assert_int_equal(receive(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_true(pl_push_greeting_read(bytes, &g));
	return g;
}

static int greeted(void)
{
	int fd = dial();

	(void)greeting_of(fd);
	return fd;
}

/* Sends as the socket takes it; the server works meanwhile. */
static void send_bytes(int fd, const void *data, size_t size)
{
	const uint8_t *from = data;

	for (uint32_t i = 0; i < ROUNDS_MAX && size > 0; i++) {
		ssize_t n = send(fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			from += n;
			size -= (size_t)n;
		} else if (errno != EAGAIN) {
			return;
		} else {
			work();
		}
	}
}

static void send_frame(int fd, const struct segment *s)
{
	uint8_t frame[PL_PUSH_FRAME_SIZE];

	pl_push_frame_write(frame, (uint32_t)s->size);
	send_bytes(fd, frame, sizeof(frame));
	send_bytes(fd, s->data, s->size);
}

static struct pl_push_answer answer_of(int fd)
{
	uint8_t bytes[PL_PUSH_ANSWER_SIZE];
	struct pl_push_answer a;

	assert_int_equal(receive(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_true(pl_push_answer_read(bytes, &a));
	return a;
}

static void assert_answer(int fd, enum pl_intake_outcome outcome, enum pl_feed_error error)
{
	struct pl_push_answer a = answer_of(fd);

	assert_string_equal(pl_intake_outcome_name((enum pl_intake_outcome)a.outcome),
			    pl_intake_outcome_name(outcome));
	assert_string_equal(pl_feed_error_name((enum pl_feed_error)a.error),
			    pl_feed_error_name(error));
}

static void test_a_feed_is_pushed_without_waiting_for_answers(void **state)
{
	struct pl_push_greeting g;
	int fd = dial();

	(void)state;
	g = greeting_of(fd);
	assert_int_equal(g.pos.stream_id, STREAM);
	assert_int_equal(g.pos.sequence, 0);
	assert_int_equal(g.segment_size_max, PL_FEED_SEGMENT_SIZE_MAX);
	assert_false(g.broken);
	for (uint32_t i = 0; i < 5; i++)
		send_frame(fd, &fx.segments[i]);
	for (uint64_t i = 1; i <= 5; i++) {
		struct pl_push_answer a = answer_of(fd);

		assert_int_equal(a.outcome, PL_INTAKE_STORED);
		assert_int_equal(a.pos.sequence, i);
		assert_memory_equal(a.pos.hash, fx.ends[i].hash, PL_FEED_HASH_SIZE);
	}
	close(fd);
	/* The next one learns where to go on. */
	pl_intake_applied_set(fx.in, 4);
	fd = dial();
	g = greeting_of(fd);
	assert_memory_equal(&g.pos, &fx.ends[5], sizeof(g.pos));
	assert_int_equal(g.applied, 4);
	send_frame(fd, &fx.segments[4]);
	assert_answer(fd, PL_INTAKE_HELD, PL_FEED_OK);
	send_frame(fd, &fx.segments[6]);
	assert_answer(fd, PL_INTAKE_REFUSED, PL_FEED_GAP);
	send_frame(fd, &fx.segments[5]);
	assert_answer(fd, PL_INTAKE_STORED, PL_FEED_OK);
	work();
	assert_int_equal(at.proven_cnt, 1);
	close(fd);
	pl_push_server_close(server);
	server = NULL;
	struct pl_push_server_conf conf = patient();

	assert_int_equal(open_server(&conf, AF_INET6), 0);
	assert_int_not_equal(pl_push_server_port(server), 0);
}

static void test_the_largest_segment_goes_through_in_its_memory(void **state)
{
	struct pl_push_server_conf conf = patient();
	struct pl_feed_pos pos = fx.ends[0];
	struct segment largest = make_segment(&pos, PL_FEED_RECORDS_MAX, 1, fx.seckey);
	int fd;

	(void)state;
	conf.memory_max = PL_FEED_SEGMENT_SIZE_MAX;
	again(&conf);
	fd = greeted();
	send_frame(fd, &largest);
	assert_answer(fd, PL_INTAKE_STORED, PL_FEED_OK);
	assert_int_equal(at.memory, 0);
	close(fd);
	free(largest.data);
}

static void test_a_half_closed_peer_gets_its_answers(void **state)
{
	int fd = greeted();

	(void)state;
	send_frame(fd, &fx.segments[0]);
	send_frame(fd, &fx.segments[1]);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_answer(fd, PL_INTAKE_STORED, PL_FEED_OK);
	assert_answer(fd, PL_INTAKE_STORED, PL_FEED_OK);
	assert_true(is_closed(fd));
	close(fd);
	/* One that closes within a frame leaves nothing. */
	fd = greeted();
	send_bytes(fd, "PLF1", 4);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_true(is_closed(fd));
	assert_int_equal(at.conn_cnt, 0);
	assert_int_equal(at.memory, 0);
	close(fd);
}

static void test_what_is_no_frame_of_ours_is_refused_and_closed(void **state)
{
	struct segment *s = &fx.segments[0];
	static const struct {
		size_t at; /* in frame and segment */
		uint8_t to;
		enum pl_feed_error error;
	} cases[] = {
		{0, 'X', PL_FEED_NOT_SEGMENT}, /* the frame's own magic */
		{7, 1, PL_FEED_OVERSIZED},
		{4, 1, PL_FEED_TRUNCATED}, /* shorter than its records */
		{5, 9, PL_FEED_OVERSIZED}, /* longer than its records */
		{8, 'X', PL_FEED_NOT_SEGMENT},
		{16, 9, PL_FEED_VERSION},
		{18, 9, PL_FEED_VERSION},   /* kind */
		{23, 9, PL_FEED_OVERSIZED}, /* records */
		{24, 9, PL_FEED_STREAM},
	};
	struct pl_intake_status status;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_CNT(cases); i++) {
		uint8_t bytes[PL_PUSH_FRAME_SIZE + 512];
		int fd = greeted();

		pl_push_frame_write(bytes, (uint32_t)s->size);
		memcpy(bytes + PL_PUSH_FRAME_SIZE, s->data, s->size);
		bytes[cases[i].at] = cases[i].to;
		send_bytes(fd, bytes, PL_PUSH_FRAME_SIZE + s->size);
		assert_answer(fd, PL_INTAKE_REFUSED, cases[i].error);
		assert_true(is_closed(fd));
		close(fd);
	}
	assert_int_equal(at.bad_cnt, PL_ARRAY_CNT(cases));
	assert_int_equal(at.memory, 0);
	pl_intake_status_get(fx.in, &status);
	assert_int_equal(status.refused[PL_INTAKE_TCP][PL_FEED_STREAM], 1);
	assert_int_equal(status.refused[PL_INTAKE_TCP][PL_FEED_VERSION], 2);
	assert_false(status.behind);
}

static void test_no_memory_before_a_plausible_header(void **state)
{
	struct pl_feed_header h;
	uint8_t frame[PL_PUSH_FRAME_SIZE];
	int fd = greeted();

	(void)state;
	memcpy(&h, fx.segments[0].data, sizeof(h));
	h.record_cnt = PL_FEED_RECORDS_MAX;
	pl_push_frame_write(frame, (uint32_t)PL_FEED_SEGMENT_SIZE_MAX);
	send_bytes(fd, frame, sizeof(frame));
	send_bytes(fd, &h, sizeof(h) - 1);
	for (uint32_t i = 0; i < 20; i++)
		work();
	assert_int_equal(at.memory, 0);
	send_bytes(fd, (uint8_t *)&h + sizeof(h) - 1, 1);
	for (uint32_t i = 0; i < 20; i++)
		work();
	assert_int_equal(at.memory, PL_FEED_SEGMENT_SIZE_MAX);
	close(fd);
	for (uint32_t i = 0; i < 20; i++)
		work();
	assert_int_equal(at.memory, 0);
	assert_int_equal(at.conn_cnt, 0);
}

/* Who has begun a frame has to bring it: its header, and then so many bytes a second. */
static void test_slow_peers_are_closed(void **state)
{
	struct pl_push_server_conf conf = patient();
	int idle, head, body;

	(void)state;
	conf.head_ms = 20;
	conf.body_bytes_s_min = 1u << 30;
	again(&conf);
	idle = greeted();
	head = greeted();
	send_bytes(head, "P", 1);
	assert_true(is_closed(head));
	body = greeted();
	send_bytes(body, "PLF1", 4);
	send_bytes(body, &(uint32_t){(uint32_t)fx.segments[0].size}, 4);
	send_bytes(body, fx.segments[0].data, 150);
	assert_true(is_closed(body));
	assert_int_equal(at.late_cnt, 2);
	/* Between frames there is no hurry: that is what following is. */
	send_frame(idle, &fx.segments[0]);
	assert_answer(idle, PL_INTAKE_STORED, PL_FEED_OK);
	close(idle);
	close(head);
	close(body);
}

static void test_a_peer_that_takes_no_answer_is_closed(void **state)
{
	struct pl_push_server_conf conf = patient();
	uint8_t bytes[PL_PUSH_FRAME_SIZE + 512];
	size_t size_all = PL_PUSH_FRAME_SIZE + fx.segments[0].size, sent = 0;
	int fd;

	(void)state;
	pl_push_frame_write(bytes, (uint32_t)fx.segments[0].size);
	memcpy(bytes + PL_PUSH_FRAME_SIZE, fx.segments[0].data, fx.segments[0].size);
	conf.answer_ms = 20;
	again(&conf);
	fd = dial_small(1);
	/* Replays, as many as it takes, and not one answer is read. */
	for (uint32_t i = 0; i < ROUNDS_MAX && at.late_cnt == 0; i++) {
		ssize_t n = send(fd, bytes + sent, size_all - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		sent = n > 0 ? (sent + (size_t)n) % size_all : sent;
		(void)pl_push_server_work(server);
		pl_push_server_status_get(server, &at);
	}
	assert_int_equal(at.late_cnt, 1);
	assert_int_equal(at.conn_cnt, 0);
	close(fd);
}

/* A thousand connections that say nothing: the authority comes in, and stays. */
static void test_a_crowd_keeps_no_authority_out(void **state)
{
	struct pl_push_server_conf conf = patient();
	static int crowd[1000];
	uint64_t next = 0;
	int fd = -1;

	(void)state;
	conf.conns_max = 8;
	conf.grace_ms = 5;
	again(&conf);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(crowd); i++) {
		crowd[i] = dial();
		assert_true(fcntl(crowd[i], F_SETFL, O_NONBLOCK) == 0);
		if (i == 100) { /* in the midst of it */
			fd = greeted();
			send_frame(fd, &fx.segments[next++]);
			assert_answer(fd, PL_INTAKE_STORED, PL_FEED_OK);
		}
		if (i % 100 == 99 && next > 0 && next < 8) {
			send_frame(fd, &fx.segments[next++]);
			assert_answer(fd, PL_INTAKE_STORED, PL_FEED_OK);
		}
		work();
		assert_true(at.conn_cnt <= 8);
	}
	assert_true(at.evicted_cnt >= 900);
	assert_int_equal(at.proven_cnt, 1);
	send_frame(fd, &fx.segments[next++]);
	assert_answer(fd, PL_INTAKE_STORED, PL_FEED_OK);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(crowd); i++)
		close(crowd[i]);
	close(fd);
}

/* Those who have earned their place share it out among themselves, longest silent first. */
static void test_places_that_were_earned_are_not_for_ever(void **state)
{
	struct pl_push_server_conf conf = patient();
	int first, second, third;

	(void)state;
	conf.conns_max = 2;
	conf.grace_ms = 1;
	again(&conf);
	first = greeted();
	send_frame(first, &fx.segments[0]);
	assert_answer(first, PL_INTAKE_STORED, PL_FEED_OK);
	second = greeted();
	for (uint32_t i = 0; i < 10; i++)
		work(); /* a millisecond at least goes by */
	send_frame(second, &fx.segments[1]);
	assert_answer(second, PL_INTAKE_STORED, PL_FEED_OK);
	third = greeted();
	assert_true(is_closed(first));
	send_frame(third, &fx.segments[2]);
	assert_answer(third, PL_INTAKE_STORED, PL_FEED_OK);
	send_frame(second, &fx.segments[3]);
	assert_answer(second, PL_INTAKE_STORED, PL_FEED_OK);
	close(first);
	close(second);
	close(third);
}

/* Peers that begin the largest segments and never end them hold no more than the limit, and no one out. */
static void test_memory_is_bounded_for_all_together(void **state)
{
	struct pl_push_server_conf conf = patient();
	struct pl_feed_header h;
	uint8_t frame[PL_PUSH_FRAME_SIZE];
	int hogs[6], fd;

	(void)state;
	conf.grace_ms = 1;
	conf.memory_max = 2 * PL_FEED_SEGMENT_SIZE_MAX;
	again(&conf);
	memcpy(&h, fx.segments[0].data, sizeof(h));
	h.record_cnt = PL_FEED_RECORDS_MAX;
	pl_push_frame_write(frame, (uint32_t)PL_FEED_SEGMENT_SIZE_MAX);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(hogs); i++) {
		hogs[i] = greeted();
		send_bytes(hogs[i], frame, sizeof(frame));
		send_bytes(hogs[i], &h, sizeof(h));
		for (uint32_t k = 0; k < 10; k++)
			work();
		assert_true(at.memory <= conf.memory_max);
	}
	assert_true(at.evicted_cnt >= 4);
	fd = greeted();
	send_frame(fd, &fx.segments[0]);
	assert_answer(fd, PL_INTAKE_STORED, PL_FEED_OK);
	close(fd);
	for (uint32_t i = 0; i < PL_ARRAY_CNT(hogs); i++)
		close(hogs[i]);
}

static void test_the_rate_holds_a_segment_back_and_loses_it_not(void **state)
{
	int fd;

	(void)state;
	pl_push_server_close(server);
	server = NULL;
	pl_intake_close(fx.in);
	assert_int_equal(open_intake(20000), 0);
	struct pl_push_server_conf conf = patient();

	assert_int_equal(open_server(&conf, AF_INET), 0);
	fd = greeted();
	for (uint32_t i = 0; i < 6; i++)
		send_frame(fd, &fx.segments[i]);
	for (uint32_t i = 0; i < 6; i++)
		assert_answer(fd, PL_INTAKE_STORED, PL_FEED_OK);
	close(fd);
}

static void test_an_address_that_is_not_ours_is_told(void **state)
{
	struct pl_push_server_conf conf = patient();
	struct pl_push_server *second = NULL;
	struct sockaddr_in *to = (struct sockaddr_in *)&conf.listen;

	(void)state;
	to->sin_family = AF_INET;
	to->sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1, of nobody */
	to->sin_port = htons(4718);
	assert_int_equal(pl_push_server_open(fx.in, &conf, &second, fx.error, sizeof(fx.error)),
			 -EADDRNOTAVAIL);
	assert_non_null(strstr(fx.error, "192.0.2.1 port 4718"));
	assert_non_null(strstr(fx.error, "this machine's own"));
	to->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to->sin_port = htons(pl_push_server_port(server));
	assert_int_equal(pl_push_server_open(fx.in, &conf, &second, fx.error, sizeof(fx.error)),
			 -EADDRINUSE);
	assert_non_null(strstr(fx.error, "another program"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_server, tear_down_server)
		T(test_a_feed_is_pushed_without_waiting_for_answers),
		T(test_the_largest_segment_goes_through_in_its_memory),
		T(test_a_half_closed_peer_gets_its_answers),
		T(test_what_is_no_frame_of_ours_is_refused_and_closed),
		T(test_no_memory_before_a_plausible_header),
		T(test_slow_peers_are_closed),
		T(test_a_peer_that_takes_no_answer_is_closed),
		T(test_a_crowd_keeps_no_authority_out),
		T(test_places_that_were_earned_are_not_for_ever),
		T(test_memory_is_bounded_for_all_together),
		T(test_the_rate_holds_a_segment_back_and_loses_it_not),
		T(test_an_address_that_is_not_ours_is_told),
	};

	return cmocka_run_group_tests_name("push_server", tests, NULL, NULL);
}
