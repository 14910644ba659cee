"""Verify downloads from the hub: its cache names each file by a checksum of its bytes.

That is the sha256 for large files, and git's sha1 of a blob for small ones. The client checks only
the length, so a proxy's page of the same size, or a flipped bit, would stay in the cache.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from shakegpt.files import sha256


def drop_damaged(folder: Path) -> list[str]:
    """Delete the files of a snapshot that do not match their checksums; returns their names."""
    damaged = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _matches(path)]
    for path in damaged:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
    return [path.name for path in damaged]


def _matches(path: Path) -> bool:
    name = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return sha256(path) == name
    if re.fullmatch(r"[0-9a-f]{40}", name):
        data = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
        return blob.hexdigest() == name
    return True  # of a hub without checksums, or a cache without links
