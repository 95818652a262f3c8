/* SPDX-License-Identifier: BSD-3-Clause */
/* The hot loop: receive, parse, verify, reply, send; each stage over the whole burst. */
#include <time.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include "worker.h"

static_assert(PL_PORT_BURST_MAX <= PL_VERIFY_BURST_MAX, "a burst is verified as one");

static inline void tx_add(struct pl_worker *w, struct rte_mbuf *m, const struct pl_net_frame *f)
{
	m->data_len = (uint16_t)f->size;
	m->pkt_len = f->size;
	/* What the receive side said of the frame is not true of the answer. */
	m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	w->tx_kind[w->tx_cnt] = f->kind;
	w->tx[w->tx_cnt++] = m;
}

static inline void answered_add(struct pl_worker *w, uint8_t kind, uint64_t step)
{
	struct pl_counters *c = &w->counters;

	switch (kind) {
	case PL_NET_UDP:
		c->replies += step;
		break;
	case PL_NET_ARP_REPLY:
		c->arp_replies += step;
		break;
	case PL_NET_ICMP_REPLY:
		c->icmp_replies += step;
		break;
	case PL_NET_ND_REPLY:
		c->nd_replies += step;
		break;
	default:
		break;
	}
}

/* Classify all frames; what is answered here goes to the transmit list, the payloads of datagrams
 * for us to the items. @return how many items. */
static uint32_t parse_all(struct pl_worker *w, uint32_t rx_cnt)
{
	struct pl_counters *c = &w->counters;
	uint32_t item_cnt = 0;

	for (uint32_t i = 0; i < rx_cnt; i++) {
		struct rte_mbuf *m = w->rx[i];
		struct pl_net_frame *f = &w->frames[i];

		c->rx_bytes += m->pkt_len;
		f->data = rte_pktmbuf_mtod(m, uint8_t *);
		f->size = m->data_len;
		f->room = (uint32_t)m->data_len + rte_pktmbuf_tailroom(m);
		pl_port_rx_csums(m, f);
		if (PL_LIKELY(m->nb_segs == 1)) {
			pl_net_parse(w->nif, f);
		} else {
			f->kind = PL_NET_DROP;
			f->drop = PL_DROP_FRAME_SPLIT;
		}
		if (PL_LIKELY(f->kind == PL_NET_UDP)) {
			w->item_frame[item_cnt] = (uint8_t)i;
			w->items[item_cnt].data = f->data + f->payload_off;
			w->items[item_cnt].request_size = f->payload_size;
			item_cnt++;
		} else if (f->kind == PL_NET_DROP) {
			c->drops[f->drop]++;
			w->junk[w->junk_cnt++] = m;
		} else {
			answered_add(w, f->kind, 1);
			tx_add(w, m, f);
		}
	}
	return item_cnt;
}

/* The verifier counted replies and drops; here they become frames, or nothing. */
static void reply_all(struct pl_worker *w, uint32_t item_cnt)
{
	const struct pl_port *port = w->port;

	for (uint32_t i = 0; i < item_cnt; i++) {
		const struct pl_verify_item *it = &w->items[i];
		struct rte_mbuf *m = w->rx[w->item_frame[i]];
		struct pl_net_frame *f = &w->frames[w->item_frame[i]];

		if (PL_UNLIKELY(it->reply_size == 0)) {
			w->junk[w->junk_cnt++] = m;
			continue;
		}
		pl_net_udp_reply(w->nif, f, (uint16_t)it->reply_size, port->tx_csum_ip,
				 port->tx_csum_l4);
		tx_add(w, m, f);
		pl_port_tx_csums(port, m, f);
	}
}

/* What the ring does not take in a bounded number of tries is dropped, and counted so. */
static void tx_all(struct pl_worker *w)
{
	struct pl_counters *c = &w->counters;
	uint32_t sent = 0, tries = 0;

	for (uint32_t i = 0; i < w->tx_cnt; i++)
		c->tx_bytes += w->tx[i]->pkt_len;
	for (;;) {
		sent += pl_port_tx(w->port, w->queue, w->tx + sent, (uint16_t)(w->tx_cnt - sent));
		if (PL_LIKELY(sent == w->tx_cnt) || ++tries == PL_TX_TRIES_MAX)
			break;
		rte_pause();
	}
	c->tx_pkts += sent;
	for (uint32_t i = sent; i < w->tx_cnt; i++) {
		c->tx_bytes -= w->tx[i]->pkt_len;
		c->drops[PL_DROP_TX_FULL]++;
		answered_add(w, w->tx_kind[i], UINT64_MAX); /* one less */
		w->junk[w->junk_cnt++] = w->tx[i];
	}
	w->tx_cnt = 0;
}

