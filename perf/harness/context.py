# SPDX-License-Identifier: BSD-3-Clause
"""What a suite gets to work with. Whatever it takes from the machine is given back at the end."""

import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from . import numbers
from .cores import Cores

_NR_HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class SuiteError(Exception):
    """A measurement that could not be made; the text says why and what to do."""


class Skip(Exception):
    """This machine cannot make the measurement; the text says what it lacks."""


class Process:
    """A program in the background, its output in a file."""

    def __init__(self, popen, name, log_path):
        self.popen = popen
        self.name = name
        self.log_path = log_path

    @property
    def pid(self):
        return self.popen.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.popen.poll() is None

    def wait_for(self, pattern, timeout_s=30):
        """The match of a regular expression in its output, as soon as there is one."""
        end = time.monotonic() + timeout_s
        while True:
            alive = self.alive()
            match = re.search(pattern, self.log(), re.MULTILINE)
            if match:
                return match
            if not alive or time.monotonic() > end:
                why = "still has not said" if alive else "ended without saying"
                raise SuiteError(f"{self.name} {why} /{pattern}/; its output ends:\n{self.tail()}")
            time.sleep(0.02)

    def wait(self, timeout_s=60):
        """Its exit status, when it has ended by itself."""
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise SuiteError(f"{self.name} did not end within {timeout_s} s; its output ends:\n"
                             f"{self.tail()}") from None

    def tail(self, lines_cnt=20):
        return "\n".join("  | " + line for line in self.log().splitlines()[-lines_cnt:])

    def stop(self, timeout_s=10):
        """TERM, then KILL; returns the exit status."""
        if self.alive():
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()


def forget_dpdk():
    """What DPDK's processes of this run leave: a directory of shared files each. They are named
    --file-prefix plNAME-<this pid>[-MORE]."""
    for end in ("", "-*"):
        for path in pathlib.Path("/run/dpdk").glob(f"pl*-{os.getpid()}{end}"):
            shutil.rmtree(path, ignore_errors=True)


