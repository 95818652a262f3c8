# SPDX-License-Identifier: BSD-3-Clause
"""Token check and AES-256-GCM: each variant against libsodium in the same run."""

from harness import chart, numbers

# Keys of one gateway a message: as many as fit the caches nearby, and two each of 4096 gateways.
KEYS_NEAR, KEYS_FAR = 256, 8192


def run(ctx):
    rounds = ctx.rounds_or(61, 3)
    program = ctx.program("bench_crypto")
    ctx.progress(f"{rounds} rounds with {KEYS_NEAR} keys")
    rows = ctx.run_json([program, "--rounds", rounds, "--keys", KEYS_NEAR])
    ctx.progress(f"{rounds} rounds with {KEYS_FAR} keys")
    far = ctx.run_json([program, "--rounds", rounds, "--keys", KEYS_FAR])
    draw(ctx, rows)
    bars = list(bars_of(rows))
    return rows + [row for row in far if row["op"] != "token"], bars


def bars_of(rows):
    """What has to hold. The token's is of the AVX-512 variant, on a CPU that has it; a batch of
    64 is what the verify stage hands over at once."""
    if any(row["variant"] == "avx512" for row in rows):
        yield numbers.bar("token_avx512_times_libsodium", ratio(rows, "token", "avx512", 64), 4.0)
    for op in ("seal", "open"):
        yield numbers.bar(f"{op}_64_times_libsodium", ratio(rows, op, "ipsec-mb", 64), 2.5)


def ratio(rows, op, variant, size):
    """times_libsodium of one row, or None if this CPU has no such variant."""
    for row in rows:
        if (row["op"], row["size"]) == (op, size) and row["variant"].startswith(variant):
            return row["times_libsodium"]
    return None


def draw(ctx, rows):
    for op, what, unit in (("token", "tokens in a batch", "ns a token"),
                           ("open", "bytes in a message", "ns a message")):
        if path := ctx.chart(f"crypto_{op}"):
            mine = [row for row in rows if row["op"] == op]
            sizes = list(dict.fromkeys(row["size"] for row in mine))
            series = {}
            for row in mine:
                series.setdefault(row["variant"], []).append(row["ns"])
            chart.bars(path, f"Cost of one {op}, by variant", what, unit, sizes, series)
