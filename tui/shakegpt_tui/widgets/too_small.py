"""A clear word in place of a screen that has no room."""

from __future__ import annotations

from textual.content import Content
from textual.events import Resize

from shakegpt_tui.widgets.quiet import Quiet

NEEDED = (40, 12)
"""Columns and rows below which a screen says so; the breakpoints of app and screens agree."""


class TooSmall(Quiet):
    """Stands alone on its screen while the terminal is too small for the rest of it."""

    DEFAULT_CSS = """
    TooSmall {
        display: none; width: 100%; height: 100%;
        content-align: center middle; text-align: center;
    }
    Screen.-too-narrow, Screen.-too-low {
        & > * { display: none !important; }
        & > TooSmall { display: block !important; }
    }
    """
    SCOPED_CSS = False  # it is about its siblings, too

    def __init__(self, comfort: str = "") -> None:
        """`comfort` is said as well: that nothing is lost."""
        super().__init__(id="too-small")
        self._comfort = comfort

    def on_resize(self, event: Resize) -> None:
        """Say how big it is and how big it must be."""
        width, height = self.app.size
        text = f"{width}×{height} is too small\nneeded: {NEEDED[0]}×{NEEDED[1]}\n{self._comfort}"
        self.say(Content(text.rstrip()))
