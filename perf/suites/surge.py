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
# The load takes its time to start, and the surge is there when it does.
LEAD_S = 8
# Datagrams that the load takes turns with: how often it asks for each awaited certificate.
POOL = 8192


def run(ctx):
    certs = ctx.certs_or(10_000_000, 20_000)
    seconds, rounds_cnt = ctx.pick(60, 3), ctx.rounds_or(5, 1)
    surge_certs = RATE * (seconds + LEAD_S)
    ceiling_certs = ctx.pick(8 << 20, 40_000)
    ceilings_cnt = ctx.pick(3, 1)
    more = surge_certs * (rounds_cnt + 1) + ceiling_certs * ceilings_cnt
    port = free_port()
    memory = huge_mb(certs + more) + table_mb(more)
    with ctx.hugepages(memory) as huge, \
            Site(ctx, certs, huge, more_certs=more, feed=f"listen = 127.0.0.1:{port}") as site:
        bench = Bench(ctx, site, port)
        got = bench.pairs(seconds, rounds_cnt)
        ceilings = [bench.ceiling(ceiling_certs)["certs_per_s"] for _ in range(ceilings_cnt)]
    rows = [row(who, results) for who, results in got.items()]
    rows.append({"what": "ceiling", "certs/s": numbers.median(ceilings),
                 "spread": numbers.spread(ceilings)})
    return rows, list(bars(got, rows))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bench:
    """One appliance, one load, and an authority that pushes to the appliance or, with just the same
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

    def pairs(self, seconds, rounds_cnt):
        """{"beside": [result, ...], "within": [...]}. Each pair has a load of its own, from what a
        closed loop reaches just before it: on a machine that others use, too, the most of one
        minute may be more than all of the next."""
        got = {"beside": [], "within": []}
        for turn in range(rounds_cnt):
            self.ctx.progress(f"pair {turn + 1} of {rounds_cnt}")
            top = numbers.median([self.load(self.ctx.pick(2, 0.3), "--outstanding", OUTSTANDING)
                                  ["datagrams_per_s"] for _ in range(self.ctx.pick(3, 1))])
            rate = max(1, int(top * LOAD_SHARE))
            for who in ("beside", "within") if turn % 2 == 0 else ("within", "beside"):
                got[who].append(self.surge(rate, seconds, who == "within") | {"asked": rate})
        return got

    def surge(self, rate, seconds, within):
        certs = RATE * (seconds + LEAD_S)
        sample = RATE // SAMPLES_A_SECOND
        ids = self.site.dir / "await"
        ids.write_text(self.ctx.run([self.ctx.program("surge_push"), "--list", "--certs", certs,
                                     "--first", self.first, "--sample", sample]))
        with self.appliance.on():
            port, sink = self.port, None
            if not within:
                sink = self.ctx.spawn([self.ctx.program("surge_sink"),
                                       self.site.dir / "authority-public.key",
                                       self.site.dir / f"sink-{self.turn}", 2 * certs],
                                      f"surge_sink-{self.turn}", cpus={0})
                port = sink.wait_for(r"^port (\d+)").group(1)
            pusher, go = self.push(port, certs, "--rate", RATE, "--batch",
                                   RATE // SEGMENTS_A_SECOND, "--sample", sample)
            go.touch()
            got = self.load_now(seconds, "--rate", rate, "--await", ids)
            lines = self.told(pusher, seconds + 120)
            if sink:
                sink.stop()
        return got | {"pushed": lines[-1],
                      "visible_ms": visible(lines[:-1], got["await"]) if within else []}

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


def row(who, results):
    waits = sorted(ms for one in results for ms in one["visible_ms"])
    return {
        "what": "verification", "intake": who,
        "asked M datagrams/s": numbers.median([one["asked"] for one in results]) / 1e6,
        "M datagrams/s": numbers.median([one["datagrams_per_s"] for one in results]) / 1e6,
        "of asked": numbers.median([one["datagrams_per_s"] / one["asked"] for one in results]),
        "spread": numbers.spread([one["datagrams_per_s"] for one in results]),
        **{f"{name} us": numbers.median([one["latency_us"][name] for one in results])
           for name in ("p50", "p99", "p99.9", "max")},
        "lost share": max(one["lost_share"] for one in results),
        "idle share": numbers.median([one["appliance"]["idle_share"] for one in results]),
        "stalled ms": numbers.median([one["appliance"]["stalled_tsc"] / one["tsc_hz"] * 1e3
                                      for one in results]),
        "load busy": numbers.median([one["load_busy_share"] for one in results]),
        "load stalled ms": numbers.median([one["stalled_us"] for one in results]) / 1e3,
        "wrong": sum(one["wrong_verdicts"] for one in results),
        "unknown": sum(one["unknown_verdicts"] for one in results),
        "pushed/s": numbers.median([one["pushed"]["certs_per_s"] for one in results]),
        "stored ms p99": numbers.median([one["pushed"]["stored_ms_p99"] for one in results]),
        "visible ms p50": waits[len(waits) // 2] if waits else 0,
        "visible ms p99": waits[len(waits) * 99 // 100] if waits else 0,
        "samples": len(waits),
    }


def bars(got, rows):
    beside, within, ceiling = rows
    pairs = list(zip(got["beside"], got["within"]))
    yield numbers.bar("rate_of_without_intake", numbers.median(
        [b["datagrams_per_s"] / a["datagrams_per_s"] for a, b in pairs]), 0.98)
    yield numbers.bar("p999_times_without_intake", numbers.median(
        [b["latency_us"]["p99.9"] / a["latency_us"]["p99.9"] for a, b in pairs]), 1.5,
                      at_most=True)
    yield numbers.bar("certs_durable_per_s", within["pushed/s"], RATE * 0.99)
    yield numbers.bar("visible_ms_p99", within["visible ms p99"] if within["samples"] else 1e9,
                      1000, at_most=True)
    yield numbers.bar("ceiling_certs_per_s", ceiling["certs/s"], 500_000)
    yield numbers.bar("wrong_verdicts", beside["wrong"] + within["wrong"], 0, at_most=True)
