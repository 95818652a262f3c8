#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""count.py LOG.json: how many cases passed and failed in a run of `meson test`.

Prints "PASSED FAILED", and on stderr each failed case with what it said of itself. A case is a
line of TAP; a program that says none is one case, and so is what its lines do not tell: a crash, a
sanitizer's report, a timeout.
"""

import json
import re
import sys

GOOD = ("OK", "EXPECTEDFAIL", "SKIP")
CASE = re.compile(r"^(not )?ok\b", re.MULTILINE)


def count(entries):
    passed = failed = 0
    for entry in entries:
        cases = CASE.findall(entry.get("stdout") or "")
        case_failed = sum(1 for mark in cases if mark)
        passed += len(cases) - case_failed
        failed += case_failed
        good = entry["result"] in GOOD
        if good and not cases and entry["result"] != "SKIP":
            passed += 1
        if not good and case_failed == 0:
            failed += 1
    return passed, failed


def failures(entries):
    """The lines of TAP of each failed case: its own, and the comments that follow it."""
    for entry in entries:
        telling = False
        for line in (entry.get("stdout") or "").splitlines():
            case = CASE.match(line)
            if case:
                telling = bool(case.group(1))
                if telling:
                    yield f"{entry['name']}: {line}"
            elif telling and line.startswith("#"):
                yield f"  {line}"
        if entry["result"] not in GOOD:
            yield f"{entry['name']}: {entry['result']}"


def main():
    with open(sys.argv[1], encoding="utf-8") as log:
        entries = [json.loads(line) for line in log if line.strip()]
    for line in failures(entries):
        print(line, file=sys.stderr)
    print(*count(entries))


if __name__ == "__main__":
    main()
