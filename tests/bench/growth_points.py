"""Measured points beside what theory says of them: slopes, and the tables of docs/cost.md.

Theory for training is `shakegpt.hardware.memory`: the operations of a pass, and the memory estimate
that `finetune` prints. For texts and logs it is proportion. Operations and proportions say nothing
of a machine's speed, so such a line is put through the middle of the points; the estimate is in
bytes and stays where it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, linear_regression
from typing import Literal

Cost = Literal["seconds", "memory"]
Point = dict[str, float | str]
OVER = {"model": "model size", "block": "block size", "text": "text size", "log": "log length"}
"""The sweeps, and what grows in each."""
IN_BYTES = ("model", "block")
"""Sweeps whose theory of memory is an estimate in bytes."""
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->"


@dataclass(frozen=True)
class Line:
    """One series of a sweep and one of its costs: sizes, what was measured, what theory says."""

    series: str
    labels: tuple[str, ...]
    x: tuple[float, ...]
    measured: tuple[float, ...]
    theory: tuple[float, ...]

    @property
    def slopes(self) -> tuple[float, float]:
        """Of the points and of theory at the same sizes, both axes logarithmic."""
        return slope(self.x, self.measured), slope(self.x, self.theory)


@dataclass(frozen=True)
class Costs:
    """What `tests/bench/growth.py` wrote."""

    machine: str
    points: tuple[Point, ...]

    def lines(self, sweep: str, cost: Cost) -> list[Line]:
        """The series of a sweep that have this cost, in the order they were measured."""
        here = [point for point in self.points if point["sweep"] == sweep and cost in point]
        names = dict.fromkeys(str(point["series"]) for point in here)
        return [_line([p for p in here if p["series"] == name], sweep, cost) for name in names]


def load(file: Path) -> Costs:
    """The costs in a file."""
    told = json.loads(file.read_text("utf-8"))
    return Costs(told["machine"], tuple(told["points"]))


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The power of x that y goes with: least squares over logarithms."""
    return linear_regression([math.log(v) for v in x], [math.log(v) for v in y]).slope


def _line(points: Sequence[Point], sweep: str, cost: Cost) -> Line:
    theory = [float(point["work" if cost == "seconds" else "planned"]) for point in points]
    measured = tuple(float(point[cost]) for point in points)
    if cost == "seconds" or sweep not in IN_BYTES:
        middle = fmean(math.log(m / t) for m, t in zip(measured, theory, strict=True))
        theory = [value * math.exp(middle) for value in theory]
    labels = tuple(str(point["label"]) for point in points)
    x = tuple(float(point["x"]) for point in points)
    return Line(str(points[0]["series"]), labels, x, measured, tuple(theory))


def told(value: float, cost: Cost) -> str:
    """With its unit: 12 ms, 3.4 s, 61 MB, 2.5 GB."""
    units = ((1.0, "s"), (1e-3, "ms")) if cost == "seconds" else ((1e9, "GB"), (1e6, "MB"))
    size, unit = next((u for u in units if value >= 0.9995 * u[0]), units[-1])
    return f"{value / size:,.{0 if value >= 99.5 * size else 1}f} {unit}"


def tables(costs: Costs) -> str:
    """Two tables in Markdown: the slopes, then every point."""
    slopes = ["| over | of | time | theory | memory | theory |", "|---|---|---|---|---|---|"]
    points = [
        "| over | of | at | time | theory | memory | theory |",
        "|---|---|---|---|---|---|---|",
    ]
    for sweep, over in OVER.items():
        memories = {line.series: line for line in costs.lines(sweep, "memory")}
        for line in costs.lines(sweep, "seconds"):
            memory = memories.get(line.series)
            powers = [*line.slopes, *(memory.slopes if memory else ())]
            shown = [f"{power:.2f}" for power in powers] + [""] * (4 - len(powers))
            slopes.append(_row(over, line.series, *shown))
            points += _rows(over, line, memory)
    return "\n".join([costs.machine + ".", "", *slopes, "", *points, ""])


def _rows(over: str, line: Line, memory: Line | None) -> list[str]:
    rows = []
    for n, x in enumerate(line.x):
        at = f"{x:,.0f}" if over == "block size" else line.labels[n]
        shown = [told(line.measured[n], "seconds"), told(line.theory[n], "seconds")]
        found = (memory.measured[n], memory.theory[n]) if memory else ()
        shown += [told(value, "memory") for value in found] or ["", ""]
        rows.append(_row(over, line.series, at, *shown))
    return rows


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def put_in(page: str, costs: Costs) -> str:
    """The page with the tables between its two marks."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + tables(costs) + END + rest.partition(END)[2]
