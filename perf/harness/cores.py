# SPDX-License-Identifier: BSD-3-Clause
"""Whether our cores are ours alone. On a virtual machine the other thread of a core may be another
guest's: what is measured meanwhile is up to twice as slow, and not because of what is measured."""

import time

# bench_core.c: nearly four on a core of one's own.
ALONE_ADDS_PER_CYCLE = 3.5
PAUSE_S = 0.1
IN_A_ROW = 3


class Cores:
    """probe: a call that returns additions a cycle of each core. Waits for a moment in which every core
    is ours, patience_s at most each time and total_s in all, and then goes on all the same."""

    def __init__(self, probe, patience_s=15, total_s=300, clock=time.monotonic, sleep=time.sleep):
        self._probe, self._patience_s, self._left_s = probe, patience_s, total_s
        self._clock, self._sleep = clock, sleep
        self.turn_cnt = 0
        self.shared_cnt = 0
        self.waited_s = 0.0

    def wait(self):
        """Before a turn; whatever is measured, it waits alike."""
        start = self._clock()
        end = start + min(self._patience_s, self._left_s)
        self.turn_cnt += 1
        alone = 0
        while alone < IN_A_ROW:
            alone = alone + 1 if min(self._probe()) >= ALONE_ADDS_PER_CYCLE else 0
            if self._clock() >= end:
                break
            self._sleep(PAUSE_S)
        self.shared_cnt += alone < IN_A_ROW
        waited_s = self._clock() - start
        self.waited_s += waited_s
        self._left_s = max(0, self._left_s - waited_s)

    def row(self):
        """What became of it, for the results."""
        return {"what": "cores", "turns": self.turn_cnt, "turns begun with another on a core": self.shared_cnt,
                "waited s": self.waited_s}
