# SPDX-License-Identifier: BSD-3-Clause
"""An appliance and what it is compared with, each driven by passline-load over memif.

Two cores are all that some machines have: the load is on the first, whoever answers on the
last, one at a time, for all of them poll.
"""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import time

from .context import Skip, SuiteError
from .verify import last_cpu, table_mb

APPLIANCE_IP, LOAD_IP = "10.77.0.1", "10.77.0.2"
ECHO_MAC = "02:00:00:00:00:02"
# Datagrams on their way at most in a closed loop: more than the two bursts that keep both sides
# busy.
OUTSTANDING = 512
# Packet buffers of an appliance, of testpmd and of a load.
BUFFERS_MB = 640


def huge_mb(certs):
    return table_mb(certs) + BUFFERS_MB


def today():
    """The site's: what a certificate's day is counted in."""
    seoul = datetime.timezone(datetime.timedelta(hours=9))
    return datetime.datetime.now(seoul).date().isoformat()


def cpu_seconds(pid):
    """What all threads of a process have used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def veth_cable(ctx, client, server):
    """Two namespaces, until the end, with veth0 in each: the load's address in the client's, none in
    the server's, where the port is the appliance's."""
    for name in (client, server):
        ctx.run(["ip", "netns", "add", name])
        ctx.at_end(subprocess.run, ["ip", "netns", "del", name])
    ctx.run(["ip", "link", "add", "veth0", "netns", client, "type", "veth", "peer", "name", "veth0",
             "netns", server])
    for command in (
            ["ip", "-n", client, "addr", "add", f"{LOAD_IP}/24", "dev", "veth0"],
            ["ip", "-n", client, "link", "set", "veth0", "up"],
            ["ip", "netns", "exec", server, "sysctl", "-qw", "net.ipv6.conf.veth0.disable_ipv6=1"],
            ["ip", "-n", server, "link", "set", "lo", "up"],
            ["ip", "-n", server, "link", "set", "veth0", "up"],
            # Else the kernel leaves checksums for the other end to fill in.
            ["ip", "netns", "exec", client, "ethtool", "-K", "veth0", "tx", "off"]):
        ctx.run(command)


class Site:
    """Keys and a feed of so many certificates, in a directory of their own until the end. tail: how
    many of them are in segments behind a snapshot of the others; None: there is no snapshot."""

    def __init__(self, ctx, certs, huge, gateways=64, device="net_memif0", tail=None,
                 retry_after="1 s", more_certs=0, feed=""):
        """more_certs: room in the table for certificates that come later; feed: more lines of
        its section."""
        self.more_certs, self.feed = more_certs, feed
        self.ctx, self.certs, self.huge, self.gateways = ctx, certs, huge, gateways
        self.device, self.retry_after = device, retry_after
        self.limits = ""  # more lines of its section
        self.as_of = today()
        self.dir = ctx.tmp / f"site-{certs}"
        ctx.progress(f"a feed of {certs} certificates")
        ctx.run([ctx.program("make_site"), self.dir, "--certs", certs, "--as-of", self.as_of,
                 "--gateways", gateways, *([] if tail is None else ["--tail", tail])])
        (self.dir / "state").mkdir()
        self.config = self.dir / "passline.conf"
        self.table = (huge or pathlib.Path("/dev/shm")) / f"plperf-{os.getpid()}-table"
        self.configure()

    def configure(self, *worker):
        """Write the configuration, with these further lines on workers."""
        worker = "\n".join(worker)
        self.config.write_text(f"""\
