/* SPDX-License-Identifier: BSD-3-Clause */

#include "pool.h"

#include <errno.h>
#include <sodium.h>
#include <sys/mman.h>

#define SCANS_DEFAULT     (1u << 19) /* in the whole pool, unless the datagrams are many */
#define DATAGRAMS_DEFAULT (1u << 18)
#define POOL_MIN          64u
#define POOL_MAX          (1u << 24)
#define GENERATIONS_EACH  4096u /* times that each slot is sealed from one reservation */
#define HUGE_PAGE         (2u << 20)
/* Clocks of two processes on one machine differ by less. */
#define SECOND_MARGIN_NS 20000000u
/* A slot in flight for longer than this will not be answered. */
#define LOST_NS 500000000.0
/* A copy is shown for no longer than this: its QR must not grow stale. */
#define COPY_AGE_S_MAX 5u

static uint32_t pow2_below(uint64_t n)
{
	uint32_t p = 1;

	while (2ull * p <= n && p < POOL_MAX)
		p *= 2;
	return p;
}

uint32_t pool_size(const struct load_args *args)
{
	uint64_t cnt = args->pool_cnt;
	double distinct =
		args->scan_cnt * (args->mix.share[MIX_VALID] + args->mix.share[MIX_REPLAYED]);

	if (cnt == 0) {
		cnt = SCANS_DEFAULT / (args->scan_cnt == 0 ? 1 : args->scan_cnt);
		if (cnt > DATAGRAMS_DEFAULT)
			cnt = DATAGRAMS_DEFAULT;
		/* Each valid certificate once, and about two in three hold. */
		if (distinct > 0 &&
		    (double)cnt * distinct > 0.6 * (double)args->cert_cnt / args->part_cnt)
			cnt = (uint64_t)(0.6 * (double)args->cert_cnt / args->part_cnt / distinct);
	}
	if (cnt < POOL_MIN)
		cnt = POOL_MIN;
	return pow2_below(cnt);
}

bool pool_fit(struct load_args *args)
{
	uint32_t half = pool_size(args) / 2;

	if (args->rate > 0 || args->outstanding <= half)
		return false;
	args->outstanding = half;
	return true;
}

uint64_t pool_counters_each(const struct load_args *args)
{
	return (uint64_t)pool_size(args) * (GENERATIONS_EACH + 1);
}

/* A counter whose low bits are the slot. @return false if none can be had. */
static bool next_counter(struct pool *p, struct slot *s, uint32_t idx)
{
	struct pl_client_counter *c = &p->gateways->all[s->gateway].counter;

	if (s->counter_limit != 0 && s->counter + p->cnt < s->counter_limit) {
		s->counter += p->cnt;
		return true;
	}
	if (s->counter_limit == c->limit &&
	    pl_client_counter_reserve(c, pl_time_ns(CLOCK_REALTIME), NULL, 0) != 0)
		return false;
	s->counter = ((c->next + p->cnt - 1) & ~(uint64_t)(p->cnt - 1)) + idx;
	s->counter_limit = c->limit;
	return true;
}

static void write_head(const struct pool *p, const struct gateway *gw, uint64_t counter,
		       uint64_t sent_at_ms, uint8_t *data, struct pl_seal_op *op)
{
	struct pl_wire_req_hdr hdr = {
		.ver = PL_WIRE_VERSION,
		.type = PL_WIRE_REQUEST,
		.key_epoch = gw->epoch,
		.gateway_id = gw->id,
		.counter = counter,
	};
	struct pl_wire_req_head head = {
		.sent_at_ms = sent_at_ms,
		.scan_cnt = (uint16_t)p->scan_cnt,
	};

	memcpy(data, &hdr, sizeof(hdr));
	memcpy(data + PL_WIRE_REQ_HDR_SIZE, &head, sizeof(head));
	*op = (struct pl_seal_op){
		.key = gw->request_key,
		.aad = data,
		.aad_size = PL_WIRE_REQ_HDR_SIZE,
		.text = data + PL_WIRE_REQ_HDR_SIZE,
		.text_size = p->payload_size - PL_WIRE_REQ_HDR_SIZE - PL_WIRE_GCM_TAG_SIZE,
		.tag = data + p->payload_size - PL_WIRE_GCM_TAG_SIZE,
	};
	pl_wire_req_nonce(&hdr, op->nonce);
}

