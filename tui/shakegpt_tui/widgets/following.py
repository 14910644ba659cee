"""A text in a scrolled box that stays at its end while it grows, unless one scrolled away."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from shakegpt_tui.widgets.quiet import Quiet


class Following(VerticalScroll, can_focus=False):
    """Textual's own anchor would push a text that is shorter than its box down to the bottom."""

    following = True
    """Whether growth scrolls to the end, as long as the reader is there."""

    def compose(self) -> ComposeResult:
        yield Quiet(classes="list")

    @property
    def said(self) -> str:
        """The text on show."""
        return self.query_one(Quiet).said

    def say(self, content: Content) -> None:
        """Show `content`."""
        at_end = self.is_vertical_scroll_end
        if self.query_one(Quiet).say(content, layout=True) and self.following and at_end:
            self.call_after_refresh(self.scroll_end, animate=False, immediate=True)