class Context:
    """quick: a smoke run, as small as it can be. certs: table size asked for, or None.
    root, build: directories. tmp: a directory that goes at the end. charts: where charts go, or
    None. All of it is read-only to a suite."""

    def __init__(self, root, build, quick=False, certs=None, charts=None, out=sys.stderr,
                 rounds_cnt=None):
        self.root = pathlib.Path(root)
        self.build = pathlib.Path(build)
        self.quick = quick
        self.certs = certs
        self.rounds_cnt = rounds_cnt
        self.charts = pathlib.Path(charts) if charts else None
        self._out = out
        self._stack = contextlib.ExitStack()
        self._log_cnt = 0
        self._line_open = False
        self._cores = None
        self.tmp = None

    def __enter__(self):
        self._stack.callback(forget_dpdk)
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="passline-perf."))
        self._stack.callback(shutil.rmtree, self.tmp, ignore_errors=True)
        return self

    def __exit__(self, *exc):
        self.progress(None)
        return self._stack.__exit__(*exc)

    # --- sizes and figures

    def pick(self, full, quick):
        """The one for this run."""
        return quick if self.quick else full

    def certs_or(self, full, quick):
        """How many certificates: what --certs says, else by the kind of run."""
        return self.certs or self.pick(full, quick)

    def rounds_or(self, full, quick):
        """How many rounds: what --rounds says, else by the kind of run."""
        return self.rounds_cnt or self.pick(full, quick)

    def rounds(self, variants, rounds_cnt=None, measure=None):
        """numbers.rounds() with progress: what --rounds says, else 5 rounds, 1 when quick."""
        cnt = self.rounds_cnt or rounds_cnt or self.pick(5, 1)
        return numbers.rounds(variants, cnt, measure, self.progress)

    def progress(self, text):
        """Where the run is, on stderr if that is a terminal. None ends the line."""
        if not self._out.isatty():
            return
        if text is not None:
            self._out.write(f"\r\x1b[K{text}")
            self._line_open = True
        elif self._line_open:
            self._out.write("\r\x1b[K")
            self._line_open = False
        self._out.flush()

    def chart(self, name):
        """Path of a chart to write, or None if none are wanted: if path := ctx.chart("x"): ..."""
        if self.charts is None:
            return None
        self.charts.mkdir(parents=True, exist_ok=True)
        return self.charts / f"{name}.svg"

    # --- programs

    def program(self, name):
        """Path of a program of the build: perf/bench_table, app/passline/passline, or its name."""
        direct = self.build / name
        if direct.is_file():
            return direct
        found = [path for sub in ("perf", "app") for path in (self.build / sub).rglob(name)
                 if path.is_file() and os.access(path, os.X_OK)]
        if len(found) != 1:
            raise SuiteError(f"{name}: {len(found)} such programs in {self.build}, 1 wanted")
        return found[0]

    def _child_setup(self, cpus):
        parent = os.getpid()

        def setup():
            # The child goes when this process goes, however it goes.
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            if cpus is not None:
                os.sched_setaffinity(0, cpus)

        return setup

    def spawn(self, command, name=None, cpus=None, netns=None, env=None):
        """Start a program in the background; it is stopped at the end at the latest.
        cpus: cores it may run on, e.g. {1}. netns: a network namespace to start it in."""
        command = [str(word) for word in command]
        name = name or pathlib.Path(command[0]).name
        if netns:
            command = ["ip", "netns", "exec", netns] + command
        self._log_cnt += 1
        log_path = self.tmp / f"{self._log_cnt:02}-{name}.log"
        with open(log_path, "wb") as log:
            popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=subprocess.STDOUT, preexec_fn=self._child_setup(cpus),
                                     env=dict(os.environ, **(env or {})))
        process = Process(popen, name, log_path)
        self._stack.callback(process.stop)
        return process

    def run(self, command, timeout_s=600, cpus=None, env=None, statuses=(0,)):
        """Run a program to its end; its stdout. A status that is not among statuses is an error
        that shows its stderr."""
        command = [str(word) for word in command]
        name = pathlib.Path(command[0]).name
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=timeout_s, preexec_fn=self._child_setup(cpus),
                                  env=dict(os.environ, **(env or {})), check=False)
        except subprocess.TimeoutExpired:
            raise SuiteError(f"{name} did not end within {timeout_s} s") from None
        if done.returncode not in statuses:
            tail = "\n".join("  | " + line for line in
                             (done.stderr or done.stdout).splitlines()[-20:])
            raise SuiteError(f"{' '.join(command)}\n{name} ended with status {done.returncode}:\n{tail}")
        return done.stdout

    def run_json(self, command, **how):
        """run(), whose stdout is one JSON value a line; a list of them."""
        out = self.run(command, **how)
        try:
            return [json.loads(line) for line in out.splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise SuiteError(f"{command[0]}: stdout is not a JSON value a line: {error}") from None

    def at_end(self, call, *args):
        """Run call(*args) when the suite has ended, last registered first."""
        self._stack.callback(call, *args)

    # --- the machine's other users

    def wait_for_cores(self):
        """Wait, for a while, until nobody else is on the machine's first core and its last; a quick
        run only looks. Returns whether they are ours alone."""
        if self._cores is None:
            cpus = os.sched_getaffinity(0)
            command = [self.program("bench_core"), *sorted({min(cpus), max(cpus)})]
            self._cores = Cores(lambda: [one["adds_per_cycle"] for one in self.run_json(command)],
                                total_s=self.pick(480, 0))
        return self._cores.wait()

    def cores_rows(self):
        """How that went, as rows of the results: none if nothing waited."""
        return [self._cores.row()] if self._cores else []

    # --- hugepages

    @contextlib.contextmanager
    def hugepages(self, size_mb):
        """with ctx.hugepages(512) as path: a hugetlbfs mount, and so many MB of 2 MB pages more
        than the machine had; None where it cannot have them. Both go at the end of the block."""
        with contextlib.ExitStack() as stack:
            yield self._huge_mount((size_mb + 1) // 2, stack)

    def _huge_mount(self, pages, stack):
        got = _huge_change(pages)
        stack.callback(_huge_change, -got)
        if got < pages:
            return None
        path = pathlib.Path(tempfile.mkdtemp(prefix="passline-huge."))
        stack.callback(path.rmdir)
        done = subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M,mode=0700", "none",
                               path], capture_output=True, check=False)
        if done.returncode != 0:
            return None
        stack.callback(subprocess.run, ["umount", path], check=False)
        return path


def lock_dir():
    path = pathlib.Path("/run/lock")
    return path if os.access(path, os.W_OK) else pathlib.Path(tempfile.gettempdir())


def _huge_change(pages):
    """Raise or lower the machine's count of 2 MB pages; by how many it really changed."""
    lock_path = os.environ.get("PASSLINE_HUGE_LOCK") or lock_dir() / "passline-hugepages.lock"
    try:
        with open(lock_path, "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = int(_NR_HUGEPAGES.read_text())
            _NR_HUGEPAGES.write_text(str(max(0, before + pages)))
            return int(_NR_HUGEPAGES.read_text()) - before
    except OSError:
        return 0
