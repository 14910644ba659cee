"""The losses of a run at a glance: train and val on one scale, up to the run's limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shakegpt_tui.plot.draw import draw, waiting
from shakegpt_tui.plot.frame import Curve, Frame, Look, Mark
from shakegpt_tui.plot.raster import BLOCK, BRAILLE, SYMBOLS
from shakegpt_tui.plot.series import Series, smoothed
from shakegpt_tui.run.curves import NO_LOSS, SMOOTH_FROM, end_label, train_curves
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

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.symbols = BRAILLE
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
        _, limit, marks = self._shown
        curves = self._curves(width, height)
        if not curves:
            return waiting(width, height, NO_LOSS)
        look = Look(
            self.drawable(self.symbols),
            axes=height >= AXES_FROM,
            compact=height < FULL_AXES_FROM,
            x_name="iteration",
            mark_name="sample",
        )
        return draw(curves, width, height, look=look, limit=limit, marks=marks)

    def _curves(self, width: int, height: int) -> list[Curve]:
        """The curves as they are drawn; none while no series has a point."""
        curves: list[Curve] = []
        for series in self._shown[0]:
            if series.kind == "train":
                smooth = smoothed(series, SMOOTHING) if len(series.xs) >= SMOOTH_FROM else None
                curves += train_curves(series, smooth, SMOOTHING, width)
            else:
                label = end_label(series.name, series)
                curves.append(Curve(series, series.kind, label, points=height > 3))
        return [*map(self.distinct, curves)] if any(len(c.series.xs) for c in curves) else []


class BoldCurves(LossSparkline):
    """The same in thick block lines without axes or labels, to be seen from afar."""

    DEFAULT_CSS = """
    BoldCurves { height: 1fr; }
    """

    def draw_frame(self, width: int, height: int) -> Frame:
        """Train and val loss alone."""
        curves = self._curves(width, height)
        if not curves:
            return waiting(width, height, NO_LOSS)
        bold = [replace(curve, label="", points=False, thick=True) for curve in curves]
        look = Look(self.drawable(BLOCK), axes=False)
        return draw(bold, width, height, look=look, limit=self._shown[1])
