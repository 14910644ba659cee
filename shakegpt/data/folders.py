"""Which files of a directory are texts to learn: each once, in a fixed order, hidden ones not."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path

from shakegpt.errors import ShakegptError

PLAIN = (".txt", ".text", ".md", ".markdown", ".rst")
RECORDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
COMPRESSION = (".gz", ".xz", ".bz2")
_ABOUT = ("readme", "license", "licence", "copying", "notice", "changelog", "contributing")
"""Names, without their endings, of files about the others."""
_OF_TOOLS = ("requirements", "cmakelists", "robots", "metadata")
_SYSTEM = ("__macosx", "__pycache__", "node_modules", "lost+found", "@eadir", "$recycle.bin")


def kind_of(name: str) -> str:
    """The suffix that says what is in a file, in lower case, without that of its compression."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in COMPRESSION else path.suffix


def text_files(folder: Path, records: bool = False) -> tuple[list[Path], str]:
    """The texts of `folder` and those under it, in the order of their paths; what there is, said.

    Record files (JSON Lines, CSV and so on) are taken with `records`, or where there is no plain
    text. Raises ShakegptError when there is neither.
    """
    every = _regular_files(folder)
    about = (*_ABOUT, *_OF_TOOLS)
    texts = [file for file in every if file.name.lower().split(".")[0] not in about]
    plain = [file for file in texts if kind_of(file.name) in PLAIN]
    recorded = [file for file in texts if kind_of(file.name) in RECORDS]
    taken = (recorded or plain) if records else (plain or recorded)
    if not taken:
        there = ", ".join(file.name for file in every[:3]) + (", …" if len(every) > 3 else "")
        raise ShakegptError(
            f"{folder} has no text among its {len(every):,} files{f' ({there})' if there else ''}: "
            f"name the files that are the text, or let theirs end in {', '.join(PLAIN + RECORDS)}"
        )
    kinds = sorted(Counter(kind_of(file.name) for file in taken).items())
    note = f"{folder.name or folder}: " + ", ".join(f"{n:,} {kind}" for kind, n in kinds)
    once = set(taken)
    if left_out := [file.name for file in every if file not in once]:
        named = ", ".join(left_out[:3]) + (", …" if len(left_out) > 3 else "")
        note += f"; left out {len(left_out):,} ({named})"
    return taken, note


def _regular_files(folder: Path) -> list[Path]:
    """All files but hidden and system ones; links are followed, what they lead to is taken once."""
    found, seen = list[Path](), set[tuple[int, int]]()
    _mark(folder, seen)

    def refuse(error: OSError) -> None:
        raise ShakegptError(f"{error.filename} cannot be read: {error.strerror}") from error

    for here, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        inside = Path(here)
        folders[:] = sorted(d for d in folders if _is_visible(d) and _mark(inside / d, seen))
        found += [inside / f for f in files if _is_visible(f)]
    return [file for file in sorted(found) if _is_regular(file) and _mark(file, seen)]


def _is_visible(name: str) -> bool:
    """Whether a name is a person's: not hidden, a lock or copy of an editor, or the system's."""
    hidden = name.startswith((".", "~$", "#")) or name.endswith("~")
    system = name.lower() in _SYSTEM or name.lower().endswith((".egg-info", ".dist-info"))
    return not hidden and not system


def _is_regular(path: Path) -> bool:
    """Whether it is a file with an end: no FIFO, socket or device, and no link to nowhere."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _mark(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Note the file or directory that `path` leads to; whether it was not there yet."""
    try:
        status = path.stat()
    except OSError:
        return False
    identity = (status.st_dev, status.st_ino)
    new = identity not in seen or not status.st_ino  # some file systems number nothing
    seen.add(identity)
    return new
