"""Atomic writes, and the checksums of a checkpoint's files. Imports no torch.

Checkpoints written by shakegpt have a sha256.json; a file that does not match it is refused. A
checkpoint from elsewhere has none; its files must still lie inside their directory, not behind a
link out of it, and text files must not exceed `LARGEST_TEXT`.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.interruption import before_death

SUMS = "sha256.json"
WEIGHTS = "model.safetensors"
"""A checkpoint's weights, when they are in one file."""
PART = ".part"
"""Suffix of a file that is still being written."""
ABANDONED_AFTER = 3600.0
"""Seconds without a write after which such a file is taken for a killed process's leftover."""
LARGEST_TEXT = 64 << 20
"""Most bytes of a config.json, vocab.json or merges.txt: GPT-2's have 1 MB, the largest 20 MB."""

Sums = dict[str, list[str]]
"""File name -> valid checksums: two while weights are being replaced, the old one and the new."""


@contextmanager
def scratch_folder(on_signals: bool = True, parent: Path | None = None) -> Iterator[Path]:
    """A temporary directory, hidden in `parent` if that is given, and deleted at the end; with
    `on_signals` also when a signal ends the process (`before_death`).

    Without it in a program, whose handlers are its own, and for a process that waits for others in
    calls which do not return for a handler.
    """
    name = f"shakegpt-{secrets.token_hex(8)}"
    folder = Path(tempfile.gettempdir(), name) if parent is None else parent / f".{name}"

    def delete() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    with before_death(delete) if on_signals else nullcontext():  # before there is a folder
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            delete()


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write `content`, or what it writes when called with the open file, to `path`: whole or not at
    all, even through a power cut.

    Raises OSError, or what `content` raises; `path` is then unchanged. Concurrent writers are safe:
    the last one wins. A device or pipe is written to, never replaced.
    """
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            content(file) if callable(content) else file.write(content)
        return
    for stale in path.parent.glob(f".{escape(path.name)}.*{PART}"):
        with suppress(OSError):
            if time.time() - stale.lstat().st_mtime > ABANDONED_AFTER:
                stale.unlink()
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        with open(part, "xb") as file:
            content(file) if callable(content) else file.write(content)
            file.flush()
            _fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    flush_to_disk(path.parent)


def write_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> str:
    """Write `pieces` in order to `path`, synced to disk; returns their sha256. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        file.flush()
        _fsync(file.fileno())
    return digest.hexdigest()


def flush_to_disk(path: Path) -> None:
    """Sync a file, or the entries of a directory, to disk: they survive a power cut."""
    if os.name == "nt" and path.is_dir():
        return  # no directory can be opened there
    fd = os.open(path, os.O_RDONLY)
    try:
        _fsync(fd)
    finally:
        os.close(fd)


def _fsync(fd: int) -> None:
    if sys.platform == "darwin":  # fsync alone leaves the data in the drive's cache
        import fcntl

        with suppress(OSError):  # not every file system has it
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    os.fsync(fd)


def sha256(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, sums: Mapping[str, list[str]]) -> None:
    """Record checksums of files of `folder`; those of other files stay."""
    before = _read_sums(folder) or {}
    after = before | dict(sums)
    if after != before:
        content = {"sha256": after, "of_these": checksum(after)}
        data = json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"
        write_atomically(folder / SUMS, data)


def sums_of(folder: Path, name: str) -> list[str]:
    """The recorded checksums of a file of `folder`; [] without any."""
    return (_read_sums(folder) or {}).get(name, [])


def verified_path(folder: Path, name: str) -> Path:
    """The path of a file of `folder`, its checksum verified; a missing file is returned unchecked.

    Raises ShakegptError for a link out of the directory and for a file that does not match.
    """
    path = folder / name
    _refuse_link(folder, path)
    if not path.exists():
        return path
    if not path.is_file():
        raise ShakegptError(f"{path} is not a regular file: copy the checkpoint again")
    digest = sha256(path) if sums_of(folder, name) else ""  # before the sums: they may be replaced
    if _read_sums(folder) is None:
        raise ShakegptError(
            f"{folder / SUMS} is invalid, so the files beside it cannot be verified: copy the "
            f"directory again, or delete {SUMS} to skip the verification"
        )
    if digest and digest not in sums_of(folder, name):
        raise ShakegptError(
            f"{path} does not match its sha256: it was damaged or changed; copy it again, or "
            f"delete {folder / SUMS} if the change was intended"
        )
    return path


def read_text(folder: Path, name: str) -> str:
    """The text of a file of `folder`. Raises as `verified_path` does, and OSError, ValueError."""
    path = verified_path(folder, name)
    if (size := path.stat().st_size) > LARGEST_TEXT:
        raise ValueError(f"it is too large, {size:,} bytes")
    return path.read_text("utf-8-sig")  # some editors write a byte order mark


def _refuse_link(folder: Path, path: Path) -> None:
    """Raise ShakegptError for a link out of `folder`; the hub's cache consists of links."""
    home, target = folder.resolve(), path.resolve()
    cache = home.parents[1] / "blobs" if home.parent.name == "snapshots" else home
    if not target.is_relative_to(home) and not target.is_relative_to(cache):
        raise ShakegptError(
            f"{path} is a link out of its directory: copy the file there, or give the directory "
            "that it leads to"
        )


def _read_sums(folder: Path) -> Sums | None:
    """The recorded checksums; {} without a file, None for an invalid one."""
    try:
        raw = json.loads((folder / SUMS).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    sums = raw.get("sha256") if isinstance(raw, dict) else None
    try:
        valid = msgspec.convert(sums, Sums)
    except msgspec.ValidationError:
        return None
    return valid if raw.get("of_these") == checksum(valid) else None


def checksum(content: Mapping[str, object]) -> str:
    """sha256, hex, of a JSON object, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
