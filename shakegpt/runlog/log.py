"""Append to, read and follow a run log. The file is the interface: see `events` for the records.

The writer holds an exclusive lock, so a second trainer on one run is refused, and whoever looks
knows whether there is one; it appends each record in one write. A reader needs no lock, holds no
state but a position, and never raises on what a log contains: a torn last line is left for the
next poll, a bad line in the middle is named by its number in `problems`, a log that was replaced
is read again from its start.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.runlog.schema import SCHEMA, Checkpoint, End, Event, Run

LOG_NAME = "log.jsonl"
CHUNK = 1 << 18
"""Bytes a reader takes in at once: big enough to open 200,000 records fast."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class Problem(NamedTuple):
    """A line of the log that is no record, and why."""

    line: int
    message: str


class RunLog:
    """The writer's end of a run log. Thread-safe; `close` or leave the `with` block when done."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending and lock it; a torn last line of a killed writer is cut off.

        Raises ShakegptError when another live trainer holds the lock.
        """
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _lock(self._fd)
        except OSError as error:
            os.close(self._fd)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise ShakegptError(
                    f"{path} cannot be locked ({error.strerror}), so a second trainer could not be "
                    "kept out: put the run on a disk that has locks"
                ) from error
            raise ShakegptError(
                f"{path.parent} is being trained by another process: stop that one first, or watch "
                f"it with `shakegpt-tui {path.parent}`"
            ) from error
        self._mutex = threading.Lock()
        self._cut_torn_line()

    def _cut_torn_line(self) -> None:
        end = size = os.fstat(self._fd).st_size
        whole = 0
        while end and not whole:
            begin = max(0, end - CHUNK)
            whole = begin + os.pread(self._fd, end - begin, begin).rfind(b"\n") + 1
            whole, end = whole if whole > begin else 0, begin
        if whole < size:
            os.ftruncate(self._fd, whole)

    def write(self, event: Event) -> None:
        """Append one record in one write; a short write (a full disk) is undone, then raised."""
        line = _encode(event) + b"\n"
        with self._mutex:
            before = os.fstat(self._fd).st_size
            try:
                whole = os.write(self._fd, line) == len(line)
                if whole and isinstance(event, Checkpoint | End):
                    os.fsync(self._fd)  # what is behind a state on disk is there, too
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            if not whole:
                os.ftruncate(self._fd, before)
                raise OSError(errno.ENOSPC, "no room to append", str(self.path))

    def close(self) -> None:
        """Release the lock and the file."""
        with self._mutex:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Follower:
    """A reader's position in a growing log; `poll` returns what has come since the last call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.restarted = False
        """True after a poll that found another file in the log's place and began again."""
        self._position, self._line, self._inode = 0, 0, -1
        self._rest: list[bytes] = []
        """The line that is not whole yet, as it came: joined once, for one may be long."""

    def poll(self, limit: int = 1 << 62) -> list[Event]:
        """Records that are whole by now, at most about `limit` bytes of them; [] when none are.

        Raises ShakegptError for a log that a newer version wrote; never for damage.
        """
        found: list[Event] = []
        with suppress(FileNotFoundError, NotADirectoryError), opened(self.path) as file:
            self._restart_if_replaced(os.fstat(file.fileno()))
            file.seek(self._position)
            while data := file.read(min(limit, CHUNK)):
                found += self._records(data)
                limit -= len(data)
        return found

    def _restart_if_replaced(self, status: os.stat_result) -> None:
        self.restarted = self._inode >= 0 and (
            status.st_ino != self._inode or status.st_size < self._position - self._torn
        )
        if self.restarted:
            self._position, self._line, self._rest = 0, 0, []
            self.problems.clear()
        elif status.st_size < self._position:  # the writer cut a torn line that we had begun
            self._position, self._rest = self._position - self._torn, []
        self._inode = status.st_ino

    @property
    def _torn(self) -> int:
        return sum(map(len, self._rest))

    def _records(self, data: bytes) -> Iterator[Event]:
        self._position += len(data)
        self._rest.append(data)
        if b"\n" not in data:
            return
        *lines, rest = b"".join(self._rest).split(b"\n")
        self._rest = [rest]
        for line in lines:
            self._line += 1
            try:
                event = _decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                self._refuse_newer(line)
                self.problems.append(Problem(self._line, f"no record: {error}"))
                continue
            if isinstance(event, Run) and event.schema > SCHEMA:
                self._refuse_newer(line)
            yield event

    def _refuse_newer(self, line: bytes) -> None:
        try:
            head = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        schema = head.get("schema") if isinstance(head, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise ShakegptError(
                f"{self.path} has schema {schema} and this shakegpt reads up to {SCHEMA}: "
                "upgrade shakegpt to open it"
            )


def _lock(fd: int) -> None:
    """Lock for one trainer; a reader that looks with `is_written` is in the way for an instant."""
    for patience in (0.02, 0.05, 0.1):
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(patience)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_written(path: Path) -> bool:
    """Whether a trainer holds the lock of the log `path`; its death frees it, whatever its end.

    Surer than a process number, which may be a zombie's, another container's or used again. Of a
    trainer on another machine, it says nothing.
    """
    try:
        with opened(path) as log:
            fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def opened(path: Path) -> BinaryIO:
    """A log as its readers open it: what is no file is refused, a pipe is not waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return os.fdopen(fd, "rb")
    os.close(fd)
    raise OSError(errno.EINVAL, "this is no file", str(path))


def read(path: Path) -> tuple[list[Event], list[Problem]]:
    """All whole records of a log, and the lines that are none; ([], []) when there is no file.

    Raises ShakegptError for a log that a newer version wrote.
    """
    follower = Follower(path)
    return follower.poll(), follower.problems
