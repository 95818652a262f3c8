# SPDX-License-Identifier: BSD-3-Clause
"""How long an appliance is without a right verdict when it starts: hot after KILL and TERM, and cold.

Hot: the process goes, the next one attaches to the table in its hugepages. Cold: no table, a snapshot
and a tail of segments. A client on the other end of a cable asks every 2 ms, about another certificate
each time, all of which hold: so a right verdict is a PASS, UNKNOWN is a wait, and a DENY would be
wrong. Two cores: a worker polls the last one, loader, control and client share the first.
"""

import json
import os
import signal
import time

from harness import numbers
from harness.context import Skip, SuiteError
from harness.link import APPLIANCE_IP, Site, huge_mb, veth_cable
from harness.verify import last_cpu

TAIL_SHARE = 0.01
HOT_S, COLD_S = 1.0, 20.0


def run(ctx):
    if last_cpu() == 0:
        raise Skip("two cores are needed: one for the worker, one for the rest")
    if os.geteuid() != 0:
        raise Skip("root is needed, for network namespaces")
    certs = ctx.certs_or(50_000_000, 20_000)
    rounds = ctx.rounds_or(3, 1)
    with ctx.hugepages(huge_mb(certs)) as huge:
        with Site(ctx, certs, huge, gateways=1, device="net_af_packet0",
                  tail=max(1, int(certs * TAIL_SHARE)), retry_after="10 ms") as site:
            with Life(ctx, site) as life:
                starts = [("cold", life.cold()) for _ in range(rounds)]
                for _ in range(rounds):
                    starts += [("hot, KILL", life.again(signal.SIGKILL)),
                               ("hot, TERM", life.again(signal.SIGTERM))]
                totals = life.end()
    rows = [row_of(what, certs, [one for name, one in starts if name == what])
            for what in ("cold", "hot, KILL", "hot, TERM")]
    rows.append({"what": "all verdicts", "certs": certs, **totals})
    hot = max(row["s to PASS, most"] for row in rows[1:3])
    return rows, [
        numbers.bar("hot_s_to_right_verdict", hot, HOT_S, at_most=True),
        numbers.bar("cold_s_to_right_verdict", rows[0]["s to PASS, most"], COLD_S, at_most=True),
        numbers.bar("denials", totals["deny"], 0, at_most=True),
        numbers.bar("unknown_while_loading", rows[0]["UNKNOWN first"], 1),
    ]


def row_of(what, certs, starts):
    """starts: of one kind. 'silent' is how long nobody answered."""
    return {
        "what": what, "certs": certs, "starts": len(starts),
        "s to PASS": numbers.median([one["pass_s"] for one in starts]),
        "s to PASS, most": max(one["pass_s"] for one in starts),
        "s from signal to PASS": numbers.median([one["whole_s"] for one in starts]),
        "s to an answer": numbers.median([one["answer_s"] for one in starts]),
        # Of how many of the starts the first answer was no verdict.
        "UNKNOWN first": sum(one["unknown_first"] for one in starts) / len(starts),
    }


class Life:
    """One appliance after another on one end of a cable, and one client on the other."""

    def __init__(self, ctx, site):
        self.ctx, self.site = ctx, site
        self.client = f"plperf-{os.getpid()}-c"
        self.server = f"plperf-{os.getpid()}-s"
        self.appliance = self.probe = None

    def __enter__(self):
        veth_cable(self.ctx, self.client, self.server)
        site = self.site
        self.probe = self.ctx.spawn(
            [self.ctx.program("restart_probe"), site.dir, "--to", APPLIANCE_IP, "--certs",
             site.certs, "--as-of", site.as_of, "--state", site.dir / "probe-state",
             "--seconds", 3600], cpus={0}, netns=self.client)
        return self

    def __exit__(self, *exc):
        for process in (self.probe, self.appliance):
            if process:
                process.stop()

    def start(self):
        site = self.site
        self.appliance = self.ctx.spawn(
            [self.ctx.program("passline"), *site.eal([0, last_cpu()], "passline"),
             "--vdev", "net_af_packet0,iface=veth0", "--", site.config],
            "passline", netns=self.server)

    def changes(self, since_ns):
        """What the client was told since then: (ns, group, verdict) at each change."""
        for line in self.probe.log().splitlines():
            words = line.split()
            if len(words) == 3 and words[0].isdigit() and int(words[0]) >= since_ns:
                yield int(words[0]), words[1], words[2]

    def watch(self, signal_ns, start_ns):
        """Until the first PASS of the process that was started then."""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            told = list(self.changes(start_ns))
            answers = [one for one in told if one[1] != "none"]
            passes = [ns for ns, group, _ in told if group == "pass"]
            if passes:
                return {"pass_s": (passes[0] - start_ns) / 1e9,
                        "whole_s": (passes[0] - signal_ns) / 1e9,
                        "answer_s": (answers[0][0] - start_ns) / 1e9,
                        "unknown_first": int(answers[0][1] == "unknown")}
            if not self.appliance.alive():
                raise SuiteError(f"passline ended:\n{self.appliance.tail()}")
            time.sleep(0.01)
        raise SuiteError(f"no right verdict in 300 s:\n{self.appliance.tail()}\n{self.probe.tail()}")

    def settled(self):
        """All that a start does is done: the next one finds a table like any other."""
        self.appliance.wait_for(r"^passline: ready", 60)
        time.sleep(self.ctx.pick(3, 0.5))

    def stop(self, sig):
        """Gone, and noticed by the client, who else could take an old answer for a new one."""
        at = time.monotonic_ns()
        self.appliance.popen.send_signal(sig)
        self.appliance.wait()
        return at

    def cold(self):
        self.ctx.progress("a cold start")
        if self.appliance:
            self.stop(signal.SIGTERM)
            self.noticed()
        self.site.table.unlink(missing_ok=True)
        start_ns = time.monotonic_ns()
        self.start()
        got = self.watch(start_ns, start_ns)
        self.settled()
        return got

    def again(self, sig):
        self.ctx.progress(f"a hot start after {sig.name}")
        signal_ns = self.stop(sig)
        start_ns = time.monotonic_ns()
        self.start()
        got = self.watch(signal_ns, start_ns)
        self.settled()
        if "table holds the feed" not in self.appliance.log():
            raise SuiteError(f"it did not attach to its table:\n{self.appliance.tail()}")
        return got

    def noticed(self):
        """Until the client gets no answers."""
        since = time.monotonic_ns()
        while not any(group == "none" for _, group, _ in self.changes(since - 1_000_000_000)):
            time.sleep(0.05)
            if time.monotonic_ns() > since + 5_000_000_000:
                return

    def end(self):
        """How many of each verdict in all."""
        self.stop(signal.SIGTERM)
        self.probe.stop()
        return json.loads(self.probe.log().splitlines()[-1])
