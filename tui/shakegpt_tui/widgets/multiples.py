"""Small plots of what a run measures besides its losses, all over the same iterations."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Grid

from shakegpt_tui.plot.draw import draw, waiting
from shakegpt_tui.plot.frame import Curve, Frame, Look
from shakegpt_tui.plot.raster import BRAILLE, SYMBOLS, Symbols
from shakegpt_tui.run.curves import Metric
from shakegpt_tui.widgets.frame_view import FrameView

AXES_FROM = 5
"""Rows from which a plot has axes, its title included."""


class SmallPlot(FrameView):
    """One metric: its name and latest value in a row, the curve below."""

    DEFAULT_CSS = """
    SmallPlot { width: 1fr; height: 1fr; }
    """

    def __init__(self, symbols: Symbols) -> None:
        super().__init__()
        self.symbols = symbols
        self.metric: Metric | None = None
        self.limit = 0

    def draw_frame(self, width: int, height: int) -> Frame:
        """The title, and the curve where there is a row for it."""
        if self.metric is None or height < 1:
            return waiting(width, height, "")
        series = self.metric.series
        frame = Frame.blank(width, height)
        if height > 1 and len(series.xs):
            axes = min(plot.size.height for plot in self.screen.query(SmallPlot)) >= AXES_FROM
            look = Look(self.drawable(self.symbols), axes=axes, compact=True)
            frame = draw([Curve(series, "train")], width, height - 1, look=look, limit=self.limit)
            frame.chars.insert(0, [" "] * width)
            frame.roles.insert(0, [""] * width)
        frame.put(0, 0, f"{series.name} {self.metric.value}", "tick")
        return frame


class Multiples(Grid):
    """Four metrics, two by two; in a low terminal four in a row."""

    DEFAULT_CSS = """
    Multiples { grid-size: 2 2; grid-gutter: 0 2; }
    """

    def compose(self) -> ComposeResult:
        for _ in range(4):
            yield SmallPlot(BRAILLE)

    def draw_with(self, name: str) -> None:
        """Draw with this set of symbols from now on."""
        for plot in self.query(SmallPlot):
            if plot.symbols.name != name:
                plot.symbols = SYMBOLS[name]
                plot.redraw()

    def show(self, metrics: Sequence[Metric], limit: int) -> None:
        """Show these from now on, x up to `limit`; cheap to call for every new record."""
        for plot, metric in zip(self.query(SmallPlot), metrics, strict=True):
            if (metric, limit) != (plot.metric, plot.limit):
                plot.metric, plot.limit = metric, limit
                plot.redraw_soon()
