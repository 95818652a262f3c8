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
# The surge goes into the appliance and beside it in turns. A backlog that one leaves would be counted
# in the next, so the first half of each is let go by.
TURN_S = 6
# A turn beside the surge whose median waits so long has a backlog from beginning to end: the
# machine does not do what it did just before, and nothing can be compared with that.
BACKLOG_US = 1000
COMPARED_MIN = 8
# Of segments, stored in a turn that is not theirs.
OUTSIDE_MAX = 0.02
# The load takes its time to start, and the surge is there when it does.
LEAD_S = 8
# Datagrams that the load takes turns with, so that it asks for each awaited certificate every 10 ms or
# so. Its other scans are then of some 130 000 certificates, which the caches hold in part.
POOL = 8192


def run(ctx):
    certs = ctx.certs_or(10_000_000, 20_000)
    seconds, rounds_cnt = ctx.pick(60, 6), ctx.rounds_or(4, 1)
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
    compared = [three for one in turns for three in one["compared"]]
    steady = [three for three in compared if is_steady(three)]
    rows = [whole_row(whole), *turns_rows(compared, steady, turns),
            {"what": "ceiling", "certs/s": numbers.median(ceilings),
             "spread": numbers.spread(ceilings)}]
    return rows, list(bars(ctx, steady, [whole, *turns], ceilings))


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
                                *(["--interval", every_s // 2] if every_s else []))
            lines = {who: self.told(pusher, (seconds + LEAD_S) * len(ports) + 60)
                     for who, (pusher, _) in pushers.items()}
        return got | {"asked": rate, "pushed": {who: told[-1] for who, told in lines.items()},
                      "stored": lines["within"][:-1]}

    def turns(self, rate, seconds):
        """The surge into the appliance and into the sink by turns of a few seconds, so that both
        meet the machine in the same state."""
        every_s = self.ctx.pick(TURN_S, 2)
        sink = self.ctx.spawn([self.ctx.program("surge_sink"),
                               self.site.dir / "authority-public.key",
                               self.site.dir / f"sink-{self.turn}",
                               2 * RATE * (seconds + LEAD_S)], f"surge_sink-{self.turn}", cpus={0})
        try:
            beside = sink.wait_for(r"^port (\d+)").group(1)
            got = self.surge(rate, seconds, {"within": self.port, "beside": beside}, every_s)
        finally:
            sink.stop()
        for who, told in got["pushed"].items():
            if told["outside"] > OUTSIDE_MAX * told["segments"]:
                raise SuiteError(f"{told['outside']} of {told['segments']} segments were stored in "
                                 f"a turn that is not that of {who}: the disk is too slow to tell "
                                 "turns apart")
        return got | {"compared": compare(got, every_s)}

    def ceiling(self, certs):
        with self.appliance.on():
            pusher, go = self.push(self.port, certs, "--batch", min(1 << 20, certs // 8))
            go.touch()
            return self.told(pusher, 300)[-1]


def visible(stored, seen):
    """From the answer that says "stored" to the first scan that passes, in ms, sorted. Only of what was stored
    while the load was scanning, but for the last second; one that was never seen counts as 1e9 ms."""
    times = [ns for ns in seen.values() if ns]
    if not times:
        return []
    begin, end = min(times) + 500_000_000, max(times) - 1_000_000_000
    return sorted((max(0, seen[one["id"]] - one["stored_ns"]) if seen[one["id"]] else 1e15) / 1e6
                  for one in stored if begin < one["stored_ns"] < end)


def compare(got, every_s):
    """[{"within": interval, "beside": [the one before, the one after]}, ...] of a load while both
    were pushing: of each turn its second half."""
    begin_ms = max(told["begin_s"] for told in got["pushed"].values()) * 1000
    end_ms = min(told["end_s"] for told in got["pushed"].values()) * 1000
    every = every_s * 1000
    halves = {one["from_ms"]: one for one in got["intervals"]
              if one["from_ms"] % every != 0 and one["latency_us"]["samples"] > 0 and
              one["from_ms"] - every // 2 >= begin_ms - 50 and
              one["from_ms"] + every // 2 <= end_ms}
    return [{"within": halves[at], "beside": [halves[at - every], halves[at + every]]}
            for at in sorted(halves)
            if at // every % 2 == 0 and at - every in halves and at + every in halves]


def is_steady(three):
    return all(one["latency_us"]["p50"] < BACKLOG_US for one in three["beside"])


def times(three, figure):
    """What it is within, for each that it is beside."""
    return figure(three["within"]) / (sum(figure(one) for one in three["beside"]) / 2)


def latencies(results):
    return {f"{name} us": numbers.median([one["latency_us"][name] for one in results])
            for name in ("p50", "p99", "p99.9", "max")}


def whole_row(got):
    waits = visible(got["stored"], got["await"])
    return {
        "what": "without a pause", **all_of([got]), "M datagrams/s": got["datagrams_per_s"] / 1e6,
        **latencies([got]), "stored ms p99": got["pushed"]["within"]["stored_ms_p99"],
        "visible ms p50": waits[len(waits) // 2] if waits else 0,
        "visible ms p99": waits[len(waits) * 99 // 100] if waits else 0,
        "samples": len(waits),
    }


def all_of(results):
    """What is known of runs as wholes only."""
    seconds = sum(one["seconds"] for one in results)
    return {
        "asked M datagrams/s": numbers.median([one["asked"] for one in results]) / 1e6,
        "of asked": numbers.median([one["datagrams_per_s"] / one["asked"] for one in results]),
        "idle share": numbers.median([one["appliance"]["idle_share"] for one in results]),
        "stalled": sum(one["appliance"]["stalled_tsc"] / one["tsc_hz"]
                       for one in results) / seconds,
        "load stalled": sum(one["stalled_us"] for one in results) / 1e6 / seconds,
        "lost share": max(one["lost_share"] for one in results),
        "wrong": sum(one["wrong_verdicts"] for one in results),
        "unknown": sum(one["unknown_verdicts"] for one in results),
        "pushed/s": min(told["certs_per_s"] for one in results for told in one["pushed"].values()),
    }


def turns_rows(compared, steady, turns):
    """Of the turns compared each; those in a backlog of the machine's own stand apart."""
    yield {"what": "in turns", **all_of(turns)}
    for what, some in (("compared", steady),
                       ("left out: slow without, too", [one for one in compared if one not in steady])):
        if not some:
            continue
        for who in ("beside", "within"):
            halves = ([three["within"] for three in some] if who == "within" else
                      [one for three in some for one in three["beside"]])
            yield {
                "what": what, "intake": who, "turns": len(some),
                "M datagrams/s": numbers.median([one["datagrams_per_s"] for one in halves]) / 1e6,
                **latencies(halves),
                "load stalled": numbers.median([one["stalled_us"] / 1e3 / one["ms"]
                                                for one in halves]),
            }


def bars(ctx, steady, runs, ceilings):
    """A rate and a latency that too few turns tell of do not hold."""
    rate = p999 = None
    if len(steady) >= ctx.pick(COMPARED_MIN, 1):
        rate = numbers.median([times(three, lambda one: one["datagrams_per_s"])
                               for three in steady])
        p999 = numbers.median([times(three, lambda one: one["latency_us"]["p99.9"])
                               for three in steady])
    waits = visible(runs[0]["stored"], runs[0]["await"])
    yield numbers.bar("rate_of_without_intake", rate, 0.98)
    yield numbers.bar("p999_times_without_intake", p999, 1.5, at_most=True)
    yield numbers.bar("certs_durable_per_s", all_of(runs)["pushed/s"], RATE * 0.99)
    yield numbers.bar("visible_ms_p99", waits[len(waits) * 99 // 100] if waits else None, 1000,
                      at_most=True)
    yield numbers.bar("ceiling_certs_per_s", numbers.median(ceilings), 500_000)
    yield numbers.bar("wrong_verdicts", sum(one["wrong_verdicts"] for one in runs), 0,
                      at_most=True)
