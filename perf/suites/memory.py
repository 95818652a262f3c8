# SPDX-License-Identifier: BSD-3-Clause
"""What a random cache line costs here, with small and with large pages."""

from harness import chart, numbers


def run(ctx):
    sizes_mb = ctx.pick([64, 512, 2048, 8192], [16])
    reads = ctx.pick(20_000_000, 200_000)
    program = ctx.program("bench_memory")
    rows = []
    for size_mb in sizes_mb:
        with ctx.hugepages(size_mb) as huge:
            variants = {"4K": lambda: ctx.run_json([program, size_mb, "-", reads])[0]}
            if huge:
                variants["2M"] = lambda: ctx.run_json([program, size_mb, huge, reads])[0]
            measured = ctx.rounds(variants, ctx.pick(3, 1))
        for pages, got in measured.items():
            burst = [one["burst_ns"] for one in got]
            rows.append({
                "memory MB": size_mb,
                "pages": pages,
                "chase ns": numbers.median([one["chase_ns"] for one in got]),
                "burst ns": numbers.median(burst),
                "spread": numbers.spread(burst),
                "M lines/s": 1e3 / numbers.median(burst),
            })
    if path := ctx.chart("memory"):
        chart.lines(path, "A random cache line, 32 prefetched at once", "memory, MB", "ns a line",
                    {f"{pages} pages": [(row["memory MB"], row["burst ns"]) for row in rows
                                        if row["pages"] == pages] for pages in ("4K", "2M")
                     if any(row["pages"] == pages for row in rows)}, log_x=True)
    return rows, []
