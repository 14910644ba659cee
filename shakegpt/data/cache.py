"""The user's cache directory: texts that were fetched or laid out, and their tokens.

Nothing in it is needed: what is missing is created again, and a cache that cannot be written is
ignored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import platformdirs

from shakegpt.files import write_atomically


def cache_dir() -> Path:
    """Where shakegpt keeps what takes long: $SHAKEGPT_CACHE, else the system's place for it.

    Without a home directory, a place where nothing can be: then there is no cache.
    """
    if chosen := os.environ.get("SHAKEGPT_CACHE"):
        return Path(chosen)
    try:
        return Path(platformdirs.user_cache_dir("shakegpt"))
    except RuntimeError:  # a user without HOME and without an entry in passwd
        return Path(os.devnull) / "shakegpt"


def write_cache(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """`files.write_atomically` into the cache; does nothing when it cannot be written."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