/* One sample of what changes by itself, for the whole burst. */
static struct pl_now now_make(const struct pl_worker *w, uint64_t now_tsc)
{
	const struct pl_app_view *v = w->view;
	struct pl_now now = {
		.flags = w->flags,
		.as_of = w->as_of,
		.retry_after_ms = v->retry_after_ms,
		.tick = now_tsc,
		.waited = w->empty_polls != 0,
	};

	now.wall_ms = pl_clock_wall_ns(&w->clock, now_tsc) / 1000000;
	now.today = pl_clock_day(now.wall_ms, &v->zone);
	/* Both are found here and not told by control, so that they hold if control stands still. */
	if (!w->clock.trusted)
		now.flags |= PL_FLAG_CLOCK;
	if (pl_feed_is_old(w->as_of, now.wall_ms / 1000, v->feed_age_s_max))
		now.flags |= PL_FLAG_FEED_OLD;
	now.flags |= pl_view_waiver_flag(&v->view, now.wall_ms / 1000);
	if (now.flags & PL_FLAG_LOADING)
		now.as_of = 0;
	return now;
}

/* Keep the sample that the bursts since the last time have given, and ask for the next. */
static PL_COLD void sample_renew(struct pl_worker *w, uint64_t tsc)
{
	struct pl_sample s;

	w->sample_tsc = tsc + w->sample_period_tsc;
	if (w->samples == NULL)
		return;
	if (pl_verify_sample_get(w->verify, &s))
		pl_samples_put(w->samples, &s);
	pl_verify_sample_ask(w->verify);
}

static void burst(struct pl_worker *w, uint32_t rx_cnt)
{
	struct pl_now now;
	uint32_t item_cnt;
	uint64_t tsc;

	w->counters.rx_pkts += rx_cnt;
	for (uint32_t i = 0; i < rx_cnt; i++) /* headers and the start of the payload */
		pl_prefetch(rte_pktmbuf_mtod(w->rx[i], const uint8_t *));
	item_cnt = parse_all(w, rx_cnt);
	if (PL_LIKELY(item_cnt != 0)) {
		/* Read after the frames were taken. A time from before would be older than what is in
		 * them if we stood still in between (stopped, or our virtual machine was): then a QR
		 * code of just now would be from the future, and its owner turned away. */
		tsc = rte_rdtsc();
		now = now_make(w, tsc);
		if (PL_UNLIKELY(tsc >= w->sample_tsc))
			sample_renew(w, tsc);
		pl_verify_burst(w->verify, &w->view->view, &now, w->items, item_cnt);
		reply_all(w, item_cnt);
	}
	if (PL_LIKELY(w->tx_cnt != 0))
		tx_all(w);
	if (PL_UNLIKELY(w->junk_cnt != 0)) {
		rte_pktmbuf_free_bulk(w->junk, w->junk_cnt);
		w->junk_cnt = 0;
	}
}

/* Nothing came. The one system call that a worker ever makes is this sleep, where asked for. */
static void idle(struct pl_worker *w)
{
	const struct pl_app_view *v = w->view;

	if (v->idle == PL_SITE_IDLE_SPIN)
		return;
	rte_pause();
	if (v->idle == PL_SITE_IDLE_SLEEP && w->empty_polls >= PL_IDLE_POLLS_SLEEP) {
		const struct timespec ts = {.tv_sec = v->idle_us / 1000000,
					    .tv_nsec = (long)(v->idle_us % 1000000) * 1000};

		(void)nanosleep(&ts, NULL);
	}
}

int pl_worker_main(void *worker)
{
	struct pl_worker *w = worker;
	struct pl_counters *c = &w->counters;
	uint64_t tsc, last_tsc;

	PL_DCHECK(rte_lcore_id() == w->lcore_id);
	rte_rcu_qsbr_thread_online(w->views->qsbr, w->idx);
	last_tsc = rte_rdtsc();
	if (pl_worker_chores(w, last_tsc))
		goto out;
	for (;;) {
		uint32_t rx_cnt = pl_port_rx(w->port, w->queue, w->rx, PL_PORT_BURST_MAX);

		c->polls++;
		if (PL_LIKELY(rx_cnt != 0)) {
			burst(w, rx_cnt);
			w->empty_polls = 0;
			tsc = rte_rdtsc();
			c->busy_tsc += tsc - last_tsc;
		} else {
			c->polls_empty++;
			w->empty_polls++;
			/* No hit is held: nothing that the table's writer waits for. */
			pl_table_quiesce(w->reader);
			idle(w);
			tsc = rte_rdtsc();
			c->idle_tsc += tsc - last_tsc;
		}
		last_tsc = tsc;
		if (PL_UNLIKELY(tsc >= w->chores_tsc) && pl_worker_chores(w, tsc))
			break;
	}
out:
	w->view = NULL;
	rte_rcu_qsbr_thread_offline(w->views->qsbr, w->idx);
	return 0;
}
