"""training.svg for several runs: their val losses beside each other, each named by what differs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import fall, finite_evals, loss_of
from shakegpt.runlog.status import planned
from shakegpt_figures import compare, curves, numbers, words
from shakegpt_figures.curves import Scale
from shakegpt_figures.glyphs import drawable
from shakegpt_figures.heading import heading
from shakegpt_figures.style import (
    BACKGROUND,
    CYAN,
    GREEN,
    INK,
    LARGE,
    ORANGE,
    RULE,
    YELLOW,
    slide,
)
from shakegpt_figures.tags import GUTTER, Tag, place

MOST = 6
"""Runs on one slide: more could not be told apart from the back of a room."""
LOOKS = (  # colour, dash, marker: three ways to tell two lines apart
    (YELLOW, "-", "o"),
    (CYAN, "--", "s"),
    (INK, "-.", "^"),
    (ORANGE, ":", "D"),
    (GREEN, (0, (6, 1, 1, 1, 1, 1)), "v"),
    (INK, (0, (8, 4)), "X"),
)


def draw(histories: Sequence[History]) -> Figure:
    """Val loss of up to six runs on one scale.

    Raises ShakegptError when there are more, or one of them has no evaluation.
    """
    if len(histories) > MOST:
        raise ShakegptError(
            f"{len(histories)} runs are too many for one slide: give at most {MOST}"
        )
    compare.unit(histories)
    points = [(float(e.iteration), loss_of(e)) for h in histories for e in finite_evals(h)]
    end = max(planned(history) for history in histories)
    at = curves.scale(points, end)
    figure, page = slide()
    heading(page, compare.title(histories), compare.shared(histories))
    evaluated = sorted({iteration for history in histories for iteration in history.evals})
    axes = curves.add_axes(figure, at, evaluated)
    curves.name_losses(page, at)
    tags = []
    for number in sorted(
        range(len(histories)), key=lambda n: -compare.best(histories[n], "nats per token")
    ):
        history, name = histories[number], compare.names(histories)[number]
        tags.append(_curve(axes, page, at, history, number, name))  # the best last, on top
    place(page, tags)
    return figure


def _curve(axes: Axes, page: Axes, at: Scale, history: History, number: int, name: str) -> Tag:
    colour, dash, marker = LOOKS[number]
    evals = [history.evals[iteration] for iteration in sorted(history.evals)]
    x = [e.iteration for e in evals]
    y = [math.nan if e.val_loss is None else e.val_loss for e in evals]
    axes.plot(x, y, color=BACKGROUND, lw=8)
    axes.plot(x, y, color=colour, ls=dash, lw=6, gid=f"val-line-{number}")
    size = 18 if len(x) <= 30 else 8
    axes.plot(
        x, y, marker, color=colour, ms=size, mew=5, mfc=BACKGROUND, gid=f"evaluations-{number}"
    )
    told = fall(history)
    assert told is not None
    end_x, end_y = at.px(told.last.iteration, loss_of(told.last))
    page.plot((end_x + 20, GUTTER), (end_y, end_y), ":", color=RULE, lw=3, zorder=1)
    shown = told.best if told.improved else told.last
    if shown.iteration != told.last.iteration:
        name = f"{name}, best {words.when(shown)}"
    text = f"{numbers.loss(loss_of(shown))}  {words.change(told)[0]}"
    return Tag(text, drawable(name), end_y, colour, LARGE)
