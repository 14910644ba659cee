"""training.svg for several runs: val losses on one scale, the best in colour, the others grey."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import finite_evals, loss_of
from shakegpt.runlog.status import planned
from shakegpt_figures import compare, curves, numbers, words
from shakegpt_figures.curves import Scale
from shakegpt_figures.glyphs import drawable
from shakegpt_figures.heading import heading
from shakegpt_figures.style import BACKGROUND, BODY, LABEL, LARGE, MUTED, RULE, YELLOW, slide
from shakegpt_figures.tags import GUTTER, Tag, place

MOST = 6
"""Runs on one slide: more could not be told apart from the back of a room."""
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 4)))
MARKERS = ("o", "s", "^", "D", "v", "X")
"""Of the runs in their order: the winner has colour, the others differ in form."""


def draw(histories: Sequence[History]) -> Figure:
    """Val loss of up to six runs on one scale, the best one in colour.

    Raises ShakegptError when there are more, or they do not compare.
    """
    if len(histories) > MOST:
        raise ShakegptError(
            f"{len(histories)} runs are too many for one slide: give at most {MOST}"
        )
    how = compare.unit(histories)
    losses = [
        [(e.iteration, compare.measure(history, loss_of(e), how)) for e in finite_evals(history)]
        for history in histories
    ]
    at = curves.scale(
        [(float(x), y) for run in losses for x, y in run], max(map(planned, histories))
    )
    figure, page = slide()
    heading(page, compare.title(histories), compare.shared(histories))
    evaluated = sorted({iteration for history in histories for iteration in history.evals})
    axes = curves.add_axes(figure, at, evaluated)
    curves.name_losses(page, at, f"val loss ({how})")
    ranked = sorted(range(len(histories)), key=lambda n: -compare.best(histories[n], how))
    tags = []
    for number in ranked:  # the best last, on top
        name = compare.names(histories)[number]
        best = number == ranked[-1]
        tags.append(_curve(axes, page, at, losses[number], number, name, best))
    place(page, tags)
    return figure


def _curve(
    axes: Axes,
    page: Axes,
    at: Scale,
    losses: Sequence[tuple[int, float]],
    number: int,
    name: str,
    best: bool,
) -> Tag:
    """A run's line, and its name at its end."""
    colour = YELLOW if best else MUTED
    x, y = zip(*losses, strict=True)
    axes.plot(x, y, color=BACKGROUND, lw=8)
    axes.plot(x, y, color=colour, ls=DASHES[number], lw=6, gid=f"val-line-{number}")
    size = 18 if len(x) <= 30 else 8
    look = {"color": colour, "ms": size, "mew": 5, "mfc": BACKGROUND}
    axes.plot(x, y, MARKERS[number], gid=f"evaluations-{number}", **look)  # type: ignore[arg-type]
    end_x, end_y = at.px(x[-1], y[-1])
    page.plot((end_x + 20, GUTTER), (end_y, end_y), ":", color=RULE, lw=3, zorder=1)
    lowest = min(y)
    note = f"{numbers.loss(lowest)}"
    if y[-1] - lowest >= 0.005:
        note += f" {words.when_done(x[y.index(lowest)])}, last {numbers.loss(y[-1])}"
    return Tag(drawable(name), note, end_y, YELLOW if best else LABEL, LARGE if best else BODY)
