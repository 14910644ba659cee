"""training.svg: how the loss moved, with the story's numbers at the curves.

Dots are single micro-batches, the noise as it is; through them runs their mean; the ringed line is
val loss. Micro-batches of iteration k were predicted by weights that had seen k - 1 updates, so
they stand around k - 1: at 0, train and val loss are both those of the untouched checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import Fall, fall, finite_evals, loss_of, total
from shakegpt.runlog.schema import Eval
from shakegpt.runlog.status import planned
from shakegpt_figures import comparison, curves, numbers, words
from shakegpt_figures.curves import Point, Scale
from shakegpt_figures.heading import heading
from shakegpt_figures.style import (
    BACKGROUND,
    CYAN,
    GREEN,
    HERO,
    LABEL,
    ORANGE,
    RULE,
    SMALL,
    TITLE,
    YELLOW,
    slide,
    talk,
    width,
    write,
)
from shakegpt_figures.tags import GUTTER, Tag, arrow, place

MOST_DOTS = 3000
"""A longer run shows every n-th micro-batch: more dots make a wall, and a file of megabytes."""
MOST_MEANS = 120
"""A longer run shows means over several iterations, so that its line can be followed."""
INKS = {"O": YELLOW, "": LABEL}
"""Colours of notes that are not about train loss, by their mark."""
FAINT = 0.5
"""Of a dot: behind the lines, yet 3:1 from the ground."""
JITTER = 0.66
"""Share of an iteration's width over which its micro-batches are laid out."""


def draw(histories: Sequence[History]) -> Figure:
    """The curves of one run, or the val losses of several beside each other.

    Raises ShakegptError when the log holds no loss at all.
    """
    with talk():
        if len(histories) > 1:
            return comparison.draw(histories)
        return _draw(histories[0])


def _draw(history: History) -> Figure:
    words.header(history)
    dots, every = _dots(history)
    means, window = _means(history)
    vals = [(float(e.iteration), loss_of(e)) for e in finite_evals(history)]
    points = [*dots, *(mean for mean in means if math.isfinite(mean[1])), *vals]
    if not points:
        raise ShakegptError(
            "training.svg needs a loss, and this log has no finite one: neither a micro-batch nor "
            "an evaluation was recorded"
        )
    told, end = fall(history), planned(history)
    at = curves.scale(points, end)
    notes = _notes(every, window, (bool(vals), bool(dots), bool(means)), _gaps(history))
    tall = 26 + 46 * len(notes)
    wide = 70 + max((width(note, SMALL) for _, note in notes), default=0)
    at, corner = curves.clear_corner(at, [*points, *_guides(told, at)], wide, tall)

    figure, page = slide()
    heading(page, words.training_title(history), words.setting(history))
    axes = curves.add_axes(figure, at, sorted({*history.evals, end}))
    curves.name_losses(page, at)
    _plot(axes, dots, means, vals, history)
    _note(page, corner, notes)
    if told is not None:
        _tell(page, at, told)
    return figure


def _dots(history: History) -> tuple[list[Point], int]:
    """The finite losses of micro-batches, every n-th when they are many, and that n."""
    records = [history.progress[key] for key in sorted(history.progress)]
    every = max(1, math.ceil(len(records) / MOST_DOTS))
    points = []
    for record in records[::every]:
        place = (record.micro_step - 0.5) / max(1, record.micro_steps) - 0.5
        if record.loss is not None:
            points.append((record.iteration - 1 + JITTER * place, record.loss))
    return points, every