static void write_scans(struct pool *p, uint32_t idx, uint8_t *data)
{
	const struct slot *s = &p->slots[idx];
	const struct plan *plans = p->plans + (size_t)idx * p->scan_cnt;
	uint8_t *rights = p->rights + (size_t)idx * p->scan_cnt;

	for (uint32_t i = 0; i < p->scan_cnt; i++) {
		struct pl_wire_scan scan;

		rights[i] = (uint8_t)expect_scan(p->expect, &plans[i], s->shown_at, s->stage != 0,
						 &scan);
		memcpy(data + PL_WIRE_REQ_HDR_SIZE + PL_WIRE_REQ_HEAD_SIZE +
			       (size_t)i * PL_WIRE_SCAN_SIZE,
		       &scan, sizeof(scan));
	}
}

void pool_build(struct pool *p, const uint32_t *idxs, uint32_t cnt, uint64_t now_tsc)
{
	uint64_t wall_ms = load_clock_wall_ns(p->clock, now_tsc) / 1000000;
	uint32_t wall_s = (uint32_t)(wall_ms / 1000);
	struct pl_seal_op ops[POOL_BUILD_MAX];
	uint32_t built[POOL_BUILD_MAX], op_cnt = 0;

	PL_DCHECK(cnt <= POOL_BUILD_MAX);
	for (uint32_t i = 0; i < cnt; i++) {
		struct slot *s = &p->slots[idxs[i]];
		uint8_t *data = pool_frame(p, idxs[i]) + p->payload_off;

		if (!next_counter(p, s, idxs[i])) {
			p->counter_faults++;
			continue;
		}
		if (s->stage != 0 && wall_s > s->shown_at + COPY_AGE_S_MAX)
			s->stage = 0;
		/* The second stage copies the QRs of the first; else they are of now, and never
		 * older than the last. */
		if (s->stage == 0 && wall_s > s->shown_at)
			s->shown_at = wall_s;
		s->built_tsc = now_tsc;
		s->sent_tsc = 0;
		write_scans(p, idxs[i], data);
		write_head(p, &p->gateways->all[s->gateway], s->counter, wall_ms, data,
			   &ops[op_cnt]);
		built[op_cnt++] = idxs[i];
	}
	pl_seal_seal_burst(p->seal, ops, op_cnt);
	for (uint32_t i = 0; i < op_cnt; i++) {
		struct slot *s = &p->slots[built[i]];

		s->frame_size = io_finish(p->io, pool_frame(p, built[i]), s->flow, p->payload_size);
	}
	p->rebuilt += op_cnt;
}

void pool_refresh(struct pool *p, uint64_t now_tsc)
{
	uint32_t idxs[POOL_BUILD_MAX], cnt = 0;

	/* After a pause the walk does not hurry to make up for it: sending looks at ages itself. */
	if (now_tsc - p->refresh_next_tsc > p->refresh_tsc && now_tsc > p->refresh_next_tsc)
		p->refresh_next_tsc = now_tsc;
	while (cnt < POOL_BUILD_MAX && p->refresh_next_tsc <= now_tsc) {
		struct slot *s = &p->slots[p->refresh_at];

		if (pool_age_tsc(s, now_tsc) > p->refresh_tsc / 2 &&
		    (s->sent_tsc == 0 ||
		     (double)(now_tsc - s->sent_tsc) * p->clock->ns_per_tsc > LOST_NS)) {
			s->stage = 0;
			idxs[cnt++] = p->refresh_at;
		}
		p->refresh_at = (p->refresh_at + 1) & (p->cnt - 1);
		p->refresh_next_tsc += p->refresh_step_tsc;
		pl_prefetch(&p->slots[(p->refresh_at + 8) & (p->cnt - 1)]);
	}
	if (cnt > 0)
		pool_build(p, idxs, cnt, now_tsc);
}

