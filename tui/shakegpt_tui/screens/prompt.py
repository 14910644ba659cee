"""The prompt of "sample now" and its settings, edited; errors stand beside their field."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button

from shakegpt_tui.base_screen import Dialog
from shakegpt_tui.settings import Settings
from shakegpt_tui.widgets.field import Area, Field
from shakegpt_tui.widgets.quiet import Quiet

FIELDS = (
    ("max_new_tokens", "tokens", "as the run"),
    ("temperature", "temperature", "as the run"),
    ("top_k", "top-k", "as the run"),
    ("top_p", "top-p", "as the run"),
    ("seed", "seed", "new each time"),
)
"""(setting, label, what an empty field means)"""


class PromptEditor(Dialog[tuple[Settings, bool] | None]):
    """Returns the settings and whether to sample at once; None when cancelled."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+s,f2", "done(True)", "Sample now"),
    ]

    def __init__(self, settings: Settings, prompt: str) -> None:
        super().__init__(classes="dialog")
        self._settings, self._prompt = settings, prompt

    def compose(self) -> ComposeResult:
        """The prompt, the fields in rows, the two ways out."""
        with Vertical(classes="dialog-box"):
            yield Quiet(classes="dialog-question")
            yield Area(self._prompt, id="prompt", compact=True, tab_behavior="focus")
            for name, _, empty in FIELDS:
                with Horizontal(classes="field"):
                    yield Quiet(classes="field-label", id=f"label-{name}")
                    value = getattr(self._settings, name)
                    shown = "" if value is None else f"{value:g}"
                    if isinstance(value, int):
                        shown = str(value)
                    yield Field(shown, placeholder=empty, id=name, compact=True, max_length=20)
                    yield Quiet(classes="field-error", id=f"error-{name}")
            with Horizontal(classes="dialog-buttons"):
                yield Button(Content("sample now (^s)"), id="now", variant="primary", compact=True)
                yield Button(Content("keep for later"), id="later", compact=True)

    def on_mount(self) -> None:
        """Label the fields; the cursor stands behind the prompt."""
        self.query_one(".dialog-question", Quiet).say(Content("Prompt of your samples"))
        for name, label, _ in FIELDS:
            self.query_one(f"#label-{name}", Quiet).say(Content(label))
        area = self.query_one(Area)
        area.move_cursor(area.document.end)
        area.focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Either button keeps what was edited."""
        self.action_done(event.button.id == "now")

    def on_input_submitted(self) -> None:
        """Enter in a field samples."""
        self.action_done(True)

    def action_done(self, now: bool) -> None:
        """Leave with the edited settings, unless a field makes no sense."""
        values, wrong = {}, False
        for name, _, _ in FIELDS:
            values[name], complaint = self._read(name)
            self.query_one(f"#error-{name}", Quiet).say(Content.styled(complaint, "$error"))
            wrong = wrong or bool(complaint)
        if not wrong:
            text = self.query_one(Area).text
            self.dismiss((msgspec.structs.replace(self._settings, prompt=text, **values), now))

    def _read(self, name: str) -> tuple[int | float | None, str]:
        """The value of a field and what is wrong with it."""
        text = self.query_one(f"#{name}", Field).value.strip()
        if not text:
            return None, ""
        try:
            checked = msgspec.convert({name: msgspec.json.decode(text)}, Settings)
        except (msgspec.MsgspecError, ValueError) as error:
            return None, _complaint(error)
        value: int | float | None = getattr(checked, name)
        return value, ""


def _complaint(error: Exception) -> str:
    """What is wrong in few words: the path in the message would repeat the field."""
    if isinstance(error, msgspec.ValidationError):
        return str(error).split(" - at ")[0].replace("`", "").lower()
    return "no number"
