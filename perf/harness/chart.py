# SPDX-License-Identifier: BSD-3-Clause
"""Line and bar charts as SVG that a browser and a git forge show; no library needed."""

import math
from xml.sax.saxutils import escape

# Apart for the colour-blind too (Okabe and Ito, 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 48, 64


def ticks(low, high, log=False):
    """Round values that span low .. high."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [10.0**e for e in range(first, max(last, first + 1) + 1)]
    if high <= low:
        high = low + 1
    raw = (high - low) / 5
    step = 10 ** math.floor(math.log10(raw))
    step *= next(m for m in (1, 2, 5, 10) if m * step >= raw)
    count = math.ceil(high / step - 1e-9) - math.floor(low / step + 1e-9)
    first = math.floor(low / step + 1e-9)
    return [round((first + i) * step, 12) for i in range(count + 1)]


def label(value):
    """1500000 as 1.5M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


class _Canvas:
    def __init__(self, title, x_label, y_label):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
            ' font-family="sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        ]
        self.text(WIDTH / 2, 24, title, size=16)
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_label)
        middle = (TOP + HEIGHT - BOTTOM) / 2
        self.parts.append(f'<text transform="translate(20 {middle:.1f}) rotate(-90)"'
                          f' text-anchor="middle">{escape(y_label)}</text>')

    def text(self, x, y, text, anchor="middle", size=None):
        more = f' font-size="{size}"' if size else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>'
                          f"{escape(str(text))}</text>")

    def line(self, x1, y1, x2, y2, colour="#cccccc"):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
                          f' stroke="{colour}"/>')

    def grid_y(self, values, place):
        for value in values:
            self.line(LEFT, place(value), WIDTH - RIGHT, place(value))
            self.text(LEFT - 8, place(value) + 4, label(value), anchor="end")

    def legend(self, names):
        x = LEFT + 8
        for idx, name in enumerate(names):
            self.parts.append(f'<rect x="{x}" y="{TOP - 14}" width="10" height="10"'
                              f' fill="{COLOURS[idx % len(COLOURS)]}"/>')
            self.text(x + 15, TOP - 5, name, anchor="start")
            x += 32 + 7.5 * len(str(name))

    def save(self, path):
        with open(path, "w", encoding="utf-8") as out:
            out.write("\n".join(self.parts) + "\n</svg>\n")


def _scale(values, low_px, high_px, log):
    low, high = values[0], values[-1]
    if log:
        low, high = math.log10(low), math.log10(high)

    def place(value):
        at = math.log10(value) if log else value
        return low_px + (at - low) / (high - low) * (high_px - low_px)

    return place


def lines(path, title, x_label, y_label, series, log_x=False, log_y=False):
    """series: {name: [(x, y), ...]}. A linear y axis starts at 0."""
    points = [point for line in series.values() for point in line]
    if not points:
        raise ValueError(f"{title}: nothing to draw")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_ticks = ticks(min(xs), max(xs), log_x)
    y_ticks = ticks(min(ys) if log_y else min(0, *ys), max(ys), log_y)
    place_x = _scale(x_ticks, LEFT, WIDTH - RIGHT, log_x)
    place_y = _scale(y_ticks, HEIGHT - BOTTOM, TOP, log_y)
    canvas = _Canvas(title, x_label, y_label)
    canvas.grid_y(y_ticks, place_y)
    for value in x_ticks:
        canvas.line(place_x(value), HEIGHT - BOTTOM, place_x(value), HEIGHT - BOTTOM + 5, "#333333")
        canvas.text(place_x(value), HEIGHT - BOTTOM + 20, label(value))
    for idx, line in enumerate(series.values()):
        colour = COLOURS[idx % len(COLOURS)]
        placed = [(place_x(x), place_y(y)) for x, y in sorted(line)]
        path_points = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        canvas.parts.append(f'<polyline points="{path_points}" fill="none" stroke="{colour}"'
                            ' stroke-width="2"/>')
        canvas.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
                         for x, y in placed]
    canvas.legend(series)
    canvas.save(path)


def bars(path, title, x_label, y_label, groups, series):
    """groups: names along the x axis; series: {name: one value a group}."""
    values = [value for line in series.values() for value in line]
    if not values or any(len(line) != len(groups) for line in series.values()):
        raise ValueError(f"{title}: each series needs one value for each of {len(groups)} groups")
    y_ticks = ticks(min(0, *values), max(values))
    place_y = _scale(y_ticks, HEIGHT - BOTTOM, TOP, False)
    canvas = _Canvas(title, x_label, y_label)
    canvas.grid_y(y_ticks, place_y)
    group_px = (WIDTH - LEFT - RIGHT) / len(groups)
    bar_px = group_px * 0.8 / len(series)
    for g_idx, group in enumerate(groups):
        left = LEFT + group_px * (g_idx + 0.1)
        canvas.text(LEFT + group_px * (g_idx + 0.5), HEIGHT - BOTTOM + 20, group)
        for s_idx, line in enumerate(series.values()):
            top, bottom = sorted((place_y(line[g_idx]), place_y(0)))
            canvas.parts.append(
                f'<rect x="{left + bar_px * s_idx:.1f}" y="{top:.1f}" width="{bar_px * 0.94:.1f}"'
                f' height="{bottom - top:.1f}" fill="{COLOURS[s_idx % len(COLOURS)]}"/>')
            canvas.text(left + bar_px * (s_idx + 0.47), top - 4, label(line[g_idx]), size=11)
    canvas.legend(series)
    canvas.save(path)


def stacked(path, title, x_label, y_label, groups, series):
    """One bar a group, made of one piece a series, the first at the bottom. No value below 0."""
    values = [value for line in series.values() for value in line]
    if not values or any(len(line) != len(groups) for line in series.values()):
        raise ValueError(f"{title}: each series needs one value for each of {len(groups)} groups")
    if min(values) < 0:
        raise ValueError(f"{title}: a piece of a bar cannot be less than 0")
    sums = [sum(line[g_idx] for line in series.values()) for g_idx in range(len(groups))]
    y_ticks = ticks(0, max(sums))
    place_y = _scale(y_ticks, HEIGHT - BOTTOM, TOP, False)
    canvas = _Canvas(title, x_label, y_label)
    canvas.grid_y(y_ticks, place_y)
    group_px = (WIDTH - LEFT - RIGHT) / len(groups)
    for g_idx, group in enumerate(groups):
        left, base = LEFT + group_px * 0.2, 0
        canvas.text(LEFT + group_px * (g_idx + 0.5), HEIGHT - BOTTOM + 20, group)
        for s_idx, line in enumerate(series.values()):
            top = place_y(base + line[g_idx])
            canvas.parts.append(
                f'<rect x="{left + group_px * g_idx:.1f}" y="{top:.1f}"'
                f' width="{group_px * 0.6:.1f}" height="{place_y(base) - top:.1f}"'
                f' fill="{COLOURS[s_idx % len(COLOURS)]}"/>')
            base += line[g_idx]
        canvas.text(LEFT + group_px * (g_idx + 0.5), place_y(base) - 4, label(base), size=11)
    canvas.legend(series)
    canvas.save(path)
