# SPDX-License-Identifier: BSD-3-Clause
"""Whether anything is lost when an appliance is killed: KILL at random moments of intake and change.

An authority issues, revokes, replaces, snapshots, prunes and rotates keys; segments reach the
appliance by its directory, by TCP and at the desk, while rules, keys and waivers are changed; and a
gateway scans all the while. At a random moment of that, KILL. Of every other death the store's
newest files are cut at random lengths, too, and of some the table is gone. Then the next appliance
starts, by the same command and nothing else. When it has caught up, every certificate of the
registry is scanned, and must get the verdict that the registry and the rules say.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

from harness import numbers
from harness.context import Skip, SuiteError
from harness.link import APPLIANCE_IP, veth_cable

PORT = 4718
WATCHED = 200  # certificates that are never changed, and scanned without a pause
DENIALS = {"unknown_cert", "revoked", "suspended", "not_yet_valid", "expired", "forged", "stale_qr",
           "future_qr", "replayed", "not_accepted"}


def run(ctx):
    if os.geteuid() != 0:
        raise Skip("root is needed, for network namespaces")
    rounds = ctx.rounds_or(200, 4)
    seed = random.randrange(1 << 32)
    totals = dict.fromkeys(("rounds", "cut", "cold", "changes", "acknowledged", "scans", "wrong",
                            "lost", "unknown", "watched", "denied", "manual"), 0)
    with Town(ctx, ctx.certs_or(5000, 1000), seed) as town:
        for n in range(rounds):
            ctx.progress(f"death {n + 1} of {rounds}, seed {seed}")
            for name, value in town.round(n).items():
                totals[name] += value
    rows = [{"what": f"seed {seed}", **totals}]
    return rows, [
        numbers.bar("deaths", totals["rounds"], rounds),
        numbers.bar("acknowledged_segments_lost", totals["lost"], 0, at_most=True),
        numbers.bar("wrong_verdicts", totals["wrong"] + totals["denied"], 0, at_most=True),
        numbers.bar("unknown_when_caught_up", totals["unknown"], 0, at_most=True),
        numbers.bar("manual_steps", totals["manual"], 0, at_most=True),
        numbers.bar("scans_compared", totals["scans"], 1),
    ]


class Town:
    """An authority, an appliance in its own namespace, and a gateway in another."""

    def __init__(self, ctx, certs, seed):
        self.ctx, self.random = ctx, random.Random(seed)
        self.dir = ctx.tmp / "crash"
        self.authority_dir = self.dir / "authority"
        self.table = pathlib.Path("/dev/shm") / f"plcrash-{os.getpid()}-table"
        self.client, self.server = f"plcrash-{os.getpid()}-c", f"plcrash-{os.getpid()}-s"
        self.tools = ctx.root / "tests" / "e2e" / "nation_client.py"
        self.certs, self.ids, self.rotation = certs, [], 0
        self.appliance = self.follower = None
        self.life = 0
        self.acknowledged = 0  # the newest segment that the appliance has said it has on disk

    # --- building it

    def __enter__(self):
        self.dir.mkdir()
        for name in ("state", "token", "gateways", "arriving"):
            (self.dir / name).mkdir(mode=0o700)
        self.authority("keygen")
        self.authority("population", "--certs", self.certs, "--seed", 3, "--time-zone", "UTC")
        self.authority("gateway", "add", "--id", 7, "--name", "crash")
        self.ids = self.export(self.dir / "all.csv")
        self.copy_keys()
        self.configure()
        veth_cable(self.ctx, self.client, self.server)
        self.start()
        self.follow()
        self.caught_up()
        return self

    def __exit__(self, *exc):
        for process in (self.follower, self.appliance):
            if process:
                process.stop()
        self.table.unlink(missing_ok=True)

    def configure(self):
        """What the appliance is started with, the same every time."""
        self.policy(0)
        (self.dir / "passline.conf").write_text(f"""\
[site]
appliance-id = 1
time-zone = UTC
state-dir = state
[port a]
device = net_af_packet0
addresses = {APPLIANCE_IP}/24
[keys]
authority = authority/authority-public.key
token-dir = token
gateway-dir = gateways
[feed]
dir = arriving
listen = 127.0.0.1:{PORT}
[table]
capacity = {self.certs * 4 + 200_000}
memory = pages
path = {self.table}
[policy]
file = policy.ini
[worker]
idle = sleep
drain = 10 ms
[clock]
need-synchronised = no
""")

    def policy(self, n):
        """The built-in rules, and one for a class that nobody scans at, another each time."""
        part = self.dir / "policy.part"
        part.write_text(f"""\
