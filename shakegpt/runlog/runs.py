"""The directory of runs: name a new run, list the runs there are, delete one.

A list needs a few numbers of each run, so logs are not decoded whole: of the bulk (progress,
tokens) only the first bytes of a line are looked at, and a `RunIndex` that is asked again reads
only what was appended since. Whatever a log contains, listing does not raise.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.files import WEIGHTS
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, State
from shakegpt.runlog.log import LOG_NAME, is_written, opened

RUNS = Path("runs")
"""Where runs live unless told otherwise, relative to the working directory."""
TRAINER_LOG = "trainer.log"
LIVE: tuple[State, ...] = ("starting", "live", "paused")
"""States in which a trainer is at work as far as its log tells."""

_RECORD = b'{"event":"'  # msgspec writes the tag first, without spaces
_START = len(_RECORD)
_CURVE = frozenset((b'run"', b"resu", b"eval", b'end"'))  # decoded, each of them
_DRAWN = _CURVE | {b"step"}
_LATEST = frozenset((b"step", b"hear"))  # decoded, the last one only


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows of one run. Losses are nats a token, times seconds since 1970."""

    path: Path
    state: State
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


class _Stamp(msgspec.Struct, frozen=True):
    """The time of any record, whatever else it carries."""

    time: float


_decode = msgspec.json.Decoder(ev.Event).decode
_decode_stamp = msgspec.json.Decoder(_Stamp).decode
_DAMAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def new_run_dir(model: str, base: Path = RUNS) -> Path:
    """A name for a new run of `model` that nothing bears yet; the directory is not created.

    >>> new_run_dir("gpt2-large")  # doctest: +SKIP
    PosixPath('runs/2026-11-22T15-50-03-gpt2-large')
    """
    stem = f"{clock.strftime('%Y-%m-%dT%H-%M-%S')}-{_slug(model)}"
    path, number = base / stem, 2
    while os.path.lexists(path):
        path, number = base / f"{stem}-{number}", number + 1
    return path


def _slug(model: str) -> str:
    """Short and safe in a file name: `openai-community/gpt2` -> gpt2, an old run -> its model."""
    name = re.sub(r"^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-", "", Path(model).name)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40] or "model"


def require_unused(path: Path) -> None:
    """Raise ShakegptError when `path` cannot be the directory of a new run.

    A start that was killed before its first record was whole leaves none: it may be begun again.
    """
    unborn = _was_never_begun(path)
    try:
        begun = (path / LOG_NAME).exists()
    except OSError as error:
        raise ShakegptError(f"--out-dir {path} cannot be made: {error.strerror}") from error
    if begun and not unborn:
        raise ShakegptError(
            f"--out-dir {path} holds a run already: go on with `shakegpt finetune --resume "
            f"{path}`, or choose another directory"
        )
    theirs = ("model/" + WEIGHTS, "state") if unborn else ("model", "state")
    if taken := next((name for name in theirs if (path / name).exists()), None):
        raise ShakegptError(f"--out-dir {path} holds a {taken} already: choose another directory")


def _was_never_begun(path: Path) -> bool:
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
        with opened(path / LOG_NAME) as file:
            head = file.read(_START)
    except FileNotFoundError:
        return (path / TRAINER_LOG).is_file()
    except OSError:
        return False
    return not head or head == _RECORD


def find_runs(base: Path = RUNS) -> list[RunSummary]:
    """The runs in `base`, newest first; [] when there are none or no such directory."""
    return RunIndex(base).refresh()


def summarize(run: Path) -> RunSummary:
    """What a list would show of the run directory `run`."""
    return _Reader(run).summary(clock.time())


def curves(run: Path) -> History:
    """The history of `run` with its losses only: header, steps, evaluations, resumes, end.

    Empty for a log that is not there or cannot be read; lines that are damaged are left out.
    """
    history = History()
    with suppress(OSError), opened(run / LOG_NAME) as file:
        for line in file:
            if line[_START : _START + 4] in _DRAWN:
                with suppress(*_DAMAGE):
                    history.add(_decode(line))
    return history


