"""Commands to a running trainer: appended to control.jsonl of its run, answered in the run log.

Only the trainer's own user (and root) may drive a run: a control file that belongs to another, that
others may write, or that is a link or no file at all is not read. No verb runs anything but what it
names. The trainer starts at the end of the file as it finds it, so that commands of
an earlier life are not obeyed again; a line that is no command is skipped.
"""

from __future__ import annotations

import os
import stat
import time as clock
import uuid
from pathlib import Path
from typing import Literal

import msgspec

CONTROL_NAME = "control.jsonl"
LONGEST = 1 << 20
"""Bytes of one command line that are looked at; a longer one is no command."""

Verb = Literal["pause", "resume", "sample", "evaluate", "save", "max_iters", "stop"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One command. `prompt` and the sampling fields go with `sample`, `max_iters` with its verb.

    A sampling field that is None means what the run's own configuration says.
    """

    verb: Verb
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex[:12])
    time: float = msgspec.field(default_factory=clock.time)
    prompt: str | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    max_iters: int | None = None


_decode = msgspec.json.Decoder(Request).decode


def send(run: Path, request: Request) -> Request:
    """Append `request` to the control file of the run directory, and return it.

    Raises OSError when the directory cannot be written: then the run is not yours to drive.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(run / CONTROL_NAME, flags, 0o600)
    try:
        os.write(fd, msgspec.json.encode(request) + b"\n")
    finally:
        os.close(fd)
    return request


class Inbox:
    """The trainer's end: `poll` returns the commands that came since the last call."""

    def __init__(self, run: Path) -> None:
        """To be opened before a first record says that there is a trainer to be told things."""
        self._path = run / CONTROL_NAME
        self._position = self._path.stat().st_size if self._path.exists() else 0
        self._rest = b""

    def poll(self) -> list[Request]:
        """New commands, oldest first; [] when there are none."""
        try:
            size = self._path.lstat().st_size
            if size == self._position:
                return []
            if size < self._position:  # somebody began the file anew
                self._position, self._rest = 0, b""
            data = _read_own(self._path, self._position)
        except OSError:
            return []
        self._position += len(data)
        *lines, self._rest = (self._rest[:LONGEST] + data).split(b"\n")
        return [request for line in lines if (request := _parse(line)) is not None]


def _read_own(path: Path, position: int) -> bytes:
    """What the file holds from `position`; b"" for one that somebody else may have written."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        own = status.st_uid in (os.geteuid(), 0) and not status.st_mode & 0o022
        return os.pread(fd, LONGEST, position) if own and stat.S_ISREG(status.st_mode) else b""
    finally:
        os.close(fd)


def _parse(line: bytes) -> Request | None:
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