[profile standard]
primary = 14..180
booster = 0..
recovered = 0..180
pcr-negative = 0..2
medical-exempt = 0..
under-age = ..-1
[profile other]
booster = {n % 7}..
other = reject
[classes]
other = standard
99 = other
""")
        part.replace(self.dir / "policy.ini")

    # --- its programs

    def authority(self, *words):
        return self.ctx.run([self.ctx.program("passline-authority"), "--dir", self.authority_dir,
                             *words], env={"TZ": "UTC"})

    def ctl(self, *words):
        """The result, or None if it was refused or nobody answered."""
        command = [self.ctx.program("passlinectl"), "--socket", self.dir / "state/control.sock",
                   "--json", "--timeout", 5, *words]
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
        try:
            return json.loads(done.stdout) if done.returncode == 0 else None
        except ValueError:
            return None

    def start(self):
        self.life += 1
        self.appliance = self.ctx.spawn(
            [self.ctx.program("passline"), "-l", "0,1", "--no-huge", "-m", 256, "--no-pci",
             "--file-prefix", f"plcrash-{os.getpid()}", "--log-level", "error",
             "--vdev", "net_af_packet0,iface=veth0", "--", self.dir / "passline.conf"],
            "passline", netns=self.server)

    def follow(self):
        """The authority's own service: it comes back by itself."""
        self.follower = self.ctx.spawn(
            [self.ctx.program("passline-authority"), "--dir", self.authority_dir, "push",
             f"127.0.0.1:{PORT}", "--follow", "--timeout", 5], "push", netns=self.server)

    def tool(self, command, registry, *options):
        return ["ip", "netns", "exec", self.client, "/usr/bin/python3", str(self.tools), command,
                "--to", APPLIANCE_IP, "--key", str(next((self.authority_dir / "gateway").iterdir())),
                "--registry", str(registry), "--tokens", str(self.authority_dir / "token"),
                *options]

    # --- the registry

    def export(self, path):
        """The certificates that may change, into path; those that never do, beside it. Ids."""
        lines = self.authority("export").splitlines()
        head, rows = lines[0], sorted(lines[1:])
        watched = getattr(self, "watched_ids", None)
        if watched is None:
            good = [row.split(",")[0] for row in rows if ",booster," in row and row.endswith("0,0")]
            watched = self.watched_ids = set(good[:WATCHED])
        rest = [row for row in rows if row.split(",")[0] not in watched]
        path.write_text("\n".join([head, *rest]) + "\n")
        (self.dir / "watched.csv").write_text("\n".join(
            [head, *(row for row in rows if row.split(",")[0] in watched)]) + "\n")
        return [row.split(",")[0] for row in rest]

    def sequence(self):
        return json.loads(self.authority("status", "--json"))["sequence"]

    def copy_keys(self):
        """As an operator would: new ones in, retired ones out."""
        for ours, theirs in (("token", "token"), ("gateway", "gateways")):
            names = set()
            for key in (self.authority_dir / ours).glob("*.key"):
                names.add(key.name)
                target = self.dir / theirs / key.name
                if not target.exists():
                    part = self.dir / theirs / f".{key.name}"
                    part.write_bytes(key.read_bytes())
                    part.chmod(0o600)
                    part.replace(target)
            for key in (self.dir / theirs).glob("*.key"):
                if key.name not in names:
                    key.unlink()

    # --- what goes on while it is killed

    def change(self):
        """One change by the authority, or by the operator."""
        self.random.choices(
            (self.issue, self.alter, self.deliver, self.bring, self.snapshot, self.reload,
             self.waive, self.look),
            (6, 4, 4, 4, 1, 3, 1, 3))[0]()

    def issue(self):
        today = time.strftime("%Y-%m-%d", time.gmtime())
        rows = [f"{self.random.getrandbits(64) | 1:#018x},booster,{today}"
                for _ in range(self.random.choice((1, 10, 100)))]
        path = self.dir / "issue.csv"
        path.write_text("id,kind,event_date\n" + "\n".join(rows) + "\n")
        self.authority("issue", path)
        self.ids += [row.split(",")[0] for row in rows]

    def alter(self):
        verb = self.random.choice(("revoke", "suspend", "restore", "replace"))
        chosen = self.random.sample(self.ids, 5)
        if verb == "replace":  # sixteen times at most
            chosen = chosen[:1]
        try:
            self.authority(verb, *chosen)
        except SuiteError as error:
            if "no further generation" not in str(error):
                raise

    def segments(self):
        return sorted((self.authority_dir / "feed").glob("*.plseg"))[-8:]

    def deliver(self):
        """Into the directory that is watched: by a new name, and then in place."""
        for path in self.segments():
            target = self.dir / "arriving" / path.name
            if not target.exists():
                part = self.dir / "arriving" / f".{path.name}.part"
                part.write_bytes(path.read_bytes())
                part.replace(target)

    def bring(self):
        """To the desk."""
        paths = self.segments()
        told = self.ctl("feed", "push", *paths)
        if told is not None:
            self.acknowledge(int(paths[-1].stem))

    def look(self):
        told = self.ctl("feed")
        if told is not None:
            self.acknowledge(told["durable"])

    def acknowledge(self, sequence):
        self.acknowledged = max(self.acknowledged, sequence)

    def snapshot(self):
        self.authority("snapshot", "--chunk-certs", 3000)
        if self.random.random() < 0.5:
            self.authority("prune", "--keep", 1)

    def reload(self):
        self.policy(self.random.randrange(1000))
        if self.random.random() < 0.5:
            self.ctl("reload")
        elif self.appliance.alive():
            self.appliance.popen.send_signal(signal.SIGHUP)

    def waive(self):
        path = self.dir / "waiver"
        path.unlink(missing_ok=True)
        self.authority("waiver", "create", "--until", "+60", "--reason", "crash", "--out", path)
        self.ctl("waiver", "apply", path)

    def rotate(self):
        """One step a round: no wallet is ever two keys behind."""
        self.rotation = (self.rotation + 1) % 8
        step = {1: "add", 3: "use", 4: "move", 6: "retire"}.get(self.rotation)
        if step is None:
            return
        self.authority("token", step)
        if step in ("add", "retire"):
            self.copy_keys()
            if self.appliance.alive():
                self.appliance.popen.send_signal(signal.SIGHUP)

    # --- a round

    def round(self, n):
        self.export(self.dir / "all.csv")
        watch = subprocess.Popen(self.tool("watch", self.dir / "watched.csv"),
                                 stdout=subprocess.PIPE, text=True)
        try:
            changes = self.until_killed()
            cut = self.cut() if n % 2 == 1 else 0
            cold = self.random.random() < 0.3
            if cold:
                self.table.unlink(missing_ok=True)
            got = self.come_back(cut != 0)
        finally:
            watch.send_signal(signal.SIGTERM)
            out, _ = watch.communicate(timeout=60)
        told = json.loads(out)
        denied = sum(cnt for name, cnt in told.items() if name in DENIALS)
        return {"rounds": 1, "cut": cut != 0, "cold": cold, "changes": changes, "denied": denied,
                "watched": sum(told.values()), "acknowledged": self.acknowledged and 1, **got}

    def until_killed(self):
        changes = 0
        timer = threading.Timer(self.random.uniform(0, 1.5),
                                lambda: self.appliance.popen.send_signal(signal.SIGKILL))
        timer.start()
        self.rotate()
        while self.appliance.alive():
            self.change()
            changes += 1
        timer.join()
        return changes

    def cut(self):
        """As if the disk had not kept the newest: how many files were cut."""
        store = self.dir / "state" / "feed"
        files = sorted(path for path in store.iterdir()
                       if path.suffix in (".plseg", ".plsnap", ".tmp"))
        newest = sorted(files, key=lambda path: path.stat().st_mtime_ns)
        chosen = newest[-self.random.randint(1, 3):]
        for path in chosen:
            os.truncate(path, self.random.randint(0, path.stat().st_size))
        if chosen:
            self.acknowledged = 0  # what was taken away behind its back has to be fetched again
        return len(chosen)

    def come_back(self, was_cut):
        """Start it as ever, and compare."""
        if not was_cut:
            # Nobody helps it to what it had already.
            self.follower.popen.send_signal(signal.SIGSTOP)
            (self.dir / "arriving").rename(self.dir / "aside")
            (self.dir / "arriving").mkdir(mode=0o700)
        lost = 0
        self.start()
        if not was_cut:
            self.ready()
            durable = self.wait_for(lambda: self.ctl("feed"), 30, "the desk")["durable"]
            lost = max(0, self.acknowledged - durable)
            for path in (self.dir / "aside").iterdir():
                path.rename(self.dir / "arriving" / path.name)
            (self.dir / "aside").rmdir()
            self.follower.popen.send_signal(signal.SIGCONT)
        manual = self.caught_up()
        self.export(self.dir / "all.csv")
        done = subprocess.run(self.tool("check", self.dir / "all.csv"), capture_output=True,
                              text=True, timeout=300, check=False)
        if not done.stdout:
            raise SuiteError(f"nation_client.py check:\n{done.stderr}")
        told = json.loads(done.stdout)
        if told.get("wrong"):
            print(f"wrong: {told['examples']}", file=sys.stderr)
        return {"scans": told["certificates"], "wrong": told.get("wrong", 0), "lost": lost,
                "unknown": told.get("unknown", 0) + told.get("unanswered", 0), "manual": manual}

    def wait_for(self, ask, seconds, what):
        end = time.monotonic() + seconds
        while True:
            got = ask()
            if got:
                return got
            if not self.appliance.alive():
                raise SuiteError(f"passline ended, life {self.life}:\n{self.appliance.tail()}")
            if time.monotonic() > end:
                raise SuiteError(f"no {what} after {seconds} s, life {self.life}:\n"
                                 f"{self.appliance.tail()}\n{self.follower.tail()}")
            time.sleep(0.05)

    def ready(self):
        self.wait_for(lambda: "passline: answering" in self.appliance.log(), 60, "answer")

    def caught_up(self):
        """By itself. @return 1 if somebody had to lend a hand: the follower, which gives up on
        nothing that mends itself, had ended."""
        manual = 0
        self.ready()
        want = self.sequence()

        def there():
            nonlocal manual
            if not self.follower.alive():
                print(f"push ended:\n{self.follower.tail()}", file=sys.stderr)
                manual = 1
                self.follow()
            told = self.ctl("status")
            return (told is not None and told["feed"]["applied"] >= want and
                    told["state"] == "serving") or None

        self.wait_for(there, 60, f"segment {want}")
        self.acknowledge(want)
        return manual
