"""Bars of characters: a curve in one row, in eight heights; and a share, in eighths of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from shakegpt_tui.plot.series import finite

BARS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉"


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


def bar(share: float, width: int) -> str:
    """A bar of `width` cells at most, in eighths of a cell, padded.

    >>> bar(0.5, 3)
    '█▌ '
    """
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[part] if part else "")).ljust(width)


def _mean(ys: Sequence[float | None]) -> float | None:
    real = [y for y in map(finite, ys) if y is not None]
    return sum(real) / len(real) if real else None
