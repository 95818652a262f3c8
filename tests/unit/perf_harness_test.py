#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The logic of perf/run: what it computes, draws, refuses and gives back. It measures nothing."""

import contextlib
import io
import json
import math
import os
import pathlib
import sys
import tempfile
import time
import unittest
import unittest.mock
import xml.etree.ElementTree

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "perf"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import tap  # noqa: E402
from harness import chart, command, context, cores, machine, model, numbers  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


class Numbers(unittest.TestCase):
    def test_counts_with_suffixes(self):
        for text, want in (("1", 1), ("50M", 50_000_000), ("2.5k", 2500), ("1e6", 1_000_000),
                           (" 3G ", 3_000_000_000)):
            self.assertEqual(numbers.parse_count(text), want)

    def test_what_is_no_count_is_refused_by_name(self):
        for text in ("", "0", "-1", "1.5", "M", "50MB", "0x10", "1e-3", "nan", "inf", "１"):
            with self.assertRaisesRegex(ValueError, "count|whole number", msg=text):
                numbers.parse_count(text)

    def test_spread_is_half_the_range_over_the_median(self):
        self.assertAlmostEqual(numbers.spread([90, 100, 110]), 0.1)
        self.assertEqual(numbers.spread([7]), 0)
        self.assertEqual(numbers.spread([0, 0]), 0)

    def test_rounds_alternate_their_order(self):
        order = []
        variants = {name: (lambda name=name: order.append(name) or len(order)) for name in "abc"}
        values = numbers.rounds(variants, 3)
        self.assertEqual("".join(order), "abccbaabc")
        self.assertEqual(values, {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]})

    def test_rows_of_another_kind_are_another_table(self):
        one, two = numbers.tables([{"what": "a", "x": 1}, {"what": "a", "x": 2},
                                   {"what": "b", "y": 3}])
        self.assertEqual((len(one.splitlines()), len(two.splitlines())), (4, 3))
        self.assertNotIn("x", two)

    def test_bars_hold_at_their_limit_and_not_beyond(self):
        self.assertTrue(numbers.bar("rate", 10, 10)["ok"])
        self.assertFalse(numbers.bar("rate", 9.99, 10)["ok"])
        self.assertTrue(numbers.bar("loss", 0.001, 0.001, at_most=True)["ok"])
        self.assertFalse(numbers.bar("loss", 0.0011, 0.001, at_most=True)["ok"])

    def test_a_bar_without_a_number_never_holds(self):
        for value in (None, math.nan, "10"):
            self.assertIs(numbers.bar("rate", value, 1)["ok"], False)
            self.assertIs(numbers.bar("rate", value, 1, at_most=True)["ok"], False)

    def test_cells(self):
        for value, want in ((None, "-"), (True, "yes"), (1234567, "1 234 567"), (0.12345, "0.1235"),
                            (12345.6, "12 346"), (math.inf, "inf"), ("x", "x")):
            self.assertEqual(numbers.show(value), want)

    def test_table_aligns_numbers_right_and_fills_what_is_missing(self):
        text = numbers.table([{"what": "a", "ns": 5}, {"what": "bcd", "ns": 1000, "more": 1}])
        self.assertEqual(text.splitlines(), ["what     ns  more",
                                             "----  -----  ----",
                                             "a         5     -",
                                             "bcd   1 000     1"])
        self.assertEqual(numbers.table([]), "")


