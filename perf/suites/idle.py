# SPDX-License-Identifier: BSD-3-Clause
"""What an idle worker's rest costs: latency and CPU time of spin, pause and sleep, at low rates."""

from harness import chart, numbers
from harness.link import Appliance, Site, huge_mb

CERTS = 1_000_000
MODES = {
    "spin": ["idle = spin"],
    "pause": ["idle = pause"],
    "sleep 50 us": ["idle = sleep", "idle-us = 50"],
    "sleep 500 us": ["idle = sleep", "idle-us = 500"],
}
RATES = (1_000, 20_000, 200_000)  # datagrams a second


def run(ctx):
    certs = ctx.certs_or(CERTS, 20_000)
    rows = []
    with ctx.hugepages(huge_mb(certs)) as huge, Site(ctx, certs, huge) as site:
        appliance = Appliance(site)
        for rate in ctx.pick(RATES, RATES[-1:]):
            got = ctx.rounds({mode: lambda mode=mode: paced(ctx, appliance, MODES[mode], rate)
                              for mode in MODES}, ctx.pick(3, 1))
            rows += [row(mode, rate, results) for mode, results in got.items()]
    if path := ctx.chart("idle"):
        chart.bars(path, "p99 by what an idle worker does", "datagrams a second", "us",
                   [f"{rate:,}".replace(",", " ") for rate in RATES],
                   {mode: [one["p99 us"] for one in rows if one["idle"] == mode]
                    for mode in MODES})
    wrong = sum(one["wrong"] for one in rows)
    return rows + ctx.cores_rows(), [numbers.bar("wrong_verdicts", wrong, 0, at_most=True)]


def paced(ctx, appliance, worker, rate):
    appliance.site.configure(*worker)
    return appliance.load(1, ctx.pick(3, 0.2), "--rate", rate)


def row(mode, rate, results):
    out = {"idle": mode, "datagrams/s": rate}
    for name in ("p50", "p99", "p99.9"):
        out[f"{name} us"] = numbers.median([one["latency_us"][name] for one in results])
    # Of one core, over the whole turn; what control and the loader use is in it.
    out["cpu share"] = numbers.median([one["peer_cpu_share"] for one in results])
    out["lost share"] = numbers.median([one["lost_share"] for one in results])
    out["wrong"] = sum(one["wrong_verdicts"] for one in results)
    return out
