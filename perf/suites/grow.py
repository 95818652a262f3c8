# SPDX-License-Identifier: BSD-3-Clause
"""A table that becomes twice as large while it is asked: how long that takes, and what it costs a worker.

Two cores: a worker polls the last one; control, the loader, who copies, and the load share the first. So
the load asks for less while the table grows, and how long it waits tells of its own core only.
"""

import concurrent.futures
import json
import time

from harness import numbers
from harness.context import SuiteError
from harness.link import APPLIANCE_IP, LOAD_IP, OUTSTANDING, Appliance, Site, huge_mb
from harness.verify import table_mb

SCANS = 16
# Of what a closed loop reaches just before.
LOAD_SHARE = 0.5
# The load takes its time to start; and for so long it is looked at before.
LEAD_S = 4


def run(ctx):
    certs, rounds = ctx.certs_or(10_000_000, 20_000), ctx.rounds_or(5, 1)
    with ctx.hugepages(huge_mb(certs) + table_mb(2 * certs)) as huge, \
            Site(ctx, certs, huge) as site:
        bench = Bench(ctx, site)
        alone, asked = [], []
        for _ in range(rounds):
            alone.append(bench.alone())
            asked.append(bench.asked())
    rows = [{"what": "nobody asks", "certs": certs, "room for": 2 * certs, "rounds": rounds,
             "s": numbers.median(alone), "s, most": max(alone)},
            {"what": "half a load", "certs": certs, "room for": 2 * certs, "rounds": rounds,
             "s": numbers.median([one["s"] for one in asked]),
             "s, most": max(one["s"] for one in asked)}]
    rows += [side_row(side, [one[side] for one in asked]) for side in ("before", "while")]
    totals = {what: sum(one[f"{what}_verdicts"] for one in asked) for what in ("wrong", "unknown")}
    totals["lost share"] = max(one["lost_share"] for one in asked)
    rows.append({"what": "all verdicts", **totals})
    return rows + ctx.cores_rows(), [
        numbers.bar("wrong_verdicts", totals["wrong"], 0, at_most=True),
        numbers.bar("unknown_verdicts", totals["unknown"], 0, at_most=True),
    ]


class Bench:
    """One appliance after another, each with a table that has room for just what is in it."""

    def __init__(self, ctx, site):
        self.ctx, self.site = ctx, site
        self.appliance = Appliance(site)

    def small(self):
        self.site.table.unlink(missing_ok=True)
        self.site.more_certs = 0
        self.site.configure()
        return self.appliance.on()

    def ctl(self, *command):
        return self.ctx.run([self.ctx.program("passlinectl"), "--socket",
                             self.site.dir / "state/control.sock", *command])

    def grow(self):
        """To twice the room. (begin, end), ns of the wall clock."""
        self.site.more_certs = self.site.certs
        self.site.configure()
        begin_ns = time.time_ns()
        self.ctl("reload")
        while time.time_ns() < begin_ns + 120 * 10**9:
            table = json.loads(self.ctl("status", "--json"))["table"]
            if table["capacity"] == 2 * self.site.certs and not table["growing"]:
                return begin_ns, time.time_ns()
            time.sleep(0.02)
        raise SuiteError("the table is not larger after two minutes")

    def alone(self):
        self.ctx.wait_for_cores()
        with self.small():
            begin_ns, end_ns = self.grow()
        return (end_ns - begin_ns) / 1e9

    def load(self, seconds, *options):
        vdev = (f"net_memif0,role=client,socket={self.appliance.socket},socket-abstract=no,"
                "zero-copy=yes")
        return self.site.load([*self.site.eal([0], "load"), "--no-telemetry", "--vdev", vdev],
                              ["--dst-ip", APPLIANCE_IP, "--src-ip", LOAD_IP,
                               *self.appliance.load_options()], SCANS, seconds, *options)

    def asked(self):
        alone = self.ctx.wait_for_cores()
        with self.small():
            top = self.load(self.ctx.pick(1, 0.3), "--outstanding", OUTSTANDING)
        seconds = self.ctx.pick(25, 3)
        with self.small(), concurrent.futures.ThreadPoolExecutor(1) as pool:
            job = pool.submit(self.load, LEAD_S + seconds, "--rate",
                              int(top["datagrams_per_s"] * LOAD_SHARE))
            time.sleep(LEAD_S)
            counts = [self.count()]
            time.sleep(self.ctx.pick(LEAD_S, 1))
            counts.append(self.count())
            begin_ns, end_ns = self.grow()
            counts.append(self.count())
            got = job.result()
        return got | {"s": (end_ns - begin_ns) / 1e9, "before": between(counts[0], counts[1]),
                      "while": between(counts[1], counts[2]), "core_shared": not alone}

    def count(self):
        """What the workers have done by now."""
        traffic = json.loads(self.ctl("status", "--json"))["traffic"]
        return {"at": time.monotonic(), **{name: traffic[name] for name in ("answered", "busy_tsc")}}


def between(one, two):
    """A second's datagrams, and what each cost the workers."""
    answered = two["answered"] - one["answered"]
    return {"datagrams_per_s": answered / (two["at"] - one["at"]),
            "cycles": (two["busy_tsc"] - one["busy_tsc"]) / max(answered, 1)}


def side_row(side, some):
    return {"what": side,
            "M datagrams/s": numbers.median([one["datagrams_per_s"] for one in some]) / 1e6,
            "cycles a datagram": numbers.median([one["cycles"] for one in some]),
            "most": max(one["cycles"] for one in some)}
