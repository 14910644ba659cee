"""A look at the run under the cursor: its curves, and the end of what it wrote last."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.worker import get_current_worker

from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import LOSSES, History
from shakegpt.runlog.log import LOG_NAME, Follower
from shakegpt.runlog.schema import Copies, Sample, SampleEnd
from shakegpt.sanitize import printable
from shakegpt_tui.run import curves
from shakegpt_tui.run.narrator import outcome
from shakegpt_tui.widgets.quiet import Quiet
from shakegpt_tui.widgets.sparkline import LossSparkline

REST = 0.15
"""Seconds that the cursor rests on a run before its log is read."""
MOST_BYTES = 64 << 20
"""Size of a log that is read for a preview."""
KINDS = (*LOSSES, Sample, SampleEnd, Copies)


class RunPreview(Vertical):
    """Shows one run; reads its log in a thread."""

    DEFAULT_CSS = """
    RunPreview {
        height: 45%; border-top: solid $foreground 20%; display: none;
        & > LossSparkline { height: 40%; min-height: 4; }
        & > #outcome { height: 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #written { height: 1fr; color: $foreground 85%; }
    }
    """

    @dataclass
    class Read(Message):
        """The log of a run was read."""

        run: Path
        history: History

    _timer: Timer | None = None
    _key: tuple[Path | None, float] = (None, 0.0)

    def compose(self) -> ComposeResult:
        yield LossSparkline()
        yield Quiet(id="outcome")
        yield Quiet(id="written")

    def show(self, run: Path | None, updated: float) -> None:
        """Show `run`, whose log was `updated` then; what is shown already is not read again."""
        if (run, updated) == self._key or not self.display:
            return
        self._key = run, updated
        if self._timer is not None:
            self._timer.stop()
        if run is not None:
            self._timer = self.set_timer(REST, self._start)

    def _start(self) -> None:
        if (run := self._key[0]) is not None:
            self.run_worker(
                lambda: self._read(run),
                thread=True,
                exclusive=True,
                group="preview",
                exit_on_error=False,
            )

    def _read(self, run: Path) -> None:
        history, worker = History(), get_current_worker()
        with suppress(OSError, ShakegptError):
            if (run / LOG_NAME).stat().st_size <= MOST_BYTES:
                history.extend(Follower(run / LOG_NAME, KINDS).poll())
        if not worker.is_cancelled:
            self.post_message(self.Read(run, history))

    def on_run_preview_read(self, event: Read) -> None:
        if event.run != self._key[0]:
            return
        history = event.history
        self.query_one(LossSparkline).show(curves.of_history(history))
        self.query_one("#outcome", Quiet).say(Content(outcome(history)))
        last = next((view for view in reversed(history.samples) if view.end), None)
        written = Content("")
        if last is not None and last.end is not None:
            prompt = (printable(last.start.prompt), "bold $accent")
            written = Content.assemble(prompt, printable(last.end.text))
        self.query_one("#written", Quiet).say(written, layout=True)
