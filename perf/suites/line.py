# SPDX-License-Identifier: BSD-3-Clause
"""An appliance under load over memif, against testpmd's 5tswap on the same link, in turns."""

from harness import chart, numbers
from harness.link import OUTSTANDING, Appliance, Site, Testpmd, huge_mb
from harness.verify import SCANS, SCANS_MAX

SMALL = 1_000_000
# Open loop, as shares of the rate that the closed loop found.
LOADS = (0.5, 0.9)
GARBAGE_SHARE = 0.9


def run(ctx):
    large = ctx.certs_or(50_000_000, 20_000)
    rows, latencies, floods = [], [], []
    # The large table first, as the bars are about it: waiting for cores has an end.
    for certs in [large] if ctx.quick or large <= SMALL else [large, SMALL]:
        with ctx.hugepages(huge_mb(certs)) as huge:
            with Site(ctx, certs, huge) as site:
                appliance, testpmd = Appliance(site), Testpmd(site)
                for scans in ctx.pick(SCANS, (16,)):
                    rows.append(most(ctx, appliance, testpmd, scans))
                    if certs == large and scans in (1, 16, SCANS_MAX):
                        latencies += paced(ctx, appliance, testpmd, rows[-1])
                    if certs == large and scans in (1, 16):
                        floods.append(flood(ctx, appliance, rows[-1]))
    draw(ctx, rows, latencies, large)
    return (rows + latencies + floods + ctx.cores_rows(),
            list(bars(rows, latencies, floods, large)))


def median_of(results, *path):
    """Of one figure of passline-load's, over the rounds."""
    values = []
    for one in results:
        for name in path:
            one = one[name]
        values.append(one)
    return numbers.median(values)


def shared(results):
    """How many turns began with another guest on a core."""
    return sum(one["core_shared"] for one in results)


def unsent_share(one):
    """Of what was due: not sent when time was over, for who answers had stopped, or the load had."""
    due = one["sent"] + one["garbage_sent"] + one["unsent"]
    return one["unsent"] / max(1, due)


def most(ctx, appliance, testpmd, scans):
    """What goes through at most, by a closed loop: the appliance and testpmd in turns."""
    seconds = ctx.pick(2, 0.2)
    options = ["--outstanding", OUTSTANDING]
    got = ctx.rounds({"passline": lambda: appliance.load(scans, seconds, *options),
                      "testpmd": lambda: testpmd.load(scans, seconds, *options)})
    ours, theirs = got["passline"], got["testpmd"]
    datagrams = [one["datagrams_per_s"] for one in ours]
    echoes = [one["datagrams_per_s"] for one in theirs]
    return {
        "what": "most", "certs": appliance.site.certs, "scans": scans,
        "M datagrams/s": numbers.median(datagrams) / 1e6,
        "M scans/s": numbers.median(datagrams) * scans / 1e6,
        "spread": numbers.spread(datagrams),
        "cycles/datagram": median_of(ours, "appliance", "busy_cycles_per_datagram"),
        "cycles/scan": median_of(ours, "appliance", "busy_cycles_per_scan"),
        "M datagrams/s busy": numbers.median(
            [one["tsc_hz"] / one["appliance"]["busy_cycles_per_datagram"] for one in ours]) / 1e6,
        "idle share": median_of(ours, "appliance", "idle_share"),
        "testpmd M/s": numbers.median(echoes) / 1e6,
        "testpmd spread": numbers.spread(echoes),
        "of testpmd": numbers.median([a / b for a, b in zip(datagrams, echoes)]),
        "lost share": max(one["lost_share"] for one in ours),
        "wrong": sum(one["wrong_verdicts"] for one in ours),
        "unknown": sum(one["unknown_verdicts"] for one in ours),
        "checked": sum(one["checked"] for one in ours),
        "shared turns": shared(ours), "testpmd shared": shared(theirs),
    }


def paced(ctx, appliance, testpmd, found):
    """Latency at shares of what was found, testpmd at the same rates."""
    scans, seconds = found["scans"], ctx.pick(3, 0.2)
    for share in ctx.pick(LOADS, LOADS[:1]):
        rate = max(1, int(found["M datagrams/s"] * 1e6 * share))
        got = ctx.rounds({"passline": lambda: appliance.load(scans, seconds, "--rate", rate),
                          "testpmd": lambda: testpmd.load(scans, seconds, "--rate", rate)})
        for who, results in got.items():
            row = {"what": "latency", "who": who, "certs": found["certs"], "scans": scans,
                   "load": share, "M datagrams/s": rate / 1e6}
            for name in ("p50", "p99", "p99.9", "max"):
                row[f"{name} us"] = median_of(results, "latency_us", name)
            row["lost share"] = numbers.median([one["lost_share"] for one in results])
            row["most lost"] = max(one["lost_share"] for one in results)
            row["most unsent"] = max(unsent_share(one) for one in results)
            row["shared turns"] = shared(results)
            if who == "passline":
                row["idle share"] = median_of(results, "appliance", "idle_share")
                row["wrong"] = sum(one["wrong_verdicts"] for one in results)
                row["unknown"] = sum(one["unknown_verdicts"] for one in results)
            yield row


