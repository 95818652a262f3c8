/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's burst over a ring that loops back, with ordinary pages: what becomes of each frame and
 * each buffer, and that the counts say so. Datagrams are lib/verify's and the end-to-end tests'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <rte_eal.h>

#include "net_frames.h"

#include "../../app/passline/chores.c"
#include "../../app/passline/worker.c"

static struct pl_port port;
static struct pl_net_if nif;
static struct pl_worker *w;

static struct rte_mbuf *mbuf_of(const struct frame *f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(port.pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->size), f->b, f->size);
	return m;
}

static void check_books(void)
{
	const struct pl_counters *c = &w->counters;

	assert_true(c->rx_pkts == pl_stats_answered(c) + pl_stats_dropped(c));
	assert_int_equal(w->tx_cnt, 0);
	assert_int_equal(w->junk_cnt, 0);
}

static void drain(void)
{
	struct rte_mbuf *m;

	while (pl_port_rx(&port, 0, &m, 1) == 1)
		rte_pktmbuf_free(m);
	assert_int_equal(rte_mempool_in_use_count(port.pool), 0);
}

static int reset(void **state)
{
	(void)state;
	memset(w, 0, sizeof(*w));
	w->port = &port;
	w->nif = &nif;
	return 0;
}

static void test_what_is_answered_is_sent_and_the_rest_is_freed(void **state)
{
	struct rte_mbuf *back[8];
	struct frame f;

	(void)state;
	echo4(&f, "10.1.2.77", "10.1.2.3", 8);
	w->rx[0] = mbuf_of(&f);
	w->rx[0]->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD;
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	w->rx[1] = mbuf_of(&f);
	solicit(&f, "fd00::77", "fd00::5", "fd00::5", false);
	w->rx[2] = mbuf_of(&f);
	udp4(&f, 9, 64); /* another VLAN */
	w->rx[3] = mbuf_of(&f);
	burst(w, 4);
	check_books();
	assert_int_equal(w->counters.rx_pkts, 4);
	assert_int_equal(w->counters.icmp_replies, 1);
	assert_int_equal(w->counters.arp_replies, 1);
	assert_int_equal(w->counters.nd_replies, 1);
	assert_int_equal(w->counters.drops[PL_DROP_VLAN], 1);
	assert_int_equal(w->counters.tx_pkts, 3);
	assert_int_equal(w->counters.tx_bytes, 50 + 42 + 86);
	assert_int_equal(pl_port_rx(&port, 0, back, 8), 3);
	assert_int_equal(rte_pktmbuf_pkt_len(back[0]), 50);
	assert_int_equal(rte_pktmbuf_pkt_len(back[2]), 86); /* grew by an option */
	assert_true(back[0]->ol_flags == 0);
	rte_pktmbuf_free_bulk(back, 3);
	drain();
}

static void test_frame_in_two_buffers_is_dropped_whole(void **state)
{
	struct frame f;

	(void)state;
	echo4(&f, "10.1.2.77", "10.1.2.3", 8);
	w->rx[0] = mbuf_of(&f);
	assert_int_equal(rte_pktmbuf_chain(w->rx[0], mbuf_of(&f)), 0);
	burst(w, 1);
	check_books();
	assert_int_equal(w->counters.drops[PL_DROP_FRAME_SPLIT], 1);
	assert_int_equal(w->counters.rx_bytes, 100);
	drain();
}

static void test_what_the_port_does_not_take_is_counted_so(void **state)
{
	struct rte_mbuf *m;
	struct frame f;
	uint32_t filled = 0;

	(void)state;
	echo4(&f, "10.1.2.77", "10.1.2.3", 8);
	for (;; filled++) { /* no room but for two */
		m = mbuf_of(&f);
		if (pl_port_tx(&port, 0, &m, 1) == 1)
			continue;
		rte_pktmbuf_free(m);
		break;
	}
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(pl_port_rx(&port, 0, &m, 1), 1);
		rte_pktmbuf_free(m);
	}
	for (uint32_t i = 0; i < 5; i++)
		w->rx[i] = mbuf_of(&f);
	arp_request(&f, -1, "10.1.2.77", "10.1.2.3");
	w->rx[5] = mbuf_of(&f);
	burst(w, 6);
	check_books();
	assert_int_equal(w->counters.tx_pkts, 2);
	assert_int_equal(w->counters.tx_bytes, 2 * 50);
	assert_int_equal(w->counters.drops[PL_DROP_TX_FULL], 4);
	assert_int_equal(w->counters.icmp_replies, 2);
	assert_int_equal(w->counters.arp_replies, 0);
	assert_true(filled > 64);
	drain();
}

static void test_announcements_are_sent_and_answer_nobody(void **state)
{
	struct rte_mbuf *back[8];

	(void)state;
	pl_worker_announce(w);
	assert_int_equal(w->counters.tx_pkts, 4); /* two IPv4 addresses, two of IPv6 */
	assert_int_equal(pl_stats_answered(&w->counters), 0);
	assert_int_equal(pl_port_rx(&port, 0, back, 8), 4);
	assert_int_equal(rte_pktmbuf_pkt_len(back[0]), 60);
	assert_int_equal(rte_pktmbuf_pkt_len(back[3]), 86);
	rte_pktmbuf_free_bulk(back, 4);
	drain();
}

