"""How likely a token was over the iterations of a run."""

from __future__ import annotations

from collections.abc import Sequence

from shakegpt_tui.plot.draw import draw, waiting
from shakegpt_tui.plot.frame import Curve, Frame, Look
from shakegpt_tui.plot.raster import BRAILLE, SYMBOLS, Symbols
from shakegpt_tui.plot.series import Series
from shakegpt_tui.widgets.frame_view import FrameView


class TokenCurve(FrameView):
    """Probability in per cent over iterations, with axes."""

    DEFAULT_CSS = """
    TokenCurve { width: 1fr; height: 5; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.symbols: Symbols = BRAILLE
        self._shown: tuple[Sequence[Series], int] = (), 0

    def draw_with(self, name: str) -> None:
        """Draw with this set of symbols from now on."""
        self.symbols = SYMBOLS[name]

    def show(self, series: Sequence[Series], limit: int) -> None:
        """Show these from now on, x up to `limit`."""
        if (series, limit) != self._shown:
            self._shown = series, limit
            self.redraw_soon()

    def draw_frame(self, width: int, height: int) -> Frame:
        """The curve or its points, the latest value in per cent at the end."""
        series, limit = self._shown
        if not series:
            return waiting(width, height, "not known yet")
        latest = series[-1].latest
        label = "" if latest is None else f"{latest:.2g} %"
        labels = [*("" for _ in series[1:]), label]
        curves = [
            self.distinct(Curve(one, "train", text, points=True))
            for one, text in zip(series, labels, strict=True)
        ]
        look = Look(self.drawable(self.symbols), compact=True, x_name="iteration")
        return draw(curves, width, height, look=look, limit=limit)