class Charts(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name) / "chart.svg"

    def test_ticks_span_the_values(self):
        self.assertEqual(chart.ticks(0, 10), [0, 2, 4, 6, 8, 10])
        self.assertEqual(chart.ticks(0, 0.07), [0, 0.02, 0.04, 0.06, 0.08])
        self.assertEqual(chart.ticks(3, 4000, log=True), [1, 10, 100, 1000, 10000])
        for low, high in ((0, 0), (5, 5), (0, 1e9), (-3, 17.2), (0.4, 0.6)):
            got = chart.ticks(low, high)
            self.assertLessEqual(got[0], low)
            self.assertGreaterEqual(got[-1], high)
            self.assertLessEqual(len(got), 12)

    def test_labels(self):
        for value, want in ((0, "0"), (1500, "1.5k"), (2_000_000, "2M"), (3e9, "3G"), (0.25, "0.25")):
            self.assertEqual(chart.label(value), want)

    def test_lines_draw_every_point_within_the_frame(self):
        chart.lines(self.path, "a <title> & more", "x", "y", {
            "one": [(1, 10), (10, 20), (100, 0)], "two": [(5, 5)]}, log_x=True)
        svg = xml.etree.ElementTree.parse(self.path).getroot()
        circles = svg.findall(f"{SVG}circle")
        self.assertEqual(len(circles), 4)
        self.assertEqual(len(svg.findall(f"{SVG}polyline")), 2)
        for circle in circles:
            self.assertTrue(chart.LEFT <= float(circle.get("cx")) <= chart.WIDTH - chart.RIGHT)
            self.assertTrue(chart.TOP <= float(circle.get("cy")) <= chart.HEIGHT - chart.BOTTOM)
        self.assertIn("a <title> & more", [text.text for text in svg.iter(f"{SVG}text")])

    def test_more_is_higher_and_further_right(self):
        chart.lines(self.path, "t", "x", "y", {"s": [(2, 20), (1, 10)]})
        first, second = xml.etree.ElementTree.parse(self.path).getroot().findall(f"{SVG}circle")
        self.assertLess(float(first.get("cx")), float(second.get("cx")))
        self.assertGreater(float(first.get("cy")), float(second.get("cy")))

    def test_bars_stand_on_the_axis_and_keep_their_proportion(self):
        chart.bars(self.path, "t", "x", "y", ["a", "b"], {"s": [10, 20], "r": [5, 0]})
        svg = xml.etree.ElementTree.parse(self.path).getroot()
        rects = [rect for rect in svg.findall(f"{SVG}rect") if float(rect.get("width")) not in
                 (10, chart.WIDTH)]
        heights = [float(rect.get("height")) for rect in rects]
        self.assertEqual(len(heights), 4)
        self.assertAlmostEqual(heights[2], 2 * heights[0], delta=0.2)
        self.assertAlmostEqual(heights[1], heights[0] / 2, delta=0.2)
        self.assertEqual(heights[3], 0)

    def test_pieces_of_a_bar_stand_on_each_other(self):
        chart.stacked(self.path, "t", "x", "y", ["a", "b"], {"s": [10, 20], "r": [30, 0]})
        svg = xml.etree.ElementTree.parse(self.path).getroot()
        rects = [rect for rect in svg.findall(f"{SVG}rect") if float(rect.get("width")) not in
                 (10, chart.WIDTH)]
        low, high, _, none = ((float(rect.get("y")), float(rect.get("height"))) for rect in rects)
        self.assertAlmostEqual(high[1], 3 * low[1], delta=0.2)
        self.assertAlmostEqual(high[0] + high[1], low[0], delta=0.2)
        self.assertEqual(none[1], 0)

    def test_nothing_to_draw_is_refused(self):
        with self.assertRaisesRegex(ValueError, "nothing"):
            chart.lines(self.path, "empty", "x", "y", {"a": []})
        with self.assertRaisesRegex(ValueError, "one value"):
            chart.bars(self.path, "short", "x", "y", ["a", "b"], {"s": [1]})
        with self.assertRaisesRegex(ValueError, "one value"):
            chart.stacked(self.path, "short", "x", "y", ["a", "b"], {"s": [1]})
        with self.assertRaisesRegex(ValueError, "less than 0"):
            chart.stacked(self.path, "below", "x", "y", ["a"], {"s": [-1]})
        self.assertFalse(self.path.exists())


class Model(unittest.TestCase):
    CEILING = {"M lines/s": 80.0, "workers": 2}

    def rows(self, ratio, one, scans=1):
        measured = {"scans": scans, "times one": ratio, "M scans/s of one": one}
        return model.rows(measured, 50.0, self.CEILING, 0.02, (1, 2, 64, 4096))

    def test_one_and_two_workers_are_as_measured(self):
        one, two, *_ = self.rows(1.9, 6.0)
        self.assertEqual((one["M scans/s"], one["M scans/s worst"]), (6.0, 6.0))
        self.assertAlmostEqual(two["M scans/s"], 11.4)
        self.assertAlmostEqual(two["M scans/s worst"], 11.4)

    def test_worst_is_never_better_than_best(self):
        for ratio in (1.5, 1.9, 2.0, 2.1):
            for row in self.rows(ratio, 6.0):
                self.assertLessEqual(row["M scans/s worst"], row["M scans/s"] + 1e-9)

    def test_many_cores_end_at_the_wire_or_at_memory(self):
        few = self.rows(2.0, 6.0)[-1]
        self.assertEqual(few["limit"], "100G wire")
        self.assertAlmostEqual(few["M scans/s"], 1e5 / (8 * 162))
        slow = model.rows({"scans": 43, "times one": 2.0, "M scans/s of one": 6.0}, 50.0,
                          {"M lines/s": 20.0, "workers": 2}, 0.02, (8,))[0]
        self.assertEqual(slow["limit"], "memory")
        self.assertAlmostEqual(slow["M scans/s"], 80 / 2.2)

    def test_memory_ends_where_two_sockets_end(self):
        self.assertAlmostEqual(model.memory_scans_per_s(40e6, 1), 40e6 / 2.2)
        self.assertAlmostEqual(model.memory_scans_per_s(40e6, 1000), 1192e6 / 2.2)


