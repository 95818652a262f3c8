#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the tree that no compiler makes; prints what is wrong, exit 1 if anything is.

- every source file has its licence line;
- every Python file compiles;
- a module of lib/ includes no module that lib/meson.build lists after it;
- headers of DPDK are included only where the EAL may be: EAL_PLACES below, and the tests that
  tests/unit/meson.build lists as needing it;
- lib/ neither prints to stdout nor ends the program (PL_CHECK of base apart);
- the atomics of lib/ and app/ are those of stdatomic.h, in their _explicit form.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LICENCE = "SPDX-License-Identifier: BSD-3-Clause"
SOURCES = {".c", ".h", ".py", ".sh", ".test", ".build", ".service", ".in"}
EAL_PLACES = ("lib/port/", "app/passline/", "app/load/", "perf/", "tests/unit/port_", "tests/unit/view_",
              "tests/unit/worker_")
# What DPDK's headers are called.
EAL_INCLUDE = re.compile(r'^\s*#\s*include\s*[<"](rte_[a-z0-9_]+\.h|ethdev_[a-z_]+\.h)', re.M)
OWN_INCLUDE = re.compile(r'^\s*#\s*include\s*"(\w+)/pl_\w+\.h"', re.M)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
ENDS_OR_PRINTS = re.compile(r"(?<![\w.>])(exit|_exit|printf|puts|putchar|perror|vprintf)\s*\(")
BAD_ATOMIC = re.compile(r"\b(rte_smp_\w+|rte_atomic(?:16|32|64)?_\w+|__sync_\w+|"
                        r"atomic_(?:load|store|exchange|fetch_\w+|compare_exchange_\w+)(?<!_explicit))\s*\(")


def tracked():
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         cwd=ROOT, check=True, capture_output=True).stdout
    return sorted(name for name in out.decode().split("\0") if name and (ROOT / name).is_file())


def is_source(name, head):
    path = pathlib.PurePosixPath(name)
    if "corpus" in path.parts:
        return False
    return path.suffix in SOURCES or path.name == "meson.build" or head.startswith("#!")


def module_order():
    text = (ROOT / "lib/meson.build").read_text()
    return re.findall(r"subdir\('(\w+)'\)", text)


def eal_tests():
    """Sources of the unit tests that are registered as needing the EAL."""
    text = (ROOT / "tests/unit/meson.build").read_text()
    lists = re.findall(r"^\s*unit_tests_eal = \{(.*?)^\s*\}", text, re.M | re.S)
    return tuple(f"tests/unit/{name}_test.c" for name in re.findall(r"'(\w+)':", "".join(lists)))


def check_licence(name, text):
    if LICENCE not in "\n".join(text.splitlines()[:3]):
        yield f"{name}:1: no '{LICENCE}' in its first lines"


def check_python(name, text):
    try:
        compile(text, name, "exec")
    except SyntaxError as error:
        yield f"{name}:{error.lineno}: {error.msg}"


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def without_comments(text):
    """Comments blanked, line numbers kept."""
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def check_c(name, text, order, eal_places=EAL_PLACES):
    code = without_comments(text)
    if not name.startswith(eal_places):
        for match in EAL_INCLUDE.finditer(code):
            yield (f"{name}:{line_of(code, match.start())}: {match.group(1)} belongs only in "
                   + ", ".join(EAL_PLACES))
    # Names in strings are text.
    code = STRING.sub(lambda m: m.group() if "/pl_" in m.group() else '""', code)
    # A test's own flags may be seq_cst: they are there to be sure of, not to be fast.
    for match in BAD_ATOMIC.finditer(code) if name.startswith(("lib/", "app/")) else ():
        yield f"{name}:{line_of(code, match.start())}: {match.group(1)}: use the _explicit form of stdatomic.h"
    if not name.startswith("lib/"):
        return
    module = name.split("/")[1]
    above = order[order.index(module) + 1:] if module in order else []
    for match in OWN_INCLUDE.finditer(code):
        if match.group(1) in above:
            yield (f"{name}:{line_of(code, match.start())}: lib/{module} is below lib/{match.group(1)}"
                   " in lib/meson.build and may not include it")
    if module == "base":
        return
    for match in ENDS_OR_PRINTS.finditer(code):
        yield f"{name}:{line_of(code, match.start())}: lib/ does not call {match.group(1)}()"


def main():
    order = module_order()
    eal_places = EAL_PLACES + eal_tests()
    wrong = []
    for name in tracked():
        raw = (ROOT / name).read_bytes()
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            continue
        if not is_source(name, text[:80]):
            continue
        wrong += check_licence(name, text)
        if name.endswith(".py") or text.startswith("#!/usr/bin/python3"):
            wrong += check_python(name, text)
        if name.endswith((".c", ".h")):
            wrong += check_c(name, text, order, eal_places)
    print("\n".join(wrong) or "the tree is in order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
