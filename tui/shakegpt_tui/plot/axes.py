"""The axes of a plot: lines, ticks, their labels, and marks on the x axis."""

from __future__ import annotations

from collections.abc import Sequence

from shakegpt_tui.plot import ticks
from shakegpt_tui.plot.frame import Frame, Look, Mark
from shakegpt_tui.plot.raster import Symbols

CELLS_A_TICK_ACROSS = 12
CELLS_A_TICK_DOWN = 3


def y_ticks(frame: Frame, height: int) -> list[tuple[float, str]]:
    """(value, label) of the ticks of y, for a picture of that many rows."""
    count = max((height - 2) // CELLS_A_TICK_DOWN, 1)
    make = ticks.log_ticks if frame.log else ticks.ticks
    values = make(*frame.y_range, count)
    return list(zip(values, ticks.labels(values), strict=True))


def draw_axes(
    frame: Frame, tops: Sequence[tuple[float, str]], marks: Sequence[Mark], look: Look
) -> None:
    """Both axes, with a grid line at each tick of y and a sign at each mark."""
    symbols = look.symbols
    axis, bottom = frame.left - 1, frame.top + frame.height
    for row in range(frame.top, bottom):
        frame.put(axis, row, symbols.down_line, "axis")
    frame.put(axis, bottom, symbols.corner + symbols.across_line * frame.width, "axis")
    for value, label in tops:
        if (row_of := frame.row_of(value)) is not None:
            frame.put(frame.left, row_of, symbols.grid * frame.width, "grid")
            frame.put(axis, row_of, symbols.tick_left, "axis")
            frame.put(axis - len(label), row_of, label, "tick")
    _x_ticks(frame, bottom, look)
    for mark in marks:
        column = frame.column_of(mark.x)
        if column is not None and frame.roles[bottom][column] != "tick":  # a label stays whole
            frame.put(column, bottom, symbols.mark, mark.role)


def _x_ticks(frame: Frame, row: int, look: Look) -> None:
    count = max(frame.width // CELLS_A_TICK_ACROSS, 1)
    values = ticks.ticks(*frame.x_range, count, whole=True)
    free, end = 0, len(frame.chars[0])  # the first column that no label covers yet, the last of all
    for value, label in zip(values, ticks.labels(values), strict=True):
        column = frame.column_of(value)
        if column is None:
            continue
        symbols = look.symbols
        tick = symbols.tick_above if look.compact else symbols.tick_below
        frame.put(column, row, tick, "axis")
        if look.compact:  # beside its tick, on the axis
            start = column + 1 if column + 1 + len(label) <= end else column - len(label)
        else:
            start = min(max(column - len(label) // 2, 0), end - len(label))
        if start >= free:
            frame.put(start, row if look.compact else row + 1, label, "tick")
            free = start + len(label) + 1


def draw_guides(frame: Frame, marks: Sequence[Mark], symbols: Symbols) -> None:
    """A line up from each mark that has a text, behind the curves, and the text beside it."""
    for mark in marks:
        column = frame.column_of(mark.x) if mark.text else None
        if column is None:
            continue
        rows = range(frame.top, frame.top + frame.height)
        for row in rows:
            if frame.free(column, row, 1):
                frame.put(column, row, symbols.guide, mark.role)
        text, length = f" {mark.text} ", len(mark.text) + 2
        places = ((start, row) for row in rows for start in (column + 1, column - length))
        at = next((place for place in places if frame.free(*place, length)), None)
        if at is not None:
            frame.put(*at, text, mark.role)


def name_axis(frame: Frame, marks: Sequence[Mark], look: Look) -> None:
    """Say right of the picture what x and the marks are, in cells that no label needs."""
    start = frame.left + frame.width
    names = [look.x_name]
    if marks and look.mark_name:
        names.append(f"{look.symbols.mark} {look.mark_name}")
    for name, row in zip(names, range(len(frame.chars) - 1, frame.top, -1), strict=False):
        at = len(frame.chars[row]) - len(name)
        if name and at > start and not any(frame.roles[row][at - 1 :]):
            frame.put(at, row, name, "tick")