class OwnCores(unittest.TestCase):
    """Time goes by only in probes, a tenth of a second each, and in pauses."""

    def cores(self, probes, learn=cores.LEARN_CNT, **limits):
        self.now = 0.0
        probes = iter([[3.9, 3.9]] * learn + probes)

        def probe():
            self.now += 0.1
            return next(probes)

        def sleep(seconds):
            self.now += seconds

        return cores.Cores(probe, clock=lambda: self.now, sleep=sleep, **limits)

    def test_cores_of_our_own_are_seen_three_times_in_a_row(self):
        got = self.cores([[3.9, 3.9], [3.9, 3.9], [3.9, 2.4], [3.9, 3.9], [3.9, 3.9], [3.9, 3.7]])
        self.assertTrue(got.wait())
        self.assertEqual((got.turn_cnt, got.shared_cnt), (1, 0))
        self.assertAlmostEqual(got.waited_s, 1.1)

    def test_what_is_a_core_of_our_own_is_learned(self):
        self.assertTrue(self.cores([[3.7, 3.7]] * 3).wait())
        self.assertTrue(self.cores([[5.0, 3.7]] * 3).wait())
        self.assertFalse(self.cores([[5.0, 3.7]] + [[3.9, 3.7]] * 100).wait())

    def test_patience_ends_and_the_turn_counts_as_shared(self):
        got = self.cores([[2.3, 3.9]] * 100, patience_s=2)
        self.assertFalse(got.wait())
        self.assertEqual((got.turn_cnt, got.shared_cnt), (1, 1))
        self.assertAlmostEqual(got.waited_s, 2, delta=0.25)

    def test_all_turns_have_one_patience_together(self):
        got = self.cores([[2.3]] * 100, patience_s=2, total_s=3)
        for _ in range(3):
            self.assertFalse(got.wait())
        self.assertEqual(got.row()["turns"], 3)
        self.assertAlmostEqual(got.waited_s, 3, delta=0.5)

    def test_without_patience_what_is_there_is_still_seen(self):
        got = self.cores([[3.9]] * 3 + [[3.9], [3.9], [2.3]], learn=0, total_s=0)
        self.assertTrue(got.wait())
        self.assertFalse(got.wait())
        self.assertEqual((got.waited_s, got.shared_cnt), (0, 1))


