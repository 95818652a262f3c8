# SPDX-License-Identifier: BSD-3-Clause
"""What finding the page of a line costs here, and how many are looked for at once."""

from harness import chart
from harness.context import SuiteError
from harness.verify import table_mb

LEAST_MB = 32  # a page each for the longest ring of bench_pages


def run(ctx):
    certs = ctx.certs_or(50_000_000, 100_000)
    size_mb = max(table_mb(certs), LEAST_MB)
    ctx.progress(f"lines and their pages in {size_mb} MB")
    with ctx.hugepages(size_mb) as huge:
        got = ctx.run_json([ctx.program("bench_pages"), size_mb,
                            ctx.pick(4_000_000, 100_000), ctx.rounds_or(9, 1), huge or "-"],
                           timeout_s=1800)
    pages = {"pages": "2M" if huge else "4K"}
    rows = [{"what": one.pop("what")} | (pages if any(key.endswith("_ns") for key in one) else {})
            | {key.replace("_", " "): value for key, value in one.items()} for one in got]
    if bad := [row for row in rows if any(key.endswith(" ns") and value <= 0
                                          for key, value in row.items())]:
        raise SuiteError(f"a cost that is not above 0: {bad[0]}")
    draw(ctx, rows)
    return rows, []


def draw(ctx, rows):
    if path := ctx.chart("pages"):
        works = [row for row in rows if row["what"] == "work" and row["group"] == 1]
        series = {}
        for row in works:
            name = "with a swap in it" if row["swap"] else "a line"
            series.setdefault(name, []).append((row["additions"], row["memory ns"]))
            if not row["swap"]:
                series.setdefault("a line, in cache", []).append((row["additions"],
                                                                  row["cache ns"]))
        chart.lines(path, "A line fetched 64 ahead, and work between fetches",
                    "additions between fetches", "ns a line", series)
