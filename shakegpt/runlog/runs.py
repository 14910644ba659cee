"""The directory of runs: name a new run, list the runs, delete and restore one.

A list needs a few numbers of each run, so logs are not decoded completely, and a `RunIndex` reads
only what was appended since its last refresh. Listing never raises on the contents of a log.
"""

from __future__ import annotations

import os
import re
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.files import WEIGHTS
from shakegpt.runlog import lock
from shakegpt.runlog import schema as ev
from shakegpt.runlog.eta import reached
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, Follower, looks_like_log, opened
from shakegpt.runlog.status import RunState, run_state, trainer_alive

RUNS = Path("runs")
"""Default directory of runs, relative to the working directory."""
TRAINER_LOG = "trainer.log"
TRASH = ".trash"
"""Directory, beside the runs, that deleted runs are moved to."""
KINDS = (ev.Run, ev.Resume, ev.Step, ev.Eval, ev.Heartbeat, ev.End)
"""Kinds of records that a summary needs."""


@dataclass(frozen=True)
class RunSummary:
    """One run in a list of runs. Losses are nats per token, times seconds since 1970."""

    path: Path
    state: RunState
    model: str
    """Name of the model, "" while the log has no header."""
    dataset: str
    iteration: int
    max_iters: int
    first_val: float | None
    best_val: float | None
    val_curve: tuple[tuple[int, float | None], ...]
    """(iteration, val loss) of every evaluation; None where the loss was not finite."""
    started: float
    updated: float
    problem: str = ""
    """Why the log cannot be read, in one sentence; "" when it can."""

    @property
    def name(self) -> str:
        """Name of the run's directory."""
        return self.path.name


def new_run_dir(model: str, base: Path = RUNS) -> Path:
    """An unused name for a new run of `model`; the directory is not created.

    >>> new_run_dir("gpt2-large")  # doctest: +SKIP
    PosixPath('runs/2026-11-22T15-50-03-gpt2-large')
    """
    # openai-community/gpt2 -> gpt2, and an earlier run -> its model
    name = re.sub(r"^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-", "", Path(model).name)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40] or "model"
    return _unused(base, f"{clock.strftime('%Y-%m-%dT%H-%M-%S')}-{name}")


def require_unused(path: Path) -> None:
    """Raise ShakegptError when `path` cannot be the directory of a new run.

    It can be if an earlier start was killed before its first record was complete.
    """
    killed = _is_without_record(path)
    try:
        exists = (path / LOG_NAME).exists()
    except OSError as error:
        raise ShakegptError(f"cannot create --out-dir {path}: {error.strerror}") from error
    if exists and not killed:
        raise ShakegptError(
            f"--out-dir {path} holds a run already: continue it with `shakegpt finetune --resume "
            f"{path}`, or choose another directory"
        )
    results = ("model/" + WEIGHTS, "state") if killed else ("model", "state")
    if result := next((name for name in results if (path / name).exists()), None):
        raise ShakegptError(f"--out-dir {path} holds a {result} already: choose another directory")


def _is_without_record(path: Path) -> bool:
    try:
        with opened(path / LOG_NAME) as log:
            return not log.readline().endswith(b"\n")
    except OSError:
        return False


def is_run(path: Path) -> bool:
    """Whether `path` is a run directory: with a run log, or only the log of a failed trainer."""
    try:
        if path.is_symlink() or not path.is_dir():
            return False
        return looks_like_log(path / LOG_NAME)
    except FileNotFoundError:
        return (path / TRAINER_LOG).is_file()
    except OSError:
        return False


def find_runs(base: Path = RUNS) -> list[RunSummary]:
    """The runs in `base`, newest first; [] when there are none or no such directory."""
    return RunIndex(base).refresh()


def summarize(run: Path) -> RunSummary:
    """The summary of the run directory `run`."""
    return _Reader(run).summary(clock.time())


