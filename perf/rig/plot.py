"""Nanoseconds a packet over flows, ours and the floors', as SVG. Both axes are logarithmic."""

import math
import re
from html import escape

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 250, 60, 60
FLOWS = (1e3, 1e7)
SIZES = {"1k": 1e3, "100k": 1e5, "1m": 1e6, "10m": 1e7}
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2")
# What DPVS 1.10.2 took on this kind of machine (nanoseconds; NAT of TCP).
DPVS = {1e3: 133.0, 1e5: 762.0, 1e6: 1005.0}


def over_flows(results):
    """The picture of all results, as kept, that have a floor."""
    lines = _lines(results)
    title = f"{results[0]['machine']}; commit {', '.join(sorted({one['commit'] for one in results}))}"
    values = [value for line in lines.values() for value in line.values()]
    axes = _Axes(2 if min(values) < 5 else 5, 2000)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">Nanoseconds a packet on one core, over flows</text>',
        f'<text x="{LEFT}" y="44" fill="#666" font-size="11">{escape(title)}</text>',
        *axes.grid(),
    ]
    for number, (name, points) in enumerate(sorted(lines.items(), key=_rank)):
        colour = "#888" if name.startswith("floor") else COLOURS[number % len(COLOURS)]
        dashes = ' stroke-dasharray="5 4"' if name.startswith(("floor", "DPVS")) else ""
        parts += axes.series(name, sorted(points.items()), colour, dashes, number)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _rank(line):
    """Where a series stands in the legend: the most costly first."""
    return -max(line[1].values())


def _lines(results):
    """Points by series."""
    lines = {"DPVS NAT TCP (measured)": DPVS}
    for result in results:
        name = re.fullmatch(r"(.+)-(\w+)", result["case"])
        flows = name and SIZES.get(name[2])
        if flows and "floor_ns" in result:
            lines.setdefault(name[1], {})[flows] = result["ours_ns"]
            floor = "floor (synthetic receive)" if name[1] == "synthetic" else "floor (testpmd macswap)"
            if "6" not in name[1]:
                lines.setdefault(floor, {}).setdefault(flows, result["floor_ns"])
    return lines


class _Axes:
    """Where values lie in the picture."""

    def __init__(self, least, most):
        self._least, self._most = least, most

    def _x(self, flows):
        share = math.log10(flows / FLOWS[0]) / math.log10(FLOWS[1] / FLOWS[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def _y(self, value):
        share = math.log10(value / self._least) / math.log10(self._most / self._least)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def grid(self):
        """Lines and their labels."""
        for label, flows in SIZES.items():
            x = self._x(flows)
            yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#eee"/>'
            yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{label}</text>'
        yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">flows</text>'
        for value in self._ticks():
            y = self._y(value)
            yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#eee"/>'
            yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'

    def _ticks(self):
        ticks = (step * 10**decade for decade in range(4) for step in (1, 2, 5))
        return [tick for tick in ticks if self._least <= tick <= self._most]

    def series(self, name, points, colour, dashes, number):
        """A line through the points, their values, and the legend's entry."""
        places = [(self._x(flows), self._y(value)) for flows, value in points]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
        for (x, y), (_, value) in zip(places, points, strict=True):
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"><title>{name}: {value:.1f} ns</title></circle>'
        at = TOP + 10 + 20 * number
        edge = WIDTH - RIGHT
        yield f'<line x1="{edge + 16}" y1="{at}" x2="{edge + 40}" y2="{at}" stroke="{colour}" stroke-width="2"{dashes}/>'
        yield f'<text x="{edge + 46}" y="{at + 4}">{escape(name)}</text>'
