"""Where an axis has its ticks and how they are labelled: in steps of 1, 2 and 5, log axes too."""

from __future__ import annotations

import math
from itertools import pairwise

DECADES_OF_TICKS = 1.0
"""A log axis shorter than this is ticked as a linear one is: 2, 3, 4 rather than 1, 10."""


def nice_step(span: float, count: int) -> float:
    """The smallest of 1, 2, 5 x 10^k that divides `span` into at most `count` parts."""
    if not (span > 0 and math.isfinite(span)) or count < 1:
        raise ValueError(f"no ticks for a span of {span} in {count} parts")
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    # The tolerance lets 0.3 / 3 take steps of 0.1 in spite of binary fractions.
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))


def ticks(lo: float, hi: float, count: int, *, whole: bool = False) -> list[float]:
    """At most `count` + 1 multiples of a nice step in [lo, hi]; whole numbers only on request."""
    step = nice_step(hi - lo, max(count, 1))
    if whole:
        step = max(step, 1.0)
    first = math.ceil(lo / step - 1e-9)
    last = math.floor(hi / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def log_ticks(lo: float, hi: float, count: int) -> list[float]:
    """At most about `count` ticks in [lo, hi] for an axis of logarithms; `lo` is positive."""
    decades = math.log10(hi / lo)
    if decades < DECADES_OF_TICKS:
        return [tick for tick in ticks(lo, hi, count) if tick > 0]
    for mantissas in ((1, 2, 5), (1,)):
        values = _mantissa_ticks(lo, hi, mantissas)
        if len(values) <= count + 1:
            return values
    every = math.ceil(len(values) / max(count, 1))
    return values[::every]


def _mantissa_ticks(lo: float, hi: float, mantissas: tuple[int, ...]) -> list[float]:
    powers = range(math.floor(math.log10(lo)), math.floor(math.log10(hi)) + 1)
    values = (m * 10.0**power for power in powers for m in mantissas)
    return [tick for tick in values if lo * (1 - 1e-9) <= tick <= hi * (1 + 1e-9)]


def labels(values: list[float]) -> list[str]:
    """The ticks in as few characters as tell them apart: 2.5, 3.0; 0, 10k, 20k; 1e-05."""
    if not values:
        return []
    gap = min((b - a for a, b in pairwise(values)), default=abs(values[0]) or 1.0)
    largest = max(map(abs, values))
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if largest >= 10 * unit:
            return [_label(v / unit, gap / unit) + suffix if v else "0" for v in values]
    return [_label(value, gap) for value in values]


def _label(value: float, gap: float) -> str:
    if 0 < abs(value) < 1e-4 or abs(value) >= 1e7:
        return f"{value:.3g}"
    return f"{value:.{_decimals(gap)}f}"


def _decimals(gap: float) -> int:
    """Digits after the point that show a multiple of `gap`; 0.25 needs two."""
    for digits in range(7):
        if abs(round(gap, digits) - gap) <= gap * 1e-6:
            return digits
    return 6
