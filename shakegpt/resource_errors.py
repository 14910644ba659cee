"""What a person can mend, told in a sentence: a disk that refuses, memory that runs out.

The rule for a disk: a run that cannot write stops, as failed, with exit code 1. What was saved
before stays whole, because nothing is replaced before its successor is on disk; `--resume` goes on
from there to the same numbers, once the disk takes them.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from shakegpt.errors import ShakegptError
from shakegpt.format import size

_WAY_OUT = {
    errno.ENOSPC: ("is full", "make room"),
    errno.EDQUOT: ("has no more room for you: your quota is used up", "make room"),
    errno.EFBIG: ("may take no file that large", "raise the limit (ulimit -f)"),
    errno.EROFS: ("is read-only", "make it writable"),
    errno.EACCES: ("does not let you write", "make it writable"),
    errno.EIO: ("gave an input/output error", "look after that disk, or copy the run to another"),
}
_THEN = "then go on with --resume; what was saved before is whole"


@contextmanager
def writing(folder: Path, needed: int) -> Iterator[None]:
    """Turn a disk's refusal to take `needed` bytes in `folder` into a sentence that says so."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise refused(error, folder, needed) from error


@contextmanager
def sentences() -> Iterator[None]:
    """Turn what a person can mend into a sentence."""
    try:
        yield
    except (OSError, SafetensorError, MemoryError, RuntimeError) as error:
        raise explained(error) from error


def explained(error: BaseException) -> BaseException:
    """A sentence for what a person can mend; the error itself for what only we can."""
    if isinstance(error, MemoryError) or (
        "memory" in str(error) and isinstance(error, RuntimeError)
    ):
        return ShakegptError(
            "memory ran out: lower --batch-size or --block-size, or take a smaller --init-from; "
            "the last saved state is whole",
            exit_code=1,
        )
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        return refused(error, Path(os.fsdecode(error.filename)).parent)
    if isinstance(error, OSError | SafetensorError):
        return ShakegptError(f"the disk refused ({error}): mend that, {_THEN}", exit_code=1)
    return error


def refused(error: OSError | SafetensorError, folder: Path, needed: int = 0) -> ShakegptError:
    """What the disk of `folder` refused, how much room it has, and what to do."""
    number = _number(error)
    what, way_out = _WAY_OUT.get(number, (f"said {os.strerror(number) if number else error}", ""))
    room = f" ({_room(folder)}{f', {size(needed)} needed' if needed else ''})"
    return ShakegptError(
        f"the disk refused: that of {folder} {what}{room}: {way_out or 'mend that'}, {_THEN}",
        exit_code=1,
    )


def _number(error: OSError | SafetensorError) -> int:
    """The errno; safetensors has it in its words only."""
    if isinstance(error, OSError):
        return error.errno or 0
    told = re.search(r"os error (\d+)", str(error))
    return int(told[1]) if told else 0


def _room(folder: Path) -> str:
    try:
        return f"{size(shutil.disk_usage(folder).free)} free"
    except OSError:
        return "it cannot even be asked how much is free"
