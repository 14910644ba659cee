"""Labels of curves: each at its curve's end, in one row where there is no room beside them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from shakegpt_tui.plot.frame import Curve, Frame
from shakegpt_tui.plot.raster import Symbols
from shakegpt_tui.plot.series import Point

LABELS_FROM = 44
"""Width in cells from which labels stand beside the curves' ends."""
LOW = 6
"""Height in rows from which a narrow picture has a row of labels."""


def label_curves(
    frame: Frame, curves: Sequence[Curve], traces: Sequence[Sequence[Point]], symbols: Symbols
) -> None:
    """Write the labels of the curves that are in view."""
    lo, hi = frame.x_range
    named = [
        (curve, points)
        for curve, points in zip(curves, traces, strict=True)
        if curve.label and any(lo <= x <= hi for x, _ in points)
    ]
    if frame.left + frame.width == len(frame.chars[0]):
        return _legend(frame, [curve for curve, _ in named], symbols)
    ends = sorted(((-_end(frame, points), i) for i, (_, points) in enumerate(named)))
    rows = [frame.top + round((1 + end) * (frame.height * frame.down - 1)) // frame.down
            for end, _ in ends]  # fmt: skip
    for row, (_, i) in zip(_spread(rows, frame.top + frame.height), ends, strict=True):
        curve = named[i][0]
        frame.put(frame.left + frame.width, row, _key(curve, symbols) + curve.label, curve.role)
    return None


def _key(curve: Curve, symbols: Symbols) -> str:
    """A piece of the line that leads to its label: broken where the line is."""
    return (" " if curve.dash else symbols.lead) + " "


def _legend(frame: Frame, curves: Sequence[Curve], symbols: Symbols) -> None:
    column = frame.left
    dashed = any(curve.dash for curve in curves)
    for curve in reversed(curves) if frame.top else ():
        line = (symbols.grid if curve.dash else symbols.across_line) * 2 + " " if dashed else ""
        frame.put(column, 0, line + curve.label, curve.role)
        column += len(line) + len(curve.label) + 2


def _end(frame: Frame, points: Sequence[Point]) -> float:
    """How high in the picture, from 0 to 1, a curve leaves it to the right."""
    for x, y in reversed(points):
        if y is not None and x <= frame.x_range[1]:
            share = frame.share(y)
            if share is not None:
                return min(max(share, 0.0), 1.0)
    return 1.0


def _spread(rows: list[int], bottom: int) -> list[int]:
    """Ascending `rows` moved as little as keeps them apart and above `bottom`."""
    placed: list[int] = []
    for row in rows:
        placed.append(max(row, placed[-1] + 1) if placed else row)
    limit = bottom
    for i in reversed(range(len(placed))):
        limit = placed[i] = min(placed[i], limit - 1)
    return placed


def plain_label(text: str) -> str:
    """`text` with every character that is not one cell wide replaced, as frames need it."""
    return "".join("?" if _odd(char) else char for char in text)


def _odd(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF" or unicodedata.category(char)[0] in "MC"
