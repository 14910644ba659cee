"""The loss plot: axes, raw and smoothed train loss, val loss, other runs; zoom, pan, cursor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from shakegpt.sanitize import one_line
from shakegpt_tui.plot.draw import draw, waiting
from shakegpt_tui.plot.frame import Curve, Frame, Look, Mark
from shakegpt_tui.plot.labels import plain_label
from shakegpt_tui.plot.raster import SYMBOLS
from shakegpt_tui.plot.series import (
    Extent,
    Reading,
    Series,
    nearest,
    read,
    smoothed,
    x_extent,
)
from shakegpt_tui.plot.view import View
from shakegpt_tui.run_curves import NO_LOSS, SMOOTH_FROM, end_label, train_curves
from shakegpt_tui.widgets.frame_view import RUN_COLOURS, FrameView

SMOOTHINGS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""Weights of the moving average that + and - go through."""
READ = "Read the values to the left or right"
ZOOM = "Zoom in or out at the cursor; i and o do so too"
SMOOTH = "Train loss smoother, or less so"
"""What the help says of both keys of a pair."""
LABEL_WIDTH = 14
"""Characters of another run's name at the end of its curve."""


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
        self._weight, self._chosen = 0.6, False
        self.cursor: float | None = None
        """The x that is read out, None without a cursor."""
        self.others: Mapping[str, Sequence[Series]] = {}
        self._series: Sequence[Series] = ()
        self._marks: Sequence[Mark] = ()
        self._smooth: dict[tuple[int, float], tuple[Series, Series]] = {}
        """(id of a series, smoothing) -> the series and its smoothed curve, as last drawn."""
        self._dragged: tuple[int, View] | None = None

    def draw_with(self, symbols: str, smoothing: float, log: bool) -> None:
        """Draw with these settings; a smoothing that is not in `SMOOTHINGS` is ignored."""
        self.look = replace(self.look, symbols=SYMBOLS[symbols], log=log)
        self._weight = smoothing if smoothing in SMOOTHINGS else self._weight
        self._changed()

    @property
    def smoothing(self) -> float:
        """Weight of the moving average of this run's train loss, 0 where it is drawn raw."""
        train = next((series for series in self._series if series.kind == "train"), None)
        return self._weight_of(train) if train is not None else self._weight

    @property
    def chosen_smoothing(self) -> float:
        """The weight for runs that are long enough."""
        return self._weight

    def _weight_of(self, series: Series) -> float:
        """0 for a short run, unless a key of this plot has set the smoothing."""
        return self._weight if self._chosen or len(series.xs) >= SMOOTH_FROM else 0.0

    def show(self, series: Sequence[Series], marks: Sequence[Mark] = ()) -> None:
        """Show these curves from now on; cheap to call for every new record."""
        if (series, marks) != (self._series, self._marks):
            self._series, self._marks = series, marks
            self.redraw_soon()
            self.post_message(self.Changed(self))

    def compare(self, others: Mapping[str, Sequence[Series]]) -> None:
        """Lay the curves of other runs, by the name to show, behind those of this one."""
        self.others = others
        self._changed()

    def draw_frame(self, width: int, height: int) -> Frame:
        """The curves at the present view, without the cursor."""
        alive = {(id(series), self._weight_of(series)) for series in self._all()}
        self._smooth = {key: kept for key, kept in self._smooth.items() if key in alive}
        if any(len(series.xs) for series in self._all()):
            curves = [self.distinct(curve) for curve in self._curves()]
            look = replace(self.look, symbols=self.drawable(self.look.symbols))
            return draw(curves, width, height, self.view, look, marks=self._marks)
        return waiting(width, height, NO_LOSS)

    def _curves(self) -> list[Curve]:
        """From the back to the front: other runs, raw train loss, smoothed, val."""
        curves = [
            curve
            for k, (name, series) in enumerate(self.others.items())
            for curve in self._other(name, series, f"run{k % RUN_COLOURS + 1}")
        ]
        return curves + [curve for series in self._series for curve in self._own(series)]

    def _own(self, series: Series) -> list[Curve]:
        if series.kind == "val":
            return [Curve(series, "val", self._label(series.name, series), points=True)]
        weight = self._weight_of(series)
        smooth = self._smooth_of(series) if weight else None
        curves = train_curves(series, smooth, weight, self.size.width)
        return [replace(curve, label=self._in_view(curve)) for curve in curves]

    def _other(self, name: str, own: Sequence[Series], role: str) -> list[Curve]:
        curves = []
        for series in own:
            if series.kind == "val":
                label = self._label(plain_label(one_line(name, LABEL_WIDTH)), series)
                curves.append(Curve(series, role, label, points=True))
            else:
                curves.append(Curve(self._smooth_of(series), role, behind=True))
        return curves

    def _label(self, name: str, series: Series) -> str:
        """The name and the latest value; no value where the curve's end is out of view."""
        return self._in_view(Curve(series, "", end_label(name, series)))

    def _in_view(self, curve: Curve) -> str:
        xs = curve.series.xs
        out_of_view = len(xs) > 0 and xs[-1] > self.view.window(self.extent)[1]
        return curve.label.rpartition(" ")[0] if out_of_view else curve.label

    def _smooth_of(self, series: Series) -> Series:
        """Smoothed once for each data and weight: zooming and panning go through it often."""
        key = id(series), self._weight_of(series)
        if key not in self._smooth:  # the series is kept beside it, so its id stays its own
            self._smooth[key] = series, smoothed(series, key[1])
        return self._smooth[key][1]

    def _all(self) -> Iterator[Series]:
        yield from self._series
        for series in self.others.values():
            yield from series

    @property
    def extent(self) -> Extent:
        """First and last iteration of all curves."""
        return x_extent(list(self._all()))

    @property
    def at(self) -> float | None:
        """The x that is read out: the cursor, or the newest without one; None without points."""
        if self.cursor is not None:
            return self.cursor
        return max((s.xs[-1] for s in self._series if len(s.xs)), default=None)

    def readings(self) -> list[Reading]:
        """What the run's own curves say there: train, smooth, val."""
        if self.at is None:
            return []
        curves: list[Series] = []
        for series in self._series:
            curves.append(series)
            if series.kind == "train" and self._weight_of(series):
                curves.append(self._smooth_of(series))
        return [r for s in curves if (r := read(s, self.at)) is not None]

    def other_readings(self) -> dict[str, Reading]:
        """The val loss of the other runs there, by their names."""
        readings = {}
        for name, curves in self.others.items():
            val = next((series for series in curves if series.kind == "val"), None)
            reading = None if val is None or self.at is None else read(val, self.at)
            if reading is not None:
                readings[name] = reading
        return readings

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
        self.cursor = None if x is None else self._snapped(x)
        self.repaint()
        self.post_message(self.Changed(self))

    def _snapped(self, x: float) -> float:
        points = [(abs(r.x - x), r.x) for s in self._all() if (r := read(s, x)) is not None]
        return min(points)[1] if points else x

    def action_cursor(self, by: int) -> None:
        """Move the cursor one column, and at least one point, to the left or right."""
        frame = self.frame
        if self.cursor is None:
            self.put_cursor(frame.x_range[1] if by < 0 else frame.x_range[0])
            return
        column = frame.column_of(self.cursor)
        aim = self.cursor if column is None else frame.x_at(column + by)
        target = self._snapped(aim)
        if (target - self.cursor) * by <= 0:
            target = self._neighbour(by)
        self.cursor = target
        self._reveal(target)
        self.put_cursor(target)

    def _neighbour(self, by: int) -> float:
        """The next point left or right of the cursor in any curve; the cursor at the ends."""
        assert self.cursor is not None
        ahead = []
        for series in self._all():
            index = nearest(series.xs, self.cursor) or 0
            around = series.xs[max(index - 1, 0) : index + 2]
            ahead += [x for x in around if (x - self.cursor) * by > 0]
        return min(ahead, key=lambda x: x * by, default=self.cursor)

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
        place = SMOOTHINGS.index(self.smoothing) + by
        self._weight = SMOOTHINGS[min(max(place, 0), len(SMOOTHINGS) - 1)]
        self._chosen = True
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
