"""Files that are written whole or not at all: a figure or the deck's data, under a live deck."""

from __future__ import annotations

from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.files import write_atomically


def replace(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one move, so that nobody ever reads half a file.

    Raises ShakegptError when it cannot be written; what stood there stays then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise ShakegptError(f"{path} cannot be written: {error.strerror}", exit_code=1) from error
