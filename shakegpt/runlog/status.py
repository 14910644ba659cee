"""The state of a run: what it is doing, whether its trainer is alive, how far it is."""

from __future__ import annotations

import socket
import subprocess
import sys
import time as clock
from enum import StrEnum
from functools import cache
from pathlib import Path

from shakegpt.runlog.history import History, load
from shakegpt.runlog.lock import is_held, lock_file
from shakegpt.runlog.log import LOG_NAME

STALE_AFTER = 20.0
"""Seconds without a record after which a trainer counts as stalled; heartbeats come every 4."""
STARTUP = 60.0
"""Seconds that a trainer may take to its first record: importing torch, reading GPT-2 XL from a
cold disk."""


class RunState(StrEnum):
    """The state of a run; its value is the word for it."""

    STARTING = "starting"
    TRAINING = "training"
    PAUSED = "paused"
    STALLED = "stalled"
    """The process is alive, but has written nothing for `STALE_AFTER` seconds."""
    CRASHED = "crashed"
    """The log has no end, and its trainer is gone or on an unreachable machine."""
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def at_work(self) -> bool:
        """Whether a trainer is active."""
        return self in (RunState.STARTING, RunState.TRAINING, RunState.PAUSED)

    @property
    def unfinished(self) -> bool:
        """Whether a trainer may still write; in all other states the run can be resumed."""
        return self.at_work or self is RunState.STALLED


def run_state(history: History, now: float, alive: bool | None = None) -> RunState:
    """The state at `now`, seconds since 1970; never raises on the contents of a log.

    `alive` is the result of `trainer_alive`. With None, the age of the newest record decides, and
    the existence of the process only if that record is old.
    """
    if history.end is not None:
        return RunState(history.end.status)
    if alive is False:
        return RunState.CRASHED
    age = now - history.last_time
    if age > (STARTUP if history.latest is None else STALE_AFTER):
        return RunState.STALLED if alive or _process_exists(history) else RunState.CRASHED
    if -age > STALE_AFTER and is_local(history) and not (alive or _process_exists(history)):
        return RunState.CRASHED  # the clock was set back
    beat = history.heartbeat
    if beat is None or beat.phase == "starting":
        return RunState.STARTING
    return RunState.PAUSED if beat.phase == "paused" else RunState.TRAINING


def current_state(run: Path, history: History) -> RunState:
    """The current state of the run directory `run`, whose `history` has been read."""
    alive = trainer_alive(run, history)
    if alive is False and history.end is None:
        history = load(run)[0]  # the end may have been written since
    return run_state(history, clock.time(), alive)


def trainer_alive(run: Path, history: History) -> bool | None:
    """Whether a trainer holds the lock of the run directory `run`; None where that is unknown, for
    a trainer on another machine.
    """
    if is_held(lock_file(run / LOG_NAME)):
        return True
    return False if is_local(history) else None


def is_local(history: History) -> bool:
    """Whether the latest trainer ran on this machine since it was booted."""
    latest = history.latest
    if latest is None:
        return False
    return latest.machine == machine() if latest.machine else latest.host == socket.gethostname()


@cache
def machine() -> str:
    """Identifies this machine since its boot, with the container in which process ids are valid.

    The host name does not identify it: macOS changes it, and containers share one.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        pass
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip():
            return done.stdout.strip()
    return socket.gethostname()


def _process_exists(history: History) -> bool:
    if history.latest is None or not is_local(history):
        return False
    import psutil

    try:
        return psutil.Process(history.latest.pid).status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, OverflowError, ValueError):  # a log may hold any number
        return False


def planned(history: History) -> int:
    """Number of planned iterations, at least those made; 0 when the log does not say."""
    return max(history.max_iters, history.iteration)


def state_text(history: History) -> str:
    """`stopped at iteration 7 of 20`, or "" for a finished run.

    Only the log decides, not the clock or a process, so the same log gives the same figures. One
    without an end is `unfinished`, whether its trainer is active or has died.
    """
    if history.end is not None and history.end.status == "finished":
        return ""
    return _at(history, history.end.status if history.end else "unfinished")


def current_state_text(run: Path, history: History) -> str:
    """As `state_text`, with the current state of a run without an end."""
    if history.end is not None:
        return state_text(history)
    return _at(history, current_state(run, history))


def _at(history: History, word: str) -> str:
    return f"{word} at iteration {history.iteration:,} of {planned(history):,}"
