/* SPDX-License-Identifier: BSD-3-Clause */
/* From scans to verdicts: look-up, token, rules, replay. */

#include "verify/pl_verify_pvt.h"

/* The order of the questions: is it there; is the QR the wallet's; is the certificate in force;
 * is the QR fresh; do the rules of this venue accept it; was it used before. Nothing is said of a
 * certificate to someone who could not make its QR, and only a scan that passes everything else
 * is recorded as seen. */

struct judge {
	const struct pl_view *view;
	const struct pl_now *now;
	uint64_t now_s;
	bool clock_trusted;
};

static enum pl_verdict qr_time(const struct judge *j, uint32_t shown_at)
{
	const struct pl_policy *p = j->view->policy;
	uint64_t shown = shown_at;

	if (shown > j->now_s + p->qr_skew_s)
		return PL_V_FUTURE_QR;
	if (shown + p->qr_life_s + p->qr_skew_s < j->now_s)
		return PL_V_STALE_QR;
	return PL_V_PASS;
}

static enum pl_verdict absent(const struct judge *j, uint8_t found)
{
	if (found == PL_TABLE_UNSURE)
		return PL_V_UNSURE;
	return j->now->flags & PL_FLAG_FEED_OLD ? PL_V_FEED_OLD : PL_V_UNKNOWN_CERT;
}

/* A tag that is not right under the epoch of the facts, or whose key is not held, may be right under
 * the other epoch that is: while keys are rotated the wallet has its old key still, or its new one
 * already, and both are its own. The generation is that of the facts, so a wallet that was replaced
 * gains nothing. Rare, and at most PL_TOKEN_EPOCHS_HELD_MAX - 1 checks of one token. */
static PL_COLD bool other_epoch_ok(struct pl_verify *v, const struct pl_token_keys *keys,
				   const struct chunk *c, uint32_t i)
{
	uint32_t own = pl_facts_key_epoch(c->hits[i].facts);

	for (uint32_t e = 0; e < PL_CERT_KEY_EPOCH_CNT; e++) {
		const struct pl_token_batch one = {
			.cert_id = &c->cert_id[i],
			.shown_at = &c->shown_at[i],
			.generation = &v->generation[i],
			.master0 = &keys->master0[e],
			.master1 = &keys->master1[e],
			.tag0 = &c->tag0[i],
			.tag1 = &c->tag1[i],
		};
		uint8_t ok = 0;

		if (e == own || !keys->held[e])
			continue;
		v->token_check(&one, 1, &ok);
		if (ok != 0) {
			v->counters->other_epoch++;
			return true;
		}
	}
	return false;
}

/* PL_V_PASS if the tag is the wallet's. The batch's answer means nothing where the key of the facts'
 * epoch is not held: it was computed with zeros. */
static inline enum pl_verdict token_verdict(struct pl_verify *v, const struct pl_token_keys *keys,
					    const struct chunk *c, uint32_t i)
{
	bool held = keys->held[pl_facts_key_epoch(c->hits[i].facts)] != 0;

	if (PL_LIKELY(held && v->token_ok[i]) || other_epoch_ok(v, keys, c, i))
		return PL_V_PASS;
	return held ? PL_V_FORGED : PL_V_NO_KEY;
}

/* All but the replay check. */
static enum pl_verdict judge_one(const struct judge *j, struct pl_verify *v, const struct chunk *c,
				 uint32_t i)
{
	const struct pl_table_hit *hit = &c->hits[i];
	enum pl_verdict vd;

	if (PL_UNLIKELY(hit->found != PL_TABLE_FOUND))
		return absent(j, hit->found);
	vd = token_verdict(v, j->view->token_keys, c, i);
	if (PL_UNLIKELY(vd != PL_V_PASS))
		return vd;
	if (PL_UNLIKELY(hit->facts & (PL_FACTS_REVOKED | PL_FACTS_SUSPENDED)))
		return hit->facts & PL_FACTS_REVOKED ? PL_V_REVOKED : PL_V_SUSPENDED;
	vd = qr_time(j, c->shown_at[i]);
	if (PL_LIKELY(vd == PL_V_PASS))
		vd = pl_policy_judge(j->view->policy, hit->facts, PL_VENUE_CLASS(c->venue_id[i]),
				     j->now->today);
	return vd;
}

/* A denial that rests on a clock we do not trust is no denial. An absent certificate is among them:
 * that the feed is fresh is known by the clock alone, and a machine that starts with its clock in
 * the past takes a feed of last month for one of today. */
static enum pl_verdict clock_waive(const struct judge *j, struct pl_counters *cnt,
				   enum pl_verdict vd)
{
	if (PL_LIKELY(j->clock_trusted))
		return vd;
	if (vd != PL_V_STALE_QR && vd != PL_V_FUTURE_QR && vd != PL_V_NOT_YET_VALID &&
	    vd != PL_V_EXPIRED && vd != PL_V_UNKNOWN_CERT)
		return vd;
	cnt->clock_waived++;
	return PL_V_CLOCK;
}

/* A denial that rests on facts is none while news may be on its way to us: the wallet may be of a new
 * generation, the suspension lifted, the booster given an hour ago. What no news takes back stands: a
 * certificate is never un-revoked. */
static enum pl_verdict feed_waive(const struct judge *j, enum pl_verdict vd)
{
	if (PL_LIKELY((j->now->flags & PL_FLAG_FEED_OLD) == 0))
		return vd;
	if (vd != PL_V_FORGED && vd != PL_V_SUSPENDED && vd != PL_V_NOT_YET_VALID &&
	    vd != PL_V_EXPIRED && vd != PL_V_NOT_ACCEPTED)
		return vd;
	return PL_V_FEED_OLD;
}

