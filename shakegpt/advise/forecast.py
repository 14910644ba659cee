"""From the val losses of short runs to that of a longer one, with an interval.

A finetuning loss falls by a similar amount with every doubling of the tokens, shrinking from one
doubling to the next: a power law above a floor (Hernandez et al. 2021, "Scaling Laws for
Transfer").
A short curve fixes the latest fall well and its shrinking badly: texts that differ much from what
the model knows fall fast at first, and then some go on as a power law while others, such as log
lines, soon reach their floor. The shrinking is therefore the geometric mean of the usual one and
of the curve's own, and the interval reaches from none to the square of the curve's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SHRINK = 0.9
"""What each doubling's fall is of the fall before, usually."""
LEAST, MOST = 0.3, 1.0
"""Bounds on what is believed of a measured shrinking."""
FASTEST = 0.8
"""The interval allows at least for a shrinking as fast as this."""
FLOOR = 0.01
"""Half the interval is at least this share of the loss."""


@dataclass(frozen=True)
class Forecast:
    """A val loss in nats per token, and the interval in which it is expected."""

    loss: float
    low: float
    high: float


def forecast(curve: Sequence[tuple[int, float]], target: int) -> Forecast:
    """The loss after `target` tokens, from (tokens, loss) of one or more lengths, ascending.

    Of one length, or of a curve that rises at its end, the loss stays what it was.
    """
    points = [(math.log2(tokens), loss) for tokens, loss in curve]
    falls = [
        ((x + next_x) / 2, max(0.0, (loss - next_loss) / (next_x - x)))
        for (x, loss), (next_x, next_loss) in pairwise(points)
    ]  # (middle in doublings, nats per doubling)
    at, fall = falls[-1] if falls else (points[-1][0], 0.0)
    seen = SHRINK
    if len(falls) > 1 and fall > 0 and falls[-2][1] > 0:
        before_at, before = falls[-2]
        seen = min(MOST, max(LEAST, (fall / before) ** (1 / (at - before_at))))
    end, loss = points[-1]
    last = math.log2(max(target, curve[-1][0]))
    ratios = (math.sqrt(SHRINK * seen), 1.0, min(FASTEST, seen**2))
    center, low, high = (loss - fall * _integral(ratio, end - at, last - at) for ratio in ratios)
    floor = FLOOR * loss
    return Forecast(center, min(low, center - floor), max(high, center + floor))


def _integral(ratio: float, begin: float, end: float) -> float:
    """Of ratio ** x from `begin` to `end`."""
    if ratio == 1:
        return end - begin
    return (math.pow(ratio, end) - math.pow(ratio, begin)) / math.log(ratio)
