"""Curves, axes, marks and labels in a given number of cells."""

from __future__ import annotations

from collections.abc import Sequence

from shakegpt_tui.plot.axes import draw_axes, draw_guides, name_axis, y_ticks
from shakegpt_tui.plot.frame import Curve, Frame, Look, Mark
from shakegpt_tui.plot.labels import LABELS_FROM, LOW, label_curves
from shakegpt_tui.plot.raster import Dot, Layer, Symbols, cells, thicken, trace
from shakegpt_tui.plot.series import Point, thin, x_extent, y_extent
from shakegpt_tui.plot.view import View


def draw(
    curves: Sequence[Curve],
    width: int,
    height: int,
    view: View | None = None,
    look: Look | None = None,
    *,
    limit: float | None = None,
    marks: Sequence[Mark] = (),
) -> Frame:
    """Draw `curves` into `width` x `height` cells, the first at the back, the last on top.

    The whole view of x reaches to `limit` at least, so that the room left is what is to come.
    """
    view, look = view or View(), look or Look()
    first, last = x_extent([curve.series for curve in curves])
    window = view.window((first, max(last, limit or last) if view.span is None else last))
    traces = [thin(curve.series, *window, buckets=max(width, 1)) for curve in curves]
    shown = [
        (curve.series.whole, [p for p in points if window[0] <= p[0] <= window[1]])
        for curve, points in zip(curves, traces, strict=True)
    ]
    frame = Frame.blank(width, height)
    frame.x_range, frame.y_range, frame.log = window, y_extent(shown, look.log), look.log
    frame.across, frame.down = look.symbols.across, look.symbols.down
    tops = y_ticks(frame, height) if look.axes else []
    _lay_out(frame, curves, tops, look)
    if frame.width < 2 or frame.height < 1:
        return Frame.blank(width, height)
    if look.axes:
        draw_axes(frame, tops, marks, look)
    under = [0] * (frame.width * frame.across)
    for curve, points in zip(curves, traces, strict=True):
        _draw_curve(frame, curve, points, look.symbols, under)
    draw_guides(frame, marks, look.symbols)
    label_curves(frame, curves, traces, look.symbols)
    if look.axes:
        name_axis(frame, marks, look)
    return frame


def waiting(width: int, height: int, note: str) -> Frame:
    """What stands where curves will be as soon as there are any."""
    frame = Frame.blank(width, height)
    frame.put(max((width - len(note)) // 2, 0), height // 2, note, "note")
    return frame


def _lay_out(
    frame: Frame, curves: Sequence[Curve], tops: list[tuple[float, str]], look: Look
) -> None:
    """Take room from the frame for tick labels, axes and the curves' labels."""
    total = frame.width
    longest = max((len(curve.label) for curve in curves), default=0)
    if longest and total >= LABELS_FROM:
        frame.width -= longest + 2
    elif longest and frame.height >= LOW:
        frame.top, frame.height = 1, frame.height - 1
    if look.axes:
        frame.left = max((len(label) for _, label in tops), default=0) + 1
        frame.width -= frame.left
        frame.height -= 1 if look.compact else 2


def _draw_curve(
    frame: Frame, curve: Curve, points: Sequence[Point], symbols: Symbols, under: Layer
) -> None:
    """The line, its points, and a sign at the edge for what is beyond it or no number at all.

    Lines that share cells have every other of them in their own role.
    """
    across, down = frame.width * symbols.across, frame.height * symbols.down
    layer = trace(_dots(frame, points, across, down), across, down, curve.dash)
    layer = thicken(layer, down) if curve.thick else layer
    chars, roles, top, left = frame.chars, frame.roles, frame.top, frame.left
    own = dict(((column, row), char) for column, row, char in cells(layer, symbols))
    for column, row, char in cells(layer, symbols, None if curve.behind else under):
        if char == own[column, row] or column % 2:
            roles[top + row][left + column] = curve.role  # else the cell keeps the other's
        chars[top + row][left + column] = char
    if not curve.behind:
        under[:] = [a | b for a, b in zip(under, layer, strict=True)]
    marked = curve.points and len(points) <= frame.width // 2
    for x, y in points:
        share = None if y is None else frame.share(y)
        if not marked and share is not None and 0 <= share <= 1:
            continue
        if (at := frame.column_of(x)) is None:
            continue
        if y is None:
            frame.put(at, top, symbols.gap, "gap")
        elif share is not None and share > 1:
            frame.put(at, top, symbols.above, curve.role)
        elif share is None or share < 0:
            frame.put(at, top + frame.height - 1, symbols.below, curve.role)
        elif (row_of := frame.row_of(y)) is not None:
            frame.put(at, row_of, symbols.point, curve.role)


def _dots(frame: Frame, points: Sequence[Point], across: int, down: int) -> list[Dot]:
    (lo, hi), scale = frame.x_range, across - 1
    dots: list[Dot] = []
    for x, y in points:
        share = None if y is None else frame.share(y)
        row = None if share is None else (1 - share) * (down - 1)
        dots.append(((x - lo) / (hi - lo) * scale, row))
    return dots
