"""Append to, read and follow a run log. The file is the interface: see `schema` for the records.

The writer holds an exclusive lock, so a second trainer on one run is refused and readers know
whether there is one; it appends each record in one write. A reader needs no lock, has no state but
a position, and never raises on the contents of a log: an incomplete last line is left for the next
poll, an invalid line is reported by its number in `problems`, a log that was replaced is read again
from its start.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, get_args

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.runlog import lock
from shakegpt.runlog.schema import SCHEMA, Checkpoint, End, Event, Run

LOG_NAME = "log.jsonl"
CHUNK = 1 << 18
"""Bytes read at once: large enough to open 200,000 records fast."""

LONGEST_HEADER = 1 << 20
"""Bytes at the start of a log that are searched for its header."""

_START = b'{"event":"'  # msgspec writes the tag first, without spaces
_STARTS = {k: _START + f'{k.__struct_config__.tag}"'.encode() for k in get_args(Event)}
"""The first bytes of each kind of record, by which others are skipped."""
_DAMAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class _Stamp(msgspec.Struct):
    """The time of any record."""

    time: float


_decode_stamp = msgspec.json.Decoder(_Stamp).decode


class Problem(NamedTuple):
    """An invalid line of the log."""

    line: int
    message: str


class RunLog:
    """The writer's end of a run log. Thread-safe; `close` or leave the `with` block when done."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending and lock it; an incomplete last line is removed.

        Raises ShakegptError when a trainer holds the lock, or the file system has no locks.
        """
        self.path = path
        fd = lock.acquire(lock.lock_file(path))
        if fd is None:
            raise ShakegptError(
                f"{path.parent} is being trained by another process: stop that one first, or watch "
                f"it with `shakegpt-tui {path.parent}`"
            )
        self._lock = self._fd = fd
        if lock.lock_file(path) != path:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._fd = os.open(path, flags, 0o644)
        self._mutex = threading.Lock()
        self._remove_incomplete_line()

    def _remove_incomplete_line(self) -> None:
        end = size = os.fstat(self._fd).st_size
        whole = 0
        while end and not whole:
            begin = max(0, end - CHUNK)
            os.lseek(self._fd, begin, os.SEEK_SET)
            whole = begin + os.read(self._fd, end - begin).rfind(b"\n") + 1
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
                    os.fsync(self._fd)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            if not whole:
                os.ftruncate(self._fd, before)
                raise OSError(errno.ENOSPC, "no space left to append", str(self.path))

    def close(self) -> None:
        """Release the lock and the file."""
        with self._mutex:
            if self._fd >= 0:
                for fd in {self._fd, self._lock}:
                    os.close(fd)
            self._fd = -1

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Entry(NamedTuple):
    """A record and the number of its line, from 1."""

    line: int
    record: Event


class Follower:
    """A position in a growing log; `poll` and `entries` return what was appended since the last
    call.

    With `kinds`, records of other kinds are skipped, most of them without being decoded.
    """

    def __init__(self, path: Path, kinds: Collection[type[Event]] = ()) -> None:
        self.path = path
        self.problems: list[Problem] = []
        """Invalid lines, of those that were decoded."""
        self.restarted = False
        """Whether the last poll found another file in the log's place, and began at its start."""
        self._kinds: tuple[Any, ...] = tuple(kinds)
        self._skipped = tuple(s for k, s in _STARTS.items() if kinds and k not in kinds)
        self._position, self._line, self._inode = 0, 0, -1
        self._rest: list[bytes] = []
        """Pieces of the incomplete last line, joined once since it may be long."""
        self._time, self._latest = 0.0, b""

    def poll(self, limit: int = 1 << 62) -> list[Event]:
        """New complete records, from about `limit` bytes at most.

        Raises ShakegptError for a log that a newer version wrote, OSError; never for damage.
        """
        return [record for _, record in self._read(limit)]

    def entries(self) -> list[Entry]:
        """As `poll`, each record with the number of its line."""
        return [Entry(line, record) for line, record in self._read(1 << 62)]

    def _read(self, limit: int) -> Iterator[tuple[int, Event]]:
        self.restarted = False
        with suppress(FileNotFoundError, NotADirectoryError), opened(self.path) as file:
            self._restart_if_replaced(os.fstat(file.fileno()))
            file.seek(self._position)
            while data := file.read(min(limit, CHUNK)):
                yield from self._decode(data)
                limit -= len(data)

    @property
    def time(self) -> float:
        """Time of the newest record of any kind; 0.0 before there is one."""
        with suppress(*_DAMAGE):
            self._time = _decode_stamp(self._latest).time
        self._latest = b""
        return self._time

    def _restart_if_replaced(self, status: os.stat_result) -> None:
        torn = sum(map(len, self._rest))
        self.restarted = self._inode >= 0 and (
            status.st_ino != self._inode or status.st_size < self._position - torn
        )
        if self.restarted:
            self._position, self._line, self._rest = 0, 0, []
            self._time, self._latest = 0.0, b""
            self.problems.clear()
        elif status.st_size < self._position:  # the writer removed an incomplete line
            self._position, self._rest = self._position - torn, []
        self._inode = status.st_ino

    def _decode(self, data: bytes) -> Iterator[tuple[int, Event]]:
        self._position += len(data)
        self._rest.append(data)
        if b"\n" not in data:
            return
        kinds, skipped = self._kinds, self._skipped
        *lines, rest = b"".join(self._rest).split(b"\n")
        self._rest = [rest]
        for line in lines:
            self._line += 1
            if skipped and line.startswith(skipped):
                self._latest = line
                continue
            try:
                record = _decode(line)
            except _DAMAGE as error:
                self._refuse_newer(line)
                self.problems.append(Problem(self._line, f"not a record: {error}"))
                continue
            if isinstance(record, Run) and record.schema > SCHEMA:
                self._refuse_newer(line)
            self._latest = line
            if not kinds or isinstance(record, kinds):
                yield self._line, record

    def _refuse_newer(self, line: bytes) -> None:
        try:
            head = msgspec.json.decode(line)
        except _DAMAGE:
            return
        schema = head.get("schema") if isinstance(head, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise ShakegptError(
                f"{self.path} has schema {schema} and this shakegpt reads up to {SCHEMA}: "
                "upgrade shakegpt to open it"
            )


def opened(path: Path) -> BinaryIO:
    """Open a log for reading, without waiting for a pipe. Raises OSError unless it is a regular
    file.
    """
    fd = os.open(path, os.O_RDONLY | lock.NONBLOCK | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return os.fdopen(fd, "rb")
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read(path: Path) -> tuple[list[Event], list[Problem]]:
    """All complete records of a log, and its invalid lines; ([], []) without a file.

    Raises ShakegptError for a log that a newer version wrote.
    """
    follower = Follower(path)
    return follower.poll(), follower.problems


def header(path: Path) -> Run | None:
    """The header of a log; None without one, and for a log that cannot be read."""
    with suppress(OSError, ShakegptError):
        for record in Follower(path, (Run,)).poll(LONGEST_HEADER):
            return record if isinstance(record, Run) else None
    return None


def looks_like_log(path: Path) -> bool:
    """Whether a file is empty or begins as a log does. Raises OSError."""
    with opened(path) as file:
        head = file.read(len(_START))
    return not head or head == _START
