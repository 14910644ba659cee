"""The loss plot: axes, raw and smoothed train loss, val loss, other runs; zoom, pan, cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from shakegpt_tui.plot.draw import draw, waiting
from shakegpt_tui.plot.frame import Frame, Look, Mark
from shakegpt_tui.plot.raster import SYMBOLS
from shakegpt_tui.plot.series import Extent, Reading, Series
from shakegpt_tui.plot.view import View
from shakegpt_tui.run.curves import NO_LOSS
from shakegpt_tui.widgets.compared_curves import SMOOTHINGS, ComparedCurves
from shakegpt_tui.widgets.frame_view import FrameView

READ = "Read the values to the left or right"
ZOOM = "Zoom in or out at the cursor; i and o do so too"
SMOOTH = "Train loss smoother, or less so"
"""What the help says of both keys of a pair."""


class LossPlot(FrameView, can_focus=True):
    """Losses over iterations. `show` gives it a run's curves, `compare` those of other runs."""

    DEFAULT_CSS = """
    LossPlot { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help_keys", "Keys", key_display="?", system=True),
        # The footer shows the first of a pair for both; the help joins those that say the same.
        Binding("left", "cursor(-1)", "Read", key_display="←→", tooltip=READ),
        Binding("right", "cursor(1)", "Read", False, key_display="←→", tooltip=READ),
        Binding("home", "cursor_to_end(-1)", "Left edge", False, tooltip="Read the left edge"),
        Binding("end", "newest", "Newest", False, tooltip="Go to the newest, and follow it"),
        Binding("up,i", "zoom(0.7)", "Zoom", key_display="↑↓", tooltip=ZOOM),
        Binding("down,o", "zoom(1.4286)", "Zoom out", False, key_display="↑↓", tooltip=ZOOM),
        Binding("comma,shift+left", "pan(-0.2)", "Pan", False, tooltip="Pan left"),
        Binding("full_stop,shift+right", "pan(0.2)", "Pan right", False, tooltip="Pan right"),
        Binding("0", "whole", "Whole", False, tooltip="Show the whole run"),
        Binding("l", "log", "Log", False, tooltip="Logarithmic or linear losses"),
        Binding("plus,equals_sign", "smooth(1)", "Smooth", False, "+-", tooltip=SMOOTH),
        Binding("minus", "smooth(-1)", "Less smooth", False, "+-", tooltip=SMOOTH),
        Binding("b", "symbols", "Symbols", False, tooltip="Braille, blocks or ASCII"),
    ]

    @dataclass
    class Changed(Message):
        """The cursor moved, or what is shown or how it is shown changed."""

        plot: LossPlot

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.look = Look(x_name="iteration", mark_name="sample")
        self.view = View()
        self.curves = ComparedCurves()
        self.cursor: float | None = None
        """The x that is read out, None without a cursor."""
        self._marks: Sequence[Mark] = ()
        self._dragged: tuple[int, View] | None = None

    def draw_with(self, symbols: str, smoothing: float, log: bool) -> None:
        """Draw with these settings; a smoothing that is not in `SMOOTHINGS` is ignored."""
        self.look = replace(self.look, symbols=SYMBOLS[symbols], log=log)
        if smoothing in SMOOTHINGS:
            self.curves.weight = smoothing
        self._changed()

    def show(self, series: Sequence[Series], marks: Sequence[Mark] = ()) -> None:
        """Show these curves from now on; cheap to call for every new record."""
        if (series, marks) != (self.curves.series, self._marks):
            self.curves.series, self._marks = series, marks
            self.redraw_soon()
            self.post_message(self.Changed(self))

    def compare(self, others: Mapping[str, Sequence[Series]]) -> None:
        """Lay the curves of other runs, by the name to show, behind those of this one."""
        self.curves.others = others
        self._changed()

    def draw_frame(self, width: int, height: int) -> Frame:
        """The curves at the present view, without the cursor."""
        if any(len(series.xs) for series in self.curves.all()):
            end = self.view.window(self.extent)[1]
            curves = [self.distinct(curve) for curve in self.curves.drawn(end, self.size.width)]
            look = replace(self.look, symbols=self.drawable(self.look.symbols))
            return draw(curves, width, height, self.view, look, marks=self._marks)
        return waiting(width, height, NO_LOSS)

    @property
    def extent(self) -> Extent:
        """First and last iteration of all curves."""
        return self.curves.extent

    @property
    def at(self) -> float | None:
        """The x that is read out: the cursor, or the newest without one; None without points."""
        if self.cursor is not None:
            return self.cursor
        return max((s.xs[-1] for s in self.curves.series if len(s.xs)), default=None)

    def readings(self) -> list[Reading]:
        """What the run's own curves say there: train, smooth, val."""
        return [] if self.at is None else self.curves.readings(self.at)

    def other_readings(self) -> dict[str, Reading]:
        """The val loss of the other runs there, by their names."""
        return {} if self.at is None else self.curves.other_readings(self.at)

    def finish(self, frame: Frame) -> Frame:
        """`frame` with a hairline at the cursor, and the points that it reads."""
        column = None if self.cursor is None else frame.column_of(self.cursor)
        if column is None:
            return frame
        topped = copy(frame)
        topped.chars = [list(row) for row in frame.chars]
        topped.roles = [list(row) for row in frame.roles]
        for row in range(frame.top, frame.top + frame.height):
            if frame.roles[row][column] in ("", "grid", "raw"):
                topped.put(column, row, self.look.symbols.down_line, "cursor")
        for reading in self.readings():
            column = frame.column_of(reading.x)
            at = None if reading.y is None else frame.row_of(reading.y)
            if column is not None and at is not None:
                role = "val" if reading.series.kind == "val" else "train"
                topped.put(column, at, self.look.symbols.point, role)
        return topped

    def _changed(self) -> None:
        self.redraw()
        self.post_message(self.Changed(self))

    def put_cursor(self, x: float | None) -> None:
        """Read out the iteration nearest to `x`; None takes the cursor away."""
        self.cursor = None if x is None else self.curves.snapped(x)
        self.repaint()
        self.post_message(self.Changed(self))

    def action_cursor(self, by: int) -> None:
        """Move the cursor one column, and at least one point, to the left or right."""
        frame = self.frame
        if self.cursor is None:
            self.put_cursor(frame.x_range[1] if by < 0 else frame.x_range[0])
            return
        column = frame.column_of(self.cursor)
        aim = self.cursor if column is None else frame.x_at(column + by)
        target = self.curves.snapped(aim)
        if (target - self.cursor) * by <= 0:
            target = self.curves.neighbour(self.cursor, by)
        self.cursor = target
        self._reveal(target)
        self.put_cursor(target)

    def _reveal(self, x: float) -> None:
        lo, hi = self.view.window(self.extent)
        if not lo <= x <= hi:
            self.view = self.view.pan(x - (lo if x < lo else hi), self.extent)
            self._changed()

    def action_cursor_to_end(self, by: int) -> None:
        self.put_cursor(self.frame.x_range[0 if by < 0 else 1])

    def action_newest(self) -> None:
        self.view = View(self.view.span)
        self.cursor = None
        self._changed()

    def action_zoom(self, factor: float) -> None:
        """Zoom around the cursor; without one around the middle."""
        lo, hi = self.view.window(self.extent)
        at = (lo + hi) / 2 if self.cursor is None else min(max(self.cursor, lo), hi)
        self._zoom(factor, at)

    def _zoom(self, factor: float, at: float) -> None:
        self.view = self.view.zoom(factor, at, self.extent)
        self._changed()

    def action_pan(self, share: float) -> None:
        lo, hi = self.view.window(self.extent)
        self.view = self.view.pan(share * (hi - lo), self.extent)
        self._changed()

    def action_whole(self) -> None:
        self.view = View()
        self._changed()

    def action_log(self) -> None:
        self.look = replace(self.look, log=not self.look.log)
        self._changed()

    def action_smooth(self, by: int) -> None:
        self.curves.smooth_more(by)
        self._changed()

    def action_symbols(self) -> None:
        names = list(SYMBOLS)
        following = names[(names.index(self.look.symbols.name) + 1) % len(names)]
        self.look = replace(self.look, symbols=SYMBOLS[following])
        self._changed()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._zoom(0.8, self.frame.x_at(event.x))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._zoom(1.25, self.frame.x_at(event.x))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._dragged = (event.x, self.view)
        self.capture_mouse()

    def on_mouse_up(self) -> None:
        self._dragged = None
        self.release_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The pointer is a cursor; with a button down it pulls the picture along."""
        if self._dragged is None:
            self.put_cursor(self.frame.x_at(event.x))
            return
        start, view = self._dragged
        lo, hi = view.window(self.extent)
        distance = (start - event.x) / max(self.frame.width - 1, 1) * (hi - lo)
        self.view = view.pan(distance, self.extent)
        self._changed()

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2:
            self.action_whole()