[site]
appliance-id = 1
state-dir = {self.dir}/state
[port memif]
device = {self.device}
addresses = {APPLIANCE_IP}/24
[keys]
authority = {self.dir}/authority-public.key
token-dir = {self.dir}/token
gateway-dir = {self.dir}/gateway
[feed]
store = {self.dir}/feed
{self.feed}
[table]
capacity = {max(self.certs + self.more_certs, 1000)}
memory = {"hugepages" if self.huge else "pages"}
path = {self.table}
[worker]
drain = 10 ms
{worker}
[limits]
retry-after = {self.retry_after}
{self.limits}
[clock]
need-synchronised = no
""")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.table.unlink(missing_ok=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def eal(self, cores, name):
        """EAL options of one process, without its device."""
        memory = ["--huge-dir", self.huge] if self.huge else ["--no-huge", "-m", 256]
        return ["-l", ",".join(str(core) for core in cores), "--no-pci", "--file-prefix",
                f"plperf-{os.getpid()}-{name}", "--single-file-segments", *memory]


    def load(self, eal, where, scans, seconds, *options):
        """Run passline-load as all gateways of the site; its JSON."""
        state = self.dir / "load-state"
        state.mkdir(exist_ok=True)
        command = [self.ctx.program("passline-load"), *eal, "--", *where,
                   "--key-dir", self.dir / "gateway", "--state-dir", state,
                   "--token-keys", self.dir / "token", "--certs", self.certs,
                   "--as-of", self.as_of, "--scans", scans, "--seconds", seconds,
                   "--warmup", min(0.5, seconds), "--json", *options]
        # 1: wrong verdicts, which are told.
        out = self.ctx.run(command, statuses=(0, 1), cpus={0})
        try:
            return json.loads(out[out.index("{"):])
        except ValueError as error:
            raise SuiteError(f"passline-load: {error}:\n{out}") from None


class Peer:
    """Who answers: a process behind the server's end of a memif. A new one for each turn: both poll
    the last core, and a memif whose other end goes away frees its rings under the one that polls
    them, which may die of it (DPDK 22.11, memif_disconnect()): when all is measured, or not at all.
    """

    def __init__(self, site, name, program, options, said):
        self.site, self.name, self.said = site, name, said
        self.socket = site.dir / f"{name}.sock"
        cores = [0, last_cpu()]
        if cores[0] == cores[1]:
            raise Skip("two cores are needed: one for the load, one for who answers")
        vdev = f"net_memif0,role=server,socket={self.socket},socket-abstract=no"
        self.command = [program, *site.eal(cores, name), "--vdev", vdev, "--", *options]

    @contextlib.contextmanager
    def on(self):
        """It answers within this context."""
        self.socket.unlink(missing_ok=True)
        process = self.site.ctx.spawn(self.command, self.name)
        try:
            process.wait_for(self.said, 300)
            yield process
        finally:
            process.stop()

    def load_options(self):
        """What passline-load has to be told about this peer."""
        raise NotImplementedError

    def load(self, scans, seconds, *options):
        """Drive it over memif, once both cores are ours; the JSON of passline-load, what share
        of a core the peer had meanwhile, and whether the cores were not ours before all that."""
        alone = self.site.ctx.wait_for_cores()
        vdev = f"net_memif0,role=client,socket={self.socket},socket-abstract=no,zero-copy=yes"
        with self.on() as process:
            cpu, wall = cpu_seconds(process.pid), time.monotonic()
            got = self.site.load([*self.site.eal([0], "load"), "--no-telemetry", "--vdev", vdev],
                                 ["--dst-ip", APPLIANCE_IP, "--src-ip", LOAD_IP,
                                  *self.load_options()], scans, seconds, *options)
            return got | {"core_shared": not alone,
                          "peer_cpu_share": (cpu_seconds(process.pid) - cpu) /
                                            (time.monotonic() - wall)}


class Appliance(Peer):
    """The first one loads the feed; the others find the table full."""

    def __init__(self, site):
        super().__init__(site, "passline", site.ctx.program("passline"), [site.config],
                         r"^passline: ready")

    def load_options(self):
        prefix = f"plperf-{os.getpid()}-{self.name}"
        return ["--telemetry", f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2"]


class Testpmd(Peer):
    """DPDK's own: swaps addresses and sends back, and nothing else."""

    def __init__(self, site):
        program = shutil.which("dpdk-testpmd")
        if not program:
            raise Skip("dpdk-testpmd is needed to compare with: install Debian's dpdk")
        super().__init__(site, "testpmd", program,
                         ["--forward-mode=5tswap", "--auto-start", "--nb-cores=1", "--burst=64",
                          "--rxd=1024", "--txd=1024", "--total-num-mbufs=8192",
                          "--disable-link-check", "--no-flush-rx",
                          # Else it reads its standard input, and ends.
                          "--stats-period=3600"], r"packet forwarding")

    def load_options(self):
        return ["--echo", "--dst-mac", ECHO_MAC]


class Sockets:
    """The same verification behind a socket of the kernel, over loopback. It takes the table that
    an appliance has left, so one has to have been on before."""

    def __init__(self, site, port=47170):
        self.site, self.port = site, port
        self.command = [site.ctx.program("peer_sockets"), "--cpu", last_cpu(), "--port", port,
                        site.config]

    def load(self, scans, seconds, *options):
        self.site.ctx.wait_for_cores()
        process = self.site.ctx.spawn(self.command, "peer_sockets")
        try:
            process.wait_for("ready", 60)
            return self.site.load([], ["--sockets", f"127.0.0.1:{self.port}"], scans, seconds,
                                  *options)
        finally:
            process.stop()
