"""Where a text to look for is typed: a line above the footer that counts while one types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from shakegpt_tui.widgets.field import Field
from shakegpt_tui.widgets.quiet import Quiet


class SearchBar(Horizontal):
    """Posts `Changed` while one types; enter removes it, escape removes it with an empty text."""

    @dataclass
    class Changed(Message):
        """A text to look for so far; empty ends the search."""

        needle: str

    def __init__(self, needle: str) -> None:
        super().__init__()
        self._needle = needle

    def compose(self) -> ComposeResult:
        yield _Field(self._needle, placeholder="find in all samples", compact=True)
        yield Quiet(id="count")

    def on_mount(self) -> None:
        self.focus_field()

    def focus_field(self) -> None:
        """Put the cursor into the field."""
        field = self.query_one(_Field)
        field.focus()
        field.select_all()

    def say(self, count: str) -> None:
        """Show how many places there are."""
        self.query_one(Quiet).say(Content.styled(count, "$quiet"), layout=True)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._needle:
            self._needle = event.value
            self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close()

    def action_close(self) -> None:
        self.post_message(self.Changed(""))
        self._close()

    def _close(self) -> None:
        self.display = False  # or the focus would come back to the field while it is removed
        self.remove()


class _Field(Field):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close_bar", "Close", show=False)]

    def action_close_bar(self) -> None:
        bar = self.parent
        assert isinstance(bar, SearchBar)
        bar.action_close()
