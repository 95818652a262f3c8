/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration file and everything it names, read and checked before anything starts. */
#ifndef PL_CONFIG_H
#define PL_CONFIG_H

#include "base/pl_base.h"
#include "keys/pl_keys.h"
#include "policy/pl_policy.h"
#include "site/pl_site.h"
#include "args.h"

#define PL_CONFIG_ERROR_SIZE (PL_SITE_ERROR_SIZE + PL_POLICY_NOTES_SIZE)

struct pl_config {
	struct pl_site site;
	struct pl_policy policy;
	struct pl_keys *authority; /* one */
	struct pl_keys *tokens;
	struct pl_keys *gateways;
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
 * Keys and policy again, for a running appliance: into fresh, with the site of c. Once fresh is
 * published pl_config_take() puts it in c's place; otherwise pl_config_free() it, and nothing has
 * changed. On error fresh needs no freeing.
 */
PL_MUST_USE int pl_config_read_again(const struct pl_config *c, struct pl_config *fresh,
				     char *error, size_t error_size);
void pl_config_take(struct pl_config *c, struct pl_config *fresh);
/** Wipes the keys. */
void pl_config_free(struct pl_config *c);

#endif
