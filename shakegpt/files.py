"""Files: written whole or not at all, and those of a checkpoint read only when they are whole.

Beside the files of a checkpoint that shakegpt writes lies sha256.json; a file that does not match
it is refused. A checkpoint from elsewhere has none: then a file must still be in its own directory,
not a link to any other, and no larger than such a file can be. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO, TypeGuard

from shakegpt.errors import ShakegptError

SUMS = "sha256.json"
WEIGHTS = "model.safetensors"
"""A checkpoint's weights, when they are in one file."""
PART = ".part"
"""End of the name of a file that is still being written."""
ABANDONED_AFTER = 3600.0
"""Seconds without a write after which such a file is what a killed process left."""
LARGEST_TEXT = 64 << 20
"""Bytes of a config.json, vocab.json or merges.txt: GPT-2's are 1 MB, the largest known 20."""

Sums = dict[str, list[str]]
"""File name -> the sums that it may have: two for weights, the ones replaced and the new."""


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Put `content`, or what it writes to the file it is called with, at `path`, whole or not at
    all, even through a power cut.

    Raises OSError, or what `content` raises; what was at `path` stays then. Processes may write one
    path at the same time: the last one wins. A device or pipe is written to, never replaced.
    """
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            content(file) if callable(content) else file.write(content)
        return
    for left in path.parent.glob(f".{escape(path.name)}.*{PART}"):  # of a killed process
        with suppress(OSError):
            if time.time() - left.lstat().st_mtime > ABANDONED_AFTER:
                left.unlink()
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
    """Write `pieces` one after the other to the file `path`, onto the disk, and return the sha256
    of them all. Raises OSError.
    """
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        file.flush()
        _fsync(file.fileno())
    return digest.hexdigest()


def flush_to_disk(path: Path) -> None:
    """Return when a file, or the names in a directory, will survive a power cut."""
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
    """Write which sums the files of `folder` have; those not named keep theirs."""
    known = _known(folder) or {}
    if known | dict(sums) != known:
        all_of_them = known | dict(sums)
        content = {"sha256": all_of_them, "of_these": checksum(all_of_them)}
        write_atomically(
            folder / SUMS, json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"
        )


def sums_of(folder: Path, name: str) -> list[str]:
    """The sums that a file of `folder` may have; [] when nobody wrote one down."""
    return (_known(folder) or {}).get(name, [])


def verified_path(folder: Path, name: str) -> Path:
    """The path of a file of `folder`, its checksum verified; a missing file is returned unchecked.

    Raises ShakegptError for a link out of the directory and for a file that is not as its sum says.
    """
    path = folder / name
    _refuse_link(folder, path)
    if not path.exists():
        return path
    if not path.is_file():
        raise ShakegptError(f"{path} is not a regular file: copy the checkpoint again")
    digest = sha256(path) if sums_of(folder, name) else ""  # before the sums: they may be replaced
    if _known(folder) is None:
        raise ShakegptError(
            f"{folder / SUMS} cannot be read, so nothing beside it can be trusted: copy the "
            f"directory again, or delete {SUMS} to do without it"
        )
    if digest and digest not in sums_of(folder, name):
        raise ShakegptError(
            f"{path} does not match its sha256: it was damaged or changed; copy it again, or "
            f"delete {folder / SUMS} if the change was meant"
        )
    return path


def read_text(folder: Path, name: str) -> str:
    """The text of a file of `folder`. Raises as `verified_path` does, and OSError, ValueError."""
    path = verified_path(folder, name)
    if (size := path.stat().st_size) > LARGEST_TEXT:
        raise ValueError(f"{size:,} bytes are no size for it")
    return path.read_text("utf-8-sig")  # some editors put a byte order mark before it


def _refuse_link(folder: Path, path: Path) -> None:
    """A link leads where its maker wants; only the hub's cache is made of them."""
    home, target = folder.resolve(), path.resolve()
    cache = home.parents[1] / "blobs" if home.parent.name == "snapshots" else home
    if not target.is_relative_to(home) and not target.is_relative_to(cache):
        raise ShakegptError(
            f"{path} is a link out of its directory: copy the file there, or give the directory "
            "that it leads to"
        )


def _known(folder: Path) -> Sums | None:
    """The sums on disk; {} when there are none, None when they cannot be read."""
    try:
        raw = json.loads((folder / SUMS).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    sums = raw.get("sha256") if isinstance(raw, dict) else None
    return sums if _is_sums(sums) and raw.get("of_these") == checksum(sums) else None


def checksum(content: Mapping[str, object]) -> str:
    """sha256 of what will be a JSON object, hex, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_sums(sums: object) -> TypeGuard[Sums]:
    return isinstance(sums, dict) and all(
        isinstance(value, list) and all(isinstance(one, str) for one in value)
        for value in sums.values()
    )
