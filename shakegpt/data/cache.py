"""The user's cache directory: downloaded or laid-out texts, and their tokens.

Everything in it can be recreated; a cache that cannot be written is ignored.
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
    """$SHAKEGPT_CACHE, else the system's cache directory for shakegpt.

    Without a home directory, a path where nothing can exist, so that there is no cache.
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
