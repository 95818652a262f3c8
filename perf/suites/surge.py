# SPDX-License-Identifier: BSD-3-Clause
"""First issuance at its peak while verification runs: what one does to the other."""

import json
import socket

from harness import numbers
from harness.context import SuiteError
from harness.link import APPLIANCE_IP, LOAD_IP, OUTSTANDING, Appliance, Site, huge_mb
from harness.verify import table_mb

# Ten million in ten minutes.
RATE = 17_000
SEGMENTS_A_SECOND = 10
SCANS = 16
LOAD_SHARE = 0.8
SAMPLES_A_SECOND = 20
# The surge goes into the appliance and beside it in turns of so many seconds.
EVERY_S = 5
# The load takes its time to start, and the surge is there when it does.
LEAD_S = 8
# Datagrams that the load takes turns with: how often it asks for each awaited certificate.
POOL = 8192


def run(ctx):
    certs = ctx.certs_or(10_000_000, 20_000)
    seconds, rounds_cnt = ctx.pick(60, 3), ctx.rounds_or(3, 1)
    surge_certs = RATE * (seconds + LEAD_S)
    ceiling_certs = ctx.pick(8 << 20, 40_000)
    ceilings_cnt = ctx.pick(3, 1)
    more = surge_certs * (rounds_cnt + 1) + ceiling_certs * ceilings_cnt
    port = free_port()
    memory = huge_mb(certs + more) + table_mb(more)
    with ctx.hugepages(memory) as huge, \
            Site(ctx, certs, huge, more_certs=more, feed=f"listen = 127.0.0.1:{port}") as site:
        bench = Bench(ctx, site, port)
        ctx.progress("a surge on end")
        whole = bench.surge(bench.rate(), seconds, {"within": bench.port})
        turns = []
        for turn in range(rounds_cnt):
            ctx.progress(f"in turns, {turn + 1} of {rounds_cnt}")
            turns.append(bench.turns(bench.rate(), seconds))
        ceilings = [bench.ceiling(ceiling_certs)["certs_per_s"] for _ in range(ceilings_cnt)]
    pairs = [pair for one in turns for pair in one["pairs"]]
    if not pairs:
        raise SuiteError("no interval with the surge beside one without; --seconds is too short?")
    rows = [whole_row(whole)]
    rows += [turns_row(who, [pair[who] for pair in pairs], turns) for who in ("beside", "within")]
    rows.append({"what": "ceiling", "certs/s": numbers.median(ceilings),
                 "spread": numbers.spread(ceilings)})
    return rows, list(bars(pairs, turns, rows))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bench:
    """One appliance, one load, and authorities that push to the appliance and, with just the same
    work for the load's core, to a sink beside it."""

    def __init__(self, ctx, site, port):
        self.ctx, self.site, self.port = ctx, site, port
        self.appliance = Appliance(site)
        self.first = 0
        self.turn = 0

    def load_now(self, seconds, *options):
        vdev = (f"net_memif0,role=client,socket={self.appliance.socket},socket-abstract=no,"
                "zero-copy=yes")
        return self.site.load([*self.site.eal([0], "load"), "--no-telemetry", "--vdev", vdev],
                              ["--dst-ip", APPLIANCE_IP, "--src-ip", LOAD_IP,
                               *self.ctx.pick(["--pool", POOL], []),
                               *self.appliance.load_options()], SCANS, seconds, *options)

    def load(self, seconds, *options):
        with self.appliance.on():
            return self.load_now(seconds, *options)

    def push(self, port, certs, *options):
        """An authority that has signed all of it and waits for the word: (process, the word)."""
        self.turn += 1
        go = self.site.dir / f"go-{self.turn}"
        process = self.ctx.spawn([self.ctx.program("surge_push"), "--key",
                                  self.site.dir / "authority-secret.key", "--port", port,
                                  "--certs", certs, "--first", self.first, "--go", go, *options],
                                 f"surge_push-{self.turn}", cpus={0})
        self.first += certs
        process.wait_for("^signed", 300)
        return process, go

    @staticmethod
    def told(pusher, timeout_s):
        """Its lines, when it has ended well."""
        if pusher.wait(timeout_s) != 0:
            raise SuiteError(f"surge_push failed:\n{pusher.tail()}")
        return [json.loads(line) for line in pusher.log().splitlines() if line.startswith("{")]

    def rate(self):
        """The share of what a closed loop reaches now: on a machine that others use, too, the most of
        one minute may be more than all of the next."""
        top = numbers.median([self.load(self.ctx.pick(2, 0.3), "--outstanding", OUTSTANDING)
                              ["datagrams_per_s"] for _ in range(self.ctx.pick(3, 1))])
        return max(1, int(top * LOAD_SHARE))

    def surge(self, rate, seconds, ports, every_s=0):
        """A load at a rate, and authorities that push meanwhile: {who: port}. With every_s each
        pushes in its own intervals of the clock, `within` in the even ones."""
        certs = RATE * (seconds + LEAD_S)
        sample = RATE // SAMPLES_A_SECOND
        ids = self.site.dir / "await"
        ids.write_text(self.ctx.run([self.ctx.program("surge_push"), "--list", "--certs", certs,
                                     "--first", self.first, "--sample", sample]))
        options = ["--rate", RATE, "--batch", RATE // SEGMENTS_A_SECOND, "--sample", sample]
        with self.appliance.on():
            pushers = {}
            for phase, (who, port) in enumerate(ports.items()):
                turn = ["--every", every_s, "--phase", phase] if every_s else []
                pushers[who] = self.push(port, certs, *options, *turn)
            for _, go in pushers.values():
                go.touch()
            got = self.load_now(seconds * len(ports), "--rate", rate, "--await", ids,
                                *(["--interval", every_s] if every_s else []))
            lines = {who: self.told(pusher, (seconds + LEAD_S) * len(ports) + 60)
                     for who, (pusher, _) in pushers.items()}
        return got | {"asked": rate, "pushed": {who: told[-1] for who, told in lines.items()},
                      "visible_ms": visible(lines["within"][:-1], got["await"])}

    def turns(self, rate, seconds):
        """The surge into the appliance and into the sink by turns of a few seconds, so that both
        meet the machine in the same state."""
        every_s = self.ctx.pick(EVERY_S, 1)
        sink = self.ctx.spawn([self.ctx.program("surge_sink"),
                               self.site.dir / "authority-public.key",
                               self.site.dir / f"sink-{self.turn}",
                               2 * RATE * (seconds + LEAD_S)], f"surge_sink-{self.turn}", cpus={0})
        try:
            beside = sink.wait_for(r"^port (\d+)").group(1)
            got = self.surge(rate, seconds, {"within": self.port, "beside": beside}, every_s)
        finally:
            sink.stop()
        return got | {"pairs": pairs(got, every_s)}

    def ceiling(self, certs):
        with self.appliance.on():
            pusher, go = self.push(self.port, certs, "--batch", min(1 << 20, certs // 8))
            go.touch()
            return self.told(pusher, 300)[-1]


def visible(stored, seen):
    """From the answer that says "stored" to the first scan that passes, in ms. Only what was stored
    while the load was scanning; what was, and was not seen by its end, counts as never, but for
    the last second's."""
    times = [ns for ns in seen.values() if ns]
    if not times:
        return []
    begin, end = min(times) + 500_000_000, max(times) - 1_000_000_000
    return [(max(0, seen[one["id"]] - one["stored_ns"]) if seen[one["id"]] else 1e15) / 1e6
            for one in stored if begin < one["stored_ns"] < end]


def pairs(got, every_s):
    """[{"within": interval, "beside": the next one}, ...] of a load while both were pushing."""
    begin = max(told["begin_s"] for told in got["pushed"].values())
    end = min(told["end_s"] for told in got["pushed"].values())
    # The phase begins a moment after the interval does.
    whole = {one["from_s"]: one for one in got["intervals"]
             if one["from_s"] >= begin - 0.5 and one["from_s"] + every_s <= end}
    return [{"within": whole[at], "beside": whole[at + every_s]} for at in sorted(whole)
            if at // every_s % 2 == 0 and at + every_s in whole]


def latencies(results):
    return {f"{name} us": numbers.median([one["latency_us"][name] for one in results])
            for name in ("p50", "p99", "p99.9", "max")}


def whole_row(got):
    waits = sorted(got["visible_ms"])
    return {
        "what": "surge on end", "asked M datagrams/s": got["asked"] / 1e6,
        "M datagrams/s": got["datagrams_per_s"] / 1e6,
        "of asked": got["datagrams_per_s"] / got["asked"],
        **latencies([got]), "lost share": got["lost_share"],
        "idle share": got["appliance"]["idle_share"], "load busy": got["load_busy_share"],
        "load stalled ms": got["stalled_us"] / 1e3 / got["seconds"],
        "wrong": got["wrong_verdicts"], "unknown": got["unknown_verdicts"],
        "pushed/s": got["pushed"]["within"]["certs_per_s"],
        "stored ms p99": got["pushed"]["within"]["stored_ms_p99"],
        "visible ms p50": waits[len(waits) // 2] if waits else 0,
        "visible ms p99": waits[len(waits) * 99 // 100] if waits else 0,
        "samples": len(waits),
    }


def turns_row(who, intervals, turns):
    """Stalls are in ms of a second."""
    return {
        "what": "in turns", "intake": who, "intervals": len(intervals),
        "asked M datagrams/s": numbers.median([one["asked"] for one in turns]) / 1e6,
        "M datagrams/s": numbers.median([one["datagrams_per_s"] for one in intervals]) / 1e6,
        "spread": numbers.spread([one["datagrams_per_s"] for one in intervals]),
        **latencies(intervals),
        "load stalled ms": numbers.median([one["stalled_us"] / 1e3 / one["seconds"]
                                           for one in intervals]),
        "idle share": numbers.median([one["appliance"]["idle_share"] for one in turns]),
        "lost share": max(one["lost_share"] for one in turns),
        "wrong": sum(one["wrong_verdicts"] for one in turns),
        "unknown": sum(one["unknown_verdicts"] for one in turns),
        "pushed/s": numbers.median([one["pushed"][who]["certs_per_s"] for one in turns]),
    }


def bars(pairs_, turns, rows):
    whole, beside, within, ceiling = rows

    def times(figure):
        return numbers.median([figure(one["within"]) / figure(one["beside"]) for one in pairs_])

    yield numbers.bar("rate_of_without_intake", times(lambda one: one["datagrams_per_s"]), 0.98)
    yield numbers.bar("p999_times_without_intake", times(lambda one: one["latency_us"]["p99.9"]),
                      1.5, at_most=True)
    yield numbers.bar("certs_durable_per_s", min(whole["pushed/s"], within["pushed/s"]),
                      RATE * 0.99)
    yield numbers.bar("visible_ms_p99", whole["visible ms p99"] if whole["samples"] else 1e9,
                      1000, at_most=True)
    yield numbers.bar("ceiling_certs_per_s", ceiling["certs/s"], 500_000)
    yield numbers.bar("wrong_verdicts", whole["wrong"] + sum(one["wrong_verdicts"]
                                                             for one in turns), 0, at_most=True)
