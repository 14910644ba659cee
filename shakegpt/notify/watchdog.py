"""A small process that runs the command of --on-end when the trainer itself no longer can.

The trainer holds one end of a pipe: when it closes without a message, because the trainer was
killed, the watchdog reports a crash. While it is open, a log without output counts as a stall,
which is reported once until the run continues.

    python -m shakegpt.notify.watchdog RUN WORD ...    (started by `Watchdog`)
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from shakegpt.notify.command import execute
from shakegpt.notify.result import result
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.status import STALE_AFTER, RunState

POLL_SECONDS = 1.0


class Watchdog:
    """The trainer's end of the pipe; call `dismiss` when the run has ended."""

    def __init__(self, run: Path, words: Sequence[str]) -> None:
        """Watch this process, the trainer of the run directory `run`. Raises OSError."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "shakegpt.notify.watchdog", str(run), *words],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End the watchdog without a report."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(b"done")
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._process.poll() is None:  # it is running the command for a stall
            self._process.terminate()
            self._process.wait()


def watch(run: Path, words: Sequence[str], pipe: int, stale_after: float = STALE_AFTER) -> None:
    """Report stalls until the pipe closes, and then a crash unless there was a message."""
    # by a clock that neither a change of the time nor a sleep of the machine moves
    stalled, written, since = False, 0, time.monotonic()
    while not select.select([pipe], [], [], POLL_SECONDS)[0]:
        if (latest := (run / LOG_NAME).stat().st_mtime_ns) != written:
            stalled, written, since = False, latest, time.monotonic()
        if not stalled and time.monotonic() - since > stale_after:
            stalled = True
            _report(run, words, RunState.STALLED)
    if not os.read(pipe, 4):
        _report(run, words, None)


def _report(run: Path, words: Sequence[str], state: RunState | None) -> None:
    if (problem := execute(words, result(run, state))) is not None:
        with suppress(OSError):  # a terminal that hung up
            print(f"shakegpt: {problem}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with suppress(OSError):  # the run directory was deleted
        watch(Path(sys.argv[1]), sys.argv[2:], sys.stdin.fileno())
