"""The directory of runs: name a new run, list the runs there are, delete and restore one.

A list needs a few numbers of each run, so logs are not decoded whole, and a `RunIndex` that is
refreshed reads only what was appended since. Whatever a log contains, listing does not raise.
"""

from __future__ import annotations

import os
import re
import time as clock
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.files import WEIGHTS
from shakegpt.runlog import lock
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, Follower, looks_like_log, opened
from shakegpt.runlog.status import RunState, run_state, trainer_alive

RUNS = Path("runs")
"""Where runs are by default, relative to the working directory."""
TRAINER_LOG = "trainer.log"
TRASH = ".trash"
"""Directory, beside the runs, that deleted runs are moved to."""
KINDS = (ev.Run, ev.Resume, ev.Step, ev.Eval, ev.Heartbeat, ev.End)
"""The kinds of records that a summary needs."""


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows of one run. Losses are nats a token, times seconds since 1970."""

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
    """Why the log cannot be read as it should, in one sentence; "" when it can."""

    @property
    def name(self) -> str:
        """Name of the run's directory."""
        return self.path.name


def new_run_dir(model: str, base: Path = RUNS) -> Path:
    """A name for a new run of `model` that is not taken; the directory is not created.

    >>> new_run_dir("gpt2-large")  # doctest: +SKIP
    PosixPath('runs/2026-11-22T15-50-03-gpt2-large')
    """
    return _unused(base, f"{clock.strftime('%Y-%m-%dT%H-%M-%S')}-{_slug(model)}")


def _slug(model: str) -> str:
    """Short and safe in a file name: `openai-community/gpt2` -> gpt2, an old run -> its model."""
    name = re.sub(r"^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-", "", Path(model).name)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40] or "model"


def require_unused(path: Path) -> None:
    """Raise ShakegptError when `path` cannot be the directory of a new run.

    A start that was killed before its first record was complete may be repeated.
    """
    killed = _has_no_record(path)
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
    if taken := next((name for name in results if (path / name).exists()), None):
        raise ShakegptError(f"--out-dir {path} holds a {taken} already: choose another directory")


def _has_no_record(path: Path) -> bool:
    try:
        with opened(path / LOG_NAME) as log:
            return not log.readline().endswith(b"\n")
    except OSError:
        return False


def is_run(path: Path) -> bool:
    """Whether `path` is a run directory: a log of records, or a trainer that never wrote one."""
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
        """The runs that are there now, newest first."""
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
    """Folds the few records that a summary needs; `summary` first reads what was appended."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._log = Follower(run / LOG_NAME, KINDS)
        self._history = History()
        self._newer = ""

    def summary(self, now: float) -> RunSummary:
        alive = trainer_alive(self.run, self._history)  # before its end is looked for
        problem = ""
        try:
            self._take_in(self._log.poll())
        except ShakegptError as error:
            self._newer = str(error)
        except OSError as error:
            problem = f"cannot read the log: {error.strerror}"
        self._history.last_time = self._log.time or self._touched()
        return self._summary(run_state(self._history, now, alive), self._newer or problem)

    def _take_in(self, records: Iterable[ev.Event]) -> None:
        if self._log.restarted:
            self._history, self._newer = History(), ""
        for record in records:
            if isinstance(record, ev.Step):
                self._history.steps.clear()  # the latest is enough
            self._history.add(record)

    def _touched(self) -> float:
        """When something happened to a run whose log says nothing."""
        for name in (TRAINER_LOG, "."):
            with suppress(OSError):
                return (self.run / name).stat().st_mtime
        return 0.0

    def _summary(self, state: RunState, problem: str) -> RunSummary:
        history, run = self._history, self._history.run
        first, best = history.first_eval, history.best_eval
        resumed_at = history.resumes[-1].iteration if history.resumes else 0
        return RunSummary(
            path=self.run,
            state=state,
            model=run.model.name if run else "",
            dataset=run.dataset.name if run else "",
            iteration=max(history.iteration, resumed_at),
            max_iters=history.max_iters,
            first_val=first.val_loss if first else None,
            best_val=best.val_loss if best else None,
            val_curve=tuple((i, history.evals[i].val_loss) for i in sorted(history.evals)),
            started=run.time if run else history.last_time,
            updated=history.last_time,
            problem=problem,
        )


def delete_run(path: Path) -> Path:
    """Move a run directory to the trash beside it, from which `restore_run` takes it back.

    Returns where it is now: `.trash/NAME`, with a number where that name is taken. Raises
    ShakegptError for a path that is no run directory, for a run that is being trained, and when it
    cannot be moved.
    """
    if path.is_symlink():
        raise ShakegptError(f"{path} is a link: delete the directory that it points to instead")
    if not is_run(path):
        raise ShakegptError(f"{path} is no run directory, so it is left alone")
    trash = path.parent / TRASH
    with _no_trainer(path), _moving(path):
        trash.mkdir(exist_ok=True)
        deleted = path.rename(_unused(trash, path.name))
        os.utime(deleted)  # says which was deleted last
    return deleted


def restore_run(base: Path = RUNS) -> Path:
    """Move the run that was deleted last from the trash back into `base`; returns where it is now.

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
    """Hold the lock that a trainer would hold, and so keep new trainers out as well."""
    log, held = lock.lock_file(run / LOG_NAME), None
    busy = summarize(run).state.at_work
    if not busy and log.exists():
        with suppress(lock.NoLocks):  # where no trainer can be either
            held = lock.acquire(log)
            busy = held is None
    if busy:
        raise ShakegptError(f"{run} is being trained: stop it first, then delete it")
    try:
        yield
    finally:
        if held is not None:
            os.close(held)
