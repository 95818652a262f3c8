# SPDX-License-Identifier: BSD-3-Clause
"""What becomes of the others' scans, with and without shedding, while one of sixteen gateways surges, or
while a platform of twelve asks for as much with each as every other gateway does."""

from harness import chart, numbers
from harness.link import OUTSTANDING, Appliance, Site, huge_mb

CERTS = 1_000_000
SCANS = (16, 43)
GATEWAYS = 16
PLATFORM = 12
# Of what the worker answers at most, measured just before: all that is sent while one surges, and of it the
# others' together.
OFFERED = (1.2, 1.5, 2.0)
OTHERS = 0.05
# And all that is sent while the platform does.
PLATFORM_OFFERED = 1.5
# Lines of [limits], and what comes behind it.
SHEDDING = {"no": "shed = no", "by gateway": "shed = yes",
            "by platform": f"shed = yes\n[platform large]\ngateways = 1-{PLATFORM}"}
# Seconds that the limits have to settle.
SETTLE_S = 2


def run(ctx):
    certs = ctx.certs_or(CERTS, 20_000)
    rows = []
    with ctx.hugepages(huge_mb(certs)) as huge, \
            Site(ctx, certs, huge, gateways=GATEWAYS) as site:
        appliance = Appliance(site)
        for scans, surging, offered, sheddings in surges(ctx):
            got = ctx.rounds({shedding: lambda shedding=shedding, scans=scans, surging=surging,
                              offered=offered: turn(ctx, appliance, shedding, scans, surging, offered)
                              for shedding in sheddings}, ctx.pick(5, 1))
            rows += [row(scans, surging, offered, shedding, results)
                     for shedding, results in got.items()]
    draw(ctx, rows)
    return rows + ctx.cores_rows(), list(bars(ctx, rows))


def surges(ctx):
    """Scans a datagram, how many gateways surge, to how many times what the worker can, and which kinds of
    shedding are compared."""
    for scans in ctx.pick(SCANS, SCANS[-1:]):
        for offered in ctx.pick(OFFERED, OFFERED[1:2]):
            yield scans, 1, offered, ("by gateway", "no")
        yield scans, PLATFORM, PLATFORM_OFFERED, ("by platform", "by gateway")


def turn(ctx, appliance, shedding, scans, surging, offered):
    """How fast it is just now, and then a surge to so many times that."""
    appliance.site.limits = SHEDDING[shedding]
    appliance.site.configure()
    top = appliance.load(scans, ctx.pick(1, 0.3), "--outstanding", OUTSTANDING)["datagrams_per_s"]
    share = 1 - OTHERS / offered if surging == 1 else surging / GATEWAYS
    got = appliance.load(scans, ctx.pick(4, 1), "--rate", int(top * offered), "--lossy",
                         "--surge", round(share, 4), "--surge-gateways", surging,
                         "--warmup", SETTLE_S)
    return got | {"top": top}


def answered(side):
    """Share of it that got verdicts."""
    return (side["answered"] - side["busy"]) / side["sent"]


def row(scans, surging, offered, shedding, results):
    sides = [one["surge"] for one in results]
    return {
        "scans": scans,
        "surging gateways": surging,
        "offered": offered,
        "shedding": shedding,
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
                   {f"{scans} scans, {'shedding' if shedding != 'no' else 'not'}":
                    [one["others answered"] for one in rows
                     if one["scans"] == scans and one["surging gateways"] == 1 and
                     one["shedding"] == shedding]
                    for scans in SCANS for shedding in ("by gateway", "no")})


def bars(ctx, rows):
    yield numbers.bar("wrong_verdicts", sum(one["wrong"] for one in rows), 0, at_most=True)
    if ctx.quick:
        return
    for one in rows:
        if one["offered"] <= 1.5 and one["shedding"] == ("by gateway" if one["surging gateways"] == 1
                                                         else "by platform"):
            yield numbers.bar(f"others_answered_{one['scans']}_scans_{one['surging gateways']}_surging_"
                              f"{one['offered']:g}_times", one["others answered"], 0.95)
