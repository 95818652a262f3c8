# SPDX-License-Identifier: BSD-3-Clause
"""What many cores would do: a model from what one, two and the memory were measured to do.

A worker shares nothing that it writes with another one but the table, so three things can stop
more cores from doing more: what they lose by each other, memory, and the wire.

  - Losses: two workers do `ratio` times one's work. Either that loss is paid once (the cores share
    a clock or a power budget), and each further core brings ratio / 2; or every further core adds
    as much again (contention; Amdahl's law, which is Gunther's universal scalability law without
    its crosstalk). The truth of a real machine lies between: `best` and `worst`.
  - Memory: a scan reads a line of the table, at times a second, and its new seen word makes the
    line dirty: it is written back later. Datagrams are in the last-level cache, where a network
    card puts them.
  - Lines that move from core to core: a certificate's line does when its next scan comes by
    another core and the line is still in that one's cache, which cannot be often: caches hold
    `cached_share` of the table. Everything else that is shared is only read, or written each
    100 us.
"""

import json

LINES_READ_PER_SCAN = 1.2
LINES_WRITTEN_PER_SCAN = 1.0
# Random reads a second that 128 AMD threads were made to do by a hash table built for it: DRAMHiT
# (EuroSys 2023).
SOCKETS_LINES_PER_S = 1192e6
WIRE_BITS_PER_S = 100e9
# Ethernet, IPv4 and UDP headers; preamble, checksum and gap of a frame.
WIRE_BYTES_AROUND = 42 + 24
REQUEST_BYTES, SCAN_BYTES = 64, 32


def last_json(text):
    """The last line of a program's output that is JSON; other lines are warnings."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    return json.loads(lines[-1])


def wire_scans_per_s(scans):
    """What a 100 Gb/s port can bring, at so many scans a datagram."""
    bits = 8 * (WIRE_BYTES_AROUND + REQUEST_BYTES + SCAN_BYTES * scans)
    return WIRE_BITS_PER_S / bits * scans


def memory_scans_per_s(lines_per_s_a_core, workers):
    """What memory lets so many cores do: as a core was measured, until all of it is used."""
    lines = min(lines_per_s_a_core * workers, SOCKETS_LINES_PER_S)
    return lines / (LINES_READ_PER_SCAN + LINES_WRITTEN_PER_SCAN)


def loss_of(ratio):
    """Share of a core's work that a second one costs it."""
    return max(0.0, 2 / ratio - 1)


def rows(measured, near_ns, ceiling, cached_share, workers):
    """One row for each number of workers.

    measured: {"scans", "M scans/s of one", "times one"}; near_ns: a scan with everything in
    cache; ceiling: {"M lines/s", "workers"} of random reads; cached_share: of the table.
    """
    scans, ratio = measured["scans"], measured["times one"]
    one = measured["M scans/s of one"] * 1e6
    a_core = ceiling["M lines/s"] * 1e6 / ceiling["workers"]
    loss = loss_of(ratio)
    out = []
    for cnt in workers:
        limits = {"memory": memory_scans_per_s(a_core, cnt), "100G wire": wire_scans_per_s(scans)}
        best = one * cnt * (min(ratio, 2) / 2 if cnt > 1 else 1)
        worst = one * cnt / (1 + loss * (cnt - 1))
        stop = min(limits, key=limits.get)
        out.append({
            "what": "model", "scans": scans, "workers": cnt,
            "M scans/s": min(best, limits[stop]) / 1e6,
            "M scans/s worst": min(worst, limits[stop]) / 1e6,
            "limit": stop if best > limits[stop] else "cores",
            "in-cache ns": near_ns, "far ns": max(0, 1e9 / one - near_ns),
            "M lines/s wanted": min(best, limits[stop]) / 1e6 *
                                (LINES_READ_PER_SCAN + LINES_WRITTEN_PER_SCAN),
            "M lines/s core to core": min(best, limits[stop]) / 1e6 * cached_share *
                                      (cnt - 1) / cnt,
        })
    return out