static void test_feed_age_and_clock_are_judged_without_control(void **state)
{
	struct pl_app_view view = {.feed_age_s_max = 100, .retry_after_ms = 70};
	const uint64_t at_s = 1641000000;
	struct pl_now now;

	(void)state;
	w->view = &view;
	w->clock.wall_ns0 = at_s * 1000000000;
	w->clock.trusted = true;
	w->as_of = (uint32_t)at_s - 100;
	now = now_make(w, 0);
	assert_int_equal(now.retry_after_ms, 70);
	assert_true(now.wall_ms == at_s * 1000);
	assert_int_equal(now.flags, 0);
	assert_int_equal(now.as_of, at_s - 100);
	/* Signed by a clock that is wrong: not fresh until then, but not to be believed. */
	w->as_of = (uint32_t)at_s + PL_FEED_AHEAD_S_MAX;
	assert_int_equal(now_make(w, 0).flags, 0);
	w->as_of++;
	assert_int_equal(now_make(w, 0).flags, PL_FLAG_FEED_OLD);
	w->as_of = UINT32_MAX;
	assert_int_equal(now_make(w, 0).flags, PL_FLAG_FEED_OLD);
	w->as_of = (uint32_t)at_s - 101;
	assert_int_equal(now_make(w, 0).flags, PL_FLAG_FEED_OLD);
	w->clock.trusted = false;
	assert_int_equal(now_make(w, 0).flags, PL_FLAG_FEED_OLD | PL_FLAG_CLOCK);
	w->flags = PL_FLAG_LOADING;
	now = now_make(w, 0);
	assert_int_equal(now.as_of, 0); /* of a table that is not whole nothing is claimed */
}

/* Each of those who know a reason tells it to workers: nobody else needs to be alive for it. */
static void test_reasons_reach_workers_from_each_who_finds_them(void **state)
{
	struct pl_live live = {0};

	(void)state;
	assert_int_equal(pl_live_flags(&live), 0);
	atomic_store(&live.flags, PL_FLAG_DRAINING);
	assert_int_equal(pl_live_flags(&live), PL_FLAG_DRAINING);
	/* The loader refuses a segment, or finds no room, and control hangs. */
	atomic_store(&live.feed_flags, PL_FLAG_INTAKE);
	assert_int_equal(pl_live_flags(&live),
			 PL_FLAG_DRAINING | PL_FLAG_INTAKE | PL_FLAG_FEED_OLD);
	atomic_store(&live.flags, 0);
	atomic_store(&live.feed_flags, PL_FLAG_TABLE_FULL);
	assert_int_equal(pl_live_flags(&live), PL_FLAG_TABLE_FULL | PL_FLAG_FEED_OLD);
	atomic_store(&live.feed_flags, 0);
	atomic_store(&live.intake_flags, PL_FLAG_INTAKE);
	assert_int_equal(pl_live_flags(&live), PL_FLAG_INTAKE | PL_FLAG_FEED_OLD);
	/* Each takes back only what is its own. */
	atomic_store(&live.feed_flags, PL_FLAG_INTAKE);
	atomic_store(&live.intake_flags, 0);
	assert_int_equal(pl_live_flags(&live), PL_FLAG_INTAKE | PL_FLAG_FEED_OLD);
	atomic_store(&live.feed_flags, PL_FLAG_LOADING);
	assert_int_equal(pl_live_flags(&live), PL_FLAG_LOADING);
}

/* Who comes late to the chores was not running, unless it was told to sleep. */
static void test_a_worker_that_was_not_running_counts_it(void **state)
{
	struct pl_app_view view = {.idle = PL_SITE_IDLE_SPIN, .idle_us = 500};

	(void)state;
	w->view = &view;
	w->stall_tsc = 1000 * PL_STALL_US; /* a thousand cycles a microsecond */
	w->chores_tsc = 7000000;
	stall_note(w, 7000000);
	stall_note(w, 7000000 + 999999);
	assert_int_equal(w->counters.stalls, 0);
	stall_note(w, 7000000 + 1000000);
	stall_note(w, 7000000 + 3000000);
	assert_int_equal(w->counters.stalls, 2);
	assert_int_equal(w->counters.stalled_tsc, 4000000);
	view.idle = PL_SITE_IDLE_SLEEP;
	stall_note(w, 7000000 + 1000000); /* busy: it did not sleep */
	assert_int_equal(w->counters.stalls, 3);
	w->empty_polls = PL_IDLE_POLLS_SLEEP;
	stall_note(w, 7000000 + 400000);
	stall_note(w, 7000000 + 1499999);
	assert_int_equal(w->counters.stalls, 3);
	stall_note(w, 7000000 + 1500000);
	assert_int_equal(w->counters.stalls, 4);
	assert_int_equal(w->counters.stalled_tsc, 6000000);
}

static int start(void **state)
{
	char *argv[] = {"worker_test",    "--no-huge",   "-m",    "256",
			"--no-pci",       "--lcores",    "0",     "--no-shconf",
			"--no-telemetry", "--log-level", "error", "--vdev",
			"net_ring0",      NULL};
	struct pl_port_conf conf = {.device = "net_ring0", .queue_cnt = 1, .mbuf_cnt = 4095};
	char error[256];

	(void)state;
	if (rte_eal_init(PL_ARRAY_CNT(argv) - 1, argv) < 0)
		return -1;
	if (pl_port_open(&conf, &port, error, sizeof(error)) != 0 ||
	    pl_port_start(&port, error, sizeof(error)) != 0)
		return -1;
	nif = test_if(0);
	w = aligned_alloc(PL_CACHE_LINE, sizeof(*w));
	return w != NULL ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	free(w);
	pl_port_close(&port);
	return rte_eal_cleanup();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
		T(test_what_is_answered_is_sent_and_the_rest_is_freed),
		T(test_frame_in_two_buffers_is_dropped_whole),
		T(test_what_the_port_does_not_take_is_counted_so),
		T(test_announcements_are_sent_and_answer_nobody),
		T(test_feed_age_and_clock_are_judged_without_control),
		T(test_reasons_reach_workers_from_each_who_finds_them),
		T(test_a_worker_that_was_not_running_counts_it),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
