# SPDX-License-Identifier: BSD-3-Clause
"""The verify stage alone on one core with no link: where the cycles of a datagram go."""

from harness import chart
from harness.context import SuiteError
from harness.verify import SCANS, last_cpu, table_mb

STAGES = ("open", "find", "token", "seen", "seal")
SMALL = 1_000_000


def run(ctx):
    large = ctx.certs_or(50_000_000, 100_000)
    sizes = [large] if ctx.quick or large <= SMALL else [SMALL, large]
    rows = []
    for certs in sizes:
        with ctx.hugepages(table_mb(certs)) as huge:
            for scans in ctx.pick(SCANS, SCANS[::3]):
                rows.append(measure(ctx, certs, scans, huge))
    for row in rows:
        if row["cycles/scan"] <= 0 or any(row[stage] <= 0 for stage in STAGES):
            raise SuiteError(f"a cost that is not above 0: {row}")
    draw(ctx, [row for row in rows if row["certs"] == large], large)
    return rows, []


def measure(ctx, certs, scans, huge):
    ctx.progress(f"{certs} certificates, {scans} scans a datagram")
    command = [ctx.program("bench_pipeline"), "--certs", certs, "--scans", scans,
               "--rounds", ctx.rounds_or(9, 1), "--cpu", last_cpu()]
    if ctx.quick:
        command += ["--pool", 16384]
    if huge:
        command += ["--table", huge / "table"]
    try:
        got = ctx.run_json(command)[0]
    finally:
        if huge:
            (huge / "table").unlink(missing_ok=True)
    row = {"certs": certs, "pages": "2M" if huge else "4K", "scans": scans,
           "cycles/datagram": got["cycles_per_datagram"], "cycles/scan": got["cycles_per_scan"]}
    row |= {stage: got["stages"][stage] for stage in STAGES}
    # Parsing, keys, gathering, policy, the reply's words. Stages measured one by one cannot hide
    # behind each other, so what is left over may even be less than nothing.
    row["rest"] = got["cycles_per_scan"] - sum(got["stages"].values())
    row["M datagrams/s"] = got["datagrams_per_s"] / 1e6
    row["M scans/s"] = got["scans_per_s"] / 1e6
    row["engines"] = got["engines"]
    return row


def draw(ctx, rows, certs):
    if path := ctx.chart("pipeline"):
        series = {stage: [row[stage] for row in rows] for stage in STAGES}
        series["rest"] = [max(0.0, row["rest"]) for row in rows]
        chart.stacked(path, f"Where the cycles of a scan go, {chart.label(certs)} certificates",
                      "scans a datagram", "cycles a scan", [row["scans"] for row in rows], series)