/* Whose a slot is. With a surge those who surge are spread over the pool by chance: no rhythm of the link
 * is to favour the others. */
static uint16_t plan_gateway(struct pool *p, const struct load_args *args, uint32_t idx)
{
	const struct gateways *g = p->gateways;
	uint32_t surging = args->surge_gateways;

	if (args->surge_share == 0)
		return (uint16_t)(idx % g->cnt);
	if ((double)(pl_mix64(idx) >> 11) < args->surge_share * 0x1p53)
		return (uint16_t)(p->surge_cnt++ % surging);
	return (uint16_t)(surging + (idx - p->surge_cnt) % (g->cnt - surging));
}

static int plan_slots(struct pool *p, const struct load_args *args, char *error, size_t error_size)
{
	for (uint32_t idx = 0; idx < p->cnt; idx++) {
		struct slot *s = &p->slots[idx];

		s->gateway = plan_gateway(p, args, idx);
		s->flow = (uint16_t)(idx % args->flow_cnt);
		for (uint32_t i = 0; i < p->scan_cnt; i++) {
			enum mix_kind kind = mix_pick(&args->mix, randombytes_random());
			size_t place = (size_t)idx * p->scan_cnt + i;
			int rc;

			if (place < p->await.cnt) {
				expect_plan_absent(p->expect, p->await.ids[place],
						   &p->plans[place]);
				continue;
			}
			rc = expect_plan(p->expect, kind, &p->plans[place], error, error_size);
			if (rc != 0)
				return rc;
			s->has_copies |= kind == MIX_REPLAYED;
		}
	}
	return 0;
}

/*
 * A third each: random bytes of any size; a request sealed under a key that nobody has; an
 * authentic request, but an hour old.
 */
static int make_garbage(struct pool *p, uint64_t now_tsc, char *error, size_t error_size)
{
	uint64_t wall_ms = load_clock_wall_ns(p->clock, now_tsc) / 1000000;
	struct gateway *gw = &p->gateways->all[0];
	struct gateway wrong = *gw;
	uint8_t key[PL_SEAL_KEY_SIZE];
	int rc;

	randombytes_buf(key, sizeof(key));
	rc = pl_seal_key_create(p->seal, key, &wrong.request_key);
	if (rc == 0)
		rc = pl_client_counter_reserve(&gw->counter, pl_time_ns(CLOCK_REALTIME), error,
					       error_size);
	if (rc != 0)
		return rc;
	p->old_counter = gw->counter.next;
	for (uint32_t i = 0; i < GARBAGE_CNT; i++) {
		struct garbage *g = &p->garbage[i];
		uint8_t *data = g->frame + p->payload_off;
		uint32_t size = p->payload_size;
		struct pl_seal_op op;

		randombytes_buf(data, PL_WIRE_REQ_SIZE_MAX);
		g->flow = (uint16_t)(i % p->io->flow_cnt);
		if (i % 3 == 0) {
			size = randombytes_uniform(PL_WIRE_REQ_SIZE_MAX + 1);
		} else {
			g->is_old = i % 3 == 2;
			write_head(p, g->is_old ? gw : &wrong,
				   g->is_old ? p->old_counter + p->old_cnt : UINT64_MAX - i,
				   wall_ms - 3600000, data, &op);
			pl_seal_seal_burst(p->seal, &op, 1);
			p->old_cnt += g->is_old;
		}
		g->frame_size = io_finish(p->io, g->frame, g->flow, size);
	}
	/* What follows is the pool's. */
	gw->counter.next += p->old_cnt;
	pl_seal_key_destroy(wrong.request_key);
	return 0;
}

static void *take_memory(size_t size)
{
	void *p = NULL;

	size = (size + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1);
	if (posix_memalign(&p, HUGE_PAGE, size) != 0)
		return NULL;
	(void)madvise(p, size, MADV_HUGEPAGE); /* faster if it works, right if not */
	memset(p, 0, size);
	return p;
}

