/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a time zone file, asked about several times: an offset that is given lies within a
 * day or so, holds for some while, and is the same until then.
 */
#include "clock/pl_clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t times[] = {0, 1639364700, 2540160000, -2208988800, (int64_t)1 << 40};

	for (size_t i = 0; i < PL_ARRAY_CNT(times); i++) {
		struct pl_clock_zone z;
		struct pl_clock_zone later;

		if (pl_clock_zone_parse(data, size, times[i], &z) != 0)
			continue;
		PL_CHECK(z.offset_s >= -93600 && z.offset_s <= 93600);
		PL_CHECK(pl_clock_zone_holds(&z, times[i]));
		if (z.until_s - 1 <= (int64_t)1 << 40) {
			PL_CHECK(pl_clock_zone_parse(data, size, z.until_s - 1, &later) == 0);
			PL_CHECK(later.offset_s == z.offset_s && later.until_s == z.until_s);
		}
	}
	return 0;
}
