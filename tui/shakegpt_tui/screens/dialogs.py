"""Questions over a screen: a choice between a few answers, and one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key
from textual.screen import ScreenResultType
from textual.widgets import Button, Input

from shakegpt.sanitize import printable
from shakegpt_tui.screens.base_screen import Dialog
from shakegpt_tui.widgets.field import Field
from shakegpt_tui.widgets.quiet import Quiet


@dataclass(frozen=True)
class Way:
    """One answer: its key, its word, what the dialog returns for it."""

    key: str
    label: str
    result: str
    variant: Literal["default", "error"] = "default"


class Question(Dialog[ScreenResultType]):
    """A question and an explanation, both of which may hold names from outside."""

    CSS_PATH = "dialogs.tcss"

    def __init__(self, question: str, explanation: str) -> None:
        super().__init__(classes="dialog")
        self._texts = {".dialog-question": question, ".dialog-text": explanation}

    def on_mount(self) -> None:
        for selector, text in self._texts.items():
            self.query_one(selector, Quiet).say(Content(printable(text)), layout=True)


class Choice(Question[str]):
    """A question with a few answers, by their keys, by arrows and enter, or by mouse.

    Escape returns "".
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss('')", "Cancel"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, explanation: str, ways: Sequence[Way]) -> None:
        super().__init__(question, explanation)
        self._ways = ways

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Quiet(classes="dialog-question")
            yield Quiet(classes="dialog-text")
            with Horizontal(classes="dialog-buttons"):
                for way in (*self._ways, Way("escape", "cancel", "")):
                    key = "" if way.key == "escape" else f"{way.key} "
                    text = Content(f"{key}{way.label}")
                    yield Button(text, way.variant, name=way.result, compact=True)

    def on_mount(self) -> None:
        if any(way.variant == "error" for way in self._ways):
            self.query(Button).last().focus()  # enter must not be what destroys

    def on_key(self, event: Key) -> None:
        for way in self._ways:
            if event.key == way.key:
                event.stop()
                self.dismiss(way.result)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.name or "")


class AskNumber(Question[int | None]):
    """Asks for one whole number; escape returns None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, question: str, explanation: str, value: int, least: int) -> None:
        super().__init__(question, explanation)
        self._value, self._least = value, least

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Quiet(classes="dialog-question")
            yield Quiet(classes="dialog-text")
            yield Field(str(self._value), type="integer", max_length=10, compact=True)
            yield Quiet(classes="dialog-error")

    def on_mount(self) -> None:
        self.query_one(Input).select_all()  # typing replaces the number

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return a number within bounds, or show the bound."""
        number = int(event.value) if event.value.lstrip("+").isdecimal() else -1
        if number >= self._least:
            self.dismiss(number)
            return
        complaint = f"must be an integer >= {self._least}"
        self.query_one(".dialog-error", Quiet).say(Content.styled(complaint, "$error"))
