"""Where a text to look for is typed: a line above the footer, gone when it has served."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from shakegpt_tui.widgets.field import Field


class SearchBar(Horizontal):
    """Posts `Asked` for enter and removes itself, for escape too."""

    class Asked(Message):
        """A text to look for; empty ends the search."""

        def __init__(self, needle: str) -> None:
            super().__init__()
            self.needle = needle

    def __init__(self, needle: str) -> None:
        super().__init__()
        self._needle = needle

    def compose(self) -> ComposeResult:
        """One field."""
        yield _Field(self._needle, placeholder="find in all samples", compact=True)

    def on_mount(self) -> None:
        """Type at once; the old text is marked, so that typing replaces it."""
        self.focus_field()

    def focus_field(self) -> None:
        """Put the cursor into the field."""
        field = self.query_one(_Field)
        field.focus()
        field.select_all()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search."""
        event.stop()
        self.post_message(self.Asked(event.value))
        self.action_close()

    def action_close(self) -> None:
        """Leave without searching."""
        self.display = False  # or the focus would come back to the field while it is removed
        self.remove()


class _Field(Field):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close_bar", "Close", show=False)]

    def action_close_bar(self) -> None:
        bar = self.parent
        assert isinstance(bar, SearchBar)
        bar.action_close()
