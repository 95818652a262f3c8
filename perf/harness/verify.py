# SPDX-License-Identifier: BSD-3-Clause
"""What the suites around the verify stage have in common."""

import os
import pathlib

# Scans a datagram: one, as a venue alone sends them, to as many as an MTU holds.
SCANS = (1, 4, 16, 43)
SCANS_MAX = SCANS[-1]

# Bytes of a table: 32 a certificate, and a header; with room for rounding.
_TABLE_BYTES_PER_CERT = 32
_TABLE_BYTES_LEAST = 8 << 20


def table_mb(certs):
    """MB of hugepages that a table for so many certificates needs."""
    return (certs * _TABLE_BYTES_PER_CERT + _TABLE_BYTES_LEAST >> 20) + 2


def last_cpu():
    """The core that the measured thread gets: the first has the machine's own work."""
    return max(os.sched_getaffinity(0))


def caches_mb():
    """The last-level cache of the first core; 32 where the kernel does not tell."""
    found = pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    sizes = [int(path.read_text().strip().rstrip("K")) / 1024 for path in found]
    return max(sizes, default=32)
