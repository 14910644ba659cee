"""The losses of a run at a glance: train and val on one scale, up to the run's limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from shakegpt_tui.plot.draw import draw, waiting
from shakegpt_tui.plot.frame import Curve, Frame, Look, Mark
from shakegpt_tui.plot.raster import BLOCK, BRAILLE, SYMBOLS, Symbols
from shakegpt_tui.plot.series import SMOOTH_FROM, Series, smoothed
from shakegpt_tui.run_curves import end_label, train_curves
from shakegpt_tui.widgets.frame_view import FrameView

SMOOTHING = 0.6
"""Weight of the moving average of train loss in a long run."""
AXES_FROM = 4
FULL_AXES_FROM = 14
"""Rows from which there are axes, and from which the x axis has a row for its labels."""


class LossSparkline(FrameView):
    """Train and val loss, labelled at their ends; values that are missing are gaps."""

    DEFAULT_CSS = """
    LossSparkline { height: 5; width: 1fr; }
    """

    def __init__(
        self, symbols: Symbols = BRAILLE, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.symbols = symbols
        self._shown: tuple[Sequence[Series], int, Sequence[Mark]] = (), 0, ()

    def draw_with(self, name: str) -> None:
        """Draw with this set of symbols from now on."""
        if name != self.symbols.name:
            self.symbols = SYMBOLS[name]
            self.redraw()

    def show(self, series: Sequence[Series], limit: int = 0, marks: Sequence[Mark] = ()) -> None:
        """Show these curves from now on, x up to `limit`; cheap to call for every new record."""
        if (series, limit, marks) != self._shown:
            self._shown = series, limit, marks
            self.redraw_soon()

    def draw_frame(self, width: int, height: int) -> Frame:
        """The curves, with axes where there is room for them."""
        series, limit, marks = self._shown
        curves = [self.distinct(curve) for one in series for curve in _curves(one, width, height)]
        if not any(len(curve.series.xs) for curve in curves):
            return waiting(width, height)
        look = Look(
            self.drawable(self.symbols),
            axes=height >= AXES_FROM,
            compact=height < FULL_AXES_FROM,
            x_name="iteration",
            mark_name="sample",
        )
        return draw(curves, width, height, look=look, limit=limit, marks=marks)


class BoldCurves(LossSparkline):
    """The same in thick block lines without axes or labels, to be seen from afar."""

    DEFAULT_CSS = """
    BoldCurves { height: 1fr; }
    """

    def draw_frame(self, width: int, height: int) -> Frame:
        """Train and val loss alone."""
        series, limit, _ = self._shown
        curves = [self.distinct(curve) for one in series for curve in _curves(one, width, height)]
        if not any(len(curve.series.xs) for curve in curves):
            return waiting(width, height)
        bold = [replace(curve, label="", points=False, thick=True) for curve in curves]
        return draw(bold, width, height, look=Look(self.drawable(BLOCK), axes=False), limit=limit)


def _curves(series: Series, width: int, height: int) -> Iterator[Curve]:
    if series.kind != "train":
        yield Curve(series, series.kind, end_label(series.name, series), points=height > 3)
        return
    smooth = smoothed(series, SMOOTHING) if len(series.xs) >= SMOOTH_FROM else None
    yield from train_curves(series, smooth, SMOOTHING, width)
