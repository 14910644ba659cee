"""The figure of how cost grows: a panel for each size and cost, both axes logarithmic.

`python -m tests.bench.growth_figure docs` draws docs/cost.svg from docs/cost.json and puts the
tables into docs/cost.md. Rings are measured, dashes are theory; above each panel the two slopes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from shakegpt.files import write_atomically
from shakegpt_figures.heading import heading
from shakegpt_figures.save import render
from shakegpt_figures.style import (
    BACKGROUND,
    BODY,
    CYAN,
    HEIGHT,
    LABEL,
    MUTED,
    SMALL,
    WIDTH,
    YELLOW,
    font,
    slide,
    talk,
    write,
)  # fmt: skip
from tests.bench.growth_points import OVER, Cost, Costs, Line, load, put_in

TITLE = "How cost grows: measured slopes beside the theory's"
UNITS = {"model": "parameters", "block": "tokens", "text": "bytes", "log": "records"}
LEFT, PITCH, ACROSS = 196, 430, 310
"""The first column's plot, from one to the next, and how wide each is, px."""
ROWS: dict[Cost, tuple[int, int]] = {"seconds": (352, 580), "memory": (742, 970)}
"""Top and bottom of the plots of each cost, px."""
LOOKS = ((CYAN, "o"), (YELLOW, "s"))


def main() -> None:
    """Draw, and write the tables."""
    folder = Path(sys.argv[1])
    costs, page = load(folder / "cost.json"), folder / "cost.md"
    with talk():
        figure = draw(costs)
    write_atomically(folder / "cost.svg", render(figure, "svg", TITLE, describe(costs)))
    page.write_text(put_in(page.read_text("utf-8"), costs), "utf-8")


def draw(costs: Costs) -> Figure:
    """The slide."""
    figure, page = slide()
    heading(page, TITLE, f"dashes: theory · in brackets: its slope · {costs.machine}")
    for column, (sweep, over) in enumerate(OVER.items()):
        left = LEFT + column * PITCH
        write(page, left, 228, over, BODY, face="bold")
        write(page, left + ACROSS, 1052, UNITS[sweep], SMALL, MUTED, ha="right")
        for cost, (top, bottom) in ROWS.items():
            lines = costs.lines(sweep, cost)
            axes = _axes(figure, left, top, bottom, cost)
            for number, line in enumerate(lines):
                colour, marker = LOOKS[number]
                _draw_line(axes, line, colour, marker)
                write(
                    page,
                    left,
                    top - 24 - 38 * (len(lines) - 1 - number),
                    _note(line),
                    SMALL,
                    colour,
                )
            _name_sizes(axes, lines)
    for word, (top, bottom) in zip(("time", "peak memory"), ROWS.values(), strict=True):
        write(
            page, 44, (top + bottom) / 2, word, SMALL, LABEL, rotation=90, ha="center", va="center"
        )
    return figure


def _axes(figure: Figure, left: int, top: int, bottom: int, cost: Cost) -> Axes:
    box = (left / WIDTH, 1 - bottom / HEIGHT, ACROSS / WIDTH, (bottom - top) / HEIGHT)
    axes = figure.add_axes(box)
    axes.set(xscale="log", yscale="log")
    axes.yaxis.set_major_locator(LogLocator(numticks=4))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _tick(v, cost)))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return axes


def _tick(value: float, cost: Cost) -> str:
    """A decade with its unit: 10 ms, 1 s, 100 MB."""
    units = ((1.0, "s"), (1e-3, "ms")) if cost == "seconds" else ((1e9, "GB"), (1e6, "MB"))
    size, unit = next((u for u in units if value >= 0.99 * u[0]), units[-1])
    return f"{value / size:g} {unit}"


def _draw_line(axes: Axes, line: Line, colour: str, marker: str) -> None:
    axes.plot(line.x, line.theory, "--", color=colour, lw=4)
    axes.plot(line.x, line.measured, marker, color=colour, ms=14, mew=4, mfc=BACKGROUND)


def _note(line: Line) -> str:
    measured, theory = line.slopes
    return f"{line.series} {measured:.2f} ({theory:.2f})"


def _name_sizes(axes: Axes, lines: list[Line]) -> None:
    """Decades below the axis, and air around the points."""
    x = [value for line in lines for value in line.x]
    y = [value for line in lines for value in (*line.measured, *line.theory)]
    wide, tall = (max(x) / min(x)) ** 0.08, (max(y) / min(y)) ** 0.1
    axes.set(xlim=(min(x) / wide, max(x) * wide), ylim=(min(y) / tall, max(y) * tall))
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _short(v)))
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontproperties(font("sans", SMALL))


def _short(value: float) -> str:
    """100, 10 k, 1 M, 1 G: `value` in the largest unit that it reaches."""
    size, letter = next(
        u for u in ((1e9, " G"), (1e6, " M"), (1e3, " k"), (1, "")) if value >= u[0]
    )
    return f"{value / size:g}{letter}"


def describe(costs: Costs) -> str:
    """The slopes in words."""
    said = []
    for sweep, over in OVER.items():
        for cost, word in (("seconds", "time"), ("memory", "peak memory")):
            lines = costs.lines(sweep, cost)  # type: ignore[arg-type]
            said += [f"{word} over {over}, {_note(line)}" for line in lines]
    return "Measured slope, theory's in brackets: " + "; ".join(said) + "."


if __name__ == "__main__":
    main()
