"""The curves of a run: from its history, or straight from the log of a run beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from shakegpt.runlog.history import History, losses
from shakegpt_tui.plot.series import Kind, Series

Point = tuple[int, float | None, float]


def of_history(history: History) -> list[Series]:
    """Train loss of every step and val loss of every evaluation, over iterations."""
    steps = ((i, step.loss, step.time) for i, step in history.steps.items())
    evals = ((i, e.val_loss, e.time) for i, e in history.evals.items())
    return [_series("train", steps), _series("val", evals)]


def of_run(run: Path) -> list[Series]:
    """The same of a run directory, reading no more of its log than that takes."""
    return of_history(losses(run))


def _series(kind: Kind, points: Iterable[Point]) -> Series:
    ordered = sorted(points, key=lambda point: point[0])  # a damaged log may be out of order
    xs, ys, times = zip(*ordered, strict=True) if ordered else ((), (), ())
    return Series(kind, kind, xs, ys, times)
