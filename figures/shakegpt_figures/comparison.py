"""training.svg for several runs: their val losses beside each other, each named by what differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shakegpt.errors import ShakegptError
from shakegpt.format import rate
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import fall, finite_evals, loss_of
from shakegpt.runlog.status import planned
from shakegpt_figures import curves, numbers, words
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
NAMES = {"learning_rate": "lr", "init_from": "", "dataset": "", "max_iters": "iterations"}
"""Shorter names of settings; an empty one is clear from its value."""
PLACES = ("out_dir", "threads", "device", "dtype")
"""Settings that say where a run was made, not what it was."""


def draw(histories: Sequence[History]) -> Figure:
    """Val loss of up to six runs on one scale.

    Raises ShakegptError when there are more, or one of them has no evaluation.
    """
    if len(histories) > MOST:
        raise ShakegptError(
            f"{len(histories)} runs are too many for one slide: give at most {MOST}"
        )
    for history in histories:
        if not finite_evals(history):
            name = words.header(history).run_id
            raise ShakegptError(f"run {name} has no finite evaluation to compare: leave it out")
    points = [(float(e.iteration), loss_of(e)) for h in histories for e in finite_evals(h)]
    end = max(planned(history) for history in histories)
    at = curves.scale(points, end)
    figure, page = slide()
    heading(page, title(histories), shared(histories))
    evaluated = sorted({iteration for history in histories for iteration in history.evals})
    axes = curves.add_axes(figure, at, evaluated)
    curves.name_losses(page, at)
    tags = []
    for number in sorted(range(len(histories)), key=lambda n: -_best(histories[n])):
        history, name = histories[number], names(histories)[number]
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


def _best(history: History) -> float:
    return min(loss_of(evaluation) for evaluation in finite_evals(history))


def title(histories: Sequence[History]) -> str:
    """Which run did best."""
    bests = [_best(history) for history in histories]
    best = min(range(len(bests)), key=lambda i: bests[i])
    name = names(histories)[best]
    return f"Of {len(histories)} runs, {name} gets lowest: val loss {numbers.loss(bests[best])}"


def shared(histories: Sequence[History]) -> str:
    """What all the runs have in common."""
    common = dict.fromkeys(_facts(histories[0]))
    for history in histories[1:]:
        common = dict.fromkeys(fact for fact in common if fact in _facts(history))
    return "All: " + " · ".join(common) if common else "Nothing but the axes in common"


def _facts(history: History) -> list[str]:
    return words.setting(history).split(" · ")


def names(histories: Sequence[History]) -> list[str]:
    """What tells each run from the others: the settings that differ, else the runs' ids."""
    told = [words.config(history) for history in histories]
    keys = [key for key in told[0] if key not in PLACES and _differs(key, told)]
    ids = [words.header(history).run_id for history in histories]
    found = [", ".join(_setting(key, config.get(key)) for key in keys[:3]) for config in told]
    return found if len(set(found)) == len(found) else ids


def _differs(key: str, told: Sequence[dict[str, Any]]) -> bool:
    return any(config.get(key) != told[0].get(key) for config in told)


def _setting(key: str, value: Any) -> str:
    shown = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    if key.endswith("lr") or key == "learning_rate":
        shown = rate(value) if isinstance(value, int | float) else shown
    return f"{NAMES.get(key, key.replace('_', ' '))} {shown}".strip()
