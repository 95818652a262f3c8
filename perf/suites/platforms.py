# SPDX-License-Identifier: BSD-3-Clause
"""One gateway's surge among sixteen: what becomes of the others' scans, with and without shedding."""

from harness import chart, numbers
from harness.link import OUTSTANDING, Appliance, Site, huge_mb

CERTS = 1_000_000
SCANS = (16, 43)
# Of what the worker answers at most, measured just before: the others together, and all that is sent.
OTHERS = 0.05
OFFERED = (1.2, 1.5, 2.0)
GATEWAYS = 16
MODES = {"shed": "yes", "not": "no"}
# Seconds that the limits have to settle.
SETTLE_S = 2


def run(ctx):
    certs = ctx.certs_or(CERTS, 20_000)
    rows = []
    with ctx.hugepages(huge_mb(certs)) as huge, \
            Site(ctx, certs, huge, gateways=GATEWAYS) as site:
        appliance = Appliance(site)
        for scans in ctx.pick(SCANS, SCANS[-1:]):
            for offered in ctx.pick(OFFERED, OFFERED[1:2]):
                got = ctx.rounds({mode: lambda mode=mode, scans=scans, offered=offered:
                                  turn(ctx, appliance, mode, scans, offered) for mode in MODES},
                                 ctx.pick(5, 1))
                rows += [row(mode, scans, offered, results) for mode, results in got.items()]
    draw(ctx, rows)
    return rows + ctx.cores_rows(), list(bars(ctx, rows))


def turn(ctx, appliance, mode, scans, offered):
    """How fast it is just now, and then a surge to so many times that."""
    appliance.site.limits = f"shed = {MODES[mode]}"
    appliance.site.configure()
    top = appliance.load(scans, ctx.pick(1, 0.3), "--outstanding", OUTSTANDING)["datagrams_per_s"]
    got = appliance.load(scans, ctx.pick(4, 1), "--rate", int(top * offered), "--lossy",
                         "--surge", round(1 - OTHERS / offered, 4), "--warmup", SETTLE_S)
    return got | {"top": top}


def answered(side):
    """Share of it that got verdicts."""
    return (side["answered"] - side["busy"]) / side["sent"]


def row(mode, scans, offered, results):
    sides = [one["surge"] for one in results]
    return {
        "scans": scans,
        "offered": offered,
        "shedding": MODES[mode],
        "others answered": numbers.median([answered(one["others"]) for one in sides]),
        "least": min(answered(one["others"]) for one in sides),
        "others p50 us": numbers.median([one["others"]["latency_us"]["p50"] for one in sides]),
        "p99 us": numbers.median([one["others"]["latency_us"]["p99"] for one in sides]),
        # As shares of what the worker answers at most.
        "surging answered": numbers.median(
            [answered(one["surging"]) * one["surging"]["sent"] / result["seconds"] / result["top"]
             for one, result in zip(sides, results)]),
        "told busy": numbers.median(
            [one["surging"]["busy"] / result["seconds"] / result["top"]
             for one, result in zip(sides, results)]),
        "idle": numbers.median([one["appliance"]["idle_share"] for one in results]),
        "wrong": sum(one["wrong_verdicts"] for one in results),
        "top M/s": numbers.median([one["top"] for one in results]) / 1e6,
        "sent of offered": numbers.median([one["sent_per_s"] / one["rate"] for one in results]),
    }


def draw(ctx, rows):
    if path := ctx.chart("platforms"):
        chart.bars(path, "Others' scans answered while one gateway surges", "offered, of what it can",
                   "share", [f"{one:g}" for one in OFFERED],
                   {f"{scans} scans, {'shedding' if yes == 'yes' else 'not'}":
                    [one["others answered"] for one in rows
                     if one["scans"] == scans and one["shedding"] == yes]
                    for scans in SCANS for yes in MODES.values()})


def bars(ctx, rows):
    yield numbers.bar("wrong_verdicts", sum(one["wrong"] for one in rows), 0, at_most=True)
    if ctx.quick:
        return
    for one in rows:
        if one["shedding"] == "yes" and one["offered"] <= 1.5:
            yield numbers.bar(f"others_answered_{one['scans']}_scans_{one['offered']:g}_times",
                              one["others answered"], 0.95)
