/* SPDX-License-Identifier: BSD-3-Clause */
/* The control plane's heap, as jemalloc sees it: /passline/heap. Workers never touch it, so these
 * figures stand still while nothing is reconfigured. */
#include <rte_telemetry.h>

#include "app.h"

#ifdef PL_JEMALLOC
#include <jemalloc/jemalloc.h>

static uint64_t stat_get(const char *name)
{
	size_t value = 0, value_size = sizeof(value);

	return mallctl(name, &value, &value_size, NULL, 0) == 0 ? value : 0;
}

static int heap_cmd(const char *cmd, const char *params, struct rte_tel_data *d)
{
	uint64_t epoch = 1;
	size_t epoch_size = sizeof(epoch);

	(void)cmd;
	(void)params;
	/* jemalloc's statistics are as of the last time this was written. */
	(void)mallctl("epoch", &epoch, &epoch_size, &epoch, epoch_size);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "allocator", "jemalloc");
	rte_tel_data_add_dict_u64(d, "allocated_bytes", stat_get("stats.allocated"));
	rte_tel_data_add_dict_u64(d, "active_bytes", stat_get("stats.active"));
	rte_tel_data_add_dict_u64(d, "metadata_bytes", stat_get("stats.metadata"));
	rte_tel_data_add_dict_u64(d, "resident_bytes", stat_get("stats.resident"));
	rte_tel_data_add_dict_u64(d, "mapped_bytes", stat_get("stats.mapped"));
	rte_tel_data_add_dict_u64(d, "retained_bytes", stat_get("stats.retained"));
	return 0;
}
#else
/* A sanitizer brings its own allocator. */
static int heap_cmd(const char *cmd, const char *params, struct rte_tel_data *d)
{
	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "allocator", "libc");
	return 0;
}
#endif

void pl_heap_telemetry_start(void)
{
	(void)rte_telemetry_register_cmd("/passline/heap", heap_cmd,
					 "The control plane's heap. No parameters.");
}
