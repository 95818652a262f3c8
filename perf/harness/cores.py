# SPDX-License-Identifier: BSD-3-Clause
"""Whether our cores are ours alone. On a virtual machine the other thread of a core may be another
guest's: what is measured meanwhile is a quarter slower or more, and not because of what is measured."""

import time

# Of the most that this core was seen to do in this run: less is another on it.
ALONE_SHARE = 0.93
IN_A_ROW = 3
PAUSE_S = 0.1
# What "the most" is must be known before the first turn.
LEARN_CNT = 20


class Cores:
    """probe: a call that returns what each core does just now, by bench_core.c. Waits for a moment in
    which all cores are ours alone, patience_s at most each time and total_s in all. What is
    told as waited is what neighbours cost: neither the looks that each turn takes nor learning, which
    is two seconds."""

    def __init__(self, probe, patience_s=8, total_s=480, clock=time.monotonic, sleep=time.sleep):
        self._probe, self._patience_s, self._left_s = probe, patience_s, total_s
        self._clock, self._sleep = clock, sleep
        self._most = []  # of each core
        self.turn_cnt = 0
        self.shared_cnt = 0
        self.waited_s = 0.0

    def _alone(self):
        got = self._probe()
        self._most = [max(pair) for pair in zip(got, self._most or got)]
        return all(now >= ALONE_SHARE * most for now, most in zip(got, self._most))

    def wait(self):
        """Before a turn, whatever is measured in it. Returns whether the cores are ours alone: if not,
        the turn is measured all the same."""
        if self.turn_cnt == 0 and self._left_s > 0:
            for _ in range(LEARN_CNT):
                self._alone()
                self._sleep(PAUSE_S)
        start = self._clock()
        patience_s = min(self._patience_s, self._left_s)
        probes = in_a_row = 0
        while in_a_row < IN_A_ROW and (probes < IN_A_ROW or self._clock() - start < patience_s):
            if probes:
                self._sleep(PAUSE_S)
            in_a_row = in_a_row + 1 if self._alone() else 0
            probes += 1
        waited_s = self._clock() - start if probes > IN_A_ROW else 0
        self._left_s = max(0, self._left_s - waited_s)
        self.waited_s += waited_s
        self.turn_cnt += 1
        self.shared_cnt += in_a_row < IN_A_ROW
        return in_a_row == IN_A_ROW

    def row(self):
        """What became of it, for the results."""
        return {"what": "cores", "turns": self.turn_cnt, "begun with another on a core": self.shared_cnt,
                "waited s": self.waited_s, "most adds/cycle": max(self._most)}
