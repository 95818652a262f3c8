# SPDX-License-Identifier: BSD-3-Clause
"""Numbers in and out: counts with suffixes, medians, bars, and how a table shows them."""

import itertools
import math
import re
import statistics

_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?)([kKMG]?)")
_SUFFIX = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}


def parse_count(text):
    """'50M', '1e6', '250k' or '1000000' as an int; ValueError says what is wrong."""
    match = _COUNT.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a count: write 50M, 250k, 1e6 or 1000000")
    value = float(match.group(1)) * _SUFFIX[match.group(2)]
    if value != int(value) or value < 1:
        raise ValueError(f"'{text}' is not a whole number of at least 1")
    return int(value)


def median(values):
    return statistics.median(values)


def spread(values):
    """Half the distance from least to most, as a share of the median: 0.02 is plus or minus 2 %."""
    mid = median(values)
    return (max(values) - min(values)) / 2 / mid if mid else 0.0


def rounds(variants, rounds_cnt, measure=None, progress=None):
    """Measure variants in turn, so that a slow minute of the machine meets all of them.

    variants: {name: callable}; each call returns one value (or what measure() makes one of).
    Every other round goes backwards, so that none always runs after the same neighbour.
    Returns {name: [value, ...]}, rounds_cnt values each.
    """
    names = list(variants)
    values = {name: [] for name in names}
    for idx in range(rounds_cnt):
        for name in names if idx % 2 == 0 else reversed(names):
            if progress:
                progress(f"round {idx + 1} of {rounds_cnt}: {name}")
            got = variants[name]()
            values[name].append(measure(got) if measure else got)
    return values


def bar(bar_id, value, limit, at_most=False):
    """One figure that has to hold: value at least limit, or at most. A value that is no number
    (None, nan) never holds."""
    number = isinstance(value, (int, float)) and not math.isnan(value)
    held = number and (value <= limit if at_most else value >= limit)
    return {"id": bar_id, "value": value, "limit": limit, "ok": bool(held),
            "rule": "at most" if at_most else "at least"}


def show(value):
    """A cell of a table: four significant digits, thousands apart."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        if abs(value) >= 1000:
            return f"{value:,.0f}".replace(",", " ")
        return f"{value:.4g}"
    return str(value)


def table(rows):
    """Rows (dicts) as aligned text; columns in the order in which they first appear."""
    columns = []
    for row in rows:
        columns += [name for name in row if name not in columns]
    if not columns:
        return ""
    numeric = {name: all(isinstance(row.get(name), (int, float, type(None))) for row in rows)
               for name in columns}
    cells = [[show(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(name), *(len(line[idx]) for line in cells))
              for idx, name in enumerate(columns)]

    def line(texts):
        parts = [text.rjust(width) if numeric[name] else text.ljust(width)
                 for text, width, name in zip(texts, widths, columns)]
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), line(["-" * width for width in widths])]
                     + [line(texts) for texts in cells])


def tables(rows):
    """One table for each run of rows that tell the same `what`, so that none has another's
    columns."""
    return [table(list(part)) for _, part in
            itertools.groupby(rows, key=lambda row: row.get("what"))]
