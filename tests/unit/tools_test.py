#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The tools that judge the rest: would they see what they are there to see?"""

import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import tap  # noqa: E402


def load(path):
    loader = importlib.machinery.SourceFileLoader(path.stem, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.stem, loader))
    loader.exec_module(module)
    return module


count = load(TESTS / "count.py")
tree = load(TESTS / "tree.py")
e2e = load(TESTS / "e2e/run")


class Count(unittest.TestCase):
    def test_cases_of_tap_are_counted(self):
        entries = [{"name": "a", "result": "OK", "stdout": "1..2\nok 1 - x\nok 2 - y\n"},
                   {"name": "b", "result": "ERROR", "stdout": "ok 1 - x\nnot ok 2 - y\n# why\n"}]
        self.assertEqual(count.count(entries), (3, 1))
        self.assertEqual(list(count.failures(entries)), ["b: not ok 2 - y", "  # why", "b: ERROR"])

    def test_a_crash_or_timeout_is_a_failure_of_its_own(self):
        for result in ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"):
            entry = {"name": "a", "result": result, "stdout": "ok 1 - x\n"}
            self.assertEqual(count.count([entry]), (1, 1), result)
            self.assertEqual(count.count([{"name": "a", "result": result}]), (0, 1), result)

    def test_a_program_without_tap_is_one_case_and_a_skip_is_none(self):
        self.assertEqual(count.count([{"name": "a", "result": "OK", "stdout": "hello\n"}]), (1, 0))
        self.assertEqual(count.count([{"name": "a", "result": "SKIP", "stdout": ""}]), (0, 0))


class EndToEnd(unittest.TestCase):
    def tap(self, text, status=0, timed_out_s=None):
        got = e2e.Tap()
        for line in text.splitlines():
            got.line(line)
        got.end(status, timed_out_s)
        return got.passed, got.failed

    def test_results_are_read(self):
        self.assertEqual(self.tap("ok 1 - a\nnot ok 2 - b\n# ok 3 - no\nokay\n1..2\n", 1),
                         (1, ["b"]))

    def test_a_test_that_dies_has_failed(self):
        self.assertEqual(self.tap("ok 1 - a\n", 1)[1], ["died after 1 checks, with status 1"])
        self.assertEqual(self.tap("", 0)[1], ["died after 0 checks, with status 0"])

    def test_a_plan_is_kept_to(self):
        self.assertEqual(self.tap("ok 1 - a\n1..2\n")[1], ["planned 2 checks and made 1"])
        self.assertEqual(len(self.tap("ok 1 - a\n1..1\n", 3)[1]), 1)

    def test_time_out(self):
        self.assertEqual(self.tap("ok 1 - a\n1..1\n", -9, 180)[1], ["did not end within 180 s"])

    def test_skipping_all_is_no_failure(self):
        self.assertEqual(self.tap("1..0 # SKIP no veth\n"), (0, []))


class Tree(unittest.TestCase):
    ORDER = ["base", "wire", "verify"]

    def c(self, name, text):
        return list(tree.check_c(name, text, self.ORDER))

    def test_includes_go_down_only(self):
        self.assertEqual(self.c("lib/verify/a.c", '#include "wire/pl_wire.h"\n'), [])
        self.assertEqual(len(self.c("lib/wire/a.c", '#include "verify/pl_verify.h"\n')), 1)
        self.assertEqual(self.c("lib/wire/a.c", '/* #include "verify/pl_verify.h" */\n'), [])

    def test_the_eal_stays_in_its_places(self):
        text = "int a;\n#include <rte_ethdev.h>\n"
        self.assertIn("lib/verify/a.c:2: rte_ethdev.h", self.c("lib/verify/a.c", text)[0])
        self.assertEqual(self.c("lib/port/a.c", text), [])
        self.assertEqual(self.c("app/passline/a.c", text), [])
        self.assertEqual(len(self.c("app/authority/a.c", text)), 1)

    def test_libraries_neither_print_nor_exit(self):
        for call in ("printf(x)", "exit(1)", "puts(x)", "perror(x)"):
            self.assertEqual(len(self.c("lib/wire/a.c", f"void f(void) {{ {call}; }}\n")), 1, call)
            self.assertEqual(self.c("app/scan/a.c", f"void f(void) {{ {call}; }}\n"), [])
        for fine in ("snprintf(x)", "p->exit(1)", '"exit(1)"', "// exit(1)", "at_exit(x)"):
            self.assertEqual(self.c("lib/wire/a.c", f"void f(void) {{ {fine}; }}\n"), [], fine)

    def test_atomics_name_their_order(self):
        for call in ("atomic_load(&x)", "atomic_fetch_add(&x, 1)", "rte_smp_wmb()",
                     "atomic_compare_exchange_strong(&x, &y, z)", "__sync_synchronize()"):
            self.assertEqual(len(self.c("lib/wire/a.c", call)), 1, call)
            self.assertEqual(self.c("tests/stress/a.c", call), [], call)
        for call in ("atomic_load_explicit(&x, memory_order_acquire)", "atomic_init(&x, 0)",
                     "atomic_compare_exchange_strong_explicit(&x, &y, z, a, b)",
                     "atomic_thread_fence(memory_order_release)"):
            self.assertEqual(self.c("lib/wire/a.c", call), [], call)

    def test_licence_line(self):
        self.assertEqual(len(list(tree.check_licence("a.c", "int a;\n"))), 1)
        self.assertEqual(list(tree.check_licence("a.c", f"/* {tree.LICENCE} */\n")), [])

    def test_what_counts_as_source(self):
        for name in ("lib/a.c", "tests/run.py", "meson.build", "lib/x/meson.build", "a.service"):
            self.assertTrue(tree.is_source(name, ""), name)
        self.assertTrue(tree.is_source("scripts/test", "#!/bin/bash"))
        for name in ("docs/a.md", "tests/fuzz/corpus/x/seed.c", "data/a.csv"):
            self.assertFalse(tree.is_source(name, ""), name)

    def test_python_that_does_not_compile(self):
        self.assertEqual(len(list(tree.check_python("a.py", "def f(:\n"))), 1)
        self.assertEqual(list(tree.check_python("a.py", "def f():\n    pass\n")), [])


if __name__ == "__main__":
    tap.main()
