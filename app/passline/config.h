/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration file and everything it names, read and checked before anything starts. */
#ifndef PL_CONFIG_H
#define PL_CONFIG_H

#include "base/pl_base.h"
#include "keys/pl_keys.h"
#include "policy/pl_policy.h"
#include "site/pl_site.h"
#include "waiver/pl_waiver.h"
#include "args.h"

#define PL_POLICY_HASH_SIZE  32u
#define PL_POLICY_TEXT_SIZE  (64u << 10) /* room for any policy, described */
#define PL_CONFIG_ERROR_SIZE (PL_SITE_ERROR_SIZE + PL_POLICY_NOTES_SIZE)

struct pl_config {
	struct pl_site site;
	struct pl_policy policy;
	struct pl_policy_names policy_names;
	uint8_t policy_hash[PL_POLICY_HASH_SIZE]; /* BLAKE2b-256 of the rules as they are shown */
	struct pl_keys *authority;                /* one */
	struct pl_keys *tokens;
	struct pl_keys *gateways;
	/* Not from the configuration file: taken over from what runs. serial 0: none. */
	struct pl_waiver waiver;
};

/**
 * Read all of it. Everything that is wrong is told, one a line, not the first alone.
 *
 * @param error  PL_CONFIG_ERROR_SIZE holds them all.
 * @return 0, or -EINVAL.
 */
PL_MUST_USE int pl_config_load(struct pl_config *c, const struct pl_args *args, char *error,
			       size_t error_size);
/**
 * The configuration of a running appliance read again: as pl_config_load(), and refused if
 * anything in it differs that only a restart can change, each such key named.
 *
 * @param now   what runs.
 * @param capacity_min  certificates that the table has room for already.
 * @param next  what was read; the caller's to free. Not set on error.
 */
PL_MUST_USE int pl_config_reload(const struct pl_config *now, struct pl_config *next,
				 const struct pl_args *args, uint64_t capacity_min, char *error,
				 size_t error_size);
/** Wipes the keys. */
void pl_config_free(struct pl_config *c);

#endif