def bad_cycles(one, good_cycles, scans):
    """What a bad datagram cost: all that was busy, without what the good ones cost."""
    told = one["appliance"]
    good = told["scans"] / scans
    return (told["busy_tsc"] - good * good_cycles) / (told["rx_pkts"] - good)


def flood(ctx, appliance, found):
    """Nine bad datagrams to one good one, good ones at a tenth of what was found."""
    scans, seconds = found["scans"], ctx.pick(3, 0.2)
    rate = max(1, int(found["M datagrams/s"] * 1e6 * 0.1 / (1 - GARBAGE_SHARE)))
    options = ["--garbage", GARBAGE_SHARE]
    got = ctx.rounds({
        "full": lambda: appliance.load(scans, seconds, "--outstanding", 32, *options),
        "paced": lambda: appliance.load(scans, seconds, "--rate", rate, *options)})
    good = found["cycles/datagram"]
    bad = numbers.median([bad_cycles(one, good, scans) for one in got["full"]])
    return {
        "what": "flood", "certs": found["certs"], "scans": scans,
        "M bad/s": numbers.median([one["garbage_sent"] / one["seconds"]
                                   for one in got["full"]]) / 1e6,
        "cycles/bad": bad, "bad of good": bad / good,
        "M datagrams/s": rate / 1e6, "garbage share": GARBAGE_SHARE,
        "lost share": median_of(got["paced"], "lost_share"),
        "most lost": max(one["lost_share"] for one in got["paced"]),
        "most unsent": max(unsent_share(one) for one in got["paced"]),
        "p99.9 us": median_of(got["paced"], "latency_us", "p99.9"),
        "idle share": median_of(got["paced"], "appliance", "idle_share"),
        "wrong": sum(one["wrong_verdicts"] + one["old_wrong"]
                     for results in got.values() for one in results),
        "unknown": sum(one["unknown_verdicts"] for results in got.values() for one in results),
        "shared turns": sum(shared(results) for results in got.values()),
    }


def bars(rows, latencies, floods, large):
    at = {row["scans"]: row for row in rows if row["certs"] == large}
    one, most_scans = at.get(1), at.get(SCANS_MAX)
    if one:
        yield numbers.bar("one_scan_of_testpmd", one["of testpmd"], 0.35)
        yield numbers.bar("one_scan_busy_datagrams_per_s", one["M datagrams/s busy"] * 1e6, 3.5e6)
    if most_scans:
        yield numbers.bar("most_scans_scans_per_s", most_scans["M scans/s"] * 1e6, 12e6)
        yield numbers.bar("most_scans_idle_share", most_scans["idle share"], 0.1, at_most=True)
    everything = rows + latencies + floods
    yield numbers.bar("wrong_verdicts", sum(row.get("wrong", 0) for row in everything), 0,
                      at_most=True)
    yield numbers.bar("unknown_verdicts", sum(row.get("unknown", 0) for row in everything), 0,
                      at_most=True)
    for scans in at:
        half = {row["who"]: row["p99.9 us"] for row in latencies
                if (row["scans"], row["load"]) == (scans, LOADS[0])}
        if half:
            yield numbers.bar(f"p999_at_half_load_times_testpmd_scans_{scans}",
                              half["passline"] / half["testpmd"], 3, at_most=True)
    for row in floods:
        yield numbers.bar(f"bad_cycles_of_good_scans_{row['scans']}", row["bad of good"], 0.6,
                          at_most=True)
        yield numbers.bar(f"good_lost_in_flood_scans_{row['scans']}", row["lost share"], 0.001,
                          at_most=True)


def draw(ctx, rows, latencies, large):
    mine = [row for row in rows if row["certs"] == large]
    if path := ctx.chart("line"):
        chart.bars(path, f"Over memif, {chart.label(large)} certificates", "scans a datagram",
                   "million a second", [row["scans"] for row in mine],
                   {"datagrams": [row["M datagrams/s"] for row in mine],
                    "scans": [row["M scans/s"] for row in mine],
                    "testpmd": [row["testpmd M/s"] for row in mine]})
    half = [row for row in latencies if row["load"] == LOADS[0]]
    if half and (path := ctx.chart("line_latency")):
        chart.bars(path, "p99.9 at half load", "scans a datagram", "us",
                   list(dict.fromkeys(row["scans"] for row in half)),
                   {who: [row["p99.9 us"] for row in half if row["who"] == who]
                    for who in ("passline", "testpmd")})
