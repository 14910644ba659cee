"""A curve in one row of characters: eight heights, gaps as spaces."""

from __future__ import annotations

from collections.abc import Sequence

from shakegpt_tui.plot.series import finite

BARS = "▁▂▃▄▅▆▇█"


def bars(ys: Sequence[float | None], width: int) -> str:
    """At most `width` bars for `ys`, the lowest value the lowest bar; long curves are averaged.

    >>> bars([4, None, 2, 3], 8)
    '█ ▁▅'
    """
    values = [_mean(ys[start:end]) for start, end in _parts(len(ys), width)]
    real = [value for value in values if value is not None]
    if not real:
        return " " * len(values)
    lo, span = min(real), (max(real) - min(real)) or 1.0
    return "".join(" " if v is None else BARS[round((v - lo) / span * 7)] for v in values)


def _parts(length: int, width: int) -> list[tuple[int, int]]:
    count = min(length, width)
    return [(k * length // count, (k + 1) * length // count) for k in range(count)]


def _mean(ys: Sequence[float | None]) -> float | None:
    real = [y for y in map(finite, ys) if y is not None]
    return sum(real) / len(real) if real else None
