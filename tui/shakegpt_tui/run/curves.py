"""The curves of a run: from its history, or straight from the log of a run beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shakegpt import format
from shakegpt.runlog.history import History, losses
from shakegpt_tui.plot.frame import Curve, Mark
from shakegpt_tui.plot.series import Series, finite

Point = tuple[int, float | None, float]
NO_LOSS = "no loss yet"
SMOOTH_FROM = 100
"""Points from which train loss is smoothed: fewer show their course themselves, and a moving
average lags behind them."""
LONG_LABELS_FROM = 70
"""Width in cells from which the label of a moving average is written out."""


@dataclass(frozen=True)
class Metric:
    """One measurement over iterations, and its latest value as text."""

    series: Series
    value: str


def of_history(history: History) -> list[Series]:
    """Train loss of every step and val loss of every evaluation, over iterations."""
    steps = ((i, step.loss, step.time) for i, step in history.steps.items())
    evals = ((i, e.val_loss, e.time) for i, e in history.evals.items())
    return [_series("train", steps), _series("val", evals)]


def of_run(run: Path) -> list[Series]:
    """The same of a run directory, reading no more of its log than that takes."""
    return of_history(losses(run))


def _series(kind: Literal["train", "val"], points: Iterable[Point]) -> Series:
    ordered = sorted(points, key=lambda point: point[0])  # a damaged log may be out of order
    xs, ys, times = zip(*ordered, strict=True) if ordered else ((), (), ())
    return Series(kind, kind, xs, ys, times, whole=kind == "val")


def marks(history: History) -> list[Mark]:
    """A mark at each sample and, once val loss has risen from its minimum, a line at that."""
    samples = {view.start.iteration for view in history.samples if not view.afterwards}
    marks = [Mark(iteration) for iteration in sorted(samples)]
    best, newest = history.best_eval, history.evals[max(history.evals)] if history.evals else None
    if best is None or newest is None or best.val_loss is None:
        return marks
    loss, noise = finite(newest.val_loss), best.standard_error or 0.0
    if loss is None or loss > best.val_loss + noise:
        marks.append(Mark(best.iteration, "note", f"best val {format.loss(best.val_loss, 3)}"))
    return marks


def metrics(history: History) -> list[Metric]:
    """What each step measured besides the loss."""
    steps = sorted(history.steps.items())
    xs = [iteration for iteration, _ in steps]

    def metric(name: str, ys: list[float | None], text: Callable[[float], str]) -> Metric:
        series = Series(name, "train", xs, ys)
        return Metric(series, "" if series.latest is None else text(series.latest))

    memory = [float(s.memory if s.gpu_memory is None else s.gpu_memory) for _, s in steps]
    unit, power = ("GiB", 30) if max(memory, default=0) >= 1 << 30 else ("MiB", 20)
    return [
        metric("gradient norm", [s.grad_norm for _, s in steps], "{:.3g}".format),
        metric("learning rate", [s.learning_rate for _, s in steps], format.rate),
        metric("tokens/s", [s.tokens_per_second for _, s in steps], "{:,.0f}".format),
        metric(f"memory {unit}", [count / 2**power for count in memory], "{:.4g}".format),
    ]


def end_label(name: str, series: Series) -> str:
    """`name` and the value at the end of the line."""
    return f"{name} {'NaN/inf' if series.broken else format.loss(series.latest, 3)}"


def train_curves(raw: Series, smooth: Series | None, weight: float, room: int) -> list[Curve]:
    """Train loss as it is drawn, each line labelled with the value at its own end.

    The raw losses alone (`smooth` None), else dim behind the moving average of that `weight`.
    `room` is the width in cells of the whole picture: a narrow one has short labels.
    """
    if smooth is None:
        return [Curve(raw, "train", end_label("train", raw))]
    name = f"train (EMA {weight:g})" if room >= LONG_LABELS_FROM else f"EMA {weight:g}"
    return [
        Curve(raw, "raw", end_label("raw", raw), behind=True),
        Curve(smooth, "train", end_label(name, smooth)),
    ]
