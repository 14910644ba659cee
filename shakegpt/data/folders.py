"""The texts in a directory: each file once, in a fixed order, without hidden ones."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.format import listing

PLAIN = (".txt", ".text", ".md", ".markdown", ".rst")
RECORDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
COMPRESSION = (".gz", ".xz", ".bz2")
_ABOUT = ("readme", "license", "licence", "copying", "notice", "changelog", "contributing")
"""Names, without suffixes, of files about the others."""
_OF_TOOLS = ("requirements", "cmakelists", "robots", "metadata")
_SYSTEM = ("__macosx", "__pycache__", "node_modules", "lost+found", "@eadir", "$recycle.bin")


def kind_of(name: str) -> str:
    """The suffix of a file's kind, in lower case, without that of its compression."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in COMPRESSION else path.suffix


def text_files(folder: Path, records: bool = False) -> tuple[list[Path], str]:
    """The texts in `folder` and below, ordered by path, and a sentence on what was found.

    Record files (JSON Lines, CSV and so on) are used with `records`, or if there is no plain text.
    Raises ShakegptError when there is neither.
    """
    files = _regular_files(folder)
    about = (*_ABOUT, *_OF_TOOLS)
    texts = [file for file in files if file.name.lower().split(".")[0] not in about]
    plain = [file for file in texts if kind_of(file.name) in PLAIN]
    with_records = [file for file in texts if kind_of(file.name) in RECORDS]
    selected = (with_records or plain) if records else (plain or with_records)
    if not selected:
        names = f" ({listing([file.name for file in files])})" if files else ""
        raise ShakegptError(
            f"{folder} has no text among its {len(files):,} files{names}: name the files that are "
            f"the text, or let theirs end in {', '.join(PLAIN + RECORDS)}"
        )
    kinds = sorted(Counter(kind_of(file.name) for file in selected).items())
    note = f"{folder.name or folder}: " + ", ".join(f"{n:,} {kind}" for kind, n in kinds)
    if omitted := sorted(set(files) - set(selected)):
        note += f"; left out {len(omitted):,} ({listing([file.name for file in omitted])})"
    return selected, note


def _regular_files(folder: Path) -> list[Path]:
    """All files but hidden and system ones, sorted, each once; links are followed."""
    paths, visited = list[Path](), set[tuple[int, int]]()
    _visit(folder, visited)

    def refuse(error: OSError) -> None:
        raise ShakegptError(f"{error.filename} cannot be read: {error.strerror}") from error

    for here, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        inside = Path(here)
        folders[:] = sorted(d for d in folders if _is_visible(d) and _visit(inside / d, visited))
        paths += [inside / f for f in files if _is_visible(f)]
    return [path for path in sorted(paths) if _is_regular(path) and _visit(path, visited)]


def _is_visible(name: str) -> bool:
    """Whether a name is neither hidden, nor an editor's lock or copy, nor the system's."""
    hidden = name.startswith((".", "~$", "#")) or name.endswith("~")
    system = name.lower() in _SYSTEM or name.lower().endswith((".egg-info", ".dist-info"))
    return not hidden and not system


def _is_regular(path: Path) -> bool:
    """Whether it is a regular file: no FIFO, socket or device, and no dangling link."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _visit(path: Path, visited: set[tuple[int, int]]) -> bool:
    """Record the file or directory that `path` resolves to; whether it is a new one."""
    try:
        status = path.stat()
    except OSError:
        return False
    identity = (status.st_dev, status.st_ino)
    new = identity not in visited or not status.st_ino  # some file systems have no numbers
    visited.add(identity)
    return new
