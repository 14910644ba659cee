"""A plot as characters: curves, axes, ticks and direct labels in a given number of cells.

A frame knows nothing of colours: each cell has a character and a role ("val", "axis", …), which a
widget turns into a style. Layers cover each other cell by cell, so colours never mix.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from shakegpt import format
from shakegpt_tui.plot import ticks
from shakegpt_tui.plot.raster import BRAILLE, Dot, Symbols, cells, trace
from shakegpt_tui.plot.series import SMALLEST, Extent, Point, Series, thin, x_extent, y_extent
from shakegpt_tui.plot.view import View

CELLS_A_TICK_ACROSS = 12
CELLS_A_TICK_DOWN = 3
LABELS_FROM = 44
"""Width in cells from which labels stand beside the curves' ends."""
LONG_LABELS_FROM = 70
"""Width in cells from which the label of a moving average is written out."""


@dataclass(frozen=True)
class Curve:
    """A series to draw, the role its cells get, and the label at its end ("" for none)."""

    series: Series
    role: str
    label: str = ""
    points: bool = False
    """Whether each point is marked, besides the line."""


def train_curves(raw: Series, smooth: Series | None, weight: float, room: int) -> list[Curve]:
    """Train loss as it is drawn, each line labelled with the value at its own end.

    The raw losses alone (`smooth` None), else dim behind the moving average of that `weight`.
    `room` is the width in cells of the whole picture: a narrow one has short labels.
    """
    if smooth is None:
        return [Curve(raw, "train", f"train {format.loss(raw.latest, 3)}")]
    name = f"train (EMA {weight:g})" if room >= LONG_LABELS_FROM else f"EMA {weight:g}"
    return [
        Curve(raw, "raw", f"raw {format.loss(raw.latest, 3)}"),
        Curve(smooth, "train", f"{name} {format.loss(smooth.latest, 3)}"),
    ]


@dataclass(frozen=True)
class Look:
    """How to draw: the symbols, whether y is logarithmic, whether there are axes."""

    symbols: Symbols = BRAILLE
    log: bool = False
    axes: bool = True


@dataclass
class Frame:
    """Characters and roles, row by row, and where in them the curves are."""

    chars: list[list[str]]
    roles: list[list[str]]
    left: int = 0
    top: int = 0
    width: int = 0
    height: int = 0
    x_range: Extent = (0.0, 1.0)
    y_range: Extent = (0.0, 1.0)
    log: bool = False
    across: int = 1
    down: int = 1
    """Dots of a cell."""

    def x_at(self, column: int) -> float:
        """The x under the middle of a column of the frame, clamped to the picture."""
        lo, hi = self.x_range
        share = (column - self.left) / max(self.width - 1, 1)
        return lo + (hi - lo) * min(max(share, 0.0), 1.0)

    def column_of(self, x: float) -> int | None:
        """The column of the frame that shows `x`; None when it is out of view."""
        lo, hi = self.x_range
        if not lo <= x <= hi:
            return None
        dot = round((x - lo) / (hi - lo) * (self.width * self.across - 1))
        return self.left + dot // self.across

    def row_of(self, y: float) -> int | None:
        """The row of the frame that shows `y`; None when it is out of view."""
        share = _share(y, self.y_range, self.log)
        if share is None or not 0 <= share <= 1:
            return None
        return self.top + round((1 - share) * (self.height * self.down - 1)) // self.down

    def put(self, column: int, row: int, text: str, role: str) -> None:
        """Write `text` into the frame; what does not fit is cut off."""
        if not 0 <= row < len(self.chars):
            return
        for i, char in enumerate(text, start=column):
            if 0 <= i < len(self.chars[row]):
                self.chars[row][i], self.roles[row][i] = char, role


def draw(
    curves: Sequence[Curve],
    width: int,
    height: int,
    view: View | None = None,
    look: Look | None = None,
) -> Frame:
    """Draw `curves` into `width` x `height` cells, the first at the back, the last on top."""
    view, look = view or View(), look or Look()
    window = view.window(x_extent([curve.series for curve in curves]))
    traces = [thin(curve.series, *window, buckets=max(width, 1)) for curve in curves]
    shown = [
        (curve.series.kind, [p for p in points if window[0] <= p[0] <= window[1]])
        for curve, points in zip(curves, traces, strict=True)
    ]
    frame = _empty(width, height)
    frame.x_range, frame.y_range, frame.log = window, y_extent(shown, look.log), look.log
    frame.across, frame.down = look.symbols.across, look.symbols.down
    tops = _y_ticks(frame, height) if look.axes else []
    _lay_out(frame, curves, tops, look)
    if frame.width < 2 or frame.height < 1:
        return _empty(width, height)
    if look.axes:
        _axes(frame, tops, look.symbols)
    for curve, points in zip(curves, traces, strict=True):
        _draw_curve(frame, curve, points, look.symbols)
    _label_curves(frame, curves, traces, look.symbols)
    return frame


