"""Questions over a screen: a choice between a few ways, and one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key
from textual.widgets import Button, Input

from shakegpt.sanitize import printable
from shakegpt_tui.base_screen import Dialog
from shakegpt_tui.widgets.field import Field
from shakegpt_tui.widgets.quiet import Quiet


@dataclass(frozen=True)
class Way:
    """One answer: its key, its word, what the dialog returns for it."""

    key: str
    label: str
    result: str
    variant: str = "default"


class Choice(Dialog[str]):
    """A question with a few answers, by their keys, by arrows and enter, or by mouse.

    Escape returns "".
    """

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss('')", "Cancel"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, explanation: str, ways: Sequence[Way]) -> None:
        super().__init__(classes="dialog")
        self._question, self._explanation, self._ways = question, explanation, ways

    def compose(self) -> ComposeResult:
        """Question, explanation, a button for each answer."""
        with Vertical(classes="dialog-box"):
            yield Quiet(classes="dialog-question")
            yield Quiet(classes="dialog-text")
            with Horizontal(classes="dialog-buttons"):
                for way in (*self._ways, Way("escape", "cancel", "")):
                    yield _button(way)

    def on_mount(self) -> None:
        """Say the texts, which may hold names from outside."""
        self.query_one(".dialog-question", Quiet).say(_safe(self._question), layout=True)
        self.query_one(".dialog-text", Quiet).say(_safe(self._explanation), layout=True)
        if any(way.variant == "error" for way in self._ways):
            self.query(Button).last().focus()  # enter must not be what destroys

    def on_key(self, event: Key) -> None:
        """A way's own key answers at once."""
        for way in self._ways:
            if event.key == way.key:
                event.stop()
                self.dismiss(way.result)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button answers with the result in its name."""
        self.dismiss(event.button.name or "")


def _safe(text: str) -> Content:
    """A text that may hold names from outside."""
    return Content(printable(text))


def _button(way: Way) -> Button:
    key = "" if way.key == "escape" else f"{way.key} "
    button = Button(Content(f"{key}{way.label}"), name=way.result, compact=True)
    button.variant = "error" if way.variant == "error" else "default"
    return button


class AskNumber(Dialog[int | None]):
    """Asks for one whole number; escape returns None."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, question: str, explanation: str, value: int, least: int) -> None:
        super().__init__(classes="dialog")
        self._question, self._explanation = question, explanation
        self._value, self._least = value, least

    def compose(self) -> ComposeResult:
        """Question, the field, and room for what is wrong with it."""
        with Vertical(classes="dialog-box"):
            yield Quiet(classes="dialog-question")
            yield Quiet(classes="dialog-text")
            yield Field(str(self._value), type="integer", max_length=10, compact=True)
            yield Quiet(classes="dialog-error")

    def on_mount(self) -> None:
        """Say the texts and mark the number, so that typing replaces it."""
        self.query_one(".dialog-question", Quiet).say(_safe(self._question))
        self.query_one(".dialog-text", Quiet).say(_safe(self._explanation), layout=True)
        self.query_one(Input).select_all()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take a number that makes sense, or say why it makes none."""
        number = int(event.value) if event.value.lstrip("+").isdecimal() else -1
        if number >= self._least:
            self.dismiss(number)
            return
        complaint = f"give a whole number of at least {self._least}"
        self.query_one(".dialog-error", Quiet).say(Content.styled(complaint, "$error"))