/* Until this second is over. A run that has just ended may have shown the same certificates in it,
 * and the same QR in another scan is a copy. */
static void next_second(uint64_t wall_ns)
{
	const uint64_t second_ns = 1000000000u;
	uint64_t now_ns = pl_time_ns(CLOCK_REALTIME);
	uint64_t due_ns = (wall_ns / second_ns + 1) * second_ns + SECOND_MARGIN_NS;
	struct timespec rest = {0};

	if (now_ns < due_ns && due_ns - now_ns < 2 * second_ns) {
		rest.tv_sec = (time_t)((due_ns - now_ns) / second_ns);
		rest.tv_nsec = (long)((due_ns - now_ns) % second_ns);
		nanosleep(&rest, NULL);
	}
}

int pool_open(struct pool *p, const struct load_args *args, char *error, size_t error_size)
{
	uint64_t begin_ns = pl_time_ns(CLOCK_REALTIME);
	size_t places;
	uint64_t now_tsc;
	int rc;

	p->cnt = pool_size(args);
	p->scan_cnt = args->scan_cnt;
	p->payload_size = PL_WIRE_REQ_SIZE(args->scan_cnt);
	p->payload_off = p->io->payload_off;
	p->frame_room = (PL_NET_ASK_HEADERS_MAX + p->payload_size + 63u) & ~63u;
	p->refresh_tsc = (uint64_t)(args->refresh_ms * 1e6 / p->clock->ns_per_tsc);
	p->refresh_step_tsc = p->refresh_tsc / p->cnt + 1;
	places = (size_t)p->cnt * (p->scan_cnt == 0 ? 1 : p->scan_cnt);
	p->slots = take_memory(p->cnt * sizeof(*p->slots));
	p->plans = take_memory(places * sizeof(*p->plans));
	p->rights = take_memory(places);
	p->frames = take_memory((size_t)p->cnt * p->frame_room);
	p->garbage = take_memory(GARBAGE_CNT * sizeof(*p->garbage));
	if (p->slots == NULL || p->plans == NULL || p->rights == NULL || p->frames == NULL ||
	    p->garbage == NULL) {
		snprintf(error, error_size, "out of memory for %u datagrams: use a smaller --pool",
			 p->cnt);
		return -ENOMEM;
	}
	if (args->surge_share > 0 && p->gateways->cnt <= args->surge_gateways) {
		snprintf(error, error_size,
			 "--surge-gateways %u: %s has the keys of %u gateways, of which one at "
			 "least must not surge: add keys, or let fewer surge",
			 args->surge_gateways, args->key_dir, p->gateways->cnt);
		return -EINVAL;
	}
	if (p->await.cnt > places / 2) {
		snprintf(error, error_size,
			 "--await: %u certificates are more than half of the pool", p->await.cnt);
		return -EINVAL;
	}
	rc = plan_slots(p, args, error, error_size);
	if (rc != 0)
		return rc;
	next_second(begin_ns);
	load_clock_sync(p->clock);
	now_tsc = load_tsc();
	expect_set_time(p->expect, load_clock_wall_ns(p->clock, now_tsc) / 1000000);
	rc = make_garbage(p, now_tsc, error, error_size);
	for (uint32_t idx = 0; idx < p->cnt && rc == 0; idx += POOL_BUILD_MAX) {
		uint32_t idxs[POOL_BUILD_MAX];

		for (uint32_t i = 0; i < POOL_BUILD_MAX; i++)
			idxs[i] = idx + i;
		pool_build(p, idxs, POOL_BUILD_MAX, load_tsc());
	}
	p->refresh_next_tsc = load_tsc();
	if (rc == 0 && p->counter_faults != 0) {
		snprintf(error, error_size, "--state-dir: counters cannot be reserved");
		rc = -EIO;
	}
	p->rebuilt = 0;
	return rc;
}

void pool_close(struct pool *p)
{
	free(p->slots);
	free(p->plans);
	free(p->rights);
	free(p->frames);
	free(p->garbage);
}
