"""The pane "inside": what happened in the model when the token under the cursor was predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from shakegpt.runlog.schema import Inspection
from shakegpt_tui import inside
from shakegpt_tui.base_screen import Dialog
from shakegpt_tui.widgets.candidates import token_name
from shakegpt_tui.widgets.quiet import Quiet

if TYPE_CHECKING:
    from shakegpt_tui.screens.run_inspecting import Inspecting

EVERY = 0.2
"""Seconds between looks at whether an inspection has come."""


class Inside(Dialog[None]):
    """Three questions about a token. Arrows go to other tokens and other heads."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "token(-1)", "Token before", tooltip="The token before", priority=True),
        Binding("right", "token(1)", "Token after", tooltip="The token after", priority=True),
        Binding("up", "head(-1)", "Head before", tooltip="The block or head before", priority=True),
        Binding("down", "head(1)", "Head after", tooltip="The block or head after", priority=True),
        Binding("m", "view(0)", "Mean", tooltip="Attention: the mean over all blocks"),
        Binding("s", "view(1)", "Sharpest", tooltip="Attention: the head that looks at one token"),
        Binding("escape,q,i", "dismiss", "Close"),
    ]

    def __init__(self, run: Inspecting) -> None:
        super().__init__(classes="dialog inside")
        self._run = run
        self._view = 0
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        with VerticalScroll(classes="dialog-box"):
            yield Quiet(classes="dialog-text")

    def on_mount(self) -> None:
        """Look now, and until what is computed has come."""
        self.query_one(".dialog-box").border_subtitle = Content(
            "←→ token  ↑↓ head  m mean  s sharpest"
        )
        self.set_interval(EVERY, self._show)
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        """Another width has other bars."""
        self.call_after_refresh(self._show)

    def action_token(self, by: int) -> None:
        """Another token of the sample."""
        self._run.browser.move_token(by)
        self._run.redraw()
        self._show()

    def action_head(self, by: int) -> None:
        """Another block or head."""
        self.action_view(self._view + by)

    def action_view(self, view: int) -> None:
        """The mean, the sharpest head, or one of the rest."""
        self._view = max(0, view)
        self._show()

    def _show(self) -> None:
        browser = self._run.browser
        sample, token = browser.sample, browser.token
        if sample is None or token is None or token >= len(sample.tokens):
            return
        found = self._run.inspection(sample, token)
        width = self.query_one(Quiet).size.width
        key = (
            id(sample),
            token,
            self._view,
            width,
            found if isinstance(found, str) else id(found[0]),
        )
        if key == self._shown or not width:
            return
        self._shown = key
        name = token_name(sample.tokens[token].text)
        box = self.query_one(".dialog-box")
        box.border_title = Content(f"inside: {name}, token {token + 1} of {len(sample.tokens)}")
        text = Content(found) if isinstance(found, str) else self._answers(*found, width)
        self.query_one(Quiet).say(text, layout=True)

    def _answers(self, record: Inspection, position: int, width: int) -> Content:
        shown = inside.views(record, position)
        self._view = min(self._view, len(shown) - 1)
        rows = max(3, self.app.size.height - 24)
        parts = {
            "What did it look at?": inside.looked_at(record, *shown[self._view]),
            "When did it decide?": inside.decided(record, position, rows, width),
            "What did training change?": inside.changed(record, position, width),
        }
        return Content("\n\n").join(
            Content.assemble((f"{question}\n", "bold $accent"), answer)
            for question, answer in parts.items()
        )
