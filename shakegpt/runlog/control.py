"""Commands to a running trainer: appended to control.jsonl of its run, answered in the run log.

Only the trainer's own user and root may control a run: a control file of another owner, one that
its group or others may write, or one that is not a regular file is refused, with the reason in
`Inbox.refusal`. The trainer starts at the end of the file, so commands to an earlier process are
not carried out again; an invalid line is skipped.
"""

from __future__ import annotations

import os
import stat
import sys
import time as clock
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

CONTROL_NAME = "control.jsonl"
LONGEST = 1 << 20
"""Most bytes of a command's line; a longer one is invalid."""

_CAUTIOUS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Do not follow a link nor wait for a pipe."""

Verb = Literal["pause", "resume", "sample", "evaluate", "save", "max_iters", "stop"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One command. `prompt` and the sampling fields belong to `sample`, `max_iters` to its verb.

    A sampling field of None stands for the value in the run's configuration.
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


class SampleRequest(Request, frozen=True, kw_only=True):
    """A command to `shakegpt.cli.sample_server`: `sample`, or `stop` for all earlier requests.

    Sampling fields are taken literally: None for `top_k` and `top_p` sets no limit.
    """

    model: str = ""
    """A checkpoint directory, a run or a model's name, as in `shakegpt sample`."""
    state: str | None = None
    """Directory of a saved state whose weights replace those of `model`; None: the model's own."""
    iteration: int = 0
    """Iteration of the weights, for the records."""
    context: tuple[int, ...] = ()
    drawn: tuple[int, ...] = ()
    """With these, nothing is sampled: the answer is the `Inspection` of the first of the token ids
    `drawn` as they followed the ids `context`."""
    skip: int = 0
    """So many of `drawn` only make the context longer, in which the next ones were drawn."""
    before: str | None = None
    """The model of iteration 0, whose probabilities the inspection compares with."""
    replay: str | None = None
    """A run directory: instead of an inspection, train it again and answer with a `Likelihood` for
    each iteration, then a `Passage` for each window of the update that changed it most, of the
    first of the tokens `drawn` that is not skipped."""


class Likelihood(msgspec.Struct, frozen=True, kw_only=True, tag="likelihood", tag_field="event"):
    """How likely a token was after an iteration of a run that is trained again."""

    iteration: int
    iterations: int
    """Of the run."""
    probability: float
    request: str = ""
    """`id` of the request that this answers; as for `Passage`."""


class Passage(msgspec.Struct, frozen=True, kw_only=True, tag="passage", tag_field="event"):
    """A window of the training text, and what it did to a token's probability in one update."""

    start: int
    length: int
    """The window's first token in the training part, and its number of tokens."""
    effect: float
    """Probability after the update, minus that after the same update without this window."""
    speaker: str | None
    """Who speaks there; None for prose."""
    offset: int | None
    """Characters of `text` before the token; None where the window does not have it."""
    excerpt: str
    """A line of `text`, from around the token."""
    text: str
    """The whole window, and the token after it."""
    update: int = 0
    """The iteration whose update was made again."""
    windows: int = 0
    """Of that update, of which each is one record."""
    request: str = ""


_decode = msgspec.json.Decoder(Request).decode


def send(run: Path, request: Request) -> Request:
    """Append `request` to the control file of the run directory, and return it.

    Raises OSError when the directory cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _CAUTIOUS
    fd = os.open(run / CONTROL_NAME, flags, 0o600)
    try:
        os.write(fd, msgspec.json.encode(request) + b"\n")
    finally:
        os.close(fd)
    return request


def sent(run: Path) -> list[Request]:
    """The commands in the control file of `run`, oldest first; [] when it cannot be read."""
    path = run / CONTROL_NAME
    try:
        return _parse(path.read_bytes().splitlines()) if path.is_file() else []
    except OSError:
        return []


class Inbox:
    """The trainer's end: `poll` returns the commands that came since the last call."""

    def __init__(self, run: Path) -> None:
        """To be created before the log's first record, after which commands may arrive."""
        self._path = run / CONTROL_NAME
        self._position = self._path.stat().st_size if self._path.exists() else 0
        self._rest = b""
        self.refusal = ""
        """Why the control file is refused, in a sentence; "" when it is not, or there is none."""

    def poll(self) -> list[Request]:
        """New commands, oldest first; [] when there are none."""
        try:
            status = self._path.lstat()
            if not stat.S_ISREG(status.st_mode):
                data = self._refuse("is not a regular file")
            elif status.st_size == self._position:
                return []
            else:
                if status.st_size < self._position:  # the file was replaced
                    self._position, self._rest = 0, b""
                data = self._read()
        except OSError:
            return []
        self._position += len(data)
        *lines, self._rest = (self._rest[:LONGEST] + data).split(b"\n")
        return _parse(lines)

    def _read(self) -> bytes:
        """The bytes from the position on, at most `LONGEST`; b"" when the file is refused."""
        fd = os.open(self._path, os.O_RDONLY | _CAUTIOUS)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return self._refuse("is not a regular file")
            if sys.platform != "win32":
                if status.st_uid not in (os.geteuid(), 0):
                    return self._refuse("belongs to another user")
                if status.st_mode & 0o022:
                    return self._refuse("may be written by its group or others: `chmod go-w` it")
            self.refusal = ""
            os.lseek(fd, self._position, os.SEEK_SET)
            return os.read(fd, LONGEST)
        finally:
            os.close(fd)

    def _refuse(self, why: str) -> bytes:
        self.refusal = f"commands are ignored: {self._path} {why}"
        return b""


def _parse(lines: list[bytes]) -> list[Request]:
    requests = list[Request]()
    for line in lines:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            requests.append(_decode(line))
    return requests
