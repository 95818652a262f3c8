# SPDX-License-Identifier: BSD-3-Clause
"""unittest with results as TAP, so that Python's cases are counted like C's."""

import sys
import traceback
import unittest


class _Result(unittest.TestResult):
    def _say(self, test, good, error=None):
        print(f"{'ok' if good else 'not ok'} {self.testsRun} - {test.id().split('.', 1)[-1]}")
        if error:
            for line in "".join(traceback.format_exception(*error)).splitlines():
                print(f"#   {line}")
        sys.stdout.flush()

    def addSuccess(self, test):
        self._say(test, True)

    def addError(self, test, err):
        super().addError(test, err)
        self._say(test, False, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._say(test, False, err)


def main():
    """Run the tests of the calling program."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    print(f"1..{suite.countTestCases()}")
    result = _Result()
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
