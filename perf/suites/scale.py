# SPDX-License-Identifier: BSD-3-Clause
"""One verify worker against two on one table, and a model of many."""

from harness import chart, model, numbers
from harness.context import SuiteError
from harness.verify import SCANS_MAX, caches_mb, last_cpu, table_mb

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128)
# Scans that each worker has: their lines of the table are more than the caches hold, or the turn of
# both would find there what those of one had just read.
POOL = 1 << 20
# Of memory that a core reads random lines from.
SHARE_LEAST_MB = 8
# Certificates of the model's other measurement, all of whose lines stay in the nearest caches.
CERTS_NEAR, POOL_NEAR = 4096, 4096


def run(ctx):
    certs = ctx.certs_or(50_000_000, 100_000)
    rounds = ctx.rounds_or(31, 1)
    rows, models = [], []
    with ctx.hugepages(max(table_mb(certs), SHARE_LEAST_MB * (last_cpu() + 1))) as huge:
        for scans in (1, SCANS_MAX):
            rows.append(measured(ctx, certs, scans, rounds, huge))
        ceiling = bandwidth(ctx, certs, huge)
        for row in rows:
            near = in_cache(ctx, row["scans"], ctx.pick(9, 1))
            models += model.rows(row, near, ceiling, cached_share(certs), WORKERS)
    draw(ctx, models)
    bars = [numbers.bar(f"two_workers_times_one_scans_{row['scans']}", row["times one"], 1.8)
            for row in rows]
    return rows + [ceiling] + models, bars


def measured(ctx, certs, scans, rounds, huge):
    ctx.progress(f"one and two workers, {scans} scans a datagram")
    got = bench(ctx, huge, "bench_scale", "--certs", certs, "--scans", scans, "--workers", 2,
                "--rounds", rounds, "--pool", ctx.pick(POOL, 16384))
    return {"what": "measured", "certs": certs, "scans": scans, "workers": 2,
            "M scans/s": got["scans_per_s_all"] / 1e6,
            "M scans/s of one": got["scans_per_s_one"] / 1e6, "times one": got["ratio"],
            "times one p25": got["ratio_p25"], "p75": got["ratio_p75"]}


def in_cache(ctx, scans, rounds):
    """ns of a scan when nothing is far away: what no memory can make faster."""
    ctx.progress(f"everything in cache, {scans} scans a datagram")
    got = bench(ctx, None, "bench_pipeline", "--certs", CERTS_NEAR, "--scans", scans,
                "--pool", POOL_NEAR, "--gateways", 1, "--rounds", rounds, "--cpu", last_cpu())
    return 1e9 / got["scans_per_s"]


def bench(ctx, huge, program, *options):
    command = [ctx.program(program), *options]
    if huge:
        command += ["--table", huge / "table"]
    try:
        return ctx.run_json(command)[0]
    finally:
        if huge:
            (huge / "table").unlink(missing_ok=True)


def bandwidth(ctx, certs, huge):
    """Random lines a second out of as much memory as the table has, by one core and by all."""
    size_mb = table_mb(certs)
    reads = ctx.pick(20_000_000, 100_000)
    program, where = ctx.program("bench_memory"), huge or "-"

    def lines_per_s(cpus):
        # Each has a share of the memory, so that together they reach all of it.
        share = max(SHARE_LEAST_MB, size_mb // len(cpus)) // 2 * 2
        runs = [ctx.spawn([program, share, where, reads], cpus={cpu}) for cpu in cpus]
        got = []
        for one in runs:
            if one.wait() != 0:
                raise SuiteError(f"bench_memory failed:\n{one.tail()}")
            got.append(model.last_json(one.log())["burst_ns"])
        return sum(1e9 / ns for ns in got)

    ctx.progress("random lines: one core, and all")
    cpus = list(range(last_cpu() + 1))
    got = ctx.rounds({"one": lambda: lines_per_s(cpus[-1:]), "all": lambda: lines_per_s(cpus)},
                     ctx.pick(3, 1))
    one, both = numbers.median(got["one"]), numbers.median(got["all"])
    return {"what": "random lines", "workers": len(cpus), "M lines/s": both / 1e6,
            "M lines/s of one": one / 1e6, "times one": both / one}


def cached_share(certs):
    """Of the table, what the caches of the machine can hold."""
    return min(1.0, caches_mb() / table_mb(certs))


def draw(ctx, models):
    if path := ctx.chart("scale"):
        series = {}
        for scans in dict.fromkeys(row["scans"] for row in models):
            mine = [row for row in models if row["scans"] == scans]
            series[f"{scans} scans, best"] = [(row["workers"], row["M scans/s"]) for row in mine]
            series[f"{scans} scans, worst"] = [(row["workers"], row["M scans/s worst"])
                                               for row in mine]
        chart.lines(path, "A model of many workers, from one and two measured", "workers",
                    "M scans/s", series, log_x=True, log_y=True)
