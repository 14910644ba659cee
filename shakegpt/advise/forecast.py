"""From the val losses of short runs to that of a longer one, with an interval.

A finetuning loss falls by a power of the tokens to a floor (Hernandez et al. 2021, "Scaling Laws
for Transfer"): by some amount in the last doubling of the tokens, and in each further doubling by
`ratio` of the fall before. Texts differ most in that ratio: for log lines, which soon reach their
floor, it is about 0.4, for books 0.9 and more; and a short curve shows it badly. So every ratio is
weighed by how well the power law with it fits the measured losses (a least-squares fit of floor and
fall, the latest losses counting most) and by how usual it is; the forecast is the median of what
they give together. The interval holds nine tenths of it and is the wider the further ahead it is.
The constants are those that forecast the runs of docs/advice.md best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

USUAL, SPREAD = 0.97, 0.6
"""Of the falls of two successive doublings: the usual ratio, and the standard deviation of the
logarithm of its exponent, -log2(ratio)."""
EXPONENTS = np.exp(np.linspace(math.log(0.02), math.log(3), 96))
NOISE = 0.003
"""Standard deviation of a loss from its power law, as a share of it; for each doubling before the
last loss once more."""
SIDE = 0.015
"""Half the interval is at least this share of the loss, and as much again for each doubling of the
tokens beyond the longest short run."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """A val loss in nats per token, and the interval that holds it in nine of ten cases."""

    loss: float
    low: float
    high: float


def forecast(curve: Sequence[tuple[int, float]], target: int) -> Forecast:
    """The loss after `target` tokens, from (tokens, loss) of one or more lengths, ascending.

    Of one length, or of a curve that rises at its end, the loss stays what it was.
    """
    tokens, losses = (np.array(column, np.float64) for column in zip(*curve, strict=True))
    last = float(losses[-1])
    if len(curve) == 1 or target <= tokens[-1] or last >= losses[-2]:
        return Forecast(last, last * (1 - SIDE), last * (1 + SIDE))
    doublings = np.log2(tokens / tokens[-1])  # (n,), 0 for the last
    means, deviations, weights = _fits(doublings, losses, math.log2(target / tokens[-1]))
    draws = np.linspace(-3, 3, 61)
    values = means[:, None] + deviations[:, None] * draws  # of each ratio's normal distribution
    shares = weights[:, None] * np.exp(-(draws**2) / 2)
    order = np.argsort(values, axis=None)
    summed = np.cumsum(shares.ravel()[order])
    at = np.searchsorted(summed, summed[-1] * np.array([0.05, 0.5, 0.95]))
    low, center, high = values.ravel()[order][at].tolist()
    side = SIDE * center * (1 + math.log2(target / tokens[-1]))
    return Forecast(center, min(low, center - side), max(high, center + side))


def _fits(doublings: Floats, losses: Floats, ahead: float) -> tuple[Floats, Floats, Floats]:
    """For each exponent: mean and standard deviation of the loss `ahead` doublings after the last,
    and the weight of that exponent; each of shape (exponents,).
    """
    fall = (losses[-2] - losses[-1]) / -doublings[-2]
    variances = (NOISE * losses * (1 - doublings)) ** 2  # (n,)
    means, deviations, weights = [], [], []
    for exponent in EXPONENTS:
        # What the last loss and the last doubling's fall count for, in each loss, in the one ahead
        # and in the floor: (n + 2, 2)
        powers = 2 ** (-exponent * np.append(doublings, [ahead, math.inf]))
        rows = np.stack([np.ones_like(powers), (powers - 1) / (2**exponent - 1)], 1)
        measured, then, floor = rows[:-2], rows[-2], rows[-1]
        covariance = np.linalg.inv(measured.T @ (measured / variances[:, None]))
        best = covariance @ (measured.T @ (losses / variances))
        misfit = float(((losses - measured @ best) ** 2 / variances).sum())
        unusual = math.log(exponent / -math.log2(USUAL)) / SPREAD
        below = min(0.0, float(floor @ best)) / fall  # a loss below zero there cannot be
        error = misfit + unusual**2 + below**2
        means.append(float(then @ best))
        deviations.append(math.sqrt(then @ covariance @ then + (NOISE * means[-1]) ** 2))
        weights.append(math.sqrt(float(np.linalg.det(covariance))) * math.exp(-error / 2))
    return np.array(means), np.array(deviations), np.array(weights)