static enum pl_verdict replay(struct pl_verify *v, const struct pl_table_hit *hit,
			      uint32_t shown_at, uint32_t venue_id, uint32_t scan_id,
			      uint32_t *flags)
{
	uint32_t scan_hash = (uint32_t)pl_mix64((uint64_t)venue_id << 32 | scan_id);

	switch (pl_table_seen(v->table, hit, shown_at, scan_hash)) {
	case PL_SEEN_NEW:
		return PL_V_PASS;
	case PL_SEEN_RESEND:
		*flags = PL_WIRE_VERDICT_RESEND;
		v->counters->resends++;
		return PL_V_PASS;
	case PL_SEEN_REPLAYED:
		return PL_V_REPLAYED;
	case PL_SEEN_UNSURE:
	default:
		return PL_V_UNSURE;
	}
}

static void count(struct pl_verify *v, struct pl_gateway_counters *g, enum pl_verdict vd)
{
	v->counters->verdicts[vd]++;
	switch (pl_verdict_group(vd)) {
	case PL_GROUP_PASS:
		g->pass++;
		break;
	case PL_GROUP_DENY:
		g->deny++;
		break;
	case PL_GROUP_UNKNOWN:
	default:
		g->unknown++;
		break;
	}
}

/* Tokens of certificates that were not found are computed too, with a zero key: a branch-free
 * batch costs less than compacting it, and a flood of unknown ids gains nothing by it. */
static void check_tokens(struct pl_verify *v, const struct pl_view *view, const struct chunk *c)
{
	const struct pl_token_keys *keys = view->token_keys;
	struct pl_token_batch batch = {
		.cert_id = c->cert_id,
		.shown_at = c->shown_at,
		.generation = v->generation,
		.master0 = v->master0,
		.master1 = v->master1,
		.tag0 = c->tag0,
		.tag1 = c->tag1,
	};

	for (uint32_t i = 0; i < c->cnt; i++) {
		uint32_t epoch = pl_facts_key_epoch(c->hits[i].facts);

		v->master0[i] = keys->master0[epoch];
		v->master1[i] = keys->master1[epoch];
		v->generation[i] = pl_facts_generation(c->hits[i].facts);
	}
	v->token_check(&batch, c->cnt, v->token_ok);
}

/* While the table loads, a certificate that is there may have a revocation still to come. */
static void judge_loading(struct pl_verify *v, const struct pl_view *view, const struct chunk *c)
{
	for (uint32_t i = 0; i < c->cnt; i++) {
		bool free_entry =
			view->policy->class_not_required[PL_VENUE_CLASS(c->venue_id[i])] != 0;
		enum pl_verdict vd = free_entry ? PL_V_NOT_REQUIRED : PL_V_LOADING;

		v->counters->feed_waived += !free_entry;
		count(v, c->gateway[i], vd);
		pl_le32_put(c->out[i], PL_WIRE_VERDICT(vd, 0, 0));
	}
}

/* Any one of the chunk, as good as by chance: which of them is nobody's to choose. */
static PL_COLD void sample_take(struct pl_verify *v, const struct pl_now *now,
				const struct chunk *c)
{
	uint32_t i = (uint32_t)(pl_mix64(v->counters->scans) % c->cnt);
	uint64_t scan_cnt = v->counters->scans - v->sampled_scans;

	v->sample = (struct pl_sample){
		.facts = c->hits[i].facts,
		.at_s = (uint32_t)(now->wall_ms / 1000),
		.scan_cnt = scan_cnt < UINT32_MAX ? (uint32_t)scan_cnt : UINT32_MAX,
		.venue_class = (uint8_t)PL_VENUE_CLASS(c->venue_id[i]),
		.verdict = (uint8_t)(pl_le32_get(c->out[i]) & 0xff),
	};
	v->sampled_scans = v->counters->scans;
	v->sample_asked = false;
	v->sample_taken = true;
}

void pl_verify_judge(struct pl_verify *v, const struct pl_view *view, const struct pl_now *now,
		     const struct chunk *c)
{
	const struct judge j = {
		.view = view,
		.now = now,
		.now_s = now->wall_ms / 1000,
		.clock_trusted = (now->flags & PL_FLAG_CLOCK) == 0,
	};

	v->counters->scans += c->cnt;
	if (PL_UNLIKELY(now->flags & PL_FLAG_LOADING)) {
		judge_loading(v, view, c);
		return;
	}
	pl_table_find_finish(v->table, &c->looked_up);
	check_tokens(v, view, c);
	for (uint32_t i = 0; i < c->cnt; i++) {
		const struct pl_table_hit *hit = &c->hits[i];
		uint32_t venue_id = c->venue_id[i], kind = 0, flags = 0;
		enum pl_verdict vd;

		if (PL_UNLIKELY(view->policy->class_not_required[PL_VENUE_CLASS(venue_id)])) {
			vd = PL_V_NOT_REQUIRED;
		} else {
			vd = judge_one(&j, v, c, i);
			if (PL_LIKELY(vd == PL_V_PASS))
				vd = replay(v, hit, c->shown_at[i], venue_id, c->scan_id[i],
					    &flags);
			else
				vd = feed_waive(&j, clock_waive(&j, v->counters, vd));
		}
		v->counters->feed_waived += vd == PL_V_FEED_OLD;
		if (vd == PL_V_PASS)
			kind = pl_facts_kind(hit->facts);
		count(v, c->gateway[i], vd);
		pl_le32_put(c->out[i], PL_WIRE_VERDICT(vd, kind, flags));
	}
	if (PL_UNLIKELY(v->sample_asked))
		sample_take(v, now, c);
}
