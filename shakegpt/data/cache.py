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
    """Where shakegpt keeps what takes long: $SHAKEGPT_CACHE, else the system's place for it."""
    return Path(os.environ.get("SHAKEGPT_CACHE") or platformdirs.user_cache_dir("shakegpt"))


def write_cache(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """`files.write_atomically` into the cache; does nothing when it cannot be written."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