class RunIndex:
    """The runs of a directory, kept up to date: each `refresh` reads only what is new."""

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
    """Folds the few records that a summary needs; `summary` first takes in what was appended."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._restart(-1)

    def _restart(self, inode: int) -> None:
        self._inode, self._position, self._problem = inode, 0, ""
        self._history = History()
        self._latest: dict[bytes, bytes] = {}
        self._last_line = b""

    def summary(self, now: float) -> RunSummary:
        over = self._history.end is not None
        written = over or is_written(self.run / LOG_NAME)  # before its end is looked for
        try:
            with opened(self.run / LOG_NAME) as file:
                self._take_in(file)
        except FileNotFoundError:
            pass  # a trainer that has not begun its log, or never will
        except OSError as error:
            self._problem = f"cannot read the log: {error.strerror}"
        if not self._last_line:
            self._history.last_time = self._touched()
        return self._summary(now, written)

    def _take_in(self, file: BinaryIO) -> None:
        status = os.fstat(file.fileno())
        if status.st_ino != self._inode or status.st_size < self._position:
            self._restart(status.st_ino)
        file.seek(self._position)
        for line in file:
            if not line.endswith(b"\n"):
                break  # torn, or still being written: next time
            self._position += len(line)
            self._sort_in(line)
        self._fold_latest()
        self._stamp()

    def _sort_in(self, line: bytes) -> None:
        kind = line[_START : _START + 4]
        if kind in _LATEST:
            self._latest[kind] = line
        elif kind in _CURVE:
            if kind == b"resu":
                self._fold_latest()  # a resume voids later iterations only: order matters
            self._fold(line)
        if line.startswith(_RECORD):
            self._last_line = line

    def _fold_latest(self) -> None:
        for line in self._latest.values():
            self._fold(line)
        self._latest.clear()

    def _fold(self, line: bytes) -> None:
        try:
            event = _decode(line)
        except _DAMAGE:
            self._problem = self._problem or _newer(line)
            return
        if isinstance(event, ev.Run) and event.schema > ev.SCHEMA:
            self._problem = _newer(line)
        self._history.add(event)

    def _stamp(self) -> None:
        with suppress(*_DAMAGE):  # of an empty log, or a damaged last line: an earlier time stands
            stamp = _decode_stamp(self._last_line)
            self._history.last_time = stamp.time

    def _touched(self) -> float:
        """When something happened to a run whose log says nothing."""
        for name in (TRAINER_LOG, "."):
            try:
                return (self.run / name).stat().st_mtime
            except OSError:
                continue
        return 0.0

    def _summary(self, now: float, written: bool) -> RunSummary:
        told, run = self._history, self._history.run
        first, best = told.first_eval, told.best_eval
        resumed_at = told.resumes[-1].iteration if told.resumes else 0
        return RunSummary(
            path=self.run,
            state=_state(told, now, written),
            model=run.model.name if run else "",
            dataset=run.dataset.name if run else "",
            iteration=max(told.iteration, resumed_at),
            max_iters=_max_iters(told),
            first_val=first.val_loss if first else None,
            best_val=best.val_loss if best else None,
            val_curve=tuple((i, told.evals[i].val_loss) for i in sorted(told.evals)),
            started=run.time if run else told.last_time,
            updated=told.last_time,
            problem=self._problem,
        )


def _state(told: History, now: float, written: bool) -> State:
    """As the log tells; one of this machine that nobody writes is over, said so or not."""
    try:
        state = told.state(now)
    except OverflowError:  # a damaged header's process number
        return "crashed"
    gone = told.end is None and not written and told.is_from_here()
    return "crashed" if gone else state


def _max_iters(told: History) -> int:
    try:
        return told.max_iters
    except (TypeError, ValueError, OverflowError):  # a damaged header's configuration
        return 0


def _newer(line: bytes) -> str:
    try:
        head = msgspec.json.decode(line)
    except _DAMAGE:
        return ""
    schema = head.get("schema") if isinstance(head, dict) else None
    if isinstance(schema, int) and schema > ev.SCHEMA:
        return f"written by a newer shakegpt (schema {schema}, this one reads {ev.SCHEMA})"
    return ""


def delete_run(path: Path) -> None:
    """Delete a run directory with all that is in it; links in it are removed, not followed.

    Raises ShakegptError for what is no run directory and for a run that is being trained.
    """
    if path.is_symlink():
        raise ShakegptError(f"{path} is a link: delete the directory that it points to instead")
    if not is_run(path):
        raise ShakegptError(f"{path} is no run directory, so it is left alone")
    with _no_trainer(path):
        shutil.rmtree(path)


@contextmanager
def _no_trainer(run: Path) -> Iterator[None]:
    """Hold the log's lock, which a trainer would hold, and so keep new trainers out as well."""
    busy = ShakegptError(f"{run} is being trained: stop it first, then delete it")
    if summarize(run).state in LIVE:
        raise busy
    if not (run / LOG_NAME).exists():
        yield
        return
    with opened(run / LOG_NAME) as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise busy from error
        yield
