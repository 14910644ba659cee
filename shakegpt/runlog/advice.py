"""One sentence on how a run is going, from its numbers alone: learning, levelled off, memorizing,
diverging. Console, terminal UI, log and `--patience` use the same rules.

The rules use the evaluations, which always measure the same windows, and the mean train loss of the
iterations between two of them. They are tried from top to bottom; the first that applies decides.

1. diverging: the latest val loss is not finite, or more than `DIVERGED` above the first one, and
   train loss is above that too: a text learned by heart ends with a high val loss, but a low train
   loss.
2. memorizing: val loss has risen by more than `RISE` since its best evaluation, while train loss
   fell by more than `TRAIN_FALL` or is more than `GAP` below val loss, and the text has been seen
   more than once. rising: the same without a low or falling train loss, or within the first epoch,
   in which nothing is seen again.
3. gap: train loss is more than `GAP` below val loss.
4. learning: the latest val loss is below the best one before it, by more than `RISE` and by more
   than `LEVEL` of the whole fall. level: it is not.

Evaluations that were not finite count only as the latest one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal, TypeGuard

from shakegpt.format import loss
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
"""Share of the whole fall, since the best evaluation before."""
SHOWN = 0.001
"""Least fall that is shown, in nats; a slower one is that of several iterations."""


def advice(history: History, epochs: float) -> Advice | None:
    """What the evaluations so far say of a run that has seen its text `epochs` times; None before
    there are two.
    """
    evals = [history.evals[k] for k in sorted(history.evals)]
    if len(evals) < 2 or (verdict := _verdict(history, evals, epochs)) is None:
        return None
    rule, sentence = verdict
    return Advice(rule=rule, iteration=evals[-1].iteration, sentence=sentence)


def _verdict(history: History, evals: Sequence[Eval], epochs: float) -> tuple[Rule, str] | None:
    """The rule that holds, and its sentence; None where only the latest val loss is finite."""
    train = _train_loss(history, evals[-1].iteration)
    points = [(e.iteration, e.val_loss) for e in evals if _finite(e.val_loss)]
    if (diverging := _diverging(evals[0], evals[-1], train)) is not None:
        return "diverging", diverging
    if len(points) < 2:
        return None
    *before, (last_at, last) = points
    best_at, best = min(before, key=lambda point: point[1])
    if last - best > RISE:
        rise = f"best was iteration {best_at:,} ({loss(best, 2)}); val loss rose by "
        rise += loss(last - best, 2)
        train_then = _train_loss(history, best_at)
        if epochs > 1 and train is not None:
            if train_then is not None and train_then - train > TRAIN_FALL:
                return "memorizing", f"{rise} while train loss fell: it memorizes the text"
            if last - train > GAP:
                below = f"and is {loss(last - train, 1)} above train loss"
                return "memorizing", f"{rise} {below}: it memorizes the text"
        return "rising", f"{rise} since: a lower learning rate may help"
    if train is not None and last - train > GAP:
        why = (
            "it begins to memorize"
            if epochs > 1
            else "within the first epoch, so the two parts of the text differ"
        )
        return "gap", f"train loss is {loss(last - train, 1)} below val loss: {why}"
    fall = best - last
    if fall > RISE and fall > LEVEL * (points[0][1] - last):
        return "learning", f"still learning: val loss falls by {_slope(fall, last_at - best_at)}"
    return "level", f"levelled off: val loss moved by {abs(fall):.3f} since iteration {best_at:,}"


def _slope(fall: float, iterations: int) -> str:
    """A fall per iteration, or per 10, 100, … where it would not be shown."""
    several = 1
    while several * fall < SHOWN * iterations:
        several *= 10
    span = "an iteration" if several == 1 else f"in {several:,} iterations"
    return f"{several * fall / iterations:.2g} {span}"


def evaluations_since_best(history: History) -> int:
    """Number of latest evaluations that have not beaten the best one by more than `RISE`, for
    `--patience`. A val loss that is not finite never does.
    """
    best, count = math.inf, 0
    for iteration in sorted(history.evals):
        val_loss = history.evals[iteration].val_loss
        if _finite(val_loss) and val_loss < best - RISE:
            best, count = val_loss, 0
        else:
            count += 1
    return count


def _diverging(first: Eval, last: Eval, train: float | None) -> str | None:
    if not _finite(last.val_loss):
        return "val loss is not finite: this rate diverges; try a third of it"
    if not _finite(first.val_loss) or (train is not None and train < first.val_loss):
        return None
    if last.val_loss - first.val_loss > DIVERGED:
        rise = last.val_loss - first.val_loss
        return f"val loss is {loss(rise, 1)} above its start: this rate diverges; try a third of it"
    return None


def _finite(val_loss: float | None) -> TypeGuard[float]:
    return val_loss is not None and math.isfinite(val_loss)


def _train_loss(history: History, iteration: int) -> float | None:
    """Mean train loss of the iterations up to `iteration` since the evaluation before it."""
    before = max((k for k in history.evals if k < iteration), default=0)
    losses = [
        step.loss
        for k, step in history.steps.items()
        if before < k <= iteration and step.loss is not None and math.isfinite(step.loss)
    ]
    return fmean(losses) if losses else None
