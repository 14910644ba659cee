"""Files that are written whole or not at all: a figure or the deck's data, under a live deck."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from shakegpt.errors import ShakegptError


def replace(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one move, so that nobody ever reads half a file.

    Raises ShakegptError when it cannot be written; what stood there stays then.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ShakegptError(f"{path} cannot be written: {error.strerror}", exit_code=1) from error
