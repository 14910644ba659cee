"""The pane "inside": what happened in the model when the token under the cursor was predicted, and
how training made it likely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from shakegpt import format
from shakegpt.runlog.history import SampleView
from shakegpt.runlog.schema import Inspection
from shakegpt_tui.run import inside, taught
from shakegpt_tui.screens.base_screen import Dialog
from shakegpt_tui.widgets.candidates import token_name
from shakegpt_tui.widgets.quiet import Quiet
from shakegpt_tui.widgets.token_curve import TokenCurve

if TYPE_CHECKING:
    from shakegpt_tui.screens.run_tracing import Trace, Tracing

EVERY = 0.2
"""Seconds between looks at whether something was computed."""
WIDE = 70
"""Columns from which the border names all keys."""


class Inside(Dialog[None]):
    """Four questions about a token. Arrows go to other tokens and other heads."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "token(-1)", "Token before", tooltip="The token before", priority=True),
        Binding("right", "token(1)", "Token after", tooltip="The token after", priority=True),
        Binding("up", "head(-1)", "Head before", tooltip="The block or head before", priority=True),
        Binding("down", "head(1)", "Head after", tooltip="The block or head after", priority=True),
        Binding("m", "view(0)", "Mean", tooltip="Attention: the mean over all blocks"),
        Binding("s", "view(1)", "Sharpest", tooltip="Attention: the head that looks at one token"),
        Binding(
            "w",
            "why",
            "Why",
            tooltip="Train the run again: how likely the token was after each iteration, and the "
            "passages that taught it",
        ),
        Binding("pagedown,space", "page(1)", "Down", tooltip="Scroll down", priority=True),
        Binding("pageup", "page(-1)", "Up", tooltip="Scroll up", priority=True),
        Binding("escape", "stop_or_close", "Close", tooltip="Stop what is computed; else close"),
        Binding("q,i", "close", "Close", tooltip="Close; what is computed is stopped"),
        Binding("question_mark", "app.help_keys", "Keys", key_display="?", tooltip="This list"),
    ]

    def __init__(self, run: Tracing) -> None:
        super().__init__(classes="dialog inside")
        self._run = run
        self._view = 0
        self._stamp: tuple[object, ...] = ()
        self._at_training = False
        """Whether what training changed stays in view while it grows."""
        self._scrolled_to: float | None = None

    def compose(self) -> ComposeResult:
        """One scrolling box with a part for each question, and the curve of one."""
        with VerticalScroll(classes="dialog-box"):
            yield Quiet(id="model", classes="dialog-text")
            yield Quiet(id="changed", classes="dialog-text")
            yield TokenCurve(id="course")
            yield Quiet(id="taught", classes="dialog-text")

    def on_mount(self) -> None:
        """Look now, and until what is computed has come."""
        self.query_one(TokenCurve).draw_with(self._run.shakegpt.settings.symbols)
        self.set_interval(EVERY, self._show)
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        """Another width has other bars."""
        wide = self.app.size.width >= WIDE
        keys = (
            "←→ token  ↑↓ head  m mean  s sharpest  w why" if wide else "←→ token  ↑↓ head  w why"
        )
        self.query_one(".dialog-box").border_subtitle = Content(f"{keys}  pgdn more")
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
        self._at_training = False
        self._show()

    def action_page(self, by: int) -> None:
        """Scroll by a page."""
        self._at_training = False
        box = self.query_one(".dialog-box")
        box.scroll_page_down(animate=False) if by > 0 else box.scroll_page_up(animate=False)

    def action_why(self) -> None:
        """Train the run again for this token, and go to where that is shown."""
        browser = self._run.browser
        if browser.sample is not None and browser.token is not None:
            self._run.trace(browser.sample, browser.token)
            self._at_training, self._scrolled_to, self._stamp = True, None, ()
            self._show()

    def action_stop_or_close(self) -> None:
        """Stop what is computed; with nothing to stop, close."""
        if self._run.stop_tracing():
            self._show()
        else:
            self.dismiss()

    def action_close(self) -> None:
        """Close; nothing goes on unseen."""
        self._run.stop_tracing()
        self.dismiss()

    def _show(self) -> None:
        browser = self._run.browser
        sample, token = browser.sample, browser.token
        if sample is None or token is None or token >= len(sample.tokens):
            return
        inspection = self._run.inspection(sample, token)
        trace, elsewhere = self._run.trace_of(sample, token), self._run.tracing
        width = self.query_one("#model").size.width
        known = inspection if isinstance(inspection, str) else id(inspection[0])
        other = None if elsewhere is None else elsewhere[1].stamp
        stamp = (
            *(id(sample), token, self._view, *self.app.size, width),
            *(known, *trace.stamp, other, self._run.why_untraceable()),
        )
        if stamp == self._stamp or not width:
            return
        self._stamp = stamp
        name = token_name(sample.tokens[token].text)
        box = self.query_one(".dialog-box")
        box.border_title = Content(f"inside: {name}, token {token + 1} of {len(sample.tokens)}")
        with self.app.batch_update():
            self._show_model(inspection, width)
            self._show_training(
                sample, token, None if isinstance(inspection, str) else inspection, trace
            )
        if self._at_training:
            # once it is laid out with its new height
            self.call_after_refresh(self.call_after_refresh, self._scroll_to_training)

    def _scroll_to_training(self) -> None:
        """Unless the mouse has scrolled elsewhere since the last time."""
        box = self.query_one(".dialog-box")
        before = self._scrolled_to
        if before is None or box.scroll_y == min(before, box.max_scroll_y):
            box.scroll_to_widget(
                self.query_one("#changed"), animate=False, top=True, immediate=True
            )
            self._scrolled_to = box.scroll_y

    def _show_model(self, inspection: tuple[Inspection, int] | str, width: int) -> None:
        """What it looked at, and when it decided."""
        if isinstance(inspection, str):
            self.query_one("#model", Quiet).say(Content(inspection), layout=True)
            return
        record, position = inspection
        shown = inside.views(record, position)
        self._view = min(self._view, len(shown) - 1)
        rows = max(3, self.app.size.height - 24)
        looked = inside.looked_at(record, *shown[self._view])
        decided = inside.decided(record, position, rows, width)
        parts = [
            _part("What did it look at?", looked),
            _part("When did it decide?", decided),
        ]
        self.query_one("#model", Quiet).say(Content("\n\n").join(parts), layout=True)

    def _show_training(
        self,
        sample: SampleView,
        token: int,
        inspection: tuple[Inspection, int] | None,
        trace: Trace,
    ) -> None:
        """What training changed, and which passages did."""
        width, text = self.query_one("#model").size.width, sample.tokens[token].text
        bars = not trace.likelihoods  # else the curve says it
        lines = [] if inspection is None else [inside.changed(*inspection, width, bars)]
        taught_text = Content("")
        why_not = self._run.why_untraceable()
        if trace.problem or why_not:
            lines.append(Content(trace.problem or why_not))
        elif trace.request or trace.likelihoods:
            running = bool(trace.request)
            lines.append(taught.course(trace.likelihoods, running))
            passages = taught.taught(trace.passages, text, running, width)
            taught_text = _part("Which passages taught it?", passages)
        else:
            lines.append(self._offer())
        changed = _part("What did training change?", Content("\n").join(lines))
        self.query_one("#changed", Quiet).say(changed, layout=True)
        self.query_one("#taught", Quiet).say(taught_text, layout=True)
        self.query_one("#taught").display = bool(taught_text)
        curve = self.query_one(TokenCurve)
        series = taught.curve(trace.likelihoods, inspection)
        curve.display = bool(series)
        curve.styles.height = max(4, min(10, self.app.size.height // 6))
        curve.show(series, max(self._run.history.steps, default=0))

    def _offer(self) -> Content:
        if (other := self._run.tracing) is not None:
            done = len(other[1].likelihoods) - 1
            return Content.styled(
                f"Token {other[0] + 1} is computed, at iteration {max(0, done)}; w: this one "
                "instead.",
                "$quiet",
            )
        seconds = format.duration(self._run.training_seconds())
        return Content.styled(
            "This says that it changed, not what taught it. w trains the run again, about "
            f"{seconds}: the curve by iteration, and the passages that taught it.",
            "$quiet",
        )


def _part(question: str, answer: Content) -> Content:
    return Content.assemble((f"{question}\n", "bold $accent"), answer)
