"""A line or a text that repaints only when what it says has changed."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class Quiet(Static):
    """A Static for texts that are worked out often and change seldom.

    It takes `Content` only: plain strings would be read as markup.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(Content(""), id=id, classes=classes, markup=False)
        self._said = Content("")

    @property
    def said(self) -> str:
        """The text on show, without styles."""
        return self._said.plain

    def say(self, content: Content, *, layout: bool = False) -> bool:
        """Show `content`; `layout` when its height may differ. False when nothing changed."""
        if content.is_same(self._said):
            return False
        self._said = content
        self.update(content, layout=layout)
        return True
