"""The end of a run in its trainer: --on-end and the terminal's notification."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from shakegpt.notify.command import execute
from shakegpt.notify.result import result
from shakegpt.notify.terminal import notify
from shakegpt.notify.watchdog import Watchdog
from shakegpt.runlog import schema
from shakegpt.runlog.runs import RUNS


class OnEnd:
    """A log that learns from the records which run is trained; call `end` after the training."""

    def __init__(self, words: Sequence[str], terminal: bool, run: Path | None = None) -> None:
        """`words` of the command, or []; whether to notify the `terminal`; a resumed run's
        directory.
        """
        self._words, self._terminal, self._run = words, terminal, run
        self._watchdog: Watchdog | None = None
        self._started = False

    def write(self, event: schema.Event) -> None:
        """Start the watchdog with the first record of a run or a resume."""
        if isinstance(event, schema.Run):
            self._run = Path(event.config.get("out_dir") or RUNS / event.run_id)
        if not isinstance(event, schema.Run | schema.Resume):
            return
        assert self._run is not None  # of a resumed run, from the constructor
        self._started = True
        if self._words:
            try:
                self._watchdog = Watchdog(self._run.absolute(), self._words)
            except OSError as error:
                print(f"shakegpt: --on-end will not see a crash: {error}", file=sys.stderr)

    def end(self, exit_code: int, reason: str) -> None:
        """Run the command and notify, if a run was started; the log's reason comes first."""
        if not self._started or self._run is None:
            return
        if self._watchdog is not None:
            self._watchdog.dismiss()
        ended = result(self._run, exit_code=exit_code, reason=reason)
        if self._terminal:
            with suppress(OSError):  # a terminal that hung up
                notify(ended.message, sys.stdout)
        if self._words and (problem := execute(self._words, ended)) is not None:
            with suppress(OSError):
                print(f"shakegpt: {problem}", file=sys.stderr)
