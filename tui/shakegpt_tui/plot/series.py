"""Curves as numbers, before any drawing: series, smoothing, thinning, extents, readings.

A value that is missing (None), NaN or infinite is a gap: it breaks a line, widens no scale and is
read as "no value". Everything here is plain Python on plain sequences, so that it imports fast.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

Point = tuple[float, float | None]
"""(x, y); y None is a gap."""
Extent = tuple[float, float]
"""(lowest, highest)."""

LARGEST = 1e100
"""Beyond this a value is as good as infinite, and squares of it still fit a float."""
SMALLEST = 1 / LARGEST
"""Below this a value has no logarithm to draw."""
OUTLIERS = 0.01
"""Share of noisy values at either end that may leave the picture, so that one spike does not
flatten the rest; short curves (fewer than 1 / OUTLIERS points) are always shown whole."""


@dataclass(frozen=True)
class Series:
    """One curve. `xs` ascend; `ys` may hold None, NaN and infinities.

    `times` are seconds since 1970, one for each point, or none at all.
    """

    name: str
    kind: str
    """The caller's own word for what it is; "smooth" once smoothed."""
    xs: Sequence[float]
    ys: Sequence[float | None]
    times: Sequence[float] = ()
    whole: bool = False
    """Whether every value stays in the picture; else a spike may leave it (`OUTLIERS`)."""

    def __post_init__(self) -> None:
        """Raise ValueError when the lengths do not agree."""
        lengths = len(self.xs), len(self.ys), len(self.times) or len(self.xs)
        if len(set(lengths)) > 1:
            raise ValueError(f"xs, ys and times of {self.name!r} differ in length: {lengths}")

    @cached_property
    def bounds(self) -> tuple[list[float], list[float]]:
        """`ys` with gaps as infinities that lose against any value: for minima, for maxima."""
        lows = [y if y is not None and -LARGEST < y < LARGEST else math.inf for y in self.ys]
        if math.inf not in lows:
            return lows, lows
        return lows, [-math.inf if y == math.inf else y for y in lows]

    @property
    def broken(self) -> bool:
        """Whether the newest point has no value."""
        return len(self.ys) > 0 and finite(self.ys[-1]) is None

    @property
    def latest(self) -> float | None:
        """The last finite value, None when there is none."""
        return next((y for y in map(finite, reversed(self.ys)) if y is not None), None)


@dataclass(frozen=True)
class Reading:
    """What a curve says at a place: the point that is nearest to it."""

    series: Series
    x: float
    y: float | None
    time: float | None


def finite(y: float | None) -> float | None:
    """`y`, or None where there is no number to draw."""
    return y if y is not None and -LARGEST < y < LARGEST else None


def smoothed(series: Series, weight: float) -> Series:
    """`series` under an exponential moving average that forgets at `weight` (0: not at all smooth).

    Debiased, as Adam's averages are: the first values are means of what was seen, not pulled
    towards zero. Gaps stay gaps and leave the average as it was.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"smoothing weight {weight} must be at least 0 and below 1")
    mean, seen, new = 0.0, 0.0, 1 - weight
    ys: list[float | None] = []
    for y in series.bounds[0]:
        if y == math.inf:
            ys.append(None)
            continue
        mean = weight * mean + new * y
        seen = weight * seen + new
        ys.append(mean / seen)
    return replace(series, kind="smooth", ys=ys)


def thin(series: Series, lo: float, hi: float, buckets: int) -> list[Point]:
    """The points of the window [lo, hi], at most the lowest and the highest of each bucket.

    Both extremes of a bucket stay, in their order, so no spike is lost; one point beyond either
    end stays too, so that lines run to the edge of the picture. A bucket without a finite value
    is a gap.
    """
    first = max(0, bisect_left(series.xs, lo) - 1)
    last = min(len(series.xs), bisect_right(series.xs, hi) + 1)
    if last - first <= 2 * buckets or hi <= lo:
        return [(series.xs[i], finite(series.ys[i])) for i in range(first, last)]
    points: list[Point] = []
    start = first
    for bucket in range(1, buckets + 1):
        end = bisect_left(series.xs, lo + (hi - lo) * bucket / buckets, start, last)
        points += _extremes(series, start, end if bucket < buckets else last)
        start = end
    return points


def _extremes(series: Series, start: int, end: int) -> list[Point]:
    if start >= end:
        return []
    lows, highs = series.bounds
    lowest, highest = min(lows[start:end]), max(highs[start:end])
    if lowest == math.inf:
        return [(series.xs[start], None)]
    low, high = lows.index(lowest, start, end), highs.index(highest, start, end)
    first = (series.xs[low], lowest)
    last = (series.xs[high], highest)
    return [first] if low == high else [first, last] if low < high else [last, first]


def x_extent(curves: Sequence[Series]) -> Extent:
    """First and last x of all curves, at least 1 apart; (0, 1) when there is no point."""
    ends = [x for series in curves if len(series.xs) for x in (series.xs[0], series.xs[-1])]
    lo, hi = min(ends, default=0.0), max(ends, default=1.0)
    return lo, max(hi, lo + 1.0)


def y_extent(curves: Sequence[tuple[bool, Sequence[Point]]], log: bool) -> Extent:
    """The range of values to show of (whole, points): whole, or but for outliers; never empty.

    With `log` only positive values count, as only they can be drawn.
    """
    shown: list[float] = []
    for whole, points in curves:
        ys = sorted(y for _, y in points if y is not None and (y > SMALLEST or not log))
        cut = 0 if whole else int(len(ys) * OUTLIERS)
        shown += ys[cut : len(ys) - cut]
    if not shown:
        return (1.0, 10.0) if log else (0.0, 1.0)
    return _widened(min(shown), max(shown), log)


def _widened(lo: float, hi: float, log: bool) -> Extent:
    """A flat curve gets room above and below, any other a little."""
    if log:
        factor = (hi / lo) ** 0.04 if hi > lo else 1.1
        return lo / factor, hi * factor
    margin = (hi - lo) * 0.04 if hi > lo else abs(hi) * 0.1 or 0.1
    return lo - margin, hi + margin


def nearest(xs: Sequence[float], x: float) -> int | None:
    """Index of the element of ascending `xs` that is nearest to `x`; None when there is none."""
    if not len(xs):
        return None
    right = min(bisect_left(xs, x), len(xs) - 1)
    left = max(right - 1, 0)
    return left if x - xs[left] <= xs[right] - x else right


def read(series: Series, x: float) -> Reading | None:
    """The point of `series` nearest to `x`; None when it has no point."""
    index = nearest(series.xs, x)
    if index is None:
        return None
    time = series.times[index] if series.times else None
    return Reading(series, series.xs[index], finite(series.ys[index]), time)