class Contexts(unittest.TestCase):
    def setUp(self):
        self.ctx = context.Context(ROOT, "/nonexistent", quick=True, out=io.StringIO())
        self.ctx.__enter__()
        self.addCleanup(self.ctx.__exit__, None, None, None)

    def test_quick_and_certs_choose_sizes(self):
        self.assertEqual(self.ctx.pick(100, 1), 1)
        self.assertEqual(self.ctx.certs_or(50, 5), 5)
        full = context.Context(ROOT, "/nonexistent", certs=7)
        self.assertEqual(full.pick(100, 1), 100)
        self.assertEqual(full.certs_or(50, 5), 7)

    def test_a_failing_program_is_an_error_with_its_words(self):
        with self.assertRaisesRegex(context.SuiteError, "(?s)status 3.*the reason"):
            self.ctx.run(["sh", "-c", "echo the reason >&2; exit 3"])
        self.assertEqual(self.ctx.run(["sh", "-c", "echo so; exit 1"], statuses=(0, 1)), "so\n")
        with self.assertRaisesRegex(context.SuiteError, "did not end within"):
            self.ctx.run(["sleep", "60"], timeout_s=0.1)

    def test_json_lines(self):
        self.assertEqual(self.ctx.run_json(["printf", '{"a": 1}\n[2]\n\n']), [{"a": 1}, [2]])
        with self.assertRaisesRegex(context.SuiteError, "not a JSON"):
            self.ctx.run_json(["echo", "{"])

    def test_cores_are_kept_to(self):
        core = min(os.sched_getaffinity(0))
        out = self.ctx.run(["sh", "-c", "taskset -cp $$"], cpus={core})
        self.assertRegex(out, rf": {core}$")

    def test_waiting_for_what_a_process_says(self):
        process = self.ctx.spawn(["sh", "-c", "echo ready at 7; exec sleep 60"])
        self.assertEqual(process.wait_for(r"^ready at (\d+)$", 10).group(1), "7")
        self.assertTrue(process.alive())
        with self.assertRaisesRegex(context.SuiteError, "(?s)still has not said.*ready at 7"):
            process.wait_for("never", 0.1)
        dead = self.ctx.spawn(["sh", "-c", "echo so long; exit 4"], name="short")
        with self.assertRaisesRegex(context.SuiteError, "(?s)short ended without.*so long"):
            dead.wait_for("never", 10)
        self.assertEqual(dead.wait(), 4)

    def test_what_was_started_is_gone_at_the_end(self):
        with context.Context(ROOT, "/nonexistent", out=io.StringIO()) as ctx:
            process = ctx.spawn(["sleep", "1000"])
            stubborn = ctx.spawn(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"])
            stubborn.wait_for("up")
            stubborn_stop = stubborn.stop
            stubborn.stop = lambda: stubborn_stop(0.2)
            self.assertEqual(stubborn.stop(), -9)
            tmp = ctx.tmp
            order = []
            ctx.at_end(order.append, "first registered")
            ctx.at_end(order.append, "last registered")
            self.assertTrue(process.alive())
        self.assertFalse(process.alive())
        self.assertFalse(tmp.exists())
        self.assertEqual(order, ["last registered", "first registered"])

    def test_a_child_does_not_outlive_a_killed_harness(self):
        code = (f"import sys; sys.path.insert(0, {str(ROOT / 'perf')!r})\n"
                "sys.dont_write_bytecode = True\n"
                "from harness import context\nimport os, signal\n"
                "ctx = context.Context('/', '/').__enter__()\n"
                "print(ctx.spawn(['sleep', '1000']).pid, ctx.tmp, flush=True)\n"
                "os.kill(os.getpid(), signal.SIGKILL)\n")
        process = self.ctx.spawn([sys.executable, "-c", code], name="harness")
        self.assertEqual(process.wait(), -9)
        pid, tmp = process.log().split()
        self.addCleanup(self.ctx.run, ["rm", "-rf", tmp])
        end = time.monotonic() + 10
        while self._runs(pid) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertFalse(self._runs(pid))

    @staticmethod
    def _runs(pid):
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] != "Z"

    def test_programs_are_found_by_name_and_only_once(self):
        build = self.ctx.tmp / "build"
        for sub in ("perf", "app/one", "app/two"):
            (build / sub).mkdir(parents=True)
        for path in ("perf/bench_x", "app/one/tool", "app/two/tool"):
            (build / path).touch(mode=0o755)
        self.ctx.build = build
        self.assertEqual(self.ctx.program("bench_x"), build / "perf/bench_x")
        self.assertEqual(self.ctx.program("app/two/tool"), build / "app/two/tool")
        for name in ("tool", "absent"):
            with self.assertRaisesRegex(context.SuiteError, "programs in"):
                self.ctx.program(name)

    def test_charts_only_where_wanted(self):
        self.assertIsNone(self.ctx.chart("a"))
        self.ctx.charts = self.ctx.tmp / "charts"
        self.assertEqual(self.ctx.chart("a"), self.ctx.tmp / "charts/a.svg")
        self.assertTrue((self.ctx.tmp / "charts").is_dir())


