"""Files of a checkpoint on disk: put there whole or not at all, and trusted only when whole.

Beside what shakegpt writes lies sha256.json; a file that does not match it is named and not used.
A checkpoint from elsewhere has none: then a file must still be in its own directory, not a link to
any other, and no larger than such a file can be. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from shakegpt.errors import ShakegptError

SUMS = "sha256.json"
WEIGHTS = "model.safetensors"
"""A checkpoint's weights, when they are in one file."""
LARGEST_TEXT = 64 << 20
"""Bytes of a config.json, vocab.json or merges.txt: GPT-2's are 1 MB, the largest known 20."""

Sums = dict[str, list[str]]
"""File name -> the sums that it may have: two for weights, the ones replaced and the new."""


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path`, whole or not at all, even through a power cut."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # of a kill; or a link, which is not written through
    with open(part, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def settle(path: Path) -> None:
    """Return when a file, or the names in a directory, are on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sha256(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, sums: Mapping[str, list[str]]) -> None:
    """Write which sums the files of `folder` have; those not named keep theirs."""
    known = _known(folder) or {}
    if known | dict(sums) != known:
        all_of_them = known | dict(sums)
        content = {"sha256": all_of_them, "of_these": _sum_of(all_of_them)}
        replace_file(folder / SUMS, json.dumps(content, indent=2, sort_keys=True).encode() + b"\n")


def sums_of(folder: Path, name: str) -> list[str]:
    """The sums that a file of `folder` may have; [] when nobody wrote one down."""
    return (_known(folder) or {}).get(name, [])


def trusted(folder: Path, name: str) -> Path:
    """The path of a file of `folder` that may be used; one that is not there may be looked for.

    Raises ShakegptError for a link out of the directory and for a file that is not as its sum says.
    """
    path = folder / name
    _refuse_link(folder, path)
    if not path.exists():
        return path
    if not path.is_file():
        raise ShakegptError(f"{path} is no file: copy the checkpoint again")
    found = sha256(path) if sums_of(folder, name) else ""  # before the sums: they may be replaced
    if _known(folder) is None:
        raise ShakegptError(
            f"{folder / SUMS} cannot be read, so nothing beside it can be trusted: copy the "
            f"directory again, or delete {SUMS} to do without it"
        )
    if found and found not in sums_of(folder, name):
        raise ShakegptError(
            f"{path} does not match its sha256: it was damaged or changed; copy it again, or "
            f"delete {folder / SUMS} if the change was meant"
        )
    return path


def read_text(folder: Path, name: str) -> str:
    """The text of a file of `folder`. Raises as `trusted` does, and OSError, ValueError."""
    path = trusted(folder, name)
    if (size := path.stat().st_size) > LARGEST_TEXT:
        raise ValueError(f"{size:,} bytes are no size for it")
    return path.read_text("utf-8")


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
    return sums if _is_sums(sums) and raw.get("of_these") == _sum_of(sums) else None


def _sum_of(sums: Sums) -> str:
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()


def _is_sums(sums: object) -> TypeGuard[Sums]:
    return isinstance(sums, dict) and all(
        isinstance(value, list) and all(isinstance(one, str) for one in value)
        for value in sums.values()
    )
