# SPDX-License-Identifier: BSD-3-Clause
"""perf/run: from the command line to a table, a JSON file and an exit status."""

import argparse
import fcntl
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

from . import context, machine, numbers

PERF = pathlib.Path(__file__).resolve().parent.parent
ROOT = PERF.parent


def suite_names(suites_dir):
    return sorted(path.stem for path in suites_dir.glob("*.py") if not path.stem.startswith("_"))


def load_suite(suites_dir, name):
    """By its path: no name of a suite can hide a module of Python's."""
    spec = importlib.util.spec_from_file_location(f"suites.{name}", suites_dir / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def summary_of(suites_dir, name):
    """First line of the suite's docstring, without running its code."""
    text = (suites_dir / f"{name}.py").read_text(encoding="utf-8")
    start = text.find('"""')
    return text[start + 3:].splitlines()[0].rstrip('".') if start >= 0 else ""


def parser_for(suites_dir):
    parser = argparse.ArgumentParser(
        prog="perf/run", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure one thing: print a table, write JSON, and say whether every bar"
                    " holds.",
        epilog=textwrap.dedent("""\
            exit status: 0 every bar holds, 1 a bar does not or the suite failed, 2 usage.
            With --quick the run only has to work: bars are shown, and do not count; nor does it
            wait for another measurement.

            examples:
              perf/run --list
              perf/run table --certs 50M --json table.json
              perf/run line --quick

            For figures worth writing down: an idle machine, as root (for hugepages), nothing
            else running; the harness waits for another measurement to end. perf/README.md tells
            how to add a suite.

            suites:
            """) + "".join(f"  {name:12} {summary_of(suites_dir, name)}\n"
                           for name in suite_names(suites_dir)))
    parser.add_argument("suite", nargs="?", metavar="SUITE", help="what to measure")
    parser.add_argument("--quick", action="store_true",
                        help="smallest sizes, one round: does it run?")
    parser.add_argument("--json", metavar="FILE", help="write the result there; - for stdout")
    parser.add_argument("--certs", type=_count, metavar="N",
                        help="certificates in the table, e.g. 50M (default: the suite's)")
    parser.add_argument("--rounds", type=_count, metavar="N",
                        help="how often everything is measured (default: the suite's)")
    parser.add_argument("--charts", metavar="DIR", help="write the suite's charts there, as SVG")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", metavar="DIR",
                        help="build directory (default: build; made if it is not there)")
    parser.add_argument("--list", action="store_true", help="list the suites and stop")
    parser.add_argument("--names", action="store_true", help="with --list: their names only")
    return parser


def _count(text):
    try:
        return numbers.parse_count(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def make_build(build, quick):
    """Set up and build; a figure is only worth something from a plain release build."""
    if not (build / "build.ninja").exists():
        _quiet(["meson", "setup", "--buildtype=release", str(build), str(ROOT)])
    options = json.loads(_quiet(["meson", "introspect", "--buildoptions", str(build)]))
    chosen = {option["name"]: option["value"] for option in options}
    if not quick and (chosen["buildtype"] != "release" or chosen["b_sanitize"] != "none"):
        raise context.SuiteError(
            f"{build} is not a release build (buildtype {chosen['buildtype']}, sanitizer"
            f" {chosen['b_sanitize']}): name another with --build")
    _quiet(["ninja", "-C", str(build)])


def _quiet(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise context.SuiteError(f"{' '.join(command)} failed:\n{tail}")
    return done.stdout


def compiler_of(build):
    try:
        known = json.loads((build / "meson-info/intro-compilers.json").read_text())
        return known["host"]["c"]["exelist"][-1]
    except (OSError, KeyError, ValueError, IndexError):
        return "gcc"


def take_turn(out=sys.stderr):
    """Two measurements at once measure each other; the lock ends with this process."""
    lock = open(context.lock_dir() / "passline-perf.lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("waiting for another measurement to end", file=out)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def measure(suite, name, ctx):
    """Run one suite; the object that --json writes."""
    started = time.monotonic()
    result = {"suite": name, "quick": ctx.quick,
              "machine": machine.describe(ctx.root, compiler_of(ctx.build)),
              "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
              "rows": [], "bars": []}
    try:
        result["rows"], result["bars"] = suite.run(ctx)
    except context.Skip as why:
        result["skipped"] = str(why)
    result["elapsed_s"] = round(time.monotonic() - started, 1)
    return result


def report(result, out):
    on = result["machine"]
    print(f"{result['suite']}{' (quick)' if result['quick'] else ''} on {on['cpu']},"
          f" {on['cores']} cores, {on['kernel']}, {on['compiler']}\n", file=out)
    if "skipped" in result:
        print(f"not measured: {result['skipped']}", file=out)
    if result["rows"]:
        print("\n\n".join(numbers.tables(result["rows"])), file=out)
    for bar in result["bars"]:
        verdict = "holds" if bar["ok"] else "DOES NOT HOLD"
        if result["quick"]:
            verdict += ", which does not count"
        print(f"\nbar {bar['id']}: {numbers.show(bar['value'])},"
              f" wanted {bar.get('rule', 'at least')} {numbers.show(bar['limit'])}: {verdict}",
              end="", file=out)
    print(f"\n{result['elapsed_s']} s", file=out)


def write_json(path, result):
    """All of it or none of it."""
    text = json.dumps(result, indent=2) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    part = f"{path}.part"
    with open(part, "w", encoding="utf-8") as out:
        out.write(text)
    os.replace(part, path)


def unwritable(args):
    """Why the results cannot be written, before they are made; None if they can."""
    try:
        if args.charts:
            pathlib.Path(args.charts).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"--charts {args.charts}: {error.strerror}; name a directory that can be made"
    if args.json in (None, "-"):
        return None
    if not args.json or pathlib.Path(args.json).is_dir():
        return f"--json '{args.json}' is not a file; name one, or - for standard output"
    where = pathlib.Path(args.json).absolute().parent
    if not os.access(where, os.W_OK | os.X_OK):
        return f"--json {args.json}: {where} is not a directory that can be written to"
    return None


def status_of(result):
    """A quick run only has to run; otherwise every bar has to hold, and be measured."""
    if result["quick"]:
        return 0
    return 0 if "skipped" not in result and all(bar["ok"] for bar in result["bars"]) else 1


def list_suites(suites_dir, names, names_only):
    """Who reads it may have read enough after a line."""
    try:
        for name in names:
            print(name if names_only else f"{name:12} {summary_of(suites_dir, name)}")
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def main(argv=None, suites_dir=PERF / "suites", make=make_build):
    parser = parser_for(suites_dir)
    args = parser.parse_args(argv)
    names = suite_names(suites_dir)
    if args.list:
        return list_suites(suites_dir, names, args.names)
    if args.suite not in names:
        parser.error(f"no such suite: {args.suite}; there are: {' '.join(names)}" if args.suite
                     else f"which suite? there are: {' '.join(names)}")
    if (error := unwritable(args)) is not None:
        parser.error(error)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    build = args.build.resolve()
    try:
        make(build, args.quick)
        turn = None if args.quick else take_turn()
        with context.Context(ROOT, build, args.quick, args.certs, args.charts,
                             rounds_cnt=args.rounds) as ctx:
            result = measure(load_suite(suites_dir, args.suite), args.suite, ctx)
        if turn:
            turn.close()
    except context.SuiteError as error:
        print(f"perf/run {args.suite}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    report(result, sys.stderr if args.json == "-" else sys.stdout)
    if args.json:
        write_json(args.json, result)
    return status_of(result)
