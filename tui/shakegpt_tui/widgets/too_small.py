"""A clear word in place of a screen that has no room."""

from __future__ import annotations

from textual.content import Content
from textual.events import Resize

from shakegpt_tui.widgets.quiet import Quiet

NEEDED = (40, 12)
"""Columns and rows below which the run screen says so; the stylesheet's breakpoints agree."""


class TooSmall(Quiet):
    """Covers the screen (see the stylesheet) while the terminal is too small for it."""

    def on_resize(self, event: Resize) -> None:
        """Say how big it is and how big it must be."""
        width, height = self.app.size
        text = f"{width}×{height} is too small\nneeded: {NEEDED[0]}×{NEEDED[1]}\nthe run goes on"
        self.say(Content(text))
