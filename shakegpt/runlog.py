"""Append to, read and follow a run log. The file is the interface: see `events` for the records.

The writer holds an exclusive lock, so a second trainer on one run is refused; it appends each
record in one write. A reader takes no lock, holds no state but a position, and never raises on what
a log contains: a torn last line is left for the next poll, a bad line in the middle is named by
its number in `problems`, a log that was replaced is read again from its start.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.events import SCHEMA, Event, Run

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
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise ShakegptError(
                f"{path.parent} is being trained by another process: stop that one first, or watch "
                f"it with `shakegpt-tui {path.parent}`"
            ) from error
        self._mutex = threading.Lock()
        self._cut_torn_line()

    def _cut_torn_line(self) -> None:
        size = os.fstat(self._fd).st_size
        position, tail = size, b""
        while position and b"\n" not in tail:
            position = max(0, position - CHUNK)
            tail = os.pread(self._fd, size - position, position)
        whole = position + tail.rfind(b"\n") + 1
        if whole < size:
            os.ftruncate(self._fd, whole)

    def write(self, event: Event) -> None:
        """Append one record in one write; a short write (a full disk) is undone, then raised."""
        line = _encode(event) + b"\n"
        with self._mutex:
            before = os.fstat(self._fd).st_size
            try:
                whole = os.write(self._fd, line) == len(line)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            if not whole:
                os.ftruncate(self._fd, before)
                raise OSError(errno.ENOSPC, "no room to append", str(self.path))

    def sync(self) -> None:
        """Return when all that was written is on disk."""
        os.fsync(self._fd)

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
        self._position, self._line, self._inode, self._rest = 0, 0, -1, b""

    def poll(self, limit: int = 1 << 62) -> list[Event]:
        """Records that are whole by now, at most about `limit` bytes of them; [] when none are.

        Raises ShakegptError for a log that a newer version wrote; never for damage.
        """
        try:
            with open(self.path, "rb") as file:
                self._restart_if_replaced(os.fstat(file.fileno()))
                file.seek(self._position)
                return list(self._records(file.read(min(limit, 1 << 30))))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _restart_if_replaced(self, status: os.stat_result) -> None:
        self.restarted = self._inode >= 0 and (
            status.st_ino != self._inode or status.st_size < self._position - len(self._rest)
        )
        if self.restarted:
            self._position, self._line, self._rest = 0, 0, b""
            self.problems.clear()
        elif status.st_size < self._position:  # the writer cut a torn line that we had begun
            self._position, self._rest = self._position - len(self._rest), b""
        self._inode = status.st_ino

    def _records(self, data: bytes) -> Iterator[Event]:
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
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


def read(path: Path) -> tuple[list[Event], list[Problem]]:
    """All whole records of a log, and the lines that are none; ([], []) when there is no file.

    Raises ShakegptError for a log that a newer version wrote.
    """
    follower = Follower(path)
    return follower.poll(), follower.problems