class RunIndex:
    """The runs of a directory; each `refresh` reads only what was appended since."""

    def __init__(self, base: Path = RUNS) -> None:
        self.base = base
        self._readers: dict[Path, _Reader] = {}

    def refresh(self) -> list[RunSummary]:
        """The current runs, newest first."""
        paths = [path for path in _children(self.base) if is_run(path)]
        self._readers = {path: self._readers.get(path) or _Reader(path) for path in paths}
        now = clock.time()
        summaries = [reader.summary(now) for reader in self._readers.values()]
        return sorted(summaries, key=lambda run: (run.started, run.name), reverse=True)


def _children(base: Path) -> list[Path]:
    try:
        return list(base.iterdir())
    except OSError:
        return []


class _Reader:
    """Summarizes a run; each `summary` reads only what was appended since."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._log = Follower(run / LOG_NAME, KINDS)
        self._history = History()
        self._newer = ""

    def summary(self, now: float) -> RunSummary:
        alive = trainer_alive(self.run, self._history)  # before its end record is looked for
        problem = ""
        try:
            records = self._log.poll()
            if self._log.restarted:
                self._history, self._newer = History(), ""
            for record in records:
                if isinstance(record, ev.Step):
                    self._history.steps.clear()  # the latest is enough
                self._history.add(record)
        except ShakegptError as error:
            self._newer = str(error)
        except OSError as error:
            problem = f"cannot read the log: {error.strerror}"
        history, run = self._history, self._history.run
        history.last_time = self._log.time or self._modified()
        first, best = history.first_eval, history.best_eval
        return RunSummary(
            path=self.run,
            state=run_state(history, now, alive),
            model=run.model.name if run else "",
            dataset=run.dataset.name if run else "",
            iteration=reached(history),
            max_iters=history.max_iters,
            first_val=first.val_loss if first else None,
            best_val=best.val_loss if best else None,
            val_curve=tuple((i, history.evals[i].val_loss) for i in sorted(history.evals)),
            started=run.time if run else history.last_time,
            updated=history.last_time,
            problem=self._newer or problem,
        )

    def _modified(self) -> float:
        """Time of the last change to a run without a record in its log."""
        for name in (TRAINER_LOG, "."):
            with suppress(OSError):
                return (self.run / name).stat().st_mtime
        return 0.0


def delete_run(path: Path) -> Path:
    """Move a run directory to the trash beside it, from where `restore_run` can restore it.

    Returns its new path: `.trash/NAME`, with a number if that name is in use. Raises ShakegptError
    for a path that is no run directory, for a run that is being trained, and when it cannot be
    moved.
    """
    if path.is_symlink():
        raise ShakegptError(f"{path} is a link: delete the directory that it points to instead")
    if not is_run(path):
        raise ShakegptError(f"{path} is no run directory, so it is left alone")
    trash = path.parent / TRASH
    with _no_trainer(path), _moving(path):
        trash.mkdir(exist_ok=True)
        deleted = path.rename(_unused(trash, path.name))
        os.utime(deleted)  # the one deleted last is restored first
    return deleted


def restore_run(base: Path = RUNS) -> Path:
    """Move the run that was deleted last from the trash back into `base`; returns its new path.

    Raises ShakegptError when the trash is empty or the run cannot be moved.
    """
    deleted = [path for path in _children(base / TRASH) if is_run(path)]
    if not deleted:
        raise ShakegptError(f"there is no deleted run in {base / TRASH}")
    last = max(deleted, key=lambda path: path.stat().st_mtime_ns)
    with _moving(last):
        return last.rename(_unused(base, last.name))


def _unused(directory: Path, name: str) -> Path:
    path, number = directory / name, 2
    while os.path.lexists(path):
        path, number = directory / f"{name}-{number}", number + 1
    return path


@contextmanager
def _moving(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ShakegptError(f"cannot move {path}: {error.strerror}", exit_code=1) from error


@contextmanager
def _no_trainer(run: Path) -> Iterator[None]:
    """Hold the lock that a trainer would hold, which also keeps new trainers out."""
    log, fd = lock.lock_file(run / LOG_NAME), None
    busy = summarize(run).state.at_work
    if not busy and log.exists():
        with suppress(lock.NoLocks):  # a trainer needs them
            fd = lock.acquire(log)
            busy = fd is None
    if busy:
        raise ShakegptError(f"{run} is being trained: stop it first, then delete it")
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)
