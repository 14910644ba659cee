"""The tour: six steps from the form to the finished run. Anyone can skip it, and take it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from shakegpt_tui.screens.base_screen import Dialog
from shakegpt_tui.widgets.quiet import Quiet


@dataclass(frozen=True)
class Step:
    """A title, two sentences, and what they are about: a selector on home or on the run screen."""

    title: str
    text: str
    about: str


STEPS = (
    Step(
        "Start a run",
        "F5 trains the model of the start form on the text named there. As the form stands that "
        "takes a minute or two and no network.",
        "StartForm",
    ),
    Step(
        "All runs are kept",
        "F3 goes to the list, enter opens a run, whether it trains, has ended or was left. "
        "Esc comes back from anywhere.",
        "RunList",
    ),
    Step(
        "Watch it learn",
        "Val loss says how unsure the model is about text that it never learns from. While it "
        "falls, the model learns; g shows the curves large.",
        "#numbers",
    ),
    Step(
        "Read what it writes",
        "At each evaluation the model writes a sample. Arrows go through them, b puts the first "
        "beside the last, t walks the tokens and shows what else could have stood there.",
        "#shown",
    ),
    Step(
        "Drive it, and talk to it",
        "Space pauses, x stops and saves, q leaves while the run goes on. s lets the model write "
        "at any time, after the end too; e changes the prompt.",
        "FittingFooter",
    ),
    Step(
        "Ask",
        "Sentences beside the samples say what happens, and ? explains every number and "
        "key. Ctrl+P lists all commands, this tour among them.",
        "#activity",
    ),
)


class Tour(Dialog[None]):
    """One step at a time; what it is about has a frame where it is on the screen below."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,right,space", "step(1)", "Next"),
        Binding("left", "step(-1)", "Back"),
        Binding("escape,q", "dismiss", "Skip"),
    ]

    def __init__(self) -> None:
        super().__init__(classes="dialog tour")
        self._at = 0

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Quiet(classes="dialog-text")

    def on_mount(self) -> None:
        self._show()

    def action_step(self, by: int) -> None:
        self._at = max(0, self._at + by)
        if self._at == len(STEPS):
            self.dismiss()
        else:
            self._show()

    def _show(self) -> None:
        step, box = STEPS[self._at], self.query_one(".dialog-box")
        box.border_title = Content(f"{self._at + 1} of {len(STEPS)}  {step.title}")
        box.border_subtitle = Content("enter: next   esc: skip")
        self.query_one(Quiet).say(Content(step.text), layout=True)
        self._frame(step.about)

    def _frame(self, about: str) -> None:
        for screen in self.app.screen_stack:
            for widget in screen.query(".-toured"):
                widget.remove_class("-toured")
            if about and screen is not self:
                screen.query(about).add_class("-toured")

    def on_unmount(self) -> None:
        self._frame("")
