"""The prompt of "sample now" and its settings, edited; errors stand beside their field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button

from shakegpt.config import SampleConfig, bounds
from shakegpt_tui.screens.base_screen import Dialog
from shakegpt_tui.settings import Prompting
from shakegpt_tui.widgets.field import Area, Field
from shakegpt_tui.widgets.quiet import Quiet

FIELDS = {
    "max_new_tokens": "tokens",
    "temperature": "temperature",
    "top_k": "top-k",
    "top_p": "top-p",
    "seed": "seed",
}
"""Setting -> label."""


class PromptEditor(Dialog[tuple[Prompting, bool] | None]):
    """Returns the settings and whether to sample at once; None when cancelled."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+s,f2", "done(True)", "Sample now"),
    ]

    def __init__(self, settings: Prompting, config: Mapping[str, Any]) -> None:
        """`config`: the run's own, which holds where nothing was typed."""
        super().__init__(classes="dialog")
        self._settings, self._config = settings, config
        own = config.get("prompt")
        self._prompt = settings.prompt or (own if isinstance(own, str) else "")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Quiet(classes="dialog-question")
            yield Area(self._prompt, id="prompt", compact=True, tab_behavior="focus")
            for name in FIELDS:
                with Horizontal(classes="field"):
                    yield Quiet(classes="field-label", id=f"label-{name}")
                    value = getattr(self._settings, name)
                    shown = "" if value is None else f"{value:g}"
                    if isinstance(value, int):
                        shown = str(value)
                    yield Field(
                        shown, placeholder=self._empty(name), id=name, compact=True, max_length=20
                    )
                    yield Quiet(classes="field-error", id=f"error-{name}")
            with Horizontal(classes="dialog-buttons"):
                yield Button(Content("sample now (^s)"), id="now", variant="primary", compact=True)
                yield Button(Content("keep for later"), id="later", compact=True)

    def _empty(self, name: str) -> str:
        """What an empty field means."""
        if name == "seed":
            return "new each time"
        own = self._config.get(name)
        return f"{own:g} as the run" if isinstance(own, int | float) else "as the run"

    def on_mount(self) -> None:
        self.query_one(".dialog-question", Quiet).say(Content("Prompt of your samples"))
        for name, label in FIELDS.items():
            self.query_one(f"#label-{name}", Quiet).say(Content(label))
        area = self.query_one(Area)
        area.move_cursor(area.document.end)
        area.focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.action_done(event.button.id == "now")

    def on_input_submitted(self) -> None:
        self.action_done(True)

    def action_done(self, now: bool) -> None:
        """Leave with the edited settings, unless a field makes no sense."""
        values, wrong = {}, False
        for name in FIELDS:
            values[name], complaint = self._read(name)
            self.query_one(f"#error-{name}", Quiet).say(Content.styled(complaint, "$error"))
            wrong = wrong or bool(complaint)
        if not wrong:
            text = self.query_one(Area).text
            self.dismiss((msgspec.structs.replace(self._settings, prompt=text, **values), now))

    def _read(self, name: str) -> tuple[int | float | str | None, str]:
        """The value of a field and what is wrong with it."""
        text = self.query_one(f"#{name}", Field).value.strip()
        if not text:
            return None, ""
        kind = bounds.settings(SampleConfig)[name].type
        assert isinstance(kind, bounds.Number)
        number = kind.parse(text)
        least = 1 if name == "max_new_tokens" else kind.low  # a request for no text is none
        fault = replace(kind, low=least).fault(number)
        return (None, fault.removeprefix("must be ")) if fault else (number, "")
