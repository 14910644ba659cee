"""A curve in one row of characters: eight heights, gaps as spaces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from shakegpt_tui.plot.series import finite

BARS = "▁▂▃▄▅▆▇█"


def bars(ys: Sequence[float | None], width: int) -> str:
    """At most `width` bars for `ys`, the lowest value the lowest bar; long curves are averaged.

    >>> bars([4, None, 2, 3], 8)
    '█ ▁▅'
    """
    count = min(len(ys), width)
    ends = [k * len(ys) // count for k in range(count + 1)] if count else []
    values = [_mean(ys[start:end]) for start, end in pairwise(ends)]
    real = [value for value in values if value is not None]
    if not real:
        return " " * len(values)
    lo, span = min(real), (max(real) - min(real)) or 1.0
    return "".join(" " if v is None else BARS[round((v - lo) / span * 7)] for v in values)


def _mean(ys: Sequence[float | None]) -> float | None:
    real = [y for y in map(finite, ys) if y is not None]
    return sum(real) / len(real) if real else None
