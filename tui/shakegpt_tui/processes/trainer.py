"""The trainer as a process of its own, in its own session: nothing that befalls the UI reaches it.

A closed terminal, a Ctrl-C, a killed or broken UI leave it running; it reads commands from its
run directory and writes its log there, and its stderr goes to trainer.log beside them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time as clock
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.runlog.control import Request, send
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, Follower
from shakegpt.runlog.runs import TRAINER_LOG, new_run_dir
from shakegpt.runlog.schema import Command
from shakegpt.runlog.status import STARTUP, is_local, trainer_alive

LAST_WORD = 0.8
"""Seconds after a trainer has let go of the log in which its end, once written, has been read."""
HURRY, LEISURE, MOMENT = 9.0, 600.0, 3.0
"""Seconds to wait for trainers to end, of which `docker stop` gives ten, and for them to save."""
_TAIL = 16_384
"""Bytes at the end of trainer.log among which the last words are."""


class Trainer:
    """A trainer that this process started. Its exit is seen at once, unlike a stranger's."""

    def __init__(self, run: Path, arguments: Sequence[str]) -> None:
        """Run `shakegpt finetune` with `arguments`; raises ShakegptError when it cannot start."""
        self.run = run
        try:
            run.mkdir(parents=True, exist_ok=True)
            with (run / TRAINER_LOG).open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "shakegpt", "finetune", *arguments, "--no-tui"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                )
        except OSError as error:
            raise ShakegptError(f"cannot start a trainer for {run}: {error}", exit_code=1) from None

    @property
    def pid(self) -> int:
        """The trainer's process number; its process group and session have the same."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, then its exit code, negative for a signal."""
        return self._process.poll()

    def terminate(self) -> None:
        """Have it save its state and end, wherever it is."""
        self._process.terminate()

    def kill(self) -> None:
        """End it and its children at once. What it saved last stays: saves are atomic."""
        if self.exit_code is None:
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def discard(self) -> bool:
        """Remove what it left if it ended with a sentence before its first record; whether it was
        so. What else is in the run's directory stays, and so does what a traceback may explain.
        """
        report = self.run / TRAINER_LOG
        if self.exit_code not in (1, 2) or (self.run / LOG_NAME).exists():
            return False
        try:
            if b"Traceback" in report.read_bytes():
                return False
            report.unlink()
            self.run.rmdir()
        except OSError:
            return False
        return True


def save_all(running: Iterable[Trainer], *, stop: bool, hurry: bool) -> None:
    """Have trainers save their state and, with `stop`, end; return when they have done so.

    In a `hurry`, within the seconds that container managers give.
    """
    limit = clock.monotonic() + (HURRY if stop and hurry else LEISURE if stop else MOMENT)
    waiting = dict[Trainer, tuple[Follower, str]]()
    for trainer in running:
        if trainer.exit_code is not None:
            continue
        log, request = Follower(trainer.run / LOG_NAME, (Command,)), Request(verb="save")
        if stop:
            trainer.terminate()
        else:
            with suppress(OSError):
                send(trainer.run, request)
        waiting[trainer] = log, request.id
    while waiting and clock.monotonic() < limit:
        clock.sleep(0.1)
        for trainer, (log, key) in list(waiting.items()):
            answers = (record for record in log.poll() if isinstance(record, Command))
            saved = any(each.id == key and each.status != "accepted" for each in answers)
            if saved or trainer.exit_code is not None:
                del waiting[trainer]


class Pulse:
    """Whether the trainer of a run, whoever started it, is gone: seen at once on its machine."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._free_since: float | None = None

    def gone(self, history: History) -> bool:
        """Whether it died without an end; `history` is what was read of its log by now."""
        if history.end is not None or trainer_alive(self._run, history) is not False:
            self._free_since = None
            return False
        now = clock.monotonic()
        self._free_since = self._free_since or now
        return now - self._free_since >= LAST_WORD


def start(words: Sequence[str]) -> Trainer:
    """Start or resume a run with the arguments of `shakegpt finetune`, by default in a new
    directory.
    """
    from shakegpt.cli.finetune_arguments import parse

    request = parse(list(words))
    if request.resume is not None:
        return Trainer(request.resume, words)
    named = request.settings.get("out_dir")
    run = Path(named) if named else new_run_dir(request.init_from)
    if (run / LOG_NAME).exists():
        raise ShakegptError(
            f"{run} holds a run already: use another --out-dir, or watch it with "
            f"`shakegpt-tui {run}`"
        )
    return Trainer(run, words if named else [*words, "--out-dir", str(run)])


def resume(run: Path, *flags: str) -> Trainer:
    """Go on with a run that stopped, failed or crashed; `flags` change its configuration."""
    return Trainer(run, ["--resume", str(run), *flags])


def is_starting(run: Path) -> bool:
    """Whether a trainer of somebody else may be about to begin the log of `run`."""
    try:
        return clock.time() - run.stat().st_mtime < STARTUP
    except OSError:
        return False


def last_words(run: Path, lines: int = 12) -> list[str]:
    """The last lines that a trainer wrote to its stderr, without the program's name; [] if none."""
    try:
        with (run / TRAINER_LOG).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            text = file.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return []
    written = (line.rstrip() for line in text.splitlines() if line.strip())
    return [line.removeprefix("shakegpt: ") for line in written][-lines:]


def kill_stranger(history: History, run: Path) -> bool:
    """Kill the trainer that writes the log of `run` though another process started it.

    Only if a trainer holds the log's lock: process numbers are used again, and the log's number
    alone could name somebody else by now. False when there is nobody to kill.
    """
    if history.latest is None or not is_local(history) or not trainer_alive(run, history):
        return False
    import psutil

    try:
        psutil.Process(history.latest.pid).kill()
    except (psutil.Error, OverflowError, ValueError):
        return False
    return True
