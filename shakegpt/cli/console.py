"""The console of a run without its screen: a live block in a terminal, plain lines elsewhere.

Both receive the records of the run log as they are written. When the output is closed (a terminal,
`| head`), training continues without it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from shakegpt.cli.attended import unattended
from shakegpt.cli.console_lines import (
    changed,
    eval_line,
    opening,
    sample_lines,
    status_line,
    step_line,
    summary,
)
from shakegpt.runlog import schema as ev
from shakegpt.runlog.eta import finished, time_left
from shakegpt.runlog.history import History
from shakegpt.sanitize import one_line, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH = 0.25
"""Seconds between redraws of the live block."""
SAMPLE_LINES = 12
"""Lines of the streaming sample in the live block."""


class PlainConsole:
    """A line per iteration and evaluation; no line is rewritten."""

    def __init__(self, past: History | None = None, run: Path | None = None) -> None:
        """For a resumed run, with its history and directory."""
        self.history, self._run = past or History(), run
        self._closed = False
        self._errors: set[str] = set()

    def write(self, event: ev.Event) -> None:
        """Print the lines for a record, unless the output is closed.

        Another error is reported once on stderr; it must not end the training.
        """
        self.history.add(event)
        try:
            for line in self.lines(event) if not self._closed else []:
                self.say(line)
        except OSError:  # closed pipe, closed terminal
            self._closed = True
            with suppress(OSError, ValueError), open(os.devnull, "w") as null:
                os.dup2(null.fileno(), sys.stdout.fileno())  # else Python's last flush fails
        except Exception as error:
            self._closed = sys.stdout.closed
            problem = f"cannot show {type(event).__name__}: {error!r}"
            if problem not in self._errors and not self._closed:
                self._errors.add(problem)
                print(f"shakegpt: {one_line(problem, 200)}", file=sys.stderr)

    def say(self, line: str) -> None:
        """Print a line, sanitized."""
        print(printable(line), flush=True)

    def lines(self, event: ev.Event) -> list[str]:
        """The lines for a record; [] for most."""
        match event:
            case ev.Run():
                return opening(event)
            case ev.Resume():
                line = f"resumed at iteration {event.iteration} on {event.device} {event.dtype}"
                return [line, *changed(self.history)]
            case ev.Step():
                return [step_line(self.history, event, time_left(self.history))]
            case ev.Eval():
                return [eval_line(self.history, event)]
            case ev.SampleEnd() if event.complete:
                return sample_lines(self.history, event)
            case ev.Copies() if event.longest:
                return [f"  the longest copy from the text is {event.longest} words"]
            case ev.Advice():
                return [f"  {event.sentence}"]
            case ev.RunWarning():
                return [f"warning: {printable(event.message)}"]
            case ev.Command() if event.status != "accepted":
                return [f"command {event.verb}: {event.status} {printable(event.message)}".rstrip()]
            case ev.End():
                return summary(self.history, event, self._run)
        return []

    def close(self) -> None:
        """Nothing to restore."""


class LiveConsole(PlainConsole):
    """One block at the bottom of the terminal; evaluations stay above it as lines."""

    def __init__(self, past: History | None = None, run: Path | None = None) -> None:
        super().__init__(past, run)
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=self._block,
            console=Console(highlight=False),
            refresh_per_second=1 / REFRESH,
            transient=True,
        )
        self._live.start()

    def say(self, line: str) -> None:
        """Print a line above the block."""
        from rich.text import Text

        self._live.console.print(Text(printable(line)), soft_wrap=True)

    def lines(self, event: ev.Event) -> list[str]:
        """As the plain lines, without iterations, which the block shows."""
        if isinstance(event, ev.End):
            self._live.stop()
        return [] if isinstance(event, ev.Step) else super().lines(event)

    def close(self) -> None:
        """Remove the block."""
        with suppress(OSError, ValueError):
            self._live.stop()

    def _block(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        h = self.history
        if h.run is None:
            return Text("loading", style="dim")
        whole = max(h.max_iters, 1)
        bar = Table.grid(padding=(0, 1))
        share = Text(f"{finished(h) / whole:.0%}")
        bar.add_row(ProgressBar(total=whole, completed=finished(h), width=40), share)
        parts: list[RenderableType] = [bar, Text(status_line(h, time_left(h)))]
        if h.samples and not h.samples[-1].complete:
            view = h.samples[-1]
            tail = printable(view.start.prompt + view.text).split("\n")[-SAMPLE_LINES:]
            parts.append(Text("\n".join(tail), style="yellow"))
        return Group(*parts)


@contextmanager
def console(past: History | None = None, run: Path | None = None) -> Iterator[PlainConsole]:
    """Live in a terminal that can move the cursor, else plain; `past` is not printed again."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack characters
        sys.stdout.reconfigure(errors="backslashreplace")
    dumb = os.environ.get("TERM", "") in ("", "dumb") or unattended() is not None
    chosen = (LiveConsole if sys.stdout.isatty() and not dumb else PlainConsole)(past, run)
    try:
        yield chosen
    finally:
        chosen.close()