def _means(history: History) -> tuple[list[Point], int]:
    """Mean train losses by iteration, over several of them in a long run, and over how many.

    A mean that was not finite leaves a gap: the point's loss is NaN.
    """
    steps = [history.steps[iteration] for iteration in sorted(history.steps)]
    window = max(1, math.ceil(len(steps) / MOST_MEANS))
    points = []
    for _, group in groupby(enumerate(steps), key=lambda pair: pair[0] // window):
        few = [step for _, step in group]
        finite = [step.loss for step in few if step.loss is not None]
        middle = sum(step.iteration - 1 for step in few) / len(few)
        points.append((middle, total(finite) / len(finite) if finite else math.nan))
    return points, window


def _gaps(history: History) -> bool:
    """Whether a loss was not finite, so that a curve or a dot is missing."""
    lost = any(record.loss is None for record in history.progress.values())
    lost = lost or any(step.loss is None for step in history.steps.values())
    return lost or len(finite_evals(history)) < len(history.evals)


def _notes(
    every: int, window: int, there: tuple[bool, bool, bool], gaps: bool
) -> list[tuple[str, str]]:
    """What rings, dots and line are, as far as they are there, and what is missing: (mark, words).

    Val loss comes first: it is the one to look at.
    """
    some = f", 1 in {every} shown" if every > 1 else ""
    span = f"{window} iterations" if window > 1 else "an iteration"
    every_note = [
        ("O", "val loss, on text kept aside"),
        ("o", f"train loss of one micro-batch{some}"),
        ("-", f"its mean over {span}"),
    ]
    notes = [note for note, drawn in zip(every_note, there, strict=True) if drawn]
    return notes + ([("", "gap: the loss was not finite")] if gaps else [])


def _guides(told: Fall | None, at: Scale) -> list[Point]:
    """Points of the dotted lines that lead from start and best to their numbers."""
    if told is None:
        return []
    ends = (told.start, told.best, told.last)
    steps = [at.first + (at.last - at.first) * k / 20 for k in range(21)]
    return [(x, loss_of(end)) for end in ends for x in steps if x >= end.iteration]


def _plot(
    axes: Axes, dots: list[Point], means: list[Point], vals: list[Point], history: History
) -> None:
    size = 10 if len(dots) < 200 else 8 if len(dots) < 1000 else 5
    many = len(history.evals) > 30
    x, y = zip(*dots, strict=True) if dots else ((), ())
    axes.plot(x, y, "o", color=CYAN, alpha=FAINT, ms=size, mew=0, gid="micro-batches")
    x, y = zip(*means, strict=True) if means else ((), ())
    axes.plot(x, y, "-", color=BACKGROUND, lw=8)
    axes.plot(x, y, "-", color=CYAN, lw=5, gid="means")
    alone = _alone(means)
    axes.plot([x for x, _ in alone], [y for _, y in alone], "o", color=CYAN, ms=16, mew=0)
    shown = [history.evals[iteration] for iteration in sorted(history.evals)]
    x = tuple(e.iteration for e in shown)
    y = tuple(math.nan if e.val_loss is None else e.val_loss for e in shown)
    axes.plot(x, y, "-", color=BACKGROUND, lw=11)
    axes.plot(x, y, "-", color=YELLOW, lw=7, gid="val-line")
    x, y = zip(*vals, strict=True) if vals else ((), ())
    axes.plot(
        x,
        y,
        "o",
        color=YELLOW,
        ms=8 if many else 22,
        mfc=BACKGROUND,
        mew=3 if many else 6,
        gid="evaluations",
        clip_on=False,
    )


def _alone(means: list[Point]) -> list[Point]:
    """Means with a gap on both sides, which a line does not show."""
    gap = (math.nan, math.nan)
    around = zip([gap, *means], means, [*means[1:], gap], strict=False)
    return [
        mean
        for before, mean, after in around
        if math.isfinite(mean[1]) and not math.isfinite(before[1]) and not math.isfinite(after[1])
    ]


def _note(page: Axes, corner: Point, notes: list[tuple[str, str]]) -> None:
    """Each mark with what it is, in the corner that the curves leave free."""
    x, y = corner
    wide = 64 + max((width(text, SMALL) for _, text in notes), default=0)
    page.add_patch(Rectangle((x - 8, y + 10), wide + 20, 46 * len(notes), color=BACKGROUND))
    for row, (mark, text) in enumerate(notes):
        level = y + 13 + 46 * (row + 0.5)
        if mark == "o":
            for offset, up in ((8, 7), (24, -8), (40, 3)):
                page.plot(x + offset, level + up, "o", color=CYAN, alpha=FAINT, ms=10, mew=0)
        elif mark == "-":
            page.plot((x + 2, x + 46), (level, level), "-", color=CYAN, lw=5)
        elif mark == "O":
            page.plot((x + 2, x + 46), (level, level), "-", color=YELLOW, lw=7)
            page.plot(x + 24, level, "o", color=YELLOW, mfc=BACKGROUND, ms=18, mew=5)
        write(page, x + 64, level, text, SMALL, INKS.get(mark, CYAN))


def _tell(page: Axes, at: Scale, told: Fall) -> None:
    """Right of the plot: start, change and end at their heights, led to by dotted lines."""
    start, end = _tag(page, at, told.start, "val loss"), None
    tags = [start]
    if told.improved:
        end = _tag(page, at, told.best, "best,")
        tags.append(end)
    if told.last.iteration not in (told.start.iteration, told.best.iteration * told.improved):
        last = _tag(page, at, told.last, "last,")
        end = end or last
        tags.append(last)
    if end is not None:
        text, good = words.change(told)
        colour = GREEN if good else ORANGE
        tags.insert(1, Tag(text, "", (start.level + end.level) / 2, colour, HERO))
        arrow(page, start.level, end.level, colour)
    place(page, tags)


def _tag(page: Axes, at: Scale, evaluation: Eval, lead: str) -> Tag:
    x, y = at.px(evaluation.iteration, loss_of(evaluation))
    page.plot((x + 20, GUTTER), (y, y), ":", color=RULE, lw=3, zorder=1)
    note = f"{lead} {words.when(evaluation)}"
    note = note.replace("before training", "at the start")
    return Tag(numbers.loss(loss_of(evaluation)), note, y, YELLOW, TITLE)