class Commands(unittest.TestCase):
    """The whole command, on suites made here, without a build."""

    GOOD = '''"""Two bars, one row."""
from harness import numbers

def run(ctx):
    value = ctx.certs_or(100, 10)
    return ([{"n": value}], [numbers.bar("enough", value, 100), numbers.bar("few", 1, 2, at_most=True)])
'''
    BROKEN = '''"""Breaks."""
from harness import context

def run(ctx):
    raise context.SuiteError("no such luck")
'''
    LACKING = '''"""Needs more."""
from harness import context

def run(ctx):
    raise context.Skip("no NIC here")
'''

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        for name, text in (("good", self.GOOD), ("broken", self.BROKEN), ("json", self.LACKING)):
            (self.dir / f"{name}.py").write_text(text)
        (self.dir / "_shared.py").write_text("")

    def perf(self, *argv, make=lambda build, quick: None):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = command.main([str(word) for word in argv], self.dir, make)
            except SystemExit as end:
                status = end.code
        return status, out.getvalue(), err.getvalue()

    def test_list_names_each_suite_with_its_summary(self):
        status, out, _ = self.perf("--list")
        self.assertEqual(status, 0)
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["broken", "good", "json"])
        self.assertIn("Two bars, one row", out)
        self.assertEqual(self.perf("--list", "--names")[1].split(), ["broken", "good", "json"])

    def test_usage_errors_say_what_there_is(self):
        for argv, want in ((("nonesuch",), "there are: broken good json"),
                           ((), "which suite"), (("good", "--certs", "many"), "not a count")):
            status, _, err = self.perf(*argv)
            self.assertEqual(status, 2)
            self.assertIn(want, err)

    def test_exit_status_and_file_when_every_bar_holds(self):
        status, out, _ = self.perf("good", "--json", self.dir / "r.json")
        self.assertEqual(status, 0)
        self.assertIn("bar enough: 100, wanted at least 100: holds", out)
        result = json.loads((self.dir / "r.json").read_text())
        self.assertEqual(result["suite"], "good")
        self.assertEqual(result["rows"], [{"n": 100}])
        self.assertEqual([(bar["id"], bar["value"], bar["limit"], bar["ok"])
                          for bar in result["bars"]], [("enough", 100, 100, True), ("few", 1, 2, True)])
        for key in ("cpu", "cores", "kernel", "compiler", "hugepages", "memory_mb"):
            self.assertTrue(result["machine"][key], key)
        self.assertEqual(list(self.dir.glob("*.part")), [])

    def test_one_bar_that_does_not_hold_fails_the_run(self):
        status, out, _ = self.perf("good", "--certs", "99")
        self.assertEqual(status, 1)
        self.assertIn("DOES NOT HOLD", out)

    def test_quick_shows_the_bars_and_passes(self):
        status, out, _ = self.perf("good", "--quick")
        self.assertEqual(status, 0)
        self.assertIn("bar enough: 10, wanted at least 100: DOES NOT HOLD", out)

    def test_json_to_stdout_is_json_alone(self):
        status, out, err = self.perf("good", "--json", "-")
        self.assertEqual(status, 0)
        self.assertEqual(json.loads(out)["rows"], [{"n": 100}])
        self.assertIn("bar enough", err)

    def test_results_that_cannot_be_written_are_refused_before_measuring(self):
        for option in (("--json", self.dir / "none" / "r.json"), ("--json", self.dir), ("--json", ""),
                       ("--charts", "/proc/none")):
            status, out, err = self.perf("good", *option)
            self.assertEqual((status, out), (2, ""))
            self.assertIn(str(option[1]), err)

    def test_without_a_file_to_write_nothing_has_to_be_writable(self):
        with unittest.mock.patch("os.access", return_value=False):
            self.assertEqual(self.perf("good")[0], 0)
            self.assertEqual(self.perf("good", "--json", "-")[0], 0)
            self.assertEqual(self.perf("good", "--json", self.dir / "r.json")[0], 2)

    def test_a_suite_that_breaks_says_why_and_writes_nothing(self):
        status, _, err = self.perf("broken", "--json", self.dir / "r.json")
        self.assertEqual(status, 1)
        self.assertIn("perf/run broken: no such luck", err)
        self.assertFalse((self.dir / "r.json").exists())

    def test_what_was_not_measured_passes_only_as_a_smoke_run(self):
        self.assertEqual(self.perf("json", "--quick")[0], 0)
        status, out, _ = self.perf("json")
        self.assertEqual(status, 1)
        self.assertIn("not measured: no NIC here", out)

    def test_a_build_that_fails_is_no_traceback(self):
        def make(build, quick):
            raise context.SuiteError("ninja failed")
        status, _, err = self.perf("good", make=make)
        self.assertEqual(status, 1)
        self.assertIn("ninja failed", err)


class Machines(unittest.TestCase):
    def test_unknown_tools_leave_gaps_not_errors(self):
        got = machine.describe("/nonexistent", compiler="no-such-compiler")
        self.assertEqual(got["compiler"], "")
        self.assertEqual(got["commit"], "")
        self.assertGreater(got["memory_mb"], 0)


if __name__ == "__main__":
    tap.main()
