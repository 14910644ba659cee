"""One sentence on how a run is going, from its numbers alone: learning, levelled off, memorizing,
diverging. Console, terminal UI, log and `--patience` use the same rules.

The rules use the evaluations, which always measure the same windows, and the mean train loss of the
iterations between two of them. They are tried from top to bottom; the first that applies decides.

1. diverging: the latest val loss is not finite, or more than `DIVERGED` above the first one, and
   train loss is above that too: a text learned by heart ends with a high val loss, but a low train
   loss.
2. memorizing: val loss has risen by more than `RISE` since its best evaluation, while train loss
   fell by more than `TRAIN_FALL`, and the text has been seen more than once. rising: the same
   without a falling train loss, or within the first epoch, in which nothing is seen again.
3. gap: train loss is more than `GAP` below val loss.
4. learning: val loss fell by more than `LEVEL` of its whole fall, and by more than `RISE`, between
   the latest two evaluations. level: it did not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from shakegpt.runlog.history import History
from shakegpt.runlog.schema import Advice, Eval

Rule = Literal["diverging", "memorizing", "rising", "gap", "learning", "level"]

DIVERGED = 0.1
"""Nats above the first val loss."""
RISE = 0.005
"""Nats between two evaluations that count as a change; the windows are the same, so the noise of
sampling them cancels."""
TRAIN_FALL = 0.05
"""Nats of train loss that count as a fall; each mean is of other windows."""
GAP = 0.5
"""Nats of train loss below val loss."""
LEVEL = 0.02
"""Share of the whole fall, within one interval between evaluations."""


def advice(history: History, epochs: float) -> Advice | None:
    """What the evaluations so far say of a run that has seen its text `epochs` times; None before
    there are two.
    """
    evals = [history.evals[k] for k in sorted(history.evals)]
    if len(evals) < 2:
        return None
    rule, sentence = _verdict(history, evals, epochs)
    return Advice(rule=rule, iteration=evals[-1].iteration, sentence=sentence)


def _verdict(history: History, evals: Sequence[Eval], epochs: float) -> tuple[Rule, str]:
    """The rule that holds, and its sentence."""
    train = _train_loss(history, evals[-1].iteration)
    if (diverging := _diverging(evals[0], evals[-1], train)) is not None:
        return "diverging", diverging
    points = [(e.iteration, e.val_loss) for e in evals if e.val_loss is not None]
    best_at, best = min(points, key=lambda point: point[1])
    (before_at, before), (last_at, last) = points[-2:]
    if last - best > RISE:
        rise = f"best was iteration {best_at:,} ({best:.2f}); val loss rose by {last - best:.2f}"
        train_then = _train_loss(history, best_at)
        fell = train is not None and train_then is not None and train_then - train > TRAIN_FALL
        if fell and epochs > 1:
            return "memorizing", f"{rise} while train loss fell: it memorizes the text"
        return "rising", f"{rise} since: a lower learning rate may help"
    if train is not None and last - train > GAP:
        return "gap", f"train loss is {last - train:.1f} below val loss: it begins to memorize"
    fall = before - last
    if fall > RISE and fall > LEVEL * (points[0][1] - best):
        step = fall / (last_at - before_at)
        return "learning", f"still learning: val loss falls by {step:.2g} an iteration"
    return "level", f"levelled off: val loss moved by {abs(fall):.3f} since iteration {before_at:,}"


def evaluations_since_best(history: History) -> int:
    """Number of latest evaluations that have not beaten the best one by more than `RISE`, for
    `--patience`. A val loss that is not finite never does.
    """
    best, count = math.inf, 0
    for iteration in sorted(history.evals):
        loss = history.evals[iteration].val_loss
        if loss is not None and loss < best - RISE:
            best, count = loss, 0
        else:
            count += 1
    return count


def _diverging(first: Eval, last: Eval, train: float | None) -> str | None:
    if last.val_loss is None or not math.isfinite(last.val_loss):
        return "val loss is not finite: this rate diverges; try a third of it"
    if first.val_loss is None or (train is not None and train < first.val_loss):
        return None
    if last.val_loss - first.val_loss > DIVERGED:
        rise = last.val_loss - first.val_loss
        return f"val loss is {rise:.2g} above its start: this rate diverges; try a third of it"
    return None


def _train_loss(history: History, iteration: int) -> float | None:
    """Mean train loss of the iterations up to `iteration` since the evaluation before it."""
    before = max((k for k in history.evals if k < iteration), default=0)
    losses = [
        step.loss
        for k, step in history.steps.items()
        if before < k <= iteration and step.loss is not None and math.isfinite(step.loss)
    ]
    return fmean(losses) if losses else None
