"""Axes of loss over iterations, shared by one run's figure and the comparison of several."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from shakegpt_figures.numbers import power_of_ten
from shakegpt_figures.style import BODY, HEIGHT, LABEL, MARGIN, SMALL, WIDTH, font, write

Point = tuple[float, float]
LEFT, RIGHT, TOP, BOTTOM = 235, 1330, 330, 930
"""The plot's edges on the slide, px; the labels stand to its right."""
LOG_FROM = 20
"""Largest over smallest loss from which the axis is logarithmic."""
TICK_ROOM = 120
"""From one iteration's number on the axis to the next, px."""
AHEAD, STEP = 0.8, 0.5
"""Nats that a live run's axis reaches below the first loss, and in whole steps of which."""
PAD = 0.06
"""Air above and below the curves, share of their height; beside them, share of the width."""


@dataclass(frozen=True)
class Scale:
    """How iterations and losses become px on the slide."""

    first: float
    last: float
    low: float
    high: float
    log: bool

    def px(self, x: float, y: float) -> Point:
        """A point of the data on the slide, px from the top left."""
        across = (x - self.first) / (self.last - self.first)
        up = (self.level(y) - self.level(self.low)) / (self.level(self.high) - self.level(self.low))
        return LEFT + across * (RIGHT - LEFT), BOTTOM - up * (BOTTOM - TOP)

    def level(self, y: float) -> float:
        """A loss as the axis measures it."""
        return math.log(max(y, 1e-304)) if self.log else y

    def loss(self, level: float) -> float:
        """The loss at a level of the axis."""
        return math.exp(max(-700.0, min(700.0, level))) if self.log else level  # as floats go


def scale(points: Sequence[Point], iterations: int, live: bool = False) -> Scale:
    """A scale that shows all the points, with air around them; nothing is clipped.

    For a live run the range is one that its next points hardly leave: `AHEAD` below the first loss,
    in steps of `STEP`, so that the curve moves and not the axis.
    """
    losses = [y for _, y in points]
    low, high = min(losses), max(losses)
    if live and high < 100:
        low = math.floor(min(low, losses[0] - AHEAD) / STEP) * STEP
        low, high = max(low, min(*losses, STEP)), math.ceil((high + STEP / 2) / STEP) * STEP
    log = low > 0 and high / low > LOG_FROM
    bare = Scale(0, max(1, iterations), low, high, log)
    air = max(PAD * (bare.level(high) - bare.level(low)), 1e-3 * max(1.0, abs(bare.level(high))))
    side = 0.035 * bare.last
    return replace(
        bare,
        first=min(0.0, *(x for x, _ in points)) - side,
        last=max(bare.last, *(x for x, _ in points)) + side,
        low=bare.loss(bare.level(low) - air),
        high=bare.loss(bare.level(high) + air),
    )


def add_axes(figure: Figure, at: Scale, evaluated: Sequence[int]) -> Axes:
    """The plot's axes: ticks at the evaluations while they are few, hairlines at the losses."""
    box = (LEFT / WIDTH, 1 - BOTTOM / HEIGHT, (RIGHT - LEFT) / WIDTH, (BOTTOM - TOP) / HEIGHT)
    axes = figure.add_axes(box, gid="plot")
    axes.set_yscale("log" if at.log else "linear")
    axes.set(xlim=(at.first, at.last), ylim=(at.low, at.high))
    marks = [at.px(iteration, at.high)[0] for iteration in evaluated]
    apart = min((b - a for a, b in pairwise(marks)), default=0.0)
    few = len(evaluated) <= 9 and apart >= TICK_ROOM
    axes.xaxis.set_major_locator(
        FixedLocator(list(evaluated)) if few else MaxNLocator(8, integer=True, steps=[1, 2, 5, 10])
    )
    axes.yaxis.set_major_locator(
        LogLocator(numticks=7) if at.log else MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])
    )
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    places = 0 if at.log else _places(axes.yaxis.get_majorticklocs())
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.{places}f}" if places else loss_tick(y))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontproperties(font("sans", BODY - 2))
    if at.log:  # 100,000 stays right of the margin
        axes.tick_params(axis="y", pad=4)
        for label in axes.get_yticklabels():
            label.set_fontproperties(font("sans", SMALL))
    axes.set_xlabel("iteration", fontproperties=font("sans", BODY - 2), labelpad=10)
    return axes


def loss_tick(loss: float) -> str:
    """A loss on a logarithmic axis: 0.01, 10, 10,000, 10⁸."""
    if 1e-4 <= loss < 1e6:
        return f"{loss:,.0f}" if loss >= 1 else f"{loss:.4f}".rstrip("0").rstrip(".")
    return power_of_ten(loss).removeprefix("1.0 × ")


def _places(ticks: Iterable[float]) -> int:
    """How many decimals the losses on an axis need, so that all have as many."""
    texts = (f"{tick:.4g}" for tick in ticks)
    return max((len(text.partition(".")[2]) for text in texts if "e" not in text), default=0)


def name_losses(slide: Axes, at: Scale, how: str = "loss (nats per token)") -> None:
    """What the loss axis measures, above it where it reads without turning the head."""
    unit = how.partition(" (")[0] + ", log scale" if at.log else how
    write(slide, MARGIN, TOP - 54, unit, SMALL, LABEL)