def waiting(width: int, height: int) -> Frame:
    """What stands where curves will be as soon as there are any."""
    frame, note = _empty(width, height), "no loss yet"
    frame.put(max((width - len(note)) // 2, 0), height // 2, note, "note")
    return frame


def _empty(width: int, height: int) -> Frame:
    chars = [[" "] * width for _ in range(height)]
    roles = [[""] * width for _ in range(height)]
    return Frame(chars, roles, width=width, height=height)


def _y_ticks(frame: Frame, height: int) -> list[tuple[float, str]]:
    count = max((height - 2) // CELLS_A_TICK_DOWN, 1)
    make = ticks.log_ticks if frame.log else ticks.ticks
    values = make(*frame.y_range, count)
    return list(zip(values, ticks.labels(values), strict=True))


def _lay_out(
    frame: Frame, curves: Sequence[Curve], tops: list[tuple[float, str]], look: Look
) -> None:
    """Take room from the frame for tick labels, axes and the curves' labels."""
    total = frame.width
    longest = max((len(curve.label) for curve in curves), default=0)
    if longest and total >= LABELS_FROM:
        frame.width -= longest + 2
    elif longest and frame.height >= 6:
        frame.top, frame.height = 1, frame.height - 1
    if look.axes:
        frame.left = max((len(label) for _, label in tops), default=0) + 1
        frame.width -= frame.left
        frame.height -= 2


def _axes(frame: Frame, tops: list[tuple[float, str]], symbols: Symbols) -> None:
    axis, bottom = frame.left - 1, frame.top + frame.height
    for row in range(frame.top, bottom):
        frame.put(axis, row, symbols.down_line, "axis")
    frame.put(axis, bottom, symbols.corner + symbols.across_line * frame.width, "axis")
    for value, label in tops:
        if (row_of := frame.row_of(value)) is not None:
            frame.put(frame.left, row_of, symbols.grid * frame.width, "grid")
            frame.put(axis, row_of, symbols.tick_left, "axis")
            frame.put(axis - len(label), row_of, label, "tick")
    _x_axis(frame, bottom, symbols)


def _x_axis(frame: Frame, row: int, symbols: Symbols) -> None:
    count = max(frame.width // CELLS_A_TICK_ACROSS, 1)
    values = ticks.ticks(*frame.x_range, count, whole=True)
    free = 0  # the first column that no label covers yet
    for value, label in zip(values, ticks.labels(values), strict=True):
        column = frame.column_of(value)
        if column is None:
            continue
        frame.put(column, row, symbols.tick_below, "axis")
        start = min(max(column - len(label) // 2, 0), len(frame.chars[0]) - len(label))
        if start >= free:
            frame.put(start, row + 1, label, "tick")
            free = start + len(label) + 1


def _draw_curve(frame: Frame, curve: Curve, points: Sequence[Point], symbols: Symbols) -> None:
    across, down = frame.width * symbols.across, frame.height * symbols.down
    layer = trace(_dots(frame, points, across, down), across, down)
    chars, roles, top, left = frame.chars, frame.roles, frame.top, frame.left
    for column, row, char in cells(layer, symbols):
        chars[top + row][left + column], roles[top + row][left + column] = char, curve.role
    if curve.points and len(points) <= frame.width // 2:
        for x, y in points:
            column_of, row_of = frame.column_of(x), y is not None and frame.row_of(y)
            if column_of is not None and row_of is not None and row_of is not False:
                frame.put(column_of, row_of, symbols.point, curve.role)


def _dots(frame: Frame, points: Sequence[Point], across: int, down: int) -> list[Dot]:
    (lo, hi), scale = frame.x_range, across - 1
    dots: list[Dot] = []
    for x, y in points:
        share = None if y is None else _share(y, frame.y_range, frame.log)
        row = None if share is None else (1 - share) * (down - 1)
        dots.append(((x - lo) / (hi - lo) * scale, row))
    return dots


def _share(y: float, extent: Extent, log: bool) -> float | None:
    """Where y is in the picture: 0 at the bottom, 1 at the top; None where it cannot be."""
    lo, hi = extent
    if log:
        if y < SMALLEST:
            return None
        lo, hi, y = math.log(lo), math.log(hi), math.log(y)
    return min(max((y - lo) / (hi - lo), -9.0), 9.0)  # far outside is outside: dots stay small


def _label_curves(
    frame: Frame, curves: Sequence[Curve], traces: Sequence[Sequence[Point]], symbols: Symbols
) -> None:
    lo, hi = frame.x_range
    named = [
        (curve, points)
        for curve, points in zip(curves, traces, strict=True)
        if curve.label and any(lo <= x <= hi for x, _ in points)
    ]
    if frame.left + frame.width == len(frame.chars[0]):
        return _legend(frame, [curve for curve, _ in named])
    ends = sorted(((-_end(frame, points), i) for i, (_, points) in enumerate(named)))
    rows = [frame.top + round((1 + end) * (frame.height * frame.down - 1)) // frame.down
            for end, _ in ends]  # fmt: skip
    for row, (_, i) in zip(_spread(rows, frame.top + frame.height), ends, strict=True):
        curve = named[i][0]
        frame.put(frame.left + frame.width, row, symbols.lead + " " + curve.label, curve.role)
    return None


def _legend(frame: Frame, curves: Sequence[Curve]) -> None:
    column = frame.left
    for curve in reversed(curves) if frame.top else ():
        frame.put(column, 0, curve.label, curve.role)
        column += len(curve.label) + 2


def _end(frame: Frame, points: Sequence[Point]) -> float:
    """How high in the picture, from 0 to 1, a curve leaves it to the right."""
    for x, y in reversed(points):
        if y is not None and x <= frame.x_range[1]:
            share = _share(y, frame.y_range, frame.log)
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
