/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker does between bursts, every PL_CHORES_US: look at what control has published,
 * publish what it has counted. */
#include <rte_pause.h>

#include "worker.h"

#define READ_TRIES_MAX 1000u

/* A sequence lock whose writer never waits; its data are atomic words. Boehm, "Can seqlocks get
 * along with programming language memory models?", 2012. */
static void counters_publish(struct pl_worker *w)
{
	/* relaxed: this thread alone writes it. */
	uint64_t version = atomic_load_explicit(&w->pub_version, memory_order_relaxed);

	atomic_store_explicit(&w->pub_version, version + 1, memory_order_relaxed);
	/* SEQ-OPEN release fence: who reads one of the words that follow and then fences (SEQ-RE)
	 * sees the odd version, too. The words are stored by a function for all users, relaxed. */
	atomic_thread_fence(memory_order_release);
	pl_stats_publish(&w->pub, &w->counters);
	/* SEQ-SHUT release: who sees this version sees all the words. Pairs: SEQ-GET. */
	atomic_store_explicit(&w->pub_version, version + 2, memory_order_release);
}

void pl_worker_counters_read(const struct pl_worker *w, struct pl_counters *out)
{
	uint64_t before, after;

	for (uint32_t tries = 0; tries < READ_TRIES_MAX; tries++) {
		/* SEQ-GET acquire: pairs SEQ-SHUT. */
		before = atomic_load_explicit(&w->pub_version, memory_order_acquire);
		pl_stats_read(&w->pub, out);
		/* SEQ-RE acquire fence: pairs SEQ-OPEN, through the words that were read. */
		atomic_thread_fence(memory_order_acquire);
		/* relaxed: ordered by the fence. */
		after = atomic_load_explicit(&w->pub_version, memory_order_relaxed);
		if (before == after && (before & 1) == 0)
			return;
		rte_pause();
	}
}

static void gateways_publish(struct pl_worker *w)
{
	const struct pl_gateway_counters *own = pl_verify_gateway_counters(w->verify);
	uint32_t gateway_cnt = pl_gateway_cnt(w->view->gateways);

	for (uint32_t n = 0; n < PL_GATEWAYS_A_CHORE && n < gateway_cnt; n++) {
		uint64_t words[PL_GATEWAY_WORDS];

		if (w->gateway_cursor >= gateway_cnt)
			w->gateway_cursor = 0;
		memcpy(words, &own[w->gateway_cursor], sizeof(words));
		for (uint32_t i = 0; i < PL_GATEWAY_WORDS; i++)
			/* GW-PUB relaxed: one writer, shown to humans; orders nothing. */
			atomic_store_explicit(&w->pub_gateways[w->gateway_cursor][i], words[i],
					      memory_order_relaxed);
		/* relaxed: as above. */
		atomic_store_explicit(
			&w->pub_limited[w->gateway_cursor],
			pl_verify_is_limited(w->verify, &w->view->view, w->gateway_cursor),
			memory_order_relaxed);
		w->gateway_cursor++;
	}
}

bool pl_worker_gateway_read(const struct pl_worker *w, uint32_t idx,
			    struct pl_gateway_counters *out)
{
	uint64_t words[PL_GATEWAY_WORDS];

	for (uint32_t i = 0; i < PL_GATEWAY_WORDS; i++)
		/* relaxed: see GW-PUB. */
		words[i] = atomic_load_explicit(&w->pub_gateways[idx][i], memory_order_relaxed);
	memcpy(out, words, sizeof(*out));
	/* relaxed: as above. */
	return atomic_load_explicit(&w->pub_limited[idx], memory_order_relaxed);
}

/* The longest burst takes a fraction of what counts here, so who is so late was not running: another
 * thread had the core, or the hypervisor. */
static void stall_note(struct pl_worker *w, uint64_t now_tsc)
{
	uint64_t late_tsc = now_tsc - w->chores_tsc, sleep_tsc;

	/* A sleep that it was told to take is none. It was the last thing before this, if it was. */
	if (w->view->idle == PL_SITE_IDLE_SLEEP && w->empty_polls >= PL_IDLE_POLLS_SLEEP) {
		sleep_tsc = w->stall_tsc / PL_STALL_US * w->view->idle_us;
		late_tsc = late_tsc > sleep_tsc ? late_tsc - sleep_tsc : 0;
	}
	if (late_tsc < w->stall_tsc)
		return;
	w->counters.stalls++;
	w->counters.stalled_tsc += late_tsc;
}

bool pl_worker_chores(struct pl_worker *w, uint64_t now_tsc)
{
	const struct pl_live *live = w->live;
	uint32_t announce;

	if (PL_LIKELY(w->view != NULL)) /* not the first time */
		stall_note(w, now_tsc);
	w->chores_tsc = now_tsc + w->chores_period_tsc;
	pl_clock_view_get(w->clock_base, &w->clock);
	w->view = pl_view_renew(w->views, w->idx);
	pl_table_quiesce(w->reader);
	/* ASOF-GET acquire: pairs ASOF-PUB. What as_of stands for is in the table, or the flags, which are
	 * taken after it, say that not all of it is. */
	w->as_of = atomic_load_explicit(&live->as_of, memory_order_acquire);
	w->flags = pl_live_flags(live);
	/* relaxed: a number, on disk before it was stored; nothing else hangs on it. */
	pl_verify_nonce_limit_set(w->verify,
				  atomic_load_explicit(&live->nonce_limit, memory_order_relaxed));
	/* relaxed: as above. */
	announce = atomic_load_explicit(&live->announce_generation, memory_order_relaxed);
	if (announce != w->announced) {
		w->announced = announce;
		if (w->queue == 0 && w->garp)
			pl_worker_announce(w);
	}
	counters_publish(w);
	/* relaxed: control reads it to know when to reserve more; late is early enough. */
	atomic_store_explicit(&w->pub_nonce_next, pl_verify_nonce_next(w->verify),
			      memory_order_relaxed);
	pl_verify_shed_renew(w->verify, &w->view->view, now_tsc,
			     pl_clock_wall_ns(&w->clock, now_tsc) / 1000000);
	gateways_publish(w);
	/* relaxed: shown to humans. */
	atomic_store_explicit(&w->pub_limited_cnt, pl_verify_limited_cnt(w->verify),
			      memory_order_relaxed);
	/* relaxed: a stop that is seen one round later is as good. */
	return atomic_load_explicit(&live->stop, memory_order_relaxed);
}

/* Announcements are nobody's answers: they count as sent, not as answered, and if the port does not
 * take one the neighbours will ask. */
void pl_worker_announce(struct pl_worker *w)
{
	const struct pl_net_if *nif = w->nif;
	uint32_t cnt = (uint32_t)nif->ip4_cnt + nif->ip6_cnt;

	for (uint32_t i = 0; i < cnt; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(w->port->pool);
		uint32_t room, size;
		uint8_t *data;

		if (m == NULL)
			return;
		data = rte_pktmbuf_mtod(m, uint8_t *);
		room = rte_pktmbuf_tailroom(m);
		size = i < nif->ip4_cnt ? pl_net_garp(nif, i, data, room)
					: pl_net_unsolicited_na(nif, i - nif->ip4_cnt, data, room);
		m->data_len = (uint16_t)size;
		m->pkt_len = size;
		if (size != 0 && pl_port_tx(w->port, w->queue, &m, 1) == 1) {
			w->counters.tx_pkts++;
			w->counters.tx_bytes += size;
		} else {
			rte_pktmbuf_free(m);
		}
	}
}
