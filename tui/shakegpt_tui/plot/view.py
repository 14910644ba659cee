"""The part of the x axis that is shown: zoom and pan that keep following the newest point."""

from __future__ import annotations

from dataclasses import dataclass

from shakegpt_tui.plot.series import Extent

NARROWEST = 2.0
"""Width of the window, in units of x, at which zooming in stops."""


@dataclass(frozen=True)
class View:
    """A window on the x axis, which may follow a growing run.

    `span` None: all of the run. `right` None: the window ends at the newest point, wherever that
    is by now. The data's extent is passed in, so that a view needs no update while data arrives.
    """

    span: float | None = None
    right: float | None = None

    @property
    def follows(self) -> bool:
        """Whether the newest point stays in view."""
        return self.right is None

    def window(self, extent: Extent) -> Extent:
        """First and last x shown."""
        first, last = extent
        span = min(self.span or last - first, last - first)
        right = last if self.right is None else min(max(self.right, first + span), last)
        return right - span, right

    def zoom(self, factor: float, at: float, extent: Extent) -> View:
        """Show `factor` times as much, keeping x = `at` in its place.

        A view that follows the newest point goes on following it, wherever the pointer is.
        """
        lo, hi = self.window(extent)
        whole = extent[1] - extent[0]
        span = min(max((hi - lo) * factor, min(NARROWEST, whole)), whole)
        if span >= whole:
            return View()
        share = (hi - at) / (hi - lo)
        return self._ending(at + share * span, span, extent)

    def pan(self, distance: float, extent: Extent) -> View:
        """Move by `distance` to the right; reaching the newest point means following it."""
        lo, hi = self.window(extent)
        if self.span is None or hi - lo >= extent[1] - extent[0]:
            return self
        moved = View(hi - lo, hi)
        return moved._ending(hi + distance, hi - lo, extent)

    def _ending(self, right: float, span: float, extent: Extent) -> View:
        first, last = extent
        if self.follows or right >= last:
            return View(span)
        return View(span, max(right, first + span))
