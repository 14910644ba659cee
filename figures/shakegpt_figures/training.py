"""training.svg: how the loss moved, and what it means as a number of equally likely tokens.

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
    MARGIN,
    ORANGE,
    PANEL,
    RULE,
    SMALL,
    YELLOW,
    slide,
    talk,
    width,
    write,
)
from shakegpt_figures.tags import GUTTER, TEXT, Tag, arrow, place

MOST_DOTS = 3000
"""A longer run shows every n-th micro-batch: more dots make a wall, and a file of megabytes."""
MOST_MEANS = 120
"""A longer run shows means over several iterations, so that its line can be followed."""
FAINT = 0.5
"""Of a dot: behind the lines, yet 3:1 from the ground."""
NOTES = MARGIN + 330
"""Where the row of marks begins, px."""
JITTER = 0.66
"""Share of an iteration's width over which its micro-batches are laid out."""


def draw(histories: Sequence[History]) -> Figure:
    """The curves of one run, or the val losses of several beside each other.

    Raises ShakegptError when the log holds no loss at all.
    """
    with talk():
        return comparison.draw(histories) if len(histories) > 1 else _draw(histories[0])


def _draw(history: History) -> Figure:
    dots, every = _dots(history)
    means, window = _means(history)
    vals = [(float(e.iteration), loss_of(e)) for e in finite_evals(history)]
    points = [*vals[:1], *dots, *(mean for mean in means if math.isfinite(mean[1])), *vals]
    if not points:
        raise ShakegptError(
            "training.svg needs a loss, and this log has no finite one: neither a micro-batch nor "
            "an evaluation was recorded"
        )
    end = planned(history)
    at = curves.scale(points, end, live=history.end is None)
    figure, page = slide()
    heading(page, words.training_title(history), words.setting(history))
    if history.end is None and history.iteration < end:  # what is still to come
        left, right = at.px(history.iteration, at.low)[0], curves.RIGHT
        tall = curves.BOTTOM - curves.TOP
        page.add_patch(Rectangle((left, curves.TOP), right - left, tall, fc=PANEL, zorder=0.1))
    axes = curves.add_axes(figure, at, sorted({*history.evals, end}))
    curves.name_losses(page, at)
    _plot_train(axes, dots, means)
    _plot_val(axes, history)
    _note(page, _notes(every, window, (bool(vals), bool(dots), bool(means)), _gaps(history)))
    _label_ends(page, at, fall(history))
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
    some = f"1 micro-batch in {every:,}" if every > 1 else "a micro-batch"
    span = f"mean of {window:,}" if window > 1 else "mean of an iteration"
    every_note = [("O", "val loss"), ("o", f"train loss of {some}"), ("-", span)]
    notes = [note for note, drawn in zip(every_note, there, strict=True) if drawn]
    return notes + ([("", "gap: the loss was not finite")] if gaps else [])


def _plot_train(axes: Axes, dots: list[Point], means: list[Point]) -> None:
    size = 10 if len(dots) < 200 else 8 if len(dots) < 1000 else 5
    axes.plot(*_xy(dots), "o", color=CYAN, alpha=FAINT, ms=size, mew=0, gid="micro-batches")
    axes.plot(*_xy(means), "-", color=BACKGROUND, lw=8)
    axes.plot(*_xy(means), "-", color=CYAN, lw=5, gid="means")
    axes.plot(*_xy(_alone(means)), "o", color=CYAN, ms=16, mew=0)


def _plot_val(axes: Axes, history: History) -> None:
    """A line with gaps where the val loss was not finite, and a ring at each finite one."""
    evals = [history.evals[iteration] for iteration in sorted(history.evals)]
    line = [(e.iteration, math.nan if e.val_loss is None else e.val_loss) for e in evals]
    axes.plot(*_xy(line), "-", color=BACKGROUND, lw=11)
    axes.plot(*_xy(line), "-", color=YELLOW, lw=7, gid="val-line")
    rings = _xy([(e.iteration, loss_of(e)) for e in finite_evals(history)])
    size, edge = (8, 3) if len(evals) > 30 else (22, 6)
    style = {"color": YELLOW, "ms": size, "mew": edge, "mfc": BACKGROUND, "clip_on": False}
    axes.plot(*rings, "o", gid="evaluations", **style)  # type: ignore[arg-type]


def _xy(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _alone(means: list[Point]) -> list[Point]:
    """Means with a gap on both sides, which a line does not show."""
    gap = (math.nan, math.nan)
    around = zip([gap, *means], means, [*means[1:], gap], strict=False)
    return [
        mean
        for before, mean, after in around
        if math.isfinite(mean[1]) and not math.isfinite(before[1]) and not math.isfinite(after[1])
    ]


def _note(page: Axes, notes: list[tuple[str, str]]) -> None:
    """Each mark with what it is, in one row over the plot, where no curve comes."""
    x, level = float(NOTES), curves.TOP - 54.0
    for mark, text in notes:
        if mark == "o":
            for offset, up in ((4, 7), (20, -8), (36, 3)):
                page.plot(x + offset, level + up, "o", color=CYAN, alpha=FAINT, ms=10, mew=0)
        elif mark == "-":
            page.plot((x, x + 40), (level, level), "-", color=CYAN, lw=5)
        elif mark == "O":
            page.plot((x, x + 40), (level, level), "-", color=YELLOW, lw=7)
            page.plot(x + 20, level, "o", color=YELLOW, mfc=BACKGROUND, ms=18, mew=5)
        if not mark:
            write(page, curves.RIGHT, curves.BOTTOM + 100, text, SMALL, LABEL, ha="right")
            continue
        x += 54
        write(page, x, level, text, SMALL, YELLOW if mark == "O" else CYAN)
        x += width(text, SMALL) + 40


def _label_ends(page: Axes, at: Scale, change: Fall | None) -> None:
    """Right of the plot, at the height of each: among how many tokens val loss leaves the choice at
    the start, the best and the last evaluation.
    """
    if change is None:
        return
    write(page, TEXT, curves.TOP - 54, "equally likely tokens", SMALL, LABEL)
    tags = [_tag(page, at, change.start, "")]
    if change.improved:
        tags.append(_tag(page, at, change.best, "best: "))
    tagged = (change.start.iteration, change.best.iteration * change.improved)
    if change.last.iteration not in tagged:
        tags.append(_tag(page, at, change.last, "last: "))
    if len(tags) > 1:
        arrow(page, tags[0].level, tags[1].level, GREEN if change.improved else ORANGE)
    place(page, tags)


def _tag(page: Axes, at: Scale, evaluation: Eval, lead: str) -> Tag:
    loss = loss_of(evaluation)
    when = f"at iteration {evaluation.iteration:,}" if evaluation.iteration else "at the start"
    x, y = at.px(evaluation.iteration, loss)
    page.plot((x + 20, GUTTER), (y, y), ":", color=RULE, lw=3, zorder=1)
    note = f"{lead}loss {numbers.loss(loss)} {when}"
    return Tag(numbers.perplexity(loss), note, y, YELLOW, HERO - 16)
