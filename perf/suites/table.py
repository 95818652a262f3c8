# SPDX-License-Identifier: BSD-3-Clause
"""The certificate table against the memory's own speed, rte_hash and liburcu's lfht, by size."""

from harness import chart, numbers
from harness.context import SuiteError

SIZES = [1_000_000, 10_000_000, 50_000_000, 100_000_000]
LOOKUPS = ["hit", "hit_seen", "miss", "half_hits", "zipf", "zipf_seen", "hit_seen_while_written",
           "hit_seen_two_cores", "rte_hash_hit", "lfht_hit"]
# Table and region of 32 bytes a certificate each; rte_hash's slots, keys and free list.
HUGE_BYTES = 64 + 64
LFHT_CERTS_MAX = 50_000_000  # its nodes and buckets take 70 bytes a certificate besides


def ns(one, what):
    return one[what]["ns"] if what in one else None


def measure(ctx, certs):
    rivals = "rl" if certs <= LFHT_CERTS_MAX else "r"
    lookups = min(certs // 2, ctx.pick(4_000_000, 20_000))
    ctx.progress(f"{certs} certificates")
    program = ctx.program("bench_table")
    if ctx.quick:
        return ctx.run_json([program, certs, lookups, 1, "-", rivals])[0]
    with ctx.hugepages((certs * HUGE_BYTES >> 20) + 512) as huge:
        return ctx.run_json([program, certs, lookups, ctx.rounds_or(9, 1), huge or "-", rivals])[0]


def row(one):
    ceiling = ns(one, "ceiling")
    out = {
        "certs": one["certs"],
        "bytes/cert": one["bytes_per_cert"],
        "pages kB": one["page_kb"],
        "insert M/s": one["insert_m_per_s"],
        "build s": one["build_s"],
        "ceiling ns": ceiling,
        "line swapped ns": ns(one, "ceiling_swap"),
    }
    for what in LOOKUPS:
        if what in one:
            out[what.replace("_", " ") + " ns"] = ns(one, what)
    spread = max((one[what]["most_ns"] - one[what]["least_ns"]) / 2 / ns(one, what)
                 for what in ["ceiling"] + LOOKUPS if what in one)
    out["most spread"] = spread
    out["shared turns"] = one["shared_turns"]
    out["waited s"] = one["waited_s"]
    out["hit seen share"] = ceiling / ns(one, "hit_seen")
    out["miss share"] = ceiling / ns(one, "miss")
    return out


def share(one, what="hit_seen"):
    """Of the memory's own rate."""
    return ns(one, "ceiling") / ns(one, what)


def bars(measured):
    """What the table promises, at the size that the promise names; with --certs, at that one."""
    def at(certs):
        return measured.get(certs) or measured[max(measured)]

    mid, most, ten = at(50_000_000), at(100_000_000), at(10_000_000)
    out = [
        numbers.bar("hit_seen_share_of_ceiling", share(mid), 0.70),
        numbers.bar("miss_share_of_ceiling", share(mid, "miss"), 0.85),
        numbers.bar("hit_seen_rate_while_written", ns(mid, "hit_seen") /
                    ns(mid, "hit_seen_while_written"), 0.85),
        numbers.bar("writes_per_s_meanwhile", mid["writes_per_s"], 950_000),
        numbers.bar("bytes_per_cert", most["bytes_per_cert"], 32, at_most=True),
        numbers.bar("failed_inserts", sum(one["failed_inserts"] for one in measured.values()), 0,
                    at_most=True),
        numbers.bar("share_at_100M_of_share_at_10M", share(most) / share(ten), 0.9),
        numbers.bar("two_cores_rate_of_one", ns(mid, "hit_seen") / ns(mid, "hit_seen_two_cores"),
                    1.85),
        numbers.bar("bulk_build_s", mid["build_s"], 10, at_most=True),
        numbers.bar("insert_m_per_s", mid["insert_m_per_s"], 5),
    ]
    if "rte_hash_hit" in mid:
        out.insert(1, numbers.bar("hit_seen_rate_of_rte_hash",
                                  ns(mid, "rte_hash_hit") / ns(mid, "hit_seen"), 2.0))
    return out


def run(ctx):
    sizes = [ctx.certs] if ctx.certs else ctx.pick(SIZES, [100_000])
    measured = {certs: measure(ctx, certs) for certs in sizes}
    for one in measured.values():
        if not ns(one, "hit"):
            raise SuiteError("bench_table measured nothing")
    if path := ctx.chart("table"):
        chart.lines(path, "A lookup by number of certificates", "certificates", "ns a lookup",
                    {name.replace("_", " "): [(certs, ns(one, name))
                                              for certs, one in measured.items() if name in one]
                     for name in ["ceiling", "hit_seen", "miss", "rte_hash_hit", "lfht_hit"]
                     if any(name in one for one in measured.values())}, log_x=True, log_y=True)
    return [row(one) for one in measured.values()], bars(measured)
