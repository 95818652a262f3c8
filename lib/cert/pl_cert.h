/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the appliance knows of a certificate: 32 bits of facts, never a verdict. Rules turn
 * facts into verdicts (lib/policy), so that a change of rule reaches every certificate at once.
 *
 * Bits of the facts word, from the lowest:
 *   0..3   kind        enum pl_cert_kind; 0 is not a certificate
 *   4..19  event_day   days since 1970-01-01 in the site's time zone (0 .. 65535)
 *   20..22 key_epoch   which token master key its QR key is derived from (0 .. 7)
 *   23..26 generation  raised when a wallet is replaced; older QR codes stop working (0 .. 15)
 *   27     revoked     for good
 *   28     suspended   for the time being
 *   29..31 zero
 */
#ifndef PL_CERT_H
#define PL_CERT_H

#include "base/pl_base.h"

/* K(id, number on the wire and in segments, name in files, text) */
#define PL_CERT_KINDS(K)                                            \
	K(PRIMARY, 1, "primary", "primary series complete")         \
	K(BOOSTER, 2, "booster", "booster dose")                    \
	K(RECOVERED, 3, "recovered", "recovered from infection")    \
	K(PCR_NEGATIVE, 4, "pcr-negative", "negative PCR test")     \
	K(MEDICAL_EXEMPT, 5, "medical-exempt", "medical exemption") \
	K(UNDER_AGE, 6, "under-age", "under the age at which a pass is needed")

enum pl_cert_kind {
	PL_CERT_NONE = 0,
#define K(id, num, name, text) PL_CERT_##id = num,
	PL_CERT_KINDS(K)
#undef K
};

#define PL_CERT_KIND_MAX       15u /* what four bits can hold */
#define PL_CERT_KEY_EPOCH_CNT  8u
#define PL_CERT_GENERATION_MAX 15u
#define PL_CERT_EVENT_DAY_MAX  65535u

/** Facts, taken apart. event_day: for UNDER_AGE the day on which the age is reached. */
struct pl_cert {
	uint64_t id;
	uint8_t kind;
	uint8_t key_epoch;
	uint8_t generation;
	bool revoked;
	bool suspended;
	uint16_t event_day;
};

#define PL_FACTS_REVOKED   (1u << 27)
#define PL_FACTS_SUSPENDED (1u << 28)
#define PL_FACTS_ZERO_MASK (7u << 29)

static inline uint32_t pl_facts_kind(uint32_t facts)
{
	return facts & 15u;
}

static inline uint32_t pl_facts_event_day(uint32_t facts)
{
	return (facts >> 4) & 0xffffu;
}

static inline uint32_t pl_facts_key_epoch(uint32_t facts)
{
	return (facts >> 20) & 7u;
}

static inline uint32_t pl_facts_generation(uint32_t facts)
{
	return (facts >> 23) & 15u;
}

static inline uint32_t pl_facts_pack(const struct pl_cert *c)
{
	return (uint32_t)(c->kind & 15u) | (uint32_t)c->event_day << 4 |
	       (uint32_t)(c->key_epoch & 7u) << 20 | (uint32_t)(c->generation & 15u) << 23 |
	       (c->revoked ? PL_FACTS_REVOKED : 0u) | (c->suspended ? PL_FACTS_SUSPENDED : 0u);
}

static inline struct pl_cert pl_facts_unpack(uint64_t id, uint32_t facts)
{
	return (struct pl_cert){
		.id = id,
		.kind = (uint8_t)pl_facts_kind(facts),
		.event_day = (uint16_t)pl_facts_event_day(facts),
		.key_epoch = (uint8_t)pl_facts_key_epoch(facts),
		.generation = (uint8_t)pl_facts_generation(facts),
		.revoked = (facts & PL_FACTS_REVOKED) != 0,
		.suspended = (facts & PL_FACTS_SUSPENDED) != 0,
	};
}

/** A facts word that a feed may carry: kind not 0, spare bits zero. */
static inline bool pl_facts_valid(uint32_t facts)
{
	return pl_facts_kind(facts) != PL_CERT_NONE && (facts & PL_FACTS_ZERO_MASK) == 0;
}

/** Name used in CSV and policy files, or NULL if the kind has none. Static storage. */
static inline const char *pl_cert_kind_name(uint32_t kind)
{
	switch (kind) {
#define K(id, num, name, text) \
	case num:              \
		return name;
		PL_CERT_KINDS(K)
#undef K
	default:
		return NULL;
	}
}

/** Kind by its name in files, or PL_CERT_NONE. */
static inline enum pl_cert_kind pl_cert_kind_by_name(const char *s)
{
#define K(id, num, name, text)    \
	if (strcmp(s, name) == 0) \
		return PL_CERT_##id;
	PL_CERT_KINDS(K)
#undef K
	return PL_CERT_NONE;
}

#endif
