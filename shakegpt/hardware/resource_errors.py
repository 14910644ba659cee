"""Full disks, damaged files and exhausted memory as errors that say what to do.

A run that cannot write stops, as failed, with exit code 1. Earlier checkpoints stay intact, because
nothing is replaced before its successor is on disk; `--resume` continues from them.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from shakegpt.errors import ShakegptError
from shakegpt.format import size

_DISK = {
    errno.ENOSPC: ("the disk is full", "Free some space"),
    errno.EDQUOT: ("your disk quota is used up", "Free some space"),
    errno.EFBIG: ("the file size limit is reached", "Raise it (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", "Make it writable"),
    errno.EIO: ("input/output error", "Check that disk, or copy the run to another one"),
}
"""Errors of a disk, whatever the file: the message, and the way out."""
_OUT_OF_MEMORY = ("DefaultCPUAllocator: ", "MPS backend out of memory")
"""How PyTorch reports exhausted memory where its error has no type of its own."""


@contextmanager
def writing(folder: Path, needed: int) -> Iterator[None]:
    """Turn an error of writing `needed` bytes to `folder` into a ShakegptError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise disk_error(error, folder, needed) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an error of reading the safetensors file `path` of a state into a ShakegptError."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ShakegptError(f"cannot read {path}: {error}", exit_code=1) from error


@contextmanager
def resource_errors(run: Path | None = None) -> Iterator[None]:
    """Turn exhausted memory, and errors of the disk of `run`, into a ShakegptError."""
    try:
        yield
    except Exception as error:
        explained = explain(error, run)
        if explained is error:
            raise
        raise explained from error


def explain(error: BaseException, run: Path | None = None) -> BaseException:
    """The ShakegptError for exhausted memory or an error of the disk of `run`; else `error`."""
    if _is_out_of_memory(error):
        return ShakegptError(
            "out of memory: lower --batch-size or --block-size, or use a smaller --init-from; the "
            "last saved state is intact",
            exit_code=1,
        )
    if run is None or not isinstance(error, OSError):
        return error
    if error.filename is None:  # of an open file: only a disk's own errors are certain
        return disk_error(error, run) if error.errno in _DISK else error
    if isinstance(error.filename, str | bytes):
        path = Path(os.fsdecode(error.filename)).absolute()
        if path.is_relative_to(run.absolute()):
            return disk_error(error, path.parent)
    return error


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):
        import torch  # here: other users of this module do without it

        return isinstance(error, torch.OutOfMemoryError) or any(
            text in str(error) for text in _OUT_OF_MEMORY
        )
    return isinstance(error, MemoryError)


def disk_error(error: OSError | SafetensorError, folder: Path, needed: int = 0) -> ShakegptError:
    """The ShakegptError for a failed write to `folder`: the cause, the free space, the way out."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (match := re.search(r"os error (\d+)", str(error))):
        number = int(match[1])  # safetensors has it only in its message
    text = os.strerror(number).lower() if number else str(error)
    what, way_out = _DISK.get(number or 0, (text, "Fix that"))
    space = f"{size(needed)} needed" if needed else ""
    with suppress(OSError):
        free = f"{size(shutil.disk_usage(folder).free)} free"
        space = f"{free}, {space}" if space else free
    return ShakegptError(
        f"cannot write to {folder}: {what}{f' ({space})' if space else ''}. {way_out} and continue "
        "with --resume; earlier checkpoints are intact",
        exit_code=1,
    )
