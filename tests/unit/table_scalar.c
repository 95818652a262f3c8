/* SPDX-License-Identifier: BSD-3-Clause */
/* The readers' code once more, as it is for machines without SSE4.1 and under ThreadSanitizer:
 * same calls, named scalar_..., for tests that hold the two against each other. */
#define PL_TABLE_SCALAR 1

#define pl_table_prefetch        scalar_prefetch
#define pl_table_find            scalar_find
#define pl_table_find_ahead      scalar_find_ahead
#define pl_table_seen            scalar_seen
#define pl_table_quiesce         scalar_quiesce
#define pl_table_reader_counters scalar_reader_counters
#define pl_seen_accept           scalar_seen_accept

#include "table/pl_table.c"
