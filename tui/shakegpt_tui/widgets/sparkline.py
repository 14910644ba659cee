"""The losses of a run at a glance: train and val on one scale in a few rows, values at the ends."""

from __future__ import annotations

from collections.abc import Sequence

from shakegpt import format
from shakegpt_tui.plot.frame import Curve, Frame, Look, draw, train_curves, waiting
from shakegpt_tui.plot.raster import BRAILLE, SYMBOLS, Symbols
from shakegpt_tui.plot.series import SMOOTH_FROM, Series, smoothed
from shakegpt_tui.widgets.frame_view import FrameView

SMOOTHING = 0.6
"""Weight of the moving average of train loss in a long run."""


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
        self._series: Sequence[Series] = ()

    def draw_with(self, name: str) -> None:
        """Draw with this set of symbols from now on."""
        if name != self.symbols.name:
            self.symbols = SYMBOLS[name]
            self.redraw()

    def show(self, series: Sequence[Series]) -> None:
        """Show these curves from now on; cheap to call for every new record."""
        if series != self._series:
            self._series = series
            self.redraw_soon()

    def draw_frame(self, width: int, height: int) -> Frame:
        """The curves without axes: the labels carry the numbers."""
        curves = [curve for series in self._series for curve in _curves(series, width, height)]
        if not any(len(curve.series.xs) for curve in curves):
            return waiting(width, height)
        return draw(curves, width, height, look=Look(self.symbols, axes=False))


def _curves(series: Series, width: int, height: int) -> list[Curve]:
    if series.kind != "train":
        label = f"{series.name} {format.loss(series.latest, 3)}"
        return [Curve(series, series.kind, label, points=height > 3)]
    smooth = smoothed(series, SMOOTHING) if len(series.xs) >= SMOOTH_FROM else None
    return train_curves(series, smooth, SMOOTHING, width)
